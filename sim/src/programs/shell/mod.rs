//! The shell of a host: a script's single calls, on sockets that have names.
//!
//! A script says `call c = tcp to server 7`, then `call c recv 100`. The shell keeps the sockets by name, makes each call,
//! and says what it gave. It does not know whose calls they are: a [`System`] has them, the simulated kernel's here and a
//! real one's in the lab. So the words, and the order of what is said, are the same on both.
//!
//! ```text
//!   Call ──► Shell: names ──► System ──► simulated kernel (Calls)
//!                 │                 └──► Linux (lab)
//!                 └──► Said, in the words of `words`
//! ```

use core::fmt;
use core::iter;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;

use super::words::{bytes, gave, gave_a_part, gave_in_all, info};
use crate::kernel::Poll;
use crate::scenario::{Address, Call, End, Open, Said, SocketKnobs};

mod simulated;

/// The calls of a system, simulated or real. None of them waits.
///
/// # Errors
///
/// The call's own error number, whichever call it is.
pub trait System {
    /// An open socket.
    type Socket;

    /// Which IP version its addresses have.
    fn version(&self) -> Version;

    /// `socket`, `bind`, `listen`.
    fn listen(&mut self, at: SocketAddr, backlog: u32, knobs: &SocketKnobs) -> Result<Self::Socket, Errno>;

    /// `socket`, `bind` if it is said from where, and `connect`: a socket that connects.
    fn dial(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        knobs: &SocketKnobs,
    ) -> Result<Self::Socket, Errno>;

    /// `socket` and `bind`, over UDP.
    fn bind(&mut self, at: SocketAddr, knobs: &SocketKnobs) -> Result<Self::Socket, Errno>;

    /// `connect`, once more or of a UDP socket; `None` dissolves (AF_UNSPEC).
    fn connect(&mut self, socket: &Self::Socket, to: Option<SocketAddr>) -> Result<(), Errno>;

    /// `accept`
    fn accept(&mut self, listener: &Self::Socket) -> Result<Self::Socket, Errno>;

    /// `recv` of so many bytes at most.
    fn recv(&mut self, socket: &Self::Socket, most: usize) -> Result<Received, Errno>;

    /// `recvmsg` with MSG_ERRQUEUE: the error that the entry is about.
    fn recv_error(&mut self, socket: &Self::Socket) -> Result<Errno, Errno>;

    /// `send`, or `sendto` if it is said to whom: how many bytes were taken.
    fn send(&mut self, socket: &Self::Socket, to: Option<SocketAddr>, payload: &[u8])
    -> Result<usize, Errno>;

    /// Joins a group on the host's first link (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`).
    fn join(&mut self, socket: &Self::Socket, group: IpAddr) -> Result<(), Errno>;

    /// Leaves it (`IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`).
    fn leave(&mut self, socket: &Self::Socket, group: IpAddr) -> Result<(), Errno>;

    /// `shutdown(SHUT_WR)`
    fn shutdown(&mut self, socket: &Self::Socket) -> Result<(), Errno>;

    /// `shutdown(SHUT_RD)`
    fn shutdown_read(&mut self, socket: &Self::Socket) -> Result<(), Errno>;

    /// `close`
    fn close(&mut self, socket: Self::Socket, how: Close);

    /// `getsockopt(SO_ERROR)`: takes the pending error.
    fn so_error(&mut self, socket: &Self::Socket) -> Option<Errno>;

    /// `poll` with a timeout of zero, for everything.
    fn poll(&mut self, socket: &Self::Socket) -> Poll;

    /// `getsockopt(TCP_INFO)`; `None`: it is no connection.
    fn info(&mut self, socket: &Self::Socket) -> Option<KernelView>;
}

/// What a `recv` gave, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So much of a stream, or a whole datagram.
    Whole(usize),
    /// So much of a datagram that was longer (MSG_TRUNC).
    Part(usize),
}

/// There is no socket of this name on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSocket(String);

impl fmt::Display for NoSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no socket {:?} on this host", self.0)
    }
}

impl core::error::Error for NoSocket {}

/// The sockets of a host's script, by name.
#[derive(Debug)]
pub struct Shell<S> {
    sockets: BTreeMap<String, S>,
}

impl<S> Default for Shell<S> {
    fn default() -> Self {
        Self { sockets: BTreeMap::new() }
    }
}

