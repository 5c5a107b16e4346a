//! A driver made of data for a server's side of a connection: generated operations, a kernel of a few vectors, the books.
#![allow(dead_code, reason = "each test binary uses its own part")]

use core::time::Duration;
use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::signal::{Cause, Errno, Op, Origin, Reason, Signal};
use resound_core::stream::server::{Command, Config, Connection, Ended, State};
use resound_core::stream::{Close, Established, Fact, Machine, Step};
use resound_core::{Chunk, ConnId, Instant};

use crate::support::{Delivery, conn, signals};

/// What a chunk holds.
pub(crate) const CHUNK: usize = 16;
/// By how much a timer call may be late and still be believed.
pub(crate) const LATE: Duration = Duration::from_millis(100);

const CONN: ConnId = ConnId::ONLY;

/// One thing that the peer, the kernel, the program or the driver does.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Sleep {
        ms: u64,
    },
    /// Time passes to the next deadline and a little beyond; the driver calls.
    Deadline {
        late_ms: u64,
    },
    /// The peer sends; the bytes wait in the kernel until they are read.
    PeerSends {
        n: usize,
    },
    PeerEnds,
    PeerResets,
    /// The peer is gone: its end can be read, and writing is of no use any more.
    PeerDies,
    /// The kernel has room for so many bytes more.
    Room {
        n: usize,
    },
    /// The kernel never lacks room again.
    Roomy,
    /// The next write fails.
    WriteFails {
        signal: Signal,
    },
    Hint {
        signal: Signal,
    },
    /// The driver tells something that it was not asked for.
    Rude {
        what: Rude,
    },
    /// A fact about another connection.
    Stale {
        kind: u8,
    },
    Resumed,
    Drain,
    Abort,
}

/// What a driver should not tell now, or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Rude {
    Received { n: usize },
    Ended,
    Failed { op: Op, signal: Signal },
    Examined,
    Blocked,
    Writable,
    Dialed,
}

/// Which of the operations a property can live with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// A driver that keeps to the rules, and a program that does not leave.
    Polite,
    /// All of them.
    Any,
}

pub(crate) fn operations(manners: Manners) -> impl Strategy<Value = Vec<Do>> {
    let rude = prop_oneof![
        1 => (1usize..20).prop_map(|n| Rude::Received { n }),
        4 => Just(Rude::Ended),
        1 => (prop_oneof![Just(Op::Read), Just(Op::Write), Just(Op::Connect)], signals())
            .prop_map(|(op, signal)| Rude::Failed { op, signal }),
        1 => Just(Rude::Examined),
        1 => Just(Rude::Blocked),
        1 => Just(Rude::Writable),
        1 => Just(Rude::Dialed),
    ];
    let polite = prop_oneof![
        8 => (0u64..1_500).prop_map(|ms| Do::Sleep { ms }),
        3 => prop_oneof![4 => Just(0u64), 2 => 1u64..90, 2 => 150u64..5_000].prop_map(|late_ms| Do::Deadline { late_ms }),
        16 => (1usize..60).prop_map(|n| Do::PeerSends { n }),
        10 => (1usize..60).prop_map(|n| Do::Room { n }),
        1 => Just(Do::Roomy),
        1 => Just(Do::PeerEnds),
        1 => Just(Do::PeerResets),
        1 => Just(Do::PeerDies),
        1 => signals().prop_map(|signal| Do::WriteFails { signal }),
        1 => signals().prop_map(|signal| Do::Hint { signal }),
        3 => any::<u8>().prop_map(|kind| Do::Stale { kind }),
        1 => Just(Do::Resumed),
    ];
    let other = prop_oneof![
        2 => Just(Do::Drain),
        4 => rude.prop_map(|what| Do::Rude { what }),
        1 => Just(Do::Abort),
    ];
    let one = match manners {
        Manners::Polite => polite.boxed(),
        Manners::Any => prop_oneof![8 => polite, 1 => other].boxed(),
    };
    vec(one, 1..80)
}

