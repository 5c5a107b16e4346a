//! The kernel's table of UDP sockets: which there are, where they are bound, and whose they are.
//!
//! Read from `/proc/self/net/udp` and `udp6` (proc_pid_net(5)), so it is that of this process's network namespace, and a
//! socket of another namespace is not in it. Three questions are answered from it:
//!
//! * Does the client's user own a socket with that port?
//! * Is a registered socket still open? The daemon keeps no copy of it, and once it is closed, its port may be anybody's.
//!   Inode numbers tell: a socket that is listed with the same one is the same socket.
//! * Whose sockets could have sent a datagram? With `SO_REUSEADDR`, several users can share a port.
//!
//! The files are made piece by piece while sockets come and go, so that one that stayed can be missing (`udp_seq_next`
//! finds its place again by counting). What looks gone is therefore looked for once more: see [`Table::merge`].

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

/// A UDP socket, as far as matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its local address. An IPv6 socket's can be an IPv4 one in IPv6 form.
    pub local: SocketAddr,
    /// What it can send beside its own IP version.
    pub reach: Reach,
    /// The number of the socket, unique while it is open.
    pub inode: u64,
    /// The user who made it.
    pub owner: u32,
}

/// What an IPv6 socket that is bound to all addresses can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// IPv6 only, or it is an IPv4 socket.
    OwnVersion,
    /// IPv4 as well; or that is not known, and must be reckoned with.
    BothVersions,
}

