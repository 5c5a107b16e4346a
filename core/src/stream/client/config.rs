//! How an echo client behaves.

use core::time::Duration;

use crate::link;

/// How an echo client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// When to dial, probe, convict and dial again.
    pub link: link::Config,
    /// How many messages may be accepted and not ended. Default 1 024.
    pub max_in_flight: usize,
    /// How many bytes they may hold together; a larger message is refused. Default 1 MiB.
    pub max_bytes: usize,
    /// What becomes of messages that were on the wire when a connection was lost. Default: reported lost.
    pub on_loss: OnLoss,
    /// How long a graceful close waits for the echoes that are due. Default 10 s.
    pub close_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            link: link::Config::default(),
            max_in_flight: 1_024,
            max_bytes: 1 << 20,
            on_loss: OnLoss::Report,
            close_within: Duration::from_secs(10),
        }
    }
}

/// What becomes of messages that were on the wire when a connection was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// They are reported lost; nothing is on the wire twice.
    #[default]
    Report,
    /// They are sent again on the next connection, for as long as there is one; `Echoed` may then mean more than once on
    /// the wire, and a message that makes its server fail makes each one fail.
    Resend,
}
