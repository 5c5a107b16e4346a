//! A driver made of data: generated operations against an echo client, with a network of a few vectors.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod fleet;
pub(crate) mod peer;
pub(crate) mod port;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::link::{self, OnSuspect, State};
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, IcmpError, Op, Signal, Version};
use resound_core::stream::client::{Client, Command, Config, Event, OnLoss, Refusal, Seq};
use resound_core::stream::record::{Entry, Input, OwnedFact};
use resound_core::stream::{Close, Established, Fact, Machine, Step};
use resound_core::{Chunk, ConnId, Instant};

/// The id with this number. Machines make their ids; outside of one they can only be read from a record.
pub(crate) fn conn(number: u32) -> ConnId {
    let entry: Entry<Command> = format!("0.000000000 ended {number}").parse().unwrap();
    let Input::Fact(OwnedFact::Ended { conn }) = entry.input else { unreachable!() };
    conn
}

/// One thing that the world, the program or the driver does.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// Time passes; the driver calls.
    Sleep {
        ms: u64,
    },
    /// Time passes to the next deadline and a little beyond; the driver calls.
    Deadline {
        late_ms: u64,
    },
    Send {
        len: usize,
    },
    DialUp {
        which: usize,
    },
    DialFails {
        which: usize,
        signal: Signal,
    },
    /// The network returns this many of the bytes that are on the wire.
    Echo {
        which: usize,
        n: usize,
    },
    Garbage {
        which: usize,
        n: usize,
    },
    Fin {
        which: usize,
    },
    Fails {
        which: usize,
        op: Op,
        signal: Signal,
    },
    Hint {
        which: usize,
        signal: Signal,
    },
    /// What the kernel takes of the next writes; 0 is EAGAIN.
    Room {
        sizes: Vec<usize>,
    },
    WriteFails {
        signal: Signal,
    },
    Writable {
        which: usize,
    },
    /// A fact about an attempt or connection that is over.
    Stale {
        which: usize,
        kind: u8,
    },
    Resumed,
    Hurry,
    Close,
    Abort,
}

pub(crate) fn signals() -> impl Strategy<Value = Signal> {
    let errnos = Errno::ALL.iter().map(|&e| Signal::Errno(e)).collect::<Vec<_>>();
    let icmp = (any::<bool>(), 0u8..6, 0u8..16).prop_map(|(v6, kind, code)| {
        let version = if v6 { Version::V6 } else { Version::V4 };
        let kind = if v6 { kind } else { [3, 4, 5, 11, 12, 3][usize::from(kind)] };
        Signal::Icmp(IcmpError { version, kind, code, offender: None, destination: None, mtu: None })
    });
    prop_oneof![
        3 => Just(Signal::Errno(Errno::ConnReset)),
        3 => Just(Signal::Errno(Errno::ConnRefused)),
        2 => Just(Signal::Errno(Errno::Pipe)),
        2 => Just(Signal::Errno(Errno::HostUnreach)),
        2 => Just(Signal::Errno(Errno::TimedOut)),
        2 => icmp,
        1 => proptest::sample::select(errnos),
        1 => Just(Signal::SelfConnect),
    ]
}

