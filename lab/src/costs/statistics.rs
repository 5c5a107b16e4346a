//! When one runtime costs less than another, and when that cannot be said.
//!
//! # Theory of operation
//!
//! Two runs never cost the same, and no machine is quiet. So what is compared is what was measured side by side, a *pair*,
//! as a ratio; and what a ratio is worth is told by pairs of a runtime with itself, whose true ratio is 1:
//!
//! ```text
//!              1/s         1          s
//!   ───────────┼───────────┼──────────┼───────────►  ratio
//!                 ×  × ×× × ×   ×                     each runtime against itself: the farthest is s, the spread
//!                     o   o  o o                      these two: the same
//!                                      o  o oo        these two: more
//! ```
//!
//! There is a difference only if *every* pair lies outside the spread, all on the same side. If there is none in truth,
//! all ratios come from the same source, and with R pairs of each kind the chance that the R farthest of 3·R are just
//! those of one kind and lie on one side is 2 / (C(3·R, R) · 2^R): one in 4 000 for R = 4, one in 600 000 for R = 6. No
//! shape of the noise is assumed, so the rule holds for times with long tails too.
//!
//! Of eight pairs or more, one in eight may stray, or more pairs would find less: a busy machine spoils one now and then.
//! By chance that happens still more seldom than what is said of four.
//!
//! A measurement makes 250 comparisons: with four pairs, one in sixteen has a wrong one at most.
//!
//! What a metric cannot tell apart, its [resolution](super::Metric::resolution), is added to both sides of a ratio: three
//! wake-ups are not infinitely more than none.

use std::cmp::Ordering;

use serde::Serialize;

/// Fewer pairs of each kind prove nothing: there is never a difference. With three, chance would make one in 336 times.
pub const LEAST_PAIRS: usize = 4;

/// Ratios nearer to 1 than this are no difference for anybody, however exact they are.
pub const LEAST_RATIO: f64 = 1.02;

/// Of so many pairs one may lie anywhere.
const PAIRS_FOR_A_STRAY: usize = 8;

/// Two figures measured side by side, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Of the first.
    pub a: f64,
    /// Of the second.
    pub b: f64,
}

impl Pair {
    /// How many times the second goes into the first, `resolution` added to both.
    #[must_use]
    pub fn ratio(self, resolution: f64) -> f64 {
        (self.a + resolution) / (self.b + resolution)
    }
}

/// What one side is, measured by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Of so few pairs nothing can be said.
    TooFew,
    /// No difference that chance would not explain.
    Same,
    /// The first is less.
    Less,
    /// The first is more.
    More,
}

impl Verdict {
    /// In one word: `too-few`, `same`, `less`, `more`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooFew => "too-few",
            Self::Same => "same",
            Self::Less => "less",
            Self::More => "more",
        }
    }

    /// Whether the two differ.
    #[must_use]
    pub const fn is_difference(self) -> bool {
        matches!(self, Self::Less | Self::More)
    }

    /// What the second is, measured by the first.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::TooFew => Self::TooFew,
            Self::Same => Self::Same,
            Self::Less => Self::More,
            Self::More => Self::Less,
        }
    }
}

/// How far apart one and the same came out, as a factor of at least 1; `None` if it was not tried.
#[must_use]
pub fn spread(itself: &[Pair], resolution: f64) -> Option<f64> {
    itself.iter().map(|pair| away(pair.ratio(resolution))).max_by(f64::total_cmp)
}

/// A ratio's distance from 1, whichever side it is on, as a factor.
fn away(ratio: f64) -> f64 {
    ratio.max(ratio.recip())
}

/// What some pairs of two are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// The wider spread of the two, as a factor of at least 1.
    pub spread: f64,
    /// What the first is, measured by the second.
    pub verdict: Verdict,
}

/// Holds pairs of two against the pairs of each with itself.
///
/// `None` if there are no pairs of one of the three kinds.
#[must_use]
pub fn judge(itself: [&[Pair]; 2], between: &[Pair], resolution: f64) -> Option<Judgement> {
    let ratios: Vec<f64> = between.iter().map(|pair| pair.ratio(resolution)).collect();
    let ratio = median(&ratios)?;
    let spread = spread(itself[0], resolution)?.max(spread(itself[1], resolution)?);
    let beyond = spread.max(LEAST_RATIO);
    let enough = ratios.len() - ratios.len() / PAIRS_FOR_A_STRAY;
    let are_enough = |outside: &dyn Fn(f64) -> bool| ratios.iter().filter(|&&r| outside(r)).count() >= enough;
    let verdict = if [itself[0], itself[1], between].iter().any(|pairs| pairs.len() < LEAST_PAIRS) {
        Verdict::TooFew
    } else if are_enough(&|ratio| ratio > beyond) {
        Verdict::More
    } else if are_enough(&|ratio| ratio < beyond.recip()) {
        Verdict::Less
    } else {
        Verdict::Same
    };
    Some(Judgement { ratio, spread, verdict })
}

/// The middle; between the two middle ones, if their number is even. `None` if there are none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len() % 2 {
        0 => Some(f64::midpoint(sorted[middle - 1], upper)),
        _ => Some(upper),
    }
}

/// The smallest of `sorted` that at least `percent` in a hundred do not exceed (nearest rank). `None` if there are none.
#[must_use]
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    debug_assert!(sorted.is_sorted());
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// At most `most` of `sorted`, evenly over its ranks: the least and the greatest are among them.
#[must_use]
pub fn thinned(sorted: &[u64], most: usize) -> Vec<u64> {
    match (sorted.len().cmp(&most), most) {
        (Ordering::Greater, 2..) => (0..most).map(|i| sorted[i * (sorted.len() - 1) / (most - 1)]).collect(),
        (Ordering::Greater, _) => sorted[..most].to_vec(),
        _ => sorted.to_vec(),
    }
}
