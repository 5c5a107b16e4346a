//! `resound sim`: what it draws, what it writes for programs, and how it ends.

#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Ran, collect, events, feed, resound, run, signal, takes_signals, wait};
use nix::sys::signal::Signal;

/// The first SYN is lost; all that is expected comes true.
const GOOD: &str = "\
host client ; router router ; host server
link client <-> router 10ms ; link router <-> server 1ms
0    server serve 7
0    client connect server:7
1.5  client send \"hello\"
2    client close
!client->router#1 drop
expect client up by 1.1 ; sent 0 ; echo 0 ; closed
expect server accepted ; ended closed
";

fn sim(args: &[&str], input: &str) -> Ran {
    feed(&[&["sim", "-"], args].concat(), input.as_bytes())
}

/// A directory of its own, which goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("resound-sim-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_scenario_is_drawn_with_what_its_faults_did() {
    let ran = sim(&[], GOOD);
    let text = ran.code(0).text();
    for line in [
        "            client             router             server",
        "  0.000000  │─SYN───────✗      │                  │ lost: drop (fault 1)",
        "  1.000000  │─SYN again───────►│                  │",
        "  1.022000  * up               │                  │",
        "fault 1 (!client->router#1 drop): acted: ",
        "ok <stdin>: 2 expectations met, 1 fault acted, ",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(ran.stderr.is_empty(), "{ran:?}");
    assert!(!text.contains("tcp established"), "{text}");
    assert_eq!(text, sim(&[], GOOD).text(), "two runs of one scenario");
}

#[test]
fn the_timeline_is_drawn_as_it_is_asked_for() {
    let states = sim(&["--states"], GOOD).text();
    assert!(states.contains("  1.022000  . tcp established"), "{states}");
    let ascii = sim(&["--timeline", "ascii"], GOOD).text();
    assert!(ascii.contains("  1.000000  |-SYN again------->|"), "{ascii}");
    assert!(ascii.is_ascii(), "{ascii}");
    let mermaid = sim(&["--timeline", "mermaid"], GOOD).text();
    assert!(mermaid.starts_with("sequenceDiagram\n    participant n0 as client\n"), "{mermaid}");
    assert!(mermaid.lines().last().unwrap().starts_with("%% ok <stdin>: "), "{mermaid}");
    assert!(!mermaid.contains("tcp established"), "{mermaid}");
    let coloured = sim(&["--color", "always"], GOOD).text();
    assert!(coloured.contains("\x1b[0;31m"), "{coloured}");
    assert!(!sim(&[], GOOD).text().contains('\x1b'));
}

#[test]
fn what_was_expected_and_did_not_come_is_told() {
    let scenario = GOOD.replace("echo 0", "echo 2");
    let ran = sim(&[], &scenario);
    let text = ran.code(3).text();
    assert!(text.contains("FAILED <stdin>: 1 of 2 expectations not met, "), "{text}");
    assert!(text.contains("\"echo 2\" was not said after \"sent 0\" (at 1.5); client said: "), "{text}");
    let document = sim(&["--json"], &scenario).code(3).document();
    let expectations = document["scenarios"][0]["expectations"].as_array().unwrap();
    let met: Vec<_> = expectations.iter().map(|expectation| expectation["met"].as_bool().unwrap()).collect();
    assert_eq!(met, [false, true]);
    assert_eq!(sim(&["-o", "quiet"], &scenario).code(3).stdout, b"");
}

#[test]
fn a_fault_that_did_nothing_fails_unless_it_may() {
    let scenario = format!("{GOOD}!router->server#999 drop\n");
    let text = sim(&[], &scenario).code(3).text();
    assert!(
        text.contains("    fault 2 (!router->server#999 drop) did nothing: it never came to that"),
        "{text}"
    );
    let text = sim(&[], &scenario.replace("#999 drop", "#999 drop may-be-inert")).code(0).text();
    assert!(text.contains("1 fault acted, 1 inert"), "{text}");
}

