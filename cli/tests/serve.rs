//! `resound serve`: what it says, and how it ends.

#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use common::{APART, RUNTIMES, Ran, Server, collect, events, free_port, resound, run, signal, takes_signals};
use nix::sys::signal::Signal;

fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"hi").unwrap();
    let mut back = [0; 2];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hi");
    stream
}

#[test]
fn the_first_interrupt_drains() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        let mut stream = connect(&server);
        server.signal(Signal::SIGTERM);
        // The server half-closes; what this side still does is its own business.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{runtime}");
        drop(stream);
        let ran = server.end();
        let lines = ran.code(0).lines();
        let ended = events(&lines, "ended")[0];
        assert_eq!((&ended["received"], &ended["echoed"]), (&2.into(), &2.into()));
        let served = lines.last().unwrap();
        assert_eq!((&served["event"], &served["end"]), (&"served".into(), &"count".into()));
        assert_eq!((&served["accepted"], &served["ended"]), (&1.into(), &1.into()));
        assert!(ran.stderr.contains("draining"), "{ran:?}");
    }
}

#[test]
fn the_second_interrupt_resets() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime, "--drain-timeout", "50s"]);
        let mut stream = connect(&server);
        server.signal(Signal::SIGINT);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{runtime}");
        thread::sleep(APART);
        server.signal(Signal::SIGINT);
        let ran = server.end();
        assert_eq!(ran.code(130).lines().last().unwrap()["end"], "interrupted");
        let gone =
            stream.read(&mut [0; 8]).map(|_| stream.write_all(b"x").and_then(|()| stream.write_all(b"y")));
        assert!(!matches!(gone, Ok(Ok(()))), "{runtime}: {gone:?}");
    }
}

/// Ends it in good order; its lines.
fn drained(server: Server) -> Vec<serde_json::Value> {
    server.signal(Signal::SIGINT);
    let ran: Ran = server.end();
    ran.code(0).lines()
}

#[test]
fn limits_turn_connections_away_and_say_so() {
    for runtime in RUNTIMES {
        for (limit, why) in [("--max-connections", "the server"), ("--max-per-address", "the address")] {
            let server = Server::start(&[limit, "1", "--runtime", runtime]);
            let first = connect(&server);
            let mut second = TcpStream::connect(&server.addr).unwrap();
            assert!(matches!(second.read(&mut [0; 1]), Ok(0) | Err(_)));
            drop(first);
            let lines = drained(server);
            let refused = events(&lines, "refused");
            assert_eq!(refused.len(), 1, "{runtime}");
            assert!(refused[0]["why"].as_str().unwrap().contains(why), "{refused:?}");
            assert_eq!(lines.last().unwrap()["refused"], 1);
        }
    }
}

#[test]
fn an_idle_connection_is_closed() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--idle-timeout", "200ms", "--runtime", runtime]);
        let mut stream = connect(&server);
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
        drop(stream);
        assert_eq!(events(&drained(server), "ended")[0]["origin"], "timer", "{runtime}");
    }
}

#[test]
fn a_client_that_never_reads_is_reset() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--stall-timeout", "300ms", "--runtime", runtime]);
        let mut stream = connect(&server);
        while stream.write_all(&[0; 65_536]).is_ok() {}
        let lines = drained(server);
        let ended = events(&lines, "ended")[0];
        assert_eq!(ended["reason"], "write-blocked", "{runtime}");
        assert!(ended["received"].as_u64() >= ended["echoed"].as_u64());
    }
}

