//! The delay rules of libraries, each in a few lines: what they do, not how they are written. Delays are in seconds.
//!
//! Each says how long to wait after so many failures in a row, 0 for the loss itself. Limits on the number of attempts
//! are left out: here nobody gives up.

use core::time::Duration;

use resound_core::backoff::{self, Backoff, Proof};
use resound_core::{Instant, Rng, link};

use super::{Client, Cut, Failure, Herd, Outcome, links, play, seeds};

/// How clients decide when to try again.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A rule of another library.
    Other(Other),
    /// The core's rule, by [`Backoff`] alone.
    Ours(backoff::Policy),
    /// The core's rule, by whole links.
    Links(link::Policy),
}

impl Rule {
    /// Lets a herd of such clients run.
    #[must_use]
    pub fn play(&self, herd: &Herd) -> Outcome {
        let rngs = seeds(herd).map(Rng::from_seed);
        match self {
            Self::Other(other) => {
                let make = |rng| Waiter { other: *other, failures: 0, last: 0.0, began: Instant::EPOCH, rng };
                play(herd, rngs.map(make).collect())
            }
            Self::Ours(policy) => {
                let make = |rng| Ours { policy, backoff: Backoff::new(), began: Instant::EPOCH, rng };
                play(herd, rngs.map(make).collect())
            }
            Self::Links(policy) => {
                play(herd, seeds(herd).map(|seed| links::Linked::new(policy, seed)).collect())
            }
        }
    }
}

/// A rule of another library.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    delay: Delay,
    counts_from: CountsFrom,
}

type Delay = fn(&Failed, &mut Rng) -> f64;

/// What a delay counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountsFrom {
    /// The end of the attempt that failed.
    End,
    /// Its start.
    Start,
}

/// What a delay depends on.
struct Failed {
    /// How many attempts in a row have failed.
    times: u32,
    /// The last delay.
    last: f64,
}

impl Failed {
    /// `first · factor^times`, at most `cap`.
    fn grown(&self, first: f64, factor: f64, cap: f64) -> f64 {
        // Past the cap nothing depends on how often.
        (0..self.times.min(64)).fold(first, |delay, _| (delay * factor).min(cap)).min(cap)
    }
}

/// Uniform, both ends included, to the nanosecond.
fn uniform(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + rng.up_to(((to - from).max(0.0) * 1e9) as u64) as f64 / 1e9
}

/// A rule, and what another model of the usual herd has found, in one run, after an outage of two minutes: the project's
/// evidence, which the tables are held against.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// As the tables name it.
    pub name: &'static str,
    /// What it does.
    pub rule: Other,
    /// What was found elsewhere.
    pub elsewhere: Elsewhere,
}

/// What another model has found.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// Attempts of each client.
    pub attempts: f64,
    /// The peaks during the outage, and afterwards.
    pub peaks: [u32; 2],
    /// When half of the clients were back, and all; in seconds after the server. `None`: not within an hour.
    pub back: Option<[f64; 2]>,
}

const fn known(
    name: &'static str,
    delay: Delay,
    attempts: f64,
    peaks: [u32; 2],
    back: Option<[f64; 2]>,
) -> Known {
    Known { name, rule: after(delay), elsewhere: Elsewhere { attempts, peaks, back } }
}

