//! Which of several addresses to try next, and when (Happy Eyeballs, RFC 8305).
//!
//! # Theory of operation
//!
//! A name often has several addresses, and some of them may be black holes. A [`Race`] tries them one after another,
//! but does not wait for one to fail before it starts the next:
//!
//! ```text
//!   begin            attempt delay                 failed(1)
//!     │◄──────────────►│                              │
//!     0 ───────────────────────────────────────────── │ ──────────────► pending: cancelled when 2 wins
//!                      1 ──────────────────────────── ✗
//!                                                     2 ───────► won(2)
//! ```
//!
//! * An attempt starts one attempt delay after the one before it, or at once after a failure, whichever comes first.
//!   *Every* failure brings one start forward, not only the latest attempt's. Starts are never less than 10 ms apart.
//! * Earlier attempts go on. The first success wins; all others are handed back, each once, to be cancelled.
//! * A round has a deadline. What is then still pending is handed back as well.
//! * Addresses that led nowhere come last in the next round. One that wins is forgiven.
//!
//! The machine knows positions in a list, not addresses; [`interleave`] puts the list in the order of RFC 8305 §4. It
//! keeps no copy of the list and uses no heap. It does not decide what a success is: a connection to oneself is told
//! as a failure, and over UDP the race is won by an echo.

use core::net::SocketAddr;
use core::time::Duration;

use crate::config::BadConfig;
use crate::time::{Instant, nanos};

/// How many addresses take part in a round; those behind are left out.
pub const MAX_TARGETS: usize = 32;

/// No two attempts start closer together, whatever fails (RFC 8305 §5: MUST NOT be less than 10 ms).
const LEAST_GAP: Duration = Duration::from_millis(10);
/// RFC 8305 §8, Maximum Connection Attempt Delay.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// How fast to go through the addresses: the knobs. [`Config::check`] makes a [`Policy`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the start of one attempt to that of the next. 10 ms to 2 s; 250 ms unless set (RFC 8305 §5 and §8).
    pub attempt_delay: Duration,
    /// The connect deadline: from the beginning of a round to its end. 1 ms to 1 h; 20 s unless set (gRPC).
    pub round: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { attempt_delay: Duration::from_millis(250), round: Duration::from_secs(20) }
    }
}

impl Config {
    /// Checks the knobs, once.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] names the field that is out of bounds, and says what the bounds are.
    pub fn check(self) -> Result<Policy, BadConfig> {
        let delay = LEAST_GAP <= self.attempt_delay && self.attempt_delay <= LONGEST_DELAY;
        BadConfig::unless(delay, "race.attempt_delay", "must be 10 ms to 2 s")?;
        let round = Duration::from_millis(1) <= self.round && self.round <= Duration::from_secs(3600);
        BadConfig::unless(round, "race.round", "must be 1 ms to 1 h")?;
        Ok(Policy {
            attempt_delay: nanos(self.attempt_delay),
            least_gap: nanos(LEAST_GAP),
            round: nanos(self.round),
        })
    }
}

/// A checked [`Config`]. Many links can share one: the state holds none of it.
#[derive(Clone, Debug)]
pub struct Policy {
    attempt_delay: u64,
    least_gap: u64,
    round: u64,
}

impl Policy {
    /// The connect deadline of a round, counted from its beginning.
    #[must_use]
    pub const fn round(&self) -> Duration {
        Duration::from_nanos(self.round)
    }
}

/// An attempt to start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// Its number in this round: 0, 1, … in the order in which attempts start.
    pub attempt: u8,
    /// Where to: a position in the list.
    pub target: u8,
}

/// Attempts that were pending when their round ended, by number, each to be cancelled once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "each of these attempts must be cancelled"]
pub struct Pending(u32);

impl Iterator for Pending {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let first = lowest(self.0)?;
        self.0 &= self.0 - 1;
        Some(first)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Pending {}
impl core::iter::FusedIterator for Pending {}

/// A race over an ordered list of addresses, round after round.
///
/// ```
/// use core::time::Duration;
/// use resound_core::Instant;
/// use resound_core::race::{Config, Race, Start};
///
/// let policy = Config::default().check()?;
/// let mut race = Race::new();
/// let at = |ms| Instant::EPOCH + Duration::from_millis(ms);
///
/// race.begin(&policy, at(0), 3);
/// assert_eq!(race.next(&policy, at(0)), Some(Start { attempt: 0, target: 0 }));
/// assert_eq!(race.next(&policy, at(0)), None);
/// assert_eq!(race.deadline(), Some(at(250)));
///
/// assert_eq!(race.next(&policy, at(250)), Some(Start { attempt: 1, target: 1 }));
/// race.failed(&policy, at(300), 1);
/// assert_eq!(race.next(&policy, at(300)), Some(Start { attempt: 2, target: 2 }));
///
/// let others = race.won(2).expect("2 is pending");
/// assert!(others.eq([0])); // 0 never answered: cancel it
///
/// // Next time, the address that failed comes last.
/// race.begin(&policy, at(60_000), 3);
/// let order: Vec<_> = (0..3).filter_map(|k| race.next(&policy, at(60_000 + 250 * k))).map(|s| s.target).collect();
/// assert_eq!(order, [0, 2, 1]);
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Race {
    /// The targets that led nowhere when they were last tried.
    failed: u32,
    round: Option<Round>,
}

/// Which addresses led nowhere when they were last tried. None, unless a race says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory(u32);

const _: () = assert!(size_of::<Race>() <= 48);

#[derive(Clone, Debug)]
struct Round {
    /// When the next attempt may start.
    next_at: Instant,
    /// When the latest attempt started.
    last: Instant,
    /// The connect deadline.
    ends: Instant,
    /// The targets that come last: those that had failed when the round began.
    late: u32,
    /// The attempts that are under way.
    pending: u32,
    targets: u8,
    started: u8,
    /// Starts that failures have earned beyond the one at `next_at`.
    owed: u8,
    postponed: bool,
}

impl Race {
    /// No round is running, and no address has failed.
    #[must_use]
    pub const fn new() -> Self {
        Self::recalling(Memory(0))
    }

