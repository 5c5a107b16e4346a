//! Whether a server takes one more connection, and what it does when accepting fails.
//!
//! # Theory of operation
//!
//! Two questions come up in every server's accept loop, and both are answered here without a socket:
//!
//! ```text
//!   accept() = Ok(socket, peer)  ─►  accepted()         then  admit(peer)  ─►  serve it, or close it and say why
//!   a served connection is gone  ─►  release(peer)
//!   accept() = Err(signal)       ─►  failed(now, signal)  ─►  go on, pause until then, or give up
//!   before each accept()         ─►  resume(now)     if not:  ready_at() says when
//! ```
//!
//! **Limits.** There is one for all connections and one for each peer, so that one peer cannot take every place. An
//! IPv4 peer is an address; an IPv6 peer is a /64, of which anybody has 2⁶⁴ addresses. Peers are counted in a table
//! whose size never changes. Positions in it come from a keyed hash (SipHash-1-3): without the key nobody can choose
//! addresses that collide. Peers that find the table full are not counted, and only the limit for all holds them:
//! an attacker with many addresses can never make the server use more memory.
//!
//! **Failures.** An error of accept(2) may be about the connection that was about to be accepted, about this process
//! having run out of something, or about the listening socket. The first is passed over. The second cannot be: the
//! connection stays in the queue, the listener stays readable, and a loop that goes on spins. So it pauses, twice as
//! long each time, until an accept succeeds. Errors of the first kind in a long row end in a short pause too: whatever
//! the kernel says, the loop never spins.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::config::BadConfig;
use crate::signal::{Errno, Signal};
use crate::sources::{Source, Sources};
use crate::time::{Instant, nanos};

/// The limits of a server. [`Admission::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many connections at once. At least 1; 10 000 unless set.
    pub connections: u32,
    /// How many connections at once from one IPv4 address or one IPv6 /64. At least 1; 100 unless set.
    pub per_address: u32,
    /// How many addresses are counted at once; the table takes 20 to 40 bytes for each, always. 1 to 1 048 576;
    /// 10 000 unless set. With at least as many as `connections`, the table is never full.
    pub addresses: u32,
    /// The pause after the first accept that found no descriptor or no memory. 1 ms to 1 min; 10 ms unless set.
    pub first_pause: Duration,
    /// The longest such pause. At least the first pause, at most 1 min; 1 s unless set.
    pub longest_pause: Duration,
    /// An experiment: the pause before the first accept, in which the kernel's queue fills. Zero unless set.
    pub first_accept_after: Duration,
    /// An experiment: the only peer that is served. Everybody unless set.
    pub foreign: Option<Foreign>,
}

/// The one peer that a server restricts itself to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// Its address. An IPv4 address stands for its IPv4-mapped form too (RFC 4291 §2.5.5.2), and the other way round.
    pub ip: IpAddr,
    /// Its port; any, if there is none.
    pub port: Option<u16>,
}

impl Foreign {
    fn is(self, peer: SocketAddr) -> bool {
        self.ip.to_canonical() == peer.ip().to_canonical() && self.port.is_none_or(|port| port == peer.port())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_address: 100,
            addresses: 10_000,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            first_accept_after: Duration::ZERO,
            foreign: None,
        }
    }
}

impl Config {
    fn check(self) -> Result<(), BadConfig> {
        let minute = Duration::from_secs(60);
        let first_fits = Duration::from_millis(1) <= self.first_pause && self.first_pause <= minute;
        let longest_fits = self.first_pause <= self.longest_pause && self.longest_pause <= minute;
        BadConfig::unless(self.connections > 0, "admission.connections", "must be at least 1")?;
        BadConfig::unless(self.per_address > 0, "admission.per_address", "must be at least 1")?;
        let addresses_fit = (1..=1 << 20).contains(&self.addresses);
        BadConfig::unless(addresses_fit, "admission.addresses", "must be 1 to 1048576")?;
        BadConfig::unless(first_fits, "admission.first_pause", "must be 1 ms to 1 min")?;
        BadConfig::unless(
            longest_fits,
            "admission.longest_pause",
            "must be at least the first pause, at most 1 min",
        )
    }
}

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There are as many connections as there may be.
    Connections,
    /// This peer has as many connections as it may have.
    PerAddress,
    /// The server serves another peer only.
    Foreign,
    /// The server is shutting down.
    Draining,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "the server has all the connections it may have",
            Self::PerAddress => "the address has all the connections it may have",
            Self::Foreign => "the server serves another address only",
            Self::Draining => "the server is shutting down",
        })
    }
}

