//! Errors: whose they are, and that they harm nobody else.

use core::net::SocketAddr;
use std::collections::HashSet;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use resound_core::datagram::{Port, Sending};
use resound_core::signal::{Errno, Version};
use resound_sockets::poll::{PollFd, PollFlags, wait};
use resound_sockets::udp::{
    Errors, Exchange, Fragmentation, Options, Share, Sizes, bind, icmp_errors, missing_family,
};

use crate::driver::{Driven, Told};

const LOCAL: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn hearing() -> Options {
    Options { errors: Errors::Queued, ..Options::default() }
}

fn client_at(addr: &str, options: &Options) -> Driven {
    Driven::new(bind(addr.parse().unwrap(), options).unwrap())
}

fn client(addr: &str) -> Driven {
    client_at(addr, &hearing())
}

fn live(addr: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// An address at which nobody listens, and nobody will: the port is taken by a socket that hears one peer only.
fn dead(addr: &str) -> (UdpSocket, SocketAddr) {
    let (socket, addr) = live(addr);
    socket.connect((addr.ip(), 9)).unwrap();
    (socket, addr)
}

/// Many of them.
fn graveyard(addr: &str, size: usize) -> (Vec<UdpSocket>, Vec<SocketAddr>) {
    (0..size).map(|_| dead(addr)).unzip()
}

fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buf = [0; 65_536];
    core::iter::from_fn(|| socket.recv(&mut buf).ok().map(|len| buf[..len].to_vec())).collect()
}

fn destinations(told: &[Told]) -> Vec<SocketAddr> {
    let icmp = told.iter().map(|told| match told {
        Told::Icmp { error, .. } => error.destination.unwrap(),
        other => panic!("{other:?}"),
    });
    icmp.collect()
}

/// Sends from the client's socket, past all precautions, and lets the errors wait.
fn send_raw(client: &Driven, to: SocketAddr, datagrams: usize) {
    let socket = client.endpoint.socket().as_fd().try_clone_to_owned().unwrap();
    let socket = UdpSocket::from(socket);
    let mut sent = 0;
    while sent < datagrams {
        sent += usize::from(socket.send_to(b"raw", to).is_ok());
    }
}

