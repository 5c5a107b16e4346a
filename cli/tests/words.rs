//! Help, completions, manual pages, usage: what the command says about itself.

#![allow(missing_docs)]

mod common;

use std::io::Read as _;

use common::{resound, run, schema, wait};
use resound_core::signal::{Origin, Reason};

#[test]
fn help_tells_the_exit_codes() {
    for args in
        [&["--help"][..], &["ping", "--help"], &["serve", "-h"], &["compare", "--help"], &["echo", "--help"]]
    {
        let ran = run(args);
        for code in ["  3 ", "  10 ", "  16 ", "  130 "] {
            assert!(ran.code(0).text().contains(code), "{args:?}: {ran:?}");
        }
    }
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(&["completions", shell]);
        let script = ran.code(0).text();
        assert!(script.contains("resound") && script.contains("max-per-address"), "{shell}");
    }
}

#[test]
fn manual_pages_are_roff() {
    let ran = run(&["man"]);
    assert!(ran.code(0).text().contains(".TH resound 1"), "{ran:?}");
    let ran = run(&["man", "ping"]);
    assert!(ran.code(0).text().contains("resound\\-ping"), "{ran:?}");
    assert!(ran.text().contains(".SH \"EXIT STATUS\"\n") && !ran.text().contains(".SH EXTRA"), "{ran:?}");
    run(&["man", "pong"]).code(2);
    let dir = std::env::temp_dir().join(format!("resound-man-{}", std::process::id()));
    run(&["man", "--dir", dir.to_str().unwrap()]).code(0);
    let mut pages: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    std::fs::remove_dir_all(&dir).unwrap();
    pages.sort();
    let commands = ["compare", "completions", "echo", "icmpd", "man", "ping", "serve", "sim", "why"];
    for page in commands.map(|command| format!("resound-{command}.1")) {
        assert!(pages.contains(&page), "{page} is not among {pages:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for args in [&["--help"][..], &["man"], &["completions", "zsh"], &["compare", "--list"]] {
        let mut child = resound(args).spawn().unwrap();
        drop(child.stdout.take());
        let status = wait(&mut child);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn bad_targets_are_named_with_what_is_wrong() {
    for bad in ["foo:99999", "[::1", "", "http://example.org", "a:b:c"] {
        for command in ["ping", "echo", "why"] {
            let ran = run(&[command, bad]);
            let line = ran.code(2).stderr.lines().next().unwrap().to_owned();
            assert!(line.contains(&format!("'{bad}'")) && line.contains("TARGET"), "{ran:?}");
            assert!(ran.stdout.is_empty());
        }
    }
}

#[test]
fn timers_that_cannot_work_are_a_matter_of_usage() {
    let ran = run(&["ping", "127.0.0.1:7", "--idle", "1s", "--probe", "2s", "-c", "1"]);
    assert!(ran.code(2).stderr.contains("liveness.probe"), "{ran:?}");
    for command in ["ping", "echo"] {
        let line = [command, "127.0.0.1:7", "--idle", "1s", "--probe", "2s", "-o"];
        let ran = run(&[&line[..], &["json"]].concat());
        assert!(ran.code(2).document()["error"].as_str().unwrap().contains("liveness.probe"), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        let ran = run(&[&line[..], &["jsonl"]].concat());
        assert!(ran.code(2).lines()[0]["error"].as_str().unwrap().contains("liveness.probe"), "{ran:?}");
    }
}

#[test]
fn the_schema_has_every_word_of_the_core() {
    let schema = schema();
    let words = |name: &str| {
        let words = schema["$defs"][name]["enum"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words("reason"), Reason::ALL.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(words("origin"), Origin::ALL.iter().map(ToString::to_string).collect::<Vec<_>>());
}
