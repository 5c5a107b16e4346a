//! The cases one after the other, several at a time.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, thread};

use resound_core::signal::Version;
use resound_lab::agent::{self, Launcher};
use resound_lab::play::{Guest, Setup, guest};
use resound_lab::rig::{allowed, prepare};
use resound_lab::suite::Player;
use resound_sim::scenario::{NodeId, address};
use resound_sim::{Record, Scenario};
use serde_json::Value;

use crate::common::Ran;

mod cases;

/// The word that makes this program an agent of the lab.
const AGENT: &str = "lab-agent";

/// Client, router, server.
const ROUTED: &str = "host client ; router router ; host server\n\
                      link client <-> router 10ms ; link router <-> server 1ms\n";

/// One situation.
struct Case {
    name: &'static str,
    /// Over which versions it is played.
    versions: &'static [Version],
    /// The hosts and links.
    hosts: &'static str,
    /// What the server does, in the script's lines.
    server: &'static str,
    /// What happens, in more of them.
    happens: &'static str,
    /// What is known of the hardware addresses on the link.
    neighbours: Neighbours,
    /// When `why` starts, in milliseconds.
    at: u64,
    /// What it is told besides the server's address.
    args: &'static [&'static str],
    /// What it is to say, one of these.
    says: &'static [Says],
}

/// Whether a host knows its neighbours' hardware addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbours {
    /// It does, because the lab made it ask. It believes in them for half a minute, whatever becomes of them.
    Known,
    /// It has to ask.
    Forgotten,
}

/// A situation, what it cannot tell apart, and the reason.
type Says = (&'static str, &'static [&'static str], Option<&'static str>);

pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == AGENT) {
        return agent::main();
    }
    if let Err(hindrance) = prepare().and_then(|()| allowed()) {
        println!("SKIPPED: {hindrance}");
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| {
        let mut filters = words.iter().filter(|word| !word.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|word| name.contains(word.as_str()))
    };
    let runs: Vec<(&Case, Version)> = cases::CASES
        .iter()
        .filter(|case| wanted(case.name))
        .flat_map(|case| case.versions.iter().map(move |&version| (case, version)))
        .collect();
    if words.iter().any(|word| word == "--list") {
        runs.iter().for_each(|(case, version)| println!("{}: test", named(case, *version)));
        return ExitCode::SUCCESS;
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // They mostly wait.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((case, version)) = runs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match play(case, *version) {
                        Ok(()) => println!("test {} ... ok", named(case, *version)),
                        Err(why) => {
                            failed.fetch_add(1, Ordering::SeqCst);
                            println!("test {} ... FAILED\n{why}", named(case, *version));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("\n{} situations played, {failed} failed", runs.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn named(case: &Case, version: Version) -> String {
    format!("{} ({version:?})", case.name)
}

/// Plays one, and looks at what it said.
fn play(case: &Case, version: Version) -> Result<(), String> {
    let ip = if version == Version::V6 { "ip 6\n" } else { "" };
    let text = format!("profile linux\n{ip}until 60\n{}{}{}\n", case.hosts, case.server, case.happens);
    let scenario: Arc<Scenario> = Arc::new(text.parse().map_err(|error| format!("{error}\n{text}"))?);
    let node = |name: &str| {
        let at = scenario.nodes.iter().position(|node| node.name == name);
        at.and_then(|at| u8::try_from(at).ok()).map(NodeId).ok_or(format!("no {name}"))
    };
    let target = std::net::SocketAddr::new(address(node("server")?, version), 7).to_string();
    let resound = env!("CARGO_BIN_EXE_resound");
    let mut command = match case.neighbours {
        Neighbours::Known => Command::new(resound),
        Neighbours::Forgotten => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ip neigh flush all && exec \"$0\" \"$@\"", resound]);
            shell
        }
    };
    command.args(["why", "-o", "json", &target]).args(case.args);
    let launcher = Launcher::myself(AGENT);
    let setup = Setup {
        launcher: &launcher,
        player: Player::Std,
        record: Record::Everything,
        ends: Duration::from_secs(60),
    };
    let visitor = Guest { host: node("client")?, at: Duration::from_millis(case.at), command };
    let (_, output) = guest(&scenario, &setup, visitor).map_err(|error| error.to_string())?;
    let ran = Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    judge(case, &ran).map_err(|why| format!("{why}\n{ran:?}"))
}

fn judge(case: &Case, ran: &Ran) -> Result<(), String> {
    if ran.stdout.is_empty() {
        return Err("it said nothing".into());
    }
    let document = ran.document();
    let found = document["findings"][0].clone();
    let between: Vec<&str> = found["between"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|candidate| candidate["candidate"].as_str())
        .collect();
    let as_told = |(situation, candidates, reason): &Says| {
        found["situation"] == *situation
            && between == *candidates
            && found["reason"] == reason.map_or(Value::Null, Value::from)
    };
    if case.says.iter().any(as_told) {
        return Ok(());
    }
    Err(format!("expected {:?}, and not {} {between:?} {}", case.says, found["situation"], found["reason"]))
}
