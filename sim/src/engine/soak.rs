//! Random scenarios, one after the other, until one fails.
//!
//! The seed gives each scenario by its number, so that any of them can be made again; but what is kept of a failure is the
//! scenario, shrunk, as text, because the seed means another one as soon as the generator changes.

use std::fmt;

use resound_core::Rng;

use super::Trial;
use super::generate::{Draw, Mix};
use super::shrink::{self, Shrunk, shrink};
use crate::digest::Digest;
use crate::oracle::Broken;
use crate::run::Record;
use crate::scenario::Scenario;

/// A soak.
///
/// ```
/// use resound_sim::engine::Trial;
/// use resound_sim::engine::generate::Mix;
/// use resound_sim::engine::soak::Soak;
/// use resound_sim::oracle;
/// use resound_sim::scenario::NodeId;
///
/// let trial = Trial::echo().must(oracle::conservation(NodeId(0)));
/// let dry = Soak::new(1).runs(20).mix(Mix::new().udp()).run(&trial)?;
/// assert_eq!(dry.runs, 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Soak<'a> {
    seed: u64,
    runs: u64,
    most_shrinking: u32,
    generator: Box<Generator<'a>>,
}

/// What makes a scenario of what it draws.
type Generator<'a> = dyn Fn(&mut dyn Draw) -> Scenario + 'a;

impl fmt::Debug for Soak<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, runs, .. } = self;
        f.debug_struct("Soak").field("seed", seed).field("runs", runs).finish_non_exhaustive()
    }
}

/// Nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dry {
    /// How many scenarios were played.
    pub runs: u64,
    /// How many packets set out in all of them.
    pub packets: u64,
    /// Over all runs, in order.
    pub digest: u64,
}

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, packets, digest } = self;
        write!(f, "{runs} scenarios hold ({packets} packets, digest {digest:016x})")
    }
}

/// A scenario that fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Wet {
    /// Its number, from 0.
    pub number: u64,
    /// As it was drawn.
    pub found: Scenario,
    /// What it breaks.
    pub broken: Broken,
    /// What is left of it.
    pub shrunk: Shrunk,
    /// What happens in what is left.
    pub timeline: String,
}

impl fmt::Display for Wet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, shrunk: Shrunk { scenario, broken, runs }, timeline, .. } = self;
        write!(f, "{broken}\nin scenario {number}, of which {runs} runs left\n\n{scenario}\n{timeline}")
    }
}

impl std::error::Error for Wet {}

impl<'a> Soak<'a> {
    /// 1 000 scenarios of the usual mix.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mix = Mix::new();
        Self {
            seed,
            runs: 1_000,
            most_shrinking: shrink::MOST_RUNS,
            generator: Box::new(move |draw| mix.draw(draw)),
        }
    }

    /// So many scenarios.
    #[must_use]
    pub fn runs(self, runs: u64) -> Self {
        Self { runs, ..self }
    }

    /// Scenarios of this mix.
    #[must_use]
    pub fn mix(self, mix: Mix) -> Self {
        self.drawn(move |draw| mix.draw(draw))
    }

    /// Scenarios that this makes of what it draws.
    #[must_use]
    pub fn drawn(self, generator: impl Fn(&mut dyn Draw) -> Scenario + 'a) -> Self {
        Self { generator: Box::new(generator), ..self }
    }

    /// How many runs the shrinking of a failure may take.
    #[must_use]
    pub fn most_shrinking(self, runs: u32) -> Self {
        Self { most_shrinking: runs, ..self }
    }

    /// The scenario of a number, from 0.
    #[must_use]
    pub fn scenario(&self, number: u64) -> Scenario {
        let seed = self.seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (self.generator)(&mut Rng::from_seed(seed))
    }

    /// Plays them.
    ///
    /// # Errors
    ///
    /// The first that fails, shrunk.
    pub fn run(&self, trial: &Trial<'_>) -> Result<Dry, Box<Wet>> {
        let mut digest = Digest::new();
        let mut packets = 0;
        for number in 0..self.runs {
            let scenario = self.scenario(number);
            match trial.judge(&scenario) {
                Ok(run) => {
                    digest.mix(run.digest);
                    packets += run.packets;
                }
                Err(broken) => return Err(Box::new(self.wet(number, scenario, broken, trial))),
            }
        }
        Ok(Dry { runs: self.runs, packets, digest: digest.finish() })
    }

    fn wet(&self, number: u64, found: Scenario, broken: Broken, trial: &Trial<'_>) -> Wet {
        let shrunk = shrink(&found, broken.clone(), trial, self.most_shrinking);
        // What panics cannot be played to its end.
        let timeline = if shrunk.broken.rule == super::NO_PANIC {
            String::new()
        } else {
            trial.play(&shrunk.scenario, Record::Everything).timeline(&shrunk.scenario).to_string()
        };
        Wet { number, found, broken, shrunk, timeline }
    }
}
