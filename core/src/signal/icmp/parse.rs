//! From the bytes of an ICMP error to the error and the datagram that it quotes.
//!
//! # Theory of operation
//!
//! ```text
//!  parse_v4 ──────► ┌─────────────┐
//!                   │ IPv4 header │ ──► offender
//!  parse_icmp_v4 ─► ├─────────────┤
//!  parse_icmp_v6    │ ICMP header │ ──► type, code, MTU
//!                   ├─────────────┤ ┐
//!                   │ IP header   │ │ ──► source and destination address
//!                   │ extensions  │ │     walked over (IPv6)
//!                   │ UDP or TCP  │ │ ──► ports, sequence number
//!                   │ payload     │ │ ──► payload, as much as was quoted
//!                   ├─────────────┤ ┘ quoted: what this host sent
//!                   │ RFC 4884    │     cut off
//!                   └─────────────┘
//! ```
//!
//! The quote is what makes an ICMP error worth something: it says which datagram failed. A message whose quote does
//! not reach as far as the ports is therefore malformed here; beyond the ports, whatever is there is taken. RFC 792
//! asks routers for no more than eight bytes after the IP header, and many quote just those.
//!
//! Nothing here proves anything: who can guess addresses and ports can forge all of it. The checksum is not looked at.
//! A forger gets it right, a receive buffer that cuts the message makes it useless, and what it would still catch is a
//! damage that the link layers missed. Linux has verified it for ICMPv6 raw sockets; to ICMPv4 ones it hands a message
//! before that.
//!
//! The input is untrusted. Every field is taken through checked splits; no input panics, and none is copied.

use core::fmt;

use super::super::{IcmpError, Version};
use super::is_error;
use super::quote::{Ipv4Header, Quote, quote_v4, quote_v6, split};

/// ICMP's protocol number.
const ICMP: u8 = 1;

/// An ICMP error as received, with the datagram that it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Received<'a> {
    /// The error. Its `offender` is known only to [`parse_v4`]; ICMPv6 raw sockets give it as the sender's address.
    pub error: IcmpError,
    /// What this host sent, and what failed.
    pub quote: Quote<'a>,
}

/// Why a packet is not an ICMP error that can be attributed to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The bytes end within this part.
    Truncated(Part),
    /// This part is of another IP version: the one that it claims.
    WrongVersion(Part, u8),
    /// This part's IPv4 header claims to be shorter than one can be: its length in 32-bit words.
    HeaderTooShort(Part, u8),
    /// The packet carries another protocol than ICMP: its number.
    NotIcmp(u8),
    /// A message of this type reports no failure: a redirect, or an informational message.
    NotAnError(u8),
    /// The quoted packet has more than [`Malformed::MAX_EXTENSIONS`] IPv6 extension headers.
    TooManyExtensions,
}

impl Malformed {
    /// How many IPv6 extension headers are walked over. RFC 8200 §4.1 knows at most seven in a packet.
    pub const MAX_EXTENSIONS: usize = 8;
}

/// A part of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The IP header of the packet itself.
    Ip,
    /// The ICMP header.
    Icmp,
    /// The IP header of the quoted packet.
    QuotedIp,
    /// An extension header of the quoted packet.
    QuotedExtension,
    /// The ports of the quoted packet.
    QuotedPorts,
}

/// Parses an ICMPv4 error with its IP header, as a raw socket (`IPPROTO_ICMP`) gives it.
///
/// Its length is that of `packet`: some systems change the length field in the header that they hand out.
///
/// # Errors
///
/// If it is not an ICMPv4 error, or does not say which datagram failed.
pub fn parse_v4(packet: &[u8]) -> Result<Received<'_>, Malformed> {
    let header = Ipv4Header::split(packet, Part::Ip)?;
    if header.protocol != ICMP {
        return Err(Malformed::NotIcmp(header.protocol));
    }
    let mut received = parse_icmp_v4(header.rest)?;
    received.error.offender = Some(header.source.into());
    Ok(received)
}