impl Bound {
    /// Whether a datagram with this source address can have come from it.
    #[must_use]
    pub fn could_have_sent(&self, source: SocketAddr) -> bool {
        if self.local.port() != source.port() {
            return false;
        }
        match (self.local.ip(), source.ip()) {
            (IpAddr::V4(bound), IpAddr::V4(source)) => bound.is_unspecified() || bound == source,
            (IpAddr::V6(bound), IpAddr::V6(source)) => bound.is_unspecified() || bound == source,
            (IpAddr::V6(bound), IpAddr::V4(source)) => match bound.to_ipv4_mapped() {
                Some(bound) => bound.is_unspecified() || bound == source,
                None => bound.is_unspecified() && self.reach == Reach::BothVersions,
            },
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }

    /// This very socket, as it is listed now: a `connect` may have changed its address. What it can reach stays, of which
    /// the table knows less. `None` if it is gone.
    #[must_use]
    pub fn now(&self, table: &Table) -> Option<Self> {
        table.find(self.local.port(), self.inode).map(|found| Self { reach: self.reach, ..*found })
    }
}

/// All UDP sockets of a network namespace, by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<u16, Vec<Bound>>);

impl Table {
    /// What the kernel says now.
    ///
    /// # Errors
    ///
    /// If `/proc` is not there, or not readable.
    pub fn read() -> io::Result<Self> {
        let mut table = Self::default();
        table.add(&std::fs::read_to_string("/proc/self/net/udp")?);
        match std::fs::read_to_string("/proc/self/net/udp6") {
            Ok(text) => table.add(&text),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(table)
    }

    fn add(&mut self, text: &str) {
        self.extend(text.lines().skip(1).filter_map(row));
    }

    /// Adds what another reading found.
    pub fn merge(&mut self, other: Self) {
        for bound in other.0.into_values().flatten() {
            if self.find(bound.local.port(), bound.inode).is_none() {
                self.extend([bound]);
            }
        }
    }

    /// The sockets with this local port.
    #[must_use]
    pub fn at(&self, port: u16) -> &[Bound] {
        self.0.get(&port).map(Vec::as_slice).unwrap_or_default()
    }

    /// The socket with this port and number.
    #[must_use]
    pub fn find(&self, port: u16, inode: u64) -> Option<&Bound> {
        self.at(port).iter().find(|bound| bound.inode == inode)
    }
}

impl Extend<Bound> for Table {
    fn extend<I: IntoIterator<Item = Bound>>(&mut self, all: I) {
        for bound in all {
            self.0.entry(bound.local.port()).or_default().push(bound);
        }
    }
}

impl FromIterator<Bound> for Table {
    fn from_iter<I: IntoIterator<Item = Bound>>(all: I) -> Self {
        let mut table = Self::default();
        table.extend(all);
        table
    }
}

/// `udp4_format_sock`, `__ip6_dgram_sock_seq_show`: slot, local and remote address, state, queues, timer, retransmits,
/// user, timeout, inode, … in columns.
fn row(line: &str) -> Option<Bound> {
    let mut columns = line.split_ascii_whitespace();
    let local = address(columns.nth(1)?)?;
    let owner = columns.nth(5)?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    // It does not say IPV6_V6ONLY.
    let reach = if local.is_ipv6() { Reach::BothVersions } else { Reach::OwnVersion };
    Some(Bound { local, reach, inode, owner })
}

/// Each 32 bits of the address as one number, in this machine's byte order; the port as people write it.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_kernel_lists_a_socket_with_its_address_its_number_and_its_user() {
        for written in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let socket = UdpSocket::bind(written).unwrap();
            let local = socket.local_addr().unwrap();
            let stat = rustix::fs::fstat(socket.as_fd()).unwrap();
            let table = Table::read().unwrap();
            let bound = table.find(local.port(), stat.st_ino).unwrap();
            assert_eq!((bound.local, bound.owner), (local, nix::unistd::geteuid().as_raw()), "{written}");
            drop(socket);
            assert_eq!(Table::read().unwrap().find(local.port(), stat.st_ino), None);
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn rows_are_read_as_the_kernel_writes_them() {
        let text = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n \
            77: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 18233 2 0 0\n \
            x: y\n";
        let mut table = Table::default();
        table.add(text);
        let local = "127.0.0.1:53".parse().unwrap();
        let reach = Reach::OwnVersion;
        assert_eq!(table, Table::from_iter([Bound { local, reach, inode: 18233, owner: 101 }]));
        let v6 = "B80D0120000000000000000001000000:1F90";
        assert_eq!(address(v6), Some("[2001:db8::1]:8080".parse().unwrap()));
        for bad in ["", ":", "0100007F", "0100007F:", "0100007:0035", "0100007F:10000", "é100007F:1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_socket_sends_from_its_own_address_or_from_any_if_it_has_none() {
        let sent = |local: &str, reach, source: &str| {
            let bound = Bound { local: local.parse().unwrap(), reach, inode: 1, owner: 0 };
            bound.could_have_sent(source.parse().unwrap())
        };
        use Reach::{BothVersions, OwnVersion};
        for (local, reach, source, expected) in [
            ("127.0.0.1:7", OwnVersion, "127.0.0.1:7", true),
            ("127.0.0.1:7", OwnVersion, "127.0.0.1:8", false),
            ("127.0.0.1:7", OwnVersion, "127.0.0.2:7", false),
            ("0.0.0.0:7", OwnVersion, "192.0.2.1:7", true),
            ("0.0.0.0:7", OwnVersion, "192.0.2.1:8", false),
            ("0.0.0.0:7", OwnVersion, "[::1]:7", false),
            ("[::1]:7", OwnVersion, "[::1]:7", true),
            ("[::1]:7", BothVersions, "127.0.0.1:7", false),
            ("[::]:7", OwnVersion, "[2001:db8::1]:7", true),
            ("[::]:7", OwnVersion, "192.0.2.1:7", false),
            ("[::]:7", BothVersions, "192.0.2.1:7", true),
            ("[::ffff:192.0.2.1]:7", OwnVersion, "192.0.2.1:7", true),
            ("[::ffff:192.0.2.1]:7", BothVersions, "192.0.2.2:7", false),
            ("[::ffff:0.0.0.0]:7", BothVersions, "192.0.2.2:7", true),
            ("[::ffff:192.0.2.1]:7", BothVersions, "[::1]:7", false),
        ] {
            assert_eq!(sent(local, reach, source), expected, "{local} {reach:?} {source}");
        }
    }

    #[test]
    fn two_readings_are_one_without_doubles() {
        let bound =
            |inode| Bound { local: "0.0.0.0:7".parse().unwrap(), reach: Reach::OwnVersion, inode, owner: 0 };
        let mut table = Table::from_iter([bound(1), bound(2)]);
        table.merge(Table::from_iter([bound(2), bound(3)]));
        assert_eq!(table, Table::from_iter([bound(1), bound(2), bound(3)]));
    }
}
