//! Which scenarios, on what; many at a time; again what is not sure.
//!
//! # Theory of operation
//!
//! ```text
//!   library ──► items ──► predicted ──► queue ──► play ──► verdict ──► Outcome
//!               scenario × version        longest first      │
//!                         ▲                                  │ it is not sure
//!                         └──────────────────────────────────┘
//! ```
//!
//! An item is played by all players in a row, and who begins changes from item to item: what the machine does meanwhile
//! strikes all of them alike, so that what they used can be held against each other.
//!
//! Plays mostly wait, so many run at a time. A play that differs says nothing if the machine is to blame: if the play's own
//! driver, its agents, or a thread that does nothing but look at the clock, were late by so much that times can be wrong for
//! it. A difference that comes twice is one; after one that came once, only two agreements in a row count: two packets that
//! were sent at once by two processors can overtake each other. What is not sure is played again when all others are done,
//! because then there is less to do. How often it was played is told.

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

use crate::agent::{Launcher, Used};
use crate::play::{self, PlayError, play, unplayable};
use crate::verdict::{Difference, Tolerance, Verdict, compare, deviation};
use crate::watch::Watch;

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
    /// How often it was played: again, until it was sure.
    pub times: u32,
    /// What its programs' processes used, the last time; `None` if it was not played or that cannot be told.
    pub used: Option<Used>,
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
pub(crate) const LATE: Duration = Duration::from_millis(40);

/// How often an item is played at most.
const MOST_TIMES: u32 = 6;

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

/// Plays every item by every player, the longest first, each by all players in a row, and tells each outcome as it comes, on
/// the calling thread. Ends early, after what is being played, when `stop` is set.
pub fn run(items: &[Item], setup: &Setup, stop: &AtomicBool, mut told: impl FnMut(Outcome)) {
    let setup = &Setup { launcher: setup.launcher.clone().counting(), ..setup.clone() };
    let mut queue = Vec::new();
    for (at, item) in items.iter().enumerate() {
        for player in in_turn(&setup.players, at) {
            match item.unplayable() {
                Some(why) => told(not_played(item, player, why)),
                None => queue.push((item, player)),
            }
        }
    }
    // What takes equally long stays as it is.
    queue.sort_by_key(|(item, _)| std::cmp::Reverse(item.lasts()));
    let mut plays: Vec<_> = queue.into_iter().map(|(item, player)| Play::new(item, player)).collect();
    let watch = Watch::start();
    let mut together = setup.together.max(1);
    for round in 1..=MOST_TIMES {
        let judge = |play| judge(play, setup, &watch);
        let mut again = Vec::new();
        side_by_side(plays, together, stop, judge, |played| match played {
            Judged::Unsure(play, _) if round < MOST_TIMES && !stop.load(Ordering::Relaxed) => {
                again.push(play);
            }
            Judged::Unsure(_, outcome) | Judged::Done(outcome) => told(*outcome),
        });
        plays = again;
        together = (together / 4).max(1);
    }
}

/// The players in another order each time: each begins as often as each other, and each order comes as often backwards.
fn in_turn(players: &[Player], at: usize) -> Vec<Player> {
    let mut players = players.to_vec();
    let count = players.len().max(1);
    players.rotate_left(at % count);
    if at / count % 2 == 1 {
        players.reverse();
    }
    players
}

/// Does a job with each of these, so many at a time, and takes what comes on the calling thread.
fn side_by_side<T: Send, R: Send>(
    all: Vec<T>,
    together: usize,
    stop: &AtomicBool,
    job: impl Fn(T) -> R + Sync,
    mut come: impl FnMut(R),
) {
    let queue = Mutex::new(VecDeque::from(all));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..together {
            let (tell, queue, job) = (tell.clone(), &queue, &job);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(next) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) else {
                        return;
                    };
                    if tell.send(job(next)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        told.iter().for_each(&mut come);
    });
}

/// One item by one player, and how often it was played so far.
#[derive(Clone, Copy)]
struct Play<'i> {
    item: &'i Item,
    player: Player,
    times: u32,
    took: Duration,
    /// How often it differed on a machine that was punctual.
    differed: u32,
    /// How often it agreed since then.
    agreed: u32,
}

