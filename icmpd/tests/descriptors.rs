//! Descriptors that are passed: what is refused, and that none stays. One test, alone in its process, because it counts
//! all open files of it.

#![allow(missing_docs)]
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::{IoSlice, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, sendmsg,
    setsockopt, socket, sockopt::Linger,
};
use resound_icmpd::client::Client;
use resound_icmpd::machine::Limits;
use resound_icmpd::protocol::{Event, Line};

use support::{LONG, Running, eventually, nobody};

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Sends this, and reads the answer.
fn ask(client: &Client, text: &[u8], descriptors: &[RawFd]) -> String {
    let client = client.as_fd().as_raw_fd();
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(client, &[IoSlice::new(text)], control, MsgFlags::empty(), None).unwrap();
    answer(client)
}

fn answer(client: RawFd) -> String {
    let mut buffer = [0; 4096];
    let length = recv(client, &mut buffer, MsgFlags::empty()).unwrap();
    match serde_json::from_slice::<Line>(&buffer[..length]).unwrap().event {
        Event::NotRegistered { why } => why.into_owned(),
        Event::Registered { sockets, .. } => format!("registered {sockets:?}"),
        other => panic!("{other:?}"),
    }
}

fn raw(descriptors: &[BorrowedFd<'_>]) -> Vec<RawFd> {
    descriptors.iter().map(AsRawFd::as_raw_fd).collect()
}

#[test]
fn what_is_no_bound_udp_socket_is_refused_and_nothing_stays_open() {
    let Some(daemon) = Running::start(Limits::default()) else { return };
    let client = daemon.client();
    let socket_request = br#"{"register":"socket"}"#;

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unbound =
        |kind, protocol| socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    let unbound_udp = unbound(SockType::Datagram, SockProtocol::Udp);
    let raw_icmp = unbound(SockType::Raw, SockProtocol::Icmp);
    let unix = UnixDatagram::unbound().unwrap();
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (pipe, _pipe): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
    // The connection is accepted by then.
    assert!(ask(&client, b"hello", &[]).contains("not understood"));
    let before = open_files();

    for (descriptor, why) in [
        (tcp.as_fd(), "no UDP socket"),
        (unix.as_fd(), "no UDP socket"),
        (raw_icmp.as_fd(), "no UDP socket"),
        (unbound_udp.as_fd(), "no port yet"),
        (file.as_fd(), "no socket"),
        (pipe.as_fd(), "no socket"),
        (client.as_fd(), "no UDP socket"),
        (udp.as_fd(), "registered [127.0.0.1:"),
    ] {
        let said = ask(&client, socket_request, &raw(&[descriptor]));
        assert!(said.contains(why), "{said}, and not: {why}");
    }
    let one = udp.as_raw_fd();
    for (text, descriptors, why) in [
        (&socket_request[..], vec![], "no descriptor"),
        (socket_request, vec![one; 2], "2 descriptors"),
        (socket_request, vec![one; 253], "253 descriptors"),
        (br#"{"register":{"port":5353}}"#, vec![one], "do one of them"),
        (br#"{"register":{"port":0}}"#, vec![], "port 0"),
        (b"please", vec![one], "not understood"),
        (&[b' '; 513], vec![one], "512 bytes"),
    ] {
        let said = ask(&client, text, &descriptors);
        assert!(said.contains(why), "{said}, and not: {why}");
    }
    assert_eq!(open_files(), before);

    // Fewer may be open than arrive: the kernel gives some, and says so.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, before as u64 + 10, hard).unwrap();
    let said = ask(&client, socket_request, &vec![one; 100]);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert!(said.contains("did not all arrive"), "{said}");
    assert_eq!(open_files(), before);

    // A socket whose close would block the daemon, once it has the last copy.
    let mut stuffed = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let _unread = tcp.accept().unwrap();
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 90 };
    setsockopt(&stuffed, Linger, &linger).unwrap();
    stuffed.set_nonblocking(true).unwrap();
    while stuffed.write(&[0; 65_536]).is_ok() {}
    let rights = [stuffed.as_raw_fd()];
    let text = [IoSlice::new(socket_request)];
    let to = client.as_fd().as_raw_fd();
    let began = Instant::now();
    sendmsg::<()>(to, &text, &[ControlMessage::ScmRights(&rights)], MsgFlags::empty(), None).unwrap();
    // Whichever close is the last, the daemon's or this one, would wait.
    drop(stuffed);
    assert!(answer(to).contains("no UDP socket"));
    assert!(began.elapsed() < LONG);

    // It still does its work.
    udp.send_to(b"x", nobody([127, 0, 0, 1]).addr).unwrap();
    let mut buffer = [0; 4096];
    let length = recv(to, &mut buffer, MsgFlags::empty()).unwrap();
    let line: Line = serde_json::from_slice(&buffer[..length]).unwrap();
    assert!(matches!(line.event, Event::Icmp(_)), "{line:?}");

    // An empty message ends the connection, with the descriptors that it may bring.
    let idle = daemon.client();
    assert!(ask(&idle, b"hello", &[]).contains("not understood"));
    let during = open_files();
    send(idle.as_fd().as_raw_fd(), b"", MsgFlags::empty()).unwrap();
    eventually("the daemon closes its end", || open_files() < during);
}
