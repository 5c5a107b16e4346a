//! The experiments of `resound serve`: each switch is seen to act by a client on the other end, on every runtime.

#![allow(missing_docs)]

mod common;

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, ChildStdout};
use std::time::Instant;

use common::{RUNTIMES, Ran, Server, collect, events, resound, run, signal};
use nix::sys::signal::Signal::SIGINT;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use resound_sockets::tcp;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// What the kernel says of two clocks may differ by a tick or two.
const TICK: Duration = Duration::from_millis(20);

/// A socket with an address of this host, and a port that nobody else gets meanwhile.
fn bound(last: u8) -> (OwnedFd, SocketAddr) {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, last, 0)).unwrap();
    let addr: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
    (fd, SocketAddrV4::from(addr).into())
}

/// Whoever is turned away may hear of it here.
fn connect_bound(fd: OwnedFd, to: &str) -> io::Result<TcpStream> {
    let to: SocketAddrV4 = to.parse().unwrap();
    nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(patient(fd.into()))
}

fn is_turned_away(stream: io::Result<TcpStream>) -> bool {
    stream.map_or(true, |stream| echo(&stream).is_err())
}

fn connect(to: &str) -> TcpStream {
    patient(TcpStream::connect(to).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"hi")?;
    stream.read_exact(&mut [0; 2])
}

/// Ends it in good order; its lines.
fn drained(server: Server) -> Vec<serde_json::Value> {
    server.signal(SIGINT);
    let ran: Ran = server.end();
    ran.code(0).lines()
}

/// Writes until nothing has gone for a while; how much went.
fn fill(mut stream: &TcpStream) -> usize {
    stream.set_write_timeout(Some(MS(400))).unwrap();
    let mut written = 0;
    loop {
        match stream.write(&[7; 4_096]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
        assert!(written < 1 << 30, "it reads");
    }
}

#[test]
fn a_small_receive_buffer_that_nobody_reads_closes_the_window() {
    for runtime in RUNTIMES {
        let small = ["--receive-buffer", "4000", "--pause-read", "1h", "--drain-timeout", "5m"];
        let server = Server::start(&[&["--runtime", runtime][..], &small].concat());
        let stream = connect(&server.addr);
        setsockopt(&stream, sockopt::SndBuf, &8_000).unwrap();
        // Two small buffers; by default the kernel would take 64 KiB at once, and far more as it goes on.
        let taken = fill(&stream);
        assert!(taken < 50_000, "{runtime}: {taken}");
        stream.set_nonblocking(true).unwrap();
        let early = (&stream).read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "{runtime}: nothing was read, so nothing comes back");
        stream.set_nonblocking(false).unwrap();
        if let Some(view) = tcp::kernel_view(&stream) {
            // Linux grants half of twice what was asked for, and ends at less than a segment.
            assert!(view.unsent > 0, "{runtime}: {view:?}");
            assert!(view.peer_window.is_none_or(|window| window < 4_000), "{runtime}: {view:?}");
        }
        // A drain ends the pause, and everything is echoed.
        server.signal(SIGINT);
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        let lines = server.end().code(0).lines();
        let ended = events(&lines, "ended")[0];
        assert_eq!((&ended["reason"], &ended["echoed"]), (&"closed".into(), &back.len().into()), "{runtime}");
        assert!(back.len() > 4_000, "{runtime}");
    }
}

#[test]
fn a_pause_before_the_first_read_keeps_the_echo_back_and_then_is_over() {
    for runtime in RUNTIMES {
        let server =
            Server::start(&["--runtime", runtime, "--pause-read", "500ms", "--idle-timeout", "300ms"]);
        let began = Instant::now();
        let stream = connect(&server.addr);
        echo(&stream).unwrap();
        assert!(began.elapsed() + TICK >= MS(500), "{runtime}: {:?}", began.elapsed());
        drop(stream);
        assert_eq!(
            events(&drained(server), "ended")[0]["echoed"],
            2,
            "{runtime}: it is not idle before it listens"
        );
    }
}

