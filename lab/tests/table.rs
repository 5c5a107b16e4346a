//! The table's conformance run, with kernels of which it is known what they do; and some of it on the one that runs here.
#![cfg(target_os = "linux")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use resound_core::signal::Version;
use resound_lab::agent::Launcher;
use resound_lab::play::Played;
use resound_lab::rig::allowed;
use resound_lab::table::{Finding, TableReport, Unplayed, on_this_kernel, verify};
use resound_sim::engine::staged::{Case, Extent, Outcome, cases};
use resound_sim::kernel::{Profile, Unverified};
use resound_sim::{Echo, Record, Scenario, World};

const EIGHT: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

fn simulated(scenario: &Scenario) -> Result<Played, Unplayed> {
    let run = World::new(scenario, &mut Echo).play(Record::Said);
    Ok(Played { run, late: Duration::ZERO, used: None, began: std::time::Instant::now() })
}

fn not_agreed(report: &TableReport) -> Vec<&str> {
    let not = report.rows.iter().filter(|row| row.what != Finding::Agreed);
    not.map(|row| row.row).collect()
}

#[test]
fn the_simulated_kernel_agrees_with_every_row() {
    let mut told = 0;
    let report = verify(&simulated, Extent::Rows, EIGHT, |_| told += 1);
    assert_eq!(not_agreed(&report), [""; 0], "{report}");
    assert_eq!(told, report.rows.len(), "each row was told of once");
    assert_eq!(report.counts(), [told, 0, 0]);
    let line = report.to_string();
    let end = format!("{told} rows agreed, 0 differ, 0 not exercised (each IP version counts)");
    assert!(line.starts_with("kernel table on Linux ") && line.ends_with(&end), "{line}");
}

/// A kernel that lets no ICMP error end a connect.
#[test]
fn another_kernel_differs_in_its_rows_and_in_no_others() {
    let patient = |scenario: &Scenario| {
        let mut scenario = scenario.clone();
        scenario.profile = Profile::Unverified(Unverified::LinuxPatient);
        simulated(&scenario)
    };
    let report = verify(&patient, Extent::Rows, EIGHT, |_| {});
    let soft = ["syn-sent/icmp-soft/v4", "syn-sent/icmp-soft/v6", "syn-sent/icmp-soft/v6/recverr"];
    assert_eq!(not_agreed(&report), soft);
    let line = "differs        tcp/syn-sent/icmp-soft/v4 IPv4 3/0: call 1, poll: \
                the table says IN|OUT|ERR|HUP|RDHUP, this kernel gave - (measured on 6.18)";
    assert_eq!(report.to_string().lines().next(), Some(line));
}

#[test]
fn a_row_that_cannot_be_played_says_why() {
    let broken = |scenario: &Scenario| match scenario.script.iter().any(|line| line.host.0 == 2) {
        true => simulated(scenario),
        false => Err(Unplayed::Failed("no namespace could be made".into())),
    };
    let report = verify(&broken, Extent::Rows, EIGHT, |_| {});
    let [agreed, differ, not_exercised] = report.counts();
    assert!(agreed > 0 && differ == 0 && not_exercised > 0, "{report}");
    let line = "not exercised  tcp/syn-sent/icmp-soft/v4 IPv4 3/0: no namespace could be made";
    assert_eq!(report.to_string().lines().next(), Some(line));
}

/// A kernel without IPv6.
#[test]
fn what_this_machine_never_plays_is_not_exercised_and_no_failure() {
    let without = |scenario: &Scenario| match scenario.version {
        Version::V4 => simulated(scenario),
        Version::V6 => Err(Unplayed::Never(String::from("there is no IPv6"))),
    };
    let report = verify(&without, Extent::Rows, EIGHT, |_| {});
    for row in &report.rows {
        match (row.version, &row.what) {
            (Version::V4, what) => assert!(*what == Finding::Agreed && row.cases > 0, "{row:?}"),
            (Version::V6, Finding::NotExercised(why)) => {
                assert!(row.cases == 0 && why.ends_with(": there is no IPv6"), "{row:?}");
            }
            (Version::V6, _) => panic!("{row:?}"),
        }
    }
}

/// A machine that was late once gives a wrong word once.
#[test]
fn what_differs_only_once_does_not_count() {
    let plays = AtomicUsize::new(0);
    let late = |scenario: &Scenario| {
        let mut played = simulated(scenario)?;
        if plays.fetch_add(1, Ordering::Relaxed) % 7 == 0 {
            played.run.said.pop();
        }
        Ok(played)
    };
    let report = verify(&late, Extent::Rows, NonZeroUsize::MIN, |_| {});
    assert_eq!(not_agreed(&report), [""; 0], "{report}");
}

/// Nobody knows whether it was the kernel then.
#[test]
fn what_came_late_is_no_difference() {
    let late = |scenario: &Scenario| {
        let mut played = simulated(scenario)?;
        if scenario.script.len() > 20 {
            played.run.said.pop();
            played.late = Duration::from_millis(90);
        }
        Ok(played)
    };
    let report = verify(&late, Extent::Rows, EIGHT, |_| {});
    let [_, differ, not_exercised] = report.counts();
    assert!(differ == 0 && not_exercised > 0, "{report}");
    let zero = report.rows.iter().find(|row| row.row == "zero-window/icmp-soft").expect("a row");
    let why = "tcp/zero-window/icmp-soft IPv4 3/0: the machine stood still for 90ms";
    assert_eq!(zero.what, Finding::NotExercised(why.to_owned()));
}

#[test]
fn many_are_played_at_a_time() {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slow = |scenario: &Scenario| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        now.fetch_sub(1, Ordering::SeqCst);
        simulated(scenario)
    };
    verify(&slow, Extent::Rows, EIGHT, |_| {});
    let most = most.into_inner();
    assert!((2..=8).contains(&most), "{most} at a time");
}

/// Rows that no kernel in use does otherwise: a refusal, a reset and who hears of it, errors of both kinds, what a peer sees.
const EVERYWHERE: [&str; 8] = [
    "tcp/syn-sent/refusal IPv4",
    "tcp/unread/rst-exact IPv6",
    "tcp/unread/rst-exact IPv4 so_error first",
    "tcp/sending/icmp-hard IPv4",
    "tcp/orphan/rst-exact IPv6",
    "tcp/queued/rst-exact IPv4",
    "udp/connected/icmp-hard IPv6",
    "udp/unconnected/recverr/icmp-soft IPv4",
];

#[test]
fn the_kernel_that_runs_here_agrees() {
    if let Err(hindrance) = allowed() {
        println!("skipped: {hindrance}");
        return;
    }
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_resound-lab-agent"), &[]);
    let cases: Vec<Case> = cases(Extent::Rows).into_iter().flatten().collect();
    for name in EVERYWHERE {
        let case =
            cases.iter().find(|case| case.to_string().starts_with(name)).expect("there is such a case");
        let play = || {
            let played = on_this_kernel(&launcher, &case.scenario).expect("it can be played");
            (case.compare(&played.run), played.late)
        };
        // Whoever is late says nothing about the kernel.
        let mut outcome = play();
        for _ in 0..5 {
            if outcome.0 != Outcome::Agrees {
                outcome = play();
            }
        }
        assert_eq!(outcome.0, Outcome::Agrees, "the machine stood still for {:?}", outcome.1);
    }
}
