//! Addresses as the kernel reads and writes them: bytes at their offsets in `struct sockaddr_in` and `sockaddr_in6`.
//!
//! The border where addresses become canonical. Inside, an IPv4 peer is IPv4 whatever the socket is; a dual-stack
//! socket is told its mapped form. An IPv6 address keeps its scope, without which a link-local one means nothing.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::libc;

/// As long as a `sockaddr_in6`.
pub(super) const ROOM: usize = 28;

const _: () = assert!(ROOM == size_of::<libc::sockaddr_in6>());

const V4: u16 = libc::AF_INET as u16;
const V6: u16 = libc::AF_INET6 as u16;

/// Which kind of socket an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; ROOM]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; ROOM]);

    /// The address, and how many bytes of it count. An IPv6 address stays one on an IPv4 socket: the kernel says
    /// EAFNOSUPPORT, which is what it is.
    pub(super) fn of(to: SocketAddr, socket: Family) -> (Self, usize) {
        let mut name = Self::EMPTY;
        let bytes = &mut name.0;
        bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
        let (v6, scope) = match (to, socket) {
            (SocketAddr::V4(to), Family::V4) => {
                bytes[..2].copy_from_slice(&V4.to_ne_bytes());
                bytes[4..8].copy_from_slice(&to.ip().octets());
                return (name, size_of::<libc::sockaddr_in>());
            }
            (SocketAddr::V4(to), Family::V6) => (to.ip().to_ipv6_mapped(), 0),
            (SocketAddr::V6(to), _) => (*to.ip(), to.scope_id()),
        };
        bytes[..2].copy_from_slice(&V6.to_ne_bytes());
        bytes[8..24].copy_from_slice(&v6.octets());
        bytes[24..28].copy_from_slice(&scope.to_ne_bytes());
        (name, ROOM)
    }
}

/// The address in these bytes; `None` if it is of no family or of another one. The flow label is left out: two datagrams
/// of one peer are to compare as one peer's.
pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match u16::from_ne_bytes(*bytes.first_chunk()?) {
        V4 => {
            let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        V6 => {
            let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let ip = Ipv6Addr::from(ip);
            if let Some(v4) = ip.to_ipv4_mapped() {
                return Some(SocketAddrV4::new(v4, port).into());
            }
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &str, socket: Family) -> Option<SocketAddr> {
        let (name, len) = Name::of(address.parse().unwrap(), socket);
        read(&name.0[..len])
    }

    #[test]
    fn every_address_comes_back_as_it_went() {
        for address in ["192.0.2.1:7", "[2001:db8::1]:65535", "[fe80::1%3]:7"] {
            assert_eq!(there_and_back(address, Family::V6), Some(address.parse().unwrap()));
        }
        assert_eq!(there_and_back("192.0.2.1:7", Family::V4), Some("192.0.2.1:7".parse().unwrap()));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert_eq!(there_and_back("[::ffff:192.0.2.1]:7", Family::V6), Some("192.0.2.1:7".parse().unwrap()));
    }

    #[test]
    fn an_address_of_no_family_is_none() {
        assert_eq!(read(&Name::EMPTY.0), None);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&Name::of("192.0.2.1:7".parse().unwrap(), Family::V4).0.0[..6]), None);
    }
}
