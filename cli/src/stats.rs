//! What a session amounts to: counts, round trips, time up and time down.
//!
//! Statistics are made of the event lines themselves, so that what is counted is what was shown.

use core::time::Duration;

use hdrhistogram::Histogram;
use resound_core::signal::Reason;

use crate::output::event::{Body, End, RoundTrips, Summary};

/// The longest round trip that is told apart: one hour.
const LONGEST: u64 = 3_600_000_000_000;

/// The statistics of one target.
#[derive(Debug)]
pub(crate) struct Stats {
    sent: u64,
    echoed: u64,
    lost: u64,
    late: u64,
    duplicated: u64,
    reordered: u64,
    /// The highest number among the echoes, and one.
    highest: u64,
    ups: u64,
    up: u64,
    down: u64,
    longest_outage: u64,
    /// Up or down, since then.
    stretch: Stretch,
    since: u64,
    last_reason: Option<Reason>,
    round_trips: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Up,
    Down,
}

impl Stats {
    /// Of a session that begins at `t` nanoseconds, down.
    pub(crate) fn begin(t: u64) -> Self {
        Self::with(t, Precision::Fine)
    }

    /// As [`begin`](Self::begin), with as little memory as goes for a target of very many.
    pub(crate) fn begin_one_of_many(t: u64) -> Self {
        Self::with(t, Precision::Coarse)
    }

    fn with(t: u64, precision: Precision) -> Self {
        Self {
            sent: 0,
            echoed: 0,
            lost: 0,
            late: 0,
            duplicated: 0,
            reordered: 0,
            highest: 0,
            ups: 0,
            up: 0,
            down: 0,
            longest_outage: 0,
            stretch: Stretch::Down,
            since: t,
            last_reason: None,
            round_trips: Times::new(precision),
        }
    }

    /// A message was sent, or would have been had there been a connection.
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    /// An echo came after its message had been counted as lost.
    pub(crate) fn late(&mut self) {
        self.late += 1;
    }

    /// Something ended without an event of its own.
    pub(crate) fn reason(&mut self, reason: Reason) {
        self.last_reason = Some(reason);
    }

    /// Counts what an event line says.
    pub(crate) fn count(&mut self, t: u64, body: &Body) {
        match body {
            Body::Echo { seq, rtt_ns, .. } => {
                self.echoed += 1;
                self.reordered += u64::from(*seq < self.highest);
                self.highest = self.highest.max(*seq + 1);
                self.round_trips.record(*rtt_ns);
            }
            Body::Late { .. } => self.late += 1,
            Body::Duplicated { .. } => self.duplicated += 1,
            Body::Lost { reason, .. } => {
                self.lost += 1;
                self.last_reason = Some(*reason);
            }
            Body::DialFailed { cause, .. } => self.last_reason = Some(cause.reason),
            Body::Up { .. } => {
                self.turn(t, Stretch::Up);
                self.ups += 1;
            }
            Body::Down { cause, .. } => {
                self.turn(t, Stretch::Down);
                self.last_reason = Some(cause.reason);
            }
            _ => {}
        }
    }

    fn turn(&mut self, t: u64, next: Stretch) {
        let lasted = t.saturating_sub(self.since);
        match self.stretch {
            Stretch::Up => self.up += lasted,
            Stretch::Down => {
                self.down += lasted;
                self.longest_outage = self.longest_outage.max(lasted);
            }
        }
        self.stretch = next;
        self.since = t;
    }

    /// All of it, at the end of the session.
    pub(crate) fn summary(&mut self, t: u64, end: End) -> Summary {
        self.turn(t, self.stretch);
        Summary {
            sent: self.sent,
            echoed: self.echoed,
            lost: self.lost,
            in_flight: self.sent.saturating_sub(self.echoed + self.lost),
            late: self.late,
            duplicated: self.duplicated,
            reordered: self.reordered,
            reconnects: self.ups.saturating_sub(1),
            up_ns: self.up,
            down_ns: self.down,
            longest_outage_ns: self.longest_outage,
            rtt_ns: self.round_trips.summary(),
            last_reason: self.last_reason,
            end,
        }
    }
}

/// How much memory percentiles may take once there are many round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    /// Right to one part in a thousand; 270 KB.
    Fine,
    /// Right to one part in ten; 4 KB.
    Coarse,
}

impl Precision {
    /// So many are kept as they are.
    const fn exact(self) -> usize {
        match self {
            Self::Fine => 1_024,
            Self::Coarse => 32,
        }
    }

    fn histogram(self) -> Histogram<u64> {
        let (lowest, digits) = match self {
            Self::Fine => (1, 3),
            Self::Coarse => (1_000, 1),
        };
        Histogram::new_with_bounds(lowest, LONGEST, digits).unwrap_or_else(|error| {
            unreachable!("the bounds are constants that the histogram accepts: {error}")
        })
    }
}

/// Times, in nanoseconds: percentiles exact while they are few, later from a histogram of fixed size; the rest exact.
#[derive(Debug)]
struct Times {
    precision: Precision,
    few: Vec<u64>,
    histogram: Option<Histogram<u64>>,
    count: u64,
    min: u64,
    max: u64,
    mean: f64,
    /// Sum of squared distances from the mean (Welford, "Note on a method for calculating corrected sums of squares
    /// and products", 1962).
    squares: f64,
}

