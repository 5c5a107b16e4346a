//! A prediction and what came: agreement, or in what they differ.
//!
//! # Theory of operation
//!
//! Two runs of one scenario are held against each other host by host: what its programs said, in order, word by word; and
//! when. Of a word that carries a time of its own (`retry 1 230ms`) the time is left out, because it is compared as what it
//! is: a time. The reason and the origin of each end are among the words, so they are compared too.
//!
//! What was said at a time is within [tolerance](Tolerance) of its prediction, or a difference: by so much always, and by a
//! part of the time since what it may follow from, the last line of the script or fault at a time before it. So what is told
//! at once has no more room late in a run than early in it. A fault that did something in the prediction and nothing when
//! it was played is a difference, too, whatever was said. A
//! [`Deviation`] names a difference that is known, and why it is right that there is one.

use std::fmt;
use std::time::Duration;

use resound_core::signal::Version;
use resound_sim::run::{Effect, Remark};
use resound_sim::scenario::{NodeId, Said, Trigger, What};
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
    let causes = causes(scenario);
    let mut differences = Vec::new();
    for at in 0..scenario.nodes.len() {
        let node = NodeId(at as u8);
        differences.extend(compare_node(node, predicted, came, &causes, tolerance));
    }
    differences.extend(inert(scenario, predicted, came));
    differences
}

/// When something is asked or begins to go wrong, in order.
fn causes(scenario: &Scenario) -> Vec<Duration> {
    let asked = scenario.script.iter().map(|line| line.at);
    let wrong = scenario.faults.iter().filter_map(|fault| match fault.when {
        Trigger::At(at) => Some(at),
        _ => None,
    });
    let mut causes: Vec<_> = asked.chain(wrong).collect();
    causes.sort_unstable();
    causes
}

/// Faults that did something in the prediction, and nothing when it was played.
fn inert(scenario: &Scenario, predicted: &Run, came: &Run) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (at, (before, now)) in predicted.ledger.iter().zip(&came.ledger).enumerate() {
        if let (false, Effect::Inert(why)) = (matches!(before, Effect::Inert(_)), now) {
            let fault = &scenario.faults[at];
            let at_time = match fault.when {
                Trigger::At(at) => at,
                _ => Duration::ZERO,
            };
            let what = format!("the fault \"{}\" did nothing: {why}", scenario.show(fault));
            differences.push(Difference { node: whose(&fault.what), at: at_time, what });
        }
    }
    differences
}

/// The node that a fault is named after.
const fn whose(what: &What) -> NodeId {
    match what {
        What::Tamper(way, _)
        | What::Cut(way, _)
        | What::Unplug(way, _)
        | What::LinkDown(way, ..)
        | What::Mtu(way, _) => way.from,
        What::Forge { from, .. } => *from,
        What::Route { at, .. } => *at,
        What::Host(node, _) => *node,
    }
}

/// The first difference of one host: what follows it mostly follows from it.
fn compare_node(
    node: NodeId,
    predicted: &Run,
    came: &Run,
    causes: &[Duration],
    tolerance: Tolerance,
) -> Option<Difference> {
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
                let cause = causes[..causes.partition_point(|cause| *cause <= predicted)].last();
                if off > tolerance.of(predicted - cause.copied().unwrap_or_default()) {
                    let way = if at > predicted { "late" } else { "early" };
                    (expected, format!("{} came {:.3} s too {way}", Told(expected), off.as_secs_f64()))
                } else if let Some((wait, came)) = waits_differ(expected, heard, tolerance) {
                    (
                        expected,
                        format!("{} was to wait for {wait:.3?}, and waits for {came:.3?}", Told(expected)),
                    )
                } else {
                    continue;
                }
            }
        };
        return Some(Difference { node, at: since_start(at), what });
    }
}

/// How long is waited before the next attempt, if that is not what was predicted: the seed is the same.
fn waits_differ(expected: &Remark, heard: &Remark, tolerance: Tolerance) -> Option<(Duration, Duration)> {
    let (predicted, came) = (wait(&expected.said.to_string())?, wait(&heard.said.to_string())?);
    (predicted.abs_diff(came) > tolerance.least).then_some((predicted, came))
}

/// The time in `retry 1 230.5ms`.
pub(crate) fn wait(said: &str) -> Option<Duration> {
    let time = said.strip_prefix("retry ")?.split(' ').nth(1)?;
    let unit = time.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = time.split_at(unit);
    let scale = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
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
    fn what_follows_at_once_has_no_more_room_late_in_a_run() {
        let fault = "!9 server kill";
        let found = differences(&scenario("1ms", fault), &scenario("1ms", "!9.4 server kill"));
        assert_eq!(found[0], "0: \"down closed peer\" at 9.001 s came 0.400 s too late");
    }

    #[test]
    fn a_fault_that_does_nothing_is_a_difference() {
        let cut = scenario("1ms", "!1.0005 client->server cut until 1.2");
        let mut came = run(&cut);
        came.ledger[0] = Effect::Inert("nothing met it".to_owned());
        let [found] = &compare(&cut, &run(&cut), &came, Tolerance::default())[..] else { panic!("one") };
        assert!(found.what.contains("did nothing: nothing met it"), "{}", found.what);
    }

    #[test]
    fn a_time_within_the_words_is_compared_as_a_time() {
        let retry = |delay| Said::Retry { level: 2, delay: Duration::from_millis(delay) };
        assert_eq!(words(&retry(10)), words(&Said::other("retry 2 99ms")));
        assert_ne!(words(&retry(10)), words(&Said::other("retry 3 10ms")));
        let [a, b] = [10, 20].map(|delay| Run {
            said: vec![Remark { at: Instant::EPOCH, node: CLIENT, said: retry(delay) }],
            ..run(&scenario("1ms", ""))
        });
        assert_eq!(compare(&scenario("1ms", ""), &a, &b, Tolerance::default()), []);
        let c = Run { said: vec![Remark { said: Said::other("retry 2 1.5s"), ..b.said[0].clone() }], ..b };
        let [found] = &compare(&scenario("1ms", ""), &a, &c, Tolerance::default())[..] else { panic!("one") };
        assert_eq!(found.what, "\"retry 2\" at 0.000 s was to wait for 10.000ms, and waits for 1.500s");
    }
}
