//! The simplest scenario that still fails in the same way.
//!
//! # Theory of operation
//!
//! Shrinking works on the scenario, not on the numbers that it was drawn from: what is left out is a fault, not a byte.
//! It goes through passes, and each pass offers candidates, of which the first that breaks the same rule is kept:
//!
//! 1. leave out: chunks of faults, of the script, of the expectations (the half, the quarter … one; Zeller and Hildebrandt,
//!    "Simplifying and isolating failure-inducing input", 2002), a line while faults move to earlier packets, then
//!    settings, hosts and routers that nobody needs;
//! 2. weaken: a link's noise becomes the very packets that it lost, each fault the next weaker one of the [`weaker`] table;
//! 3. round: times to whole seconds, tenths, hundredths, but nothing that takes time to less than a millisecond, so that
//!    a timeline of what is left can be read; texts to a letter.
//!
//! When all of them were offered in vain, it is over. It is deterministic, and bounded by a number of runs.

use std::time::Duration;

use super::Trial;
use crate::oracle::Broken;
use crate::scenario::Scenario;

mod passes;
mod reduce;
mod weaken;

pub use weaken::weaker;

/// How many runs it takes at most, unless somebody says otherwise.
pub const MOST_RUNS: u32 = 20_000;

/// What is left of a scenario that fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// The simplest that was found.
    pub scenario: Scenario,
    /// What it breaks: the same rule.
    pub broken: Broken,
    /// How many runs it took.
    pub runs: u32,
}

/// Makes a failing scenario simple. `broken` is what it breaks.
#[must_use]
pub fn shrink(failing: &Scenario, broken: Broken, trial: &Trial<'_>, most_runs: u32) -> Shrunk {
    let mut descent = Descent::new(failing.clone());
    let mut last = broken;
    let mut runs = 0;
    while runs < most_runs {
        let Some(candidate) = descent.offer() else { break };
        runs += 1;
        match trial.judge(candidate) {
            Err(again) if again.rule == last.rule => {
                last = again;
                descent.keep();
            }
            _ => descent.discard(),
        }
    }
    Shrunk { scenario: descent.best, broken: last, runs }
}

/// A descent from a failing scenario, candidate by candidate, for whoever decides what fails.
///
/// ```
/// use resound_sim::engine::shrink::Descent;
/// use resound_sim::Scenario;
///
/// // Whatever has two hosts, fails.
/// let failing: Scenario = "host a ; host b ; host c ; link a <-> b 1ms ; link b <-> c 7ms".parse()?;
/// let mut descent = Descent::new(failing);
/// while let Some(candidate) = descent.offer() {
///     if candidate.nodes.len() >= 2 { descent.keep() } else { descent.discard() }
/// }
/// assert_eq!(descent.best().nodes.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Descent {
    best: Scenario,
    candidate: Scenario,
    passes: &'static [passes::Pass],
    /// Which pass, and which of its candidates.
    pass: usize,
    at: usize,
    /// Whether anything was kept since the first pass began.
    kept: bool,
}

impl Descent {
    /// From this failing scenario.
    #[must_use]
    pub fn new(failing: Scenario) -> Self {
        Self::through(passes::ALL, failing)
    }

    /// From this failing scenario, of which only the faults may change.
    #[must_use]
    pub fn of_faults(failing: Scenario) -> Self {
        Self::through(passes::OF_FAULTS, failing)
    }

    fn through(passes: &'static [passes::Pass], failing: Scenario) -> Self {
        Self { candidate: failing.clone(), best: failing, passes, pass: 0, at: 0, kept: false }
    }

    /// What was offered last.
    #[must_use]
    pub const fn candidate(&self) -> &Scenario {
        &self.candidate
    }

    /// The simplest that is known to fail.
    #[must_use]
    pub const fn best(&self) -> &Scenario {
        &self.best
    }

    /// A simpler one, to be [kept](Self::keep) if it fails and [discarded](Self::discard) if not. `None`: there is none
    /// left.
    pub fn offer(&mut self) -> Option<&Scenario> {
        loop {
            let Some(pass) = self.passes.get(self.pass) else {
                if !self.kept {
                    return None;
                }
                (self.pass, self.at, self.kept) = (0, 0, false);
                continue;
            };
            match pass(&self.best, self.at) {
                passes::Offer::Candidate(candidate)
                    if candidate.check().is_ok() && candidate != self.best =>
                {
                    self.candidate = candidate;
                    return Some(&self.candidate);
                }
                passes::Offer::Candidate(_) | passes::Offer::Nothing => self.at += 1,
                passes::Offer::Done => (self.pass, self.at) = (self.pass + 1, 0),
            }
        }
    }

    /// The one that was offered fails: go on from there.
    pub fn keep(&mut self) {
        std::mem::swap(&mut self.best, &mut self.candidate);
        self.kept = true;
    }

    /// The one that was offered does not fail in that way.
    pub fn discard(&mut self) {
        self.at += 1;
    }
}

/// A time that is rounder: a whole second below, then tenths, hundredths, milliseconds. The least first.
fn rounder(time: Duration, least: Duration, nth: usize) -> Option<Duration> {
    const GRAINS: [u64; 4] = [1_000, 100, 10, 1];
    let rounded = match nth {
        0 => least,
        _ => {
            let grain = GRAINS.get(nth - 1)?;
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(millis / grain * grain).max(least)
        }
    };
    // Once it is as round as that, finer grains change nothing.
    (rounded < time).then_some(rounded)
}
