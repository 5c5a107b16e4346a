//! The port of every machine on every runtime: a small table of sockets, and the calls that a turn makes on them.
//!
//! # What a runtime supplies, and what it does not
//!
//! Runtimes differ in how they watch a socket and in how they sleep. That is [`Socket`], three methods: watch it, say
//! whether a call is worth making, make the call and forget the readiness that it has used up. Everything else about
//! the sockets of a machine is the same on all of them, and is here:
//!
//! ```text
//!   turn (core) ── Port ──► Switchboard, for one turn ──► Lines ──► one line per socket ──► Socket, the runtime's
//!                           how much a turn takes in,      by id     dialing or up,         when
//!                           who is asked first                       which calls to spare
//! ```
//!
//! What it needs to watch a socket is lent for one turn, as [`Socket::Context`]: a task's
//! [`Context`](core::task::Context) where a task is to be woken, the registry of an event loop, or nothing at all where
//! `poll(2)` has set flags.
//!
//! A machine has one connection nearly always, and more only while addresses race or a suspect is doubted. So the first
//! line is kept in place, and a server's connection allocates no table.
//!
//! # One turn
//!
//! ```
//! # use resound_core::stream::{Machine, turn};
//! # use resound_sockets::port::{Lines, Socket, Switchboard};
//! # use resound_sockets::{clock::Clock, pool::Pool, tcp::{DialOptions, Target}};
//! fn one_turn<M: Machine<Target: Target>, S: Socket>(
//!     machine: &mut M, lines: &mut Lines<S>, pool: &Pool, clock: Clock, cx: &mut S::Context<'_>,
//! ) {
//!     let options = DialOptions::default();
//!     let mut port = Switchboard::new(lines, &options, pool, cx);
//!     let until = turn(machine, &mut port, || clock.now(), |event| { /* show it to the program */ });
//!     if port.exhausted() {
//!         // let others run, then turn again
//!     } else {
//!         // sleep until a socket is ready, a command comes, or `until`
//!     }
//! }
//! ```

use core::fmt;
use core::task::Poll;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Port, Ready, Via};
use resound_core::{Chunk, ConnId};

use crate::errno;
use crate::pool::Pool;
use crate::tcp::{DialOptions, Dialing, Target};

mod line;

use line::Line;

/// How many reports of sockets one turn takes in. A peer that sends without end keeps nobody from their turn.
const REPORTS: u8 = 16;

/// What a call on a socket that is not open says.
const NO_SOCKET: Signal = Signal::Errno(Errno::BadF);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer. A listener accepts in this direction.
    Read,
    /// To the peer. A dial ends in this direction.
    Write,
}

/// What a call left behind in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// Nothing, as far as the call could see: the next call is worth making when the kernel reports readiness anew.
    Nothing,
    /// There may be more: the next call may be made at once.
    More,
}

