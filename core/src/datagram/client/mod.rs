//! The echo client over datagrams: many peers on one socket, and errors that reach the right one.
//!
//! # Theory of operation
//!
//! Each peer has a [`Link`] of its own. What is sent to it, a message of the program or a probe of the link, is a
//! *flight*: a datagram with a number and a tag, in one ring for all peers. Each ends once:
//!
//! ```text
//!                        ┌─► Echoed      its answer came back, from where it was sent to, with a valid tag
//!   accepted ─► Sent ────┤
//!                        └─► Lost        no answer in time, or somebody said why there will be none
//! ```
//!
//! An answer that comes after that is counted as late or as duplicated, and ends nothing twice.
//!
//! **Who is meant by an error.** An ICMP error names the address that the datagram was going to, and most quote enough of
//! it to hold the tag. So it is never charged to whom the next call happened to address:
//!
//! | it says | with a valid tag of a flight that is on its way | without |
//! |---|---|---|
//! | port unreachable | the peer is down | a probe is hastened |
//! | anything else | that flight is lost (the next probe of a dial keeps its time), a probe is hastened | a probe is hastened |
//!
//! Without a tag anybody could have made it up. It can neither convict nor, with one probe in each P', make this client
//! send more. The first since the peer was heard is
//! remembered, and given as the reason if the peer stays silent.
//!
//! **Silence.** Before a flight is given up or a peer convicted, the driver is asked to read what the kernel still holds
//! ([`Step::Examine`]). What was on its way while this host dropped datagrams, or did not let any out, convicts nobody: as
//! long as that goes on there are no verdicts, and [`Event::Overrun`] says why. Any answer is a sign of life, be it late or
//! double.
//!
//! Dialing is asking: the first answer makes the link stand. While a peer is down nothing is sent to it but what the
//! backoff allows.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use super::{Fact, Machine, Step};
use crate::config::BadConfig;
use crate::link::{self, Action, Link, State, Told};
use crate::rng::Rng;
use crate::signal::{Cause, Reason};
use crate::stream::Close;
use crate::time::{Instant, earliest};

mod agenda;
mod complaints;
mod config;
mod dialogue;
mod flights;
mod peers;
mod probe;
mod receiving;
mod sending;
mod verdicts;

pub use config::{Config, LONGEST_PAYLOAD};
pub use dialogue::{Event, NotAdded, PeerStatus, Refusal, Refused, Seq, Strays};
pub use peers::PeerId;
pub use probe::HEADER;

use flights::{Flights, Payloads};
use peers::Peers;
use probe::Key;

/// How long an examination may stay unanswered before it is asked for again.
const EXAMINE_AGAIN: Duration = Duration::from_millis(100);

/// Whether the driver has been asked to read what the kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Examine {
    No,
    /// To be asked; what was due at this time waits for it.
    Wanted(Instant),
    Asked(Instant),
}

/// Whether the socket takes datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlet {
    Open,
    Blocked,
}

/// What was dropped and has yet to be told, and not before that time.
#[derive(Clone, Copy, Debug)]
struct Overrun {
    untold: u32,
    next: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// No more messages; by then at the latest it ends.
    Closing(Instant),
    Closed,
}

