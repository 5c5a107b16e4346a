//! Packets as bytes: there and back, and as the core's own parser and RFC 1071 see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::signal::Version;
use resound_core::signal::icmp::{Protocol, Received, parse_icmp_v6, parse_v4};
use resound_sim::packet::{Body, Datagram, Flags, Icmp, Packet, Segment, Seq};
use resound_sim::wire::{Part, Undecoded, decode, encode, take};

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, &mut out);
    out
}

// Any packet that fits into an IP packet, and whose window needs no scaling.

fn segment() -> impl Strategy<Value = Body> {
    let numbers = (any::<[u16; 2]>(), any::<u32>(), any::<Option<u32>>(), any::<[bool; 3]>());
    (numbers, 0..=0xffff_u32, any::<Option<u16>>(), vec(any::<u8>(), 0..64)).prop_map(
        |(([source, destination], seq, ack, [syn, fin, rst]), window, mss, payload)| {
            let (seq, ack, flags) = (Seq(seq), ack.map(Seq), Flags { syn, fin, rst });
            Body::Tcp(Segment { source, destination, seq, ack, flags, window, mss, payload })
        },
    )
}

fn datagram() -> impl Strategy<Value = Body> {
    (any::<[u16; 2]>(), vec(any::<u8>(), 0..64))
        .prop_map(|([source, destination], payload)| Body::Udp(Datagram { source, destination, payload }))
}

