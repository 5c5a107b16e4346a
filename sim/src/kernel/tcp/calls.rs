//! The system calls of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resound_core::Instant;
use resound_core::liveness::KernelView;
use resound_core::signal::Errno;
use resound_core::stream::Close;

use super::{Context, Kernel, Tcp, TcpState};
use crate::kernel::table::{Code, Effect, Signal, State, find};
use crate::kernel::{Fd, Kind, Pid, Sysctl, TcpOptions};
use crate::packet::version;

impl Kernel {
    /// `socket` and a non-blocking `connect` to `to`: under way if `Ok`; how it ends, the socket's readiness tells.
    ///
    /// # Errors
    ///
    /// What the table says of a [route](Signal::Route); ENETUNREACH without an address to speak from; EADDRNOTAVAIL
    /// without a port.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        pid: Pid,
        to: SocketAddr,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        self.tcp_connect_from(now, pid, None, to, options)
    }

    /// The same, with a `bind` before; port 0: any.
    ///
    /// # Errors
    ///
    /// Of `bind`: EADDRNOTAVAIL for an address that is not this host's, EADDRINUSE if the port is taken. Then as
    /// [`tcp_connect`](Self::tcp_connect); EINVAL from the IPv4 loopback to another host; EADDRNOTAVAIL if there is such a
    /// connection, unless it is in TIME_WAIT.
    pub fn tcp_connect_from(
        &mut self,
        now: Instant,
        pid: Pid,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        self.env.now = now;
        self.descriptor()?;
        let bound = from.map(|from| self.tcp_bind(from, options)).transpose()?;
        let ip = match to.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Errno::NetUnreach);
        }
        if let Some(kind) = self.env.ways.routed_to(ip) {
            let signal = Signal::Route(kind);
            let found = find(self.env.profile, version(ip), State::SynSent, options.recverr, signal);
            if let Some((id, row)) = found {
                self.effects.rows.push(id);
                if let Effect::Fails(Code::Is(errno)) = row.effect {
                    return Err(errno);
                }
            }
        }
        let asked = bound.map(|bound| bound.ip()).filter(|ip| !ip.is_unspecified());
        // IPv6 lets it go, and whoever receives it drops it (measured).
        if matches!(asked, Some(IpAddr::V4(own)) if own.is_loopback()) && !self.env.ways.is_local(ip) {
            return Err(Errno::Inval);
        }
        let own = asked.or_else(|| self.env.ways.source_for(ip)).ok_or(Errno::NetUnreach)?;
        let remote = SocketAddr::new(ip, to.port());
        let taken = |kernel: &Self, port| {
            kernel.listeners.contains_key(&port)
                || kernel.connections.contains_key(&(SocketAddr::new(own, port), remote))
        };
        let port = match bound.map(|bound| bound.port()) {
            Some(port) => Some(port).filter(|port| self.tcp_takes_over(SocketAddr::new(own, *port), remote)),
            None => self.free_port(taken),
        };
        let port = port.ok_or(Errno::AddrNotAvail)?;
        let local = SocketAddr::new(own, port);
        let iss = self.first_seq();
        let mut tcp = Tcp::new(&self.env, local, remote, options, iss);
        tcp.known = true;
        let fd = self.make(Some(pid), Kind::Tcp(Box::new(tcp)));
        self.connections.insert((local, remote), fd);
        self.work(fd, |tcp, cx| {
            tcp.nxt = tcp.una + 1;
            tcp.enter(cx, TcpState::SynSent);
            tcp.clock.sent_syn(cx.now, tcp.nxt);
            tcp.emit_syn(cx);
        });
        Ok(fd)
    }

    /// Whether a connect from a port that was asked for may have these ends: nobody has them, or they are in TIME_WAIT, whose
    /// place it takes (`tcp_twsk_unique`: timestamps tell the old segments from the new; measured).
    fn tcp_takes_over(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(&left) = self.connections.get(&(local, remote)) else { return true };
        let waits = self.tcp_state(left) == Some(TcpState::TimeWait);
        if waits {
            self.work(left, |tcp, cx| tcp.done(cx));
        }
        waits
    }

    /// How a non-blocking connect stands: `None` while it is under way. As poll, SO_ERROR and getpeername tell it.
    pub fn tcp_connected(&mut self, fd: Fd) -> Option<Result<(), Errno>> {
        let Some(tcp) = self.tcp_mut(fd) else { return Some(Err(Errno::BadF)) };
        if matches!(tcp.state, TcpState::SynSent | TcpState::SynReceived) {
            return None;
        }
        Some(match tcp.latches.so_error() {
            Some(errno) => Err(errno),
            None if matches!(tcp.state, TcpState::Closed | TcpState::TimeWait) => Err(Errno::NotConn),
            None => Ok(()),
        })
    }

    /// `recv`: 0 is the end of the peer's side.
    ///
    /// # Errors
    ///
    /// What was received comes first. Then the error that is latched, once; EAGAIN; ENOTCONN.
    pub fn recv(&mut self, now: Instant, fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        self.env.now = now;
        let got = self.work(fd, |tcp, cx| tcp.recv(cx, into));
        got.unwrap_or_else(|| Err(if self.listens(fd) { Errno::NotConn } else { Errno::BadF }))
    }

    /// `sendmsg` with MSG_NOSIGNAL.
    ///
    /// # Errors
    ///
    /// The error that is latched, once; EPIPE; EAGAIN if nothing fits.
    pub fn send(&mut self, now: Instant, fd: Fd, from: &[&[u8]]) -> Result<usize, Errno> {
        self.env.now = now;
        let sent = self.work(fd, |tcp, cx| tcp.send(cx, from));
        sent.unwrap_or_else(|| Err(if self.listens(fd) { Errno::Pipe } else { Errno::BadF }))
    }

    fn listens(&self, fd: Fd) -> bool {
        self.socket(fd).is_some_and(|socket| matches!(socket.kind, Kind::Listener(_)))
    }

    /// `shutdown(SHUT_WR)`.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn shutdown(&mut self, now: Instant, fd: Fd) -> Result<(), Errno> {
        self.env.now = now;
        let done = self.work(fd, |tcp, cx| {
            match tcp.state {
                TcpState::Closed | TcpState::Listen | TcpState::TimeWait => return Err(Errno::NotConn),
                TcpState::SynSent => {
                    tcp.latches.hard = Some(Errno::ConnReset);
                    tcp.done(cx);
                }
                _ => tcp.finish(cx),
            }
            Ok(())
        });
        done.unwrap_or(Err(Errno::NotConn))
    }

    /// `shutdown(SHUT_RD)`: `recv` gives 0 when there is nothing; what the peer still sends can be read.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn shutdown_read(&mut self, now: Instant, fd: Fd) -> Result<(), Errno> {
        self.env.now = now;
        let done = self.work(fd, |tcp, cx| {
            if matches!(tcp.state, TcpState::Closed | TcpState::TimeWait) {
                return Err(Errno::NotConn);
            }
            tcp.shut_read = true;
            cx.wake = true;
            Ok(())
        });
        done.unwrap_or(Err(Errno::NotConn))
    }

    /// `getsockopt(TCP_INFO)`; `None` for what is not a connection.
    pub fn tcp_info(&self, now: Instant, fd: Fd) -> Option<KernelView> {
        let tcp = self.tcp(fd)?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(KernelView {
            unacked: count(tcp.in_flight_segments()),
            unsent: count(tcp.unsent()),
            retransmits: tcp.clock.retransmits,
            backoff: tcp.clock.backoff,
            probes: tcp.clock.probes,
            since_ack: now - tcp.clock.heard,
            peer_window: Some(tcp.window_end.since(tcp.una).max(0) as u32),
        })
    }

    pub(in crate::kernel) fn tcp_close(&mut self, fd: Fd, how: Close) {
        let Some(tcp) = self.tcp_mut(fd) else { return };
        tcp.orphan = true;
        if !tcp.known {
            self.free(fd);
            return;
        }
        self.work(fd, |tcp, cx| tcp.close(cx, how));
    }
}

