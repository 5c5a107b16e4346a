//! Who is told of an error, when, and how often.

use super::*;
use Errno::{Again, ConnRefused, HostUnreach, NetUnreach};
use resound_sim::kernel::IcmpLimiter;

#[test]
fn without_the_queue_an_unconnected_socket_loses_errors_and_nothing_else() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.socket(&OPTIONS);
        let dead = host.sent(fd, peer(version, 9), b"dead");
        host.refuse(&dead);
        assert!(!host.ready(fd));
        host.sent(fd, peer(version, 7), b"live");
        assert_eq!(host.recv(fd), Err(Again));
    }
}

#[test]
fn with_the_queue_the_error_about_one_steals_the_send_to_another() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.socket(&RECVERR);
        let port = host.port(fd);
        let dead = host.sent(fd, peer(version, 9), b"dead");
        host.refuse(&dead);
        host.datagram(peer(version, 7), port, b"echo 1");
        assert_eq!(host.send(fd, peer(version, 8), b"stolen"), Err(ConnRefused));
        assert!(host.packets().is_empty(), "what fails is not sent");
        assert_eq!(host.recv(fd), Ok(b"echo 1".to_vec()));
        let entry = host.recv_error(fd).unwrap();
        assert_eq!((entry.destination, entry.offender), (peer(version, 9), Some(peer(version, 9).ip())));
        assert_eq!((entry.errno, &entry.quote[..]), (ConnRefused, &b"dead"[..]));
    }
}

#[test]
fn who_empties_the_queue_first_loses_no_send() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&RECVERR);
    let dead = host.sent(fd, peer(Version::V4, 9), b"dead");
    host.refuse(&dead);
    host.refuse(&dead);
    assert!(host.recv_error(fd).is_ok());
    assert!(host.recv_error(fd).is_ok());
    assert_eq!(host.recv_error(fd), Err(Again));
    assert_eq!(host.send(fd, peer(Version::V4, 7), b"live"), Ok(4));
}

#[test]
fn each_entry_that_is_read_arms_the_error_with_the_next() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&RECVERR);
    let sent = host.sent(fd, peer(Version::V4, 9), b"dead");
    for at in [(3, 3), (3, 1), (3, 0)] {
        host.complain(&sent, router(Version::V4), at);
    }
    assert_eq!(host.recv(fd), Err(NetUnreach), "one slot: the last one");
    assert_eq!(host.recv(fd), Err(Again));
    assert!(host.ready(fd));
    assert_eq!(host.recv_error(fd).unwrap().errno, ConnRefused);
    assert!(host.ready(fd), "an edge for each entry that is left");
    assert_eq!(host.recv(fd), Err(HostUnreach));
    assert_eq!(host.recv_error(fd).unwrap().errno, HostUnreach);
    assert!(host.ready(fd));
    assert_eq!(host.recv_error(fd).unwrap().errno, NetUnreach);
    assert!(!host.ready(fd));
    assert_eq!(host.kernel.so_error(fd), None);
}

#[test]
fn an_error_is_told_before_data_and_poll_does_not_call_it_readable() {
    for options in [OPTIONS, RECVERR] {
        let mut host = Host::new(Version::V4);
        let to = peer(Version::V4, 7);
        let fd = host.connected(to, &options);
        let port = host.port(fd);
        let sent = host.sent(fd, None, b"ping");
        host.refuse(&sent);
        assert_eq!(host.poll(fd), "OUT|ERR");
        host.datagram(to, port, b"data");
        assert_eq!(host.poll(fd), "IN|OUT|ERR");
        assert_eq!(host.recv(fd), Err(ConnRefused));
        assert_eq!(host.recv(fd), Ok(b"data".to_vec()));
        assert_eq!(host.poll(fd), if options.recverr { "OUT|ERR" } else { "OUT" });
    }
}

#[test]
fn whoever_asks_first_gets_it_and_nobody_else() {
    let asks: [fn(&mut Host, Fd) -> Option<Errno>; 3] = [
        |host, fd| host.send(fd, None, b"x").err(),
        |host, fd| host.recv(fd).err().filter(|errno| *errno != Again),
        |host, fd| host.kernel.so_error(fd),
    ];
    for first in asks {
        let mut host = Host::new(Version::V4);
        let fd = host.connected(peer(Version::V4, 9), &OPTIONS);
        let sent = host.sent(fd, None, b"ping");
        host.refuse(&sent);
        host.refuse(&sent);
        assert_eq!(first(&mut host, fd), Some(ConnRefused));
        assert_eq!(asks.map(|ask| ask(&mut host, fd)), [None; 3]);
    }
}

#[test]
fn a_pending_error_survives_connecting_elsewhere_and_dissolving() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.connected(peer(version, 9), &OPTIONS);
        let sent = host.sent(fd, None, b"ping");
        host.refuse(&sent);
        assert_eq!(host.kernel.udp_connect(host.now, fd, None), Ok(()));
        assert_eq!(host.connect(fd, peer(version, 7)), Ok(()));
        assert_eq!(host.send(fd, None, b"live"), Err(ConnRefused));
        assert_eq!(host.send(fd, None, b"live"), Ok(4));
    }
}

