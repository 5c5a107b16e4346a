//! What each signal does to a socket: one row for each case, obeyed by the simulated kernel and to be verified on a real
//! one.
//!
//! # Theory of operation
//!
//! A signal reaches a socket in a state, with options. [`find`] gives the row; its [`effect`](Row::effect) is what the
//! simulated kernel then does, and nothing else decides it. Its [`then`](Row::then) is what a program gets to see of it:
//! calls made one after the other, and what each gives. The first follows from the second and the rules of the latches,
//! so that a test can make every row happen and compare.
//!
//! ```text
//!   profile, version, state, RECVERR, signal ──► Row ─► effect   what the kernel does (obeyed)
//!                                                 │
//!                                                 ├──► then     what calls give, in order (tested here, measured there)
//!                                                 └──► verified on which kernel
//! ```
//!
//! A row is [measured](Verified::On) only if its own case was: this signal, in this state, on that kernel, and what the
//! calls then gave; of a socket that no program has, what its peer saw. That the same function of the kernel runs in
//! another state too makes that state's row one of the [source](Verified::Source), until somebody has made it happen. How
//! each row of Linux is made to happen, here and there, is in [`staged`](crate::engine::staged); the lab does it on the
//! kernel that it finds.
//!
//! Which ICMP type and code becomes which errno, hard or soft, is the core's own
//! [table](resound_core::signal::icmp::TABLE), and not repeated here: rows speak of [classes](IcmpClass).

use resound_core::signal::icmp::Hardness;
use resound_core::signal::{Errno, IcmpError, Version};

use super::{Poll, Profile};
use crate::scenario::{Pick, RouteKind};

mod icmp;
mod tcp;
mod udp;
mod words;

pub use icmp::verdict;
pub use tcp::{ORDERS, Order};

use tcp::{packets, routes, timers, unverified};

/// One case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its name, unique: protocol, state, signal, with hyphens and slashes.
    pub name: &'static str,
    /// Of which system.
    pub profile: Profile,
    /// Only over this IP version; `None`: both alike.
    pub version: Option<Version>,
    /// The socket's state.
    pub state: State,
    /// Whether the socket has `IP_RECVERR`; `None`: it makes no difference.
    pub recverr: Option<bool>,
    /// What reaches it.
    pub signal: Signal,
    /// What the kernel does.
    pub effect: Effect,
    /// What calls then give, made in this order.
    pub then: &'static [Gives],
    /// Where this was seen.
    pub verified: Verified,
}

/// A row's place in [`ROWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub u16);

/// In which state a socket is, as far as signals tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// TCP, connecting.
    SynSent,
    /// TCP, has answered a SYN for a listener.
    SynReceived,
    /// TCP, established, waits to be accepted.
    Queued,
    /// TCP, established, with nothing unacknowledged.
    Idle,
    /// TCP, established, with data unacknowledged.
    Sending,
    /// TCP, established, with data that the closed window of the peer holds back.
    ZeroWindow,
    /// TCP, established, with data received that was not read.
    Unread,
    /// TCP, after the peer's FIN.
    CloseWait,
    /// TCP, half-closed by this side.
    HalfClosed,
    /// TCP, closed by its program with data unacknowledged.
    Orphan,
    /// TCP, ended by both sides, with this side's FIN unacknowledged.
    BothClosed,
    /// TCP, ended by both sides, this side first.
    TimeWait,
    /// No socket: the kernel itself answers, with a reset or an ICMP error.
    Nobody,
    /// UDP, connected.
    Connected,
    /// UDP, not connected.
    Unconnected,
}

/// What reaches a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// An ICMP error that quotes a packet of this socket; of TCP, this sequence number.
    Icmp(IcmpClass, Pick),
    /// An ICMP error that quotes the answer to a SYN, and that makes Linux drop the request (`tcp_req_err`): over IPv4 time
    /// exceeded, a parameter problem, and net and host unreachable; over IPv6 whatever is hard.
    Drops(Pick),
    /// A TCP reset with this sequence number.
    Rst(Pick),
    /// A reset that acknowledges the SYN.
    Refusal,
    /// A SYN in the window.
    Syn,
    /// The peer's FIN.
    Fin,
    /// Data, after the program has ended both ways with its socket open.
    LateData,
    /// The retransmission timer has given up.
    RetriesExhausted,
    /// The retransmission timer has given up, after an ICMP error.
    RetriesExhaustedAfterIcmp,
    /// TCP_USER_TIMEOUT is over.
    UserTimeout,
    /// The last keepalive probe was not answered.
    KeepaliveExhausted,
    /// This host has no way there.
    Route(RouteKind),
    /// This host has lost its way there: what is in flight is sent again, and finds none. Told apart from a
    /// [route](Self::Route) only where Linux does: over IPv4, because `inet_sk_rebuild_header` keeps the error and
    /// `__ip_queue_xmit` does not; and of a SYN.
    RouteLost(RouteKind),
    /// The neighbour's address was not found (ARP, neighbour discovery).
    NeighbourFailed,
    /// There was no room for a datagram.
    Overflow,
}

/// What an ICMP error is to Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpClass {
    /// It has an errno and may heal.
    Soft,
    /// It has an errno and is `fatal`.
    Hard,
    /// Fragmentation needed, packet too big.
    TooBig,
    /// It is ignored.
    Ignored,
}

