//! Who is told what: registrations, attribution, queues and their limits. Pure: no calls, no clock.
//!
//! # Theory of operation
//!
//! ```text
//!   connect, register, refuse ──► clients ──► front, sent ──► one queue for each client
//!   receive(failure, table)   ──►    │
//!                                    └─────► journal ───────► standard output
//! ```
//!
//! A [`Failure`] is told to a client if all of this holds:
//!
//! 1. One of its registered sockets could have sent the datagram: the quoted source is its address and port, or its port
//!    and it is bound to all addresses.
//! 2. The kernel's table, read after the message came in, still lists that very socket (its inode number), and has its
//!    address. A socket that is gone ends its registration: the port may be anybody's by now.
//! 3. All sockets that could have sent it belong to one user. Otherwise nobody is told, and it is counted as withheld:
//!    to share a port by `SO_REUSEADDR` must not let users read each other's errors. Root is told nevertheless.
//!
//! The same failure is told once to each client, however many of its registrations it concerns.
//!
//! # Bounds
//!
//! The queue of a client holds [`Limits::queue`] lines. What finds no place is counted, and the count is told in the place
//! where the lines are missing. Two kinds of lines are never thrown away, because a client waits for them: answers, which
//! have room because a request is taken only while there is some ([`Machine::wants_request`]), and the ends of
//! registrations, of which there are no more than registrations. So no queue exceeds `queue + registrations`.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::num::NonZeroUsize;

use resound_core::Instant;
use resound_core::signal::IcmpError;
use resound_core::signal::icmp::{Protocol, Received};

use crate::protocol::{Event, Icmp, Line, Place, Who};
use crate::table::{Bound, Table};

mod queue;

use queue::Queue;

/// How much there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients.
    pub clients: NonZeroUsize,
    /// Registrations of one client.
    pub registrations: NonZeroUsize,
    /// Lines that wait for one client.
    pub queue: NonZeroUsize,
}

impl Limits {
    /// How many sockets one registration by port can have: a user can bind one port at many addresses.
    pub const SOCKETS: usize = 16;
}

impl Default for Limits {
    /// 64 clients with 64 registrations and 256 lines each.
    fn default() -> Self {
        let many = NonZeroUsize::MIN.saturating_add(63);
        Self { clients: many, registrations: many, queue: NonZeroUsize::MIN.saturating_add(255) }
    }
}

/// A UDP datagram of this host that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was said about it.
    pub error: IcmpError,
    /// Where it came from: an address of this host.
    pub source: SocketAddr,
    /// Where it was going.
    pub destination: SocketAddr,
    /// How much of its payload was quoted, in bytes.
    pub quoted: usize,
    /// The first of these bytes, at most [`Self::FIRST`].
    pub first: Vec<u8>,
}

impl Failure {
    /// How much of the payload is passed on, in bytes: enough for a sequence number or a magic word.
    pub const FIRST: usize = 32;

    /// `None` if it was no UDP datagram, or a fragment that does not say which.
    #[must_use]
    pub fn new(received: &Received<'_>) -> Option<Self> {
        let quote = &received.quote;
        if quote.protocol != Protocol::Udp {
            return None;
        }
        Some(Self {
            error: received.error,
            source: quote.source_addr()?,
            destination: quote.destination_addr()?,
            quoted: quote.payload.len(),
            first: quote.payload.iter().take(Self::FIRST).copied().collect(),
        })
    }
}

/// A client, for as long as its connection stands. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// There is no room for another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are as many clients as there may be")
    }
}

impl core::error::Error for Full {}

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Errors told to at least one client, or thrown away for want of room in a queue.
    pub told: u64,
    /// Errors that concerned nobody.
    pub unclaimed: u64,
    /// Errors that were told to nobody, because it was not sure whose they were.
    pub withheld: u64,
    /// Messages that could not be attributed.
    pub malformed: u64,
    /// Lines for which a queue had no room.
    pub dropped: u64,
    /// Messages that the kernel threw away.
    pub overflowed: u64,
    /// Clients that were let in.
    pub clients: u64,
    /// Clients and requests that were refused.
    pub refused: u64,
}

/// The decisions of the daemon.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    clients: BTreeMap<ClientId, Client>,
    /// Which clients have a registered socket with this port.
    ports: BTreeMap<u16, BTreeSet<ClientId>>,
    last: ClientId,
    journal: Vec<Line>,
    tally: Tally,
}