/// An echo client for many peers on one socket.
///
/// ```
/// use resound_core::Instant;
/// use resound_core::datagram::client::{Client, Config, Event};
/// use resound_core::datagram::{Batch, Fact, Machine, Step, Train};
///
/// let now = Instant::EPOCH;
/// let mut client = Client::new(Config::default(), 42, [1, 2])?;
/// let addr = "192.0.2.1:7".parse().unwrap();
/// let peer = client.add(now, addr).unwrap();
/// client.send(now, peer, "hello".into()).unwrap();
///
/// let mut batch = Batch::new(65_536, 64, 64);
/// loop {
///     match client.poll() {
///         Step::Transmit => {
///             client.handle(now, Fact::Room { batch: &mut batch });
///             // A perfect network: what is sent comes straight back.
///             for run in batch.runs() {
///                 let train = Train { size: run.size, ..Train::one(run.to, batch.bytes(run)) };
///                 client.handle(now, Fact::Received { train: &train });
///             }
///             batch.clear();
///         }
///         Step::Event(Event::Echoed { payload, .. }) => {
///             assert_eq!(payload, "hello");
///             break;
///         }
///         _ => {}
///     }
/// }
/// # Ok::<(), resound_core::BadConfig>(())
/// ```
#[derive(Debug)]
pub struct Client {
    config: Config,
    policy: link::Policy,
    key: Key,
    rng: Rng,
    peers: Peers,
    flights: Flights,
    payloads: Payloads,
    /// Messages among the flights that have not ended.
    messages: usize,
    events: VecDeque<Event>,
    /// Peers to be judged once the kernel was examined.
    doubts: Vec<u32>,
    examine: Examine,
    outlet: Outlet,
    life: Life,
    /// When this host was last seen to have dropped datagrams, or to have begun again to take any.
    impaired: Option<Instant>,
    overrun: Overrun,
    strays: Strays,
    actions: Vec<Action>,
    /// The longest that a timer call of this turn was late.
    stalled: Option<Duration>,
    now: Instant,
}

impl Client {
    /// A client without peers. Everything random in it follows from `seed`. The tags of its datagrams follow from
    /// `secret`: 128 bits of entropy that no peer may learn, or it could forge the answers and errors of all others.
    ///
    /// # Errors
    ///
    /// Names the field of the configuration that cannot work.
    pub fn new(config: Config, seed: u64, secret: [u64; 2]) -> Result<Self, BadConfig> {
        Ok(Self {
            policy: config.check()?,
            config,
            key: Key::new(secret),
            rng: Rng::from_seed(seed),
            peers: Peers::new(secret),
            flights: Flights::default(),
            payloads: Payloads::default(),
            messages: 0,
            events: VecDeque::with_capacity(64),
            doubts: Vec::new(),
            examine: Examine::No,
            outlet: Outlet::Open,
            life: Life::Open,
            impaired: None,
            overrun: Overrun { untold: 0, next: Instant::EPOCH },
            strays: Strays::default(),
            actions: Vec::with_capacity(8),
            stalled: None,
            now: Instant::EPOCH,
        })
    }

    /// Adds a peer; it is asked for a first answer at once.
    ///
    /// # Errors
    ///
    /// Says why not. An IPv4-mapped address stands for the IPv4 address.
    pub fn add(&mut self, now: Instant, addr: SocketAddr) -> Result<PeerId, NotAdded> {
        self.now = self.now.max(now);
        let addr = canonical(addr);
        if self.life != Life::Open {
            return Err(NotAdded::Closed);
        }
        if !is_one_host(addr) {
            return Err(NotAdded::NotOneHost);
        }
        if let Some(index) = self.peers.find(addr) {
            return Err(NotAdded::Duplicate(self.peers.id(index)));
        }
        if self.peers.len() >= self.config.max_peers as usize {
            return Err(NotAdded::Full);
        }
        let id = self.peers.add(addr, Link::new(self.rng.up_to(u64::MAX)));
        self.tell(id.index, Told::Open { targets: 1 });
        Ok(id)
    }

    /// Removes a peer: what is on its way to it is told as lost, and nothing else is heard of it. False if no peer has
    /// this name (any more).
    pub fn remove(&mut self, now: Instant, peer: PeerId) -> bool {
        self.now = self.now.max(now);
        let known = self.peers.get(peer).is_some();
        if known {
            self.tell(peer.index, Told::Close { how: Close::Drop });
            self.lose_all(peer.index, Cause::local(Reason::Aborted));
            self.peers.remove(peer.index);
        }
        known
    }

    /// Sends a message, which is to come back. It may be sent to a peer that has not answered yet, but not to one that
    /// is down.
    ///
    /// # Errors
    ///
    /// Gives the payload back, and says why. Nothing has changed then.
    pub fn send(&mut self, now: Instant, peer: PeerId, payload: Bytes) -> Result<Seq, Refused> {
        self.now = self.now.max(now);
        if let Some(why) = self.refusal(peer, payload.len()) {
            return Err(Refused { why, payload });
        }
        self.messages += 1;
        let kind = self.payloads.keep(payload);
        Ok(Seq(self.launch(peer.index, kind)))
    }

