//! How packets to an address leave this host.
//!
//! The source address is the kernel's own word: it is what a UDP socket gets by `connect`, which sends nothing and fails
//! where the routes say no. The next hop is looked up in the main routing table, as /proc shows it; policy routing can
//! make it another one, so that it is a hint and no more.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fs;
use std::io;
use std::net::UdpSocket;

use resound_core::signal::{Errno, Signal};
use resound_sockets::errno;

use super::evidence::{Hop, Route};

/// What this host says of the way to an address.
pub(super) fn route(to: SocketAddr) -> Result<Route, Errno> {
    let source = source(to).map_err(|error| match errno::signal(&error) {
        Signal::Errno(errno) => errno,
        _ => Errno::Io,
    })?;
    let hop = if is_here(to.ip()) || source == to.ip() { Hop::Here } else { hop(to.ip()) };
    Ok(Route { source, hop })
}

/// Whether the address is this host's whatever its routes are. To connect to an unspecified address is to connect to
/// loopback (kernel: `ip_route_output_key_hash_rcu`, `tcp_v6_connect`).
pub(super) fn is_here(to: IpAddr) -> bool {
    to.is_loopback() || to.is_unspecified()
}

fn source(to: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

fn hop(to: IpAddr) -> Hop {
    let found = match to {
        IpAddr::V4(to) => fs::read_to_string("/proc/self/net/route").ok().and_then(|table| v4(&table, to)),
        IpAddr::V6(to) => {
            fs::read_to_string("/proc/self/net/ipv6_route").ok().and_then(|table| v6(&table, to))
        }
    };
    found.unwrap_or(Hop::Unknown)
}

/// `include/uapi/linux/route.h`: the route is usable; it goes through a gateway; it rejects.
const UP: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const REJECT: u32 = 0x200;

fn usable(flags: u32) -> bool {
    flags & UP != 0 && flags & REJECT == 0
}

/// `/proc/net/route`: addresses are numbers in this machine's order of bytes (`fib_route_seq_show`).
fn v4(table: &str, to: Ipv4Addr) -> Option<Hop> {
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|raw| Ipv4Addr::from(raw.to_ne_bytes()));
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[device, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok().filter(|&flags| usable(flags))?;
        let (destination, mask) = (address(destination)?, address(mask)?);
        let covers = u32::from(to) & u32::from(mask) == u32::from(destination);
        let rank = (u32::from(mask).count_ones(), core::cmp::Reverse(metric.parse::<u32>().ok()?));
        let hop = if flags & GATEWAY == 0 {
            Hop::OnLink(device.to_owned())
        } else {
            Hop::Gateway(address(gateway)?.into(), device.to_owned())
        };
        covers.then_some((rank, hop))
    });
    rows.max_by_key(|(rank, _)| *rank).map(|(_, hop)| hop)
}

/// `/proc/net/ipv6_route`: destination, its prefix length, source, its prefix length, next hop, metric, two counters,
/// flags, device (`rt6_route_seq_show`).
fn v6(table: &str, to: Ipv6Addr) -> Option<Hop> {
    let address = |hex: &str| u128::from_str_radix(hex, 16).ok();
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[destination, length, _, _, next, metric, _, _, flags, device] = fields.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok().filter(|&flags| usable(flags))?;
        let length = u32::from_str_radix(length, 16).ok().filter(|&length| length <= 128)?;
        let ignored = 128 - length;
        let same = (u128::from(to) ^ address(destination)?).checked_shr(ignored).unwrap_or(0) == 0;
        let rank = (length, core::cmp::Reverse(u32::from_str_radix(metric, 16).ok()?));
        let hop = match (device, flags & GATEWAY) {
            ("lo", _) => Hop::Here,
            (_, 0) => Hop::OnLink(device.to_owned()),
            _ => Hop::Gateway(Ipv6Addr::from(address(next)?).into(), device.to_owned()),
        };
        same.then_some((rank, hop))
    });
    rows.max_by_key(|(rank, _)| *rank).map(|(_, hop)| hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_and_then_the_lowest_metric() {
        let order = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let row = |device, destination, gateway, flags, metric, mask| {
            let [destination, gateway, mask] = [destination, gateway, mask].map(order);
            format!("{device}\t{destination}\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let table = String::from("Iface\tDestination\tGateway ...\n")
            + &row("wan", [0; 4], [192, 0, 2, 1], "0003", 100, [0; 4])
            + &row("slow", [0; 4], [192, 0, 2, 2], "0003", 600, [0; 4])
            + &row("lan", [10, 0, 0, 0], [0; 4], "0001", 0, [255, 255, 255, 0])
            + &row("*", [10, 9, 0, 0], [0; 4], "0201", 0, [255, 255, 0, 0]);
        let gateway = Hop::Gateway("192.0.2.1".parse().unwrap(), "wan".into());
        assert_eq!(v4(&table, Ipv4Addr::new(10, 0, 0, 7)), Some(Hop::OnLink("lan".into())));
        assert_eq!(v4(&table, Ipv4Addr::new(10, 0, 1, 7)), Some(gateway));
        assert_eq!(v4("Iface\n", Ipv4Addr::new(10, 0, 1, 7)), None);
        assert_eq!(v4("Iface\nnonsense\n", Ipv4Addr::new(10, 0, 1, 7)), None);
    }

    #[test]
    fn an_unspecified_address_is_this_host() {
        let hop = route((Ipv4Addr::UNSPECIFIED, 9).into()).map(|route| route.hop);
        assert!(matches!(hop, Ok(Hop::Here)), "{hop:?}");
    }

    #[test]
    fn the_table_of_ipv6_is_read() {
        let zero = "0".repeat(32);
        let prefix = "20010db8000000000000000000000000";
        let next = "fe800000000000000000000000000001";
        let table = format!(
            "{prefix} 40 {zero} 00 {zero} 00000100 1 0 00000001 lan\n\
             {zero} 00 {zero} 00 {next} 00000400 1 0 00000003 wan\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n"
        );
        assert_eq!(v6(&table, "2001:db8::7".parse().unwrap()), Some(Hop::OnLink("lan".into())));
        let gateway = Hop::Gateway("fe80::1".parse().unwrap(), "wan".into());
        assert_eq!(v6(&table, "2001:db8:1::7".parse().unwrap()), Some(gateway));
        assert_eq!(v6("", "::1".parse().unwrap()), None);
    }
}
