//! The generator behind every jitter: seeded by the caller, the same on every platform.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): eight bytes of
//! state, full period, and good enough to spread clients. Nothing secret is ever drawn from it.

/// A deterministic source of random numbers. There is no default seed: clients that share one would retry in step.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..=max`, each equally likely (Lemire, "Fast random integer generation in an interval", 2019).
    pub fn up_to(&mut self, max: u64) -> u64 {
        let Some(span) = max.checked_add(1) else { return self.next() };
        let mut wide = u128::from(self.next()) * u128::from(span);
        if (wide as u64) < span {
            let reject = span.wrapping_neg() % span;
            while (wide as u64) < reject {
                wide = u128::from(self.next()) * u128::from(span);
            }
        }
        (wide >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // Reference output of SplitMix64 for seed 1234567.
        let mut rng = Rng::from_seed(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn both_ends_are_reached_and_never_passed() {
        let mut rng = Rng::from_seed(1);
        let mut seen = [0u32; 3];
        for _ in 0..3_000 {
            seen[rng.up_to(2) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1_150).contains(&n)), "{seen:?}");
        assert_eq!(rng.up_to(0), 0);
        let _ = rng.up_to(u64::MAX);
    }
}