impl core::error::Error for Refusal {}

/// What to do about an accept that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcceptError {
    /// It was about one connection that is gone now: accept the next.
    Continue,
    /// Accept nothing before this time, and do not wait for the listener to become readable.
    Pause {
        /// When to go on.
        until: Instant,
    },
    /// The listening socket is of no use.
    Fatal,
}

/// What a server tells its program. `E` is what a connection's machine says when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<E> {
    /// A connection is served.
    Accepted {
        /// With whom.
        peer: SocketAddr,
        /// Which of this host's addresses was asked. `None`: it has ended already, and nobody knows any more.
        local: Option<SocketAddr>,
        /// The options of its socket, by the names that `setsockopt` knows, as the driver read them back. Empty unless
        /// the driver was told to.
        options: Vec<(&'static str, String)>,
    },
    /// A connection was accepted and reset at once.
    Refused {
        /// With whom.
        peer: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// Accepting failed; the server goes on after a pause, if one is needed.
    AcceptFailed {
        /// What accept(2) said.
        signal: Signal,
        /// What follows.
        then: AcceptError,
    },
    /// A connection said something; with the echo server, that it ended.
    Connection {
        /// With whom.
        peer: SocketAddr,
        /// What it said.
        event: E,
    },
    /// Every connection has ended after a drain or an abort. The last event.
    Done,
}

/// How many failures in a row are passed over before they cost a pause.
const PATIENCE: u32 = 64;

/// The connections a server has, counted.
///
/// ```
/// use core::net::SocketAddr;
///
/// use resound_core::Instant;
/// use resound_core::stream::admission::{Admission, Config, Refusal};
///
/// let key = [0x5eed, 0xcafe]; // a real program takes entropy
/// let mut admission = Admission::new(Config { per_address: 2, ..Config::default() }, key, Instant::EPOCH)?;
/// let [host, sibling, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.7"]
///     .map(|ip| SocketAddr::new(ip.parse().unwrap(), 40_000));
///
/// assert_eq!(admission.admit(host), Ok(()));
/// assert_eq!(admission.admit(sibling), Ok(()));
/// assert_eq!(admission.admit(host), Err(Refusal::PerAddress)); // one /64, one peer
/// assert_eq!(admission.admit(other), Ok(()));
/// admission.release(sibling);
/// assert_eq!(admission.admit(host), Ok(()));
/// assert_eq!(admission.live(), 3);
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
pub struct Admission {
    connections: u32,
    foreign: Option<Foreign>,
    live: u32,
    draining: bool,
    per_address: u32,
    /// How many connections each peer has.
    counts: Sources<u32>,
    /// Live connections whose peers found the table full.
    uncounted: u32,
    first_pause: u64,
    longest_pause: u64,
    /// The next pause, in nanoseconds.
    pause: u64,
    paused_until: Option<Instant>,
    /// Failures in a row that were passed over.
    passed_over: u32,
}

impl Admission {
    /// A server without connections, which listens since `now`. `key` is entropy that no peer can know.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] names the field that is out of bounds.
    pub fn new(config: Config, key: [u64; 2], now: Instant) -> Result<Self, BadConfig> {
        config.check()?;
        let wait = nanos(config.first_accept_after);
        Ok(Self {
            connections: config.connections,
            foreign: config.foreign,
            live: 0,
            draining: false,
            per_address: config.per_address,
            counts: Sources::new(config.addresses, key),
            uncounted: 0,
            first_pause: nanos(config.first_pause),
            longest_pause: nanos(config.longest_pause),
            pause: nanos(config.first_pause),
            paused_until: (wait > 0).then(|| now.after(wait)),
            passed_over: 0,
        })
    }

    /// Whether to serve a connection from `peer`. If so, tell [`release`](Self::release) when it has ended.
    ///
    /// # Errors
    ///
    /// Why not: close the connection, nothing was counted.
    pub fn admit(&mut self, peer: SocketAddr) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if !self.foreign.is_none_or(|foreign| foreign.is(peer)) {
            return Err(Refusal::Foreign);
        }
        if self.live >= self.connections {
            return Err(Refusal::Connections);
        }
        match self.counts.get_or_insert(Source::of(peer.ip()), 0) {
            Some(count) if *count >= self.per_address => return Err(Refusal::PerAddress),
            Some(count) => *count += 1,
            None => self.uncounted += 1,
        }
        self.live += 1;
        Ok(())
    }

    /// A connection that was admitted has ended. One release too many frees no place that was not taken.
    pub fn release(&mut self, peer: SocketAddr) {
        let source = Source::of(peer.ip());
        match self.counts.get_mut(source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => self.counts.remove(source),
            None if self.uncounted == 0 => return,
            None => self.uncounted -= 1,
        }
        self.live = self.live.saturating_sub(1);
    }

    /// How many connections there are.
    #[must_use]
    pub const fn live(&self) -> u32 {
        self.live
    }

    /// Admits nobody any more. What is live stays so until it is released.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// An accept succeeded: the next pause is a short one again.
    pub fn accepted(&mut self) {
        self.pause = self.first_pause;
        self.paused_until = None;
        self.passed_over = 0;
    }

    /// An accept failed with something other than EAGAIN.
    pub fn failed(&mut self, now: Instant, signal: Signal) -> AcceptError {
        match blame(signal) {
            Blame::Listener => AcceptError::Fatal,
            Blame::Connection => {
                self.passed_over += 1;
                if self.passed_over < PATIENCE {
                    return AcceptError::Continue;
                }
                self.pause_for(now, self.first_pause)
            }
            Blame::Shortage => {
                let pause = self.pause;
                self.pause = pause.saturating_mul(2).min(self.longest_pause);
                self.pause_for(now, pause)
            }
        }
    }

    fn pause_for(&mut self, now: Instant, pause: u64) -> AcceptError {
        self.passed_over = 0;
        let until = now.after(pause);
        self.paused_until = Some(until);
        AcceptError::Pause { until }
    }

    /// Whether to accept now, after a pause or without one. A pause that is over ends here; how long the next one will
    /// be is still remembered.
    #[must_use]
    pub fn resume(&mut self, now: Instant) -> bool {
        self.paused_until = self.paused_until.filter(|&until| now < until);
        self.paused_until.is_none()
    }

    /// The end of the pause, until [`resume`](Self::resume) or [`accepted`](Self::accepted) has ended it; `None`
    /// without a pause.
    #[must_use]
    pub const fn ready_at(&self) -> Option<Instant> {
        self.paused_until
    }
}

