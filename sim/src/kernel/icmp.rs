//! ICMP: whom an error that arrives is about, and how often this host may send one itself.
//!
//! # Theory of operation
//!
//! An ICMP error quotes the packet that it is about. From the quote follows the socket, as if a packet had come from
//! where the quoted one was going; what the error does to it is for [`udp`](super::udp) and [`tcp`](super::tcp), by the
//! rows of the [`table`].
//!
//! Errors are sent rarely: each destination has a bucket of six, which fills again at one per `icmp_ratelimit`
//! (`inet_peer_xrlim_allow`). So the absence of an error says nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{IcmpError, Version};

use super::table::{self, IcmpClass, Signal};
use super::{Fate, Kernel};
use crate::packet::{Body, LONGEST_QUOTE, Packet, is_for_many};
use crate::scenario::Pick;

/// How many errors may follow each other at once (`XRLIM_BURST_FACTOR`).
const BURST: u32 = 6;

/// How often a host or a router sends ICMP errors to one destination: a burst of six, then one per `icmp_ratelimit`.
///
/// ```
/// use std::{net::IpAddr, time::Duration};
/// use resound_core::Instant;
/// use resound_sim::kernel::IcmpLimiter;
///
/// let mut limiter = IcmpLimiter::new(Duration::from_secs(1));
/// let to = IpAddr::from([192, 0, 2, 1]);
/// let allowed = (0..40).filter(|_| limiter.allow(Instant::EPOCH, to)).count();
/// assert_eq!(allowed, 6);
/// assert!(limiter.allow(Instant::EPOCH + Duration::from_secs(1), to));
/// ```
#[derive(Clone, Debug)]
pub struct IcmpLimiter {
    every: Duration,
    buckets: BTreeMap<IpAddr, Bucket>,
}

/// What one destination has left, in time: an error costs `every`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    saved: Duration,
    at: Instant,
}

impl IcmpLimiter {
    /// One error to each destination in this time, beyond the burst; zero: no limit (`icmp_ratelimit`).
    #[must_use]
    pub const fn new(ratelimit: Duration) -> Self {
        Self { every: ratelimit, buckets: BTreeMap::new() }
    }

    /// Whether an error may be sent there now; if so, it is counted. To the loopback always.
    pub fn allow(&mut self, now: Instant, to: IpAddr) -> bool {
        if self.every.is_zero() || to.is_loopback() {
            return true;
        }
        let full = self.every.saturating_mul(BURST);
        let bucket = self.buckets.entry(to).or_insert(Bucket { saved: full, at: now });
        bucket.saved = bucket.saved.saturating_add(now - bucket.at).min(full);
        bucket.at = now;
        let left = bucket.saved.checked_sub(self.every);
        bucket.saved = left.unwrap_or(bucket.saved);
        left.is_some()
    }

    /// The error that `offender` sends about this packet, if it may: not about an ICMP error, not about what went to many
    /// or came from nobody (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)), and not more often than the limit allows. Path MTU
    /// discovery is not limited (`icmpv4_mask_allow`, `icmpv6_mask_allow`).
    pub fn complain(
        &mut self,
        now: Instant,
        about: &Packet,
        offender: IpAddr,
        (kind, code): (u8, u8),
        mtu: Option<u32>,
    ) -> Option<Packet> {
        let too_big = match about.version() {
            Version::V4 => (kind, code) == (3, 4),
            Version::V6 => kind == 2,
        };
        let to_many = is_for_many(about.destination) && !(too_big && about.version() == Version::V6);
        let from_nobody = about.source.is_unspecified() || is_for_many(about.source);
        if to_many || from_nobody || matches!(about.body, Body::Icmp(_)) {
            return None;
        }
        let allowed = too_big || self.allow(now, about.source);
        allowed.then(|| about.complain(offender, kind, code, mtu, LONGEST_QUOTE))
    }
}

impl Kernel {
    pub(super) fn receive_icmp(&mut self, packet: &Packet) -> Fate {
        let Body::Icmp(icmp) = &packet.body else { return Fate::Absorbed("ignored: not an ICMP message") };
        let quote = &icmp.quote;
        if quote.version() != packet.version() {
            return Fate::Absorbed("ignored: the quote is of the other IP version");
        }
        let (local, remote) = quote.ends();
        let error = IcmpError {
            version: packet.version(),
            kind: icmp.kind,
            code: icmp.code,
            offender: Some(packet.source),
            destination: Some(remote),
            mtu: icmp.mtu,
        };
        let fate = match &quote.body {
            Body::Udp(quoted) => match self.udp_lookup(local, remote) {
                Some(fd) => self.udp_icmp(fd, &error, remote, quoted),
                None => Fate::Absorbed("ignored: no socket has sent what is quoted"),
            },
            Body::Tcp(quoted) => match self.tcp_lookup(local, remote) {
                Some(fd) => self.tcp_icmp(fd, &error, quoted),
                None => Fate::Absorbed("ignored: no connection has sent what is quoted"),
            },
            Body::Icmp(_) => Fate::Absorbed("ignored: it is about an ICMP message"),
        };
        match (fate, why_ignored(&error)) {
            (Fate::Absorbed(_), Some(why)) => Fate::Absorbed(why),
            _ => fate,
        }
    }

    /// What an error is to a socket: it can be this host's own word about a neighbour.
    pub(super) fn signal_of(&self, error: &IcmpError) -> Signal {
        let own = error.offender.is_some_and(|offender| self.env.ways.is_local(offender));
        match (error.version, error.kind, error.code) {
            (Version::V4, 3, 1) | (Version::V6, 1, 3) if own => Signal::NeighbourFailed,
            _ => Signal::Icmp(table::verdict(self.env.profile, error).0, Pick::Exact),
        }
    }
}

/// Why no socket ever hears of a message, if Linux makes no error number of it.
fn why_ignored(error: &IcmpError) -> Option<&'static str> {
    (IcmpClass::of(error) == IcmpClass::Ignored).then_some(match (error.version, error.kind, error.code) {
        (Version::V4, 3, _) => "ignored: unreachable with a code that has no errno",
        (Version::V4, 4, _) => "ignored: source quench (RFC 6633)",
        (Version::V4, 5, _) => "ignored: a redirect is for the routes, which are not modelled",
        (Version::V4, 11, 1) => "ignored: time exceeded in reassembly (icmp_unreach)",
        _ => "ignored: this message reports no failure",
    })
}
