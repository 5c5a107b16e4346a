//! What can be done to a host for real.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use resound_core::signal::Version;
use resound_lab::rig::{Heard, Host, Rig, RigError};
use resound_sim::faults::Interface;
use resound_sim::packet::Packet;
use resound_sim::scenario::{NodeId, RouteKind, Way};

use crate::between::{A, B, C, PATIENCE, WHOLE, length, passing, rig, two};
use crate::{VERSIONS, at, dial, echo, echoes, udp};

const KINDS: [(RouteKind, i32); 4] = [
    (RouteKind::Unreachable, libc::EHOSTUNREACH),
    (RouteKind::Prohibit, libc::EACCES),
    (RouteKind::Blackhole, libc::EINVAL),
    (RouteKind::Missing, libc::ENETUNREACH),
];

/// What connect says at once, over TCP and UDP and both IP versions; 0 for nothing.
fn connects(host: &Host, to: NodeId) -> [i32; 4] {
    let own = host.node();
    host.run(move || {
        let errno =
            |outcome: io::Result<()>| outcome.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        let [v4, v6] = VERSIONS.map(|version| {
            let udp =
                UdpSocket::bind(at(own, version, 0)).and_then(|socket| socket.connect(at(to, version, 9)));
            let tcp = TcpStream::connect_timeout(&at(to, version, 9), PATIENCE).map(drop);
            [errno(udp), errno(tcp)]
        });
        [v4[0], v4[1], v6[0], v6[1]]
    })
}

/// Nobody listens there.
const THERE: [i32; 4] = [0, libc::ECONNREFUSED, 0, libc::ECONNREFUSED];

#[test]
fn a_lost_way_is_told_of_as_its_kind_of_route() -> Result<(), RigError> {
    let Some(mut rig) =
        rig("host a\nhost b\nhost c\nrouter r\nlink a <-> r 1ms\nlink b <-> r 1ms\nlink c <-> a 1ms\n")
    else {
        return Ok(());
    };
    passing(&mut rig, WHOLE, |hosts| {
        let host = &mut hosts[0];
        for (kind, errno) in KINDS {
            for to in [Some(B), None] {
                host.route(to, Some(kind))?;
                assert_eq!(connects(host, B), [errno; 4], "{kind:?} to {to:?}");
                let other = if to.is_none() { [errno; 4] } else { THERE };
                assert_eq!(connects(host, C), other, "{kind:?} to {to:?}");
                host.route(to, None)?;
                assert_eq!(connects(host, B), THERE, "{kind:?} to {to:?}, and back");
                assert_eq!(connects(host, C), THERE, "{kind:?} to {to:?}, and back");
            }
        }
        // One after the other, and what is said of one node first.
        for (kind, errno) in KINDS {
            host.route(Some(C), Some(kind))?;
            for (other, other_errno) in KINDS {
                host.route(None, Some(other))?;
                assert_eq!((connects(host, B), connects(host, C)), ([other_errno; 4], [errno; 4]));
            }
        }
        host.route(Some(C), None)?;
        host.route(None, None)?;
        assert_eq!((connects(host, B), connects(host, C)), (THERE, THERE));
        Ok(())
    })
}

/// What the same calls say when no interface leads there. Whoever has no IPv6 address cannot be bound to it.
const DOWN: [i32; 4] = [libc::ENETUNREACH; 4];
const DOWN_ALL: [i32; 4] = [libc::ENETUNREACH, libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::ENETUNREACH];

/// To a neighbour whose link nobody configured again: over IPv4 the kernel has found it by itself.
const BARE: [i32; 4] = [0, libc::ECONNREFUSED, libc::EADDRNOTAVAIL, libc::ENETUNREACH];