pub(crate) fn operations() -> impl Strategy<Value = Vec<Do>> {
    let which = 0usize..4;
    let op = prop_oneof![Just(Op::Read), Just(Op::Write)];
    let one = prop_oneof![
        8 => (0u64..3_000).prop_map(|ms| Do::Sleep { ms }),
        10 => prop_oneof![4 => Just(0u64), 2 => 1u64..90, 2 => 150u64..5_000].prop_map(|late_ms| Do::Deadline { late_ms }),
        10 => (1usize..40).prop_map(|len| Do::Send { len }),
        1 => Just(Do::Send { len: 100 }),
        8 => which.clone().prop_map(|which| Do::DialUp { which }),
        3 => (which.clone(), signals()).prop_map(|(which, signal)| Do::DialFails { which, signal }),
        10 => (which.clone(), 1usize..120).prop_map(|(which, n)| Do::Echo { which, n }),
        1 => (which.clone(), 1usize..20).prop_map(|(which, n)| Do::Garbage { which, n }),
        2 => which.clone().prop_map(|which| Do::Fin { which }),
        3 => (which.clone(), op, signals()).prop_map(|(which, op, signal)| Do::Fails { which, op, signal }),
        2 => (which.clone(), signals()).prop_map(|(which, signal)| Do::Hint { which, signal }),
        4 => vec(prop_oneof![1 => Just(0usize), 3 => 1usize..30], 1..4).prop_map(|sizes| Do::Room { sizes }),
        1 => signals().prop_map(|signal| Do::WriteFails { signal }),
        4 => which.clone().prop_map(|which| Do::Writable { which }),
        3 => (which, any::<u8>()).prop_map(|(which, kind)| Do::Stale { which, kind }),
        1 => Just(Do::Resumed),
        1 => Just(Do::Hurry),
    ];
    let graceful = (0usize..200, 0usize..200).prop_map(|(before, after)| {
        let up = Do::DialUp { which: 0 };
        let echo = |n| Do::Echo { which: 0, n };
        let send = Do::Send { len: 9 };
        vec![
            Do::Deadline { late_ms: 0 },
            up.clone(),
            up,
            send,
            echo(before),
            Do::Close,
            echo(after),
            Do::Fin { which: 0 },
        ]
    });
    let end = prop_oneof![Just(vec![]), Just(vec![Do::Close]), Just(vec![Do::Abort]), graceful];
    (vec(one, 1..120), end, vec(Just(Do::Deadline { late_ms: 0 }), 0..8)).prop_map(|(mut all, end, after)| {
        all.extend(end);
        all.extend(after);
        all
    })
}

/// Configurations with short timers and narrow limits, so that everything comes up.
pub(crate) fn configs() -> impl Strategy<Value = Config> {
    let second = prop_oneof![Just(OnSuspect::Wait), Just(OnSuspect::DialSecond)];
    let loss = prop_oneof![Just(OnLoss::Report), Just(OnLoss::Resend)];
    (second, loss, 1usize..6, prop::option::of(1u32..5)).prop_map(
        |(on_suspect, on_loss, max_in_flight, rounds)| {
            let mut link = link::Config { on_suspect, ..link::Config::default() };
            link.liveness.idle = Duration::from_millis(1_000);
            link.liveness.probe = Duration::from_millis(200);
            link.give_up.rounds = rounds;
            link.race.round = Duration::from_millis(2_000);
            Config { link, max_in_flight, max_bytes: 100, on_loss, close_within: Duration::from_secs(2) }
        },
    )
}

/// A connection as the network sees it: bytes that the client wrote and that have not come back.
#[derive(Debug)]
struct Wire {
    conn: ConnId,
    bytes: VecDeque<u8>,
    blocked: bool,
}

/// How bytes are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    ByteByByte,
}

/// The client under test, the network, and the books.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) client: Client<u8>,
    config: Config,
    pub(crate) now: Instant,
    dials: Vec<ConnId>,
    wires: Vec<Wire>,
    over: Vec<ConnId>,
    room: VecDeque<usize>,
    write_failure: Option<Signal>,
    delivery: Delivery,
    /// Every step but `Write` and `Wait`, with the time since the start.
    pub(crate) log: Vec<(u64, String)>,
    start: Instant,
    pub(crate) accepted: BTreeSet<Seq>,
    pub(crate) ended: BTreeMap<Seq, u32>,
    last_echoed: Option<Seq>,
    downs: BTreeSet<ConnId>,
    payloads: BTreeMap<Seq, Bytes>,
    /// The invariants that are asserted on the way.
    claims: &'static [&'static str],
}

impl World {
    pub(crate) fn new(config: Config, seed: u64, start: Instant, delivery: Delivery) -> Self {
        Self {
            client: Client::new(config, seed, [0u8, 1, 2]).unwrap(),
            config,
            now: start,
            dials: Vec::new(),
            wires: Vec::new(),
            over: Vec::new(),
            room: VecDeque::new(),
            write_failure: None,
            delivery,
            log: Vec::new(),
            start,
            accepted: BTreeSet::new(),
            ended: BTreeMap::new(),
            last_echoed: None,
            downs: BTreeSet::new(),
            payloads: BTreeMap::new(),
            claims: &[],
        }
    }

    /// A world that does these things; no invariant is asserted on the way but that nothing panics.
    pub(crate) fn run(
        config: Config,
        seed: u64,
        start: Instant,
        delivery: Delivery,
        operations: &[Do],
    ) -> Self {
        let mut world = Self::new(config, seed, start, delivery);
        operations.iter().for_each(|operation| world.apply(operation));
        world
    }

