//! What several tests need.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use resound_sim::scenario::Scenario;

pub(crate) fn files(under: &str) -> Vec<PathBuf> {
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
