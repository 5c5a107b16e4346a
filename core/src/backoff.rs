//! When to try again.
//!
//! # Theory of operation
//!
//! A [`Backoff`] is one small number, the *level*: how many times in a row trying again led nowhere. It knows no
//! clock and starts nothing. It is told what happened and says how long to wait.
//!
//! ```text
//!   level 0   d = U[0, W0]                              the connection had proved itself, then it was lost
//!   level n   d = F + U[0, min(C - F, W0 * 2^(n-1))]    n rounds in a row led nowhere
//!   hint h    d = max(h, F) + U[0, h/8]                 the server said when; the level stays
//!   nudge     d = U[0, F]                               a local change, or the user's wish; the level stays
//! ```
//!
//! `U[a, b]` is uniform, both ends included, `W0` the first window, `F` the floor, `C` the cap. Three things matter:
//!
//! * **The first wait is spread too.** A server that restarts loses all its clients at one instant. RFC 6455 §7.2.3
//!   asks for a random first delay of up to five seconds for that reason.
//! * **The jitter is drawn inside the cap.** Clamping a delay after the jitter was added gives everybody the cap
//!   itself, and the herd is back.
//! * **The level falls only on proof**: the connection stood for a while *and* an answer came back. Resetting it on a
//!   mere connect gives a server that accepts and closes hundreds of connects per second from every client.
//!
//! It is not a budget and has no limit of its own: how often to try, and until when, is up to whoever asks.

use core::time::Duration;

use crate::config::BadConfig;
use crate::rng::Rng;
use crate::time::nanos;

/// No delay may be configured to be longer: a link that waits for more than a month has given up.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// A shorter floor or first window spreads nobody.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long to wait: the knobs. [`Config::check`] makes a [`Policy`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// `W0`: over how long the first wave after a loss is spread, and the first window of the doubling.
    /// 1 ms to 30 days; 5 s unless set (RFC 6455 §7.2.3).
    pub first_window: Duration,
    /// `F`: no wait after a failure is shorter. 1 ms to 30 days; 250 ms unless set.
    pub floor: Duration,
    /// `C`: no wait after a failure is longer. Twice the floor to 30 days; 30 s unless set.
    pub cap: Duration,
    /// `S`: how long a connection must have stood to count as proved. 0 to 30 days; 20 s unless set.
    pub stable: Duration,
    /// The longest hint of a server that is believed: none may park its clients for ever. 0 to 30 days; 1 h unless set.
    pub hint_cap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first_window: Duration::from_secs(5),
            floor: Duration::from_millis(250),
            cap: Duration::from_secs(30),
            stable: Duration::from_secs(20),
            hint_cap: Duration::from_secs(3600),
        }
    }
}

impl Config {
    /// For thousands of clients of one server: as [`Config::default`], with a cap of 120 s (that of gRPC).
    #[must_use]
    pub fn fleet() -> Self {
        Self { cap: Duration::from_secs(120), ..Self::default() }
    }

    /// Checks the knobs, once.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] names the field that is out of bounds, and says what the bounds are.
    pub fn check(self) -> Result<Policy, BadConfig> {
        let within = |d: Duration| SHORTEST <= d && d <= LONGEST;
        BadConfig::unless(within(self.first_window), "backoff.first_window", "must be 1 ms to 30 days")?;
        BadConfig::unless(within(self.floor), "backoff.floor", "must be 1 ms to 30 days")?;
        BadConfig::unless(self.cap <= LONGEST, "backoff.cap", "must be at most 30 days")?;
        BadConfig::unless(
            self.cap >= self.floor.saturating_mul(2),
            "backoff.cap",
            "must be at least twice the floor: the jitter lies between them",
        )?;
        BadConfig::unless(self.stable <= LONGEST, "backoff.stable", "must be at most 30 days")?;
        BadConfig::unless(self.hint_cap <= LONGEST, "backoff.hint_cap", "must be at most 30 days")?;
        Ok(Policy {
            first_window: nanos(self.first_window),
            floor: nanos(self.floor),
            spread: nanos(self.cap) - nanos(self.floor),
            stable: nanos(self.stable),
            hint_cap: nanos(self.hint_cap),
        })
    }
}

/// A checked [`Config`]. Many links can share one: the state holds none of it.
#[derive(Clone, Debug)]
pub struct Policy {
    first_window: u64,
    floor: u64,
    /// `C - F`: all the room there is for jitter.
    spread: u64,
    stable: u64,
    hint_cap: u64,
}

impl Policy {
    /// F: no two rounds of attempts begin closer together.
    #[must_use]
    pub const fn floor(&self) -> Duration {
        Duration::from_nanos(self.floor)
    }

