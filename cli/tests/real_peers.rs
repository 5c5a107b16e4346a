//! Against programs that know nothing of Resound: any echo server is a peer of `ping` and `echo`, any client is one of
//! `serve`. A program that is not installed is skipped, and the test says so.

#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use common::{LONG, RUNTIMES, Ran, Server, collect, feed, free_port, run};

const MIB: usize = 1 << 20;

/// An echo server in a few lines of somebody else's standard library.
const ASYNCIO: &str = "
import asyncio, sys
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', int(sys.argv[1]))
    async with server:
        await server.serve_forever()
asyncio.run(main())
";

/// A client that sends standard input, half-closes, and prints what comes back.
const SOCKET: &str = "
import socket, sys, threading
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    peer.sendall(sys.stdin.buffer.read())
    peer.shutdown(socket.SHUT_WR)
sender = threading.Thread(target=send)
sender.start()
while data := peer.recv(65536):
    sys.stdout.buffer.write(data)
sender.join()
";

/// An echo server over UDP, on an address of either family or, as `::`, of both.
const DATAGRAMS: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
peer = socket.socket(family, socket.SOCK_DGRAM)
if sys.argv[1] == '::':
    peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
peer.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, address = peer.recvfrom(65536)
    peer.sendto(data, address)
";

/// A client over UDP that sends each line as a datagram and prints what comes back.
const ASKING: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
peer = socket.socket(family, socket.SOCK_DGRAM)
peer.settimeout(60)
for line in sys.stdin.buffer:
    peer.sendto(line, (sys.argv[1], int(sys.argv[2])))
    data, address = peer.recvfrom(65536)
    assert address[:2] == (sys.argv[1], int(sys.argv[2])), address
    sys.stdout.buffer.write(data)
";

