//! A server's side of one connection: what comes in goes out again (RFC 862 over TCP).
//!
//! # Theory of operation
//!
//! One chunk is the whole buffer. It is lent by the driver for a read, kept while its bytes are unsent, and given back:
//! an idle connection holds none. While it is held nothing is read (back-pressure, never unbounded memory).
//!
//! ```text
//!           bytes                        written
//!  Open ───────────► (chunk held, no reading) ───────► Open        FIN from the peer: flush, pause, then close
//!   │ drain: echo until the peer is quiet, half-close, then wait for the peer's FIN
//! ```
//!
//! Two pauses, both zero unless an experiment asks for them, show what a slow server does to its peer: one before the
//! first read, in which the kernel's buffer fills and the window closes, and one before the close, in which the
//! connection stays in CLOSE_WAIT. While they last nothing is read, so nothing is noticed either, and no limit counts.
//! A drain ends them.
//!
//! Three limits end a connection that does nothing: silence both ways (idle), a peer that does not read (stall), and a
//! drain that takes too long. All are checked lazily: no timer moves when a message passes. A timer call that comes too
//! late postpones them once, so that the driver gets to see what its socket says: a host that was suspended does not
//! find all its peers idle.
//!
//! What was received and can never be echoed, because the peer sent it after this side's half-close or the kernel takes
//! no more, is counted and dropped. The end is then not called [`Reason::Closed`], which says that nothing was due.

use core::num::NonZeroU64;
use core::time::Duration;

use super::{Chunk, Close, ConnId, Fact, Findings, Machine, Step, Wire};
use crate::config::BadConfig;
use crate::signal::{Cause, Op, Reason, Signal};
use crate::table::transitions;
use crate::time::{Instant, earliest, nanos};

/// By how much a timer call may be late and still be believed.
const LATE: u64 = 100_000_000;

/// How long a peer must have been quiet, when the server leaves, before its connection is half-closed.
const QUIET: u64 = 100_000_000;

/// The limits of a connection, on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Without a byte either way for this long the connection is closed. Default 5 min; `None`: never. Keep it at least
    /// twice the clients' idle time, or it ends connections that are only quiet. A drain has its own limit instead.
    pub idle: Option<Duration>,
    /// With unsent echoes and no progress for this long the connection is reset. Default 60 s.
    pub stall: Duration,
    /// How long a drain waits, from its first command on, for the peer to take what is left and to close. Default 10 s.
    pub drain: Duration,
    /// An experiment: the pause before the first read. Default zero.
    pub first_read_after: Duration,
    /// An experiment: the pause before the close, when the peer has ended its side and has been sent everything. Default
    /// zero.
    pub close_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(300)),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            first_read_after: Duration::ZERO,
            close_after: Duration::ZERO,
        }
    }
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Names the field: none of `idle`, `stall` and `drain` may be zero.
    pub fn check(self) -> Result<Policy, BadConfig> {
        let zero = |d: Duration| d.is_zero();
        BadConfig::unless(
            !self.idle.is_some_and(zero),
            "idle",
            "must be longer than zero; None is no limit",
        )?;
        BadConfig::unless(!zero(self.stall), "stall", "must be longer than zero")?;
        BadConfig::unless(!zero(self.drain), "drain", "must be longer than zero")?;
        Ok(Policy {
            first_read_after: nanos(self.first_read_after),
            limits: Limits {
                idle: self.idle.and_then(|idle| NonZeroU64::new(nanos(idle))),
                stall: nanos(self.stall),
                drain: nanos(self.drain),
                close_after: nanos(self.close_after),
            },
        })
    }
}

/// A checked [`Config`].
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    first_read_after: u64,
    limits: Limits,
}

/// What a connection has to remember of it, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Limits {
    idle: Option<NonZeroU64>,
    stall: u64,
    drain: u64,
    close_after: u64,
}

