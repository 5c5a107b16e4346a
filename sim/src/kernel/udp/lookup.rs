//! Which socket a datagram is for, and which ports are taken.

use std::net::{IpAddr, SocketAddr};

use super::super::{Fd, Kernel, Kind, Socket};
use super::Udp;
use crate::packet::version;
use crate::scenario::Address;

impl Udp {
    /// Whether a packet between these ends is this socket's.
    fn matches(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let address = self.local.ip();
        (address == local.ip() || (address.is_unspecified() && version(address) == version(local.ip())))
            && self.peer.is_none_or(|peer| peer == remote)
            && self.former.is_none_or(|former| former == remote.ip())
    }

    /// A connected socket is more particular than one that is bound to an address, and that more than a wildcard
    /// (`compute_score`).
    fn score(&self) -> u8 {
        match (self.peer, self.local.ip().is_unspecified()) {
            (Some(_), _) => 2,
            (None, false) => 1,
            (None, true) => 0,
        }
    }
}

impl Kernel {
    /// The socket to which a datagram from `remote` to `local` belongs, and so an error about one that went the other way
    /// (`__udp4_lib_lookup`). Of those that are equally particular the last one bound, or, with SO_REUSEPORT, the one that
    /// the hash of the addresses and ports chooses; whoever sent the datagram does not matter.
    pub(in crate::kernel) fn udp_lookup(&self, local: SocketAddr, remote: SocketAddr) -> Option<Fd> {
        let bound = self.datagrams.get(&local.port())?;
        if let [only] = bound[..] {
            return self.udp(only)?.matches(local, remote).then_some(only);
        }
        let mut best: Option<(Fd, &Udp)> = None;
        for &fd in bound.iter().rev() {
            let Some(udp) = self.udp(fd) else { continue };
            if udp.matches(local, remote) && best.is_none_or(|(_, other)| udp.score() > other.score()) {
                best = Some((fd, udp));
            }
        }
        let (fd, udp) = best?;
        if !udp.options.reuse_port || udp.peer.is_some() {
            return Some(fd);
        }
        let group = || {
            bound.iter().copied().filter(|&fd| {
                self.udp(fd).is_some_and(|other| {
                    other.options.reuse_port && other.peer.is_none() && other.local == udp.local
                })
            })
        };
        let chosen = flow_hash(local, remote) % group().count().max(1) as u64;
        group().nth(chosen as usize).or(Some(fd))
    }

    /// All sockets that a datagram to many is for.
    pub(super) fn udp_lookup_all(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Fd> {
        let bound = self.datagrams.get(&local.port()).map(Vec::as_slice).unwrap_or_default();
        let fits = |fd: &Fd| self.udp(*fd).is_some_and(|udp| udp.matches(local, remote));
        bound.iter().copied().filter(fits).collect()
    }

    /// Whether what is sent to this address of many is for this host too: it is a broadcast, or everybody's group, or a
    /// socket has joined it.
    #[must_use]
    pub fn hears(&self, many: IpAddr) -> bool {
        let joined = |socket: &Socket| matches!(&socket.kind, Kind::Udp(udp) if udp.groups.contains(&many));
        many == Address::Broadcast.ip(version(many)) || self.sockets.iter().flatten().any(joined)
    }

    /// Whether a socket cannot be bound there beside the others: they overlap, and not both share
    /// (`udp_lib_lport_inuse`).
    pub(super) fn udp_conflict(&self, at: SocketAddr, reuse_address: bool, reuse_port: bool) -> bool {
        let bound = self.datagrams.get(&at.port()).map(Vec::as_slice).unwrap_or_default();
        bound.iter().filter_map(|&fd| self.udp(fd)).any(|other| {
            overlap(other.local.ip(), at.ip())
                && !(reuse_address && other.options.reuse_address)
                && !(reuse_port && other.options.reuse_port)
        })
    }

    /// A port of the range that nobody has there.
    pub(super) fn udp_free_port(&mut self, address: IpAddr) -> Option<u16> {
        self.free_port(|kernel, port| kernel.udp_conflict(SocketAddr::new(address, port), false, false))
    }

    /// Adds a socket that has its local address to those that are looked for.
    pub(super) fn udp_hash(&mut self, fd: Fd, port: u16) {
        self.datagrams.entry(port).or_default().push(fd);
    }

    pub(super) fn udp_unhash(&mut self, fd: Fd, port: u16) {
        if let Some(bound) = self.datagrams.get_mut(&port) {
            bound.retain(|other| *other != fd);
            if bound.is_empty() {
                self.datagrams.remove(&port);
            }
        }
    }
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    version(a) == version(b) && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// A hash of a flow. Linux mixes in a secret of the boot; here it is the same in every run.
fn flow_hash(local: SocketAddr, remote: SocketAddr) -> u64 {
    let mut hash = (u64::from(local.port()) << 16) | u64::from(remote.port());
    for address in [local.ip(), remote.ip()] {
        let bits = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        hash = mix(hash ^ bits as u64);
        hash = mix(hash ^ (bits >> 64) as u64);
    }
    hash
}

/// The finaliser of SplitMix64.
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
