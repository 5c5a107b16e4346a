//! The invariants of backoff, by their names in the rules of the link.

use core::time::Duration;

use proptest::prelude::*;
use resound_core::backoff::{Backoff, Config, Policy, Proof};
use resound_core::{BadConfig, Rng};

const DAY: u64 = 24 * 3600 * 1_000_000_000;

/// Every configuration that is accepted, the bounds included.
fn accepted() -> impl Strategy<Value = Config> {
    let millis = 1_000_000;
    let span = |low: u64| prop_oneof![Just(low), Just(30 * DAY), low..=30 * DAY, low..=60 * 1_000 * millis];
    (
        span(millis),
        prop_oneof![Just(millis), Just(15 * DAY), millis..=15 * DAY],
        span(0),
        span(0),
        0u64..=1_000,
    )
        .prop_map(move |(first_window, floor, stable, hint_cap, room)| {
            let room = (30 * DAY - 2 * floor) / 1_000 * room;
            Config {
                first_window: Duration::from_nanos(first_window),
                floor: Duration::from_nanos(floor),
                cap: Duration::from_nanos(2 * floor + room),
                stable: Duration::from_nanos(stable),
                hint_cap: Duration::from_nanos(hint_cap),
            }
        })
}

fn proof() -> impl Strategy<Value = Proof> {
    prop_oneof![Just(Proof::None), Just(Proof::Answered)]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..=60 * DAY).prop_map(Duration::from_nanos),
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

#[derive(Clone, Debug)]
enum Told {
    Failed,
    Lost(Duration, Proof),
    Hinted(Duration),
    Nudged,
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        4 => Just(Told::Failed),
        3 => (any_duration(), proof()).prop_map(|(uptime, proof)| Told::Lost(uptime, proof)),
        1 => any_duration().prop_map(Told::Hinted),
        1 => Just(Told::Nudged),
    ]
}

fn policy(config: Config) -> Policy {
    config.check().expect("an accepted configuration")
}

/// A backoff that has failed `level` times.
fn at_level(policy: &Policy, level: u32) -> Backoff {
    let mut backoff = Backoff::new();
    for _ in 0..level {
        backoff.failed(policy, &mut Rng::from_seed(0));
    }
    backoff
}

