//! The system calls of UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resound_core::Instant;
use resound_core::datagram::Cast;
use resound_core::signal::{Errno, Version};

use super::super::errors::has_error_queue;
use super::super::table::{Code, Effect, Signal};
use super::super::{Arrived, Fd, Kernel, Kind, Pid, QueuedError, UdpOptions};
use super::{ToldBy, Udp};
use crate::packet::{Body, Datagram, Packet, is_broadcast, is_for_many, version};

/// The most that a datagram carries: 65535 less the headers, of IPv4 also the IP header (`IP_MAX_MTU`).
const fn longest(version: Version) -> usize {
    match version {
        Version::V4 => 65_507,
        Version::V6 => 65_527,
    }
}

impl Kernel {
    /// `socket`: not bound; the first connect or send binds it to any port.
    ///
    /// # Errors
    ///
    /// EMFILE.
    pub fn udp_socket(
        &mut self,
        now: Instant,
        pid: Pid,
        version: Version,
        options: &UdpOptions,
    ) -> Result<Fd, Errno> {
        self.env.now = now;
        self.descriptor()?;
        let local = SocketAddr::new(unspecified(version), 0);
        let udp = Udp::new(self.env.profile, local, options, self.env.receive_buffer);
        Ok(self.make(Some(pid), Kind::Udp(Box::new(udp))))
    }

    /// `socket` and `bind`; port 0: any. The unspecified address: any of this host's, of that version.
    ///
    /// # Errors
    ///
    /// EMFILE; EADDRNOTAVAIL for an address that is not this host's; EADDRINUSE if it is taken, or no port is left.
    pub fn udp_bind(
        &mut self,
        now: Instant,
        pid: Pid,
        at: SocketAddr,
        options: &UdpOptions,
    ) -> Result<Fd, Errno> {
        self.env.now = now;
        self.descriptor()?;
        let address = at.ip();
        if !address.is_unspecified() && !self.env.ways.is_local(address) && !is_for_many(address) {
            return Err(Errno::AddrNotAvail);
        }
        let port = if at.port() == 0 {
            self.udp_free_port(address).ok_or(Errno::AddrInUse)?
        } else if self.udp_conflict(at, options.reuse_address, options.reuse_port) {
            return Err(Errno::AddrInUse);
        } else {
            at.port()
        };
        let mut udp = Udp::new(self.env.profile, at, options, self.env.receive_buffer);
        udp.local.set_port(port);
        let fd = self.make(Some(pid), Kind::Udp(Box::new(udp)));
        self.udp_hash(fd, port);
        Ok(fd)
    }

    /// `connect`; `None` dissolves it (AF_UNSPEC). A pending error stays, and meets the next call.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), for want of a port, a way or a permission; EINVAL for an IPv6 group of the link.
    /// It stays connected to where it was.
    pub fn udp_connect(&mut self, now: Instant, fd: Fd, to: Option<SocketAddr>) -> Result<(), Errno> {
        self.env.now = now;
        let Some(to) = to else { return self.udp_dissolve(fd) };
        self.udp_autobind(fd)?;
        let udp = self.udp(fd).ok_or(Errno::BadF)?;
        if version(to.ip()) != udp.version() {
            return Err(Errno::AfNoSupport);
        }
        // Of the link: it needs to be said of which (`__ip6_datagram_connect`).
        if matches!(to.ip(), IpAddr::V6(group) if group.segments()[0] & 0xff0f == 0xff02) {
            return Err(Errno::Inval);
        }
        let (from, to) = self.udp_way(fd, to, None)?;
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        udp.peer = Some(to);
        udp.former = None;
        if udp.local.ip().is_unspecified() {
            udp.local.set_ip(from);
        }
        Ok(())
    }

    /// What `bind` did not ask for is given back (`__udp_disconnect`).
    fn udp_dissolve(&mut self, fd: Fd) -> Result<(), Errno> {
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        let former = udp.peer.take().map(|peer| peer.ip()).filter(IpAddr::is_ipv6);
        udp.former = former.or(udp.former);
        if !udp.keeps_address {
            let version = udp.version();
            udp.local.set_ip(unspecified(version));
        }
        if !udp.keeps_port {
            let port = udp.local.port();
            udp.local.set_port(0);
            self.udp_unhash(fd, port);
        }
        Ok(())
    }

