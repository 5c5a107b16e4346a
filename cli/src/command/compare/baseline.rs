//! An earlier run, and in what this one is worse.
//!
//! Both are documents, so whatever is compared is what anybody can read in them. What is in one of them only is not
//! compared: another choice of scenarios or parts is no regression.
//!
//! A time or a cost has grown if it is more than the threshold above the earlier one, *and* by more than the noise. For
//! times that is [`NOISE`], or how late nearly all (95 of 100) detections in the lab were in the less punctual of both runs;
//! for costs how far apart two measurements of the very same came out, in both runs. In the lab the more punctual IP version
//! now is held against the less punctual one before. The threshold of a promised time is that part of the promise.

use core::fmt;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::exit::Exit;
use crate::output::event::SCHEMA;
use crate::output::text::time;

/// A process may be kept from running for so long on a machine that has other things to do.
const NOISE: u64 = 20_000_000;

/// An earlier run.
#[derive(Debug)]
pub(super) struct Baseline {
    file: String,
    document: Value,
    /// In percent.
    threshold: u32,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) exit: Exit,
    pub(super) message: String,
}

/// What came of holding a run against it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Held {
    file: String,
    threshold_percent: u32,
    /// How many things are in both.
    compared: usize,
    regressions: Vec<Regression>,
}

/// Something that is worse than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Regression {
    /// Of what: `refused on tokio`.
    of: String,
    /// How.
    what: String,
}

impl Baseline {
    pub(super) fn read(path: &Path, threshold: u32) -> Result<Self, Unreadable> {
        let file = path.display().to_string();
        let text = fs::read(path).map_err(|error| {
            let message = format!("cannot read {file}: {error}");
            Unreadable { exit: Exit::Local, message }
        })?;
        let wrong = |what: String| {
            let message = format!("{file} is no document of `resound compare --output json`: {what}");
            Unreadable { exit: Exit::Usage, message }
        };
        let document: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if document["command"] != "compare" || !document["outcomes"].is_array() {
            return Err(wrong("it has no `outcomes` of `compare`".into()));
        }
        if document["schema"] != SCHEMA {
            let message = format!(
                "{file} cannot be compared with: it has schema {}, and this version of resound knows schema {SCHEMA}; make it \
                 anew",
                document["schema"]
            );
            return Err(Unreadable { exit: Exit::Usage, message });
        }
        Ok(Self { file, document, threshold })
    }

    /// Holds a run against it: the body of its document.
    pub(super) fn hold(&self, now: &Value) -> Held {
        let mut held = Held {
            file: self.file.clone(),
            threshold_percent: self.threshold,
            compared: 0,
            regressions: Vec::new(),
        };
        let before = &self.document;
        let noise = NOISE.max(lateness(before)).max(lateness(now));
        held.each(before, now, "/outcomes", &["scenario", "runtime"], |before, now, worse| {
            if before["passed"] == true && now["passed"] == false && now["not_run"].is_null() {
                worse(format!("kept its promise, and now: {}", join(&now["broken"])));
            }
            if let (Some(was), Some(is)) = (before["detected_ns"].as_u64(), now["detected_ns"].as_u64()) {
                // What is promised may be drawn at random up to there.
                let scale = now["promised_ns"].as_u64().unwrap_or_default().max(was);
                self.grown("told", was, is, scale, noise).into_iter().for_each(worse);
            }
        });
        held.each(before, now, "/lab/played", &["scenario", "runtime", "ip"], |before, now, worse| {
            let (was, is) = (word(&before["verdict"]), word(&now["verdict"]));
            if rank(is) < rank(was) {
                worse(format!("{was} before, {is} now: {}", join(&now["explain"])));
            }
        });
        let earlier = detections(before);
        for (key, is) in detections(now) {
            let [scenario, runtime, what] = &key;
            if let Some(was) = earlier.get(&key).filter(|was| was.plays > 1 && is.plays > 1) {
                let what = format!("\"{what}\" after its prediction");
                let of = title(&[scenario.clone(), runtime.clone()]);
                let grown = self.grown(&what, was.most, is.least, was.most, noise);
                held.regressions.extend(grown.map(|what| Regression { of, what }));
            }
        }
        held.each(before, now, "/lab/table/rows", &["row", "ip"], |before, now, worse| {
            if before["finding"] == "agreed" && now["finding"] == "differs" {
                worse(format!("agreed, and now: {}", word(&now["explain"])));
            }
        });
        held.each(before, now, "/lab/costs/figures", &["metric", "configuration"], |before, now, worse| {
            self.dearer(before, now).into_iter().for_each(worse);
        });
        held
    }

    /// What to say if a time has grown, by more than the threshold of `scale`.
    fn grown(&self, what: &str, was: u64, is: u64, scale: u64, noise: u64) -> Option<String> {
        let most = was.saturating_add(scale / 100 * u64::from(self.threshold)).saturating_add(noise);
        (is > most).then(|| format!("{what} {} before, {} now", time(was), time(is)))
    }

