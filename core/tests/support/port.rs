//! A kernel in memory for `turn`: what its calls say is generated.
#![allow(dead_code, reason = "each test binary uses its own part")]

use core::cell::Cell;
use core::time::Duration;
use std::collections::VecDeque;

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Fact, Machine, Port, Ready, Step, Via, turn};
use resound_core::{Chunk, ConnId, Instant};

/// Generated decisions, one after the other; 0, the kindest one, when they have run out.
#[derive(Clone, Debug)]
pub(crate) struct Choices(VecDeque<u16>);

impl Choices {
    pub(crate) fn new(script: &[u16]) -> Self {
        Self(script.iter().copied().collect())
    }

    /// One of `n`.
    pub(crate) fn below(&mut self, n: u16) -> u16 {
        self.0.pop_front().unwrap_or(0) % n
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the other side does with what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// An echo server.
    Echoes,
    /// A program that sends and reads as it likes.
    Swallows,
}

#[derive(Debug)]
struct Socket {
    conn: ConnId,
    /// In the kernel, not read yet.
    inbox: VecDeque<u8>,
    /// What a read says when the inbox is empty.
    after: Option<Result<usize, Signal>>,
    blocked: bool,
}

/// The kernel, its sockets and its clock.
#[derive(Debug)]
pub(crate) struct MemoryPort {
    pub(crate) choices: Choices,
    wire: Wire,
    sockets: Vec<Socket>,
    dials: Vec<ConnId>,
    /// How many more things this turn may report.
    budget: u8,
    next_byte: u8,
}

const CHUNK: usize = 24;
const ERRORS: [Errno; 5] =
    [Errno::ConnReset, Errno::Pipe, Errno::TimedOut, Errno::ConnRefused, Errno::HostUnreach];

impl MemoryPort {
    pub(crate) fn new(script: &[u16], wire: Wire) -> Self {
        let choices = Choices::new(script);
        Self { choices, wire, sockets: Vec::new(), dials: Vec::new(), budget: 0, next_byte: 0 }
    }

    /// A connection that stands already: a server's.
    pub(crate) fn accept(&mut self, conn: ConnId) {
        self.sockets.push(Socket { conn, inbox: VecDeque::new(), after: None, blocked: false });
    }

    fn error(&mut self) -> Signal {
        Signal::Errno(ERRORS[usize::from(self.choices.below(5))])
    }

    fn outcome(&mut self, conn: ConnId) -> Result<Established, Signal> {
        if self.choices.below(3) == 2 {
            return Err(self.error());
        }
        self.accept(conn);
        Ok(Established { local: Some("127.0.0.1:4000".parse().unwrap()) })
    }

    /// What the network does between two turns.
    pub(crate) fn happen(&mut self) {
        self.budget = 1 + self.choices.below(4) as u8;
        let what = self.choices.below(16);
        let n = usize::from(self.choices.below(60));
        let error = self.error();
        let Some(socket) = self.sockets.first_mut() else { return };
        match what {
            0..=5 if self.wire == Wire::Swallows && socket.after.is_none() => {
                for _ in 0..n {
                    self.next_byte = self.next_byte.wrapping_add(1);
                    socket.inbox.push_back(self.next_byte);
                }
            }
            6 => socket.after = Some(Ok(0)),
            7 => socket.after = Some(Err(error)),
            8 if self.wire == Wire::Echoes && n > 50 => socket.inbox.push_back(0xEE),
            _ => {}
        }
    }

    fn socket(&mut self, conn: ConnId) -> &mut Socket {
        self.sockets.iter_mut().find(|s| s.conn == conn).expect("a call on a connection that does not stand")
    }
}

impl<T> Port<T> for MemoryPort {
    fn dial(&mut self, conn: ConnId, _: T) -> Option<Result<Established, Signal>> {
        if self.choices.below(3) == 1 {
            return Some(self.outcome(conn));
        }
        self.dials.push(conn);
        None
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, via: Via) -> Option<Result<usize, Signal>> {
        let stale = via == Via::Readiness && self.choices.below(8) == 7;
        let short = 1 + usize::from(self.choices.below(2 * CHUNK as u16));
        let socket = self.socket(conn);
        if stale {
            return None;
        }
        let n = socket.inbox.len().min(CHUNK).min(short);
        if n == 0 {
            let said = socket.after;
            socket.after = said.map(|_| Ok(0)); // An error is said once.
            return said;
        }
        for (slot, byte) in chunk.spare().iter_mut().zip(socket.inbox.drain(..n)) {
            *slot = byte;
        }
        chunk.filled(n);
        Some(Ok(n))
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        let all = bufs.concat();
        let most = 1 + usize::from(self.choices.below(2 * CHUNK as u16));
        let what = self.choices.below(16);
        let error = self.error();
        let echoes = self.wire == Wire::Echoes;
        let socket = self.socket(conn);
        match what {
            15 => Some(Err(error)),
            11..=14 => {
                socket.blocked = true;
                None
            }
            _ => {
                let n = if what < 6 { all.len() } else { all.len().min(most) };
                if echoes && socket.after.is_none() {
                    socket.inbox.extend(&all[..n]);
                }
                Some(Ok(n))
            }
        }
    }