transitions! {
    /// Where a server's connection stands.
    pub enum State {
        /// Nothing was read yet; it pauses before it does.
        Fresh,
        /// Nothing is held; it reads.
        Open,
        /// Bytes are held; it writes.
        Echoing,
        /// The peer has ended its side; what is held is still written.
        Flushing,
        /// The peer has ended its side and has everything; it pauses before it closes.
        CloseWait,
        /// The server leaves: what is held is still written.
        Draining,
        /// The server leaves: what had come in before is still read and echoed.
        Leaving,
        /// Half-closed; the peer's end is awaited.
        Shut,
        /// Over.
        Closed,
    }

    /// What moves it.
    pub enum Input {
        /// The pause is over, or there is none.
        Resume,
        /// Bytes came in.
        Bytes,
        /// Everything held was written.
        Flushed,
        /// The peer ended its side.
        Fin,
        /// The server wants to leave.
        Drain,
        /// The server wants to leave, and the kernel held nothing more.
        Empty,
        /// It failed, or a limit was reached.
        Over,
    }

    Fresh: Resume => Open, Bytes => Echoing, Fin => CloseWait, Over => Closed;
    Open: Bytes => Echoing, Fin => CloseWait, Drain => Leaving, Over => Closed;
    Echoing: Flushed => Open, Fin => Flushing, Drain => Draining, Over => Closed;
    Flushing: Flushed => CloseWait, Over => Closed;
    CloseWait: Resume => Closed, Over => Closed;
    Draining: Flushed => Leaving, Fin => Flushing, Over => Closed;
    Leaving: Bytes => Draining, Empty => Shut, Fin => Closed, Over => Closed;
    Shut: Fin => Closed, Over => Closed;
    Closed:;
}

/// What a server can ask of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Leave in good order: echo on until the peer is quiet for 100 ms or half the drain is over, half-close, and wait for
    /// the peer's end.
    Drain,
    /// Reset it now.
    Abort,
}

/// How a connection ended, and what passed through it. The only event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why. [`Reason::Closed`] is the good end: everything received was sent back. If this side left while bytes were
    /// still coming, it is [`Reason::Aborted`], of local origin.
    pub cause: Cause,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent back.
    pub echoed: u64,
}

