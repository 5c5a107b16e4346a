//! The rows of TCP.
//!
//! An ICMP error that quotes something in flight is [`Pick::Exact`], wherever in it; [`Pick::Outside`] otherwise. A reset of
//! a connection is exact, in the window or outside of it; of an attempt, `Exact` acknowledges nothing, and `Outside`
//! something else.
//!
//! `then` begins with what an ordinary program does. What other orders of the same calls give stands in [`ORDERS`].

use resound_core::signal::{Errno, Version};

use super::{Code, Effect, Gave, Gives, IcmpClass, Poll, Probe, Profile, Row, Signal, State, Verified};
use crate::kernel::Unverified;
use crate::scenario::{Pick, RouteKind};

use Code::{Is, OfIcmp, RememberedOr};
use Effect::{
    Challenges, Ends, EndsAndQueues, Fails, HalfCloses, Latches, Nothing, Remembers, Shrinks, Vanishes,
};
use IcmpClass::{Hard, Ignored, Soft, TooBig};
use Pick::{Exact, Inside, Outside};
use Signal::{Icmp, Refusal, Rst, Syn};

/// Every row of Linux was made to happen on this one, as [`staged`](crate::engine::staged) does it.
const MEASURED: Verified = Verified::On("6.18");

const fn linux(
    name: &'static str,
    state: State,
    signal: Signal,
    effect: Effect,
    then: &'static [Gives],
) -> Row {
    let (profile, verified) = (Profile::Linux, MEASURED);
    Row { name, profile, version: None, state, recverr: None, signal, effect, then, verified }
}

impl Row {
    const fn without_recverr(self) -> Self {
        Self { recverr: Some(false), ..self }
    }

    const fn with_recverr(self) -> Self {
        Self { recverr: Some(true), ..self }
    }

    const fn over(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }

    const fn of(self, system: Unverified, verified: Verified) -> Self {
        Self { profile: Profile::Unverified(system), verified, ..self }
    }
}

const fn gives(call: Probe, result: Gave) -> Gives {
    Gives { call, result }
}

const fn recv(code: Code) -> Gives {
    gives(Probe::Recv, Gave::Error(code))
}

const fn send(code: Code) -> Gives {
    gives(Probe::Send, Gave::Error(code))
}

const fn so_error(code: Code) -> Gives {
    gives(Probe::SoError, Gave::Error(code))
}

const fn poll(events: Poll) -> Gives {
    gives(Probe::Poll, Gave::Events(events))
}

/// What is sent, and what lies unread, is five bytes long.
const FIVE: Gave = Gave::Bytes(5);
const DATA: Gives = gives(Probe::Recv, FIVE);
const EOF: Gives = gives(Probe::Recv, Gave::Eof);
const AGAIN: Gives = gives(Probe::Recv, Gave::Again);
const SENT: Gives = gives(Probe::Send, FIVE);
const PIPE: Gives = send(Is(Errno::Pipe));
const CLEAN: Gives = gives(Probe::SoError, Gave::Bytes(0));
const ENTRY: Gives = gives(Probe::ErrorQueue, Gave::Entry);
const NO_ENTRY: Gives = gives(Probe::ErrorQueue, Gave::Again);

const NO_EVENTS: Poll =
    Poll { readable: false, writable: false, error: false, hangup: false, read_hangup: false };
/// IN|OUT|ERR|HUP|RDHUP
const ALL: Gives =
    poll(Poll { readable: true, writable: true, error: true, hangup: true, read_hangup: true });
/// IN|OUT|HUP|RDHUP
const OVER: Gives =
    poll(Poll { readable: true, writable: true, error: false, hangup: true, read_hangup: true });
/// IN|OUT|RDHUP
const HALF: Gives =
    poll(Poll { readable: true, writable: true, error: false, hangup: false, read_hangup: true });
/// OUT
const QUIET: Gives = poll(Poll { writable: true, ..NO_EVENTS });
/// OUT|ERR
const TROUBLED: Gives = poll(Poll { writable: true, error: true, ..NO_EVENTS });

