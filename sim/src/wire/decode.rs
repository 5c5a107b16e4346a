//! From bytes to the packet that they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use resound_core::signal::Version;

use super::{
    ACK, DF, FIN, ICMP, ICMP_V6, OPTION_END, OPTION_MSS, OPTION_NONE, Part, RST, SYN, Sum, TCP, UDP,
    Undecoded, tells_mtu,
};
use crate::packet::{Body, Datagram, Flags, Icmp, Packet, Segment, Seq};

/// Decodes a whole IP packet. What follows its end, as short frames of Ethernet are filled up, is left out.
///
/// It is [damaged](Packet::damaged) if one of its checksums fails. The quote of an ICMP error may end anywhere behind
/// the ports (RFC 792 asks for eight bytes); what is missing of its TCP header is read as zero. Its checksums are
/// looked at only if all of it is there.
///
/// # Errors
///
/// If it is not a whole packet with TCP, UDP or an ICMP error in it.
pub fn decode(bytes: &[u8]) -> Result<Packet, Undecoded> {
    let ip = Ip::split(bytes)?;
    if ip.claimed > ip.rest.len() {
        return Err(Undecoded::Truncated(Part::Ip));
    }
    let (body, whole) = match (ip.protocol, ip.version) {
        (TCP, _) => (Body::Tcp(tcp(ip.rest)?), ip.is_whole()),
        (UDP, _) => {
            let (datagram, checksummed) = udp(ip.rest)?;
            let unchecked = !checksummed && ip.version == Version::V4;
            (Body::Udp(datagram), unchecked || ip.is_whole())
        }
        (ICMP, Version::V4) => {
            (Body::Icmp(error(ip.rest, Version::V4)?), Sum::default().add(ip.rest).is_whole())
        }
        (ICMP_V6, Version::V6) => (Body::Icmp(error(ip.rest, Version::V6)?), ip.is_whole()),
        (other, _) => return Err(Undecoded::Protocol(other)),
    };
    Ok(ip.packet(body, !whole))
}

/// An IP header, and what follows it.
struct Ip<'a> {
    version: Version,
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
    /// Without DF.
    fragments: bool,
    protocol: u8,
    /// Whether IPv4's own checksum is right.
    header_whole: bool,
    /// How long the rest is, as the header has it.
    claimed: usize,
    /// As much of it as is there.
    rest: &'a [u8],
}

impl<'a> Ip<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, Undecoded> {
        match bytes.first().map(|first| first >> 4) {
            None => Err(Undecoded::Truncated(Part::Ip)),
            Some(4) => Self::split_v4(bytes),
            Some(6) => Self::split_v6(bytes),
            Some(other) => Err(Undecoded::Version(other)),
        }
    }

    /// RFC 791 §3.1.
    fn split_v4(bytes: &'a [u8]) -> Result<Self, Undecoded> {
        let (fixed, _) = split::<20>(bytes, Part::Ip)?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        if length < 20 {
            return Err(Undecoded::Length(Part::Ip));
        }
        let (header, rest) = bytes.split_at_checked(length).ok_or(Undecoded::Truncated(Part::Ip))?;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let claimed = total.checked_sub(length).ok_or(Undecoded::Length(Part::Ip))?;
        // All but DF and the reserved bit: more fragments, and the offset.
        if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
            return Err(Undecoded::Fragment);
        }
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = fixed;
        Ok(Self {
            version: Version::V4,
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            hops: fixed[8],
            fragments: fixed[6] & DF == 0,
            protocol: fixed[9],
            header_whole: Sum::default().add(header).is_whole(),
            claimed,
            rest: upto(rest, claimed),
        })
    }

    /// RFC 8200 §3.
    fn split_v6(bytes: &'a [u8]) -> Result<Self, Undecoded> {
        let (fixed, rest) = split::<8>(bytes, Part::Ip)?;
        let (source, rest) = split::<16>(rest, Part::Ip)?;
        let (destination, rest) = split::<16>(rest, Part::Ip)?;
        let claimed = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        Ok(Self {
            version: Version::V6,
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            hops: fixed[7],
            // Only a header of its own would say so, and whoever has that is a fragment.
            fragments: false,
            protocol: fixed[6],
            header_whole: true,
            claimed,
            rest: upto(rest, claimed),
        })
    }

    /// Whether the body's checksum, which covers the addresses too, is right.
    fn is_whole(&self) -> bool {
        let Self { source, destination, protocol, rest, .. } = *self;
        Sum::default().add_pseudo_header(source, destination, protocol, rest.len()).add(rest).is_whole()
    }

    fn packet(&self, body: Body, damaged: bool) -> Packet {
        Packet {
            source: self.source,
            destination: self.destination,
            hops: self.hops,
            fragments: self.fragments,
            damaged: damaged || !self.header_whole,
            fault: None,
            bytes: None,
            body,
        }
    }
}

/// RFC 9293 §3.1.
fn tcp(bytes: &[u8]) -> Result<Segment, Undecoded> {
    let (fixed, after) = split::<20>(bytes, Part::Tcp)?;
    let options = (usize::from(fixed[12] >> 4) * 4).checked_sub(20).ok_or(Undecoded::Length(Part::Tcp))?;
    let (options, payload) = after.split_at_checked(options).ok_or(Undecoded::Truncated(Part::Tcp))?;
    Ok(segment(fixed, options, payload))
}

