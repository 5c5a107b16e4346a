//! The committed scenarios: one for each situation of the textbook, and one for each kind of fault.
//!
//! They are part of the crate, so that whoever has it can play them: the simulator, the lab on a real kernel, a test of your
//! own. Each begins with a comment that says what happens in it and why.
//!
//! ```
//! use resound_sim::{Scenario, library};
//!
//! let entry = library::find("zero-window").expect("it is committed");
//! assert!(entry.about().starts_with("The server never reads."));
//! let scenario: Scenario = entry.text.parse()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// A committed scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its file's name without the ending, behind that of its folder if it lies in one: `zero-window`, `faults/icmp`.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// All of them, by name.
pub const ALL: &[Entry] = include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// The one of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// What it is about: the comment at the head of its file, in one line.
    #[must_use]
    pub fn about(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix('#'));
        lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Scenario;

    #[test]
    fn every_scenario_is_read_and_says_what_it_is_about() {
        for entry in ALL {
            let read = entry.text.parse::<Scenario>();
            assert!(read.is_ok(), "{}: {read:?}", entry.name);
            assert!(entry.about().ends_with('.'), "{}: {:?}", entry.name, entry.about());
        }
    }

    #[test]
    fn names_are_sorted_and_different() {
        let names: BTreeSet<_> = ALL.iter().map(|entry| entry.name).collect();
        assert!(ALL.iter().map(|entry| entry.name).eq(names));
        assert!(find("faults/icmp").is_some() && find("process-killed").is_some());
        assert_eq!(find("process-killed.scn"), None);
    }
}
