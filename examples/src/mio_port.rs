//! One socket over `mio`: the first part of the guide; the next is [`mio_loop`](crate::mio_loop).
//!
//! A machine decides, and never makes a call. [`turn`](resound_core::stream::turn) asks it for steps and tells it what
//! came of them; the calls are made by [`resound_sockets::port`], on whatever socket type the event loop has. What it
//! needs to know of that type is [`Socket`], three methods:
//!
//! * **[`register`](Socket::register)**: here is a new socket, from a dial.
//! * **[`poll_ready`](Socket::poll_ready)**: is a call worth making? It may say "yes" too often, never too seldom. Nobody
//!   sleeps before it was asked, so the first time is early enough for mio to get to know the socket.
//! * **[`attempt`](Socket::attempt)**: the call is made; if it left nothing in the kernel, the next one is not worth
//!   making until the loop hears of the socket again.
//!
//! What is special to mio:
//!
//! * **It tells edges.** It says once that a socket has become readable, and no more until it was read empty. So what it
//!   said is kept until a call has used it up. (With a loop that tells levels it could be dropped after any call.)
//! * **One edge may tell of two things**: the last bytes and the end behind them. The read that brings the bytes leaves
//!   nothing, and yet one more is worth making.
//! * **Every socket of a machine has the same token.** A client has one socket, or a few while it races several
//!   addresses. Those that did not speak are asked in vain, once or twice, which costs a call and saves a table.
//!
//! On Windows mio wants to see each call (`try_io`); this file is for Unix.

use core::cell::Cell;
use core::task::Poll;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use resound_sockets::port::{Direction, Left, Socket};

/// A socket, whether mio knows it, and for how many more calls in each direction mio's word is good.
pub struct Watched {
    stream: TcpStream,
    known: Cell<bool>,
    calls: [Cell<u8>; 2],
}

impl Watched {
    /// mio said something of this socket, or of another one of its machine.
    pub fn told(&self, what: &Event) {
        let last = what.is_read_closed() || what.is_error();
        let reads = if last { 2 } else { what.is_readable().into() };
        let writes = what.is_writable() || what.is_write_closed() || what.is_error();
        let calls = self.calls.iter().zip([reads, writes.into()]);
        calls.for_each(|(calls, more)| calls.set(calls.get().max(more)));
    }
}

impl From<TcpStream> for Watched {
    fn from(stream: TcpStream) -> Self {
        Self { stream, known: Cell::default(), calls: <[_; 2]>::default() }
    }
}

impl Socket for Watched {
    type Context<'a> = (&'a Registry, Token);

    fn register(fd: OwnedFd, _: &mut (&Registry, Token)) -> io::Result<Self> {
        Ok(Self::from(TcpStream::from(fd)))
    }

    fn poll_ready(&self, direction: Direction, cx: &mut (&Registry, Token)) -> Poll<io::Result<()>> {
        if !self.known.replace(true) {
            let both = Interest::READABLE | Interest::WRITABLE;
            cx.0.register(&mut SourceFd(&self.stream.as_raw_fd()), cx.1, both)?;
        }
        if self.calls[direction as usize].get() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn attempt<T>(&self, direction: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        let (answer, left) = call(self.stream.as_fd());
        let calls = &self.calls[direction as usize];
        calls.set(calls.get().saturating_sub((left == Left::Nothing).into()));
        Some(answer)
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