/// The rules of others.
pub const OTHERS: &[Known] = &[
    known("fixed 5 s", |_, _| 5.0, 123.5, [10_000, 10_000], Some([500.0, 995.0])),
    known(
        "nats.go at 850f889c: 2 s + U(0, 100 ms)",
        |_, rng| uniform(rng, 2.0, 2.1),
        69.5,
        [10_000, 1_788],
        Some([19.7, 58.6]),
    ),
    known(
        "async-nats at d00e6b58: 2^n ms, cap 4 s",
        async_nats,
        140.5,
        [60_000, 10_000],
        Some([400.0, 796.0]),
    ),
    known(
        "backon 1.6.0: 1 s · 2^n, cap 60 s",
        |failed, _| failed.grown(1.0, 2.0, 60.0),
        57.2,
        [10_000, 10_000],
        None,
    ),
    known(
        "backon 1.6.0 with_jitter: + 0 to 100 %",
        backon_with_jitter,
        7.0,
        [1_051, 28],
        Some([63.9, 118.0]),
    ),
    known(
        "stubborn-io 0.3.6: 1 s · 2^n ± 5 %, cap 30 s",
        stubborn_io,
        12.6,
        [5_050, 654],
        Some([121.0, 391.0]),
    ),
    known(
        "exponential-backoff 2.1.1: 100 ms · 2^n ± 30 %, cap 10 s",
        exponential_backoff,
        19.4,
        [10_000, 245],
        Some([14.4, 45.0]),
    ),
    known("tower 0.5: 50 ms · 2^n + 0 to 99 %, cap 10 s", tower, 20.1, [10_000, 267], Some([17.6, 58.8])),
    known(
        "grpc-go: 1 s · 1.6^n ± 20 % but the first, cap 120 s",
        grpc_go,
        9.9,
        [10_000, 51],
        Some([57.8, 167.0]),
    ),
    known(
        "full jitter: U(0, 250 ms · 2^n), cap 30 s",
        |failed, rng| uniform(rng, 0.0, doubled(failed)),
        14.7,
        [5_259, 81],
        Some([10.2, 40.7]),
    ),
    known(
        "equal jitter: half of it fixed",
        |failed, rng| uniform(rng, doubled(failed) / 2.0, doubled(failed)),
        11.8,
        [5_981, 69],
        Some([11.7, 44.1]),
    ),
    known("decorrelated: U(250 ms, 3 · last), cap 30 s", decorrelated, 18.6, [2_448, 75], Some([11.5, 44.5])),
    known(
        "TigerBeetle's shape: 250 ms + U(0, 250 ms · 2^n), cap 30 s",
        tigerbeetle,
        14.5,
        [4_019, 81],
        Some([10.2, 39.7]),
    ),
    known(
        "the same, first delay U(0, 5 s) (RFC 6455 §7.2.3)",
        tigerbeetle_spread,
        14.4,
        [957, 86],
        Some([10.3, 40.3]),
    ),
];

/// Of our rule, by an early model of it.
pub const OURS_ELSEWHERE: Elsewhere =
    Elsewhere { attempts: 11.3, peaks: [433, 89], back: Some([10.3, 38.8]) };

/// gRPC as its specification has it: jitter from the first delay on, counted from the start of the attempt.
pub(super) const GRPC_SPEC: Other = Other {
    delay: |failed, rng| around(rng, failed.grown(1.0, 1.6, 120.0), 0.2),
    counts_from: CountsFrom::Start,
};

const fn after(delay: Delay) -> Other {
    Other { delay, counts_from: CountsFrom::End }
}

fn doubled(failed: &Failed) -> f64 {
    failed.grown(0.25, 2.0, 30.0)
}

fn around(rng: &mut Rng, delay: f64, by: f64) -> f64 {
    uniform(rng, delay * (1.0 - by), delay * (1.0 + by))
}

/// At once, then 2 ms, 4 ms and so on.
fn async_nats(failed: &Failed, _: &mut Rng) -> f64 {
    if failed.times == 0 { 0.0 } else { failed.grown(0.001, 2.0, 4.0) }
}

/// Jitter of as much again, added after the cap.
fn backon_with_jitter(failed: &Failed, rng: &mut Rng) -> f64 {
    let delay = failed.grown(1.0, 2.0, 60.0);
    uniform(rng, delay, 2.0 * delay)
}

/// Clamped after jitter: at the cap everybody waits for as long.
fn stubborn_io(failed: &Failed, rng: &mut Rng) -> f64 {
    around(rng, failed.grown(1.0, 2.0, 1e9), 0.05).min(30.0)
}

/// Less by up to 30 %, or more by 15 to 30 %; then clamped to both ends.
fn exponential_backoff(failed: &Failed, rng: &mut Rng) -> f64 {
    let delay = failed.grown(0.1, 2.0, 1e9);
    let factor = if rng.up_to(1) == 0 { uniform(rng, 0.7, 1.0) } else { uniform(rng, 1.15, 1.3) };
    (delay * factor).clamp(0.1, 10.0)
}

/// Jitter gets what the cap leaves: at the cap, nothing.
fn tower(failed: &Failed, rng: &mut Rng) -> f64 {
    let delay = failed.grown(0.05, 2.0, 10.0);
    uniform(rng, delay, 1.99 * delay).min(10.0)
}

