//! The one error that a configuration can give.

use core::fmt;

/// A configuration that cannot work, refused when a machine is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadConfig {
    /// The field, as a path: `backoff.cap`.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub why: &'static str,
}

impl BadConfig {
    pub(crate) const fn unless(ok: bool, field: &'static str, why: &'static str) -> Result<(), Self> {
        if ok { Ok(()) } else { Err(Self { field, why }) }
    }
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

impl core::error::Error for BadConfig {}
