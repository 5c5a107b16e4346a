//! Holds the kernel table against the kernel that runs here, and prints what came.
//!
//! `cargo run --release -p resound-lab --example table -- [codes] [PARALLEL]`, or with the beginning of a case's name: then
//! those are played one after the other, with a timeline.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use resound_lab::agent::{self, Launcher};
use resound_lab::play::{self, Setup};
use resound_lab::suite::Player;
use resound_lab::table::{on_this_kernel, verify};
use resound_sim::Record;
use resound_sim::engine::staged::{Extent, cases};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["lab-agent"] {
        return agent::main();
    }
    if let Err(hindrance) = resound_lab::rig::prepare() {
        eprintln!("{hindrance}");
        return ExitCode::FAILURE;
    }
    let launcher = Launcher::myself("lab-agent");
    let mut extent = Extent::Rows;
    arguments.retain(|argument| {
        let codes = argument == "codes";
        extent = if codes { Extent::Codes } else { extent };
        !codes
    });
    let parallel = arguments.first().map_or(Ok(16), |first| first.parse());
    let Ok(parallel) = parallel.map(|many: usize| NonZeroUsize::new(many).unwrap_or(NonZeroUsize::MIN))
    else {
        show(&launcher, &arguments.join(" "));
        return ExitCode::SUCCESS;
    };
    let (began, mut done) = (Instant::now(), 0);
    let report = verify(&|scenario: &_| on_this_kernel(&launcher, scenario), extent, parallel, |_| {
        done += 1;
        if done % 100 == 0 {
            eprintln!("{done} rows");
        }
    });
    println!("{report}, in {:.1?}", began.elapsed());
    if report.counts()[1] == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(launcher: &Launcher, name: &str) {
    for case in cases(Extent::Codes).into_iter().flatten().filter(|case| case.to_string().starts_with(name)) {
        let setup =
            Setup { launcher, player: Player::Std, record: Record::Everything, ends: case.scenario.until };
        match play::play(&Arc::new(case.scenario.clone()), &setup) {
            Ok(played) => {
                println!("{}\n{:?}\n", played.run.timeline(&case.scenario), case.compare(&played.run));
            }
            Err(error) => println!("{case}: {error}"),
        }
    }
}
