//! Time as the core sees it: integer nanoseconds since an epoch that the driver chose.
//!
//! The core reads no clock. A driver reads one (on Linux `CLOCK_BOOTTIME`, because the monotonic clock stands
//! still while the machine is suspended), converts with an explicit epoch, and passes the result in with every
//! fact. All arithmetic saturates, so that no configuration and no clock can make it panic.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since the driver's epoch. `Option<Instant>` is no larger than `Instant`.
///
/// ```
/// use core::time::Duration;
/// use resound_core::Instant;
///
/// let start = Instant::EPOCH;
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later - start, Duration::from_millis(5));
/// assert_eq!(start - later, Duration::ZERO); // saturates: time never runs backwards
/// assert_eq!(size_of::<Option<Instant>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// Zero nanoseconds since the epoch.
    pub const EPOCH: Self = Self::from_nanos(0);
    /// The last instant that can be told; all arithmetic stops here (584 years after the epoch).
    pub const MAX: Self = Self::from_nanos(u64::MAX);

    /// The instant `nanos` nanoseconds after the epoch; `u64::MAX` is taken for `u64::MAX - 1`.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How long `earlier` lies before this instant; zero if it lies after it.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    #[inline]
    pub(crate) const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        self.after(nanos(rhs))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.nanos() / 1_000_000_000, self.nanos() % 1_000_000_000)
    }
}

/// Whole nanoseconds of a duration, saturating.
pub(crate) const fn nanos(d: Duration) -> u64 {
    let n = d.as_nanos();
    if n > u64::MAX as u128 { u64::MAX } else { n as u64 }
}

/// The earliest of the deadlines that are set. Drivers ask after every fact, so it has no branches: one that is not set
/// counts as later than all that are.
#[inline]
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    let unset = u64::MAX;
    let nanos = deadlines.iter().map(|deadline| deadline.map_or(unset, Instant::nanos));
    NonZeroU64::new(nanos.fold(unset, u64::min).wrapping_add(1)).map(Instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::MAX + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::EPOCH.since(Instant::MAX), Duration::ZERO);
        assert_eq!(Instant::from_nanos(7).nanos(), 7);
        assert_eq!(Instant::MAX.nanos(), u64::MAX - 1);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }

    #[test]
    fn the_earliest_deadline_ignores_those_that_are_not_set() {
        assert_eq!(earliest([None, None]), None);
        assert_eq!(earliest([Some(Instant::MAX), None, Some(Instant::EPOCH)]), Some(Instant::EPOCH));
    }
}
