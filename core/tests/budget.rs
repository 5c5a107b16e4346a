//! The attempt budget: what it lets through, in which order, and that it never lets through too early.

extern crate alloc;

use alloc::collections::VecDeque;
use core::time::Duration;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::budget::{Answer, Asker, Budget, Config, Grant, Outcome};

fn config() -> impl Strategy<Value = Config> {
    (1u32..8, 1u64..5_000, 0u32..8, 0u32..8, 1u32..12).prop_map(
        |(tokens, millis, refused, dearer, waiting)| {
            let refused = 1 + refused % tokens;
            Config {
                tokens,
                refill: Duration::from_millis(millis),
                refused,
                timed_out: refused + dearer % (tokens - refused + 1),
                waiting,
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Told {
    Ask(u64),
    Withdraw(u64),
    Settle(prop::sample::Index, Outcome),
    /// So many milliseconds pass.
    Pass(u64),
    /// Time passes until the deadline.
    Await,
}

fn script() -> impl Strategy<Value = Vec<Told>> {
    let outcome = prop_oneof![Just(Outcome::Free), Just(Outcome::Refused), Just(Outcome::TimedOut)];
    let told = prop_oneof![
        4 => (0u64..20).prop_map(Told::Ask),
        1 => (0u64..20).prop_map(Told::Withdraw),
        3 => (any::<prop::sample::Index>(), outcome).prop_map(|(which, outcome)| Told::Settle(which, outcome)),
        2 => (0u64..9_000).prop_map(Told::Pass),
        2 => Just(Told::Await),
    ];
    prop::collection::vec(told, 0..200)
}

/// The bucket as one would draw it: a level that rises with time, in nanoseconds of refilling, and may be negative.
struct Model {
    config: Config,
    level: i128,
    waiting: VecDeque<u64>,
}

impl Model {
    fn cost(&self, tokens: u32) -> i128 {
        i128::from(tokens) * self.config.refill.as_nanos() as i128
    }

    fn pass(&mut self, time: Duration) {
        self.level = (self.level + time.as_nanos() as i128).min(self.cost(self.config.tokens));
    }

    fn take(&mut self) -> bool {
        let cost = self.cost(self.config.refused);
        let enough = self.level >= cost;
        self.level -= if enough { cost } else { 0 };
        enough
    }

    fn settle(&mut self, outcome: Outcome) {
        let (refused, timed_out) = (self.cost(self.config.refused), self.cost(self.config.timed_out));
        let full = self.cost(self.config.tokens);
        match outcome {
            Outcome::Free => self.level = (self.level + refused).min(full),
            Outcome::Refused => {}
            Outcome::TimedOut => self.level = (self.level - (timed_out - refused)).max(-full),
        }
    }
}

proptest! {
    #[test]
    fn the_budget_does_what_the_model_does(config in config(), start in 0..u64::MAX / 2, script in script()) {
        let mut budget = Budget::new(config).expect("an accepted configuration");
        let mut model = Model { config, level: 0, waiting: VecDeque::new() };
        model.level = model.cost(config.tokens);
        let mut now = Instant::from_nanos(start);
        let mut grants: Vec<Grant> = Vec::new();
        for told in script {
            match told {
                Told::Ask(who) => {
                    let answer = budget.ask(now, Asker(who));
                    if model.waiting.is_empty() && model.take() {
                        let Answer::Granted(grant) = answer else { panic!("{answer:?}") };
                        prop_assert_eq!(grant.who(), Asker(who));
                        grants.push(grant);
                    } else if model.waiting.contains(&who) {
                        prop_assert_eq!(answer, Answer::Queued);
                    } else if model.waiting.len() as u32 == config.waiting {
                        prop_assert_eq!(answer, Answer::Full);
                    } else {
                        prop_assert_eq!(answer, Answer::Queued);
                        model.waiting.push_back(who);
                    }
                }
                Told::Withdraw(who) => {
                    let waited = model.waiting.contains(&who);
                    model.waiting.retain(|&other| other != who);
                    prop_assert_eq!(budget.withdraw(Asker(who)), waited);
                }
                Told::Settle(which, outcome) => {
                    if !grants.is_empty() {
                        budget.settle(now, grants.swap_remove(which.index(grants.len())), outcome);
                        model.settle(outcome);
                    }
                }
                Told::Pass(millis) => {
                    now = now + Duration::from_millis(millis);
                    model.pass(Duration::from_millis(millis));
                }
                Told::Await => {
                    let until = budget.deadline().unwrap_or(now).max(now);
                    model.pass(until - now);
                    now = until;
                    // A deadline that has come has something to give.
                    if let Some(&who) = model.waiting.front() {
                        let grant = budget.next(now).expect("it is due");
                        prop_assert!(model.take());
                        model.waiting.pop_front();
                        prop_assert_eq!(grant.who(), Asker(who));
                        grants.push(grant);
                    }
                }
            }
            // Before the deadline there is nothing, and asking for it changes nothing.
            prop_assert_eq!(budget.deadline().is_some(), !model.waiting.is_empty());
            if budget.deadline().is_none_or(|deadline| now < deadline) {
                prop_assert_eq!(budget.next(now), None);
            }
        }
    }

    /// Links that ask all the time, and whose attempts all time out, start no more often than the bucket refills.
    #[test]
    fn starts_in_any_window_are_within_the_budget(
        config in config(), outcome in prop_oneof![Just(Outcome::Refused), Just(Outcome::TimedOut)],
    ) {
        let mut budget = Budget::new(config).expect("an accepted configuration");
        let mut now = Instant::EPOCH;
        let mut starts = Vec::new();
        for who in 0..60 {
            let grant = match budget.ask(now, Asker(who)) {
                Answer::Granted(grant) => grant,
                Answer::Full => panic!("the queue is empty"),
                Answer::Queued => {
                    now = budget.deadline().expect("somebody waits").max(now);
                    budget.next(now).expect("it is due")
                }
            };
            budget.settle(now, grant, outcome);
            starts.push(now);
        }
        let refused = u128::from(config.refused);
        let cost = if outcome == Outcome::TimedOut { u128::from(config.timed_out) } else { refused };
        for (i, &first) in starts.iter().enumerate() {
            for (&last, n) in starts[i..].iter().zip(1u128..) {
                // All that was spent before the last start, and that start's own advance, was there or came in.
                let spent = (cost * (n - 1) + refused) * config.refill.as_nanos();
                let had = u128::from(config.tokens) * config.refill.as_nanos() + (last - first).as_nanos();
                prop_assert!(spent <= had, "{n} starts in {:?}", last - first);
            }
        }
    }

    #[test]
    fn no_call_at_any_time_breaks_it(config in config(), times: Vec<u64>, calls: Vec<u8>) {
        let mut budget = Budget::new(config).expect("an accepted configuration");
        let mut grants = Vec::new();
        for (time, call) in times.into_iter().zip(calls) {
            let now = Instant::from_nanos(time);
            match (call % 5, grants.pop()) {
                (0, Some(grant)) => budget.settle(now, grant, Outcome::TimedOut),
                (1, Some(grant)) => budget.settle(now, grant, Outcome::Free),
                (2, _) => grants.extend(budget.next(now)),
                _ => if let Answer::Granted(grant) = budget.ask(now, Asker(u64::from(call))) { grants.push(grant) },
            }
        }
    }
}

#[test]
fn a_thousand_links_are_back_within_half_a_minute() {
    let mut budget = Budget::new(Config::for_links(1_000)).expect("an accepted configuration");
    let mut now = Instant::EPOCH;
    // A first round that is refused empties the bucket; the second waits for it.
    for round in 0..2 {
        for who in 0..1_000 {
            let who = Asker(who + 1_000 * round);
            assert_ne!(budget.ask(now, who), Answer::Full);
        }
    }
    while let Some(deadline) = budget.deadline() {
        now = now.max(deadline);
        assert!(budget.next(now).is_some());
    }
    assert_eq!(now.since(Instant::EPOCH), Duration::from_secs(30));
    assert_eq!(Config::for_links(0), Config::default());
    for links in [1, 11, 1 << 20, u32::MAX] {
        assert!(Budget::new(Config::for_links(links)).is_ok(), "{links}");
    }
}

#[test]
fn a_bad_field_is_named() {
    let good = Config::default();
    let cases = [
        (Config { tokens: 0, ..good }, "budget.tokens"),
        (Config { tokens: u32::MAX, ..good }, "budget.tokens"),
        (Config { refill: Duration::ZERO, ..good }, "budget.refill"),
        (Config { refill: Duration::MAX, ..good }, "budget.refill"),
        (Config { refused: 0, ..good }, "budget.refused"),
        (Config { refused: 11, timed_out: 11, ..good }, "budget.refused"),
        (Config { timed_out: 0, ..good }, "budget.timed_out"),
        (Config { timed_out: 11, ..good }, "budget.timed_out"),
        (Config { waiting: 0, ..good }, "budget.waiting"),
        (Config { waiting: u32::MAX, ..good }, "budget.waiting"),
    ];
    for (config, field) in cases {
        assert_eq!(Budget::new(config).expect_err("a bad configuration").field, field);
    }
}