#[test]
fn a_malformed_file_is_told_with_line_and_column() {
    let dir = Dir::new("malformed");
    let file = dir.file("bad.scn", "host client\nhost server\n0.5 client connekt server:7\n");
    let ran = run(&["sim", &file]);
    let lines: Vec<&str> = ran.code(2).stderr.lines().collect();
    assert!(lines[0].starts_with(&format!("{file}:3:12: \"connekt\" is not a command")), "{ran:?}");
    assert_eq!(lines[1..], ["    0.5 client connekt server:7", "               ^"], "{ran:?}");
    assert!(ran.stdout.is_empty());
    let document = run(&["sim", &file, "-o", "json"]).code(2).document();
    assert!(document["error"].as_str().unwrap().contains(":3:12: "), "{document}");
    assert_eq!((&document["end"], &document["failed"]), (&"error".into(), &1.into()));
    let lines = run(&["sim", &file, "-o", "jsonl"]).code(2).lines();
    assert!(lines[0]["error"].as_str().unwrap().contains(":3:12: "), "{lines:?}");

    let ran = feed(&["sim", "-"], b"host client\nhost b\xff\n");
    assert!(ran.code(2).stderr.starts_with("<stdin>:2:7: this is not UTF-8\n"), "{ran:?}");
    let ran = feed(&["sim", "-"], b"host client\n\x1b[2Jhost\n");
    assert!(ran.code(2).stderr.starts_with("<stdin>:2:1: ") && !ran.stderr.contains('\x1b'), "{ran:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_matter_of_this_host() {
    let dir = Dir::new("unreadable");
    let ran = run(&["sim", &dir.path("none.scn")]);
    assert!(ran.code(17).stderr.contains("cannot read") && ran.stderr.contains("none.scn"), "{ran:?}");
    let document = run(&["sim", &dir.path("none.scn"), "--json"]).code(17).document();
    assert!(document["scenarios"][0]["error"].as_str().unwrap().contains("cannot read"), "{document}");
    let good = dir.file("good.scn", GOOD);
    let ran = run(&["sim", &good, "--pcapng", &dir.path("no/such/dir")]);
    assert!(ran.code(17).stderr.contains("cannot write"), "{ran:?}");
    run(&["sim"]).code(2);
}

#[test]
fn several_files_give_a_line_each_and_the_highest_code() {
    let dir = Dir::new("several");
    let good = dir.file("good.scn", GOOD);
    let failing = dir.file("failing.scn", &GOOD.replace("ended closed", "ended reset"));
    let bad = dir.file("bad.scn", "hots a\n");
    let ran = run(&["sim", &good, &good]);
    let text = ran.code(0).text();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| line.starts_with(&format!("ok {good}: "))), "{text}");
    let text = run(&["sim", &good, &failing]).code(3).text();
    assert!(text.contains(&format!("\nFAILED {failing}: 1 of 2 ")) && !text.contains('│'), "{text}");
    assert!(run(&["sim", "-v", &good, &failing]).text().contains('│'));
    let ran = run(&["sim", &bad, &failing, &good]);
    assert!(ran.code(3).stderr.contains(":1:1: ") && ran.text().contains("ok "), "{ran:?}");
    run(&["sim", &bad, &good]).code(2);
    run(&["sim", &bad, &dir.path("none.scn"), &failing]).code(17);
    let document = run(&["sim", &good, &bad, &failing, "--json"]).code(3).document();
    assert_eq!((&document["passed"], &document["failed"]), (&1.into(), &2.into()));
    let lines = run(&["sim", &good, &failing, "-o", "jsonl"]).code(3).lines();
    let passed: Vec<_> =
        events(&lines, "played").iter().map(|line| line["passed"].as_bool().unwrap()).collect();
    assert_eq!(passed, [true, false]);
    let ran = run(&["sim", &good, &good, "--pcapng", &dir.path("x.pcapng")]);
    assert!(ran.code(2).stderr.contains("--pcapng"), "{ran:?}");
}

#[test]
fn programs_get_all_of_it() {
    let scenario = format!("{GOOD}!1.9 router icmp 3/1 to client quote=outside\n");
    let document = sim(&["--json"], &scenario).code(0).document();
    let of_it = &document["scenarios"][0];
    let lines = sim(&["-o", "jsonl"], &scenario).code(0).lines();
    let count = |event| events(&lines, event).len();
    assert_eq!((count("run"), count("effect"), count("expectation"), count("played")), (1, 2, 2, 1));
    assert_eq!(of_it["events"].as_array().unwrap().len(), lines.len() - 6);
    assert!(count("packet") > 10 && count("state") > 5 && count("asked") == 4 && count("said") > 5);
    assert_eq!((count("arrived"), count("fault")), (1, 1));
    assert_eq!(of_it["faults"][1]["effect"], "absorbed");
    let played = lines.last().unwrap();
    assert_eq!(played["digest"], of_it["digest"]);
    assert!(lines.is_sorted_by_key(|line| line["t_ns"].as_u64()));
}

#[test]
fn every_committed_scenario_is_as_the_schema_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/scenarios");
    let mut files: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".scn"))
        .collect();
    files.sort();
    assert!(files.len() > 40, "{files:?}");
    let args: Vec<&str> =
        ["sim", "-o", "jsonl"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let lines = run(&args).code(0).lines();
    assert_eq!(events(&lines, "played").len(), files.len());
}

#[test]
fn packets_are_written_for_wireshark() {
    let dir = Dir::new("pcapng");
    let (good, capture) = (dir.file("good.scn", GOOD), dir.path("good.pcapng"));
    run(&["sim", &good, "--pcapng", &capture, "-o", "quiet"]).code(0);
    let bytes = fs::read(&capture).unwrap();
    // The section header of a little-endian file.
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert_eq!(bytes[8..12], [0x4d, 0x3c, 0x2b, 0x1a]);
    assert!(bytes.windows(13).any(|window| window == b"client-router"), "an interface for each link");
}

