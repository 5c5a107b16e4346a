//! The lab as Markdown, to paste into an issue or a document.

use core::fmt::Write as _;

use resound_lab::agreement::{Agreement, VERSIONS, gist, sign};
use resound_lab::costs::plays::Plays;
use resound_lab::suite::Player;
use resound_lab::verdict::version_name;

use super::super::markdown::{table_head, table_row};
use super::{Lab, exceptions, notes};

/// All of it; empty if nothing was done.
pub(super) fn show(lab: &Lab) -> String {
    let mut out = String::new();
    if let Some(why) = &lab.hindrance {
        let _ = writeln!(out, "\nThe lab was not used: {why}.");
    }
    if !lab.outcomes.is_empty() {
        matrix(&mut out, &Agreement::of(&lab.outcomes));
    }
    if let Some(table) = &lab.table {
        out.push('\n');
        for row in exceptions(table) {
            let _ = writeln!(out, "* {row}");
        }
    }
    if let Some(plays) = Plays::of(&lab.outcomes) {
        let _ = writeln!(out, "\nWhat each runtime costs, in the plays:\n\n```text\n{plays}```");
    }
    if let Some(costs) = &lab.costs {
        let text = costs.to_string();
        let _ = writeln!(out, "\nWhat each runtime costs, apart:\n\n```text\n{}```", text.trim_start());
    }
    out.push('\n');
    for line in lab.verdicts().iter().chain(&lab.failures) {
        let _ = writeln!(out, "{line}.");
    }
    out
}

fn matrix(out: &mut String, agreement: &Agreement<'_>) {
    let columns = || VERSIONS.into_iter().flat_map(|version| Player::ALL.map(|player| (version, player)));
    let names: Vec<String> =
        columns().map(|(version, player)| format!("{} {}", player.as_str(), version_name(version))).collect();
    out.push('\n');
    table_head(out, ["scenario", "predicted"].into_iter().chain(names.iter().map(String::as_str)));
    for row in &agreement.rows {
        let cell =
            |(version, player)| row.cell(player, version).map_or(' ', |outcome| sign(&outcome.verdict));
        let gist = row.items().next().map(gist).unwrap_or_default();
        let cells = [row.name.to_owned(), gist].into_iter().chain(columns().map(|of| cell(of).to_string()));
        table_row(out, cells);
    }
    let _ = writeln!(out, "\n✓ agrees, ≈ deviates for a known reason, ✗ differs, – was not played.\n");
    for row in &agreement.rows {
        for note in notes(row) {
            let whose = note.whose(row);
            let comma = if whose.is_empty() { "" } else { ", " };
            let _ = writeln!(out, "* {} {}{comma}{whose}: {}", sign(note.verdict()), row.name, note.said);
        }
    }
}
