//! The sockets and the timer of async-io, the reactor of smol.

use alloc::sync::Arc;
use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use async_io::Async;
use resound_async::{Direction, Left};

use crate::bell::Bell;

/// smol, as a [`Runtime`](resound_async::Runtime). It works under any executor: async-io brings its own reactor, on a
/// thread of its own or within `async_io::block_on`.
#[derive(Clone, Copy, Debug)]
pub enum Smol {}

impl resound_async::Runtime for Smol {
    type Socket = Socket;
    type UdpSocket = crate::udp::Socket;
    type Timer = Timer;
}

/// A descriptor that async-io watches, level-triggered, once per registration.
///
/// async-io remembers no readiness that could be relied on: a call is always made, and waiting always asks the kernel.
/// One wait costs six system calls: `epoll_ctl` for each socket that is waited for; and for the reactor as a whole
/// `timerfd_settime`, `epoll_ctl` for the timer, `epoll_wait`, and `read` and `epoll_ctl` for the notifier.
///
/// To let other tasks run and read once more before waiting was tried, and measured in an echo server with one connection
/// that runs in `async_io::block_on`. With the client on another processor the second read met EAGAIN every time, because
/// the answer takes a thread's wake-up to come: 9.0 system calls for a message instead of 8.0, and with 64 in flight 0.142
/// instead of 0.126. Only a client on the same processor, which runs while the server is interrupted, made it 5.1 and
/// 0.082. To try more often than once is to spin.
#[derive(Debug)]
pub struct Socket {
    watched: Async<OwnedFd>,
    readable: OnceLock<Arc<Bell>>,
    /// Only a socket that dials or whose peer does not read ever needs it.
    writable: OnceLock<Arc<Bell>>,
}

impl resound_async::Socket for Socket {
    type Context<'a> = Context<'a>;

    fn register(fd: OwnedFd, _: &mut Context<'_>) -> io::Result<Self> {
        let watched = Async::new_nonblocking(fd)?;
        Ok(Self { watched, readable: OnceLock::new(), writable: OnceLock::new() })
    }

    fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match direction {
            Direction::Read => {
                self.readable.get_or_init(Arc::default).poll(cx, |cx| self.watched.poll_readable(cx))
            }
            Direction::Write => {
                self.writable.get_or_init(Arc::default).poll(cx, |cx| self.watched.poll_writable(cx))
            }
        }
    }

    fn attempt<T>(&self, _: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        Some(call(self.watched.as_fd()).0)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}

/// A timer of async-io's reactor.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl resound_async::Timer for Timer {
    fn after(delay: Duration) -> Self {
        Self(async_io::Timer::after(delay))
    }

    fn reset(&mut self, delay: Duration) {
        self.0.set_after(delay);
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
