//! The comparison for people: a table with a row for each scenario and a column for each runtime, then whatever broke
//! or differs, in full.

use core::fmt::Write as _;

use anstyle::Style;
use resound_conformance::{Outcome, Scenario, profile};

use super::report::{Report, promised};
use crate::output::event::End;
use crate::output::text::{BAD, BOLD, DIM, GOOD, time};
use crate::stats::nanos;

/// A cell: its text, and the style it is shown in.
type Cell = (String, Style);

/// All of it.
pub(super) fn show(outcomes: &[Outcome], report: &Report, end: End, t_ns: u64, verbose: bool) -> String {
    let mut out = timers();
    let runtimes = runtimes(outcomes);
    let mut rows = vec![header(&runtimes)];
    let scenarios = by_scenario(outcomes);
    rows.extend(scenarios.iter().map(|group| row(group, &runtimes, report)));
    draw(&mut out, &rows);
    for group in &scenarios {
        let differs = report.differs(group[0].scenario);
        let sound = group.iter().all(|outcome| outcome.passed()) && differs.is_empty();
        if verbose || !sound {
            detail(&mut out, group, report);
        }
    }
    let (passed, broken, differ) = (report.passed(), report.broken(), report.differences.len());
    let style = if report.holds() { GOOD } else { BAD };
    let _ = writeln!(
        out,
        "\n{style}{passed} runs kept their promises, {broken} broke one, {differ} differences between runtimes{style:#}; {}",
        time(t_ns)
    );
    if end == End::Interrupted {
        out.push_str("interrupted: the table is not complete\n");
    }
    out
}

/// The scenarios and what they promise.
pub(super) fn list(scenarios: &[&Scenario]) -> String {
    let mut out = String::new();
    for scenario in scenarios {
        let promise = scenario.promise();
        let verdict = promise.verdict.map(|(reason, origin)| format!("{reason} ({origin})"));
        let within =
            promise.within.map(|within| format!("{within}: {}", promised(within.promised(&profile::fast()))));
        let _ = writeln!(out, "{BOLD}{}{BOLD:#}\n    {}", scenario.name(), scenario.about());
        let _ = writeln!(out, "    {DIM}{}{DIM:#}", promise.events.join(", "));
        let promises: Vec<String> = verdict.into_iter().chain(within).collect();
        if !promises.is_empty() {
            let _ = writeln!(out, "    {}", promises.join("; "));
        }
    }
    out
}

fn timers() -> String {
    let link = profile::fast().client.link;
    let [idle, probe, round, delay] =
        [link.liveness.idle, link.liveness.probe, link.race.round, link.race.attempt_delay]
            .map(nanos)
            .map(time);
    let [window, floor, cap] =
        [link.backoff.first_window, link.backoff.floor, link.backoff.cap].map(nanos).map(time);
    let misses = link.liveness.misses;
    format!(
        "Timers (profile fast): idle I {idle}, probe P {probe}, misses M {misses}; attempts {delay} apart, a round {round}; \
         backoff {window} first, {floor} to {cap}\n\
         Each column: the time from the fault to the event that tells of it, or ok where there is nothing to measure.\n\n"
    )
}

fn runtimes(outcomes: &[Outcome]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.runtime) {
            names.push(outcome.runtime);
        }
    }
    names
}

fn by_scenario(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let groups = outcomes.chunk_by(|a, b| a.scenario == b.scenario);
    groups.map(|group| group.iter().collect()).collect()
}

fn header(runtimes: &[&str]) -> Vec<Cell> {
    let fixed = ["scenario", "events", "reason", "promised"].into_iter();
    fixed.chain(runtimes.iter().copied()).map(|name| (name.to_owned(), BOLD)).collect()
}

fn row(group: &[&Outcome], runtimes: &[&str], report: &Report) -> Vec<Cell> {
    let first = group[0];
    let plain = Style::new();
    let differs = report.differs(first.scenario);
    let mut row = vec![
        (first.scenario.to_owned(), plain),
        (first.events.len().to_string(), plain),
        (first.verdict.map_or_else(|| "-".into(), |(reason, origin)| format!("{reason} ({origin})")), plain),
        (first.promised.map_or_else(|| "-".into(), promised), plain),
    ];
    for runtime in runtimes {
        let outcome = group.iter().find(|outcome| outcome.runtime == *runtime);
        row.push(match outcome {
            None => ("not run".into(), DIM),
            Some(outcome) => {
                let told = outcome.detected.map_or_else(|| "ok".into(), |detected| time(nanos(detected)));
                let differs = differs.iter().any(|difference| difference.other() == *runtime);
                match (outcome.passed(), differs) {
                    (true, false) => (told, GOOD),
                    (true, true) => (format!("{told} DIFFERS"), BAD),
                    (false, false) => (format!("{told} BROKEN"), BAD),
                    (false, true) => (format!("{told} BROKEN, DIFFERS"), BAD),
                }
            }
        });
    }
    row
}

/// What each runtime reported, and what is wrong with it.
fn detail(out: &mut String, group: &[&Outcome], report: &Report) {
    let _ = writeln!(out, "\n{BOLD}{}{BOLD:#}", group[0].scenario);
    for outcome in group {
        let _ = writeln!(out, "  {} ({})", outcome.runtime, time(nanos(outcome.took)));
        for moment in &outcome.events {
            let _ = writeln!(out, "    {DIM}{:>9}{DIM:#}  {}", time(nanos(moment.at)), moment.what);
        }
        for broken in &outcome.broken {
            let _ = writeln!(out, "    {BAD}broken{BAD:#}: {broken}");
        }
    }
    for difference in report.differs(group[0].scenario) {
        let (first, other, what) = (difference.first(), difference.other(), &difference.what);
        let _ = writeln!(out, "  {BAD}{first} and {other} differ{BAD:#}: {what}");
    }
}

/// Columns are as wide as their widest cell. No cell holds a character that is wider than one column.
fn draw(out: &mut String, rows: &[Vec<Cell>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        for (index, ((text, style), width)) in row.iter().zip(&widths).enumerate() {
            let gap = if index > 0 { "  " } else { "" };
            let padding = if index + 1 < row.len() { width - text.chars().count() } else { 0 };
            let _ = write!(out, "{gap}{style}{text}{style:#}{:padding$}", "");
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        let plain = |texts: [&str; 2]| texts.map(|text| (text.to_owned(), Style::new())).to_vec();
        let mut out = String::new();
        draw(&mut out, &[plain(["a", "time"]), plain(["échec", "43.1 µs"])]);
        assert_eq!(out, "a      time\néchec  43.1 µs\n");
    }
}