// What ends a connect, and a connection.
const REFUSED: &[Gives] = &[ALL, recv(OfIcmp), OVER, EOF, PIPE];
const REFUSED_AND_QUEUED: &[Gives] = &[ALL, recv(OfIcmp), ENTRY, NO_ENTRY, OVER, EOF, PIPE];
const RESET: &[Gives] = &[ALL, recv(Is(Errno::ConnReset)), OVER, EOF, EOF, PIPE, CLEAN];
const TIMED_OUT: &[Gives] = &[ALL, recv(Is(Errno::TimedOut)), OVER, EOF, PIPE];
const AS_REMEMBERED: &[Gives] = &[ALL, recv(OfIcmp), OVER, EOF, PIPE];
// What does not.
const REMEMBERED: &[Gives] = &[QUIET, AGAIN, so_error(OfIcmp), CLEAN, SENT];
const LATCHED: &[Gives] = &[TROUBLED, recv(OfIcmp), QUIET, AGAIN, NO_ENTRY, SENT];
const LIVES_ON: &[Gives] = &[QUIET, AGAIN, CLEAN, SENT];
const CONNECTS_ON: &[Gives] = &[poll(NO_EVENTS), AGAIN, gives(Probe::Send, Gave::Again), CLEAN];
const UNREAD_LIVES_ON: &[Gives] = &[DATA, AGAIN, CLEAN, SENT];
const UNREAD_REMEMBERED: &[Gives] = &[DATA, AGAIN, so_error(OfIcmp), CLEAN, SENT];
const UNREAD_LATCHED: &[Gives] = &[DATA, recv(OfIcmp), AGAIN, NO_ENTRY, SENT];
const HALF_OPEN: &[Gives] = &[HALF, EOF, CLEAN, SENT];
const HALF_OPEN_REMEMBERED: &[Gives] = &[HALF, EOF, so_error(OfIcmp), CLEAN, SENT];
/// The end of the peer's side hides the error from `recv`.
const HALF_OPEN_LATCHED: &[Gives] = &[EOF, send(OfIcmp), SENT];
const READS_ON: &[Gives] = &[AGAIN, CLEAN, PIPE];
const READS_ON_REMEMBERED: &[Gives] = &[AGAIN, so_error(OfIcmp), CLEAN, PIPE];
const READS_ON_LATCHED: &[Gives] = &[recv(OfIcmp), AGAIN, NO_ENTRY, PIPE];
const ENDED: &[Gives] = &[OVER, EOF, PIPE, CLEAN];
const ENDED_REMEMBERED: &[Gives] = &[EOF, so_error(OfIcmp), CLEAN, PIPE];
const ENDED_LATCHED: &[Gives] = &[ALL, EOF, so_error(OfIcmp), OVER, PIPE];
const FULL: &[Gives] = &[poll(NO_EVENTS), AGAIN, CLEAN, gives(Probe::Send, Gave::Again)];
const FULL_REMEMBERED: &[Gives] = &[AGAIN, so_error(OfIcmp), CLEAN, gives(Probe::Send, Gave::Again)];
const FULL_LATCHED: &[Gives] = &[recv(OfIcmp), AGAIN, NO_ENTRY, gives(Probe::Send, Gave::Again)];

/// The rows of a state in which a connection stands: ICMP, resets and SYNs (`tcp_v4_err`, `tcp_reset`,
/// `tcp_validate_incoming`).
#[rustfmt::skip]
macro_rules! standing {
    ($name:literal, $state:ident, $lives:ident, $remembered:ident, $latched:ident, $reset:expr, $after:expr) => {
        [
            linux(concat!($name, "/icmp-soft"), State::$state, Icmp(Soft, Exact), Remembers(OfIcmp), $remembered)
                .without_recverr(),
            linux(concat!($name, "/icmp-hard"), State::$state, Icmp(Hard, Exact), Remembers(OfIcmp), $remembered)
                .without_recverr(),
            linux(concat!($name, "/icmp-soft/recverr"), State::$state, Icmp(Soft, Exact), Latches(OfIcmp), $latched)
                .with_recverr(),
            linux(concat!($name, "/icmp-hard/recverr"), State::$state, Icmp(Hard, Exact), Latches(OfIcmp), $latched)
                .with_recverr(),
            linux(concat!($name, "/icmp-too-big"), State::$state, Icmp(TooBig, Exact), Shrinks, $lives),
            linux(concat!($name, "/icmp-ignored"), State::$state, Icmp(Ignored, Exact), Nothing, $lives),
            linux(concat!($name, "/icmp-soft-outside"), State::$state, Icmp(Soft, Outside), Nothing, $lives),
            linux(concat!($name, "/icmp-hard-outside"), State::$state, Icmp(Hard, Outside), Nothing, $lives),
            linux(concat!($name, "/icmp-too-big-outside"), State::$state, Icmp(TooBig, Outside), Nothing, $lives),
            linux(concat!($name, "/rst-exact"), State::$state, Rst(Exact), $reset, $after),
            linux(concat!($name, "/rst-inside"), State::$state, Rst(Inside), Challenges, $lives),
            linux(concat!($name, "/rst-outside"), State::$state, Rst(Outside), Nothing, $lives),
            linux(concat!($name, "/syn"), State::$state, Syn, Challenges, $lives),
        ]
    };
}

