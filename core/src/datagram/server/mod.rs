//! The echo server over UDP (RFC 862): which datagrams go back, and which never do.
//!
//! # Theory of operation
//!
//! A datagram's source address is only a claim. A server that answers whatever comes in can be made to send to anybody,
//! and two servers that answer each other never stop: one forged datagram is enough, because an echo cannot be told
//! from a question. So each train passes a row of checks before any of it goes back:
//!
//! ```text
//!   train ─► whole? ─► to one host? ─► to the address, from the peer that it is restricted to? ─► can be answered?
//!              │           │                         │                                                │
//!              ▼           ▼                         ▼                                                ▼
//!         ─► not from a reflecting port? ─► not from a port served here? ─► within the source's limit? ─► echo
//! ```
//!
//! Each check has its word ([`Ignored`]), its counter ([`Counts`]) and its event. What comes back is never more than
//! what came in, neither in datagrams nor in bytes: a driver sends from where the datagrams lie, and all that is decided
//! here is how many of them.
//!
//! **The limit.** The checks by port cannot see a loop between two servers on ports that nobody has listed. The limit
//! can: each source may have so many datagrams per second answered, and what is ignored ends a loop. A loop that goes
//! round faster than the limit uses up the burst and ends; a slower one, over a long path, is never more than the limit
//! allows. The table of sources has a fixed size. A source is in it only while it is short of its full burst:
//! each answer holds a place for `1/rate`. To keep the table full, a flood of forged sources must therefore bring
//! `sources × rate` datagrams each second, 10 million with the defaults; while it does, the sources that find no place
//! share one limit, and when it ends, the places are free again after `burst/rate`.
//!
//! **Floods fill neither memory nor a log.** An event of a kind is told at once, and then at most once in a second, with
//! how often it happened since. The sums are those of the counters.
//!
//! **Overruns.** The kernel attaches the number of datagrams that it dropped to those that it did not drop. What was
//! dropped behind the last one would never be heard of, so that within a second after datagrams came in the driver is
//! asked to examine the socket ([`Step::Examine`]). A server to whom nobody speaks has no deadline.
//!
//! ICMP errors about echoes change nothing here: whoever asked has left, and there is nothing to be retried.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::AddAssign;

use super::{Cast, End, Fact, Machine, Step, Train};
use crate::config::BadConfig;
use crate::signal::{Op, Signal};
use crate::time::{Instant, earliest};

mod ignored;
mod limit;
mod notices;
mod reflecting;

pub use ignored::Ignored;
pub use reflecting::{Habit, REFLECTING, Reflecting};

use limit::Limiter;
use notices::Notices;

/// What a server answers. [`Server::new`] checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The UDP ports that this server listens on, as the kernel gave them: all of its sockets', not only this one's.
    /// What comes from such a port, of whatever host, is not answered. None unless set.
    pub own_ports: Vec<u16>,
    /// Answer only what was sent to this address of the host, known by packet info: where the driver cannot tell to
    /// which address a datagram was sent, nothing is answered. Any address unless set.
    pub only_local: Option<IpAddr>,
    /// Answer only this peer. Anybody unless set.
    pub only_remote: Option<Remote>,
    /// What to do with datagrams to a broadcast address or a multicast group. Ignored unless set: each server in the
    /// network would answer the one who asked.
    pub groups: Groups,
    /// How many datagrams per second of one source are answered in the long run: an IPv4 address, or an IPv6 /64.
    /// 1 to 10 000 000; 1 000 unless set, which is more than a thousand clients need that share an address and ask once
    /// a second. `None`: no limit; then two servers can be made to answer each other for ever.
    pub rate: Option<u32>,
    /// How many of one source are answered at once after it was quiet. 1 to 1 048 576; 1 000 unless set.
    pub burst: u32,
    /// How many sources are remembered at once; the table takes 30 to 60 bytes for each, always. 1 to 1 048 576;
    /// 10 000 unless set.
    pub sources: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            own_ports: Vec::new(),
            only_local: None,
            only_remote: None,
            groups: Groups::Ignore,
            rate: Some(1_000),
            burst: 1_000,
            sources: 10_000,
        }
    }
}