#[derive(Debug)]
struct Client {
    who: Who,
    queue: Queue,
    registrations: Vec<Registration>,
    last_registration: u32,
}

#[derive(Debug)]
struct Registration {
    id: u32,
    sockets: Vec<Bound>,
}

impl Machine {
    /// One without clients.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: BTreeMap::new(),
            ports: BTreeMap::new(),
            last: ClientId(0),
            journal: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The limits it keeps.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What is to be written to standard output since this was last asked.
    pub fn take_journal(&mut self) -> Vec<Line> {
        core::mem::take(&mut self.journal)
    }

    /// A client connected.
    ///
    /// # Errors
    ///
    /// If there are as many as there may be.
    pub fn connect(&mut self, now: Instant, who: Who) -> Result<ClientId, Full> {
        if self.clients.len() >= self.limits.clients.get() {
            self.tally.refused += 1;
            self.note(now, Some(who), Event::NotRegistered { why: Full.to_string().into() });
            return Err(Full);
        }
        self.last.0 += 1;
        self.tally.clients += 1;
        let client = Client {
            who,
            queue: Queue::new(self.limits.queue),
            registrations: Vec::new(),
            last_registration: 0,
        };
        self.clients.insert(self.last, client);
        Ok(self.last)
    }

    /// A client's connection is over.
    pub fn disconnect(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.ports.retain(|_, clients| {
            clients.remove(&client);
            !clients.is_empty()
        });
    }

    /// A client, as it was when it connected.
    #[must_use]
    pub fn who(&self, client: ClientId) -> Option<Who> {
        self.clients.get(&client).map(|client| client.who)
    }

    /// Whether a request of this client would be taken now. While not, leave it where it is.
    #[must_use]
    pub fn wants_request(&self, client: ClientId) -> bool {
        self.clients.get(&client).is_some_and(|client| client.queue.has_room())
    }

    /// A client asked for the errors of these sockets, which are its to ask for. Doing it twice is doing it once.
    pub fn register(&mut self, now: Instant, id: ClientId, sockets: Vec<Bound>) {
        let limit = self.limits.registrations.get();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let same = |registration: &&Registration| registration.sockets == sockets;
        if sockets.is_empty() || sockets.len() > Limits::SOCKETS {
            return self.refuse(now, id, "that is not a number of sockets that one registration can have");
        }
        let (registration, sockets) = match client.registrations.iter().find(same) {
            Some(known) => (known.id, addresses(&known.sockets)),
            None if client.registrations.len() >= limit => {
                let why = format!("this connection has {limit} registrations, and may have no more");
                return self.refuse(now, id, why);
            }
            None => {
                client.last_registration += 1;
                for socket in &sockets {
                    self.ports.entry(socket.local.port()).or_default().insert(id);
                }
                let told = addresses(&sockets);
                client.registrations.push(Registration { id: client.last_registration, sockets });
                (client.last_registration, told)
            }
        };
        self.answer(now, id, Event::Registered { registration, sockets });
    }

    /// A client asked for something that it does not get.
    pub fn refuse(&mut self, now: Instant, id: ClientId, why: impl Into<Cow<'static, str>>) {
        self.tally.refused += 1;
        self.answer(now, id, Event::NotRegistered { why: why.into() });
    }

    /// Whether anybody has registered a socket with that port. If so, [`Machine::receive`] needs a table that was read after
    /// the message had come in. The address does not matter yet: a `connect` changes that of a socket.
    #[must_use]
    pub fn concerns(&self, source: SocketAddr) -> bool {
        self.ports.contains_key(&source.port())
    }

    /// Whether a registered socket is not in the table.
    #[must_use]
    pub fn misses(&self, table: &Table) -> bool {
        let registrations = self.clients.values().flat_map(|client| &client.registrations);
        registrations.flat_map(|registration| &registration.sockets).any(|socket| socket.now(table).is_none())
    }

    /// Ends the registrations whose sockets are gone.
    pub fn settle(&mut self, now: Instant, table: &Table) {
        let mut ended = Vec::new();
        for (&id, client) in &mut self.clients {
            let mut gone = Vec::new();
            for registration in &mut client.registrations {
                registration.sockets =
                    registration.sockets.iter().filter_map(|socket| socket.now(table)).collect();
                if registration.sockets.is_empty() {
                    gone.push(registration.id);
                }
            }
            client.registrations.retain(|registration| !registration.sockets.is_empty());
            ended.extend(gone.into_iter().map(|registration| (id, registration)));
        }
        for (id, registration) in ended {
            self.answer(now, id, Event::Deregistered { registration, why: "the socket was closed".into() });
        }
        let clients = &self.clients;
        self.ports.retain(|&port, ids| {
            ids.retain(|id| clients.get(id).is_some_and(|client| client.has(port)));
            !ids.is_empty()
        });
    }

