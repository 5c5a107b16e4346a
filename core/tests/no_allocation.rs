//! An echo costs no allocation in the steady state, in either role, in any driver.

use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use resound_core::datagram::server::{Config as DatagramConfig, Server as DatagramServer};
use resound_core::datagram::{self, Train};
use resound_core::stream::client::{self, Client, Command};
use resound_core::stream::{Chunk, Established, Fact, Machine, Step, server};
use resound_core::{ConnId, Instant};

thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Both ends of one connection, wired together without an operating system.
struct Pair {
    client: Client<()>,
    server: server::Connection,
    conn: ConnId,
    now: Instant,
    lent: Option<Chunk>,
    payload: Option<Bytes>,
}

impl Pair {
    fn new() -> Self {
        let mut client = Client::new(client::Config::default(), 1, [()]).unwrap();
        let now = Instant::EPOCH;
        client.handle(now, Fact::Tick);
        let conn = loop {
            if let Step::Dial { conn, .. } = client.poll() {
                break conn;
            }
        };
        client.handle(now, Fact::Dialed { conn, result: Ok(Established::default()) });
        let server = server::Connection::new(server::Config::default().check().unwrap(), now);
        let lent = Some(Chunk::with_capacity(4096));
        let payload = Some(Bytes::from(vec![7; 64]));
        Self { client, server, conn, now, lent, payload }
    }

    /// Writes what one machine has unsent into a chunk; what a socket would do.
    fn carry<M: Machine>(machine: &mut M, now: Instant, conn: ConnId, chunk: &mut Chunk) {
        let mut bufs: [&[u8]; 64] = [&[]; 64];
        let filled = machine.unsent(conn, &mut bufs);
        let mut n = 0;
        for buf in &bufs[..filled] {
            chunk.spare()[..buf.len()].copy_from_slice(buf);
            chunk.filled(buf.len());
            n += buf.len();
        }
        machine.handle(now, Fact::Wrote { conn, n });
    }

    /// One echo, there and back; true when the payload is home.
    fn echo(&mut self) {
        self.now = self.now + Duration::from_micros(10);
        let now = self.now;
        self.client.command(now, Command::Send(self.payload.take().unwrap())).unwrap();
        while self.payload.is_none() {
            self.client.handle(now, Fact::Tick);
            match self.client.poll() {
                Step::Write { conn } => {
                    let mut chunk = self.lent.take().unwrap();
                    Self::carry(&mut self.client, now, conn, &mut chunk);
                    self.server.handle(now, Fact::Received { conn: ConnId::ONLY, chunk: &mut chunk });
                    assert_eq!(chunk.capacity(), 0, "the server keeps the chunk, it does not copy");
                    self.answer();
                }
                Step::Event(client::Event::Echoed { payload, .. }) => self.payload = Some(payload),
                Step::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self) {
        let now = self.now;
        self.server.handle(now, Fact::Tick);
        let Step::Write { conn } = self.server.poll() else { panic!() };
        // A second chunk would do; the same bytes go back here, so that one is enough.
        let mut bufs: [&[u8]; 1] = [&[]];
        assert_eq!(self.server.unsent(conn, &mut bufs), 1);
        let n = bufs[0].len();
        self.server.handle(now, Fact::Wrote { conn, n });
        let mut chunk = self.server.reclaim().expect("the chunk comes back once it is written");
        assert!(self.server.reclaim().is_none());
        chunk.filled(n);
        self.client.handle(now, Fact::Received { conn: self.conn, chunk: &mut chunk });
        assert!(chunk.is_empty());
        self.lent = Some(chunk);
    }
}

#[test]
fn an_echo_allocates_nothing_in_either_role() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        pair.echo();
    }
    let before = allocations();
    for _ in 0..10_000 {
        pair.echo();
    }
    assert_eq!(allocations() - before, 0);
}

/// Neither for a known source nor for one that finds the table full, neither for an answer nor for an event.
#[test]
fn a_datagram_server_allocates_nothing() {
    use datagram::{Fact, Machine, Step};
    let config = DatagramConfig { sources: 100, burst: 10, ..DatagramConfig::default() };
    let mut server = DatagramServer::new(config, [1, 2]).unwrap();
    let (mut events, mut looks) = (0u32, 0u32);
    let before = allocations();
    for n in 0..10_000u32 {
        let now = Instant::EPOCH + Duration::from_micros(500) * n;
        let forged = core::net::SocketAddr::from((n.to_be_bytes(), 40_000));
        let honest = core::net::SocketAddr::from(([192, 0, 2, 1], 40_000));
        for from in [forged, honest] {
            let train = Train { size: 1, ..Train::one(from, &[7; 20]) };
            server.handle(now, Fact::Received { train: &train });
        }
        server.handle(now, Fact::Overrun { lost: 1 });
        server.handle(now, Fact::Tick);
        loop {
            match server.poll() {
                Step::Event(_) => events += 1,
                Step::Examine => looks += 1,
                Step::Transmit => panic!("a server sends nothing of its own"),
                Step::Wait(_) => break,
            }
        }
    }
    assert_eq!(allocations() - before, 0);
    assert!(server.counts().echoed > 10_000 && events >= 8 && looks >= 4, "{server:?}");
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(vec![1u8; 10]));
    assert_eq!(allocations() - before, 1);
}

#[test]
fn an_idle_server_connection_is_small() {
    let size = size_of::<server::Connection>();
    assert!(size <= 384, "{size} bytes");
}

#[test]
fn a_link_is_small_enough_for_a_fleet() {
    let size = size_of::<resound_core::link::Link>();
    assert!(size <= 512, "{size} bytes");
}