/// The rows of a state in which no program is there to be told.
macro_rules! alone {
    ($name:literal, $state:ident, $icmp:expr, $reset:expr) => {
        [
            linux(concat!($name, "/icmp-soft"), State::$state, Icmp(Soft, Exact), $icmp, &[]),
            linux(concat!($name, "/icmp-hard"), State::$state, Icmp(Hard, Exact), $icmp, &[]),
            linux(concat!($name, "/icmp-too-big"), State::$state, Icmp(TooBig, Exact), Shrinks, &[]),
            linux(concat!($name, "/icmp-ignored"), State::$state, Icmp(Ignored, Exact), Nothing, &[]),
            linux(concat!($name, "/icmp-soft-outside"), State::$state, Icmp(Soft, Outside), Nothing, &[]),
            linux(concat!($name, "/icmp-hard-outside"), State::$state, Icmp(Hard, Outside), Nothing, &[]),
            linux(concat!($name, "/rst-exact"), State::$state, Rst(Exact), $reset, &[]),
            linux(concat!($name, "/rst-inside"), State::$state, Rst(Inside), Challenges, &[]),
            linux(concat!($name, "/rst-outside"), State::$state, Rst(Outside), Nothing, &[]),
            linux(concat!($name, "/syn"), State::$state, Syn, Challenges, &[]),
        ]
    };
}

#[rustfmt::skip]
pub(super) const SYN_SENT: &[Row] = &[
    // Over IPv4 an entry joins the queue whether somebody asked for that or not (ip_icmp_error, called by tcp_v4_err).
    linux("syn-sent/icmp-soft/v4", State::SynSent, Icmp(Soft, Exact), EndsAndQueues(OfIcmp), REFUSED_AND_QUEUED)
        .over(Version::V4),
    linux("syn-sent/icmp-hard/v4", State::SynSent, Icmp(Hard, Exact), EndsAndQueues(OfIcmp), REFUSED_AND_QUEUED)
        .over(Version::V4),
    linux("syn-sent/icmp-soft/v6", State::SynSent, Icmp(Soft, Exact), Ends(OfIcmp), REFUSED)
        .over(Version::V6).without_recverr(),
    linux("syn-sent/icmp-hard/v6", State::SynSent, Icmp(Hard, Exact), Ends(OfIcmp), REFUSED)
        .over(Version::V6).without_recverr(),
    linux("syn-sent/icmp-soft/v6/recverr", State::SynSent, Icmp(Soft, Exact), EndsAndQueues(OfIcmp), REFUSED_AND_QUEUED)
        .over(Version::V6).with_recverr(),
    linux("syn-sent/icmp-hard/v6/recverr", State::SynSent, Icmp(Hard, Exact), EndsAndQueues(OfIcmp), REFUSED_AND_QUEUED)
        .over(Version::V6).with_recverr(),
    linux("syn-sent/icmp-too-big", State::SynSent, Icmp(TooBig, Exact), Shrinks, CONNECTS_ON),
    linux("syn-sent/icmp-ignored", State::SynSent, Icmp(Ignored, Exact), Nothing, CONNECTS_ON),
    linux("syn-sent/icmp-soft-outside", State::SynSent, Icmp(Soft, Outside), Nothing, CONNECTS_ON),
    linux("syn-sent/icmp-hard-outside", State::SynSent, Icmp(Hard, Outside), Nothing, CONNECTS_ON),
    linux("syn-sent/icmp-too-big-outside", State::SynSent, Icmp(TooBig, Outside), Nothing, CONNECTS_ON),
    linux("syn-sent/refusal", State::SynSent, Refusal, Ends(Is(Errno::ConnRefused)),
        &[ALL, recv(Is(Errno::ConnRefused)), OVER, EOF, PIPE, CLEAN]),
    linux("syn-sent/rst-without-ack", State::SynSent, Rst(Exact), Nothing, CONNECTS_ON),
    linux("syn-sent/rst-of-something-else", State::SynSent, Rst(Outside), Nothing, CONNECTS_ON),
];