#[test]
fn a_pause_before_the_close_keeps_the_end_back() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime, "--pause-close", "500ms"]);
        let mut stream = connect(&server.addr);
        echo(&stream).unwrap();
        let began = Instant::now();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "{runtime}");
        assert!(began.elapsed() + TICK >= MS(500), "{runtime}: {:?}", began.elapsed());
        assert_eq!(events(&drained(server), "ended")[0]["reason"], "closed", "{runtime}");
    }
}

#[test]
fn the_queue_takes_one_more_than_its_length_while_nothing_is_accepted() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime, "--backlog", "1", "--pause-accept", "1h"]);
        let addr = server.addr.parse().unwrap();
        let _queued = [connect(&server.addr), connect(&server.addr)];
        let third = TcpStream::connect_timeout(&addr, MS(700));
        assert_eq!(third.map_err(|error| error.kind()).err(), Some(ErrorKind::TimedOut), "{runtime}");
        let lines = drained(server);
        assert_eq!(lines.last().unwrap()["accepted"], 0, "{runtime}: a drain waits for no pause");
    }
}

#[test]
fn a_pause_before_the_first_accept_is_over_at_its_time() {
    for runtime in RUNTIMES {
        let began = Instant::now();
        let server = Server::start(&["--runtime", runtime, "--pause-accept", "700ms"]);
        let stream = connect(&server.addr);
        echo(&stream).unwrap();
        assert!(began.elapsed() + TICK >= MS(700), "{runtime}: {:?}", began.elapsed());
        drop(stream);
        assert_eq!(drained(server).last().unwrap()["accepted"], 1, "{runtime}");
    }
}

#[test]
fn with_no_time_to_linger_the_end_is_a_reset() {
    for runtime in RUNTIMES {
        for (more, end) in [(&[][..], Ok(0)), (&["--linger", "0"], Err(ErrorKind::ConnectionReset))] {
            let server = Server::start(&[&["--runtime", runtime][..], more].concat());
            let mut stream = connect(&server.addr);
            echo(&stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).map_err(|error| error.kind()), end, "{runtime} {more:?}");
        }
    }
}

#[test]
fn a_foreign_address_is_served_and_nobody_else() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime, "--foreign", "127.0.0.2"]);
        assert!(is_turned_away(connect_bound(bound(1).0, &server.addr)), "{runtime}");
        echo(&connect_bound(bound(2).0, &server.addr).unwrap()).unwrap();
        let lines = drained(server);
        let refused = events(&lines, "refused");
        assert_eq!(refused.len(), 1, "{runtime}");
        assert!(refused[0]["why"].as_str().unwrap().contains("another address"), "{refused:?}");
    }
}

#[test]
fn a_foreign_port_is_served_and_no_other() {
    for runtime in RUNTIMES {
        let (known, addr) = bound(1);
        let server = Server::start(&["--runtime", runtime, "--foreign", &addr.to_string()]);
        assert!(is_turned_away(connect_bound(bound(1).0, &server.addr)), "{runtime}");
        echo(&connect_bound(known, &server.addr).unwrap()).unwrap();
        assert_eq!(drained(server).last().unwrap()["accepted"], 1, "{runtime}");
    }
}

#[test]
fn servers_that_all_say_so_share_a_port_and_its_connections() {
    for runtime in RUNTIMES {
        let first = Server::start(&["--runtime", runtime, "--reuse-port"]);
        run(&["serve", "--tcp", &first.addr, "--runtime", runtime]).code(17);
        let second = Server::start_with(&first.addr.clone(), &["--runtime", runtime, "--reuse-port"]);
        for _ in 0..64 {
            // Each from another port, and so to one or the other.
            echo(&connect(&first.addr)).unwrap();
        }
        let accepted =
            [first, second].map(|server| drained(server).last().unwrap()["accepted"].as_u64().unwrap());
        assert_eq!(accepted.iter().sum::<u64>(), 64, "{runtime}");
        assert!(accepted.iter().all(|n| *n > 0), "{runtime}: {accepted:?}");
    }
}