    fn refusal(&self, peer: PeerId, len: usize) -> Option<Refusal> {
        if self.life != Life::Open {
            return Some(Refusal::Closed);
        }
        if len > LONGEST_PAYLOAD {
            return Some(Refusal::TooLong);
        }
        match self.peers.get(peer) {
            None => Some(Refusal::UnknownPeer),
            Some(peer) if peer.link.state() == State::Closed => Some(Refusal::GaveUp),
            Some(peer) if peer.link.current().is_none() => Some(Refusal::Down),
            Some(_) if self.messages >= self.config.max_in_flight => Some(Refusal::Full),
            Some(_) => None,
        }
    }

    /// The program does not want to wait for the next round: a peer that is down is asked soon. False if it does not wait
    /// for one.
    pub fn hurry(&mut self, now: Instant, peer: PeerId) -> bool {
        self.now = self.now.max(now);
        let waits = self.peers.get(peer).is_some_and(|peer| peer.link.state() == State::Waiting);
        if waits {
            self.tell(peer.index, Told::Hurry);
        }
        waits
    }

    /// Accepts nothing more, and ends as soon as every message has.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.life == Life::Open {
            // Those that are still to be sent get the time that they would have had.
            self.life = Life::Closing(self.now + self.config.timeout.saturating_mul(2));
            self.close_if_done();
        }
    }

    /// Ends at once; what is on its way is told as lost.
    pub fn abort(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.life == Life::Closed {
            return;
        }
        self.life = Life::Closed;
        self.doubts.clear();
        self.examine = Examine::No;
        for id in self.peers.ids().collect::<Vec<_>>() {
            self.remove(now, id);
        }
        self.events.push_back(Event::Closed);
    }

    fn close_if_done(&mut self) {
        if let Life::Closing(by) = self.life {
            if self.messages == 0 || by <= self.now {
                self.abort(self.now);
            }
        }
    }

    /// What is known of a peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<PeerStatus> {
        let peer = self.peers.get(peer)?;
        Some(PeerStatus {
            addr: peer.addr(),
            state: peer.link.state(),
            round_trip: peer.link.round_trip(),
            sent: peer.echoed + peer.lost + u64::from(peer.in_flight),
            echoed: peer.echoed,
            lost: peer.lost,
            in_flight: peer.in_flight,
            late: peer.late,
            duplicated: peer.duplicated,
            reordered: peer.reordered,
        })
    }

    /// Every peer.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.peers.ids()
    }

    /// The peer with this address.
    #[must_use]
    pub fn find(&self, addr: SocketAddr) -> Option<PeerId> {
        self.peers.find(canonical(addr)).map(|index| self.peers.id(index))
    }

    /// Messages accepted and not ended.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.messages
    }

    /// What came in and was nobody's.
    #[must_use]
    pub const fn strays(&self) -> Strays {
        self.strays
    }

    /// What the liveness rules promise with this configuration.
    #[must_use]
    pub const fn policy(&self) -> &link::Policy {
        &self.policy
    }

    // Links.

    #[inline]
    fn tell(&mut self, index: u32, told: Told) {
        let Some(peer) = self.peers.at_mut(index) else { return };
        peer.link.handle(&self.policy, self.now, told, &mut self.actions);
        if !self.actions.is_empty() {
            self.act_all(index);
        }
        self.arm(index);
    }

    /// Sees to it that the peer is brought up in time: by its own timer, or by the flight that it has to answer.
    #[inline]
    fn arm(&mut self, index: u32) {
        let Some(peer) = self.peers.at_mut(index) else { return };
        let Some(at) = peer.link.deadline() else { return };
        let watched = peer.newest > 0
            && self.flights.is_watched(peer.newest - 1)
            && at >= self.now + self.policy.liveness.patience();
        if !watched {
            self.peers.arm(index, at);
        }
    }

    #[inline(never)]
    fn act_all(&mut self, index: u32) {
        let mut actions = core::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(index, action);
        }
        // Telling more from within `act` may have left a shorter buffer here; keep the one that has grown.
        self.actions = actions;
    }

    fn act(&mut self, index: u32, action: Action) {
        match action {
            Action::Dial { .. } | Action::Probe { .. } => self.probe(index),
            Action::Examine { .. } => {
                self.doubts.push(index);
                self.want_examined();
            }
            // There is nothing to close: the socket is everybody's.
            Action::Close { .. } => {}
            Action::Event(event) => self.link_event(index, event),
        }
    }

    fn link_event(&mut self, index: u32, event: link::Event) {
        let peer = self.peers.id(index);
        let event = match event {
            link::Event::Dialing { conn, .. } => Event::Dialing { peer, attempt: conn },
            link::Event::Up { conn, .. } => Event::Up { peer, attempt: conn },
            link::Event::Suspect { unanswered } => Event::Suspect { peer, unanswered },
            link::Event::Retry { level, delay } => Event::Retry { peer, level, delay },
            link::Event::GaveUp { cause } => {
                self.events.push_back(Event::GaveUp { peer, cause });
                return self.lose_all(index, cause);
            }
            link::Event::Stalled { late } => {
                self.stalled = self.stalled.max(Some(late));
                return;
            }
            link::Event::DialFailed { conn, cause, .. } => {
                self.events.push_back(Event::DialFailed { peer, attempt: conn, cause });
                return self.lose_all(index, cause);
            }
            link::Event::Down { conn, cause, silent } => {
                let in_flight = self.messages_to(index);
                self.events.push_back(Event::Down { peer, attempt: conn, cause, in_flight, silent });
                return self.lose_all(index, cause);
            }
            link::Event::Closed => return,
        };
        self.events.push_back(event);
    }
}

