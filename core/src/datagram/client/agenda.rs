//! When each peer wants attention: a queue of times that stays fast with a million of them.
//!
//! ```text
//!   soon   a heap, in order                        │ this spoke's time has come
//!   later  a wheel of unordered spokes  │ │ │ │ │  │ ◄── each is moved to the heap as a whole, when it is its turn
//! ```
//!
//! One heap for all would be right as well; but it would lie in memory that no cache holds, and each entry that leaves it
//! would look at twenty places of it. Spokes are written and read from one end to the other.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::time::{Instant, earliest};

/// The time that one spoke covers: 2²⁷ ns, some 134 ms.
const SPOKE: u32 = 27;
/// How many spokes there are: some 34 s, and what lies beyond is passed over until it is in reach.
const SPOKES: u64 = 256;

/// A time and whom it is about, in order of time. In twelve bytes: the time is cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    high: u32,
    low: u32,
    index: u32,
}

impl Entry {
    const fn new(at: Instant, index: u32) -> Self {
        Self { high: (at.nanos() >> 32) as u32, low: at.nanos() as u32, index }
    }

    const fn at(self) -> Instant {
        Instant::from_nanos((self.high as u64) << 32 | self.low as u64)
    }
}

#[derive(Debug)]
pub(super) struct Agenda {
    soon: BinaryHeap<Reverse<Entry>>,
    later: Box<[Spoke]>,
    /// The earliest of all spokes.
    earliest: Option<Instant>,
    /// How many entries there are.
    len: usize,
    /// What lies in spokes before this one, counted from the epoch, belongs into the heap.
    next: u64,
}

#[derive(Debug, Default)]
struct Spoke {
    earliest: Option<Instant>,
    entries: Vec<Entry>,
}

const fn spoke(at: Instant) -> u64 {
    at.nanos() >> SPOKE
}

fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    earliest([a, b])
}

impl Agenda {
    pub(super) fn new() -> Self {
        let later = (0..SPOKES).map(|_| Spoke::default()).collect();
        Self { soon: BinaryHeap::new(), later, earliest: None, len: 0, next: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, at: Instant, index: u32) {
        self.len += 1;
        if spoke(at) < self.next {
            self.soon.push(Reverse(Entry::new(at, index)));
        } else {
            self.later[(spoke(at) % SPOKES) as usize].add(Entry::new(at, index));
            self.earliest = sooner(self.earliest, Some(at));
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps those entries that somebody still waits for.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(Instant, u32) -> bool) {
        self.soon.retain(|Reverse(entry)| wanted(entry.at(), entry.index));
        for spoke in &mut self.later {
            spoke.entries.retain(|entry| wanted(entry.at(), entry.index));
            spoke.entries.shrink_to_fit();
            spoke.earliest = spoke.entries.iter().map(|entry| entry.at()).min();
        }
        self.len = self.soon.len() + self.later.iter().map(|spoke| spoke.entries.len()).sum::<usize>();
        self.find_earliest();
    }

    /// When to ask [`pop`](Self::pop) next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.soon.peek().map(|Reverse(entry)| entry.at()).or(self.earliest)
    }

    /// The earliest entry, if it is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, u32)> {
        self.deadline().filter(|&at| at <= now)?;
        if self.soon.is_empty() {
            self.turn();
        }
        let Reverse(entry) = self.soon.pop()?;
        self.len -= 1;
        Some((entry.at(), entry.index))
    }

    /// Moves what the earliest spoke holds into the heap, but for what lies a whole turn of the wheel later.
    fn turn(&mut self) {
        let Some(earliest) = self.earliest else { return };
        let turned = spoke(earliest);
        self.next = turned + 1;
        let slot = &mut self.later[(turned % SPOKES) as usize];
        // Its memory goes too: a quarter of the spokes is in use at a time.
        for entry in core::mem::take(slot).entries {
            if spoke(entry.at()) == turned {
                self.soon.push(Reverse(entry));
            } else {
                slot.add(entry);
            }
        }
        self.find_earliest();
    }

    fn find_earliest(&mut self) {
        self.earliest = self.later.iter().fold(None, |first, spoke| sooner(first, spoke.earliest));
    }
}

impl Spoke {
    fn add(&mut self, entry: Entry) {
        self.earliest = sooner(self.earliest, Some(entry.at()));
        self.entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn everything_comes_up_in_order_and_never_early() {
        let mut rng = Rng::from_seed(1);
        let mut agenda = Agenda::new();
        let mut model = BinaryHeap::new();
        let mut now = Instant::EPOCH;
        for step in 0..20_000 {
            let reach = [1_000, 1_000_000_000, 600_000_000_000][rng.up_to(2) as usize];
            let at = Instant::from_nanos(now.nanos() + rng.up_to(reach));
            agenda.add(at, step);
            model.push(Reverse((at, step)));
            if rng.up_to(3) == 0 {
                now = Instant::from_nanos(now.nanos() + rng.up_to(reach / 10));
                while let Some((at, _)) = agenda.pop(now) {
                    assert_eq!(model.pop().map(|Reverse((due, _))| due), Some(at));
                }
                assert!(model.peek().is_none_or(|Reverse((at, _))| *at > now));
                assert_eq!(agenda.deadline(), model.peek().map(|Reverse((at, _))| *at));
            }
        }
    }
}
