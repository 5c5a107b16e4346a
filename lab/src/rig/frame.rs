//! Ethernet: which bytes go around a packet, and how a host asks for its neighbour's address.
//!
//! RFC 894 and RFC 2464 (frames), RFC 826 (ARP), RFC 4861 (neighbour discovery), RFC 1112 §6.4 and RFC 2464 §7 (multicast).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

pub(super) const HEADER: usize = 14;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

const ICMP_V6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// RFC 4861 §7.1: nothing with fewer hops has anything to say about neighbours.
const MOST_HOPS: u8 = 255;

/// A host asks for the Ethernet address of one of its neighbours: an ARP request or a neighbour solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whose address it asks for.
    pub target: IpAddr,
    /// From which of its own addresses.
    pub asker: IpAddr,
    pub(super) asker_mac: Mac,
}

/// What a frame is.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    Ip(&'a [u8]),
    Asks(Question),
    /// Something else: what.
    Other(&'static str),
}

pub(super) fn parse(frame: &[u8]) -> Frame<'_> {
    let Some((header, rest)) = frame.split_first_chunk::<HEADER>() else {
        return Frame::Other("a frame shorter than its header");
    };
    let [.., s0, s1, s2, s3, s4, s5, e0, e1] = *header;
    let source = [s0, s1, s2, s3, s4, s5];
    match u16::from_be_bytes([e0, e1]) {
        ARP => arp(rest).map_or(Frame::Other("ARP, but no question for a neighbour"), Frame::Asks),
        IPV4 => Frame::Ip(rest),
        IPV6 => match solicitation(rest, source) {
            Solicits::Nothing => Frame::Ip(rest),
            Solicits::Itself => Frame::Other("a neighbour solicitation from no address"),
            Solicits::Neighbour(question) => Frame::Asks(question),
        },
        _ => Frame::Other("neither IP nor ARP"),
    }
}

/// RFC 826: hardware 1 (Ethernet), protocol IPv4, lengths 6 and 4, operation 1 (request).
fn arp(bytes: &[u8]) -> Option<Question> {
    let (fixed, rest) = bytes.split_first_chunk::<8>()?;
    let (asker_mac, rest) = rest.split_first_chunk::<6>()?;
    let (asker, rest) = rest.split_first_chunk::<4>()?;
    let (target, _) = rest.get(6..)?.split_first_chunk::<4>()?;
    let asks = *fixed == [0, 1, 8, 0, 6, 4, 0, 1] && asker != target;
    asks.then_some(Question {
        target: Ipv4Addr::from(*target).into(),
        asker: Ipv4Addr::from(*asker).into(),
        asker_mac: *asker_mac,
    })
}

enum Solicits {
    Nothing,
    /// It only wants to know whether somebody else has its address (RFC 4862 §5.4).
    Itself,
    Neighbour(Question),
}

/// RFC 4861 §4.3. The question is answered to where its frame came from, whatever its options say.
fn solicitation(packet: &[u8], asker_mac: Mac) -> Solicits {
    let (Some(ip), Some(icmp)) = (packet.get(..40), packet.get(40..64)) else { return Solicits::Nothing };
    if ip[6] != ICMP_V6 || ip[7] != MOST_HOPS || icmp[0] != SOLICITATION {
        return Solicits::Nothing;
    }
    let asker = v6(&ip[8..24]);
    if asker.is_unspecified() {
        return Solicits::Itself;
    }
    Solicits::Neighbour(Question { target: v6(&icmp[8..24]).into(), asker: asker.into(), asker_mac })
}

fn v6(bytes: &[u8]) -> Ipv6Addr {
    <[u8; 16]>::try_from(bytes).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
}

/// Writes the frame that answers: the neighbour that was asked for has this address.
pub(super) fn answer(question: &Question, neighbour: Mac, out: &mut Vec<u8>) {
    out.clear();
    out.extend(question.asker_mac);
    out.extend(neighbour);
    match (question.target, question.asker) {
        (IpAddr::V6(target), IpAddr::V6(asker)) => advertisement(target, asker, neighbour, out),
        (IpAddr::V4(target), IpAddr::V4(asker)) => {
            out.extend(ARP.to_be_bytes());
            // As in the question, but operation 2: reply.
            out.extend([0, 1, 8, 0, 6, 4, 0, 2]);
            out.extend(neighbour);
            out.extend(target.octets());
            out.extend(question.asker_mac);
            out.extend(asker.octets());
        }
        // Nobody asks so: each question has addresses of one version.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
}

/// RFC 4861 §4.4: solicited, overriding, with the option of the target's link-layer address.
fn advertisement(target: Ipv6Addr, asker: Ipv6Addr, neighbour: Mac, out: &mut Vec<u8>) {
    const LENGTH: u8 = 32;
    out.extend(IPV6.to_be_bytes());
    out.extend([0x60, 0, 0, 0, 0, LENGTH, ICMP_V6, MOST_HOPS]);
    out.extend(target.octets());
    out.extend(asker.octets());
    let body = out.len();
    out.extend([ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0]);
    out.extend(target.octets());
    out.extend([2, 1]);
    out.extend(neighbour);
    // RFC 8200 §8.1; all parts are of even length.
    let sum = [&target.octets()[..], &asker.octets(), &[0, LENGTH, 0, ICMP_V6], &out[body..]]
        .iter()
        .flat_map(|part| part.chunks_exact(2))
        .fold(0_u32, |sum, word| sum + u32::from(u16::from_be_bytes([word[0], word[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    out[body + 2..body + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// Writes the header of a frame that a neighbour sends to a host with a packet to this destination.
pub(super) fn header(destination: IpAddr, host: Mac, neighbour: Mac, out: &mut Vec<u8>) {
    out.extend(match destination {
        IpAddr::V4(to) if to.is_broadcast() => [0xff; 6],
        IpAddr::V4(to) if to.is_multicast() => {
            let [_, b, c, d] = to.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(to) if to.is_multicast() => {
            let [.., a, b, c, d] = to.octets();
            [0x33, 0x33, a, b, c, d]
        }
        IpAddr::V4(_) | IpAddr::V6(_) => host,
    });
    out.extend(neighbour);
    out.extend(match destination {
        IpAddr::V4(_) => IPV4.to_be_bytes(),
        IpAddr::V6(_) => IPV6.to_be_bytes(),
    });
}