    /// How far above the floor the delay of `level` may lie.
    fn window(&self, level: u32) -> u64 {
        let doublings = level.saturating_sub(1);
        if doublings <= self.first_window.leading_zeros() {
            self.spread.min(self.first_window << doublings)
        } else {
            self.spread
        }
    }
}

/// What a connection had shown before it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Nothing: it connected, and perhaps a banner came.
    None,
    /// An answer to something that was sent: an echo, or what the protocol above calls one.
    Answered,
}

/// How many times in a row trying again led nowhere, and how long the last wait was.
///
/// ```
/// use core::time::Duration;
/// use resound_core::Rng;
/// use resound_core::backoff::{Backoff, Config, Proof};
///
/// let policy = Config::default().check()?;
/// let mut rng = Rng::from_seed(0x5eed); // a real program takes entropy
/// let mut backoff = Backoff::new();
///
/// let first = backoff.failed(&policy, &mut rng);
/// assert!(Duration::from_millis(250) <= first && first <= Duration::from_millis(5_250));
/// backoff.failed(&policy, &mut rng);
/// assert_eq!(backoff.level(), 2);
///
/// // An hour later a connection that had answered is lost: the slate is clean, and the wait is the first wave's.
/// let wait = backoff.lost(&policy, &mut rng, Duration::from_secs(3600), Proof::Answered);
/// assert_eq!(backoff.level(), 0);
/// assert!(wait <= Duration::from_secs(5));
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    /// The last delay that `failed` or `lost` drew, in nanoseconds.
    last: u64,
    level: u32,
}

impl Backoff {
    /// Nothing was tried yet: level 0. The very first dial waits for nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0, level: 0 }
    }

    /// How many times in a row trying again led nowhere.
    #[must_use]
    pub const fn level(&self) -> u32 {
        self.level
    }

    /// A round of attempts failed: the level rises. The delay counts from the *start* of that round, so that a peer
    /// that lets every connect run into its deadline is not waited for twice.
    pub fn failed(&mut self, policy: &Policy, rng: &mut Rng) -> Duration {
        self.level = self.level.saturating_add(1);
        self.last = policy.floor.saturating_add(rng.up_to(policy.window(self.level)));
        Duration::from_nanos(self.last)
    }

    /// A connection that stood was lost after `uptime`. The delay counts from the *loss*: counted from the start, all
    /// clients that had been up for long would redial at one instant.
    ///
    /// The level falls to 0 if and only if the connection stood for `S`, and for as long as the last delay, and an
    /// answer had come back. Otherwise it rises as if the connect had been refused.
    pub fn lost(&mut self, policy: &Policy, rng: &mut Rng, uptime: Duration, proof: Proof) -> Duration {
        let stood = nanos(uptime) >= policy.stable.max(self.last);
        if !(stood && proof == Proof::Answered) {
            return self.failed(policy, rng);
        }
        self.level = 0;
        self.last = rng.up_to(policy.first_window);
        Duration::from_nanos(self.last)
    }

    /// The server said to come back after `after`. Believed up to the configured hint cap; never before it, and not
    /// all at once. The level stays.
    #[must_use]
    pub fn hinted(&self, policy: &Policy, rng: &mut Rng, after: Duration) -> Duration {
        let hint = nanos(after).min(policy.hint_cap);
        Duration::from_nanos(hint.max(policy.floor).saturating_add(rng.up_to(hint / 8)))
    }

    /// Something changed here (an interface came up, the host woke), or the user wants it now. The level stays.
    #[must_use]
    pub fn nudged(&self, policy: &Policy, rng: &mut Rng) -> Duration {
        Duration::from_nanos(rng.up_to(policy.floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_the_level_and_its_window_saturate() {
        let longest = Config { first_window: LONGEST, cap: LONGEST, ..Config::default() };
        for config in [Config::default(), Config { first_window: SHORTEST, ..longest }, longest] {
            let policy = config.check().expect("within bounds");
            for level in (0..=130).chain([u32::MAX - 1, u32::MAX]) {
                let mut backoff = Backoff { last: 0, level };
                let delay = backoff.failed(&policy, &mut Rng::from_seed(u64::from(level)));
                assert!(config.floor <= delay && delay <= config.cap);
                assert_eq!(backoff.level(), level.saturating_add(1));
                assert!(
                    policy.window(level) <= policy.window(backoff.level()),
                    "windows never shrink: {level}"
                );
            }
            assert_eq!(policy.window(u32::MAX), policy.spread);
        }
    }
}
