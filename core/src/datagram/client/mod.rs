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
//! | anything else | that flight is lost, a probe is hastened | a probe is hastened |
//!
//! Without a tag anybody could have made it up. It can neither convict nor, with one probe in each P', make this client
//! send more. It is remembered, and given as the reason if the peer stays silent.
//!
//! **Silence.** Before a flight is given up or a peer convicted, the driver is asked to read what the kernel still holds
//! ([`Step::Examine`]). What was on its way while this host dropped datagrams, or did not let any out, convicts nobody.
//!
//! Dialing is asking: the first answer makes the link stand. While a peer is down nothing is sent to it but what the
//! backoff allows.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use super::{Batch, End, Fact, Machine, Step, Train};
use crate::config::BadConfig;
use crate::link::{self, Action, Link, State, Told};
use crate::liveness::Writing;
use crate::rng::Rng;
use crate::signal::{Cause, Errno, IcmpError, Op, Origin, Reason, Signal};
use crate::stream::{Close, ConnId, Established};
use crate::time::{Instant, earliest};

mod agenda;
mod config;
mod dialogue;
mod flights;
mod peers;
mod probe;

pub use config::{Config, LONGEST_PAYLOAD};
pub use dialogue::{Event, NotAdded, PeerStatus, Refusal, Refused, Seq, Strays};
pub use peers::PeerId;
pub use probe::HEADER;

