//! A diagnosis for programs: a document, or event lines.

use core::net::SocketAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Case;
use super::judge::Finding;
use super::probe::{Note, Transport};
use crate::output::event::{End, Icmp, SCHEMA, Why};

/// The body of the document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    target: String,
    transport: &'static str,
    findings: Vec<Value>,
}

impl Report {
    pub(super) fn of(target: &str, transport: Transport, cases: &[Case]) -> Self {
        let findings = cases.iter().filter_map(|case| {
            let found = finding(case.finding.as_ref()?, target, case.peer);
            let evidence: Vec<Value> = case.notes.iter().map(note).collect();
            Some(join(vec![peer(case.peer), found, json!({ "evidence": evidence })]))
        });
        Self { target: target.to_owned(), transport: transport.word(), findings: findings.collect() }
    }
}

/// One piece of evidence.
fn note(note: &Note) -> Value {
    json!({
        "t_ns": note.t_ns,
        "step": note.step,
        "text": note.text,
        "errno": note.errno.map(|errno| errno.to_string()),
        "icmp": note.icmp.as_ref().map(Icmp::from),
    })
}

/// What is known.
fn finding(finding: &Finding, target: &str, to: Option<SocketAddr>) -> Value {
    let entry = finding.situation.entry();
    let between: Vec<Value> = finding
        .between
        .iter()
        .map(|candidate| json!({ "candidate": candidate.word(), "explain": candidate.explain() }))
        .collect();
    let cause = finding.cause.as_ref().map(Why::from).map(|why| json!(why));
    let cause = cause.unwrap_or_else(|| json!({ "reason": null, "origin": null, "errno": null }));
    let rest = json!({
        "icmp": finding.cause.and_then(|cause| cause.icmp).as_ref().map(Icmp::from),
        "explain": finding.headline(),
        "means": entry.means,
        "decide": finding.decide(target, to),
        "advice": finding.advice(target, to),
    });
    let head = json!({ "situation": entry.word, "certain": finding.certain(), "between": between });
    join(vec![head, cause, rest])
}

pub(super) fn note_line(target: &str, to: Option<SocketAddr>, seen: &Note) -> Value {
    join(vec![head(seen.t_ns, "evidence", target), peer(to), note(seen)])
}

pub(super) fn finding_line(
    t_ns: u64,
    target: &str,
    transport: Transport,
    to: Option<SocketAddr>,
    found: &Finding,
) -> Value {
    let transport = json!({ "transport": transport.word() });
    join(vec![head(t_ns, "finding", target), peer(to), transport, finding(found, target, to)])
}

pub(super) fn last_line(
    t_ns: u64,
    target: &str,
    situation: Option<&str>,
    end: End,
    error: Option<&str>,
) -> Value {
    let rest = json!({ "situation": situation, "end": end, "error": error });
    join(vec![head(t_ns, "diagnosed", target), rest])
}

fn head(t_ns: u64, event: &str, target: &str) -> Value {
    json!({ "schema": SCHEMA, "t_ns": t_ns, "event": event, "target": target })
}

fn peer(peer: Option<SocketAddr>) -> Value {
    peer.map_or_else(|| json!({}), |peer| json!({ "peer": peer }))
}

/// One object with the fields of all.
fn join(parts: Vec<Value>) -> Value {
    let mut whole = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            whole.extend(fields);
        }
    }
    whole.into()
}
