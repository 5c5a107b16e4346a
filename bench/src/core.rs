//! The core at work without an operating system: each function is what one message costs, and no more.
//!
//! A message takes the path that a driver makes it take: the command, the turn that writes it (a tick, the write, the
//! wait), the turn that reads its echo (a tick, the read, the event, the wait). The kernel is a chunk that bytes are
//! copied into, so the figures hold one copy of the payload that the core does not make.

use core::hint::black_box;
use core::time::Duration;

use bytes::Bytes;
use resound_core::backoff::{self, Backoff};
use resound_core::signal::icmp;
use resound_core::stream::client::{self, Client, Command, Event};
use resound_core::stream::{Chunk, Established, Fact, Machine, Step, server};
use resound_core::{ConnId, Instant, Rng};

/// The payload of every message.
pub const PAYLOAD: usize = 64;

/// An echo client that keeps `WINDOW` messages in flight, whose connection stands, and the chunk that stands for the network.
#[derive(Debug)]
pub struct Session<const WINDOW: usize> {
    client: Client<()>,
    conn: ConnId,
    now: Instant,
    chunk: Chunk,
    payloads: Vec<Bytes>,
}

impl<const WINDOW: usize> Session<WINDOW> {
    /// A session that has not sent anything.
    ///
    /// # Panics
    ///
    /// Never: the configuration is the default one.
    #[must_use]
    pub fn new() -> Self {
        let mut client = Client::new(client::Config::default(), 1, [()]).expect("the default works");
        let now = Instant::EPOCH;
        client.handle(now, Fact::Tick);
        let conn = loop {
            if let Step::Dial { conn, .. } = client.poll() {
                break conn;
            }
        };
        client.handle(now, Fact::Dialed { conn, result: Ok(Established::default()) });
        while !matches!(client.poll(), Step::Wait(_)) {}
        let payloads = (0..WINDOW).map(|_| Bytes::from(vec![7; PAYLOAD])).collect();
        Self { client, conn, now, chunk: Chunk::with_capacity(WINDOW * PAYLOAD), payloads }
    }

    /// The whole window there and back. Returns the deadline that a driver would sleep until.
    ///
    /// # Panics
    ///
    /// If the client does not do what a client does.
    pub fn echo(&mut self) -> Option<Instant> {
        self.now = self.now + Duration::from_micros(10);
        for payload in self.payloads.drain(..) {
            self.client.command(self.now, Command::Send(payload)).expect("the window fits");
        }
        self.write();
        self.now = self.now + Duration::from_micros(10);
        self.read()
    }

    /// The turn that writes.
    fn write(&mut self) {
        self.client.handle(self.now, Fact::Tick);
        while let Step::Write { conn } = self.client.poll() {
            let mut bufs: [&[u8]; WINDOW] = [&[]; WINDOW];
            let filled = self.client.unsent(conn, &mut bufs);
            let mut n = 0;
            for buf in &bufs[..filled] {
                self.chunk.spare()[..buf.len()].copy_from_slice(buf);
                self.chunk.filled(buf.len());
                n += buf.len();
            }
            self.client.handle(self.now, Fact::Wrote { conn, n });
        }
    }

    /// The turn that reads.
    fn read(&mut self) -> Option<Instant> {
        self.client.handle(self.now, Fact::Tick);
        let conn = self.conn;
        self.client.handle(self.now, Fact::Received { conn, chunk: &mut self.chunk });
        loop {
            match self.client.poll() {
                Step::Event(Event::Echoed { payload, .. }) => self.payloads.push(payload),
                Step::Wait(until) => return until,
                other => panic!("{other:?}"),
            }
        }
    }

    /// A deadline query, with everything in flight that is.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        black_box(&self.client).next_deadline()
    }
}

/// A server's side of one connection, and the chunk that it is lent.
#[derive(Debug)]
pub struct Serving {
    connection: server::Connection,
    now: Instant,
    chunk: Chunk,
}

impl Serving {
    /// A connection that has just been accepted.
    ///
    /// # Panics
    ///
    /// Never: the configuration is the default one.
    #[must_use]
    pub fn new() -> Self {
        let policy = server::Config::default().check().expect("the default works");
        let now = Instant::EPOCH;
        Self { connection: server::Connection::new(policy, now), now, chunk: Chunk::with_capacity(PAYLOAD) }
    }

    /// One read of [`PAYLOAD`] bytes, and the write that sends them back.
    ///
    /// # Panics
    ///
    /// If the connection does not do what a server's connection does.
    pub fn echo(&mut self) -> Option<Instant> {
        let conn = ConnId::ONLY;
        self.now = self.now + Duration::from_micros(10);
        self.connection.handle(self.now, Fact::Tick);
        self.chunk.filled(PAYLOAD);
        self.connection.handle(self.now, Fact::Received { conn, chunk: &mut self.chunk });
        let Step::Write { conn } = self.connection.poll() else { panic!("nothing to write") };
        let mut bufs: [&[u8]; 1] = [&[]];
        let filled = self.connection.unsent(conn, &mut bufs);
        let n = black_box(&bufs[..filled]).iter().map(|buf| buf.len()).sum();
        self.connection.handle(self.now, Fact::Wrote { conn, n });
        self.chunk = self.connection.reclaim().expect("the chunk comes back once it is written");
        match self.connection.poll() {
            Step::Wait(until) => until,
            other => panic!("{other:?}"),
        }
    }
}

impl<const WINDOW: usize> Default for Session<WINDOW> {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Serving {
    fn default() -> Self {
        Self::new()
    }
}

/// A link that has lost its connection many times in a row.
#[derive(Debug)]
pub struct Waiting {
    policy: backoff::Policy,
    backoff: Backoff,
    rng: Rng,
}

impl Waiting {
    /// One at level 0.
    ///
    /// # Panics
    ///
    /// Never: the configuration is the default one.
    #[must_use]
    pub fn new() -> Self {
        let policy = backoff::Config::default().check().expect("the default works");
        Self { policy, backoff: Backoff::new(), rng: Rng::from_seed(1) }
    }

    /// One more attempt has failed: how long to wait.
    pub fn draw(&mut self) -> Duration {
        self.backoff.failed(&self.policy, &mut self.rng)
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new()
    }
}

/// An ICMPv4 port-unreachable as a raw socket gives it: the IP header, the message, and the UDP datagram it quotes.
pub const PORT_UNREACHABLE: [u8; 60] = {
    let mut packet = [0; 60];
    packet[0] = 0x45; // IPv4, five words of header.
    packet[3] = 60;
    packet[8] = 64;
    packet[9] = 1; // ICMP.
    packet[20] = 3; // Destination unreachable,
    packet[21] = 3; // port.
    packet[28] = 0x45; // The quoted datagram.
    packet[31] = 32;
    packet[36] = 64;
    packet[37] = 17; // UDP.
    packet[48] = 156; // From port 40 000
    packet[49] = 64;
    packet[51] = 7; // to port 7,
    packet[53] = 12; // four bytes.
    packet
};

/// What the kernel reported, and about which datagram.
///
/// # Panics
///
/// If it cannot be read.
pub fn parse_icmp() {
    let received = icmp::parse_v4(black_box(&PORT_UNREACHABLE)).expect("it is whole");
    black_box((received.error.meaning(), received.quote.destination_addr()));
}
