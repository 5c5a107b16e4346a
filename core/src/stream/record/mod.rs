//! Records of what a machine was told, and their replay: a failure in the field becomes a test.
//!
//! # Theory of operation
//!
//! All that a machine does follows from its configuration, its seed, and what it was told when. So a [`Recorder`]
//! around it writes down facts and commands, nothing else, and [`replay`] tells them to a fresh machine, which then
//! gives the same steps:
//!
//! ```text
//!   driver ── facts, commands ──► Recorder ──► machine ──► steps
//!                                    │                       ║ the same
//!                                    ▼ one line each         ║
//!                               0.000000000 tick  ── replay ─► fresh machine ──► steps
//!                               0.000120000 dialed 1 up
//! ```
//!
//! The recorder is a machine itself, so every driver runs it unchanged. Each [`Entry`] is a line of text, by
//! [`Display`](core::fmt::Display) and [`FromStr`](core::str::FromStr); nothing is lost on the way.
//!
//! A record holds neither configuration nor seed: keep them beside it. It holds every byte that came in and every
//! payload, in the clear: treat it as you treat those.
//!
//! ```
//! use resound_core::Instant;
//! use resound_core::signal::{Errno, Signal};
//! use resound_core::stream::client::{Client, Command, Config};
//! use resound_core::stream::record::{Entry, Recorder, replay};
//! use resound_core::stream::{Fact, Machine, Step};
//!
//! // A client in the field, with a recorder around it. Here the driver is spelled out; usually it is `turn`.
//! let mut text = String::new();
//! let client = Client::new(Config::default(), 7, ["server"]).unwrap();
//! let mut live = Recorder::new(client, |entry: Entry<Command>| text += &format!("{entry}\n"));
//! let mut steps = Vec::new();
//! live.handle(Instant::EPOCH, Fact::Tick);
//! loop {
//!     let step = live.poll();
//!     let (dial, rest) = match step {
//!         Step::Dial { conn, .. } => (Some(conn), false),
//!         Step::Wait(_) => (None, true),
//!         _ => (None, false),
//!     };
//!     steps.push(step);
//!     if let Some(conn) = dial {
//!         let result = Err(Signal::Errno(Errno::ConnRefused));
//!         live.handle(Instant::from_nanos(120_000), Fact::Dialed { conn, result });
//!     }
//!     if rest {
//!         break;
//!     }
//! }
//! assert_eq!(text, "0.000000000 tick\n0.000120000 dialed 1 failed ECONNREFUSED\n");
//!
//! // The record at home.
//! let record = text.lines().map(str::parse).collect::<Result<Vec<Entry<Command>>, _>>().unwrap();
//! let mut fresh = Client::new(Config::default(), 7, ["server"]).unwrap();
//! let mut again = Vec::new();
//! replay(&mut fresh, record, |_, step| again.push(step));
//! assert_eq!(again, steps);
//! ```

use alloc::vec::Vec;

use super::{Chunk, ConnId, Established, Fact, Machine, Step};
use crate::liveness::KernelView;
use crate::signal::{Op, Signal};
use crate::time::Instant;

mod replay;
mod text;
mod words;

pub use replay::replay;
pub use words::{BadEntry, CommandText, Hex, Words};

/// One thing that a machine was told. `C` is its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<C> {
    /// The time that was told with it.
    pub at: Instant,
    /// What was told.
    pub input: Input<C>,
}

/// What a machine can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<C> {
    /// What the world did.
    Fact(OwnedFact),
    /// What the program asked for, whether it was refused or not.
    Command(C),
}

