//! TCP.
use super::{Fate, Fd, Kernel, Latches, Pid, Poll, QueuedError, TcpOptions};
use crate::packet::{Packet, Segment};
use resound_core::Instant;
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, IcmpError};
use resound_core::stream::Close;
use std::net::SocketAddr;
use std::time::Duration;

/// The state of a TCP socket (RFC 9293 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum TcpState {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

#[derive(Debug)]
pub(super) struct Tcp {
    latches: Latches,
    local: SocketAddr,
    state: TcpState,
}
impl Tcp {
    pub(super) fn latches(&mut self) -> &mut Latches {
        &mut self.latches
    }
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        None
    }
    pub(super) fn poll(&self) -> Poll {
        Poll::default()
    }
    pub(super) fn state(&self) -> TcpState {
        self.state
    }
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }
    pub(super) fn deadline(&self) -> Option<Instant> {
        None
    }
    pub(super) fn pop_error(&mut self) -> Option<QueuedError> {
        None
    }
}
impl Kernel {
    /// `socket` and a non-blocking `connect` to `to`: under way if `Ok`; how it ends, the socket's readiness tells.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        pid: Pid,
        to: SocketAddr,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        let _ = (now, pid, to, options);
        Err(Errno::OpNotSupp)
    }
    /// How a non-blocking connect stands: `None` while it is under way. As poll, SO_ERROR and getpeername tell it.
    pub fn tcp_connected(&mut self, fd: Fd) -> Option<Result<(), Errno>> {
        let _ = fd;
        None
    }
    /// `socket`, `bind`, `listen`.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        pid: Pid,
        at: SocketAddr,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        let _ = (now, pid, at, backlog, options);
        Err(Errno::OpNotSupp)
    }
    /// `accept`.
    pub fn accept(&mut self, now: Instant, fd: Fd, pid: Pid) -> Result<(Fd, SocketAddr), Errno> {
        let _ = (now, fd, pid);
        Err(Errno::OpNotSupp)
    }
    /// `recv`: 0 is the end of the peer's side.
    pub fn recv(&mut self, now: Instant, fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        let _ = (now, fd, into);
        Err(Errno::OpNotSupp)
    }
    /// `sendmsg` with MSG_NOSIGNAL.
    pub fn send(&mut self, now: Instant, fd: Fd, from: &[&[u8]]) -> Result<usize, Errno> {
        let _ = (now, fd, from);
        Err(Errno::OpNotSupp)
    }
    /// `shutdown(SHUT_WR)`.
    pub fn shutdown(&mut self, now: Instant, fd: Fd) -> Result<(), Errno> {
        let _ = (now, fd);
        Err(Errno::OpNotSupp)
    }
    /// `shutdown(SHUT_RD)`.
    pub fn shutdown_read(&mut self, now: Instant, fd: Fd) -> Result<(), Errno> {
        let _ = (now, fd);
        Err(Errno::OpNotSupp)
    }
    /// `getsockopt(TCP_INFO)`.
    pub fn tcp_info(&self, now: Instant, fd: Fd) -> Option<KernelView> {
        let _ = (now, fd, Duration::ZERO);
        None
    }
    pub(super) fn tcp_close(&mut self, fd: Fd, how: Close) {
        let _ = (fd, how);
    }
    pub(super) fn tcp_timer(&mut self, fd: Fd) {
        let _ = fd;
    }
    pub(super) fn receive_segment(&mut self, packet: Packet) -> Fate {
        let _ = packet;
        Fate::Absorbed("")
    }
    pub(super) fn tcp_lookup(&self, local: SocketAddr, remote: SocketAddr) -> Option<Fd> {
        let _ = (local, remote);
        None
    }
    pub(super) fn tcp_icmp(&mut self, fd: Fd, error: &IcmpError, quoted: &Segment) -> Fate {
        let _ = (fd, error, quoted);
        Fate::Absorbed("")
    }
}
