//! What the plays tell of costs: which of them count, what is a difference, and how it is shown. The plays are the
//! simulator's and what they used is made up, so that it is known what has to come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use resound_core::signal::Version;
use resound_lab::agent::{Spent, Used};
use resound_lab::agreement::{detections, round_trips};
use resound_lab::costs::Standing;
use resound_lab::costs::plays::signs::LEAST_PAIRS;
use resound_lab::costs::plays::{Comparison, Measure, Plays};
use resound_lab::costs::statistics::Verdict as Than;
use resound_lab::report::{Asked, Host, Page, Start};
use resound_lab::suite::{Item, Outcome, Player, items};
use resound_lab::verdict::Verdict;
use resound_sim::scenario::Command;

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

/// Whether there are single calls only.
fn is_single(item: &Item) -> bool {
    let is_program = |command: &Command| matches!(command, Command::Serve(..) | Command::Connect(..));
    !item.scenario.script.iter().any(|line| is_program(&line.command))
}

/// smol uses twice as much as the others, but not where no runtime has a part.
fn smol_doubles() -> Vec<Outcome> {
    played(|item, at, player| {
        used(at, if player == Player::Smol && !is_single(item) { 2_000 } else { 1_000 })
    })
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
    for measure in [Measure::Threads, Measure::Memory, Measure::Detection] {
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
}

/// What is told apart where no runtime has a part, is no runtime's: it is no difference, and has no star.
#[test]
fn what_the_control_tells_apart_is_no_difference() {
    let right = smol_doubles();
    // In single calls smol uses more memory and more system calls, and so it does elsewhere.
    let wrong = played(|item, at, player| {
        let thousandths = if player == Player::Smol && !is_single(item) { 2_000 } else { 1_000 };
        let used = used(at, thousandths);
        match player {
            Player::Smol => Used { memory: 16 << 20, calls: Some(20 * (at as u64 % 40 + 1) * 1_000), ..used },
            _ => used,
        }
    });
    let (right, wrong) = (Plays::of(&right).expect("all count"), Plays::of(&wrong).expect("all count"));
    let said = wrong.control.verdict();
    assert!(said.contains("tells apart: system calls (std, smol); system calls (smol, tokio); "), "{said}");
    assert!(said.contains("; memory (std, smol); "), "{said}");
    assert!(said.ends_with(", so no difference in them is called one."), "{said}");
    assert!(!said.contains("(std, tokio)") && !said.contains("CPU"), "{said}");
    let text = wrong.to_string();
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(&said), "{text}");
    for measure in [Measure::Calls, Measure::Memory] {
        let of = comparison(&wrong, measure, Player::Std, Player::Smol);
        assert_eq!(of.verdict, Than::Same, "{of:?}");
        assert!(of.ratio < 0.6 && of.signs.more == 0, "what was measured is told all the same: {of:?}");
        let standing = Player::ALL.map(|player| wrong.row(measure, player).expect("a row").standing);
        assert_eq!(standing, [Standing::Alike; 3], "{measure}");
    }
    // By another measure they differ as ever.
    let of = comparison(&wrong, Measure::Cpu, Player::Std, Player::Smol);
    assert_eq!(of, comparison(&right, Measure::Cpu, Player::Std, Player::Smol));
    assert_eq!(of.verdict, Than::Less);
}

/// How long was waited for a processor is the machine's doing.
#[test]
fn nobody_is_compared_by_what_the_machine_did() {
    let plays = Plays::of(&played(|_, at, player| {
        let waited = Duration::from_millis(if player == Player::Std { 1 } else { 50 });
        Used { waited, ..used(at, 1_000) }
    }));
    let plays = plays.expect("all count");
    let all = plays.comparisons.iter().chain(&plays.control.comparisons);
    assert_eq!(all.filter(|of| of.measure == Measure::Waited).count(), 0);
    let row = |player| plays.row(Measure::Waited, player).expect("a row");
    assert_eq!((row(Player::Std).median, row(Player::Tokio).median), (Some(1e6), Some(5e7)));
    assert!(Player::ALL.into_iter().all(|player| row(player).standing == Standing::Alike));
    assert_eq!(plays.to_string().matches(Measure::Waited.title()).count(), 1, "{plays}");
}

