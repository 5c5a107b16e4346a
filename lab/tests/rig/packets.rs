//! What hosts send comes out of their wires packet by packet, and what is put in reaches their programs if it is whole.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::socket::{setsockopt, sockopt};
use resound_core::signal::Version;
use resound_sim::packet::{Body, Packet};
use resound_sim::scenario::Way;

use crate::between::{A, B, C, PATIENCE, WHOLE, length, passing, rig, two};
use crate::{VERSIONS, at, dial, echo, echoes, udp};

#[test]
fn streams_pass_in_packets_that_fit() {
    let Some(mut rig) = two() else { return };
    let longest = AtomicUsize::new(0);
    let between = |_, packet: Packet| {
        longest.fetch_max(length(&packet), Ordering::Relaxed);
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let mut stream = dial(&hosts[0], echo(&hosts[1], version));
            let sent: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
            let mut back = vec![0; sent.len()];
            let mut writer = stream.try_clone().expect("a second handle");
            thread::scope(|scope| {
                scope.spawn(|| writer.write_all(&sent).expect("written"));
                stream.read_exact(&mut back).expect("read");
            });
            assert!(back == sent, "{version:?}: the bytes differ");
        }
    });
    assert_eq!(longest.into_inner(), 1_500);
}

#[test]
fn datagrams_pass_both_ways() {
    let Some(mut rig) = two() else { return };
    passing(&mut rig, WHOLE, |hosts| {
        for version in VERSIONS {
            let [a, b] = [udp(&hosts[0], version), udp(&hosts[1], version)];
            let mut bytes = [0; 64];
            a.send_to(b"to b", b.local_addr().expect("its address")).expect("sent");
            let (length, from) = b.recv_from(&mut bytes).expect("received");
            assert_eq!((&bytes[..length], from), (&b"to b"[..], a.local_addr().expect("its address")));
            b.send_to(b"to a", from).expect("sent");
            assert_eq!(a.recv(&mut bytes).expect("received"), 4);
        }
    });
}

#[test]
fn datagrams_handed_over_as_one_come_out_one_by_one() {
    let Some(mut rig) = two() else { return };
    let lengths = Mutex::new(Vec::new());
    let between = |_, packet: Packet| {
        if let Body::Udp(datagram) = &packet.body {
            lengths.lock().expect("not poisoned").push(datagram.payload.len());
        }
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let [a, b] = [udp(&hosts[0], version), udp(&hosts[1], version)];
            setsockopt(&a, sockopt::UdpGsoSegment, &1_000).expect("UDP_SEGMENT");
            a.send_to(&[7; 3_500], b.local_addr().expect("its address")).expect("sent");
            let mut bytes = [0; 4_000];
            let came = [(); 4].map(|()| b.recv(&mut bytes).expect("received"));
            assert_eq!(came, [1_000, 1_000, 1_000, 500]);
        }
    });
    assert_eq!(lengths.into_inner().expect("not poisoned"), [1_000, 1_000, 1_000, 500].repeat(2));
}

#[test]
fn a_damaged_packet_reaches_no_socket() {
    let Some(mut rig) = two() else { return };
    let damages = AtomicBool::new(false);
    // The first packet with bytes in it, once.
    let between = |_, packet: Packet| {
        let has_bytes = match &packet.body {
            Body::Tcp(segment) => !segment.payload.is_empty(),
            Body::Udp(_) => true,
            Body::Icmp(_) => false,
        };
        let damaged =
            has_bytes && damages.swap(!has_bytes && damages.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Packet { damaged, ..packet })
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let [a, b] = [udp(&hosts[0], version), udp(&hosts[1], version)];
            let to = b.local_addr().expect("its address");
            damages.store(true, Ordering::Relaxed);
            a.send_to(b"damaged", to).expect("sent");
            a.send_to(b"whole", to).expect("sent");
            let mut bytes = [0; 64];
            let length = b.recv(&mut bytes).expect("received");
            assert_eq!(&bytes[..length], b"whole", "{version:?}");
            assert!(!damages.load(Ordering::Relaxed), "nothing was damaged");

            let mut stream = dial(&hosts[0], echo(&hosts[1], version));
            damages.store(true, Ordering::Relaxed);
            assert!(echoes(&mut stream), "{version:?}: TCP sends again what was damaged");
            assert!(!damages.load(Ordering::Relaxed), "nothing was damaged");
        }
    });
}

