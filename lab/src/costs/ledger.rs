//! What was measured, run by run, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::runs::{Run, Yield};
use super::statistics::{Judgement, Pair, judge, median, percentile, spread, thinned};
use super::{Comparison, Configuration, Metric, Row, SAMPLES, Standing};

/// Two configurations to be run side by side.
pub(super) type Contest = (Configuration, Configuration);

/// What came of both sides of a contest.
pub(super) type Came = [io::Result<Yield>; 2];

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pairs: BTreeMap<(Metric, Configuration, Configuration), Vec<Pair>>,
    samples: BTreeMap<(Metric, Configuration), Vec<f64>>,
    times: BTreeMap<(Metric, Configuration), Vec<u64>>,
    missing: BTreeMap<(Metric, Configuration), String>,
    failures: BTreeSet<String>,
}

impl Ledger {
    pub(super) fn enter(&mut self, run: Run, (a, b): Contest, came: Came) {
        let [of_a, of_b] = came;
        let [of_a, of_b] = [self.take(run, a, of_a), self.take(run, b, of_b)];
        for &(metric, a_figure) in &of_a {
            if let Some(&(_, b_figure)) = of_b.iter().find(|(other, _)| *other == metric) {
                self.pairs.entry((metric, a, b)).or_default().push(Pair { a: a_figure, b: b_figure });
            }
        }
    }

    /// One side. Returns its figures.
    fn take(&mut self, run: Run, on: Configuration, came: io::Result<Yield>) -> Vec<(Metric, f64)> {
        let came = came.unwrap_or_else(|error| {
            for &metric in run.metrics() {
                self.missing.insert((metric, on), error.to_string());
            }
            self.failures.insert(format!("{on}: {error}"));
            Yield::default()
        });
        for (metric, times) in came.times {
            self.times.entry((metric, on)).or_default().extend(times);
        }
        for &(metric, figure) in &came.figures {
            self.samples.entry((metric, on)).or_default().push(figure);
        }
        came.figures
    }

    /// What went wrong, without repetitions.
    pub(super) fn failures(&self) -> Vec<String> {
        self.failures.iter().cloned().collect()
    }

    fn spread(&self, metric: Metric, on: Configuration) -> Option<f64> {
        spread(self.pairs.get(&(metric, on, on))?, metric.resolution())
    }

    pub(super) fn comparisons(&self, configurations: &[Configuration]) -> Vec<Comparison> {
        let mut all = Vec::new();
        for &metric in Metric::ALL {
            for (i, &a) in configurations.iter().enumerate() {
                all.extend(configurations[i + 1..].iter().filter_map(|&b| self.comparison(metric, a, b)));
            }
        }
        all
    }

    fn comparison(&self, metric: Metric, a: Configuration, b: Configuration) -> Option<Comparison> {
        let pairs = |a, b| self.pairs.get(&(metric, a, b)).map(Vec::as_slice);
        let between = pairs(a, b)?;
        let Judgement { ratio, spread, verdict } =
            judge([pairs(a, a)?, pairs(b, b)?], between, metric.resolution())?;
        Some(Comparison { metric, a, b, ratio, spread, verdict, pairs: between.to_vec() })
    }

    pub(super) fn rows(&self, configurations: &[Configuration], comparisons: &[Comparison]) -> Vec<Row> {
        let metrics = Metric::ALL.iter();
        metrics
            .flat_map(|&metric| configurations.iter().map(move |&on| self.row(metric, on, comparisons)))
            .collect()
    }

    fn row(&self, metric: Metric, on: Configuration, comparisons: &[Comparison]) -> Row {
        let key = (metric, on);
        let samples = self.samples.get(&key).cloned().unwrap_or_default();
        let mut times = self.times.get(&key).cloned().unwrap_or_default();
        times.sort_unstable();
        let of_times = |percent| percentile(&times, percent).map(|nanos| nanos as f64);
        let median = of_times(50).or_else(|| median(&samples));
        let missing = median.is_none().then(|| {
            let why = self.missing.get(&key).map(String::as_str);
            why.unwrap_or("nothing came of the runs").to_string()
        });
        Row {
            metric,
            configuration: on,
            median,
            p99: of_times(99),
            spread: self.spread(metric, on),
            standing: standing(on, comparisons.iter().filter(|c| c.metric == metric)),
            samples,
            times: thinned(&times, SAMPLES),
            missing,
        }
    }
}

