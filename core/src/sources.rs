//! What is remembered of each source: a hash table whose size never changes.
//!
//! Open addressing with linear probing, at most four fifths full, so that probes stay short. Removal closes the gap it
//! leaves (Knuth, "The Art of Computer Programming", volume 3, 6.4, algorithm R): nothing is ever rebuilt, and nothing
//! deleted slows down a search. The hash is keyed, so that nobody can choose addresses that collide.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::signal::Version;

/// Whom something is counted for: an IPv4 address, or an IPv6 /64, of which anybody has 2⁶⁴ addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    network: u64,
    version: Version,
}

impl Source {
    /// An IPv4-mapped address is the IPv4 address.
    pub(crate) fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(ip) => Self { network: u64::from(ip.to_bits()), version: Version::V4 },
            IpAddr::V6(ip) => Self { network: (ip.to_bits() >> 64) as u64, version: Version::V6 },
        }
    }
}

/// A value for each of so many sources at most.
pub(crate) struct Sources<T> {
    /// A power of two; there is always a free one.
    slots: Box<[Option<Slot<T>>]>,
    used: u32,
    capacity: u32,
    hasher: SipHasher13,
    /// The slot that [`recycle`](Self::recycle) looks at next.
    hand: usize,
}

/// A [`Source`], laid out without padding, and what is remembered of it.
#[derive(Clone, Copy)]
struct Slot<T> {
    network: u64,
    value: T,
    version: Version,
}

/// What the documentation of configurations promises hangs on these.
const _: () = assert!(size_of::<Option<Slot<u32>>>() == 16);
const _: () = assert!(size_of::<Option<Slot<u64>>>() == 24);

impl<T> Slot<T> {
    const fn source(&self) -> Source {
        Source { network: self.network, version: self.version }
    }
}

impl<T: Copy> Sources<T> {
    /// An empty table. Allocates here, and never again.
    pub(crate) fn new(capacity: u32, key: [u64; 2]) -> Self {
        let slots = (u64::from(capacity) * 5).div_ceil(4).next_power_of_two();
        Self {
            slots: vec![None; slots as usize].into_boxed_slice(),
            used: 0,
            capacity,
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
            hand: 0,
        }
    }

    /// How many sources are in it.
    pub(crate) const fn used(&self) -> u32 {
        self.used
    }

    /// What is remembered of a source.
    pub(crate) fn get_mut(&mut self, source: Source) -> Option<&mut T> {
        let at = self.find(source);
        self.slots[at].as_mut().map(|slot| &mut slot.value)
    }

    /// What is remembered of a source: `fresh`, if nothing was. `None` if nothing was and there is no room for it.
    pub(crate) fn get_or_insert(&mut self, source: Source, fresh: T) -> Option<&mut T> {
        let at = self.find(source);
        let slot = &mut self.slots[at];
        if slot.is_none() && self.used < self.capacity {
            *slot = Some(Slot { network: source.network, value: fresh, version: source.version });
            self.used += 1;
        }
        slot.as_mut().map(|slot| &mut slot.value)
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, source: Source) {
        let at = self.find(source);
        self.free(at);
    }

    /// Looks at the next few slots for a source of which nothing need be remembered, and forgets the first. A hand goes
    /// through all slots, so that those come first which were not looked at for longest. It does not go along them: what
    /// it has not yet reached would grow ever more crowded, up to rows of thousands of slots without a free one.
    pub(crate) fn recycle(&mut self, looks: u32, idle: impl Fn(&T) -> bool) {
        for _ in 0..looks {
            let at = self.hand;
            self.hand = (at + self.stride()) & self.mask();
            if self.slots[at].as_ref().is_some_and(|slot| idle(&slot.value)) {
                return self.free(at);
            }
        }
    }

    /// The golden part of the table, which spreads what it visits most evenly (Knuth, volume 3, 6.4, theorem S); odd, so
    /// that it visits all.
    fn stride(&self) -> usize {
        ((self.slots.len() as u64 * 0x9e37_79b9) >> 32) as usize | 1
    }

    /// Where the source is, or the free slot where it would be.
    fn find(&self, source: Source) -> usize {
        let mut at = self.home(source);
        while self.slots[at].as_ref().is_some_and(|slot| slot.source() != source) {
            at = self.after(at);
        }
        at
    }

    /// Frees a slot, and moves what was displaced by it closer to home.
    fn free(&mut self, mut gap: usize) {
        if self.slots[gap].take().is_some() {
            self.used -= 1;
        }
        let mut at = self.after(gap);
        while let Some(slot) = self.slots[at] {
            if self.distance(self.home(slot.source()), at) >= self.distance(gap, at) {
                self.slots[gap] = Some(slot);
                self.slots[at] = None;
                gap = at;
            }
            at = self.after(at);
        }
    }

    fn home(&self, source: Source) -> usize {
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&source.network.to_le_bytes());
        bytes[8] = match source.version {
            Version::V4 => 4,
            Version::V6 => 6,
        };
        self.hasher.hash(&bytes) as usize & self.mask()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many slots a search passes at most: the longest row without a free one, round the end too.
    fn longest_row<T>(table: &Sources<T>) -> usize {
        let rows = table.slots.split(Option::is_none).map(<[_]>::len);
        let (first, last) = (rows.clone().next(), rows.clone().next_back());
        rows.max().max(first.zip(last).map(|(first, last)| first + last)).unwrap_or(0)
    }

    /// What a flood of forged sources does to a table that is as full as one can be, place for place, many times over.
    /// Rows are then about as long as after it was filled once.
    #[test]
    fn searches_stay_short_however_often_places_change_hands() {
        let capacity = 13_107; // four fifths of 16 384
        let mut table = Sources::new(capacity, [1, 2]);
        let come = |table: &mut Sources<u32>, n: u32| {
            if table.used() == capacity {
                table.recycle(16, |_| true);
            }
            table.get_or_insert(Source::of(IpAddr::from(n.to_be_bytes())), n).is_some()
        };
        assert!((0..capacity).all(|n| come(&mut table, n)));
        let filled = longest_row(&table);
        for round in 1..10 {
            // None of sixteen slots is taken once in 10¹¹ times.
            assert!((0..capacity).all(|n| come(&mut table, round * capacity + n)));
            let now = longest_row(&table);
            assert!(now < 4 * filled, "{now} in a row after {round} rounds, {filled} at first");
        }
    }
}
