//! What packets carried that was read, for packets that are to be sent: bytes are allocated once, not once for each packet.

/// How many are kept, and how large: the larger ones are seldom.
const MOST: usize = 64;
const LARGEST: usize = 2_048;

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    /// An empty one, with room or without.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// What is in it is not needed any more.
    #[inline]
    pub(super) fn put_back(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < MOST && buffer.capacity() <= LARGEST {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
