//! A write to a connection that has ended must not kill a process that has SIGPIPE at its default, as a program in C
//! that embeds this library has. Rust's own runtime ignores the signal, so this runs in a child process that resets it.

#![cfg(unix)]

use core::time::Duration;
use std::io::{IoSlice, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;

use nix::sys::signal::{SigHandler, Signal, signal};
use resound_core::signal::{Errno, Signal as Told};
use resound_core::stream::Close;
use resound_sockets::tcp::{self, DialOptions, Dialing, ListenOptions};

const HOW: &str = "RESOUND_TEST_WRITES";

#[test]
fn no_write_raises_sigpipe() {
    match std::env::var(HOW).as_deref() {
        Ok("one slice") => survive(&[b"x"]),
        Ok("two slices") => survive(&[b"x", b"y"]),
        Ok("writev") => die(),
        _ => {
            assert_eq!(child("one slice").code(), Some(0));
            assert_eq!(child("two slices").code(), Some(0));
            // The child really has the signal at its default: what std calls a vectored write kills it.
            assert_eq!(child("writev").signal(), Some(Signal::SIGPIPE as i32));
        }
    }
}

fn child(how: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_write_raises_sigpipe"])
        .env(HOW, how)
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

fn survive(bufs: &[&[u8]]) {
    let stream = ended();
    for _ in 0..3 {
        assert_eq!(tcp::write(&stream, bufs), Some(Err(Told::Errno(Errno::Pipe))));
    }
}

fn die() {
    let _ = (&ended()).write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]);
}

/// A connection that is known here to have ended, in a process that has SIGPIPE at its default.
fn ended() -> TcpStream {
    // SAFETY: SIG_DFL installs no handler, so no code can run in a signal's context.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
    let listener = tcp::listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
    let to = listener.local_addr().unwrap();
    let stream = match tcp::dial(to, &DialOptions::default()).unwrap() {
        Dialing::Up(stream, _) | Dialing::Pending(stream) => stream,
    };
    let far = loop {
        match tcp::accept(&listener).unwrap() {
            Some((far, _)) => break far,
            None => sleep(Duration::from_millis(1)),
        }
    };
    tcp::close(far, Close::Drop);
    // Half-closing our own side makes every write a broken pipe at once, whatever has arrived from over there.
    tcp::shutdown_write(&stream);
    stream
}
