//! Whether the simulator finds the bugs that were planted into the core: the benchmark of its search.
//!
//! Each bug is turned on, and looked for in the same way: all schedules of faults on the same few grounds, and random
//! scenarios from one seed, under the same rules. What is found first is shrunk, and must then be no longer than ten
//! lines. What came of it is committed in `FOUND.md`; `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use expect_test::expect_file;
use resound_core::planted::{self, Bug};
use resound_planted_sim as resound_sim;

use resound_sim::Scenario;
use resound_sim::engine::explore::{Certificate, Counterexample, Explore};
use resound_sim::engine::shrink::Descent;
use resound_sim::engine::soak::Soak;
use resound_sim::oracle::Broken;

mod grounds;
mod rules;

use grounds::Ground;

/// How many lines a scenario has at most that shows a bug.
const MOST_LINES: usize = 10;
/// How many schedules are tried at most before a bug is found.
const MOST_SCHEDULES: u64 = 5_000;
/// How many random scenarios are tried, from which seed.
const SOAK: u64 = 300;
const SEED: u64 = 1;
/// How many runs shrinking takes at most.
const MOST_SHRINKING: u32 = 2_000;

#[test]
fn every_planted_bug_is_found_and_shrunk() {
    let grounds = grounds::all();
    let found = each(Bug::ALL, |&bug| Found::search(bug, &grounds));
    let missed: Vec<_> =
        Bug::ALL.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(bug, _)| bug.name()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    let found: Vec<Found> = found.into_iter().flatten().collect();
    for Found { bug, lines, schedules, scenario, .. } in &found {
        assert!(*lines <= MOST_LINES, "{}: {lines} lines are left:\n{scenario}", bug.name());
        assert!(schedules.is_none_or(|n| n <= MOST_SCHEDULES), "{}: {schedules:?} schedules", bug.name());
    }
    expect_file!["../FOUND.md"].assert_eq(&page(&grounds, &found));
}

#[test]
fn with_all_bugs_off_the_same_search_finds_nothing() {
    for ground in grounds::all() {
        if let Err(found) = explore(None, &ground) {
            panic!("{}: {found}", ground.name);
        }
    }
    if let Err(found) = Soak::new(SEED).runs(SOAK).run(&rules::trial()) {
        panic!("{found}");
    }
}

/// What was found of a bug.
struct Found {
    bug: Bug,
    /// On which ground, after how many schedules on all grounds.
    ground: Option<&'static str>,
    schedules: Option<u64>,
    /// After how many random scenarios.
    soaked: Option<u64>,
    broken: Broken,
    /// What is left of the scenario.
    scenario: Scenario,
    lines: usize,
}

impl Found {
    fn search(bug: Bug, grounds: &[Ground]) -> Option<Self> {
        let mut schedules = 0;
        let mut explored = None;
        for ground in grounds {
            match explore(Some(bug), ground) {
                Ok(certificate) => schedules += certificate.schedules,
                Err(found) => {
                    schedules += found.schedules_before;
                    explored = Some((ground.name, *found));
                    break;
                }
            }
        }
        let soaked = planted::with(Some(bug), || {
            Soak::new(SEED).runs(SOAK).most_shrinking(0).run(&rules::trial()).err()
        });
        let (ground, scenario, broken) = match (&explored, &soaked) {
            (Some((ground, Counterexample { scenario, broken, .. })), _) => (Some(*ground), scenario, broken),
            (None, Some(wet)) => (None, &wet.found, &wet.broken),
            (None, None) => return None,
        };
        let (scenario, broken) = shrink(bug, scenario, broken);
        let lines = scenario.to_string().lines().count();
        let schedules = explored.is_some().then_some(schedules);
        let soaked = soaked.map(|wet| wet.number);
        Some(Self { bug, ground, schedules, soaked, broken, scenario, lines })
    }
}

fn explore(bug: Option<Bug>, ground: &Ground) -> Result<Certificate, Box<Counterexample>> {
    let search = Explore::new(&ground.base)
        .menu(ground.menu.clone())
        .most_faults(ground.most_faults)
        .within(ground.within);
    planted::with(bug, || search.run(&rules::trial()))
}

/// The simplest scenario that still breaks the rule with the bug, and none without it: what is left shows the bug
/// and nothing else.
fn shrink(bug: Bug, found: &Scenario, broken: &Broken) -> (Scenario, Broken) {
    let trial = rules::trial();
    let mut descent = Descent::new(found.clone());
    let (until, mut last) = (found.until, broken.clone());
    for _ in 0..MOST_SHRINKING {
        let Some(candidate) = descent.offer() else { break };
        // On links without any delay things happen at once that cannot in a network; and no run becomes a longer one.
        let timeless = candidate.links.iter().any(|link| link.delay.is_zero());
        if timeless || candidate.until > until {
            descent.discard();
            continue;
        }
        let breaks = planted::with(Some(bug), || trial.judge(candidate)).err();
        match breaks.filter(|again| again.rule == last.rule && trial.judge(candidate).is_ok()) {
            Some(again) => {
                last = again;
                descent.keep();
            }
            None => descent.discard(),
        }
    }
    (descent.best().clone(), last)
}

/// The same for each, on as many threads as there are cores: a bug is on for its thread alone.
fn each<T: Sync, R: Send>(items: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, what(item)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(usize, R)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a search panicked")).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

fn page(grounds: &[Ground], found: &[Found]) -> String {
    let mut page = String::from(
        "# What the search finds\n\n\
         Written by `cargo test -p resound-planted-sim`, with `UPDATE_EXPECT=1`; compared otherwise.\n\n\
         Bugs are planted into the core, one at a time ([`core/bugs.txt`](core/bugs.txt)). *Explored*: where, and after\n\
         how many schedules of faults on all grounds before, it broke a rule. *Soaked*: after how many random scenarios it\n\
         did; `–`: not within the first 300. *Lines*: of the scenario that is left when it is shrunk; all are below. Each holds\n\
         without its bug, and so does everything that is searched here.\n\n\
         | bug | explored | soaked | lines | rule |\n|---|---|---|---|---|\n",
    );
    for Found { bug, ground, schedules, soaked, broken, lines, .. } in found {
        let explored = match (ground, schedules) {
            (Some(ground), Some(n)) => format!("{n} ({ground})"),
            _ => "–".to_owned(),
        };
        let soaked = soaked.map_or("–".to_owned(), |n| n.to_string());
        let _ = writeln!(page, "| {} | {explored} | {soaked} | {lines} | {} |", bug.name(), broken.rule);
    }
    let soaked = found.iter().filter(|found| found.soaked.is_some()).count();
    let _ = write!(
        page,
        "\n{} bugs; exploration on {} grounds finds {}, {SOAK} random scenarios find {soaked}.\n\n## The scenarios\n",
        found.len(),
        grounds.len(),
        found.iter().filter(|found| found.ground.is_some()).count(),
    );
    for Found { bug, broken, scenario, .. } in found {
        let _ =
            write!(page, "\n### {}\n\n{}\n\n```text\n{scenario}```\n\n{broken}\n", bug.name(), bug.says());
    }
    page
}
