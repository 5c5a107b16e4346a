//! The buffer that a driver lends to a machine for one read.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

/// A buffer, zeroed once, with a cursor at either end. A driver lends one for each read; a server connection keeps
/// it while echoes are unsent and hands it back. The default is empty and allocates nothing.
///
/// ```
/// use resound_core::Chunk;
///
/// let mut chunk = Chunk::with_capacity(16);
/// chunk.spare()[..5].copy_from_slice(b"hello");
/// chunk.filled(5);
/// chunk.consume(2);
/// assert_eq!(chunk.bytes(), b"llo");
/// ```
#[derive(Default)]
pub struct Chunk {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Chunk {
    /// An empty chunk that holds up to `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buf: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// How many bytes it can hold in all.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// Where the next bytes go.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.buf[self.end..]
    }

    /// The first `n` bytes of [`spare`](Self::spare) now hold data; more than fit are not counted.
    #[inline]
    pub fn filled(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buf.len());
    }

    /// The bytes that arrived and are not consumed yet.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The first `n` bytes are done with; more than there are empties the chunk.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Everything is done with; the whole capacity is spare again.
    #[inline]
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Whether no bytes wait in it.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} of {} bytes)", self.bytes().len(), self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_never_pass_each_other_or_the_end() {
        let mut chunk = Chunk::with_capacity(4);
        chunk.filled(9);
        assert_eq!((chunk.bytes().len(), chunk.spare().len()), (4, 0));
        chunk.consume(9);
        assert!(chunk.is_empty());
        assert_eq!(chunk.spare().len(), 4);
        assert_eq!(Chunk::default().capacity(), 0);
    }
}