/// A server's side of one connection.
///
/// ```
/// use resound_core::stream::server::{Config, Connection};
/// use resound_core::stream::{Chunk, ConnId, Fact, Machine, Step};
/// use resound_core::Instant;
///
/// let (now, conn) = (Instant::EPOCH, ConnId::ONLY);
/// let mut server = Connection::new(Config::default().check().unwrap(), now);
/// let mut chunk = Chunk::with_capacity(64);
/// chunk.spare()[..2].copy_from_slice(b"hi");
/// chunk.filled(2);
/// server.handle(now, Fact::Received { conn, chunk: &mut chunk });
/// assert_eq!(server.poll(), Step::Write { conn });
/// let mut out: [&[u8]; 1] = [b""];
/// assert_eq!(server.unsent(conn, &mut out), 1);
/// assert_eq!(out[0], b"hi");
/// ```
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    chunk: Chunk,
    wire: Wire,
    /// The latest time that was told.
    now: Instant,
    /// The last byte either way.
    progress: Instant,
    /// No limit counts before this: a timer call came late.
    grace: Option<Instant>,
    drain_by: Option<Instant>,
    /// The end of the pause, in the two states that are one; while leaving, when to look whether anything more has come
    /// in.
    wake_at: Option<Instant>,
    received: u64,
    echoed: u64,
    examine: bool,
    shutdown: bool,
    close: Option<Close>,
    ended: Option<Cause>,
}

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(policy: Policy, now: Instant) -> Self {
        let mut new = Self {
            limits: policy.limits,
            state: State::Fresh,
            chunk: Chunk::default(),
            wire: Wire::default(),
            now,
            progress: now,
            grace: None,
            drain_by: None,
            wake_at: None,
            received: 0,
            echoed: 0,
            examine: false,
            shutdown: false,
            close: None,
            ended: None,
        };
        new.pause_for(policy.first_read_after);
        new
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    fn step(&mut self, input: Input) -> bool {
        let next = self.state.on(input);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    fn over(&mut self, cause: Cause, how: Close) {
        if self.state == State::Closed || self.step(Input::Over) {
            self.close = Some(how);
            self.ended = Some(cause);
            self.chunk.clear();
            (self.examine, self.shutdown) = (false, false);
        }
    }

    /// Stays where it is for so long, or not at all.
    fn pause_for(&mut self, time: u64) {
        self.wake_at = (time > 0 && self.drain_by.is_none()).then(|| self.now.after(time));
        if self.wake_at.is_none() {
            self.resume();
        }
    }

    /// Goes on from the pause, if it is in one. Idleness is counted from here: before, it did not listen.
    fn resume(&mut self) {
        if self.step(Input::Resume) {
            self.wake_at = None;
            self.progress = self.now;
            self.end_if_closed();
        }
    }

    /// Bytes received and not echoed.
    fn due(&self) -> usize {
        usize::try_from(self.received - self.echoed).unwrap_or(usize::MAX)
    }

    fn received(&mut self, chunk: &mut Chunk) {
        if chunk.is_empty() {
            return;
        }
        self.wire.bytes_came(chunk.bytes().len());
        self.received += chunk.bytes().len() as u64;
        self.progress = self.now;
        match self.state {
            State::Fresh | State::Open | State::Leaving if !self.wire.is_broken() => {
                self.chunk = core::mem::take(chunk);
                self.step(Input::Bytes);
            }
            // Only a driver that reads against `wants_read` gets here. Two chunks cannot be held, and an echo with a
            // hole in it is worse than none.
            State::Echoing | State::Draining if !self.wire.is_broken() => {
                chunk.clear();
                self.over(Cause::local(Reason::Aborted), Close::Reset);
            }
            // Found by an examination, or sent after the half-close: there is no way back for them.
            _ => chunk.clear(),
        }
    }

    fn wrote(&mut self, n: usize) {
        self.wire.wrote(n);
        self.echoed += n.min(self.chunk.bytes().len()) as u64;
        self.chunk.consume(n);
        if n > 0 {
            self.progress = self.now;
        }
        if self.chunk.is_empty() && self.step(Input::Flushed) {
            self.look_again();
            self.end_if_all_was_said();
        }
    }

    fn end_if_all_was_said(&mut self) {
        if self.state == State::CloseWait {
            self.pause_for(self.limits.close_after);
        }
        self.end_if_closed();
    }

    fn end_if_closed(&mut self) {
        if self.state == State::Closed {
            let good = self.due() == 0;
            let cause = if good { Cause::peer(Reason::Closed) } else { Cause::local(Reason::Aborted) };
            self.over(cause, Close::Drop);
        }
    }

    fn fin(&mut self) {
        if self.wire.is_broken() {
            self.over(self.wire.at_end(self.due()), Close::Reset);
        } else if self.step(Input::Fin) {
            self.end_if_all_was_said();
        }
    }

    fn failed(&mut self, op: Op, signal: Signal) {
        if op == Op::Write {
            self.wire.write_failed(signal);
            self.examine = true;
        } else {
            self.over(self.wire.failed(op, signal), Close::Reset);
        }
    }

    fn examined(&mut self) {
        match self.wire.examined() {
            Findings::Again => self.examine = true,
            Findings::Over(cause) => self.over(cause, Close::Reset),
            Findings::Nothing => self.shut(),
        }
    }

    /// While it leaves it goes on to echo, until the peer has been quiet for a moment or half the drain is over: a peer
    /// that was told nothing yet sends on, and what crosses the half-close can never be echoed.
    fn look_again(&mut self) {
        let Some(drain_by) = self.drain_by.filter(|_| self.state == State::Leaving) else { return };
        let half = Instant::from_nanos(drain_by.nanos().saturating_sub(self.limits.drain / 2));
        if self.now >= half && self.wake_at.is_some() {
            return self.shut();
        }
        self.wake_at = Some(self.progress.after(QUIET).min(half));
    }

    fn shut(&mut self) {
        self.shutdown |= self.step(Input::Empty);
    }

    fn drain(&mut self) {
        self.drain_by = self.drain_by.or(Some(self.now.after(self.limits.drain)));
        self.resume();
        self.step(Input::Drain);
        self.look_again();
    }

    fn wakes_at(&self) -> Option<Instant> {
        self.wake_at.filter(|_| matches!(self.state, State::Fresh | State::CloseWait | State::Leaving))
    }

    /// Where its three limits lie now: idle, stall, drain.
    fn limits(&self) -> [Option<Instant>; 3] {
        let limits = match self.state {
            State::Fresh | State::CloseWait | State::Closed => [None; 3],
            State::Open => [self.limits.idle.map(|idle| self.progress.after(idle.get())), None, None],
            State::Leaving | State::Shut => [None, None, self.drain_by],
            State::Echoing | State::Flushing | State::Draining => {
                [None, Some(self.progress.after(self.limits.stall)), self.drain_by]
            }
        };
        limits.map(|limit| limit.map(|at| self.grace.map_or(at, |grace| at.max(grace))))
    }

    fn tick(&mut self) {
        match self.state {
            _ if self.wakes_at().is_none_or(|at| at > self.now) => {}
            State::Leaving => {
                self.examine = true;
                self.wake_at = Some(self.now.after(QUIET));
            }
            _ => self.resume(),
        }
        let limits = self.limits();
        let Some(first) = earliest(limits).filter(|&at| at <= self.now) else { return };
        let [idle, stall, _] = limits.map(|limit| limit.is_some_and(|at| at <= self.now));
        let late = nanos(self.now.since(first)) > LATE;
        if late && self.grace.is_none_or(|grace| first > grace) {
            // Each limit only once: a driver that is always late still has to enforce them.
            self.grace = Some(self.now.after(LATE));
        } else if stall {
            self.over(Cause::timer(Reason::WriteBlocked), Close::Reset);
        } else if idle {
            self.over(Cause::timer(Reason::Aborted), Close::Drop);
        } else {
            self.over(Cause::timer(Reason::Aborted), Close::Reset);
        }
    }

    fn pending(&self) -> bool {
        self.close.is_some() || self.ended.is_some() || self.shutdown || self.examine || self.writes()
    }

    fn writes(&self) -> bool {
        !self.chunk.is_empty() && self.wire.takes_bytes()
    }
}

impl Machine for Connection {
    type Target = core::convert::Infallible;
    type Event = Ended;
    type Command = Command;
    type Refused = Command;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        self.now = self.now.max(now);
        let live = self.state != State::Closed;
        match fact {
            Fact::Received { conn: ConnId::ONLY, chunk } if live => self.received(chunk),
            Fact::Received { chunk, .. } => chunk.clear(),
            _ if !live => {}
            Fact::Wrote { conn: ConnId::ONLY, n } => self.wrote(n),
            Fact::Blocked { conn: ConnId::ONLY } => self.wire.blocked(),
            Fact::Writable { conn: ConnId::ONLY } => self.wire.writable(),
            Fact::Ended { conn: ConnId::ONLY } => self.fin(),
            Fact::Failed { conn: ConnId::ONLY, op, signal } => self.failed(op, signal),
            Fact::Examined { conn: ConnId::ONLY, .. } => self.examined(),
            Fact::Tick => self.tick(),
            _ => {}
        }
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), Command> {
        self.now = self.now.max(now);
        if self.state == State::Closed {
            return Err(command);
        }
        match command {
            Command::Drain => self.drain(),
            Command::Abort => self.over(Cause::local(Reason::Aborted), Close::Reset),
        }
        Ok(())
    }

    fn poll(&mut self) -> Step<Self::Target, Ended> {
        let conn = ConnId::ONLY;
        if core::mem::take(&mut self.shutdown) {
            Step::Shutdown { conn }
        } else if core::mem::take(&mut self.examine) {
            Step::Examine { conn }
        } else if let Some(how) = self.close.take() {
            Step::Close { conn, how }
        } else if let Some(cause) = self.ended.take() {
            Step::Event(Ended { cause, received: self.received, echoed: self.echoed })
        } else if self.writes() {
            self.wire.asked();
            Step::Write { conn }
        } else {
            Step::Wait(self.next_deadline())
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let [idle, stall, drain] = self.limits();
        earliest([self.pending().then_some(Instant::EPOCH), self.wakes_at(), idle, stall, drain])
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        conn == ConnId::ONLY && matches!(self.state, State::Open | State::Leaving | State::Shut)
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        match out.first_mut() {
            Some(slot) if conn == ConnId::ONLY && !self.chunk.is_empty() => {
                *slot = self.chunk.bytes();
                1
            }
            _ => 0,
        }
    }

    fn reclaim(&mut self) -> Option<Chunk> {
        (self.chunk.is_empty() && self.chunk.capacity() > 0).then(|| core::mem::take(&mut self.chunk))
    }

    fn is_done(&self) -> bool {
        self.state == State::Closed && self.close.is_none() && self.ended.is_none()
    }
}
