//! What became of each byte of the input.

use alloc::collections::VecDeque;

/// Counts bytes, and knows where in the input each message lies.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) sent: u64,
    pub(super) echoed: u64,
    pub(super) lost: u64,
    /// Newlines sent.
    newlines: u64,
    next_seq: u64,
    /// Messages under way, oldest first.
    entries: VecDeque<Entry>,
    gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    bytes: u64,
    offset: u64,
    first_line: u64,
    last_line: u64,
}

/// Messages that were lost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) messages: u64,
    pub(super) first_seq: u64,
    pub(super) bytes: u64,
    /// Where in the input they began.
    pub(super) offset: u64,
    /// Counted from 1.
    pub(super) first_line: u64,
    pub(super) last_line: u64,
}

impl Ledger {
    /// The session took a message.
    pub(super) fn accepted(&mut self, bytes: u64, newlines: Newlines) {
        let first_line = self.newlines + 1;
        let last_line = first_line + newlines.count - u64::from(newlines.at_end);
        self.entries.push_back(Entry { seq: self.next_seq, bytes, offset: self.sent, first_line, last_line });
        self.next_seq += 1;
        self.sent += bytes;
        self.newlines += newlines.count;
    }

    /// The oldest message came back.
    pub(super) fn echoed(&mut self, bytes: u64) {
        self.entries.pop_front();
        self.echoed += bytes;
    }

    /// That message will not come back; messages end in order.
    pub(super) fn lost(&mut self, seq: u64) {
        let Some(entry) = self.entries.pop_front().filter(|entry| entry.seq == seq) else { return };
        self.lost += entry.bytes;
        let gap = self.gap.get_or_insert(Gap {
            messages: 0,
            first_seq: entry.seq,
            bytes: 0,
            offset: entry.offset,
            first_line: entry.first_line,
            last_line: entry.last_line,
        });
        gap.messages += 1;
        gap.bytes += entry.bytes;
        gap.last_line = entry.last_line;
    }

    /// What was lost since this was last asked.
    pub(super) fn take_gap(&mut self) -> Option<Gap> {
        self.gap.take()
    }

    /// Bytes neither echoed nor lost.
    pub(super) const fn under_way(&self) -> u64 {
        self.sent - self.echoed - self.lost
    }
}

/// The newlines in a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newlines {
    count: u64,
    at_end: bool,
}

/// Counts them.
pub(super) fn newlines(bytes: &[u8]) -> Newlines {
    Newlines {
        count: bytes.iter().filter(|&&byte| byte == b'\n').count() as u64,
        at_end: bytes.last() == Some(&b'\n'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_names_its_place_in_the_input() {
        let mut ledger = Ledger::default();
        for message in [&b"one\n"[..], b"two\nthree\n", b"fo", b"ur\n"] {
            ledger.accepted(message.len() as u64, newlines(message));
        }
        ledger.echoed(4);
        ledger.lost(1);
        ledger.lost(2);
        let gap = ledger.take_gap().unwrap();
        assert_eq!(gap, Gap { messages: 2, first_seq: 1, bytes: 12, offset: 4, first_line: 2, last_line: 4 });
        assert_eq!(ledger.take_gap(), None);
        assert_eq!((ledger.sent, ledger.echoed, ledger.lost, ledger.under_way()), (19, 4, 12, 3));
    }
}
