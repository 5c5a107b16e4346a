//! Machines over byte streams, and the contract between a machine and whoever drives it.
//!
//! # Theory of operation
//!
//! A machine never does anything: it is told facts, asked for the next step, and does no more than remember.
//!
//! ```text
//!                 fact: what the world did                 step: what to do next, once
//!   kernel  ───►  handle(now, Fact)  ───►  ┌─────────┐  ───►  poll() -> Step  ───►  driver  ───►  kernel
//!                                          │ machine │
//!   program ───►  command(now, …)   ───►   └─────────┘  ───►  Step::Event     ───►  program
//!                 may be refused                ▲
//!                                               └── wants_read, unsent: levels the driver asks for
//! ```
//!
//! The rules, for drivers:
//!
//! 1. Call [`poll`](Machine::poll) until it says [`Step::Wait`], and do each step as it comes.
//! 2. Then sleep until something happened or the time that `Wait` named. Tell what happened, begin again.
//! 3. Only [`Fact::Tick`] fires timers. Early and repeated ticks change nothing; a late one is noticed, reported as a
//!    local stall, and never held against the peer.
//!
//! [`turn`] does all of this over a [`Port`], in sixty lines: what is left to an adapter is how to make the calls and
//! how to sleep.

use core::net::SocketAddr;
use core::num::NonZeroU32;

use crate::liveness::KernelView;
use crate::signal::{Op, Signal};
use crate::time::Instant;

pub mod admission;
mod chunk;
pub mod client;
pub mod record;
pub mod server;
mod turn;
mod wire;

pub use chunk::Chunk;
pub use turn::{Port, Ready, Via, turn};
pub use wire::{Findings, Wire};

/// Names one attempt to connect and the connection that comes of it. Made by the machine, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) NonZeroU32);

impl ConnId {
    /// The id of the only connection of a machine that never dials, such as a server's side of one.
    pub const ONLY: Self = Self(NonZeroU32::MIN);

    /// The number, for logs and as a key.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// What a driver knows about a connection that has just come up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Established {
    /// The local address, for reports.
    pub local: Option<SocketAddr>,
}

/// What the world did. Telling a fact never fails; one with a stale `conn` changes nothing.
#[derive(Debug)]
pub enum Fact<'a> {
    /// The dial asked for has ended. `Ok` only after the driver saw that it did not connect to itself.
    Dialed {
        /// Which one.
        conn: ConnId,
        /// How it ended.
        result: Result<Established, Signal>,
    },
    /// Bytes arrived, in a chunk that the driver lent. The machine consumes them, or takes the chunk and leaves an
    /// empty one behind.
    Received {
        /// On which connection.
        conn: ConnId,
        /// The bytes.
        chunk: &'a mut Chunk,
    },
    /// The kernel took the first `n` bytes of [`Machine::unsent`].
    Wrote {
        /// On which connection.
        conn: ConnId,
        /// How many bytes.
        n: usize,
    },
    /// A [`Step::Write`] met EAGAIN; [`Fact::Writable`] follows when the socket says so.
    Blocked {
        /// On which connection.
        conn: ConnId,
    },
    /// The socket takes bytes again.
    Writable {
        /// On which connection.
        conn: ConnId,
    },
    /// A read said 0: the peer will send no more.
    Ended {
        /// On which connection.
        conn: ConnId,
    },
    /// A call failed with something other than EAGAIN or EINTR.
    Failed {
        /// On which connection.
        conn: ConnId,
        /// Which call.
        op: Op,
        /// What it said.
        signal: Signal,
    },
    /// A sign that is not an end: an error-queue entry, a soft error, a raw ICMP. It hastens a probe, never closes.
    Hint {
        /// On which connection.
        conn: ConnId,
        /// What was seen.
        signal: Signal,
    },
    /// The answer to [`Step::Examine`], after that read's own result was told.
    Examined {
        /// On which connection.
        conn: ConnId,
        /// What the kernel knows about it, where it can be asked.
        kernel: Option<KernelView>,
    },
    /// The clock stood still, or the host's addresses changed: what was silent may have had no chance to speak.
    /// Only where the driver's clock stops in suspend.
    Resumed,
    /// Time passed. The only fact that fires timers.
    Tick,
}

