//! Who gets which port, and which datagrams.

use super::*;
use Errno::{AddrInUse, AddrNotAvail, Again};

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

#[test]
fn an_address_must_be_this_hosts_own() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        assert_eq!(host.bind(peer(version, 7), &OPTIONS), Err(AddrNotAvail));
        for address in [own(version, 2), loopback(version), unspecified(version)] {
            let fd = host.bind(at(address, 0), &OPTIONS).unwrap();
            assert!((32_768..=60_999).contains(&host.port(fd)));
        }
    }
}

#[test]
fn a_port_is_taken_where_addresses_overlap() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let first = host.bind(at(own(version, 1), 7), &OPTIONS).unwrap();
        assert_eq!(host.bind(at(own(version, 1), 7), &OPTIONS), Err(AddrInUse));
        assert_eq!(host.bind(at(unspecified(version), 7), &OPTIONS), Err(AddrInUse));
        assert!(host.bind(at(own(version, 2), 7), &OPTIONS).is_ok());
        let other = if version == Version::V4 { Version::V6 } else { Version::V4 };
        assert!(host.bind(at(unspecified(other), 7), &OPTIONS).is_ok());
        host.close(first);
        assert!(host.bind(at(own(version, 1), 7), &OPTIONS).is_ok());
    }
}

#[test]
fn both_must_share_and_in_the_same_way() {
    let mut host = Host::new(Version::V4);
    let here = at(unspecified(Version::V4), 7);
    host.bind(here, &REUSE_ADDRESS).unwrap();
    assert_eq!(host.bind(here, &OPTIONS), Err(AddrInUse));
    assert_eq!(host.bind(here, &REUSE_PORT), Err(AddrInUse));
    assert!(host.bind(here, &REUSE_ADDRESS).is_ok());
}

#[test]
fn with_reuseaddr_the_last_one_bound_gets_everything() {
    let mut host = Host::new(Version::V4);
    let here = at(unspecified(Version::V4), 7);
    let fds = [(); 2].map(|()| host.bind(here, &REUSE_ADDRESS).unwrap());
    for port in 0..10 {
        host.datagram(peer(Version::V4, 1_000 + port), 7, b"x");
    }
    let count = |host: &mut Host, fd| std::iter::from_fn(|| host.recv(fd).ok()).count();
    assert_eq!(fds.map(|fd| count(&mut host, fd)), [0, 10]);
}

#[test]
fn the_more_particular_socket_gets_it() {
    let mut host = Host::new(Version::V4);
    let wildcard = host.bind(at(unspecified(Version::V4), 7), &REUSE_ADDRESS).unwrap();
    let connected = host.bind(at(unspecified(Version::V4), 7), &REUSE_ADDRESS).unwrap();
    host.connect(connected, peer(Version::V4, 1)).unwrap();
    let specific = host.bind(at(own(Version::V4, 1), 7), &REUSE_ADDRESS).unwrap();

    host.datagram(peer(Version::V4, 1), 7, b"for the connected one");
    host.datagram(peer(Version::V4, 2), 7, b"for the specific one");
    host.receive(datagram(peer(Version::V4, 2), at(own(Version::V4, 2), 7), b"for the wildcard"));
    assert_eq!(host.recv(connected).unwrap(), b"for the connected one");
    assert_eq!(host.recv(specific).unwrap(), b"for the specific one");
    assert_eq!(host.recv(wildcard).unwrap(), b"for the wildcard");
}

#[test]
fn a_connected_socket_hears_nobody_else() {
    let mut host = Host::new(Version::V4);
    let fd = host.connected(peer(Version::V4, 7), &OPTIONS);
    let port = host.port(fd);
    assert_eq!(
        host.datagram(peer(Version::V4, 8), port, b"x"),
        Fate::Acted("answered with port unreachable")
    );
    assert_eq!(host.recv(fd), Err(Again));
}