impl Machine for Client {
    type Event = Event;

    #[inline]
    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        self.now = self.now.max(now);
        if self.life == Life::Closed {
            return;
        }
        match fact {
            Fact::Received { train } => self.received(train),
            Fact::Room { batch } => {
                self.unblocked();
                self.fill(batch);
            }
            Fact::Icmp { error, quote } => self.icmp(error, quote),
            Fact::Unsent { to, datagram, signal, mtu } => self.unsent(to, datagram, signal, mtu),
            Fact::Failed { op, signal } => self.events.push_back(Event::Failed { op, signal }),
            Fact::Overrun { lost } => self.overrun(lost),
            Fact::Blocked => self.outlet = Outlet::Blocked,
            Fact::Writable => self.unblocked(),
            Fact::Examined => self.examined(),
            Fact::Resumed => self.resumed(),
            Fact::Tick => self.tick(),
        }
        if let Life::Closing(_) = self.life {
            self.close_if_done();
        }
    }

    fn poll(&mut self) -> Step<Event> {
        if let Some(event) = self.events.pop_front() {
            return Step::Event(event);
        }
        if let Examine::Wanted(since) = self.examine {
            self.examine = Examine::Asked(since);
            return Step::Examine;
        }
        if self.outlet == Outlet::Open && self.flights.has_unsent() {
            return Step::Transmit;
        }
        Step::Wait(self.next_deadline())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let queued = !self.events.is_empty()
            || matches!(self.examine, Examine::Wanted(_))
            || (self.outlet == Outlet::Open && self.flights.has_unsent());
        if queued {
            return Some(Instant::EPOCH);
        }
        if self.life == Life::Closed {
            return None;
        }
        let flights = match self.examine {
            Examine::Asked(at) => Some(at + EXAMINE_AGAIN),
            _ => self.oldest_ends(),
        };
        let closing = if let Life::Closing(by) = self.life { Some(by) } else { None };
        let silence = self.flights.unanswered_at(self.policy.liveness.patience());
        let overrun = (self.overrun.untold > 0).then_some(self.overrun.next);
        earliest([self.peers.deadline(), silence, flights, overrun, closing])
    }

    fn is_done(&self) -> bool {
        self.life == Life::Closed && self.events.is_empty()
    }
}

/// A dual-stack socket names IPv4 peers in IPv6 form; to the client they are what they are.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) if addr.is_ipv6() => SocketAddr::new(ip.into(), addr.port()),
        _ => addr,
    }
}

fn is_one_host(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast || addr.port() == 0)
}
