//! The committed scenarios, `scenarios/` and `regressions/`: each gives what it expects, its faults come to something, and it
//! keeps every rule that holds for all; what once failed does not fail again.

mod support;

use std::collections::BTreeSet;

use resound_sim::engine::replay;
use resound_sim::scenario::What;
use resound_sim::{Echo, Record, World, library};

/// The standard oracles: expectations, no inert fault, the same run twice, and the invariants of each client.
#[test]
fn every_committed_scenario_holds() {
    let mut wrong = Vec::new();
    let files = support::committed();
    for (path, scenario) in &files {
        let report = replay::replay(scenario, &replay::standard(scenario));
        if !report.broken.is_empty() {
            wrong.push(format!("{}\n{report}", path.display()));
        }
    }
    assert!(files.len() > 80, "only {} scenarios were found", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_kind_of_fault_acts_in_a_committed_scenario() {
    let mut acted = BTreeSet::new();
    for (_, scenario) in support::committed() {
        let run = World::new(&scenario, &mut Echo).play(Record::Said);
        for (fault, effect) in scenario.faults.iter().zip(&run.ledger) {
            if effect.as_str() == "acted" {
                acted.insert(fault.what.kind());
            }
        }
    }
    let missing: Vec<_> = What::KINDS.iter().filter(|kind| !acted.contains(*kind)).collect();
    assert!(missing.is_empty(), "these faults never acted: {missing:?}");
}

/// The page of surprises names scenarios that there are, and nearly all that are not of one kind of fault.
#[test]
fn surprises_have_their_scenarios() {
    let page = include_str!("../SURPRISES.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    let mut named = BTreeSet::new();
    for row in rows {
        let shown = row.split('|').nth(2).unwrap_or_default().trim();
        if shown.starts_with('–') {
            continue;
        }
        for name in shown.split(',').map(|name| name.trim().trim_matches('`')) {
            assert!(library::find(name).is_some(), "there is no scenario {name:?}: {row}");
            named.insert(name);
        }
    }
    assert!(named.len() > 90, "only {} scenarios are named", named.len());
}

/// The scenario alone decides the run, on every platform: a digest is committed for each.
#[test]
fn digests_are_what_they_were() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut digests = String::new();
    for (path, scenario) in support::committed() {
        let run = World::new(&scenario, &mut Echo).play(Record::Said);
        let name = path.strip_prefix(root).unwrap().display();
        digests.push_str(&format!("{:016x} {name}\n", run.digest));
    }
    expect_test::expect_file!["snapshots/digests.txt"].assert_eq(&digests);
}
