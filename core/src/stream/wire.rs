//! One connection as its machine sees it: whether it takes bytes, and what it says when it dies.
//!
//! A write error is no verdict: what the read side still holds comes first. Then the first errno other than EPIPE
//! decides, else the end of the stream, else EPIPE. So a write that ate ECONNRESET still says `reset`, and EPIPE after a
//! FIN says `closed-early`, whichever call the runtime happened to make first.
//!
//! Every machine over a byte stream needs this, whatever it speaks; your own protocol around
//! [`Link`](crate::link::Link) keeps one [`Wire`] for each connection.

use crate::signal::{Cause, Errno, Op, Reason, Signal};

/// How many bytes are still read from a connection on which a write has failed. What a receive buffer holds is read by
/// then; a peer that goes on for ever is not waited for. Bytes, not reads: splitting what arrives must change nothing.
const LAST_BYTES: usize = 64 << 20;

const PIPE: Signal = Signal::Errno(Errno::Pipe);

/// The state of one connection, but for its bytes.
#[derive(Debug, Default)]
pub struct Wire {
    flow: Flow,
    write_error: Option<Signal>,
    /// Whether bytes came in since the last examination was asked for.
    fresh: bool,
    last_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    /// A write was asked for and has not been answered.
    Asked,
    /// The kernel takes no more for now.
    Blocked,
}

/// What an examination led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Findings {
    /// No write has failed: the examination was about something else.
    Nothing,
    /// Bytes came in, and there may be more behind them: examine again.
    Again,
    /// The connection is over.
    Over(Cause),
}

impl Wire {
    /// Whether to ask for a write, if there is something to write.
    #[must_use]
    #[inline]
    pub fn takes_bytes(&self) -> bool {
        self.flow == Flow::Open && self.write_error.is_none()
    }

    /// Whether a write has failed, so that nothing more can be sent.
    #[must_use]
    #[inline]
    pub const fn is_broken(&self) -> bool {
        self.write_error.is_some()
    }

    /// `Step::Write` was given; no other one before it is answered.
    #[inline]
    pub fn asked(&mut self) {
        self.flow = Flow::Asked;
    }

    /// The kernel took `n` bytes. If it took none, it is full.
    #[inline]
    pub fn wrote(&mut self, n: usize) {
        self.flow = if n == 0 { Flow::Blocked } else { Flow::Open };
    }

    /// The kernel takes no more for now.
    pub fn blocked(&mut self) {
        self.flow = Flow::Blocked;
    }

    /// The kernel takes bytes again.
    pub fn writable(&mut self) {
        if self.flow == Flow::Blocked {
            self.flow = Flow::Open;
        }
    }

    /// A write failed: ask for an examination, there is no verdict yet.
    pub fn write_failed(&mut self, signal: Signal) {
        if self.write_error.is_none_or(|first| first == PIPE) {
            self.write_error = Some(signal);
        }
        self.flow = Flow::Blocked;
        self.fresh = false;
    }

    /// So many bytes came in.
    pub fn bytes_came(&mut self, n: usize) {
        self.fresh = true;
        if self.write_error.is_some() {
            self.last_bytes = self.last_bytes.saturating_add(n);
        }
    }

    /// The peer ended its side. `due` is how much it still owed: messages or bytes.
    #[must_use]
    pub fn at_end(&self, due: usize) -> Cause {
        match self.hard_error() {
            Some(signal) => signal.cause(Op::Write),
            None if due > 0 => Cause::peer(Reason::ClosedEarly),
            None => Cause::peer(Reason::Closed),
        }
    }

    /// A call other than a write failed.
    #[must_use]
    pub fn failed(&self, op: Op, signal: Signal) -> Cause {
        self.hard_error().map_or_else(|| signal.cause(op), |first| first.cause(Op::Write))
    }

    /// The read side was examined, and its result told.
    pub fn examined(&mut self) -> Findings {
        match self.write_error {
            None => Findings::Nothing,
            Some(_) if core::mem::take(&mut self.fresh) && self.last_bytes < LAST_BYTES => Findings::Again,
            Some(signal) => Findings::Over(signal.cause(Op::Write)),
        }
    }

    fn hard_error(&self) -> Option<Signal> {
        self.write_error.filter(|&signal| signal != PIPE)
    }
}