pub(crate) fn configs() -> impl Strategy<Value = Config> {
    let pause = || prop_oneof![2 => Just(0u64), 1 => 1u64..4_000];
    let limits = (prop::option::weighted(0.8, 500u64..6_000), 500u64..4_000, 500u64..3_000);
    (limits, pause(), pause()).prop_map(|((idle, stall, drain), first_read_after, close_after)| Config {
        idle: idle.map(Duration::from_millis),
        stall: Duration::from_millis(stall),
        drain: Duration::from_millis(drain),
        first_read_after: Duration::from_millis(first_read_after),
        close_after: Duration::from_millis(close_after),
    })
}

/// The connection under test, its kernel and peer, and the books.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) server: Connection,
    config: Config,
    pub(crate) now: Instant,
    start: Instant,
    delivery: Delivery,
    /// In the kernel, not read yet.
    inbox: VecDeque<u8>,
    /// What a read says when the inbox is empty.
    after: After,
    room: usize,
    blocked: bool,
    write_failure: Option<Signal>,
    next_byte: u8,
    /// What was told as received, and what the kernel took back.
    pub(crate) received: Vec<u8>,
    pub(crate) echoed: Vec<u8>,
    /// Every step but `Wait`, with the time since the start.
    pub(crate) log: Vec<(u64, String)>,
    pub(crate) ended: Option<Ended>,
    pub(crate) states: Vec<State>,
    // What the limits must be, kept a second time.
    progress: Instant,
    drained: Option<Instant>,
    grace: Option<Instant>,
    /// Since when it waits to be closed.
    close_wait: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    Fin,
    Reset,
}

impl Peer {
    pub(crate) fn new(config: Config, start: Instant, delivery: Delivery) -> Self {
        Self {
            server: Connection::new(config.check().unwrap(), start),
            config,
            now: start,
            start,
            delivery,
            inbox: VecDeque::new(),
            after: After::Nothing,
            room: 40,
            blocked: false,
            write_failure: None,
            next_byte: 0,
            received: Vec::new(),
            echoed: Vec::new(),
            log: Vec::new(),
            ended: None,
            states: Vec::new(),
            progress: start,
            drained: None,
            grace: None,
            close_wait: None,
        }
    }

    pub(crate) fn run(config: Config, start: Instant, delivery: Delivery, operations: &[Do]) -> Self {
        let mut peer = Self::new(config, start, delivery);
        for operation in operations {
            peer.apply(operation);
        }
        peer
    }

    pub(crate) fn fact(&mut self, fact: Fact<'_>) {
        let fresh = self.server.state() == State::Fresh;
        self.server.handle(self.now, fact);
        self.states.push(self.server.state());
        if fresh && self.server.state() == State::Open {
            // It has not listened so far.
            self.progress = self.now;
        }
        if self.server.state() == State::CloseWait {
            self.close_wait = self.close_wait.or(Some(self.now));
        }
    }

    pub(crate) fn apply(&mut self, operation: &Do) {
        let live = self.server.state() != State::Closed;
        match operation {
            Do::Sleep { ms } => self.sleep(Duration::from_millis(*ms)),
            Do::Deadline { late_ms } => {
                let until = self.server.next_deadline().map_or(Duration::ZERO, |d| d.since(self.now));
                self.sleep(until + Duration::from_millis(*late_ms));
            }
            Do::PeerSends { n } if self.after == After::Nothing => {
                for _ in 0..*n {
                    self.next_byte = self.next_byte.wrapping_add(1);
                    self.inbox.push_back(self.next_byte);
                }
            }
            Do::PeerEnds if self.after == After::Nothing => self.after = After::Fin,
            Do::PeerResets => {
                self.after = After::Reset;
                self.write_failure = Some(Signal::Errno(Errno::ConnReset));
                self.unblock();
            }
            Do::PeerDies => {
                self.after = After::Fin;
                self.write_failure = Some(Signal::Errno(Errno::Pipe));
                self.unblock();
            }
            Do::PeerSends { .. } | Do::PeerEnds => {}
            Do::Room { n } => {
                self.room = self.room.saturating_add(*n);
                self.unblock();
            }
            Do::Roomy => {
                self.room = usize::MAX;
                self.unblock();
            }
            Do::WriteFails { signal } => self.write_failure = Some(*signal),
            Do::Hint { signal } => self.fact(Fact::Hint { conn: CONN, signal: *signal }),
            Do::Rude { what } => self.rude(what),
            Do::Stale { kind } => self.stale(*kind),
            Do::Resumed => self.fact(Fact::Resumed),
            Do::Drain => {
                assert_eq!(
                    self.server.command(self.now, Command::Drain),
                    live.then_some(()).ok_or(Command::Drain)
                );
                self.drained = self.drained.or(live.then_some(self.now));
                let pausing = matches!(self.server.state(), State::Fresh | State::CloseWait);
                assert!(!pausing, "a drain ends a pause: {:?}", self.server);
            }
            Do::Abort => self.abort(live),
        }
        self.settle();
        self.check_rest();
    }

