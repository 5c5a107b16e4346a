//! Datagrams: many at once, none, too long, too many, to many; and from which address the answer comes.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use resound_core::Rng;
use resound_core::datagram::{Cast, End};
use resound_sockets::udp::{
    Broadcast, Errors, Group, Loopback, Multicast, Offload, Options, Sizes, bind, describe,
};

use crate::driver::{Driven, Told};

const LOCAL: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn at(addr: &str) -> UdpSocket {
    bind(addr.parse().unwrap(), &Options::default()).unwrap()
}

fn hearing() -> Options {
    Options { errors: Errors::Queued, ..Options::default() }
}

/// A plain socket, to ask with.
fn asker(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn trains(told: &[Told]) -> Vec<(usize, Vec<u8>)> {
    let got = told.iter().filter_map(|told| match told {
        Told::Got { size, bytes, .. } => Some((*size, bytes.clone())),
        _ => None,
    });
    got.collect()
}

#[test]
fn datagrams_of_one_size_travel_as_one_and_come_back_as_one() {
    for addr in LOCAL {
        let (mut server, mut client) = (Driven::echoing(at(addr)), Driven::new(at(addr)));
        for i in 0..10 {
            client.queue(server.addr(), &[i; 100]);
        }
        client.queue(server.addr(), &[10; 7]);
        client.run();
        server.run();
        client.run();
        for side in [&mut server, &mut client] {
            let told = side.told();
            let [(size, bytes)] = &trains(&told)[..] else { panic!("{told:?}") };
            assert_eq!((*size, bytes.len()), (100, 1_007));
            assert!(bytes.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at / 100));
        }
    }
}

#[test]
fn whatever_the_sizes_every_datagram_comes_back_as_it_went() {
    let mut rng = Rng::from_seed(7);
    for round in 0..200 {
        let addr = LOCAL[round % 2];
        let (mut server, mut client) = (Driven::echoing(at(addr)), Driven::new(at(addr)));
        let mut sent = Vec::new();
        for _ in 0..1 + rng.up_to(7) {
            let size = [0, 1, 2, 64, 999, 1_472, 9_000][rng.up_to(6) as usize];
            for _ in 0..1 + rng.up_to(69).min(65_000 / (size as u64 + 1)) {
                let datagram: Vec<u8> = (0..size).map(|_| rng.up_to(255) as u8).collect();
                // Within what a receive buffer holds.
                if sent.iter().map(|sent: &Vec<u8>| sent.len() + 1_000).sum::<usize>() < 100_000 {
                    client.queue(server.addr(), &datagram);
                    sent.push(datagram);
                }
            }
        }
        client.run();
        server.run();
        client.run();
        for side in [&mut server, &mut client] {
            let trains = trains(&side.told());
            let came = trains.iter().flat_map(|(size, bytes)| match size {
                0 => vec![vec![]],
                _ => bytes.chunks(*size).map(<[u8]>::to_vec).collect(),
            });
            assert_eq!(came.collect::<Vec<_>>(), sent);
        }
    }
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    for addr in LOCAL {
        let mut server = Driven::echoing(at(addr));
        let asker = asker(addr);
        asker.connect(server.addr()).unwrap();
        asker.send(b"").unwrap();
        server.run();
        assert_eq!(asker.recv(&mut [0; 8]).unwrap(), 0);
        assert_eq!(trains(&server.told()), [(0, vec![])]);
    }
}

#[test]
fn what_is_longer_than_its_room_is_cut_off_and_said_to_be() {
    for addr in LOCAL {
        let mut server = Driven::sized(at(addr), Sizes { room: 100, ..Sizes::default() });
        let options = describe(server.endpoint.socket().as_fd());
        assert!(options.contains(&("UDP_GRO", "off".into())), "a train that is cut off would be many lost");
        let mut client = Driven::new(at(addr));
        for len in [100, 101, 101, 100] {
            client.queue(server.addr(), &vec![1; len]);
        }
        client.run();
        server.run();
        let ends = server.told().into_iter().map(|told| match told {
            Told::Got { end, bytes, .. } => (end, bytes.len()),
            other => panic!("{other:?}"),
        });
        let (whole, cut) = ((End::Whole, 100), (End::Truncated, 100));
        assert_eq!(ends.collect::<Vec<_>>(), [whole, cut, cut, whole]);
    }
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    for (server, asked, from) in [
        ("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0"),
        ("0.0.0.0:0", "127.0.0.3", "127.0.0.3:0"),
        ("[::]:0", "127.0.0.2", "127.0.0.1:0"),
        ("[::]:0", "::1", "[::1]:0"),
    ] {
        let mut server = Driven::echoing(at(server));
        let asked: IpAddr = asked.parse().unwrap();
        let to = SocketAddr::new(asked, server.addr().port());
        let asker = asker(from);
        asker.send_to(b"who is there", to).unwrap();
        server.run();
        assert_eq!(asker.recv_from(&mut [0; 64]).unwrap(), (12, to));
        let told = server.told();
        let [Told::Got { from, to, cast, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*from, *to, *cast), (asker.local_addr().unwrap(), Some(asked), Cast::Unicast));
    }
}

