//! A client must not kill a process that has SIGPIPE at its default, as a program in C that embeds it has. Rust's own
//! runtime ignores the signal, so this runs in a child process that resets it.

#![cfg(unix)]

use core::net::SocketAddr;
use core::time::Duration;
use std::net::{Shutdown, TcpListener};
use std::process::{Command as Process, Stdio};
use std::thread;

use nix::sys::signal::{SigHandler, Signal, signal};
use resound_core::signal::Reason;
use resound_core::stream::client::{Command, Config, Event};
use resound_std::{Client, Quiet};

const CHILD: &str = "RESOUND_TEST_SIGPIPE";

#[test]
fn a_write_to_a_connection_that_has_ended_kills_nobody() {
    if std::env::var_os(CHILD).is_some() {
        // SAFETY: SIG_DFL installs no handler, so no code can run in a signal's context.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        return write_to_an_end();
    }
    let status = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_write_to_a_connection_that_has_ended_kills_nobody"])
        .env(CHILD, "yes")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

fn write_to_an_end() {
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = TcpListener::bind(here).unwrap();
    let mut client = Client::connect([listener.local_addr().unwrap()], Config::default()).unwrap();
    let handle = client.handle();
    handle.command(Command::Send("never read".into())).unwrap();
    while client.next_event(Duration::from_millis(200)) != Err(Quiet::TimedOut) {}
    // FIN, then RST because something is unread: a write now says EPIPE.
    let (stream, _) = listener.accept().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(50));
    drop(stream);
    thread::sleep(Duration::from_millis(200));
    handle.command(Command::Send("too late".into())).unwrap();
    loop {
        match client.next_event(Duration::from_secs(20)).unwrap() {
            Event::Down { cause, in_flight, .. } => {
                // The end of the stream comes before EPIPE, and echoes were due.
                assert_eq!((cause.reason, in_flight), (Reason::ClosedEarly, 1));
                return;
            }
            Event::GaveUp { cause } => panic!("{cause}"),
            _ => {}
        }
    }
}
