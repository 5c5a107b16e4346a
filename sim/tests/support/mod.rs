//! What several tests need.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use resound_sim::Run;
use resound_sim::oracle::Broken;
use resound_sim::scenario::Scenario;

/// The scenarios of a folder and of the folders in it. There is at least one.
pub(crate) fn files(under: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(under);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "scn") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no scenario under {under}");
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    text.parse().unwrap_or_else(|malformed| panic!("{}: {malformed}", path.display()))
}

/// Every committed scenario, and its file.
pub(crate) fn committed() -> Vec<(PathBuf, Scenario)> {
    let both = ["scenarios", "regressions"].into_iter().flat_map(files);
    both.map(|path| {
        let scenario = read(&path);
        (path, scenario)
    })
    .collect()
}

/// The core's clients and servers meet nothing that the coverage matrix calls impossible.
pub(crate) fn nothing_impossible(_: &Scenario, run: &Run) -> Result<(), Broken> {
    match run.coverage.impossible_and_met().into_iter().next() {
        None => Ok(()),
        Some(cell) => Err(Broken::new("nothing-impossible", format!("it was met: {cell}"))),
    }
}