    /// A world that does these things and asserts these invariants after each of them.
    pub(crate) fn prove(
        claims: &'static [&'static str],
        config: Config,
        seed: u64,
        operations: &[Do],
    ) -> Self {
        let start = Instant::from_nanos(1_000_000_000);
        let mut world = Self { claims, ..Self::new(config, seed, start, Delivery::Whole) };
        operations.iter().for_each(|operation| world.apply(operation));
        world
    }

    fn claims(&self, name: &str) -> bool {
        self.claims.contains(&name)
    }

    fn fact(&mut self, fact: Fact<'_>) {
        self.client.handle(self.now, fact);
    }

    fn wire(&self, which: usize) -> Option<ConnId> {
        (!self.wires.is_empty()).then(|| self.wires[which % self.wires.len()].conn)
    }

    pub(crate) fn apply(&mut self, operation: &Do) {
        match operation {
            Do::Sleep { ms } => self.sleep(Duration::from_millis(*ms)),
            Do::Deadline { late_ms } => {
                let until = self.client.next_deadline().map_or(Duration::ZERO, |d| d.since(self.now));
                self.sleep(until + Duration::from_millis(*late_ms));
            }
            Do::Send { len } => self.send(*len),
            Do::DialUp { which } if !self.dials.is_empty() => {
                let conn = self.dials.remove(which % self.dials.len());
                self.wires.push(Wire { conn, bytes: VecDeque::new(), blocked: false });
                self.fact(Fact::Dialed { conn, result: Ok(Established::default()) });
            }
            Do::DialFails { which, signal } if !self.dials.is_empty() => {
                let conn = self.dials.remove(which % self.dials.len());
                self.over.push(conn);
                self.fact(Fact::Dialed { conn, result: Err(*signal) });
            }
            Do::Echo { which, n } => self.echo(*which, *n),
            Do::Garbage { which, n } => {
                if let Some(conn) = self.wire(*which) {
                    self.deliver(conn, &vec![0xEE; *n]);
                }
            }
            Do::Fin { which } => {
                if let Some(conn) = self.wire(*which) {
                    self.fact(Fact::Ended { conn });
                }
            }
            Do::Fails { which, op, signal } => {
                if let Some(conn) = self.wire(*which) {
                    self.fact(Fact::Failed { conn, op: *op, signal: *signal });
                }
            }
            Do::Hint { which, signal } => {
                if let Some(conn) = self.wire(*which) {
                    self.fact(Fact::Hint { conn, signal: *signal });
                }
            }
            Do::Room { sizes } => self.room.extend(sizes),
            Do::WriteFails { signal } => self.write_failure = Some(*signal),
            Do::Writable { which } => {
                if let Some(conn) = self.wire(*which) {
                    let wire = self.wires.iter_mut().find(|w| w.conn == conn).unwrap();
                    if std::mem::take(&mut wire.blocked) {
                        self.fact(Fact::Writable { conn });
                    }
                }
            }
            Do::Stale { which, kind } => self.stale(*which, *kind),
            Do::Resumed => self.fact(Fact::Resumed),
            Do::Hurry => drop(self.client.command(self.now, Command::Hurry)),
            Do::Close => self.end(Command::Close),
            Do::Abort => self.end(Command::Abort),
            Do::DialUp { .. } | Do::DialFails { .. } => {}
        }
        self.settle();
        self.check_rest();
    }

    fn sleep(&mut self, time: Duration) {
        self.now = self.now + time;
        self.fact(Fact::Tick);
        // P1: after a due timeout the deadline is later than now, or output is pending.
        let pending = !matches!(self.peek(), Step::Wait(_));
        let later = self.client.next_deadline().is_none_or(|d| d > self.now);
        assert!(!self.claims("P1") || pending || later, "P1: busy at {:?}: {:?}", self.now, self.client);
    }

    /// The next step, put into effect if there is one.
    fn peek(&mut self) -> Step<u8, Event> {
        match self.client.poll() {
            Step::Wait(until) => Step::Wait(until),
            step => {
                self.log_step(&step);
                self.obey(step);
                Step::Examine { conn: ConnId::ONLY }
            }
        }
    }

    fn send(&mut self, len: usize) {
        let seq = self.client.next_seq();
        let payload = Bytes::from(vec![seq.0 as u8; len]);
        match self.client.command(self.now, Command::Send(payload.clone())) {
            Ok(()) => {
                self.accepted.insert(seq);
                self.payloads.insert(seq, payload);
            }
            Err(refused) => {
                assert_eq!(refused.command, Command::Send(payload.clone()), "given back unchanged");
                assert_eq!(
                    refused.why == Refusal::TooLarge,
                    len > self.config.max_bytes && !self.is_closing()
                );
                assert_eq!(self.client.next_seq(), seq, "a refused message takes no number");
            }
        }
        // E3: limits hold.
        if !self.claims("E3") {
            return;
        }
        assert!(self.client.pending() <= self.config.max_in_flight, "E3");
        let held: usize = self.unended().map(|seq| self.payloads[&seq].len()).sum();
        assert!(held <= self.config.max_bytes, "E3: {held} bytes");
    }

    fn is_closing(&self) -> bool {
        matches!(self.client.state(), State::Draining | State::Closed)
    }

    pub(crate) fn unended(&self) -> impl Iterator<Item = Seq> {
        self.accepted.iter().copied().filter(|seq| !self.ended.contains_key(seq))
    }

    fn echo(&mut self, which: usize, n: usize) {
        let Some(conn) = self.wire(which) else { return };
        let wire = self.wires.iter_mut().find(|w| w.conn == conn).unwrap();
        let n = n.min(wire.bytes.len());
        let bytes: Vec<u8> = wire.bytes.drain(..n).collect();
        self.deliver(conn, &bytes);
    }

    fn deliver(&mut self, conn: ConnId, bytes: &[u8]) {
        let size = if self.delivery == Delivery::Whole { bytes.len().max(1) } else { 1 };
        for part in bytes.chunks(size) {
            let mut chunk = Chunk::with_capacity(part.len());
            chunk.spare().copy_from_slice(part);
            chunk.filled(part.len());
            self.fact(Fact::Received { conn, chunk: &mut chunk });
            assert!(chunk.is_empty(), "the client consumes what it is told");
        }
    }

    /// P5: what is told of an id that is over changes nothing.
    fn stale(&mut self, which: usize, kind: u8) {
        if self.over.is_empty() {
            return;
        }
        let conn = self.over[which % self.over.len()];
        let before = self.claims("P5").then(|| format!("{:?}", self.client));
        let mut chunk = Chunk::with_capacity(3);
        chunk.filled(3);
        let signal = Signal::Errno(Errno::ConnReset);
        let fact = match kind % 8 {
            0 => Fact::Dialed { conn, result: Ok(Established::default()) },
            1 => Fact::Dialed { conn, result: Err(signal) },
            2 => Fact::Received { conn, chunk: &mut chunk },
            3 => Fact::Wrote { conn, n: 5 },
            4 => Fact::Ended { conn },
            5 => Fact::Failed { conn, op: Op::Read, signal },
            6 => Fact::Hint { conn, signal },
            _ => Fact::Examined { conn, kernel: None },
        };
        // A time that lies in the past is clamped, so that the clock does not count as a change.
        self.client.handle(Instant::EPOCH, fact);
        if let Some(before) = before {
            assert_eq!(format!("{:?}", self.client), before, "P5");
        }
    }

    /// B7: an abort, and a close while not up, yield only aborts, losses and `Closed`, in the same call.
    fn end(&mut self, command: Command) {
        let closed = self.client.state() == State::Closed;
        let up = matches!(self.client.state(), State::Up | State::Suspect | State::Draining);
        let at_once = command == Command::Abort || !up;
        let first = self.log.len();
        let result = self.client.command(self.now, command);
        assert_eq!(result.is_err(), closed);
        self.settle();
        if at_once && !closed && self.claims("B7") {
            let (last, before) = self.log[first..].split_last().expect("B7: something must come");
            assert_eq!(last.1, "Event(Closed)", "B7: {:?}", &self.log[first..]);
            for (_, step) in before {
                assert!(step.starts_with("Close") || step.starts_with("Event(Lost"), "B7: {step}");
            }
            assert_eq!(self.client.next_deadline(), None, "B7");
            assert!(self.client.is_done());
        }
    }

    /// Does every step, until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.client.poll() {
                Step::Wait(until) => {
                    assert_eq!(until, self.client.next_deadline());
                    return;
                }
                step => {
                    self.log_step(&step);
                    self.obey(step);
                }
            }
        }
        panic!("P1: the client never settles: {:?}", self.client);
    }

    fn log_step(&mut self, step: &Step<u8, Event>) {
        if !matches!(step, Step::Write { .. }) {
            self.log.push((self.now.since(self.start).as_nanos() as u64, format!("{step:?}")));
        }
    }

    fn obey(&mut self, step: Step<u8, Event>) {
        match step {
            Step::Dial { conn, .. } => self.dials.push(conn),
            Step::Write { conn } => self.write(conn),
            Step::Examine { conn } => {
                let kernel = KernelView { unacked: 1, retransmits: 1, ..KernelView::default() };
                self.fact(Fact::Examined { conn, kernel: Some(kernel) });
            }
            Step::Shutdown { .. } | Step::Wait(_) => {}
            Step::Close { conn, how } => {
                let pending = self.dials.contains(&conn);
                assert!(!pending || how == Close::Drop);
                self.dials.retain(|&d| d != conn);
                self.wires.retain(|w| w.conn != conn);
                self.over.push(conn);
            }
            Step::Event(event) => self.account(event),
        }
        // L9: at most two live generations.
        assert!(!self.claims("L9") || self.wires.len() <= 2, "L9: {:?}", self.wires);
    }

    fn write(&mut self, conn: ConnId) {
        let mut bufs: [&[u8]; 3] = [&[]; 3];
        let filled = self.client.unsent(conn, &mut bufs);
        let all: Vec<u8> = bufs[..filled].concat();
        assert!(!all.is_empty(), "a write of nothing was asked for");
        if let Some(signal) = self.write_failure.take() {
            return self.fact(Fact::Failed { conn, op: Op::Write, signal });
        }
        let wire = self.wires.iter_mut().find(|w| w.conn == conn).expect("a write to a closed connection");
        assert!(!wire.blocked, "a write was asked for before the socket was writable");
        match self.room.pop_front().unwrap_or(usize::MAX).min(all.len()) {
            0 => {
                wire.blocked = true;
                self.fact(Fact::Blocked { conn });
            }
            n => {
                wire.bytes.extend(&all[..n]);
                self.fact(Fact::Wrote { conn, n });
            }
        }
    }

    fn account(&mut self, event: Event) {
        match event {
            Event::Up { .. } => self.last_echoed = None,
            Event::Echoed { seq, payload, .. } => {
                let ordered = self.last_echoed.is_none_or(|last| last < seq);
                assert!(!self.claims("E2") || ordered, "E2: {seq} after {:?}", self.last_echoed);
                self.last_echoed = Some(seq);
                self.end_of(seq, &payload);
            }
            Event::Lost { seq, payload, .. } => self.end_of(seq, &payload),
            Event::Down { conn, .. } => {
                let first = self.downs.insert(conn);
                assert!(!self.claims("L8") || first, "L8: {conn:?} went down twice");
            }
            _ => {}
        }
    }

    /// E1: every accepted message ends exactly once, and its payload comes back.
    fn end_of(&mut self, seq: Seq, payload: &Bytes) {
        let times = self.ended.entry(seq).or_default();
        *times += 1;
        let once = *times == 1;
        if self.claims("E1") {
            assert!(self.accepted.contains(&seq), "E1: {seq} was never accepted");
            assert!(once, "E1: {seq} ended twice");
            assert_eq!(self.payloads[&seq], payload, "E1: the payload that was moved in comes out");
        }
    }

    /// What must hold whenever nothing is left to do.
    fn check_rest(&mut self) {
        let deadline = self.client.next_deadline();
        let closed = self.client.state() == State::Closed;
        if self.claims("P1") {
            // Not closed ⇒ there is a deadline (the detector is on).
            assert_eq!(deadline.is_none(), closed, "P1: {:?}", self.client);
        }
        if self.claims("P2") && deadline.is_none_or(|d| d > self.now) {
            let before = format!("{:?}", self.client);
            self.client.handle(Instant::EPOCH, Fact::Tick);
            assert_eq!(format!("{:?}", self.client), before, "P2: an early timeout is no timeout");
        }
        if closed {
            assert!(self.client.is_done());
            let unended: Vec<_> = self.unended().collect();
            assert!(!self.claims("E1") || unended.is_empty(), "E1: {unended:?}");
        }
    }
}
