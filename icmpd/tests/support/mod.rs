//! A daemon in this process, on a socket of its own.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part of it")]

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use resound_icmpd::client::{Client, RegisterError};
use resound_icmpd::daemon::Daemon;
use resound_icmpd::listener::{Access, Listener};
use resound_icmpd::machine::Limits;
use resound_icmpd::protocol::{Event, Icmp, Line, Place};
use resound_icmpd::sources::{CannotHear, Sources};
use resound_sockets::poll::Waker;

/// Nothing here takes this long, even on a machine with many other things to do.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Running {
    pub socket: PathBuf,
    stop: Arc<Waker>,
    lines: Arc<Mutex<Vec<Line>>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// `None`, and a word on standard error, without the capability.
    pub fn start(limits: Limits) -> Option<Self> {
        let sources = match Sources::open() {
            Err(CannotHear::NotPermitted) => {
                eprintln!("SKIPPED: raw sockets need CAP_NET_RAW");
                return None;
            }
            sources => sources.unwrap(),
        };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let socket = std::env::temp_dir().join(format!("icmpd-test-{}-{number}", std::process::id()));
        let listener = Listener::bind(&socket, &Access::Owner).unwrap();
        let (stop, lines) = (Arc::new(Waker::new().unwrap()), Arc::new(Mutex::new(Vec::new())));
        let thread = thread::spawn({
            let (stop, lines) = (Arc::clone(&stop), Arc::clone(&lines));
            move || {
                let mut daemon = Daemon::start(sources, listener, limits).unwrap();
                daemon.run(&stop, |line| lines.lock().unwrap().push(line)).unwrap();
            }
        });
        Some(Self { socket, stop, lines, thread: Some(thread) })
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.socket).unwrap()
    }

    /// Ends it; all that it wrote.
    pub fn end(mut self) -> Vec<Line> {
        self.stop.wake();
        self.thread.take().unwrap().join().unwrap();
        assert!(!self.socket.exists(), "the socket file is left");
        let lines = self.lines.lock().unwrap();
        lines.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.wake();
    }
}

/// An address where nobody takes what comes in, for as long as this is kept: the port belongs to a socket that is connected
/// elsewhere.
pub struct Nobody {
    pub addr: SocketAddr,
    _socket: UdpSocket,
}

pub fn nobody(ip: impl Into<IpAddr>) -> Nobody {
    let ip = ip.into();
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.connect((ip, 1)).unwrap();
    Nobody { addr: socket.local_addr().unwrap(), _socket: socket }
}

/// The next line. Not one that says that the daemon had too much to hear: it hears the whole host.
#[track_caller]
pub fn next(client: &mut Client) -> Event {
    loop {
        let event = client.next(Some(LONG)).unwrap().expect("the daemon says nothing").event;
        if !matches!(event, Event::Dropped { at: Place::Daemon, .. }) {
            return event;
        }
    }
}

/// The next line, which is about a datagram that failed.
#[track_caller]
pub fn next_icmp(client: &mut Client) -> Arc<Icmp> {
    match next(client) {
        Event::Icmp(icmp) => icmp,
        other => panic!("{other:?}"),
    }
}

/// It says nothing. What it was not to say has been said to somebody else already.
#[track_caller]
pub fn silent(client: &mut Client) {
    assert_eq!(client.next(Some(Duration::from_millis(50))).unwrap(), None);
}

/// Why it was refused.
#[track_caller]
pub fn refused<T: core::fmt::Debug>(result: Result<T, RegisterError>) -> String {
    match result {
        Err(RegisterError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Tries until it is so.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONG, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
