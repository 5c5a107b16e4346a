//! What the client over datagrams allocates: nothing for an echo, and no more for being flooded or churned.

use core::net::SocketAddr;
use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, Event, PeerId};
use resound_core::datagram::{Batch, Fact, Machine, Step, Train};
use resound_core::signal::{Errno, IcmpError, Signal, Version};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        LIVE.with(|n| n.set(n.get() + layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.with(|n| n.set(n.get() - layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Bytes that this thread has and did not give back.
fn live() -> isize {
    LIVE.with(Cell::get)
}

fn address(k: u32) -> SocketAddr {
    SocketAddr::from(([10, (k >> 16) as u8, (k >> 8) as u8, k as u8], 7))
}

/// A client on a perfect network, with one message that goes round.
struct Loop {
    client: Client,
    batch: Batch,
    now: Instant,
    last: Vec<u8>,
    payload: Option<Bytes>,
}

impl Loop {
    fn new(peers: u32) -> (Self, Vec<PeerId>) {
        let mut client = Client::new(Config::default(), 1, [1, 2]).unwrap();
        let now = Instant::EPOCH;
        let ids = (0..peers).map(|k| client.add(now, address(k)).unwrap()).collect();
        let batch = Batch::new(65_536, 64, 64);
        let mut all = Self { client, batch, now, last: Vec::with_capacity(200), payload: None };
        all.settle();
        (all, ids)
    }

    /// Does what the client wants done; every datagram comes straight back.
    fn settle(&mut self) {
        loop {
            match self.client.poll() {
                Step::Transmit => {
                    self.batch.clear();
                    self.client.handle(self.now, Fact::Room { batch: &mut self.batch });
                    for run in self.batch.runs() {
                        let bytes = self.batch.bytes(run);
                        self.last.clear();
                        self.last.extend_from_slice(&bytes[..run.size]);
                        let train = Train { size: run.size, ..Train::one(run.to, bytes) };
                        self.client.handle(self.now, Fact::Received { train: &train });
                    }
                }
                Step::Examine => self.client.handle(self.now, Fact::Examined),
                Step::Event(Event::Echoed { payload, .. }) => self.payload = Some(payload),
                Step::Event(_) => {}
                Step::Wait(_) => return,
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.client.handle(self.now, Fact::Tick);
        self.settle();
    }

    fn echo(&mut self, peer: PeerId) {
        self.pass(Duration::from_micros(50));
        let payload = self.payload.take().expect("it came back");
        self.client.send(self.now, peer, payload).unwrap();
        self.settle();
    }
}

#[test]
fn an_echo_allocates_nothing() {
    let (mut all, ids) = Loop::new(3);
    all.payload = Some(Bytes::from(vec![7; 64]));
    // Long enough for as many ended datagrams to be remembered as may be.
    for k in 0..60_000 {
        all.echo(ids[k % 3]);
    }
    let before = allocations();
    for k in 0..20_000 {
        all.echo(ids[k % 3]);
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn an_idle_fleet_seldom_allocates() {
    let (mut all, ids) = Loop::new(1_000);
    (0..1_200).for_each(|_| all.pass(Duration::from_millis(100)));
    let before = allocations();
    (0..1_200).for_each(|_| all.pass(Duration::from_millis(100)));
    // Each is probed some nine times. Only the queue of their times grows and shrinks here and there.
    let probes = 9 * ids.len() as u64;
    let taken = allocations() - before;
    assert!(taken < probes / 2, "{taken} allocations");
}

#[test]
fn an_idle_peer_takes_no_more_than_256_bytes() {
    const PEERS: u32 = 1 << 17;
    let config = Config { remember: Duration::from_secs(3), remember_most: 0, ..Config::default() };
    let empty = live();
    let mut client = Client::new(config, 1, [1, 2]).unwrap();
    let mut batch = Batch::new(4_096, 64, 64);
    let mut now = Instant::EPOCH;
    for k in 0..PEERS {
        now = now + Duration::from_micros(100);
        client.add(now, address(k)).unwrap();
        loop {
            match client.poll() {
                Step::Transmit => {
                    batch.clear();
                    client.handle(now, Fact::Room { batch: &mut batch });
                    for run in batch.runs() {
                        let train = Train { size: run.size, ..Train::one(run.to, batch.bytes(run)) };
                        client.handle(now, Fact::Received { train: &train });
                    }
                }
                Step::Wait(_) => break,
                _ => {}
            }
        }
    }
    drop(batch);
    // Tables double, so that up to half of them may be empty.
    let each = (live() - empty) / PEERS as isize;
    assert!(each <= 256, "{each} bytes");
}

#[test]
fn floods_leave_nothing_behind() {
    let (mut all, ids) = Loop::new(4);
    all.pass(Duration::from_millis(1));
    let genuine = all.last.clone();
    let icmp = |k: u32| IcmpError {
        version: Version::V4,
        kind: [3, 11, 12][k as usize % 3],
        code: k as u8 % 16,
        offender: Some(address(k * 7_919).ip()),
        destination: Some(address(k % 8)),
        mtu: Some(k),
    };
    let flood = |all: &mut Loop| {
        let mut told = 0u32;
        for k in 0..50_000u32 {
            let mut forged = genuine.clone();
            forged[k as usize % 32] ^= 1 << (k % 8);
            all.client.handle(all.now, Fact::Icmp { error: icmp(k), quote: &forged[..k as usize % 33] });
            for (from, bytes) in
                [(address(k), &forged[..]), (address(k + 9), &genuine[..]), (address(k % 4), &b"rsnd?"[..])]
            {
                all.client.handle(all.now, Fact::Received { train: &Train::one(from, bytes) });
            }
            while let Step::Event(event) = all.client.poll() {
                assert!(!matches!(event, Event::Down { .. } | Event::Suspect { .. }));
                told += u32::from(!matches!(event, Event::Duplicated { .. }));
            }
            if k % 1_000 == 0 {
                all.pass(Duration::from_millis(10));
            }
        }
        told
    };
    flood(&mut all);
    let (before, strays) = (live(), all.client.strays());
    let told = flood(&mut all);
    let grown = live() - before;
    assert!(grown < 1 << 14, "{grown} bytes");
    assert!(told < 500, "{told} events");
    let after = all.client.strays();
    assert!(after.strangers > strays.strangers + 75_000);
    assert!(after.unattributed > strays.unattributed + 12_000);
    assert!(ids.iter().all(|&id| all.client.peer(id).is_some_and(|status| status.lost == 0)));
}

#[test]
fn peers_that_come_and_go_leave_nothing_behind() {
    let (mut all, _) = Loop::new(1);
    let churn = |all: &mut Loop, rounds: u32, sent: bool| {
        for k in 0..rounds {
            let id = all.client.add(all.now, address(1 + k % 1_000)).unwrap();
            if sent {
                all.settle();
            }
            all.client.remove(all.now, id);
            while let Step::Event(_) = all.client.poll() {}
        }
    };
    for sent in [false, true] {
        churn(&mut all, 50_000, sent);
        let before = live();
        churn(&mut all, 200_000, sent);
        let grown = live() - before;
        assert!(grown < 1 << 20, "{grown} bytes");
    }
}

#[test]
fn failed_sends_leave_nothing_behind() {
    let (mut all, ids) = Loop::new(2);
    let mut fail = |rounds: u32| {
        for k in 0..rounds {
            all.now = all.now + Duration::from_micros(100);
            let _ = all.client.send(all.now, ids[0], Bytes::from_static(b"x"));
            let signal = Signal::Errno([Errno::NoBufs, Errno::MsgSize, Errno::HostUnreach][k as usize % 3]);
            while let step @ (Step::Event(_) | Step::Transmit | Step::Examine) = all.client.poll() {
                match step {
                    Step::Transmit => {
                        all.batch.clear();
                        all.client.handle(all.now, Fact::Room { batch: &mut all.batch });
                        for run in all.batch.runs() {
                            let datagram = all.batch.bytes(run);
                            all.client
                                .handle(all.now, Fact::Unsent { to: run.to, datagram, signal, mtu: None });
                        }
                    }
                    Step::Examine => all.client.handle(all.now, Fact::Examined),
                    _ => {}
                }
            }
            all.client.handle(all.now, Fact::Tick);
        }
        live()
    };
    let before = fail(50_000);
    let after = fail(150_000);
    assert!(after - before < 1 << 20, "{} bytes", after - before);
}