#[test]
fn a_long_datagram_comes_out_whole() {
    let Some(mut rig) = two() else { return };
    let passed = Mutex::new(Vec::new());
    let between = |_, packet: Packet| {
        passed.lock().expect("not poisoned").push((length(&packet), packet.may_be_fragmented()));
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let [a, b] = [udp(&hosts[0], version), udp(&hosts[1], version)];
            let sent: Vec<u8> = (0..5_001_u32).map(|at| (at % 251) as u8).collect();
            a.send_to(&sent, b.local_addr().expect("its address")).expect("sent");
            let mut bytes = [0; 6_000];
            let length = b.recv(&mut bytes).expect("received");
            assert!(bytes[..length] == sent, "{version:?}: the bytes differ");
        }
    });
    assert_eq!(passed.into_inner().expect("not poisoned"), [(5_029, true), (5_049, true)]);
}

#[test]
fn each_packet_leaves_by_the_first_link_of_the_shortest_path() {
    let scenario = "host a\nhost b\nhost c\nrouter r\nlink a <-> r 1ms\nlink r <-> b 1ms\nlink c <-> a 1ms\n";
    let Some(mut rig) = rig(scenario) else { return };
    let ways = Mutex::new(BTreeSet::new());
    let between = |way: Way, packet| {
        ways.lock().expect("not poisoned").insert((way.from.0, way.to.0));
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            for far in [1, 2] {
                let mut stream = dial(&hosts[0], echo(&hosts[far], version));
                assert!(echoes(&mut stream));
                assert_eq!(stream.local_addr().expect("its address").ip(), at(A, version, 0).ip());
            }
            // A host passes nothing on.
            let [b, to] = [at(B, version, 0), at(C, version, 9)];
            let refused =
                hosts[1].run(move || UdpSocket::bind(b).and_then(|socket| socket.send_to(b"x", to)));
            assert_eq!(refused.expect_err("no way").raw_os_error(), Some(nix::libc::ENETUNREACH));
        }
    });
    let ways = ways.into_inner().expect("not poisoned");
    assert_eq!(ways.into_iter().collect::<Vec<_>>(), [(0, 2), (0, 3), (1, 3), (2, 0)]);
}

#[test]
fn what_is_for_many_reaches_them() {
    let Some(mut rig) = two() else { return };
    passing(&mut rig, WHOLE, |hosts| {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let group_v6 = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, 3);
        let all: [(Version, IpAddr); 3] = [
            (Version::V4, Ipv4Addr::BROADCAST.into()),
            (Version::V4, group.into()),
            (Version::V6, group_v6.into()),
        ];
        for (version, to) in all {
            let any: SocketAddr = match version {
                Version::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
                Version::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let b = hosts[1].run(move || {
                let socket = UdpSocket::bind(any).expect("a socket");
                socket.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
                match to {
                    IpAddr::V4(to) if to.is_broadcast() => {}
                    IpAddr::V4(_) => {
                        socket.join_multicast_v4(&group, &Ipv4Addr::new(10, 0, 0, 2)).expect("joined");
                    }
                    IpAddr::V6(_) => socket.join_multicast_v6(&group_v6, 0).expect("joined"),
                }
                socket
            });
            let a = udp(&hosts[0], version);
            a.set_broadcast(true).expect("broadcast");
            let port = b.local_addr().expect("its address").port();
            a.send_to(b"all", (to, port)).expect("sent");
            let mut bytes = [0; 64];
            let (length, from) = b.recv_from(&mut bytes).unwrap_or_else(|error| panic!("{to}: {error}"));
            assert_eq!((&bytes[..length], from.ip()), (&b"all"[..], at(A, version, 0).ip()));
        }
    });
}