    /// What to say if a cost has.
    fn dearer(&self, before: &Value, now: &Value) -> Option<String> {
        let (was, is) = (before["median"].as_f64()?, now["median"].as_f64()?);
        let unit = word(&now["unit"]);
        // What nobody can tell apart, so that nothing is infinitely more than nothing.
        let grain = match unit {
            "ns" => 1_000.0,
            "bytes" => 64.0,
            _ => 0.5,
        };
        let spread = |of: &Value| of["spread"].as_f64().unwrap_or(1.0).max(1.0);
        let most = (1.0 + f64::from(self.threshold) / 100.0).max(spread(before) * spread(now));
        ((is + grain) / (was + grain) > most).then(|| format!("{was:.2} {unit} before, {is:.2} {unit} now"))
    }
}

impl Held {
    /// Whether nothing is worse, and something was compared.
    pub(super) fn holds(&self) -> bool {
        self.regressions.is_empty() && self.compared > 0
    }

    pub(super) fn regressions(&self) -> &[Regression] {
        &self.regressions
    }

    /// In a line.
    pub(super) fn verdict(&self) -> String {
        match (self.compared, self.regressions.len()) {
            (0, _) => format!("nothing of {} is in this run, so nothing was compared", self.file),
            (n, 0) => format!("none of {n} results is worse than in {}", self.file),
            (n, worse) => format!("{worse} regressions among {n} results that {} has too", self.file),
        }
    }

    /// Compares what is in both lists under the same key.
    fn each(
        &mut self,
        before: &Value,
        now: &Value,
        place: &str,
        key: &[&str],
        mut compare: impl FnMut(&Value, &Value, &mut dyn FnMut(String)),
    ) {
        let name = |of: &Value| -> Vec<String> { key.iter().map(|key| text(&of[*key])).collect() };
        let list = |of| -> &[Value] {
            Value::pointer(of, place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
        };
        let earlier: HashMap<Vec<String>, &Value> = list(before).iter().map(|of| (name(of), of)).collect();
        for now in list(now) {
            let name = name(now);
            let Some(before) = earlier.get(&name) else { continue };
            self.compared += 1;
            let of = title(&name);
            let worse = &mut |what| self.regressions.push(Regression { of: of.clone(), what });
            compare(before, now, worse);
        }
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of, self.what)
    }
}

/// `refused on tokio over IPv4`.
fn title(name: &[String]) -> String {
    match name {
        [of, ip] if ip.len() == 1 => format!("{of} over IPv{ip}"),
        [of, on] => format!("{of} on {on}"),
        [of, on, ip] => format!("{of} on {on} over IPv{ip}"),
        _ => name.join(" "),
    }
}

/// How well it is.
fn rank(verdict: &str) -> u8 {
    match verdict {
        "agrees" => 3,
        "deviates" => 2,
        "differs" => 1,
        _ => 0,
    }
}

/// By how much a detection came later than predicted.
fn late(detection: &Value) -> u64 {
    let at = |name: &str| detection[name].as_u64().unwrap_or_default();
    at("at_ns").saturating_sub(at("predicted_ns"))
}

/// By how much a detection was late, over the IP versions that it was played over.
#[derive(Clone, Copy, Debug)]
struct Late {
    plays: usize,
    least: u64,
    most: u64,
}

/// How late each was: by scenario, runtime, and what was told. One play that was late is the machine's doing; a program
/// that has become slower is so over both IP versions.
fn detections(document: &Value) -> BTreeMap<[String; 3], Late> {
    let mut all = BTreeMap::new();
    for played in document.pointer("/lab/played").and_then(Value::as_array).into_iter().flatten() {
        let mut told = BTreeMap::new();
        for detection in played["detections"].as_array().into_iter().flatten() {
            // Of the same words of one play, the first.
            told.entry(word(&detection["what"])).or_insert_with(|| late(detection));
        }
        for (what, late) in told {
            let key = [word(&played["scenario"]), word(&played["runtime"]), what].map(String::from);
            let of = all.entry(key).or_insert(Late { plays: 0, least: u64::MAX, most: 0 });
            *of = Late { plays: of.plays + 1, least: of.least.min(late), most: of.most.max(late) };
        }
    }
    all
}

