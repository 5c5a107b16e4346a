//! How a socket is made, before anybody uses it.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use resound_core::signal::{Errno, Version};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::sys;
use crate::errno;
use crate::tcp::Wildcard;

/// How to bind. What every socket has is not here: it is non-blocking and closed on exec, is told which of this host's
/// addresses a datagram was sent to, and how many were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether ICMP errors are heard of.
    pub errors: Errors,
    /// Who else may have the port.
    pub share: Share,
    /// What `::` stands for.
    pub wildcard: Wildcard,
    /// Whether several datagrams may come as one (`UDP_GRO`, Linux 5.0).
    pub offload: Offload,
    /// Whether datagrams may be sent to a broadcast address; without it that is EACCES.
    pub broadcast: Broadcast,
    /// Bytes of datagrams that wait to be read (`SO_RCVBUF`). Linux doubles it, and caps it at `net.core.rmem_max`; each
    /// datagram counts with its bookkeeping, 832 bytes at least. `None`: the system's own.
    pub receive_buffer: Option<usize>,
    /// Bytes of datagrams that wait to be sent (`SO_SNDBUF`), likewise.
    pub send_buffer: Option<usize>,
    /// Time to live, or hop limit, of what is sent. `None`: the system's own.
    pub hops: Option<u8>,
    /// Who may cut a datagram in pieces. `None`: the system's own rule, [`Fragmentation::AsThePathNeeds`] on Linux.
    pub fragmentation: Option<Fragmentation>,
    /// Multicast.
    pub multicast: Multicast,
}

/// Whether the socket hears of ICMP errors about what it sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errors {
    /// No. A server's choice: its peers are strangers, and anyone who asks and vanishes would make its next send fail.
    #[default]
    Unheard,
    /// Yes, each with its destination, in the error queue (`IP_RECVERR` and `IPV6_RECVERR`). A client's choice.
    Queued,
}

/// Who else may have the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Nobody: a second bind is EADDRINUSE.
    #[default]
    Nobody,
    /// Every socket that says so too, as listeners of a multicast group do (`SO_REUSEADDR`). A datagram to this host
    /// alone goes to whoever was bound last.
    Address,
    /// Sockets of the same user that say so too; the kernel spreads the peers over them (`SO_REUSEPORT`). An ICMP error
    /// goes to any of them.
    Port,
}

/// Whether several datagrams may come as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Yes, where the system can.
    #[default]
    Trains,
    /// No.
    Single,
}

/// Whether datagrams may be sent to a broadcast address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broadcast {
    /// No.
    #[default]
    Refused,
    /// Yes (`SO_BROADCAST`).
    Allowed,
}

/// Who may cut a datagram in pieces (`IP_MTU_DISCOVER`, `IPV6_MTU_DISCOVER`; Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragmentation {
    /// Anybody on the way (`IP_PMTUDISC_DONT`).
    Allowed,
    /// This host, to what is known of the path (`IP_PMTUDISC_WANT`).
    AsThePathNeeds,
    /// Nobody: what is too long for the path, as far as is known, is EMSGSIZE (`IP_PMTUDISC_DO`).
    Never,
    /// Nobody, and what is known of the path does not count: only the interface does (`IP_PMTUDISC_PROBE`).
    NeverNorLearn,
}

/// What concerns multicast. `None`: the system's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multicast {
    /// Groups to listen to.
    pub groups: Vec<Group>,
    /// The interface that multicasts leave through, by its index.
    pub interface: Option<u32>,
    /// How many hops a multicast goes; 1 is this network.
    pub hops: Option<u8>,
    /// Whether this host's own listeners get it.
    pub loopback: Option<Loopback>,
}

/// A multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its address.
    pub address: IpAddr,
    /// The interface to listen on, by its index. `None`: the one that the routes say.
    pub interface: Option<u32>,
}

/// Whether listeners on the sender's own host get a multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// They do.
    Heard,
    /// They do not.
    Unheard,
}

