//! What a runtime costs: when something is called a difference, and that every figure comes or says why not.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use resound_core::Rng;
use resound_lab::costs::statistics::{LEAST_PAIRS, judge, median, percentile, spread, thinned};
use resound_lab::costs::{Config, Configuration, Costs, Counting, Metric, Pair, Standing, Verdict, measure};

// Statistics.

/// About 1, between a half and three times as much, and now and then ten times: a machine with others on it.
fn noisy(rng: &mut Rng, true_value: f64) -> f64 {
    let uniform = rng.up_to(1_000_000) as f64 / 1e6;
    let tail = if rng.up_to(9) == 0 { 10.0 } else { 1.0 };
    true_value * (0.5 + 2.5 * uniform * uniform) * tail
}

fn noisy_pairs(rng: &mut Rng, rounds: usize, (a, b): (f64, f64)) -> Vec<Pair> {
    (0..rounds).map(|_| Pair { a: noisy(rng, a), b: noisy(rng, b) }).collect()
}

/// What a contest of two with these true values is judged to be.
fn judged(rng: &mut Rng, rounds: usize, (a, b): (f64, f64)) -> Verdict {
    let itself = [(a, a), (b, b)].map(|truth| noisy_pairs(rng, rounds, truth));
    let between = noisy_pairs(rng, rounds, (a, b));
    judge([&itself[0], &itself[1]], &between, 0.0).unwrap().verdict
}

#[test]
fn noise_alone_is_never_called_a_difference() {
    for rounds in [6, 8, 9] {
        for seed in 0..5_000 {
            let verdict = judged(&mut Rng::from_seed(seed), rounds, (20.0, 20.0));
            assert_eq!(verdict, Verdict::Same, "{rounds} rounds, seed {seed}");
        }
    }
}

#[test]
fn noise_is_called_a_difference_as_seldom_as_is_said() {
    // 2 / (C(12, 4) · 2^4) is one in 3 960: ten are expected.
    let seeds = 0..40_000;
    let wrong = seeds.filter(|&seed| judged(&mut Rng::from_seed(seed), 4, (20.0, 20.0)) != Verdict::Same);
    let wrong = wrong.count();
    assert!(wrong <= 25, "{wrong} of 40000");
}

/// Of a machine so quiet that nothing differs from itself by more than this factor.
fn exact(spread: f64) -> Vec<Pair> {
    vec![Pair { a: spread, b: 1.0 }; LEAST_PAIRS]
}

#[test]
fn less_than_four_pairs_prove_nothing() {
    let of = |rounds| vec![Pair { a: 9.0, b: 1.0 }; rounds];
    let (enough, few) = (exact(1.0), exact(1.0)[1..].to_vec());
    let verdict = |itself: [&[Pair]; 2], rounds| judge(itself, &of(rounds), 0.0).unwrap().verdict;
    assert_eq!(verdict([&enough, &enough], LEAST_PAIRS), Verdict::More);
    assert_eq!(verdict([&enough, &enough], LEAST_PAIRS - 1), Verdict::TooFew);
    assert_eq!(verdict([&few, &enough], LEAST_PAIRS), Verdict::TooFew);
    assert_eq!(verdict([&enough, &few], LEAST_PAIRS), Verdict::TooFew);
    assert_eq!(judge([&enough, &[]], &of(LEAST_PAIRS), 0.0), None);
}

#[test]
fn twice_as_much_is_found_whichever_side_it_is_on() {
    for seed in 0..1_000 {
        let mut rng = Rng::from_seed(seed);
        let mut near = |value: f64| value * (0.9 + rng.up_to(200) as f64 / 1_000.0);
        let mut pairs = |a: f64, b: f64| (0..4).map(|_| Pair { a: near(a), b: near(b) }).collect::<Vec<_>>();
        let (ten, twenty) = (pairs(10.0, 10.0), pairs(20.0, 20.0));
        let judgement = judge([&twenty, &ten], &pairs(20.0, 10.0), 0.0).unwrap();
        assert_eq!(judgement.verdict, Verdict::More, "seed {seed}");
        assert!((1.6..2.5).contains(&judgement.ratio), "seed {seed}: {judgement:?}");
        let judgement = judge([&ten, &twenty], &pairs(10.0, 20.0), 0.0).unwrap();
        assert_eq!(judgement.verdict, Verdict::Less, "seed {seed}");
    }
}

#[test]
fn one_pair_inside_the_spread_is_enough_for_the_same() {
    let itself = exact(1.5);
    let mut pairs = vec![Pair { a: 3.0, b: 1.0 }; 5];
    let verdict = |pairs: &[Pair]| judge([&itself, &itself], pairs, 0.0).unwrap().verdict;
    assert_eq!(verdict(&pairs), Verdict::More);
    pairs[2] = Pair { a: 1.4, b: 1.0 };
    assert_eq!(verdict(&pairs), Verdict::Same);
    // And so is one on the other side of it.
    pairs[2] = Pair { a: 1.0, b: 3.0 };
    assert_eq!(verdict(&pairs), Verdict::Same);
}

#[test]
fn of_eight_pairs_one_may_stray_and_no_more() {
    let itself = exact(1.5);
    let mut pairs = vec![Pair { a: 1.0, b: 3.0 }; 8];
    let verdict = |pairs: &[Pair]| judge([&itself, &itself], pairs, 0.0).unwrap().verdict;
    pairs[5] = Pair { a: 9.0, b: 1.0 };
    assert_eq!(verdict(&pairs), Verdict::Less);
    assert_eq!(verdict(&pairs[1..]), Verdict::Same);
    pairs[6] = Pair { a: 1.0, b: 1.0 };
    assert_eq!(verdict(&pairs), Verdict::Same);
}

