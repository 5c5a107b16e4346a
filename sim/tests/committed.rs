//! The committed scenarios: each is played, its expectations are met, and its faults have done something.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use resound_sim::scenario::{Scenario, What};
use resound_sim::{Echo, Record, Run, World};

fn files(under: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(under);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "scn") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    text.parse().unwrap_or_else(|malformed| panic!("{}: {malformed}", path.display()))
}

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
    let files = files("scenarios");
    for path in &files {
        let scenario = read(path);
        let run = play(&scenario);
        for complaint in complaints(&scenario, &run) {
            wrong.push(format!("{}: {complaint}", path.display()));
        }
    }
    assert!(files.len() > 30, "only {} scenarios were found", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_kind_of_fault_acts_in_a_committed_scenario() {
    let mut acted = BTreeSet::new();
    for path in files("scenarios") {
        let scenario = read(&path);
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
