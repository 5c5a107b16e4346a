//! tokio's sockets and timer.

use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use resound_async::{Direction, Left};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// tokio, as a [`Runtime`](resound_async::Runtime). Its sockets and timers are made within a runtime that has IO and
/// time enabled, as all of tokio's are.
#[derive(Clone, Copy, Debug)]
pub enum Tokio {}

impl resound_async::Runtime for Tokio {
    type Socket = Socket;
    type UdpSocket = crate::udp::Socket;
    type Timer = Timer;
}

/// A descriptor that tokio watches, edge-triggered, in both directions at once.
///
/// tokio remembers readiness until it is cleared. `try_io` clears exactly the readiness that it saw before the call
/// (`ScheduledIo::clear_readiness` compares ticks), and never that of a closed half.
///
/// A listener is one as well: tokio's own has no `try_io`, and to the reactor a descriptor is a descriptor.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl resound_async::Socket for Socket {
    type Context<'a> = Context<'a>;

    fn register(fd: OwnedFd, _: &mut Context<'_>) -> io::Result<Self> {
        TcpStream::from_std(fd.into()).map(Self)
    }

    fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match direction {
            Direction::Read => self.0.poll_read_ready(cx),
            Direction::Write => self.0.poll_write_ready(cx),
        }
    }

    fn attempt<T>(&self, direction: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        let mut answer = None;
        // Its result says only whether readiness was, or has now been, cleared.
        let _ = self.0.try_io(interest, || {
            let (value, left) = call(self.0.as_fd());
            answer = Some(value);
            match left {
                Left::Nothing => Err(io::Error::from(io::ErrorKind::WouldBlock)),
                Left::More => Ok(()),
            }
        });
        answer
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A timer of tokio's wheel, which must not move.
#[derive(Debug)]
pub struct Timer(Pin<Box<Sleep>>);

impl resound_async::Timer for Timer {
    fn after(delay: Duration) -> Self {
        Self(Box::pin(sleep(delay)))
    }

    fn reset(&mut self, delay: Duration) {
        self.0.as_mut().reset(Instant::now() + delay);
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
