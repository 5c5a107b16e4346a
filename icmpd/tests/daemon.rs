//! The daemon on loopback: raw sockets, descriptor passing, other users. Needs CAP_NET_RAW; skips aloud without.

#![allow(missing_docs)]
#![cfg(target_os = "linux")]

mod support;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::NonZeroUsize;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, bind, sendto,
    setsockopt, socket, sockopt::Ipv6V6Only,
};
use resound_core::signal::{Origin, Reason};
use resound_icmpd::machine::Limits;
use resound_icmpd::protocol::{Event, Place};
use std::os::fd::AsRawFd as _;

use support::{Running, eventually, next, next_icmp, nobody, refused, silent};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn at_most(clients: usize, registrations: usize, queue: usize) -> Limits {
    let count = |n| NonZeroUsize::new(n).unwrap();
    Limits { clients: count(clients), registrations: count(registrations), queue: count(queue) }
}

#[test]
fn the_textbooks_puzzle_one_socket_sends_to_three_servers_and_one_is_dead() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    for (ip, wildcard, code) in [(V4, "0.0.0.0:0", 3), (V6, "[::]:0", 4)] {
        let socket = UdpSocket::bind(wildcard).unwrap();
        let (mut client, mut other) = (daemon.client(), daemon.client());
        let registered = client.register(&socket).unwrap();
        assert_eq!(registered.sockets, [socket.local_addr().unwrap()]);
        let others = UdpSocket::bind((ip, 0)).unwrap();
        other.register(&others).unwrap();

        let alive = [UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap()];
        let dead = nobody(ip);
        for peer in [alive[0].local_addr().unwrap(), dead.addr, alive[1].local_addr().unwrap()] {
            socket.send_to(b"three servers", peer).unwrap();
        }
        let icmp = next_icmp(&mut client);
        assert_eq!((icmp.peer, icmp.local), (dead.addr, (ip, socket.local_addr().unwrap().port()).into()));
        assert_eq!((&*icmp.reason, &*icmp.origin), (Reason::PortUnreach.as_str(), Origin::Peer.as_str()));
        assert_eq!((icmp.icmp.code, icmp.icmp.offender), (code, Some(ip)));
        assert_eq!((icmp.quoted.bytes, &*icmp.quoted.first), (13, "74687265652073657276657273"));
        assert!(icmp.forgeable);
        silent(&mut other);
        silent(&mut client);
    }
    let lines = daemon.end();
    let icmps = lines.iter().filter(|line| matches!(line.event, Event::Icmp(_))).count();
    assert_eq!(icmps, 2, "{lines:#?}");
    assert!(matches!(lines[0].event, Event::Ready { .. }));
    let Event::Watched { told, clients, .. } = &lines.last().unwrap().event else { panic!("{lines:#?}") };
    assert_eq!((*told, *clients), (2, 4));
}

/// One socket for both IP versions, as std cannot make one.
fn dual_stack() -> UdpSocket {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet6, SockType::Datagram, flags, SockProtocol::Udp).unwrap();
    setsockopt(&fd, Ipv6V6Only, &false).unwrap();
    let any = SockaddrIn6::from(core::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    bind(fd.as_raw_fd(), &any).unwrap();
    fd.into()
}

#[test]
fn a_dual_stack_socket_is_told_of_both_versions_and_one_of_ipv6_only_is_not() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let mut client = daemon.client();
    let socket = dual_stack();
    client.register(&socket).unwrap();
    let dead = nobody(V4);
    let SocketAddr::V4(v4) = dead.addr else { panic!() };
    socket.send_to(b"v4", (v4.ip().to_ipv6_mapped(), v4.port())).unwrap();
    let icmp = next_icmp(&mut client);
    assert_eq!((icmp.peer, icmp.icmp.v), (dead.addr, 4));
    let dead = nobody(V6);
    socket.send_to(b"v6", dead.addr).unwrap();
    let icmp = next_icmp(&mut client);
    assert_eq!((icmp.peer, icmp.icmp.v), (dead.addr, 6));
    drop(socket);

    // The same port twice: IPv6 only, and IPv4.
    let (only_v6, v4) = loop {
        let fd = socket_v6_only();
        let port = fd.local_addr().unwrap().port();
        if let Ok(v4) = UdpSocket::bind((V4, port)) {
            break (fd, v4);
        }
    };
    let mut listening = daemon.client();
    listening.register(&only_v6).unwrap();
    client.register(&v4).unwrap();
    v4.send_to(b"v4", nobody(V4).addr).unwrap();
    loop {
        // The first socket is closed, which is told at its own time.
        if let Event::Icmp(icmp) = next(&mut client) {
            assert_eq!(icmp.local, v4.local_addr().unwrap());
            break;
        }
    }
    silent(&mut listening);
}