/// Of a few scenarios there is no table of pairs, for it would have nothing to tell.
#[test]
fn of_few_pairs_it_is_said_that_they_are_few() {
    let few = |count: usize| {
        let mut names: Vec<_> =
            items(&[]).into_iter().filter(|item| !is_single(item)).map(|item| item.name).collect();
        names.dedup();
        names.truncate(count);
        let mut outcomes = smol_doubles();
        outcomes.retain(|outcome| names.contains(&outcome.item.name) && outcome.item.version == Version::V4);
        Plays::of(&outcomes).expect("all count")
    };
    let plays = few(8);
    assert_eq!(plays.too_few().as_deref(), Some("Too few pairs (8) to tell anything apart: 15 are wanted."));
    assert!(plays.comparisons.iter().all(|of| of.verdict == Than::TooFew), "{plays:?}");
    assert!(plays.rows.iter().all(|row| row.standing == Standing::Alike), "{plays:?}");
    let text = plays.to_string();
    assert!(text.trim_end().ends_with("15 are wanted.") && text.contains("\nToo few pairs (8) "), "{text}");
    assert!(!text.contains("pair by pair") && !text.contains('*'), "{text}");

    // Enough of most measures, but not of each: few have a message that came back, or a wait.
    let plays = few(15);
    assert_eq!(plays.too_few(), None);
    assert!(Plays::PAIRS.contains(&format!(" fewer than {LEAST_PAIRS} ")), "{}", Plays::PAIRS);
    let of = |measure| comparison(&plays, measure, Player::Std, Player::Smol).verdict;
    assert_eq!((of(Measure::Calls), of(Measure::Timer)), (Than::Less, Than::TooFew), "{plays:?}");
    assert!(plays.to_string().contains("too few"), "{plays}");
}

/// A control of a few plays has not shown that nothing is wrong.
#[test]
fn a_control_of_few_pairs_says_so() {
    let mut outcomes = smol_doubles();
    outcomes.retain(|of| !is_single(&of.item) || of.item.name == "listener-closed-with-queue");
    let said = Plays::of(&outcomes).expect("all count").control.verdict();
    assert!(said.ends_with(" tells nothing, for there are too few."), "{said}");
}

/// For each message is another figure only where there is more than one.
#[test]
fn costs_for_each_message_are_shown_where_there_are_several() {
    let all = Plays::of(&smol_doubles()).expect("all count");
    assert!(all.messages > 1 && all.to_string().contains(" per message"), "{all}");
    let mut outcomes = smol_doubles();
    outcomes.retain(|outcome| round_trips(outcome).len() == 1);
    let of_one = Plays::of(&outcomes).expect("all count");
    assert_eq!(of_one.messages, 1);
    assert!(!of_one.to_string().contains(" per message"), "{of_one}");
    assert!(of_one.row(Measure::CpuMessage, Player::Std).expect("a row").median.is_some());
}

#[test]
fn counts_are_whole_and_what_is_not_there_has_no_unit() {
    let mut outcomes = smol_doubles();
    outcomes.retain(|outcome| outcome.item.predicted.said.is_empty() || detections(outcome).is_empty());
    outcomes.iter_mut().filter_map(|outcome| outcome.used.as_mut()).for_each(|used| used.calls = None);
    let plays = Plays::of(&outcomes).expect("some count");
    assert!(plays.rows.iter().all(|row| row.measure != Measure::Detection || row.values == 0));
    let text = plays.to_string();
    let line = |start: &str| {
        let is = |line: &&str| line.trim_start().starts_with(start);
        text.lines()
            .find(is)
            .unwrap_or_else(|| panic!("{start}: {text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("threads, at most, p50")[4..], ["2", "2", "2"], "{text}");
    assert_eq!(line("told beyond prediction, p50")[4..], ["-", "-", "-"], "{text}");
    assert_eq!(line("system calls, p50")[3..], ["-", "-", "-"], "{text}");
    assert!(line("CPU, ")[1..2] != ["p50"], "{text}");
}

/// The tests know how they were built by their own assertions.
#[test]
fn a_build_without_optimization_says_so() {
    let plays = Plays::of(&smol_doubles()).expect("all count");
    let says = plays.how().ends_with(" Built without optimization: CPU figures say little.");
    assert_eq!(says, cfg!(debug_assertions), "{}", plays.how());
}

/// All by the same time.
#[test]
fn who_is_told_later_than_predicted_is_seen() {
    let mut outcomes = smol_doubles();
    for outcome in outcomes.iter_mut().filter(|of| of.player == Player::Tokio && !is_single(&of.item)) {
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
        let is_compared = lines.contains_key(measure.title());
        assert_eq!(is_compared, measure != Measure::Waited, "{}: {text}", measure.title());
        assert!(
            text.contains(&format!("\n  {}, ", measure.title())),
            "{} is missing: {text}",
            measure.title()
        );
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
    assert!(page.contains("less ×0.50"));
}
