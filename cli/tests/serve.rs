//! `resound serve`: what it says, and how it ends.

#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{RUNTIMES, Server, collect, events, free_port, resound, run, signal};
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
        server.signal(Signal::SIGINT);
        let ran = server.end();
        assert_eq!(ran.code(130).lines().last().unwrap()["end"], "interrupted");
        let gone =
            stream.read(&mut [0; 8]).map(|_| stream.write_all(b"x").and_then(|()| stream.write_all(b"y")));
        assert!(!matches!(gone, Ok(Ok(()))), "{runtime}: {gone:?}");
    }
}

#[test]
fn limits_turn_connections_away_and_say_so() {
    let server = Server::start(&["--max-connections", "1"]);
    let first = connect(&server);
    let mut second = TcpStream::connect(&server.addr).unwrap();
    assert!(matches!(second.read(&mut [0; 1]), Ok(0) | Err(_)));
    drop(first);
    server.signal(Signal::SIGINT);
    let ran = server.end();
    let lines = ran.code(0).lines();
    assert_eq!(events(&lines, "refused").len(), 1);
    assert_eq!(lines.last().unwrap()["refused"], 1);
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start(&["--idle-timeout", "200ms"]);
    let mut stream = connect(&server);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    server.signal(Signal::SIGINT);
    let ran = server.end();
    assert_eq!(events(&ran.code(0).lines(), "ended")[0]["origin"], "timer");
}

#[test]
fn text_names_the_port_and_with_v_each_connection() {
    let child = resound(&["serve", "--tcp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "-v"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    let text = ran.code(0).text();
    let ports: Vec<&str> = text.lines().filter(|line| line.starts_with("listening on 127.0.0.1:")).collect();
    assert_eq!(ports.len(), 2, "{text}");
    assert!(!text.contains("127.0.0.1:0 "), "{text}");
}

#[test]
fn a_document_at_the_end() {
    let child = resound(&["serve", "--tcp", "127.0.0.1:0", "-o", "json"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
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
