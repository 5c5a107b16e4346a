//! The ICMP parser: packets built by hand, cut at every length, mutated, and at random.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::signal::Version;
use resound_core::signal::icmp::{
    Malformed, Part, Ports, Protocol, Quote, Received, parse_icmp_v4, parse_icmp_v6, parse_v4,
};

const HERE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const ROUTER4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 7);

const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

const PORTS: Ports = Ports { source: 40_000, destination: 7 };
const SEQUENCE: u32 = 0x89ab_cdef;

type Parse = for<'a> fn(&'a [u8]) -> Result<Received<'a>, Malformed>;

// -- Building -----------------------------------------------------------------------------------------------------

fn word(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

fn ports() -> Vec<u8> {
    [PORTS.source.to_be_bytes(), PORTS.destination.to_be_bytes()].concat()
}

fn udp(payload: &[u8]) -> Vec<u8> {
    [&ports()[..], &word(8 + payload.len()), &[0xab, 0xcd], payload].concat()
}

/// With `options` words of TCP options.
fn tcp(options: u8, payload: &[u8]) -> Vec<u8> {
    let head =
        [&ports()[..], &SEQUENCE.to_be_bytes(), &[9; 4], &[(5 + options) << 4, 0x18], &[1; 6]].concat();
    [&head[..], &vec![1; usize::from(options) * 4], payload].concat()
}

/// With `options` words of IP options; `offset` is the fragment's, in units of eight bytes.
fn v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    options: u8,
    offset: u16,
    body: &[u8],
) -> Vec<u8> {
    let total = word(20 + usize::from(options) * 4 + body.len());
    // More fragments, and the offset.
    let fragment = (0x2000 | offset).to_be_bytes();
    let head = [&[0x45 + options, 0][..], &total, &[0x12, 0x34], &fragment, &[64, protocol, 0, 0]].concat();
    [&head[..], &source.octets(), &destination.octets(), &vec![1; usize::from(options) * 4], body].concat()
}

fn v6(next: u8, body: &[u8]) -> Vec<u8> {
    let head = [&[0x60, 1, 2, 3][..], &word(body.len()), &[next, 64]].concat();
    [&head[..], &HERE6.octets(), &PEER6.octets(), body].concat()
}

/// An extension header that says what is next, of `8 + 8 * more` bytes.
fn extension(next: u8, more: u8, body: &[u8]) -> Vec<u8> {
    [&[next, more][..], &vec![0xee; 6 + usize::from(more) * 8], body].concat()
}

fn fragment(next: u8, offset: u16, body: &[u8]) -> Vec<u8> {
    // More fragments follow.
    [&[next, 0][..], &(offset << 3 | 1).to_be_bytes(), &[5; 4], body].concat()
}

fn icmp(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    [&[kind, code, 0xfe, 0xed][..], &rest, quoted].concat()
}

fn quoted_v4(protocol: u8, body: &[u8]) -> Vec<u8> {
    v4(HERE4, PEER4, protocol, 0, 0, body)
}

fn unreachable_v4(quoted: &[u8]) -> Vec<u8> {
    icmp(3, 3, [0; 4], quoted)
}

fn unreachable_v6(quoted: &[u8]) -> Vec<u8> {
    icmp(1, 4, [0; 4], quoted)
}

fn cut(part: Part) -> Result<Received<'static>, Malformed> {
    Err(Malformed::Truncated(part))
}

// -- One packet at a time -----------------------------------------------------------------------------------------

#[test]
fn a_raw_packet_says_who_sent_it_and_what_failed() {
    let quoted = quoted_v4(UDP, &udp(b"ping"));
    let packet = v4(ROUTER4, HERE4, ICMP, 0, 0, &unreachable_v4(&quoted));
    let Received { error, quote } = parse_v4(&packet).unwrap();

    assert_eq!((error.version, error.kind, error.code, error.mtu), (Version::V4, 3, 3, None));
    assert_eq!(error.offender, Some(IpAddr::V4(ROUTER4)));
    assert_eq!(error.destination, Some(SocketAddr::from((PEER4, 7))));

    assert_eq!(quote.source_addr(), Some(SocketAddr::from((HERE4, 40_000))));
    assert_eq!(quote.destination_addr(), Some(SocketAddr::from((PEER4, 7))));
    assert_eq!((quote.protocol, quote.sequence), (Protocol::Udp, None));
    assert_eq!(quote.payload, b"ping");
}

