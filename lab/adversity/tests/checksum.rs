//! Readiness without data, by the kernel itself: a datagram whose checksum is wrong makes a socket readable, and is dropped
//! when somebody reads it (`udp_recvmsg`). So it is for sockets that do not block, and for datagrams of more than 76 bytes
//! (`CHECKSUM_BREAK`); the others are dropped on arrival. It takes a raw socket to send one.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use resound_conformance::Runtime;
use resound_conformance::on::{smol::Smol, std::Std, tokio::Tokio};
use resound_core::datagram::client::{Client, Config, Event};
use resound_sockets::udp;
use socket2::{Domain, Protocol, Socket, Type};

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const PATIENCE: Duration = Duration::from_secs(20);

const ECHOES: usize = 500;

/// An IPv4 packet with a UDP datagram to this port of this host, whose checksum is wrong.
fn wrong(to: u16) -> Vec<u8> {
    const PAYLOAD: usize = 200;
    const PORT: u16 = 40_000;
    let len = (28 + PAYLOAD) as u16;
    // RFC 791: version and length of the header, the total length, TTL, UDP. The kernel fills in the header's checksum.
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend([127, 0, 0, 1].repeat(2));
    // RFC 768. That a sum over these is 0x1234 is one chance in 65 536 for each port, and zero would mean "none".
    for field in [PORT, to, len - 20, 0x1234] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend([b'x'; PAYLOAD]);
    packet
}

/// How many datagrams this host has dropped for their checksum.
fn dropped() -> u64 {
    let counts = fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = counts.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(name, _)| *name == "InCsumErrors").unwrap().1.parse().unwrap()
}

fn exchange(runtime: &dyn Runtime, raw: &Socket) {
    let udp = runtime.udp().unwrap();
    let mut config = udp::ServerConfig::default();
    config.echo.rate = None;
    let server = udp.udp_server(&[HERE], &config, Box::new(|_, _| {})).unwrap();
    let at_server = server.local_addrs()[0];
    let client = Client::new(Config::default(), 1, [1, 2]).unwrap();
    let socket =
        udp::bind(HERE, &udp::Options { errors: udp::Errors::Queued, ..udp::Options::default() }).unwrap();
    let (tell, events) = channel();
    let session = udp.udp_client(client, socket, Box::new(move |_, event| drop(tell.send(event)))).unwrap();
    let peer = session.ask(|client, now| client.add(now, at_server)).unwrap();
    let before = dropped();
    for at in 0..ECHOES {
        let payload = Bytes::from(format!("message {at}"));
        // Some come before the message, some after it.
        let disturb = || {
            for to in [at_server, session.local_addr()] {
                raw.send_to(&wrong(to.port()), &HERE.into()).unwrap();
            }
        };
        disturb();
        session.ask(|client, now| client.send(now, peer, payload.clone())).unwrap();
        disturb();
        loop {
            match events.recv_timeout(PATIENCE) {
                Ok(Event::Echoed { payload: came, .. }) if came == payload => break,
                // What is dropped for its checksum is counted with what is dropped for want of room
                // (`__sk_queue_drop_skb`).
                Ok(Event::Overrun { .. }) => {}
                // On a busy machine an answer may be late.
                Ok(Event::Suspect { .. } | Event::Stalled { .. }) => {}
                Ok(Event::Dialing { .. } | Event::Up { .. }) => {}
                other => panic!("{} after {at} echoes: {other:?}", runtime.name()),
            }
        }
    }
    let (counts, dropped) = (server.counts(), dropped() - before);
    drop((session, server));
    assert!(dropped > ECHOES as u64, "only {dropped} were dropped when they were read");
    assert!(counts.unsent == 0 && counts.echoed >= ECHOES as u64, "{counts:?}");
    println!("{}: {dropped} reports without data", runtime.name());
}

#[test]
fn what_was_reported_and_is_not_there_disturbs_nobody() {
    let raw = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("skipped: raw sockets take CAP_NET_RAW");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let runtimes: [&dyn Runtime; 5] =
        [&Std, &Smol::threads(1), &Smol::threads(2), &Tokio::current_thread(), &Tokio::multi_thread(2)];
    runtimes.into_iter().for_each(|runtime| exchange(runtime, &raw));
}
