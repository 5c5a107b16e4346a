//! One UDP socket that `poll(2)` watches, and the sleep between two turns.

use core::task::Poll;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use resound_core::Instant;
use resound_core::datagram::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
use resound_sockets::port::Left;
use resound_sockets::udp::{Endpoint, Exchange, Socket, Want};

use crate::driver::{Slept, Sockets};
use crate::sockets::WITHOUT_POLL;

/// A socket, and what passes between a turn and the sleep after it.
#[derive(Debug)]
pub(super) struct Polled {
    socket: UdpSocket,
    /// What the turn asked for in vain.
    wanted: PollFlags,
    /// What `poll(2)` said, as far as it was wanted and is not used up.
    ready: PollFlags,
}

/// An error makes a socket ready for everything: the call will say what it is.
const fn flags(want: Want) -> PollFlags {
    match want {
        Want::Read => PollFlags::POLLIN.union(PollFlags::POLLERR),
        Want::Errors => PollFlags::POLLERR,
        Want::Write => PollFlags::POLLOUT.union(PollFlags::POLLERR),
    }
}

impl Polled {
    fn told(&mut self, told: PollFlags) {
        self.ready = told & core::mem::replace(&mut self.wanted, PollFlags::empty());
    }
}

impl Socket for Polled {
    type Context<'a> = ();

    fn register(fd: OwnedFd, (): &mut ()) -> io::Result<Self> {
        Ok(Self { socket: fd.into(), wanted: PollFlags::empty(), ready: PollFlags::empty() })
    }

    fn poll_ready(&mut self, want: Want, (): &mut ()) -> Poll<io::Result<()>> {
        let flags = flags(want);
        if self.ready.intersects(flags) {
            return Poll::Ready(Ok(()));
        }
        self.wanted |= flags;
        Poll::Pending
    }

    fn attempt<T>(&mut self, want: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        self.ready -= flags(want);
        Some(call(self.socket.as_fd()).0)
    }
}

impl AsFd for Polled {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<M: Machine> Sockets<M> for Endpoint<Polled> {
    type Event = M::Event;

    fn turn(&mut self, machine: &mut M, clock: Clock, event: impl FnMut(M::Event)) -> Option<Instant> {
        let mut context = ();
        let mut port = Exchange::new(self, &mut context);
        let until = turn(machine, &mut port, || clock.now(), event);
        if port.exhausted() { Some(Instant::EPOCH) } else { until }
    }

    fn is_done(machine: &M) -> bool {
        machine.is_done()
    }

    fn sleep(&mut self, waker: &Waker, timeout: Duration) -> Slept {
        let polled = self.socket_mut();
        let waker = PollFd::new(waker.as_fd(), PollFlags::POLLIN);
        // One of which nothing is wanted is left out: poll(2) tells of its errors even if nobody asked, for ever.
        let watched = usize::from(!polled.wanted.is_empty());
        let mut fds = [waker, PollFd::new(polled.socket.as_fd(), polled.wanted - PollFlags::POLLERR)];
        if wait(&mut fds[..=watched], Some(timeout)).is_err() {
            // No memory for poll(2): to try the socket now and then costs little, and finds out as well.
            thread::sleep(timeout.min(WITHOUT_POLL));
            polled.told(PollFlags::all());
            return Slept::Enough;
        }
        let woken = fds[0].any() != Some(false);
        let told = fds[1].revents().unwrap_or(PollFlags::all());
        polled.told(told);
        if woken { Slept::Woken } else { Slept::Enough }
    }
}
