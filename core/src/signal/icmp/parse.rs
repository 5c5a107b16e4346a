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
//! Nothing here proves anything: who can guess addresses and ports can forge all of it. The checksum is not looked at,
//! since the kernel has verified it before a raw socket gets the message, and a forger gets it right.
//!
//! The input is untrusted. Every field is taken through checked splits; no input panics, and none is copied.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::{IcmpError, Version};
use super::is_error;

/// An ICMP error as received, with the datagram that it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Received<'a> {
    /// The error. Its `offender` is known only to [`parse_v4`]; ICMPv6 raw sockets give it as the sender's address.
    pub error: IcmpError,
    /// What this host sent, and what failed.
    pub quote: Quote<'a>,
}

/// The datagram that an ICMP error quotes, from this host's point of view: it was the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quote<'a> {
    /// Where it came from: an address of this host.
    pub source: IpAddr,
    /// Where it was going. With an IPv6 routing header, its next stop at the time.
    pub destination: IpAddr,
    /// What followed the IP header and the extensions that were walked over.
    pub protocol: Protocol,
    /// UDP's and TCP's ports. `None` for another protocol, and for a fragment that is not the first.
    pub ports: Option<Ports>,
    /// TCP's sequence number, where it was quoted.
    pub sequence: Option<u32>,
    /// As much of the UDP or TCP payload as was quoted, which can be nothing. Without ports: all that was quoted after
    /// the headers that were walked over. A router that appends RFC 4884 extensions without saying so (it was usual
    /// before that RFC) leaves noise at the end, unless the quoted lengths tell where the datagram ended.
    pub payload: &'a [u8],
}

/// UDP's and TCP's port numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// This host's.
    pub source: u16,
    /// The peer's.
    pub destination: u16,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Another one, by its IP protocol number.
    Other(u8),
}

impl Protocol {
    const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }
}

impl Quote<'_> {
    /// The socket that sent it, where ports are known. IPv6 scope and flow label are 0: the packet carries no scope.
    #[must_use]
    pub fn source_addr(&self) -> Option<SocketAddr> {
        self.ports.map(|ports| SocketAddr::new(self.source, ports.source))
    }

    /// The peer that it was sent to, where ports are known. IPv6 scope and flow label are 0.
    #[must_use]
    pub fn destination_addr(&self) -> Option<SocketAddr> {
        self.ports.map(|ports| SocketAddr::new(self.destination, ports.destination))
    }
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

/// Ends where the quoted packet's own length says that it ended, if that can be true. 0 is a jumbogram, or a packet
/// that was not cut into segments yet; a little more, but less than UDP needs, is a length in another byte order or
/// without some header, as some systems quote it.
fn without_padding(rest: &[u8], length: usize) -> &[u8] {
    const LEAST: usize = 8;
    if length >= LEAST { upto(rest, length) } else { rest }
}

fn quote_v4(quoted: &[u8]) -> Result<Quote<'_>, Malformed> {
    let header = Ipv4Header::split(quoted, Part::QuotedIp)?;
    let rest = without_padding(header.rest, header.total_length.saturating_sub(header.length));
    let piece = if header.later_fragment { Piece::Later } else { Piece::First };
    transport(header.source.into(), header.destination.into(), header.protocol, piece, rest)
}

fn quote_v6(quoted: &[u8]) -> Result<Quote<'_>, Malformed> {
    // Version, class and flow label (4), payload length (2), next header, hop limit, source (16), destination (16):
    // RFC 8200 §3.
    let (&first, _) = quoted.split_first().ok_or(Malformed::Truncated(Part::QuotedIp))?;
    expect_version(first, 6, Part::QuotedIp)?;
    let (fixed, rest) = split::<8>(quoted, Part::QuotedIp)?;
    let (source, rest) = split::<16>(rest, Part::QuotedIp)?;
    let (destination, rest) = split::<16>(rest, Part::QuotedIp)?;

    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let (protocol, piece, rest) = walk_extensions(fixed[6], without_padding(rest, length))?;
    transport(Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into(), protocol, piece, rest)
}

