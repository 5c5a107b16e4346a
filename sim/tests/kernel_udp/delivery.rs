//! What recv gives, and what has no room.

use super::*;
use resound_core::datagram::Cast;

#[test]
fn a_datagram_tells_who_sent_it_and_to_which_address() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        let to = SocketAddr::new(own(version, 2), host.port(fd));
        assert_eq!(host.receive(datagram(peer(version, 7), to, b"hello")), Fate::Acted("queued"));
        assert!(host.ready(fd));
        assert_eq!(host.poll(fd), "IN|OUT");
        let mut into = [0; 4];
        let arrived = host.kernel.recv_from(host.now, fd, &mut into).unwrap();
        assert_eq!((&into, arrived.length, arrived.truncated), (b"hell", 4, true));
        assert_eq!((arrived.from, arrived.to, arrived.cast), (peer(version, 7), to.ip(), Cast::Unicast));
        assert_eq!(host.recv(fd), Err(Errno::Again), "what was cut off is gone");
        assert_eq!(host.poll(fd), "OUT");
    }
}

#[test]
fn a_datagram_without_bytes_is_one() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&OPTIONS);
    let port = host.port(fd);
    host.datagram(peer(Version::V4, 7), port, b"");
    assert_eq!(host.poll(fd), "IN|OUT");
    assert_eq!(host.recv(fd), Ok(Vec::new()));
    assert_eq!(host.recv(fd), Err(Errno::Again));
    assert_eq!(host.sent(fd, peer(Version::V4, 7), b"").length(), 28);
}

#[test]
fn drops_are_told_with_the_datagram_queued_after_them() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&UdpOptions { receive_buffer: Some(3 * 832), ..OPTIONS });
    assert_eq!(host.kernel.receive_room(fd), 2_496);
    let (from, port) = (peer(Version::V4, 7), host.port(fd));
    for _ in 0..30 {
        host.datagram(from, port, b"burst");
    }
    assert_eq!(host.kernel.drops(fd), 27, "SO_MEMINFO tells at any time");
    let dropped = |host: &mut Host| host.kernel.recv_from(host.now, fd, &mut [0; 9]).map(|it| it.dropped);
    let told = [(); 4].map(|()| dropped(&mut host));
    assert_eq!(told, [Ok(0), Ok(0), Ok(0), Err(Errno::Again)]);
    host.datagram(from, port, b"after");
    assert_eq!(dropped(&mut host), Ok(27));
}

#[test]
fn an_empty_socket_takes_one_datagram_however_long() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&UdpOptions { receive_buffer: Some(0), ..OPTIONS });
    assert_eq!(host.kernel.receive_room(fd), 2_304, "the least there is");
    let (from, port) = (peer(Version::V4, 7), host.port(fd));
    let long = vec![7; 65_507];
    assert_eq!(host.datagram(from, port, &long), Fate::Acted("queued"));
    assert_eq!(host.datagram(from, port, b"x"), Fate::Acted("dropped: the receive buffer is full"));
    assert!(host.recv(fd).is_ok());
    assert_eq!(host.datagram(from, port, b"x"), Fate::Acted("queued"));
}

/// 212992 bytes: 256 small ones of 832 bytes, 92 full frames of 2304.
#[test]
fn the_default_buffer_holds_what_it_holds_on_linux() {
    for (length, held) in [(4, 256), (200, 256), (1_472, 92)] {
        let mut host = Host::new(Version::V4);
        let fd = host.socket(&OPTIONS);
        let (from, port) = (peer(Version::V4, 7), host.port(fd));
        for _ in 0..300 {
            host.datagram(from, port, &vec![0; length]);
        }
        assert_eq!(300 - host.kernel.drops(fd), held, "{length} bytes");
    }
}

