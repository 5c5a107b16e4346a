//! The lab for people, in a terminal: a line for each scenario, then what did not come as predicted.

use core::fmt::Write as _;

use anstyle::Style;
use resound_lab::agreement::{Agreement, Row, VERSIONS, gist, sign};
use resound_lab::costs::plays::Plays;
use resound_lab::suite::Player;
use resound_lab::verdict::Verdict;

use super::super::table::{Cell, WIDTH, aligned, wrap};
use super::{Lab, exceptions, notes};
use crate::output::text::{BAD, BOLD, DIM, GOOD, WARN};

/// How to read the matrix.
const LEGEND: &str = "Scenarios, predicted by the simulator and then played with real hosts, over IPv4 and IPv6 (two signs). \
    ✓ agrees: programs were told the same, in the same order, for the same reason, in time. ≈ deviates, for a reason that is \
    known. ✗ differs. – was not played. · has no such message in that IP version.";

/// All of it; empty if nothing was done.
pub(super) fn show(lab: &Lab) -> String {
    let mut out = String::new();
    if let Some(why) = &lab.hindrance {
        wrap(&mut out, "", &format!("\nThe lab was not used: {why}."), " ", Style::new());
    }
    if !lab.outcomes.is_empty() {
        matrix(&mut out, &Agreement::of(&lab.outcomes));
    }
    if let Some(table) = &lab.table {
        out.push('\n');
        for row in exceptions(table) {
            wrap(
                &mut out,
                "  ",
                &row.to_string(),
                " ",
                if row.what.as_str() == "differs" { BAD } else { DIM },
            );
        }
    }
    if let Some(plays) = Plays::of(&lab.outcomes) {
        let _ = write!(out, "\n{BOLD}What each runtime costs, in the plays{BOLD:#}\n{plays}");
    }
    if let Some(costs) = &lab.costs {
        let _ = writeln!(out, "\n{BOLD}What each runtime costs, apart{BOLD:#}\n{costs}");
    }
    let verdicts = lab.verdicts();
    if !verdicts.is_empty() {
        out.push('\n');
    }
    let style = if lab.holds() { GOOD } else { BAD };
    for line in verdicts {
        wrap(&mut out, "", &line, " ", style);
    }
    for failure in &lab.failures {
        wrap(&mut out, "", failure, " ", BAD);
    }
    out
}

fn matrix(out: &mut String, agreement: &Agreement<'_>) {
    out.push('\n');
    wrap(out, "", LEGEND, " ", Style::new());
    out.push('\n');
    let players: Vec<Player> =
        Player::ALL.into_iter().filter(|player| is_there(agreement, *player)).collect();
    let longest = agreement.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    // Two spaces before each column.
    let room = WIDTH.saturating_sub(longest + 2 + players.len() * 7);
    let mut rows = vec![head(&players)];
    rows.extend(agreement.rows.iter().map(|row| line(row, &players, room)));
    let mut lines = aligned(&rows).into_iter();
    lines.next().into_iter().for_each(|line| out.push_str(&line));
    for group in agreement.rows.chunk_by(|a, b| a.subject == b.subject) {
        let _ = writeln!(out, "{DIM}{}{DIM:#}", group[0].subject);
        lines.by_ref().take(group.len()).for_each(|line| out.push_str(&line));
    }
    let notes = agreement.rows.iter().flat_map(|row| notes(row).map(move |note| (row, note)));
    let mut notes: Vec<_> = notes.collect();
    notes.sort_by_key(|(_, note)| core::cmp::Reverse(weight(note.verdict())));
    for (index, (row, note)) in notes.into_iter().enumerate() {
        if index == 0 {
            out.push('\n');
        }
        let whose = note.whose(row);
        let comma = if whose.is_empty() { "" } else { ", " };
        let first = format!("{} ", sign(note.verdict()));
        wrap(out, &first, &format!("{}{comma}{whose}: {}", row.name, note.said), " ", style(note.verdict()));
    }
}

fn is_there(agreement: &Agreement<'_>, player: Player) -> bool {
    agreement.rows.iter().flat_map(|row| &row.outcomes).any(|outcome| outcome.player == player)
}

fn head(players: &[Player]) -> Vec<Cell> {
    let names = ["scenario", "predicted"].into_iter().chain(players.iter().map(|player| player.as_str()));
    names.map(|name| (name.to_owned(), BOLD)).collect()
}

fn line(row: &Row<'_>, players: &[Player], room: usize) -> Vec<Cell> {
    let gist = row.items().next().map(gist).unwrap_or_default();
    let gist = match gist.char_indices().nth(room) {
        None => gist,
        Some(_) => gist.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
    };
    let mut cells = vec![(row.name.to_owned(), Style::new()), (gist, DIM)];
    for &player in players {
        let outcomes = VERSIONS.map(|version| row.cell(player, version));
        let signs = outcomes.map(|outcome| outcome.map_or('·', |outcome| sign(&outcome.verdict)));
        let worst = outcomes.iter().flatten().max_by_key(|outcome| weight(&outcome.verdict));
        let style = worst.map_or(DIM, |worst| style(&worst.verdict));
        cells.push((format!("{} {}", signs[0], signs[1]), style));
    }
    cells
}

/// How much attention it wants.
const fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Agrees => 0,
        Verdict::NotPlayed(_) => 1,
        Verdict::Deviates(_) => 2,
        Verdict::Differs(_) => 3,
    }
}

const fn style(verdict: &Verdict) -> Style {
    match verdict {
        Verdict::Agrees => GOOD,
        Verdict::NotPlayed(_) => DIM,
        Verdict::Deviates(_) => WARN,
        Verdict::Differs(_) => BAD,
    }
}
