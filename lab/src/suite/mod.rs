//! Which scenarios, on what; many at a time; again where the machine stood still.
//!
//! # Theory of operation
//!
//! ```text
//!   library ──► items ──► predicted ──► queue ──► play ──► verdict ──► Outcome
//!               scenario × version        longest first      │
//!                         ▲                                  │ it differs, and the machine stood still
//!                         └──────────────────────────────────┘
//! ```
//!
//! Plays mostly wait, so many run at a time. A play that differs is repeated only if the machine is to blame: if the
//! play's own driver, or a [thread that does nothing but look at the clock](watch), was late by so much that times can be
//! wrong for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use resound_core::signal::Version;
use resound_sim::faults::since_start;
use resound_sim::library::Entry;
use resound_sim::programs::Echo;
use resound_sim::scenario::Trigger;
use resound_sim::{Record, Run, Scenario, World, library};

use crate::agent::Launcher;
use crate::play::{self, play, unplayable};
use crate::verdict::{Tolerance, Verdict, compare, deviation};

mod watch;

use watch::Watch;

/// Who plays a scenario's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Player {
    /// The core's machines on std sockets.
    Std,
    /// On smol.
    Smol,
    /// On tokio.
    Tokio,
}

impl Player {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Std, Self::Smol, Self::Tokio];

    /// As in `--runtime`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Smol => "smol",
            Self::Tokio => "tokio",
        }
    }
}

/// A scenario to be played, over one IP version.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its file's name without the ending.
    pub name: String,
    /// What it is about: the comment at the head of its file, in one line.
    pub about: String,
    /// The scenario, with its version set.
    pub scenario: Arc<Scenario>,
    /// Over which IP version.
    pub version: Version,
    /// What the simulator says will come.
    pub predicted: Arc<Run>,
}

/// What came of one item by one player.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was played.
    pub item: Item,
    /// By whom.
    pub player: Player,
    /// Whether it came as predicted.
    pub verdict: Verdict,
    /// What came; `None` if it was not played.
    pub run: Option<Arc<Run>>,
    /// How long it took.
    pub took: Duration,
    /// How often it was played: again, where the machine stood still meanwhile.
    pub times: u32,
}

/// How the items are played.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How an agent is started.
    pub launcher: Launcher,
    /// Who plays them.
    pub players: Vec<Player>,
    /// How many at a time.
    pub together: usize,
    /// How far times may be from their prediction.
    pub tolerance: Tolerance,
}

/// Longer courses are left to the simulator.
const LONGEST: Duration = Duration::from_secs(40);

/// A play goes on for so long after the last thing that was predicted, to see what was not.
const AFTERWARDS: Duration = Duration::from_millis(700);

/// Who is late by more than this cannot be trusted with times.
const LATE: Duration = Duration::from_millis(40);

/// How often an item is played at most, if the machine stands still again and again.
const MOST_TIMES: u32 = 4;

/// The items of the library that these names are of; of all of it, if there are none.
#[must_use]
pub fn items(names: &[String]) -> Vec<Item> {
    let wanted = |entry: &&Entry| names.is_empty() || names.iter().any(|name| name == entry.name);
    library::ALL.iter().filter(wanted).flat_map(items_of).collect()
}

/// A scenario over the IP versions that it fits.
#[must_use]
pub fn items_of(entry: &Entry) -> Vec<Item> {
    // The library's own tests read them all.
    let Ok(scenario) = entry.text.parse::<Scenario>() else { return Vec::new() };
    // Some that one version allows is too small for the other, or has no counterpart there.
    let over = [Version::V4, Version::V6].into_iter().filter_map(|version| scenario.over(version).ok());
    over.map(|scenario| item(entry, scenario)).collect()
}

fn item(entry: &Entry, scenario: Scenario) -> Item {
    let predicted = World::new(&scenario, &mut Echo).play(Record::Everything);
    Item {
        name: entry.name.to_owned(),
        about: entry.about(),
        version: scenario.version,
        scenario: Arc::new(scenario),
        predicted: Arc::new(predicted),
    }
}

impl Item {
    /// When the last thing happens that is asked for, done or predicted to be said.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        let said = self.predicted.said.iter().map(|remark| since_start(remark.at));
        let asked = self.scenario.script.iter().map(|line| line.at);
        let done = self.scenario.faults.iter().filter_map(|fault| match fault.when {
            Trigger::At(at) => Some(at),
            _ => None,
        });
        said.chain(asked).chain(done).max().unwrap_or_default()
    }

    /// Why it is not played; `None` if it is.
    #[must_use]
    pub fn unplayable(&self) -> Option<String> {
        unplayable(&self.scenario).or_else(|| {
            let lasts = self.lasts();
            (lasts > LONGEST).then(|| format!("it takes {} s", lasts.as_secs()))
        })
    }
}

/// Plays every item by every player, longest first, and tells each outcome as it comes, on the calling thread. Ends
/// early, after what is being played, when `stop` is set.
pub fn run(items: &[Item], setup: &Setup, stop: &AtomicBool, mut told: impl FnMut(Outcome)) {
    let mut queue = Vec::new();
    for item in items {
        for &player in &setup.players {
            match item.unplayable() {
                Some(why) => told(not_played(item, player, why)),
                None => queue.push((item, player)),
            }
        }
    }
    queue.sort_by_key(|(item, _)| std::cmp::Reverse(item.lasts()));
    let queue = Mutex::new(VecDeque::from(queue));
    let watch = Watch::start();
    let (tell, come) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..setup.together.max(1) {
            let (tell, queue, watch) = (tell.clone(), &queue, &watch);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some((item, player)) = queue.lock().ok().and_then(|mut queue| queue.pop_front())
                    else {
                        return;
                    };
                    if tell.send(judge(item, player, setup, watch, stop)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        come.iter().for_each(&mut told);
    });
}

fn not_played(item: &Item, player: Player, why: String) -> Outcome {
    let verdict = Verdict::NotPlayed(why);
    Outcome { item: item.clone(), player, verdict, run: None, took: Duration::ZERO, times: 0 }
}

/// Plays an item until its times can be trusted, and holds it against its prediction.
fn judge(item: &Item, player: Player, setup: &Setup, watch: &Watch, stop: &AtomicBool) -> Outcome {
    let began = Instant::now();
    let how = play::Setup {
        launcher: &setup.launcher,
        player,
        record: Record::Everything,
        ends: item.lasts() + AFTERWARDS.max(setup.tolerance.of(item.lasts())),
    };
    let mut times = 0;
    loop {
        times += 1;
        let since = Instant::now();
        let played = match play(&item.scenario, &how) {
            Ok(played) => played,
            Err(error) => {
                return Outcome {
                    took: began.elapsed(),
                    times,
                    ..not_played(item, player, error.to_string())
                };
            }
        };
        let differences = compare(&item.scenario, &item.predicted, &played.run, setup.tolerance);
        let late = played.late.max(watch.latest_since(since));
        let again = late > LATE && times < MOST_TIMES && !stop.load(Ordering::Relaxed);
        if !differences.is_empty() && again {
            continue;
        }
        let verdict = match differences.is_empty() {
            true => Verdict::Agrees,
            false => deviation(item, &differences).map_or(Verdict::Differs(differences), Verdict::Deviates),
        };
        let run = Some(Arc::new(played.run));
        return Outcome { item: item.clone(), player, verdict, run, took: began.elapsed(), times };
    }
}