/// The only peer that is answered: the textbook's foreign address.
///
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use resound_core::datagram::server::Remote;
///
/// let host: IpAddr = "192.0.2.1".parse().unwrap();
/// assert_eq!(Remote::from(host).port, None);
/// let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
/// assert_eq!(Remote::from(peer), Remote { ip: host, port: Some(40_000) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; `None`: any.
    pub port: Option<u16>,
}

impl Remote {
    fn is(self, peer: SocketAddr) -> bool {
        self.ip == peer.ip().to_canonical() && self.port.is_none_or(|port| port == peer.port())
    }
}

impl From<IpAddr> for Remote {
    fn from(ip: IpAddr) -> Self {
        Self { ip, port: None }
    }
}

impl From<SocketAddr> for Remote {
    fn from(peer: SocketAddr) -> Self {
        Self { ip: peer.ip(), port: Some(peer.port()) }
    }
}

/// What to do with datagrams that were sent to many hosts at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Groups {
    /// Ignore them.
    #[default]
    Ignore,
    /// Answer them like any other.
    Answer,
}

impl Config {
    fn check(&self) -> Result<(), BadConfig> {
        let most = 1 << 20;
        let no_zero = !self.own_ports.contains(&0);
        BadConfig::unless(
            no_zero,
            "server.own_ports",
            "must not hold 0: take the ports that the sockets have",
        )?;
        let heard = |ip: IpAddr| {
            let is_group = ip.is_multicast() || is_broadcast(ip);
            !ip.is_unspecified() && (!is_group || self.groups == Groups::Answer)
        };
        BadConfig::unless(
            self.only_local.is_none_or(heard),
            "server.only_local",
            "must be an address of this host, or a group if groups are answered",
        )?;
        BadConfig::unless(
            self.only_remote.is_none_or(|remote| self.can_answer(remote)),
            "server.only_remote",
            "must be one host, and not a port from which nothing is ever answered",
        )?;
        let rate_fits = self.rate.is_none_or(|rate| (1..=10_000_000).contains(&rate));
        BadConfig::unless(rate_fits, "server.rate", "must be 1 to 10000000 per second; None is no limit")?;
        BadConfig::unless((1..=most).contains(&self.burst), "server.burst", "must be 1 to 1048576")?;
        BadConfig::unless((1..=most).contains(&self.sources), "server.sources", "must be 1 to 1048576")
    }

    fn can_answer(&self, remote: Remote) -> bool {
        let fits = |port| port != 0 && Reflecting::find(port).is_none() && !self.own_ports.contains(&port);
        is_one_host(remote.ip) && remote.port.is_none_or(fits)
    }
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.is_broadcast())
}

/// Whether an address can be that of one host. Which ones are the broadcast addresses of a network cannot be seen.
fn is_one_host(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip))
}

/// What a server tells its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Datagrams were not answered. At once for the first, then at most once in a second for each reason.
    Ignored {
        /// Why.
        why: Ignored,
        /// Where the last of them came from, as it says.
        from: SocketAddr,
        /// How many, since this was last told with this reason.
        count: u64,
    },
    /// The kernel had no room for datagrams, and dropped them. At most once in a second.
    Overrun {
        /// How many, since this was last told.
        lost: u64,
    },
    /// A call failed, or an echo could not be sent ([`Op::Write`]). At most once in a second for each kind of call.
    Failed {
        /// Which call.
        op: Op,
        /// What it said last.
        signal: Signal,
        /// How often, since this was last told of such a call.
        count: u64,
    },
    /// The server was stopped. The last event.
    Stopped,
}

/// What a server has done. `received = echoed + unsent +` the sum of what was ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came in.
    pub received: u64,
    /// Datagrams that were given to the driver to be sent back, without those that it could not send.
    pub echoed: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// Datagrams that were to be sent back, and that the system refused to send.
    pub unsent: u64,
    /// Datagrams that the kernel dropped for want of room; they are in no other number.
    pub overrun: u64,
    ignored: [u64; Ignored::ALL.len()],
}