#[test]
fn what_one_peer_asks_of_two_addresses_each_answers_for_itself() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let mut server = Driven::echoing(at(any));
        let asker = asker("127.0.0.1:0");
        let asked = [2, 3, 3, 2].map(|host| SocketAddr::from(([127, 0, 0, host], server.addr().port())));
        asked.iter().for_each(|to| assert_eq!(asker.send_to(b"who", to).unwrap(), 3));
        server.run();
        assert_eq!(asked.map(|_| asker.recv_from(&mut [0; 8]).unwrap().1), asked);
    }
}

#[test]
fn broadcasts_are_known_and_answered_from_an_address_of_this_host() {
    for server in ["0.0.0.0:0", "[::]:0"] {
        let mut server = Driven::echoing(at(server));
        let to = SocketAddr::from(([127, 255, 255, 255], server.addr().port()));
        let asker = asker("127.0.0.1:0");
        asker.set_broadcast(true).unwrap();
        asker.send_to(b"all", to).unwrap();
        server.run();
        let told = server.told();
        let [Told::Got { to: asked, cast, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*asked, *cast), (Some(to.ip()), Cast::Broadcast));
        assert_eq!(asker.recv_from(&mut [0; 8]).unwrap().1.ip(), IpAddr::from([127, 0, 0, 1]));
    }
}

#[test]
fn multicasts_are_known_and_answered_from_an_address_of_this_host() {
    const LOOPBACK: Option<u32> = Some(1);
    for (any, group, from) in
        [("0.0.0.0:0", "239.255.7.7", "127.0.0.1:0"), ("[::]:0", "239.255.7.7", "127.0.0.1:0")]
    {
        let group: IpAddr = group.parse().unwrap();
        let groups = vec![Group { address: group, interface: LOOPBACK }];
        let options =
            Options { multicast: Multicast { groups, ..Multicast::default() }, ..Options::default() };
        let mut server = Driven::echoing(bind(any.parse().unwrap(), &options).unwrap());
        let multicast =
            Multicast { interface: LOOPBACK, loopback: Some(Loopback::Heard), ..Multicast::default() };
        let options = Options { multicast, ..hearing() };
        let mut client = Driven::new(bind(from.parse().unwrap(), &options).unwrap());
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
    }
}

#[test]
fn what_the_kernel_dropped_is_counted_once() {
    for addr in LOCAL {
        let options = Options { receive_buffer: Some(4_096), ..Options::default() };
        let mut server = Driven::new(bind(addr.parse().unwrap(), &options).unwrap());
        let asker = asker(addr);
        let mut came = 0;
        for round in 0..3 {
            for _ in 0..30 {
                asker.send_to(&[0; 500], server.addr()).unwrap();
            }
            server.machine.examine = true;
            server.run();
            let told = server.told();
            let got = trains(&told).len();
            let [.., Told::Overrun { lost }, Told::Examined] = &told[..] else { panic!("{told:?}") };
            assert_eq!(got + *lost as usize, 30, "round {round}");
            came += got;
        }
        assert!(came > 0);
        server.machine.examine = true;
        server.run();
        assert_eq!(server.told(), [Told::Examined]);
    }
}

#[test]
fn what_the_socket_does_not_take_is_kept_and_nothing_is_read_meanwhile() {
    for addr in LOCAL {
        let mut server = Driven::echoing(at(addr));
        let asker = asker(addr);
        asker.connect(server.addr()).unwrap();
        server.endpoint.socket_mut().choked = true;
        asker.send(b"one").unwrap();
        server.run();
        asker.send(b"two").unwrap();
        server.queue(asker.local_addr().unwrap(), b"three");
        server.machine.examine = true;
        server.run();
        let told = server.told();
        assert_eq!(trains(&told), [(3, b"one".to_vec())]);
        assert!(told.contains(&Told::Blocked));
        server.endpoint.socket_mut().choked = false;
        server.until(|told| told.len() >= 2);
        let mut got = [(); 3].map(|()| {
            let mut buf = [0; 8];
            let len = asker.recv(&mut buf).unwrap();
            buf[..len].to_vec()
        });
        assert_eq!(got[0], b"one", "what was kept goes first");
        got.sort();
        assert_eq!(got, [b"one".to_vec(), b"three".to_vec(), b"two".to_vec()]);
    }
}

#[test]
fn options_are_what_the_kernel_took() {
    let options = Options {
        receive_buffer: Some(50_000),
        hops: Some(9),
        broadcast: Broadcast::Allowed,
        offload: Offload::Single,
        ..hearing()
    };
    let socket = bind("[::]:0".parse().unwrap(), &options).unwrap();
    let told = describe(&socket);
    for (name, value) in [
        ("SO_RCVBUF", "100000 bytes"),
        ("SO_BROADCAST", "on"),
        ("IP_TTL", "9"),
        ("IPV6_UNICAST_HOPS", "9"),
        ("IPV6_V6ONLY", "off"),
        ("IP_RECVERR", "on"),
        ("IPV6_RECVERR", "on"),
        ("IP_PKTINFO", "on"),
        ("SO_RXQ_OVFL", "on"),
        ("UDP_GRO", "off"),
    ] {
        assert!(told.contains(&(name, value.into())), "{name}: {told:?}");
    }
    let told = describe(at("127.0.0.1:0"));
    assert!(
        told.contains(&("IP_RECVERR", "off".into())) && told.contains(&("UDP_GRO", "on".into())),
        "{told:?}"
    );
    assert!(!told.iter().any(|(name, _)| name.starts_with("IPV6")), "{told:?}");
}
