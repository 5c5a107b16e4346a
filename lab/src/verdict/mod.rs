//! A prediction and what came: agreement, or in what they differ.
//!
//! # Theory of operation
//!
//! Two runs of one scenario are held against each other host by host: what its programs said, in order, word by word; and
//! when. Of a word that carries a time of its own (`retry 1 230ms`) the time is left out, because it is compared as what it
//! is: the time of what follows. The reason and the origin of each end are among the words, so they are compared too.
//!
//! What was said at a time is within [tolerance](Tolerance) of its prediction, or a difference. A
//! [`Deviation`] names a difference that is known, and why it is right that there is one.

use std::fmt;
use std::time::Duration;

use resound_core::signal::Version;
use resound_sim::run::Remark;
use resound_sim::scenario::{NodeId, Said};
use resound_sim::{Run, Scenario};

mod deviations;

pub use deviations::{DEVIATIONS, Deviation, deviation};

/// How far a time may be from its prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Always.
    pub least: Duration,
    /// As a part of the time predicted, in percent: kernels' timers round, and grow with what they measured.
    pub percent: u32,
}

impl Default for Tolerance {
    /// 150 ms and a tenth: the kernel's coarse timers have a granularity of an eighth (`kernel/time/timer.c`).
    fn default() -> Self {
        Self { least: Duration::from_millis(150), percent: 10 }
    }
}

impl Tolerance {
    /// By how much a time that was predicted like this may be off.
    #[must_use]
    pub fn of(&self, predicted: Duration) -> Duration {
        self.least + predicted * self.percent / 100
    }
}

/// In what two runs differ: one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of which host's programs.
    pub node: NodeId,
    /// When, of the prediction or of what came instead.
    pub at: Duration,
    /// In words.
    pub what: String,
}

/// What came of holding a run against its prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same words in the same order, in time.
    Agrees,
    /// It differs in what is known, and said why.
    Deviates(&'static Deviation),
    /// It differs.
    Differs(Vec<Difference>),
    /// It was not played: why not.
    NotPlayed(String),
}

impl Verdict {
    /// In one word: `agrees`, `deviates`, `differs`, `not-played`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Deviates(_) => "deviates",
            Self::Differs(_) => "differs",
            Self::NotPlayed(_) => "not-played",
        }
    }
}

/// What a remark is compared by: its words without the times that they carry.
#[must_use]
pub fn words(said: &Said) -> String {
    match said {
        Said::Retry { level, .. } => format!("retry {level}"),
        Said::Stalled(_) => String::from("stall"),
        said => without_time(&said.to_string()),
    }
}

/// The same of words that came as text.
fn without_time(said: &str) -> String {
    let mut words = said.split(' ');
    match words.next() {
        Some("retry") => format!("retry {}", words.next().unwrap_or_default()),
        Some("stall") => String::from("stall"),
        _ => said.to_owned(),
    }
}

/// Holds a run against its prediction.
#[must_use]
pub fn compare(scenario: &Scenario, predicted: &Run, came: &Run, tolerance: Tolerance) -> Vec<Difference> {
    let mut differences = Vec::new();
    for at in 0..scenario.nodes.len() {
        let node = NodeId(at as u8);
        differences.extend(compare_node(node, predicted, came, tolerance));
    }
    differences
}

/// The first difference of one host: what follows it mostly follows from it.
fn compare_node(node: NodeId, predicted: &Run, came: &Run, tolerance: Tolerance) -> Option<Difference> {
    let (mut expected, mut heard) = (predicted.said_by(node), came.said_by(node));
    loop {
        let (at, what) = match (expected.next(), heard.next()) {
            (None, None) => return None,
            (Some(missing), None) => (missing, format!("{} did not come", Told(missing))),
            (None, Some(more)) => (more, format!("{} was not predicted", Told(more))),
            (Some(expected), Some(heard)) if words(&expected.said) != words(&heard.said) => {
                (expected, format!("{} was predicted, {} came", Told(expected), Told(heard)))
            }
            (Some(expected), Some(heard)) => {
                let (predicted, at) = (since_start(expected), since_start(heard));
                let off = predicted.abs_diff(at);
                if off <= tolerance.of(predicted) {
                    continue;
                }
                let way = if at > predicted { "late" } else { "early" };
                (expected, format!("{} came {:.3} s too {way}", Told(expected), off.as_secs_f64()))
            }
        };
        return Some(Difference { node, at: since_start(at), what });
    }
}

