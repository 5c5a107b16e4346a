//! One socket that `poll(2)` watches, and the sleep between two turns.
//!
//! What a turn does with the sockets of a machine is the same for all adapters ([`resound_sockets::port`]). Here is what
//! is special to a thread that sleeps in `poll(2)`: a socket is watched only for what the last turn asked of it and did
//! not get. One of which nothing is wanted is left out, because `poll` reports its end even if nobody asked, for ever.

use core::cell::Cell;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use resound_core::Instant;
use resound_core::stream::{self, Machine};
use resound_sockets::clock::Clock;
use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
use resound_sockets::pool::Pool;
use resound_sockets::port::{Direction, Left, Lines, Socket, Switchboard};
use resound_sockets::tcp::{DialOptions, Target};

use crate::driver::Slept;

/// How long to sleep where `poll(2)` itself failed, before the sockets are tried instead.
pub(crate) const WITHOUT_POLL: Duration = Duration::from_millis(10);

/// A socket, and what passes between a turn and the sleep after it.
#[derive(Debug)]
pub(crate) struct Polled {
    stream: TcpStream,
    /// What the turn asked for in vain.
    wanted: Cell<PollFlags>,
    /// What `poll(2)` said, as far as it was wanted and is not used up.
    ready: Cell<PollFlags>,
}

impl Polled {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, wanted: Cell::new(PollFlags::empty()), ready: Cell::new(PollFlags::empty()) }
    }

    /// An error or a hang-up makes a socket ready for everything: the call will say what it is.
    fn told(&self, told: PollFlags) {
        let all = PollFlags::POLLIN | PollFlags::POLLOUT;
        let ready = if all.contains(told) { told } else { all };
        self.ready.set(ready & self.wanted.replace(PollFlags::empty()));
    }
}

impl Socket for Polled {
    type Context<'a> = ();

    fn register(fd: OwnedFd, (): &mut ()) -> io::Result<Self> {
        Ok(Self::new(fd.into()))
    }

    fn poll_ready(&self, direction: Direction, (): &mut ()) -> Poll<io::Result<()>> {
        let flag = flag(direction);
        if self.ready.get().contains(flag) {
            return Poll::Ready(Ok(()));
        }
        self.wanted.set(self.wanted.get() | flag);
        Poll::Pending
    }

    fn attempt<T>(&self, direction: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        self.ready.set(self.ready.get() - flag(direction));
        Some(call(self.stream.as_fd()).0)
    }
}

impl AsFd for Polled {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

const fn flag(direction: Direction) -> PollFlags {
    match direction {
        Direction::Read => PollFlags::POLLIN,
        Direction::Write => PollFlags::POLLOUT,
    }
}

/// One turn; returns until when to sleep.
pub(crate) fn turn<M: Machine<Target: Target>>(
    machine: &mut M,
    lines: &mut Lines<Polled>,
    options: &DialOptions,
    pool: &Pool,
    clock: Clock,
    event: impl FnMut(M::Event),
) -> Option<Instant> {
    let mut context = ();
    let mut port = Switchboard::new(lines, options, pool, &mut context);
    let until = stream::turn(machine, &mut port, || clock.now(), event);
    if port.exhausted() { Some(Instant::EPOCH) } else { until }
}

/// Sleeps until a socket is ready for what the last turn left wanting, the waker is awake, or the time is over.
pub(crate) fn sleep(lines: &Lines<Polled>, waker: &Waker, timeout: Option<Duration>) -> Slept {
    let watched = || lines.sockets().filter(|socket| !socket.wanted.get().is_empty());
    let waker = || PollFd::new(waker.as_fd(), PollFlags::POLLIN);
    let mut fds = watched().map(|socket| PollFd::new(socket.as_fd(), socket.wanted.get()));
    // There is one connection nearly always, and then nothing is allocated.
    let (mut one, mut some);
    let fds: &mut [PollFd<'_>] = match (fds.next(), fds.next()) {
        (Some(only), None) => {
            one = [waker(), only];
            &mut one
        }
        (first, second) => {
            some = vec![waker()];
            some.extend(first.into_iter().chain(second).chain(fds));
            &mut some
        }
    };
    if wait(fds, timeout).is_err() {
        // No memory for poll(2): to try every socket now and then costs little, and finds out as well.
        thread::sleep(timeout.map_or(WITHOUT_POLL, |timeout| timeout.min(WITHOUT_POLL)));
        watched().for_each(|socket| socket.told(PollFlags::all()));
        return Slept::Enough;
    }
    for (socket, told) in watched().zip(&fds[1..]) {
        socket.told(told.revents().unwrap_or(PollFlags::all()));
    }
    if fds[0].any() == Some(false) { Slept::Enough } else { Slept::Woken }
}