fn addressed(version: Version, body: impl Strategy<Value = Body>) -> impl Strategy<Value = Packet> {
    let address = move |octets: [u8; 16]| match version {
        Version::V4 => IpAddr::from(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
        Version::V6 => IpAddr::from(Ipv6Addr::from(octets)),
    };
    let bits = any::<[bool; 2]>();
    (any::<[[u8; 16]; 2]>(), any::<u8>(), bits, body).prop_map(move |(ends, hops, [damaged, df], body)| {
        let [source, destination] = ends.map(address);
        // Over IPv6 the header does not tell.
        let fragments = version == Version::V4 && !df;
        Packet { hops, fragments, damaged, ..Packet::new(source, destination, body) }
    })
}

/// An error with an MTU where one is told, and nowhere else.
fn error(version: Version) -> impl Strategy<Value = Body> {
    let (kinds, mtus) = match version {
        Version::V4 => (vec![3, 4, 11, 12], 1..=0xffff_u32),
        Version::V6 => ((0..128).collect(), 1..=u32::MAX),
    };
    let quote = addressed(version, prop_oneof![segment(), datagram()]);
    (prop::sample::select(kinds), any::<u8>(), prop::option::of(mtus), quote).prop_map(
        move |(kind, code, mtu, quote)| {
            let told = matches!((version, kind, code), (Version::V4, 3, 4) | (Version::V6, 2, _));
            Body::Icmp(Icmp { kind, code, mtu: mtu.filter(|_| told), quote: Box::new(quote) })
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let of = |version| addressed(version, prop_oneof![segment(), datagram(), error(version)]);
    prop_oneof![of(Version::V4), of(Version::V6)]
}

/// RFC 1071, by the letter: the sum of all 16-bit words in one's complement.
fn ones_complement(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, word| {
        let (sum, carry) =
            sum.overflowing_add(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
        sum + u16::from(carry)
    })
}

/// The IP body with the header that its checksum covers besides.
fn covered(packet: &Packet, bytes: &[u8]) -> Vec<u8> {
    let (mut covered, protocol, body) = match packet.version() {
        Version::V4 => (bytes[12..20].to_vec(), bytes[9], &bytes[20..]),
        Version::V6 => (bytes[8..40].to_vec(), bytes[6], &bytes[40..]),
    };
    if protocol == 1 {
        return body.to_vec();
    }
    covered.extend((body.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(body);
    covered
}

fn received<'a>(packet: &Packet, bytes: &'a [u8]) -> Received<'a> {
    match packet.version() {
        Version::V4 => parse_v4(bytes),
        Version::V6 => parse_icmp_v6(&bytes[40..]),
    }
    .expect("an ICMP error of ours is one")
}

proptest! {
    #[test]
    fn a_packet_comes_back_as_it_was(packet in packet()) {
        prop_assert_eq!(decode(&bytes(&packet)), Ok(packet));
    }

    #[test]
    fn a_packet_is_as_long_as_it_says(packet in packet()) {
        prop_assert_eq!(bytes(&packet).len(), packet.length());
    }

    #[test]
    fn what_follows_a_packet_is_left_out(packet in packet(), padding in vec(any::<u8>(), 0..32)) {
        let mut padded = bytes(&packet);
        padded.extend(padding);
        prop_assert_eq!(decode(&padded), Ok(packet));
    }

    #[test]
    fn a_packet_that_is_cut_is_none(packet in packet(), at in any::<prop::sample::Index>()) {
        let whole = bytes(&packet);
        prop_assert_eq!(decode(&whole[..at.index(whole.len())]), Err(Undecoded::Truncated(Part::Ip)));
    }

    /// IPv6 has no checksum over its header: hop limit, class and flow label may change unseen there.
    #[test]
    fn a_bit_turned_over_is_noticed(packet in packet(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let packet = Packet { damaged: false, ..packet };
        let mut bytes = bytes(&packet);
        let first = match packet.version() { Version::V4 => 0, Version::V6 => 8 };
        let at = first + at.index(bytes.len() - first);
        bytes[at] ^= 1 << bit;
        if let Ok(decoded) = decode(&bytes) {
            // A UDP checksum over IPv4 that was a power of two says now that there is none.
            let unchecked = matches!(packet.body, Body::Udp(_)) && bytes[9] == 17 && bytes[26..28] == [0, 0];
            prop_assert!(decoded.damaged || packet.version() == Version::V4 && unchecked, "{:?}", decoded);
        }
    }

    #[test]
    fn checksums_are_right_unless_damaged(packet in packet()) {
        let bytes = bytes(&packet);
        if packet.version() == Version::V4 {
            prop_assert_eq!(ones_complement(&bytes[..20]), 0xffff);
        }
        let wrong = ones_complement(&covered(&packet, &bytes)) != 0xffff;
        prop_assert_eq!(wrong, packet.damaged);
    }

    /// The kernel's readers of ICMP in the core find in our bytes what the packet says.
    #[test]
    fn the_core_reads_our_errors(
        packet in prop_oneof![
            addressed(Version::V4, error(Version::V4)),
            addressed(Version::V6, error(Version::V6)),
        ],
    ) {
        let bytes = bytes(&packet);
        let Received { error, quote } = received(&packet, &bytes);
        let Body::Icmp(icmp) = &packet.body else { unreachable!("only errors are generated") };
        prop_assert_eq!((error.version, error.kind, error.code, error.mtu),
            (packet.version(), icmp.kind, icmp.code, icmp.mtu));
        if packet.version() == Version::V4 {
            prop_assert_eq!(error.offender, Some(packet.source));
        }
        let (source, destination) = icmp.quote.ends();
        prop_assert_eq!(quote.source_addr(), Some(source));
        prop_assert_eq!(quote.destination_addr(), Some(destination));
        let (protocol, sequence, payload) = match &icmp.quote.body {
            Body::Tcp(segment) => (Protocol::Tcp, Some(segment.seq.0), &segment.payload),
            Body::Udp(datagram) => (Protocol::Udp, None, &datagram.payload),
            Body::Icmp(_) => unreachable!("errors are not about errors"),
        };
        prop_assert_eq!((quote.protocol, quote.sequence), (protocol, sequence));
        prop_assert_eq!(quote.payload, payload);
    }

    /// A kernel hands packets out with the last checksum unwritten, and Ethernet fills short frames up.
    #[test]
    fn what_is_taken_goes_on_whole(packet in packet(), hops in any::<u8>()) {
        let sent = bytes(&packet);
        let unwritten = bytes(&Packet { damaged: true, ..packet.clone() });
        let taken = take(&[&unwritten[..], &[0; 3]].concat()).expect("a packet");
        prop_assert_eq!(&taken, &Packet { damaged: false, bytes: taken.bytes.clone(), ..packet.clone() });
        let on = bytes(&Packet { hops, ..taken.clone() });
        prop_assert_eq!(on.len(), sent.len());
        prop_assert_eq!(decode(&on).expect("a packet"), Packet { hops, damaged: false, ..packet });
        let broken = bytes(&Packet { damaged: true, ..taken });
        prop_assert!(decode(&broken).expect("a packet").damaged);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..256)) {
        let _ = decode(&bytes);
    }

    /// Random bytes hardly ever get past the IP header: these do.
    #[test]
    fn no_change_to_a_packet_makes_it_panic(
        packet in packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = bytes(&packet);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&bytes);
    }
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn syn() -> Segment {
    Segment {
        source: 40_000,
        destination: 7,
        seq: Seq(0x0102_0304),
        ack: None,
        flags: Flags::SYN,
        window: 70_000,
        mss: Some(1_460),
        payload: Vec::new(),
    }
}

fn udp(payload: &[u8]) -> Packet {
    let datagram = Datagram { source: 40_000, destination: 7, payload: payload.to_vec() };
    Packet::new(CLIENT, SERVER, Body::Udp(datagram))
}

/// Byte for byte, once, with checksums from another implementation: what encodes and decodes wrongly alike does not
/// pass here.
#[test]
fn a_syn_is_written_like_this() {
    let expected = [
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0xb6, 0xc8, 192, 0, 2, 1, 192, 0, 2, 2, // IP, DF
        0x9c, 0x40, 0, 7, 1, 2, 3, 4, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0x73, 0xd5, 0, 0, // TCP
        2, 4, 0x05, 0xb4, // 1 460
    ];
    assert_eq!(bytes(&Packet::new(CLIENT, SERVER, Body::Tcp(syn()))), expected);
}

#[test]
fn a_window_too_great_for_the_header_is_written_as_the_greatest() {
    let Ok(Packet { body: Body::Tcp(decoded), .. }) =
        decode(&bytes(&Packet::new(CLIENT, SERVER, Body::Tcp(syn()))))
    else {
        panic!("a segment comes back as one")
    };
    assert_eq!(decoded, Segment { window: 65_535, ..syn() });
}

/// The checksum comes out as 0 here, and is to be written as 0xffff: 0 would say that there is none (RFC 768).
#[test]
fn a_udp_checksum_of_zero_is_written_as_its_other_form() {
    // The complement of all the rest.
    let checksum = bytes(&udp(&[0, 0]))[26..28].to_vec();
    let packet = udp(&checksum);
    assert_eq!(bytes(&packet)[26..28], [0xff, 0xff]);
    assert_eq!(decode(&bytes(&packet)), Ok(packet));
}

#[test]
fn udp_over_ipv4_may_have_no_checksum() {
    let mut bytes = bytes(&udp(b"hello"));
    bytes[26..28].fill(0);
    assert_eq!(decode(&bytes), Ok(udp(b"hello")));
}

/// As little as RFC 792 asks for: 8 bytes after the quoted header, whose lengths are still those of the original.
#[test]
fn a_quote_of_eight_bytes_is_understood() {
    let data = Segment { payload: b"hello".to_vec(), flags: Flags::NONE, mss: None, ..syn() };
    let about = Packet::new(CLIENT, SERVER, Body::Tcp(data.clone()));
    let mut short = bytes(&about.complain(SERVER, 3, 1, None, 5));
    let kept = 20 + 8 + 20 + 8;
    short.truncate(kept);
    short[2..4].copy_from_slice(&(kept as u16).to_be_bytes());

    let Ok(Packet { body: Body::Icmp(icmp), .. }) = decode(&short) else {
        panic!("an error comes back as one")
    };
    let left = Segment { window: 0, payload: Vec::new(), ..data };
    assert_eq!(*icmp.quote, Packet::new(CLIENT, SERVER, Body::Tcp(left)), "ports and sequence number");
}

#[test]
fn the_segment_size_is_found_among_other_options() {
    let mut bytes = bytes(&Packet::new(CLIENT, SERVER, Body::Tcp(syn())));
    // Twelve bytes of options: window scale, NOP, MSS, and one that would never end.
    bytes.truncate(40);
    bytes.extend([3, 3, 7, 1, 2, 4, 0x05, 0xdc, 9, 0, 0, 0]);
    bytes[2..4].copy_from_slice(&52_u16.to_be_bytes());
    bytes[32] = 8 << 4;
    let Ok(Packet { body: Body::Tcp(decoded), .. }) = decode(&bytes) else {
        panic!("a segment comes back as one")
    };
    assert_eq!((decoded.mss, decoded.payload), (Some(1_500), Vec::new()));
}

#[test]
fn options_travel_with_what_is_taken() {
    let mut syn = bytes(&Packet::new(CLIENT, SERVER, Body::Tcp(syn())));
    // Longer by a window scale, and a NOP.
    syn.extend([3, 3, 7, 1]);
    syn[3] += 4;
    syn[32] += 1 << 4;
    let on = bytes(&take(&syn).expect("a packet"));
    assert_eq!(on[44..], [3, 3, 7, 1]);
    assert!(!decode(&on).expect("a packet").damaged);
}

#[test]
fn what_is_no_packet_of_ours_is_refused_with_the_reason() {
    let good = bytes(&udp(b"hello"));
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        decode(&bytes).expect_err("it was changed")
    };
    assert_eq!(decode(&[]), Err(Undecoded::Truncated(Part::Ip)));
    assert_eq!(changed(0, 0x55), Undecoded::Version(5));
    assert_eq!(changed(0, 0x44), Undecoded::Length(Part::Ip));
    assert_eq!(changed(6, 0x20), Undecoded::Fragment, "more to come");
    assert_eq!(changed(7, 0x01), Undecoded::Fragment, "a later one");
    assert_eq!(changed(9, 47), Undecoded::Protocol(47));
    assert_eq!(changed(25, 7), Undecoded::Length(Part::Udp));

    let about = udp(b"hello").complain(SERVER, 3, 3, None, 5);
    let mut echo = bytes(&about);
    echo[20] = 8;
    assert_eq!(decode(&echo), Err(Undecoded::NotAnError(8)));
    let about_an_error = about.complain(CLIENT, 3, 3, None, 5);
    assert_eq!(decode(&bytes(&about_an_error)), Err(Undecoded::Protocol(1)));
}
