//! Buffers that are lent for one read and come back.
//!
//! A driver lends a chunk for each read. Nearly always it comes straight back; a server connection keeps one only
//! while echoes are unsent. So a few chunks serve any number of connections, and the memory that is kept while nobody
//! needs it is bounded by `keep` chunks. What is lent beyond that is bounded by the number of connections that hold
//! unsent echoes.
//!
//! The chunk that came back last is lent first: it is still in the cache.

use core::fmt;
use core::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use resound_core::Chunk;

/// The default size of a chunk: 64 KiB, about what one `recv` brings on a busy connection.
pub const CHUNK_BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(64 * 1024 - 1);

/// The default number of idle chunks that are kept: 4 MiB of them.
pub const KEEP: usize = 64;

/// A bounded store of equal chunks, for one thread or many. The lock is held for a push or a pop, never for an
/// allocation.
///
/// ```
/// use resound_sockets::pool::Pool;
///
/// let pool = Pool::default();
/// let mut chunk = pool.lend();
/// assert_eq!(chunk.spare().len(), 64 * 1024);
/// pool.put_back(chunk);
/// ```
pub struct Pool {
    chunk_bytes: NonZeroUsize,
    keep: usize,
    idle: Mutex<Vec<Chunk>>,
}

impl Pool {
    /// A pool of chunks of `chunk_bytes` bytes that keeps at most `keep` of them while nobody needs them. Allocates
    /// nothing yet.
    #[must_use]
    pub const fn new(chunk_bytes: NonZeroUsize, keep: usize) -> Self {
        Self { chunk_bytes, keep, idle: Mutex::new(Vec::new()) }
    }

    /// An empty chunk; a new one only if none is idle.
    #[must_use]
    pub fn lend(&self) -> Chunk {
        let idle = self.idle().pop();
        idle.unwrap_or_else(|| Chunk::with_capacity(self.chunk_bytes.get()))
    }

    /// Takes a chunk back, whatever is still in it. One that is not of this pool's size (such as the empty one that
    /// stays behind when a machine takes a chunk), or one too many, is dropped.
    pub fn put_back(&self, mut chunk: Chunk) {
        if chunk.capacity() != self.chunk_bytes.get() {
            return;
        }
        chunk.clear();
        let mut idle = self.idle();
        if idle.len() < self.keep {
            idle.push(chunk);
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned one guards nothing that is broken.
    fn idle(&self) -> MutexGuard<'_, Vec<Chunk>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(CHUNK_BYTES, KEEP)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} idle, {} bytes each)", self.idle().len(), self.keep, self.chunk_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(keep: usize) -> Pool {
        Pool::new(NonZeroUsize::new(16).unwrap(), keep)
    }

    #[test]
    fn what_comes_back_is_lent_again_and_is_empty() {
        let pool = pool(2);
        let mut chunk = pool.lend();
        chunk.filled(9);
        let place = chunk.bytes().as_ptr();
        pool.put_back(chunk);
        let mut again = pool.lend();
        assert!(again.is_empty());
        assert_eq!(again.spare().len(), 16);
        assert_eq!(again.spare().as_ptr(), place);
    }

    #[test]
    fn no_more_than_keep_are_kept() {
        let pool = pool(2);
        let lent: Vec<_> = (0..5).map(|_| pool.lend()).collect();
        lent.into_iter().for_each(|chunk| pool.put_back(chunk));
        assert_eq!(pool.idle().len(), 2);
    }

    #[test]
    fn a_chunk_that_was_taken_out_of_is_not_kept() {
        let pool = pool(2);
        let mut chunk = pool.lend();
        let taken = core::mem::take(&mut chunk);
        pool.put_back(chunk);
        pool.put_back(Chunk::with_capacity(1 << 20));
        assert_eq!(pool.idle().len(), 0);
        pool.put_back(taken);
        assert_eq!(pool.idle().len(), 1);
    }

    #[test]
    fn threads_may_share_it() {
        let pool = pool(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| pool.put_back(pool.lend())));
            }
        });
        assert!((1..=2).contains(&pool.idle().len()), "{pool:?}");
    }
}
