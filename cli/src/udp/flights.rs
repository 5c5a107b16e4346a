//! Whose message a datagram was.
//!
//! The core numbers the datagrams of a socket, its own probes among them; people count the messages to each target. What
//! has ended is remembered for as long as the core remembers it, so that a late or double echo can be told by its number.

use alloc::collections::VecDeque;
use core::time::Duration;

use resound_core::Instant;
use resound_core::datagram::client::Seq;

/// A message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Of which target.
    pub(crate) target: usize,
    /// Its number among the messages to that target.
    pub(crate) seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    datagram: u64,
    message: Message,
    since: Instant,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Ended,
}

/// Messages on their way, and those that ended not long ago, oldest first.
#[derive(Debug)]
pub(crate) struct Flights {
    entries: VecDeque<Entry>,
    open: usize,
    remember: Duration,
    remember_most: usize,
}

impl Flights {
    pub(crate) const fn new(remember: Duration, remember_most: usize) -> Self {
        Self { entries: VecDeque::new(), open: 0, remember, remember_most }
    }

    /// A message was sent. The numbers of datagrams only grow.
    pub(crate) fn push(&mut self, seq: Seq, message: Message, now: Instant) {
        self.entries.push_back(Entry { datagram: seq.get(), message, since: now, fate: Fate::Open });
        self.open += 1;
        while let Some(first) = self.entries.front() {
            let old =
                first.since + self.remember <= now || self.entries.len() - self.open > self.remember_most;
            if first.fate == Fate::Open || !old {
                break;
            }
            self.entries.pop_front();
        }
    }

    /// Which message it was, if that is remembered.
    pub(crate) fn find(&self, seq: Seq) -> Option<Message> {
        self.position(seq).map(|index| self.entries[index].message)
    }

    /// It was echoed or lost.
    pub(crate) fn end(&mut self, seq: Seq) -> Option<Message> {
        let index = self.position(seq)?;
        let entry = &mut self.entries[index];
        if core::mem::replace(&mut entry.fate, Fate::Ended) == Fate::Open {
            self.open -= 1;
        }
        Some(entry.message)
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        self.entries.binary_search_by_key(&seq.get(), |entry| entry.datagram).ok()
    }
}
