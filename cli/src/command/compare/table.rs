//! The comparison for people, as a table in a terminal: a row for each scenario and a column for each runtime, under each
//! row the events, and whatever broke or differs in full. What is to be shown and how it is marked is decided in
//! [`super::story`].

use core::fmt::Write as _;

use anstyle::Style;
use resound_conformance::{Outcome, Scenario, profile};
use resound_sim::library::Entry;

use super::baseline::Held;
use super::report::{Report, promised};
use super::story::{self, Lines, Mark, Story};
use super::textbook;
use crate::output::event::End;
use crate::output::text::{BAD, BOLD, DIM, GOOD, time};
use crate::stats::nanos;

/// No line is longer, unless a single word is.
pub(super) const WIDTH: usize = 100;

/// A cell: its text, and the style it is shown in.
pub(super) type Cell = (String, Style);

/// All of it.
pub(super) fn show(outcomes: &[Outcome], report: &Report, end: End, t_ns: u64, verbose: bool) -> String {
    let runtimes = story::runtimes(outcomes);
    let stories = story::stories(outcomes, report);
    let mut rows = vec![header(&runtimes)];
    rows.extend(stories.iter().map(|story| row(story, &runtimes)));
    let mut out = String::new();
    wrap(&mut out, "", &story::timers(), " ", Style::new());
    wrap(&mut out, "", story::LEGEND, " ", Style::new());
    out.push('\n');
    for (index, line) in aligned(&rows).into_iter().enumerate() {
        out.push_str(&line);
        if let Some(story) = index.checked_sub(1).and_then(|index| stories.get(index)) {
            under_row(&mut out, story, verbose);
        }
    }
    textbook(&mut out, &report.textbook);
    let style = if report.holds() { GOOD } else { BAD };
    let _ = writeln!(out, "\n{style}{}{style:#}; {}", story::verdict(report), time(t_ns));
    if end == End::Interrupted {
        out.push_str("interrupted: the table is not complete\n");
    }
    out
}

/// What is worse than it was.
pub(super) fn held(out: &mut String, held: Option<&Held>) {
    let Some(held) = held else { return };
    out.push('\n');
    for regression in held.regressions() {
        wrap(out, "! ", &regression.to_string(), " ", BAD);
    }
    wrap(out, "", &held.verdict(), " ", if held.holds() { GOOD } else { BAD });
}

/// What plain sockets are told.
fn textbook(out: &mut String, answers: &[textbook::Row]) {
    if answers.is_empty() {
        return;
    }
    out.push('\n');
    wrap(out, "", textbook::TITLE, " ", Style::new());
    let mut rows = vec![textbook::COLUMNS.map(|name| (name.to_owned(), BOLD)).to_vec()];
    rows.extend(answers.iter().map(|answer| {
        let plain = |cell: &String| (cell.clone(), Style::new());
        answer.cells().iter().map(plain).collect::<Vec<_>>()
    }));
    aligned(&rows).iter().for_each(|line| out.push_str(line));
}

/// The scenarios and what they promise, then those of the lab and what they are about.
pub(super) fn list(scenarios: &[&Scenario], of_lab: &[&Entry]) -> String {
    let mut out = String::new();
    for scenario in scenarios {
        let promise = scenario.promise();
        let verdict = promise.verdict.map(|(reason, origin)| format!("{reason} ({origin})"));
        let within =
            promise.within.map(|within| format!("{within}: {}", promised(within.promised(&profile::fast()))));
        let _ = writeln!(out, "{BOLD}{}{BOLD:#}", scenario.name());
        wrap(&mut out, "    ", scenario.about(), " ", Style::new());
        wrap(&mut out, "    ", &promise.events.join(story::THEN), story::THEN, DIM);
        let promises: Vec<String> = verdict.into_iter().chain(within).collect();
        if !promises.is_empty() {
            let _ = writeln!(out, "    {}", promises.join("; "));
        }
    }
    for entry in of_lab {
        let _ = writeln!(out, "{BOLD}{}{BOLD:#} {DIM}(lab){DIM:#}", entry.name);
        wrap(&mut out, "    ", &entry.about(), " ", Style::new());
    }
    out
}

fn header(runtimes: &[&str]) -> Vec<Cell> {
    let fixed = ["scenario", "reason", "promised"].into_iter();
    fixed.chain(runtimes.iter().copied()).map(|name| (name.to_owned(), BOLD)).collect()
}

