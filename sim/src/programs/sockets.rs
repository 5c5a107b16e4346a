//! The port of every machine over byte streams: a small table of simulated sockets, and the calls that a turn makes.

use std::convert::Infallible;
use std::net::SocketAddr;

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Port, Ready, Via};
use resound_core::{Chunk, ConnId};

use crate::kernel::{Fd, TcpOptions};
use crate::world::Calls;

/// How much one read takes.
const CHUNK: usize = 16 * 1_024;

/// How many things one turn takes in at most.
const BUDGET: u32 = 64;

/// What can be dialed in the simulated world.
pub trait Dialable {
    /// Where it is.
    fn addr(self) -> SocketAddr;
}

impl Dialable for SocketAddr {
    fn addr(self) -> SocketAddr {
        self
    }
}

impl Dialable for Infallible {
    fn addr(self) -> SocketAddr {
        match self {}
    }
}

#[derive(Debug)]
struct Line {
    conn: ConnId,
    fd: Fd,
    stage: Stage,
    blocked: bool,
    /// Something may be there to be read.
    readable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialing,
    Standing,
}

/// The sockets of one machine, between its turns.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    lines: Vec<Line>,
    chunks: Vec<Chunk>,
    options: TcpOptions,
}

impl Sockets {
    pub(super) const fn new(options: TcpOptions) -> Self {
        Self { lines: Vec::new(), chunks: Vec::new(), options }
    }

    /// A connection that stands already: a server's.
    pub(super) fn adopt(&mut self, conn: ConnId, fd: Fd) {
        self.lines.push(Line { conn, fd, stage: Stage::Standing, blocked: false, readable: true });
    }

    /// Something has changed on this socket.
    #[inline]
    pub(super) fn touched(&mut self, fd: Fd) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.fd == fd) {
            line.readable = true;
        }
    }

    pub(super) fn touch_all(&mut self) {
        for line in &mut self.lines {
            line.readable = true;
        }
    }
}

/// The port of one turn.
#[derive(Debug)]
pub(super) struct Turn<'a, 'b> {
    pub(super) sockets: &'a mut Sockets,
    pub(super) calls: &'a mut Calls<'b>,
    taken_in: u32,
}

impl<'a, 'b> Turn<'a, 'b> {
    pub(super) const fn new(sockets: &'a mut Sockets, calls: &'a mut Calls<'b>) -> Self {
        Self { sockets, calls, taken_in: 0 }
    }

    /// Whether there may be more than one turn takes in.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.taken_in >= BUDGET
    }

    fn line(&mut self, conn: ConnId) -> Option<&mut Line> {
        self.sockets.lines.iter_mut().find(|line| line.conn == conn)
    }

    fn established(&self, fd: Fd) -> Result<Established, Signal> {
        let local = self.calls.local_addr(fd);
        Ok(Established { local })
    }
}

impl<T: Dialable> Port<T> for Turn<'_, '_> {
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>> {
        let to = to.addr();
        match self.calls.connect(to, &self.sockets.options) {
            Err(errno) => Some(Err(Signal::Errno(errno))),
            Ok(fd) => {
                let stage = Stage::Dialing;
                self.sockets.lines.push(Line { conn, fd, stage, blocked: false, readable: true });
                None
            }
        }
    }

    #[inline]
    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, _: Via) -> Option<Result<usize, Signal>> {
        let fd = self.line(conn)?.fd;
        match self.calls.recv(fd, chunk.spare()) {
            Ok(n) => {
                chunk.filled(n);
                Some(Ok(n))
            }
            Err(Errno::Again) => {
                if let Some(line) = self.line(conn) {
                    line.readable = false;
                }
                None
            }
            Err(errno) => Some(Err(Signal::Errno(errno))),
        }
    }

    #[inline]
    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        let fd = self.line(conn)?.fd;
        match self.calls.send(fd, bufs) {
            Ok(n) => Some(Ok(n)),
            Err(Errno::Again) => {
                if let Some(line) = self.line(conn) {
                    line.blocked = true;
                }
                None
            }
            Err(errno) => Some(Err(Signal::Errno(errno))),
        }
    }

    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView> {
        let fd = self.line(conn)?.fd;
        self.calls.tcp_info(fd)
    }

    fn shutdown(&mut self, conn: ConnId) {
        if let Some(fd) = self.line(conn).map(|line| line.fd) {
            // That it is not connected any more, the next read says.
            let _ = self.calls.shutdown(fd);
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(at) = self.sockets.lines.iter().position(|line| line.conn == conn) {
            let line = self.sockets.lines.remove(at);
            self.calls.close(line.fd, how);
        }
    }

    #[inline]
    fn lend(&mut self) -> Chunk {
        self.sockets.chunks.pop().unwrap_or_else(|| Chunk::with_capacity(CHUNK))
    }

    #[inline]
    fn put_back(&mut self, mut chunk: Chunk) {
        if chunk.capacity() > 0 && self.sockets.chunks.len() < 4 {
            chunk.clear();
            self.sockets.chunks.push(chunk);
        }
    }

    #[inline]
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        if self.is_exhausted() {
            return None;
        }
        for index in 0..self.sockets.lines.len() {
            let Line { conn, fd, stage, blocked, readable } = self.sockets.lines[index];
            let ready = match stage {
                Stage::Dialing => match self.calls.connected(fd) {
                    None => None,
                    Some(result) => {
                        let result = result.map_err(Signal::Errno).and_then(|()| self.established(fd));
                        match result {
                            Ok(Established { local })
                                if local.is_some() && local == self.calls.peer_addr(fd) =>
                            {
                                self.sockets.lines.remove(index);
                                self.calls.close(fd, Close::Reset);
                                Some(Ready::Dialed(conn, Err(Signal::SelfConnect)))
                            }
                            Ok(established) => {
                                self.sockets.lines[index].stage = Stage::Standing;
                                Some(Ready::Dialed(conn, Ok(established)))
                            }
                            Err(signal) => {
                                self.sockets.lines.remove(index);
                                self.calls.close(fd, Close::Drop);
                                Some(Ready::Dialed(conn, Err(signal)))
                            }
                        }
                    }
                },
                Stage::Standing if blocked && self.calls.poll(fd).writable => {
                    self.sockets.lines[index].blocked = false;
                    Some(Ready::Writable(conn))
                }
                Stage::Standing if readable && reads(conn) => Some(Ready::Readable(conn)),
                Stage::Standing => None,
            };
            if ready.is_some() {
                self.taken_in += 1;
                return ready;
            }
        }
        None
    }
}
