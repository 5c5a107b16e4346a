//! What a runtime costs: counts first, times with their spread.
//!
//! # Theory of operation
//!
//! One client or one server on one runtime is a process of its own, a [`worker`]. The other side is a plain blocking loop,
//! the same for all, in the process that measures. What a worker uses is asked of the kernel from outside: its clock of
//! time on processors, its threads' voluntary context switches (they are its wake-ups), its memory, and, by a counter at a
//! tracepoint, its system calls. So measuring changes nothing in what is measured, and takes no tools. Nothing here goes
//! through the network: loopback only, no namespace, no privilege but for the counter.
//!
//! ```text
//!   measure ──┬─ pairs of each with itself ──┐      a pair: two fresh workers, in an order drawn by lot, with the
//!             ├─ pairs of each two ──────────┤              same fixed work, one after the other
//!             └─ next round                  ▼
//!                                    figures, spreads ──► comparisons (statistics.rs)
//! ```
//!
//! A round measures every pair once, each configuration against itself first, both parts in an order drawn by lot from a
//! [seed](Config::seed). What keeps processors busy is run alone; what mostly waits (idle connections, timers) is run
//! many at a time, and then both sides of a pair at the same moment.
//!
//! What the lab's plays tell of themselves is another matter, measured on real hosts with many others about: [`plays`].
//!
//! A reset stands for every end that the kernel tells of at once: of a process that is killed the kernel closes the
//! sockets just so, and how long it takes to that is not the runtime's.
//!
//! ```no_run
//! use std::process::Command;
//!
//! use resound_lab::costs::{self, Config};
//!
//! let worker = || Command::new("resound-lab-costs");
//! let costs = costs::measure(&Config::quick(7), &worker, &mut |what| eprintln!("{what}"))?;
//! println!("{costs}");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What [`measure`] starts must call [`worker::main`] with the arguments that are added to the command.

use core::time::Duration;
use std::fs;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Instant;

use resound_core::Rng;
use serde::Serialize;

mod calls;
mod ledger;
mod metric;
mod plain;
pub mod plays;
mod process;
mod runs;
pub mod statistics;
mod table;
pub mod worker;

pub use calls::Counting;
pub(crate) use calls::{Meter, Metered};
pub use metric::{Configuration, Metric, Side, Unit};
pub use statistics::{Pair, Verdict};

use ledger::{Came, Contest, Ledger};
use process::Worker;
use runs::{Run, Stage};

/// How many single times are kept for each figure.
pub const SAMPLES: usize = 1_000;

/// How many pairs that mostly wait are run at a time: few enough that their wake-ups seldom meet. They do meet:
/// each figure of such runs by itself is an upper bound.
const WAITING: usize = 5;

/// Idle ones: they do nothing that another could be in the way of.
const IDLING: usize = 20;

/// How much is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// What every order is drawn from.
    pub seed: u64,
    /// What is measured, at least one. Each is compared with each other.
    pub configurations: Vec<Configuration>,
    /// How many pairs of each two, and of each with itself. With fewer than [`statistics::LEAST_PAIRS`] nothing is called
    /// a difference.
    pub rounds: u32,
    /// Messages of a run with one in flight.
    pub single: u32,
    /// Messages of a run with 64 in flight.
    pub many: u32,
    /// Messages of a run whose system calls are counted; eight times as many with 64 in flight.
    pub counted: u32,
    /// Idle connections of a server; each takes a descriptor here and one in the server.
    pub connections: u32,
    /// Resets of a run.
    pub resets: u32,
    /// How long a connection stands before it is reset, in whole milliseconds.
    pub pause: Duration,
    /// How long a silent peer is tried, again and again, in whole milliseconds. One time takes about 45 ms.
    pub silence: Duration,
    /// How long an idle session is watched.
    pub idle: Duration,
}

impl Config {
    /// About half a minute on two processors.
    #[must_use]
    pub fn quick(seed: u64) -> Self {
        Self {
            seed,
            configurations: Configuration::ALL.to_vec(),
            rounds: 4,
            single: 300,
            many: 4_000,
            counted: 200,
            connections: 200,
            resets: 10,
            pause: Duration::from_millis(10),
            silence: Duration::from_millis(400),
            idle: Duration::from_millis(600),
        }
    }