/// By how much 95 of 100 detections in the lab were late at most.
fn lateness(document: &Value) -> u64 {
    let played = document.pointer("/lab/played").and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<u64> =
        played.filter_map(|played| played["detections"].as_array()).flatten().map(late).collect();
    all.sort_unstable();
    all.get((all.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn join(sentences: &Value) -> String {
    sentences.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn baseline(document: Value) -> Baseline {
        Baseline { file: "before.json".into(), document, threshold: 20 }
    }

    fn regressions(before: Value, now: &Value) -> Vec<String> {
        baseline(before).hold(now).regressions.iter().map(ToString::to_string).collect()
    }

    fn outcome(passed: bool, detected: u64) -> Value {
        json!({ "outcomes": [{
            "scenario": "refused", "runtime": "tokio", "passed": passed, "not_run": null,
            "detected_ns": detected, "broken": if passed { json!([]) } else { json!(["it came late"]) },
        }] })
    }

    #[test]
    fn a_promise_that_is_not_kept_any_more_and_a_time_that_has_grown() {
        let now = outcome(false, 1_000_000_000);
        assert_eq!(
            regressions(outcome(true, 500_000_000), &now),
            [
                "refused on tokio: kept its promise, and now: it came late",
                "refused on tokio: told 500 ms before, 1.00 s now"
            ]
        );
        assert_eq!(regressions(outcome(false, 1_000_000_000), &now), [""; 0]);
        // A fifth more is within the threshold; 15 ms more are noise.
        assert_eq!(regressions(outcome(true, 500_000_000), &outcome(true, 600_000_000)), [""; 0]);
        assert_eq!(regressions(outcome(true, 1_000_000), &outcome(true, 16_000_000)), [""; 0]);
        assert_eq!(regressions(outcome(true, 1_000_000), &outcome(true, 26_000_000)).len(), 1);
    }

    fn played(verdict: &str, at: u64) -> Value {
        let over = |ip: u8| {
            json!({
                "scenario": "rst-exact", "runtime": "std", "ip": ip, "verdict": verdict, "explain": ["it is gone"],
                "detections": [
                    { "host": "client", "what": "down reset peer", "predicted_ns": 1_000_000_000, "at_ns": at }
                ],
            })
        };
        json!({ "outcomes": [], "lab": { "played": [over(4), over(6)] } })
    }

    #[test]
    fn a_play_that_does_not_agree_any_more() {
        let at = 1_000_500_000;
        assert_eq!(
            regressions(played("agrees", at), &played("differs", at)),
            [4, 6].map(|ip| format!("rst-exact on std over IPv{ip}: agrees before, differs now: it is gone"))
        );
        assert_eq!(regressions(played("differs", at), &played("agrees", at)), [""; 0]);
    }

    /// One run that is late as a whole is a machine that is late.
    #[test]
    fn lateness_is_measured_by_that_of_the_whole_run() {
        let many = |late: u64| {
            let mut document = played("agrees", 1_000_000_000 + late);
            let other = json!({ "host": "a", "what": "b", "predicted_ns": 0, "at_ns": 1_000_000 });
            for place in ["/lab/played/0/detections", "/lab/played/1/detections"] {
                let list = document.pointer_mut(place).and_then(Value::as_array_mut).unwrap();
                list.extend(vec![other.clone(); 99]);
            }
            document
        };
        let mut once = many(100_000_000);
        *once.pointer_mut("/lab/played/0/detections/0/at_ns").unwrap() = json!(1_001_000_000);
        assert_eq!(regressions(many(1_000_000), &once), [""; 0], "one play that was late says nothing");
        assert_eq!(
            regressions(many(1_000_000), &many(100_000_000)),
            ["rst-exact on std: \"down reset peer\" after its prediction 1.00 ms before, 100 ms now"]
        );
        assert_eq!(regressions(played("agrees", 1_001_000_000), &played("agrees", 1_100_000_000)), [""; 0]);
    }

    #[test]
    fn a_row_that_does_not_agree_any_more() {
        let row = |finding: &str| {
            json!({ "outcomes": [], "lab": { "table": { "rows": [
                { "row": "tcp/syn-sent/rst", "ip": 4, "finding": finding, "explain": "poll: IN" }
            ] } } })
        };
        assert_eq!(
            regressions(row("agreed"), &row("differs")),
            ["tcp/syn-sent/rst over IPv4: agreed, and now: poll: IN"]
        );
        assert_eq!(regressions(row("agreed"), &row("not-exercised")), [""; 0]);
    }

    #[test]
    fn a_cost_has_to_grow_by_more_than_its_own_spread() {
        let cost = |median: f64, spread: f64| {
            json!({ "outcomes": [], "lab": { "costs": { "figures": [
                { "metric": "calls", "configuration": "smol", "unit": "count", "median": median, "spread": spread }
            ] } } })
        };
        assert_eq!(
            regressions(cost(4.0, 1.0), &cost(6.0, 1.1)),
            ["calls on smol: 4.00 count before, 6.00 count now"]
        );
        assert_eq!(regressions(cost(4.0, 1.3), &cost(6.0, 1.3)), [""; 0]);
        assert_eq!(regressions(cost(0.0, 1.0), &cost(0.05, 1.0)), [""; 0]);
    }

    #[test]
    fn nothing_in_common_is_no_success() {
        let held = baseline(outcome(true, 1)).hold(&json!({ "outcomes": [] }));
        assert!(!held.holds() && held.verdict().contains("nothing was compared"), "{held:?}");
    }
}
