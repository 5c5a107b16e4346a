//! The comparison for programs: documents, event lines, rows.

use core::time::Duration;

use resound_conformance::{Difference, Outcome, Scenario, differences, profile};
use resound_core::signal::{Origin, Reason};
use resound_sim::library::Entry;
use serde::Serialize;

use super::baseline::{Held, Regression};
use super::{lab, textbook};
use crate::output::csv;
use crate::output::event::{End, SCHEMA};
use crate::stats::nanos;

/// The numbers of EAGAIN (of a thread that cannot be started), ENOMEM, ENFILE, EMFILE, EAFNOSUPPORT and EADDRNOTAVAIL (of
/// a family that is not there) and ENOBUFS, on Linux.
const SHORTAGES: [i32; 7] = [11, 12, 23, 24, 97, 99, 105];

/// The body of the document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    profile: Profile,
    passed: usize,
    broken: usize,
    not_run: usize,
    outcomes: Vec<Row>,
    pub(super) differences: Vec<Differs>,
    /// What plain sockets are told, where that was asked.
    pub(super) textbook: Vec<textbook::Row>,
    /// What the lab found; `None` if it was not asked for.
    pub(super) lab: Option<lab::Body>,
    /// What came of holding all this against an earlier run.
    pub(super) baseline: Option<Held>,
}

/// The timers of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Profile {
    name: &'static str,
    idle_ns: u64,
    probe_ns: u64,
    misses: u8,
    round_ns: u64,
    attempt_delay_ns: u64,
    first_window_ns: u64,
    floor_ns: u64,
    cap_ns: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    scenario: &'static str,
    runtime: &'static str,
    passed: bool,
    reason: Option<&'static str>,
    origin: Option<&'static str>,
    detected_ns: Option<u64>,
    /// 0 is "at once".
    promised_ns: Option<u64>,
    took_ns: u64,
    events: Vec<Moment>,
    broken: Vec<String>,
    /// What this host lacked, so that nothing can be said about the runtime.
    not_run: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Moment {
    at_ns: u64,
    what: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Differs {
    scenario: &'static str,
    runtimes: [&'static str; 2],
    pub(super) what: String,
}

/// A scenario and its promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    scenario: &'static str,
    about: &'static str,
    events: &'static [&'static str],
    reason: Option<&'static str>,
    origin: Option<&'static str>,
    /// The rule that bounds the time.
    within: Option<String>,
    promised_ns: Option<u64>,
}

/// A scenario of the lab.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ListedOfLab {
    scenario: &'static str,
    about: String,
}

/// An event line.
#[derive(Debug, Serialize)]
pub(super) struct Event<T> {
    schema: u32,
    t_ns: u64,
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

#[derive(Debug, Serialize)]
pub(super) struct Compared {
    profile: Profile,
    passed: usize,
    broken: usize,
    not_run: usize,
    differences: usize,
    lab: Option<lab::Counts>,
    regressions: Option<usize>,
    end: End,
    error: Option<String>,
}

impl Report {
    /// Of outcomes that stand scenario by scenario.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let ran: Vec<Outcome> =
            outcomes.iter().filter(|outcome| hindered(outcome).is_none()).cloned().collect();
        let passed = ran.iter().filter(|outcome| outcome.passed()).count();
        Self {
            profile: Profile::fast(),
            passed,
            broken: ran.len() - passed,
            not_run: outcomes.len() - ran.len(),
            outcomes: outcomes.iter().map(Row::from).collect(),
            differences: differences(&ran).into_iter().map(Differs::from).collect(),
            textbook: Vec::new(),
            lab: None,
            baseline: None,
        }
    }

    /// Whether every promise was kept, by all alike.
    pub(super) const fn holds(&self) -> bool {
        self.broken == 0 && self.differences.is_empty()
    }

    /// How many runs this host could not make.
    pub(super) const fn not_run(&self) -> usize {
        self.not_run
    }