proptest! {
    #[test]
    fn b1_every_delay_is_between_floor_and_cap(
        config in accepted(), seed: u64, script in prop::collection::vec(told(), 1..80),
    ) {
        let policy = policy(config);
        let (mut rng, mut backoff) = (Rng::from_seed(seed), Backoff::new());
        for told in script {
            let before = backoff.level();
            match told {
                Told::Failed => {
                    let delay = backoff.failed(&policy, &mut rng);
                    prop_assert!(config.floor <= delay && delay <= config.cap);
                    prop_assert_eq!(backoff.level(), before + 1);
                }
                Told::Lost(uptime, proof) => {
                    let delay = backoff.lost(&policy, &mut rng, uptime, proof);
                    if backoff.level() == 0 {
                        prop_assert!(delay <= config.first_window);
                    } else {
                        prop_assert!(config.floor <= delay && delay <= config.cap);
                    }
                }
                Told::Hinted(after) => {
                    let delay = backoff.hinted(&policy, &mut rng, after);
                    let hint = after.min(config.hint_cap);
                    let least = hint.max(config.floor);
                    prop_assert!(least <= delay && delay <= least + hint / 8);
                    prop_assert_eq!(backoff.level(), before);
                }
                Told::Nudged => {
                    prop_assert!(backoff.nudged(&policy, &mut rng) <= config.floor);
                    prop_assert_eq!(backoff.level(), before);
                }
            }
        }
    }

    /// No answer, no reset; no long life, no reset; both, and it is reset.
    #[test]
    fn b5_the_level_falls_to_zero_iff_stable_and_answered(
        config in accepted(), seed: u64, level in 0u32..70, uptime in any_duration(), near in -1i64..=1, proof in proof(),
    ) {
        let policy = policy(config);
        let mut rng = Rng::from_seed(seed);
        let mut backoff = Backoff::new();
        let mut last = Duration::ZERO;
        for _ in 0..level {
            last = backoff.failed(&policy, &mut rng);
        }
        let needed = config.stable.max(last);
        let edge = Duration::from_nanos((needed.as_nanos() as u64).saturating_add_signed(near));
        for uptime in [uptime, edge] {
            let mut backoff = backoff.clone();
            backoff.lost(&policy, &mut rng, uptime, proof);
            let reset = uptime >= needed && proof == Proof::Answered;
            prop_assert_eq!(backoff.level(), if reset { 0 } else { level + 1 });
        }
    }

    /// The k-th start against a server that accepts and closes is never earlier than against one that refuses.
    #[test]
    fn b4_accept_then_close_is_no_better_off_than_refused(
        config in accepted(), seed: u64, lives in prop::collection::vec((any_duration(), proof()), 1..60),
    ) {
        let config = Config { stable: config.stable.max(Duration::from_nanos(1)), ..config };
        let policy = policy(config);
        let (mut refused, mut closed) = (Backoff::new(), Backoff::new());
        let (mut rng_refused, mut rng_closed) = (Rng::from_seed(seed), Rng::from_seed(seed));
        let (mut start_refused, mut start_closed) = (Duration::ZERO, Duration::ZERO);
        for (uptime, proof) in lives {
            // Closed before it is stable, or without an answer.
            let uptime = match proof {
                Proof::None => uptime.min(config.cap * 2),
                Proof::Answered => uptime.min(config.stable - Duration::from_nanos(1)),
            };
            start_refused += refused.failed(&policy, &mut rng_refused);
            start_closed += uptime + closed.lost(&policy, &mut rng_closed, uptime, proof);
            prop_assert!(start_closed >= start_refused);
        }
    }

    /// One field of a good configuration is replaced by anything; whatever is still accepted then works.
    #[test]
    fn b3_a_configuration_is_refused_or_works_for_every_input(
        good in accepted(), field in 0usize..5, value in any_duration(), seed: u64,
        script in prop::collection::vec(told(), 0..80),
    ) {
        let mut config = good;
        let fields = [
            &mut config.first_window, &mut config.floor, &mut config.cap, &mut config.stable, &mut config.hint_cap,
        ];
        *fields.into_iter().nth(field).expect("five fields") = value;
        let (least, most) = (Duration::from_millis(1), Duration::from_nanos(30 * DAY));
        let fits = least <= config.first_window && config.first_window <= most
            && least <= config.floor && config.floor.saturating_mul(2) <= config.cap && config.cap <= most
            && config.stable <= most && config.hint_cap <= most;
        let checked = config.check();
        prop_assert_eq!(checked.is_ok(), fits);
        if let Ok(policy) = checked {
            let (mut rng, mut backoff) = (Rng::from_seed(seed), Backoff::new());
            for told in script {
                let _ = match told {
                    Told::Failed => backoff.failed(&policy, &mut rng),
                    Told::Lost(uptime, proof) => backoff.lost(&policy, &mut rng, uptime, proof),
                    Told::Hinted(after) => backoff.hinted(&policy, &mut rng, after),
                    Told::Nudged => backoff.nudged(&policy, &mut rng),
                };
            }
        }
    }
}

#[test]
fn b3_each_bad_field_is_named() {
    let good = Config::default();
    let zero = Duration::ZERO;
    let cases = [
        (Config { first_window: zero, ..good }, "backoff.first_window"),
        (Config { floor: zero, ..good }, "backoff.floor"),
        (Config { cap: good.floor, ..good }, "backoff.cap"),
        (Config { cap: Duration::MAX, ..good }, "backoff.cap"),
        (Config { stable: Duration::MAX, ..good }, "backoff.stable"),
        (Config { hint_cap: Duration::MAX, ..good }, "backoff.hint_cap"),
    ];
    for (config, field) in cases {
        let BadConfig { field: named, .. } = config.check().expect_err("a bad configuration");
        assert_eq!(named, field);
    }
    assert!(Config::fleet().check().is_ok());
}