use flights::{Flight, Flights, Kind, Seen, Stage};
use peers::{Peer, Peers};
use probe::{Claim, Header, Key};

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
    /// Messages among the flights that have not ended.
    messages: usize,
    events: VecDeque<Event>,
    /// Peers to be judged once the kernel was examined.
    doubts: Vec<u32>,
    examine: Examine,
    outlet: Outlet,
    life: Life,
    /// When this host was last seen to have dropped datagrams.
    deaf: Option<Instant>,
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
            messages: 0,
            events: VecDeque::with_capacity(64),
            doubts: Vec::new(),
            examine: Examine::No,
            outlet: Outlet::Open,
            life: Life::Open,
            deaf: None,
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
        Ok(Seq(self.launch(peer.index, Kind::Message, payload)))
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
            Some(peer) if peer.link.current().is_none() => Some(Refusal::Down),
            Some(_) if self.messages >= self.config.max_in_flight => Some(Refusal::Full),
            Some(_) => None,
        }
    }

    /// The program does not want to wait for the next round: a peer that is down is asked soon.
    pub fn hurry(&mut self, now: Instant, peer: PeerId) {
        self.now = self.now.max(now);
        if self.peers.get(peer).is_some() {
            self.tell(peer.index, Told::Hurry);
        }
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

    // Flights: from the launch to the end.

    /// Sees to it that a probe is on its way. One that waits to be sent will do.
    fn probe(&mut self, index: u32) {
        let waiting = |peer: &Peer| peer.newest > 0 && self.flights.is_waiting(peer.newest - 1);
        if self.peers.at(index).is_some_and(|peer| !waiting(peer)) {
            self.launch(index, Kind::Probe, Bytes::new());
        }
    }

    fn launch(&mut self, index: u32, kind: Kind, payload: Bytes) -> u64 {
        self.flights.forget(self.now, self.config.remember, self.config.remember_most);
        let number = self.flights.end();
        let Some(peer) = self.peers.at_mut(index) else { return number };
        let back = if peer.newest == 0 { 0 } else { u32::try_from(number + 1 - peer.newest).unwrap_or(0) };
        peer.newest = number + 1;
        peer.in_flight += 1;
        let standing = peer.link.conn();
        self.flights.push(Flight::new(self.now, index, back, kind, payload));
        if let Some(conn) = standing {
            self.tell(index, Told::Sent { conn });
        }
        number
    }

    fn fill(&mut self, batch: &mut Batch) {
        while let Some((number, flight)) = self.flights.next_unsent() {
            let index = flight.peer;
            let Some(peer) = self.peers.at_mut(index) else {
                self.flights.finish(number, Stage::Lost);
                continue;
            };
            let to = peer.addr();
            let Some(room) = batch.push(to, HEADER + flight.payload.len()) else {
                if batch.is_empty() {
                    // The driver's batch will never hold it.
                    self.lose(number, Cause::local(Reason::TooBig));
                    continue;
                }
                return;
            };
            let Some((head, payload)) = room.split_first_chunk_mut::<HEADER>() else { return };
            payload.copy_from_slice(&flight.payload);
            flight.leave(self.now);
            let conn = peer.link.current().map_or(0, ConnId::get);
            let generation = self.peers.id(index).generation;
            Header { index, generation, conn, number }.write(&self.key, to, head);
            self.flights.sent();
        }
    }

    /// Takes a flight off the books, if it has not ended before; its message, if it is one.
    fn end(&mut self, number: u64, stage: Stage) -> Option<(u32, Option<Bytes>)> {
        let flight = self.flights.get_mut(number)?;
        if !matches!(flight.stage, Stage::Queued | Stage::Sent) {
            return None;
        }
        let index = flight.peer;
        let payload = (flight.kind == Kind::Message).then(|| core::mem::take(&mut flight.payload));
        self.flights.finish(number, stage);
        self.messages -= usize::from(payload.is_some());
        if let Some(peer) = self.peers.at_mut(index) {
            peer.in_flight -= 1;
            match stage {
                Stage::Echoed => peer.echoed += 1,
                _ => peer.lost += 1,
            }
        }
        Some((index, payload))
    }

    fn lose(&mut self, number: u64, cause: Cause) {
        let Some((index, payload)) = self.end(number, Stage::Lost) else { return };
        if let Some(payload) = payload {
            let peer = self.peers.id(index);
            self.events.push_back(Event::Lost { peer, seq: Seq(number), payload, cause });
        }
        if let Some(conn) = self.peers.at(index).and_then(|peer| peer.link.conn()) {
            self.tell(index, Told::Waived { conn });
        }
        // It watched over the peer, perhaps.
        self.arm(index);
    }

    /// Every flight to a peer that has not ended, newest first.
    fn flights_to(&self, index: u32) -> impl Iterator<Item = (u64, &Flight)> {
        let peer = self.peers.at(index);
        let mut left = peer.map_or(0, |peer| peer.in_flight);
        let mut next = peer.and_then(|peer| peer.newest.checked_sub(1));
        core::iter::from_fn(move || {
            loop {
                let number = next.filter(|_| left > 0)?;
                let flight = self.flights.get(number)?;
                next = if flight.back == 0 { None } else { number.checked_sub(u64::from(flight.back)) };
                if matches!(flight.stage, Stage::Queued | Stage::Sent) {
                    left -= 1;
                    return Some((number, flight));
                }
            }
        })
    }

    fn messages_to(&self, index: u32) -> usize {
        self.flights_to(index).filter(|(_, flight)| flight.kind == Kind::Message).count()
    }

    #[inline(never)]
    fn lose_all(&mut self, index: u32, cause: Cause) {
        let numbers: Vec<u64> = self.flights_to(index).map(|(number, _)| number).collect();
        for number in numbers.into_iter().rev() {
            self.lose(number, cause);
        }
    }

    // What comes in.

    #[inline]
    fn received(&mut self, train: &Train<'_>) {
        let from = canonical(train.from);
        let count = train.count();
        for (at, datagram) in train.datagrams().enumerate() {
            let whole = train.end == End::Whole || at + 1 < count;
            self.answered(from, datagram, whole);
        }
    }

    fn answered(&mut self, from: SocketAddr, datagram: &[u8], whole: bool) {
        let Some(claim) = Claim::parse(datagram) else {
            self.strays.strangers += 1;
            return;
        };
        let Some(header) = claim.verify(&self.key, from) else { return self.misdirected(&claim, from) };
        let index = header.index;
        let id = PeerId { index, generation: header.generation };
        let Some(peer) = self.peers.get(id) else {
            self.strays.stale += 1;
            return;
        };
        let current = peer.link.current().filter(|conn| conn.get() == header.conn);
        let stage = match self.flights.get(header.number) {
            Some(flight) if flight.stage == Stage::Sent => {
                let same = whole && datagram[HEADER..] == flight.payload;
                let round_trip = self.now.since(flight.sent);
                return self.came_back(id, header.number, current, same, round_trip);
            }
            Some(flight) => Some((flight.stage, flight.kind, self.now.since(flight.sent))),
            None => None,
        };
        let Some(peer) = self.peers.at_mut(index) else { return };
        let seq = Seq(header.number);
        match stage {
            Some((Stage::Echoed | Stage::Late, kind, _)) => {
                peer.duplicated = peer.duplicated.saturating_add(1);
                if kind == Kind::Message {
                    self.events.push_back(Event::Duplicated { peer: id, seq });
                }
            }
            Some((_, kind, round_trip)) => {
                peer.late = peer.late.saturating_add(1);
                self.flights.finish(header.number, Stage::Late);
                if kind == Kind::Message {
                    self.events.push_back(Event::Late { peer: id, seq, round_trip });
                }
            }
            // Too long ago to know which; nothing that never was sent has a valid tag.
            None => peer.late = peer.late.saturating_add(1),
        }
        if let Some(conn) = current {
            self.alive(index, conn);
        }
    }

    /// A flight that was on its way came back.
    fn came_back(
        &mut self,
        peer: PeerId,
        number: u64,
        conn: Option<ConnId>,
        same: bool,
        round_trip: Duration,
    ) {
        let index = peer.index;
        if let Some(conn) = conn {
            self.alive(index, conn);
        }
        if !same {
            return self.lose(number, Cause::peer(Reason::Mismatch));
        }
        let Some((_, payload)) = self.end(number, Stage::Echoed) else { return };
        if let Some(peer) = self.peers.at_mut(index) {
            // How far the highest lies ahead. What lies further ahead than the newest of all was long ago.
            let ahead = peer.highest.wrapping_sub(number as u32);
            if ahead > 0 && u64::from(ahead) <= self.flights.end() - number {
                peer.reordered = peer.reordered.saturating_add(1);
            } else {
                peer.highest = (number + 1) as u32;
            }
        }
        if let Some(conn) = conn {
            self.tell(index, Told::Answered { conn, round_trip: Some(round_trip) });
        }
        if let Some(payload) = payload {
            self.events.push_back(Event::Echoed { peer, seq: Seq(number), payload, round_trip });
        }
    }

    /// Something came from a peer that only it can have sent.
    fn alive(&mut self, index: u32, conn: ConnId) {
        let Some(peer) = self.peers.at(index) else { return };
        if peer.link.conn() != Some(conn) {
            let due = peer.in_flight;
            self.tell(index, Told::Dialed { conn, result: Ok(Established::default()) });
            for _ in 0..due {
                self.tell(index, Told::Sent { conn });
            }
        }
        self.tell(index, Told::Heard { conn });
    }

    /// The tag is not one for the address that it came from.
    fn misdirected(&mut self, claim: &Claim<'_>, from: SocketAddr) {
        let Header { index, generation, number, .. } = claim.unverified();
        let id = PeerId { index, generation };
        let asked = self.peers.get(id).map(Peer::addr);
        if asked.and_then(|asked| claim.verify(&self.key, asked)).is_none() {
            self.strays.strangers += 1;
            return;
        }
        self.strays.wrong_address += 1;
        // Told once for each flight: whoever repeats the answer is only counted.
        if let Some(flight) = self.flights.get_mut(number).filter(|f| f.answers_elsewhere == Seen::No) {
            flight.answers_elsewhere = Seen::Yes;
            self.events.push_back(Event::WrongAddress { peer: id, from });
        }
    }

    // What is said about what was sent.

    fn icmp(&mut self, error: IcmpError, quote: &[u8]) {
        let Some(destination) = error.destination.map(canonical) else {
            self.strays.unattributed += 1;
            return;
        };
        let header = Claim::parse(quote).and_then(|claim| claim.verify(&self.key, destination));
        let cause = Signal::Icmp(error).cause(Op::Read);
        if let Some(header) = header {
            let id = PeerId { index: header.index, generation: header.generation };
            return match self.peers.get(id) {
                Some(_) => self.flight_failed(id, &header, cause, error.mtu),
                None => self.strays.stale += 1,
            };
        }
        match self.peers.find(destination) {
            Some(index) => self.rumour(index, cause, error.mtu),
            None => self.strays.unattributed += 1,
        }
    }

    /// Said of a datagram that this client wrote, by somebody who saw it.
    fn flight_failed(&mut self, id: PeerId, header: &Header, cause: Cause, mtu: Option<u32>) {
        let index = id.index;
        let on_its_way = self.flights.get(header.number).is_some_and(|f| f.stage == Stage::Sent);
        let Some(conn) =
            self.peers.at(index).and_then(|peer| peer.link.current()).filter(|c| c.get() == header.conn)
        else {
            self.strays.stale += 1;
            return;
        };
        if !on_its_way {
            // Its flight has ended already: an error that comes twice, or late.
            return self.rumour(index, cause, mtu);
        }
        if cause.reason == Reason::PortUnreach {
            return self.over(index, conn, cause);
        }
        self.trouble(id, cause, mtu);
        self.fail(index, header.number, cause);
        self.tell(index, Told::Hint { conn, cause: Some(cause) });
    }

    /// A flight will not be answered. The probe of a dial stays on the books until its time is over: the next one
    /// follows then, and no sooner.
    fn fail(&mut self, index: u32, number: u64, cause: Cause) {
        let stands = self.peers.at(index).is_some_and(|peer| peer.link.conn().is_some());
        let message = self.flights.get(number).is_some_and(|flight| flight.kind == Kind::Message);
        if stands || message {
            self.lose(number, cause);
        }
    }

    /// The attempt failed, or the connection is over.
    fn over(&mut self, index: u32, conn: ConnId, cause: Cause) {
        let stands = self.peers.at(index).is_some_and(|peer| peer.link.conn().is_some());
        self.tell(
            index,
            if stands { Told::Ended { conn, cause } } else { Told::Dialed { conn, result: Err(cause) } },
        );
    }

    /// Said about a peer's address, with nothing to prove that it concerns anything that was sent there.
    fn rumour(&mut self, index: u32, cause: Cause, mtu: Option<u32>) {
        let Some(peer) = self.peers.at(index) else { return };
        let Some(conn) = peer.link.current() else {
            self.strays.stale += 1;
            return;
        };
        // The first one since the peer was heard is news. All others count for no more than that there are any.
        let news = peer.link.hint().is_none();
        if news {
            self.trouble(self.peers.id(index), cause, mtu);
        }
        let cause = Some(cause).filter(|_| news);
        self.tell(index, Told::Hint { conn, cause });
    }

    fn trouble(&mut self, peer: PeerId, cause: Cause, mtu: Option<u32>) {
        self.events.push_back(if cause.reason == Reason::TooBig {
            Event::TooBig { peer, mtu }
        } else {
            Event::Trouble { peer, cause }
        });
    }

    fn unsent(&mut self, to: SocketAddr, datagram: &[u8], signal: Signal, mtu: Option<u32>) {
        let header = Claim::parse(datagram).and_then(|claim| claim.verify(&self.key, canonical(to)));
        let Some(header) = header else { return };
        let id = PeerId { index: header.index, generation: header.generation };
        // The call itself failed: whatever the number can mean elsewhere, here this host said it.
        let cause = Cause { origin: Origin::Local, ..signal.cause(Op::Write) };
        let Some(peer) = self.peers.get(id) else { return self.lose(header.number, cause) };
        let stands = peer.link.conn().is_some();
        let current = peer.link.current().filter(|conn| conn.get() == header.conn);
        let Some(conn) = current else { return self.lose(header.number, cause) };
        match signal {
            // A queue of this host was full: that says nothing about the way to the peer.
            Signal::Errno(Errno::NoBufs | Errno::NoMem) => {
                self.deaf = Some(self.now);
                self.fail(id.index, header.number, cause);
            }
            // It says nothing about shorter ones.
            Signal::Errno(Errno::MsgSize) => {
                self.trouble(id, cause, mtu);
                self.fail(id.index, header.number, cause);
            }
            _ if stands => {
                self.trouble(id, cause, mtu);
                self.lose(header.number, cause);
                self.tell(id.index, Told::Hint { conn, cause: Some(cause) });
            }
            _ => self.over(id.index, conn, cause),
        }
    }

    fn overrun(&mut self, lost: u32) {
        self.deaf = Some(self.now);
        self.strays.overrun += u64::from(lost);
        self.events.push_back(Event::Overrun { lost });
    }

    // Time.

    fn want_examined(&mut self) {
        if self.examine == Examine::No {
            self.examine = Examine::Wanted(self.now);
        }
    }

    /// When the oldest flight is given up.
    fn oldest_ends(&self) -> Option<Instant> {
        self.flights.oldest().map(|(_, flight)| flight.sent + self.config.timeout)
    }

    fn tick(&mut self) {
        // While steps are queued the driver is behind, not the peers; the deadline stays due.
        if !self.events.is_empty() {
            return;
        }
        match self.examine {
            Examine::No if self.oldest_ends().is_some_and(|at| at <= self.now) => self.want_examined(),
            Examine::Asked(at) if at + EXAMINE_AGAIN <= self.now => {
                self.examine = Examine::Wanted(self.now);
            }
            _ => {}
        }
        while let Some(index) = self.flights.unanswered(self.now, self.policy.liveness.patience()) {
            self.arm(index);
        }
        while let Some(index) = self.peers.due(self.now) {
            self.attend(index);
        }
        self.tell_stalled();
        self.close_if_done();
    }

    fn attend(&mut self, index: u32) {
        if self.peers.at(index).is_some_and(|peer| peer.link.state() == State::Dialing) {
            // The round's end is a verdict as well.
            self.doubts.push(index);
            return self.want_examined();
        }
        self.void_if_deaf(index);
        self.tell(index, Told::Tick);
    }

    /// A probe that was on its way while this host dropped datagrams, or let none out, convicts nobody. True if it was so.
    fn void_if_deaf(&mut self, index: u32) -> bool {
        if self.outlet == Outlet::Blocked {
            self.deaf = Some(self.now);
        }
        let Some(deaf) = self.deaf else { return false };
        let Some(link) = self.peers.at(index).map(|peer| &peer.link) else { return false };
        let (Some(conn), Some(probed)) = (link.conn(), link.probed()) else { return false };
        if probed <= deaf {
            self.tell(index, Told::Voided { conn });
        }
        probed <= deaf
    }

    fn tell_stalled(&mut self) {
        if let Some(late) = self.stalled.take() {
            self.events.push_back(Event::Stalled { late });
        }
    }

    /// The kernel has been read: what was due when that was asked for can be judged.
    fn examined(&mut self) {
        let Examine::Asked(asked) = self.examine else { return };
        self.examine = Examine::No;
        while let Some((number, flight)) = self.flights.oldest() {
            if flight.sent + self.config.timeout > asked {
                break;
            }
            self.give_up_flight(number, (flight.sent, flight.kind, flight.peer));
        }
        for index in core::mem::take(&mut self.doubts) {
            let Some(link) = self.peers.at(index).map(|peer| &peer.link) else { continue };
            match link.conn() {
                None => self.tell(index, Told::Tick),
                Some(conn) if !self.void_if_deaf(index) => {
                    self.tell(index, Told::Examined { conn, kernel: None, writing: Writing::Free });
                }
                Some(_) => {}
            }
        }
        self.tell_stalled();
        self.close_if_done();
    }

    fn give_up_flight(&mut self, number: u64, flight: (Instant, Kind, u32)) {
        let (sent, kind, index) = flight;
        let deaf = self.deaf.is_some_and(|at| at >= sent);
        let cause = if deaf { Cause::local(Reason::NoBuffers) } else { Cause::timer(Reason::NoEcho) };
        self.lose(number, cause);
        // A first datagram that was lost on the way is no reason to wait for the round's end.
        let dialing = self.peers.at(index).is_some_and(|peer| peer.link.state() == State::Dialing);
        if dialing && kind == Kind::Probe {
            self.probe(index);
        }
    }

    fn resumed(&mut self) {
        for id in self.peers.ids().collect::<Vec<_>>() {
            self.tell(id.index, Told::Resumed);
        }
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
                self.outlet = Outlet::Open;
                self.fill(batch);
            }
            Fact::Icmp { error, quote } => self.icmp(error, quote),
            Fact::Unsent { to, datagram, signal, mtu } => self.unsent(to, datagram, signal, mtu),
            Fact::Failed { op, signal } => self.events.push_back(Event::Failed { op, signal }),
            Fact::Overrun { lost } => self.overrun(lost),
            Fact::Blocked => self.outlet = Outlet::Blocked,
            Fact::Writable => self.outlet = Outlet::Open,
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
        earliest([self.peers.deadline(), silence, flights, closing])
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
