//! What the plays tell of costs: which of them count, what is a difference, and how it is shown. The plays are the
//! simulator's and what they used is made up, so that it is known what has to come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use resound_core::signal::Version;
use resound_lab::agent::{Spent, Used};
use resound_lab::costs::Standing;
use resound_lab::costs::plays::{Comparison, Measure, Plays};
use resound_lab::costs::statistics::Verdict as Than;
use resound_lab::report::{Asked, Host, Page, Start};
use resound_lab::suite::{Item, Outcome, Player, items};
use resound_lab::verdict::Verdict;

/// What a play of the item by the player used, in thousandths of what one on std uses.
fn used(at: usize, thousandths: u64) -> Used {
    // Scenarios differ by much more than runtimes do.
    let scale = 10 * (at as u64 % 40 + 1) * thousandths;
    Used {
        spent: Spent {
            user: Duration::from_micros(scale),
            system: Duration::from_micros(scale / 2),
            wakes: scale / 1_000,
            preempted: 0,
        },
        calls: Some(scale / 100),
        waited: Duration::from_millis(5),
        threads: 2,
        memory: 8 << 20,
    }
}

/// Every scenario on every runtime, as it was predicted, with what it used.
fn played(used: impl Fn(&Item, usize, Player) -> Used) -> Vec<Outcome> {
    let outcome = |(at, item): (usize, &Item), player| Outcome {
        item: item.clone(),
        player,
        verdict: Verdict::Agrees,
        run: Some(Arc::clone(&item.predicted)),
        took: Duration::from_secs(1),
        times: 1,
        used: Some(used(item, at, player)),
    };
    let items = items(&[]);
    items.iter().enumerate().flat_map(|of| Player::ALL.map(|player| outcome(of, player))).collect()
}

/// smol uses twice as much as the others.
fn smol_doubles() -> Vec<Outcome> {
    played(|_, at, player| used(at, if player == Player::Smol { 2_000 } else { 1_000 }))
}

fn comparison(plays: &Plays, measure: Measure, a: Player, b: Player) -> &Comparison {
    plays.comparisons.iter().find(|of| of.measure == measure && (of.a, of.b) == (a, b)).expect("it is there")
}

#[test]
fn who_uses_twice_as_much_is_found_and_the_others_are_alike() {
    let plays = Plays::of(&smol_doubles()).expect("all count");
    assert_eq!((plays.counted % 3, plays.left_out, plays.players.as_slice()), (0, 0, &Player::ALL[..]));
    for measure in [
        Measure::Calls,
        Measure::CallsMessage,
        Measure::Cpu,
        Measure::CpuMessage,
        Measure::Switches,
        Measure::Wakes,
    ] {
        let of = |a, b| comparison(&plays, measure, a, b);
        let std_smol = of(Player::Std, Player::Smol);
        assert_eq!(std_smol.verdict, Than::Less, "{std_smol:?}");
        assert!((0.4..0.6).contains(&std_smol.ratio) && std_smol.signs.more == 0, "{std_smol:?}");
        assert_eq!(of(Player::Smol, Player::Tokio).verdict, Than::More);
        assert_eq!(of(Player::Std, Player::Tokio).verdict, Than::Same);
        let standing = Player::ALL.map(|player| plays.row(measure, player).expect("a row").standing);
        assert_eq!(standing, [Standing::Least, Standing::More, Standing::Least], "{measure}");
    }
    for measure in [Measure::Threads, Measure::Memory, Measure::Waited, Measure::Detection] {
        let differ = plays.comparisons.iter().filter(|of| of.measure == measure && of.verdict != Than::Same);
        assert_eq!(differ.count(), 0, "{measure}");
    }
    assert_eq!(plays.row(Measure::Memory, Player::Std).expect("a row").median, Some(f64::from(8 << 20)));
    assert_eq!(plays.row(Measure::Detection, Player::Std).expect("a row").p99, Some(0.0), "all as predicted");
    assert_eq!(plays.row(Measure::Timer, Player::Std).expect("a row").p99, Some(0.0), "no dial is late");
}