/// A non-blocking descriptor, stream or listener, that a runtime watches. Dropping it closes the descriptor.
pub trait Socket: AsFd + Sized + 'static {
    /// What the runtime needs to watch a socket, lent for one turn.
    type Context<'a>;

    /// Hands a non-blocking descriptor to the runtime.
    ///
    /// # Errors
    ///
    /// What the system said: usually that it has no memory for one more.
    fn register(fd: OwnedFd, cx: &mut Self::Context<'_>) -> io::Result<Self>;

    /// Ready if a call in this direction is worth making; else whoever `cx` stands for is woken when it is. The end of
    /// the stream and a pending error count as readiness. Better too often ready than once too seldom: a call in vain
    /// says so.
    ///
    /// # Errors
    ///
    /// The runtime can no longer watch it, usually because it is shutting down.
    fn poll_ready(&self, direction: Direction, cx: &mut Self::Context<'_>) -> Poll<io::Result<()>>;

    /// Makes `call`, once, unless the runtime remembers that the socket is not ready; `None` then. After
    /// [`Left::Nothing`] the runtime forgets the readiness that it had seen **before** the call, and no later one: an
    /// event that came meanwhile must not be lost.
    fn attempt<T>(&self, direction: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T>;
}

/// The sockets of one machine.
#[derive(Debug)]
pub struct Lines<S> {
    first: Option<(ConnId, Line<S>)>,
    others: Vec<(ConnId, Line<S>)>,
}

impl<S> Default for Lines<S> {
    /// None yet: the machine will dial.
    fn default() -> Self {
        Self { first: None, others: Vec::new() }
    }
}

impl<S: Socket> Lines<S> {
    /// The one socket of a machine that never dials.
    #[must_use]
    pub fn accepted(socket: S) -> Self {
        Self { first: Some((ConnId::ONLY, Line::up(socket))), others: Vec::new() }
    }

    /// All of them, for a runtime that notes on each what it is ready for.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.first.iter().chain(&self.others).map(|(_, line)| line.socket())
    }

    fn add(&mut self, conn: ConnId, line: Line<S>) {
        if self.first.is_none() {
            self.first = Some((conn, line));
        } else {
            self.others.push((conn, line));
        }
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Line<S>> {
        self.iter().find(|(id, _)| *id == conn).map(|(_, line)| line)
    }

    fn remove(&mut self, conn: ConnId) -> Option<Line<S>> {
        let line = if let Some((_, line)) = self.first.take_if(|(id, _)| *id == conn) {
            line
        } else {
            let at = self.others.iter().position(|(id, _)| *id == conn)?;
            self.others.swap_remove(at).1
        };
        if self.first.is_none() {
            self.first = self.others.pop();
        }
        Some(line)
    }

    fn iter(&mut self) -> impl Iterator<Item = &mut (ConnId, Line<S>)> {
        self.first.iter_mut().chain(&mut self.others)
    }
}

/// The lines during one turn, as the core's [`Port`].
pub struct Switchboard<'a, 'cx, S: Socket> {
    lines: &'a mut Lines<S>,
    dial: &'a DialOptions,
    pool: &'a Pool,
    cx: &'a mut S::Context<'cx>,
    /// Reports that this turn may still take in.
    left: u8,
    /// The connection that reported last: the others are asked first.
    last: Option<ConnId>,
}

impl<'a, 'cx, S: Socket> Switchboard<'a, 'cx, S> {
    /// Begins a turn.
    pub const fn new(
        lines: &'a mut Lines<S>,
        dial: &'a DialOptions,
        pool: &'a Pool,
        cx: &'a mut S::Context<'cx>,
    ) -> Self {
        Self { lines, dial, pool, cx, left: REPORTS, last: None }
    }

    /// Whether the turn ended because it had taken in as much as one may. Nobody will be woken then: the next turn is
    /// due as soon as others have had theirs.
    #[must_use]
    pub const fn exhausted(&self) -> bool {
        self.left == 0
    }

    fn watch(&mut self, stream: TcpStream) -> Result<S, Signal> {
        S::register(stream.into(), self.cx).map_err(|error| errno::signal(&error))
    }

    fn ask(&mut self, reads: &impl Fn(ConnId) -> bool, whom: impl Fn(ConnId) -> bool) -> Option<Ready> {
        let mut lines = self.lines.iter().filter(|(conn, _)| whom(*conn));
        let (conn, report) = lines.find_map(|(conn, line)| {
            let report = line.poll(*conn, reads(*conn), self.cx, &mut self.left)?;
            Some((*conn, report))
        })?;
        self.last = Some(conn);
        // There may be none left: one dial can have used them up on reports without cause, and then another line had one.
        self.left = self.left.saturating_sub(1);
        Some(report)
    }
}

impl<S: Socket, T: Target> Port<T> for Switchboard<'_, '_, S> {
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>> {
        let watched = match to.dial(self.dial) {
            Ok(Dialing::Up(stream, known)) => self.watch(stream).map(|s| (Line::up(s), Some(Ok(known)))),
            Ok(Dialing::Pending(stream)) => self.watch(stream).map(|s| (Line::dialing(s), None)),
            Err(signal) => Err(signal),
        };
        match watched {
            Ok((line, outcome)) => {
                self.lines.add(conn, line);
                outcome
            }
            Err(signal) => Some(Err(signal)),
        }
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, via: Via) -> Option<Result<usize, Signal>> {
        self.lines.get(conn).map_or(Some(Err(NO_SOCKET)), |line| line.read(chunk, via))
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        self.lines.get(conn).map_or(Some(Err(NO_SOCKET)), |line| line.write(bufs))
    }

    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView> {
        self.lines.get(conn)?.kernel_view()
    }

    fn shutdown(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get(conn) {
            line.shutdown();
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(line) = self.lines.remove(conn) {
            line.close(how);
        }
    }

    fn lend(&mut self) -> Chunk {
        self.pool.lend()
    }

    fn put_back(&mut self, chunk: Chunk) {
        self.pool.put_back(chunk);
    }

    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        if self.exhausted() {
            return None;
        }
        let last = self.last;
        let report = self.ask(&reads, |conn| Some(conn) != last);
        report.or_else(|| self.ask(&reads, |conn| Some(conn) == last))
    }
}

impl<S: Socket + fmt::Debug> fmt::Debug for Switchboard<'_, '_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").field("lines", &self.lines).finish_non_exhaustive()
    }
}