#[test]
fn without_its_ip_header_the_offender_is_unknown() {
    let message = unreachable_v4(&quoted_v4(UDP, &udp(b"ping")));
    let error = parse_icmp_v4(&message).unwrap().error;
    assert_eq!(error.offender, None);
    assert_eq!(error.destination, Some(SocketAddr::from((PEER4, 7))));
}

#[test]
fn an_icmpv6_message_says_what_failed() {
    let message = unreachable_v6(&v6(UDP, &udp(b"ping")));
    let Received { error, quote } = parse_icmp_v6(&message).unwrap();
    assert_eq!((error.version, error.kind, error.code, error.mtu), (Version::V6, 1, 4, None));
    assert_eq!((error.offender, error.destination), (None, Some(SocketAddr::from((PEER6, 7)))));
    assert_eq!(quote.source_addr(), Some(SocketAddr::from((HERE6, 40_000))));
    assert_eq!((quote.protocol, quote.payload), (Protocol::Udp, &b"ping"[..]));
}

#[test]
fn ip_options_are_skipped_outside_and_inside() {
    let quoted = v4(HERE4, PEER4, UDP, 10, 0, &udp(b"ping"));
    let packet = v4(ROUTER4, HERE4, ICMP, 3, 0, &unreachable_v4(&quoted));
    let quote = parse_v4(&packet).unwrap().quote;
    assert_eq!((quote.ports, quote.payload), (Some(PORTS), &b"ping"[..]));
}

#[test]
fn tcp_has_a_sequence_number_and_a_payload_behind_its_options() {
    for options in [0, 3, 10] {
        let message4 = unreachable_v4(&quoted_v4(TCP, &tcp(options, b"data")));
        let message6 = unreachable_v6(&v6(TCP, &tcp(options, b"data")));
        for quote in [parse_icmp_v4(&message4).unwrap().quote, parse_icmp_v6(&message6).unwrap().quote] {
            assert_eq!((quote.protocol, quote.ports), (Protocol::Tcp, Some(PORTS)));
            assert_eq!((quote.sequence, quote.payload), (Some(SEQUENCE), &b"data"[..]));
        }
    }
}

#[test]
fn a_data_offset_that_cannot_be_hides_no_header_in_the_payload() {
    let mut segment = tcp(0, b"data");
    for (offset, payload) in [(0, &b"data"[..]), (4, b"data"), (5, b"data"), (6, b""), (7, b""), (15, b"")] {
        segment[12] = offset << 4;
        let message = unreachable_v4(&quoted_v4(TCP, &segment));
        assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, payload, "{offset}");
    }
}

#[test]
fn eight_bytes_behind_the_ip_header_are_enough() {
    let mut udp_only = quoted_v4(UDP, &udp(&[7; 1000]));
    udp_only.truncate(28);
    let message = unreachable_v4(&udp_only);
    let quote = parse_icmp_v4(&message).unwrap().quote;
    assert_eq!((quote.ports, quote.payload), (Some(PORTS), &b""[..]));

    let mut tcp_only = quoted_v4(TCP, &tcp(3, &[7; 1000]));
    tcp_only.truncate(28);
    let message = unreachable_v4(&tcp_only);
    let quote = parse_icmp_v4(&message).unwrap().quote;
    assert_eq!((quote.ports, quote.sequence, quote.payload), (Some(PORTS), Some(SEQUENCE), &b""[..]));
}

#[test]
fn the_mtu_is_told_by_two_messages_only() {
    let quoted4 = quoted_v4(UDP, &udp(b"x"));
    let quoted6 = v6(UDP, &udp(b"x"));
    let mtu4 = |kind, code, rest| parse_icmp_v4(&icmp(kind, code, rest, &quoted4)).unwrap().error.mtu;
    let mtu6 = |kind, code, rest| parse_icmp_v6(&icmp(kind, code, rest, &quoted6)).unwrap().error.mtu;

    assert_eq!(mtu4(3, 4, [0, 0, 0x05, 0xa0]), Some(1440));
    assert_eq!(mtu4(3, 4, [0xff, 0xff, 0, 0]), None, "a router older than RFC 1191");
    assert_eq!(mtu4(3, 3, [0, 0, 0x05, 0xa0]), None);
    assert_eq!(mtu4(12, 4, [0, 0, 0x05, 0xa0]), None);
    assert_eq!(mtu6(2, 0, [0, 1, 0, 0]), Some(65_536));
    assert_eq!(mtu6(2, 9, [0, 0, 5, 0]), Some(1280), "the code is to be ignored");
    assert_eq!(mtu6(2, 0, [0; 4]), None);
    assert_eq!(mtu6(4, 0, [0, 0, 5, 0]), None);
}