/// Parses an ICMPv4 error without its IP header. The offender stays unknown.
///
/// # Errors
///
/// If it is not an ICMPv4 error, or does not say which datagram failed.
pub fn parse_icmp_v4(message: &[u8]) -> Result<Received<'_>, Malformed> {
    let ([kind, code, _, _, rest @ ..], quoted) = split_icmp(message, Version::V4)?;
    let mtu = match (kind, code) {
        // RFC 1191 §4. Older routers leave it 0.
        (3, 4) => Some(u32::from(u16::from_be_bytes([rest[2], rest[3]]))).filter(|&mtu| mtu != 0),
        _ => None,
    };
    let quoted = match kind {
        // RFC 4884 §4.1 to §4.3: in 32-bit words.
        3 | 11 | 12 => without_extensions(quoted, usize::from(rest[1]) * 4),
        _ => quoted,
    };
    received(Version::V4, kind, code, mtu, quote_v4(quoted)?)
}

/// Parses an ICMPv6 error, as a raw socket (`IPPROTO_ICMPV6`) gives it: without an IP header. The offender stays
/// unknown.
///
/// # Errors
///
/// If it is not an ICMPv6 error, or does not say which datagram failed.
pub fn parse_icmp_v6(message: &[u8]) -> Result<Received<'_>, Malformed> {
    let ([kind, code, _, _, rest @ ..], quoted) = split_icmp(message, Version::V6)?;
    let mtu = match kind {
        2 => Some(u32::from_be_bytes(rest)).filter(|&mtu| mtu != 0),
        _ => None,
    };
    let quoted = match kind {
        // RFC 4884 §4.4 and §4.5: in 64-bit words.
        1 | 3 => without_extensions(quoted, usize::from(rest[0]) * 8),
        _ => quoted,
    };
    received(Version::V6, kind, code, mtu, quote_v6(quoted)?)
}

fn received(
    version: Version,
    kind: u8,
    code: u8,
    mtu: Option<u32>,
    quote: Quote<'_>,
) -> Result<Received<'_>, Malformed> {
    let destination = quote.destination_addr();
    Ok(Received { error: IcmpError { version, kind, code, offender: None, destination, mtu }, quote })
}

/// The eight bytes that every ICMP error begins with, and the quote.
fn split_icmp(message: &[u8], version: Version) -> Result<([u8; 8], &[u8]), Malformed> {
    let (header, quoted) = split(message, Part::Icmp)?;
    if is_error(version, header[0]) { Ok((header, quoted)) } else { Err(Malformed::NotAnError(header[0])) }
}

/// Cuts off what follows the quote, if its stated length can be true. With extensions at least 128 bytes are quoted
/// (RFC 4884 §4); anything less is what a sender left in a field that it took for unused.
fn without_extensions(quoted: &[u8], length: usize) -> &[u8] {
    const LEAST: usize = 128;
    match quoted.get(..length) {
        Some(datagram) if length >= LEAST => datagram,
        _ => quoted,
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "the IP header",
            Self::Icmp => "the ICMP header",
            Self::QuotedIp => "the quoted IP header",
            Self::QuotedExtension => "a quoted extension header",
            Self::QuotedPorts => "the quoted ports",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(part) => write!(f, "the bytes end within {part}"),
            Self::WrongVersion(part, version) => write!(f, "{part} claims IP version {version}"),
            Self::HeaderTooShort(part, words) => write!(f, "{part} claims a length of {words} words"),
            Self::NotIcmp(protocol) => write!(f, "the packet carries protocol {protocol}, not ICMP"),
            Self::NotAnError(kind) => write!(f, "ICMP type {kind} reports no failure"),
            Self::TooManyExtensions => {
                write!(f, "more than {} quoted extension headers", Self::MAX_EXTENSIONS)
            }
        }
    }
}

impl core::error::Error for Malformed {}