    /// `sendmsg`: to where it is connected, or `to`; from this address of the host (`IP_PKTINFO`), or the route's.
    ///
    /// # Errors
    ///
    /// In the order in which Linux looks: EAGAIN (no port is left to bind to), EDESTADDRREQ, EINVAL (port 0),
    /// EAFNOSUPPORT or ENETUNREACH (the other IP version), then the source, the route, EACCES (broadcast), EMSGSIZE, and
    /// only then an error that is pending. Whatever it says, nothing was sent.
    pub fn send_to(
        &mut self,
        now: Instant,
        fd: Fd,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        self.env.now = now;
        self.udp_autobind(fd)?;
        let udp = self.udp(fd).ok_or(Errno::BadF)?;
        let own_version = udp.version();
        let to = match to {
            Some(to) if version(to.ip()) != own_version => {
                return Err(match own_version {
                    Version::V4 => Errno::AfNoSupport,
                    Version::V6 => Errno::NetUnreach,
                });
            }
            Some(to) if to.port() == 0 => return Err(Errno::Inval),
            Some(to) => to,
            None => udp.peer.ok_or(Errno::DestAddrReq)?,
        };
        let (source, to) = self.udp_way(fd, to, from)?;
        if bytes.len() > longest(own_version) {
            return Err(Errno::MsgSize);
        }
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        if udp.told_by == ToldBy::AnyCall {
            if let Some(errno) = udp.take_error() {
                return Err(errno);
            }
        }
        let (source_port, mut payload) = (udp.local.port(), self.buffers.take());
        payload.extend_from_slice(bytes);
        let datagram = Datagram { source: source_port, destination: to.port(), payload };
        let mut packet = Packet::new(source, to.ip(), Body::Udp(datagram));
        if packet.destination.is_multicast() {
            packet.hops = 1; // `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`: as they are unless set.
        }
        // To itself the path is that of the loopback, which takes whatever there is.
        packet.fragments =
            self.env.paths.fragments(now, to.ip(), packet.length()) && !self.env.ways.is_local(to.ip());
        self.effects.packets.push(packet);
        Ok(bytes.len())
    }