/// A socket bound to `addr`; port 0 lets the kernel choose one.
///
/// A socket that was never bound looks for a port when it first sends, and where none is left the kernel says EAGAIN,
/// as if it were only full: whoever waits for room then waits for ever. So it is bound here, where the error is
/// EADDRINUSE.
///
/// # Errors
///
/// What the system said, with its number: EADDRINUSE, EADDRNOTAVAIL, EACCES for a low port, EINVAL for a group that is
/// none. See also [`missing_family`].
pub fn bind(addr: SocketAddr, options: &Options) -> io::Result<UdpSocket> {
    let socket = new_socket(addr)?;
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(options.wildcard == Wildcard::V6Only)?;
    }
    match options.share {
        Share::Nobody => {}
        Share::Address => socket.set_reuse_address(true)?,
        Share::Port => socket.set_reuse_port(true)?,
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if options.broadcast == Broadcast::Allowed {
        socket.set_broadcast(true)?;
    }
    let family = if addr.is_ipv4() { sys::Family::V4 } else { sys::Family::V6 };
    sys::prepare(socket.as_fd(), family, options)?;
    set_hops(&socket, addr, options)?;
    socket.bind(&addr.into())?;
    // Afterwards: a group that is joined before can bring what was sent to another port's owner.
    options.multicast.groups.iter().try_for_each(|group| join(&socket, group))?;
    Ok(socket.into())
}

/// A socket for peers of any family, with a port of the kernel's choice: dual-stack where this host can, else IPv4.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_any(options: &Options) -> io::Result<UdpSocket> {
    let dual = bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), options);
    match dual {
        Err(error)
            if missing_family(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), errno::name(&error))
                .is_some() =>
        {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), options)
        }
        bound => bound,
    }
}

/// Which family of addresses is missing, where that is what an error of [`bind`], or of a send, says: on this host (a
/// kernel without IPv6: EAFNOSUPPORT; one that has it switched off: EADDRNOTAVAIL), or on the socket.
#[must_use]
pub const fn missing_family(addr: SocketAddr, errno: Errno) -> Option<Version> {
    match (errno, addr) {
        (Errno::AfNoSupport, SocketAddr::V4(_)) => Some(Version::V4),
        (Errno::AfNoSupport, SocketAddr::V6(_)) => Some(Version::V6),
        (Errno::AddrNotAvail, SocketAddr::V6(v6)) if v6.ip().is_unspecified() || v6.ip().is_loopback() => {
            Some(Version::V6)
        }
        _ => None,
    }
}

/// A non-blocking UDP socket, closed on exec.
fn new_socket(family_of: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(family_of);
    #[cfg(target_os = "linux")]
    return Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP));
    #[cfg(not(target_os = "linux"))]
    {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// An IPv6 socket has two of each: IPv4 datagrams that go through it take IPv4's.
fn set_hops(socket: &Socket, addr: SocketAddr, options: &Options) -> io::Result<()> {
    let multicast = &options.multicast;
    if let Some(hops) = options.hops {
        if addr.is_ipv6() {
            socket.set_unicast_hops_v6(hops.into())?;
        }
        // Linux has no TTL of zero.
        socket.set_ttl_v4(hops.into())?;
    }
    if let Some(hops) = multicast.hops {
        if addr.is_ipv6() {
            socket.set_multicast_hops_v6(hops.into())?;
        }
        socket.set_multicast_ttl_v4(hops.into())?;
    }
    if let Some(loopback) = multicast.loopback {
        if addr.is_ipv6() {
            socket.set_multicast_loop_v6(loopback == Loopback::Heard)?;
        }
        socket.set_multicast_loop_v4(loopback == Loopback::Heard)?;
    }
    if let Some(interface) = multicast.interface {
        if addr.is_ipv6() {
            socket.set_multicast_if_v6(interface)?;
        }
        sys::multicast_interface_v4(socket.as_fd(), interface)?;
    }
    Ok(())
}

fn join(socket: &Socket, group: &Group) -> io::Result<()> {
    match group.address {
        IpAddr::V4(address) => {
            let interface = group.interface.map_or(
                InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                InterfaceIndexOrAddress::Index,
            );
            socket.join_multicast_v4_n(&address, &interface)
        }
        IpAddr::V6(address) => socket.join_multicast_v6(&address, group.interface.unwrap_or(0)),
    }
}

impl fmt::Display for Group {
    /// `224.0.0.251`, or with an interface `ff02::fb%2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface {
            Some(interface) => write!(f, "{}%{interface}", self.address),
            None => self.address.fmt(f),
        }
    }
}
