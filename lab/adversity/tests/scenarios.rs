//! A peer that refuses, resets, falls silent or comes back is told of in the same words, however unkind the kernel is.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use resound_adversity::{Call, PLAN, Tally};
use resound_conformance::steadily;

/// Without ECONNABORTED: a server tells of each, and so its words are others.
const PLANS: [&str; 2] = [
    "seed=1,threads=resound+tokio-rt+async-io,eintr=10,short=30,few=30,ghost=10,later=50,pause=10",
    "seed=2,threads=resound+tokio-rt+async-io,eintr=20,short=50,few=50,ghost=20,later=50,pause=10,signal=2000",
];

/// Only for TCP. A UDP client whose socket took nothing for a moment charges what was on its way then to this host, and
/// says so in other words; `exchange` shows that nothing is lost by it.
const AGAIN: &str = ",again=15";

/// The faulty peers are threads of the same process; the plan leaves them alone, by their name.
const SCENARIOS: &[&str] = &[
    "echo-and-close",
    "batch-half-close",
    "refused",
    "first-refuses",
    "first-is-silent",
    "flap",
    "killed-idle",
    "killed-with-echoes-due",
    "reset-with-echoes-due",
    "reset-with-unread-data",
    "silent",
    "zero-window",
    "stalls-and-recovers",
    "not-an-echo-random",
    "dies-and-returns",
    "dies-and-returns-resend",
    "server-stall-limit",
    "server-drain-with-echoes-due",
    "server-abort",
    "udp-echo",
    "udp-three-servers-v4",
    "udp-all-dead",
    "udp-dies-and-returns",
    "udp-silent",
    "udp-reordered",
    "udp-too-long",
];

const RUNTIMES: [&str; 5] = ["std", "smol", "smol-multi", "tokio", "tokio-multi"];

/// So many calls are bent for each runtime at the very least.
const ENOUGH: u64 = 200;

/// How many are played at a time, however many threads the test harness has.
const TOGETHER: usize = 4;

/// What came of it, and what was bent.
fn play(scenario: &str, runtime: &str, plan: &str) -> Result<Tally, String> {
    let plan = format!("{plan}{}", if scenario.starts_with("udp-") { "" } else { AGAIN });
    steadily(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_under_adversity"))
            .args(["scenario", runtime, scenario])
            .env(PLAN, &plan)
            .output()
            .map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_tally = |line: &&str| {
            line.starts_with("signals ")
                || Call::ALL.iter().any(|call| line.split(' ').next() == Some(call.name()))
        };
        let tally: Vec<&str> = told.lines().filter(is_tally).collect();
        let tally: Tally = tally.join("\n").parse()?;
        if output.status.success() {
            Ok(tally)
        } else {
            Err(format!("{scenario} on {runtime}, {plan}:\n{told}"))
        }
    })
}

/// What a scenario promises is in the conformance suite: the words, their order, the reason.
#[test]
fn the_words_are_the_same() {
    let mut plays = Vec::new();
    for runtime in RUNTIMES {
        plays.extend(
            SCENARIOS
                .iter()
                .zip(PLANS.into_iter().cycle())
                .map(|(scenario, plan)| (*scenario, runtime, plan)),
        );
    }
    let (queue, broken, bent) = (Mutex::new(plays), Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                loop {
                    let Some((scenario, runtime, plan)) = queue.lock().unwrap().pop() else { return };
                    match play(scenario, runtime, plan) {
                        Ok(tally) => *bent.lock().unwrap().entry(runtime).or_insert(0) += tally.bent(),
                        Err(told) => broken.lock().unwrap().push(told),
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let bent = bent.into_inner().unwrap();
    println!("bent: {bent:?}");
    for runtime in RUNTIMES {
        assert!(bent[runtime] > ENOUGH, "nearly nothing was bent for {runtime}: {bent:?}");
    }
}