#[test]
fn an_interface_that_is_down_takes_its_routes_along() -> Result<(), RigError> {
    let Some(mut rig) =
        rig("host a\nhost b\nhost c\nrouter r\nlink a <-> r 1ms\nlink b <-> r 1ms\nlink c <-> a 1ms\n")
    else {
        return Ok(());
    };
    let (first, second) = (Way { from: A, to: NodeId(3) }, Way { from: A, to: C });
    passing(&mut rig, WHOLE, |hosts| {
        let host = &mut hosts[0];
        host.interface(first, Interface::Down)?;
        assert_eq!((connects(host, B), connects(host, C)), (DOWN, THERE));
        // What was said of a node belongs to no interface.
        host.route(Some(B), Some(RouteKind::Prohibit))?;
        assert_eq!(connects(host, B), [libc::EACCES; 4]);
        host.route(Some(B), None)?;
        assert_eq!(connects(host, B), DOWN);
        host.interface(second, Interface::Down)?;
        assert_eq!((connects(host, B), connects(host, C)), (DOWN_ALL, DOWN_ALL));
        host.interface(first, Interface::Bare)?;
        assert_eq!((connects(host, B), connects(host, C)), (DOWN_ALL, DOWN_ALL));
        host.interface(first, Interface::Down)?;
        host.interface(first, Interface::Up)?;
        host.interface(second, Interface::Up)?;
        heard_again(host, B);
        heard_again(host, C);
        Ok(())
    })
}

/// The lab's end of a link that is up again loses what it is given for a moment.
fn heard_again(host: &Host, to: NodeId) {
    let begun = Instant::now();
    while connects(host, to) != THERE {
        assert!(begun.elapsed() < PATIENCE, "{to:?}: {:?}", connects(host, to));
    }
}

#[test]
fn no_port_is_given_out_when_they_are_exhausted() -> Result<(), RigError> {
    let Some(mut rig) = two() else { return Ok(()) };
    passing(&mut rig, WHOLE, |hosts| {
        let mut stream = dial(&hosts[0], echo(&hosts[1], VERSIONS[0]));
        for _ in 0..2 {
            hosts[0].exhaust_ports()?;
            for version in VERSIONS {
                let errnos = hosts[0].run(move || {
                    let tcp = TcpStream::connect_timeout(&at(B, version, 9), PATIENCE).map(drop);
                    let listener = TcpListener::bind(at(A, version, 0)).map(drop);
                    let bound = UdpSocket::bind(at(A, version, 0)).map(drop);
                    [tcp, listener, bound, unbound_udp(at(B, version, 9))]
                        .map(|outcome| outcome.err().and_then(|error| error.raw_os_error()))
                });
                let expected = [libc::EADDRNOTAVAIL, libc::EADDRINUSE, libc::EADDRINUSE, libc::EAGAIN];
                assert_eq!(errnos, expected.map(Some), "{version:?}");
            }
            assert!(echoes(&mut stream), "a connection keeps its port");
            hosts[0].restore_ports()?;
            assert_eq!(connects(&hosts[0], B), THERE);
        }
        Ok(())
    })
}

/// A datagram from a socket that has no port yet.
fn unbound_udp(to: std::net::SocketAddr) -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, sendto, socket};
    use std::os::fd::AsRawFd as _;
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    sendto(socket.as_raw_fd(), b"x", &SockaddrStorage::from(to), MsgFlags::empty())?;
    Ok(())
}

#[test]
fn a_neighbour_that_does_not_answer_is_unreachable() {
    let Some(mut rig) = two() else { return };
    let (hosts, wires) = rig.parts();
    let begun = Instant::now();
    for version in VERSIONS {
        let outcome =
            hosts[0].run(move || TcpStream::connect_timeout(&at(B, version, 9), PATIENCE).map(drop));
        assert_eq!(outcome.expect_err("unreachable").raw_os_error(), Some(libc::EHOSTUNREACH), "{version:?}");
    }
    let each = begun.elapsed() / 2;
    assert!(each > Duration::from_secs(2) && each < Duration::from_secs(10), "it took {each:?}");
    let mut asked = 0;
    while let Some(heard) = wires[0].receive().expect("a wire is read") {
        match heard {
            Heard::Asks(_) => asked += 1,
            // Reports of IPv6 multicast groups.
            Heard::Other => {}
            Heard::Packet(packet) => panic!("{packet:?}"),
        }
    }
    assert_eq!(asked, 6, "three times over each version");
}