    fn sleep(&mut self, time: Duration) {
        let due = self.expected_deadline();
        self.now = self.now + time;
        // A tick that comes too late is forgiven, once for each limit.
        let late = !self.pauses()
            && due.is_some_and(|at| self.now.since(at) > LATE && self.grace.is_none_or(|grace| at > grace));
        if late {
            self.grace = Some(self.now + LATE);
        }
        let live = self.server.state() != State::Closed;
        let judged = live
            && self.server.state() != State::Fresh
            && self.expected_deadline().is_some_and(|at| at <= self.now);
        self.fact(Fact::Tick);
        let closed = live && self.server.state() == State::Closed;
        assert_eq!(
            closed, judged,
            "a limit or a pause is enforced when it is reached, never earlier: {:?}",
            self.server
        );
        // P1: after a due timeout the deadline is later than now, or output is pending.
        if self.server.next_deadline().is_some_and(|at| at <= self.now) {
            let step = self.server.poll();
            assert!(!matches!(step, Step::Wait(_)), "P1: busy at {:?}: {:?}", self.now, self.server);
            self.obey(step);
        }
    }

    fn pauses(&self) -> bool {
        matches!(self.server.state(), State::Fresh | State::CloseWait)
    }

    /// Where the three limits and the two pauses lie, by their description.
    fn expected_deadline(&self) -> Option<Instant> {
        let held = self.received.len() > self.echoed.len();
        let (idle, stall) = match self.server.state() {
            State::Closed => return None,
            State::Fresh => return Some(self.start + self.config.first_read_after),
            State::CloseWait => return self.close_wait.map(|since| since + self.config.close_after),
            State::Open => (self.config.idle, None),
            State::Leaving | State::Shut => (None, None),
            State::Echoing | State::Flushing | State::Draining => {
                assert!(held);
                (None, Some(self.config.stall))
            }
        };
        let limits = [
            idle.map(|idle| self.progress + idle),
            stall.map(|stall| self.progress + stall),
            self.drained.map(|at| at + self.config.drain),
        ];
        limits.into_iter().flatten().min().map(|at| self.grace.map_or(at, |grace| at.max(grace)))
    }

    fn abort(&mut self, live: bool) {
        let first = self.log.len();
        assert_eq!(self.server.command(self.now, Command::Abort).is_ok(), live);
        self.settle();
        // B7: the same call yields only an abort and the end.
        if live {
            let steps: Vec<_> = self.log[first..].iter().map(|(_, step)| step.as_str()).collect();
            assert!(steps[0].starts_with("Close") && steps[0].contains("Reset"), "B7: {steps:?}");
            assert!(steps[1].starts_with("Event(Ended"), "B7: {steps:?}");
            assert_eq!(steps.len(), 2, "B7: {steps:?}");
        }
    }