    /// Why, in one line.
    pub(super) fn hindrance(&self) -> String {
        let why = self.outcomes.iter().find_map(|row| row.not_run.as_deref()).unwrap_or_default();
        let (not_run, all) = (self.not_run, self.outcomes.len());
        format!(
            "{not_run} of {all} runs could not be made on this host: {why}; see `ulimit -n` and `ulimit -u`"
        )
    }

    pub(super) const fn passed(&self) -> usize {
        self.passed
    }

    pub(super) const fn broken(&self) -> usize {
        self.broken
    }

    pub(super) fn differs(&self, scenario: &str) -> Vec<&Differs> {
        self.differences.iter().filter(|difference| difference.scenario == scenario).collect()
    }
}

impl Differs {
    /// The one that differs from the first.
    pub(super) const fn other(&self) -> &'static str {
        self.runtimes[1]
    }

    pub(super) const fn first(&self) -> &'static str {
        self.runtimes[0]
    }
}

impl Profile {
    fn fast() -> Self {
        let link = profile::fast().client.link;
        Self {
            name: "fast",
            idle_ns: nanos(link.liveness.idle),
            probe_ns: nanos(link.liveness.probe),
            misses: link.liveness.misses,
            round_ns: nanos(link.race.round),
            attempt_delay_ns: nanos(link.race.attempt_delay),
            first_window_ns: nanos(link.backoff.first_window),
            floor_ns: nanos(link.backoff.floor),
            cap_ns: nanos(link.backoff.cap),
        }
    }
}

impl From<&Outcome> for Row {
    fn from(outcome: &Outcome) -> Self {
        let moment = |moment: &resound_conformance::Moment| Moment {
            at_ns: nanos(moment.at),
            what: moment.what.clone(),
        };
        let (reason, origin) = words(outcome.verdict);
        Self {
            scenario: outcome.scenario,
            runtime: outcome.runtime,
            passed: outcome.passed(),
            reason,
            origin,
            detected_ns: outcome.detected.map(nanos),
            promised_ns: outcome.promised.map(nanos),
            took_ns: nanos(outcome.took),
            events: outcome.events.iter().map(moment).collect(),
            broken: outcome.broken.clone(),
            not_run: hindered(outcome),
        }
    }
}

impl From<Difference> for Differs {
    fn from(Difference { scenario, runtimes, what }: Difference) -> Self {
        Self { scenario, runtimes, what }
    }
}

impl Event<Row> {
    pub(super) fn outcome(t_ns: u64, outcome: &Outcome) -> Self {
        Self { schema: SCHEMA, t_ns, event: "outcome", body: outcome.into() }
    }
}

impl<'a> Event<&'a Differs> {
    pub(super) const fn difference(t_ns: u64, difference: &'a Differs) -> Self {
        Self { schema: SCHEMA, t_ns, event: "difference", body: difference }
    }
}

impl<'a> Event<&'a textbook::Row> {
    pub(super) const fn textbook(t_ns: u64, answer: &'a textbook::Row) -> Self {
        Self { schema: SCHEMA, t_ns, event: "textbook", body: answer }
    }
}

impl<'a> Event<&'a Regression> {
    pub(super) const fn regression(t_ns: u64, regression: &'a Regression) -> Self {
        Self { schema: SCHEMA, t_ns, event: "regression", body: regression }
    }
}

impl Event<Compared> {
    pub(super) fn compared(
        t_ns: u64,
        report: &Report,
        lab: Option<lab::Counts>,
        end: End,
        error: Option<String>,
    ) -> Self {
        let Report { profile, passed, broken, not_run, .. } = *report;
        let differences = report.differences.len();
        let regressions = report.baseline.as_ref().map(|held| held.regressions().len());
        let body = Compared { profile, passed, broken, not_run, differences, lab, regressions, end, error };
        Self { schema: SCHEMA, t_ns, event: "compared", body }
    }
}

impl Event<Listed> {
    pub(super) fn scenario(scenario: &Scenario) -> Self {
        Self { schema: SCHEMA, t_ns: 0, event: "scenario", body: listed(scenario) }
    }
}