fn socket_v6_only() -> UdpSocket {
    let fd =
        socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp).unwrap();
    setsockopt(&fd, Ipv6V6Only, &true).unwrap();
    let any = SockaddrIn6::from(core::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    bind(fd.as_raw_fd(), &any).unwrap();
    fd.into()
}

#[test]
fn a_port_that_changed_hands_is_not_told_to_its_old_owner() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let mut client = daemon.client();
    let first = UdpSocket::bind((V4, 0)).unwrap();
    let addr = first.local_addr().unwrap();
    client.register(&first).unwrap();
    drop(first);
    let second = UdpSocket::bind(addr).unwrap();
    second.send_to(b"mine", nobody(V4).addr).unwrap();
    let event = next(&mut client);
    assert!(matches!(event, Event::Deregistered { registration: 1, .. }), "{event:?}");
    silent(&mut client);
    // Who has it now can be told.
    client.register(&second).unwrap();
    let dead = nobody(V4);
    second.send_to(b"mine", dead.addr).unwrap();
    assert_eq!(next_icmp(&mut client).peer, dead.addr);
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up_and_learns_what_it_missed() {
    let Some(daemon) = Running::start(at_most(8, 8, 4)) else { return };
    let (mut slow, mut quick) = (daemon.client(), daemon.client());
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    slow.register(&socket).unwrap();
    quick.register(&socket).unwrap();
    let dead = nobody(V4);
    // More than a socket's buffer and the queue hold together.
    const MANY: u64 = 3_000;
    for _ in 0..MANY {
        socket.send_to(&[7; 64], dead.addr).unwrap();
        // One at a time: what the kernel throws away is another test's matter.
        assert_eq!(next_icmp(&mut quick).peer, dead.addr);
    }
    let (mut read, mut missed) = (0, 0);
    while read + missed < MANY {
        match next(&mut slow) {
            Event::Icmp(_) => read += 1,
            Event::Dropped { count, at: Place::Client } => missed += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0, "nothing was missed of {read}");
    assert_eq!(read + missed, MANY);
}

#[test]
fn limits_are_kept_and_told() {
    let Some(daemon) = Running::start(at_most(1, 1, 8)) else { return };
    let mut first = daemon.client();
    let (one, two) = (UdpSocket::bind((V4, 0)).unwrap(), UdpSocket::bind((V4, 0)).unwrap());
    first.register(&one).unwrap();
    let why = refused(first.register(&two));
    assert!(why.contains("1 registration"), "{why}");
    let why = refused(daemon.client().register(&two));
    assert!(why.contains("as many clients"), "{why}");
    drop(first);
    eventually("there is room again", || daemon.client().register(&two).is_ok());
}

#[test]
fn root_names_any_port_and_its_socket_must_exist() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let mut client = daemon.client();
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    assert_eq!(client.register_port(port).unwrap().sockets, [socket.local_addr().unwrap()]);
    let dead = nobody(V4);
    socket.send_to(b"x", dead.addr).unwrap();
    assert_eq!(next_icmp(&mut client).peer, dead.addr);
    drop(socket);
    let why = refused(client.register_port(port));
    assert!(why.contains(&format!("port {port}")), "{why}");
}

/// Runs Python as another user. `None`, and a word on standard error, where that cannot be done.
fn stranger(script: &str, args: &[&str]) -> Option<String> {
    const NOBODY: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become somebody else");
        return None;
    }
    let mut python = Command::new("python3");
    python.arg("-c").arg(script).args(args).uid(NOBODY).gid(NOBODY).current_dir("/");
    let Ok(output) = python.output() else {
        eprintln!("SKIPPED: python3 cannot be run as another user");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

fn open_to_all(socket: &Path) {
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
}

const STRANGER: &str = r#"
import json, socket, sys
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
daemon.settimeout(60)
daemon.connect(sys.argv[1])
def ask(port):
    daemon.send(json.dumps({"register": {"port": port}}).encode())
    return json.loads(daemon.recv(4096))["event"]
print(ask(int(sys.argv[2])))
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("127.0.0.1", 0))
print(ask(own.getsockname()[1]))
own.sendto(b"x", ("127.0.0.1", int(sys.argv[3])))
print(json.loads(daemon.recv(4096))["event"])
"#;

