//! A page that shows it all: one file, for a colleague, for paper, for the dark.
//!
//! # Theory of operation
//!
//! The page is text and drawings, and nothing that runs: no script, nothing from elsewhere. It opens where one points:
//! each cell of the matrix is a link to a place inside a `<details>`, and browsers open what they are led into (HTML,
//! 4.11.1 "ancestor details revealing"). Looks are one style sheet; the colours are those of the drawings
//! ([`Svg::COLORS`]), which know the dark and paper.
//!
//! ```text
//!   outcomes ──► Agreement ──┬──► matrix ──── a cell ────┐
//!                            ├──► scenario ◄─────────────┘  words and times beside each other; drawings
//!                            └──► plots                     how far from the prediction, as distributions
//!   TableReport, Costs ──────────► tables, plots
//!   Host ────────────────────────► where, when and with what
//! ```
//!
//! It is written by hand, without a template engine: it is a list of a few forms of element, the compiler checks what is
//! put in, and `html::Escaped` is the only way in which a text gets there. It is XML too, so a strict parser can
//! check it.

use std::fmt;

use resound_sim::run::timeline::Svg;

use crate::agreement::{Agreement, Row, VERSIONS};
use crate::costs::Costs;
use crate::costs::plays::Plays;
use crate::suite::{Outcome, Player};
use crate::table::TableReport;
use crate::verdict::{Verdict, version_name};

mod costs;
mod differences;
mod host;
mod html;
mod loopback;
mod matrix;
mod plot;
mod scenario;
mod table;
mod times;

pub use host::{Asked, Host, Start};
use html::{Escaped, Heading};
pub use plot::{Distribution, Series};

/// A page.
#[derive(Debug)]
pub struct Page<'a> {
    /// Where, when and with what it was measured.
    pub host: &'a Host,
    /// What was played in the lab.
    pub outcomes: &'a [Outcome],
    /// Why the lab was not used, if so.
    pub no_lab: Option<&'a str>,
    /// How far it came, if it was ended early.
    pub unfinished: Option<&'a str>,
    /// What the kernel makes of the table, if it was asked.
    pub table: Option<&'a TableReport>,
    /// What each runtime costs, if that was measured.
    pub costs: Option<&'a Costs>,
    /// What was played on loopback, where a runtime's promises are checked.
    pub loopback: &'a [resound_conformance::Outcome],
}

/// Displays as a file in HTML.
impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agreement = Agreement::of(self.outcomes);
        f.write_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n")?;
        f.write_str("<meta name=\"color-scheme\" content=\"light dark\"/>\n")?;
        // A browser asks for an icon unless it is told that there is none.
        f.write_str("<link rel=\"icon\" href=\"data:,\"/>\n")?;
        writeln!(f, "<title>Resound: predicted and real, {}</title>", Escaped(&self.host.date))?;
        writeln!(f, "<style>\n{}{}{}</style>", Svg::COLORS, Svg::STYLE, include_str!("style.css"))?;
        f.write_str("</head>\n<body>\n")?;
        self.head(f, &agreement)?;
        f.write_str("<main>\n")?;
        if !agreement.rows.is_empty() {
            matrix::write(f, &agreement)?;
            differences::write(f, &agreement)?;
            times::write(f, &agreement)?;
            scenario::write_all(f, &agreement)?;
        }
        self.table.map_or(Ok(()), |report| table::write(f, report))?;
        let in_plays = Plays::of(self.outcomes);
        costs::write(f, in_plays.as_ref(), self.costs)?;
        loopback::write(f, self.loopback)?;
        self.host.write(f, self.outcomes)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

impl Page<'_> {
    /// What it is, and what came of it, in a few lines.
    fn head(&self, f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
        f.write_str("<header>\n<h1>Resound: predicted and real</h1>\n")?;
        f.write_str(
            "<p>Resound tells programs whether their peer is alive: it finds out that a connection has failed, says why, and \
             connects again.</p>\n",
        )?;
        if let Some(how_far) = self.unfinished {
            writeln!(f, "<p class=\"lead differs\">{}.</p>", Escaped(how_far))?;
        }
        if let Some(why) = self.no_lab {
            writeln!(f, "<p class=\"lead\">The lab was not used: {}.</p>", Escaped(why))?;
        }
        if !agreement.rows.is_empty() {
            let (tally, scenarios) = (agreement.tally(), agreement.rows.len());
            let real = match agreement.rows.iter().filter(|row| is_real(row)).count() {
                all if all == scenarios => String::new(),
                0 => "none of them ".to_owned(),
                some => format!("{some} of them "),
            };
            write!(
                f,
                "<p class=\"lead\">{scenarios} scenarios. Each was played in a simulator, which is the prediction, and {real}then with \
                 real hosts on {}, over IPv4 and IPv6, through each runtime. ",
                Escaped(&self.host.kernel)
            )?;
            let not_played = match tally.not_played {
                0 => String::new(),
                count => format!("; {count} were not played"),
            };
            writeln!(f, "{} of {} plays came as predicted{not_played}.</p>", tally.agrees, tally.played())?;
            f.write_str("<ul class=\"tally\">\n")?;
            for (class, sign, count, what) in [
                ("agrees", '✓', tally.agrees, "as predicted"),
                ("deviates", '≈', tally.deviates, "deviate, reason known"),
                ("differs", '✗', tally.differs, "differ"),
                ("not-played", '–', tally.not_played, "not played"),
            ] {
                writeln!(f, "<li class=\"{class}\"><b>{sign} {count}</b> {what}</li>")?;
            }
            f.write_str("</ul>\n")?;
        }
        f.write_str("<nav><ul>\n")?;
        let lab = [Heading::MATRIX, Heading::DIFFERENCES, Heading::TIMES, Heading::SCENARIOS];
        let lab = lab.into_iter().filter(|_| !agreement.rows.is_empty());
        let table = self.table.map(|_| Heading::TABLE);
        let has_costs = self.costs.is_some() || Plays::of(self.outcomes).is_some();
        let costs = has_costs.then_some(Heading::COSTS);
        let loopback = [Heading::LOOPBACK].into_iter().filter(|_| !self.loopback.is_empty());
        for Heading { id, title } in lab.chain(table).chain(costs).chain(loopback).chain([Heading::HOST]) {
            writeln!(f, "<li><a href=\"#{id}\">{title}</a></li>")?;
        }
        f.write_str("</ul></nav>\n</header>\n")
    }
}

/// Whether any of it was played with real hosts.
fn is_real(row: &Row<'_>) -> bool {
    row.outcomes.iter().any(|outcome| !matches!(outcome.verdict, Verdict::NotPlayed(_)))
}

/// The columns: a player over a version, and how it is called in links.
fn columns() -> impl Iterator<Item = (resound_core::signal::Version, Player)> {
    VERSIONS.into_iter().flat_map(|version| Player::ALL.map(|player| (version, player)))
}

/// The place of a cell's drawing.
fn anchor(name: &str, version: resound_core::signal::Version, player: Player) -> String {
    format!("{}-{}-{}", html::id(name), version_name(version).to_lowercase(), player.as_str())
}
