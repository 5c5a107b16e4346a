//! `resound compare` with the lab: real hosts where this machine lets it make them; the page; an earlier run.

#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Ran, collect, events, finish, marked, resound, run};
use serde_json::Value;

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// One scenario with real hosts; `None`, and it says so, where the lab may not be used.
fn played(more: &[&str]) -> Option<Ran> {
    let base = ["compare", "--lab", "always", "--part", "scenarios", "--scenario", "tcp-server-not-running"];
    let ran = run(&[&base[..], more].concat());
    if ran.code == Some(17) && ran.stderr.contains("the lab cannot be used") {
        eprintln!("SKIPPED: {}", ran.stderr);
        return None;
    }
    Some(ran)
}

#[test]
fn every_format_holds_what_the_lab_found() {
    let Some(ran) = played(&["-o", "json"]) else { return };
    let document = ran.code(0).document();
    let lab = &document["lab"];
    assert_eq!((&lab["agree"], &lab["differ"]), (&6.into(), &0.into()), "{lab}");
    let first = &lab["played"][0];
    assert_eq!((&first["runtime"], &first["ip"]), (&"std".into(), &4.into()));
    let detection = &first["detections"][0];
    assert_eq!(detection["what"], "dial-failed conn-refused peer");
    assert_eq!((&detection["reason"], &detection["origin"]), (&"conn-refused".into(), &"peer".into()));
    assert!(detection["errno"].is_null(), "{detection}");
    assert!(detection["at_ns"].as_u64() >= detection["predicted_ns"].as_u64(), "{detection}");
    assert!(document["outcomes"].as_array().unwrap().is_empty(), "the promises were not asked for");

    let with = |format| played(&["-o", format]).unwrap();
    let text = with("text").code(0).text();
    assert!(text.contains("✓ ✓  ✓ ✓   ✓ ✓\n") && text.contains("6 of 6 plays came as predicted"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let markdown = with("markdown").code(0).text();
    assert!(markdown.contains("| ✓ | ✓ | ✓ | ✓ | ✓ | ✓ |"), "{markdown}");
    let lines = with("jsonl").code(0).lines();
    assert_eq!(events(&lines, "played").len(), 6);
    assert_eq!(lines.last().unwrap()["lab"]["agree"], 6);
    let rows = with("csv").code(0).rows();
    let column = |name: &str| rows[0].iter().position(|title| title == name).unwrap();
    let played: Vec<_> = rows.iter().filter(|row| row[column("part")] == "scenarios").collect();
    assert_eq!(played.len(), 6);
    for (name, value) in [("verdict", "agrees"), ("reason", "conn-refused"), ("origin", "peer")] {
        assert!(played.iter().all(|row| row[column(name)] == value), "{name}: {rows:?}");
    }
    assert_eq!(with("quiet").code(0).stdout, b"");
}

/// A play of a server and its client tells what its processes used, in every format.
#[test]
fn every_format_holds_what_the_plays_cost() {
    // A play that a busy machine spoils is repeated, and then does not count: so it is all played again.
    let of = |format: &str, is_whole: &dyn Fn(&Ran) -> bool| {
        let base =
            ["compare", "--lab", "always", "--part", "scenarios", "--scenario", "process-killed-while-due"];
        let all = (0..5).map(|_| run(&[&base[..], &["-o", format]].concat()));
        let mut whole = all.filter(|ran| ran.code != Some(0) || is_whole(ran));
        whole.next().expect("five times a play was repeated")
    };
    let ran = of("json", &|ran| ran.document()["lab"]["in_plays"]["counted"] == 6);
    if ran.code == Some(17) && ran.stderr.contains("the lab cannot be used") {
        return eprintln!("SKIPPED: {}", ran.stderr);
    }
    let document = ran.code(0).document();
    let lab = &document["lab"];
    for played in lab["played"].as_array().unwrap() {
        assert!(played["used"]["wakes"].as_u64() > Some(0), "{played}");
        assert!(played["used"]["memory_bytes"].as_u64() > Some(1_000_000), "{played}");
    }
    let of_cpu = |of: &Value| of["metric"] == "play-cpu";
    let figures: Vec<_> =
        lab["in_plays"]["figures"].as_array().unwrap().iter().filter(|of| of_cpu(of)).collect();
    assert_eq!(figures.len(), 3);
    assert!(figures.iter().all(|figure| figure["median"].as_f64() > Some(0.0)), "{figures:?}");
    let comparisons = lab["in_plays"]["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.iter().filter(|of| of_cpu(of)).count(), 3);
    assert!(
        comparisons.iter().all(|of| of["verdict"] == "too-few"),
        "two pairs prove nothing: {comparisons:?}"
    );

    let text = of("text", &|ran| ran.text().contains("6 plays count.")).code(0).text();
    assert!(text.contains("What each runtime costs, in the plays"), "{text}");
    assert!(text.contains("Too few pairs (2) to tell anything apart: 15 are wanted."), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let markdown = of("markdown", &|ran| ran.text().contains("6 plays count.")).code(0).text();
    assert!(markdown.contains("What each runtime costs, in the plays:"), "{markdown}");
    let lines = of("jsonl", &|ran| !events(&ran.lines(), "cost_in_plays").is_empty()).code(0).lines();
    assert!(events(&lines, "cost_in_plays").into_iter().any(of_cpu));
    assert!(events(&lines, "costs_compared").into_iter().any(of_cpu));
    let rows = of("csv", &|ran| ran.text().contains("play-wakes")).code(0).rows();
    let column = |name: &str| rows[0].iter().position(|title| title == name).unwrap();
    let row = rows.iter().find(|row| row[column("scenario")] == "play-wakes").expect("a row");
    assert_eq!((row[column("part")].as_str(), row[column("unit")].as_str()), ("in-plays", "count"));
    assert!(row[column("value")].parse::<f64>().unwrap() > 0.0, "{row:?}");
}

/// Only what was asked for is measured.
#[test]
fn costs_are_those_of_the_runtimes_that_were_asked_for() {
    let ran = run(&["compare", "--lab", "always", "--part", "costs", "--runtime", "tokio", "-o", "json"]);
    if ran.code == Some(17) && ran.stderr.contains("the lab cannot be used") {
        return eprintln!("SKIPPED: {}", ran.stderr);
    }
    let document = ran.code(0).document();
    let figures = document["lab"]["costs"]["figures"].as_array().expect("figures");
    let of: std::collections::BTreeSet<_> =
        figures.iter().map(|figure| figure["configuration"].as_str().unwrap()).collect();
    assert_eq!(Vec::from_iter(of), ["tokio", "tokio-multi"]);
    assert!(document["lab"]["in_plays"].is_null(), "nothing was played");
}

#[test]
fn the_page_shows_what_was_predicted_and_what_came() {
    let page = file("page.html");
    let Some(ran) = played(&["--report", page.to_str().unwrap(), "--runtime", "tokio", "-o", "quiet"]) else {
        return;
    };
    ran.code(0);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    // Predicted and by tokio, over both versions.
    assert_eq!(page.matches("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"run\"").count(), 4);
    assert!(page.contains("href=\"#s-tcp-server-not-running-ipv6-tokio\">✓"));
    assert!(page.contains("dial-failed conn-refused peer"));
}

/// In a user namespace that may hold no network namespace there is no lab: that is said, and the promises are tried all
/// the same; or it is an error.
#[test]
fn without_the_lab_it_says_why_and_goes_on() {
    let without = |options: &str| {
        let line = format!(
            "echo 0 > /proc/sys/user/max_net_namespaces && exec {} compare {options} -o json",
            env!("CARGO_BIN_EXE_resound")
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &line]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command, b"")
    };
    let hindered =
        |lab: &str| without(&format!("--lab {lab} --scenario refused tcp-server-not-running --runtime std"));
    if !Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .status()
        .is_ok_and(|ran| ran.success())
    {
        return eprintln!("SKIPPED: this user may make no user namespace, or has no unshare(1)");
    }
    let ran = hindered("auto");
    assert!(ran.code(0).stderr.contains("without the lab: "), "{ran:?}");
    let document = ran.document();
    assert_eq!(document["passed"], 1);
    assert!(document["lab"]["hindrance"].as_str().unwrap().contains("namespace"), "{document}");
    let ran = hindered("always");
    let error = ran.code(17).document()["error"].to_string();
    let why =
        "the lab cannot be used: the kernel makes no network namespace here (user.max_net_namespaces is 0)";
    assert!(error.contains(why), "{error}");
    // Nothing can be done, and that is no success.
    let ran = without("--part costs");
    let error = ran.code(17).document()["error"].to_string();
    assert!(
        error.contains("all that was asked for is of the lab, and ") && error.contains("namespace"),
        "{error}"
    );
    let ran = hindered("never");
    assert!(ran.code(0).stderr.is_empty() && ran.document()["lab"].is_null(), "{ran:?}");
}

// An earlier run.

const SILENCE: [&str; 7] = ["compare", "--lab", "never", "--runtime", "std", "--scenario", "silent"];

fn earlier(name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let ran = run(&[&SILENCE[..], &["-o", "json"]].concat());
    let mut document = ran.code(0).document();
    change(&mut document);
    let file = file(name);
    fs::write(&file, document.to_string()).unwrap();
    file
}

#[test]
fn a_run_that_is_no_worse_than_an_earlier_one_is_good() {
    let before = earlier("as-good.json", |_| ());
    let ran = run(&[&SILENCE[..], &["--baseline", before.to_str().unwrap(), "--threshold", "50%"]].concat());
    assert!(ran.code(0).text().contains("none of 1 results is worse"), "{ran:?}");
}

#[test]
fn a_run_that_is_worse_ends_with_3_and_says_in_what() {
    let before = earlier("better.json", |document| {
        let row = document["outcomes"][0].as_object_mut().unwrap();
        assert!(row["detected_ns"].as_u64() > Some(0), "{row:?}");
        row.insert("passed".into(), true.into());
        // As much as a run could not have improved by.
        row.insert("detected_ns".into(), 0.into());
    });
    let with = |format| {
        let more = ["--baseline", before.to_str().unwrap(), "--threshold", "0", "-o", format];
        run(&[&SILENCE[..], &more].concat())
    };
    let document = with("json").code(3).document();
    assert_eq!(document["baseline"]["compared"], 1);
    let regression = document["baseline"]["regressions"][0].to_string();
    assert!(regression.contains("on std") && regression.contains("told 0"), "{regression}");
    let lines = with("jsonl").code(3).lines();
    assert_eq!((events(&lines, "regression").len(), &lines.last().unwrap()["regressions"]), (1, &1.into()));
    for format in ["text", "markdown"] {
        assert!(with(format).code(3).text().contains("1 regressions among 1 results"));
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said_before_anything_is_played() {
    let other = file("other.json");
    fs::write(&other, r#"{"command":"ping"}"#).unwrap();
    for (option, path, code, said) in [
        ("--baseline", "/nonexistent/b.json", 17, "cannot read /nonexistent/b.json"),
        ("--baseline", other.to_str().unwrap(), 2, "is no document of `resound compare --output json`"),
        ("--report", "/nonexistent/r.html", 17, "cannot write /nonexistent/r.html"),
    ] {
        let ran = run(&["compare", option, path, "-o", "json"]);
        assert!(ran.code(code).stderr.contains(said), "{ran:?}");
        assert!(ran.document()["error"].as_str().unwrap().contains(said));
    }
    let newer = earlier("newer.json", |document| document["schema"] = 99.into());
    let ran = run(&["compare", "--baseline", newer.to_str().unwrap(), "-o", "json"]);
    assert!(ran.code(2).stderr.contains("it has schema 99"), "{ran:?}");
    assert!(run(&["compare", "--threshold", "5"]).code(2).stderr.contains("--baseline"));
}

/// What is known by then is shown, and no process is left.
#[test]
fn an_interrupt_in_the_lab_shows_what_is_known() {
    let args = ["compare", "--part", "scenarios", "--lab", "always", "-o", "json"];
    let page = file("interrupted.html");
    fs::write(&page, "an earlier page").unwrap();
    let mark = format!("RESOUND_TEST_MARK={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let mut command = resound(&args);
    let child = command.args(["--report", page.to_str().unwrap()]).env(name, value).spawn().unwrap();
    common::takes_signals(&child);
    std::thread::sleep(core::time::Duration::from_secs(2));
    let meanwhile = (marked(&mark), fs::read_to_string(&page).unwrap());
    common::signal(&child, nix::sys::signal::Signal::SIGINT);
    let ran = collect(child);
    if ran.code == Some(17) {
        return eprintln!("SKIPPED: {}", ran.stderr);
    }
    assert_eq!(ran.code(130).document()["end"], "interrupted");
    assert!(meanwhile.0 > 1, "there are agents: {}", meanwhile.0);
    assert_eq!(meanwhile.1, "an earlier page", "it stands until there is another one");
    assert!(fs::read_to_string(&page).unwrap().contains(">Interrupted after "));
    let began = Instant::now();
    while marked(&mark) > 0 {
        assert!(began.elapsed() < common::LONG, "{} processes are left", marked(&mark));
        std::thread::sleep(core::time::Duration::from_millis(20));
    }
}
