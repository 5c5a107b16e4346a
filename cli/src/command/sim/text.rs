//! Runs for people.

use core::fmt::Write as _;
use std::env;
use std::io::{self, IsTerminal as _};

use resound_sim::run::{Effect, Happened};

use super::Verdict;
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
        let usual = || if io::stdout().is_terminal() && !has_utf8() { Drawing::Ascii } else { Drawing::Unicode };
        Self { drawing: args.timeline.unwrap_or_else(usual), states: args.states }
    }
}

/// Whether the locale's character set is UTF-8 (POSIX.1-2024, 8.2: the first of these that is set and not empty).
fn has_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os);
    let locale = names.map(|value| value.to_string_lossy().to_ascii_lowercase()).find(|value| !value.is_empty());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

/// What came of a scenario: the timeline, if it is wanted whole, and a line; below that what should have been otherwise.
pub(super) fn show(file: &str, verdict: &Verdict, look: Look, whole: bool) -> String {
    let Verdict { scenario, run, .. } = verdict;
    let mut out = String::new();
    let ladder = run.timeline(scenario).states(look.states).color(true);
    let line = line(file, verdict);
    if whole {
        let _ = match look.drawing {
            Drawing::Unicode => writeln!(out, "{ladder}"),
            Drawing::Ascii => writeln!(out, "{}", ladder.unicode(false)),
            // What follows is a comment in that language.
            Drawing::Mermaid => {
                let mut run = run.clone();
                run.moments.retain(|moment| look.states || !matches!(moment.what, Happened::State { .. }));
                writeln!(out, "{}", run.mermaid(scenario))
            }
        };
    }
    let prefix = if whole && look.drawing == Drawing::Mermaid { "%% " } else { "" };
    for line in line.lines() {
        let _ = writeln!(out, "{prefix}{line}");
    }
    out
}

fn line(file: &str, verdict: &Verdict) -> String {
    let Verdict { scenario, run, unmet } = verdict;
    let mut out = if verdict.holds() { format!("{GOOD}ok{GOOD:#}") } else { format!("{BAD}FAILED{BAD:#}") };
    let expects = scenario.expects.len();
    let _ = write!(out, " {BOLD}{file}{BOLD:#}: ");
    let _ = match (unmet.len(), expects) {
        (_, 0) => write!(out, "nothing expected"),
        (0, n) => write!(out, "{} met", count(n, "expectation")),
        (not, n) => write!(out, "{not} of {} not met", count(n, "expectation")),
    };
    let kinds: [(&str, fn(&Effect) -> bool); 3] = [
        ("acted", |effect| matches!(effect, Effect::Acted(_))),
        ("absorbed", |effect| matches!(effect, Effect::Absorbed(_))),
        ("inert", |effect| matches!(effect, Effect::Inert(_))),
    ];
    let counted = kinds.map(|(word, is)| (word, run.ledger.iter().filter(|effect| is(effect)).count()));
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
    for (at, why) in verdict.idle() {
        let fault = scenario.show(&scenario.faults[at]);
        let _ = writeln!(out, "    fault {} ({fault}) did nothing: {why}; if it need not, mark it `may-be-inert`", at + 1);
    }
    out
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
