//! Strategies for [proptest](https://docs.rs/proptest), which shrink on the scenario.
//!
//! ```
//! use proptest::prelude::*;
//! use resound_sim::engine::Trial;
//! use resound_sim::engine::generate::Mix;
//! use resound_sim::oracle;
//! use resound_sim::scenario::NodeId;
//!
//! proptest!(ProptestConfig::with_cases(16), |(scenario in resound_sim::proptest::scenarios(Mix::new().udp()))| {
//!     let trial = Trial::echo().must(oracle::conservation(NodeId(0)));
//!     if let Err(broken) = trial.judge(&scenario) {
//!         return Err(TestCaseError::fail(format!("{broken}\n{scenario}")));
//!     }
//! });
//! ```
//!
//! Shrinking goes through the same candidates as [`engine::shrink`](crate::engine::shrink): what fails is made simple by
//! leaving out faults and lines, not by drawing other numbers. It stops after `max_shrink_iters` of proptest's
//! configuration.

use proptest::prelude::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use resound_core::Rng;

use crate::engine::generate::Mix;
use crate::engine::shrink::Descent;
use crate::scenario::Scenario;

/// Scenarios of this mix.
#[must_use]
pub const fn scenarios(mix: Mix) -> Scenarios {
    Scenarios { mix, base: None }
}

/// This scenario, with faults of this mix added. Only faults are left out and weakened when it shrinks.
#[must_use]
pub const fn faults(base: Scenario, mix: Mix) -> Scenarios {
    Scenarios { mix, base: Some(base) }
}

/// See [`scenarios`] and [`faults`].
#[derive(Clone, Debug)]
pub struct Scenarios {
    mix: Mix,
    base: Option<Scenario>,
}

impl Strategy for Scenarios {
    type Tree = Tree;
    type Value = Scenario;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut source = Rng::from_seed(any::<u64>().new_tree(runner)?.current());
        let descent = match &self.base {
            None => Descent::new(self.mix.draw(&mut source)),
            Some(base) => {
                let mut scenario = base.clone();
                self.mix.draw_faults(&mut source, &mut scenario);
                Descent::of_faults(scenario)
            }
        };
        Ok(Tree { descent, offered: false })
    }
}

/// A scenario that becomes simpler as long as it fails.
#[derive(Clone, Debug)]
pub struct Tree {
    descent: Descent,
    /// Whether the present one is a candidate, of which nobody knows yet whether it fails.
    offered: bool,
}

impl ValueTree for Tree {
    type Value = Scenario;

    fn current(&self) -> Scenario {
        if self.offered { self.descent.candidate().clone() } else { self.descent.best().clone() }
    }

    fn simplify(&mut self) -> bool {
        if self.offered {
            self.descent.keep();
        }
        self.offered = self.descent.offer().is_some();
        self.offered
    }

    fn complicate(&mut self) -> bool {
        if !self.offered {
            return false;
        }
        self.descent.discard();
        self.offered = self.descent.offer().is_some();
        self.offered
    }
}