    /// From which address to which; what is in the way.
    fn udp_way(
        &mut self,
        fd: Fd,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<(IpAddr, SocketAddr), Errno> {
        let udp = self.udp(fd).ok_or(Errno::BadF)?;
        let may_broadcast = udp.options.broadcast;
        let source = match from.filter(|address| !address.is_unspecified()) {
            Some(pinned) if !self.env.ways.is_local(pinned) || version(pinned) != version(to.ip()) => {
                return Err(match version(to.ip()) {
                    Version::V4 => Errno::NetUnreach,
                    Version::V6 => Errno::Inval,
                });
            }
            Some(pinned) => Some(pinned),
            None => {
                let bound = udp.local.ip();
                Some(bound).filter(|bound| !bound.is_unspecified() && !is_for_many(*bound))
            }
        };
        // To nowhere is to oneself (`ip_route_output_key_hash_rcu`).
        let to = if to.ip().is_unspecified() {
            SocketAddr::new(source.unwrap_or_else(|| loopback(version(to.ip()))), to.port())
        } else {
            to
        };
        if self.env.ways.is_local(to.ip()) {
            return Ok((source.unwrap_or(to.ip()), to));
        }
        // `ip_route_output_key_hash_rcu`. IPv6 lets it go, and whoever receives it drops it (measured).
        if matches!(source, Some(IpAddr::V4(source)) if source.is_loopback()) {
            return Err(Errno::Inval);
        }
        if let Some(kind) = self.env.ways.routed_to(to.ip()) {
            if let Some(Effect::Fails(Code::Is(errno))) = self.udp_row(fd, Signal::Route(kind)) {
                return Err(errno);
            }
        }
        let none = if is_for_many(to.ip()) { Errno::AddrNotAvail } else { Errno::NetUnreach };
        let source = source.or_else(|| self.env.ways.own(version(to.ip()))).ok_or(none)?;
        if is_broadcast(to.ip()) && !may_broadcast {
            return Err(Errno::Acces);
        }
        Ok((source, to))
    }

    /// Without a port, it is given one; that none is left looks like would-block (`inet_autobind`).
    #[inline]
    fn udp_autobind(&mut self, fd: Fd) -> Result<(), Errno> {
        let udp = self.udp(fd).ok_or(Errno::BadF)?;
        if udp.local.port() != 0 {
            return Ok(());
        }
        let address = udp.local.ip();
        let port = self.udp_free_port(address).ok_or(Errno::Again)?;
        self.udp_mut(fd).ok_or(Errno::BadF)?.local.set_port(port);
        self.udp_hash(fd, port);
        Ok(())
    }

    /// `IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`, on the host's first link.
    ///
    /// # Errors
    ///
    /// EINVAL if it is no group; EADDRINUSE if this socket is in it already.
    pub fn udp_join(&mut self, fd: Fd, group: IpAddr) -> Result<(), Errno> {
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        if !group.is_multicast() || version(group) != udp.version() {
            return Err(Errno::Inval);
        }
        if udp.groups.contains(&group) {
            return Err(Errno::AddrInUse);
        }
        udp.groups.push(group);
        Ok(())
    }

    /// `IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`. Closing the socket does it, too.
    ///
    /// # Errors
    ///
    /// EADDRNOTAVAIL if this socket is not in it.
    pub fn udp_leave(&mut self, fd: Fd, group: IpAddr) -> Result<(), Errno> {
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        let at = udp.groups.iter().position(|other| *other == group).ok_or(Errno::AddrNotAvail)?;
        udp.groups.remove(at);
        Ok(())
    }

    /// `recvmsg`. A zero-length datagram gives 0, and is no end.
    ///
    /// # Errors
    ///
    /// One that is pending, before any datagram; EAGAIN.
    pub fn recv_from(&mut self, now: Instant, fd: Fd, into: &mut [u8]) -> Result<Arrived, Errno> {
        self.env.now = now;
        let udp = self.udp_mut(fd).ok_or(Errno::BadF)?;
        if let Some(errno) = udp.take_error() {
            return Err(errno);
        }
        let held = udp.next().ok_or(Errno::Again)?;
        let length = held.payload.len().min(into.len());
        into[..length].copy_from_slice(&held.payload[..length]);
        let cast = if held.to.is_multicast() {
            Cast::Multicast
        } else if is_broadcast(held.to) {
            Cast::Broadcast
        } else {
            Cast::Unicast
        };
        let truncated = length < held.payload.len();
        self.buffers.put_back(held.payload);
        Ok(Arrived { length, truncated, from: held.from, to: held.to, cast, dropped: held.dropped })
    }

    /// `recvmsg` with MSG_ERRQUEUE, of any socket.
    ///
    /// # Errors
    ///
    /// EAGAIN if it is empty; the pending error is not told here.
    pub fn recv_error(&mut self, now: Instant, fd: Fd) -> Result<QueuedError, Errno> {
        self.env.now = now;
        let (entry, more) = match &mut self.socket_mut(fd).ok_or(Errno::BadF)?.kind {
            Kind::Tcp(tcp) => (tcp.pop_error(), false),
            Kind::Listener(_) => (None, false),
            Kind::Udp(udp) => (udp.pop_error(), !udp.errors.is_empty()),
        };
        // An edge for each entry that is left (`sock_dequeue_err_skb`).
        if more {
            self.wake(fd);
        }
        entry.ok_or(Errno::Again)
    }

    /// Sets or clears `IP_RECVERR` of a UDP socket. Clearing it empties the queue; the pending error remains.
    pub fn udp_recverr(&mut self, fd: Fd, on: bool) {
        let on = on && has_error_queue(self.env.profile);
        if let Some(udp) = self.udp_mut(fd) {
            udp.options.recverr = on;
            if !on {
                udp.purge_errors();
            }
        }
    }

    /// How many datagrams were dropped on this socket in all (`SO_MEMINFO`).
    #[must_use]
    pub fn drops(&self, fd: Fd) -> u32 {
        self.udp(fd).map_or(0, |udp| udp.drops)
    }

    /// `SO_RCVBUF`, in bytes as the kernel counts them.
    #[must_use]
    pub fn receive_room(&self, fd: Fd) -> usize {
        self.udp(fd).map_or(0, |udp| udp.room)
    }

    pub(in crate::kernel) fn udp_close(&mut self, fd: Fd) {
        let Some(port) = self.udp(fd).map(|udp| udp.local.port()) else { return };
        self.udp_unhash(fd, port);
        self.free(fd);
    }
}

const fn unspecified(version: Version) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Version::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

const fn loopback(version: Version) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Version::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}
