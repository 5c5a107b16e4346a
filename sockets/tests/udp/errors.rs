//! Errors about earlier datagrams.

use core::net::SocketAddr;
use std::net::UdpSocket;

use resound_core::signal::Version;
use resound_sockets::udp::{Errors, Options, bind};

use crate::driver::{Driven, Told};

const LOCAL: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn client(addr: &str) -> Driven {
    let options = Options { errors: Errors::Queued, ..Options::default() };
    Driven::new(bind(addr.parse().unwrap(), &options).unwrap())
}

/// An address at which nobody listens.
fn dead(addr: &str) -> SocketAddr {
    UdpSocket::bind(addr).unwrap().local_addr().unwrap()
}

#[test]
fn a_dead_peers_error_takes_no_datagram_from_the_living() {
    for addr in LOCAL {
        let [live, also_live] = [(), ()].map(|()| UdpSocket::bind(addr).unwrap());
        let dead = dead(addr);
        let mut client = client(addr);
        client.queue(live.local_addr().unwrap(), b"one");
        client.queue(dead, b"two");
        client.queue(also_live.local_addr().unwrap(), b"three");
        client.run();
        let mut buf = [0; 16];
        assert_eq!(live.recv(&mut buf).unwrap(), 3);
        assert_eq!(also_live.recv(&mut buf).unwrap(), 5);
        let told = client.told();
        let [Told::Icmp { error, quote }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(error.destination, Some(dead));
        assert_eq!(error.offender, Some(dead.ip()));
        let port_unreachable = if dead.is_ipv4() { (Version::V4, 3, 3) } else { (Version::V6, 1, 4) };
        assert_eq!((error.version, error.kind, error.code), port_unreachable);
        assert_eq!(quote, b"two");
    }
}
