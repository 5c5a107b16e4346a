//! The port: one machine's sockets over `mio`. The first half of the guide; the other is [`mio_loop`](crate::mio_loop).
//!
//! A machine decides, and never makes a call. [`turn`](resound_core::stream::turn) asks it for steps and tells it what
//! came of them; the calls are made here, by the methods of [`Port`]. This is what they take care of:
//!
//! * **The calls themselves** come from `resound-sockets`, which knows the flags: no SIGPIPE, no lingering close, errors
//!   by number. It takes any socket type that is `AsFd`.
//! * **mio tells edges.** It says once that a socket has become readable, and no more until it was read empty. So that
//!   flag stays up until a read says "not now", or that it was the last. (With a loop that tells levels you would
//!   lower it after one read.) Of room to write, the machine hears once each time: it writes whenever it has something,
//!   until a write says "not now". A port may tell too often, never too seldom.
//! * **Every socket of a machine has the same token.** A client has one socket, or a few while it races several
//!   addresses. Those that did not speak are asked in vain once, which costs a call and saves a table.
//! * **A turn is bounded.** A peer that sends without end would otherwise keep the loop from everybody else. What is
//!   left is due at once, after the others had their turn.
//!
//! On Windows mio wants to see each call (`try_io`); this file is for Unix.

use core::mem;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use mio::event::Event as Told;
use mio::{Interest, Registry, Token};
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Port, Ready, Via};
use resound_core::{Chunk, ConnId};
use resound_sockets::errno;
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, Dialing, Target};

/// How many things that sockets said one turn deals with.
const READY_PER_TURN: u32 = 32;

/// What a call on a socket that is not open says.
const NO_SOCKET: Signal = Signal::Errno(Errno::BadF);

/// The sockets of one machine, and what mio said of them: the port.
pub struct Sockets {
    registry: Registry,
    token: Token,
    options: DialOptions,
    pool: Rc<Pool>,
    open: Vec<Socket>,
    /// How many more things this turn deals with.
    budget: u32,
}

struct Socket {
    conn: ConnId,
    stream: mio::net::TcpStream,
    phase: Phase,
    /// mio said so, and no read has said "not now" since.
    readable: bool,
    /// mio said so, and the machine has not heard it.
    writable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialing,
    Standing,
}

impl Sockets {
    /// No sockets yet.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new(cx: &Registry, token: Token, options: DialOptions, pool: Rc<Pool>) -> io::Result<Self> {
        Ok(Self { registry: cx.try_clone()?, token, options, pool, open: Vec::new(), budget: 0 })
    }

    /// Adds the one socket of a machine that never dials.
    ///
    /// # Errors
    ///
    /// The system's poll does not take it.
    pub fn accepted(mut self, stream: TcpStream) -> io::Result<Self> {
        self.register(ConnId::ONLY, stream, Phase::Standing)?;
        Ok(self)
    }

    fn register(&mut self, conn: ConnId, stream: TcpStream, phase: Phase) -> io::Result<()> {
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        self.open.push(Socket { conn, stream, phase, readable: false, writable: false });
        Ok(())
    }

    /// mio said something of one of the sockets. Which one is not told; the others will say "not now".
    pub fn told(&mut self, what: &Told) {
        for socket in &mut self.open {
            socket.readable |= what.is_readable() || what.is_read_closed() || what.is_error();
            socket.writable |= what.is_writable() || what.is_write_closed() || what.is_error();
        }
    }

    /// A turn begins.
    pub const fn begin_turn(&mut self) {
        self.budget = READY_PER_TURN;
    }

    /// Whether the turn has ended before everything was dealt with.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.budget == 0
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
        match self.register(conn, stream, phase) {
            Ok(()) => outcome,
            Err(error) => Some(Err(errno::signal(&error))),
        }
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, _: Via) -> Option<Result<usize, Signal>> {
        let Some(socket) = self.get(conn) else { return Some(Err(NO_SOCKET)) };
        let got = tcp::read(&socket.stream, chunk);
        socket.readable &= matches!(got, Some(Ok(1..)));
        got
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        self.get(conn).map_or(Some(Err(NO_SOCKET)), |socket| tcp::write(&socket.stream, bufs))
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

    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        self.budget = self.budget.checked_sub(1)?;
        let ready = self.open.iter_mut().find_map(|socket| socket.next_ready(&reads));
        self.budget += u32::from(ready.is_none());
        ready
    }
}

impl Socket {
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        let writable = mem::take(&mut self.writable);
        match self.phase {
            Phase::Dialing if writable => {
                let result = tcp::finish_dial(&self.stream)?;
                self.phase = Phase::Standing;
                Some(Ready::Dialed(self.conn, result))
            }
            Phase::Standing if writable => Some(Ready::Writable(self.conn)),
            Phase::Standing if self.readable && reads(self.conn) => Some(Ready::Readable(self.conn)),
            _ => None,
        }
    }
}
