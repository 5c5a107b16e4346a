//! The one error that starting can give.

use core::fmt;
use std::io;

use resound_core::BadConfig;

/// Why a client or a server could not be started. Nothing runs then.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot work: the caller's mistake.
    Config(BadConfig),
    /// The system refused: an address that is taken, no descriptor left.
    System(io::Error),
}

impl From<BadConfig> for StartError {
    fn from(error: BadConfig) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => Self::new(io::ErrorKind::InvalidInput, error),
            StartError::System(error) => error,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}
