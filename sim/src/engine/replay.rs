//! One scenario, played and judged by every oracle that holds for all.

use std::fmt;
use std::time::Duration;

use super::Trial;
use crate::oracle::{self, Broken};
use crate::programs::Echo;
use crate::run::{Record, Run};
use crate::scenario::{Command, NodeId, Scenario};

/// The floor of the core's backoff: its default.
const FLOOR: Duration = Duration::from_millis(250);

/// How long the core's clients may take until they are up again, with default knobs: a conviction (30 s), the longest wait
/// (30 s), a round of dialing that fails (20 s) and one that does not, and a margin.
const SETTLED: Duration = Duration::from_secs(110);

/// What a replay gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario.
    pub scenario: Scenario,
    /// What happened in it; everything was recorded.
    pub run: Run,
    /// What it breaks.
    pub broken: Vec<Broken>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.run.timeline(&self.scenario))?;
        self.broken.iter().try_for_each(|broken| writeln!(f, "{broken}"))
    }
}

/// The trial that every scenario of echo clients and servers has to pass: what it expects; no inert faults; no refused lines; the same run
/// twice; no message forgotten or doubled, bounded attempts, and peace after the last fault, for each of its clients.
#[must_use]
pub fn standard(scenario: &Scenario) -> Trial<'static> {
    let mut trial = Trial::echo()
        .must(oracle::expected())
        .must(oracle::nothing_inert())
        .must(oracle::nothing_refused())
        .must(oracle::deterministic(|| Echo));
    for client in clients(scenario) {
        trial = trial
            .must(oracle::conservation(client))
            .must(oracle::bounded_attempts(client, FLOOR))
            .must(oracle::settles_after_healing(client, SETTLED));
    }
    trial
}

/// The hosts on which an echo client is asked for.
#[must_use]
pub fn clients(scenario: &Scenario) -> Vec<NodeId> {
    let connects = scenario.script.iter().filter(|line| matches!(line.command, Command::Connect(..)));
    let mut hosts: Vec<NodeId> = connects.map(|line| line.host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Plays a scenario and asks every oracle of the trial.
#[must_use]
pub fn replay(scenario: &Scenario, trial: &Trial<'_>) -> Report {
    let run = trial.play(scenario, Record::Everything);
    let broken = trial.ask_all(scenario, &run);
    Report { scenario: scenario.clone(), run, broken }
}