impl Counts {
    /// Datagrams that were not answered for this reason.
    #[must_use]
    pub const fn ignored(&self, why: Ignored) -> u64 {
        self.ignored[why as usize]
    }
}

/// What several servers have done together.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.echoed += other.echoed;
        self.bytes += other.bytes;
        self.unsent += other.unsent;
        self.overrun += other.overrun;
        for (sum, count) in self.ignored.iter_mut().zip(other.ignored) {
            *sum += count;
        }
    }
}

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// It answers nothing more; what is left to tell is told.
    Stopping,
    Stopped,
}

/// Within how long after datagrams came in the driver is asked to look for overruns.
const LOOK: u64 = 1_000_000_000;

/// The echo server behind one socket.
///
/// ```
/// use resound_core::Instant;
/// use resound_core::datagram::server::{Config, Event, Ignored, Server};
/// use resound_core::datagram::{Fact, Machine, Step, Train};
///
/// let key = [0x5eed, 0xcafe]; // a real program takes entropy
/// let mut server = Server::new(Config { own_ports: vec![9_000], ..Config::default() }, key)?;
///
/// let train = Train::one("192.0.2.1:40000".parse().unwrap(), b"hello");
/// server.handle(Instant::EPOCH, Fact::Received { train: &train });
/// assert_eq!(train.echo.get(), 1);
///
/// let (why, from) = (Ignored::OwnPort, "192.0.2.1:9000".parse().unwrap());
/// let train = Train::one(from, b"from another server");
/// server.handle(Instant::EPOCH, Fact::Received { train: &train });
/// assert_eq!(train.echo.get(), 0);
/// assert_eq!(server.poll(), Step::Event(Event::Ignored { why, from, count: 1 }));
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
#[derive(Debug)]
pub struct Server {
    /// Sorted.
    own_ports: Box<[u16]>,
    only_local: Option<IpAddr>,
    only_remote: Option<Remote>,
    groups: Groups,
    limiter: Option<Limiter>,
    life: Life,
    /// The latest time that was told.
    now: Instant,
    /// When to look for what the kernel dropped behind the last datagram that came in.
    look_at: Option<Instant>,
    examine: bool,
    counts: Counts,
    notices: Notices,
}

