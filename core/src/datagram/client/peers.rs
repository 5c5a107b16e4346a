//! The peers of a client: a table by place, an index by address, and the times at which they want attention.
//!
//! Nothing here costs more with more peers. An entry in the agenda is made when a peer wants attention earlier than it
//! last said. A peer that wants it later (each answer has that effect) leaves its entry where it is; when that comes up,
//! the peer is asked again. So no message moves a timer.

use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::agenda::Agenda;
use crate::link::Link;
use crate::time::Instant;

/// A peer of a client. A place that was given up gets another generation with the next peer: the name of one that was
/// removed names nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl PeerId {
    /// Its place in the table: small, and a good key while the peer is not removed.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// What the client keeps of a peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Link,
    /// The number after that of its newest flight; 0 before the first.
    pub(super) newest: u64,
    /// Whether that one was to go out at all, or was lost before it left. Flights are forgotten sooner than a slow peer is
    /// convicted; this is not.
    pub(super) left: Left,
    /// The number after the highest that was echoed: its lower half.
    pub(super) highest: u32,
    pub(super) echoed: u64,
    pub(super) lost: u64,
    pub(super) in_flight: u32,
    pub(super) late: u32,
    pub(super) duplicated: u32,
    pub(super) reordered: u32,
    /// The earliest time at which the agenda brings it up.
    armed: Option<Instant>,
    generation: u32,
    addr: Addr,
}

/// Whether a peer can have seen the newest flight to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// As far as this host knows.
    Perhaps,
    /// This host was short of memory.
    Never,
}

impl Peer {
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr.unpack()
    }

    /// Whether this is its address, IPv6 scope included.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        self.addr == Addr::pack(addr)
    }
}

/// A [`SocketAddr`] in 22 bytes instead of 32: without the flow label, which is no part of an address. An IPv4 address is
/// in its mapped form, which no canonical IPv6 address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addr {
    ip: [u16; 8],
    scope: [u16; 2],
    port: u16,
}

impl Addr {
    fn pack(addr: SocketAddr) -> Self {
        let (ip, scope) = match addr {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self { ip: ip.segments(), scope: [(scope >> 16) as u16, scope as u16], port: addr.port() }
    }

    fn unpack(self) -> SocketAddr {
        let ip = Ipv6Addr::from(self.ip);
        if let Some(v4) = ip.to_ipv4_mapped() {
            return SocketAddrV4::new(v4, self.port).into();
        }
        let scope = u32::from(self.scope[0]) << 16 | u32::from(self.scope[1]);
        SocketAddrV6::new(ip, self.port, 0, scope).into()
    }
}

#[derive(Debug)]
enum Slot {
    Taken(Peer),
    /// The generation of the peer that had it, and the next free place.
    Free(u32, Option<u32>),
}

impl Slot {
    const fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Taken(peer) => Some(peer),
            Self::Free(..) => None,
        }
    }

    fn peer_mut(&mut self) -> Option<&mut Peer> {
        match self {
            Self::Taken(peer) => Some(peer),
            Self::Free(..) => None,
        }
    }
}

/// What an idle peer costs, besides 12 bytes in the agenda and some 10 in the index: no more than 256 together.
const _: () = assert!(size_of::<Slot>() <= 208);

/// How many slots are allocated at once, as a power of two. One array that doubles would be half empty at times, and would
/// be copied as a whole.
const CHUNK: u32 = 10;

/// Slots by index, in chunks.
#[derive(Debug, Default)]
struct Slots(Vec<Vec<Slot>>);

impl Slots {
    fn len(&self) -> usize {
        let full = self.0.len().saturating_sub(1) << CHUNK;
        full + self.0.last().map_or(0, Vec::len)
    }

    #[inline]
    fn get(&self, index: u32) -> Option<&Slot> {
        self.0.get((index >> CHUNK) as usize)?.get(Self::within(index))
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.0.get_mut((index >> CHUNK) as usize)?.get_mut(Self::within(index))
    }

    fn push(&mut self, slot: Slot) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < 1 << CHUNK => chunk.push(slot),
            _ => {
                // The first grows as it must: most clients have few peers.
                let room = if self.0.is_empty() { 1 } else { 1 << CHUNK };
                let mut chunk = Vec::with_capacity(room);
                chunk.push(slot);
                self.0.push(chunk);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().flatten()
    }

    const fn within(index: u32) -> usize {
        (index & ((1 << CHUNK) - 1)) as usize
    }
}

#[derive(Debug)]
pub(super) struct Peers {
    slots: Slots,
    free: Option<u32>,
    by_addr: HashTable<u32>,
    hasher: SipHasher13,
    agenda: Agenda,
}

impl Peers {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self {
            slots: Slots::default(),
            free: None,
            by_addr: HashTable::new(),
            hasher: SipHasher13::new_with_keys(secret[0], !secret[1]),
            agenda: Agenda::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_addr.len()
    }

