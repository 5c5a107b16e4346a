//! Engines: what makes scenarios, tries them, and makes the ones that fail small.
//!
//! # Theory of operation
//!
//! All engines work on the same data, a [`Scenario`], and ask the same question of it, a [`Trial`]: who plays in it, and
//! what must hold. So what one finds another can shrink, and what is left is text that replays without the engine.
//!
//! ```text
//!   generate ─► soak ────┐
//!   (seed, proptest,     ├──► Trial: play, ask the oracles ──► holds
//!    fuzz bytes)         │                └──► broken ──► shrink ──► *.scn, replayed by the tests
//!   base + menu ─► explore┘
//! ```
//!
//! | engine | scenarios | what it gives |
//! |---|---|---|
//! | [`replay`](mod@replay) | one, from text | a report |
//! | [`explore`] | all with up to k faults from a menu | a certificate, or the shortest counterexample |
//! | [`soak`] | random ones, from a seed | the first that fails, shrunk |
//! | [`shrink`](mod@shrink) | simpler ones than a failing one | the simplest that still fails in the same way |
//! | [`generate`] | what the others draw from | |
//! | [`staged`] | each row of the kernel table | whether a kernel obeys it |

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub mod explore;
pub mod generate;
pub mod replay;
pub mod shrink;
pub mod soak;
pub mod staged;

use crate::faults::since_start;
use crate::oracle::{Broken, Oracle};
use crate::programs::Echo;
use crate::run::{Record, Run};
use crate::scenario::Scenario;
use crate::world::{Cast, World};

/// The rule that a program breaks that panics.
const NO_PANIC: &str = "no-panic";

/// How a scenario is judged: who plays in it, and what must hold.
///
/// ```
/// use resound_sim::engine::Trial;
/// use resound_sim::{oracle, Scenario};
///
/// let scenario: Scenario = "host a ; host b ; link a <-> b 1ms ; 0 a connect udp b:7 ; expect a up".parse()?;
/// let trial = Trial::echo().must(oracle::expected());
/// assert_eq!(trial.judge(&scenario).unwrap_err().rule, "expected");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trial<'a> {
    cast: Box<dyn Fn() -> Box<dyn Cast> + 'a>,
    oracles: Vec<Box<dyn Oracle + 'a>>,
}

impl fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trial({} oracles)", self.oracles.len())
    }
}

impl<'a> Trial<'a> {
    /// A trial with programs from this cast, which is made anew for each run.
    pub fn new<C: Cast + 'static>(cast: impl Fn() -> C + 'a) -> Self {
        Self { cast: Box::new(move || Box::new(cast())), oracles: Vec::new() }
    }

    /// A trial of the core's echo clients and servers.
    #[must_use]
    pub fn echo() -> Self {
        Self::new(|| Echo)
    }

    /// This has to hold, too.
    #[must_use]
    pub fn must(mut self, oracle: impl Oracle + 'a) -> Self {
        self.oracles.push(Box::new(oracle));
        self
    }

    /// Plays a scenario.
    #[must_use]
    pub fn play(&self, scenario: &Scenario, record: Record) -> Run {
        World::new(scenario, (self.cast)().as_mut()).play(record)
    }

    /// Plays a scenario and asks the oracles. A program that panics breaks the rule `no-panic`, one that never
    /// sleeps the rule `no-spin`.
    ///
    /// # Errors
    ///
    /// What broke the first rule that is broken.
    pub fn judge(&self, scenario: &Scenario) -> Result<Run, Broken> {
        self.judge_traced(scenario, 0)
    }

    /// The same, with the ways of the first packets.
    fn judge_traced(&self, scenario: &Scenario, packets: usize) -> Result<Run, Broken> {
        let play = || World::new(scenario, (self.cast)().as_mut()).trace(packets).play(Record::Said);
        // Nothing of a world that panicked is looked at.
        let run =
            catch_unwind(AssertUnwindSafe(play)).map_err(|panic| Broken::new(NO_PANIC, words(&*panic)))?;
        self.ask(scenario, &run)?;
        Ok(run)
    }

    /// Asks the oracles about a run.
    ///
    /// # Errors
    ///
    /// What broke the first rule that is broken.
    pub fn ask(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken> {
        no_spin(scenario, run)?;
        self.oracles.iter().try_for_each(|oracle| oracle.check(scenario, run))
    }

    /// Asks the oracles about a run: what breaks each rule that is broken.
    #[must_use]
    pub fn ask_all(&self, scenario: &Scenario, run: &Run) -> Vec<Broken> {
        let spins = no_spin(scenario, run).err();
        spins
            .into_iter()
            .chain(self.oracles.iter().filter_map(|oracle| oracle.check(scenario, run).err()))
            .collect()
    }
}

/// Always asked: no program runs for ever without time passing.
fn no_spin(scenario: &Scenario, run: &Run) -> Result<(), Broken> {
    match run.spinning() {
        None => Ok(()),
        Some(remark) => {
            let (name, at) = (scenario.name(remark.node), since_start(remark.at));
            Err(Broken::new("no-spin", format!("a program of {name} {} at {at:?}", remark.said)))
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