impl IcmpClass {
    /// Of this message.
    #[must_use]
    pub fn of(error: &IcmpError) -> Self {
        let meaning = error.meaning();
        match (meaning.errno, meaning.hardness) {
            (None, _) => Self::Ignored,
            (Some(Errno::MsgSize), _) => Self::TooBig,
            (Some(_), Hardness::Soft) => Self::Soft,
            (Some(_), Hardness::Hard) => Self::Hard,
        }
    }
}

/// What the kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The connection ends; the next call takes this error.
    Ends(Code),
    /// The next call takes this error; the socket lives on.
    Latches(Code),
    /// The next call takes this error, and an entry joins the error queue.
    Queues(Code),
    /// The next call takes this error, an entry joins the error queue, and the connection ends.
    EndsAndQueues(Code),
    /// It is remembered for the end of the retransmissions.
    Remembers(Code),
    /// The call itself fails.
    Fails(Code),
    /// It is answered with an acknowledgement, and otherwise ignored (RFC 5961).
    Challenges,
    /// The peer's side has ended.
    HalfCloses,
    /// The connection ends, and nobody is told.
    Vanishes,
    /// Segments are shorter from now on, and what is in flight is sent again.
    Shrinks,
    /// A datagram is dropped and counted.
    Drops,
    /// Nothing.
    Nothing,
}

/// Which error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// This one.
    Is(Errno),
    /// What the core's table says of the message.
    OfIcmp,
    /// What was remembered, or else this one.
    RememberedOr(Errno),
}

/// What a call gives after a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gives {
    /// The call.
    pub call: Probe,
    /// Its result.
    pub result: Gave,
}

/// A call that shows what a signal has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// `recv`
    Recv,
    /// `send`
    Send,
    /// `getsockopt(SO_ERROR)`
    SoError,
    /// `poll`
    Poll,
    /// `recvmsg(MSG_ERRQUEUE)`
    ErrorQueue,
}

/// What it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gave {
    /// So many bytes; of SO_ERROR: 0 is no error.
    Bytes(usize),
    /// The end of the peer's side: `recv` said 0.
    Eof,
    /// An error.
    Error(Code),
    /// EAGAIN.
    Again,
    /// These events.
    Events(Poll),
    /// An entry of the error queue.
    Entry,
}

/// Where a row was seen to be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verified {
    /// Measured on this Linux kernel.
    On(&'static str),
    /// Read in the system's source.
    Source(&'static str),
    /// Not at all: documentation, or hearsay.
    Unverified,
}

/// Every row.
pub const ROWS: &[&[Row]] = &[
    packets::SYN_SENT,
    packets::SYN_RECEIVED,
    &packets::IDLE,
    &packets::SENDING,
    &packets::ZERO_WINDOW,
    &packets::UNREAD,
    &packets::CLOSE_WAIT,
    &packets::HALF_CLOSED,
    &packets::BOTH_CLOSED,
    &packets::ORPHAN,
    packets::TIME_WAIT,
    &packets::QUEUED,
    packets::ENDS,
    timers::ROWS,
    routes::SYN_SENT,
    routes::SENDING,
    &routes::IDLE_STRANDED,
    &routes::QUEUED_STRANDED,
    &routes::ZERO_WINDOW_STRANDED,
    &routes::UNREAD_STRANDED,
    &routes::CLOSE_WAIT_STRANDED,
    &routes::HALF_CLOSED_STRANDED,
    &routes::BOTH_CLOSED_STRANDED,
    &routes::ORPHAN_STRANDED,
    &routes::SYN_SENT_LOST,
    &routes::SENDING_LOST,
    &routes::UNREAD_LOST,
    &routes::CLOSE_WAIT_LOST,
    &routes::HALF_CLOSED_LOST,
    &routes::BOTH_CLOSED_LOST,
    &routes::ORPHAN_LOST,
    routes::ANSWERS,
    unverified::ROWS,
    udp::ROWS,
];

/// The row of a case; of an unverified system that has none of its own, Linux's. `None` if there is none, which a test
/// says cannot be on Linux for a case that can be.
#[must_use]
pub fn find(
    profile: Profile,
    version: Version,
    state: State,
    recverr: bool,
    signal: Signal,
) -> Option<(RowId, &'static Row)> {
    let of = |profile| {
        let fits = |row: &Row| {
            row.profile == profile
                && row.version.is_none_or(|only| only == version)
                && row.state == state
                && row.recverr.is_none_or(|only| only == recverr)
                && row.signal == signal
        };
        let all = ROWS.iter().flat_map(|rows| rows.iter());
        all.enumerate().map(|(at, row)| (RowId(at as u16), row)).find(|(_, row)| fits(row))
    };
    of(profile).or_else(|| if profile == Profile::Linux { None } else { of(Profile::Linux) })
}

/// How many rows there are.
#[must_use]
pub fn count() -> usize {
    ROWS.iter().map(|rows| rows.len()).sum()
}

/// The row of this id.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn row(id: RowId) -> &'static Row {
    let mut all = ROWS.iter().flat_map(|rows| rows.iter());
    all.nth(usize::from(id.0)).expect("ids come from `find`")
}
