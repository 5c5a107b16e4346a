//! `resound why`, as scripts and people see it, as far as loopback has the situations. The others are in `why_rig.rs`.

#![allow(missing_docs)]

mod common;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread;

use common::{Ran, Server, collect, events, free_port, nobody, resound, run, signal, takes_signals, wait};
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};
use serde_json::Value;

/// The one finding of a run, as a document.
#[track_caller]
fn finding(ran: &Ran, code: i32) -> Value {
    let document = ran.code(code).document();
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{ran:?}");
    findings[0].clone()
}

#[track_caller]
fn why(args: &[&str], code: i32) -> Value {
    finding(&run(&[&["why", "-o", "json"], args].concat()), code)
}

/// The names of what it cannot tell apart.
fn between(finding: &Value) -> Vec<&str> {
    let between = finding["between"].as_array().unwrap();
    assert_eq!(finding["certain"], between.is_empty());
    assert_eq!(finding["decide"].is_string(), !between.is_empty());
    between.iter().map(|candidate| candidate["candidate"].as_str().unwrap()).collect()
}

fn evidence(finding: &Value) -> String {
    let evidence = finding["evidence"].as_array().unwrap();
    assert!(evidence.iter().map(|note| note["t_ns"].as_u64()).is_sorted());
    evidence.iter().map(|note| note["text"].as_str().unwrap().to_owned() + "\n").collect()
}

/// A server that does this to every connection, as long as the test runs.
fn server(mut each: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&mut each));
    addr.to_string()
}

/// A listener that never accepts and whose queue is full, and the connections in it.
fn full() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok();
    let fillers: Vec<TcpStream> = core::iter::from_fn(connect).take(8).collect();
    assert!(fillers.len() < 8, "the queue is never full");
    (listener, addr, fillers)
}

#[test]
fn a_healthy_server_is_healthy() {
    let server = Server::start(&["--udp", "127.0.0.1:0"]);
    let found = why(&[&server.addr], 0);
    assert_eq!((&found["situation"], &found["reason"]), (&"healthy".into(), &Value::Null));
    assert!(between(&found).is_empty() && evidence(&found).contains("message 0 is back"), "{found}");
    let found = why(&[&server.addr, "--watch", "4s", "-s", "100000"], 0);
    assert!(evidence(&found).contains("message 1 is back"), "{found}");
}

#[test]
fn a_closed_port_is_closed() {
    let found = why(&[&nobody()], 10);
    assert_eq!((&found["situation"], &found["reason"]), (&"port-closed".into(), &"conn-refused".into()));
    assert_eq!((&found["origin"], &found["errno"]), (&"peer".into(), &"ECONNREFUSED".into()));
    assert!(between(&found).is_empty() && evidence(&found).contains("a RST"), "{found}");
}

#[test]
fn over_udp_too() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2_048];
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..n], from);
        }
    });
    assert_eq!(why(&["--udp", &addr.to_string()], 0)["situation"], "healthy");

    let nobody = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let found = why(&["--udp", &nobody.to_string()], 10);
    assert_eq!((&found["situation"], &found["reason"]), (&"port-closed".into(), &"port-unreach".into()));
    assert_eq!((&found["icmp"]["type"], &found["icmp"]["offender"]), (&3.into(), &"127.0.0.1".into()));

    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let found = why(&["--udp", &deaf.local_addr().unwrap().to_string(), "-W", "1s"], 11);
    assert_eq!(found["situation"], "port-silent");
    assert_eq!(between(&found), ["not-answering", "port-filtered"]);
}

#[test]
fn a_datagram_that_comes_back_changed_or_from_elsewhere() {
    let server = |from: Option<UdpSocket>| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut bytes = [0; 2_048];
            while let Ok((n, to)) = socket.recv_from(&mut bytes) {
                let _ = match &from {
                    None => socket.send_to(b"who are you?", to),
                    Some(other) => other.send_to(&bytes[..n], to),
                };
            }
        });
        addr
    };
    let found = why(&["--udp", &server(None)], 15);
    assert_eq!((&found["situation"], &found["reason"]), (&"not-an-echo-server".into(), &"mismatch".into()));
    assert!(evidence(&found).contains("`who are you?`"), "{found}");
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    let found = why(&["--udp", &server(Some(other))], 11);
    assert_eq!(found["situation"], "answer-from-elsewhere");
    assert!(found["explain"].as_str().unwrap().contains("127.0.0.2"), "{found}");
}

#[test]
fn a_full_queue_is_told_from_a_host_that_is_away() {
    let (_listener, addr, _fillers) = full();
    let found = why(&[&addr.to_string(), "-W", "2s"], 11);
    assert_eq!((&found["situation"], &found["reason"]), (&"port-silent".into(), &"no-response".into()));
    assert_eq!(between(&found), ["accept-queue-full", "port-filtered"]);
    assert!(evidence(&found).contains("another port of the same address"), "{found}");
}

