//! How many attempts many links may make together: a token bucket, for those who want one.
//!
//! # Theory of operation
//!
//! Links decide each for itself when to try again, and know nothing of each other: that is what makes them
//! deterministic. A program with many links to one place can put a [`Budget`] between them and the network. It is a
//! machine of its own; without it nothing is limited.
//!
//! ```text
//!   link wants to start  ─►  ask(now, who)        ─►  Granted, or Queued, or Full
//!                            next(now)            ─►  a grant for the link that waits longest
//!   attempt has ended    ─►  settle(now, grant, Outcome)
//! ```
//!
//! A grant takes what a refused attempt costs. An attempt that succeeds gives it back; one that timed out costs more
//! (it was dearer for everybody on the way), if need be on credit. The bucket refills with time and holds so many
//! tokens at most. Links wait in the order in which they asked, and the queue has a limit.
//!
//! A grant comes late or at once but never early: a budget can only slow attempts down. Its size must follow the number
//! of links ([`Config::for_links`]): ten tokens, and one more in 3 s, would take 50 minutes to redial a thousand.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::config::BadConfig;
use crate::time::{Instant, nanos};

/// The size of a budget. [`Budget::new`] checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many tokens the bucket holds; it begins full. 1 to 1 048 576; 10 unless set (gRPC A6).
    pub tokens: u32,
    /// How long one token takes to come back. 1 µs to 1 h; 3 s unless set.
    pub refill: Duration,
    /// What an attempt costs that was refused, or failed at once in another way. 1 to `tokens`; 1 unless set.
    pub refused: u32,
    /// What an attempt costs that timed out. `refused` to `tokens`; 2 unless set (smithy).
    pub timed_out: u32,
    /// How many links may wait for a grant. 1 to 1 048 576; 1 024 unless set.
    pub waiting: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { tokens: 10, refill: Duration::from_secs(3), refused: 1, timed_out: 2, waiting: 1_024 }
    }
}

impl Config {
    /// For so many links: a token for each, back after 30 s (the cap of one link's own delay), and room for all to
    /// wait. For ten links or fewer the sizes are those of [`Config::default`]; beyond 1 048 576 they grow no more.
    #[must_use]
    pub fn for_links(links: u32) -> Self {
        let links = links.clamp(10, MOST);
        Self {
            tokens: links,
            refill: Duration::from_secs(30) / links,
            waiting: links.max(1_024),
            ..Self::default()
        }
    }

    fn check(self) -> Result<(), BadConfig> {
        let refill_fits = Duration::from_micros(1) <= self.refill && self.refill <= Duration::from_secs(3600);
        BadConfig::unless((1..=MOST).contains(&self.tokens), "budget.tokens", "must be 1 to 1048576")?;
        BadConfig::unless(refill_fits, "budget.refill", "must be 1 us to 1 h")?;
        let refused_fits = (1..=self.tokens).contains(&self.refused);
        BadConfig::unless(refused_fits, "budget.refused", "must be 1 to the number of tokens")?;
        let timed_out_fits = (self.refused..=self.tokens).contains(&self.timed_out);
        BadConfig::unless(
            timed_out_fits,
            "budget.timed_out",
            "must be at least the cost of a refusal, at most the number of tokens",
        )?;
        BadConfig::unless((1..=MOST).contains(&self.waiting), "budget.waiting", "must be 1 to 1048576")
    }
}

const MOST: u32 = 1 << 20;

/// Who asks: a number that the program gives each of its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker(pub u64);

/// The permission to start one attempt (a race of several addresses is one). It cannot be copied: it is settled once.
/// One that is dropped instead has cost what a refused attempt costs.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt that succeeds gives its tokens back: settle the grant"]
pub struct Grant {
    who: Asker,
}

impl Grant {
    /// Who may start.
    #[must_use]
    pub const fn who(&self) -> Asker {
        self.who
    }
}

/// What [`Budget::ask`] says.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Start now.
    Granted(Grant),
    /// Wait: [`Budget::next`] will grant it. So it is for whoever waits already.
    Queued,
    /// Too many wait already. Nothing was changed: ask again after the link's own next delay.
    Full,
}

/// How a granted attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded, or was never started: it costs nothing.
    Free,
    /// It was refused, or failed at once in another way.
    Refused,
    /// Nothing came back in time.
    TimedOut,
}

