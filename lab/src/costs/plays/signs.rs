//! When one runtime costs less than another in the plays: by how many scenarios say so.
//!
//! # Theory of operation
//!
//! No two scenarios cost the same, so there is no spread of one runtime with itself. But each was played by all, side by
//! side, and that is a pair. If two runtimes cost the same, either is dearer in a pair as often as the other, whatever the
//! shape of the noise: like heads and tails. How seldom a coin would fall so unevenly, or more so, is known exactly (the sign
//! test; two-sided):
//!
//! ```text
//!   std dearer   ████████████                  41
//!   tokio dearer ██████████████████████████    92      p = 0.00001: no coin does that
//! ```
//!
//! There is a difference only if that is [less than](CHANCE) one time in ten thousand, and the middle of the ratios is
//! [worth telling](crate::costs::statistics::LEAST_RATIO). A run makes about thirty comparisons: one in 300 has a wrong one.
//!
//! Pairs whose sides cannot be told apart are no evidence for either. Of [few pairs](LEAST_PAIRS) nothing is said, for nothing
//! could be.

use crate::costs::statistics::{LEAST_RATIO, Pair, Verdict, median};

/// What happens by chance as seldom as that is called a difference.
pub const CHANCE: f64 = 1e-4;

/// Fewer pairs tell nothing apart, even if all of them say the same: 2 / 2^14 is more than [`CHANCE`], 2 / 2^15 is less.
pub const LEAST_PAIRS: usize = 15;

/// In how many pairs one was less, or more, than the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The first was less.
    pub less: usize,
    /// It was more.
    pub more: usize,
}

/// What pairs of many different things are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// How often which was less.
    pub signs: Signs,
    /// What the first is, measured by the second.
    pub verdict: Verdict,
}

impl Signs {
    /// Counts. What is not further apart than `resolution` is neither.
    #[must_use]
    pub fn of(pairs: &[Pair], resolution: f64) -> Self {
        let count = |is: &dyn Fn(f64) -> bool| pairs.iter().filter(|pair| is(pair.a - pair.b)).count();
        Self { less: count(&|by| by < -resolution), more: count(&|by| by > resolution) }
    }

    /// The chance that a coin falls as unevenly as this or more so.
    #[must_use]
    pub fn chance(self) -> f64 {
        let (seldom, all) = (self.less.min(self.more), self.less + self.more);
        // Logarithms of n over k: a thousand tosses have more ways than a number can hold.
        let mut ways = 0.0_f64;
        let mut chance = 0.0;
        for k in 0..=seldom {
            chance += (ways - all as f64 * core::f64::consts::LN_2).exp();
            ways += ((all - k) as f64 / (k + 1) as f64).ln();
        }
        (2.0 * chance).min(1.0)
    }
}

/// Judges what was measured side by side. `None` if nothing was.
#[must_use]
pub fn judge(pairs: &[Pair], resolution: f64) -> Option<Judgement> {
    let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ratio(resolution)).collect();
    let ratio = median(&ratios)?;
    let signs = Signs::of(pairs, resolution);
    let verdict = if pairs.len() < LEAST_PAIRS {
        Verdict::TooFew
    } else if signs.chance() >= CHANCE {
        Verdict::Same
    } else if signs.less > signs.more && ratio < LEAST_RATIO.recip() {
        Verdict::Less
    } else if signs.more > signs.less && ratio > LEAST_RATIO {
        Verdict::More
    } else {
        Verdict::Same
    };
    Some(Judgement { ratio, signs, verdict })
}

#[cfg(test)]
mod tests {
    use resound_core::Rng;

    use super::*;

    #[test]
    fn the_chance_is_that_of_a_coin() {
        let chance = |less, more| Signs { less, more }.chance();
        // By hand: 2 · 1/2^10, 2 · (1 + 10) / 2^10, 2 · (1 + 20 + 190) / 2^20.
        for ((less, more), known) in
            [((0, 10), 2.0 / 1_024.0), ((9, 1), 22.0 / 1_024.0), ((2, 18), 422.0 / 1_048_576.0)]
        {
            assert!((chance(less, more) - known).abs() < 1e-12, "{less} {more}: {}", chance(less, more));
        }
        for (less, more) in [(0, 0), (5, 5), (3, 4)] {
            assert!((chance(less, more) - 1.0).abs() < 1e-9, "{less} {more}: {}", chance(less, more));
        }
        // More tosses than a number has powers of two.
        assert!((0.9..=1.0).contains(&chance(2_000, 2_001)), "{}", chance(2_000, 2_001));
        assert!(chance(1_800, 2_200) < 1e-9);
    }

    #[test]
    fn of_few_pairs_nothing_is_said() {
        let verdict = |pairs| judge(&vec![Pair { a: 1.0, b: 2.0 }; pairs], 0.0).unwrap().verdict;
        assert_eq!((verdict(LEAST_PAIRS - 1), verdict(LEAST_PAIRS)), (Verdict::TooFew, Verdict::Less));
        // No more are asked for than a coin wants.
        let unanimous = |less| Signs { less, more: 0 }.chance();
        assert!(unanimous(LEAST_PAIRS - 1) >= CHANCE && unanimous(LEAST_PAIRS) < CHANCE);
    }

    fn pairs(rng: &mut Rng, count: usize, dearer: f64) -> Vec<Pair> {
        // Scenarios differ by far more than runtimes do, and each is noisy.
        let mut noisy = |value: f64| value * (0.5 + rng.up_to(1_000) as f64 / 1_000.0);
        let pair = |at: usize| {
            let scenario = 10.0_f64.powi((at % 5) as i32);
            Pair { a: noisy(scenario * dearer), b: noisy(scenario) }
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn noise_alone_is_no_difference_and_twice_as_much_is_one() {
        let mut found = 0;
        for seed in 0..2_000 {
            let mut rng = Rng::from_seed(seed);
            let same = judge(&pairs(&mut rng, 150, 1.0), 0.0).unwrap();
            found += usize::from(same.verdict != Verdict::Same);
            let more = judge(&pairs(&mut rng, 150, 2.0), 0.0).unwrap();
            assert_eq!(more.verdict, Verdict::More, "seed {seed}: {more:?}");
            let less = judge(&pairs(&mut rng, 150, 0.5), 0.0).unwrap();
            assert_eq!(less.verdict, Verdict::Less, "seed {seed}: {less:?}");
        }
        // One in ten thousand: 0.2 are expected.
        assert!(found <= 2, "{found} of 2000");
    }

    #[test]
    fn what_cannot_be_told_apart_is_no_evidence() {
        let near = [Pair { a: 10.0, b: 10.4 }; 100];
        assert_eq!(Signs::of(&near, 0.5), Signs::default());
        assert_eq!(judge(&near, 0.5).unwrap().verdict, Verdict::Same);
        assert_eq!(judge(&near, 0.3).unwrap().verdict, Verdict::Less);
        assert_eq!(judge(&[], 0.0), None);
    }

    #[test]
    fn a_hundredth_is_no_difference_however_often_it_comes() {
        assert_eq!(judge(&[Pair { a: 101.0, b: 100.0 }; 500], 0.0).unwrap().verdict, Verdict::Same);
    }
}
