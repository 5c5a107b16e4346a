//! This host's own routes: it has no way there, from the first, or not any more.
//!
//! What asks for a route decides: a connect fails with the route's error; a packet of a connection is silently dropped over
//! IPv4 and remembered over IPv6; one that is sent again is remembered over both; an answer without a socket is nobody's.

use resound_core::signal::{Errno, Version};

use super::super::{Code, Effect, Row, Signal, State};
use super::calls::*;
use super::linux;
use crate::scenario::RouteKind;

use Code::Is;
use Effect::{Fails, Nothing, Remembers, Vanishes};

const UNREACHABLE: Signal = Signal::Route(RouteKind::Unreachable);
const PROHIBIT: Signal = Signal::Route(RouteKind::Prohibit);
const BLACKHOLE: Signal = Signal::Route(RouteKind::Blackhole);
const MISSING: Signal = Signal::Route(RouteKind::Missing);

/// A connect fails at once.
#[rustfmt::skip]
pub(in crate::kernel::table) const SYN_SENT: &[Row] = &[
    linux("syn-sent/route-unreachable", State::SynSent, UNREACHABLE, Fails(Is(Errno::HostUnreach)), &[]),
    linux("syn-sent/route-prohibit", State::SynSent, PROHIBIT, Fails(Is(Errno::Acces)), &[]),
    linux("syn-sent/route-blackhole", State::SynSent, BLACKHOLE, Fails(Is(Errno::Inval)), &[]),
    linux("syn-sent/route-missing", State::SynSent, MISSING, Fails(Is(Errno::NetUnreach)), &[]),
];

/// A connection goes on until its timers give up, and over IPv6 remembers why.
#[rustfmt::skip]
pub(in crate::kernel::table) const SENDING: &[Row] = &[
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

pub(in crate::kernel::table) const IDLE_STRANDED: [Row; 8] =
    stranded!("idle", Idle, [QUIET, AGAIN], [CLEAN, SENT]);
pub(in crate::kernel::table) const QUEUED_STRANDED: [Row; 8] =
    stranded!("queued", Queued, [QUIET, AGAIN], [CLEAN, SENT]);
pub(in crate::kernel::table) const ZERO_WINDOW_STRANDED: [Row; 8] =
    stranded!("zero-window", ZeroWindow, [poll(NO_EVENTS), AGAIN], [CLEAN, SEND_WAITS]);
pub(in crate::kernel::table) const UNREAD_STRANDED: [Row; 8] =
    stranded!("unread", Unread, [DATA, AGAIN], [CLEAN, SENT]);
pub(in crate::kernel::table) const CLOSE_WAIT_STRANDED: [Row; 8] =
    stranded!("close-wait", CloseWait, [HALF, EOF], [CLEAN, SENT]);
pub(in crate::kernel::table) const HALF_CLOSED_STRANDED: [Row; 8] =
    stranded!("half-closed", HalfClosed, [AGAIN], [CLEAN, PIPE]);
pub(in crate::kernel::table) const BOTH_CLOSED_STRANDED: [Row; 8] =
    stranded!("both-closed", BothClosed, [OVER, EOF], [CLEAN, PIPE]);
pub(in crate::kernel::table) const ORPHAN_STRANDED: [Row; 8] = stranded!("orphan", Orphan, alone);

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

pub(in crate::kernel::table) const SYN_SENT_LOST: [Row; 4] =
    lost!("syn-sent", SynSent, [poll(NO_EVENTS), AGAIN, SEND_WAITS], [CLEAN]);
pub(in crate::kernel::table) const SENDING_LOST: [Row; 4] =
    over_v4(lost!("sending", Sending, [QUIET, AGAIN], [CLEAN, SENT]));
pub(in crate::kernel::table) const UNREAD_LOST: [Row; 4] =
    over_v4(lost!("unread", Unread, [DATA, AGAIN], [CLEAN, SENT]));
pub(in crate::kernel::table) const CLOSE_WAIT_LOST: [Row; 4] =
    over_v4(lost!("close-wait", CloseWait, [HALF, EOF], [CLEAN, SENT]));
pub(in crate::kernel::table) const HALF_CLOSED_LOST: [Row; 4] =
    over_v4(lost!("half-closed", HalfClosed, [AGAIN], [CLEAN, PIPE]));
pub(in crate::kernel::table) const BOTH_CLOSED_LOST: [Row; 4] =
    over_v4(lost!("both-closed", BothClosed, [OVER, EOF], [CLEAN, PIPE]));
pub(in crate::kernel::table) const ORPHAN_LOST: [Row; 4] = over_v4(lost!("orphan", Orphan, alone));

/// Answers that leave without a socket: nobody is there to remember anything (`ip_send_unicast_reply`,
/// `icmp_route_lookup`, `tcp_v4_timewait_ack`). A SYN-ACK that finds no way ends its request (`reqsk_timer_handler`).
#[rustfmt::skip]
pub(in crate::kernel::table) const ANSWERS: &[Row] = &[
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