/// A [`Fact`] that owns its bytes; the variants mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is described where it comes from, in `Fact`")]
pub enum OwnedFact {
    /// See [`Fact::Dialed`].
    Dialed { conn: ConnId, result: Result<Established, Signal> },
    /// See [`Fact::Received`].
    Received { conn: ConnId, bytes: Vec<u8> },
    /// See [`Fact::Wrote`].
    Wrote { conn: ConnId, n: usize },
    /// See [`Fact::Blocked`].
    Blocked { conn: ConnId },
    /// See [`Fact::Writable`].
    Writable { conn: ConnId },
    /// See [`Fact::Ended`].
    Ended { conn: ConnId },
    /// See [`Fact::Failed`].
    Failed { conn: ConnId, op: Op, signal: Signal },
    /// See [`Fact::Hint`].
    Hint { conn: ConnId, signal: Signal },
    /// See [`Fact::Examined`].
    Examined { conn: ConnId, kernel: Option<KernelView> },
    /// See [`Fact::Resumed`].
    Resumed,
    /// See [`Fact::Tick`].
    Tick,
}

impl From<&Fact<'_>> for OwnedFact {
    fn from(fact: &Fact<'_>) -> Self {
        match *fact {
            Fact::Dialed { conn, result } => Self::Dialed { conn, result },
            Fact::Received { conn, ref chunk } => Self::Received { conn, bytes: chunk.bytes().to_vec() },
            Fact::Wrote { conn, n } => Self::Wrote { conn, n },
            Fact::Blocked { conn } => Self::Blocked { conn },
            Fact::Writable { conn } => Self::Writable { conn },
            Fact::Ended { conn } => Self::Ended { conn },
            Fact::Failed { conn, op, signal } => Self::Failed { conn, op, signal },
            Fact::Hint { conn, signal } => Self::Hint { conn, signal },
            Fact::Examined { conn, kernel } => Self::Examined { conn, kernel },
            Fact::Resumed => Self::Resumed,
            Fact::Tick => Self::Tick,
        }
    }
}

impl OwnedFact {
    /// Tells it to a machine.
    pub fn tell<M: Machine>(&self, machine: &mut M, now: Instant) {
        let mut chunk;
        let fact = match *self {
            Self::Dialed { conn, result } => Fact::Dialed { conn, result },
            Self::Received { conn, ref bytes } => {
                chunk = Chunk::with_capacity(bytes.len());
                chunk.spare().copy_from_slice(bytes);
                chunk.filled(bytes.len());
                Fact::Received { conn, chunk: &mut chunk }
            }
            Self::Wrote { conn, n } => Fact::Wrote { conn, n },
            Self::Blocked { conn } => Fact::Blocked { conn },
            Self::Writable { conn } => Fact::Writable { conn },
            Self::Ended { conn } => Fact::Ended { conn },
            Self::Failed { conn, op, signal } => Fact::Failed { conn, op, signal },
            Self::Hint { conn, signal } => Fact::Hint { conn, signal },
            Self::Examined { conn, kernel } => Fact::Examined { conn, kernel },
            Self::Resumed => Fact::Resumed,
            Self::Tick => Fact::Tick,
        };
        machine.handle(now, fact);
    }
}

/// A machine that hands everything it is told to `S` before it passes it on to `M`. Steps pass through untouched.
#[derive(Clone, Debug)]
pub struct Recorder<M, S> {
    machine: M,
    sink: S,
}

impl<M, S> Recorder<M, S> {
    /// Records what `machine` is told; each entry is given to `sink`, in order. Begin with a machine that was told
    /// nothing yet, or the record cannot be replayed.
    pub const fn new(machine: M, sink: S) -> Self {
        Self { machine, sink }
    }

    /// The machine inside, to ask it what the trait does not offer.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Ends the recording.
    pub fn into_inner(self) -> (M, S) {
        (self.machine, self.sink)
    }
}

impl<M, S> Machine for Recorder<M, S>
where
    M: Machine<Command: Clone>,
    S: FnMut(Entry<M::Command>),
{
    type Target = M::Target;
    type Event = M::Event;
    type Command = M::Command;
    type Refused = M::Refused;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        (self.sink)(Entry { at: now, input: Input::Fact(OwnedFact::from(&fact)) });
        self.machine.handle(now, fact);
    }

    fn command(&mut self, now: Instant, command: M::Command) -> Result<(), M::Refused> {
        (self.sink)(Entry { at: now, input: Input::Command(command.clone()) });
        self.machine.command(now, command)
    }

    fn poll(&mut self) -> Step<M::Target, M::Event> {
        self.machine.poll()
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