/// A server that writes for people, and its first line.
fn for_people(args: &[&str]) -> (Child, String, BufReader<ChildStdout>) {
    let mut child = resound(&[&["serve"], args].concat()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    (child, line, stdout)
}

fn text_of(child: Child, mut stdout: BufReader<ChildStdout>) -> String {
    signal(&child, SIGINT);
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    collect(child).code(0);
    text
}

fn port_in(line: &str) -> &str {
    line.split(' ').find_map(|word| word.strip_prefix("0.0.0.0:")).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn the_address_that_was_asked_is_shown() {
    for runtime in RUNTIMES {
        let (child, line, stdout) =
            for_people(&["--tcp", "0.0.0.0:0", "--runtime", runtime, "--show-destination"]);
        let port = port_in(&line);
        let asked = ["127.0.0.1", "127.0.0.5"].map(|ip| format!("{ip}:{port}"));
        asked.iter().for_each(|addr| echo(&connect(addr)).unwrap());
        let text = text_of(child, stdout);
        for addr in asked {
            assert!(text.contains(&format!("accepted on {addr}\n")), "{runtime}: {text}");
        }
        assert!(!text.contains("SO_RCVBUF"), "{runtime}: that is for -v: {text}");

        let server = Server::start(&["--runtime", runtime]);
        echo(&connect(&server.addr)).unwrap();
        let addr = server.addr.clone();
        assert_eq!(events(&drained(server), "accepted")[0]["local"], addr.as_str(), "{runtime}");
    }
}

#[test]
fn each_connection_s_options_are_read_back_and_compared_with_what_was_asked() {
    for runtime in RUNTIMES {
        let args = ["--tcp", "0.0.0.0:0", "--runtime", runtime, "-v", "--receive-buffer", "8000"];
        let more = ["--send-buffer", "9000", "--linger", "0", "--reuse-port", "--backlog", "2147483647"];
        let (child, line, stdout) = for_people(&[&args[..], &more].concat());
        echo(&connect(&format!("127.0.0.1:{}", port_in(&line)))).unwrap();
        let text = text_of(child, stdout);
        let (listener, connection) = text.split_once("accepted on").unwrap();
        for told in [listener, connection] {
            for line in [
                "SO_RCVBUF        16000 bytes (asked for 8000 bytes)\n",
                "SO_SNDBUF        18000 bytes (asked for 9000 bytes)\n",
                "SO_LINGER        0s\n",
                "SO_REUSEADDR     on\n",
                "SO_REUSEPORT     on\n",
            ] {
                assert!(told.contains(line), "{runtime}: {line} in {text}");
            }
        }
        assert!(connection.contains("TCP_NODELAY      on\n"), "{runtime}: {text}");
        let longest = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let backlog = format!("backlog          {} (asked for 2147483647)\n", longest.trim());
        assert!(listener.contains(&backlog) && !connection.contains("backlog"), "{runtime}: {text}");
    }
}

#[test]
fn what_cannot_be_is_a_matter_of_usage() {
    for (option, value, why) in [
        ("--linger", "5s", "only 0"),
        ("--receive-buffer", "0", "1.."),
        ("--send-buffer", "many", "invalid"),
        ("--backlog", "-1", "--backlog"),
        ("--pause-read", "soon", "200ms"),
        ("--pause-accept", "0", "at least 1ms"),
        ("--foreign", "localhost", "names are not looked up"),
        ("--foreign", "127.0.0.1:0", "leave the port out"),
    ] {
        let ran = run(&["serve", &format!("{option}={value}")]);
        assert!(ran.code(2).stderr.contains(option) && ran.stderr.contains(why), "{ran:?}");
    }
}