/// The Kolmogorov-Smirnov distance of `delays` from the uniform distribution on `[low, high]`, times the square root
/// of how many there are.
fn distance(mut delays: Vec<Duration>, low: Duration, high: Duration) -> f64 {
    delays.sort_unstable();
    let n = delays.len() as f64;
    let span = (high - low).as_secs_f64();
    let farthest = delays.iter().enumerate().fold(0f64, |far, (i, &d)| {
        assert!(low <= d && d <= high);
        let expected = (d - low).as_secs_f64() / span;
        far.max((expected - i as f64 / n).abs()).max((expected - (i + 1) as f64 / n).abs())
    });
    farthest * n.sqrt()
}

/// Above this a uniform sample is found once in 7 million (2·exp(−2·x²)). The seeds are fixed: it cannot flake.
const KS_BOUND: f64 = 2.9;
const CLIENTS: u64 = 10_000;

#[test]
fn b2_every_delay_is_uniform_on_its_window() {
    let config = Config::default();
    let tenth = Duration::from_millis(100);
    let long = Config { first_window: tenth, floor: tenth, cap: Duration::from_secs(24 * 3600), ..config };
    for config in [config, Config::fleet(), long] {
        let policy = policy(config);
        for level in [1u32, 2, 3, 4, 5, 6, 12, 20, 21, 31, 33, 64, 65, 1_000] {
            let before = at_level(&policy, level - 1);
            let delay = |seed| before.clone().failed(&policy, &mut Rng::from_seed(seed));
            let doubled = config.first_window.saturating_mul(1 << (level - 1).min(31));
            let high = config.cap.min(config.floor + doubled);
            let far = distance((0..CLIENTS).map(delay).collect(), config.floor, high);
            assert!(far < KS_BOUND, "level {level} of {config:?}: {far}");
        }
    }

    let policy = policy(config);
    let fresh = Backoff::new();
    let each =
        |delay: &dyn Fn(&mut Rng) -> Duration| (0..CLIENTS).map(|s| delay(&mut Rng::from_seed(s))).collect();
    let uptime = Duration::from_secs(60);
    let first = each(&|rng| fresh.clone().lost(&policy, rng, uptime, Proof::Answered));
    assert!(distance(first, Duration::ZERO, config.first_window) < KS_BOUND);
    let nudged = each(&|rng| fresh.nudged(&policy, rng));
    assert!(distance(nudged, Duration::ZERO, config.floor) < KS_BOUND);
    let hint = Duration::from_secs(80);
    let hinted = each(&|rng| fresh.hinted(&policy, rng, hint));
    assert!(distance(hinted, hint, hint + hint / 8) < KS_BOUND);
}

#[test]
fn b2_no_two_clients_share_a_delay_at_saturation() {
    let policy = policy(Config::default());
    let saturated = at_level(&policy, 1_000);
    let mut delays: Vec<_> =
        (0..CLIENTS).map(|seed| saturated.clone().failed(&policy, &mut Rng::from_seed(seed))).collect();
    delays.sort_unstable();
    delays.dedup();
    // Among 10 000 draws from 3·10¹⁰ values, 0.002 pairs are expected.
    assert_eq!(delays.len() as u64, CLIENTS);
}

#[test]
fn s1_the_first_wave_after_a_loss_has_no_peak() {
    let config = Config::default();
    let policy = policy(config);
    let bucket = Duration::from_millis(100);
    let buckets = config.first_window.div_duration_f64(bucket).ceil() as usize;
    for fleet in 0..20u64 {
        let mut starts = vec![0u32; buckets + 1];
        for client in 0..CLIENTS {
            let mut rng = Rng::from_seed(fleet * CLIENTS + client);
            let delay = Backoff::new().lost(&policy, &mut rng, Duration::from_secs(3600), Proof::Answered);
            starts[(delay.as_nanos() / bucket.as_nanos()) as usize] += 1;
        }
        let expected = CLIENTS as f64 / buckets as f64;
        let bound = expected + 6.0 * expected.sqrt();
        let peak = starts.iter().copied().max().unwrap_or(0);
        assert!(f64::from(peak) <= bound, "fleet {fleet}: {peak} starts in {bucket:?}, bound {bound}");
    }
}
