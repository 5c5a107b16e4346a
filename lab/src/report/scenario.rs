//! A scenario: what was predicted and what came, word by word, and drawn.

use std::fmt;

use resound_core::signal::Version;

use super::anchor;
use super::html::{At, Escaped, Heading, Took, id};
use crate::agreement::{Agreement, Beat, Came, Row, VERSIONS, course, sentences, sign};
use crate::suite::{Outcome, Player};
use crate::verdict::version_name;

/// How many words of a course are shown before its middle is left out.
const MOST: usize = 48;

pub(super) fn write_all(f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
    writeln!(f, "<section class=\"on-demand\">\n{}", Heading::SCENARIOS)?;
    f.write_str(
        "<p>In each drawing time runs downwards; where nothing happens, it is broken off, with how long beside it. \
         A packet is an arrow from where it sets out to where it arrives; one that is lost ends in a cross; one that nobody \
         sent is dashed. Bold words are what a program was told. On paper there is what is open here.</p>\n",
    )?;
    agreement.rows.iter().try_for_each(|row| write(f, row))?;
    f.write_str("</section>\n")
}

fn write(f: &mut fmt::Formatter<'_>, row: &Row<'_>) -> fmt::Result {
    let signs = |version| -> String {
        let players = Player::ALL.into_iter();
        players.filter_map(|player| row.cell(player, version)).map(|outcome| sign(&outcome.verdict)).collect()
    };
    writeln!(
        f,
        "<details class=\"scenario\">\n<summary><b>{}</b> <span class=\"signs\">{}</span> {}</summary>\n<div id=\"{}\">",
        Escaped(row.name),
        VERSIONS.map(signs).join(" "),
        Escaped(row.about),
        id(row.name)
    )?;
    for item in row.items() {
        let text = item.scenario.to_string();
        let version = version_name(item.version);
        writeln!(f, "<section>\n<h3>{} over {version}</h3>", Escaped(row.name))?;
        told(f, row, item.version)?;
        writeln!(
            f,
            "<details class=\"text\"><summary>the scenario</summary><pre>{}</pre></details>",
            Escaped(&text)
        )?;
        f.write_str("<div class=\"pair\">\n<figure>\n<figcaption>predicted</figcaption>\n")?;
        writeln!(
            f,
            "<div class=\"wide\">{}</div>\n</figure>",
            item.predicted.svg(&item.scenario).within_page()
        )?;
        f.write_str("<div class=\"real\">\n")?;
        let group = format!("{}-{version}", id(row.name));
        let players = Player::ALL.into_iter();
        players
            .filter_map(|player| row.cell(player, item.version))
            .try_for_each(|cell| real(f, cell, &group))?;
        f.write_str("</div>\n</div>\n</section>\n")?;
    }
    f.write_str("</div>\n</details>\n")
}

/// The words and when they came.
fn told(f: &mut fmt::Formatter<'_>, row: &Row<'_>, version: Version) -> fmt::Result {
    let beats = course(row, version);
    let players: Vec<(usize, Player)> = Player::ALL
        .into_iter()
        .enumerate()
        .filter(|&(_, player)| row.cell(player, version).is_some())
        .collect();
    f.write_str("<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">host</th>")?;
    f.write_str("<th scope=\"col\">told</th><th scope=\"col\" class=\"time\">predicted</th>")?;
    for (_, player) in &players {
        write!(f, "<th scope=\"col\" class=\"time\">{}</th>", player.as_str())?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    let left_out = if beats.len() > MOST + 1 { MOST * 3 / 4..beats.len() - MOST / 4 } else { 0..0 };
    for (at, beat) in beats.iter().enumerate() {
        if at == left_out.start && !left_out.is_empty() {
            let columns = 3 + players.len();
            writeln!(f, "<tr><td colspan=\"{columns}\">… {} more</td></tr>", left_out.len())?;
        }
        if !left_out.contains(&at) {
            let node = row.outcomes.first().and_then(|outcome| {
                outcome.item.scenario.nodes.get(usize::from(beat.node.0)).map(|node| node.name.as_str())
            });
            line(f, node.unwrap_or("?"), beat, &players)?;
        }
    }
    f.write_str("</tbody>\n</table></div>\n")
}

fn line(f: &mut fmt::Formatter<'_>, node: &str, beat: &Beat, players: &[(usize, Player)]) -> fmt::Result {
    write!(f, "<tr><td>{}</td><td>{}</td>", Escaped(node), Escaped(&beat.words))?;
    match beat.predicted {
        Some(at) => write!(f, "<td class=\"time\">{}</td>", At(at))?,
        None => f.write_str("<td class=\"differs\">✗ not at all</td>")?,
    }
    for &(column, _) in players {
        match &beat.came[column] {
            Came::Unknown => f.write_str("<td></td>")?,
            Came::At(at) => write!(f, "<td class=\"time\">{}</td>", At(*at))?,
            Came::Instead(words, at) => {
                write!(f, "<td class=\"differs\">✗ {} at {}</td>", Escaped(words), At(*at))?;
            }
            Came::Missing => f.write_str("<td class=\"differs\">✗ missing</td>")?,
        }
    }
    f.write_str("</tr>\n")
}

/// What came, drawn. `group` is shared by those of which one at a time is open.
fn real(f: &mut fmt::Formatter<'_>, outcome: &Outcome, group: &str) -> fmt::Result {
    let (item, word) = (&outcome.item, outcome.verdict.as_str());
    let took = match outcome.times {
        0 => String::new(),
        1 => format!(", in {}", Took(outcome.took.as_secs_f64())),
        times => format!(", in {}, played {times} times", Took(outcome.took.as_secs_f64())),
    };
    writeln!(
        f,
        "<details class=\"{word}\" name=\"{group}\"><summary>{} {}: {}{took}</summary>\n<div id=\"{}\">",
        sign(&outcome.verdict),
        outcome.player.as_str(),
        word.replace('-', " "),
        anchor(&item.name, item.version, outcome.player)
    )?;
    for sentence in sentences(&item.scenario, &outcome.verdict) {
        writeln!(f, "<p>{}</p>", Escaped(&sentence))?;
    }
    if let Some(run) = &outcome.run {
        writeln!(f, "<div class=\"wide\">{}</div>", run.svg(&item.scenario).within_page())?;
    }
    f.write_str("</div>\n</details>\n")
}