fn segment(fixed: [u8; 20], options: &[u8], payload: &[u8]) -> Segment {
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, _, flags, w0, w1, ..] = fixed;
    let is = |bit| flags & bit != 0;
    Segment {
        source: u16::from_be_bytes([s0, s1]),
        destination: u16::from_be_bytes([d0, d1]),
        seq: Seq(u32::from_be_bytes([q0, q1, q2, q3])),
        ack: is(ACK).then_some(Seq(u32::from_be_bytes([a0, a1, a2, a3]))),
        flags: Flags { syn: is(SYN), fin: is(FIN), rst: is(RST) },
        window: u16::from_be_bytes([w0, w1]).into(),
        mss: mss(options),
        payload: payload.to_vec(),
    }
}

/// The option of the longest segment, wherever it stands. Options that are cut end them all.
fn mss(mut options: &[u8]) -> Option<u16> {
    loop {
        match *options {
            [] | [OPTION_END, ..] => return None,
            [OPTION_NONE, ref rest @ ..] => options = rest,
            [OPTION_MSS, 4, high, low, ..] => return Some(u16::from_be_bytes([high, low])),
            // A length counts its own two bytes; a shorter one would never end.
            [_, length, ..] if length >= 2 => options = options.get(usize::from(length)..)?,
            _ => return None,
        }
    }
}

/// A datagram, and whether it has a checksum (RFC 768).
fn udp(bytes: &[u8]) -> Result<(Datagram, bool), Undecoded> {
    let ([s0, s1, d0, d1, l0, l1, c0, c1], after) = split(bytes, Part::Udp)?;
    let length = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(8);
    let payload = length.and_then(|length| after.get(..length)).ok_or(Undecoded::Length(Part::Udp))?;
    let datagram = Datagram {
        source: u16::from_be_bytes([s0, s1]),
        destination: u16::from_be_bytes([d0, d1]),
        payload: payload.to_vec(),
    };
    Ok((datagram, [c0, c1] != [0, 0]))
}

/// RFC 792, RFC 4443 §2.1.
fn error(bytes: &[u8], version: Version) -> Result<Icmp, Undecoded> {
    let ([kind, code, _, _, rest @ ..], quoted) = split::<8>(bytes, Part::Icmp)?;
    let reports_failure = match version {
        // RFC 1122 §3.2.2, without redirects.
        Version::V4 => matches!(kind, 3 | 4 | 11 | 12),
        Version::V6 => kind < 128,
    };
    if !reports_failure {
        return Err(Undecoded::NotAnError(kind));
    }
    let mtu = match version {
        Version::V4 => u32::from(u16::from_be_bytes([rest[2], rest[3]])),
        Version::V6 => u32::from_be_bytes(rest),
    };
    // Routers that do not know the MTU leave it 0 (RFC 1191 §5).
    let mtu = Some(mtu).filter(|&mtu| mtu != 0 && tells_mtu(version, kind, code));
    Ok(Icmp { kind, code, mtu, quote: Box::new(quote(quoted, version)?) })
}

/// A packet of which perhaps only the beginning is there.
fn quote(bytes: &[u8], version: Version) -> Result<Packet, Undecoded> {
    let ip = Ip::split(bytes)?;
    if ip.version != version {
        return Err(Undecoded::Version(bytes[0] >> 4));
    }
    let complete = ip.rest.len() == ip.claimed;
    match ip.protocol {
        TCP => {
            let mut fixed = [0; 20];
            let there = ip.rest.len().min(20);
            if there < 8 {
                return Err(Undecoded::Truncated(Part::Tcp));
            }
            fixed[..there].copy_from_slice(&ip.rest[..there]);
            let after = &ip.rest[there..];
            let (options, payload) =
                after.split_at((usize::from(fixed[12] >> 4) * 4).saturating_sub(20).min(after.len()));
            Ok(ip.packet(Body::Tcp(segment(fixed, options, payload)), complete && !ip.is_whole()))
        }
        UDP => {
            let ([s0, s1, d0, d1, l0, l1, c0, c1], after) = split(ip.rest, Part::Udp)?;
            let claimed = usize::from(u16::from_be_bytes([l0, l1])).saturating_sub(8);
            let datagram = Datagram {
                source: u16::from_be_bytes([s0, s1]),
                destination: u16::from_be_bytes([d0, d1]),
                payload: upto(after, claimed).to_vec(),
            };
            let checksummed = version == Version::V6 || [c0, c1] != [0, 0];
            Ok(ip.packet(Body::Udp(datagram), complete && checksummed && !ip.is_whole()))
        }
        other => Err(Undecoded::Protocol(other)),
    }
}

/// The first `N` bytes, and the rest.
fn split<const N: usize>(bytes: &[u8], part: Part) -> Result<([u8; N], &[u8]), Undecoded> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Undecoded::Truncated(part))?;
    Ok((*head, rest))
}

/// The first `length` bytes, or all if there are fewer.
fn upto(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}