#[test]
fn a_hundredth_is_no_difference_however_exact() {
    let judgement = judge([&exact(1.0), &exact(1.0)], &[Pair { a: 1.01, b: 1.0 }; 9], 0.0).unwrap();
    assert_eq!((judgement.spread, judgement.verdict), (1.0, Verdict::Same));
}

#[test]
fn a_spread_is_the_farthest_from_one_on_either_side() {
    let itself = [Pair { a: 1.0, b: 1.1 }, Pair { a: 1.0, b: 4.0 }, Pair { a: 3.0, b: 1.0 }];
    assert_eq!(spread(&itself, 0.0), Some(4.0));
    assert_eq!(spread(&[], 0.0), None);
}

#[test]
fn nothing_beside_something_is_a_number() {
    let pair = Pair { a: 3.0, b: 0.0 };
    assert_eq!(pair.ratio(0.5), 7.0);
    assert_eq!(spread(&[Pair { a: 0.0, b: 0.0 }], 0.5), Some(1.0));
}

#[test]
fn medians_and_percentiles_of_known_numbers() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[]), None);
    let hundred: Vec<u64> = (1..=100).collect();
    assert_eq!(percentile(&hundred, 50), Some(50));
    assert_eq!(percentile(&hundred, 99), Some(99));
    assert_eq!(percentile(&[5], 99), Some(5));
    assert_eq!(percentile(&[], 50), None);
    assert_eq!(thinned(&hundred, 3), [1, 50, 100]);
    assert_eq!(thinned(&hundred, 100), hundred);
    assert_eq!(thinned(&hundred, 1), [1]);
}

// Real measurements. Nothing is said about times: the machine may be busy with other things.

fn worker() -> Command {
    Command::new(env!("CARGO_BIN_EXE_resound-lab-costs"))
}

fn tiny() -> Config {
    Config {
        rounds: 1,
        single: 20,
        many: 640,
        counted: 20,
        connections: 10,
        resets: 2,
        silence: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        ..Config::quick(3)
    }
}

fn is_sound(costs: &Costs) {
    let cells = costs.config.configurations.len() * Metric::ALL.len();
    assert_eq!(costs.rows().count(), cells);
    for row in costs.rows() {
        assert_eq!(row.median.is_none(), row.missing.is_some(), "{row:?}");
        assert!(row.times.is_sorted(), "{row:?}");
    }
    for line in costs.to_string().lines() {
        assert!(line.chars().count() < 100, "too wide: {line}");
    }
}

#[test]
fn every_configuration_has_every_figure_or_a_reason() {
    let mut said = BTreeSet::new();
    let costs = measure(&tiny(), &worker, &mut |what| {
        said.insert(what.to_string());
    })
    .unwrap();
    println!("{costs}");
    is_sound(&costs);
    assert_eq!(costs.failures, [""; 0]);
    for row in costs.rows() {
        let is_count_of_calls = row.metric.as_str().contains("calls");
        let may_be_missing = is_count_of_calls && !matches!(costs.counting, Counting::Tracepoint(_));
        assert!(row.missing.is_none() || may_be_missing, "{row:?}");
    }
    // One round proves nothing.
    assert!(costs.comparisons.iter().all(|comparison| comparison.verdict == Verdict::TooFew));
    assert!(costs.rows().all(|row| row.standing == Standing::Alike));
    assert_eq!(costs.comparisons.len(), Metric::ALL.len() * 10);
    assert_eq!(said.len(), 3);
}

/// A thread for each connection against none: no noise can hide it, and no machine undo it.
#[test]
fn what_differs_by_design_is_found() {
    let config =
        Config { configurations: vec![Configuration::Std, Configuration::Tokio], rounds: 4, ..tiny() };
    let costs = measure(&config, &worker, &mut |_| {}).unwrap();
    is_sound(&costs);
    let threads = costs.comparisons.iter().find(|c| c.metric == Metric::ServerThreadsMany).unwrap();
    assert_eq!(
        (threads.a, threads.b, threads.verdict),
        (Configuration::Std, Configuration::Tokio, Verdict::More)
    );
    assert_eq!(costs.row(Metric::ServerThreadsMany, Configuration::Tokio).unwrap().standing, Standing::Least);
    assert_eq!(costs.row(Metric::ServerThreadsMany, Configuration::Std).unwrap().standing, Standing::More);
    // At least one call to read and one to write; a client waits for each echo, or finds it there.
    let calls = costs.row(Metric::ClientCallsSingle, Configuration::Std).unwrap();
    assert!(calls.median.is_none_or(|calls| (2.0..10.0).contains(&calls)), "{calls:?}");
}

#[test]
fn a_worker_that_cannot_be_started_is_told_by_name() {
    let error = measure(&tiny(), &|| Command::new("/nowhere/worker"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("/nowhere/worker"), "{error}");
}

#[test]
fn a_worker_that_is_none_is_told() {
    let error = measure(&tiny(), &|| Command::new("true"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    for config in [Config { rounds: 0, ..tiny() }, Config { configurations: Vec::new(), ..tiny() }] {
        let error = measure(&config, &worker, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_worker_says_what_it_does_not_understand() {
    let output = worker().arg("juggler").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "failed: no worker does this: juggler\n");
    assert!(!output.status.success());
}
