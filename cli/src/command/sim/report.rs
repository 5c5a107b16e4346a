//! Runs for programs: a document, or event lines.
//!
//! What a moment of a run is called is the simulator's affair, and so are its fields: its JSON lines are taken as they are,
//! with the head that every line of the command has.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Played, Verdict};
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
        let passed = all.iter().filter(|played| played.outcome.as_ref().is_ok_and(Verdict::holds)).count();
        Self { passed, failed: all.len() - passed, scenarios: all.iter().map(scenario).collect() }
    }
}

/// What came of one file.
fn scenario(played: &Played) -> Value {
    let verdict = match &played.outcome {
        Err(problem) => return json!({ "file": played.file, "passed": false, "error": problem.message }),
        Ok(verdict) => verdict,
    };
    let Told { nodes, links, events, faults } = Told::by(verdict);
    json!({
        "file": played.file,
        "passed": verdict.holds(),
        "error": null,
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
    let verdict = match &played.outcome {
        Err(problem) => {
            let about = json!({ "passed": false, "packets": null, "digest": null, "error": problem.message });
            return vec![line(0, "played", &played.file, about)];
        }
        Ok(verdict) => verdict,
    };
    let file = &played.file;
    let Told { nodes, links, events, faults } = Told::by(verdict);
    let ended = verdict.took_ns();
    let mut lines = vec![line(0, "run", file, json!({ "nodes": nodes, "links": links }))];
    lines.extend(events.into_iter().map(|moment| {
        let (at, event) = (moment["t_ns"].as_u64().unwrap_or_default(), moment["event"].clone());
        line(at, event.as_str().unwrap_or_default(), file, moment)
    }));
    lines.extend(faults.into_iter().map(|fault| line(ended, "effect", file, fault)));
    lines.extend(expectations(verdict).into_iter().map(|expects| line(ended, "expectation", file, expects)));
    let (passed, packets) = (verdict.holds(), verdict.run.packets);
    let about = json!({ "passed": passed, "packets": packets, "digest": digest(verdict), "error": null });
    lines.push(line(ended, "played", file, about));
    lines
}

/// A line: its head, and what it is about.
fn line(t_ns: u64, event: &str, file: &str, about: Value) -> Value {
    let mut line = json!({ "schema": SCHEMA, "t_ns": t_ns, "event": event, "file": file });
    if let (Value::Object(line), Value::Object(about)) = (&mut line, about) {
        line.extend(about);
    }
    line
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
                self.nodes = object.remove("nodes").unwrap_or_default();
                self.links = object.remove("links").unwrap_or_default();
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
