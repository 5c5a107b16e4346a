//! How long packets may be on the way to another host, as far as this host was told (RFC 1191, RFC 8201).
//!
//! # Theory of operation
//!
//! A host begins with its own link, which is taken for Ethernet. An ICMP error that names a shorter MTU about a datagram
//! of one of its sockets is believed for ten minutes, for all datagrams to that destination. What is longer then travels
//! in fragments; what fits, travels with DF (`IP_PMTUDISC_WANT`, the default of Linux). So the datagram that was too long
//! is lost, and the next one arrives.
//!
//! Whoever lies about the MTU cannot do much: below a floor IPv4 gives up DF instead, and IPv6 does not listen at all.
//!
//! TCP does not look here: a connection has its own segment size, which what it was told makes smaller, and a new one
//! begins with that of Ethernet. On Linux it would begin with what the route remembers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use crate::packet::version;

/// What an Ethernet frame holds.
pub(super) const ETHERNET: u32 = 1_500;
/// `ip_rt_min_pmtu`
const LEAST_V4: u32 = 552;
/// `IPV6_MIN_MTU`
const LEAST_V6: u32 = 1_280;
/// `ip_rt_mtu_expires`, `ip6_rt_mtu_expires`
const BELIEVED: Duration = Duration::from_secs(600);

/// What is believed of one message about an MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Believed {
    pub(super) mtu: u32,
    /// It was told less than is believed: DF is off (`ip_mtu_locked`).
    pub(super) locked: bool,
}

/// How much of a message is believed (`__ip_rt_update_pmtu`, `__ip6_rt_update_pmtu`); `None`: nothing.
pub(super) const fn believe(version: Version, mtu: u32) -> Option<Believed> {
    match version {
        Version::V4 if mtu < LEAST_V4 => Some(Believed { mtu: LEAST_V4, locked: true }),
        Version::V6 if mtu < LEAST_V6 => None,
        Version::V4 | Version::V6 => Some(Believed { mtu, locked: false }),
    }
}

/// What was learned of paths, by destination.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<IpAddr, (Believed, Instant)>);

impl Paths {
    /// A message said this about packets to `to`; whether that is news.
    pub(super) fn learn(&mut self, now: Instant, to: IpAddr, mtu: u32) -> bool {
        let Some(believed) = believe(version(to), mtu) else { return false };
        let less = believed.mtu < self.to(now, to).mtu;
        if less {
            self.0.insert(to, (believed, now + BELIEVED));
        }
        less
    }

    /// Whether a packet of this length may travel in fragments.
    pub(super) fn fragments(&self, now: Instant, to: IpAddr, length: usize) -> bool {
        let path = self.to(now, to);
        path.locked || length > path.mtu as usize
    }

    fn to(&self, now: Instant, to: IpAddr) -> Believed {
        let known = self.0.get(&to).filter(|(_, until)| now < *until);
        known.map_or(Believed { mtu: ETHERNET, locked: false }, |(believed, _)| *believed)
    }
}
