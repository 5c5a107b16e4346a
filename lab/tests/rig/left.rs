//! Nothing is left behind, whatever ended the lab.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs, process, thread};

use resound_lab::rig;

use crate::between::{PATIENCE, two};

/// Which part of a test a process of this file has.
const PART: &str = "RESOUND_LAB_TEST_PART";

/// This file again, as another process that runs one test.
fn again(test: &str, part: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this file"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(PART, part);
    command
}

/// The network namespaces of all processes that can be seen, by their inodes.
fn namespaces() -> BTreeSet<u64> {
    let numbers = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect::<Vec<_>>()
    };
    let tasks = |process: String| {
        let task = format!("/proc/{process}/task");
        numbers(&task).into_iter().map(move |thread| format!("{task}/{thread}/ns/net"))
    };
    let namespaces = numbers("/proc").into_iter().flat_map(tasks);
    namespaces.filter_map(|path| fs::metadata(path).ok()).map(|there| there.ino()).collect()
}

fn interfaces() -> BTreeSet<String> {
    nix::ifaddrs::getifaddrs().expect("interfaces").map(|interface| interface.interface_name).collect()
}

fn soon(is: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if is() {
            return true;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    false
}

fn own_namespace() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").expect("a namespace").ino()
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let Some(mut rig) = two() else { return };
    let (hosts, _) = rig.parts();
    let made: Vec<_> = hosts.iter().map(|host| host.run(own_namespace)).collect();
    assert!(made.iter().all(|namespace| namespaces().contains(namespace)));
    drop(rig);
    assert!(soon(|| namespaces().is_disjoint(&made.iter().copied().collect())));
}

#[test]
fn nothing_is_left_when_it_is_killed() {
    const TEST: &str = "left::nothing_is_left_when_it_is_killed";
    match env::var(PART).as_deref() {
        Ok("lab") => return lab_to_be_killed(TEST),
        Ok("agent") => return agent(),
        _ => {}
    }
    if let Err(hindrance) = rig::allowed() {
        return eprintln!("skipped: {hindrance}");
    }
    let before = interfaces();
    let mut lab = again(TEST, "lab").stdout(Stdio::piped()).spawn().expect("a process");
    let mut lines = BufReader::new(lab.stdout.take().expect("its output")).lines();
    let made =
        lines.find_map(|line| line.expect("a line").split_once("made ").map(|(_, made)| made.to_owned()));
    let made: Vec<u64> = made
        .expect("what it made")
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [agent, ref made @ ..] = made[..] else { panic!("an agent and namespaces, not {made:?}") };
    let made: BTreeSet<_> = made.iter().copied().collect();
    assert_eq!((made.len(), made.is_subset(&namespaces())), (2, true));
    assert!(fs::exists(format!("/proc/{agent}")).expect("proc"));

    lab.kill().expect("killed");
    lab.wait().expect("ended");
    assert!(soon(|| namespaces().is_disjoint(&made)), "a process is left in a namespace");
    assert_eq!(interfaces(), before);
}

/// Makes hosts with an agent, says so, and waits for its end.
fn lab_to_be_killed(test: &str) {
    let mut rig = two().expect("it is allowed");
    let (hosts, _) = rig.parts();
    let mut agent = hosts[0].spawn(again(test, "agent")).expect("an agent");
    let made: Vec<_> = hosts.iter().map(|host| host.run(own_namespace).to_string()).collect();
    println!("made {} {}", agent.id(), made.join(" "));
    agent.wait().expect("its end");
}

/// Dies with the lab.
fn agent() {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("prctl");
    thread::sleep(4 * PATIENCE);
    process::exit(1);
}
