//! Timers that give up: of retransmissions, of keepalive, and TCP_USER_TIMEOUT.
//!
//! The error is what an ICMP message has left behind; where none came, it is ETIMEDOUT.

use resound_core::signal::Errno;

use super::super::{Code, Effect, Row, Signal, State};
use super::calls::*;
use super::linux;

use Code::{Is, OfIcmp, RememberedOr};
use Effect::{Ends, Vanishes};

const GIVES_UP: Effect = Ends(RememberedOr(Errno::TimedOut));

/// Every timer that gives up (`tcp_write_err`, `tcp_keepalive_timer`, `tcp_probe_timer`).
#[rustfmt::skip]
pub(in crate::kernel::table) const ROWS: &[Row] = &[
    linux("syn-sent/retries-exhausted", State::SynSent, Signal::RetriesExhausted, GIVES_UP, TIMED_OUT),
    linux("syn-sent/user-timeout", State::SynSent, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("sending/retries-exhausted", State::Sending, Signal::RetriesExhausted, GIVES_UP, TIMED_OUT),
    linux("sending/retries-exhausted-after-icmp", State::Sending, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        AS_REMEMBERED).without_recverr(),
    linux("sending/user-timeout", State::Sending, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("zero-window/retries-exhausted", State::ZeroWindow, Signal::RetriesExhausted, GIVES_UP, TIMED_OUT),
    linux("zero-window/retries-exhausted-after-icmp", State::ZeroWindow, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        AS_REMEMBERED).without_recverr(),
    linux("zero-window/user-timeout", State::ZeroWindow, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("idle/keepalive-exhausted", State::Idle, Signal::KeepaliveExhausted, GIVES_UP, TIMED_OUT),
    linux("idle/user-timeout", State::Idle, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("unread/keepalive-exhausted", State::Unread, Signal::KeepaliveExhausted, GIVES_UP,
        &[ALL, DATA, recv(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("unread/user-timeout", State::Unread, Signal::UserTimeout, GIVES_UP,
        &[ALL, DATA, recv(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("unread/retries-exhausted", State::Unread, Signal::RetriesExhausted, GIVES_UP,
        &[ALL, DATA, recv(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("unread/retries-exhausted-after-icmp", State::Unread, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        &[ALL, DATA, recv(OfIcmp), OVER, EOF, PIPE]).without_recverr(),
    linux("close-wait/retries-exhausted", State::CloseWait, Signal::RetriesExhausted, GIVES_UP,
        &[ALL, EOF, send(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("close-wait/retries-exhausted-after-icmp", State::CloseWait, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        &[ALL, EOF, send(OfIcmp), OVER, EOF, PIPE]).without_recverr(),
    linux("close-wait/user-timeout", State::CloseWait, Signal::UserTimeout, GIVES_UP,
        &[ALL, EOF, send(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("close-wait/keepalive-exhausted", State::CloseWait, Signal::KeepaliveExhausted, GIVES_UP,
        &[ALL, EOF, send(Is(Errno::TimedOut)), OVER, EOF, PIPE]),
    linux("half-closed/retries-exhausted", State::HalfClosed, Signal::RetriesExhausted, GIVES_UP, TIMED_OUT),
    linux("half-closed/retries-exhausted-after-icmp", State::HalfClosed, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        AS_REMEMBERED).without_recverr(),
    linux("half-closed/user-timeout", State::HalfClosed, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("half-closed/keepalive-exhausted", State::HalfClosed, Signal::KeepaliveExhausted, GIVES_UP, TIMED_OUT),
    linux("both-closed/retries-exhausted", State::BothClosed, Signal::RetriesExhausted, GIVES_UP,
        &[ALL, EOF, so_error(Is(Errno::TimedOut)), OVER, PIPE]),
    linux("both-closed/retries-exhausted-after-icmp", State::BothClosed, Signal::RetriesExhaustedAfterIcmp, GIVES_UP,
        &[ALL, EOF, so_error(OfIcmp), OVER, PIPE]).without_recverr(),
    linux("both-closed/user-timeout", State::BothClosed, Signal::UserTimeout, GIVES_UP,
        &[ALL, EOF, so_error(Is(Errno::TimedOut)), OVER, PIPE]),
    linux("queued/keepalive-exhausted", State::Queued, Signal::KeepaliveExhausted, GIVES_UP, TIMED_OUT),
    linux("queued/user-timeout", State::Queued, Signal::UserTimeout, GIVES_UP, TIMED_OUT),
    linux("orphan/retries-exhausted", State::Orphan, Signal::RetriesExhausted, Vanishes, &[]),
    linux("orphan/retries-exhausted-after-icmp", State::Orphan, Signal::RetriesExhaustedAfterIcmp, Vanishes, &[]),
    linux("orphan/user-timeout", State::Orphan, Signal::UserTimeout, Vanishes, &[]),
];