#[test]
fn ipv6_extension_headers_are_walked_over() {
    let inner = extension(UDP, 0, &udp(b"ping"));
    let inner = fragment(DESTINATION_OPTIONS, 0, &inner);
    let inner = extension(FRAGMENT, 2, &inner);
    let inner = extension(ROUTING, 1, &inner);
    let message = unreachable_v6(&v6(HOP_BY_HOP, &inner));
    let quote = parse_icmp_v6(&message).unwrap().quote;
    assert_eq!((quote.protocol, quote.ports), (Protocol::Udp, Some(PORTS)));
    assert_eq!(quote.payload, b"ping");
}

#[test]
fn the_walk_is_bounded() {
    let chain = |length| {
        let walked = (0..length)
            .fold((UDP, udp(b"ping")), |(next, body), _| (DESTINATION_OPTIONS, extension(next, 0, &body)));
        unreachable_v6(&v6(walked.0, &walked.1))
    };
    assert_eq!(parse_icmp_v6(&chain(Malformed::MAX_EXTENSIONS)).unwrap().quote.payload, b"ping");
    for length in [Malformed::MAX_EXTENSIONS + 1, 100] {
        assert_eq!(parse_icmp_v6(&chain(length)), Err(Malformed::TooManyExtensions));
    }
}

#[test]
fn a_later_fragment_has_no_ports() {
    let message4 = unreachable_v4(&v4(HERE4, PEER4, UDP, 0, 185, b"middle of it"));
    let message6 = unreachable_v6(&v6(FRAGMENT, &fragment(UDP, 181, b"middle of it")));
    for received in [parse_icmp_v4(&message4).unwrap(), parse_icmp_v6(&message6).unwrap()] {
        let Received { error, quote } = received;
        assert_eq!((error.destination, quote.ports), (None, None));
        assert_eq!((quote.source_addr(), quote.destination_addr()), (None, None));
        assert_eq!(
            (quote.protocol, quote.sequence, quote.payload),
            (Protocol::Udp, None, &b"middle of it"[..])
        );
    }
    // Nor has one whose next header is an extension, which would be within the first fragment.
    let message = unreachable_v6(&v6(FRAGMENT, &fragment(DESTINATION_OPTIONS, 1, b"")));
    assert_eq!(parse_icmp_v6(&message).unwrap().quote.protocol, Protocol::Other(DESTINATION_OPTIONS));
}

#[test]
fn a_first_fragment_has_them() {
    let message = unreachable_v4(&v4(HERE4, PEER4, UDP, 0, 0, &udp(b"first")));
    assert_eq!(parse_icmp_v4(&message).unwrap().quote.ports, Some(PORTS));
    let message = unreachable_v6(&v6(FRAGMENT, &fragment(UDP, 0, &udp(b"first"))));
    assert_eq!(parse_icmp_v6(&message).unwrap().quote.ports, Some(PORTS));
}

#[test]
fn another_protocol_is_told_by_its_number() {
    let message = unreachable_v4(&quoted_v4(ICMP, &[8, 0, 1, 2, 3, 4, 5, 6]));
    let quote = parse_icmp_v4(&message).unwrap().quote;
    assert_eq!((quote.protocol, quote.ports), (Protocol::Other(ICMP), None));
    assert_eq!(quote.payload, [8, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!((quote.source, quote.destination), (IpAddr::V4(HERE4), IpAddr::V4(PEER4)));

    // No next header.
    let message = unreachable_v6(&v6(59, b""));
    assert_eq!(parse_icmp_v6(&message).unwrap().quote.protocol, Protocol::Other(59));
}

// -- Where the quote ends -----------------------------------------------------------------------------------------

/// A header (version 2) and one object, as RFC 4884 §7 has them.
const EXTENSIONS: [u8; 12] = [0x20, 0, 0, 0, 0, 8, 1, 1, 0xaa, 0xbb, 0xcc, 0xdd];

#[test]
fn rfc_4884_extensions_are_cut_off() {
    // Longer than what is quoted, so that only the stated length tells where the quote ends.
    let full = udp(&[7; 1000]);
    let quoted = &quoted_v4(UDP, &full)[..128];
    let with = [quoted, &EXTENSIONS].concat();
    for kind in [3, 11, 12] {
        let message = icmp(kind, 0, [0, 32, 0, 0], &with);
        assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, [7; 100], "type {kind}");
    }
    // Type 4 has no such field.
    let message = icmp(4, 0, [0, 32, 0, 0], &with);
    assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload.len(), 112);

    let quoted = &v6(UDP, &full)[..136];
    let with = [quoted, &EXTENSIONS].concat();
    for kind in [1, 3] {
        let message = icmp(kind, 0, [17, 0, 0, 0], &with);
        assert_eq!(parse_icmp_v6(&message).unwrap().quote.payload, [7; 88], "type {kind}");
    }
    let message = icmp(4, 0, [17, 0, 0, 0], &with);
    assert_eq!(parse_icmp_v6(&message).unwrap().quote.payload.len(), 100);
}

