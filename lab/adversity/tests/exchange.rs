//! Whatever the kernel does within its rights, each message is echoed once, in order, and nobody spins.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::process::Command;

use resound_adversity::{Call, Kind, PLAN, Tally};

const RUNTIMES: [&str; 5] = ["std", "smol", "smol-multi", "tokio", "tokio-multi"];

/// The threads of the adapters and the runtimes, not those of the program that asks.
const THREADS: &str = "threads=resound+tokio-rt+async-io";

const MESSAGES: &str = "2000";

/// What one process said.
struct Said {
    lines: Vec<String>,
    tally: Tally,
}

impl Said {
    fn number(&self, word: &str) -> i64 {
        let found =
            self.lines.iter().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{word} is missing: {:#?}", self.lines))
    }
}

/// Exchanges messages in a process of its own, under this plan.
fn exchange(runtime: &str, over: &str, seed: u64, plan: &str) -> Said {
    let plan = format!("seed={seed},{THREADS},{plan}");
    let output = Command::new(env!("CARGO_BIN_EXE_under_adversity"))
        .args(["exchange", runtime, over, MESSAGES, &seed.to_string()])
        .env(PLAN, &plan)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{runtime} over {over}, {plan}: {}\n{told}{errors}", output.status);
    let (tally, lines): (Vec<&str>, Vec<&str>) = told.lines().partition(|line| {
        line.starts_with("signals ")
            || Call::ALL.iter().any(|call| line.split(' ').next() == Some(call.name()))
    });
    let tally: Tally = tally.join("\n").parse().unwrap();
    println!("{runtime} over {over}, {plan}: {} of {} calls bent", tally.bent(), tally.calls());
    print!("{tally}");
    Said { lines: lines.into_iter().map(String::from).collect(), tally }
}

/// Under a plan without signals: who has nothing to do does nothing, and the work is bounded.
fn bounded(said: &Said, runtime: &str, over: &str) {
    let (messages, idle) = (said.number("messages"), said.number("idle-calls"));
    assert_eq!(messages.to_string(), MESSAGES);
    // A loop that spins makes a hundred thousand in this time; a timer that is due, a few.
    assert!(idle < 200, "{runtime} over {over} made {idle} calls with nothing to do");
    let (idle, used) = (said.number("idle-cpu-ms"), said.number("cpu-ms"));
    assert!(idle < 200, "{runtime} over {over} worked for {idle} ms of 500 with nothing to do");
    assert!(used < 10_000, "{runtime} over {over} worked for {used} ms");
}

fn all_bent(runtime: &str) {
    const EACH: &str = "eintr=10,again=10,short=30,few=30,ghost=10,aborted=50,later=50,pause=20";
    const MUCH: &str = "eintr=50,again=50,short=80,few=80,ghost=50,aborted=80,later=90,pause=20";
    let plans = [(1, EACH), (2, EACH), (3, MUCH)];
    let mut seen = Vec::new();
    for over in ["tcp", "udp"] {
        for (seed, plan) in plans {
            let said = exchange(runtime, over, seed, plan);
            bounded(&said, runtime, over);
            assert!(
                said.tally.bent() * 10 > said.tally.calls(),
                "{runtime} over {over}: nearly nothing was bent"
            );
            seen.push(said.tally);
        }
    }
    // The reactor of smol does not wait through libc.
    let haunted = !runtime.starts_with("smol");
    for kind in Kind::ALL.into_iter().filter(|kind| haunted || *kind != Kind::Ghost) {
        let bent: u64 = seen.iter().map(|tally| tally.of(kind)).sum();
        assert!(bent > 0, "{} never happened on {runtime}", kind.word());
    }
}

fn interrupted(runtime: &str) {
    for over in ["tcp", "udp"] {
        let said = exchange(runtime, over, 4, "signal=200");
        assert!(said.tally.waits_signalled() > 50, "{runtime} over {over}: hardly a wait was interrupted");
        assert!(said.number("cpu-ms") < 10_000, "{runtime} over {over}");
    }
}

macro_rules! each_runtime {
    ($($name:ident: $runtime:literal),*) => {
        mod every_call_is_bent {
            $(#[test] fn $name() { super::all_bent($runtime); })*
        }
        mod every_wait_is_interrupted {
            $(#[test] fn $name() { super::interrupted($runtime); })*
        }
        #[test]
        fn no_runtime_is_left_out() {
            assert_eq!([$($runtime),*], RUNTIMES);
        }
    };
}

each_runtime! { std: "std", smol: "smol", smol_multi: "smol-multi", tokio: "tokio", tokio_multi: "tokio-multi" }

#[test]
fn without_a_plan_nothing_is_bent() {
    let output = Command::new(env!("CARGO_BIN_EXE_under_adversity"))
        .args(["exchange", "std", "tcp", "100", "1"])
        .env_remove(PLAN)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && told.ends_with("signals 0 waits=0\n") && !told.contains("recv"),
        "{told}"
    );
}

#[test]
fn a_plan_that_cannot_be_read_ends_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_under_adversity"))
        .args(["exchange", "std", "tcp", "100", "1"])
        .env(PLAN, "seed=1,shrot=5")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && errors.contains("\"shrot=5\""), "{errors}");
}