/// `tcp_req_err`, `tcp_check_req` and `reqsk_timer_handler`: there is no socket yet, so nobody hears of it.
#[rustfmt::skip]
pub(super) const SYN_RECEIVED: &[Row] = &[
    linux("syn-received/icmp-drops", State::SynReceived, Signal::Drops(Exact), Vanishes, &[]),
    linux("syn-received/icmp-drops-outside", State::SynReceived, Signal::Drops(Outside), Nothing, &[]),
    linux("syn-received/icmp-soft", State::SynReceived, Icmp(Soft, Exact), Nothing, &[]),
    linux("syn-received/icmp-hard", State::SynReceived, Icmp(Hard, Exact), Nothing, &[])
        .over(Version::V4),
    linux("syn-received/icmp-too-big", State::SynReceived, Icmp(TooBig, Exact), Nothing, &[]),
    linux("syn-received/icmp-ignored", State::SynReceived, Icmp(Ignored, Exact), Nothing, &[]),
    linux("syn-received/icmp-soft-outside", State::SynReceived, Icmp(Soft, Outside), Nothing, &[]),
    linux("syn-received/icmp-hard-outside", State::SynReceived, Icmp(Hard, Outside), Nothing, &[])
        .over(Version::V4),
    linux("syn-received/rst-exact", State::SynReceived, Rst(Exact), Ends(Is(Errno::ConnReset)), &[]),
    linux("syn-received/rst-inside", State::SynReceived, Rst(Inside), Challenges, &[]),
    linux("syn-received/rst-outside", State::SynReceived, Rst(Outside), Nothing, &[]),
    linux("syn-received/retries-exhausted", State::SynReceived, Signal::RetriesExhausted, Vanishes, &[]),
];

const SENDER_RESET: &[Gives] = &[ALL, recv(Is(Errno::ConnReset)), OVER, EOF, PIPE, CLEAN];
const READER_RESET: &[Gives] = &[ALL, DATA, recv(Is(Errno::ConnReset)), OVER, EOF, PIPE];
/// FIN, then RST: the reset never reaches the reader.
const WRITER_RESET: &[Gives] = &[ALL, EOF, EOF, PIPE, OVER, CLEAN];
const CLOSER_RESET: &[Gives] = &[ALL, recv(Is(Errno::ConnReset)), OVER, EOF, PIPE];
const LAST_RESET: &[Gives] = &[ALL, EOF, so_error(Is(Errno::ConnReset)), OVER, EOF, PIPE];

pub(super) const IDLE: [Row; 13] =
    standing!("idle", Idle, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), RESET);
pub(super) const SENDING: [Row; 13] =
    standing!("sending", Sending, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), SENDER_RESET);
pub(super) const ZERO_WINDOW: [Row; 13] = standing!(
    "zero-window",
    ZeroWindow,
    FULL,
    FULL_REMEMBERED,
    FULL_LATCHED,
    Ends(Is(Errno::ConnReset)),
    RESET
);
pub(super) const UNREAD: [Row; 13] = standing!(
    "unread",
    Unread,
    UNREAD_LIVES_ON,
    UNREAD_REMEMBERED,
    UNREAD_LATCHED,
    Ends(Is(Errno::ConnReset)),
    READER_RESET
);
pub(super) const CLOSE_WAIT: [Row; 13] = standing!(
    "close-wait",
    CloseWait,
    HALF_OPEN,
    HALF_OPEN_REMEMBERED,
    HALF_OPEN_LATCHED,
    Ends(Is(Errno::Pipe)),
    WRITER_RESET
);
pub(super) const HALF_CLOSED: [Row; 13] = standing!(
    "half-closed",
    HalfClosed,
    READS_ON,
    READS_ON_REMEMBERED,
    READS_ON_LATCHED,
    Ends(Is(Errno::ConnReset)),
    CLOSER_RESET
);
pub(super) const BOTH_CLOSED: [Row; 13] = standing!(
    "both-closed",
    BothClosed,
    ENDED,
    ENDED_REMEMBERED,
    ENDED_LATCHED,
    Ends(Is(Errno::ConnReset)),
    LAST_RESET
);
/// What `then` shows is seen by whoever accepts it afterwards.
pub(super) const QUEUED: [Row; 13] =
    standing!("queued", Queued, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), RESET);
pub(super) const ORPHAN: [Row; 10] = alone!("orphan", Orphan, Remembers(OfIcmp), Ends(Is(Errno::ConnReset)));