#[test]
fn a_connection_that_nobody_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let found = why(&[&addr, "-W", "1s"], 14);
    assert_eq!((&found["situation"], &found["reason"]), (&"peer-stalled".into(), &"peer-stalled".into()));
    assert_eq!(between(&found), ["server-hung", "not-accepted", "not-an-echo-server"]);
    assert!(evidence(&found).contains("0 of 56 bytes are not acknowledged"), "{found}");
    // Its queue has room for one connection: a second one is not answered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let found = why(&[&addr, "-W", "2s"], 14);
    assert_eq!(between(&found), ["not-accepted", "server-hung", "not-an-echo-server"], "{found}");
}

#[test]
fn a_program_that_does_not_read_shows_by_its_window() {
    let stalled = TcpListener::bind("127.0.0.1:0").unwrap();
    // Whatever `tcp_rmem` says here.
    nix::sys::socket::setsockopt(&stalled, nix::sys::socket::sockopt::RcvBuf, &65_536).unwrap();
    let addr = stalled.local_addr().unwrap().to_string();
    let found = why(&[&addr, "-W", "2s", "-s", "1000000"], 14);
    let window = (found["situation"].as_str().unwrap(), found["reason"].as_str().unwrap());
    assert_eq!(window, ("zero-window", "write-blocked"), "{found}");
    assert_eq!(between(&found), ["server-hung", "not-accepted"]);

    let eater = server(|mut stream| {
        thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    });
    let found = why(&[&eater, "-W", "2s", "-s", "1000000"], 14);
    assert_eq!(found["situation"], "peer-stalled");
    assert_eq!(between(&found), ["not-an-echo-server", "server-hung"], "{found}");
}

/// A server that a busy machine lets wait does it after the first message, which is another situation.
#[track_caller]
fn at_once(server: &str, situation: &str) -> Value {
    let found = (0..10).map(|_| why(&[server], 13)).find(|found| found["situation"] == situation);
    found.unwrap_or_else(|| panic!("never {situation}"))
}

#[test]
fn a_connection_that_is_cut_off() {
    let reset = server(|stream| {
        nix::sys::socket::setsockopt(
            &stream,
            nix::sys::socket::sockopt::Linger,
            &nix::libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .unwrap();
    });
    let found = at_once(&reset, "reset-at-once");
    assert_eq!(found["reason"], "reset");
    assert!(between(&found).contains(&"peer-restricted"));

    let closed = server(drop);
    assert_eq!(at_once(&closed, "closed-at-once")["reason"], "closed-early");

    let unanswered = server(|mut stream| assert!(stream.read(&mut [0; 100]).unwrap() > 0));
    let found = why(&[&unanswered], 13);
    assert_eq!(
        (&found["situation"], &found["reason"]),
        (&"closed-unanswered".into(), &"closed-early".into())
    );

    let unread = server(|stream| {
        let mut some = [0];
        stream.peek(&mut some).unwrap();
    });
    let found = why(&[&unread], 13);
    assert_eq!((&found["situation"], &found["reason"]), (&"reset-on-write".into(), &"reset".into()));
    // This host was not restarted meanwhile.
    assert_eq!(between(&found), ["closed-unread", "server-crashes", "in-between"]);
}

#[test]
fn a_server_that_dies_is_gone() {
    let mut server = Server::start(&[]);
    let addr = server.addr.clone();
    let mut child = resound(&["why", &addr, "--watch", "1m", "-o", "jsonl"]).spawn().unwrap();
    let mut begun = Vec::new();
    while !begun.ends_with(b"is back after") {
        let mut byte = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        begun.push(byte[0]);
    }
    server.kill();
    let mut ran = collect(child);
    ran.stdout.splice(0..0, begun);
    let lines = ran.code(13).lines();
    let found = events(&lines, "finding")[0];
    assert_eq!(found["situation"], "server-gone", "{ran:?}");
    assert_eq!(lines.last().unwrap()["event"], "diagnosed");
    assert_eq!(lines.last().unwrap()["situation"], "server-gone");
}

#[test]
fn a_server_that_hangs_after_an_answer_hangs_for_certain() {
    let hangs = server(|mut stream| {
        thread::spawn(move || {
            let mut message = [0; 56];
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&message).unwrap();
            thread::sleep(Duration::from_secs(60));
        });
    });
    let found = why(&[&hangs, "--watch", "10s", "-W", "2s"], 14);
    assert_eq!((&found["situation"], between(&found).len()), (&"peer-stalled".into(), 0));
}

#[test]
fn something_else_that_answers() {
    let http = server(|mut stream| {
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        thread::sleep(Duration::from_millis(500));
    });
    let found = why(&[&http], 15);
    assert_eq!((&found["situation"], &found["reason"]), (&"not-an-echo-server".into(), &"mismatch".into()));
    assert!(evidence(&found).contains("`HTTP/1.1 400 Bad Request"), "{found}");
    let ssh = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_10.0\r\n");
        thread::sleep(Duration::from_millis(500));
    });
    assert!(evidence(&why(&[&ssh], 15)).contains("unasked, 22 bytes"));
}