    fn unblock(&mut self) {
        if core::mem::take(&mut self.blocked) {
            self.fact(Fact::Writable { conn: CONN });
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let mut chunk = Chunk::with_capacity(CHUNK);
        chunk.spare()[..bytes.len()].copy_from_slice(bytes);
        chunk.filled(bytes.len());
        if self.server.state() != State::Closed {
            self.received.extend(bytes);
            self.progress = self.now;
        }
        self.fact(Fact::Received { conn: CONN, chunk: &mut chunk });
        assert!(chunk.is_empty(), "the connection consumes or takes what it is told");
        if let Some(chunk) = self.server.reclaim() {
            assert_eq!((chunk.capacity(), chunk.bytes().len()), (CHUNK, 0));
        }
    }

    /// Reads once; whether anything came of it.
    fn read(&mut self) -> bool {
        let most = if self.delivery == Delivery::Whole { CHUNK } else { 1 };
        let n = self.inbox.len().min(most);
        if n > 0 {
            let bytes: Vec<u8> = self.inbox.drain(..n).collect();
            self.received(&bytes);
            return true;
        }
        match self.after {
            After::Nothing => return false,
            After::Fin => self.fact(Fact::Ended { conn: CONN }),
            After::Reset => {
                // The error is told once; then the stream is at its end (`tcp_reset`, `sk_err`).
                self.after = After::Fin;
                match self.write_failure.take() {
                    Some(signal) => self.fact(Fact::Failed { conn: CONN, op: Op::Read, signal }),
                    None => self.fact(Fact::Ended { conn: CONN }),
                }
            }
        }
        true
    }

    /// Does every step and reads what may be read, until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        let mut at_end = false;
        for _ in 0..10_000 {
            match self.server.poll() {
                Step::Wait(until) => {
                    assert_eq!(until, self.server.next_deadline());
                    let readable = !self.inbox.is_empty() || (self.after != After::Nothing && !at_end);
                    if !self.server.wants_read(CONN) || !readable {
                        return;
                    }
                    at_end = self.inbox.is_empty();
                    self.read();
                }
                step => self.obey(step),
            }
        }
        panic!("P1: the connection never settles: {:?}", self.server);
    }

    pub(crate) fn obey(&mut self, step: Step<core::convert::Infallible, Ended>) {
        if !matches!(step, Step::Wait(_)) {
            self.log.push((self.now.since(self.start).as_nanos() as u64, format!("{step:?}")));
        }
        assert!(self.ended.is_none(), "the last step is the event: {step:?}");
        match step {
            Step::Dial { to, .. } => match to {},
            Step::Examine { conn } => {
                self.read();
                self.fact(Fact::Examined { conn, kernel: None });
            }
            Step::Write { conn } => self.write(conn),
            Step::Shutdown { .. } => assert_eq!(self.server.state(), State::Shut),
            Step::Close { .. } => assert_eq!(self.server.state(), State::Closed),
            Step::Event(ended) => self.account(ended),
            Step::Wait(_) => {}
        }
    }

    fn write(&mut self, conn: ConnId) {
        let mut bufs: [&[u8]; 2] = [&[]; 2];
        assert_eq!(self.server.unsent(conn, &mut bufs), 1, "a write of nothing was asked for");
        let held = bufs[0].to_vec();
        // E3: it holds at most one chunk, and does not read while it holds one.
        assert!(!held.is_empty() && held.len() <= CHUNK, "E3: {} bytes", held.len());
        assert!(!self.server.wants_read(conn), "E3");
        assert!(!self.blocked, "a write was asked for before the socket was writable");
        if let Some(signal) = self.write_failure.take() {
            return self.fact(Fact::Failed { conn, op: Op::Write, signal });
        }
        let n = held.len().min(self.room);
        if n == 0 {
            self.blocked = true;
            return self.fact(Fact::Blocked { conn });
        }
        if self.room != usize::MAX {
            self.room -= n;
        }
        self.echoed.extend(&held[..n]);
        self.progress = self.now;
        self.fact(Fact::Wrote { conn, n });
        drop(self.server.reclaim());
    }

