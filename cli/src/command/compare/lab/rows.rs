//! The lab for programs: a part of the document, event lines, rows.

use resound_core::signal::{Errno, Origin, Reason, Version};
use resound_lab::agreement::{Latency, detections, sentences};
use resound_lab::costs::plays::{self, Plays};
use resound_lab::costs::{Metric, Row as Cost};
use resound_lab::suite::Outcome;
use resound_lab::table::{Finding, RowReport};
use resound_lab::verdict::{Verdict, words};
use resound_sim::run::Remark;
use resound_sim::scenario::Said;
use serde::Serialize;

use super::{Lab, News};
use crate::output::csv;
use crate::output::event::SCHEMA;
use crate::stats::nanos;

/// What the lab found.
#[derive(Debug, Serialize)]
pub(in super::super) struct Body {
    hindrance: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    played: Vec<Played>,
    table: Option<Table>,
    costs: Option<Costs>,
    in_plays: Option<InPlays>,
    failures: Vec<String>,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in super::super) struct Counts {
    agree: usize,
    deviate: usize,
    differ: usize,
    not_played: usize,
    rows_agreed: usize,
    rows_differ: usize,
    rows_not_exercised: usize,
}

/// One scenario on one runtime over one IP version.
#[derive(Debug, Serialize)]
struct Played {
    scenario: String,
    runtime: &'static str,
    ip: u8,
    verdict: &'static str,
    /// In what it differs, why it may, or why it was not played.
    explain: Vec<String>,
    detections: Vec<Detection>,
    took_ns: u64,
    times: u32,
    used: Option<Used>,
}

/// What the processes of a play used.
#[derive(Debug, Serialize)]
struct Used {
    calls: Option<u64>,
    user_ns: u64,
    system_ns: u64,
    wakes: u64,
    preempted: u64,
    waited_ns: u64,
    threads: u64,
    memory_bytes: u64,
}

/// When a program was told of an end or a failure.
#[derive(Debug, Serialize)]
struct Detection {
    host: String,
    what: String,
    /// Why, and from whom that is known, if a machine says so; of a single call, its errno.
    reason: Option<String>,
    origin: Option<String>,
    errno: Option<String>,
    predicted_ns: u64,
    at_ns: u64,
}

#[derive(Debug, Serialize)]
struct Table {
    kernel: String,
    rows: Vec<Row>,
}

/// A row of the kernel table.
#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    ip: u8,
    finding: &'static str,
    explain: Option<String>,
    cases: usize,
    took_ns: u64,
}

#[derive(Debug, Serialize)]
struct Costs {
    seed: u64,
    rounds: u32,
    counting: String,
    took_ns: u64,
    figures: Vec<Figure>,
    failures: Vec<String>,
}

/// What one thing costs on one runtime.
#[derive(Debug, Serialize)]
struct Figure {
    metric: &'static str,
    side: &'static str,
    unit: &'static str,
    configuration: &'static str,
    median: Option<f64>,
    p99: Option<f64>,
    spread: Option<f64>,
    standing: resound_lab::costs::Standing,
    missing: Option<String>,
}

/// What the plays tell of what each runtime costs.
#[derive(Debug, Serialize)]
struct InPlays {
    counted: usize,
    left_out: usize,
    figures: Vec<PlayFigure>,
    comparisons: Vec<PlayComparison>,
    control: Control,
}

/// Plays in which no runtime has a part.
#[derive(Debug, Serialize)]
struct Control {
    counted: usize,
    comparisons: Vec<PlayComparison>,
}

/// One measure of one runtime.
#[derive(Debug, Serialize)]
struct PlayFigure {
    metric: &'static str,
    unit: &'static str,
    runtime: &'static str,
    values: usize,
    median: Option<f64>,
    p99: Option<f64>,
    standing: resound_lab::costs::Standing,
}

/// Two runtimes by one measure, scenario by scenario.
#[derive(Debug, Serialize)]
struct PlayComparison {
    metric: &'static str,
    runtimes: [&'static str; 2],
    ratio: f64,
    less: usize,
    more: usize,
    chance: f64,
    verdict: &'static str,
}

impl Lab {
    /// Its part of the document; `None` if it was not asked for.
    pub(in super::super) fn body(&self) -> Option<Body> {
        let idle = self.outcomes.is_empty() && self.table.is_none() && self.costs.is_none();
        if idle && self.hindrance.is_none() && self.failures.is_empty() {
            return None;
        }
        let table = self.table.as_ref().map(|table| Table {
            kernel: table.kernel.clone(),
            rows: table.rows.iter().map(Row::from).collect(),
        });
        let costs = self.costs.as_ref().map(|costs| Costs {
            seed: costs.config.seed,
            rounds: costs.config.rounds,
            counting: costs.counting.to_string(),
            took_ns: nanos(costs.took),
            figures: costs.rows().map(Figure::from).collect(),
            failures: costs.failures.clone(),
        });
        Some(Body {
            hindrance: self.hindrance.clone(),
            counts: self.counts(),
            played: self.outcomes.iter().map(Played::from).collect(),
            table,
            costs,
            in_plays: Plays::of(&self.outcomes).as_ref().map(InPlays::from),
            failures: self.failures.clone(),
        })
    }

