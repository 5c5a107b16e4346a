//! How a link behaves: the blocks' own configurations, and what concerns them all.

use core::time::Duration;

use crate::config::BadConfig;
use crate::{backoff, liveness, race};

/// How a link behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// When to try again.
    pub backoff: backoff::Config,
    /// When to probe and convict.
    pub liveness: liveness::Config,
    /// How to choose among several addresses.
    pub race: race::Config,
    /// When to stop trying. Default: never.
    pub give_up: GiveUp,
    /// What to do while a peer is suspected. Default: wait for the verdict.
    pub on_suspect: OnSuspect,
}

/// When a link stops trying. Some reasons end it at once, whatever is configured here: see [`Cause::retry`](crate::signal::Cause::retry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GiveUp {
    /// After this many rounds of attempts in a row that all failed.
    pub rounds: Option<u32>,
    /// After being down for this long.
    pub after: Option<Duration>,
}

/// What a link does while its peer is suspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSuspect {
    /// Probe on, and wait for the verdict.
    #[default]
    Wait,
    /// Dial a second connection at once; the first of the two that yields bytes stays, the other is reset.
    DialSecond,
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Names the field that cannot work.
    pub fn check(self) -> Result<Policy, BadConfig> {
        BadConfig::unless(self.give_up.rounds != Some(0), "give_up.rounds", "must be at least 1")?;
        BadConfig::unless(
            self.on_suspect == OnSuspect::Wait || self.liveness.misses > 1,
            "on_suspect",
            "a second dial needs liveness.misses of at least 2: there is no suspicion before the verdict otherwise",
        )?;
        Ok(Policy {
            backoff: self.backoff.check()?,
            liveness: self.liveness.check()?,
            race: self.race.check()?,
            give_up: self.give_up,
            on_suspect: self.on_suspect,
        })
    }
}

/// A checked [`Config`].
#[derive(Clone, Debug)]
pub struct Policy {
    /// When to try again.
    pub backoff: backoff::Policy,
    /// When to probe and convict.
    pub liveness: liveness::Policy,
    /// How to choose among several addresses.
    pub race: race::Policy,
    pub(super) give_up: GiveUp,
    pub(super) on_suspect: OnSuspect,
}

impl Policy {
    /// A bound for the kernel's own timer (TCP_USER_TIMEOUT), which also bounds connecting (`tcp_syn_retries` aside):
    /// later than everything promised here. `None` if the detector is off.
    #[must_use]
    pub fn kernel_backstop(&self) -> Option<Duration> {
        self.liveness.kernel_backstop().map(|backstop| backstop.max(self.race.round().saturating_mul(2)))
    }
}