    /// The peer that a name stands for.
    pub(super) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.at(id.index).filter(|peer| peer.generation == id.generation)
    }

    pub(super) fn at(&self, index: u32) -> Option<&Peer> {
        self.slots.get(index)?.peer()
    }

    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut Peer> {
        self.slots.get_mut(index)?.peer_mut()
    }

    /// The name of the peer at a place.
    pub(super) fn id(&self, index: u32) -> PeerId {
        PeerId { index, generation: self.at(index).map_or(0, |peer| peer.generation) }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PeerId> {
        let peers = (0..).zip(self.slots.iter().map(Slot::peer));
        peers.filter_map(|(index, peer)| Some(PeerId { index, generation: peer?.generation }))
    }

    /// Who has this address, whatever its IPv6 flow label.
    pub(super) fn find(&self, addr: SocketAddr) -> Option<u32> {
        let addr = Addr::pack(addr);
        let same = |&index: &u32| self.at(index).is_some_and(|peer| peer.addr == addr);
        self.by_addr.find(hash(self.hasher, addr), same).copied()
    }

    /// Adds a peer whose address no other has.
    pub(super) fn add(&mut self, addr: SocketAddr, link: Link) -> PeerId {
        let addr = Addr::pack(addr);
        let index = self.free.unwrap_or(self.slots.len() as u32);
        let (generation, next_free) = match self.slots.get(index) {
            Some(Slot::Free(last, next)) => (last.wrapping_add(1), *next),
            _ => (0, None),
        };
        let peer = Peer {
            link,
            newest: 0,
            left: Left::Perhaps,
            highest: 0,
            echoed: 0,
            lost: 0,
            in_flight: 0,
            late: 0,
            duplicated: 0,
            reordered: 0,
            armed: None,
            generation,
            addr,
        };
        self.free = next_free;
        match self.slots.get_mut(index) {
            Some(slot) => *slot = Slot::Taken(peer),
            None => self.slots.push(Slot::Taken(peer)),
        }
        let (slots, hasher) = (&self.slots, self.hasher);
        self.by_addr.insert_unique(hash(hasher, addr), index, |&other| {
            slots.get(other).and_then(Slot::peer).map_or(0, |peer| hash(hasher, peer.addr))
        });
        self.id(index)
    }

    pub(super) fn remove(&mut self, index: u32) {
        let Some((addr, generation)) = self.at(index).map(|peer| (peer.addr, peer.generation)) else {
            return;
        };
        if let Ok(entry) = self.by_addr.find_entry(hash(self.hasher, addr), |&other| other == index) {
            entry.remove();
        }
        let free = Slot::Free(generation, self.free.replace(index));
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = free;
        }
    }

    /// Sees to it that the peer is brought up no later than at this time.
    #[inline]
    pub(super) fn arm(&mut self, index: u32, at: Instant) {
        let Some(peer) = self.at_mut(index) else { return };
        if peer.armed.is_none_or(|armed| at < armed) {
            peer.armed = Some(at);
            self.agenda.add(at, index);
        }
        // Peers that come and go leave entries behind.
        if self.agenda.len() > 8 * self.len() + 64 {
            let slots = &self.slots;
            self.agenda.retain(|at, index| {
                slots.get(index).and_then(Slot::peer).is_some_and(|peer| peer.armed == Some(at))
            });
        }
    }

    /// When to ask [`due`](Self::due) next; no peer may want attention then after all.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// The next peer that wants attention by now, once. To be armed anew afterwards.
    pub(super) fn due(&mut self, now: Instant) -> Option<u32> {
        while let Some((at, index)) = self.agenda.pop(now) {
            let peer = self.slots.get_mut(index).and_then(Slot::peer_mut);
            // Otherwise an earlier entry has brought it up already, or it is gone.
            if let Some(peer) = peer.filter(|peer| peer.armed == Some(at)) {
                peer.armed = None;
                match peer.link.deadline() {
                    Some(later) if later > now => self.arm(index, later),
                    Some(_) => return Some(index),
                    None => {}
                }
            }
        }
        None
    }
}

fn hash(mut hasher: SipHasher13, addr: Addr) -> u64 {
    let octets = Ipv6Addr::from(addr.ip).octets();
    hasher.write(&octets);
    hasher.write_u32(u32::from(addr.port) << 16 | u32::from(addr.scope[1]));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_packing() {
        for text in ["192.0.2.1:7", "[2001:db8::1]:65535", "[fe80::1%70000]:1"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(Addr::pack(addr).unpack(), addr);
        }
        assert_eq!(size_of::<Addr>(), 22);
    }

    #[test]
    fn a_place_is_used_again_under_another_name() {
        let mut peers = Peers::new([1, 2]);
        let addr = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let first = peers.add(addr(1), Link::new(1));
        let second = peers.add(addr(2), Link::new(2));
        assert_eq!(peers.find(addr(2)), Some(second.index));
        peers.remove(first.index);
        assert!(peers.get(first).is_none() && peers.find(addr(1)).is_none());
        let third = peers.add(addr(3), Link::new(3));
        assert_eq!(third.index, first.index);
        assert!(peers.get(first).is_none() && peers.get(third).is_some());
        assert_eq!(peers.ids().collect::<Vec<_>>(), [third, second]);
        assert_eq!(peers.len(), 2);
    }
}