/// The program, if there is one, has a closed socket; what is left of the connection is not its own
/// (`tcp_time_wait`, `tcp_timewait_state_process`).
#[rustfmt::skip]
pub(super) const TIME_WAIT: &[Row] = &[
    linux("time-wait/icmp-soft", State::TimeWait, Icmp(Soft, Exact), Nothing, ENDED),
    linux("time-wait/icmp-hard", State::TimeWait, Icmp(Hard, Exact), Nothing, ENDED),
    linux("time-wait/icmp-too-big", State::TimeWait, Icmp(TooBig, Exact), Nothing, ENDED),
    linux("time-wait/icmp-ignored", State::TimeWait, Icmp(Ignored, Exact), Nothing, ENDED),
    linux("time-wait/rst", State::TimeWait, Rst(Exact), Vanishes, ENDED),
    linux("time-wait/rst-inside", State::TimeWait, Rst(Inside), Nothing, ENDED),
    linux("time-wait/rst-outside", State::TimeWait, Rst(Outside), Nothing, ENDED),
    linux("time-wait/syn", State::TimeWait, Syn, Challenges, ENDED),
];

/// The peer's FIN (`tcp_fin`), and data that nobody will read (`tcp_rcv_state_process`).
#[rustfmt::skip]
pub(super) const ENDS: &[Row] = &[
    linux("idle/fin", State::Idle, Signal::Fin, HalfCloses, &[HALF, EOF, EOF, CLEAN, SENT]),
    linux("sending/fin", State::Sending, Signal::Fin, HalfCloses, &[HALF, EOF, EOF, CLEAN, SENT]),
    linux("zero-window/fin", State::ZeroWindow, Signal::Fin, HalfCloses,
        &[poll(Poll { readable: true, read_hangup: true, ..NO_EVENTS }), EOF, CLEAN]),
    linux("unread/fin", State::Unread, Signal::Fin, HalfCloses, &[HALF, DATA, EOF, EOF, CLEAN, SENT]),
    linux("half-closed/fin", State::HalfClosed, Signal::Fin, HalfCloses, ENDED),
    linux("half-closed/late-data", State::HalfClosed, Signal::LateData, Ends(Is(Errno::ConnReset)), CLOSER_RESET),
    linux("orphan/late-data", State::Orphan, Signal::LateData, Ends(Is(Errno::ConnReset)), &[]),
    linux("orphan/fin", State::Orphan, Signal::Fin, HalfCloses, &[]),
    linux("queued/fin", State::Queued, Signal::Fin, HalfCloses, &[HALF, EOF, EOF, CLEAN, SENT]),
];

const GIVES_UP: Effect = Ends(RememberedOr(Errno::TimedOut));

