//! A diagnosis for people: the finding first, then how it is known, what it means, and what to try.

use core::fmt::Write as _;

use super::Case;
use super::judge::Finding;
use super::probe::Transport;
use super::situation::Situation;
use crate::output::text::{BAD, BOLD, DIM, GOOD, WARN, time};

/// All there is to say about one address.
pub(super) fn show(target: &str, transport: Transport, case: &Case, finding: &Finding) -> String {
    let entry = finding.situation.entry();
    let style = match finding.situation {
        Situation::Healthy => GOOD,
        Situation::Lossy => WARN,
        _ => BAD,
    };
    let whom = match case.peer.map(|peer| peer.to_string()) {
        Some(peer) if peer != target => format!("{target} ({peer})"),
        _ => target.to_owned(),
    };
    let mut out = format!(
        "{BOLD}{whom}{BOLD:#} {} {style}{}{style:#}: {}\n",
        transport.word(),
        entry.word,
        finding.headline()
    );
    if let Some(cause) = &finding.cause {
        let _ = writeln!(out, "  reason: {cause}");
    }
    if !case.notes.is_empty() {
        out.push_str("  evidence:\n");
    }
    for note in &case.notes {
        let _ = writeln!(out, "    {DIM}{:>8}{DIM:#}  {:<9} {}", time(note.t_ns), note.step, note.text);
    }
    if !finding.certain() {
        out.push_str("  it is one of these, and from here they look the same:\n");
        let width = finding.between.iter().map(|candidate| candidate.word().len()).max().unwrap_or_default();
        for candidate in &finding.between {
            let _ = writeln!(out, "    {:<width$}  {}", candidate.word(), candidate.explain());
        }
        if let Some(decide) = finding.decide(target, case.peer) {
            let _ = writeln!(out, "  what would decide: {decide}");
        }
    }
    let _ = writeln!(out, "  means: {}", entry.means);
    let advice = finding.advice(target, case.peer);
    if !advice.is_empty() {
        out.push_str("  try:\n");
    }
    for advice in advice {
        let _ = writeln!(out, "    - {advice}");
    }
    out
}
