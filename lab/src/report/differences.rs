//! In what plays differ from their prediction, in full sentences.

use std::fmt;

use super::html::{Escaped, Heading};
use super::{anchor, html};
use crate::agreement::{Agreement, Note, Row, sign};

pub(super) fn write(f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
    writeln!(f, "<section>\n{}", Heading::DIFFERENCES)?;
    let notes: Vec<(&Row<'_>, Note<'_>)> =
        agreement.rows.iter().flat_map(|row| row.notes().into_iter().map(move |note| (row, note))).collect();
    if notes.is_empty() {
        f.write_str("<p>None: every play came as predicted.</p>\n")?;
    }
    for (word, title) in [
        ("differs", "Otherwise than predicted"),
        ("deviates", "For a known reason"),
        ("not-played", "Not played"),
    ] {
        let mut of_kind = notes.iter().filter(|(_, note)| note.verdict().as_str() == word).peekable();
        if of_kind.peek().is_some() {
            writeln!(f, "<h3>{title}</h3>\n<ul class=\"differences\">")?;
            of_kind.try_for_each(|(row, note)| line(f, row, note))?;
            f.write_str("</ul>\n")?;
        }
    }
    f.write_str("</section>\n")
}

fn line(f: &mut fmt::Formatter<'_>, row: &Row<'_>, note: &Note<'_>) -> fmt::Result {
    let first = note.outcomes[0];
    let (whose, place) = match note.whose(row) {
        whose if whose.is_empty() => (whose, html::id(row.name)),
        whose => (format!(", {whose}"), anchor(row.name, first.item.version, first.player)),
    };
    writeln!(
        f,
        "<li><a href=\"#{place}\">{} {}{whose}</a>: {}</li>",
        sign(note.verdict()),
        Escaped(row.name),
        Escaped(&note.said)
    )
}