#[test]
fn a_stated_length_that_cannot_be_is_ignored() {
    let quoted = &quoted_v4(UDP, &udp(&[7; 1000]))[..140];
    for words in [0, 1, 5, 31, 36, 255] {
        let message = icmp(3, 3, [0, words, 0, 0], quoted);
        assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, [7; 112], "{words} words");
    }
}

#[test]
fn padding_is_no_payload() {
    let pad = |quoted: Vec<u8>| [quoted, vec![0; 100]].concat();
    let message4 = unreachable_v4(&pad(quoted_v4(UDP, &udp(b"ping"))));
    assert_eq!(parse_icmp_v4(&message4).unwrap().quote.payload, b"ping");
    let message4 = unreachable_v4(&pad(quoted_v4(TCP, &tcp(0, b"data"))));
    assert_eq!(parse_icmp_v4(&message4).unwrap().quote.payload, b"data");
    let message6 = unreachable_v6(&pad(v6(TCP, &tcp(0, b"data"))));
    assert_eq!(parse_icmp_v6(&message6).unwrap().quote.payload, b"data");
}

#[test]
fn quoted_lengths_that_cannot_be_are_ignored() {
    // The IP header's: 0 (segmentation offload), without the header, in another byte order.
    for total in [0_u16, 8, 27, 0x2000] {
        let mut quoted = quoted_v4(UDP, &udp(b"ping"));
        quoted[2..4].copy_from_slice(&total.to_be_bytes());
        let message = unreachable_v4(&quoted);
        assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, b"ping", "IPv4 {total}");
    }
    for length in [0_u16, 7, 0x0c00] {
        let mut quoted = v6(UDP, &udp(b"ping"));
        quoted[4..6].copy_from_slice(&length.to_be_bytes());
        let message = unreachable_v6(&quoted);
        assert_eq!(parse_icmp_v6(&message).unwrap().quote.payload, b"ping", "IPv6 {length}");
    }
    // UDP's: a jumbogram, nonsense, and more than was quoted.
    for length in [0_u16, 7, 13, 65_535] {
        let mut datagram = udp(b"ping");
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
        let message = unreachable_v4(&quoted_v4(UDP, &datagram));
        assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, b"ping", "UDP {length}");
    }
    // One that can be.
    let mut datagram = udp(b"ping");
    datagram[5] = 8 + 3;
    let message = unreachable_v4(&quoted_v4(UDP, &datagram));
    assert_eq!(parse_icmp_v4(&message).unwrap().quote.payload, b"pin");
}

// -- What is refused ----------------------------------------------------------------------------------------------

#[test]
fn only_errors_are_taken() {
    let quoted = quoted_v4(UDP, &udp(b"ping"));
    for kind in 0..=255 {
        let message = icmp(kind, 0, [0; 4], &quoted);
        let refused = parse_icmp_v4(&message).err();
        let error = matches!(kind, 3 | 4 | 11 | 12);
        assert_eq!(refused, (!error).then_some(Malformed::NotAnError(kind)));
    }
    let quoted = v6(UDP, &udp(b"ping"));
    for kind in 0..=255 {
        let message = icmp(kind, 0, [0; 4], &quoted);
        let refused = parse_icmp_v6(&message).err();
        assert_eq!(refused, (kind >= 128).then_some(Malformed::NotAnError(kind)));
    }
}