#[test]
fn turning_the_queue_off_empties_it_and_leaves_the_pending_error() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&RECVERR);
    let sent = host.sent(fd, peer(Version::V4, 9), b"ping");
    host.refuse(&sent);
    host.kernel.udp_recverr(fd, false);
    assert_eq!(host.recv_error(fd), Err(Again));
    assert_eq!(host.recv(fd), Err(ConnRefused));
    host.refuse(&sent);
    assert_eq!(host.recv(fd), Err(Again));
}

#[test]
fn entries_that_nobody_reads_make_a_socket_deaf() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&UdpOptions { receive_buffer: Some(8_192), ..RECVERR });
    let (port, from) = (host.port(fd), peer(Version::V4, 7));
    let sent = host.sent(fd, peer(Version::V4, 9), b"ping");
    for _ in 0..20 {
        host.refuse(&sent);
    }
    assert_eq!(host.kernel.so_error(fd), Some(ConnRefused));
    host.datagram(from, port, b"data");
    assert_eq!((host.recv(fd), host.kernel.drops(fd)), (Err(Again), 1));

    host.refuse(&sent);
    assert_eq!(host.kernel.so_error(fd), Some(ConnRefused), "told, though there was no room to queue it");
    let entries = std::iter::from_fn(|| host.recv_error(fd).ok()).count();
    assert_eq!(entries, 9);
    host.datagram(from, port, b"data");
    assert_eq!(host.recv(fd), Ok(b"data".to_vec()));
}

#[test]
fn the_default_buffer_holds_255_entries() {
    let mut host = Host::new(Version::V4);
    let fd = host.socket(&RECVERR);
    let sent = host.sent(fd, peer(Version::V4, 9), b"ping");
    for _ in 0..3_000 {
        host.refuse(&sent);
    }
    assert_eq!(std::iter::from_fn(|| host.recv_error(fd).ok()).count(), 255);
}

#[test]
fn a_closed_port_says_so_to_each_host_six_times_and_then_once_a_second() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let mut answers = 0;
        for _ in 0..40 {
            let (from, to) = (peer(version, 7), SocketAddr::new(own(version, 1), 9));
            host.receive(datagram(from, to, b"knock"));
            if let Some(answer) = host.packets().pop() {
                answers += 1;
                let Body::Icmp(icmp) = answer.body else { panic!("an ICMP error") };
                assert_eq!((icmp.kind, icmp.code), port_unreachable(version));
                assert_eq!((answer.source, answer.destination), (to.ip(), from.ip()));
                assert_eq!(icmp.quote.ends(), (from, to));
            }
            host.pass(Duration::from_millis(100));
        }
        assert_eq!(answers, 6 + 3);
        let other = SocketAddr::new(own(version, 98), 7);
        assert_eq!(host.datagram(other, 9, b"knock"), Fate::Acted("answered with port unreachable"));
    }
}

#[test]
fn on_the_loopback_nothing_is_limited_and_every_second_send_fails() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let fd = host.connected(SocketAddr::new(loopback(version), 9), &OPTIONS);
        for _ in 0..100 {
            let sent = host.sent(fd, None, b"x");
            host.receive(sent);
            let answer = host.packets().pop().unwrap();
            host.receive(answer);
            assert_eq!(host.send(fd, None, b"x"), Err(ConnRefused));
        }
    }
}

#[test]
fn nobody_complains_about_what_went_to_many_nor_about_an_error() {
    let mut limiter = IcmpLimiter::new(Duration::ZERO);
    let mut complain = |packet: &Packet| {
        limiter.complain(Instant::EPOCH, packet, router(packet.version()), (3, 1), None).is_some()
    };
    let from = peer(Version::V4, 7);
    let to = |address: [u8; 4]| SocketAddr::from((address, 7));
    let plain = datagram(from, to([198, 51, 100, 1]), b"x");
    assert!(complain(&plain));
    assert!(!complain(&datagram(from, to([255, 255, 255, 255]), b"x")));
    assert!(!complain(&datagram(from, to([224, 0, 0, 1]), b"x")));
    assert!(!complain(&datagram(to([0, 0, 0, 0]), to([198, 51, 100, 1]), b"x")));
    assert!(!complain(&plain.complain(router(Version::V4), 3, 1, None, 8)));

    let mut host = Host::new(Version::V4);
    host.receive(datagram(from, to([255, 255, 255, 255]), b"x"));
    assert!(host.packets().is_empty());
}

#[test]
fn path_mtu_errors_are_not_limited() {
    let mut limiter = IcmpLimiter::new(Duration::from_secs(1));
    let packet = datagram(peer(Version::V4, 7), SocketAddr::from(([198, 51, 100, 1], 7)), b"x");
    let mut count = |at| {
        (0..20)
            .filter(|_| {
                limiter.complain(Instant::EPOCH, &packet, router(Version::V4), at, Some(1_280)).is_some()
            })
            .count()
    };
    assert_eq!((count((3, 4)), count((11, 0))), (20, 6));
}