#[test]
fn what_was_repeated_or_came_otherwise_does_not_count() {
    let mut outcomes = smol_doubles();
    let all = Plays::of(&outcomes).expect("all count");
    for outcome in &mut outcomes {
        match (outcome.player, outcome.item.version) {
            (Player::Std, Version::V4) => outcome.times = 2,
            (Player::Std, Version::V6) => outcome.verdict = Verdict::Differs(Vec::new()),
            (Player::Tokio, Version::V4) => outcome.used = None,
            _ => {}
        }
    }
    let some = Plays::of(&outcomes).expect("some count");
    assert_eq!(some.players, [Player::Smol, Player::Tokio]);
    assert_eq!(some.counted + some.left_out, all.counted);
    assert!(some.left_out > all.counted / 3, "{some:?}");
    assert!(some.how().contains(&format!("{} more do not", some.left_out)), "{}", some.how());
    outcomes.retain(|outcome| outcome.player == Player::Std);
    assert!(Plays::of(&outcomes).is_none());
}

/// Plays without a server or a client are the same on every runtime: they would make all alike.
#[test]
fn single_calls_are_no_runtimes() {
    let alone = items(&[String::from("listener-closed-with-queue")]);
    let mut outcomes = smol_doubles();
    let all = Plays::of(&outcomes).expect("all count").counted;
    assert!(all < outcomes.len(), "{all} of {}", outcomes.len());
    outcomes.retain(|outcome| alone.iter().any(|item| item.name == outcome.item.name));
    assert!(!outcomes.is_empty() && Plays::of(&outcomes).is_none());
}

/// Of those that are the same on every runtime nothing is told apart; or else it is said.
#[test]
fn what_is_the_same_for_all_is_the_control() {
    let same = Plays::of(&played(|_, at, _| used(at, 1_000))).expect("all count").control;
    assert!(same.counted > 300 && same.verdict().ends_with("tells nothing apart."), "{}", same.verdict());
    let wrong = Plays::of(&smol_doubles()).expect("all count");
    assert!(wrong.control.verdict().contains("tells apart: system calls of std and smol; "), "{wrong:?}");
    assert!(!wrong.control.verdict().contains("std and tokio"), "{wrong:?}");
    assert!(wrong.to_string().contains(" plays of single calls, "));
}

/// All by the same time.
#[test]
fn who_is_told_later_than_predicted_is_seen() {
    let mut outcomes = smol_doubles();
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.player == Player::Tokio) {
        let mut run = (*outcome.item.predicted).clone();
        run.said.iter_mut().for_each(|remark| remark.at = remark.at + Duration::from_millis(3));
        outcome.run = Some(Arc::new(run));
    }
    let plays = Plays::of(&outcomes).expect("all count");
    let row = plays.row(Measure::Detection, Player::Tokio).expect("a row");
    assert_eq!((row.median, row.p99), (Some(3e6), Some(3e6)));
    assert_eq!(comparison(&plays, Measure::Detection, Player::Std, Player::Tokio).verdict, Than::Less);
    // Everything is as late: no wait is longer than it was said to be.
    assert_eq!(plays.row(Measure::Timer, Player::Tokio).expect("a row").p99, Some(0.0));
}

#[test]
fn the_table_fits_and_tells_all() {
    let text = Plays::of(&smol_doubles()).expect("all count").to_string();
    assert!(text.lines().all(|line| line.chars().count() < 100), "{text}");
    let lines: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.trim_start().split_once("  ")).collect();
    for measure in Measure::ALL {
        assert!(lines.contains_key(measure.title()), "{} is missing: {text}", measure.title());
    }
    assert!(lines["CPU"].trim_start().starts_with("< 0.50"), "{text}");
}

#[test]
fn the_page_tells_how_it_was_measured() {
    let host = Host::here(Asked {
        start: Start::now(),
        date: "2026-01-02 03:04:05 UTC".into(),
        command: "resound compare".into(),
        together: 4,
    });
    let outcomes = smol_doubles();
    let page = Page {
        host: &host,
        outcomes: &outcomes,
        no_lab: None,
        unfinished: None,
        table: None,
        costs: None,
        loopback: &[],
    }
    .to_string();
    let allowed = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(&page, allowed).expect("it is XML");
    let plays = Plays::of(&outcomes).expect("all count");
    assert!(page.contains("<a href=\"#costs\">") && page.contains("id=\"costs\""));
    assert!(page.contains(&plays.how()) && page.contains(Plays::PAIRS));
    assert!(page.contains("less, ×0.50"));
}