#[test]
fn another_version_is_refused_wherever_it_stands() {
    let inner4 = quoted_v4(UDP, &udp(b"ping"));
    let inner6 = v6(UDP, &udp(b"ping"));
    let outer = |message: &[u8]| v4(ROUTER4, HERE4, ICMP, 0, 0, message);

    assert_eq!(parse_v4(&v6(58, &[0; 8])), Err(Malformed::WrongVersion(Part::Ip, 6)));
    let wrong = Err(Malformed::WrongVersion(Part::QuotedIp, 6));
    assert_eq!(parse_icmp_v4(&unreachable_v4(&inner6)), wrong);
    assert_eq!(parse_v4(&outer(&unreachable_v4(&inner6))), wrong);
    assert_eq!(parse_icmp_v6(&unreachable_v6(&inner4)), Err(Malformed::WrongVersion(Part::QuotedIp, 4)));
}

#[test]
fn an_ip_header_shorter_than_one_can_be_is_refused() {
    for words in 0..5 {
        let mut quoted = quoted_v4(UDP, &udp(b"ping"));
        quoted[0] = 0x40 | words;
        let message = unreachable_v4(&quoted);
        assert_eq!(parse_icmp_v4(&message), Err(Malformed::HeaderTooShort(Part::QuotedIp, words)));
        let mut packet = v4(ROUTER4, HERE4, ICMP, 0, 0, &message);
        packet[0] = 0x40 | words;
        assert_eq!(parse_v4(&packet), Err(Malformed::HeaderTooShort(Part::Ip, words)));
    }
}

#[test]
fn a_packet_that_carries_something_else_is_refused() {
    let packet = v4(ROUTER4, HERE4, UDP, 0, 0, &udp(b"ping"));
    assert_eq!(parse_v4(&packet), Err(Malformed::NotIcmp(UDP)));
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let cases = [
        (Malformed::Truncated(Part::QuotedPorts), "the bytes end within the quoted ports"),
        (Malformed::Truncated(Part::QuotedExtension), "the bytes end within a quoted extension header"),
        (Malformed::WrongVersion(Part::QuotedIp, 6), "the quoted IP header claims IP version 6"),
        (Malformed::HeaderTooShort(Part::Ip, 4), "the IP header claims a length of 4 words"),
        (Malformed::NotIcmp(17), "the packet carries protocol 17, not ICMP"),
        (Malformed::NotAnError(8), "ICMP type 8 reports no failure"),
        (Malformed::TooManyExtensions, "more than 8 quoted extension headers"),
    ];
    for (malformed, sentence) in cases {
        assert_eq!(malformed.to_string(), sentence);
    }
}

// -- Cut at every length ------------------------------------------------------------------------------------------

struct Sample {
    parse: Parse,
    bytes: Vec<u8>,
    /// Up to which length the bytes end within which part.
    ends: Vec<(usize, Part)>,
}

fn samples() -> Vec<Sample> {
    let inner6 = extension(ROUTING, 1, &extension(FRAGMENT, 0, &fragment(UDP, 0, &udp(b"some payload"))));
    let long = v4(HERE4, PEER4, UDP, 0, 0, &udp(&[7; 400]));
    vec![
        Sample {
            parse: parse_v4,
            bytes: v4(ROUTER4, HERE4, ICMP, 2, 0, &unreachable_v4(&quoted_v4(UDP, &udp(b"some payload")))),
            ends: vec![(28, Part::Ip), (36, Part::Icmp), (56, Part::QuotedIp), (60, Part::QuotedPorts)],
        },
        Sample {
            parse: parse_icmp_v4,
            bytes: icmp(3, 4, [0, 0, 5, 0], &v4(HERE4, PEER4, TCP, 4, 0, &tcp(3, b"some payload"))),
            ends: vec![(8, Part::Icmp), (44, Part::QuotedIp), (48, Part::QuotedPorts)],
        },
        Sample {
            parse: parse_icmp_v4,
            bytes: icmp(11, 0, [0, 32, 0, 0], &[&long[..128], &EXTENSIONS].concat()),
            ends: vec![(8, Part::Icmp), (28, Part::QuotedIp), (32, Part::QuotedPorts)],
        },
        Sample {
            parse: parse_icmp_v4,
            bytes: unreachable_v4(&v4(HERE4, PEER4, UDP, 1, 9, b"a later fragment")),
            ends: vec![(8, Part::Icmp), (32, Part::QuotedIp)],
        },
        Sample {
            parse: parse_icmp_v6,
            bytes: unreachable_v6(&v6(HOP_BY_HOP, &inner6)),
            ends: vec![
                (8, Part::Icmp),
                (48, Part::QuotedIp),
                (80, Part::QuotedExtension),
                (84, Part::QuotedPorts),
            ],
        },
        Sample {
            parse: parse_icmp_v6,
            bytes: icmp(2, 0, [0, 0, 5, 0], &v6(TCP, &tcp(5, b"some payload"))),
            ends: vec![(8, Part::Icmp), (48, Part::QuotedIp), (52, Part::QuotedPorts)],
        },
    ]
}