fn row(story: &Story<'_>, runtimes: &[&str]) -> Vec<Cell> {
    let plain = Style::new();
    let fixed = [story.scenario.to_owned(), story.reason.clone(), story.promised.clone()];
    let mut row: Vec<Cell> = fixed.into_iter().map(|text| (text, plain)).collect();
    for runtime in runtimes {
        row.push(match story.cell(runtime) {
            None => ("not run".into(), DIM),
            Some((told, Mark::None)) => (told, GOOD),
            Some((told, Mark::Wrong)) => (format!("! {told}"), BAD),
        });
    }
    row
}

/// The events, once if all runtimes told the same, and what is wrong.
fn under_row(out: &mut String, story: &Story<'_>, verbose: bool) {
    match &story.events {
        Lines::Same(events) => wrap(out, "    ", events, story::THEN, DIM),
        Lines::Each(lines) => {
            for (runtime, events, mark) in lines {
                let (mark, style) = if *mark == Mark::Wrong { ("!", BAD) } else { (" ", DIM) };
                wrap(out, &format!("  {mark} {runtime}: "), events, story::THEN, style);
            }
        }
    }
    for wrong in &story.wrong {
        wrap(out, "  ! ", wrong, " ", BAD);
    }
    if verbose {
        for outcome in &story.outcomes {
            let _ = writeln!(out, "    {} ({})", outcome.runtime, time(nanos(outcome.took)));
            for moment in &outcome.events {
                let _ = writeln!(out, "    {DIM}{:>9}{DIM:#}  {}", time(nanos(moment.at)), moment.what);
            }
        }
    }
}

/// Writes text in lines of at most [`WIDTH`] columns, broken after `at`; what follows the first is indented as far.
pub(super) fn wrap(out: &mut String, first: &str, text: &str, at: &str, style: Style) {
    let indent = first.chars().count();
    let mut line = String::new();
    let mut lead = first.to_owned();
    let mut flush = |line: &mut String| {
        let _ = writeln!(out, "{lead}{style}{}{style:#}", line.trim_end());
        lead = " ".repeat(indent);
        line.clear();
    };
    for word in text.split_inclusive(at) {
        let length = word.trim_end().chars().count();
        if !line.is_empty() && indent + line.chars().count() + length > WIDTH {
            flush(&mut line);
        }
        line.push_str(word);
    }
    flush(&mut line);
}

/// Columns are as wide as their widest cell. No cell holds a character that is wider than one column.
pub(super) fn aligned(rows: &[Vec<Cell>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (index, ((text, style), width)) in row.iter().zip(&widths).enumerate() {
            let gap = if index > 0 { "  " } else { "" };
            let padding = if index + 1 < row.len() { width - text.chars().count() } else { 0 };
            let _ = write!(line, "{gap}{style}{text}{style:#}{:padding$}", "");
        }
        line.push('\n');
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::tests::{differing, sound};
    use super::*;

    fn shown(outcomes: &[Outcome]) -> String {
        let text = show(outcomes, &Report::of(outcomes), End::Count, 1_000_000, false);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        let plain = |texts: [&str; 2]| texts.map(|text| (text.to_owned(), Style::new())).to_vec();
        let lines = aligned(&[plain(["a", "time"]), plain(["échec", "43.1 µs"])]);
        assert_eq!(lines.concat(), "a      time\néchec  43.1 µs\n");
    }

    #[test]
    fn the_events_stand_under_their_row_once_if_all_told_the_same() {
        let text = shown(&sound());
        let row =
            "refused   conn-refused (peer)  at once   2.00 ms  2.00 ms\n    dialing → dial-failed → retry\n";
        assert!(text.contains(row), "{text}");
        assert!(!text.contains("  ! ") && text.contains("2 runs kept their promises, 0 broke one"), "{text}");
    }

    #[test]
    fn what_breaks_or_differs_is_marked_and_told() {
        let text = shown(&differing());
        assert!(text.contains("2.00 ms  ! 3.00 s\n"), "{text}");
        assert!(text.contains("    std: dialing → dial-failed → retry\n"), "{text}");
        assert!(text.contains("  ! tokio: dialing → up\n"), "{text}");
        assert!(text.contains("  ! tokio broke its promise: it came late\n"), "{text}");
        assert!(text.contains("  ! std and tokio differ: event 2: dial-failed or up\n"), "{text}");
        assert!(text.contains("1 runs kept their promises, 1 broke one, 1 differences"), "{text}");
    }

    #[test]
    fn lines_are_broken_between_events() {
        let mut out = String::new();
        let events = ["an event that takes some room"; 5].join(story::THEN);
        wrap(&mut out, "  ! std: ", &events, story::THEN, Style::new());
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{out}");
        assert!(lines[0].ends_with('→') && lines[1].starts_with("         an event"), "{out}");
    }
}
