//! Runs for people.

use core::fmt::Write as _;
use std::env;
use std::io::{self, IsTerminal as _};

use resound_core::Instant;
use resound_sim::run::Happened;

use super::explore::{Explored, Found};
use super::{Outcome, Verdict};
use crate::args::{Drawing, Sim};
use crate::output::text::{BAD, BOLD, DIM, GOOD, time};

/// How a run is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    drawing: Drawing,
    states: bool,
}

impl Look {
    pub(super) fn of(args: &Sim) -> Self {
        let usual =
            || if io::stdout().is_terminal() && !has_utf8() { Drawing::Ascii } else { Drawing::Unicode };
        Self { drawing: args.timeline.unwrap_or_else(usual), states: args.states }
    }
}

/// Whether the locale's character set is UTF-8 (POSIX.1-2024, 8.2: the first of these that is set and not empty).
fn has_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os);
    let locale =
        names.map(|value| value.to_string_lossy().to_ascii_lowercase()).find(|value| !value.is_empty());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

/// What came of a scenario: the timeline, if it is wanted whole, and a line; below that what should have been otherwise.
/// Above all of it a schedule that was found to fail, as a scenario.
pub(super) fn show(file: &str, outcome: &Outcome, look: Look, whole: bool) -> String {
    let mut out = String::new();
    let drawn = outcome.shown().filter(|_| whole);
    // Comments, in that language.
    let prefix = if drawn.is_some() && look.drawing == Drawing::Mermaid { "%% " } else { "" };
    let mut say = |text: &str, prefix: &str| {
        for line in text.lines() {
            let _ = writeln!(out, "{}", format!("{prefix}{line}").trim_end());
        }
    };
    if let Outcome::Explored(Explored { result: Err(found), .. }) = outcome
        && whole
    {
        say(&format!("{}\n", found.scenario), prefix);
    }
    if let Some(Verdict { scenario, run, .. }) = drawn {
        let ladder = run.timeline(scenario).states(look.states).color(true);
        let text = match look.drawing {
            Drawing::Unicode => ladder.to_string(),
            Drawing::Ascii => ladder.unicode(false).to_string(),
            Drawing::Mermaid => {
                let mut run = run.clone();
                run.moments.retain(|moment| look.states || !matches!(moment.what, Happened::State { .. }));
                run.mermaid(scenario).to_string()
            }
        };
        say(&format!("{text}\n"), "");
    }
    let line = match outcome {
        Outcome::Played(verdict) => line(file, verdict),
        Outcome::Explored(explored) => searched(file, explored),
    };
    say(&line, prefix);
    out
}

/// What a search amounts to.
fn searched(file: &str, explored: &Explored) -> String {
    match &explored.result {
        Ok(certificate) => format!("{GOOD}ok{GOOD:#} {BOLD}{file}{BOLD:#}: {certificate}\n"),
        Err(Found { rule, what, before, .. }) => {
            let tried = count(usize::try_from(*before).unwrap_or(usize::MAX), "shorter or earlier schedule");
            let hold = if *before == 1 { "holds" } else { "hold" };
            format!("{BAD}FAILED{BAD:#} {BOLD}{file}{BOLD:#}: {rule}: {what}\n    ({tried} {hold})\n")
        }
    }
}

fn line(file: &str, verdict: &Verdict) -> String {
    let Verdict { scenario, run, unmet } = verdict;
    let mut out = if verdict.holds() { format!("{GOOD}ok{GOOD:#}") } else { format!("{BAD}FAILED{BAD:#}") };
    let expects = scenario.expects.len();
    let _ = write!(out, " {BOLD}{file}{BOLD:#}: ");
    let _ = match (unmet.len(), expects) {
        (_, 0) => write!(out, "nothing expected"),
        (0, n) => write!(out, "{} met", count(n, "expectation")),
        (not, n) => write!(out, "{not} of {n} expectations not met"),
    };
    let counted = ["acted", "absorbed", "inert"].map(|word| {
        let n = run.ledger.iter().filter(|effect| effect.as_str() == word).count();
        (word, n)
    });
    let mut counted = counted.iter().filter(|(_, n)| *n > 0);
    if let Some((word, n)) = counted.next() {
        let _ = write!(out, ", {} {word}", count(*n, "fault"));
    }
    for (word, n) in counted {
        let _ = write!(out, ", {n} {word}");
    }
    let packets = count(usize::try_from(run.packets).unwrap_or(usize::MAX), "packet");
    let _ = writeln!(out, ", {packets}, {}, {DIM}digest {:016x}{DIM:#}", time(verdict.took_ns()), run.digest);
    for unmet in unmet {
        let _ = writeln!(out, "    {unmet}");
    }
    for remark in verdict.objections() {
        let (host, at) = (scenario.name(remark.node), remark.at.since(Instant::EPOCH));
        let _ = writeln!(out, "    {host} at {at:?}: {}", remark.said);
    }
    for (at, why) in verdict.idle() {
        let fault = scenario.show(&scenario.faults[at]);
        let _ = writeln!(
            out,
            "    fault {} ({fault}) did nothing: {why}; if it need not, mark it `may-be-inert`",
            at + 1
        );
    }
    out
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
