//! What a kernel can report, as data, and what it means.
//!
//! # Theory of operation
//!
//! Somebody says something ([`Signal`]): a call fails with an error number, or the error queue or a raw socket delivers
//! an ICMP message. This module says what that means ([`Cause`]): a [`Reason`] in one word, its [`Origin`], and the
//! evidence, of which nothing is lost.
//!
//! ```text
//!                       on connect, read or write
//!   errno ────────────►  one table, in cause.rs   ──┐
//!                                                   ├──► Cause { reason, origin, errno, icmp } ──► retry?
//!   ICMP type, code ──►  icmp::TABLE              ──┘
//!        ▲
//!        └── icmp::parse_v4, …: from the bytes that a raw socket gives, with the datagram that they quote
//! ```
//!
//! Two rules keep it honest:
//!
//! 1. **The least that is certain.** Kernels fold: EHOSTUNREACH alone can be a failed ARP, a routing loop, a filter or
//!    a route. Its reason is [`Reason::Unreachable`] then, and no guess. An ICMP message that is known keeps its own
//!    reason.
//! 2. **A cause is not a verdict.** ICMP and RST can be forged, and soft errors heal; whether a connection has ended is
//!    for its machine to decide. This module says what the words mean if it has, and whether to come back
//!    ([`Cause::retry`]).
//!
//! It is no mirror of one system's numbers: those differ, and `resound-sockets` maps them to [`Errno`]. What the
//! numbers mean was measured on Linux. Other systems fold differently (macOS makes ECONNREFUSED of a prohibition), so
//! that there a word can say too much; the number is always beside it.
//!
//! ```
//! use resound_core::signal::{Errno, Op, Origin, Reason, Retry, Signal};
//!
//! let cause = Signal::Errno(Errno::ConnRefused).cause(Op::Connect);
//! assert_eq!((cause.reason, cause.origin), (Reason::ConnRefused, Origin::Peer));
//! assert_eq!(cause.retry(), Retry::Again);
//! assert_eq!(cause.to_string(), "conn-refused (peer, ECONNREFUSED)");
//! ```

use core::net::{IpAddr, SocketAddr};

mod cause;
mod errno;
pub mod icmp;
mod reason;

pub use cause::Retry;
pub use errno::Errno;
pub use reason::{Origin, Reason, UnknownWord};

/// The call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Connecting, or finding out how a connect ended.
    Connect,
    /// Reading.
    Read,
    /// Writing, or half-closing.
    Write,
}

/// Internet Protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4, ICMP.
    V4,
    /// IPv6, ICMPv6.
    V6,
}

/// An ICMP error, as the error queue or a raw socket tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// ICMP or ICMPv6.
    pub version: Version,
    /// The message's type.
    pub kind: u8,
    /// The message's code.
    pub code: u8,
    /// Who sent it, where that is known. Forgeable.
    pub offender: Option<IpAddr>,
    /// Where the datagram that caused it was going, where that is known.
    pub destination: Option<SocketAddr>,
    /// The path's MTU in bytes, where the message tells one.
    pub mtu: Option<u32>,
}

/// What the system said: the result of a call, or a message from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A call failed with this.
    Errno(Errno),
    /// The error queue or a raw socket delivered this.
    Icmp(IcmpError),
    /// The connection that came up leads to this very socket (local address = peer address).
    SelfConnect,
}

/// Why something ended or failed: the reason, who said so, and the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// What happened, in one word.
    pub reason: Reason,
    /// Who says so. `Peer` and `Router` mean *claims to be from*: RST and ICMP can be forged.
    pub origin: Origin,
    /// The error number, where a call gave one.
    pub errno: Option<Errno>,
    /// The ICMP message, where one was seen.
    pub icmp: Option<IcmpError>,
}