/// Walks over hop-by-hop, routing and destination options, and over a first fragment's header (RFC 8200 §4). Any other
/// header is for the caller to know, or not.
fn walk_extensions(first: u8, rest: &[u8]) -> Result<(u8, Piece, &[u8]), Malformed> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;

    let (mut kind, mut rest) = (first, rest);
    for _ in 0..=Malformed::MAX_EXTENSIONS {
        match kind {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                // Next header, then the length in 8-byte words beyond the first.
                let (head, _) = split::<8>(rest, Part::QuotedExtension)?;
                let length = (usize::from(head[1]) + 1) * 8;
                rest = rest.get(length..).ok_or(Malformed::Truncated(Part::QuotedExtension))?;
                kind = head[0];
            }
            FRAGMENT => {
                let (head, after) = split::<8>(rest, Part::QuotedExtension)?;
                kind = head[0];
                rest = after;
                // 13 bits of offset, then three flags.
                if u16::from_be_bytes([head[2], head[3]]) >> 3 != 0 {
                    return Ok((kind, Piece::Later, rest));
                }
            }
            _ => return Ok((kind, Piece::First, rest)),
        }
    }
    Err(Malformed::TooManyExtensions)
}

/// Which piece of a datagram is quoted.
enum Piece {
    /// The whole, or the fragment that has the transport header.
    First,
    /// A fragment without one.
    Later,
}

fn transport(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    piece: Piece,
    rest: &[u8],
) -> Result<Quote<'_>, Malformed> {
    let protocol = Protocol::from_number(protocol);
    let bare = Quote { source, destination, protocol, ports: None, sequence: None, payload: rest };
    let (Piece::First, Protocol::Udp | Protocol::Tcp) = (piece, protocol) else { return Ok(bare) };

    let ([s0, s1, d0, d1], after) = split(rest, Part::QuotedPorts)?;
    let ports = Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) };
    let bare = Quote { ports: Some(ports), ..bare };
    Ok(match protocol {
        Protocol::Tcp => Quote { sequence: tcp_sequence(after), payload: tcp_payload(rest), ..bare },
        Protocol::Udp | Protocol::Other(_) => Quote { payload: udp_payload(rest), ..bare },
    })
}

/// Ports (4), length with the header (2), checksum (2): RFC 768.
fn udp_payload(datagram: &[u8]) -> &[u8] {
    let Some((header, payload)) = datagram.split_first_chunk::<8>() else { return &[] };
    match usize::from(u16::from_be_bytes([header[4], header[5]])).checked_sub(8) {
        Some(length) => upto(payload, length),
        // 0 is a jumbogram (RFC 2675 §4); less than a header is nonsense that proves nothing about the payload.
        None => payload,
    }
}

fn tcp_sequence(after_ports: &[u8]) -> Option<u32> {
    after_ports.first_chunk().map(|&bytes| u32::from_be_bytes(bytes))
}

/// Ports (4), sequence (4), acknowledgement (4), data offset in 32-bit words in the upper half of the next byte:
/// RFC 9293 §3.1. Without that byte nothing after the header is quoted either.
fn tcp_payload(segment: &[u8]) -> &[u8] {
    segment.get(12).and_then(|byte| segment.get(usize::from(byte >> 4).max(5) * 4..)).unwrap_or_default()
}

const ICMP: u8 = 1;

/// What matters of an IPv4 header (RFC 791 §3.1).
struct Ipv4Header<'a> {
    /// In bytes, with options.
    length: usize,
    /// In bytes, with the header, as claimed.
    total_length: usize,
    /// Whether the fragment offset is not 0.
    later_fragment: bool,
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    rest: &'a [u8],
}

impl<'a> Ipv4Header<'a> {
    fn split(packet: &'a [u8], part: Part) -> Result<Self, Malformed> {
        let (&first, _) = packet.split_first().ok_or(Malformed::Truncated(part))?;
        expect_version(first, 4, part)?;
        let words = first & 0x0f;
        if words < 5 {
            return Err(Malformed::HeaderTooShort(part, words));
        }
        // Version, length, class (2), total length (2), identification (2), flags and offset (2), hops, protocol.
        let (fixed, rest) = split::<12>(packet, part)?;
        let (source, rest) = split::<4>(rest, part)?;
        let (destination, _) = split::<4>(rest, part)?;
        let length = usize::from(words) * 4;
        Ok(Self {
            length,
            total_length: usize::from(u16::from_be_bytes([fixed[2], fixed[3]])),
            // Three flags, then 13 bits of offset.
            later_fragment: u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0,
            protocol: fixed[9],
            source: source.into(),
            destination: destination.into(),
            rest: packet.get(length..).ok_or(Malformed::Truncated(part))?,
        })
    }
}

fn expect_version(first: u8, expected: u8, part: Part) -> Result<(), Malformed> {
    let version = first >> 4;
    if version == expected { Ok(()) } else { Err(Malformed::WrongVersion(part, version)) }
}

/// The first `N` bytes, and the rest.
fn split<const N: usize>(bytes: &[u8], part: Part) -> Result<([u8; N], &[u8]), Malformed> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated(part))?;
    Ok((*head, rest))
}

/// The first `length` bytes, or all if there are fewer.
fn upto(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
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
