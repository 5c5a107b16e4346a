//! The system calls that are alike for all sockets, and what calls take and give.
//!
//! Those of TCP are in `tcp` (`tcp_connect`, `tcp_listen`, `accept`, `recv`, `send`, `shutdown`, `tcp_info`), those of UDP
//! in `udp` (`udp_bind`, `udp_connect`, `send_to`, `recv_from`, `recv_error`, `drops`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resound_core::Instant;
use resound_core::datagram::Cast;
use resound_core::signal::Errno;
use resound_core::stream::Close;

use super::{Fd, Kernel, Kind, Pid, TcpState};

/// Options of a TCP socket, set before it connects or listens; a listener's connections inherit them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpOptions {
    /// `IP_RECVERR`, `IPV6_RECVERR`.
    pub recverr: bool,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<Duration>,
    /// `SO_KEEPALIVE` with `TCP_KEEPIDLE`, `TCP_KEEPINTVL` and `TCP_KEEPCNT`.
    pub keepalive: Option<(Duration, Duration, u8)>,
    /// `TCP_SYNCNT`.
    pub syn_retries: Option<u8>,
    /// `SO_RCVBUF`; what the host has otherwise.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF`; what the host has otherwise.
    pub send_buffer: Option<u32>,
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
}

/// Options of a UDP socket, set before it is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpOptions {
    /// `IP_RECVERR`, `IPV6_RECVERR`.
    pub recverr: bool,
    /// `SO_RCVBUF`; what the host has otherwise.
    pub receive_buffer: Option<u32>,
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
}

/// What poll(2) says, asked for everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Poll {
    /// POLLIN
    pub readable: bool,
    /// POLLOUT
    pub writable: bool,
    /// POLLERR
    pub error: bool,
    /// POLLHUP
    pub hangup: bool,
    /// POLLRDHUP
    pub read_hangup: bool,
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.readable, "IN"),
            (self.writable, "OUT"),
            (self.error, "ERR"),
            (self.hangup, "HUP"),
            (self.read_hangup, "RDHUP"),
        ];
        let mut first = true;
        for (_, name) in names.into_iter().filter(|(is, _)| *is) {
            f.write_str(if core::mem::take(&mut first) { "" } else { "|" })?;
            f.write_str(name)?;
        }
        if first { f.write_str("-") } else { Ok(()) }
    }
}

/// A datagram as `recvmsg` gives it; the bytes lie in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// How many bytes were copied.
    pub length: usize,
    /// Whether it was longer (MSG_TRUNC).
    pub truncated: bool,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which address of this host (`IP_PKTINFO`).
    pub to: IpAddr,
    /// What kind of address that is.
    pub cast: Cast,
    /// How many were dropped on this socket before it was queued (`SO_RXQ_OVFL`).
    pub dropped: u32,
}

impl Kernel {
    /// `close`: with [`Close::Reset`], as SO_LINGER 0 does it. Never blocks.
    pub fn close(&mut self, now: Instant, fd: Fd, how: Close) {
        self.env.now = now;
        let Some(socket) = self.socket_mut(fd) else { return };
        socket.owner = None;
        match socket.kind {
            Kind::Tcp(_) => self.tcp_close(fd, how),
            Kind::Listener(_) => self.listener_close(fd),
            Kind::Udp(_) => self.udp_close(fd),
        }
    }

    /// `getsockopt(SO_ERROR)`: takes the error that it gives, a remembered soft one too.
    pub fn so_error(&mut self, fd: Fd) -> Option<Errno> {
        match &mut self.socket_mut(fd)?.kind {
            Kind::Tcp(tcp) => tcp.latches().so_error(),
            Kind::Listener(_) => None,
            Kind::Udp(udp) => udp.latches().so_error(),
        }
    }

    /// `poll` with a timeout of zero.
    #[must_use]
    pub fn poll(&self, fd: Fd) -> Poll {
        match self.socket(fd).map(|socket| &socket.kind) {
            Some(Kind::Tcp(tcp)) => tcp.poll(),
            Some(Kind::Listener(listener)) => listener.poll(),
            Some(Kind::Udp(udp)) => udp.poll(),
            None => Poll::default(),
        }
    }

    /// The state of a TCP socket.
    #[must_use]
    pub fn tcp_state(&self, fd: Fd) -> Option<TcpState> {
        match &self.socket(fd)?.kind {
            Kind::Tcp(tcp) => Some(tcp.state()),
            Kind::Listener(_) => Some(TcpState::Listen),
            Kind::Udp(_) => None,
        }
    }

    /// The program that has this socket.
    #[must_use]
    #[inline]
    pub fn owner(&self, fd: Fd) -> Option<Pid> {
        self.socket(fd)?.owner
    }

    /// Whether this is a UDP socket.
    #[must_use]
    pub fn is_udp(&self, fd: Fd) -> bool {
        matches!(self.socket(fd).map(|socket| &socket.kind), Some(Kind::Udp(_)))
    }

    /// `getpeername`.
    #[must_use]
    pub fn peer_addr(&self, fd: Fd) -> Option<SocketAddr> {
        match &self.socket(fd)?.kind {
            Kind::Tcp(tcp) => tcp.remote(),
            Kind::Listener(_) => None,
            Kind::Udp(udp) => udp.remote(),
        }
    }

    /// `getsockname`.
    #[must_use]
    pub fn local_addr(&self, fd: Fd) -> Option<SocketAddr> {
        match &self.socket(fd)?.kind {
            Kind::Tcp(tcp) => Some(tcp.local()),
            Kind::Listener(listener) => Some(listener.local()),
            Kind::Udp(udp) => Some(udp.local()),
        }
    }
}