    /// No round is running; which addresses have failed is what another race remembered of them.
    #[must_use]
    pub const fn recalling(memory: Memory) -> Self {
        Self { failed: memory.0, round: None }
    }

    /// All that is left of a race when no round is running.
    #[must_use]
    pub const fn memory(&self) -> Memory {
        Memory(self.failed)
    }

    /// Whether a round is running. One that is lost or overdue runs until it is ended.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// Begins a round over the targets `0..targets`, of which the first [`MAX_TARGETS`] take part: those that have
    /// failed come last, and otherwise they are tried in the given order.
    ///
    /// Changes nothing while a round is running: what is pending must be handed back first ([`Race::end`],
    /// [`Race::cancel`]).
    pub fn begin(&mut self, policy: &Policy, now: Instant, targets: u8) {
        if self.round.is_some() {
            return;
        }
        let targets = targets.min(MAX_TARGETS as u8);
        self.round = Some(Round {
            next_at: now,
            last: now,
            ends: now.after(policy.round),
            late: self.failed & first_bits(targets),
            pending: 0,
            targets,
            started: 0,
            owed: 0,
            postponed: false,
        });
    }

    /// The next attempt, if one is due by now. Call until `None`. Nothing starts at or after the round's deadline.
    #[must_use]
    pub fn next(&mut self, policy: &Policy, now: Instant) -> Option<Start> {
        let round = self.round.as_mut()?;
        if now < round.next_at || now >= round.ends {
            return None;
        }
        let attempt = round.started;
        let target = round.target(attempt)?;
        round.started += 1;
        round.pending |= 1 << attempt;
        round.last = now;
        let gap = if round.owed > 0 { policy.least_gap } else { policy.attempt_delay };
        round.owed = round.owed.saturating_sub(1);
        round.next_at = now.after(gap);
        Some(Start { attempt, target })
    }

    /// A pending attempt failed: its address is remembered, and the next attempt may start at once, but at least 10 ms
    /// after the one before it. Returns whether it was pending; nothing changes if it was not.
    pub fn failed(&mut self, policy: &Policy, now: Instant, attempt: u8) -> bool {
        let Some((round, target)) = self.pending(attempt) else { return false };
        round.pending &= !(1 << attempt);
        // A start that is due already, or hastened by an earlier failure, is not this failure's: it earns another.
        let soonest = now.max(round.last.after(policy.least_gap));
        if soonest < round.next_at {
            round.next_at = soonest;
        } else {
            round.owed = round.owed.saturating_add(1);
        }
        self.failed |= 1 << target;
        true
    }

    /// A pending attempt succeeded: the round is over, its address is forgiven. Returns the other pending attempts,
    /// each to be cancelled; `None` if this one was not pending, and nothing has changed then.
    pub fn won(&mut self, attempt: u8) -> Option<Pending> {
        let (round, target) = self.pending(attempt)?;
        let others = round.pending & !(1 << attempt);
        self.failed &= !(1 << target);
        self.round = None;
        Some(Pending(others))
    }

    /// Ends the round because it is overdue or lost. Returns what is pending, each to be cancelled. These addresses have
    /// had their chance and come last next time: otherwise black holes at the head of a long list would keep what lies
    /// behind them from ever being tried.
    pub fn end(&mut self) -> Pending {
        let Some(round) = self.round.take() else { return Pending::default() };
        let tried = Pending(round.pending).filter_map(|attempt| round.target(attempt));
        self.failed = tried.fold(self.failed, |failed, target| failed | 1 << target);
        Pending(round.pending)
    }

    /// Ends the round because nobody wants it any more, which is no address's fault. Returns what is pending, each to be
    /// cancelled.
    pub fn cancel(&mut self) -> Pending {
        Pending(self.round.take().map_or(0, |round| round.pending))
    }

