//! What this host itself says of a send.

use super::*;
use Errno::{Acces, AfNoSupport, DestAddrReq, HostUnreach, Inval, MsgSize, NetUnreach};
use resound_sim::scenario::RouteKind;

#[test]
fn a_destination_is_needed_and_it_has_a_port() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        assert_eq!(host.send(fd, None, b"x"), Err(DestAddrReq));
        assert_eq!(host.send(fd, peer(version, 0), b"x"), Err(Inval));
        assert_eq!(host.connect(fd, peer(version, 0)), Ok(()), "connect does not mind");
    }
}

#[test]
fn a_datagram_has_a_greatest_length() {
    for (version, most) in [(Version::V4, 65_507), (Version::V6, 65_527)] {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        let bytes = vec![0; most + 1];
        assert_eq!(host.send(fd, peer(version, 7), &bytes), Err(MsgSize));
        assert_eq!(host.send(fd, peer(version, 7), &bytes[1..]), Ok(most));
    }
}

#[test]
fn the_other_ip_version_is_refused() {
    for (version, other, sent, connected) in [
        (Version::V4, Version::V6, AfNoSupport, AfNoSupport),
        (Version::V6, Version::V4, NetUnreach, AfNoSupport),
    ] {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        assert_eq!(host.send(fd, peer(other, 7), b"x"), Err(sent));
        assert_eq!(host.connect(fd, peer(other, 7)), Err(connected));
    }
}

#[test]
fn a_broadcast_needs_permission() {
    let mut host = Host::new(Version::V4);
    let everybody = SocketAddr::from(([255, 255, 255, 255], 7));
    let fd = host.socket(&OPTIONS);
    assert_eq!(host.send(fd, everybody, b"x"), Err(Acces));
    assert_eq!(host.connect(fd, everybody), Err(Acces));
    let fd = host.socket(&UdpOptions { broadcast: true, ..OPTIONS });
    assert_eq!(host.send(fd, everybody, b"x"), Ok(1));
}

#[test]
fn the_source_is_the_routes_the_sockets_or_the_callers() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let to = peer(version, 7);
        let wildcard = host.socket(&OPTIONS);
        assert_eq!(host.sent(wildcard, to, b"x").source, own(version, 1));
        let bound = host.bind(SocketAddr::new(own(version, 2), 0), &OPTIONS).unwrap();
        assert_eq!(host.sent(bound, to, b"x").source, own(version, 2));
        let pin = |host: &mut Host, from| host.kernel.send_to(host.now, wildcard, Some(to), Some(from), b"x");
        assert_eq!(pin(&mut host, own(version, 2)), Ok(1));
        assert_eq!(host.packets()[0].source, own(version, 2));

        let foreign = if version == Version::V4 { NetUnreach } else { Inval };
        assert_eq!(pin(&mut host, own(version, 50)), Err(foreign));
        assert!(host.packets().is_empty());
    }
}

#[test]
fn the_loopback_reaches_nobody_else() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.bind(SocketAddr::new(loopback(version), 0), &OPTIONS).unwrap();
        // Over IPv6 it leaves, and whoever receives it drops it.
        let v4 = version == Version::V4;
        assert_eq!(host.send(fd, peer(version, 7), b"x"), if v4 { Err(Inval) } else { Ok(1) });
        assert_eq!(host.connect(fd, peer(version, 7)), if v4 { Err(Inval) } else { Ok(()) });
        let nowhere = SocketAddr::new(unspecified(version), 7);
        assert_eq!(host.sent(fd, nowhere, b"x").destination, loopback(version));
    }
}

#[test]
fn a_route_that_is_not_there_fails_connect_and_send_but_not_to_oneself() {
    let kinds = [
        (RouteKind::Unreachable, HostUnreach),
        (RouteKind::Prohibit, Acces),
        (RouteKind::Blackhole, Inval),
        (RouteKind::Missing, NetUnreach),
    ];
    for (version, (kind, errno)) in VERSIONS.into_iter().flat_map(|version| kinds.map(|kind| (version, kind)))
    {
        let mut host = Host::new(version);
        let fd = host.connected(peer(version, 7), &OPTIONS);
        host.kernel.route(None, Some(kind));
        assert_eq!(host.send(fd, None, b"x"), Err(errno));
        assert_eq!(host.connect(fd, peer(version, 8)), Err(errno));
        assert_eq!(host.send(fd, SocketAddr::new(own(version, 2), 9), b"x"), Ok(1));
        host.kernel.route(None, None);
        host.packets();
        assert_eq!(
            host.sent(fd, None, b"x").destination,
            peer(version, 7).ip(),
            "still connected to the first"
        );
    }
}

#[test]
fn a_host_without_an_address_of_that_version_has_no_way() {
    let mut kernel = Kernel::new(Profile::Linux, Sysctls::default(), vec![own(Version::V4, 1)]);
    let at = SocketAddr::new(unspecified(Version::V6), 0);
    let fd = kernel.udp_bind(Instant::EPOCH, PID, at, &OPTIONS).unwrap();
    let sent = kernel.send_to(Instant::EPOCH, fd, Some(peer(Version::V6, 7)), None, b"x");
    assert_eq!(sent, Err(NetUnreach));
}

#[test]
fn a_local_failure_leaves_a_pending_error_where_it_is() {
    let mut host = Host::new(Version::V4);
    let fd = host.connected(peer(Version::V4, 9), &OPTIONS);
    let sent = host.sent(fd, None, b"x");
    host.refuse(&sent);
    assert_eq!(host.send(fd, None, &vec![0; 70_000]), Err(MsgSize));
    assert_eq!(host.send(fd, None, b"x"), Err(Errno::ConnRefused));
}

#[test]
fn a_closed_socket_is_none() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&OPTIONS);
    host.close(fd);
    assert_eq!(host.send(fd, peer(Version::V4, 7), b"x"), Err(Errno::BadF));
    assert_eq!(host.recv(fd), Err(Errno::BadF));
    assert_eq!(host.recv_error(fd), Err(Errno::BadF));
}
