//! Real hosts: what they are furnished with, what reaches them, and what can be done to them.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resound_core::signal::Version;
use resound_lab::rig::{Heard, Host, Rig, Wire, allowed};
use resound_sim::Scenario;
use resound_sim::packet::Packet;
use resound_sim::scenario::{NodeId, address, node_at};

const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

/// Long enough for anything that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts, and whoever is between them; `None`, and a printed reason, if this machine does not allow it.
fn two() -> Option<Rig> {
    if let Err(hindrance) = allowed() {
        eprintln!("skipped: {hindrance}");
        return None;
    }
    let scenario: Scenario =
        "host a\nhost b\nlink a <-> b 1ms\n".parse().unwrap_or_else(|bad| panic!("{bad}"));
    Some(Rig::build(&scenario).unwrap_or_else(|error| panic!("{error}")))
}

fn at(node: NodeId, version: Version, port: u16) -> SocketAddr {
    SocketAddr::new(address(node, version), port)
}

/// What is done to each packet between the hosts: `None` loses it.
type Between<'a> = &'a (dyn Fn(Packet) -> Option<Packet> + Sync);

/// Passes packets on between the hosts, and answers for all neighbours, while something is done with them.
fn passing<T>(rig: &mut Rig, between: Between<'_>, job: impl FnOnce(&mut [Host]) -> T) -> T {
    let (hosts, wires) = rig.parts();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pass(wires, between);
            }
        });
        let end = End(&over);
        let outcome = job(hosts);
        drop(end);
        outcome
    })
}

/// Ends the passing, also if the job panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pass(wires: &mut [Wire], between: Between<'_>) {
    let mut ready: Vec<_> = wires.iter().map(|wire| PollFd::new(wire.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut ready, PollTimeout::from(50_u8)).expect("poll");
    let mut packets = Vec::new();
    for wire in wires.iter_mut() {
        while let Some(heard) = wire.receive().expect("a wire is read") {
            match heard {
                Heard::Packet(packet) => packets.extend(between(packet)),
                Heard::Asks(question) => wire.answer(&question).expect("a question is answered"),
                Heard::Other => eprintln!("{:?}: {:?}", wire.way(), wire.others()),
            }
        }
    }
    for packet in packets {
        let to = node_at(packet.destination);
        if let Some(wire) = wires.iter_mut().find(|wire| Some(wire.way().from) == to) {
            wire.send(&packet).expect("a packet is sent");
        }
    }
}

/// A server on host `b` that sends back what it gets, for one connection.
fn echo(hosts: &[Host], version: Version) -> SocketAddr {
    let any = at(B, version, 0);
    hosts[1].run(move || {
        let listener = TcpListener::bind(any).expect("a listener");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
        });
        address
    })
}

fn dial(hosts: &[Host], to: SocketAddr) -> TcpStream {
    hosts[0].run(move || {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
        stream
    })
}

#[test]
fn streams_pass_in_packets_that_fit() {
    let Some(mut rig) = two() else { return };
    let longest = std::sync::atomic::AtomicUsize::new(0);
    let between = |packet: Packet| {
        longest.fetch_max(packet.length(), Ordering::Relaxed);
        Some(packet)
    };
    passing(&mut rig, &between, |hosts| {
        for version in VERSIONS {
            let mut stream = dial(hosts, echo(hosts, version));
            let sent: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
            let mut back = vec![0; sent.len()];
            let mut writer = stream.try_clone().expect("a second handle");
            thread::scope(|scope| {
                scope.spawn(|| writer.write_all(&sent).expect("written"));
                stream.read_exact(&mut back).expect("read");
            });
            assert!(back == sent, "{version:?}: the bytes differ");
        }
    });
    let longest = longest.into_inner();
    assert!((1_300..=1_500).contains(&longest), "the longest packet has {longest} bytes");
}

#[test]
fn datagrams_pass() {
    let Some(mut rig) = two() else { return };
    passing(&mut rig, &Some, |hosts| {
        for version in VERSIONS {
            let [a, b] = [(A, 0), (B, 1)].map(|(node, host)| {
                hosts[host].run(move || {
                    let socket = UdpSocket::bind(at(node, version, 0)).expect("a socket");
                    socket.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
                    socket
                })
            });
            let mut bytes = [0; 64];
            a.send_to(b"to b", b.local_addr().expect("its address")).expect("sent");
            let (length, from) = b.recv_from(&mut bytes).expect("received");
            assert_eq!((&bytes[..length], from), (&b"to b"[..], a.local_addr().expect("its address")));
            b.send_to(b"to a", from).expect("sent");
            assert_eq!(a.recv(&mut bytes).expect("received"), 4);
        }
    });
}
