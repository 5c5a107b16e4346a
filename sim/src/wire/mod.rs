//! Packets as bytes: what a capture file holds, and what a real network carries.
//!
//! # Theory of operation
//!
//! ```text
//!             encode                 IPv4 or IPv6 header
//!   Packet ─────────────►  bytes     TCP, UDP, or ICMP with the packet that it quotes
//!          ◄─────────────            all checksums
//!             decode
//! ```
//!
//! What a [`Packet`] says survives the way there and back, with these exceptions:
//!
//! * [`fault`](Packet::fault) is the simulator's own knowledge, and is in no header.
//! * A TCP window beyond 65 535 is written as that. A packet's window is not scaled, and the header's is taken as it
//!   stands, because the factor was agreed upon in another packet.
//! * A quote whose payload was cut is written as if it had always been that short: the packet only knows what is left.
//!   On a real wire its lengths and its checksum are those of the original.
//!
//! From real packets less is taken than is there: TCP options but the segment size, the urgent pointer, PSH and the
//! flags of congestion control, the IPv4 identification and options, the class and the flow label are passed over.
//! Whoever passes a real packet on passes on its bytes, and decodes them only to look at them: [`take`] keeps them with the
//! packet, and [`encode`] then writes them as they came.
//!
//! The bytes may come from anybody. No input panics.

use std::fmt;
use std::net::IpAddr;

use resound_core::signal::Version;

mod carried;
mod decode;
mod encode;

pub use carried::take;
pub use decode::decode;
pub use encode::encode;

#[cfg(doc)]
use crate::packet::Packet;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Don't fragment: in the first byte of IPv4's flags and offset (RFC 791 §3.1).
const DF: u8 = 0x40;

/// TCP's options (RFC 9293 §3.2): the kind that ends them, the one that fills up, and the longest segment.
const OPTION_END: u8 = 0;
const OPTION_NONE: u8 = 1;
const OPTION_MSS: u8 = 2;

/// Why bytes are no packet of the kinds that [`decode`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undecoded {
    /// The bytes end within this part.
    Truncated(Part),
    /// The IP version is this, neither 4 nor 6; or the quote's is not that of the packet around it.
    Version(u8),
    /// This part claims a length that it cannot have.
    Length(Part),
    /// A fragment: only whole packets are decoded.
    Fragment,
    /// It carries another protocol than TCP, UDP and ICMP errors: its number. IPv6 extension headers are other
    /// protocols, and so is an ICMP message within a quote.
    Protocol(u8),
    /// An ICMP message of this type, which reports no failure.
    NotAnError(u8),
}

/// A part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The IP header, and what it says about the packet's length.
    Ip,
    /// The TCP header.
    Tcp,
    /// The UDP header.
    Udp,
    /// The ICMP header.
    Icmp,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "IP packet",
            Self::Tcp => "TCP header",
            Self::Udp => "UDP header",
            Self::Icmp => "ICMP header",
        })
    }
}

impl fmt::Display for Undecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(part) => write!(f, "the bytes end within the {part}"),
            Self::Version(version) => write!(f, "IP version {version} is not the one expected"),
            Self::Length(part) => write!(f, "the {part} claims a length that it cannot have"),
            Self::Fragment => f.write_str("a fragment is not a whole packet"),
            Self::Protocol(number) => write!(f, "protocol {number} is neither TCP, UDP nor an ICMP error"),
            Self::NotAnError(kind) => write!(f, "ICMP type {kind} reports no failure"),
        }
    }
}

impl std::error::Error for Undecoded {}

/// Whether the second half of an ICMP header tells an MTU (RFC 1191 §4, RFC 4443 §3.2).
const fn tells_mtu(version: Version, kind: u8, code: u8) -> bool {
    match version {
        Version::V4 => kind == 3 && code == 4,
        Version::V6 => kind == 2,
    }
}

/// The Internet checksum (RFC 1071) before its complement: a sum that may be continued.
#[derive(Clone, Copy, Debug, Default)]
struct Sum(u64);

impl Sum {
    /// Adds these bytes. Only what is added last may be of odd length.
    fn add(self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(2);
        let sum: u64 = words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        let odd = words.remainder().first().map_or(0, |&byte| u64::from(byte) << 8);
        Self(self.0 + sum + odd)
    }

    /// Adds the header that exists only for the checksum (RFC 9293 §3.1, RFC 8200 §8.1).
    fn add_pseudo_header(self, source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        self.add_address(source)
            .add_address(destination)
            .add(&(length as u32).to_be_bytes())
            .add(&[0, protocol])
    }

    fn add_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add(&address.octets()),
            IpAddr::V6(address) => self.add(&address.octets()),
        }
    }

    /// What is to be written into the header.
    fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether the bytes, their checksum among them, are whole.
    fn is_whole(self) -> bool {
        self.folded() == u16::MAX
    }

    fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }
}
