//! Whatever arrives, a kernel does not panic, and does not lose count.

use super::*;
use proptest::prelude::*;
use resound_sim::kernel::Unverified;
use resound_sim::packet::{Flags, Icmp, Segment, Seq};

fn address() -> impl Strategy<Value = IpAddr> {
    let lasts = prop_oneof![Just(1_u8), Just(2), Just(99), any::<u8>()];
    prop_oneof![
        8 => (0..2_usize, lasts).prop_map(|(at, last)| own(VERSIONS[at], last)),
        1 => any::<[u8; 4]>().prop_map(IpAddr::from),
        1 => any::<[u8; 16]>().prop_map(IpAddr::from),
        1 => Just(IpAddr::from([255, 255, 255, 255])),
        1 => Just(IpAddr::from([224, 0, 0, 1])),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(7_u16), Just(8), any::<u16>()]
}

fn plain() -> impl Strategy<Value = Packet> {
    let bytes = (0..1_600_usize).prop_map(|length| vec![7; length]);
    let body = (port(), port(), bytes, any::<bool>()).prop_map(|(source, destination, payload, tcp)| {
        if tcp {
            let (seq, ack, flags) = (Seq(0), None, Flags::RST);
            Body::Tcp(Segment { source, destination, seq, ack, flags, window: 0, mss: None, payload })
        } else {
            Body::Udp(Datagram { source, destination, payload })
        }
    });
    (address(), address(), body)
        .prop_map(|(source, destination, body)| Packet::new(source, destination, body))
}

/// ICMP about ICMP too, and about packets of the other IP version.
fn packet() -> impl Strategy<Value = Packet> {
    plain().prop_recursive(3, 8, 1, |inner| {
        let kind = prop_oneof![Just(1_u8), Just(2), Just(3), Just(11), any::<u8>()];
        let code = prop_oneof![0..5_u8, any::<u8>()];
        (address(), address(), inner, kind, code, any::<Option<u32>>()).prop_map(
            |(source, destination, quote, kind, code, mtu)| {
                let icmp = Icmp { kind, code, mtu, quote: Box::new(quote) };
                Packet::new(source, destination, Body::Icmp(icmp))
            },
        )
    })
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_a_kernel_panic(
        packets in proptest::collection::vec(packet(), 1..30),
        profile in 0..3_usize,
        recverr: bool,
    ) {
        let profile = [
            Profile::Linux,
            Profile::Unverified(Unverified::MacOs),
            Profile::Unverified(Unverified::Windows),
        ][profile];
        let mut host = Host::of(profile, Version::V4);
        let options = UdpOptions { recverr, receive_buffer: Some(4_096), ..REUSE_PORT };
        let mut fds = Vec::new();
        for version in VERSIONS {
            for port in [7, 7, 8] {
                fds.push(host.bind(SocketAddr::new(unspecified(version), port), &options).unwrap());
            }
            host.connect(fds[fds.len() - 1], peer(version, 7)).unwrap();
        }
        for packet in packets {
            host.receive(packet);
            host.pass(Duration::from_millis(10));
        }
        let answers = host.packets();
        for answer in answers {
            prop_assert!(matches!(answer.body, Body::Icmp(_)));
            host.receive(answer);
        }
        for fd in fds {
            while host.recv_error(fd).is_ok() {}
            while host.recv(fd) != Err(Errno::Again) {}
            prop_assert_eq!(host.poll(fd), "OUT");
            // All that was charged was given back: as much fits as at first.
            let (local, drops) = (host.local(fd), host.kernel.drops(fd));
            let to = SocketAddr::new(own(resound_sim::packet::version(local.ip()), 1), local.port());
            for _ in 0..4 {
                host.receive(datagram(peer(resound_sim::packet::version(to.ip()), 7), to, b"fits"));
            }
            prop_assert_eq!(host.kernel.drops(fd), drops);
        }
    }
}