/// The tokens that are left, and who waits for some.
///
/// ```
/// use core::time::Duration;
/// use resound_core::Instant;
/// use resound_core::budget::{Answer, Asker, Budget, Config, Outcome};
///
/// let mut budget = Budget::new(Config { tokens: 2, ..Config::default() })?;
/// let start = Instant::EPOCH;
/// let Answer::Granted(first) = budget.ask(start, Asker(1)) else { panic!("the bucket is full") };
/// let Answer::Granted(second) = budget.ask(start, Asker(2)) else { panic!("one is left") };
/// assert_eq!(budget.ask(start, Asker(3)), Answer::Queued);
///
/// budget.settle(start, first, Outcome::Refused);
/// budget.settle(start, second, Outcome::TimedOut); // one token more, on credit
/// let later = start + Duration::from_secs(6);
/// assert_eq!(budget.deadline(), Some(later));
/// assert_eq!(budget.next(later).map(|grant| grant.who()), Some(Asker(3)));
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
#[derive(Debug)]
pub struct Budget {
    /// When the bucket will be full again: all there is to know about its level, without rounding.
    full_at: Instant,
    waiting: VecDeque<Asker>,
    room: usize,
    /// All in nanoseconds of refilling.
    capacity: u64,
    refused: u64,
    timed_out: u64,
}

impl Budget {
    /// A full bucket, and nobody waiting. Allocates the queue, here and never again.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] names the field that is out of bounds.
    pub fn new(config: Config) -> Result<Self, BadConfig> {
        config.check()?;
        // At most 2^20 tokens of an hour each: twice that still fits.
        let cost = |tokens: u32| nanos(config.refill).saturating_mul(u64::from(tokens));
        let room = config.waiting as usize;
        Ok(Self {
            full_at: Instant::EPOCH,
            waiting: VecDeque::with_capacity(room),
            room,
            capacity: cost(config.tokens),
            refused: cost(config.refused),
            timed_out: cost(config.timed_out),
        })
    }

    /// Asks for a permit. Takes linear time in the number of links that wait.
    pub fn ask(&mut self, now: Instant, who: Asker) -> Answer {
        if self.waiting.is_empty() && self.due_at() <= now {
            return Answer::Granted(self.grant(now, who));
        }
        if self.waiting.contains(&who) {
            return Answer::Queued;
        }
        if self.waiting.len() >= self.room {
            return Answer::Full;
        }
        self.waiting.push_back(who);
        Answer::Queued
    }

    /// The grant that is due by now, for whoever waits longest. Call until `None`.
    pub fn next(&mut self, now: Instant) -> Option<Grant> {
        if now < self.due_at() {
            return None;
        }
        let who = self.waiting.pop_front()?;
        Some(self.grant(now, who))
    }

    /// Does not wait any more. Returns whether it did; if not, there may be a grant to settle.
    pub fn withdraw(&mut self, who: Asker) -> bool {
        let Some(at) = self.waiting.iter().position(|&waiting| waiting == who) else { return false };
        self.waiting.remove(at).is_some()
    }

    /// The attempt has ended. Debts never exceed one bucket, so that the first in the queue never waits for longer than
    /// two buckets take to fill.
    pub fn settle(&mut self, now: Instant, grant: Grant, outcome: Outcome) {
        let Grant { .. } = grant; // used up: nobody settles it twice
        match outcome {
            Outcome::Free => {
                self.full_at = Instant::from_nanos(self.full_at.nanos().saturating_sub(self.refused));
            }
            Outcome::Refused => {}
            Outcome::TimedOut => {
                let deepest = now.after(self.capacity.saturating_mul(2));
                let owed = self.full_at.max(now).after(self.timed_out - self.refused);
                self.full_at = owed.min(deepest.max(self.full_at));
            }
        }
    }

    /// When [`next`](Self::next) will have something; `None` if nobody waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { Some(self.due_at()) }
    }

    /// When the bucket holds, or held, enough for a grant.
    fn due_at(&self) -> Instant {
        Instant::from_nanos(self.full_at.nanos().saturating_sub(self.capacity - self.refused))
    }

    fn grant(&mut self, now: Instant, who: Asker) -> Grant {
        self.full_at = self.full_at.max(now).after(self.refused);
        Grant { who }
    }
}
