//! What the lab's plays themselves tell of what each runtime costs.
//!
//! # Theory of operation
//!
//! Each host of a play is a process, and when it ends its kernel knows what it [used](crate::agent::Used). So whatever is
//! played, is measured: on real hosts, through a network with faults, with everything that the scenario asks for, while other
//! plays run beside it. The runtimes play each scenario in a row, and what is compared is always a pair: two runtimes in the
//! same scenario over the same IP version ([`signs`]).
//!
//! ```text
//!   outcomes ──┬── std    half-open IPv4   31 switches ─┐
//!              ├── tokio  half-open IPv4   34 switches ─┴─ a pair ─┐
//!              ├── std    rst-exact IPv6   12 switches ─┐          ├──► signs: less 90, more 41
//!              └── tokio  rst-exact IPv6   17 switches ─┴─ a pair ─┘
//! ```
//!
//! A play counts if it came as predicted, or otherwise for a known reason, for only then all did the same; and at its first
//! go, for those that are repeated run with fewer others about. What differs in the [`Control`] too is no difference.
//!
//! Counts are of everything that a process did since it was ready: the runtime's share and the words it says to the lab,
//! which are the same for all. [`measure`](super::measure()) knows that better of a single client or server that has nothing
//! else to do, and knows what plays do not tell: memory for each connection, idleness, several threads.

use crate::agent::Used;
use crate::agreement::round_trips;
use crate::suite::{Outcome, Player};

use resound_sim::scenario::Command;

use super::statistics::{Pair, Verdict, median, percentile};
use super::{Standing, built};

mod measure;
pub mod signs;
mod table;

pub use measure::Measure;
use signs::{Judgement, Signs};

/// What the plays of a run tell.
#[derive(Clone, Debug)]
pub struct Plays {
    /// Who played.
    pub players: Vec<Player>,
    /// How many plays count.
    pub counted: usize,
    /// How many were played and do not.
    pub left_out: usize,
    /// How many messages came back in one that counts, at most.
    pub messages: usize,
    /// Measure by measure, each with its players in order.
    pub rows: Vec<Row>,
    /// Measure by measure, each player with each that comes after it; without [those](Measure::is_compared) that tell nothing
    /// of a runtime.
    pub comparisons: Vec<Comparison>,
    /// The same of plays in which no runtime has a part.
    pub control: Control,
}

/// Plays of single calls: whichever runtime plays them, the very same is done. What is told apart there, is by chance or by
/// what is wrong with the measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// How many plays.
    pub counted: usize,
    /// As those of the others.
    pub comparisons: Vec<Comparison>,
}

/// One measure of one player.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of what.
    pub measure: Measure,
    /// Of whom.
    pub player: Player,
    /// How many values there are.
    pub values: usize,
    /// What half of them did not exceed, in the measure's unit; `None` if there are none.
    pub median: Option<f64>,
    /// What 99 of 100 did not exceed.
    pub p99: Option<f64>,
    /// How it stands among the others.
    pub standing: Standing,
}

/// Two players, by one measure, scenario by scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// By what.
    pub measure: Measure,
    /// The one.
    pub a: Player,
    /// The other.
    pub b: Player,
    /// How many there are.
    pub pairs: usize,
    /// How many times the figure of `b` that of `a` is: the middle of the pairs.
    pub ratio: f64,
    /// In how many pairs `a` was less, or more.
    pub signs: Signs,
    /// What `a` is, measured by `b`. The same, if the control tells them apart too.
    pub verdict: Verdict,
}