impl Event<ListedOfLab> {
    pub(super) fn lab_scenario(entry: &Entry) -> Self {
        Self { schema: SCHEMA, t_ns: 0, event: "lab_scenario", body: listed_of_lab(entry) }
    }
}

/// What this host lacked for a run, if that is why it failed: descriptors, memory, threads. Then it tells nothing about
/// the runtime.
pub(super) fn hindered(outcome: &Outcome) -> Option<String> {
    if outcome.passed() {
        return None;
    }
    let said = outcome.events.iter().find_map(|moment| {
        // accept(2) fails for what this host lacks; what a peer did to a connection is no such failure.
        let lacks = [Reason::TooManyFiles.as_str(), Reason::NoBuffers.as_str(), "accept failed"];
        lacks.into_iter().find(|word| moment.what.contains(word))
    });
    let failed = outcome.broken.iter().find_map(|broken| {
        let (_, error) = broken.split_once("a socket or the runtime failed: ")?;
        SHORTAGES
            .iter()
            .any(|number| error.ends_with(&format!("(os error {number})")))
            .then(|| error.to_owned())
    });
    failed.or_else(|| said.map(String::from))
}

/// What is promised of a scenario.
pub(super) fn listed(scenario: &Scenario) -> Listed {
    let promise = scenario.promise();
    let (reason, origin) = words(promise.verdict);
    Listed {
        scenario: scenario.name(),
        about: scenario.about(),
        events: promise.events,
        reason,
        origin,
        within: promise.within.map(|within| within.to_string()),
        promised_ns: promise.within.map(|within| nanos(within.promised(&profile::fast()))),
    }
}

/// What a scenario of the lab is about.
pub(super) fn listed_of_lab(entry: &Entry) -> ListedOfLab {
    ListedOfLab { scenario: entry.name, about: entry.about() }
}

/// The row of a scenario of the lab, which promises nothing.
pub(super) fn list_row_of_lab(entry: &Entry) -> String {
    let mut cells = vec![entry.name.into(), entry.about()];
    cells.extend([const { String::new() }; 5]);
    csv::row(cells)
}

pub(super) fn list_header() -> String {
    csv::row(["scenario", "about", "reason", "origin", "within", "promised_ns", "events"].map(String::from))
}

pub(super) fn list_row(scenario: &Scenario) -> String {
    let listed = listed(scenario);
    csv::row([
        listed.scenario.into(),
        listed.about.into(),
        cell(listed.reason),
        cell(listed.origin),
        cell(listed.within),
        cell(listed.promised_ns),
        listed.events.join("; "),
    ])
}

pub(super) fn header() -> String {
    let columns = [
        "schema",
        "scenario",
        "runtime",
        "passed",
        "reason",
        "origin",
        "detected_ns",
        "promised_ns",
        "took_ns",
        "events",
        "broken",
        "not_run",
        "part",
        "ip",
        "verdict",
        "value",
        "p99",
        "spread",
        "unit",
        "errno",
        "times",
    ];
    csv::row(columns.map(String::from))
}

pub(super) fn row(outcome: &Outcome) -> String {
    let row = Row::from(outcome);
    let events: Vec<String> = row.events.into_iter().map(|moment| moment.what).collect();
    csv::row([
        SCHEMA.to_string(),
        row.scenario.into(),
        row.runtime.into(),
        row.passed.to_string(),
        cell(row.reason),
        cell(row.origin),
        cell(row.detected_ns),
        cell(row.promised_ns),
        row.took_ns.to_string(),
        events.join("; "),
        row.broken.join("; "),
        cell(row.not_run),
        "promises".into(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ])
}

fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn words(verdict: Option<(Reason, Origin)>) -> (Option<&'static str>, Option<&'static str>) {
    (verdict.map(|(reason, _)| reason.as_str()), verdict.map(|(_, origin)| origin.as_str()))
}

/// A time as the table shows it; zero is "at once".
pub(super) fn promised(promised: Duration) -> String {
    if promised.is_zero() { "at once".into() } else { crate::output::text::time(nanos(promised)) }
}
