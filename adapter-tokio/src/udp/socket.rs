//! tokio's UDP socket, as a driver needs it.
//!
//! # What tokio does not tell
//!
//! **An error alone.** An ICMP error makes a UDP socket ready for nothing (`EPOLLERR` without `EPOLLIN`). `poll_read_ready`
//! and `readable()` sleep on. Only `ready(READABLE | ERROR)` ends, and it is a future that borrows the socket. So one such
//! future after the other runs inside a task of its own making, [`Watch`], that is made once.
//!
//! # What tokio tells too often
//!
//! **Room, after each datagram.** Whoever waits for `EPOLLOUT` at an edge is woken whenever a datagram that was sent leaves
//! the socket's buffer (`sock_def_write_space`), full or not, and tokio's `UdpSocket` always does. So arrivals are watched
//! by an [`AsyncFd`] that waits for nothing else.
//!
//! **Room, after an error.** mio takes `EPOLLOUT` with `EPOLLERR` for a closed pipe (`is_write_closed`), and tokio keeps
//! "closed" for ever (`ScheduledIo::clear_readiness`). From the first error on a socket is always writable to it, and
//! whoever waits for room would spin. So room is waited for on a second descriptor of the same socket, which tokio comes to
//! know when the socket is full, and forgets when there is room.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, Ordering};
use core::task::{Context, Poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use resound_async::Left;
use resound_async::udp::Want;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;

/// What [`Watch`] waits for. For waiting only: `try_io` takes no combination (`Interest::mask`), and makes no call then.
const ARRIVED: Interest = Interest::READABLE.add(Interest::ERROR);

const READ: u8 = 1;
const ERRORS: u8 = 2;

/// A UDP socket that tokio watches, edge-triggered.
///
/// tokio remembers readiness until it is cleared, and `try_io` clears exactly what it saw before the call. A read also
/// clears what was seen of errors: on a socket without an error queue nothing else would.
pub struct Socket {
    socket: Arc<AsyncFd<OwnedFd>>,
    watch: Watch,
    room: Room,
    runtime: Handle,
}

/// A second descriptor of the socket: there from the beginning, because when the socket is full there may be none left.
enum Room {
    Unwatched(std::net::UdpSocket),
    Awaited(UdpSocket),
    /// tokio could not watch it.
    Lost,
}

/// Waits for datagrams and for errors, again and again; ends only if tokio cannot.
struct Watch {
    waiting: Pin<Box<dyn Future<Output = io::Error> + Send>>,
    /// What it saw last, and nobody has used up.
    seen: Arc<AtomicU8>,
}

impl Watch {
    fn new(socket: Arc<AsyncFd<OwnedFd>>) -> Self {
        let seen = Arc::new(AtomicU8::new(0));
        let tell = seen.clone();
        let waiting = Box::pin(async move {
            loop {
                match socket.ready(ARRIVED).await {
                    Ok(seen) => tell.store(flags(seen.ready()), Ordering::Relaxed),
                    Err(error) => return error,
                }
                let mut told = Poll::Pending;
                poll_fn(|_| core::mem::replace(&mut told, Poll::Ready(()))).await;
            }
        });
        Self { waiting, seen }
    }

    fn used(&self, flag: u8) {
        self.seen.fetch_and(!flag, Ordering::Relaxed);
    }

    fn poll(&mut self, flag: u8, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seen.load(Ordering::Relaxed) & flag == 0 {
            if let Poll::Ready(error) = self.waiting.as_mut().poll(cx) {
                return Poll::Ready(Err(error));
            }
        }
        if self.seen.load(Ordering::Relaxed) & flag == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl Room {
    fn poll(&mut self, runtime: &Handle, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let awaited = match core::mem::replace(self, Self::Lost) {
            Self::Unwatched(socket) => {
                let _runtime = runtime.enter();
                // To be added to epoll is to be told the state of things.
                UdpSocket::from_std(socket)?
            }
            Self::Awaited(socket) => socket,
            Self::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        let ready = awaited.poll_send_ready(cx)?;
        *self = if ready.is_ready() { Self::Unwatched(awaited.into_std()?) } else { Self::Awaited(awaited) };
        ready.map(Ok)
    }
}

impl resound_async::udp::Socket for Socket {
    type Context<'a> = Context<'a>;

    fn register(fd: OwnedFd, _: &mut Context<'_>) -> io::Result<Self> {
        let room = Room::Unwatched(fd.try_clone()?.into());
        let socket = Arc::new(watched(fd)?);
        Ok(Self { watch: Watch::new(socket.clone()), socket, room, runtime: Handle::current() })
    }

    fn poll_ready(&mut self, want: Want, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match want {
            Want::Read => self.watch.poll(READ, cx),
            Want::Errors => self.watch.poll(ERRORS, cx),
            Want::Write => self.room.poll(&self.runtime, cx),
        }
    }

    fn attempt<T>(&mut self, want: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        let (mut call, mut answer) = (Some(call), None);
        let mut make = || {
            let (value, left) = call.take()?(self.socket.as_fd());
            answer = Some(value);
            Some(left)
        };
        match want {
            Want::Read => {
                self.watch.used(READ);
                self.forgetting(Interest::ERROR, || self.forgetting(Interest::READABLE, &mut make));
            }
            Want::Errors => {
                self.watch.used(ERRORS);
                self.forgetting(Interest::ERROR, make);
            }
            // Whether there is room is only waited for where there was none.
            Want::Write => drop(make()),
        }
        answer
    }
}

/// An `OwnedFd` says the same descriptor each time and closes it when it is dropped; only of types that do not is the
/// function unsound.
#[allow(
    deprecated,
    reason = "what follows it is unsafe, for the sake of types that lie about their descriptor"
)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, ARRIVED)
}

impl Socket {
    /// Makes a call, whatever tokio believes. If it left nothing, tokio forgets what it had seen before.
    fn forgetting(&self, interest: Interest, call: impl FnOnce() -> Option<Left>) -> Option<Left> {
        let (mut call, mut left) = (Some(call), None);
        // Its result says only whether readiness was, or has now been, cleared.
        let _ = self.socket.try_io(interest, |_| {
            left = call.take().and_then(|call| call());
            match left {
                Some(Left::Nothing) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
                Some(Left::More) | None => Ok(()),
            }
        });
        // It is not called where tokio has seen nothing; then there is nothing to forget.
        call.map_or(left, |call| call())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// What a report is worth. An error that has no entry in the queue is told by the next read.
fn flags(ready: Ready) -> u8 {
    let errors = if ready.is_error() { READ | ERRORS } else { 0 };
    let read = if ready.is_readable() { READ } else { 0 };
    errors | read
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::time::Duration;
    use std::os::unix::net::UnixDatagram;

    use resound_async::udp::Socket as _;

    use super::*;

    /// Fills the other end's queue; a Unix socket is used because loopback takes whatever a UDP socket sends.
    fn fill(socket: &mut Socket, full: &UnixDatagram) {
        loop {
            let sent = socket.attempt(Want::Write, |_| {
                let sent = full.send(b"x");
                let left = if sent.is_ok() { Left::More } else { Left::Nothing };
                (sent, left)
            });
            if let Err(error) = sent.unwrap() {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return;
            }
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_room_after_an_error_sleeps_until_there_is_some() {
        let dir = std::env::temp_dir().join(std::format!("resound-room-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let [elsewhere, reader] =
            ["elsewhere", "reader"].map(|name| UnixDatagram::bind(dir.join(name)).unwrap());
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let same = ours.try_clone().unwrap();
        let mut socket =
            poll_fn(|cx| Poll::Ready(Socket::register(same.try_clone().unwrap().into(), cx).unwrap())).await;

        // An error: ECONNRESET, because the peer has chosen another and will not read what it was sent.
        ours.send(b"x").unwrap();
        theirs.connect(dir.join("elsewhere")).unwrap();
        poll_fn(|cx| socket.poll_ready(Want::Errors, cx)).await.unwrap();
        let error =
            socket.attempt(Want::Read, |_| (ours.recv(&mut [0]).unwrap_err(), Left::Nothing)).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        ours.connect(dir.join("reader")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        for _ in 0..2 {
            fill(&mut socket, &ours);
            let mut woken = 0;
            let mut watched = pin!(tokio::time::sleep(Duration::from_millis(50)));
            poll_fn(|cx| {
                assert!(socket.poll_ready(Want::Write, cx).is_pending(), "there is no room");
                woken += 1;
                watched.as_mut().poll(cx)
            })
            .await;
            assert!(woken < 10, "it was woken {woken} times for nothing");
            reader.set_nonblocking(true).unwrap();
            while reader.recv(&mut [0]).is_ok() {}
            poll_fn(|cx| socket.poll_ready(Want::Write, cx)).await.unwrap();
        }
        drop(elsewhere);
    }
}
