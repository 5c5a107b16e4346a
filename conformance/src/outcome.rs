//! What came of a scenario on a runtime, and in what runtimes differ.

use core::fmt;
use core::time::Duration;

use resound_core::signal::{Origin, Reason};

/// What came of one scenario on one runtime.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The runtime's name.
    pub runtime: &'static str,
    /// What was reported, in order. Repetitions are counted, rounds of attempts that failed alike are one entry, and
    /// what only this machine's slowness caused is left out: so the same faults give the same list on every runtime.
    pub events: Vec<Moment>,
    /// Why the peer was given up, and who said so; `None` where the scenario ends well.
    pub verdict: Option<(Reason, Origin)>,
    /// From the fault to the event that told of it; `None` where the scenario measures nothing.
    pub detected: Option<Duration>,
    /// Within what time the rules promise that event; zero is "at once". `None` where `detected` is.
    pub promised: Option<Duration>,
    /// How long the whole scenario took.
    pub took: Duration,
    /// The promises that were broken, one sentence each. Empty: it passed.
    pub broken: Vec<String>,
}

/// One line of a scenario's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, since the scenario began.
    pub at: Duration,
    /// What: `up`, `echo×3`, `down reset (peer)`. The same on every run: no times, no ports.
    pub what: String,
}

impl Outcome {
    /// Whether every promise was kept.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.broken.is_empty()
    }

    fn words(&self) -> Vec<&str> {
        self.events.iter().map(|moment| moment.what.as_str()).collect()
    }

    fn verdict_text(&self) -> String {
        self.verdict.map_or_else(|| String::from("none"), |(reason, origin)| format!("{reason} ({origin})"))
    }
}

/// Two runtimes that reported different things of the same scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The two runtimes' names.
    pub runtimes: [&'static str; 2],
    /// In what they differ, and what each of them said.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.runtimes;
        write!(f, "{}: {a} and {b} differ: {}", self.scenario, self.what)
    }
}

/// In what runtimes differ. Each outcome is held against the first one of the same scenario: what was reported, in
/// order, and the verdict. Times are not compared, only held against the promise by each run for itself.
#[must_use]
pub fn differences(outcomes: &[Outcome]) -> Vec<Difference> {
    let mut found = Vec::new();
    for (index, other) in outcomes.iter().enumerate() {
        let Some(first) = outcomes[..index].iter().find(|first| first.scenario == other.scenario) else {
            continue;
        };
        let mut differ = |what| {
            let runtimes = [first.runtime, other.runtime];
            found.push(Difference { scenario: first.scenario, runtimes, what });
        };
        if first.verdict != other.verdict {
            differ(format!("verdict {} or {}", first.verdict_text(), other.verdict_text()));
        }
        let (a, b) = (first.words(), other.words());
        if a != b {
            let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let at = |words: &[&str]| (*words.get(same).unwrap_or(&"nothing more")).to_owned();
            differ(format!("event {}: {} or {}", same + 1, at(&a), at(&b)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(runtime: &'static str, what: &[&str], verdict: Option<(Reason, Origin)>) -> Outcome {
        let moment = |what: &&str| Moment { at: Duration::ZERO, what: (*what).to_owned() };
        Outcome {
            scenario: "a",
            runtime,
            events: what.iter().map(moment).collect(),
            verdict,
            detected: None,
            promised: None,
            took: Duration::ZERO,
            broken: Vec::new(),
        }
    }

    #[test]
    fn runtimes_that_say_the_same_do_not_differ() {
        let reset = Some((Reason::Reset, Origin::Peer));
        let same = [outcome("x", &["up", "down"], reset), outcome("y", &["up", "down"], reset)];
        assert_eq!(differences(&same), []);
        let elsewhere = Outcome { scenario: "b", ..outcome("y", &["up"], None) };
        assert_eq!(differences(&[outcome("x", &["up", "down"], reset), elsewhere]), []);
    }

    #[test]
    fn each_difference_is_named_with_both_sides() {
        let closed = Some((Reason::Closed, Origin::Peer));
        let outcomes = [outcome("x", &["up", "down"], None), outcome("y", &["up"], closed)];
        let said: Vec<String> = differences(&outcomes).iter().map(Difference::to_string).collect();
        assert_eq!(
            said,
            [
                "a: x and y differ: verdict none or closed (peer)",
                "a: x and y differ: event 2: down or nothing more",
            ]
        );
    }
}
