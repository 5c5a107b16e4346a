//! How long datagrams may be on the way, as routers tell it.

use super::*;

/// A router says that only so much passes.
fn too_big(host: &mut Host, about: &Packet, mtu: u32) -> Fate {
    let (kind, code) = if host.version == Version::V4 { (3, 4) } else { (2, 0) };
    host.receive(about.complain(router(host.version), kind, code, Some(mtu), 8))
}

#[test]
fn what_is_longer_than_a_frame_travels_in_fragments_and_what_fits_does_not() {
    for (version, most) in [(Version::V4, 1_472), (Version::V6, 1_452)] {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        for (length, pieces) in [(most, false), (most + 1, true), (60_000, true)] {
            let sent = host.sent(fd, peer(version, 7), &vec![0; length]);
            assert_eq!(sent.may_be_fragmented(), pieces, "{version:?} {length}");
        }
        let to_itself = SocketAddr::new(own(version, 2), 7);
        assert!(!host.sent(fd, to_itself, &vec![0; 60_000]).may_be_fragmented());
    }
}

/// Measured on 6.18: behind a router whose next link takes 1300 bytes, the first datagram of 1400 is lost, the others
/// arrive.
#[test]
fn after_a_router_has_named_its_mtu_what_is_longer_travels_in_fragments() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        let lost = host.sent(fd, peer(version, 7), &[0; 1_400]);
        assert!(!lost.may_be_fragmented());
        assert_eq!(too_big(&mut host, &lost, 1_300), Fate::Acted("told of a smaller MTU"));
        assert!(host.sent(fd, peer(version, 7), &[0; 1_400]).may_be_fragmented());
        assert!(host.sent(fd, peer(version, 8), &[0; 1_400]).may_be_fragmented(), "it is the host's path");
        assert!(!host.sent(fd, peer(version, 7), &[0; 1_200]).may_be_fragmented());
        let elsewhere = SocketAddr::new(own(version, 98), 7);
        assert!(!host.sent(fd, elsewhere, &[0; 1_400]).may_be_fragmented());
        assert!(matches!(too_big(&mut host, &lost, 1_400), Fate::Absorbed(_)), "no news");
        host.pass(Duration::from_secs(600));
        assert!(!host.sent(fd, peer(version, 7), &[0; 1_400]).may_be_fragmented(), "it is tried again");
    }
}

/// Measured on 6.18: EMSGSIZE once, and then it heals.
#[test]
fn a_connected_socket_hears_of_it_once() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.connected(peer(version, 7), &OPTIONS);
        let lost = host.sent(fd, None, &[0; 1_400]);
        assert_eq!(too_big(&mut host, &lost, 1_300), Fate::Acted("error pending"));
        assert_eq!(host.send(fd, None, &[0; 1_400]), Err(Errno::MsgSize));
        assert!(host.sent(fd, None, &[0; 1_400]).may_be_fragmented());
    }
}

/// `__ip_rt_update_pmtu`, `__ip6_rt_update_pmtu`.
#[test]
fn an_mtu_below_the_floor_is_not_believed() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&OPTIONS);
    let sent = host.sent(fd, peer(Version::V4, 7), &[0; 500]);
    too_big(&mut host, &sent, 68);
    assert!(host.sent(fd, peer(Version::V4, 7), &[0; 10]).may_be_fragmented(), "no DF any more");

    let mut host = Host::new(Version::V6);
    let fd = host.socket(&OPTIONS);
    let sent = host.sent(fd, peer(Version::V6, 7), &[0; 1_400]);
    assert!(matches!(too_big(&mut host, &sent, 1_279), Fate::Absorbed(_)));
    assert!(!host.sent(fd, peer(Version::V6, 7), &[0; 1_400]).may_be_fragmented());
}
