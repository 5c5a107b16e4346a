//! What was played on loopback: each runtime's promises.

use std::fmt;

use resound_conformance::Outcome;

use super::html::{Escaped, Heading, Took};

pub(super) fn write(f: &mut fmt::Formatter<'_>, outcomes: &[Outcome]) -> fmt::Result {
    if outcomes.is_empty() {
        return Ok(());
    }
    let mut runtimes: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !runtimes.contains(&outcome.runtime) {
            runtimes.push(outcome.runtime);
        }
    }
    writeln!(f, "<section>\n{}", Heading::LOOPBACK)?;
    f.write_str(
        "<p>The same faults on each runtime, on this host's loopback: how long from the fault to the event that tells of it, and \
         within what time that was promised. ! is a promise that was broken.</p>\n",
    )?;
    f.write_str("<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">scenario</th>")?;
    f.write_str("<th scope=\"col\">reason</th><th scope=\"col\" class=\"time\">promised</th>")?;
    runtimes
        .iter()
        .try_for_each(|runtime| write!(f, "<th scope=\"col\" class=\"time\">{}</th>", Escaped(runtime)))?;
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for group in outcomes.chunk_by(|a, b| a.scenario == b.scenario) {
        let first = &group[0];
        let reason =
            first.verdict.map_or_else(|| "–".to_owned(), |(reason, origin)| format!("{reason} ({origin})"));
        let promised = match first.promised {
            None => "–".to_owned(),
            Some(promised) if promised.is_zero() => "at once".to_owned(),
            Some(promised) => Took(promised.as_secs_f64()).to_string(),
        };
        write!(
            f,
            "<tr><td>{}</td><td>{}</td><td class=\"time\">{promised}</td>",
            Escaped(first.scenario),
            Escaped(&reason)
        )?;
        for runtime in &runtimes {
            match group.iter().find(|outcome| outcome.runtime == *runtime) {
                None => f.write_str("<td></td>")?,
                Some(outcome) => cell(f, outcome)?,
            }
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n</section>\n")
}

fn cell(f: &mut fmt::Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let told = outcome.detected.map_or_else(|| "ok".to_owned(), |took| Took(took.as_secs_f64()).to_string());
    if outcome.passed() {
        return write!(f, "<td class=\"time\">{told}</td>");
    }
    write!(f, "<td class=\"differs\">! {}</td>", Escaped(&outcome.broken.join("; ")))
}
