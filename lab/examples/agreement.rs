//! Plays the library, or the scenarios that are named, and prints what came and what that cost.
//!
//! `cargo run -p resound-lab --example agreement -- [NAME]...`

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use resound_lab::agent::{self, Launcher};
use resound_lab::costs::plays::Plays;
use resound_lab::suite::{self, Player, Setup};
use resound_lab::verdict::{Tolerance, Verdict, version_name};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["lab-agent"] {
        return agent::main();
    }
    if let Err(hindrance) = resound_lab::rig::prepare() {
        eprintln!("{hindrance}");
        return ExitCode::FAILURE;
    }
    let setup = Setup {
        launcher: Launcher::myself("lab-agent"),
        players: Player::ALL.to_vec(),
        together: std::env::var("TOGETHER").ok().and_then(|n| n.parse().ok()).unwrap_or(16),
        tolerance: Tolerance::default(),
    };
    let items = suite::items(&arguments);
    let mut counts = std::collections::BTreeMap::new();
    let mut outcomes = Vec::new();
    let began = std::time::Instant::now();
    suite::run(&items, &setup, &AtomicBool::new(false), |outcome| {
        *counts.entry(outcome.verdict.as_str()).or_insert(0) += 1;
        let (item, player) = (&outcome.item, outcome.player.as_str());
        let head = format!("{} {} {player}", item.name, version_name(item.version));
        match &outcome.verdict {
            Verdict::Agrees => println!("{head}: agrees, {:.1?}, ×{}", outcome.took, outcome.times),
            Verdict::Deviates(deviation) => println!("{head}: deviates: {}", deviation.why),
            Verdict::NotPlayed(why) => println!("{head}: not played: {why}"),
            Verdict::Differs(differences) => {
                println!("{head}: DIFFERS, {:.1?}, ×{}", outcome.took, outcome.times);
                for difference in differences {
                    println!("    {}: {}", item.scenario.name(difference.node), difference.what);
                }
                if arguments.len() == 1 {
                    if let Some(run) = &outcome.run {
                        println!("{}", run.timeline(&item.scenario));
                    }
                }
            }
        }
        outcomes.push(outcome);
    });
    if let Some(plays) = Plays::of(&outcomes) {
        println!("{plays}");
    }
    println!("{counts:?} in {:.1?}", began.elapsed());
    ExitCode::SUCCESS
}
