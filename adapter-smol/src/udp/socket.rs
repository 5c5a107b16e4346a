//! async-io's view of a UDP socket, as a driver needs it.
//!
//! async-io cannot tell an error from a datagram: `EPOLLERR` makes a socket readable and writable to it. So a report is
//! one of both, and each is used up by a call of its own. It watches level-triggered: a driver that waits again while an
//! entry is left in the error queue is woken at once, for ever. That the queue is emptied is the
//! [`Endpoint`](resound_sockets::udp::Endpoint)'s care, and that it is asked to, this type's.

use alloc::sync::Arc;
use core::task::{Context, Poll, ready};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use async_io::Async;
use resound_async::Left;
use resound_async::udp::Want;

use crate::bell::Bell;

/// A UDP socket that async-io watches.
#[derive(Debug)]
pub struct Socket {
    watched: Async<OwnedFd>,
    arrived: Arc<Bell>,
    room: Arc<Bell>,
    read: Call,
    errors: Call,
}

/// Whether a call is worth making after the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Due,
    Made,
}

impl resound_async::udp::Socket for Socket {
    type Context<'a> = Context<'a>;

    fn register(fd: OwnedFd, _: &mut Context<'_>) -> io::Result<Self> {
        let watched = Async::new_nonblocking(fd)?;
        Ok(Self {
            watched,
            arrived: Arc::default(),
            room: Arc::default(),
            read: Call::Made,
            errors: Call::Made,
        })
    }

    fn poll_ready(&mut self, want: Want, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let due = match want {
            Want::Read => self.read,
            Want::Errors => self.errors,
            Want::Write => return self.room.poll(cx, |cx| self.watched.poll_writable(cx)),
        };
        if due == Call::Made {
            ready!(self.arrived.poll(cx, |cx| self.watched.poll_readable(cx)))?;
            (self.read, self.errors) = (Call::Due, Call::Due);
        }
        Poll::Ready(Ok(()))
    }

    fn attempt<T>(&mut self, want: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        match want {
            Want::Read => self.read = Call::Made,
            Want::Errors => self.errors = Call::Made,
            Want::Write => {}
        }
        Some(call(self.watched.as_fd()).0)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}