impl Times {
    const fn new(precision: Precision) -> Self {
        Self {
            precision,
            few: Vec::new(),
            histogram: None,
            count: 0,
            min: u64::MAX,
            max: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    fn record(&mut self, nanos: u64) {
        if self.histogram.is_none() && self.few.len() == self.precision.exact() {
            let mut histogram = self.precision.histogram();
            core::mem::take(&mut self.few).into_iter().for_each(|nanos| histogram.saturating_record(nanos));
            self.histogram = Some(histogram);
        }
        match &mut self.histogram {
            Some(histogram) => histogram.saturating_record(nanos),
            None => self.few.push(nanos),
        }
        self.count += 1;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        let value = nanos as f64;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// `None` if there are none: there is no number for the mean of nothing.
    fn summary(&mut self) -> Option<RoundTrips> {
        let n = self.count;
        self.few.sort_unstable();
        let at = |quantile: f64| match &self.histogram {
            // The histogram answers with the upper end of a bucket, which can lie above everything that was measured.
            Some(histogram) => histogram.value_at_quantile(quantile).clamp(self.min, self.max),
            None => {
                let rank = (quantile * n as f64).ceil() as usize;
                self.few.get(rank.saturating_sub(1)).copied().unwrap_or(self.max)
            }
        };
        (n > 0).then(|| RoundTrips {
            min: self.min,
            mean: self.mean as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max,
            stddev: (self.squares / n as f64).sqrt() as u64,
        })
    }
}

/// Whole nanoseconds, at most what the format can hold.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use resound_core::signal::Cause;

    use super::*;

    fn up() -> Body {
        Body::Up { attempt: 1, local: None }
    }

    fn down(reason: Reason) -> Body {
        Body::down(&Cause::peer(reason), 0, Duration::ZERO)
    }

    #[test]
    fn up_and_down_add_up_to_the_whole_time() {
        let mut stats = Stats::begin(0);
        stats.count(10, &up());
        stats.count(110, &down(Reason::Reset));
        stats.count(150, &up());
        let summary = stats.summary(200, End::Count);
        assert_eq!((summary.up_ns, summary.down_ns), (150, 50));
        assert_eq!(summary.longest_outage_ns, 40);
        assert_eq!(summary.reconnects, 1);
        assert_eq!(summary.last_reason, Some(Reason::Reset));
    }

    #[test]
    fn a_session_that_never_came_up_is_one_outage() {
        let mut stats = Stats::begin(5);
        stats.sent();
        let summary = stats.summary(105, End::Interrupted);
        assert_eq!((summary.up_ns, summary.down_ns, summary.longest_outage_ns), (0, 100, 100));
        assert_eq!((summary.reconnects, summary.in_flight), (0, 1));
        assert!(summary.rtt_ns.is_none());
    }

    #[test]
    fn percentiles_lie_between_the_extremes_and_are_precise() {
        let mut stats = Stats::begin(0);
        for n in 1..=1_000 {
            stats.sent();
            stats.count(n, &Body::Echo { seq: n, bytes: 1, rtt_ns: n * 1_000 });
        }
        let rtt = stats.summary(1, End::Count).rtt_ns.unwrap();
        assert_eq!((rtt.min, rtt.max), (1_000, 1_000_000));
        assert_eq!(rtt.mean, 500_500);
        for (got, want) in [(rtt.p50, 500_000), (rtt.p90, 900_000), (rtt.p99, 990_000), (rtt.p999, 999_000)] {
            assert!(u64::abs_diff(got, want) <= want / 1_000, "{got} is not {want}");
        }
        assert!(u64::abs_diff(rtt.stddev, 288_675) < 10, "{}", rtt.stddev);
    }

    #[test]
    fn many_percentiles_are_as_precise_as_their_memory_allows() {
        for (precision, part) in [(Precision::Fine, 1_000), (Precision::Coarse, 10)] {
            let mut times = Times::new(precision);
            (1..=10_000).for_each(|n| times.record(n * 1_000));
            let rtt = times.summary().unwrap();
            for (got, want) in [(rtt.p50, 5_000_000), (rtt.p90, 9_000_000), (rtt.p99, 9_900_000)] {
                assert!(u64::abs_diff(got, want) <= want / part, "{precision:?}: {got} is not {want}");
            }
            assert_eq!((rtt.min, rtt.max, rtt.mean), (1_000, 10_000_000, 5_000_500));
        }
    }

    #[test]
    fn what_comes_twice_late_or_out_of_order_is_counted_apart() {
        let mut stats = Stats::begin(0);
        for seq in [0, 2, 1, 3] {
            stats.count(1, &Body::Echo { seq, bytes: 1, rtt_ns: 1 });
        }
        stats.count(2, &Body::Late { seq: 4, rtt_ns: 9 });
        stats.count(3, &Body::Duplicated { seq: 4 });
        let summary = stats.summary(4, End::Count);
        let counts = [summary.echoed, summary.reordered, summary.late, summary.duplicated];
        assert_eq!(counts, [4, 1, 1, 1]);
    }

    #[test]
    fn one_sample_is_all_of_them() {
        let mut times = Times::new(Precision::Fine);
        times.record(1_234_567);
        let rtt = times.summary().unwrap();
        assert_eq!([rtt.min, rtt.mean, rtt.p50, rtt.p999, rtt.max], [1_234_567; 5]);
        assert_eq!(rtt.stddev, 0);
    }

    #[test]
    fn beyond_an_hour_the_extremes_are_still_exact() {
        let mut times = Times::new(Precision::Fine);
        times.record(LONGEST * 2);
        assert_eq!(times.summary().unwrap().max, LONGEST * 2);
    }
}
