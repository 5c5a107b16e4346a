//! The options that `socket2` has no name for, and what they are set to.

use std::io;
use std::os::fd::BorrowedFd;

use nix::libc::{self, c_int};
use resound_core::signal::Errno;

use super::Family;
use super::calls::{get, set};
use crate::errno;
use crate::udp::options::{Errors, Fragmentation, Offload, Options};
use crate::udp::{Facts, MOST_SEGMENTS};

/// What every socket has, and what is asked for. An option of IPv4 is set on a dual-stack socket too: it is what
/// applies to the IPv4 datagrams that go through it.
pub(in crate::udp) fn prepare(fd: BorrowedFd<'_>, family: Family, options: &Options) -> io::Result<()> {
    let levels = |v4: c_int, v6: c_int, value: c_int| {
        if family == Family::V6 {
            must(set(fd, libc::IPPROTO_IPV6, v6, &[value]))?;
        }
        must(set(fd, libc::IPPROTO_IP, v4, &[value]))
    };
    levels(libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO, 1)?;
    if options.errors == Errors::Queued {
        levels(libc::IP_RECVERR, libc::IPV6_RECVERR, 1)?;
    }
    if let Some(fragmentation) = options.fragmentation {
        // The numbers of IPV6_PMTUDISC_* are the same.
        let how = match fragmentation {
            Fragmentation::Allowed => libc::IP_PMTUDISC_DONT,
            Fragmentation::AsThePathNeeds => libc::IP_PMTUDISC_WANT,
            Fragmentation::Never => libc::IP_PMTUDISC_DO,
            Fragmentation::NeverNorLearn => libc::IP_PMTUDISC_PROBE,
        };
        levels(libc::IP_MTU_DISCOVER, libc::IPV6_MTU_DISCOVER, how)?;
    }
    must(set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &[1]))?;
    if options.offload == Offload::Trains {
        // It came with Linux 5.0; without it datagrams come one by one.
        let _ = set(fd, libc::SOL_UDP, libc::UDP_GRO, &[1]);
    }
    Ok(())
}

fn must(set: Result<(), Errno>) -> io::Result<()> {
    set.map_err(|errno| {
        errno::to_raw(errno).map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
    })
}

/// The interface that IPv4 multicasts leave through: `struct ip_mreqn`, of which only the index counts.
pub(in crate::udp) fn multicast_interface_v4(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    must(set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &[0, 0, index as c_int]))
}

/// What the socket is, by what the kernel says.
pub(in crate::udp) fn facts(fd: BorrowedFd<'_>) -> Facts {
    let int = |level, option| int(fd, level, option);
    let family = match int(libc::SOL_SOCKET, libc::SO_DOMAIN) {
        Some(libc::AF_INET6) => Family::V6,
        _ => Family::V4,
    };
    Facts {
        family,
        errors: int(libc::IPPROTO_IP, libc::IP_RECVERR) == Some(1)
            || int(libc::IPPROTO_IPV6, libc::IPV6_RECVERR) == Some(1),
        trains: int(libc::SOL_UDP, libc::UDP_GRO) == Some(1),
        // It came with Linux 4.18, and asking for it tells whether it is there.
        segments: if int(libc::SOL_UDP, libc::UDP_SEGMENT).is_some() { MOST_SEGMENTS } else { 1 },
    }
}

/// Switches off what makes several datagrams come as one.
pub(in crate::udp) fn one_by_one(fd: BorrowedFd<'_>) {
    // It fails where it was never on.
    let _ = set(fd, libc::SOL_UDP, libc::UDP_GRO, &[0]);
}

fn int(fd: BorrowedFd<'_>, level: c_int, option: c_int) -> Option<c_int> {
    let mut value = [0];
    get(fd, level, option, &mut value).map(|_| value[0])
}

/// The options of UDP and below it, by the names that `setsockopt` knows.
pub(in crate::udp) fn describe(fd: BorrowedFd<'_>, mut tell: impl FnMut(&'static str, String)) {
    const SWITCHES: [(&str, c_int, c_int); 6] = [
        ("IP_RECVERR", libc::IPPROTO_IP, libc::IP_RECVERR),
        ("IPV6_RECVERR", libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        ("IP_PKTINFO", libc::IPPROTO_IP, libc::IP_PKTINFO),
        ("IPV6_RECVPKTINFO", libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        ("SO_RXQ_OVFL", libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
        ("UDP_GRO", libc::SOL_UDP, libc::UDP_GRO),
    ];
    const PATHS: [(&str, c_int, c_int); 2] = [
        ("IP_MTU_DISCOVER", libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        ("IPV6_MTU_DISCOVER", libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    ];
    let mut each = |options: &[(&'static str, c_int, c_int)], show: fn(c_int) -> String| {
        for &(name, level, option) in options {
            if let Some(value) = int(fd, level, option) {
                tell(name, show(value));
            }
        }
    };
    each(&SWITCHES, |value| String::from(if value == 0 { "off" } else { "on" }));
    each(&PATHS, |value| match value {
        libc::IP_PMTUDISC_DONT => String::from("dont"),
        libc::IP_PMTUDISC_WANT => String::from("want"),
        libc::IP_PMTUDISC_DO => String::from("do"),
        libc::IP_PMTUDISC_PROBE => String::from("probe"),
        other => other.to_string(),
    });
}
