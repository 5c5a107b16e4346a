//! How many connections each peer has: a hash table whose size never changes.
//!
//! Open addressing with linear probing, at most four fifths full, so that probes stay short. Removal closes the gap it
//! leaves (Knuth, "The Art of Computer Programming", volume 3, 6.4, algorithm R): nothing is ever rebuilt, and nothing
//! deleted slows down a search. The hash is keyed, so that no peer can choose addresses that collide.

use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::signal::Version;

/// Whom a connection is counted for: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    network: u64,
    version: Version,
}

impl Source {
    /// An IPv4-mapped address is the IPv4 address.
    pub(super) fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(ip) => Self { network: u64::from(ip.to_bits()), version: Version::V4 },
            IpAddr::V6(ip) => Self { network: (ip.to_bits() >> 64) as u64, version: Version::V6 },
        }
    }
}

pub(super) struct Table {
    /// A power of two; there is always a free one.
    slots: Box<[Option<Slot>]>,
    used: u32,
    /// How many sources are counted at once.
    capacity: u32,
    per_source: u32,
    hasher: SipHasher13,
}

/// A [`Source`], laid out without padding, and how often it was added.
#[derive(Clone, Copy)]
struct Slot {
    network: u64,
    count: u32,
    version: Version,
}

/// What the documentation of `addresses` promises hangs on it.
const _: () = assert!(size_of::<Option<Slot>>() == 16);

impl Slot {
    const fn source(self) -> Source {
        Source { network: self.network, version: self.version }
    }
}

pub(super) enum Added {
    Counted,
    /// The source is not in the table, and there is no room for it.
    TableFull,
    /// The source has as many as it may have.
    LimitReached,
}

pub(super) enum Removed {
    Counted,
    /// The source is not in the table.
    Unknown,
}

impl Table {
    pub(super) fn new(capacity: u32, per_source: u32, key: [u64; 2]) -> Self {
        let slots = (u64::from(capacity) * 5).div_ceil(4).next_power_of_two();
        Self {
            slots: vec![None; slots as usize].into_boxed_slice(),
            used: 0,
            capacity,
            per_source,
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
        }
    }

    /// How many sources are in it.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn add(&mut self, source: Source) -> Added {
        let at = self.find(source);
        match &mut self.slots[at] {
            Some(slot) if slot.count >= self.per_source => Added::LimitReached,
            Some(slot) => {
                slot.count += 1;
                Added::Counted
            }
            None if self.used >= self.capacity => Added::TableFull,
            free => {
                *free = Some(Slot { network: source.network, count: 1, version: source.version });
                self.used += 1;
                Added::Counted
            }
        }
    }

    pub(super) fn remove(&mut self, source: Source) -> Removed {
        let at = self.find(source);
        match &mut self.slots[at] {
            None => return Removed::Unknown,
            Some(slot) if slot.count > 1 => slot.count -= 1,
            Some(_) => {
                self.used -= 1;
                self.close_gap(at);
            }
        }
        Removed::Counted
    }

    /// Where the source is, or the free slot where it would be.
    fn find(&self, source: Source) -> usize {
        let mut at = self.home(source);
        while self.slots[at].is_some_and(|slot| slot.source() != source) {
            at = self.after(at);
        }
        at
    }

    /// Frees a slot, and moves what was displaced by it closer to home.
    fn close_gap(&mut self, mut gap: usize) {
        let mut at = self.after(gap);
        while let Some(slot) = self.slots[at] {
            if self.distance(self.home(slot.source()), at) >= self.distance(gap, at) {
                self.slots[gap] = Some(slot);
                gap = at;
            }
            at = self.after(at);
        }
        self.slots[gap] = None;
    }

    fn home(&self, source: Source) -> usize {
        let mut hasher = self.hasher;
        hasher.write(&source.network.to_le_bytes());
        hasher.write(match source.version {
            Version::V4 => &[4],
            Version::V6 => &[6],
        });
        hasher.finish() as usize & self.mask()
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    /// How many slots lie between, going up and round the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }
}