    /// Forgets every failure: the list has changed, or the network has. A running round keeps its order.
    pub fn forget(&mut self) {
        self.failed = 0;
    }

    /// Every address was tried and every attempt failed. A round over no addresses is lost at once.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.pending == 0 && round.started == round.targets)
    }

    /// Where an attempt of the running round went, whether or not it is still pending.
    #[must_use]
    pub fn target(&self, attempt: u8) -> Option<u8> {
        let round = self.round.as_ref()?;
        if attempt < round.started { round.target(attempt) } else { None }
    }

    /// Whether an attempt of the running round is under way.
    #[must_use]
    pub fn is_pending(&self, attempt: u8) -> bool {
        self.round
            .as_ref()
            .is_some_and(|round| round.pending.checked_shr(u32::from(attempt)).unwrap_or(0) & 1 == 1)
    }

    /// The latest attempt of the running round that is under way.
    #[must_use]
    pub fn latest(&self) -> Option<u8> {
        self.round.as_ref().and_then(|round| round.pending.checked_ilog2()).map(|bit| bit as u8)
    }

    /// Whether the round's connect deadline has passed.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.round.as_ref().is_some_and(|round| now >= round.ends)
    }

    /// By how much the round's connect deadline has passed; `None` before it.
    #[must_use]
    pub fn overdue_by(&self, now: Instant) -> Option<Duration> {
        self.round.as_ref().filter(|round| now >= round.ends).map(|round| now.since(round.ends))
    }

    /// Moves the round's connect deadline to `until`, once: the driver was late, and what it has not looked at yet may
    /// hold a success. False if it was moved before: a driver that is always late still gets done.
    pub fn postpone(&mut self, until: Instant) -> bool {
        let Some(round) = self.round.as_mut().filter(|round| !round.postponed) else { return false };
        round.postponed = true;
        round.ends = round.ends.max(until);
        true
    }

    /// Moves the deadline of a running round: for what this host kept back, no address is to blame.
    pub fn extend(&mut self, until: Instant) {
        if let Some(round) = &mut self.round {
            round.ends = round.ends.max(until);
        }
    }

    /// When [`next`](Self::next) or [`is_overdue`](Self::is_overdue) will have something; `None` if no round is running.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        let round = self.round.as_ref()?;
        Some(if round.started < round.targets { round.next_at.min(round.ends) } else { round.ends })
    }

    /// The round, and where the attempt went, if it is pending.
    fn pending(&mut self, attempt: u8) -> Option<(&mut Round, u8)> {
        let round = self.round.as_mut()?;
        let bit = 1u32.checked_shl(u32::from(attempt))?;
        let target = round.target(attempt)?;
        if round.pending & bit == 0 { None } else { Some((round, target)) }
    }
}

impl Round {
    /// The order of a round follows from the targets that come last: nothing else need be kept.
    fn target(&self, attempt: u8) -> Option<u8> {
        let early = first_bits(self.targets) & !self.late;
        nth_bit(early, u32::from(attempt))
            .or_else(|| nth_bit(self.late, u32::from(attempt).checked_sub(early.count_ones())?))
    }
}

/// The lowest `n` bits, of 32.
fn first_bits(n: u8) -> u32 {
    u32::MAX.checked_shr(u32::BITS.saturating_sub(u32::from(n))).unwrap_or(0)
}

/// The position of the lowest bit that is set.
fn lowest(bits: u32) -> Option<u8> {
    if bits == 0 { None } else { Some(bits.trailing_zeros() as u8) }
}

/// The position of the bit that is set and has `n` set bits below it.
fn nth_bit(mut bits: u32, n: u32) -> Option<u8> {
    for _ in 0..n.min(u32::BITS) {
        bits &= bits.saturating_sub(1);
    }
    lowest(bits)
}

/// Puts addresses in the order of RFC 8305 §4: the families take turns, beginning with that of the first address, and
/// each family keeps its own order. An IPv4-mapped address counts as IPv4, which is what its packets are.
///
/// Takes quadratic time in the length of the list, in the worst case.
///
/// ```
/// use resound_core::race::interleave;
///
/// let mut addrs = ["[2001:db8::1]:7", "[2001:db8::2]:7", "192.0.2.1:7", "192.0.2.2:7"].map(|a| a.parse().unwrap());
/// interleave(&mut addrs);
/// assert_eq!(addrs.map(|a| a.to_string()), ["[2001:db8::1]:7", "192.0.2.1:7", "[2001:db8::2]:7", "192.0.2.2:7"]);
/// ```
pub fn interleave(addrs: &mut [SocketAddr]) {
    let is_v4 = |addr: &SocketAddr| addr.ip().to_canonical().is_ipv4();
    let Some(mut v4_turn) = addrs.first().map(is_v4) else { return };
    let mut rest = addrs;
    while let Some(found) = rest.iter().position(|addr| is_v4(addr) == v4_turn) {
        rest[..=found].rotate_right(1);
        rest = &mut rest[1..];
        v4_turn = !v4_turn;
    }
}
