//! What is told of each scenario, whatever it is drawn with: the cells of its row, its events, and what is wrong.

use resound_conformance::{Outcome, profile};

use super::report::{Report, hindered, promised};
use crate::output::text::time;
use crate::stats::nanos;

/// Between two events.
pub(super) const THEN: &str = " → ";

/// How to read the table.
pub(super) const LEGEND: &str = "Each runtime's column: the time from the fault to the event that tells of it, or ok \
    where there is nothing to measure; ! marks a broken promise, or what differs from the first runtime. Under each row: \
    the events, as they were reported.";

/// One scenario and what came of it.
pub(super) struct Story<'a> {
    pub(super) scenario: &'static str,
    /// The verdict of the first runtime.
    pub(super) reason: String,
    pub(super) promised: String,
    pub(super) events: Lines,
    /// Broken promises and differences, a sentence each.
    pub(super) wrong: Vec<String>,
    pub(super) outcomes: Vec<&'a Outcome>,
    differing: Vec<&'static str>,
}

/// What was reported.
pub(super) enum Lines {
    /// By all runtimes alike.
    Same(String),
    /// By each runtime; marked where it is not what the first one reported.
    Each(Vec<(&'static str, String, Mark)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Wrong,
}

/// The stories of outcomes that stand scenario by scenario.
pub(super) fn stories<'a>(outcomes: &'a [Outcome], report: &Report) -> Vec<Story<'a>> {
    outcomes.chunk_by(|a, b| a.scenario == b.scenario).map(|group| Story::new(group, report)).collect()
}

/// The runtimes, in the order in which they were asked for.
pub(super) fn runtimes(outcomes: &[Outcome]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.runtime) {
            names.push(outcome.runtime);
        }
    }
    names
}

impl<'a> Story<'a> {
    fn new(group: &'a [Outcome], report: &Report) -> Self {
        let first = &group[0];
        let differs = report.differs(first.scenario);
        let not_run = group
            .iter()
            .filter_map(|outcome| Some(format!("{} was not run: {}", outcome.runtime, hindered(outcome)?)));
        let ran: Vec<&Outcome> = group.iter().filter(|outcome| hindered(outcome).is_none()).collect();
        let broken = ran.iter().flat_map(|outcome| {
            let runtime = outcome.runtime;
            outcome.broken.iter().map(move |broken| format!("{runtime} broke its promise: {broken}"))
        });
        let differ = differs.iter().map(|difference| {
            format!("{} and {} differ: {}", difference.first(), difference.other(), difference.what)
        });
        Self {
            scenario: first.scenario,
            reason: ran
                .first()
                .and_then(|outcome| outcome.verdict)
                .map_or_else(|| "-".into(), |(reason, origin)| format!("{reason} ({origin})")),
            promised: first.promised.map_or_else(|| "-".into(), promised),
            events: Lines::new(&ran),
            wrong: not_run.chain(broken).chain(differ).collect(),
            outcomes: ran.clone(),
            differing: differs.iter().map(|difference| difference.other()).collect(),
        }
    }

    /// The cell of a runtime; `None` if it was not run.
    pub(super) fn cell(&self, runtime: &str) -> Option<(String, Mark)> {
        let outcome = self.outcomes.iter().find(|outcome| outcome.runtime == runtime)?;
        let told = match (outcome.detected, outcome.passed()) {
            (Some(detected), _) => time(nanos(detected)),
            (None, true) => "ok".into(),
            (None, false) => "broken".into(),
        };
        let sound = outcome.passed() && !self.differing.contains(&outcome.runtime);
        Some((told, if sound { Mark::None } else { Mark::Wrong }))
    }
}

impl Lines {
    fn new(group: &[&Outcome]) -> Self {
        let first = group.first().map_or_else(|| String::from("nothing"), |outcome| told(outcome));
        if group.iter().all(|outcome| told(outcome) == first) {
            return Self::Same(first);
        }
        let line = |outcome: &&Outcome| {
            let events = told(outcome);
            let mark = if events == first { Mark::None } else { Mark::Wrong };
            (outcome.runtime, events, mark)
        };
        Self::Each(group.iter().map(line).collect())
    }
}

fn told(outcome: &Outcome) -> String {
    let words: Vec<&str> = outcome.events.iter().map(|moment| moment.what.as_str()).collect();
    if words.is_empty() { "(nothing)".into() } else { words.join(THEN) }
}

