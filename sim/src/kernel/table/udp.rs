//! What signals do to UDP sockets.
//!
//! The rule of Linux in one sentence (`__udp4_lib_err`): with `IP_RECVERR` every error that has a number is latched and
//! queued; without, only hard ones are latched, and only on a connected socket. The others follow their own.
//!
//! In the calls of [`then`](Row::then) the socket has sent one datagram of four bytes before the signal; `send` sends
//! another. Where the receive buffer overflows it has the least size there is, 2304 bytes, and the datagrams that arrive
//! have four bytes too.

use resound_core::signal::Errno;

use super::super::{Poll, Profile, Unverified};
use super::{Code, Effect, Gave, Gives, IcmpClass, Probe, Row, Signal, State, Verified};
use crate::scenario::{Pick, RouteKind};

const MEASURED: Verified = Verified::On("6.18");
const XNU: Verified = Verified::Source("xnu e3723e1f1, bsd/netinet/udp_usrreq.c");

const SOFT: Signal = Signal::Icmp(IcmpClass::Soft, Pick::Exact);
const HARD: Signal = Signal::Icmp(IcmpClass::Hard, Pick::Exact);
const TOO_BIG: Signal = Signal::Icmp(IcmpClass::TooBig, Pick::Exact);
const IGNORED: Signal = Signal::Icmp(IcmpClass::Ignored, Pick::Exact);

const LATCHES: Effect = Effect::Latches(Code::OfIcmp);
const QUEUES: Effect = Effect::Queues(Code::OfIcmp);

const NONE: Poll = Poll { readable: false, writable: false, error: false, hangup: false, read_hangup: false };
const OUT: Gave = Gave::Events(Poll { writable: true, ..NONE });
const IN_OUT: Gave = Gave::Events(Poll { readable: true, writable: true, ..NONE });
const OUT_ERR: Gave = Gave::Events(Poll { writable: true, error: true, ..NONE });
const OF_ICMP: Gave = Gave::Error(Code::OfIcmp);
const NO_ERROR: Gave = Gave::Bytes(0);
const FOUR: Gave = Gave::Bytes(4);

const fn gives(call: Probe, result: Gave) -> Gives {
    Gives { call, result }
}

/// Nothing has happened.
const SILENCE: &[Gives] = &[
    gives(Probe::Poll, OUT),
    gives(Probe::ErrorQueue, Gave::Again),
    gives(Probe::Recv, Gave::Again),
    gives(Probe::Send, FOUR),
    gives(Probe::SoError, NO_ERROR),
];

/// One call takes the error, whichever comes first.
const ONCE: &[Gives] = &[
    gives(Probe::Poll, OUT_ERR),
    gives(Probe::ErrorQueue, Gave::Again),
    gives(Probe::Recv, OF_ICMP),
    gives(Probe::Poll, OUT),
    gives(Probe::Recv, Gave::Again),
    gives(Probe::SoError, NO_ERROR),
    gives(Probe::Send, FOUR),
];

/// The error takes the next datagram with it, and stays in the queue: poll goes on to tell of it.
const STOLEN: &[Gives] = &[
    gives(Probe::Poll, OUT_ERR),
    gives(Probe::Send, OF_ICMP),
    gives(Probe::Send, FOUR),
    gives(Probe::Recv, Gave::Again),
    gives(Probe::Poll, OUT_ERR),
    gives(Probe::ErrorQueue, Gave::Entry),
    gives(Probe::ErrorQueue, Gave::Again),
    gives(Probe::Poll, OUT),
    gives(Probe::SoError, NO_ERROR),
];

/// Two datagrams of 832 bytes each fit, the third one does not; nobody gets an error.
const OVERFLOWN: &[Gives] = &[
    gives(Probe::Poll, IN_OUT),
    gives(Probe::SoError, NO_ERROR),
    gives(Probe::Recv, FOUR),
    gives(Probe::Recv, FOUR),
    gives(Probe::Recv, Gave::Again),
    gives(Probe::Poll, OUT),
];

/// Only recv tells (JDK-4431020).
const ON_RECV: &[Gives] = &[
    gives(Probe::Poll, IN_OUT),
    gives(Probe::Send, FOUR),
    gives(Probe::Recv, OF_ICMP),
    gives(Probe::Recv, Gave::Again),
    gives(Probe::Poll, OUT),
];

/// The call itself fails, and leaves nothing behind.
macro_rules! fails {
    ($errno:ident) => {
        &[
            gives(Probe::Send, Gave::Error(Code::Is(Errno::$errno))),
            gives(Probe::Poll, OUT),
            gives(Probe::ErrorQueue, Gave::Again),
            gives(Probe::Recv, Gave::Again),
            gives(Probe::SoError, NO_ERROR),
        ]
    };
}

const fn linux(
    name: &'static str,
    state: State,
    recverr: Option<bool>,
    signal: Signal,
    effect: Effect,
    then: &'static [Gives],
) -> Row {
    Row {
        name,
        profile: Profile::Linux,
        version: None,
        state,
        recverr,
        signal,
        effect,
        then,
        verified: MEASURED,
    }
}

const fn macos(name: &'static str, signal: Signal) -> Row {
    Row {
        profile: Profile::Unverified(Unverified::MacOs),
        verified: XNU,
        ..linux(name, State::Connected, None, signal, LATCHES, ONCE)
    }
}

const fn windows(name: &'static str, state: State, signal: Signal) -> Row {
    Row {
        profile: Profile::Unverified(Unverified::Windows),
        verified: Verified::Unverified,
        ..linux(name, state, None, signal, LATCHES, ON_RECV)
    }
}

