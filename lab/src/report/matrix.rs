//! The matrix: what came of each scenario by each player.

use std::fmt;

use resound_core::signal::Version;

use super::html::{Escaped, Heading, id};
use super::{anchor, columns};
use crate::agreement::{Agreement, Row, VERSIONS, gist, sign};
use crate::suite::Player;
use crate::verdict::version_name;

pub(super) fn write(f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
    writeln!(f, "<section>\n{}", Heading::MATRIX)?;
    f.write_str(
        "<p>A line for each scenario, a column for each runtime. ✓ agrees: the programs were told the same, in the same order, \
         with the same reason and origin, at the time that was predicted. ≈ deviates: not so, for a reason that is known and \
         right. ✗ differs: not so. – was not played. Each sign leads to what was predicted and what came. Where \
         there is none, the scenario is about a message that only the other IP version has. Under <i>predicted</i> stands the first thing \
         that tells a program of an end or a failure, or, where nothing does, the last thing that was said; in \
         <code>a so_error EPIPE</code> the first word is the name that the scenario gives a socket.</p>\n",
    )?;
    f.write_str("<div class=\"wide\"><table class=\"matrix\">\n<thead>\n<tr><th rowspan=\"2\" scope=\"col\">scenario</th>")?;
    f.write_str("<th rowspan=\"2\" scope=\"col\" class=\"ends\">predicted</th>")?;
    for version in VERSIONS {
        write!(f, "<th colspan=\"{}\" scope=\"colgroup\">{}</th>", Player::ALL.len(), version_name(version))?;
    }
    f.write_str("</tr>\n<tr>")?;
    for (_, player) in columns() {
        write!(f, "<th scope=\"col\">{}</th>", player.as_str())?;
    }
    f.write_str("</tr>\n</thead>\n")?;
    for group in agreement.rows.chunk_by(|a, b| a.subject == b.subject) {
        let subject = group[0].subject.to_string();
        writeln!(
            f,
            "<tbody>\n<tr class=\"group\"><th colspan=\"8\" scope=\"rowgroup\">{}</th></tr>",
            Escaped(&subject)
        )?;
        group.iter().try_for_each(|row| line(f, row))?;
        f.write_str("</tbody>\n")?;
    }
    f.write_str("<tfoot>\n<tr><th scope=\"row\">agree</th><td class=\"ends\"></td>")?;
    for (version, player) in columns() {
        let tally = agreement.tally_of(player, version);
        write!(f, "<td>{}<i> of </i>{}</td>", tally.agrees, tally.played())?;
    }
    f.write_str("</tr>\n</tfoot>\n</table></div>\n</section>\n")
}

fn line(f: &mut fmt::Formatter<'_>, row: &Row<'_>) -> fmt::Result {
    let ends = row.items().next().map(gist).unwrap_or_default();
    // A number and its unit stay together.
    let ends = ends.strip_suffix(" s").map_or_else(|| ends.clone(), |rest| format!("{rest}\u{a0}s"));
    write!(
        f,
        "<tr><th scope=\"row\"><a href=\"#{}\" title=\"{}\">{}</a></th><td class=\"ends\">{}</td>",
        id(row.name),
        Escaped(row.about),
        Escaped(row.name),
        Escaped(&ends)
    )?;
    for (version, player) in columns() {
        cell(f, row, version, player)?;
    }
    f.write_str("</tr>\n")
}

fn cell(f: &mut fmt::Formatter<'_>, row: &Row<'_>, version: Version, player: Player) -> fmt::Result {
    match row.cell(player, version) {
        None => f.write_str("<td class=\"none\"></td>"),
        Some(outcome) => {
            let word = outcome.verdict.as_str();
            write!(
                f,
                "<td class=\"{word}\"><a href=\"#{}\">{} <span>{}</span></a></td>",
                anchor(row.name, version, player),
                sign(&outcome.verdict),
                word.replace('-', " ")
            )
        }
    }
}