impl Fact<'_> {
    /// The attempt or connection that it is about.
    #[must_use]
    pub const fn conn(&self) -> Option<ConnId> {
        match *self {
            Self::Dialed { conn, .. }
            | Self::Received { conn, .. }
            | Self::Wrote { conn, .. }
            | Self::Blocked { conn }
            | Self::Writable { conn }
            | Self::Ended { conn }
            | Self::Failed { conn, .. }
            | Self::Hint { conn, .. }
            | Self::Examined { conn, .. } => Some(conn),
            Self::Resumed | Self::Tick => None,
        }
    }
}

/// How to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// Let go: close the descriptor. What the kernel still holds is sent, if anybody still listens.
    Drop,
    /// Reset: nothing lingers, nothing is waited for (`SO_LINGER` 0).
    Reset,
}

/// What the driver must do next, once. `T` is what can be dialed; it is [`core::convert::Infallible`] for a machine
/// that never dials, so that its driver needs no arm for it.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T, E> {
    /// Begin to connect; answer [`Fact::Dialed`], now or later. [`Step::Close`] of the same id cancels it.
    Dial {
        /// The attempt's id.
        conn: ConnId,
        /// Where to.
        to: T,
    },
    /// A verdict hangs on what the kernel holds: read once with a real system call, whatever readiness and
    /// [`Machine::wants_read`] say; tell its result; then [`Fact::Examined`]. Asked again if it is not answered.
    Examine {
        /// Which connection.
        conn: ConnId,
    },
    /// Write what [`Machine::unsent`] gives, once; answer [`Fact::Wrote`], [`Fact::Blocked`] or [`Fact::Failed`].
    Write {
        /// Which connection.
        conn: ConnId,
    },
    /// Half-close: no more will be written.
    Shutdown {
        /// Which connection.
        conn: ConnId,
    },
    /// Close the connection, or give up the attempt; its id is stale from now on.
    Close {
        /// Which connection.
        conn: ConnId,
        /// How.
        how: Close,
    },
    /// Something that the program wants to know.
    Event(E),
    /// Nothing to do before this time; `None`: before something happens.
    Wait(Option<Instant>),
}

/// A machine over byte streams: the echo client, a server's side of a connection, or your own protocol around
/// [`Link`](crate::link::Link).
pub trait Machine {
    /// What can be dialed: an address. [`core::convert::Infallible`] if this machine never dials.
    type Target;
    /// What the program is told.
    type Event;
    /// What the program can ask for.
    type Command;
    /// The command given back unchanged, with the reason.
    type Refused;

    /// Tells what the world did. Cannot fail.
    fn handle(&mut self, now: Instant, fact: Fact<'_>);

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// Gives the command back if it is the caller's mistake or a queue is full; nothing has changed then.
    fn command(&mut self, now: Instant, command: Self::Command) -> Result<(), Self::Refused>;

    /// The next step. Takes no time: polling twice, or later, cannot change what comes out.
    fn poll(&mut self) -> Step<Self::Target, Self::Event>;

    /// What [`poll`](Self::poll) would end with, without polling; already past while steps are queued.
    fn next_deadline(&self) -> Option<Instant>;

    /// Whether to read. `false` is back-pressure: do not read, do not wait for readability.
    fn wants_read(&self, conn: ConnId) -> bool;

    /// The unsent bytes, oldest first, in at most `out.len()` slices; returns how many.
    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize;

    /// A chunk that the machine took and has emptied, for the driver's pool.
    fn reclaim(&mut self) -> Option<Chunk> {
        None
    }

    /// Whether nothing will ever come again, so that the driver may drop the machine.
    fn is_done(&self) -> bool;
}
