//! Oracles: what has to hold of a run, whatever went wrong in it.
//!
//! An oracle sees the scenario and what came of it, never the inside of a machine or of a kernel. Rules of one scenario
//! stand in it as expectations ([`expected`]); the others here hold for every one, so that engines can try scenarios that
//! nobody has written. A closure is an oracle too.
//!
//! ```
//! use resound_sim::oracle::{self, Broken, Oracle};
//! use resound_sim::{Echo, Record, Run, Scenario, World};
//!
//! let scenario: Scenario = "
//!     host client ; host server
//!     link client <-> server 10ms
//!     0.0 server serve udp 7 ; 0.0 client connect udp server:7 ; 0.5 client send \"hello\"
//! ".parse()?;
//! let run = World::new(&scenario, &mut Echo).play(Record::Said);
//! let client = scenario.node("client").unwrap();
//! oracle::conservation(client).check(&scenario, &run)?;
//!
//! let few_packets = |_: &Scenario, run: &Run| {
//!     if run.packets < 100 { Ok(()) } else { Err(Broken::new("few packets", "there were too many")) }
//! };
//! few_packets.check(&scenario, &run)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A multi-peer client puts its peer's name before what it says; the oracles here keep its peers apart.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use resound_core::Instant;

use crate::faults::{begins, since_start};
use crate::run::{Record, Remark, Run};
use crate::scenario::{NodeId, Scenario};
use crate::world::{Cast, World};

mod conservation;
mod gist;
mod liveness;

pub use conservation::{Conservation, conservation};
pub use liveness::{bounded_attempts, conviction_within, settles_after_healing};

/// A rule that every run has to keep.
pub trait Oracle {
    /// Whether this run keeps it.
    ///
    /// # Errors
    ///
    /// What broke which rule.
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken>;
}

impl<F: Fn(&Scenario, &Run) -> Result<(), Broken>> Oracle for F {
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken> {
        self(scenario, run)
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broken {
    /// The rule's name: shrinking keeps it.
    pub rule: Cow<'static, str>,
    /// What broke it.
    pub what: String,
}

impl Broken {
    /// This rule, broken by this.
    pub fn new(rule: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self { rule: rule.into(), what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl Error for Broken {}

// Of the scenario itself.

/// What the scenario expects has come true.
#[must_use]
pub fn expected() -> impl Oracle {
    |scenario: &Scenario, run: &Run| match scenario.unmet(&run.said).first() {
        None => Ok(()),
        Some(unmet) => Err(Broken::new("expected", unmet.to_string())),
    }
}

/// Every line of the script was done, unless its host is expected to refuse one. Not for scenarios in which faults end programs
/// that are asked for something later.
#[must_use]
pub fn nothing_refused() -> impl Oracle {
    |scenario: &Scenario, run: &Run| match run.refused(scenario).next() {
        None => Ok(()),
        Some(remark) => Err(Broken::new("nothing-refused", tell(scenario, remark))),
    }
}

/// Every fault came to something, unless it is marked as one that may not.
#[must_use]
pub fn nothing_inert() -> impl Oracle {
    |scenario: &Scenario, run: &Run| {
        let mut inert = run.inert().filter(|(fault, _)| !scenario.faults[fault.0 as usize].may_be_inert);
        match inert.next() {
            None => Ok(()),
            Some((fault, why)) => {
                let fault = scenario.show(&scenario.faults[fault.0 as usize]).to_string();
                Err(Broken::new("nothing-inert", format!("{fault}: {why}")))
            }
        }
    }
}

/// The same scenario gives the same run. It is played once more, by a cast made anew.
pub fn deterministic<C: Cast>(cast: impl Fn() -> C) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let again = World::new(scenario, &mut cast()).play(Record::Said);
        if again.digest == run.digest {
            return Ok(());
        }
        let [first, second] = [run.digest, again.digest];
        Err(Broken::new("deterministic", format!("played twice, it gave {first:016x} and {second:016x}")))
    }
}

// Of what programs say.

/// Each remark is as this says.
pub fn always(rule: impl Into<Cow<'static, str>>, is: impl Fn(&Remark) -> bool) -> impl Oracle {
    let rule = rule.into();
    move |scenario: &Scenario, run: &Run| match run.said.iter().find(|remark| !is(remark)) {
        None => Ok(()),
        Some(remark) => Err(Broken::new(rule.clone(), tell(scenario, remark))),
    }
}

/// This host never says anything that begins with these words.
pub fn never(node: NodeId, words: impl Into<String>) -> impl Oracle {
    let words = words.into();
    move |scenario: &Scenario, run: &Run| match first(run, node, &words, Instant::EPOCH) {
        None => Ok(()),
        Some(remark) => Err(Broken::new(format!("never {words}"), tell(scenario, remark))),
    }
}

/// This host says something that begins with these words, by this time after the start.
pub fn eventually_within(node: NodeId, words: impl Into<String>, by: Duration) -> impl Oracle {
    let words = words.into();
    move |scenario: &Scenario, run: &Run| {
        let by_then = first(run, node, &words, Instant::EPOCH).filter(|remark| since_start(remark.at) <= by);
        by_then.map(|_| ()).ok_or_else(|| {
            let name = scenario.name(node);
            Broken::new(format!("eventually {words}"), format!("{name} did not say so within {by:?}"))
        })
    }
}

/// Whenever this host says the one, it says the other within this time, unless the run ends before.
pub fn leads_to(
    node: NodeId,
    one: impl Into<String>,
    other: impl Into<String>,
    within: Duration,
) -> impl Oracle {
    let (one, other) = (one.into(), other.into());
    move |scenario: &Scenario, run: &Run| {
        let causes = run.said_by(node).filter(|remark| begins(&remark.said.to_string(), &one));
        for cause in causes {
            let due = cause.at + within;
            let came = first(run, node, &other, cause.at).is_some_and(|remark| remark.at <= due);
            if !came && since_start(due) <= scenario.until {
                let what = format!("{}, but not {other:?} within {within:?}", tell(scenario, cause));
                return Err(Broken::new(format!("{one} leads to {other}"), what));
            }
        }
        Ok(())
    }
}

fn first<'r>(run: &'r Run, node: NodeId, words: &str, from: Instant) -> Option<&'r Remark> {
    run.said_by(node).find(|remark| remark.at >= from && begins(&remark.said.to_string(), words))
}

fn tell(scenario: &Scenario, Remark { at, node, said }: &Remark) -> String {
    format!("{} said \"{said}\" at {:?}", scenario.name(*node), since_start(*at))
}