impl Server {
    /// A server to whom nothing was said yet. Allocates its table of sources, here and never again. `key` is entropy
    /// that no peer can know.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] names the field that is out of bounds.
    pub fn new(config: Config, key: [u64; 2]) -> Result<Self, BadConfig> {
        config.check()?;
        let mut own_ports = config.own_ports;
        own_ports.sort_unstable();
        own_ports.dedup();
        Ok(Self {
            own_ports: own_ports.into_boxed_slice(),
            only_local: config.only_local.map(|ip| ip.to_canonical()),
            only_remote: config.only_remote.map(|remote| Remote { ip: remote.ip.to_canonical(), ..remote }),
            groups: config.groups,
            limiter: config.rate.map(|rate| Limiter::new(rate, config.burst, config.sources, key)),
            life: Life::Serving,
            now: Instant::EPOCH,
            look_at: None,
            examine: false,
            counts: Counts::default(),
            notices: Notices::default(),
        })
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Answers nothing from now on. What was not told yet is told at once, [`Event::Stopped`] last.
    pub fn stop(&mut self) {
        if self.life == Life::Serving {
            self.life = Life::Stopping;
            (self.look_at, self.examine) = (None, false);
            self.notices.tell_all();
        }
    }

    fn received(&mut self, train: &Train<'_>) {
        let all = train.count();
        self.counts.received += all as u64;
        let echo = if self.life == Life::Serving {
            self.look_at = self.look_at.or(Some(self.now.after(LOOK)));
            self.judge(train, all)
        } else {
            self.counts.ignored[Ignored::Stopped as usize] += all as u64;
            0
        };
        let bytes = if echo == all { train.bytes.len() } else { train.size.saturating_mul(echo) };
        self.counts.echoed += echo as u64;
        self.counts.bytes += bytes as u64;
        train.echo.set(echo);
    }

    /// How many of a train go back.
    fn judge(&mut self, train: &Train<'_>, all: usize) -> usize {
        let whole = match train.end {
            End::Whole => all,
            // Half an echo is none.
            End::Truncated => all - 1,
        };
        self.ignore(Ignored::Truncated, train.from, all - whole);
        let (echo, why) = match (self.objection(train), &mut self.limiter) {
            (Some(why), _) => (0, why),
            (None, None) => (whole, Ignored::RateLimit),
            (None, Some(limiter)) => (limiter.take(self.now, train.from.ip(), whole), Ignored::RateLimit),
        };
        self.ignore(why, train.from, whole - echo);
        echo
    }

    /// Why none of a train may be answered, however few they are.
    fn objection(&self, train: &Train<'_>) -> Option<Ignored> {
        let port = train.from.port();
        let to = train.to.map(|ip| ip.to_canonical());
        match train.cast {
            Cast::Broadcast if self.groups == Groups::Ignore => Some(Ignored::Broadcast),
            Cast::Multicast if self.groups == Groups::Ignore => Some(Ignored::Multicast),
            _ if self.only_local.is_some() && self.only_local != to => Some(Ignored::LocalAddress),
            _ if self.only_remote.is_some_and(|remote| !remote.is(train.from)) => {
                Some(Ignored::RemoteAddress)
            }
            _ if port == 0 || !is_one_host(train.from.ip()) => Some(Ignored::Unanswerable),
            _ if Reflecting::find(port).is_some() => Some(Ignored::ReflectingPort),
            _ if self.own_ports.binary_search(&port).is_ok() => Some(Ignored::OwnPort),
            _ => None,
        }
    }

    fn ignore(&mut self, why: Ignored, from: SocketAddr, n: usize) {
        self.counts.ignored[why as usize] += n as u64;
        self.notices.ignored(self.now, why, from, n as u64);
    }

    /// An echo was counted as it was handed over, and has not left.
    fn unsent(&mut self, datagram: &[u8], signal: Signal) {
        if self.counts.echoed > 0 {
            self.counts.echoed -= 1;
            self.counts.unsent += 1;
            self.counts.bytes = self.counts.bytes.saturating_sub(datagram.len() as u64);
        }
        self.failed(Op::Write, signal);
    }

    fn failed(&mut self, op: Op, signal: Signal) {
        if self.life == Life::Serving {
            self.notices.failed(self.now, op, signal);
        }
    }

    fn overrun(&mut self, lost: u32) {
        self.counts.overrun += u64::from(lost);
        if self.life == Life::Serving {
            self.notices.overrun(self.now, u64::from(lost));
        }
    }

    fn tick(&mut self) {
        if self.look_at.is_some_and(|at| at <= self.now) {
            self.look_at = None;
            self.examine = true;
        }
        self.notices.tick(self.now);
    }

    fn pending(&self) -> bool {
        self.examine || self.life == Life::Stopping || self.notices.pending()
    }
}

impl Machine for Server {
    type Event = Event;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        self.now = self.now.max(now);
        match fact {
            Fact::Received { train } => self.received(train),
            Fact::Unsent { datagram, signal, .. } => self.unsent(datagram, signal),
            Fact::Failed { op, signal } => self.failed(op, signal),
            Fact::Overrun { lost } => self.overrun(lost),
            Fact::Tick => self.tick(),
            // It has nothing to send of its own, and what the socket does not take is kept by the driver.
            Fact::Room { .. } | Fact::Blocked | Fact::Writable => {}
            Fact::Icmp { .. } | Fact::Examined | Fact::Resumed => {}
        }
    }

    fn poll(&mut self) -> Step<Event> {
        if core::mem::take(&mut self.examine) {
            Step::Examine
        } else if let Some(event) = self.notices.next() {
            Step::Event(event)
        } else if self.life == Life::Stopping {
            self.life = Life::Stopped;
            Step::Event(Event::Stopped)
        } else {
            Step::Wait(self.next_deadline())
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        earliest([self.pending().then_some(Instant::EPOCH), self.look_at, self.notices.deadline()])
    }

    fn is_done(&self) -> bool {
        self.life == Life::Stopped
    }
}
