//! What a program gets to see, call by call: the words of `then`, and the sequences that recur.
//!
//! A sequence is named after what has become of the socket.

use resound_core::signal::Errno;

use super::super::{Code, Gave, Gives, Poll, Probe};

use Code::{Is, OfIcmp};

const fn gives(call: Probe, result: Gave) -> Gives {
    Gives { call, result }
}

pub(super) const fn recv(code: Code) -> Gives {
    gives(Probe::Recv, Gave::Error(code))
}

pub(super) const fn send(code: Code) -> Gives {
    gives(Probe::Send, Gave::Error(code))
}

pub(super) const fn so_error(code: Code) -> Gives {
    gives(Probe::SoError, Gave::Error(code))
}

pub(super) const fn poll(events: Poll) -> Gives {
    gives(Probe::Poll, Gave::Events(events))
}

/// What is sent, and what lies unread, is five bytes long.
const FIVE: Gave = Gave::Bytes(5);
pub(super) const DATA: Gives = gives(Probe::Recv, FIVE);
pub(super) const EOF: Gives = gives(Probe::Recv, Gave::Eof);
pub(super) const AGAIN: Gives = gives(Probe::Recv, Gave::Again);
pub(super) const SENT: Gives = gives(Probe::Send, FIVE);
pub(super) const SEND_WAITS: Gives = gives(Probe::Send, Gave::Again);
pub(super) const PIPE: Gives = send(Is(Errno::Pipe));
pub(super) const CLEAN: Gives = gives(Probe::SoError, Gave::Bytes(0));
pub(super) const ENTRY: Gives = gives(Probe::ErrorQueue, Gave::Entry);
pub(super) const NO_ENTRY: Gives = gives(Probe::ErrorQueue, Gave::Again);

pub(super) const NO_EVENTS: Poll =
    Poll { readable: false, writable: false, error: false, hangup: false, read_hangup: false };
/// IN|OUT|ERR|HUP|RDHUP
pub(super) const ALL: Gives =
    poll(Poll { readable: true, writable: true, error: true, hangup: true, read_hangup: true });
/// IN|OUT|HUP|RDHUP
pub(super) const OVER: Gives =
    poll(Poll { readable: true, writable: true, error: false, hangup: true, read_hangup: true });
/// IN|OUT|RDHUP
pub(super) const HALF: Gives =
    poll(Poll { readable: true, writable: true, error: false, hangup: false, read_hangup: true });
/// OUT
pub(super) const QUIET: Gives = poll(Poll { writable: true, ..NO_EVENTS });
/// OUT|ERR
pub(super) const TROUBLED: Gives = poll(Poll { writable: true, error: true, ..NO_EVENTS });

// What ends a connect, and a connection.
pub(super) const REFUSED: &[Gives] = &[ALL, recv(OfIcmp), OVER, EOF, PIPE];
pub(super) const REFUSED_AND_QUEUED: &[Gives] = &[ALL, recv(OfIcmp), ENTRY, NO_ENTRY, OVER, EOF, PIPE];
pub(super) const RESET: &[Gives] = &[ALL, recv(Is(Errno::ConnReset)), OVER, EOF, EOF, PIPE, CLEAN];
pub(super) const TIMED_OUT: &[Gives] = &[ALL, recv(Is(Errno::TimedOut)), OVER, EOF, PIPE];
pub(super) const AS_REMEMBERED: &[Gives] = &[ALL, recv(OfIcmp), OVER, EOF, PIPE];
// What does not.
pub(super) const REMEMBERED: &[Gives] = &[QUIET, AGAIN, so_error(OfIcmp), CLEAN, SENT];
pub(super) const LATCHED: &[Gives] = &[TROUBLED, recv(OfIcmp), QUIET, AGAIN, NO_ENTRY, SENT];
pub(super) const LIVES_ON: &[Gives] = &[QUIET, AGAIN, CLEAN, SENT];
pub(super) const CONNECTS_ON: &[Gives] = &[poll(NO_EVENTS), AGAIN, SEND_WAITS, CLEAN];
pub(super) const UNREAD_LIVES_ON: &[Gives] = &[DATA, AGAIN, CLEAN, SENT];
pub(super) const UNREAD_REMEMBERED: &[Gives] = &[DATA, AGAIN, so_error(OfIcmp), CLEAN, SENT];
pub(super) const UNREAD_LATCHED: &[Gives] = &[DATA, recv(OfIcmp), AGAIN, NO_ENTRY, SENT];
pub(super) const HALF_OPEN: &[Gives] = &[HALF, EOF, CLEAN, SENT];
pub(super) const HALF_OPEN_REMEMBERED: &[Gives] = &[HALF, EOF, so_error(OfIcmp), CLEAN, SENT];
/// The end of the peer's side hides the error from `recv`.
pub(super) const HALF_OPEN_LATCHED: &[Gives] = &[EOF, send(OfIcmp), SENT];
pub(super) const READS_ON: &[Gives] = &[AGAIN, CLEAN, PIPE];
pub(super) const READS_ON_REMEMBERED: &[Gives] = &[AGAIN, so_error(OfIcmp), CLEAN, PIPE];
pub(super) const READS_ON_LATCHED: &[Gives] = &[recv(OfIcmp), AGAIN, NO_ENTRY, PIPE];
pub(super) const ENDED: &[Gives] = &[OVER, EOF, PIPE, CLEAN];
pub(super) const ENDED_REMEMBERED: &[Gives] = &[EOF, so_error(OfIcmp), CLEAN, PIPE];
pub(super) const ENDED_LATCHED: &[Gives] = &[ALL, EOF, so_error(OfIcmp), OVER, PIPE];
pub(super) const FULL: &[Gives] = &[poll(NO_EVENTS), AGAIN, CLEAN, SEND_WAITS];
pub(super) const FULL_REMEMBERED: &[Gives] = &[AGAIN, so_error(OfIcmp), CLEAN, SEND_WAITS];
pub(super) const FULL_LATCHED: &[Gives] = &[recv(OfIcmp), AGAIN, NO_ENTRY, SEND_WAITS];