impl<'i> Play<'i> {
    const fn new(item: &'i Item, player: Player) -> Self {
        Self { item, player, times: 0, took: Duration::ZERO, differed: 0, agreed: 0 }
    }

    /// It agreed: whether that is sure.
    fn agrees(&mut self) -> bool {
        self.agreed += 1;
        self.agreed > self.differed.min(1)
    }

    /// It differed on a machine that was punctual: whether that is sure.
    fn differs(&mut self) -> bool {
        (self.differed, self.agreed) = (self.differed + 1, 0);
        self.differed > 1
    }
}

/// What came of one play.
enum Judged<'i> {
    /// It is sure.
    Done(Box<Outcome>),
    /// The machine stood still, or it came otherwise before.
    Unsure(Play<'i>, Box<Outcome>),
}

fn not_played(item: &Item, player: Player, why: String) -> Outcome {
    let verdict = Verdict::NotPlayed(why);
    Outcome { item: item.clone(), player, verdict, run: None, took: Duration::ZERO, times: 0, used: None }
}

/// Plays an item, and holds it against its prediction.
fn judge<'i>(before: Play<'i>, setup: &Setup, watch: &Watch) -> Judged<'i> {
    let began = Instant::now();
    let Play { item, player, .. } = before;
    let how = play::Setup {
        launcher: &setup.launcher,
        player,
        record: Record::Everything,
        ends: item.lasts() + AFTERWARDS.max(setup.tolerance.of(item.lasts())),
    };
    let played = play(&item.scenario, &how);
    let mut now = Play { times: before.times + 1, took: before.took + began.elapsed(), ..before };
    let Play { took, times, .. } = now;
    let outcome = |verdict, played: Option<play::Played>| {
        let used = played.as_ref().and_then(|played| played.used);
        let run = played.map(|played| Arc::new(played.run));
        Box::new(Outcome { item: item.clone(), player, verdict, run, took, times, used })
    };
    let played = match played {
        Ok(played) => played,
        // A runtime that takes its process down is no reason of the machine's.
        Err(PlayError::Died(node, why)) => {
            let what = format!("the process that runs its programs died: {why}");
            let died = vec![Difference { node, at: Duration::ZERO, what }];
            return Judged::Done(outcome(Verdict::Differs(died), None));
        }
        Err(error) => return Judged::Unsure(now, outcome(Verdict::NotPlayed(error.to_string()), None)),
    };
    let differences = compare(&item.scenario, &item.predicted, &played.run, setup.tolerance);
    let late = played.late.max(watch.latest_since(played.began)) > LATE;
    let sure = if differences.is_empty() { now.agrees() } else { !late && now.differs() };
    let verdict = if differences.is_empty() {
        Verdict::Agrees
    } else {
        deviation(item, &differences).map_or(Verdict::Differs(differences), Verdict::Deviates)
    };
    let outcome = outcome(verdict, Some(played));
    if sure { Judged::Done(outcome) } else { Judged::Unsure(now, outcome) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_comes_twice_is_sure() {
        let item = items(&["half-open".to_owned()]).remove(0);
        let new = || Play::new(&item, Player::Std);
        assert!(new().agrees());
        let mut differs = new();
        assert!(!differs.differs() && differs.differs());
        let mut once = new();
        assert!(!once.differs() && !once.agrees() && once.agrees());
        let mut again = new();
        assert!(!again.differs() && !again.agrees() && again.differs());
    }

    #[test]
    fn whoever_plays_each_order_comes_equally_often() {
        let mut orders = BTreeMap::new();
        for at in 0..60 {
            *orders.entry(in_turn(&Player::ALL, at)).or_insert(0) += 1;
        }
        assert_eq!(orders.into_values().collect::<Vec<_>>(), [10; 6]);
        assert_eq!(in_turn(&[Player::Smol], 7), [Player::Smol]);
        assert_eq!(in_turn(&[], 7), []);
    }
}
