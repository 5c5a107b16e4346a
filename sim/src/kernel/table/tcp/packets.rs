//! What arrives: ICMP errors, resets and SYNs, state by state; then the peer's FIN, and data that nobody will read.

use resound_core::signal::{Errno, Version};

use super::super::{Code, Effect, Gives, IcmpClass, Poll, Row, Signal, State};
use super::calls::*;
use super::linux;
use crate::scenario::Pick;

use Code::{Is, OfIcmp};
use Effect::{Challenges, Ends, EndsAndQueues, HalfCloses, Latches, Nothing, Remembers, Shrinks, Vanishes};
use IcmpClass::{Hard, Ignored, Soft, TooBig};
use Pick::{Exact, Inside, Outside};
use Signal::{Icmp, Refusal, Rst, Syn};

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
pub(in crate::kernel::table) const SYN_SENT: &[Row] = &[
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
pub(in crate::kernel::table) const SYN_RECEIVED: &[Row] = &[
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

pub(in crate::kernel::table) const IDLE: [Row; 13] =
    standing!("idle", Idle, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), RESET);
pub(in crate::kernel::table) const SENDING: [Row; 13] =
    standing!("sending", Sending, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), SENDER_RESET);
pub(in crate::kernel::table) const ZERO_WINDOW: [Row; 13] = standing!(
    "zero-window",
    ZeroWindow,
    FULL,
    FULL_REMEMBERED,
    FULL_LATCHED,
    Ends(Is(Errno::ConnReset)),
    RESET
);
pub(in crate::kernel::table) const UNREAD: [Row; 13] = standing!(
    "unread",
    Unread,
    UNREAD_LIVES_ON,
    UNREAD_REMEMBERED,
    UNREAD_LATCHED,
    Ends(Is(Errno::ConnReset)),
    READER_RESET
);
pub(in crate::kernel::table) const CLOSE_WAIT: [Row; 13] = standing!(
    "close-wait",
    CloseWait,
    HALF_OPEN,
    HALF_OPEN_REMEMBERED,
    HALF_OPEN_LATCHED,
    Ends(Is(Errno::Pipe)),
    WRITER_RESET
);
pub(in crate::kernel::table) const HALF_CLOSED: [Row; 13] = standing!(
    "half-closed",
    HalfClosed,
    READS_ON,
    READS_ON_REMEMBERED,
    READS_ON_LATCHED,
    Ends(Is(Errno::ConnReset)),
    CLOSER_RESET
);
pub(in crate::kernel::table) const BOTH_CLOSED: [Row; 13] = standing!(
    "both-closed",
    BothClosed,
    ENDED,
    ENDED_REMEMBERED,
    ENDED_LATCHED,
    Ends(Is(Errno::ConnReset)),
    LAST_RESET
);
/// What `then` shows is seen by whoever accepts it afterwards.
pub(in crate::kernel::table) const QUEUED: [Row; 13] =
    standing!("queued", Queued, LIVES_ON, REMEMBERED, LATCHED, Ends(Is(Errno::ConnReset)), RESET);
pub(in crate::kernel::table) const ORPHAN: [Row; 10] =
    alone!("orphan", Orphan, Remembers(OfIcmp), Ends(Is(Errno::ConnReset)));

/// The program, if there is one, has a closed socket; what is left of the connection is not its own
/// (`tcp_time_wait`, `tcp_timewait_state_process`).
#[rustfmt::skip]
pub(in crate::kernel::table) const TIME_WAIT: &[Row] = &[
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
pub(in crate::kernel::table) const ENDS: &[Row] = &[
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
