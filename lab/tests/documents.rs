//! What the documentation lists is what there is.

use std::fmt::Write as _;
use std::path::Path;

use resound_lab::verdict::{DEVIATIONS, version_name};
use resound_sim::{Scenario, library};

/// The part of `docs/lab.md` between these marks is this; `UPDATE_EXPECT=1` writes it.
fn holds(mark: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let begin = format!("<!-- {mark} -->\n");
    let (before, rest) = text.split_once(&begin).expect("its mark");
    let (there, after) = rest.split_once("<!-- end -->").expect("its end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{begin}{expected}<!-- end -->{after}"))
            .expect("it is written");
    } else {
        assert_eq!(there, expected, "docs/lab.md, {mark}: UPDATE_EXPECT=1 writes it anew");
    }
}

/// One after the other: both write the same file.
#[test]
fn the_documentation_lists_what_there_is() {
    let mut deviations = String::new();
    for deviation in DEVIATIONS {
        let version = deviation.version.map_or("", version_name);
        writeln!(deviations, "* `{}` {version}: {}", deviation.scenario, deviation.why).expect("a string");
    }
    holds("deviations", if deviations.is_empty() { "None.\n" } else { &deviations });

    let mut only = String::from("| scenario | because |\n|---|---|\n");
    for entry in library::ALL {
        let scenario: Scenario = entry.text.parse().expect("it is committed");
        if let Some(why) = scenario.simulated_only {
            writeln!(only, "| `{}` | {why} |", entry.name).expect("a string");
        }
    }
    holds("simulated-only", &only);
}

#[test]
fn a_deviation_is_of_a_scenario_that_there_is() {
    for deviation in DEVIATIONS {
        assert!(library::find(deviation.scenario).is_some(), "{}", deviation.scenario);
    }
}
