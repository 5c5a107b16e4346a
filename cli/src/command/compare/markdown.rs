//! The comparison as a Markdown table, to paste into an issue or a document.

use core::fmt::Write as _;

use resound_conformance::{Outcome, Scenario, profile};
use resound_sim::library::Entry;

use super::baseline::Held;
use super::report::{Report, promised};
use super::story::{self, Lines, Mark, Story};
use super::textbook;
use crate::output::event::End;
use crate::output::text::time;

/// All of it.
pub(super) fn show(outcomes: &[Outcome], report: &Report, end: End, t_ns: u64) -> String {
    let runtimes = story::runtimes(outcomes);
    let stories = story::stories(outcomes, report);
    let mut out = format!("{}\n\n", story::timers());
    let head = ["scenario", "reason", "promised"].iter().chain(&runtimes).chain(&["events"]);
    table_head(&mut out, head.copied());
    for story in &stories {
        let mut cells = vec![story.scenario.to_owned(), story.reason.clone(), story.promised.clone()];
        cells.extend(runtimes.iter().map(|runtime| cell(story, runtime)));
        cells.push(events(&story.events));
        table_row(&mut out, cells);
    }
    let _ = writeln!(out, "\n{}; {}.", story::verdict(report), time(t_ns));
    let wrong = |story: &Story<'_>| {
        let line = |wrong: &String| format!("* {}: {wrong}\n", story.scenario);
        story.wrong.iter().map(line).collect::<String>()
    };
    let wrong: String = stories.iter().map(wrong).collect();
    if !wrong.is_empty() {
        let _ = write!(out, "\n{wrong}");
    }
    if !report.textbook.is_empty() {
        let _ = write!(out, "\n{}\n\n", textbook::TITLE);
        table_head(&mut out, textbook::COLUMNS.into_iter());
        report.textbook.iter().for_each(|answer| table_row(&mut out, answer.cells().iter().cloned()));
    }
    if end == End::Interrupted {
        out.push_str("\nInterrupted: the table is not complete.\n");
    }
    out
}

/// What is worse than it was.
pub(super) fn held(out: &mut String, held: Option<&Held>) {
    let Some(held) = held else { return };
    let _ = writeln!(out, "\n{}.\n", held.verdict());
    for regression in held.regressions() {
        let _ = writeln!(out, "* {regression}");
    }
}

/// The scenarios and what they promise, then those of the lab and what they are about.
pub(super) fn list(scenarios: &[&Scenario], of_lab: &[&Entry]) -> String {
    let mut out = String::new();
    table_head(&mut out, ["scenario", "what goes wrong", "reason", "promised within", "events"].into_iter());
    for scenario in scenarios {
        let promise = scenario.promise();
        let reason = promise.verdict.map(|(reason, origin)| format!("{reason} ({origin})"));
        let within = promise.within.map(|within| match promised(within.promised(&profile::fast())) {
            time if time == within.to_string() => time,
            time => format!("{within}: {time}"),
        });
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let events = promise.events.join(story::THEN);
        table_row(
            &mut out,
            [scenario.name().into(), scenario.about().into(), or_dash(reason), or_dash(within), events],
        );
    }
    for entry in of_lab {
        let nothing = || String::from("-");
        table_row(&mut out, [entry.name.into(), entry.about(), nothing(), nothing(), nothing()]);
    }
    out
}

fn cell(story: &Story<'_>, runtime: &str) -> String {
    match story.cell(runtime) {
        None => "not run".into(),
        Some((told, Mark::None)) => told,
        Some((told, Mark::Wrong)) => format!("**! {told}**"),
    }
}

fn events(lines: &Lines) -> String {
    match lines {
        Lines::Same(events) => events.clone(),
        Lines::Each(lines) => {
            let line = |(runtime, events, mark): &(&str, String, Mark)| match mark {
                Mark::None => format!("{runtime}: {events}"),
                Mark::Wrong => format!("**! {runtime}**: {events}"),
            };
            lines.iter().map(line).collect::<Vec<_>>().join("<br>")
        }
    }
}

pub(super) fn table_head<'a>(out: &mut String, names: impl Iterator<Item = &'a str> + Clone) {
    table_row(out, names.clone().map(String::from));
    table_row(out, names.map(|_| String::from("---")));
}

pub(super) fn table_row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::super::story::tests::{differing, sound};
    use super::*;

    #[test]
    fn a_row_for_each_scenario_and_a_list_of_what_is_wrong() {
        let outcomes = sound();
        let text = show(&outcomes, &Report::of(&outcomes), End::Count, 0);
        let row = "| refused | conn-refused (peer) | at once | 2.00 ms | 2.00 ms | dialing → dial-failed → retry |\n";
        assert!(text.contains(row) && !text.contains('*'), "{text}");
        let outcomes = differing();
        let text = show(&outcomes, &Report::of(&outcomes), End::Count, 0);
        assert!(text.contains("| **! 3.00 s** |"), "{text}");
        assert!(text.contains("<br>**! tokio**: dialing → up |"), "{text}");
        assert!(text.contains("* refused: tokio broke its promise: it came late\n"), "{text}");
    }
}