/// Timers that give up (`tcp_write_err`, `tcp_keepalive_timer`, `tcp_probe_timer`).
#[rustfmt::skip]
pub(super) const TIMERS: &[Row] = &[
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

const UNREACHABLE: Signal = Signal::Route(RouteKind::Unreachable);
const PROHIBIT: Signal = Signal::Route(RouteKind::Prohibit);
const BLACKHOLE: Signal = Signal::Route(RouteKind::Blackhole);
const MISSING: Signal = Signal::Route(RouteKind::Missing);

/// This host's own routes: a connect fails at once; a connection goes on until its timers give up, and over IPv6
/// remembers why.
#[rustfmt::skip]
pub(super) const ROUTES: &[Row] = &[
    linux("syn-sent/route-unreachable", State::SynSent, UNREACHABLE, Fails(Is(Errno::HostUnreach)), &[]),
    linux("syn-sent/route-prohibit", State::SynSent, PROHIBIT, Fails(Is(Errno::Acces)), &[]),
    linux("syn-sent/route-blackhole", State::SynSent, BLACKHOLE, Fails(Is(Errno::Inval)), &[]),
    linux("syn-sent/route-missing", State::SynSent, MISSING, Fails(Is(Errno::NetUnreach)), &[]),
    linux("sending/route-unreachable/v4", State::Sending, UNREACHABLE, Nothing, LIVES_ON).over(Version::V4),
    linux("sending/route-prohibit/v4", State::Sending, PROHIBIT, Nothing, LIVES_ON).over(Version::V4),
    linux("sending/route-blackhole/v4", State::Sending, BLACKHOLE, Nothing, LIVES_ON).over(Version::V4),
    linux("sending/route-missing/v4", State::Sending, MISSING, Nothing, LIVES_ON).over(Version::V4),
    linux("sending/route-unreachable/v6", State::Sending, UNREACHABLE, Remembers(Is(Errno::HostUnreach)),
        &[QUIET, AGAIN, so_error(Is(Errno::HostUnreach)), CLEAN]).over(Version::V6),
    linux("sending/route-prohibit/v6", State::Sending, PROHIBIT, Remembers(Is(Errno::Acces)),
        &[QUIET, AGAIN, so_error(Is(Errno::Acces)), CLEAN]).over(Version::V6),
    linux("sending/route-blackhole/v6", State::Sending, BLACKHOLE, Remembers(Is(Errno::Inval)),
        &[QUIET, AGAIN, so_error(Is(Errno::Inval)), CLEAN]).over(Version::V6),
    linux("sending/route-missing/v6", State::Sending, MISSING, Remembers(Is(Errno::NetUnreach)),
        &[QUIET, AGAIN, so_error(Is(Errno::NetUnreach)), CLEAN]).over(Version::V6),
];

/// A connection sends something, or probes, or answers, and there is no way: over IPv4 it never hears of it
/// (`__ip_queue_xmit`), over IPv6 it remembers why, and also if it sends something again (`inet6_csk_xmit`). The calls
/// before and after the one that shows it.
#[rustfmt::skip]
macro_rules! stranded {
    ($name:literal, $state:ident, [$($before:expr),*], [$($after:expr),*]) => {
        [
            stranded!(@v4 $name, "unreachable", $state, UNREACHABLE, &[$($before,)* $($after),*]),
            stranded!(@v4 $name, "prohibit", $state, PROHIBIT, &[$($before,)* $($after),*]),
            stranded!(@v4 $name, "blackhole", $state, BLACKHOLE, &[$($before,)* $($after),*]),
            stranded!(@v4 $name, "missing", $state, MISSING, &[$($before,)* $($after),*]),
            stranded!(@v6 $name, "unreachable", $state, UNREACHABLE, HostUnreach,
                &[$($before,)* so_error(Is(Errno::HostUnreach)), $($after),*]),
            stranded!(@v6 $name, "prohibit", $state, PROHIBIT, Acces,
                &[$($before,)* so_error(Is(Errno::Acces)), $($after),*]),
            stranded!(@v6 $name, "blackhole", $state, BLACKHOLE, Inval,
                &[$($before,)* so_error(Is(Errno::Inval)), $($after),*]),
            stranded!(@v6 $name, "missing", $state, MISSING, NetUnreach,
                &[$($before,)* so_error(Is(Errno::NetUnreach)), $($after),*]),
        ]
    };
    ($name:literal, $state:ident, alone) => {
        [
            stranded!(@v4 $name, "unreachable", $state, UNREACHABLE, &[]),
            stranded!(@v4 $name, "prohibit", $state, PROHIBIT, &[]),
            stranded!(@v4 $name, "blackhole", $state, BLACKHOLE, &[]),
            stranded!(@v4 $name, "missing", $state, MISSING, &[]),
            stranded!(@v6 $name, "unreachable", $state, UNREACHABLE, HostUnreach, &[]),
            stranded!(@v6 $name, "prohibit", $state, PROHIBIT, Acces, &[]),
            stranded!(@v6 $name, "blackhole", $state, BLACKHOLE, Inval, &[]),
            stranded!(@v6 $name, "missing", $state, MISSING, NetUnreach, &[]),
        ]
    };
    (@v4 $name:literal, $route:literal, $state:ident, $signal:ident, $then:expr) => {
        linux(concat!($name, "/route-", $route, "/v4"), State::$state, $signal, Nothing, $then)
            .over(Version::V4)
    };
    (@v6 $name:literal, $route:literal, $state:ident, $signal:ident, $errno:ident, $then:expr) => {
        linux(concat!($name, "/route-", $route, "/v6"), State::$state, $signal, Remembers(Is(Errno::$errno)), $then).over(Version::V6)
    };
}

const FULL_SEND: Gives = gives(Probe::Send, Gave::Again);

pub(super) const IDLE_ROUTES: [Row; 8] = stranded!("idle", Idle, [QUIET, AGAIN], [CLEAN, SENT]);
pub(super) const QUEUED_ROUTES: [Row; 8] = stranded!("queued", Queued, [QUIET, AGAIN], [CLEAN, SENT]);
pub(super) const ZERO_WINDOW_ROUTES: [Row; 8] =
    stranded!("zero-window", ZeroWindow, [poll(NO_EVENTS), AGAIN], [CLEAN, FULL_SEND]);
pub(super) const UNREAD_ROUTES: [Row; 8] = stranded!("unread", Unread, [DATA, AGAIN], [CLEAN, SENT]);
pub(super) const CLOSE_WAIT_ROUTES: [Row; 8] = stranded!("close-wait", CloseWait, [HALF, EOF], [CLEAN, SENT]);
pub(super) const HALF_CLOSED_ROUTES: [Row; 8] = stranded!("half-closed", HalfClosed, [AGAIN], [CLEAN, PIPE]);
pub(super) const BOTH_CLOSED_ROUTES: [Row; 8] =
    stranded!("both-closed", BothClosed, [OVER, EOF], [CLEAN, PIPE]);
pub(super) const ORPHAN_ROUTES: [Row; 8] = stranded!("orphan", Orphan, alone);

/// What is in flight is sent again, and there is no way any more: the connection remembers why (`inet_sk_rebuild_header`).
/// The calls before and after the one that shows it.
#[rustfmt::skip]
macro_rules! lost {
    ($name:literal, $state:ident, [$($before:expr),*], [$($after:expr),*]) => {
        [
            lost!(@ $name, "unreachable", $state, Unreachable, HostUnreach,
                &[$($before,)* so_error(Is(Errno::HostUnreach)), $($after),*]),
            lost!(@ $name, "prohibit", $state, Prohibit, Acces, &[$($before,)* so_error(Is(Errno::Acces)), $($after),*]),
            lost!(@ $name, "blackhole", $state, Blackhole, Inval, &[$($before,)* so_error(Is(Errno::Inval)), $($after),*]),
            lost!(@ $name, "missing", $state, Missing, NetUnreach,
                &[$($before,)* so_error(Is(Errno::NetUnreach)), $($after),*]),
        ]
    };
    ($name:literal, $state:ident, alone) => {
        [
            lost!(@ $name, "unreachable", $state, Unreachable, HostUnreach, &[]),
            lost!(@ $name, "prohibit", $state, Prohibit, Acces, &[]),
            lost!(@ $name, "blackhole", $state, Blackhole, Inval, &[]),
            lost!(@ $name, "missing", $state, Missing, NetUnreach, &[]),
        ]
    };
    (@ $name:literal, $route:literal, $state:ident, $kind:ident, $errno:ident, $then:expr) => {
        linux(concat!($name, "/route-lost-", $route), State::$state, Signal::RouteLost(RouteKind::$kind),
            Remembers(Is(Errno::$errno)), $then)
    };
}

const fn over_v4(rows: [Row; 4]) -> [Row; 4] {
    let [a, b, c, d] = rows;
    [a.over(Version::V4), b.over(Version::V4), c.over(Version::V4), d.over(Version::V4)]
}

const SEND_WAITS: Gives = gives(Probe::Send, Gave::Again);

pub(super) const SYN_SENT_LOST: [Row; 4] =
    lost!("syn-sent", SynSent, [poll(NO_EVENTS), AGAIN, SEND_WAITS], [CLEAN]);
pub(super) const SENDING_LOST: [Row; 4] = over_v4(lost!("sending", Sending, [QUIET, AGAIN], [CLEAN, SENT]));
pub(super) const UNREAD_LOST: [Row; 4] = over_v4(lost!("unread", Unread, [DATA, AGAIN], [CLEAN, SENT]));
pub(super) const CLOSE_WAIT_LOST: [Row; 4] =
    over_v4(lost!("close-wait", CloseWait, [HALF, EOF], [CLEAN, SENT]));
pub(super) const HALF_CLOSED_LOST: [Row; 4] =
    over_v4(lost!("half-closed", HalfClosed, [AGAIN], [CLEAN, PIPE]));
pub(super) const BOTH_CLOSED_LOST: [Row; 4] =
    over_v4(lost!("both-closed", BothClosed, [OVER, EOF], [CLEAN, PIPE]));
pub(super) const ORPHAN_LOST: [Row; 4] = over_v4(lost!("orphan", Orphan, alone));

/// Answers that leave without a socket: nobody is there to remember anything (`ip_send_unicast_reply`,
/// `icmp_route_lookup`, `tcp_v4_timewait_ack`). A SYN-ACK that finds no way ends its request (`reqsk_timer_handler`).
#[rustfmt::skip]
pub(super) const ANSWER_ROUTES: &[Row] = &[
    linux("syn-received/route-unreachable", State::SynReceived, UNREACHABLE, Vanishes, &[]),
    linux("syn-received/route-prohibit", State::SynReceived, PROHIBIT, Vanishes, &[]),
    linux("syn-received/route-blackhole", State::SynReceived, BLACKHOLE, Vanishes, &[]),
    linux("syn-received/route-missing", State::SynReceived, MISSING, Vanishes, &[]),
    linux("nobody/route-unreachable", State::Nobody, UNREACHABLE, Nothing, &[]),
    linux("nobody/route-prohibit", State::Nobody, PROHIBIT, Nothing, &[]),
    linux("nobody/route-blackhole", State::Nobody, BLACKHOLE, Nothing, &[]),
    linux("nobody/route-missing", State::Nobody, MISSING, Nothing, &[]),
    linux("time-wait/route-unreachable", State::TimeWait, UNREACHABLE, Nothing, ENDED),
    linux("time-wait/route-prohibit", State::TimeWait, PROHIBIT, Nothing, ENDED),
    linux("time-wait/route-blackhole", State::TimeWait, BLACKHOLE, Nothing, ENDED),
    linux("time-wait/route-missing", State::TimeWait, MISSING, Nothing, ENDED),
];

const XNU: Verified = Verified::Source("xnu e3723e1f1, bsd/netinet/tcp_subr.c");
/// The commit that was reverted before it was released.
const PATIENT: Verified = Verified::Source("Linux 0a8de364ff7a, net/ipv4/tcp_ipv4.c");

/// Where systems that nobody has verified differ.
#[rustfmt::skip]
pub(super) const UNVERIFIED: &[Row] = &[
    // tcp_notify: an unreachable host or network does not end a connect, not the first time.
    linux("macos/syn-sent/icmp-soft", State::SynSent, Icmp(Soft, Exact), Remembers(OfIcmp), CONNECTS_ON)
        .of(Unverified::MacOs, XNU),
    linux("macos/syn-sent/icmp-hard", State::SynSent, Icmp(Hard, Exact), Ends(OfIcmp), REFUSED)
        .of(Unverified::MacOs, XNU),
    linux("macos/idle/icmp-soft", State::Idle, Icmp(Soft, Exact), Nothing, LIVES_ON).of(Unverified::MacOs, XNU),
    linux("macos/sending/icmp-soft", State::Sending, Icmp(Soft, Exact), Nothing, LIVES_ON).of(Unverified::MacOs, XNU),
    linux("patient/syn-sent/icmp-soft", State::SynSent, Icmp(Soft, Exact), Remembers(OfIcmp), CONNECTS_ON)
        .of(Unverified::LinuxPatient, PATIENT),
];

/// What else a row gives, when its calls are made in another order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// The row's name.
    pub row: &'static str,
    /// The calls, in this order, and what they give.
    pub then: &'static [Gives],
    /// Where this was seen.
    pub verified: Verified,
}