impl fmt::Debug for Admission {
    /// Leaves out the table, which is large, and the key, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("live", &self.live)
            .field("connections", &self.connections)
            .field("addresses", &self.counts.used())
            .field("uncounted", &self.uncounted)
            .field("draining", &self.draining)
            .field("paused_until", &self.paused_until)
            .finish_non_exhaustive()
    }
}

/// What an error of accept is about.
enum Blame {
    Connection,
    Shortage,
    Listener,
}

/// accept(2), "Error handling": Linux passes pending network errors of the new socket as errors of accept, and asks to
/// treat them like EAGAIN. EPERM is the packet filter's. What nobody has named is taken for a shortage: a pause costs
/// little, and neither a spin nor a server that gives up does good.
fn blame(signal: Signal) -> Blame {
    let Signal::Errno(errno) = signal else { return Blame::Connection };
    match errno {
        Errno::Again
        | Errno::ConnAborted
        | Errno::ConnRefused
        | Errno::ConnReset
        | Errno::HostDown
        | Errno::HostUnreach
        | Errno::Intr
        | Errno::NetDown
        | Errno::NetReset
        | Errno::NetUnreach
        | Errno::NoNet
        | Errno::NoProtoOpt
        | Errno::OpNotSupp
        | Errno::Perm
        | Errno::Proto
        | Errno::TimedOut => Blame::Connection,
        Errno::BadF | Errno::Inval | Errno::NotSock => Blame::Listener,
        _ => Blame::Shortage,
    }
}
