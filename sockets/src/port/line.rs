//! One socket between the runtime, which says when, and the kernel, which says what.
//!
//! # How few system calls a message costs
//!
//! A read that brings less than there was room for has emptied the socket: the next one would only say EAGAIN. With an
//! edge-triggered `epoll(7)` that is the manual's own rule ("Questions and answers", 9), and tokio's `poll_read` does the
//! same. So after a short read the line waits for the runtime's next report, and a partial write likewise. Only a read
//! that filled the chunk is followed by another one at once. With 64 messages in flight that leaves one read, one write
//! and one wait for all of them.
//!
//! One case is known where that is not so: a read stops short at TCP's urgent mark with bytes behind it (RFC 6093 asks
//! nobody to use it any more). With an edge-triggered runtime those wait until the peer sends more.
//!
//! The end of the stream may come in the same report as the last bytes. It is not lost: the kernel says it again
//! (level-triggered runtimes), or the runtime keeps it (tokio never clears the closed half of a readiness, an event
//! loop lowers no flag for it before a read has said it).
//!
//! A read that said 0 or an error was the last, whatever the machine wants: the kernel would go on to report it.

use core::task::Poll;
use std::io;
use std::os::fd::BorrowedFd;

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Ready, Via};
use resound_core::{Chunk, ConnId};

use super::{Direction, Left, Socket};
use crate::{errno, tcp};

#[derive(Debug)]
pub(super) struct Line<S> {
    socket: S,
    phase: Phase,
    read: Gate,
    write: Gate,
    /// What the runtime said when it could no longer watch the socket; told by the next call.
    unwatched: Option<Errno>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Up,
}

/// Whether a call is worth making before the runtime reports anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
    /// No call is worth making any more.
    Over,
}

impl<S: Socket> Line<S> {
    pub(super) const fn dialing(socket: S) -> Self {
        Self { socket, phase: Phase::Dialing, read: Gate::Shut, write: Gate::Open, unwatched: None }
    }

    pub(super) const fn up(socket: S) -> Self {
        Self { socket, phase: Phase::Up, read: Gate::Shut, write: Gate::Open, unwatched: None }
    }

    pub(super) const fn socket(&self) -> &S {
        &self.socket
    }

    /// What it is ready for. If for nothing, the driver is woken when it is.
    ///
    /// A report that the socket belies is taken off `left`, what the turn may still take in. With nothing left of that
    /// the line answers "nothing", and nobody may be woken.
    pub(super) fn poll(
        &mut self,
        conn: ConnId,
        reads: bool,
        cx: &mut S::Context<'_>,
        left: &mut u8,
    ) -> Option<Ready> {
        if self.phase == Phase::Dialing {
            return self.poll_dial(cx, left).map(|result| Ready::Dialed(conn, result));
        }
        if self.write == Gate::Shut && self.open(Direction::Write, cx) {
            self.write = Gate::Open;
            return Some(Ready::Writable(conn));
        }
        let readable = match self.read {
            Gate::Open => reads,
            Gate::Shut => reads && self.open(Direction::Read, cx),
            Gate::Over => false,
        };
        if readable {
            self.read = Gate::Open;
            return Some(Ready::Readable(conn));
        }
        None
    }

    fn open(&mut self, direction: Direction, cx: &mut S::Context<'_>) -> bool {
        match self.socket.poll_ready(direction, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.unwatched = Some(name(&error));
                true
            }
        }
    }

    fn poll_dial(&mut self, cx: &mut S::Context<'_>, left: &mut u8) -> Option<Result<Established, Signal>> {
        // A report may be spurious, and the next one too: whether anything will come is the kernel's to say. The last
        // question must be the runtime's, so that the driver is woken. One that says "ready" for ever is not believed,
        // and uses up the turn: the next one asks again, when others have had theirs.
        while *left > 0 {
            if !self.open(Direction::Write, cx) {
                return None;
            }
            if let Some(errno) = self.unwatched.take() {
                return Some(Err(Signal::Errno(errno)));
            }
            let ended = self.socket.attempt(Direction::Write, |fd| {
                let ended = tcp::finish_reported_dial(fd);
                (ended, if ended.is_some() { Left::More } else { Left::Nothing })
            });
            if let Some(result) = ended.flatten() {
                self.phase = Phase::Up;
                return Some(result);
            }
            *left -= 1;
        }
        None
    }

    pub(super) fn read(&mut self, chunk: &mut Chunk, via: Via) -> Option<Result<usize, Signal>> {
        let room = chunk.spare().len();
        let got = match via {
            Via::Kernel => tcp::read(&self.socket, chunk),
            Via::Readiness => self.call(Direction::Read, room, |fd| tcp::read(fd, chunk)),
        };
        self.read = match (got, via) {
            (Some(Ok(0) | Err(_)), _) => Gate::Over,
            (_, Via::Kernel) => self.read,
            (Some(Ok(n)), _) if n == room => Gate::Open,
            _ => Gate::Shut,
        };
        got
    }

    pub(super) fn write(&mut self, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        if self.write == Gate::Shut {
            return None;
        }
        let wanted = bufs.iter().take(tcp::GATHER).map(|buf| buf.len()).sum();
        let wrote = self.call(Direction::Write, wanted, |fd| tcp::write(fd, bufs));
        let partial = matches!(wrote, Some(Ok(n)) if n < wanted);
        self.write = if wrote.is_none() || partial { Gate::Shut } else { Gate::Open };
        wrote
    }

    fn call(
        &mut self,
        direction: Direction,
        wanted: usize,
        call: impl FnOnce(BorrowedFd<'_>) -> Option<Result<usize, Signal>>,
    ) -> Option<Result<usize, Signal>> {
        if let Some(errno) = self.unwatched.take() {
            return Some(Err(Signal::Errno(errno)));
        }
        let result = self.socket.attempt(direction, |fd| {
            let result = call(fd);
            let emptied = match result {
                None => true,
                Some(Ok(n)) => 0 < n && n < wanted,
                Some(Err(_)) => false,
            };
            (result, if emptied { Left::Nothing } else { Left::More })
        });
        result.flatten()
    }

    pub(super) fn kernel_view(&self) -> Option<KernelView> {
        tcp::kernel_view(&self.socket)
    }

    pub(super) fn shutdown(&self) {
        tcp::shutdown_write(&self.socket);
    }

    pub(super) fn close(self, how: Close) {
        tcp::close(self.socket, how);
    }
}

fn name(error: &io::Error) -> Errno {
    match errno::signal(error) {
        Signal::Errno(errno) => errno,
        Signal::Icmp(_) | Signal::SelfConnect => Errno::Io,
    }
}
