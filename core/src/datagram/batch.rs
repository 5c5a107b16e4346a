//! Datagrams to be sent, laid out so that many leave in one system call and those for one peer in one message.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// The most bytes that one message of a batch holds: what a UDP datagram over IPv4 can carry. With segmentation offload
/// (`UDP_SEGMENT`) it bounds all segments of a message together.
const LONGEST_RUN: usize = 65_507;

/// Datagrams to be sent. A driver makes one and uses it again and again; a machine fills it.
///
/// Datagrams of one size that follow each other to one peer form one [`Run`], which a kernel with segmentation offload
/// takes as one message.
///
/// ```
/// use resound_core::datagram::Batch;
///
/// let peer = "192.0.2.1:7".parse().unwrap();
/// let mut batch = Batch::new(4_096, 16, 64);
/// for _ in 0..3 {
///     batch.push(peer, 5).unwrap().copy_from_slice(b"hello");
/// }
/// let run = batch.runs().next().unwrap();
/// assert_eq!((run.to, run.size, batch.bytes(run)), (peer, 5, &b"hellohellohello"[..]));
/// ```
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    filled: usize,
    runs: Vec<Run>,
    most_runs: usize,
    segments: usize,
    longest_segment: usize,
}

/// Datagrams of one size for one peer; the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they go.
    pub to: SocketAddr,
    /// How long each is, but the last. Zero only for a single empty one.
    pub size: usize,
    /// Where they lie among the batch's bytes.
    pub range: Range<usize>,
}

impl Run {
    /// How many datagrams.
    #[must_use]
    pub const fn count(&self) -> usize {
        if self.size == 0 { 1 } else { (self.range.end - self.range.start).div_ceil(self.size) }
    }
}

impl Batch {
    /// A batch that holds `bytes` bytes in at most `runs` runs of at most `segments` datagrams each. With one segment
    /// each datagram is a run of its own.
    #[must_use]
    pub fn new(bytes: usize, runs: usize, segments: usize) -> Self {
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            filled: 0,
            runs: Vec::with_capacity(runs.max(1)),
            most_runs: runs.max(1),
            segments,
            longest_segment: usize::MAX,
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.runs.clear();
    }

    /// From now on, a datagram that is longer than this is a run of its own: a segment must fit the path's MTU, because
    /// it is never fragmented. A driver sets it to what its kernel has accepted; unlimited at first.
    pub fn limit_segments(&mut self, longest: usize) {
        self.longest_segment = longest;
    }

    /// Room for a datagram of `len` bytes, to be filled by the caller. `None` if there is not that much left.
    #[must_use]
    #[inline]
    pub fn push(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        let end = self.filled.checked_add(len).filter(|&end| end <= self.bytes.len())?;
        if !self.extend_last(to, len, end) {
            if self.runs.len() == self.most_runs {
                return None;
            }
            self.runs.push(Run { to, size: len, range: self.filled..end });
        }
        let start = core::mem::replace(&mut self.filled, end);
        Some(&mut self.bytes[start..end])
    }

    /// A shorter datagram can only be a run's last, an empty one is always alone.
    #[inline]
    fn extend_last(&mut self, to: SocketAddr, len: usize, end: usize) -> bool {
        let (segments, longest) = (self.segments, self.longest_segment);
        let Some(last) = self.runs.last_mut() else { return false };
        let filled = last.range.len();
        let fits = last.to == to
            && (1..=last.size).contains(&len)
            && last.size <= longest
            && filled % last.size == 0
            && last.count() < segments
            && filled + len <= LONGEST_RUN;
        if fits {
            last.range.end = end;
        }
        fits
    }

    /// What is to be sent, in order.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.runs.iter()
    }

    /// The bytes of a run.
    #[must_use]
    pub fn bytes(&self, run: &Run) -> &[u8] {
        &self.bytes[run.range.clone()]
    }

    /// Each datagram of a run.
    pub fn datagrams(&self, run: &Run) -> impl Iterator<Item = &[u8]> {
        let bytes = self.bytes(run);
        let empty: Option<&[u8]> = if bytes.is_empty() { Some(&[]) } else { None };
        empty.into_iter().chain(bytes.chunks(run.size.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn sizes(batch: &Batch) -> Vec<(u16, usize, usize)> {
        batch.runs().map(|run| (run.to.port(), run.size, run.count())).collect()
    }

    #[test]
    fn runs_hold_one_size_for_one_peer() {
        let mut batch = Batch::new(10_000, 16, 4);
        for (port, len) in [(1, 9), (1, 9), (1, 5), (1, 5), (2, 5), (2, 6), (1, 0), (1, 0)] {
            let _ = batch.push(peer(port), len).expect("room");
        }
        // A shorter one ends its run; a longer one, another peer, and an empty one begin their own.
        assert_eq!(sizes(&batch), [(1, 9, 3), (1, 5, 1), (2, 5, 1), (2, 6, 1), (1, 0, 1), (1, 0, 1)]);
        let all: usize = batch.runs().map(|run| batch.datagrams(run).count()).sum();
        assert_eq!(all, 8);
        batch.clear();
        for _ in 0..5 {
            let _ = batch.push(peer(1), 3).expect("room");
        }
        assert_eq!(sizes(&batch), [(1, 3, 4), (1, 3, 1)]);
        batch.clear();
        batch.limit_segments(2);
        for _ in 0..2 {
            let _ = batch.push(peer(1), 3).expect("room");
        }
        assert_eq!(sizes(&batch), [(1, 3, 1), (1, 3, 1)]);
    }

    #[test]
    fn a_full_batch_takes_nothing_more() {
        let mut batch = Batch::new(10, 2, 1);
        assert!(batch.push(peer(1), 11).is_none());
        assert!(batch.push(peer(1), 6).is_some());
        assert!(batch.push(peer(1), 5).is_none());
        assert!(batch.push(peer(1), 4).is_some());
        assert!(batch.push(peer(1), 0).is_none(), "two runs are all there may be");
        assert_eq!(sizes(&batch), [(1, 6, 1), (1, 4, 1)]);
    }
}