    /// A few minutes: what differs by little is told apart.
    #[must_use]
    pub fn thorough(seed: u64) -> Self {
        Self {
            rounds: 9,
            single: 1_000,
            many: 20_000,
            counted: 500,
            resets: 20,
            silence: Duration::from_secs(1),
            idle: Duration::from_secs(2),
            ..Self::quick(seed)
        }
    }

    fn check(&self) -> io::Result<()> {
        let numbers = [self.rounds, self.single, self.many, self.counted, self.connections, self.resets];
        let wrong = if self.configurations.is_empty() {
            "there is nothing to measure: name a runtime"
        } else if numbers.contains(&0) {
            "every number must be at least 1"
        } else if self.idle.is_zero() || self.silence.is_zero() {
            "nothing can be watched for no time"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}

/// What the runtimes cost, on one machine at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// How much was measured.
    pub config: Config,
    /// Where.
    pub machine: Machine,
    /// What counted the system calls.
    pub counting: Counting,
    /// Metric by metric, counts before times, each with its configurations in order.
    pub rows: Vec<Row>,
    /// Metric by metric, each configuration with each that comes after it.
    pub comparisons: Vec<Comparison>,
    /// What went wrong, in words, without repetitions. What could be measured nevertheless is there.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// One figure of one configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Of what.
    pub metric: Metric,
    /// Of whom.
    pub configuration: Configuration,
    /// The middle of all runs; of single times, of all of them. In the metric's unit, as are those that follow.
    pub median: Option<f64>,
    /// What 99 of 100 single times did not exceed; only where there are single times.
    pub p99: Option<f64>,
    /// How far apart two runs of this very configuration came out, as a factor of at least 1.
    pub spread: Option<f64>,
    /// How it stands among the others.
    pub standing: Standing,
    /// Of each run.
    pub samples: Vec<f64>,
    /// Single times in nanoseconds, sorted; at most [`SAMPLES`], evenly over all.
    pub times: Vec<u64>,
    /// Why there is no figure.
    pub missing: Option<String>,
}

/// How a figure stands among those of the other configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It differs from none.
    Alike,
    /// None is less, and some are more.
    Least,
    /// Some are less.
    More,
}

/// Two configurations, by one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By what.
    pub metric: Metric,
    /// The one.
    pub a: Configuration,
    /// The other.
    pub b: Configuration,
    /// How many times the figure of `b` that of `a` is: the middle of the pairs.
    pub ratio: f64,
    /// How far apart each of them came out from itself, the wider of both, as a factor of at least 1.
    pub spread: f64,
    /// What `a` is, measured by `b`. Inside the spread: the same.
    pub verdict: Verdict,
    /// What was measured side by side.
    pub pairs: Vec<Pair>,
}

/// Where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The load average of the last minute, before.
    pub load_before: Option<f64>,
    /// And after: what was measured is part of it.
    pub load_after: Option<f64>,
}

impl Standing {
    /// What the star before a figure says, in a full sentence.
    pub const STAR: &'static str = "* is the least: none is less by more than chance, and some are more; judged pair by pair, so \
        its median need not be the smallest.";

    /// From what one is, measured by each of the others.
    fn of(verdicts: impl Iterator<Item = Verdict>) -> Self {
        let mut standing = Self::Alike;
        for verdict in verdicts {
            match verdict {
                Verdict::More => return Self::More,
                Verdict::Less => standing = Self::Least,
                Verdict::Same | Verdict::TooFew => {}
            }
        }
        standing
    }
}

/// What is to be known of this build before its figures: a sentence more, or nothing.
fn built() -> &'static str {
    match env!("RESOUND_LAB_BUILT").ends_with("opt-level 0") {
        true => " Built without optimization: CPU figures say little.",
        false => "",
    }
}

impl Costs {
    /// Every figure, for whoever writes it down: counts before times, each with its configurations in order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// The figure of one configuration.
    #[must_use]
    pub fn row(&self, metric: Metric, configuration: Configuration) -> Option<&Row> {
        self.rows.iter().find(|row| row.metric == metric && row.configuration == configuration)
    }
}

