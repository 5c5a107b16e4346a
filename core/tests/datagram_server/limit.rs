//! How much each source gets: its own limit while there is a place for it, and no more than a full table in all.

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::Instant;
use resound_core::datagram::server::{Config, Server};

use super::{START, ask, host, server};

/// So many datagrams of one source, so long after those before.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u8, usize)>> {
    let gap = prop_oneof![Just(0u64), 0u64..3_000_000, 0u64..2_000_000_000];
    vec((gap, 0u8..12, 1usize..40), 0..150)
}

/// No window holds more than `times (rate · W + burst)` answers.
pub(super) fn assert_within(answers: &[(Instant, usize)], rate: u32, burst: u32, times: u128) {
    for (i, &(from, _)) in answers.iter().enumerate() {
        let mut sum = 0u128;
        for &(to, n) in &answers[i..] {
            sum += n as u128;
            let free = u128::from(burst) * 1_000_000_000;
            let most = times * (u128::from(rate) * (to - from).as_nanos() + free);
            assert!(sum * 1_000_000_000 <= most, "{sum} in {:?}", to - from);
        }
    }
}

proptest! {
    /// While there is a place for each source: in any window of W seconds, at most rate · W + burst of each, and not one
    /// less than the bucket that one would draw holds.
    #[test]
    fn each_source_has_its_limit(rate in 1u32..3_000, burst in 1u32..50, arrivals in arrivals()) {
        let config = Config { rate: Some(rate), burst, sources: 12, ..Config::default() };
        let mut server = server(config);
        let each = 1_000_000_000u128.div_ceil(u128::from(rate));
        let full = each * u128::from(burst);
        let mut levels = [(full, START); 12];
        let mut answers = vec![Vec::new(); 12];
        let mut now = START;
        for (gap, source, n) in arrivals {
            now = now + Duration::from_nanos(gap);
            let answered = ask(&mut server, now, host(u32::from(source)), n);
            let (level, since) = &mut levels[usize::from(source)];
            *level = full.min(*level + (now - *since).as_nanos());
            *since = now;
            prop_assert_eq!(answered as u128, (n as u128).min(*level / each));
            *level -= answered as u128 * each;
            answers[usize::from(source)].push((now, answered));
        }
        answers.iter().for_each(|answers| assert_within(answers, rate, burst, 1));
    }

    /// With more sources than places, a source has at most a place's limit and that which is shared.
    #[test]
    fn sources_without_a_place_share_one_limit(
        rate in 1u32..3_000, burst in 1u32..50, sources in 1u32..6, arrivals in arrivals(),
    ) {
        let config = Config { rate: Some(rate), burst, sources, ..Config::default() };
        let mut server = server(config);
        let mut answers = vec![Vec::new(); 12];
        let mut now = START;
        for (gap, source, n) in arrivals {
            now = now + Duration::from_nanos(gap);
            let answered = ask(&mut server, now, host(u32::from(source)), n);
            answers[usize::from(source)].push((now, answered));
        }
        answers.iter().for_each(|answers| assert_within(answers, rate, burst, 2));
    }

    /// However many sources a flood forges, at one instant it gets the bursts of a full table and the shared one.
    #[test]
    fn a_flood_gets_no_more_than_the_table_holds(key: [u64; 2], sources in 1u32..300, burst in 1u32..20) {
        let config = Config { burst, sources, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        let answered: usize = (0..2 * sources + 2).map(|n| ask(&mut server, START, host(n), 40)).sum();
        prop_assert_eq!(answered as u32, (sources + 1) * burst);
    }

    /// Once a flood has ended, its places are free when their buckets are full again, and honest sources find them.
    #[test]
    fn honest_sources_find_a_place_after_a_flood(key: [u64; 2], sources in 1u32..300, burst in 2u32..20) {
        let config = Config { rate: Some(1_000), burst, sources, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        for n in 0..3 * sources {
            ask(&mut server, START, host(n), 40);
        }
        let now = START + Duration::from_millis(u64::from(burst));
        let honest = sources.div_ceil(2);
        let answered: usize = (0..honest).map(|n| ask(&mut server, now, host(0x00ff_0000 + n), burst as usize)).sum();
        // A place is looked for in a few slots only. A few may find none there, and take from what is shared.
        prop_assert!(answered as u32 + 4 * burst >= honest * burst, "{} of {}", answered, honest * burst);
    }
}

proptest! {
    /// Whoever is short of a full burst keeps its place, however many places around it are given to others.
    #[test]
    fn only_full_buckets_are_forgotten(key: [u64; 2], pairs in 1u32..200) {
        let config = Config { rate: Some(1_000), burst: 10, sources: 2 * pairs, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        for n in 0..pairs {
            ask(&mut server, START, host(2 * n), 1);
            ask(&mut server, START, host(2 * n + 1), 10);
        }
        let now = START + Duration::from_millis(1);
        for n in 0..pairs {
            ask(&mut server, now, host(0x00ff_0000 + n), 10);
        }
        for n in 0..pairs {
            prop_assert_eq!(ask(&mut server, now, host(2 * n + 1), 10), 1, "what came back in 1 ms");
        }
    }
}

#[test]
fn a_share_is_never_rounded_to_be_too_short() {
    let mut server = server(Config { rate: Some(3), burst: 1, ..Config::default() });
    let at = |nanos| START + Duration::from_nanos(nanos);
    let answers = [0, 333_333_333, 333_333_334].map(|nanos| ask(&mut server, at(nanos), host(1), 1));
    assert_eq!(answers, [1, 0, 1]);
}

/// A flood that does not keep the table full is not noticed by anybody else: 400 000 forged sources per second against
/// a table for 1 000.
#[test]
fn a_flood_that_does_not_fill_the_table_hurts_nobody() {
    let config = Config { rate: Some(1_000), burst: 10, sources: 1_000, ..Config::default() };
    let mut server = server(config);
    for n in 0..100_000 {
        let now = START + Duration::from_nanos(2_500) * n;
        ask(&mut server, now, host(n), 1);
        if n % 1_000 == 999 {
            assert_eq!(ask(&mut server, now, host(0x00ff_0000 + n), 10), 10, "after {n}");
        }
    }
}