const fn order(row: &'static str, then: &'static [Gives]) -> Order {
    Order { row, then, verified: MEASURED }
}

/// The one who asks first takes the error.
#[rustfmt::skip]
pub const ORDERS: &[Order] = &[
    order("idle/rst-exact", &[send(Is(Errno::ConnReset)), PIPE, EOF, EOF]),
    order("idle/rst-exact", &[so_error(Is(Errno::ConnReset)), EOF, PIPE]),
    order("unread/rst-exact", &[send(Is(Errno::ConnReset)), PIPE, DATA, EOF]),
    order("unread/rst-exact", &[so_error(Is(Errno::ConnReset)), DATA, EOF, PIPE]),
    order("close-wait/rst-exact", &[EOF, so_error(Is(Errno::Pipe)), OVER, EOF, PIPE]),
    order("syn-sent/refusal", &[so_error(Is(Errno::ConnRefused)), EOF, PIPE]),
    order("syn-sent/refusal", &[send(Is(Errno::ConnRefused)), PIPE, EOF]),
    order("idle/icmp-hard/recverr", &[send(OfIcmp), SENT, AGAIN]),
    order("idle/icmp-soft/recverr", &[so_error(OfIcmp), CLEAN, SENT, AGAIN]),
    order("sending/retries-exhausted", &[send(Is(Errno::TimedOut)), PIPE, EOF]),
];