/// The timers of the run.
pub(super) fn timers() -> String {
    let link = profile::fast().client.link;
    let [idle, probe, round, delay] =
        [link.liveness.idle, link.liveness.probe, link.race.round, link.race.attempt_delay]
            .map(nanos)
            .map(time);
    let [window, floor, cap] =
        [link.backoff.first_window, link.backoff.floor, link.backoff.cap].map(nanos).map(time);
    let misses = link.liveness.misses;
    format!(
        "Timers (profile fast): idle I {idle}, probe P {probe}, misses M {misses}; attempts {delay} apart, a round \
         {round}; backoff {window} first, {floor} to {cap}."
    )
}

/// What it amounts to.
pub(super) fn verdict(report: &Report) -> String {
    let (passed, broken, differ) = (report.passed(), report.broken(), report.differences.len());
    let not_run = match report.not_run() {
        0 => String::new(),
        not_run => format!(", {not_run} could not be made on this host"),
    };
    format!(
        "{passed} runs kept their promises, {broken} broke one, {differ} differences between runtimes{not_run}"
    )
}

#[cfg(test)]
pub(super) mod tests {
    use core::time::Duration;

    use resound_conformance::Moment;
    use resound_core::signal::{Origin, Reason};

    use super::*;

    fn outcome(runtime: &'static str, events: &[&str]) -> Outcome {
        let moment = |what: &&str| Moment { at: Duration::ZERO, what: (*what).to_owned() };
        Outcome {
            scenario: "refused",
            runtime,
            events: events.iter().map(moment).collect(),
            verdict: Some((Reason::ConnRefused, Origin::Peer)),
            detected: Some(Duration::from_millis(2)),
            promised: Some(Duration::ZERO),
            took: Duration::from_millis(5),
            broken: Vec::new(),
        }
    }

    /// Two runtimes that did what they should.
    pub(in super::super) fn sound() -> [Outcome; 2] {
        ["std", "tokio"].map(|runtime| outcome(runtime, &["dialing", "dial-failed", "retry"]))
    }

    /// Two runtimes, the second of which was late and reported something else.
    pub(in super::super) fn differing() -> [Outcome; 2] {
        let [std, _] = sound();
        let late = Outcome {
            detected: Some(Duration::from_secs(3)),
            broken: vec!["it came late".into()],
            ..outcome("tokio", &["dialing", "up"])
        };
        [std, late]
    }

    #[test]
    fn what_this_host_cannot_do_breaks_no_promise_and_differs_from_nothing() {
        let [sound, _] = sound();
        let failed = "a socket or the runtime failed: Too many open files (os error 24)";
        let hindered = Outcome { broken: vec![failed.into()], verdict: None, ..outcome("tokio", &[]) };
        let refused = Outcome { broken: vec![failed.replace("24", "111")], ..hindered.clone() };
        let lacking = Outcome {
            broken: vec!["something".into()],
            ..outcome("smol", &["dialing", "dial-failed too-many-files (local)"])
        };
        let outcomes = [sound.clone(), hindered, lacking];
        let report = Report::of(&outcomes);
        assert_eq!(
            (report.passed(), report.broken(), report.not_run(), report.differences.len()),
            (1, 0, 2, 0)
        );
        let stories = stories(&outcomes, &report);
        assert_eq!(stories[0].cell("tokio"), None);
        assert_eq!(stories[0].wrong[0], "tokio was not run: Too many open files (os error 24)");
        assert_eq!(stories[0].wrong[1], "smol was not run: too-many-files");
        assert_eq!(Report::of(&[sound, refused]).broken(), 1);
    }

    #[test]
    fn a_runtime_is_marked_if_it_broke_a_promise_or_differs() {
        let outcomes = differing();
        let stories = stories(&outcomes, &Report::of(&outcomes));
        assert_eq!(stories[0].cell("std"), Some(("2.00 ms".into(), Mark::None)));
        assert_eq!(stories[0].cell("tokio"), Some(("3.00 s".into(), Mark::Wrong)));
        assert_eq!(stories[0].cell("smol"), None);
        let [std, mut other] = sound();
        other.verdict = None;
        let outcomes = [std, other];
        let stories = super::stories(&outcomes, &Report::of(&outcomes));
        assert_eq!(stories[0].cell("tokio"), Some(("2.00 ms".into(), Mark::Wrong)));
        assert_eq!(stories[0].wrong, ["std and tokio differ: verdict conn-refused (peer) or none"]);
    }
}
