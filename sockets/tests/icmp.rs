//! Raw ICMP sockets on loopback. They need CAP_NET_RAW: without it these tests say so and check only how that is told.

#![allow(missing_docs)]
#![cfg(target_os = "linux")]

use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use resound_core::signal::Version;
use resound_core::signal::icmp::Protocol;
use resound_sockets::icmp::IcmpSocket;
use resound_sockets::poll::{PollFd, PollFlags, wait};

const LONG: Duration = Duration::from_secs(60);

fn open(version: Version) -> Option<IcmpSocket> {
    match IcmpSocket::open(version) {
        Ok(socket) => Some(socket),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            eprintln!("SKIPPED: raw sockets need CAP_NET_RAW: {error}");
            None
        }
    }
}

fn readable(socket: &IcmpSocket, timeout: Duration) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    wait(&mut fds, Some(timeout)).unwrap();
    fds[0].any() == Some(true)
}

/// An address on loopback where nobody listens: one that was free a moment ago.
fn nobody(ip: IpAddr) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn a_refused_datagram_is_heard_with_what_it_was() {
    for (version, ip, kind, code) in
        [(Version::V4, IpAddr::from([127, 0, 0, 1]), 3, 3), (Version::V6, "::1".parse().unwrap(), 1, 4)]
    {
        let Some(raw) = open(version) else { return };
        assert_eq!(raw.version(), version);
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let dead = nobody(ip);
        socket.send_to(b"who is there?", dead).unwrap();
        let began = Instant::now();
        let mut buffer = [0; IcmpSocket::LONGEST];
        // Other tests cause errors as well.
        loop {
            assert!(began.elapsed() < LONG, "{version:?}: it is never heard");
            let Some(heard) = raw.receive(&mut buffer).unwrap() else {
                readable(&raw, LONG);
                continue;
            };
            let Ok(received) = heard else { continue };
            if received.quote.source_addr() != Some(socket.local_addr().unwrap()) {
                continue;
            }
            assert_eq!((received.error.kind, received.error.code), (kind, code));
            assert_eq!(received.error.offender, Some(ip));
            assert_eq!(received.error.destination, Some(dead));
            assert_eq!(
                (received.quote.protocol, received.quote.payload),
                (Protocol::Udp, &b"who is there?"[..])
            );
            break;
        }
    }
}

#[test]
fn it_does_not_block_and_no_child_inherits_it() {
    let Some(raw) = open(Version::V4) else { return };
    let flags = OFlag::from_bits_retain(fcntl(&raw, FcntlArg::F_GETFL).unwrap());
    assert!(flags.contains(OFlag::O_NONBLOCK), "{flags:?}");
    let flags = FdFlag::from_bits_retain(fcntl(&raw, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC), "{flags:?}");
}

#[test]
fn what_nobody_reads_is_counted() {
    let Some(raw) = open(Version::V4) else { return };
    assert_eq!(raw.overflowed(), Some(0));
    let ip = IpAddr::from([127, 0, 0, 1]);
    let (socket, dead) = (UdpSocket::bind((ip, 0)).unwrap(), nobody(ip));
    let began = Instant::now();
    while raw.overflowed() == Some(0) {
        assert!(began.elapsed() < LONG, "no receive buffer is that large");
        socket.send_to(&[0; 512], dead).unwrap();
    }
}
