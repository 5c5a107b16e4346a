//! The clock that goes on while the machine sleeps.
//!
//! On Linux the monotonic clock of std and of the runtimes stands still in suspend. A peer that died meanwhile would
//! look as if it had just spoken, and the gap would never be noticed. `CLOCK_BOOTTIME` counts it. Elsewhere this is
//! the clock of std, and a driver that learns of a resume tells its machine `Fact::Resumed` between two turns.

use core::time::Duration;

use resound_core::Instant;

/// A monotonic clock whose epoch is the moment it was started. Copies agree with each other.
///
/// ```
/// use resound_sockets::clock::Clock;
///
/// let clock = Clock::start();
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: source::Source,
}

impl Clock {
    /// A clock that begins now: this moment is [`Instant::EPOCH`].
    #[must_use]
    pub fn start() -> Self {
        Self { source: source::Source::start() }
    }

    /// The time since the start, to the nanosecond.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::EPOCH + self.source.elapsed()
    }

    /// How long to sleep so as to wake at `deadline` and not before: whole milliseconds, rounded up; zero if it is
    /// due.
    ///
    /// `poll(2)`, `epoll_wait(2)` and the timers of the runtimes count in milliseconds, and a conversion that cuts
    /// off the rest wakes too early, finds nothing due, and spins through the last millisecond.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Duration {
        whole_millis(deadline.since(self.now()))
    }
}

fn whole_millis(left: Duration) -> Duration {
    let rest = left.subsec_nanos() % 1_000_000;
    if rest == 0 { left } else { left.saturating_add(Duration::from_nanos(u64::from(1_000_000 - rest))) }
}

#[cfg(target_os = "linux")]
mod source {
    use core::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Source {
        id: ClockId,
        epoch: Duration,
    }

    impl Source {
        pub(super) fn start() -> Self {
            // Where a sandbox forbids CLOCK_BOOTTIME, a clock that stops in suspend is better than none.
            let boot = ClockId::CLOCK_BOOTTIME;
            let id = if clock_gettime(boot).is_ok() { boot } else { ClockId::CLOCK_MONOTONIC };
            Self { id, epoch: read(id) }
        }

        pub(super) fn elapsed(self) -> Duration {
            read(self.id).saturating_sub(self.epoch)
        }
    }

    /// A clock that answered once answers always: `clock_gettime` fails only for an id or an address that is wrong.
    fn read(id: ClockId) -> Duration {
        clock_gettime(id).map(Duration::from).unwrap_or_default()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn it_counts_from_boot_suspend_included() {
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let booted: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            let source = Source::start();
            assert_eq!(source.id, ClockId::CLOCK_BOOTTIME);
            assert!((source.epoch.as_secs_f64() - booted).abs() < 5.0, "{source:?}, up for {booted} s");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod source {
    use core::time::Duration;
    use std::time::Instant;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Source(Instant);

    impl Source {
        pub(super) fn start() -> Self {
            Self(Instant::now())
        }

        pub(super) fn elapsed(self) -> Duration {
            self.0.elapsed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_the_epoch_and_never_goes_back() {
        let clock = Clock::start();
        let mut last = Instant::EPOCH;
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last > Instant::EPOCH);
        assert!(last.since(Instant::EPOCH) < Duration::from_secs(60), "started {last:?} ago");
    }

    #[test]
    fn a_sleep_until_a_deadline_never_ends_before_it() {
        let clock = Clock::start();
        for micros in [1, 999, 1000, 1001, 2500] {
            let deadline = clock.now() + Duration::from_micros(micros);
            std::thread::sleep(clock.until(deadline));
            assert!(clock.now() >= deadline, "{micros} µs");
        }
    }

    #[test]
    fn sleeps_are_whole_milliseconds_and_what_is_due_needs_none() {
        assert_eq!(whole_millis(Duration::ZERO), Duration::ZERO);
        assert_eq!(whole_millis(Duration::from_nanos(1)), Duration::from_millis(1));
        assert_eq!(whole_millis(Duration::from_millis(7)), Duration::from_millis(7));
        assert_eq!(whole_millis(Duration::from_nanos(1_999_999_999)), Duration::from_secs(2));
        assert_eq!(whole_millis(Duration::MAX), Duration::MAX);
        assert_eq!(Clock::start().until(Instant::EPOCH), Duration::ZERO);
        assert!(Clock::start().until(Instant::MAX) > Duration::from_secs(1 << 33));
    }
}