impl Plays {
    /// Of all that was played; `None` if nothing of it counts.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Option<Self> {
        let (played, single): (Vec<&Outcome>, Vec<&Outcome>) = outcomes
            .iter()
            .filter(|outcome| outcome.run.is_some())
            .partition(|outcome| on_a_runtime(outcome));
        let counted = Counted::all(&played);
        if counted.is_empty() {
            return None;
        }
        let players = players(&counted);
        let control = Control::of(&single);
        let (mut rows, mut comparisons) = (Vec::new(), Vec::new());
        for measure in Measure::ALL {
            let mut of_measure = compared(measure, &players, &counted);
            for of in of_measure.iter_mut().filter(|of| of.verdict.is_difference() && control.tells_apart(of))
            {
                of.verdict = Verdict::Same;
            }
            let row = |&player| row(player, &told(measure, player, &counted), measure, &of_measure);
            rows.extend(players.iter().map(row));
            comparisons.extend(of_measure);
        }
        let left_out = played.len() - counted.len();
        let messages = counted.iter().map(|play| round_trips(play.outcome).len()).max().unwrap_or(0);
        Some(Self { counted: counted.len(), left_out, messages, rows, comparisons, control, players })
    }

    /// A measure of a player.
    #[must_use]
    pub fn row(&self, measure: Measure, player: Player) -> Option<&Row> {
        self.rows.iter().find(|row| row.measure == measure && row.player == player)
    }

    /// How it was measured, in full sentences.
    #[must_use]
    pub fn how(&self) -> String {
        let left_out = match self.left_out {
            0 => String::new(),
            1 => String::from("; 1 more does not, because it was repeated or came otherwise"),
            more => format!("; {more} more do not, because they were repeated or came otherwise"),
        };
        let counted = |row: &Row| row.measure == Measure::Calls && row.values > 0;
        let calls = match self.rows.iter().any(counted) {
            true => "",
            false => " System calls were not counted: the kernel may not be asked for them here.",
        };
        format!(
            "In the plays themselves, of the processes of all hosts of a play, from when they were ready to their end. The \
             runtimes played each scenario in a row, in each order equally often, many plays at a time. {} plays count{left_out}. \
             Smol ran on one thread, tokio on its current-thread flavour.{calls}{}",
            self.counted,
            built()
        )
    }

    /// That nothing can be told apart, if no two have pairs enough, in a full sentence.
    #[must_use]
    pub fn too_few(&self) -> Option<String> {
        let most = self.comparisons.iter().map(|of| of.pairs).max()?;
        let sentence =
            || format!("Too few pairs ({most}) to tell anything apart: {} are wanted.", signs::LEAST_PAIRS);
        (most < signs::LEAST_PAIRS).then(sentence)
    }

    /// What is compared, in full sentences.
    pub const PAIRS: &'static str = "Each two in the same scenario over the same IP version are a pair. A ratio is the middle of \
        all pairs; behind it stands in how many of them the first was less, and in how many more. It is called a difference only \
        if a coin would fall as unevenly less than once in 10 000 times; fewer than 15 pairs are too few for that.";
}

impl Control {
    fn of(single: &[&Outcome]) -> Self {
        let counted = Counted::all(single);
        let players = players(&counted);
        let compared = |measure| compared(measure, &players, &counted);
        Self { counted: counted.len(), comparisons: Measure::ALL.into_iter().flat_map(compared).collect() }
    }

    /// Whether this couple differs by this measure here as well.
    fn tells_apart(&self, of: &Comparison) -> bool {
        let same = |own: &&Comparison| (own.measure, own.a, own.b) == (of.measure, of.a, of.b);
        self.comparisons.iter().find(same).is_some_and(|own| own.verdict.is_difference())
    }

    /// What came of it, in a full sentence; empty if there is nothing to compare.
    #[must_use]
    pub fn verdict(&self) -> String {
        let told_apart = self.comparisons.iter().filter(|of| of.verdict.is_difference());
        let told_apart: Vec<String> = told_apart
            .map(|of| format!("{} ({}, {})", of.measure.name(), of.a.as_str(), of.b.as_str()))
            .collect();
        let tells = match told_apart.len() {
            _ if self.comparisons.is_empty() => return String::new(),
            0 if self.comparisons.iter().all(|of| of.verdict == Verdict::TooFew) => {
                String::from("nothing, for there are too few")
            }
            0 => String::from("nothing apart"),
            1 => format!("apart: {}, so no difference in it is called one", told_apart[0]),
            _ => format!("apart: {}, so no difference in them is called one", told_apart.join("; ")),
        };
        format!(
            "The same of {} plays of single calls, in which no runtime has a part, tells {tells}.",
            self.counted
        )
    }
}