#[test]
fn cut_at_any_length_it_says_where_or_gives_what_is_there() {
    for (number, Sample { parse, bytes, ends }) in samples().into_iter().enumerate() {
        let whole = parse(&bytes).unwrap();
        for length in 0..=bytes.len() {
            let got = parse(&bytes[..length]);
            if let Some(&(_, part)) = ends.iter().find(|(end, _)| length < *end) {
                assert_eq!(got, cut(part), "sample {number}, {length} bytes");
                continue;
            }
            let Received { error, quote } = got.unwrap();
            assert_eq!(error, whole.error, "sample {number}, {length} bytes");
            assert!(quote.sequence.is_none() || quote.sequence == whole.quote.sequence);
            // What was cut off at the end may be RFC 4884's; without it its stated length is nonsense.
            let Quote { sequence, payload, .. } = whole.quote;
            assert_eq!(Quote { sequence, payload, ..quote }, whole.quote, "sample {number}, {length} bytes");
            assert!(payload.starts_with(quote.payload), "sample {number}, {length} bytes");
        }
    }
}

// -- At random ----------------------------------------------------------------------------------------------------

fn parse_everything(bytes: &[u8]) -> Vec<Received<'_>> {
    let parsers: [Parse; 3] = [parse_v4, parse_icmp_v4, parse_icmp_v6];
    parsers.iter().filter_map(|parse| parse(bytes).ok()).collect()
}

/// What a parser gives out is found in what it was given.
fn lies_within(payload: &[u8], bytes: &[u8]) -> bool {
    let (inner, outer) = (payload.as_ptr_range(), bytes.as_ptr_range());
    payload.is_empty() || outer.start <= inner.start && inner.end <= outer.end
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..600)) {
        for received in parse_everything(&bytes) {
            prop_assert!(lies_within(received.quote.payload, &bytes));
        }
    }

    #[test]
    fn no_mutation_panics(
        pick in 0..samples().len(),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
        tail in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = samples().swap_remove(pick).bytes;
        for (place, byte) in mutations {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(length.index(bytes.len() + 1));
        bytes.extend(tail);
        for received in parse_everything(&bytes) {
            let Received { error, quote } = received;
            prop_assert!(lies_within(quote.payload, &bytes));
            prop_assert_eq!(error.destination, quote.destination_addr());
            prop_assert!(quote.sequence.is_none() || quote.protocol == Protocol::Tcp);
            prop_assert!(error.mtu != Some(0));
        }
    }

    #[test]
    fn what_is_built_is_what_is_parsed_v4(
        options in 0..=10_u8, tcp_options in 0..=10_u8, is_tcp in any::<bool>(),
        payload in vec(any::<u8>(), 0..200), padding in 0..40_usize,
    ) {
        let (protocol, body) = if is_tcp { (TCP, tcp(tcp_options, &payload)) } else { (UDP, udp(&payload)) };
        let quoted = [v4(HERE4, PEER4, protocol, options, 0, &body), vec![0; padding]].concat();
        let message = unreachable_v4(&quoted);
        let expected = Quote {
            source: HERE4.into(),
            destination: PEER4.into(),
            protocol: if is_tcp { Protocol::Tcp } else { Protocol::Udp },
            ports: Some(PORTS),
            sequence: is_tcp.then_some(SEQUENCE),
            payload: &payload,
        };
        prop_assert_eq!(parse_icmp_v4(&message).unwrap().quote, expected);
    }

    #[test]
    fn what_is_built_is_what_is_parsed_v6(
        extensions in vec((prop::sample::select(&[HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, FRAGMENT][..]), 0..5_u8), 0..=8),
        payload in vec(any::<u8>(), 0..200), padding in 0..40_usize,
    ) {
        let (next, body) = extensions.iter().fold((UDP, udp(&payload)), |(next, body), &(kind, more)| {
            (kind, if kind == FRAGMENT { fragment(next, 0, &body) } else { extension(next, more, &body) })
        });
        let message = unreachable_v6(&[v6(next, &body), vec![0; padding]].concat());
        let quote = parse_icmp_v6(&message).unwrap().quote;
        prop_assert_eq!((quote.protocol, quote.ports), (Protocol::Udp, Some(PORTS)));
        prop_assert_eq!(quote.payload, &payload[..]);
    }
}
