//! The sockets of one machine: the calls that a turn makes on them, and the sleep between two turns.
//!
//! A socket is asked for by `poll(2)` only where the machine wants something of it: to read, or to write after a write
//! found no room. One of which nothing is wanted is left out, because `poll` reports its end even if nobody asked, for
//! ever. After `poll` named a socket readable it is read once: what is left makes the next `poll` return at once, and
//! a read that would only say "nothing more" is saved.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Port, Ready, Via};
use resound_core::{Chunk, ConnId};
use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, Dialing, Target};

const READ: PollFlags = PollFlags::POLLIN;
const WRITE: PollFlags = PollFlags::POLLOUT;

/// What a call on a socket that is not open says.
const NO_SOCKET: Signal = Signal::Errno(Errno::BadF);

/// How long to sleep where `poll(2)` itself failed, before the sockets are tried instead.
pub(crate) const WITHOUT_POLL: Duration = Duration::from_millis(10);

/// The sockets of one machine.
#[derive(Debug)]
pub(crate) struct Sockets {
    options: DialOptions,
    pool: Arc<Pool>,
    open: Vec<Socket>,
}

struct Socket {
    conn: ConnId,
    stream: TcpStream,
    phase: Phase,
    /// What the machine waits for.
    wanted: PollFlags,
    /// What `poll(2)` said, as far as it was wanted and is not used up.
    ready: Cell<PollFlags>,
    writing: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Standing,
    /// A read has said that it was the last.
    ReadToTheEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Free,
    /// The kernel had no room.
    Blocked,
}

impl Sockets {
    /// No sockets yet: the machine will dial.
    pub(crate) const fn dialing(options: DialOptions, pool: Arc<Pool>) -> Self {
        Self { options, pool, open: Vec::new() }
    }

    /// The one socket of a machine that never dials.
    pub(crate) fn accepted(stream: TcpStream, pool: Arc<Pool>) -> Self {
        let open = vec![Socket::new(ConnId::ONLY, stream, Phase::Standing)];
        Self { options: DialOptions::default(), pool, open }
    }

    /// Sleeps until a socket is ready for what the last turn left wanting, one of the `wakers` is awake, or the time is
    /// over. Returns the index of the first waker that is awake.
    pub(crate) fn sleep(&mut self, wakers: &[&Waker], timeout: Option<Duration>) -> Option<usize> {
        let watched = || self.open.iter().filter(|socket| !socket.wanted.is_empty());
        let mut fds = Vec::with_capacity(wakers.len() + self.open.len());
        fds.extend(wakers.iter().map(|waker| PollFd::new(waker.as_fd(), READ)));
        fds.extend(watched().map(|socket| PollFd::new(socket.stream.as_fd(), socket.wanted)));
        if wait(&mut fds, timeout).is_err() {
            // No memory for poll(2): to try every socket now and then costs little, and finds out as well.
            thread::sleep(timeout.map_or(WITHOUT_POLL, |timeout| timeout.min(WITHOUT_POLL)));
            watched().for_each(|socket| socket.ready.set(socket.wanted));
            return None;
        }
        let (woken, told) = fds.split_at(wakers.len());
        for (socket, told) in watched().zip(told) {
            socket.told(told.revents().unwrap_or(PollFlags::all()));
        }
        woken.iter().position(|fd| fd.any() != Some(false))
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.open.iter_mut().find(|socket| socket.conn == conn)
    }
}

impl<T: Target> Port<T> for Sockets {
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>> {
        let (stream, phase, outcome) = match to.dial(&self.options) {
            Ok(Dialing::Up(stream, established)) => (stream, Phase::Standing, Some(Ok(established))),
            Ok(Dialing::Pending(stream)) => (stream, Phase::Dialing, None),
            Err(signal) => return Some(Err(signal)),
        };
        self.open.push(Socket::new(conn, stream, phase));
        outcome
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, _: Via) -> Option<Result<usize, Signal>> {
        let Some(socket) = self.get(conn) else { return Some(Err(NO_SOCKET)) };
        let got = tcp::read(&socket.stream, chunk);
        if matches!(got, Some(Ok(0) | Err(_))) {
            socket.phase = Phase::ReadToTheEnd;
        }
        got
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        let Some(socket) = self.get(conn) else { return Some(Err(NO_SOCKET)) };
        let took = tcp::write(&socket.stream, bufs);
        socket.writing = if took.is_none() { Writing::Blocked } else { Writing::Free };
        took
    }

    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView> {
        self.get(conn).and_then(|socket| tcp::kernel_view(&socket.stream))
    }

    fn shutdown(&mut self, conn: ConnId) {
        if let Some(socket) = self.get(conn) {
            tcp::shutdown_write(&socket.stream);
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(at) = self.open.iter().position(|socket| socket.conn == conn) {
            tcp::close(self.open.swap_remove(at).stream, how);
        }
    }

    fn lend(&mut self) -> Chunk {
        self.pool.lend()
    }

    fn put_back(&mut self, chunk: Chunk) {
        self.pool.put_back(chunk);
    }

    /// The turn ends with the first `None`; what the machine wants then is what the sleep is about.
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        let ready = self.open.iter_mut().find_map(|socket| socket.next_ready(&reads));
        if ready.is_none() {
            self.open.iter_mut().for_each(|socket| socket.wanted = socket.wants(&reads));
        }
        ready
    }
}

impl Socket {
    const fn new(conn: ConnId, stream: TcpStream, phase: Phase) -> Self {
        let (wanted, ready) = (PollFlags::empty(), Cell::new(PollFlags::empty()));
        Self { conn, stream, phase, wanted, ready, writing: Writing::Free }
    }

    fn wants(&self, reads: impl Fn(ConnId) -> bool) -> PollFlags {
        let read = self.phase == Phase::Standing && reads(self.conn);
        let write = self.phase == Phase::Dialing || self.writing == Writing::Blocked;
        (if read { READ } else { PollFlags::empty() }) | (if write { WRITE } else { PollFlags::empty() })
    }

    /// An error or a hang-up makes a socket ready for everything: the call will say what it is.
    fn told(&self, told: PollFlags) {
        let ready = if (READ | WRITE).contains(told) { told } else { READ | WRITE };
        self.ready.set(ready & self.wanted);
    }

    /// Uses up one thing that it is ready for.
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        let ready = self.ready.get_mut();
        if ready.contains(WRITE) {
            ready.remove(WRITE);
            if self.phase == Phase::Dialing {
                let result = tcp::finish_dial(&self.stream)?;
                self.phase = if result.is_ok() { Phase::Standing } else { Phase::ReadToTheEnd };
                return Some(Ready::Dialed(self.conn, result));
            }
            self.writing = Writing::Free;
            return Some(Ready::Writable(self.conn));
        }
        let readable = ready.contains(READ);
        ready.remove(READ);
        (readable && reads(self.conn)).then_some(Ready::Readable(self.conn))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} wants {:?}", self.conn, self.phase, self.wanted)
    }
}