    fn kernel_view(&mut self, _: ConnId) -> Option<KernelView> {
        let what = self.choices.below(3);
        (what > 0).then(|| KernelView {
            unacked: 1,
            retransmits: what as u8,
            since_ack: Duration::from_millis(1_234),
            peer_window: (what == 2).then_some(65_535),
            ..KernelView::default()
        })
    }

    fn shutdown(&mut self, conn: ConnId) {
        self.socket(conn).after = Some(Ok(0)); // The peer follows, sooner or later.
    }

    fn close(&mut self, conn: ConnId, _: Close) {
        self.sockets.retain(|s| s.conn != conn);
        self.dials.retain(|&dial| dial != conn);
    }

    fn lend(&mut self) -> Chunk {
        Chunk::with_capacity(CHUNK)
    }

    fn put_back(&mut self, _: Chunk) {}

    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        self.budget = self.budget.checked_sub(1)?;
        if !self.dials.is_empty() && self.choices.below(2) == 0 {
            let conn = self.dials.remove(0);
            return Some(Ready::Dialed(conn, self.outcome(conn)));
        }
        let first = usize::from(self.choices.below(2));
        for i in 0..self.sockets.len() {
            let at = (first + i) % self.sockets.len();
            let socket = &mut self.sockets[at];
            if socket.blocked && first == 0 {
                socket.blocked = false;
                return Some(Ready::Writable(socket.conn));
            }
            if reads(socket.conn) && (!socket.inbox.is_empty() || socket.after.is_some()) {
                return Some(Ready::Readable(socket.conn));
            }
        }
        None
    }
}

/// Drives a machine with `turn` until the choices have run out: what happens, when, and what the program asks for.
pub(crate) fn drive<M: Machine>(
    machine: &mut M,
    port: &mut MemoryPort,
    start: Instant,
    mut command: impl FnMut(&mut Choices) -> Option<M::Command>,
) {
    let clock = Cell::new(start);
    // Each call takes a microsecond, so that no two facts are told at the same time.
    let now = || {
        clock.set(clock.get() + Duration::from_micros(1));
        clock.get()
    };
    while !port.choices.is_empty() && !machine.is_done() {
        port.happen();
        let until = turn(machine, port, now, drop);
        if let Some(command) = command(&mut port.choices) {
            let _ = machine.command(now(), command);
        }
        match port.choices.below(12) {
            10 => machine.handle(now(), Fact::Resumed),
            11 => {
                let hint = Fact::Hint { conn: ConnId::ONLY, signal: Signal::Errno(Errno::HostUnreach) };
                machine.handle(now(), hint);
            }
            _ => {}
        }
        // To the deadline, or woken before it; now and then late.
        let early = Duration::from_millis(u64::from(port.choices.below(900)));
        let late = [0, 0, 0, 20, 400][usize::from(port.choices.below(5))];
        let deadline = until.map_or(clock.get() + early, |until| until + Duration::from_millis(late));
        let woken = port.choices.below(2) == 0;
        clock.set(if woken { deadline.min(clock.get() + early) } else { deadline.max(clock.get()) });
    }
}

/// A machine that writes down every step it gives, what it would write, and how long it would rest.
#[derive(Debug)]
pub(crate) struct Spy<M> {
    pub(crate) machine: M,
    pub(crate) log: Vec<String>,
}

impl<M> Spy<M> {
    pub(crate) const fn new(machine: M) -> Self {
        Self { machine, log: Vec::new() }
    }
}

impl<M: Machine<Target: core::fmt::Debug, Event: core::fmt::Debug, Refused: core::fmt::Debug>> Machine
    for Spy<M>
{
    type Target = M::Target;
    type Event = M::Event;
    type Command = M::Command;
    type Refused = M::Refused;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        if matches!(fact, Fact::Tick) {
            self.log.push(format!("slept until {now:?}, asked to: {:?}", self.machine.next_deadline()));
        }
        self.machine.handle(now, fact);
    }

    fn command(&mut self, now: Instant, command: M::Command) -> Result<(), M::Refused> {
        let result = self.machine.command(now, command);
        self.log.push(format!("{result:?}"));
        result
    }

    fn poll(&mut self) -> Step<M::Target, M::Event> {
        let step = self.machine.poll();
        match step {
            Step::Wait(until) => assert_eq!(until, self.machine.next_deadline()),
            Step::Write { conn } => {
                let mut bufs: [&[u8]; 64] = [&[]; 64];
                let filled = self.machine.unsent(conn, &mut bufs);
                self.log.push(format!("{step:?} {:02x?}", bufs[..filled].concat()));
            }
            _ => self.log.push(format!("{step:?}")),
        }
        step
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        self.machine.wants_read(conn)
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        self.machine.unsent(conn, out)
    }

    fn reclaim(&mut self) -> Option<Chunk> {
        self.machine.reclaim()
    }

    fn is_done(&self) -> bool {
        self.machine.is_done()
    }
}