/// Whether there are servers or clients in it: single calls are the same on every runtime.
fn on_a_runtime(outcome: &Outcome) -> bool {
    let is_program = |command: &Command| matches!(command, Command::Serve(..) | Command::Connect(..));
    outcome.item.scenario.script.iter().any(|line| is_program(&line.command))
}

/// A play that counts.
struct Counted<'o> {
    outcome: &'o Outcome,
    used: &'o Used,
}

impl<'o> Counted<'o> {
    fn all(outcomes: &[&'o Outcome]) -> Vec<Self> {
        outcomes.iter().filter_map(|outcome| Self::of(outcome)).collect()
    }

    fn of(outcome: &'o Outcome) -> Option<Self> {
        use crate::verdict::Verdict::{Agrees, Deviates};
        let counts = outcome.times == 1 && matches!(outcome.verdict, Agrees | Deviates(_));
        let used = outcome.used.as_ref().filter(|_| counts)?;
        Some(Self { outcome, used })
    }
}

/// Those of whom there is something, in the order of the columns.
fn players(counted: &[Counted<'_>]) -> Vec<Player> {
    let is_there = |player: &Player| counted.iter().any(|play| play.outcome.player == *player);
    Player::ALL.into_iter().filter(is_there).collect()
}

/// Each player with each that comes after it.
fn compared(measure: Measure, players: &[Player], counted: &[Counted<'_>]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    if !measure.is_compared() {
        return comparisons;
    }
    for (at, &a) in players.iter().enumerate() {
        let of_a = told(measure, a, counted);
        comparisons.extend(players[at + 1..].iter().filter_map(|&b| {
            let pairs = pairs(&of_a, &told(measure, b, counted));
            let Judgement { ratio, signs, verdict } = signs::judge(&pairs, measure.resolution())?;
            Some(Comparison { measure, a, b, pairs: pairs.len(), ratio, signs, verdict })
        }));
    }
    comparisons
}

/// What a play tells of a measure.
struct Told<'o> {
    outcome: &'o Outcome,
    values: Vec<f64>,
}

fn told<'o>(measure: Measure, player: Player, counted: &[Counted<'o>]) -> Vec<Told<'o>> {
    let of_player = counted.iter().filter(|play| play.outcome.player == player);
    let told =
        of_player.map(|play| Told { outcome: play.outcome, values: measure.of(play.outcome, play.used) });
    told.filter(|told| !told.values.is_empty()).collect()
}

/// The same scenario over the same IP version; of several values of a play the middle.
fn pairs(of_a: &[Told<'_>], of_b: &[Told<'_>]) -> Vec<Pair> {
    let of_b = |a: &Outcome| {
        let same =
            |b: &&Told<'_>| b.outcome.item.name == a.item.name && b.outcome.item.version == a.item.version;
        of_b.iter().find(same)
    };
    let pair = |a: &Told<'_>| Some(Pair { a: median(&a.values)?, b: median(&of_b(a.outcome)?.values)? });
    of_a.iter().filter_map(pair).collect()
}

fn row(player: Player, told: &[Told<'_>], measure: Measure, comparisons: &[Comparison]) -> Row {
    let mut values: Vec<u64> =
        told.iter().flat_map(|told| &told.values).map(|value| value.round() as u64).collect();
    values.sort_unstable();
    let of_values = |percent| percentile(&values, percent).map(|value| value as f64);
    let verdicts = comparisons.iter().filter_map(|comparison| match comparison.verdict {
        verdict if comparison.a == player => Some(verdict),
        verdict if comparison.b == player => Some(verdict.reversed()),
        _ => None,
    });
    let standing = Standing::of(verdicts);
    Row { measure, player, values: values.len(), median: of_values(50), p99: of_values(99), standing }
}
