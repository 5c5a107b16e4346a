//! The datagram that an ICMP error quotes: IP header, IPv6 extension headers, ports, and what is left of the payload.
//!
//! Only what attributes the error to a sender's datagram is read. Lengths that the quote claims are used where they can
//! be true, and never trusted: they can only shorten what is looked at.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::parse::{Malformed, Part};

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

pub(super) fn quote_v4(quoted: &[u8]) -> Result<Quote<'_>, Malformed> {
    let header = Ipv4Header::split(quoted, Part::QuotedIp)?;
    let rest = without_padding(header.rest, header.total_length.saturating_sub(header.length));
    let piece = if header.later_fragment { Piece::Later } else { Piece::First };
    transport(header.source.into(), header.destination.into(), header.protocol, piece, rest)
}

pub(super) fn quote_v6(quoted: &[u8]) -> Result<Quote<'_>, Malformed> {
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

/// Ends where the quoted packet's own length says that it ended, if that can be true. 0 is a jumbogram, or a packet
/// that was not cut into segments yet; a little more, but less than UDP needs, is a length in another byte order or
/// without some header, as some systems quote it.
fn without_padding(rest: &[u8], length: usize) -> &[u8] {
    const LEAST: usize = 8;
    if length >= LEAST { upto(rest, length) } else { rest }
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

/// What matters of an IPv4 header (RFC 791 §3.1).
pub(super) struct Ipv4Header<'a> {
    /// In bytes, with options.
    length: usize,
    /// In bytes, with the header, as claimed.
    total_length: usize,
    /// Whether the fragment offset is not 0.
    later_fragment: bool,
    pub(super) protocol: u8,
    pub(super) source: Ipv4Addr,
    destination: Ipv4Addr,
    pub(super) rest: &'a [u8],
}

impl<'a> Ipv4Header<'a> {
    pub(super) fn split(packet: &'a [u8], part: Part) -> Result<Self, Malformed> {
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
pub(super) fn split<const N: usize>(bytes: &[u8], part: Part) -> Result<([u8; N], &[u8]), Malformed> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated(part))?;
    Ok((*head, rest))
}

/// The first `length` bytes, or all if there are fewer.
fn upto(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}
