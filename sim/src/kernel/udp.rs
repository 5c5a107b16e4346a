//! UDP.
use super::{Arrived, Fate, Fd, Kernel, Latches, Pid, Poll, QueuedError, UdpOptions};
use crate::packet::Packet;
use resound_core::Instant;
use resound_core::signal::Errno;
use std::net::{IpAddr, SocketAddr};
#[derive(Debug)]
pub(super) struct Udp {
    latches: Latches,
    local: SocketAddr,
}
impl Udp {
    pub(super) fn latches(&mut self) -> &mut Latches {
        &mut self.latches
    }
    pub(super) fn poll(&self) -> Poll {
        Poll::default()
    }
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }
}
impl Kernel {
    /// `socket` and `bind`; port 0: any. The unspecified address: any of this host's, of that version.
    pub fn udp_bind(
        &mut self,
        now: Instant,
        pid: Pid,
        at: SocketAddr,
        options: &UdpOptions,
    ) -> Result<Fd, Errno> {
        let _ = (now, pid, at, options);
        Err(Errno::OpNotSupp)
    }
    /// `connect`; `None` dissolves it (AF_UNSPEC).
    pub fn udp_connect(&mut self, now: Instant, fd: Fd, to: Option<SocketAddr>) -> Result<(), Errno> {
        let _ = (now, fd, to);
        Err(Errno::OpNotSupp)
    }
    /// `sendmsg`: to where it is connected, or `to`; from this address of the host (`IP_PKTINFO`), or the route's.
    pub fn send_to(
        &mut self,
        now: Instant,
        fd: Fd,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let _ = (now, fd, to, from, bytes);
        Err(Errno::OpNotSupp)
    }
    /// `recvmsg`.
    pub fn recv_from(&mut self, now: Instant, fd: Fd, into: &mut [u8]) -> Result<Arrived, Errno> {
        let _ = (now, fd, into);
        Err(Errno::OpNotSupp)
    }
    /// `recvmsg` with MSG_ERRQUEUE: EAGAIN if it is empty.
    pub fn recv_error(&mut self, now: Instant, fd: Fd) -> Result<QueuedError, Errno> {
        let _ = (now, fd);
        Err(Errno::OpNotSupp)
    }
    /// How many datagrams were dropped on this socket in all (`SO_MEMINFO`).
    pub fn drops(&self, fd: Fd) -> u32 {
        let _ = fd;
        0
    }
    /// `SO_RCVBUF`, in bytes as the kernel counts them.
    pub fn receive_room(&self, fd: Fd) -> usize {
        let _ = fd;
        0
    }
    pub(super) fn udp_close(&mut self, fd: Fd) {
        let _ = fd;
    }
    pub(super) fn receive_datagram(&mut self, packet: Packet) -> Fate {
        let _ = packet;
        Fate::Absorbed("")
    }
}