#[test]
fn a_forgotten_neighbour_is_asked_for_anew() -> Result<(), RigError> {
    let Some(mut rig) = two() else { return Ok(()) };
    let way = Way { from: A, to: B };
    for version in VERSIONS {
        let socket = passing(&mut rig, WHOLE, |hosts| {
            let mut stream = dial(&hosts[0], echo(&hosts[1], version));
            assert!(echoes(&mut stream));
            udp(&hosts[0], version)
        });
        let hears = |rig: &mut Rig| {
            socket.send_to(b"x", at(B, version, 9)).expect("sent");
            let wire = &mut rig.wires()[0];
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                match wire.receive().expect("a wire is read") {
                    Some(heard) if heard != Heard::Other => return Some(heard),
                    _ => thread::sleep(Duration::from_millis(1)),
                }
            }
            None
        };
        // What is left of the connection has come by then.
        thread::sleep(Duration::from_millis(300));
        while rig.wires()[0].receive().expect("a wire is read").is_some() {}
        assert!(matches!(hears(&mut rig), Some(Heard::Packet(_))), "it is known");
        rig.host(A).expect("a host").forget_neighbours(way)?;
        // What nobody passes on is sent again and again.
        while rig.wires()[0].receive().expect("a wire is read").is_some() {}
        assert!(matches!(hears(&mut rig), Some(Heard::Asks(_))), "it is asked for");
    }
    Ok(())
}

#[test]
fn a_rebooted_host_knows_no_connection() -> Result<(), RigError> {
    two().map_or(Ok(()), |mut rig| each_version_meets_a_reboot(&mut rig))
}

/// For each reboot that the scenario has, a host stands ready from the beginning on.
#[test]
fn what_takes_the_place_of_a_rebooted_host_stands_ready() -> Result<(), RigError> {
    let text = "host a\nhost phoenix\nlink a <-> phoenix 1ms\n!1 phoenix forget\n!2 phoenix reboot 1s\n";
    let Some(mut rig) = rig(text) else { return Ok(()) };
    assert_eq!(threads("at phoenix"), 3);
    // The third is made when it is wanted.
    for left in [2, 1, 1] {
        rig.reboot(B)?;
        assert_eq!(threads("at phoenix"), left);
    }
    Ok(())
}

/// What befell its links before is so after it, too.
#[test]
fn a_host_that_stood_ready_is_as_good_as_new() -> Result<(), RigError> {
    let text = "host a\nhost b\nlink a <-> b 1ms\n!1 b forget\n!2 b reboot 1s\n";
    let Some(mut rig) = rig(text) else { return Ok(()) };
    rig.host(B).expect("a host").mtu(Way { from: B, to: A }, 1_300)?;
    each_version_meets_a_reboot(&mut rig)
}

/// The first time by a host that stood ready, the second time by one that was made then.
#[test]
fn a_rebooted_host_has_its_interfaces_as_they_were() -> Result<(), RigError> {
    let text = "host a\nhost b\nhost c\nrouter r\nlink a <-> r 1ms\nlink b <-> r 1ms\nlink c <-> a 1ms\n";
    let Some(mut rig) = rig(&format!("{text}!1 a reboot 1s\n")) else { return Ok(()) };
    let (first, second) = (Way { from: A, to: NodeId(3) }, Way { from: A, to: C });
    let both = |rig: &mut Rig| passing(rig, WHOLE, |hosts| (connects(&hosts[0], B), connects(&hosts[0], C)));
    for _ in 0..2 {
        rig.interface(first, Interface::Down)?;
        rig.reboot(A)?;
        assert!(!rig.hears(first) && rig.hears(second));
        assert_eq!(both(&mut rig), (DOWN, THERE), "one is down");
        rig.interface(first, Interface::Bare)?;
        rig.interface(second, Interface::Bare)?;
        rig.reboot(A)?;
        assert!(rig.hears(first) && rig.hears(second));
        assert_eq!(both(&mut rig), (DOWN_ALL, BARE), "both are bare");
        // Also what is up already.
        for interface in [Interface::Up, Interface::Up] {
            rig.interface(first, interface)?;
            rig.interface(second, interface)?;
            assert_eq!(both(&mut rig), (THERE, THERE), "both are configured");
        }
    }
    Ok(())
}

