//! A herd: all clients of one server are cut off at one instant, the server stays away for a while, and comes back with
//! room for so many connections a second. How hard is it hit, and how soon is everybody back?
//!
//! # Theory of operation
//!
//! Time is virtual and goes from one attempt to the next. A client is whatever says when it will try: the delay rule of a
//! library, written down in [`rules`]; the core's own [`Backoff`](resound_core::backoff::Backoff); or a whole
//! [`Link`](resound_core::link::Link), told what a driver would tell it.
//!
//! ```text
//!    cut off                         server back
//!      0 ─────────── outage ────────────┬────────────────────────────►
//!      every attempt fails              in each 100 ms so many succeed, the rest fail
//! ```
//!
//! An attempt that fails is *refused*, in no time; or nothing is heard of it: then its SYN is sent again as Linux does,
//! and the attempt is given up after [`DEADLINE`]. What is counted in the second case are SYNs, which is what the server
//! and everything in front of it have to bear.
//!
//! It is not a model of a network: nothing takes time, and no client knows of another.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use resound_core::{Instant, Rng};

mod links;
mod report;
pub mod rules;

pub use report::markdown;

/// What peaks are counted in, and the server's room is given in.
pub const BUCKET: Duration = Duration::from_millis(100);

/// After so long an attempt of which nothing is heard has failed: the core's, and gRPC's.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Who is not back by then, so long after the server, is counted as not back.
const PATIENCE: Duration = Duration::from_secs(3600);

/// When a SYN that is not answered is sent again, after the first (`tcp_syn_linear_timeouts` = 4), before [`DEADLINE`].
const SYNS: [u64; 8] = [1, 2, 3, 4, 5, 7, 11, 19];

/// What happens to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herd {
    /// How many are cut off.
    pub clients: u32,
    /// For how long the server is away.
    pub outage: Duration,
    /// How many connections it accepts in each [`BUCKET`] from then on.
    pub room: u32,
    /// What becomes of an attempt that it does not accept.
    pub failure: Failure,
    /// How the connections were lost.
    pub cut: Cut,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Herd {
    /// The one that link-rules and the tables of other projects speak of: 10 000 clients, 500 a second, refusals.
    #[must_use]
    pub const fn usual(outage: Duration) -> Self {
        Self { clients: 10_000, outage, room: 50, failure: Failure::Refused, cut: Cut::Lost, seed: 1 }
    }
}

/// How an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// At once.
    Refused,
    /// By silence.
    TimedOut,
}

/// How everybody lost the connection. All but [`Lost`](Self::Lost) mean something to links only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It broke.
    Lost,
    /// The server said goodbye, and perhaps when to come again.
    Goodbye(Option<Duration>),
    /// It broke, and at the same moment every client is told that its own network has changed, or that its user is in a
    /// hurry: what they share went down, and is up again.
    Hurried,
}

/// Who has to come back.
trait Client {
    /// The connection is lost: when the first attempt begins.
    fn lost(&mut self, now: Instant, cut: Cut) -> Instant;
    /// An attempt begins.
    fn begins(&mut self, now: Instant);
    /// It has failed: when the next one begins.
    fn failed(&mut self, now: Instant, how: Failure) -> Instant;
    /// It has succeeded.
    fn connected(&mut self, now: Instant);
}

/// What it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Attempts of each client, the last one included, on average.
    pub attempts: f64,
    /// The most in one bucket while the server was away: attempts, or SYNs if nothing is heard of those that fail.
    pub peak_outage: u32,
    /// The same of first attempts alone.
    pub peak_first: u32,
    /// The same after the server had come back.
    pub peak_after: u32,
    /// When clients were connected again, after the server had come back, in order; who never was, is not among them.
    pub back: Vec<Duration>,
}

impl Outcome {
    /// When half of all clients were back.
    #[must_use]
    pub fn median(&self, clients: u32) -> Option<Duration> {
        self.back.get(clients as usize / 2).copied()
    }

    /// When all of them were.
    #[must_use]
    pub fn last(&self, clients: u32) -> Option<Duration> {
        self.back.get(clients as usize - 1).copied()
    }
}

/// S1 of link-rules: no bucket holds more first attempts than this, if they are spread evenly over `window`.
#[must_use]
pub fn first_wave_bound(clients: u32, window: Duration) -> f64 {
    let expected = f64::from(clients) * BUCKET.as_secs_f64() / window.as_secs_f64();
    expected + 6.0 * expected.sqrt()
}

/// The same of all attempts. While the last of the first wave begin, most of them are in their second and some in their
/// third: at `t` of the first window `W0` each client begins `(1 + t/W0 + (t/W0)²/4 + …)/W0` attempts a second.
#[must_use]
pub fn all_waves_bound(clients: u32, window: Duration) -> f64 {
    let expected = 2.3 * f64::from(clients) * BUCKET.as_secs_f64() / window.as_secs_f64();
    expected + 6.0 * expected.sqrt()
}

