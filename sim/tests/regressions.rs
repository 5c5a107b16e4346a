//! Every scenario of the tree keeps what it expects, and all that holds for every scenario.

use std::fs;
use std::path::{Path, PathBuf};

use resound_sim::Scenario;
use resound_sim::engine::replay;

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "scn") {
            files.push(path);
        }
    }
}

fn play_all(folder: &str) {
    let mut failed = Vec::new();
    for file in files(folder) {
        let name = file.display();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = replay::replay(&scenario, &replay::standard(&scenario));
        if !report.broken.is_empty() {
            failed.push(format!("{name}\n{report}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_once_failed_does_not_fail_again() {
    play_all("regressions");
}

#[test]
fn the_scenarios_show_what_they_are_meant_to() {
    assert!(!files("scenarios").is_empty());
    play_all("scenarios");
}
