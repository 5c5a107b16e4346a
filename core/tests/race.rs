//! The invariants of the race, by their names in the rules of the link. A small simulation drives [`Race`] through
//! generated outcomes, with a driver that may call late and too often.

extern crate alloc;

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::race::{Config, MAX_TARGETS, Policy, Race, Start, interleave};

const MS: u64 = 1_000_000;
const LEAST_GAP: u64 = 10 * MS;

#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// After this many nanoseconds.
    Wins(u64),
    /// After this many nanoseconds.
    Fails(u64),
    /// Never.
    Silent,
}

fn latency() -> impl Strategy<Value = u64> {
    // Whole steps of 5 ms meet the timers of the race exactly.
    prop_oneof![Just(0), 0..3_000 * MS, (0u64..600).prop_map(|n| n * 5 * MS), 0..30_000 * MS]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![1 => latency().prop_map(Outcome::Wins), 5 => latency().prop_map(Outcome::Fails), 2 => Just(Outcome::Silent)]
}

fn losing() -> impl Strategy<Value = Outcome> {
    prop_oneof![3 => latency().prop_map(Outcome::Fails), 1 => Just(Outcome::Silent)]
}

fn config() -> impl Strategy<Value = Config> {
    let delay = prop_oneof![Just(10 * MS), Just(250 * MS), Just(2_000 * MS), 10 * MS..=2_000 * MS];
    let round = prop_oneof![Just(MS), Just(20_000 * MS), MS..=60_000 * MS];
    (delay, round).prop_map(|(delay, round)| Config {
        attempt_delay: Duration::from_nanos(delay),
        round: Duration::from_nanos(round),
    })
}

fn policy(config: Config) -> Policy {
    config.check().expect("an accepted configuration")
}

/// What happened in one round; times are in nanoseconds since its beginning.
#[derive(Debug, Default)]
struct Log {
    starts: Vec<(u64, Start)>,
    failures: Vec<u64>,
    won: Option<(u64, u8)>,
    cancelled: Vec<u8>,
    /// When the round ended, however it did.
    ended: u64,
    /// By how much the driver was late, in all.
    late: u64,
}

/// Runs one round. Wake-ups are late by `lateness`, in turn, and prompt when it is used up.
fn run(race: &mut Race, policy: &Policy, begin: Instant, outcomes: &[Outcome], lateness: &[u64]) -> Log {
    let mut log = Log::default();
    let mut lateness = lateness.iter().copied();
    let mut due: Vec<(u64, u8, Outcome)> = Vec::new();
    let at = |t: u64| begin + Duration::from_nanos(t);
    let mut now = 0;
    race.begin(policy, begin, outcomes.len() as u8);
    loop {
        if race.is_overdue(at(now)) || race.is_lost() {
            log.cancelled = race.end().collect();
            break;
        }
        while let Some(start) = race.next(policy, at(now)) {
            log.starts.push((now, start));
            let outcome = outcomes[usize::from(start.target)];
            if let Outcome::Wins(after) | Outcome::Fails(after) = outcome {
                due.push((now + after, start.attempt, outcome));
            }
        }
        let deadline = race.deadline().expect("a round is running").since(begin).as_nanos() as u64;
        assert!(deadline > now, "a deadline that is due, and nothing to do: a busy loop");
        // Asking before the deadline changes nothing.
        let before = format!("{race:?}");
        assert_eq!(race.next(policy, at(now + (deadline - now) / 2)), None);
        assert_eq!(format!("{race:?}"), before);

        let wake = deadline + lateness.next().unwrap_or(0);
        due.sort_by_key(|&(t, attempt, _)| (t, attempt));
        match due.first().copied() {
            Some((t, attempt, outcome)) if t <= wake => {
                due.remove(0);
                now = t.max(now);
                log.late += now.saturating_sub(deadline);
                if let Outcome::Wins(_) = outcome {
                    // A win that is told after the deadline still is one.
                    log.cancelled = race.won(attempt).expect("pending").collect();
                    log.won = Some((now, attempt));
                    break;
                }
                assert!(race.failed(policy, at(now), attempt));
                assert!(!race.failed(policy, at(now), attempt), "once only");
                log.failures.push(now);
            }
            _ => {
                log.late += wake - deadline;
                now = wake;
            }
        }
    }
    log.ended = now;
    log
}

fn lateness() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![Just(0), 0..400 * MS, 0..5_000 * MS], 0..40)
}