    fn account(&mut self, ended: Ended) {
        assert_eq!(ended.received, self.received.len() as u64);
        assert_eq!(ended.echoed, self.echoed.len() as u64);
        if ended.cause.reason == Reason::Closed {
            assert_eq!(ended.echoed, ended.received, "`closed` says that nothing was due");
        }
        if ended.cause.origin == Origin::Timer && ended.cause.errno.is_none() {
            assert!(matches!(ended.cause.reason, Reason::WriteBlocked | Reason::Aborted), "{ended:?}");
        }
        self.ended = Some(ended);
    }

    fn rude(&mut self, what: &Rude) {
        let conn = CONN;
        match *what {
            Rude::Received { n } => {
                let bytes: Vec<u8> = (0..n.min(CHUNK)).map(|i| 0xE0 + i as u8).collect();
                self.received(&bytes);
            }
            Rude::Ended => self.fact(Fact::Ended { conn }),
            Rude::Failed { op, signal } => self.fact(Fact::Failed { conn, op, signal }),
            Rude::Examined => self.fact(Fact::Examined { conn, kernel: None }),
            Rude::Blocked => {
                self.blocked = true;
                self.fact(Fact::Blocked { conn });
            }
            Rude::Writable => {
                self.blocked = false;
                self.fact(Fact::Writable { conn });
            }
            Rude::Dialed => self.fact(Fact::Dialed { conn, result: Ok(Established::default()) }),
        }
    }

    /// P5: what is told of another id changes nothing.
    fn stale(&mut self, kind: u8) {
        let conn = conn(2);
        let before = format!("{:?}", self.server);
        let mut chunk = Chunk::with_capacity(3);
        chunk.filled(3);
        let signal = Signal::Errno(Errno::ConnReset);
        let fact = match kind % 9 {
            0 => Fact::Dialed { conn, result: Err(signal) },
            1 => Fact::Received { conn, chunk: &mut chunk },
            2 => Fact::Wrote { conn, n: 5 },
            3 => Fact::Ended { conn },
            4 => Fact::Failed { conn, op: Op::Read, signal },
            5 => Fact::Failed { conn, op: Op::Write, signal },
            6 => Fact::Blocked { conn },
            7 => Fact::Writable { conn },
            _ => Fact::Examined { conn, kernel: None },
        };
        // A time that lies in the past is clamped, so that the clock does not count as a change.
        self.server.handle(Instant::EPOCH, fact);
        assert_eq!(format!("{:?}", self.server), before, "P5");
        assert!(!self.server.wants_read(conn));
        assert_eq!(self.server.unsent(conn, &mut [&[]]), 0);
    }

    /// What must hold whenever nothing is left to do.
    fn check_rest(&mut self) {
        assert!(self.received.starts_with(&self.echoed), "echoes are a prefix of what was received");
        let before = format!("{:?}", self.server);
        let deadline = self.server.next_deadline();
        let closed = self.server.state() == State::Closed;
        // P1, and the limits at their exact time.
        let limit = self.expected_deadline();
        if self.server.state() == State::Leaving {
            // Before the limit it looks now and then whether more has come in.
            assert!(
                deadline.is_some_and(|at| limit.is_some_and(|limit| at <= limit)),
                "P1: {:?}",
                self.server
            );
        } else {
            assert_eq!(deadline, limit, "P1: {:?}", self.server);
        }
        assert_eq!(closed, self.ended.is_some(), "exactly one end: {:?}", self.server);
        assert_eq!(closed, self.server.is_done());
        // P2: early and repeated timeouts are no-ops.
        if deadline.is_none_or(|at| at > self.now) {
            self.server.handle(Instant::EPOCH, Fact::Tick);
            assert_eq!(format!("{:?}", self.server), before, "P2");
        }
    }

    /// The cause of the end.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.ended.map(|ended| ended.cause)
    }

    /// The bytes of a close step, if there was one.
    pub(crate) fn closed_by(&self, how: Close) -> bool {
        self.log.iter().any(|(_, step)| step.starts_with("Close") && step.contains(&format!("{how:?}")))
    }
}
