//! Which of the things that a dying connection says decides why it died.
//!
//! A write error is no verdict: what the read side still holds comes first. Then the first errno other than EPIPE
//! decides, else the end of the stream, else EPIPE. So a write that ate ECONNRESET still says `reset`, and EPIPE after a
//! FIN says `closed-early`, whichever call the runtime happened to make first.

use crate::signal::{Cause, Errno, Op, Reason, Signal};

const PIPE: Signal = Signal::Errno(Errno::Pipe);

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Ending {
    write_error: Option<Signal>,
    /// Whether bytes came in since the last examination was asked for.
    fresh: bool,
}

/// What an examination led to.
pub(super) enum Findings {
    /// No write has failed: the examination was about something else.
    Nothing,
    /// Bytes came in, and there may be more behind them.
    Again,
    /// The connection is over.
    Over(Cause),
}

impl Ending {
    /// A write failed. Ask for an examination.
    pub(super) fn write_failed(&mut self, signal: Signal) {
        if self.write_error.is_none_or(|first| first == PIPE) {
            self.write_error = Some(signal);
        }
        self.fresh = false;
    }

    /// Whether there is still a point in writing.
    pub(super) const fn may_write(&self) -> bool {
        self.write_error.is_none()
    }

    pub(super) fn bytes_came(&mut self) {
        self.fresh = true;
    }

    /// The peer ended its side while `due` bytes or messages were due.
    pub(super) fn at_end(&self, due: usize) -> Cause {
        match self.write_error.filter(|&signal| signal != PIPE) {
            Some(signal) => signal.cause(Op::Write),
            None if due > 0 => Cause::peer(Reason::ClosedEarly),
            None => Cause::peer(Reason::Closed),
        }
    }

    /// A call other than a write failed.
    pub(super) fn failed(&self, op: Op, signal: Signal) -> Cause {
        let first = self.write_error.filter(|&signal| signal != PIPE);
        first.map_or_else(|| signal.cause(op), |signal| signal.cause(Op::Write))
    }

    /// The read side was examined, and its result told.
    pub(super) fn examined(&mut self) -> Findings {
        match self.write_error {
            None => Findings::Nothing,
            Some(_) if core::mem::take(&mut self.fresh) => Findings::Again,
            Some(signal) => Findings::Over(signal.cause(Op::Write)),
        }
    }
}
