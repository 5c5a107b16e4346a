//! A diagnosis for people: the finding first, then how it is known, what it means, and what to try.

use core::fmt::Write as _;
use core::net::SocketAddr;

use super::judge::Finding;
use super::probe::{Note, Transport};
use super::situation::Situation;
use crate::output::text::{BAD, BOLD, DIM, GOOD, WARN, time};

/// All there is to say about one address, with the evidence that was not shown before.
pub(super) fn show(
    target: &str,
    transport: Transport,
    to: Option<SocketAddr>,
    evidence: &[Note],
    finding: &Finding,
) -> String {
    let entry = finding.situation.entry();
    let style = match finding.situation {
        Situation::Healthy => GOOD,
        Situation::Lossy => WARN,
        _ => BAD,
    };
    let whom = match to.map(|peer| peer.to_string()) {
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
    if !evidence.is_empty() {
        out.push_str("  evidence:\n");
    }
    for note in evidence {
        out.push_str(&line(note));
    }
    if !finding.certain() {
        out.push_str("  it is one of these, and from here they look the same:\n");
        let width = finding.between.iter().map(|candidate| candidate.word().len()).max().unwrap_or_default();
        for candidate in &finding.between {
            let _ = writeln!(out, "    {:<width$}  {}", candidate.word(), candidate.explain());
        }
        if let Some(decide) = finding.decide(target, to) {
            paragraph(&mut out, "  what would decide: ", &decide);
        }
    }
    paragraph(&mut out, "  means: ", entry.means);
    let advice = finding.advice(target, to);
    if !advice.is_empty() {
        out.push_str("  try:\n");
    }
    for advice in advice {
        paragraph(&mut out, "    - ", &advice);
    }
    out
}

/// One piece of evidence.
pub(super) fn line(note: &Note) -> String {
    format!("    {DIM}{:>8}{DIM:#}  {:<9} {}\n", time(note.t_ns), note.step, note.text)
}

/// Lines are no longer than this, in characters.
const WIDTH: usize = 100;

/// Words in lines, below each other.
fn paragraph(out: &mut String, head: &str, text: &str) {
    let indent = head.chars().count();
    let mut column = indent;
    out.push_str(head);
    for (at, word) in text.split(' ').enumerate() {
        let len = word.chars().count();
        if at > 0 && column + 1 + len > WIDTH {
            out.push('\n');
            out.extend(core::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_too_long_and_no_word_is_lost() {
        let text = "several words ".repeat(40);
        let mut out = String::new();
        paragraph(&mut out, "  means: ", text.trim_end());
        assert!(out.lines().count() > 5 && out.lines().all(|line| line.len() <= WIDTH), "{out}");
        assert!(out.lines().skip(1).all(|line| line.starts_with("         ")), "{out}");
        let words: Vec<&str> = out.split_whitespace().skip(1).collect();
        assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
    }
}