impl<S> Shell<S> {
    /// Makes a call, and says what it gave.
    ///
    /// # Errors
    ///
    /// If there is no socket of that name. What a call gives is never one.
    pub fn make(&mut self, system: &mut impl System<Socket = S>, call: &Call) -> Result<Said, NoSocket> {
        let version = system.version();
        let at = |end: End| end.socket_addr(version);
        let group = |number: u8| Address::Group(number).ip(version);
        Ok(match call {
            Call::Open(name, open, knobs) => match *open {
                Open::Listen(end, backlog) => {
                    let made = system.listen(at(end), backlog, knobs);
                    gave(name, "listen", self.keep(name, made))
                }
                Open::Connect { to, from } => {
                    let made = system.dial(from.map(at), at(to), knobs);
                    // It does not wait for its end.
                    gave(name, "connect", self.keep(name, made).and(Err(Errno::InProgress)))
                }
                Open::Udp(end) => {
                    let made = system.bind(at(end), knobs);
                    gave(name, "bind", self.keep(name, made))
                }
            },
            Call::Accept(name, listener) => {
                let made = system.accept(self.socket(listener)?);
                gave(name, "accept", self.keep(name, made))
            }
            Call::Connect(name, peer) => {
                gave(name, "connect", nothing(system.connect(self.socket(name)?, peer.map(at))))
            }
            Call::Recv(name, most) => match system.recv(self.socket(name)?, *most as usize) {
                Ok(Received::Whole(bytes)) => gave(name, "recv", Ok(bytes as u64)),
                Ok(Received::Part(bytes)) => gave_a_part(name, bytes),
                Err(errno) => gave(name, "recv", Err(errno)),
            },
            Call::RecvError(name) => match system.recv_error(self.socket(name)?) {
                Ok(errno) => Said::other(format_args!("{name} errqueue {errno}")),
                Err(errno) => gave(name, "errqueue", Err(errno)),
            },
            Call::RecvAll(names) => self.all(names, "recv-all", |socket| match system.recv(socket, 1) {
                Ok(_) => Some(1),
                Err(Errno::Again) => None,
                Err(_) => Some(0),
            })?,
            Call::RecvErrorAll(names) => {
                self.all(names, "errqueue-all", |socket| system.recv_error(socket).is_ok().then_some(1))?
            }
            Call::Send(name, payload) => {
                gave(name, "send", count(system.send(self.socket(name)?, None, &bytes(payload))))
            }
            Call::SendTo(name, peer, payload) => {
                gave(name, "sendto", count(system.send(self.socket(name)?, Some(at(*peer)), &bytes(payload))))
            }
            Call::Join(name, number) => {
                gave(name, "join", nothing(system.join(self.socket(name)?, group(*number))))
            }
            Call::Leave(name, number) => {
                gave(name, "leave", nothing(system.leave(self.socket(name)?, group(*number))))
            }
            Call::Shutdown(name) => gave(name, "shutdown", nothing(system.shutdown(self.socket(name)?))),
            Call::ShutdownRead(name) => {
                gave(name, "shutdown-read", nothing(system.shutdown_read(self.socket(name)?)))
            }
            Call::Close(name) => {
                system.close(self.take(name)?, Close::Drop);
                gave(name, "close", Ok(0))
            }
            Call::Reset(name) => {
                system.close(self.take(name)?, Close::Reset);
                gave(name, "reset", Ok(0))
            }
            Call::SoError(name) => {
                gave(name, "so_error", system.so_error(self.socket(name)?).map_or(Ok(0), Err))
            }
            Call::Poll(name) => Said::other(format_args!("{name} poll {}", system.poll(self.socket(name)?))),
            Call::Info(name) => info(name, system.info(self.socket(name)?).as_ref()),
        })
    }

    fn socket(&self, name: &str) -> Result<&S, NoSocket> {
        self.sockets.get(name).ok_or_else(|| NoSocket(name.to_owned()))
    }

    fn take(&mut self, name: &str) -> Result<S, NoSocket> {
        self.sockets.remove(name).ok_or_else(|| NoSocket(name.to_owned()))
    }

    /// A socket that was made has a name from now on.
    fn keep(&mut self, name: &str, made: Result<S, Errno>) -> Result<u64, Errno> {
        made.map(|socket| {
            self.sockets.insert(name.to_owned(), socket);
            0
        })
    }

    /// Makes a call on each of these sockets until nothing is left, and says how often it gave something. The call says by
    /// how much it counts.
    fn all(
        &self,
        names: &[String],
        word: &str,
        mut call: impl FnMut(&S) -> Option<u32>,
    ) -> Result<Said, NoSocket> {
        let mut counts = Vec::new();
        for name in names {
            let socket = self.socket(name)?;
            counts.push(iter::from_fn(|| call(socket)).sum());
        }
        Ok(gave_in_all(names.first().map_or("", String::as_str), word, counts))
    }
}

fn nothing(result: Result<(), Errno>) -> Result<u64, Errno> {
    result.map(|()| 0)
}

fn count(result: Result<usize, Errno>) -> Result<u64, Errno> {
    result.map(|n| n as u64)
}