    /// A datagram failed. `table` was read after that was known; `None` if it could not be read, and then nobody is told.
    pub fn receive(&mut self, now: Instant, failure: &Failure, table: Option<&Table>) {
        if !self.concerns(failure.source) {
            self.tally.unclaimed += 1;
            return;
        }
        let Some(table) = table else {
            self.tally.withheld += 1;
            return;
        };
        self.settle(now, table);
        let port = failure.source.port();
        let suspects: Vec<&Bound> =
            table.at(port).iter().filter(|bound| bound.could_have_sent(failure.source)).collect();
        let ids: Vec<ClientId> = self.ports.get(&port).into_iter().flatten().copied().collect();
        let icmp = Arc::new(Icmp::from(failure));
        let (mut concerned, mut told) = (0, 0);
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let mut matching = client.matching(failure.source).peekable();
            if matching.peek().is_none() {
                continue;
            }
            concerned += 1;
            let alone = |owner: u32| suspects.iter().all(|suspect| suspect.owner == owner);
            if client.who.uid != 0 && !matching.any(|socket| alone(socket.owner)) {
                continue;
            }
            drop(matching);
            told += 1;
            self.tally.dropped += client.queue.offer(now, Line::new(now, Event::Icmp(Arc::clone(&icmp))));
        }
        match (concerned, told) {
            (0, _) => self.tally.unclaimed += 1,
            (_, 0) => self.tally.withheld += 1,
            _ => {
                self.tally.told += 1;
                self.note(now, None, Event::Icmp(icmp));
            }
        }
    }

    /// A message came that could not be attributed.
    pub fn malformed(&mut self) {
        self.tally.malformed += 1;
    }

    /// An error came that was about no UDP datagram.
    pub fn unclaimed(&mut self) {
        self.tally.unclaimed += 1;
    }

    /// The kernel threw so many messages away. Whoever has a registration is told: one of them may have been theirs.
    pub fn overflowed(&mut self, now: Instant, count: u64) {
        self.tally.overflowed += count;
        let event = Event::Dropped { count, at: Place::Daemon };
        for client in self.clients.values_mut().filter(|client| !client.registrations.is_empty()) {
            self.tally.dropped += client.queue.offer(now, Line::new(now, event.clone()));
        }
        self.note(now, None, event);
    }

    /// What this client is to be told next. [`Machine::sent`] says that it was.
    pub fn front(&mut self, client: ClientId) -> Option<&Line> {
        self.clients.get_mut(&client)?.queue.front()
    }

    /// The line that [`Machine::front`] gave is on its way.
    pub fn sent(&mut self, client: ClientId) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        let Some(Line { event: event @ Event::Dropped { at: Place::Client, .. }, t_ns, .. }) =
            client.queue.sent()
        else {
            return;
        };
        let who = client.who;
        self.note(Instant::from_nanos(t_ns), Some(who), event);
    }

    /// Whether a line waits for this client.
    #[must_use]
    pub fn has_line(&self, client: ClientId) -> bool {
        self.clients.get(&client).is_some_and(|client| client.queue.has_line())
    }

    /// Tells what a client waits for, whatever the queue holds.
    fn answer(&mut self, now: Instant, id: ClientId, event: Event) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.queue.answer(Line::new(now, event.clone()));
        let who = client.who;
        self.note(now, Some(who), event);
    }

    fn note(&mut self, now: Instant, client: Option<Who>, event: Event) {
        self.journal.push(Line { client, ..Line::new(now, event) });
    }
}

impl Client {
    fn matching(&self, source: SocketAddr) -> impl Iterator<Item = &Bound> {
        let sockets = self.registrations.iter().flat_map(|registration| &registration.sockets);
        sockets.filter(move |socket| socket.could_have_sent(source))
    }

    fn has(&self, port: u16) -> bool {
        let mut sockets = self.registrations.iter().flat_map(|registration| &registration.sockets);
        sockets.any(|socket| socket.local.port() == port)
    }
}

fn addresses(sockets: &[Bound]) -> Vec<SocketAddr> {
    sockets.iter().map(|socket| socket.local).collect()
}
