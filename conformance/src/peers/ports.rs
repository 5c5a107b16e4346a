//! Addresses where nobody answers: with a refusal, or not at all.

use core::net::SocketAddr;
use std::io;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

/// Any loopback address of the kernel's choice.
pub(super) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A TCP socket that is bound with SO_REUSEADDR.
pub(super) fn bound(addr: SocketAddr) -> io::Result<Socket> {
    bound_as(Type::STREAM, addr)
}

/// A socket that may be bound where another one is that says so too.
///
/// Where the kernel chooses the port it says so only afterwards: to a socket that has SO_REUSEADDR the kernel gives ports
/// that others hold with it (`inet_csk_find_open_port`, `udp_lib_lport_inuse`).
pub(super) fn bound_as(kind: Type, addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, None)?;
    if addr.port() != 0 {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

pub(super) fn addr_of(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet address"))
}

/// A port on which nobody listens: a connect is refused. It is held, so that the kernel gives it to nobody else; who
/// asks for this very port, with SO_REUSEADDR, gets it.
#[derive(Debug)]
pub(crate) struct Refusing {
    _held: Socket,
    addr: SocketAddr,
}

impl Refusing {
    pub(crate) fn new() -> io::Result<Self> {
        let held = bound(any())?;
        Ok(Self { addr: addr_of(&held)?, _held: held })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A listener that accepts nobody and whose queue is full: the kernel drops every further SYN (`tcp_conn_request`), and
/// a connect meets silence.
#[derive(Debug)]
pub(crate) struct Silent {
    _listener: Socket,
    _fillers: Vec<Socket>,
    addr: SocketAddr,
}

impl Silent {
    pub(crate) fn new() -> io::Result<Self> {
        // Long enough for a handshake on loopback; a SYN that was dropped is sent again after a second.
        const HANDSHAKE: u16 = 200;
        let listener = bound(any())?;
        listener.listen(0)?;
        let addr = addr_of(&listener)?;
        let mut fillers = Vec::new();
        for _ in 0..16 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            let _in_progress = filler.connect(&addr.into());
            let mut wait = [PollFd::new(filler.as_fd(), PollFlags::POLLOUT)];
            let answered = poll(&mut wait, PollTimeout::from(HANDSHAKE))? > 0;
            fillers.push(filler);
            if !answered {
                return Ok(Self { _listener: listener, _fillers: fillers, addr });
            }
        }
        Err(io::Error::other("the accept queue never fills up"))
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_held_port_refuses() {
        let error = TcpStream::connect(Refusing::new().unwrap().addr()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_full_queue_is_silent() {
        let silent = Silent::new().unwrap();
        let error = TcpStream::connect_timeout(&silent.addr(), Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