fn grpc_go(failed: &Failed, rng: &mut Rng) -> f64 {
    if failed.times == 0 { 1.0 } else { around(rng, failed.grown(1.0, 1.6, 120.0), 0.2) }
}

fn decorrelated(failed: &Failed, rng: &mut Rng) -> f64 {
    let last = if failed.times == 0 { 0.25 } else { failed.last };
    uniform(rng, 0.25, 3.0 * last).min(30.0)
}

fn tigerbeetle(failed: &Failed, rng: &mut Rng) -> f64 {
    0.25 + uniform(rng, 0.0, failed.grown(0.25, 2.0, 29.75))
}

fn tigerbeetle_spread(failed: &Failed, rng: &mut Rng) -> f64 {
    if failed.times == 0 { uniform(rng, 0.0, 5.0) } else { tigerbeetle(failed, rng) }
}

/// A client by a rule of another library.
struct Waiter {
    other: Other,
    failures: u32,
    last: f64,
    began: Instant,
    rng: Rng,
}

impl Waiter {
    fn delay(&mut self) -> Duration {
        self.last = (self.other.delay)(&Failed { times: self.failures, last: self.last }, &mut self.rng);
        Duration::from_nanos((self.last * 1e9).round() as u64)
    }
}

impl Client for Waiter {
    fn lost(&mut self, now: Instant, _: Cut) -> Instant {
        now + self.delay()
    }

    fn begins(&mut self, now: Instant) {
        self.began = now;
    }

    fn failed(&mut self, now: Instant, _: Failure) -> Instant {
        self.failures += 1;
        let from = if self.other.counts_from == CountsFrom::Start { self.began } else { now };
        now.max(from + self.delay())
    }

    fn connected(&mut self, _: Instant) {}
}

/// A client by the core's rule.
struct Ours<'p> {
    policy: &'p backoff::Policy,
    backoff: Backoff,
    began: Instant,
    rng: Rng,
}

impl Client for Ours<'_> {
    fn lost(&mut self, now: Instant, _: Cut) -> Instant {
        now + self.backoff.lost(self.policy, &mut self.rng, now.since(Instant::EPOCH), Proof::Answered)
    }

    fn begins(&mut self, now: Instant) {
        self.began = now;
    }

    fn failed(&mut self, now: Instant, _: Failure) -> Instant {
        now.max(self.began + self.backoff.failed(self.policy, &mut self.rng))
    }

    fn connected(&mut self, _: Instant) {}
}

/// Our rule, grown otherwise: the first window after a failure is `FIRST · W0`, and each is `PERCENT` of the last.
fn variant<const FIRST: u32, const PERCENT: u32>(failed: &Failed, rng: &mut Rng) -> f64 {
    if failed.times == 0 {
        return uniform(rng, 0.0, 5.0);
    }
    let grown = Failed { times: failed.times - 1, last: failed.last };
    0.25 + uniform(rng, 0.0, grown.grown(5.0 * f64::from(FIRST), f64::from(PERCENT) / 100.0, 29.75))
}

/// Our rule with a window of `W0 · 2^n` at every level.
pub(super) const WIDER: Other = after(variant::<2, 200>);

/// Ways in which our rule might grow.
pub(super) const VARIANTS: &[(&str, Other)] = &[
    ("windows W0 · 2^n", WIDER),
    ("windows W0 · 3^n", after(variant::<3, 300>)),
    ("windows W0 · 1.5^(n-1)", after(variant::<1, 150>)),
    ("windows W0 · 3^(n-1)", after(variant::<1, 300>)),
    ("windows W0", after(variant::<1, 100>)),
];

/// Our rule after a goodbye that asks to be left alone for `MILLIS`, if it were spread over W0 at least.
pub(super) const fn asked<const MILLIS: u32>() -> Other {
    after(|failed, rng| {
        let hint = f64::from(MILLIS) / 1e3;
        let window = if hint > 40.0 { hint / 8.0 } else { 5.0 };
        if failed.times == 0 { hint + uniform(rng, 0.0, window) } else { variant::<1, 200>(failed, rng) }
    })
}
