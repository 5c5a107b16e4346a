//! Differences that are known, and why it is right that there are some. Few.

use resound_core::signal::Version;

use super::Difference;
use crate::suite::Item;

/// A difference that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Of which scenario.
    pub scenario: &'static str,
    /// Only over this IP version; `None`: over both.
    pub version: Option<Version>,
    /// Of which host's programs.
    pub host: &'static str,
    /// With this the sentence of the difference begins.
    pub begins: &'static str,
    /// Why it is right that there is one.
    pub why: &'static str,
}

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[];

/// The deviation that all these differences are.
#[must_use]
pub fn deviation(item: &Item, differences: &[Difference]) -> Option<&'static Deviation> {
    let is = |deviation: &&Deviation| {
        let this = |difference: &Difference| {
            item.scenario.name(difference.node) == deviation.host
                && difference.what.starts_with(deviation.begins)
        };
        deviation.scenario == item.name
            && deviation.version.is_none_or(|version| version == item.version)
            && differences.iter().all(this)
    };
    DEVIATIONS.iter().find(is)
}
