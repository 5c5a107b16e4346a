//! What the port spares: calls that nobody needs, and turns without end.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::task::Poll;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use resound_core::stream::{Port, Ready, Via};
use resound_core::{Chunk, ConnId};
use resound_sockets::pool::Pool;
use resound_sockets::port::{Direction, Left, Lines, Socket, Switchboard};
use resound_sockets::tcp::{DialOptions, ListenOptions, accept, listen};

/// A socket of a runtime that says "ready" to every question.
#[derive(Debug)]
struct Eager(TcpStream);

impl Socket for Eager {
    type Context<'a> = ();

    fn register(fd: OwnedFd, (): &mut ()) -> io::Result<Self> {
        Ok(Self(fd.into()))
    }

    fn poll_ready(&self, _: Direction, (): &mut ()) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn attempt<T>(&self, _: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        Some(call(self.0.as_fd()).0)
    }
}

impl AsFd for Eager {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn connected() -> (Lines<Eager>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Lines::accepted(Eager(near)), listener.accept().unwrap().0)
}

/// Asks as the core's turn does, for a machine that wants to read for ever. Returns how often it was told to, and
/// whether the turn was cut short.
fn turn(lines: &mut Lines<Eager>, chunk_bytes: usize) -> (u32, bool) {
    let (dial, pool, mut told) = (DialOptions::default(), Pool::default(), 0);
    let mut context = ();
    let mut switchboard = Switchboard::new(lines, &dial, &pool, &mut context);
    while let Some(ready) = Port::<Infallible>::next_ready(&mut switchboard, |_| true) {
        assert_eq!(ready, Ready::Readable(ConnId::ONLY));
        let mut chunk = Chunk::with_capacity(chunk_bytes);
        let got = Port::<Infallible>::read(&mut switchboard, ConnId::ONLY, &mut chunk, Via::Readiness);
        assert!(matches!(got, Some(Ok(_))), "{got:?}");
        told += 1;
    }
    (told, switchboard.exhausted())
}

#[test]
fn the_end_is_read_once_whatever_the_machine_and_the_runtime_say() {
    let (mut lines, far) = connected();
    drop(far);
    assert_eq!(turn(&mut lines, 64), (1, false));
    assert_eq!(turn(&mut lines, 64), (0, false));
}

#[test]
fn a_peer_that_sends_without_end_does_not_hold_the_turn() {
    let (mut lines, mut far) = connected();
    far.write_all(&[7; 100]).unwrap();
    assert_eq!(turn(&mut lines, 1), (16, true));
    assert_eq!(turn(&mut lines, 1), (16, true));
}

/// A dial that is held up is reported to be over, again and again. Nobody believes it, and no turn goes on for it; but as
/// the runtime has promised nobody to wake the driver, another turn is due.
#[test]
fn a_dial_that_goes_on_is_not_given_up_for_reports_without_cause() {
    let listener =
        listen(([127, 0, 0, 1], 0).into(), &ListenOptions { backlog: 1, ..ListenOptions::default() })
            .unwrap();
    let addr = listener.local_addr().unwrap();
    let _full = [(); 2].map(|()| TcpStream::connect(addr).unwrap());
    let (dial, pool, mut lines) = (DialOptions::default(), Pool::default(), Lines::<Eager>::default());
    let mut context = ();
    let mut switchboard = Switchboard::new(&mut lines, &dial, &pool, &mut context);
    assert_eq!(Port::<SocketAddr>::dial(&mut switchboard, ConnId::ONLY, addr), None);
    let mut turn = || {
        let mut context = ();
        let mut switchboard = Switchboard::new(&mut lines, &dial, &pool, &mut context);
        let report = Port::<SocketAddr>::next_ready(&mut switchboard, |_| true);
        (report, switchboard.exhausted())
    };
    for _ in 0..3 {
        assert_eq!(turn(), (None, true));
    }
    accept(&listener).unwrap().unwrap();
    // The SYN is sent again after a second.
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        if let (Some(report), _) = turn() {
            break report;
        }
        assert!(Instant::now() < until, "the dial does not end");
        sleep(Duration::from_millis(10));
    };
    assert!(matches!(report, Ready::Dialed(ConnId::ONLY, Ok(_))), "{report:?}");
}