/// A foreign server. It is killed at the end, with whatever it has forked.
struct Peer {
    addr: String,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// One at a time, or two of them might find the same port free.
static STARTING: Mutex<()> = Mutex::new(());

/// Starts a server on a port that was free a moment ago; again with another one if somebody was faster.
fn start(program: &str, args: impl Fn(u16) -> Vec<String>) -> Option<Peer> {
    if !installed(program) {
        return None;
    }
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..5 {
        let addr = free_port();
        let mut child = Command::new(program)
            .args(args(addr.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while began.elapsed() < LONG && child.try_wait().unwrap().is_none() {
            // A connection to itself (RFC 9293 §3.5, simultaneous open) is no answer.
            let answers = |stream: TcpStream| stream.local_addr().is_ok_and(|local| local != addr);
            if TcpStream::connect(addr).is_ok_and(answers) {
                return Some(Peer { addr: addr.to_string(), child });
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("{program} does not listen");
}

/// As [`start`], over UDP: until it has answered a datagram at `host`.
fn start_udp(program: &str, host: &str, args: impl Fn(u16) -> Vec<String>) -> Option<Peer> {
    if !installed(program) {
        return None;
    }
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..5 {
        let asking = UdpSocket::bind(format!("{host}:0")).unwrap();
        asking.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let port = UdpSocket::bind(format!("{host}:0")).unwrap().local_addr().unwrap().port();
        let addr = format!("{host}:{port}");
        let mut child = Command::new(program)
            .args(args(port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while began.elapsed() < LONG && child.try_wait().unwrap().is_none() {
            let _ = asking.send_to(b"hello", &addr);
            if asking.recv(&mut [0; 8]).is_ok_and(|n| n == 5) {
                return Some(Peer { addr, child });
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("{program} does not answer");
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.into()).collect()
}

fn socat() -> Option<Peer> {
    start("socat", |port| strings(&[&format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"), "EXEC:cat"]))
}

fn ncat() -> Option<Peer> {
    start("ncat", |port| strings(&["-l", "-k", "-e", "/bin/cat", "127.0.0.1", &port.to_string()]))
}

fn asyncio() -> Option<Peer> {
    start("python3", |port| strings(&["-c", ASYNCIO, &port.to_string()]))
}

fn file(mib: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = core::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 16).to_le_bytes()
    });
    words.flatten().take(mib * MIB).collect()
}

#[track_caller]
fn same(ran: &Ran, input: &[u8], who: &str) {
    assert_eq!(ran.code, Some(0), "{who}: {}", ran.stderr);
    assert_eq!(ran.stdout.len(), input.len(), "{who}: {}", ran.stderr);
    assert!(ran.stdout == input, "{who}: the bytes differ");
}

fn as_a_client_of(peer: Option<&Peer>, mib: usize, more: &[&str]) {
    let Some(Peer { addr, .. }) = peer else { return };
    let input = file(mib);
    for runtime in RUNTIMES {
        run(&["ping", addr, "-c", "5", "-i", "10ms", "--runtime", runtime]).code(0);
        let args = [&["echo", addr, "--runtime", runtime], more].concat();
        same(&feed(&args, &input), &input, runtime);
    }
    let lines = feed(&["echo", addr, "--json"], b"one\ntwo\n");
    assert_eq!(common::events(&lines.code(0).lines(), "echo").len(), 2);
}

#[test]
fn socat_is_a_peer() {
    as_a_client_of(socat().as_ref(), 16, &[]);
}

#[test]
fn ncat_is_a_peer() {
    // ncat writes to cat and does not read from it meanwhile: once both pipes are full, both wait for ever. What is
    // under way must fit into one of them. And it leaves Nagle on, so that each window costs a delayed ACK of 40 ms.
    as_a_client_of(ncat().as_ref(), 1, &["--window", "32768"]);
}

#[test]
fn asyncio_is_a_peer() {
    as_a_client_of(asyncio().as_ref(), 100, &[]);
}

#[test]
fn a_peer_that_is_killed_is_told() {
    let Some(mut peer) = asyncio() else { return };
    let mut child =
        common::resound(&["ping", &peer.addr, "-i", "20ms", "--profile", "fast", "--retries", "1", "--json"])
            .spawn()
            .unwrap();
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    thread::sleep(Duration::from_millis(500));
    peer.child.kill().unwrap();
    let mut ran = collect(child);
    ran.stdout.splice(0..0, first);
    let lines = ran.code(10).lines();
    let down = common::events(&lines, "down");
    assert!(["closed", "closed-early", "reset"].iter().any(|reason| down[0]["reason"] == *reason), "{ran:?}");
}

/// A foreign client sends 100 MiB through one connection of `serve`.
fn as_the_server_of(program: &str, args: impl Fn(&str, &str) -> Vec<String>) {
    if !installed(program) {
        return;
    }
    let input = file(100);
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        let (host, port) = server.addr.rsplit_once(':').unwrap();
        let mut child = Command::new(program)
            .args(args(host, port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let copy = input.clone();
        let writer = thread::spawn(move || stdin.write_all(&copy).unwrap());
        let ran = collect(child);
        writer.join().unwrap();
        same(&ran, &input, &format!("{program} and {runtime}"));
        server.signal(nix::sys::signal::Signal::SIGTERM);
        let served = server.end();
        let served = served.code(0).lines().pop().unwrap();
        assert_eq!((&served["received"], &served["echoed"]), (&input.len().into(), &input.len().into()));
    }
}

#[test]
fn socat_is_a_client() {
    // -t: how long to wait for the other direction after one has ended.
    as_the_server_of("socat", |host, port| strings(&["-t", "60", "-", &format!("TCP:{host}:{port}")]));
}

#[test]
fn ncat_is_a_client() {
    as_the_server_of("ncat", |host, port| strings(&[host, port]));
}

#[test]
fn a_plain_socket_is_a_client() {
    as_the_server_of("python3", |host, port| strings(&["-c", SOCKET, host, port]));
}

// Over UDP.

fn as_a_udp_client_of(peer: Option<&Peer>, targets: &[&str]) {
    let Some(Peer { addr, .. }) = peer else { return };
    let port = addr.rsplit_once(':').unwrap().1;
    let input: String = (0..20).map(|n| format!("line {n}\n")).collect();
    for target in targets {
        let target = format!("{target}:{port}");
        for runtime in RUNTIMES {
            // A peer that forks a program for each client takes its time for the first answer.
            let ping =
                ["ping", "--udp", &target, "-c", "3", "-i", "400ms", "-W", "20s", "--runtime", runtime];
            run(&[&ping[..], &["-o", "json"]].concat()).code(0).document();
            // One datagram at a time: a stream to `cat` runs them together.
            let echo = ["echo", "--udp", &target, "-W", "20s", "--window", "1", "--runtime", runtime];
            let ran = feed(&echo, input.as_bytes());
            same(&ran, input.as_bytes(), &format!("{target} and {runtime}"));
        }
    }
}

#[test]
fn socat_is_a_udp_peer() {
    let listen = |address: &'static str| {
        move |port| strings(&[&address.replace("PORT", &format!("{port}")), "EXEC:cat"])
    };
    let v4 = start_udp("socat", "127.0.0.1", listen("UDP4-LISTEN:PORT,bind=127.0.0.1,reuseaddr,fork"));
    as_a_udp_client_of(v4.as_ref(), &["127.0.0.1"]);
    let v6 = start_udp("socat", "[::1]", listen("UDP6-LISTEN:PORT,bind=[::1],reuseaddr,fork"));
    as_a_udp_client_of(v6.as_ref(), &["[::1]"]);
}

#[test]
fn socat_with_a_program_for_each_datagram_is_a_udp_peer() {
    // socat answers from a socket of its own for each datagram, bound to the port that was asked.
    let peer = start_udp("socat", "127.0.0.1", |port| {
        strings(&[&format!("UDP4-RECVFROM:{port},bind=127.0.0.1,reuseaddr,fork"), "EXEC:cat"])
    });
    as_a_udp_client_of(peer.as_ref(), &["127.0.0.1"]);
}

#[test]
fn ncat_is_a_udp_peer() {
    let peer = start_udp("ncat", "127.0.0.1", |port| {
        strings(&["-u", "-l", "-k", "-e", "/bin/cat", "127.0.0.1", &port.to_string()])
    });
    as_a_udp_client_of(peer.as_ref(), &["127.0.0.1"]);
}

#[test]
fn a_plain_udp_socket_is_a_peer() {
    for (host, bind, targets) in [
        ("127.0.0.1", "127.0.0.1", &["127.0.0.1"][..]),
        ("[::1]", "::1", &["[::1]"]),
        ("[::1]", "::", &["127.0.0.1", "[::1]"]),
    ] {
        let peer = start_udp("python3", host, |port| strings(&["-c", DATAGRAMS, bind, &port.to_string()]));
        as_a_udp_client_of(peer.as_ref(), targets);
    }
}

/// A foreign client sends lines over UDP to `serve` on either family, and to one of both.
fn as_the_udp_server_of(program: &str, args: impl Fn(&str, &str) -> Vec<String>) {
    if !installed(program) {
        return;
    }
    let input: String = (0..50).map(|n| format!("line {n}\n")).collect();
    for (listen, hosts) in
        [("127.0.0.1:0", &["127.0.0.1"][..]), ("[::1]:0", &["::1"]), ("[::]:0", &["127.0.0.1", "::1"])]
    {
        for runtime in RUNTIMES {
            let serve = ["serve", "--udp", listen, "-o", "jsonl", "--runtime", runtime];
            let server = Server::spawn(common::resound(&serve));
            let port = server.addr.rsplit_once(':').unwrap().1;
            for host in hosts {
                let mut command = Command::new(program);
                command.args(args(host, port)).stdout(Stdio::piped()).stderr(Stdio::piped());
                let ran = common::finish(command, input.as_bytes());
                same(&ran, input.as_bytes(), &format!("{program} to {host} and {runtime}"));
            }
        }
    }
}

#[test]
fn socat_is_a_udp_client() {
    // socat sends what it has read, in one datagram here. -t: how long to wait for the answer after the end of the input.
    as_the_udp_server_of("socat", |host, port| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.into() };
        strings(&["-t", "2", "-", &format!("UDP:{host}:{port}")])
    });
}

#[test]
fn a_plain_udp_socket_is_a_client() {
    as_the_udp_server_of("python3", |host, port| strings(&["-c", ASKING, host, port]));
}