/// How many threads of this process are called so.
fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

/// What its packets to another host may be long, over IPv4.
fn mtu(host: &Host, to: NodeId) -> i32 {
    let own = host.node();
    host.run(move || {
        let socket = UdpSocket::bind(at(own, Version::V4, 0)).expect("a socket");
        socket.connect(at(to, Version::V4, 9)).expect("a route");
        getsockopt(&socket, sockopt::IpMtu).expect("connected")
    })
}

fn each_version_meets_a_reboot(rig: &mut Rig) -> Result<(), RigError> {
    let before = mtu(rig.host(B).expect("a host"), A);
    for version in VERSIONS {
        let mut old = passing(rig, WHOLE, |hosts| {
            let mut stream = dial(&hosts[0], echo(&hosts[1], version));
            assert!(echoes(&mut stream));
            stream
        });
        rig.host(B).expect("a host").route(Some(A), Some(RouteKind::Prohibit))?;
        rig.reboot(B)?;
        assert_eq!(mtu(rig.host(B).expect("a host"), A), before);
        assert_eq!(
            rig.wires().iter().map(|wire| wire.way()).collect::<Vec<_>>(),
            [Way { from: A, to: B }, Way { from: B, to: A }]
        );
        passing(rig, WHOLE, |hosts| {
            // The write, or an ACK that was still due, meets the RST.
            let outcome = old.write_all(b"still there?").and_then(|()| old.read(&mut [0; 8]));
            let error = outcome.expect_err("reset");
            assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET), "{version:?}");
            assert!(echoes(&mut dial(&hosts[0], echo(&hosts[1], version))), "the new kernel serves");
            assert!(echoes(&mut dial(&hosts[1], echo(&hosts[0], version))), "and dials");
        });
    }
    Ok(())
}

#[test]
fn an_mtu_is_of_one_direction() -> Result<(), RigError> {
    let Some(mut rig) = two() else { return Ok(()) };
    let longest = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let between = |way: Way, packet: Packet| {
        longest[usize::from(way.from.0)].fetch_max(length(&packet), Ordering::Relaxed);
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let mut stream = dial(&hosts[0], echo(&hosts[1], version));
            assert!(echoes(&mut stream));
            for mtu in [1_300, 1_400] {
                hosts[0].mtu(Way { from: A, to: B }, mtu)?;
                // A connection looks for its way when it sends next, and cuts what follows.
                assert!(echoes(&mut stream));
                longest.iter().for_each(|longest| longest.store(0, Ordering::Relaxed));
                let mut back = vec![0; 50_000];
                let mut writer = stream.try_clone().expect("a second handle");
                thread::scope(|scope| {
                    scope.spawn(|| writer.write_all(&vec![1; 50_000]).expect("written"));
                    stream.read_exact(&mut back).expect("read");
                });
                let [from_a, from_b] = longest.each_ref().map(|longest| longest.load(Ordering::Relaxed));
                assert_eq!([from_a, from_b], [usize::from(mtu), 1_500], "{version:?}");
            }
            hosts[0].mtu(Way { from: A, to: B }, 1_500)?;
        }
        Ok(())
    })
}

#[test]
fn an_mtu_too_small_for_ipv6_leaves_ipv4_as_it_was() -> Result<(), RigError> {
    let Some(mut rig) = rig("host a\nhost b\nlink a <-> b 1ms mtu=576\n") else { return Ok(()) };
    let longest = AtomicUsize::new(0);
    let between = |_, packet: Packet| {
        longest.fetch_max(length(&packet), Ordering::Relaxed);
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        let mut stream = dial(&hosts[0], echo(&hosts[1], VERSIONS[0]));
        stream.write_all(&[1; 5_000]).expect("written");
        stream.read_exact(&mut [0; 5_000]).expect("read");
    });
    assert_eq!(longest.into_inner(), 576);
    Ok(())
}