#[test]
fn a_group_shares_flows_and_an_error_goes_where_the_flow_goes() {
    for version in VERSIONS {
        let mut host = Host::new(version);
        let options = UdpOptions { recverr: true, ..REUSE_PORT };
        let fds = [(); 4].map(|()| host.bind(at(own(version, 1), 7), &options).unwrap());
        let mut errors = [0; 4];
        for port in 1..=40 {
            let to = peer(version, port);
            host.datagram(to, 7, b"x");
            let member = fds.iter().position(|fd| host.recv(*fd).is_ok()).unwrap();
            host.datagram(to, 7, b"again");
            assert!(host.recv(fds[member]).is_ok(), "a flow stays where it is");

            let sent = host.sent(fds[0], to, b"from member 0");
            host.refuse(&sent);
            let told = fds.iter().position(|fd| host.recv_error(*fd).is_ok()).unwrap();
            assert_eq!(told, member, "the hash chooses, not the sender");
            errors[told] += 1;
        }
        assert!(errors.iter().all(|count| *count > 0), "{errors:?}");
    }
}

#[test]
fn a_connected_member_of_a_group_gets_its_own_and_leaves_the_rest() {
    let mut host = Host::new(Version::V4);
    let fds = [(); 3].map(|()| host.bind(at(own(Version::V4, 1), 7), &REUSE_PORT).unwrap());
    host.connect(fds[1], peer(Version::V4, 1)).unwrap();
    for port in 1..=20 {
        host.datagram(peer(Version::V4, port), 7, b"x");
    }
    let count = |host: &mut Host, fd| std::iter::from_fn(|| host.recv(fd).ok()).count();
    let [a, own, b] = fds.map(|fd| count(&mut host, fd));
    assert_eq!((a + b, own), (19, 1));
    assert!(a > 0 && b > 0);
}

#[test]
fn when_a_member_leaves_its_flows_go_to_others() {
    let mut host = Host::new(Version::V4);
    let fds = [(); 2].map(|()| host.bind(at(own(Version::V4, 1), 7), &REUSE_PORT).unwrap());
    host.close(fds[0]);
    for port in 1..=10 {
        host.datagram(peer(Version::V4, port), 7, b"x");
    }
    assert_eq!(std::iter::from_fn(|| host.recv(fds[1]).ok()).count(), 10);
}

#[test]
fn without_a_port_left_bind_says_one_thing_and_send_another() {
    for version in VERSIONS {
        let mut host = Host::with_sysctl(version, &[(Sysctl::PortLow, 40_000), (Sysctl::PortHigh, 40_001)]);
        let taken = [(); 2].map(|()| host.socket(&OPTIONS));
        assert_eq!(host.bind(at(unspecified(version), 0), &OPTIONS), Err(AddrInUse));
        let fd = host.kernel.udp_socket(host.now, PID, version, &OPTIONS).unwrap();
        assert_eq!(host.send(fd, peer(version, 7), b"x"), Err(Again));
        assert_eq!(host.connect(fd, peer(version, 7)), Err(Again));
        host.close(taken[1]);
        assert_eq!(host.send(fd, peer(version, 7), b"x"), Ok(1));
        assert_eq!(host.port(fd), 40_001);

        let mut host = Host::new(version);
        host.kernel.exhaust_ports(true);
        assert_eq!(host.bind(at(unspecified(version), 0), &OPTIONS), Err(AddrInUse));
        host.kernel.exhaust_ports(false);
        assert!(host.bind(at(unspecified(version), 0), &OPTIONS).is_ok());
    }
}

#[test]
fn dissolving_gives_back_what_bind_did_not_ask_for() {
    let mut host = Host::new(Version::V4);
    let asked = host.bind(at(own(Version::V4, 2), 7), &OPTIONS).unwrap();
    let given = host.connected(peer(Version::V4, 7), &OPTIONS);
    assert_eq!(host.local(given).ip(), own(Version::V4, 1));
    for fd in [asked, given] {
        host.connect(fd, peer(Version::V4, 7)).unwrap();
        host.kernel.udp_connect(host.now, fd, None).unwrap();
    }
    assert_eq!(host.local(asked), at(own(Version::V4, 2), 7));
    assert_eq!(host.local(given), at(unspecified(Version::V4), 0));
    assert_eq!(host.send(given, peer(Version::V4, 7), b"x"), Ok(1));
    assert_ne!(host.port(given), 0);
}

#[test]
fn a_process_that_ends_leaves_no_port_behind() {
    let mut host = Host::new(Version::V4);
    let here = at(unspecified(Version::V4), 7);
    host.bind(here, &OPTIONS).unwrap();
    host.kernel.exit(host.now, PID);
    assert_eq!(host.datagram(peer(Version::V4, 1), 7, b"x"), Fate::Acted("answered with port unreachable"));
    assert!(host.bind(here, &OPTIONS).is_ok());
}