#[test]
fn a_dead_peers_error_takes_no_datagram_from_the_living() {
    for addr in LOCAL {
        let ((one, one_addr), (three, three_addr)) = (live(addr), live(addr));
        let (_reserved, dead) = dead(addr);
        let mut client = client(addr);
        client.queue(one_addr, b"one");
        client.queue(dead, b"two");
        client.queue(three_addr, b"three");
        client.run();
        assert_eq!((received(&one), received(&three)), (vec![b"one".to_vec()], vec![b"three".to_vec()]));
        let told = client.told();
        let [Told::Icmp { error, quote }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((error.destination, error.offender), (Some(dead), Some(dead.ip())));
        let port_unreachable = if dead.is_ipv4() { (Version::V4, 3, 3) } else { (Version::V6, 1, 4) };
        assert_eq!((error.version, error.kind, error.code), port_unreachable);
        assert_eq!(quote, b"two");
    }
}

#[test]
fn an_error_that_arrives_between_two_sends_only_repeats_one() {
    for addr in LOCAL {
        let (peer, peer_addr) = live(addr);
        let (_reserved, dead) = dead(addr);
        let mut client = client(addr);
        let mut context = ();
        let mut port = Exchange::new(&mut client.endpoint, &mut context);
        let mut icmp = 0;
        for to in [dead, peer_addr] {
            port.batch().push(to, 1).unwrap()[0] = 7;
            // Without emptying the error queue before, as if the error had come just after that.
            let sending = port.send(|fact| {
                assert!(matches!(fact, resound_core::datagram::Fact::Icmp { .. }), "{fact:?}");
                icmp += 1;
            });
            assert_eq!(sending, Sending::Done);
        }
        assert_eq!((received(&peer), icmp), (vec![vec![7]], 1));
        assert_eq!(client.endpoint.counts().sends_repeated, 1);
    }
}

#[test]
fn a_short_count_goes_on_where_it_stopped() {
    for addr in LOCAL {
        let (peer, peer_addr) = live(addr);
        let mut client = client(addr);
        let (_reserved, dead) = graveyard(addr, 40);
        for (i, dead) in dead.iter().enumerate() {
            client.queue(*dead, &[100]);
            client.queue(peer_addr, &[i as u8]);
        }
        client.run();
        let got: Vec<u8> = received(&peer).concat();
        assert_eq!(got, (0..dead.len() as u8).collect::<Vec<_>>(), "each once, in order");
        assert_eq!(destinations(&client.told()), dead);
    }
}

#[test]
fn an_error_alone_wakes_and_is_told_once() {
    for addr in LOCAL {
        let mut client = client(addr);
        let dead = dead(addr);
        send_raw(&client, dead.1, 1);
        let mut fds = [PollFd::new(client.endpoint.socket().as_fd(), PollFlags::POLLIN)];
        wait(&mut fds, None).unwrap();
        assert_eq!(fds[0].revents(), Some(PollFlags::POLLERR), "readable it is not");
        client.until(|told| !told.is_empty());
        assert!(matches!(client.told()[..], [Told::Icmp { .. }]));
        assert!(!client.sleep(core::time::Duration::ZERO), "nothing is left that would wake it");
    }
}

#[test]
fn the_queue_is_emptied_before_a_send_though_the_runtime_knows_of_nothing() {
    for addr in LOCAL {
        let mut client = client(addr);
        let dead = dead(addr);
        let (peer, peer_addr) = live(addr);
        send_raw(&client, dead.1, 1);
        client.endpoint.socket_mut().deaf = true;
        client.queue(peer_addr, b"live");
        client.run();
        assert_eq!((destinations(&client.told()), received(&peer).len()), (vec![dead.1], 1));
        assert_eq!(client.endpoint.counts().sends_repeated, 0);
    }
}

#[test]
fn a_runtime_that_cannot_tell_errors_from_datagrams_lets_both_be_read() {
    let mut client = client(LOCAL[0]);
    let (peer, _) = live(LOCAL[0]);
    client.endpoint.socket_mut().nervous = true;
    peer.send_to(b"hello", client.addr()).unwrap();
    client.turn();
    assert!(matches!(client.told()[..], [Told::Got { .. }]));
}

#[test]
fn errors_that_wait_are_all_told_each_with_its_destination() {
    for addr in LOCAL {
        let mut client = client(addr);
        let (_reserved, dead) = graveyard(addr, 20);
        dead.iter().for_each(|dead| send_raw(&client, *dead, 1));
        client.run();
        client.run();
        assert_eq!(destinations(&client.told()), dead);
    }
}

#[test]
fn ipv4_through_a_dual_stack_socket_is_ipv4() {
    let mut client = client("[::]:0");
    for addr in LOCAL {
        let ((peer, peer_addr), (_reserved, dead)) = (live(addr), dead(addr));
        client.queue(dead, b"dead");
        client.queue(peer_addr, b"live");
        client.run();
        let (_, to) = received(&peer).pop().map(|got| (got, client.addr().port())).unwrap();
        let to = SocketAddr::new(peer_addr.ip(), to);
        peer.send_to(b"back", to).unwrap();
        client.until(|told| told.len() == 2);
        let told = client.told();
        let [Told::Icmp { error, .. }, Told::Got { from, to, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((error.destination, error.offender), (Some(dead), Some(dead.ip())));
        assert_eq!(error.version == Version::V4, dead.is_ipv4());
        assert_eq!((*from, *to), (peer_addr, Some(peer_addr.ip())));
    }
}

#[test]
fn errors_that_fill_the_receive_buffer_are_taken_out_and_what_was_dropped_is_counted() {
    for addr in LOCAL {
        let options = Options { receive_buffer: Some(8_192), ..hearing() };
        let mut client = client_at(addr, &options);
        let (peer, _) = live(addr);
        let dead = dead(addr);
        send_raw(&client, dead.1, 100);
        for _ in 0..3 {
            peer.send_to(b"lost", client.addr()).unwrap();
        }
        client.machine.examine = true;
        client.run();
        let told = client.told();
        assert!(told.contains(&Told::Overrun { lost: 3 }), "{told:?}");
        assert!(told.iter().any(|told| matches!(told, Told::Icmp { .. })));
        assert!(!told.iter().any(|told| matches!(told, Told::Got { .. })), "the buffer was not full");
        peer.send_to(b"heard", client.addr()).unwrap();
        client.until(|told| told.iter().any(|told| matches!(told, Told::Got { .. })));
    }
}

#[test]
fn an_error_whose_entry_was_lost_is_nobodys() {
    for addr in LOCAL {
        let options = Options { receive_buffer: Some(2_048), ..hearing() };
        let mut client = client_at(addr, &options);
        let (peer, peer_addr) = live(addr);
        // Full of datagrams: the error is set, and has no room for its entry.
        for _ in 0..50 {
            peer.send_to(&[0; 500], client.addr()).unwrap();
        }
        let dead = dead(addr);
        send_raw(&client, dead.1, 1);
        client.queue(peer_addr, b"hello");
        client.run();
        let told = client.told();
        assert!(told.iter().all(|told| matches!(told, Told::Got { .. })), "{told:?}");
        assert_eq!(received(&peer), [b"hello".to_vec()]);
        assert_eq!(client.endpoint.counts().sends_repeated, 1);
        // And if the next call is a read.
        for _ in 0..50 {
            peer.send_to(&[0; 500], client.addr()).unwrap();
        }
        send_raw(&client, dead.1, 1);
        client.run();
        client.run();
        let told = client.told();
        assert!(!told.is_empty() && told.iter().all(|told| matches!(told, Told::Got { .. })), "{told:?}");
    }
}

#[test]
fn an_error_that_lands_on_another_of_the_group_has_its_destination_and_harms_nobody() {
    for addr in LOCAL {
        let options = Options { share: Share::Port, ..hearing() };
        let first = client_at(addr, &options);
        let second = client_at(&first.addr().to_string(), &options);
        let (peer, peer_addr) = live(addr);
        let (_reserved, dead) = graveyard(addr, 40);
        let mut group = [first, second];
        for (i, dead) in dead.iter().enumerate() {
            group[0].queue(*dead, b"dead");
            group[0].run();
            group[1].queue(peer_addr, &[i as u8]);
            group[1].run();
        }
        let [told, landed] = group.map(|mut member| {
            member.run();
            destinations(&member.told())
        });
        assert!(!landed.is_empty(), "all errors went to their sender, which says nothing");
        let all: HashSet<_> = told.into_iter().chain(landed).collect();
        assert_eq!(all, HashSet::from_iter(dead));
        assert_eq!(received(&peer).concat(), (0..40).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_too_long_is_told_with_the_mtu_and_the_next_is_sent() {
    // The loopback device takes packets of 65 536 bytes, IPv4 of 65 535.
    for (addr, len, mtu) in [("127.0.0.1:0", 65_508, 65_535), ("[::1]:0", 65_500, 65_536)] {
        let options = Options { fragmentation: Some(Fragmentation::Never), ..hearing() };
        let mut client = client_at(addr, &options);
        let (peer, peer_addr) = live(addr);
        client.queue(peer_addr, &vec![0; len]);
        client.queue(peer_addr, b"short");
        client.run();
        assert_eq!(received(&peer), [b"short".to_vec()]);
        let too_long = Told::Unsent { to: peer_addr, len, errno: Errno::MsgSize, mtu: Some(mtu) };
        assert_eq!(client.told(), [too_long]);
    }
}

#[test]
fn what_cannot_be_sent_is_told_by_itself() {
    let mut client = client("127.0.0.1:0");
    let (peer, peer_addr) = live("127.0.0.1:0");
    let refused = [
        ("127.255.255.255:7", Errno::Acces),
        ("127.0.0.1:0", Errno::Inval),
        ("[::1]:7", Errno::AfNoSupport),
        // From an address of loopback.
        ("192.0.2.1:7", Errno::Inval),
    ];
    for (to, _) in refused {
        client.queue(to.parse().unwrap(), b"never");
        client.queue(to.parse().unwrap(), b"never");
        client.queue(peer_addr, b"ever");
    }
    client.run();
    assert_eq!(received(&peer).len(), refused.len());
    let expected = refused.iter().flat_map(|&(to, errno)| {
        let to = to.parse().unwrap();
        [(); 2].map(|()| Told::Unsent { to, len: 5, errno, mtu: None })
    });
    assert_eq!(client.told(), expected.collect::<Vec<_>>());
    assert_eq!(missing_family("[::1]:7".parse().unwrap(), Errno::AfNoSupport), Some(Version::V6));
}

#[test]
fn a_socket_without_an_error_queue_hears_of_nobody() {
    for addr in LOCAL {
        let mut client = client_at(addr, &Options::default());
        let (peer, peer_addr) = live(addr);
        let (_reserved, dead) = dead(addr);
        client.queue(dead, b"dead");
        client.queue(peer_addr, b"live");
        client.run();
        assert_eq!((client.told(), received(&peer).len()), (vec![], 1));
    }
}

#[test]
fn a_flood_of_errors_ends_the_turn_and_not_the_session() {
    let mut client = Driven::sized(
        bind("127.0.0.1:0".parse().unwrap(), &hearing()).unwrap(),
        Sizes { runs: 8, ..Sizes::default() },
    );
    let (peer, peer_addr) = live("127.0.0.1:0");
    let (_reserved, dead) = dead("127.0.0.1:0");
    for i in 0..200 {
        client.queue(if i % 2 == 0 { dead } else { peer_addr }, &[0]);
    }
    client.run();
    assert_eq!((received(&peer).len(), destinations(&client.told()).len()), (100, 100));
}

#[test]
fn the_queue_of_a_single_socket_is_read_by_hand() {
    for addr in LOCAL {
        let socket = match bind(addr.parse().unwrap(), &hearing()) {
            Ok(socket) => socket,
            Err(_) if addr.starts_with('[') => return println!("SKIPPED: no IPv6"),
            Err(error) => panic!("{error}"),
        };
        assert!(icmp_errors(&socket).is_empty());
        let (_grave, dead) = dead(addr);
        socket.send_to(b"anybody?", dead).unwrap();
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        wait(&mut fds, Some(core::time::Duration::from_secs(20))).unwrap();
        let [error] = icmp_errors(&socket)[..] else { panic!("one error for one datagram") };
        assert_eq!((error.destination, error.offender), (Some(dead), Some(dead.ip())));
        // It took away what the next call would have failed with.
        let nothing = socket.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
}
