//! The committed scenarios: each is played, its expectations are met, and its faults have done something.

mod support;

use std::collections::BTreeSet;

use resound_sim::scenario::{Scenario, What};
use resound_sim::{Echo, Record, Run, World};

fn play(scenario: &Scenario) -> Run {
    World::new(scenario, &mut Echo).play(Record::Said)
}

/// What is wrong with a run, in lines for people.
fn complaints(scenario: &Scenario, run: &Run) -> Vec<String> {
    let unmet = scenario.unmet(&run.said).into_iter().map(|unmet| unmet.to_string());
    let inert = run.inert().filter(|(fault, _)| !scenario.faults[fault.0 as usize].may_be_inert);
    unmet.chain(inert.map(|(fault, why)| format!("fault {} is inert: {why}", fault.0 + 1))).collect()
}

#[test]
fn every_committed_scenario_gives_what_it_expects() {
    let mut wrong = Vec::new();
    let files = support::committed();
    for (path, scenario) in &files {
        let run = play(scenario);
        for complaint in complaints(scenario, &run) {
            wrong.push(format!("{}: {complaint}", path.display()));
        }
    }
    assert!(files.len() > 30, "only {} scenarios were found", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_kind_of_fault_acts_in_a_committed_scenario() {
    let mut acted = BTreeSet::new();
    for (_, scenario) in support::committed() {
        let run = play(&scenario);
        for (fault, effect) in scenario.faults.iter().zip(&run.ledger) {
            if effect.as_str() == "acted" {
                acted.insert(fault.what.kind());
            }
        }
    }
    let missing: Vec<_> = What::KINDS.iter().filter(|kind| !acted.contains(*kind)).collect();
    assert!(missing.is_empty(), "these faults never acted: {missing:?}");
}

/// The same scenario gives the same run, twice and on every platform: a digest is committed for each.
#[test]
fn digests_are_what_they_were() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut digests = String::new();
    for (path, scenario) in support::committed() {
        let (one, two) = (play(&scenario), play(&scenario));
        assert_eq!(one.digest, two.digest, "{}", path.display());
        let name = path.strip_prefix(root).unwrap().display();
        digests.push_str(&format!("{:016x} {name}\n", one.digest));
    }
    expect_test::expect_file!["snapshots/digests.txt"].assert_eq(&digests);
}
