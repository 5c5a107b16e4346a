//! What needs a network of its own: a small MTU, routes that refuse, no port left, no IPv6, link-local addresses.
//!
//! Each test runs itself again in a namespace of its own (`unshare`, which needs no privilege where the system allows
//! it), and says so where it cannot.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::process::Command;
use std::{env, fs, thread};

use resound_core::datagram::{Cast, Port as _};
use resound_core::signal::{Errno, Version};
use resound_sockets::errno;
use resound_sockets::udp::{
    Errors, Exchange, Fragmentation, Group, Multicast, Options, bind, bind_any, missing_family,
};

use crate::driver::{Driven, Told};

const INSIDE: &str = "RESOUND_TEST_INSIDE_NAMESPACE";
const LOCAL: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Runs `test`, which is called `name`, with a loopback device and nothing else.
fn in_namespace(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        return test();
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net"]);
        unshare
    };
    let possible = unshare().args(["ip", "link", "set", "lo", "up"]).output();
    if !possible.is_ok_and(|answer| answer.status.success()) {
        eprintln!("SKIPPED {name}: no network namespace, or no ip(8)");
        return;
    }
    let name = format!("namespace::{name}");
    let again =
        [env::current_exe().unwrap().to_str().unwrap(), "--exact", &name, "--nocapture"].map(String::from);
    let answer = unshare().args(again).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout) + String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && said.contains("1 passed"), "{said}");
}

fn ip(arguments: &str) -> String {
    let answer = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(answer.status.success(), "ip {arguments}: {answer:?}");
    String::from_utf8(answer.stdout).unwrap()
}

