//! What a kernel can report, as data, and what it means.

use core::net::{IpAddr, SocketAddr};

mod errno;
mod reason;

pub use errno::Errno;
pub use reason::{Origin, Reason};

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