const fn route(
    name: &'static str,
    state: State,
    kind: RouteKind,
    errno: Errno,
    then: &'static [Gives],
) -> Row {
    linux(name, state, None, Signal::Route(kind), Effect::Fails(Code::Is(errno)), then)
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = {
    use Effect::{Drops, Nothing};
    use RouteKind as Way;
    use Signal::{NeighbourFailed, Overflow};
    use State::{Connected, Unconnected};

    const PLAIN: Option<bool> = Some(false);
    const RECVERR: Option<bool> = Some(true);

    &[
        linux("udp/connected/icmp-soft",              Connected,   PLAIN,   SOFT,    Nothing, SILENCE),
        linux("udp/connected/icmp-hard",              Connected,   PLAIN,   HARD,    LATCHES, ONCE),
        // Unless IP_MTU_DISCOVER is IP_PMTUDISC_DONT, which is not modelled.
        linux("udp/connected/icmp-too-big",           Connected,   PLAIN,   TOO_BIG, LATCHES, ONCE),
        linux("udp/connected/icmp-ignored",           Connected,   PLAIN,   IGNORED, Nothing, SILENCE),
        linux("udp/connected/recverr/icmp-soft",      Connected,   RECVERR, SOFT,    QUEUES,  STOLEN),
        linux("udp/connected/recverr/icmp-hard",      Connected,   RECVERR, HARD,    QUEUES,  STOLEN),
        linux("udp/connected/recverr/icmp-too-big",   Connected,   RECVERR, TOO_BIG, QUEUES,  STOLEN),
        linux("udp/connected/recverr/icmp-ignored",   Connected,   RECVERR, IGNORED, Nothing, SILENCE),
        linux("udp/unconnected/icmp-soft",            Unconnected, PLAIN,   SOFT,    Nothing, SILENCE),
        linux("udp/unconnected/icmp-hard",            Unconnected, PLAIN,   HARD,    Nothing, SILENCE),
        linux("udp/unconnected/icmp-too-big",         Unconnected, PLAIN,   TOO_BIG, Nothing, SILENCE),
        linux("udp/unconnected/icmp-ignored",         Unconnected, PLAIN,   IGNORED, Nothing, SILENCE),
        linux("udp/unconnected/recverr/icmp-soft",    Unconnected, RECVERR, SOFT,    QUEUES,  STOLEN),
        linux("udp/unconnected/recverr/icmp-hard",    Unconnected, RECVERR, HARD,    QUEUES,  STOLEN),
        linux("udp/unconnected/recverr/icmp-too-big", Unconnected, RECVERR, TOO_BIG, QUEUES,  STOLEN),
        linux("udp/unconnected/recverr/icmp-ignored", Unconnected, RECVERR, IGNORED, Nothing, SILENCE),

        // This host tells itself: ICMP 3/1, or ICMPv6 1/3, from its own address.
        linux("udp/connected/neighbour-failed",           Connected,   PLAIN,   NeighbourFailed, Nothing, SILENCE),
        linux("udp/connected/recverr/neighbour-failed",   Connected,   RECVERR, NeighbourFailed, QUEUES,  STOLEN),
        linux("udp/unconnected/neighbour-failed",         Unconnected, PLAIN,   NeighbourFailed, Nothing, SILENCE),
        linux("udp/unconnected/recverr/neighbour-failed", Unconnected, RECVERR, NeighbourFailed, QUEUES,  STOLEN),

        route("udp/connected/route-unreachable",   Connected,   Way::Unreachable, Errno::HostUnreach, fails!(HostUnreach)),
        route("udp/connected/route-prohibit",      Connected,   Way::Prohibit,    Errno::Acces,       fails!(Acces)),
        route("udp/connected/route-blackhole",     Connected,   Way::Blackhole,   Errno::Inval,       fails!(Inval)),
        route("udp/connected/route-missing",       Connected,   Way::Missing,     Errno::NetUnreach,  fails!(NetUnreach)),
        route("udp/unconnected/route-unreachable", Unconnected, Way::Unreachable, Errno::HostUnreach, fails!(HostUnreach)),
        route("udp/unconnected/route-prohibit",    Unconnected, Way::Prohibit,    Errno::Acces,       fails!(Acces)),
        route("udp/unconnected/route-blackhole",   Unconnected, Way::Blackhole,   Errno::Inval,       fails!(Inval)),
        route("udp/unconnected/route-missing",     Unconnected, Way::Missing,     Errno::NetUnreach,  fails!(NetUnreach)),

        // __udp_enqueue_schedule_skb
        linux("udp/connected/overflow",   Connected,   None, Overflow, Drops, OVERFLOWN),
        linux("udp/unconnected/overflow", Unconnected, None, Overflow, Drops, OVERFLOWN),

        // udp_notify sets so_error for whatever the map has; it looks for the full 4-tuple, so that only connected sockets
        // are found. There is no error queue.
        macos("macos/udp/connected/icmp-soft",    SOFT),
        macos("macos/udp/connected/icmp-hard",    HARD),
        macos("macos/udp/connected/icmp-too-big", TOO_BIG),

        // Port unreachable and TTL expired, on whatever socket.
        windows("windows/udp/connected/icmp-soft",   Connected,   SOFT),
        windows("windows/udp/connected/icmp-hard",   Connected,   HARD),
        windows("windows/udp/unconnected/icmp-soft", Unconnected, SOFT),
        windows("windows/udp/unconnected/icmp-hard", Unconnected, HARD),
    ]
};
