//! Seeds and keys that no other process shares.
//!
//! The core draws no randomness of its own. A program that does not want to replay a run gives each client a seed from
//! here: with a common one, all clients would retry in step.

/// A seed for a client's jitter.
///
/// # Panics
///
/// If the system has no source of randomness at all, which no supported system allows.
#[must_use]
pub fn seed() -> u64 {
    getrandom::u64().expect("the system gives no randomness")
}

/// A key for tables that strangers fill.
///
/// # Panics
///
/// As [`seed`].
#[must_use]
pub fn key() -> [u64; 2] {
    [seed(), seed()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_seeds_are_alike() {
        let mut seeds: Vec<u64> = (0..64).map(|_| super::seed()).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 64);
    }
}
