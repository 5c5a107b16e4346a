//! Scenarios on real hosts: what is predicted comes, what is not is named, and a guest sees what a host sees.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resound_core::signal::Version;
use resound_lab::agent::Launcher;
use resound_lab::play::{self, Guest, guest};
use resound_lab::rig::allowed;
use resound_lab::suite::{Item, Outcome, Player, Setup, items, run};
use resound_lab::verdict::{Tolerance, Verdict, version_name};
use resound_sim::scenario::NodeId;
use resound_sim::{Echo, Record, Scenario, World};

fn launcher() -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_resound-lab-agent"), &[])
}

fn setup() -> Setup {
    let players = Player::ALL.to_vec();
    Setup { launcher: launcher(), players, together: 8, tolerance: Tolerance::default() }
}

/// Whether there can be real hosts; the reason is printed if not.
fn hindered() -> bool {
    let hindered = allowed().err();
    if let Some(hindrance) = &hindered {
        println!("skipped: {hindrance}");
    }
    hindered.is_some()
}

fn play_all(items: &[Item]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    run(items, &setup(), &AtomicBool::new(false), |outcome| outcomes.push(outcome));
    outcomes
}

fn named(names: &[&str]) -> Vec<Item> {
    items(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

fn head(outcome: &Outcome) -> String {
    format!("{} {} {}", outcome.item.name, version_name(outcome.item.version), outcome.player.as_str())
}

/// One of each kind: refused, reset, killed, rebooted, unreachable, its own route, the error queue.
const QUICK: [&str; 7] = [
    "tcp-server-not-running",
    "fin-then-rst",
    "half-open",
    "rst-exact",
    "host-unreachable-before",
    "own-route",
    "udp-one-of-three-dead",
];

#[test]
fn what_is_predicted_comes() {
    if hindered() {
        return;
    }
    let items = named(&QUICK);
    assert_eq!(items.len(), 2 * QUICK.len());
    let outcomes = play_all(&items);
    assert_eq!(outcomes.len(), 3 * items.len());
    for outcome in &outcomes {
        assert_eq!(outcome.verdict, Verdict::Agrees, "{}", head(outcome));
        let run = outcome.run.as_ref().expect("it was played");
        assert_eq!(run.inert().collect::<Vec<_>>(), [], "{}", head(outcome));
        assert!(run.packets > 0 || outcome.item.predicted.packets == 0, "{}", head(outcome));
        // Unknown only if a process of another test ended at the same moment.
        if let Some(used) = outcome.used {
            assert!(
                used.spent.cpu() > Duration::ZERO && used.spent.switches() > 0,
                "{}: {used:?}",
                head(outcome)
            );
            assert!(used.threads > 0 && used.memory > 1 << 20, "{}: {used:?}", head(outcome));
        }
    }
    let unknown = outcomes.iter().filter(|outcome| outcome.used.is_none()).count();
    assert!(unknown < outcomes.len() / 4, "{unknown} of {}", outcomes.len());
}

/// Something that says it is an agent of a host: it works once it is asked for something, and then sleeps. It is killed; the
/// one that takes its place is asked for nothing.
#[test]
fn what_was_killed_is_part_of_what_a_play_used() {
    if hindered() {
        return;
    }
    let work = "n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done";
    let agent = format!(
        "echo ready 0 0 0 0; while read -r order; do case $order in ask*) {work}; echo done 0; esac; done"
    );
    let launcher = Launcher::new("sh", &["-c", &agent]);
    let play_with = |fault: &str| {
        let text = format!(
            "host client ; host server ; link client <-> server 1ms
            0 client call u = udp 9
            {fault}
            until 5"
        );
        let scenario = Arc::new(text.parse::<Scenario>().expect("a scenario"));
        let ends = Duration::from_secs(5);
        let setup = play::Setup { launcher: &launcher, player: Player::Std, record: Record::Said, ends };
        // Unknown only if a process of another test ended at the same moment.
        let used = (0..5).find_map(|_| play::play(&scenario, &setup).expect("it is played").used);
        used.expect("five times something else ended at the same moment").spent.cpu()
    };
    let (alone, killed) = (play_with(""), play_with("!4 client kill"));
    assert!(killed > Duration::from_millis(20), "{killed:?}");
    assert!((alone / 4..alone * 4).contains(&killed), "{alone:?} {killed:?}");
}

/// None waits for anything but the machine.
#[test]
fn whoever_takes_long_over_a_line_is_late() {
    if hindered() {
        return;
    }
    let text = "host client ; host server ; link client <-> server 1ms\n0 client call u = udp 9\nuntil 2";
    let scenario = Arc::new(text.parse::<Scenario>().expect("a scenario"));
    let ends = Duration::from_secs(2);
    // Longer than anything here is late by itself.
    let took = Duration::from_secs(3_600);
    let done = format!("echo done {}", took.as_nanos());
    let agent =
        format!("echo ready 0 0 0 0; while read -r order; do case $order in ask*) {done}; esac; done");
    let launcher = Launcher::new("sh", &["-c", &agent]);
    let setup = play::Setup { launcher: &launcher, player: Player::Std, record: Record::Said, ends };
    let late = play::play(&scenario, &setup).expect("it is played").late;
    assert_eq!(late, took);
}

#[test]
fn what_was_not_predicted_is_named() {
    if hindered() {
        return;
    }
    let mut items = named(&["process-killed-while-due", "tcp-server-not-running"]);
    items.retain(|item| item.version == Version::V4);
    // A prediction of what would come if nothing went wrong, and one of a server that is there.
    let quiet = Scenario { faults: Vec::new(), ..Scenario::clone(&items[0].scenario) };
    let serving: Scenario = "
        host client ; router router ; host server
        link client <-> router 10ms ; link router <-> server 1ms
        0 server serve 7
        0.1 client connect server:7
        until 3
    "
    .parse()
    .expect("a scenario");
    for (item, other) in items.iter_mut().zip([&quiet, &serving]) {
        item.predicted = Arc::new(World::new(other, &mut Echo).play(Record::Said));
    }
    for outcome in play_all(&items) {
        let Verdict::Differs(differences) = &outcome.verdict else {
            panic!("{}: no difference", head(&outcome))
        };
        let client = differences.iter().find(|difference| difference.node == NodeId(0));
        let what = &client.unwrap_or_else(|| panic!("{}: {differences:?}", head(&outcome))).what;
        assert!(what.contains("predicted") || what.contains("did not come"), "{}: {what}", head(&outcome));
    }
}

#[test]
fn what_cannot_be_played_says_why() {
    let outcomes = play_all(&named(&["skew"]));
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        let Verdict::NotPlayed(why) = &outcome.verdict else { panic!("{}", head(&outcome)) };
        assert!(why.contains("clock"), "{why}");
    }
}

#[test]
fn it_ends_early_when_told() {
    let stop = AtomicBool::new(true);
    let mut came = 0;
    run(&named(&QUICK), &setup(), &stop, |_| came += 1);
    assert_eq!((came, stop.load(Ordering::Relaxed)), (0, true));
}

#[test]
fn a_guest_sees_what_its_host_sees() {
    if hindered() {
        return;
    }
    let text = "
        host client ; router router ; host server
        link client <-> router 10ms ; link router <-> server 1ms
        !0 router route to server prohibit
        until 20
    ";
    for (version, errno) in [(Version::V4, "113"), (Version::V6, "13")] {
        let scenario = Scenario { version, ..text.parse().expect("a scenario") };
        let to = match version {
            Version::V4 => "10.0.0.3",
            Version::V6 => "fd00::3",
        };
        // What a plain program of somebody else's gets: EHOSTUNREACH, EACCES.
        let code = format!(
            "import socket\ntry: socket.create_connection(('{to}', 7), 10)\nexcept OSError as e: print(e.errno)"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &code]);
        if Command::new("python3").arg("--version").output().is_err() {
            println!("skipped: python3 is not installed");
            return;
        }
        let launcher = launcher();
        let setup = play::Setup {
            launcher: &launcher,
            player: Player::Std,
            record: Record::Everything,
            ends: Duration::from_secs(20),
        };
        let visitor = Guest { host: NodeId(0), at: Duration::from_millis(100), command };
        let (played, output) = guest(&Arc::new(scenario), &setup, visitor).expect("it is played");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), errno, "{output:?}");
        assert_eq!(played.run.ledger[0].as_str(), "acted");
    }
}
