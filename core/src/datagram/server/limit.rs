//! How many datagrams of each source are answered: a token bucket for each, in a table of fixed size.
//!
//! A bucket is one number, the time at which it will be full again. One whose time has come is like one that never was:
//! nothing need be remembered of its source, and its place is free for another. No timer does that; whoever looks for a
//! place finds it.

use core::fmt;
use core::net::IpAddr;

use crate::sources::{Source, Sources};
use crate::time::{Instant, nanos};

/// How many slots of a full table are looked at to find a place for a new source.
const LOOKS: u32 = 16;

/// The buckets.
pub(super) struct Limiter {
    size: Size,
    buckets: Sources<Bucket>,
    /// For all sources that find no place.
    shared: Bucket,
}

/// What is the same for all buckets, in nanoseconds of refilling.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// One datagram.
    each: u64,
    /// A full bucket.
    full: u64,
}

/// How full a bucket is, without rounding.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    const FULL: Self = Self { full_at: Instant::EPOCH };

    /// Takes as many of `n` as there are.
    fn take(&mut self, size: Size, now: Instant, n: u64) -> u64 {
        let missing = nanos(self.full_at.since(now));
        let taken = n.min(size.full.saturating_sub(missing) / size.each);
        self.full_at = self.full_at.max(now).after(taken.saturating_mul(size.each));
        taken
    }
}

impl Limiter {
    /// `rate` per second, at least 1 and rounded so that a datagram's share is whole nanoseconds and never too short.
    pub(super) fn new(rate: u32, burst: u32, sources: u32, key: [u64; 2]) -> Self {
        let each = 1_000_000_000_u64.div_ceil(u64::from(rate.max(1)));
        let size = Size { each, full: each.saturating_mul(u64::from(burst)) };
        Self { size, buckets: Sources::new(sources, key), shared: Bucket::FULL }
    }

    /// How many of `n` datagrams from this address are answered now.
    pub(super) fn take(&mut self, now: Instant, from: IpAddr, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        let source = Source::of(from);
        let bucket = match self.buckets.get_or_insert(source, Bucket::FULL) {
            Some(bucket) => bucket,
            None => {
                self.buckets.recycle(LOOKS, |bucket| bucket.full_at <= now);
                self.buckets.get_or_insert(source, Bucket::FULL).unwrap_or(&mut self.shared)
            }
        };
        // Not more than was asked for, and that is a usize.
        bucket.take(self.size, now, n as u64) as usize
    }
}

impl fmt::Debug for Limiter {
    /// Leaves out the table, which is large, and the key, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("size", &self.size)
            .field("sources", &self.buckets.used())
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