#[test]
fn a_stranger_names_its_own_port_and_no_other() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    open_to_all(&daemon.socket);
    let victim = UdpSocket::bind((V4, 0)).unwrap();
    let nobody = nobody(V4);
    let [port, dead] = [victim.local_addr().unwrap(), nobody.addr].map(|addr| addr.port().to_string());
    let Some(said) = stranger(STRANGER, &[daemon.socket.to_str().unwrap(), &port, &dead]) else { return };
    assert_eq!(said, "not_registered\nregistered\nicmp\n");
}

const SHARER: &str = r#"
import array, json, socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
udp.bind(("0.0.0.0", int(sys.argv[2])))
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
daemon.connect(sys.argv[1])
daemon.settimeout(60)
daemon.sendmsg([b'{"register":"socket"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [udp.fileno()]))])
print(json.loads(daemon.recv(4096))["event"], flush=True)
# Its own datagram is told to nobody either: the kernel cannot say which of the two sent it.
udp.sendto(b"x", ("127.0.0.1", int(sys.argv[3])))
daemon.settimeout(0.3)
try:
    print(json.loads(daemon.recv(4096))["event"])
except TimeoutError:
    print("silence")
"#;

#[test]
fn a_port_that_is_shared_with_another_user_is_told_to_neither() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    open_to_all(&daemon.socket);
    let fd =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp).unwrap();
    setsockopt(&fd, nix::sys::socket::sockopt::ReuseAddr, &true).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let victim = UdpSocket::from(fd);
    let nobody = nobody(V4);
    let [port, dead] = [victim.local_addr().unwrap(), nobody.addr].map(|addr| addr.port().to_string());
    let Some(said) = stranger(SHARER, &[daemon.socket.to_str().unwrap(), &port, &dead]) else { return };
    assert_eq!(said, "registered\nsilence\n");
    let lines = daemon.end();
    let Event::Watched { withheld, told, .. } = lines.last().unwrap().event else { panic!("{lines:?}") };
    assert_eq!((withheld, told), (1, 0));
}

#[test]
fn what_is_forged_or_broken_is_told_as_a_claim_or_counted() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let mut client = daemon.client();
    let socket_here = UdpSocket::bind((V4, 0)).unwrap();
    let local = socket_here.local_addr().unwrap();
    client.register(&socket_here).unwrap();
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp).unwrap();
    // Fragmentation needed, the next hop takes 1400 bytes; the checksum is wrong, so that the kernel believes nothing.
    let mut forged = vec![3, 4, 0xbe, 0xef, 0, 0, 0x05, 0x78];
    forged.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 203, 0, 113, 9]);
    let [high, low] = local.port().to_be_bytes();
    forged.extend([high, low, 0, 7, 0, 8, 0, 0]);
    let here = SockaddrIn::new(127, 0, 0, 1, 0);
    for length in [8, 20, 30, forged.len()] {
        sendto(raw.as_raw_fd(), &forged[..length], &here, MsgFlags::empty()).unwrap();
    }
    let icmp = next_icmp(&mut client);
    assert_eq!((icmp.peer, icmp.local), ("203.0.113.9:7".parse().unwrap(), local));
    assert_eq!((&*icmp.reason, &*icmp.origin, icmp.icmp.mtu), ("too-big", "router", Some(1400)));
    assert_eq!((icmp.quoted.bytes, icmp.forgeable), (0, true));
    let lines = daemon.end();
    let Event::Watched { malformed, told, .. } = lines.last().unwrap().event else { panic!("{lines:?}") };
    // Tests beside this one may break some more.
    assert!(malformed >= 3 && told == 1, "{lines:?}");
}

#[test]
fn the_documented_python_client_works() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/client.py");
    let Ok(output) = Command::new("python3").arg(script).arg(&daemon.socket).output() else {
        eprintln!("SKIPPED: there is no python3");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "127.0.0.1:1 failed: port-unreach (says peer, and may be forged)\n");
}