proptest! {
    #[test]
    fn h1_starts_keep_the_attempt_delay_or_follow_a_failure(
        config in config(), outcomes in prop::collection::vec(outcome(), 0..=MAX_TARGETS), late in lateness(),
    ) {
        let log = run(&mut Race::new(), &policy(config), Instant::EPOCH, &outcomes, &late);
        let delay = config.attempt_delay.as_nanos() as u64;
        let mut early = 0;
        for pair in log.starts.windows(2) {
            let gap = pair[1].0 - pair[0].0;
            prop_assert!(gap >= LEAST_GAP);
            if gap < delay {
                early += 1;
                let failures = log.failures.iter().filter(|&&t| t <= pair[1].0).count();
                prop_assert!(early <= failures, "{early} early starts after {failures} failures");
            }
        }
    }

    /// With a prompt driver the starts follow from the failures alone: each one brings one start forward.
    #[test]
    fn h2_every_failure_advances(
        config in config(), outcomes in prop::collection::vec(losing(), 0..=MAX_TARGETS),
    ) {
        let log = run(&mut Race::new(), &policy(config), Instant::EPOCH, &outcomes, &[]);
        let delay = config.attempt_delay.as_nanos() as u64;
        let mut failures = log.failures.iter().copied().peekable();
        let mut expected = if outcomes.is_empty() { vec![] } else { vec![0] };
        while let Some(&last) = expected.last() {
            let by_failure = failures.next_if(|&t| t < last + delay);
            let next = by_failure.unwrap_or(last + delay).max(last + LEAST_GAP);
            if expected.len() == outcomes.len() || next >= config.round.as_nanos() as u64 {
                break;
            }
            expected.push(next);
        }
        prop_assert_eq!(log.starts.iter().map(|s| s.0).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn h3_nothing_is_cancelled_before_success_or_the_deadline(
        config in config(), outcomes in prop::collection::vec(outcome(), 0..=MAX_TARGETS), late in lateness(),
    ) {
        let mut race = Race::new();
        let log = run(&mut race, &policy(config), Instant::EPOCH, &outcomes, &late);
        let overdue = log.ended >= config.round.as_nanos() as u64;
        let all_failed = log.failures.len() == outcomes.len();
        prop_assert!(log.won.is_some() || overdue || all_failed, "ended for no reason");
        // What is cancelled is all that neither failed nor won.
        prop_assert_eq!(log.cancelled.len() + log.failures.len() + usize::from(log.won.is_some()), log.starts.len());
        prop_assert!(!race.is_running());
        prop_assert_eq!(race.deadline(), None);
    }

    #[test]
    fn h4_one_winner_and_every_other_cancelled_once(
        config in config(), outcomes in prop::collection::vec(outcome(), 0..=MAX_TARGETS), late in lateness(),
    ) {
        let policy = policy(config);
        let mut race = Race::new();
        let log = run(&mut race, &policy, Instant::EPOCH, &outcomes, &late);
        let cancelled: BTreeSet<u8> = log.cancelled.iter().copied().collect();
        prop_assert_eq!(cancelled.len(), log.cancelled.len());
        if let Some((_, winner)) = log.won {
            prop_assert!(!cancelled.contains(&winner));
        }
        // Numbers are given in order, each address is tried once.
        prop_assert!(log.starts.iter().map(|s| s.1.attempt).eq(0..log.starts.len() as u8));
        let targets: BTreeSet<u8> = log.starts.iter().map(|s| s.1.target).collect();
        prop_assert_eq!(targets.len(), log.starts.len());
        // The round is over: every number is stale.
        for attempt in 0..=u8::MAX {
            prop_assert_eq!(race.won(attempt), None);
            prop_assert!(!race.failed(&policy, Instant::MAX, attempt));
            prop_assert_eq!(race.target(attempt), None);
        }
        prop_assert_eq!(race.end().len(), 0);
    }

    #[test]
    fn h5_connect_time_is_bounded_by_every_attempt_that_would_win(
        config in config(), outcomes in prop::collection::vec(outcome(), 1..=MAX_TARGETS), late in lateness(),
    ) {
        let log = run(&mut Race::new(), &policy(config), Instant::EPOCH, &outcomes, &late);
        let delay = config.attempt_delay.as_nanos() as u64;
        let best = outcomes.iter().zip(0u64..).filter_map(|(outcome, k)| match outcome {
            Outcome::Wins(after) => Some((k * delay, k * delay + after)),
            _ => None,
        });
        for (starts, wins) in best {
            let round = config.round.as_nanos() as u64;
            if starts + log.late < round && wins + log.late < round {
                let (won, _) = log.won.expect("an attempt would have won in time");
                prop_assert!(won <= wins + log.late);
            }
        }
    }

    /// Addresses that led nowhere come last, in the given order otherwise, round after round.
    #[test]
    fn addresses_that_failed_come_last(
        config in config(), late in lateness(),
        rounds in prop::collection::vec(prop::collection::vec(outcome(), 0..=MAX_TARGETS), 1..6),
    ) {
        let policy = policy(config);
        let mut race = Race::new();
        let mut failed = BTreeSet::new();
        let mut begin = Instant::EPOCH;
        for outcomes in rounds {
            let mut order: Vec<u8> = (0..outcomes.len() as u8).collect();
            order.sort_by_key(|target| failed.contains(target));
            let log = run(&mut race, &policy, begin, &outcomes, &late);
            prop_assert!(log.starts.iter().map(|s| s.1.target).eq(order.iter().copied().take(log.starts.len())));

            let winner = log.won.map(|(_, attempt)| attempt);
            for (_, start) in &log.starts {
                let unanswered = log.cancelled.contains(&start.attempt);
                if Some(start.attempt) == winner {
                    failed.remove(&start.target);
                } else if !unanswered || winner.is_none() {
                    failed.insert(start.target);
                }
            }
            begin = begin + Duration::from_nanos(log.ended);
        }
    }

    /// A machine shifted in time does the same.
    #[test]
    fn p3_a_shift_in_time_changes_nothing_else(
        config in config(), outcomes in prop::collection::vec(outcome(), 0..=MAX_TARGETS), late in lateness(),
        shift in 0..u64::MAX / 2,
    ) {
        let policy = policy(config);
        let here = run(&mut Race::new(), &policy, Instant::EPOCH, &outcomes, &late);
        let there = run(&mut Race::new(), &policy, Instant::from_nanos(shift), &outcomes, &late);
        prop_assert_eq!(format!("{here:?}"), format!("{there:?}"));
    }

    /// Any calls at any times, in any order.
    #[test]
    fn no_sequence_of_calls_breaks_it(
        config in config(),
        calls in prop::collection::vec(
            (0u8..8, prop_oneof![0u8..40, any::<u8>()], prop_oneof![any::<u64>(), 0..3_000 * MS, Just(u64::MAX)]),
            0..200,
        ),
    ) {
        let policy = policy(config);
        let mut race = Race::new();
        for (call, number, time) in calls {
            let now = Instant::from_nanos(time);
            match call {
                0 => race.begin(&policy, now, number),
                1..=3 => {
                    let before = race.clone();
                    let mut starts = 0;
                    while let Some(start) = race.next(&policy, now) {
                        starts += 1;
                        prop_assert!(usize::from(start.target) < MAX_TARGETS && starts <= MAX_TARGETS);
                        prop_assert_eq!(before.target(start.attempt), None);
                        prop_assert_eq!(race.target(start.attempt), Some(start.target));
                    }
                    prop_assert!(starts == 0 || !race.is_overdue(now), "a start at or after the deadline");
                }
                4..=5 => {
                    let failed = race.failed(&policy, now, number);
                    prop_assert!(!failed || race.won(number).is_none());
                }
                6 => {
                    if let Some(mut others) = race.won(number) {
                        prop_assert!(others.all(|other| other != number));
                        prop_assert!(!race.is_running());
                    }
                }
                _ => {
                    if number % 2 == 0 { race.end() } else { race.cancel() }.for_each(drop);
                    prop_assert!(!race.is_running() && !race.is_lost() && !race.is_overdue(now));
                }
            }
            prop_assert_eq!(race.deadline().is_some(), race.is_running());
        }
    }

    #[test]
    fn interleaved_families_take_turns_and_keep_their_order(families in prop::collection::vec(0u8..3, 0..40)) {
        // The port tells the addresses apart.
        let given: Vec<SocketAddr> = families.iter().zip(1u16..).map(|(family, port)| match family {
            0 => SocketAddr::from(([192, 0, 2, 1], port)),
            1 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port)),
            _ => SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], port)),
        }).collect();
        let is_v4 = |addr: &SocketAddr| addr.ip().to_canonical().is_ipv4();
        let (v4, v6): (Vec<SocketAddr>, Vec<SocketAddr>) = given.iter().partition(|addr| is_v4(addr));
        let first_is_v4 = given.first().is_some_and(is_v4);
        let (ours, theirs) = if first_is_v4 { (&v4, &v6) } else { (&v6, &v4) };
        let mut expected = Vec::new();
        for i in 0..given.len() {
            expected.extend(ours.get(i));
            expected.extend(theirs.get(i));
        }
        let mut interleaved = given;
        interleave(&mut interleaved);
        prop_assert_eq!(interleaved, expected);
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * MS)
}

