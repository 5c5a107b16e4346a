//! Which address a node has: it follows from its place in the scenario.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resound_core::signal::Version;

use super::{Address, End, NodeId, Peer};

/// Everybody on the link, of IPv6 (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The address of a node: 10.0.0.k or fd00::k, where k is its place in the scenario, from 1.
#[must_use]
pub const fn address(node: NodeId, version: Version) -> IpAddr {
    let k = node.0 as u16 + 1;
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::new(10, 0, (k >> 8) as u8, k as u8)),
        Version::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, k)),
    }
}

impl Address {
    /// Which one it is.
    #[must_use]
    pub const fn ip(self, version: Version) -> IpAddr {
        match (self, version) {
            (Self::Of(node), _) => address(node, version),
            (Self::Any, Version::V4) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            (Self::Any, Version::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            (Self::Loopback, Version::V4) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (Self::Loopback, Version::V6) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (Self::Broadcast, Version::V4) => IpAddr::V4(Ipv4Addr::BROADCAST),
            (Self::Broadcast, Version::V6) => IpAddr::V6(ALL_NODES),
            (Self::Group(n), Version::V4) => IpAddr::V4(Ipv4Addr::new(239, 0, 0, n)),
            (Self::Group(n), Version::V6) => IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, n as u16)),
        }
    }
}

impl End {
    /// As the system calls take it.
    #[must_use]
    pub const fn socket_addr(self, version: Version) -> SocketAddr {
        SocketAddr::new(self.at.ip(version), self.port)
    }
}

/// The node that has this address.
#[must_use]
pub const fn node_at(address: IpAddr) -> Option<NodeId> {
    let k = match address {
        IpAddr::V4(v4) => match v4.octets() {
            [10, 0, high, low] => u16::from_be_bytes([high, low]),
            _ => return None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0xfd00, 0, 0, 0, 0, 0, 0, k] => k,
            _ => return None,
        },
    };
    if k == 0 || k > 256 { None } else { Some(NodeId((k - 1) as u8)) }
}

/// The address and port of a peer.
#[must_use]
pub const fn socket_addr(peer: Peer, version: Version) -> SocketAddr {
    SocketAddr::new(address(peer.host, version), peer.port)
}
