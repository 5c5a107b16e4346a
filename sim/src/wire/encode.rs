//! From a packet to its bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use resound_core::signal::Version;

use super::{ACK, DF, FIN, ICMP, ICMP_V6, OPTION_MSS, RST, SYN, Sum, TCP, UDP, tells_mtu};
use crate::packet::{Body, Datagram, Icmp, Packet, Segment};

/// Appends the packet's bytes: IP header, body, checksums. IPv4 packets have identification 0, and DF as Linux sends
/// it with path MTU discovery, unless they may be [fragmented](Packet::fragments); over IPv6 that leaves no trace.
///
/// A [damaged](Packet::damaged) packet gets a checksum that is wrong in one bit: that of TCP, UDP or ICMP, so that
/// routers still pass it on. The version is that of the destination; a source of the other version is written as
/// unspecified. Lengths that do not fit into their field are written as the greatest that does.
///
/// A packet that was [taken](super::take) from a real wire, and not changed since, is written as it came, but for its hops.
pub fn encode(packet: &Packet, out: &mut Vec<u8>) {
    if let Some(bytes) = &packet.bytes {
        return super::carried::put(bytes, packet, out);
    }
    let header = out.len();
    let ends = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ends::V4(source, destination),
        (IpAddr::V6(_), IpAddr::V4(destination)) => Ends::V4(Ipv4Addr::UNSPECIFIED, destination),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ends::V6(source, destination),
        (IpAddr::V4(_), IpAddr::V6(destination)) => Ends::V6(Ipv6Addr::UNSPECIFIED, destination),
    };
    let protocol = match (&packet.body, packet.version()) {
        (Body::Tcp(_), _) => TCP,
        (Body::Udp(_), _) => UDP,
        (Body::Icmp(_), Version::V4) => ICMP,
        (Body::Icmp(_), Version::V6) => ICMP_V6,
    };
    ends.write_header(protocol, packet, out);
    let body = out.len();
    let checksum_at = body
        + match &packet.body {
            Body::Tcp(segment) => tcp(segment, out),
            Body::Udp(datagram) => udp(datagram, out),
            Body::Icmp(icmp) => error(icmp, packet.version(), out),
        };
    ends.write_length(header, body, out);

    let sum = match (&packet.body, ends) {
        (Body::Icmp(_), Ends::V4(..)) => Sum::default(),
        (_, ends) => ends.pseudo_header(protocol, out.len() - body),
    };
    let right = match (&packet.body, sum.add(&out[body..]).checksum()) {
        // 0 says that there is no checksum (RFC 768).
        (Body::Udp(_), 0) => u16::MAX,
        (_, right) => right,
    };
    let written = match (packet.damaged, right ^ 1) {
        (false, _) => right,
        (true, 0) => right ^ 2,
        (true, wrong) => wrong,
    };
    out[checksum_at..checksum_at + 2].copy_from_slice(&written.to_be_bytes());
}

/// The addresses, both of one version.
#[derive(Clone, Copy)]
enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ends {
    /// Without the lengths, and without IPv4's checksum.
    fn write_header(self, protocol: u8, packet: &Packet, out: &mut Vec<u8>) {
        let hops = packet.hops;
        match self {
            Self::V4(source, destination) => {
                let df = if packet.may_be_fragmented() { 0 } else { DF };
                out.extend([0x45, 0, 0, 0, 0, 0, df, 0, hops, protocol, 0, 0]);
                out.extend(source.octets());
                out.extend(destination.octets());
            }
            Self::V6(source, destination) => {
                out.extend([0x60, 0, 0, 0, 0, 0, protocol, hops]);
                out.extend(source.octets());
                out.extend(destination.octets());
            }
        }
    }

    /// Once the body is there.
    fn write_length(self, header: usize, body: usize, out: &mut [u8]) {
        match self {
            Self::V4(..) => {
                let length = fitting(out.len() - header).to_be_bytes();
                out[header + 2..header + 4].copy_from_slice(&length);
                let checksum = Sum::default().add(&out[header..body]).checksum().to_be_bytes();
                out[header + 10..header + 12].copy_from_slice(&checksum);
            }
            Self::V6(..) => {
                let length = fitting(out.len() - body).to_be_bytes();
                out[header + 4..header + 6].copy_from_slice(&length);
            }
        }
    }

    fn pseudo_header(self, protocol: u8, length: usize) -> Sum {
        let (source, destination) = match self {
            Self::V4(source, destination) => (source.into(), destination.into()),
            Self::V6(source, destination) => (source.into(), destination.into()),
        };
        Sum::default().add_pseudo_header(source, destination, protocol, length)
    }
}

// Each writes a body whose checksum is still 0, and gives the place of the checksum in it.

fn tcp(segment: &Segment, out: &mut Vec<u8>) -> usize {
    let words: u8 = if segment.mss.is_some() { 6 } else { 5 };
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(segment.flags.fin, FIN)
        | flag(segment.flags.syn, SYN)
        | flag(segment.flags.rst, RST)
        | flag(segment.ack.is_some(), ACK);
    out.extend(segment.source.to_be_bytes());
    out.extend(segment.destination.to_be_bytes());
    out.extend(segment.seq.0.to_be_bytes());
    out.extend(segment.ack.unwrap_or_default().0.to_be_bytes());
    out.extend([words << 4, flags]);
    out.extend(u16::try_from(segment.window).unwrap_or(u16::MAX).to_be_bytes());
    // The checksum, and no urgent data.
    out.extend([0; 4]);
    if let Some(mss) = segment.mss {
        out.extend([OPTION_MSS, 4]);
        out.extend(mss.to_be_bytes());
    }
    out.extend(&segment.payload);
    16
}

fn udp(datagram: &Datagram, out: &mut Vec<u8>) -> usize {
    out.extend(datagram.source.to_be_bytes());
    out.extend(datagram.destination.to_be_bytes());
    out.extend(fitting(8 + datagram.payload.len()).to_be_bytes());
    out.extend([0; 2]);
    out.extend(&datagram.payload);
    6
}

fn error(icmp: &Icmp, version: Version, out: &mut Vec<u8>) -> usize {
    out.extend([icmp.kind, icmp.code, 0, 0]);
    let mtu = icmp.mtu.filter(|_| tells_mtu(version, icmp.kind, icmp.code)).unwrap_or(0);
    out.extend(match version {
        Version::V4 => u32::from(u16::try_from(mtu).unwrap_or(u16::MAX)).to_be_bytes(),
        Version::V6 => mtu.to_be_bytes(),
    });
    encode(&icmp.quote, out);
    2
}

fn fitting(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