    /// How many of each.
    pub(in super::super) fn counts(&self) -> Counts {
        let tally = self.tally();
        let [rows_agreed, rows_differ, rows_not_exercised] =
            self.table.as_ref().map(resound_lab::table::TableReport::counts).unwrap_or_default();
        Counts {
            agree: tally.agrees,
            deviate: tally.deviates,
            differ: tally.differs,
            not_played: tally.not_played,
            rows_agreed,
            rows_differ,
            rows_not_exercised,
        }
    }
}

impl From<&Outcome> for Played {
    fn from(outcome: &Outcome) -> Self {
        let scenario = &outcome.item.scenario;
        let detection = |(remark, latency): (&Remark, Latency)| {
            let why = Why::of(&remark.said);
            Detection {
                host: scenario.name(remark.node).to_owned(),
                what: words(&remark.said),
                reason: why.reason.map(|reason| reason.to_string()),
                origin: why.origin.map(|origin| origin.to_string()),
                errno: why.errno.map(|errno| errno.to_string()),
                predicted_ns: nanos(latency.predicted),
                at_ns: nanos(latency.came),
            }
        };
        Self {
            scenario: outcome.item.name.clone(),
            runtime: outcome.player.as_str(),
            ip: ip(outcome.item.version),
            verdict: outcome.verdict.as_str(),
            explain: sentences(scenario, &outcome.verdict),
            detections: detections(outcome).into_iter().map(detection).collect(),
            took_ns: nanos(outcome.took),
            times: outcome.times,
            used: outcome.used.as_ref().map(Used::from),
        }
    }
}

impl From<&resound_lab::agent::Used> for Used {
    fn from(used: &resound_lab::agent::Used) -> Self {
        Self {
            calls: used.calls,
            user_ns: nanos(used.spent.user),
            system_ns: nanos(used.spent.system),
            wakes: used.spent.wakes,
            preempted: used.spent.preempted,
            waited_ns: nanos(used.waited),
            threads: used.threads,
            memory_bytes: used.memory,
        }
    }
}

impl From<&Plays> for InPlays {
    fn from(plays: &Plays) -> Self {
        Self {
            counted: plays.counted,
            left_out: plays.left_out,
            figures: plays.rows.iter().map(PlayFigure::from).collect(),
            comparisons: plays.comparisons.iter().map(PlayComparison::from).collect(),
            control: Control {
                counted: plays.control.counted,
                comparisons: plays.control.comparisons.iter().map(PlayComparison::from).collect(),
            },
        }
    }
}

impl From<&plays::Row> for PlayFigure {
    fn from(row: &plays::Row) -> Self {
        Self {
            metric: row.measure.as_str(),
            unit: row.measure.unit().as_str(),
            runtime: row.player.as_str(),
            values: row.values,
            median: row.median,
            p99: row.p99,
            standing: row.standing,
        }
    }
}

impl From<&plays::Comparison> for PlayComparison {
    fn from(of: &plays::Comparison) -> Self {
        Self {
            metric: of.measure.as_str(),
            runtimes: [of.a.as_str(), of.b.as_str()],
            ratio: of.ratio,
            less: of.signs.less,
            more: of.signs.more,
            chance: of.signs.chance(),
            verdict: of.verdict.as_str(),
        }
    }
}

/// Why something ended or failed, as far as a program is told.
#[derive(Clone, Copy, Debug, Default)]
struct Why {
    reason: Option<Reason>,
    origin: Option<Origin>,
    errno: Option<Errno>,
}

impl Why {
    fn of(said: &Said) -> Self {
        match *said {
            Said::DialFailed(reason, origin) | Said::Down(reason, origin) => {
                Self { reason: Some(reason), origin: Some(origin), errno: None }
            }
            Said::Ended(reason) | Said::Lost(_, reason) | Said::GaveUp(reason) => {
                Self { reason: Some(reason), ..Self::default() }
            }
            Said::Call(_, Err(errno)) => Self { errno: Some(errno), ..Self::default() },
            _ => Self::default(),
        }
    }
}

impl From<&RowReport> for Row {
    fn from(report: &RowReport) -> Self {
        let explain = Some(report.what.explain()).filter(|text| !text.is_empty());
        Self {
            row: report.row,
            ip: ip(report.version),
            finding: report.what.as_str(),
            explain: explain.map(String::from),
            cases: report.cases,
            took_ns: nanos(report.took),
        }
    }
}

impl From<&Cost> for Figure {
    fn from(cost: &Cost) -> Self {
        let metric: Metric = cost.metric;
        Self {
            metric: metric.as_str(),
            side: metric.side().as_str(),
            unit: metric.unit().as_str(),
            configuration: cost.configuration.as_str(),
            median: cost.median,
            p99: cost.p99,
            spread: cost.spread,
            standing: cost.standing,
            missing: cost.missing.clone(),
        }
    }
}

/// An event line.
#[derive(Debug, Serialize)]
struct Event<T> {
    schema: u32,
    t_ns: u64,
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

/// The event lines of what came.
pub(in super::super) fn lines(t_ns: u64, news: &News) -> Vec<serde_json::Value> {
    fn value<T: Serialize>(t_ns: u64, event: &'static str, body: T) -> Option<serde_json::Value> {
        serde_json::to_value(Event { schema: SCHEMA, t_ns, event, body }).ok()
    }
    match news {
        News::Doing(_) | News::Failed(_) => Vec::new(),
        News::Played(outcome) => value(t_ns, "played", Played::from(&**outcome)).into_iter().collect(),
        News::Table(table) => {
            table.rows.iter().filter_map(|row| value(t_ns, "table_row", Row::from(row))).collect()
        }
        News::Costs(costs) => costs.rows().filter_map(|row| value(t_ns, "cost", Figure::from(row))).collect(),
        News::InPlays(plays) => {
            let figures =
                plays.rows.iter().filter_map(|row| value(t_ns, "cost_in_plays", PlayFigure::from(row)));
            let of_two = |of| value(t_ns, "costs_compared", PlayComparison::from(of));
            figures.chain(plays.comparisons.iter().filter_map(of_two)).collect()
        }
    }
}

/// The rows of what came, with the columns of [`super::super::report::header`].
pub(in super::super) fn csv_rows(news: &News) -> Vec<String> {
    match news {
        News::Doing(_) | News::Failed(_) => Vec::new(),
        News::Played(outcome) => vec![played(outcome)],
        News::Table(table) => table.rows.iter().map(table_row).collect(),
        News::Costs(costs) => costs.rows().map(cost).collect(),
        News::InPlays(plays) => plays.rows.iter().map(cost_in_plays).collect(),
    }
}

fn played(outcome: &Outcome) -> String {
    let row = Played::from(outcome);
    let first = row.detections.first();
    let of_first = |field: fn(&Detection) -> &Option<String>| first.and_then(|first| field(first).clone());
    let (reason, origin) = (of_first(|first| &first.reason), of_first(|first| &first.origin));
    let errno = of_first(|first| &first.errno);
    let (broken, not_run) = match outcome.verdict {
        Verdict::NotPlayed(_) => (Vec::new(), row.explain),
        _ => (row.explain, Vec::new()),
    };
    csv::row([
        SCHEMA.to_string(),
        row.scenario,
        row.runtime.into(),
        matches!(outcome.verdict, Verdict::Agrees | Verdict::Deviates(_)).to_string(),
        reason.unwrap_or_default(),
        origin.unwrap_or_default(),
        first.map(|first| first.at_ns.to_string()).unwrap_or_default(),
        first.map(|first| first.predicted_ns.to_string()).unwrap_or_default(),
        row.took_ns.to_string(),
        row.detections.iter().map(|of| format!("{}: {}", of.host, of.what)).collect::<Vec<_>>().join("; "),
        broken.join("; "),
        not_run.join("; "),
        "scenarios".into(),
        row.ip.to_string(),
        row.verdict.into(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        errno.unwrap_or_default(),
        row.times.to_string(),
    ])
}

fn table_row(report: &RowReport) -> String {
    let row = Row::from(report);
    let explain = row.explain.unwrap_or_default();
    let (broken, not_run) = match report.what {
        Finding::NotExercised(_) => (String::new(), explain),
        _ => (explain, String::new()),
    };
    let mut cells = vec![SCHEMA.to_string(), row.row.into(), String::new()];
    cells.push((report.what == Finding::Agreed).to_string());
    cells.extend([const { String::new() }; 4]);
    cells.extend([row.took_ns.to_string(), String::new(), broken, not_run]);
    cells.extend(["table".into(), row.ip.to_string(), row.finding.into()]);
    cells.extend([const { String::new() }; 6]);
    csv::row(cells)
}

fn cost(row: &Cost) -> String {
    let figure = Figure::from(row);
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut cells = vec![SCHEMA.to_string(), figure.metric.into(), figure.configuration.into()];
    cells.extend([const { String::new() }; 8]);
    cells.push(figure.missing.unwrap_or_default());
    cells.extend(["costs".into(), String::new(), String::new()]);
    cells.extend([number(figure.median), number(figure.p99), number(figure.spread), figure.unit.into()]);
    cells.extend([const { String::new() }; 2]);
    csv::row(cells)
}

fn cost_in_plays(row: &plays::Row) -> String {
    let figure = PlayFigure::from(row);
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut cells = vec![SCHEMA.to_string(), figure.metric.into(), figure.runtime.into()];
    cells.extend([const { String::new() }; 9]);
    cells.extend(["in-plays".into(), String::new(), String::new()]);
    cells.extend([number(figure.median), number(figure.p99), String::new(), figure.unit.into()]);
    cells.extend([const { String::new() }; 2]);
    csv::row(cells)
}

const fn ip(version: Version) -> u8 {
    match version {
        Version::V4 => 4,
        Version::V6 => 6,
    }
}