/// Measures. `launch` makes the command that a worker is started with, ready to get the arguments of
/// [`worker::main`]; `progress` is told now and then what is being done.
///
/// Nothing else should be running meanwhile. What fails once is left out and told ([`Costs::failures`]); what fails
/// always has a reason instead of a figure.
///
/// # Errors
///
/// The configuration cannot work, or no worker can be started.
pub fn measure(
    config: &Config,
    launch: &(dyn Fn() -> Command + Sync),
    progress: &mut dyn FnMut(&str),
) -> io::Result<Costs> {
    config.check()?;
    let began = Instant::now();
    let load_before = load();
    Worker::spawn(&mut launch(), &["server", config.configurations[0].as_str()])?.ask_address("start")?;
    let counting = Counting::here();
    let stage = Stage { config, counting: &counting, launch };
    let mut rng = Rng::from_seed(config.seed);
    let mut ledger = Ledger::default();
    for round in 1..=config.rounds {
        let (itself, between) = contests(&config.configurations, &mut rng);
        for (what, contests) in [("each against itself", &itself), ("each against each", &between)] {
            progress(&format!("costs: round {round} of {}, {what}", config.rounds));
            for contest in contests {
                let runs = Run::BUSY.iter();
                runs.for_each(|&run| ledger.enter(run, *contest, alone(&stage, run, *contest, &mut rng)));
            }
        }
        progress(&format!("costs: round {round} of {}, what waits", config.rounds));
        let contests = [itself, between].concat();
        for (run, together) in [(Run::Faults, WAITING), (Run::Idle, IDLING)] {
            for some in contests.chunks(together) {
                for (contest, came) in at_once(&stage, run, some) {
                    ledger.enter(run, contest, came);
                }
            }
        }
    }
    let machine = Machine {
        processors: thread::available_parallelism().map_or(1, core::num::NonZero::get),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string(),
        load_before,
        load_after: load(),
    };
    let comparisons = ledger.comparisons(&config.configurations);
    let rows = ledger.rows(&config.configurations, &comparisons);
    let failures = ledger.failures();
    let config = config.clone();
    Ok(Costs { config, machine, counting, rows, comparisons, failures, took: began.elapsed() })
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Each with itself, and each with each that comes after it; both in an order drawn by lot.
fn contests(configurations: &[Configuration], rng: &mut Rng) -> (Vec<Contest>, Vec<Contest>) {
    let mut itself: Vec<Contest> = configurations.iter().map(|&one| (one, one)).collect();
    let mut between = Vec::new();
    for (i, &a) in configurations.iter().enumerate() {
        between.extend(configurations[i + 1..].iter().map(|&b| (a, b)));
    }
    shuffle(&mut itself, rng);
    shuffle(&mut between, rng);
    (itself, between)
}

/// Fisher and Yates's.
fn shuffle<T>(all: &mut [T], rng: &mut Rng) {
    for i in (1..all.len()).rev() {
        let j = usize::try_from(rng.up_to(i as u64)).unwrap_or(0);
        all.swap(i, j);
    }
}

/// One after the other, in an order drawn by lot.
fn alone(stage: &Stage<'_>, run: Run, (a, b): Contest, rng: &mut Rng) -> Came {
    if rng.up_to(1) == 0 {
        let first = run.play(stage, a);
        [first, run.play(stage, b)]
    } else {
        let first = run.play(stage, b);
        [run.play(stage, a), first]
    }
}

/// All of them at the same moment.
fn at_once(stage: &Stage<'_>, run: Run, contests: &[Contest]) -> Vec<(Contest, Came)> {
    thread::scope(|scope| {
        let begin = |on: Configuration| scope.spawn(move || run.play(stage, on));
        let all: Vec<_> = contests.iter().map(|&(a, b)| ((a, b), [begin(a), begin(b)])).collect();
        let end = |running: thread::ScopedJoinHandle<'_, _>| {
            running.join().unwrap_or_else(|_| Err(io::Error::other("a run has panicked")))
        };
        all.into_iter().map(|(contest, running)| (contest, running.map(end))).collect()
    })
}