/// What happens next to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Begins,
    /// The SYN is sent again, for the nth time.
    Syn(u8),
    GivenUp,
}

/// Clients lose a connection that stood for so long; time begins with it.
const UP: Duration = Duration::from_secs(3600);

struct Play<'h, C> {
    herd: &'h Herd,
    clients: Vec<C>,
    events: BinaryHeap<Reverse<(Instant, u32, Next)>>,
    cut: Instant,
    /// By bucket since the cut.
    seen: Vec<u32>,
    first: Vec<u32>,
    /// What is left of the room of a bucket.
    room: (u64, u32),
    attempts: u64,
    back: Vec<Duration>,
}

fn play<C: Client>(herd: &Herd, mut clients: Vec<C>) -> Outcome {
    let cut = Instant::EPOCH + UP;
    let mut events = BinaryHeap::with_capacity(clients.len());
    for (client, nth) in clients.iter_mut().zip(0..) {
        events.push(Reverse((client.lost(cut, herd.cut), nth, Next::Begins)));
    }
    let first = first_wave(&events, cut);
    let (seen, back) = (Vec::new(), Vec::new());
    let mut play = Play { herd, clients, events, cut, seen, first, room: (0, 0), attempts: 0, back };
    let end = cut + herd.outage + PATIENCE;
    while let Some(Reverse((now, nth, next))) = play.events.pop() {
        if now > end {
            break;
        }
        play.happens(now, nth, next);
    }
    play.outcome()
}

fn first_wave(events: &BinaryHeap<Reverse<(Instant, u32, Next)>>, cut: Instant) -> Vec<u32> {
    let mut first = Vec::new();
    for Reverse((at, ..)) in events {
        count(&mut first, at.since(cut));
    }
    first
}

fn count(buckets: &mut Vec<u32>, after: Duration) {
    let bucket = (after.as_nanos() / BUCKET.as_nanos()) as usize;
    if buckets.len() <= bucket {
        buckets.resize(bucket + 1, 0);
    }
    buckets[bucket] += 1;
}

impl<C: Client> Play<'_, C> {
    fn happens(&mut self, now: Instant, nth: u32, next: Next) {
        let client = &mut self.clients[nth as usize];
        let (at, next) = match next {
            Next::GivenUp => (client.failed(now, Failure::TimedOut), Next::Begins),
            Next::Begins | Next::Syn(_) => {
                if next == Next::Begins {
                    self.attempts += 1;
                    client.begins(now);
                }
                count(&mut self.seen, now.since(self.cut));
                if accepts(self.herd, &mut self.room, self.cut, now) {
                    client.connected(now);
                    self.back.push(now.since(self.cut + self.herd.outage));
                    return;
                }
                match (self.herd.failure, next) {
                    (Failure::Refused, _) => (client.failed(now, Failure::Refused), Next::Begins),
                    (Failure::TimedOut, Next::Syn(sent)) => again(now, sent),
                    (Failure::TimedOut, _) => again(now, 0),
                }
            }
        };
        self.events.push(Reverse((at, nth, next)));
    }

    fn outcome(self) -> Outcome {
        let outage = (self.herd.outage.as_nanos() / BUCKET.as_nanos()) as usize;
        let (during, after) = self.seen.split_at(outage.min(self.seen.len()));
        let most = |buckets: &[u32]| buckets.iter().copied().max().unwrap_or(0);
        Outcome {
            attempts: self.attempts as f64 / self.clients.len() as f64,
            peak_outage: most(during),
            peak_first: most(&self.first),
            peak_after: most(after),
            back: self.back,
        }
    }
}

/// What follows the SYN that was sent for the nth time, counted from 0.
fn again(now: Instant, sent: u8) -> (Instant, Next) {
    let at = |nth: u8| Duration::from_secs(nth.checked_sub(1).map_or(0, |nth| SYNS[usize::from(nth)]));
    if usize::from(sent) < SYNS.len() {
        (now + (at(sent + 1) - at(sent)), Next::Syn(sent + 1))
    } else {
        (now + (DEADLINE - at(sent)), Next::GivenUp)
    }
}

fn accepts(herd: &Herd, room: &mut (u64, u32), cut: Instant, now: Instant) -> bool {
    let back = cut + herd.outage;
    if now < back {
        return false;
    }
    let bucket = (now.since(back).as_nanos() / BUCKET.as_nanos()) as u64;
    if room.0 != bucket {
        *room = (bucket, 0);
    }
    let free = room.1 < herd.room;
    room.1 += u32::from(free);
    free
}

/// A seed for each client.
fn seeds(herd: &Herd) -> impl Iterator<Item = u64> {
    let mut rng = Rng::from_seed(herd.seed);
    (0..herd.clients).map(move |_| rng.up_to(u64::MAX))
}
