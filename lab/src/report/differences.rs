//! In what runs differ from their prediction, in full sentences.

use std::fmt;

use super::anchor;
use super::html::{Escaped, Heading};
use crate::agreement::{Agreement, sentences, sign};
use crate::verdict::{Verdict, version_name};

pub(super) fn write(f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
    writeln!(f, "<section>\n{}", Heading::DIFFERENCES)?;
    let outcomes = agreement.rows.iter().flat_map(|row| &row.outcomes);
    let mut others = outcomes.filter(|outcome| outcome.verdict != Verdict::Agrees).peekable();
    if others.peek().is_none() {
        f.write_str("<p>None: every run came as predicted.</p>\n")?;
    } else {
        f.write_str("<ul class=\"differences\">\n")?;
        for outcome in others {
            let (item, word) = (&outcome.item, outcome.verdict.as_str());
            let told = sentences(&item.scenario, &outcome.verdict).join("; ");
            writeln!(
                f,
                "<li class=\"{word}\"><a href=\"#{}\">{} {}, {}, {}</a>: {}</li>",
                anchor(&item.name, item.version, outcome.player),
                sign(&outcome.verdict),
                Escaped(&item.name),
                outcome.player.as_str(),
                version_name(item.version),
                Escaped(&told)
            )?;
        }
        f.write_str("</ul>\n")?;
    }
    f.write_str("</section>\n")
}