fn standing<'a>(on: Configuration, comparisons: impl Iterator<Item = &'a Comparison>) -> Standing {
    Standing::of(comparisons.filter_map(|comparison| match comparison.verdict {
        verdict if comparison.a == on => Some(verdict),
        verdict if comparison.b == on => Some(verdict.reversed()),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::statistics::{LEAST_PAIRS, Verdict};
    use super::*;

    const TWO: [Configuration; 2] = [Configuration::Std, Configuration::Tokio];
    const CALLS: Metric = Metric::ServerCallsSingle;

    fn came(calls: f64) -> io::Result<Yield> {
        Ok(Yield { figures: vec![(CALLS, calls)], times: Vec::new() })
    }

    /// So many runs as may prove something, of each with itself, the second so far from the first, and of both, tokio twice as much.
    fn ledger(apart: f64) -> Ledger {
        let mut ledger = Ledger::default();
        for _ in 0..LEAST_PAIRS {
            for on in TWO {
                ledger.enter(Run::ServerCalls, (on, on), [came(100.0), came(100.0 * apart)]);
            }
            ledger.enter(Run::ServerCalls, (TWO[0], TWO[1]), [came(100.0), came(200.0)]);
        }
        ledger
    }

    fn row(rows: &[Row], on: Configuration) -> &Row {
        rows.iter().find(|row| row.metric == CALLS && row.configuration == on).unwrap()
    }

    #[test]
    fn what_lies_outside_the_spread_is_a_difference_and_has_a_standing() {
        let ledger = ledger(1.5);
        let comparisons = ledger.comparisons(&TWO);
        let [one] = &comparisons[..] else { panic!("{comparisons:?}") };
        assert_eq!(
            (one.a, one.b, one.verdict, one.pairs.len()),
            (TWO[0], TWO[1], Verdict::Less, LEAST_PAIRS)
        );
        assert!((one.ratio - 0.5).abs() < 0.001 && (one.spread - 1.5).abs() < 0.001, "{one:?}");
        let rows = ledger.rows(&TWO, &comparisons);
        assert_eq!(row(&rows, TWO[0]).standing, Standing::Least);
        assert_eq!(row(&rows, TWO[1]).standing, Standing::More);
        assert_eq!(row(&rows, TWO[0]).samples.len(), 3 * LEAST_PAIRS);
        assert_eq!(row(&rows, TWO[1]).median, Some(150.0));
    }

    #[test]
    fn what_lies_inside_the_spread_is_none() {
        let ledger = ledger(2.5);
        let comparisons = ledger.comparisons(&TWO);
        assert_eq!(comparisons[0].verdict, Verdict::Same);
        let rows = ledger.rows(&TWO, &comparisons);
        assert!(TWO.iter().all(|&on| row(&rows, on).standing == Standing::Alike));
    }

    #[test]
    fn the_wider_spread_of_both_counts() {
        for noisy in TWO {
            let mut ledger = ledger(1.1);
            ledger.enter(Run::ServerCalls, (noisy, noisy), [came(100.0), came(300.0)]);
            assert_eq!(ledger.comparisons(&TWO)[0].verdict, Verdict::Same, "{noisy}");
        }
    }

    #[test]
    fn a_run_that_failed_is_told_and_leaves_what_the_others_found() {
        let mut ledger = ledger(1.1);
        let failed = || Err(io::Error::other("no ports are left"));
        ledger.enter(Run::ServerCalls, (TWO[0], TWO[1]), [failed(), came(200.0)]);
        ledger.enter(Run::Idle, (TWO[0], TWO[0]), [failed(), failed()]);
        assert_eq!(ledger.failures(), ["std: no ports are left"]);
        let comparisons = ledger.comparisons(&TWO);
        assert_eq!(comparisons[0].pairs.len(), LEAST_PAIRS);
        let rows = ledger.rows(&TWO, &comparisons);
        assert_eq!(row(&rows, TWO[0]).missing, None);
        let reason = |metric| rows.iter().find(|row| row.metric == metric).unwrap().missing.as_deref();
        assert_eq!(reason(Metric::ServerWakesIdle), Some("no ports are left"));
        assert_eq!(reason(Metric::ServerMemory), Some("nothing came of the runs"));
    }

    #[test]
    fn single_times_are_of_all_runs() {
        let mut ledger = Ledger::default();
        for times in [vec![5, 7], vec![1, 900]] {
            let came = || {
                Ok(Yield {
                    figures: vec![(Metric::ClientReset, 6.0)],
                    times: vec![(Metric::ClientReset, times.clone())],
                })
            };
            ledger.enter(Run::Faults, (TWO[0], TWO[0]), [came(), came()]);
        }
        let rows = ledger.rows(&TWO, &[]);
        let row = rows.iter().find(|row| row.metric == Metric::ClientReset).unwrap();
        assert_eq!(row.times, [1, 1, 5, 5, 7, 7, 900, 900]);
        assert_eq!((row.median, row.p99), (Some(5.0), Some(900.0)));
    }
}