fn since_start(remark: &Remark) -> Duration {
    resound_sim::faults::since_start(remark.at)
}

/// A remark as a difference names it.
struct Told<'a>(&'a Remark);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" at {:.3} s", words(&self.0.said), since_start(self.0).as_secs_f64())
    }
}

/// The IP version as people write it.
#[must_use]
pub const fn version_name(version: Version) -> &'static str {
    match version {
        Version::V4 => "IPv4",
        Version::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use resound_core::Instant;
    use resound_sim::{Echo, Record, World};

    use super::*;

    const CLIENT: NodeId = NodeId(0);

    fn scenario(delay: &str, fault: &str) -> Scenario {
        let text = format!(
            "host client ; host server
             link client <-> server {delay}
             0 server serve 7
             0 client connect server:7 idle=1s probe=500ms misses=2
             1 client send \"hello\"
             {fault}
             until 20"
        );
        text.parse().expect("a scenario")
    }

    fn run(scenario: &Scenario) -> Run {
        World::new(scenario, &mut Echo).play(Record::Said)
    }

    fn differences(predicted: &Scenario, came: &Scenario) -> Vec<String> {
        let [predicted_run, came] = [predicted, came].map(run);
        let found = compare(predicted, &predicted_run, &came, Tolerance::default());
        found.into_iter().map(|difference| format!("{}: {}", difference.node.0, difference.what)).collect()
    }

    #[test]
    fn a_run_agrees_with_itself_and_with_one_that_is_a_little_slower() {
        let fault = "!5 server kill";
        let quick = scenario("1ms", fault);
        assert_eq!(differences(&quick, &quick), [""; 0]);
        assert_eq!(differences(&quick, &scenario("20ms", fault)), [""; 0]);
    }

    #[test]
    fn what_comes_otherwise_is_named_with_both_sides() {
        let (killed, dead) = (scenario("1ms", "!5 server kill"), scenario("1ms", "!5 server power-loss"));
        let found = differences(&killed, &dead);
        assert_eq!(
            found[0],
            "0: \"down closed peer\" at 5.001 s was predicted, \"suspect 1\" at 6.044 s came"
        );
    }

    #[test]
    fn what_is_late_and_what_is_missing_is_a_difference() {
        let (early, late) = (scenario("1ms", "!5 server kill"), scenario("1ms", "!7 server kill"));
        assert_eq!(differences(&early, &late)[0], "0: \"down closed peer\" at 5.001 s came 2.000 s too late");
        assert_eq!(
            differences(&late, &early)[0],
            "0: \"down closed peer\" at 7.001 s came 2.000 s too early"
        );
        let nothing = scenario("1ms", "");
        let missing = differences(&early, &nothing);
        assert_eq!(missing[0], "0: \"down closed peer\" at 5.001 s did not come");
    }

    #[test]
    fn a_time_within_the_words_is_not_compared() {
        let retry = |delay| Said::Retry { level: 2, delay: Duration::from_millis(delay) };
        assert_eq!(words(&retry(10)), words(&Said::other("retry 2 99ms")));
        assert_ne!(words(&retry(10)), words(&Said::other("retry 3 10ms")));
        let [a, b] = [10, 20].map(|delay| Run {
            said: vec![Remark { at: Instant::EPOCH, node: CLIENT, said: retry(delay) }],
            ..run(&scenario("1ms", ""))
        });
        assert_eq!(compare(&scenario("1ms", ""), &a, &b, Tolerance::default()), []);
    }
}