/// A device other than loopback, with these addresses. It finds its carrier after a while, and then has routes.
fn device(addresses: &[&str]) -> u32 {
    ip("link add here type veth peer name there");
    ip("link set here up");
    ip("link set there up");
    addresses.iter().for_each(|address| drop(ip(&format!("addr add dev here {address}"))));
    let ready = || {
        ip("-6 route show table local dev here").contains("multicast ff00::/8")
            && !ip("-6 addr show dev here").contains("tentative")
    };
    for _ in 0..1_000 {
        if ready() {
            return nix::net::if_::if_nametoindex("here").unwrap();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the device has no carrier");
}

fn sysctl(path: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}

fn hearing() -> Options {
    Options { errors: Errors::Queued, ..Options::default() }
}

fn at(addr: &str, options: &Options) -> Driven {
    Driven::new(bind(addr.parse().unwrap(), options).unwrap())
}

fn echoing(addr: &str, options: &Options) -> Driven {
    Driven::echoing(bind(addr.parse().unwrap(), options).unwrap())
}

fn asker(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// How long the datagrams of each train were, and how many bytes they were together.
fn trains(told: &[Told]) -> Vec<(usize, usize)> {
    let got = told.iter().map(|told| match told {
        Told::Got { size, bytes, .. } => (*size, bytes.len()),
        other => panic!("{other:?}"),
    });
    got.collect()
}

#[test]
fn segments_that_do_not_fit_the_path_go_one_by_one() {
    in_namespace("segments_that_do_not_fit_the_path_go_one_by_one", || {
        ip("link set lo mtu 1500");
        for addr in LOCAL {
            let (mut server, mut client) = (at(addr, &Options::default()), at(addr, &hearing()));
            for round in 1..=2 {
                (0..3).for_each(|_| client.queue(server.addr(), &[1; 1_000]));
                (0..3).for_each(|_| client.queue(server.addr(), &[2; 2_000]));
                client.run();
                server.until(|told| told.len() >= 4);
                let told = server.told();
                assert_eq!(trains(&told), [(1_000, 3_000), (2_000, 2_000), (2_000, 2_000), (2_000, 2_000)]);
                assert_eq!(client.endpoint.counts().cut_by_hand, 1, "round {round}");
                assert_eq!(client.told(), []);
            }
            let mut context = ();
            let mut port = Exchange::new(&mut client.endpoint, &mut context);
            let runs = [2_000, 2_000, 1_000, 1_000].map(|len| {
                let _ = port.batch().push(server.addr(), len).unwrap();
                port.batch().runs().len()
            });
            assert_eq!(runs, [1, 2, 3, 3], "what is refused is not put together any more");
        }
    });
}

#[test]
fn a_route_that_refuses_is_no_reason_to_send_one_by_one() {
    in_namespace("a_route_that_refuses_is_no_reason_to_send_one_by_one", || {
        for (route, errno) in
            [("blackhole", Errno::Inval), ("prohibit", Errno::Acces), ("unreachable", Errno::HostUnreach)]
        {
            ip(&format!("route add {route} 192.0.2.0/24"));
            let (mut server, mut client) = (at(LOCAL[0], &Options::default()), at("0.0.0.0:0", &hearing()));
            let refused = "192.0.2.7:7".parse().unwrap();
            for _ in 0..2 {
                (0..3).for_each(|_| client.queue(refused, b"never"));
                (0..3).for_each(|_| client.queue(server.addr(), b"ever after"));
                client.run();
                server.run();
                assert_eq!(trains(&server.told()), [(10, 30)]);
                let unsent = Told::Unsent { to: refused, len: 5, errno, mtu: None };
                assert_eq!(client.told(), [unsent.clone(), unsent.clone(), unsent]);
            }
            ip(&format!("route del {route} 192.0.2.0/24"));
        }
    });
}

#[test]
fn a_reply_that_cannot_be_sent_is_lost_alone() {
    in_namespace("a_reply_that_cannot_be_sent_is_lost_alone", || {
        for addr in LOCAL {
            ip("link set lo mtu 65536");
            let options = Options { fragmentation: Some(Fragmentation::Never), ..Options::default() };
            let mut server = echoing(addr, &options);
            let (mut long, short) = (at(addr, &Options::default()), asker(addr));
            (0..3).for_each(|_| long.queue(server.addr(), &[1; 2_000]));
            long.run();
            short.send_to(b"short", server.addr()).unwrap();
            server.endpoint.socket_mut().choked = true;
            server.run();
            ip("link set lo mtu 1500");
            server.endpoint.socket_mut().choked = false;
            server.until(|told| told.contains(&Told::Writable));
            assert_eq!(short.recv(&mut [0; 8]).unwrap(), 5);
            assert_eq!(server.endpoint.counts().replies_lost, 3);
            long.run();
            assert_eq!(long.told(), []);
        }
    });
}

#[test]
fn what_does_not_fit_the_path_is_told_with_the_mtu() {
    in_namespace("what_does_not_fit_the_path_is_told_with_the_mtu", || {
        ip("link set lo mtu 1500");
        for addr in LOCAL {
            let options = Options { fragmentation: Some(Fragmentation::Never), ..hearing() };
            let (server, mut client) = (asker(addr), at(addr, &options));
            let to = server.local_addr().unwrap();
            (0..3).for_each(|_| client.queue(to, &[1; 2_000]));
            client.queue(to, b"short");
            client.run();
            assert_eq!(server.recv(&mut [0; 8]).unwrap(), 5);
            let unsent = Told::Unsent { to, len: 2_000, errno: Errno::MsgSize, mtu: Some(1_500) };
            assert_eq!(client.told(), [unsent.clone(), unsent.clone(), unsent]);
        }
    });
}

#[test]
fn without_a_port_left_binding_fails_and_says_so() {
    in_namespace("without_a_port_left_binding_fails_and_says_so", || {
        sysctl("ipv4/ip_local_port_range", "40000 40001");
        let taken = [(); 2].map(|()| bind_any(&Options::default()).unwrap());
        let error = bind_any(&Options::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), errno::to_raw(Errno::AddrInUse));
        drop(taken);
        bind_any(&Options::default()).unwrap();
    });
}

#[test]
fn a_host_without_ipv6_is_a_host_with_ipv4() {
    in_namespace("a_host_without_ipv6_is_a_host_with_ipv4", || {
        sysctl("ipv6/conf/all/disable_ipv6", "1");
        let server = asker(LOCAL[0]);
        let mut client = Driven::new(bind_any(&hearing()).unwrap());
        client.queue(server.local_addr().unwrap(), b"hello");
        client.queue("[::1]:7".parse().unwrap(), b"hello");
        client.run();
        assert_eq!(server.recv(&mut [0; 8]).unwrap(), 5);
        let told = client.told();
        assert!(matches!(told[..], [Told::Unsent { len: 5, .. }]), "{told:?}");
        let local: SocketAddr = LOCAL[1].parse().unwrap();
        let error = bind(local, &Options::default()).unwrap_err();
        let number = errno::from_raw(error.raw_os_error().unwrap());
        assert_eq!(missing_family(local, number), Some(Version::V6), "{error}");
    });
}

#[test]
fn link_local_peers_keep_their_scope() {
    in_namespace("link_local_peers_keep_their_scope", || {
        let scope = device(&["fe80::7/64 nodad", "fe80::8/64 nodad"]);
        let mut server = echoing("[::]:0", &Options::default());
        let mut client = Driven::new(bind_any(&hearing()).unwrap());
        let dead = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let to = |port| format!("[fe80::8%{scope}]:{port}").parse::<SocketAddr>().unwrap();
        client.queue(to(server.addr().port()), b"live");
        client.queue(to(dead), b"dead");
        client.run();
        server.until(|told| !told.is_empty());
        let told = server.told();
        let [Told::Got { from: SocketAddr::V6(from), .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(from.scope_id(), scope);
        client.until(|told| told.len() == 2);
        for told in client.told() {
            match told {
                Told::Got { from, .. } => assert_eq!(from, to(server.addr().port())),
                Told::Icmp { error, .. } => assert_eq!(error.destination, Some(to(dead))),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn an_ipv6_group_is_known_and_answered_from_an_address_of_this_host() {
    in_namespace("an_ipv6_group_is_known_and_answered_from_an_address_of_this_host", || {
        let interface = Some(device(&["fd00::7/64 nodad"]));
        let group: IpAddr = "ff05::7:7".parse().unwrap();
        let groups = vec![Group { address: group, interface }];
        let listening =
            Options { multicast: Multicast { groups, ..Multicast::default() }, ..Options::default() };
        let mut server = echoing("[::]:0", &listening);
        let asking = Options { multicast: Multicast { interface, ..Multicast::default() }, ..hearing() };
        let mut client = at("[fd00::7]:0", &asking);
        client.queue(SocketAddr::new(group, server.addr().port()), b"you");
        client.run();
        server.until(|told| !told.is_empty());
        let told = server.told();
        let [Told::Got { to, cast, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*to, *cast), (Some(group), Cast::Multicast));
        client.until(|told| !told.is_empty());
        let told = client.told();
        let [Told::Got { from, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(from.ip(), client.addr().ip());
    });
}

#[test]
fn each_of_several_addresses_answers_for_itself() {
    in_namespace("each_of_several_addresses_answers_for_itself", || {
        let addresses =
            (1..=3).map(|host| [format!("198.51.100.{host}/24"), format!("fd00::{host}/64 nodad")]);
        let addresses: Vec<_> = addresses.flatten().collect();
        device(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
        let asked = |host: u8| {
            let v4 = IpAddr::from(Ipv4Addr::new(198, 51, 100, host));
            [("0.0.0.0:0", v4), ("[::]:0", v4), ("[::]:0", format!("fd00::{host}").parse().unwrap())]
        };
        for (any, host) in (1..=3).flat_map(asked) {
            let mut server = echoing(any, &Options::default());
            let asker = asker(if host.is_ipv4() { "198.51.100.1:0" } else { "[fd00::1]:0" });
            // Connected: what comes from any other address it never sees.
            asker.connect((host, server.addr().port())).unwrap();
            asker.send(b"who").unwrap();
            server.run();
            assert_eq!(asker.recv(&mut [0; 8]).unwrap(), 3, "{host} at {any}");
        }
    });
}
