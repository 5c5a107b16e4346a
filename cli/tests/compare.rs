//! `resound compare`: what it prints, and that it ends in time.

#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{RUNTIMES, collect, events, finish, resound, run, signal, takes_signals};
use nix::sys::signal::Signal;

#[test]
fn all_of_it_holds_within_a_minute() {
    let began = Instant::now();
    let ran = run(&["compare", "--lab", "never", "-o", "json"]);
    let document = ran.code(0).document();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let outcomes = document["outcomes"].as_array().unwrap();
    assert!(outcomes.len() >= 60, "{}", outcomes.len());
    for runtime in RUNTIMES {
        let of_it = outcomes.iter().filter(|outcome| outcome["runtime"] == runtime).count();
        assert_eq!(of_it * RUNTIMES.len(), outcomes.len(), "{runtime}");
    }
}

#[test]
fn a_choice_of_scenarios_and_runtimes() {
    let args = ["compare", "--scenario", "refused", "echo-and-close", "--runtime", "std", "tokio", "--json"];
    let ran = run(&args);
    let document = ran.code(0).document();
    let ran: Vec<(&str, &str)> = document["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| (outcome["scenario"].as_str().unwrap(), outcome["runtime"].as_str().unwrap()))
        .collect();
    let want =
        [("echo-and-close", "std"), ("echo-and-close", "tokio"), ("refused", "std"), ("refused", "tokio")];
    assert_eq!(ran, want);
    let refused = &document["outcomes"][2];
    assert_eq!((&refused["reason"], &refused["promised_ns"]), (&"conn-refused".into(), &0.into()));
}

/// The textbook's puzzle: plain sockets are told too little, or lose a datagram; each runtime says which server it is.
#[test]
fn the_three_servers_are_answered_alike_by_each_runtime_and_beside_plain_sockets() {
    for (scenario, ip, by) in [("udp-three-servers-v4", 4, "127.0.0.1"), ("udp-three-servers-v6", 6, "::1")] {
        let base = ["compare", "--scenario", scenario, "-o"];
        let ran = run(&[&base[..], &["json"]].concat());
        let document = ran.code(0).document();
        for outcome in document["outcomes"].as_array().unwrap() {
            assert_eq!((&outcome["reason"], &outcome["origin"]), (&"port-unreach".into(), &"peer".into()));
            let events: Vec<&str> = outcome["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["what"].as_str().unwrap())
                .collect();
            assert!(events.contains(&"second: dial-failed port-unreach (peer)"), "{events:?}");
            assert!(events.contains(&"third: echo×20"), "{events:?}");
        }
        let answers = document["textbook"].as_array().unwrap();
        let unconnected = &answers[0];
        assert_eq!((&unconnected["way"], &unconnected["ip"]), (&"unconnected".into(), &ip.into()));
        assert!(unconnected["errno"].is_null() && unconnected["server"].is_null(), "{unconnected}");
        let lines = run(&[&base[..], &["jsonl"]].concat()).code(0).lines();
        assert_eq!(events(&lines, "textbook").len(), answers.len());
        if cfg!(target_os = "linux") {
            let [.., late, first] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!((&late["fates"][2], &late["server"]), (&"not-sent".into(), &2.into()), "{late}");
            assert_eq!((&first["fates"][2], &first["offender"]), (&"arrived".into(), &by.into()), "{first}");
        }
        for format in ["text", "markdown"] {
            let text = run(&[&base[..], &[format]].concat()).code(0).text();
            assert!(text.contains("unconnected") && text.contains("nothing"), "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(format == "markdown" || widest <= Some(100), "{text}");
        }
    }
}

#[test]
fn every_format_holds_the_same() {
    let base = ["compare", "--scenario", "refused", "-o"];
    let with = |format| run(&[&base[..], &[format]].concat());
    let text = with("text");
    assert!(text.code(0).text().contains("refused") && text.text().contains("profile fast"), "{text:?}");
    assert!(text.text().contains("\n    dialing → dial-failed conn-refused (peer) → gave-up"), "{text:?}");
    assert!(text.text().lines().all(|line| line.chars().count() <= 100), "{text:?}");
    assert!(text.stderr.is_empty(), "no progress without a terminal: {text:?}");
    let markdown = with("markdown").code(0).text();
    assert!(markdown.contains("| refused | conn-refused (peer) | at once |"), "{markdown}");
    let lines = with("jsonl");
    assert_eq!(events(&lines.code(0).lines(), "outcome").len(), 3);
    assert_eq!(lines.lines().last().unwrap()["passed"], 3);
    assert_eq!(with("csv").code(0).rows().len(), 4);
    assert_eq!(with("quiet").code(0).stdout, b"");
}

/// Few descriptors: sockets cannot be made, and nothing can be said about a runtime. (Not on smol: its reactor panics. Nor on
/// tokio: its signal driver does, where another crate of the build has enabled it.)
#[test]
fn what_this_host_cannot_do_is_not_run_and_exits_with_17() {
    let few = |format| {
        let line = format!(
            "ulimit -n 8; exec {} compare --scenario echo-and-close --runtime std -o {format}",
            env!("CARGO_BIN_EXE_resound")
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = finish(command, b"");
        assert!(ran.code(17).stderr.contains("could not be made on this host"), "{ran:?}");
        ran
    };
    let text = few("text").text();
    assert!(text.contains("was not run"), "{text}");
    assert!(!text.contains("broke its promise"), "{text}");
    let document = few("json").document();
    assert!(document["not_run"].as_u64().unwrap() > 0 && document["broken"] == 0);
    assert!(document["error"].as_str().unwrap().contains("ulimit -n"));
    let lines = few("jsonl").lines();
    assert_eq!(lines.last().unwrap()["end"], "error");
    assert!(few("markdown").text().contains("| not run |"));
    few("csv").rows();
    few("quiet");
}

#[test]
fn the_list_names_every_scenario() {
    let ran = run(&["compare", "--list", "--json"]);
    let document = ran.code(0).document();
    let names: Vec<&str> = document["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .chain(document["lab"].as_array().unwrap())
        .map(|listed| listed["scenario"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"refused") && names.contains(&"rst-exact"), "{names:?}");
    let text = run(&["compare", "--list"]).code(0).text();
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
    let markdown = run(&["compare", "--list", "-o", "markdown"]).code(0).text();
    assert_eq!(markdown.lines().count(), names.len() + 2);
    assert_eq!(run(&["compare", "--list", "-o", "jsonl"]).code(0).lines().len(), names.len());
    assert_eq!(run(&["compare", "--list", "-o", "csv"]).code(0).rows().len(), names.len() + 1);
}

#[test]
fn what_does_not_exist_is_a_matter_of_usage() {
    for args in [["compare", "--scenario", "nothing"], ["compare", "--runtime", "mio"]] {
        let ran = run(&args);
        assert!(ran.code(2).stderr.contains(args[2]), "{ran:?}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_answered_with_the_nearest_one() {
    let ran = run(&["compare", "--scenario", "refusd"]);
    let said = &ran.code(2).stderr;
    assert!(said.contains("'refused'") && said.contains("compare --list"), "{said}");
    assert!(said.len() < 500, "{said}");
}

#[test]
fn what_leaves_nothing_to_do_is_a_matter_of_usage() {
    for (options, said) in [
        ("--scenario half-open --lab never", "half-open is played in the lab only"),
        ("--part scenarios --lab never", "--part scenarios is of the lab"),
        ("--part table --lab never", "--part table is of the lab"),
        ("--part promises,costs --lab never", "--part costs is of the lab"),
        ("--scenario refused --part costs", "--scenario chooses nothing of costs"),
        ("--scenario refused --part scenarios", "refused is not of the parts"),
    ] {
        let words = ["compare"].into_iter().chain(options.split(' ')).collect::<Vec<_>>();
        let ran = run(&words);
        assert!(ran.code(2).stderr.contains(said) && ran.stdout.is_empty(), "{options}: {ran:?}");
    }
}

#[test]
fn an_interrupt_shows_what_is_known() {
    let child = resound(&["compare", "-o", "json"]).spawn().unwrap();
    takes_signals(&child);
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    assert_eq!(ran.code(130).document()["end"], "interrupted");
}