#[test]
fn what_goes_to_many_reaches_everybody_on_that_port() {
    let mut host = Host::new(Version::V4);
    let at = SocketAddr::new(unspecified(Version::V4), 7);
    let fds = [(); 2].map(|()| host.bind(at, &REUSE_ADDRESS).unwrap());
    host.kernel.udp_join(fds[0], IpAddr::from([224, 0, 0, 9])).unwrap();
    for (address, cast) in [([255, 255, 255, 255], Cast::Broadcast), ([224, 0, 0, 9], Cast::Multicast)] {
        host.receive(datagram(peer(Version::V4, 1), SocketAddr::from((address, 7)), b"all"));
        for fd in fds {
            let arrived = host.kernel.recv_from(host.now, fd, &mut [0; 9]).unwrap();
            assert_eq!((arrived.cast, arrived.to), (cast, IpAddr::from(address)));
        }
    }
}

/// Membership is the host's: a socket hears a group that another has joined, and nobody hears it when that one leaves.
#[test]
fn a_group_is_heard_as_long_as_a_socket_is_in_it() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let group = match version {
            Version::V4 => IpAddr::from([239, 0, 0, 1]),
            Version::V6 => IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0, 1]),
        };
        let at = SocketAddr::new(unspecified(version), 7);
        let [member, other] = [(); 2].map(|()| host.bind(at, &REUSE_ADDRESS).unwrap());
        let particular = host.bind(SocketAddr::new(own(version, 1), 7), &REUSE_ADDRESS).unwrap();
        let heard = |host: &mut Host| {
            host.receive(datagram(peer(version, 1), SocketAddr::new(group, 7), b"all"));
            let now = host.now;
            [member, other, particular].map(|fd| host.kernel.recv_from(now, fd, &mut [0; 9]).is_ok())
        };
        assert_eq!(heard(&mut host), [false; 3]);
        assert_eq!(host.kernel.udp_join(member, own(version, 1)), Err(Errno::Inval));
        assert_eq!(host.kernel.udp_join(member, group), Ok(()));
        assert_eq!(host.kernel.udp_join(member, group), Err(Errno::AddrInUse));
        assert_eq!(heard(&mut host), [true, true, false]);
        assert_eq!(host.kernel.udp_leave(member, group), Ok(()));
        assert_eq!(host.kernel.udp_leave(member, group), Err(Errno::AddrNotAvail));
        assert_eq!(heard(&mut host), [false; 3]);
        host.kernel.udp_join(other, group).unwrap();
        host.kernel.close(host.now, other, Close::Drop);
        assert_eq!(heard(&mut host), [false; 3]);
    }
}

#[test]
fn a_damaged_datagram_is_dropped_without_a_word() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&OPTIONS);
    let to = SocketAddr::new(own(Version::V4, 1), host.port(fd));
    let packet = Packet { damaged: true, ..datagram(peer(Version::V4, 7), to, b"x") };
    assert!(matches!(host.receive(packet), Fate::Absorbed(_)));
    assert!(!host.ready(fd));
}

#[test]
fn an_error_about_what_nobody_here_has_sent_is_ignored() {
    let mut host = Host::new(Version::V4);
    let fd = host.connected(peer(Version::V4, 7), &RECVERR);
    let sent = host.sent(fd, None, b"x");
    let mut other = sent.clone();
    let Body::Udp(datagram) = &mut other.body else { panic!("a datagram") };
    datagram.destination = 8;
    for about in [other, sent.complain(router(Version::V4), 3, 3, None, 8)] {
        assert!(matches!(host.complain(&about, router(Version::V4), (3, 3)), Fate::Absorbed(_)));
    }
    assert_eq!((host.poll(fd).as_str(), host.ready(fd)), ("OUT", false));
}

#[test]
fn what_is_ignored_says_why() {
    let mut host = Host::new(Version::V4);
    let fd = host.connected(peer(Version::V4, 7), &RECVERR);
    let sent = host.sent(fd, None, b"x");
    for (at, why) in
        [((4, 0), "quench"), ((5, 1), "redirect"), ((11, 1), "reassembly"), ((3, 16), "no errno")]
    {
        let Fate::Absorbed(said) = host.complain(&sent, router(Version::V4), at) else {
            panic!("{at:?} acted")
        };
        assert!(said.contains(why), "{said}");
    }
}
