//! Differences that are known, and why it is right that there are some. Few.

use resound_core::signal::Version;

/// A difference that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Of which scenario.
    pub scenario: &'static str,
    /// Only over this IP version; `None`: over both.
    pub version: Option<Version>,
    /// With this the sentence of the difference begins, after the host's name: `client "down …`.
    pub difference: &'static str,
    /// Why it is right that there is one.
    pub why: &'static str,
}

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[];