#[test]
fn without_descriptors_it_pauses_says_so_and_goes_on() {
    for runtime in RUNTIMES {
        let line = format!(
            "ulimit -n 32; exec {} serve --tcp 127.0.0.1:0 -o jsonl --runtime {runtime}",
            env!("CARGO_BIN_EXE_resound")
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        let server = Server::spawn(command);
        let many: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(&server.addr).unwrap()).collect();
        let mut last = many.last().unwrap();
        last.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        last.write_all(b"hi").unwrap();
        let waits = last.read(&mut [0; 2]);
        assert!(waits.is_err(), "{runtime}: there is no descriptor for it: {waits:?}");
        drop(many);
        drop(connect(&server));
        let lines = drained(server);
        let failed = events(&lines, "accept_failed");
        assert!(failed.iter().all(|failed| failed["reason"] == "too-many-files"), "{runtime}: {failed:?}");
        assert!((1..100).contains(&failed.len()), "{runtime}: {} failures: it spins", failed.len());
        let served = lines.last().unwrap();
        assert_eq!((&served["accepted"], &served["ended"]), (&41.into(), &41.into()), "{runtime}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_stops_neither_the_server_nor_the_interrupts() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        // More events than the pipe holds.
        for _ in 0..800 {
            drop(connect(&server));
        }
        let mut stream = connect(&server);
        server.signal(Signal::SIGINT);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{runtime}");
        drop(stream);
        let ran = server.end();
        assert_eq!(ran.code(0).lines().last().unwrap()["ended"], 801, "{runtime}");
    }
}

#[test]
fn a_privileged_port_is_one_clear_line() {
    let limit = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if limit.map_or(true, |limit| limit.trim() == "0") {
        return println!("skipped: no port is privileged here");
    }
    let mut command = resound(&["serve", "--tcp", "127.0.0.1:1"]);
    if nix::unistd::geteuid().is_root() {
        // A user without privileges; the program itself may be where only root can read.
        command.uid(65_534);
    }
    let Ok(child) = command.spawn() else { return println!("skipped: nobody cannot run the program") };
    let ran = collect(child);
    assert_eq!(ran.code(17).stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("permission denied") && ran.stderr.contains("privilege"), "{ran:?}");
}

#[test]
fn text_names_the_port_and_with_v_each_connection() {
    let child = resound(&["serve", "--tcp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "-v"]).spawn().unwrap();
    takes_signals(&child);
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    let text = ran.code(0).text();
    assert_eq!(text.matches("SO_RCVBUF").count(), 2, "the kernel's own figures: {text}");
    let ports: Vec<&str> = text.lines().filter(|line| line.starts_with("listening on 127.0.0.1:")).collect();
    assert_eq!(ports.len(), 2, "{text}");
    assert!(!text.contains("127.0.0.1:0 "), "{text}");
}

#[test]
fn a_document_at_the_end() {
    let child = resound(&["serve", "--tcp", "127.0.0.1:0", "-o", "json"]).spawn().unwrap();
    takes_signals(&child);
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    let document = ran.code(0).document();
    assert_eq!(document["listening"].as_array().unwrap().len(), 1);
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for runtime in RUNTIMES {
        let ran = run(&["serve", "--tcp", &addr, "--runtime", runtime]);
        assert_eq!(ran.code(17).stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(&addr) && ran.stderr.contains("in use"), "{ran:?}");
    }
    let ran = run(&["serve", "--tcp", &addr, "-o", "json"]);
    assert!(ran.code(17).document()["error"].as_str().unwrap().contains("in use"));
}

#[test]
fn an_address_of_another_host_is_one_clear_line() {
    let ran = run(&["serve", "--tcp", "192.0.2.1:0"]);
    assert_eq!(ran.code(17).stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("this host does not have that address"), "{ran:?}");
    let ran = run(&["serve", "--tcp", "[fe80::1]:0"]);
    assert_eq!(ran.code(17).stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("needs its interface"), "{ran:?}");
}

#[test]
fn if_one_of_several_addresses_fails_none_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (free, used) = (free_port().to_string(), taken.local_addr().unwrap().to_string());
    run(&["serve", "--tcp", &free, "--tcp", &used]).code(17);
    assert!(TcpStream::connect(&free).is_err());
}

#[test]
fn a_malformed_address_is_a_matter_of_usage() {
    for bad in ["localhost:7", "127.0.0.1:99999", "[::1", ""] {
        let ran = run(&["serve", "--tcp", bad]);
        assert!(ran.code(2).stderr.contains("--tcp"), "{ran:?}");
    }
}

#[test]
fn two_signals_at_once_are_one_request() {
    let server = Server::start(&["--drain-timeout", "50s"]);
    let mut stream = connect(&server);
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGINT);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    thread::sleep(APART);
    drop(stream);
    let ran = server.end();
    assert_eq!(ran.code(0).lines().last().unwrap()["end"], "count");
    assert!(!ran.stderr.contains("aborting"), "{ran:?}");
}

/// `sh -c` with `resound serve` at its end.
fn under_shell(before: &str, args: &str) -> Command {
    LazyLock::force(&common::HEARS);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec {} serve {args}", env!("CARGO_BIN_EXE_resound"))]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let server = Server::spawn(under_shell("trap '' HUP", "--tcp 127.0.0.1:0 -o jsonl"));
    server.signal(Signal::SIGHUP);
    thread::sleep(APART);
    drop(connect(&server));
    drained(server);
}

#[test]
fn whatever_is_missing_at_the_start_is_one_clear_line() {
    for format in ["text", "jsonl", "json"] {
        let args = format!("--runtime std --tcp 127.0.0.1:0 -o {format}");
        let ran = collect(under_shell("ulimit -n 6", &args).spawn().unwrap());
        assert_eq!(ran.code(17).stderr.lines().count(), 1, "{ran:?}");
        let error = match format {
            "jsonl" => ran.lines().last().unwrap()["error"].clone(),
            "json" => ran.document()["error"].clone(),
            _ => continue,
        };
        assert!(ran.stderr.contains(error.as_str().unwrap()), "{ran:?}");
    }
}

#[test]
fn it_serves_on_when_nobody_reads_what_it_says() {
    let mut child = resound(&["serve", "--tcp", "127.0.0.1:0", "--json"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(listening["local"].as_str().unwrap()).unwrap();
        stream.write_all(b"hi").unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    assert_eq!(ran.code(0).stderr.matches("goes on without it").count(), 1, "{ran:?}");
}
