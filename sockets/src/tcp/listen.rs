//! Listening and accepting.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::libc;
use resound_core::signal::Errno;
use resound_core::stream::admission::Event;
use socket2::{SockRef, Socket};

use super::describe::{self, describe};
use super::new_socket;
use crate::errno;

/// How to listen. `SO_REUSEADDR` is always on: a restarted server must get its port although connections of the old one
/// are still in TIME_WAIT. On Unix it never lets two listeners share one port; [`Sharing`] does.
///
/// What is set on the listener before it listens, its connections inherit. A window scale is settled with the SYN
/// (RFC 7323 §2.2): a receive buffer that is set later cannot change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections the kernel may complete before they are accepted. Linux takes one more than this, and no
    /// more than `net.core.somaxconn`; beyond that the client's SYN is dropped, and its connect waits.
    pub backlog: i32,
    /// What `::` stands for. Any other address takes what it says: nobody reaches `::1` over IPv4.
    pub wildcard: Wildcard,
    /// `SO_RCVBUF` of the connections, in bytes; it bounds the window that a peer is offered. `None`: the kernel's own,
    /// which grows as needed. Linux doubles what is set, for its own bookkeeping, and caps it (socket(7)).
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` of the connections, in bytes, as above.
    pub send_buffer: Option<u32>,
    /// Who else may listen there.
    pub sharing: Sharing,
    /// What becomes of bytes that are unsent when a connection closes in good order.
    pub linger: Linger,
    /// Of which sockets the options are read back.
    pub read_back: ReadBack,
}

/// Whether several listeners may have one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Not while this one has it.
    #[default]
    Alone,
    /// `SO_REUSEPORT`: all that ask for it, and are the same user's; Linux spreads the connections over them.
    Shared,
}

/// `SO_LINGER`. With a time in it `close` would block, so there is no such choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// The kernel sends them after the close.
    #[default]
    Off,
    /// On, with no time: they are forgotten, and the peer sees a reset instead of an end.
    Zero,
}

impl Linger {
    const fn time(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Zero => Some(Duration::ZERO),
        }
    }
}

/// Whose options are read back, to be told to the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadBack {
    /// The listener's, once.
    #[default]
    Listener,
    /// Each connection's too: about ten calls for each.
    Connections,
}

/// What listening on `::` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wildcard {
    /// IPv6 and IPv4; the port must not be taken on `0.0.0.0`.
    #[default]
    Both,
    /// IPv6 only, so that another listener can have `0.0.0.0`.
    V6Only,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            wildcard: Wildcard::default(),
            receive_buffer: None,
            send_buffer: None,
            sharing: Sharing::default(),
            linger: Linger::default(),
            read_back: ReadBack::default(),
        }
    }
}

impl ListenOptions {
    /// What was asked for, by the names and in the words of [`describe`]: where both differ, the kernel took something
    /// else. What was left to the kernel is left out.
    #[must_use]
    pub fn asked(&self) -> Vec<(&'static str, String)> {
        let Self { backlog, receive_buffer, send_buffer, sharing, linger, .. } = *self;
        let asked = [
            (describe::BACKLOG, Some(backlog.to_string())),
            (describe::RECEIVE_BUFFER, receive_buffer.map(describe::bytes)),
            (describe::SEND_BUFFER, send_buffer.map(describe::bytes)),
            (describe::REUSE_PORT, (sharing == Sharing::Shared).then(|| describe::switch(true))),
            (describe::LINGER, (linger == Linger::Zero).then(|| describe::time(linger.time()))),
        ];
        asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A non-blocking listener on `addr`; port 0 lets the kernel choose one.
///
/// # Errors
///
/// What the system said, with its number: EADDRINUSE, EADDRNOTAVAIL, EACCES for a low port, and so on.
pub fn listen(addr: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = new_socket(addr)?;
    socket.set_reuse_address(true)?;
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(options.wildcard == Wildcard::V6Only)?;
    }
    if options.sharing == Sharing::Shared {
        socket.set_reuse_port(true)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes as usize)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes as usize)?;
    }
    socket.set_linger(options.linger.time())?;
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// What a program is told of a connection that is let in.
pub fn arrival<E>(stream: impl AsFd, peer: SocketAddr, read_back: ReadBack) -> Event<E> {
    let local = SockRef::from(&stream).local_addr().ok().and_then(|addr| addr.as_socket());
    let options = match read_back {
        ReadBack::Listener => Vec::new(),
        ReadBack::Connections => describe(stream),
    };
    Event::Accepted { peer, local, options }
}

/// Accepts one connection, non-blocking, closed on exec, without Nagle's algorithm; `None` if none waits.
///
/// The address is what the kernel says now: a connection that was reset while it waited is accepted all the same, and
/// can no longer be asked for it.
///
/// # Errors
///
/// What the system said, with its number. Some concern that one connection only (ECONNABORTED), some the whole process
/// (EMFILE): the core says which, and how long to pause.
pub fn accept(listener: impl AsFd) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    let listener = SockRef::from(&listener);
    let (socket, peer) = loop {
        match accept_one(&listener) {
            Ok(accepted) => break accepted,
            Err(error) => match errno::name(&error) {
                Errno::Intr => {}
                Errno::Again => return Ok(None),
                _ => return Err(error),
            },
        }
    };
    // It can fail only if the connection has ended already; whoever reads will hear why.
    let _ = socket.set_tcp_nodelay(true);
    let peer = peer.as_socket().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
    Ok(Some((socket.into(), peer)))
}

#[cfg(target_os = "linux")]
fn accept_one(listener: &Socket) -> io::Result<(Socket, socket2::SockAddr)> {
    listener.accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
}

#[cfg(not(target_os = "linux"))]
fn accept_one(listener: &Socket) -> io::Result<(Socket, socket2::SockAddr)> {
    let (socket, peer) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}
