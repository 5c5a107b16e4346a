//! Listening and accepting.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::libc;
use resound_core::signal::Errno;
use socket2::{SockRef, Socket};

use super::new_socket;
use crate::errno;

/// How to listen. `SO_REUSEADDR` is always on: a restarted server must get its port although connections of the old one
/// are still in TIME_WAIT. On Unix it never lets two listeners share one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections the kernel may complete before they are accepted. Linux takes one more than this, and no
    /// more than `net.core.somaxconn`; beyond that the client's SYN is dropped, and its connect waits.
    pub backlog: i32,
    /// What `::` stands for. Any other address takes what it says: nobody reaches `::1` over IPv4.
    pub wildcard: Wildcard,
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
        Self { backlog: 1024, wildcard: Wildcard::default() }
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
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
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
