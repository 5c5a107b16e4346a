//! Runs for programs: a document, or event lines.
//!
//! What a moment of a run is called is the simulator's affair, and so are its fields: its JSON lines are taken as they are,
//! with the head that every line of the command has.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::explore::Explored;
use super::{Outcome, Played, Verdict};
use crate::output::event::SCHEMA;

/// The body of the document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
    scenarios: Vec<Value>,
}

impl Report {
    pub(super) fn of(all: &[Played]) -> Self {
        let passed = all.iter().filter(|played| played.passed()).count();
        Self { passed, failed: all.len() - passed, scenarios: all.iter().map(scenario).collect() }
    }
}

/// What came of one file.
fn scenario(played: &Played) -> Value {
    let head = json!({ "file": played.file, "passed": played.passed(), "error": played.problem().map(|of| &of.message) });
    match &played.outcome {
        Err(_) => head,
        Ok(Outcome::Played(verdict)) => join(head, run(verdict)),
        Ok(Outcome::Explored(explored)) => {
            let found = explored.found().map(|found| {
                let head = json!({ "rule": found.rule, "explain": found.what, "scenario": found.scenario });
                let run = found.verdict.as_ref().map(run);
                join(head, json!({ "run": run }))
            });
            join(join(head, search(explored)), json!({ "counterexample": found }))
        }
    }
}

/// What a search amounts to.
fn search(explored: &Explored) -> Value {
    let Explored { plan, result } = explored;
    let schedules = match result {
        Ok(certificate) => certificate.schedules,
        Err(found) => found.before,
    };
    json!({
        "most_faults": plan.most_faults(),
        "within": plan.within(),
        "menus": plan.menus().collect::<Vec<_>>(),
        "schedules": schedules,
        "digest": result.as_ref().ok().map(|certificate| format!("{:016x}", certificate.digest)),
    })
}

/// A run, whole.
fn run(verdict: &Verdict) -> Value {
    let Told { nodes, links, events, faults } = Told::by(verdict);
    json!({
        "nodes": nodes,
        "links": links,
        "events": events,
        "faults": faults,
        "expectations": expectations(verdict),
        "ended_ns": verdict.took_ns(),
        "packets": verdict.run.packets,
        "digest": digest(verdict),
    })
}

/// The lines about one file.
pub(super) fn lines(played: &Played) -> Vec<Value> {
    let (file, passed) = (&played.file, played.passed());
    let outcome = match &played.outcome {
        Err(problem) => {
            let about = json!({ "passed": false, "packets": null, "digest": null, "error": problem.message });
            return vec![line(0, "played", file, about)];
        }
        Ok(outcome) => outcome,
    };
    let mut lines = outcome.shown().map(|verdict| run_lines(file, verdict)).unwrap_or_default();
    let ended = outcome.shown().map_or(0, Verdict::took_ns);
    lines.push(match outcome {
        Outcome::Played(verdict) => {
            let packets = verdict.run.packets;
            let about =
                json!({ "passed": passed, "packets": packets, "digest": digest(verdict), "error": null });
            line(ended, "played", file, about)
        }
        Outcome::Explored(explored) => {
            let found = explored.found();
            let about = json!({
                "rule": found.map(|found| &found.rule),
                "explain": found.map(|found| &found.what),
                "scenario": found.map(|found| &found.scenario),
            });
            line(ended, "explored", file, join(json!({ "passed": passed }), join(search(explored), about)))
        }
    });
    lines
}

fn run_lines(file: &str, verdict: &Verdict) -> Vec<Value> {
    let Told { nodes, links, events, faults } = Told::by(verdict);
    let ended = verdict.took_ns();
    let mut lines = vec![line(0, "run", file, json!({ "nodes": nodes, "links": links }))];
    lines.extend(events.into_iter().map(|moment| {
        let (at, event) = (moment["t_ns"].as_u64().unwrap_or_default(), moment["event"].clone());
        line(at, event.as_str().unwrap_or_default(), file, moment)
    }));
    lines.extend(faults.into_iter().map(|fault| line(ended, "effect", file, fault)));
    lines.extend(expectations(verdict).into_iter().map(|expects| line(ended, "expectation", file, expects)));
    lines
}

/// A line: its head, and what it is about.
fn line(t_ns: u64, event: &str, file: &str, about: Value) -> Value {
    join(json!({ "schema": SCHEMA, "t_ns": t_ns, "event": event, "file": file }), about)
}

/// One object with the fields of both.
fn join(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

fn expectations(verdict: &Verdict) -> Vec<Value> {
    let said = |(at, expect)| {
        let unmet = verdict.unmet.iter().find(|unmet| unmet.expect == at);
        let text = verdict.scenario.show(expect).to_string();
        json!({ "text": text, "met": unmet.is_none(), "explain": unmet.map(|unmet| &unmet.message) })
    };
    verdict.scenario.expects.iter().enumerate().map(said).collect()
}

/// As text: many readers hold numbers in 53 bits.
fn digest(verdict: &Verdict) -> String {
    format!("{:016x}", verdict.run.digest)
}

/// What the simulator's own lines tell, sorted by what they are about.
#[derive(Debug, Default)]
struct Told {
    nodes: Value,
    links: Value,
    events: Vec<Value>,
    faults: Vec<Value>,
}

impl Told {
    fn by(verdict: &Verdict) -> Self {
        let mut told = Self::default();
        let text = verdict.run.json_lines(&verdict.scenario).to_string();
        for object in text.lines().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok()) {
            told.take(verdict, object);
        }
        told
    }

    fn take(&mut self, verdict: &Verdict, mut object: Map<String, Value>) {
        let kind = object.shift_remove("kind").unwrap_or_default();
        match kind.as_str() {
            Some("run") => {
                self.nodes = object.shift_remove("nodes").unwrap_or_default();
                self.links = object.shift_remove("links").unwrap_or_default();
            }
            Some("effect") => {
                let fault = verdict.scenario.faults.get(self.faults.len());
                object.insert("may_be_inert".into(), fault.is_some_and(|fault| fault.may_be_inert).into());
                self.faults.push(object.into());
            }
            // What the end is, the verdict says.
            Some("end") => {}
            _ => {
                let mut event = Map::from_iter([
                    ("t_ns".into(), object.shift_remove("t_ns").unwrap_or_default()),
                    ("event".into(), kind),
                ]);
                event.append(&mut object);
                self.events.push(event.into());
            }
        }
    }
}