#[test]
fn a_name_that_does_not_exist() {
    let found = why(&["no-such-host.invalid"], 16);
    assert_eq!(
        (&found["situation"], &found["reason"]),
        (&"name-not-found".into(), &"name-resolution".into())
    );
    assert!(found.get("peer").is_none());
    let lines = run(&["why", "no-such-host.invalid", "-o", "jsonl"]).code(16).lines();
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["evidence", "finding", "diagnosed"]);
}

#[test]
fn what_this_host_lacks() {
    let mut command = std::process::Command::new("sh");
    let limited = format!("ulimit -n 5; exec {} why {} -o json", env!("CARGO_BIN_EXE_resound"), nobody());
    let child = command.args(["-c", &limited]).stdin(Stdio::null());
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ran = collect(child);
    // So few descriptors may be too few for the signals, which is a matter of this host too.
    assert_eq!(ran.code(17).document()["exit"], 17, "{ran:?}");
}

#[test]
fn people_see_the_finding_first() {
    let nobody = nobody();
    let ran = run(&["why", &nobody]);
    let text = ran.code(10).text();
    assert!(text.starts_with(&format!("{nobody} tcp port-closed: ")), "{text}");
    for part in [
        "\n  reason: conn-refused (peer, ECONNREFUSED)\n",
        "\n  evidence:\n",
        "\n  means: ",
        "\n  try:\n    - ",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    assert!(ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(run(&["why", &nobody, "-o", "quiet"]).code(10).text(), "");
}

#[test]
fn with_v_the_evidence_comes_first_and_once() {
    for (target, code, seen) in
        [(nobody(), 10, "ECONNREFUSED after"), ("no-such-host.invalid".into(), 16, "  name  ")]
    {
        let ran = run(&["why", "-v", &target]);
        let text = ran.code(code).text();
        assert_eq!(text.matches(seen).count(), 1, "{text}");
        assert!(text.find(seen) < text.find("\n  reason: ") && !text.contains("  evidence:\n"), "{text}");
        assert!(ran.stderr.is_empty(), "{ran:?}");
    }
}

#[test]
fn every_address_of_a_name_is_examined() {
    let Ok(v4) = TcpListener::bind("127.0.0.1:0") else { return };
    let port = v4.local_addr().unwrap().port();
    let document = run(&["why", &format!("localhost:{port}"), "-W", "1s", "-o", "json"]).code(14).document();
    let findings = document["findings"].as_array().unwrap();
    let of = |peer: String| findings.iter().find(|found| found["peer"] == *peer);
    assert_eq!(of(format!("127.0.0.1:{port}")).unwrap()["situation"], "peer-stalled");
    if findings.len() > 1 {
        assert_eq!(document["exit"], 10, "the one that does best, {document}");
    }
}

#[test]
fn an_interrupt_leaves_a_valid_document() {
    let (_listener, addr, _fillers) = full();
    for format in ["json", "jsonl", "text", "quiet"] {
        let child = resound(&["why", &addr.to_string(), "-W", "1m", "-o", format]).spawn().unwrap();
        takes_signals(&child);
        signal(&child, Signal::SIGINT);
        let ran = collect(child);
        ran.code(130);
        match format {
            "json" => assert_eq!(ran.document()["end"], "interrupted"),
            "jsonl" => assert_eq!(ran.lines().last().unwrap()["end"], "interrupted"),
            _ => {}
        }
    }
}

#[test]
fn a_message_that_fits_into_no_datagram_is_refused() {
    let ran = run(&["why", "--udp", "127.0.0.1", "-s", "65508"]);
    assert!(ran.code(2).stderr.contains("65507"), "{ran:?}");
    let ran = run(&["why", "--udp", "127.0.0.1", "-s", "65508", "-o", "json"]);
    assert_eq!(ran.code(2).document()["end"], "error");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let addr = free_port().to_string();
    for format in ["text", "json", "jsonl"] {
        let mut child = resound(&["why", &addr, "-o", format]).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(wait(&mut child).code(), Some(10), "{format}");
        assert_eq!(collect(child).stderr, "", "{format}");
    }
}

#[test]
fn help_manual_and_completions_know_it() {
    let help = run(&["why", "--help"]);
    for word in ["--watch", "--udp", "forged", "privilege", "  17 ", "  130 ", "For example:"] {
        assert!(help.code(0).text().contains(word), "{word}: {help:?}");
    }
    assert!(run(&["man", "why"]).code(0).text().contains(".SH \"EXIT STATUS\"\n"));
    assert!(run(&["completions", "fish"]).code(0).text().contains("why"));
}