#[test]
fn an_interrupt_leaves_a_valid_document() {
    let dir = Dir::new("interrupt");
    let endless = "host a ; host b ; link a <-> b 1us ; until 1000000\n0 b serve 7\n0 a connect b:7 idle=1us probe=1us\n";
    let file = dir.file("endless.scn", endless);
    let child = resound(&["sim", &file, "--json"]).stdin(Stdio::null()).spawn().unwrap();
    takes_signals(&child);
    signal(&child, Signal::SIGINT);
    let document = collect(child);
    assert_eq!(document.code(130).document()["end"], "interrupted");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let dir = Dir::new("pipe");
    let file = dir.file("good.scn", GOOD);
    for format in ["text", "json", "jsonl"] {
        let mut child = resound(&["sim", &file, "-o", format]).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(wait(&mut child).code(), Some(0), "{format}");
        assert_eq!(collect(child).stderr, "", "{format}");
    }
}

#[test]
fn help_manual_and_completions_know_it() {
    let help = run(&["sim", "--help"]);
    for word in ["--timeline", "--pcapng", "FILE:LINE:COLUMN", "  17 ", "  130 ", "For example:"] {
        assert!(help.code(0).text().contains(word), "{word}: {help:?}");
    }
    assert!(run(&["--help"]).text().contains("sim"));
    assert!(run(&["man", "sim"]).code(0).text().contains(".SH \"EXIT STATUS\"\n"));
    for shell in ["bash", "fish", "zsh"] {
        assert!(run(&["completions", shell]).code(0).text().contains("pcapng"), "{shell}");
    }
}

/// Whatever goes wrong with one packet or with a host, the client dials.
const STEADY: &str = "\
host client ; router router ; host server
link client <-> router 10ms ; link router <-> server 1ms
0    server serve 7
0    client connect server:7
0.5  client send \"hello\"
expect client dialing
";

#[test]
fn every_schedule_of_faults_is_tried_and_certified() {
    let ran = sim(&["--explore", "2", "--within", "8"], STEADY);
    let text = ran.code(0).text();
    let (head, rest) = text.split_once(" schedules of up to 2 faults at the first 8 packets hold (").unwrap();
    let schedules: u64 = head.strip_prefix("ok <stdin>: all ").unwrap().parse().unwrap();
    assert!(schedules > 300 && rest.contains("digest "), "{text}");
    assert_eq!(text, sim(&["--explore", "2", "--within", "8"], STEADY).text());
    let document = sim(&["--explore", "2", "--within", "8", "--json"], STEADY).code(0).document();
    let of_it = &document["scenarios"][0];
    assert_eq!((&of_it["schedules"], &of_it["menus"]), (&schedules.into(), &serde_json::json!(["standard"])));
    let more =
        sim(&["--explore", "1", "--within", "8", "--menu", "standard,tcp-errors", "-o", "jsonl"], STEADY);
    assert_eq!(more.code(0).lines()[0]["menus"], serde_json::json!(["standard", "tcp-errors"]));
}

#[test]
fn the_shortest_schedule_that_fails_is_shown() {
    let scenario = format!("{STEADY}expect client never down\n");
    let args = ["--explore", "2", "--menu", "tcp-errors"];
    let ran = sim(&args, &scenario);
    let text = ran.code(3).text();
    let (found, _) = text.split_once("\n\n").unwrap();
    assert_eq!(found.lines().filter(|line| line.starts_with('!')).count(), 1, "{text}");
    assert!(text.contains("* down ") && text.contains("\nFAILED <stdin>: expected: "), "{text}");
    // What is shown is a scenario, which fails alone in the same way.
    let again = sim(&[], found);
    assert!(again.code(3).text().contains("* down "), "{again:?}");

    let document = sim(&[&args[..], &["--json"]].concat(), &scenario).code(3).document();
    let counterexample = &document["scenarios"][0]["counterexample"];
    assert_eq!(counterexample["scenario"].as_str().unwrap().trim_end(), found);
    assert_eq!(counterexample["rule"], "expected");
    let lines = sim(&[&args[..], &["-o", "jsonl"]].concat(), &scenario).code(3).lines();
    assert_eq!(lines.last().unwrap()["scenario"], counterexample["scenario"]);
    assert_eq!(events(&lines, "effect").len(), 1);
    let mermaid = sim(&[&args[..], &["--timeline", "mermaid"]].concat(), &scenario).code(3).text();
    assert!(
        mermaid.contains("\nsequenceDiagram\n") && mermaid.starts_with("%% profile linux\n"),
        "{mermaid}"
    );
}

#[test]
fn what_belongs_to_a_search_is_asked_with_one() {
    let ran = sim(&["--within", "3"], STEADY);
    assert!(ran.code(2).stderr.contains("--explore"), "{ran:?}");
    let ran = sim(&["--explore", "1", "--menu", "sabotage"], STEADY);
    assert!(ran.code(2).stderr.contains("standard, tcp-errors, icmp-v4, icmp-v6"), "{ran:?}");
}

/// What stands in the help is played as it stands there.
#[test]
fn the_example_of_the_help_comes_true() {
    let help = run(&["sim", "--help"]).text();
    let (_, rest) = help.split_once("echo '").unwrap();
    let (scenario, _) = rest.split_once("' | resound sim -").unwrap();
    let ran = sim(&[], scenario);
    assert!(ran.code(0).text().contains("ok <stdin>: 1 expectation met, 1 fault acted"), "{ran:?}");
}