#[test]
fn h2_a_failure_of_an_older_attempt_advances_too() {
    let policy = policy(Config::default());
    let mut race = Race::new();
    race.begin(&policy, at(0), 8);
    let started = |race: &mut Race, ms| race.next(&policy, at(ms)).map(|start| start.attempt);
    assert_eq!([started(&mut race, 0), started(&mut race, 0)], [Some(0), None]);
    assert_eq!(started(&mut race, 250), Some(1));
    assert!(race.failed(&policy, at(300), 0));
    assert_eq!(started(&mut race, 300), Some(2));
    // Two at once: one start now, one 10 ms later, and then the attempt delay again.
    assert!(race.failed(&policy, at(400), 1) && race.failed(&policy, at(400), 2));
    assert_eq!(
        [started(&mut race, 400), started(&mut race, 409), started(&mut race, 410)],
        [Some(3), None, Some(4)]
    );
    assert_eq!(race.deadline(), Some(at(660)));
}

#[test]
fn h3_a_round_ends_at_its_deadline_and_not_before() {
    let policy = policy(Config::default());
    let mut race = Race::new();
    race.begin(&policy, at(0), 1);
    assert!(race.next(&policy, at(0)).is_some());
    assert_eq!(race.deadline(), Some(at(20_000)));
    assert!(!race.is_overdue(at(19_999)) && race.is_overdue(at(20_000)));
    assert!(race.end().eq([0]));
}