impl Tcp {
    /// `tcp_recvmsg`
    fn recv(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Result<usize, Errno> {
        if !self.in_order.is_empty() || into.is_empty() {
            let n = into.len().min(self.in_order.len());
            let (front, back) = self.in_order.as_slices();
            let first = n.min(front.len());
            into[..first].copy_from_slice(&front[..first]);
            into[first..n].copy_from_slice(&back[..n - first]);
            self.in_order.drain(..n);
            self.tell_window(cx);
            return Ok(n);
        }
        if self.done {
            return Ok(0);
        }
        if let Some(errno) = self.latches.take() {
            return Err(errno);
        }
        match self.state {
            _ if self.shut_read => Ok(0),
            TcpState::Closed => Err(Errno::NotConn),
            _ => Err(Errno::Again),
        }
    }

    /// Tells the peer of the space that the program has freed, once that is twice what was told before
    /// (`__tcp_cleanup_rbuf`).
    fn tell_window(&mut self, cx: &mut Context<'_>) {
        if self.done || self.shut_read || self.state == TcpState::Closed {
            return;
        }
        let told = self.edge.since(self.rcv_nxt).max(0) as usize;
        if told * 2 <= self.receive_room {
            let free = self.free_window();
            if free > 0 && free >= told * 2 {
                self.emit_ack(cx);
            }
        }
    }

    /// `tcp_sendmsg`
    fn send(&mut self, cx: &mut Context<'_>, from: &[&[u8]]) -> Result<usize, Errno> {
        if let Some(errno) = self.latches.take() {
            return Err(errno);
        }
        match self.state {
            TcpState::SynSent | TcpState::SynReceived => return Err(Errno::Again),
            TcpState::Established | TcpState::CloseWait if !self.shut_write => {}
            _ => return Err(Errno::Pipe),
        }
        let mut taken = 0;
        for bytes in from {
            let room = self.send_room.saturating_sub(self.out.len());
            let n = bytes.len().min(room);
            self.out.extend(&bytes[..n]);
            taken += n;
            if n < bytes.len() {
                self.blocked = true;
                break;
            }
        }
        if taken == 0 && self.blocked {
            return Err(Errno::Again);
        }
        self.push(cx);
        Ok(taken)
    }

    /// This side sends no more (`tcp_shutdown`).
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.shut_write = true;
        match self.state {
            TcpState::Established => self.enter(cx, TcpState::FinWait1),
            TcpState::CloseWait => self.enter(cx, TcpState::LastAck),
            _ => return,
        }
        cx.wake = true;
        self.push(cx);
    }

    /// `tcp_close`
    fn close(&mut self, cx: &mut Context<'_>, how: Close) {
        let unread = !self.in_order.is_empty();
        let reset = how == Close::Reset || unread;
        self.shut_read = true;
        match self.state {
            TcpState::Closed | TcpState::Listen | TcpState::SynSent => self.done(cx),
            TcpState::TimeWait if !reset => {}
            TcpState::Closing | TcpState::LastAck if self.una == self.nxt && reset => self.done(cx),
            TcpState::TimeWait => self.done(cx),
            TcpState::SynReceived => {
                self.emit_reset(cx);
                self.done(cx);
            }
            _ if reset => {
                self.emit_reset(cx);
                self.done(cx);
            }
            _ => {
                self.finish(cx);
                if self.state == TcpState::FinWait2 {
                    self.clock.over_at(cx.now + cx.env.seconds(Sysctl::FinTimeout));
                }
            }
        }
    }
}