#[test]
fn beginning_while_a_round_runs_loses_no_attempt() {
    let policy = policy(Config::default());
    let mut race = Race::new();
    race.begin(&policy, at(0), 2);
    assert!(race.next(&policy, at(0)).is_some());
    race.begin(&policy, at(5), 2);
    assert!(race.end().eq([0]));
}

#[test]
fn a_round_over_no_addresses_is_lost_at_once() {
    let policy = policy(Config::default());
    let mut race = Race::new();
    assert!(!race.is_lost());
    race.begin(&policy, at(0), 0);
    assert!(race.is_lost() && race.next(&policy, at(0)).is_none());
}

/// Black holes at the head of the list do not keep the rest from being tried.
#[test]
fn every_address_gets_its_turn() {
    let config = Config { attempt_delay: Duration::from_secs(2), ..Config::default() };
    let policy = policy(config);
    let mut race = Race::new();
    let mut tried = BTreeSet::new();
    for round in 0..4 {
        let log = run(&mut race, &policy, at(round * 100_000), &[Outcome::Silent; MAX_TARGETS], &[]);
        tried.extend(log.starts.iter().map(|s| s.1.target));
    }
    assert_eq!(tried.len(), MAX_TARGETS);
}

#[test]
fn only_a_round_that_ends_by_itself_blames_what_is_pending() {
    let policy = policy(Config::default());
    for (end, next) in [(Race::end as fn(&mut Race) -> _, 1), (Race::cancel, 0)] {
        let mut race = Race::new();
        race.begin(&policy, at(0), 2);
        assert!(race.next(&policy, at(0)).is_some());
        assert!(end(&mut race).eq([0]));
        assert!(!race.is_running() && end(&mut race).len() == 0);
        race.begin(&policy, at(100_000), 2);
        assert_eq!(race.next(&policy, at(100_000)), Some(Start { attempt: 0, target: next }));
    }
}

#[test]
fn after_forgetting_the_given_order_is_back() {
    let policy = policy(Config::default());
    let mut race = Race::new();
    run(&mut race, &policy, at(0), &[Outcome::Fails(0), Outcome::Wins(0)], &[]);
    let mut without = race.clone();
    without.forget();
    for (mut race, first) in [(race, 1), (without, 0)] {
        race.begin(&policy, at(100_000), 2);
        assert_eq!(race.next(&policy, at(100_000)), Some(Start { attempt: 0, target: first }));
    }
}

#[test]
fn a_bad_field_is_named() {
    let good = Config::default();
    let delay = |ms| Config { attempt_delay: Duration::from_millis(ms), ..good };
    let round = |ms| Config { round: Duration::from_millis(ms), ..good };
    let cases = [
        (delay(9), "race.attempt_delay"),
        (delay(2_001), "race.attempt_delay"),
        (round(0), "race.round"),
        (round(3_600_001), "race.round"),
        (Config { round: Duration::MAX, ..good }, "race.round"),
    ];
    for (config, field) in cases {
        assert_eq!(config.check().expect_err("a bad configuration").field, field);
    }
}
