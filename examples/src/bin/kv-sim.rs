//! Plays scenarios of the guide's protocol and draws them: `cargo run -p resound-examples --bin kv-sim -- FILE.scn…`

use std::process::ExitCode;

use resound_examples::kv::simulated::Kv;
use resound_examples::kv::store::Repeats;
use resound_sim::{Record, Scenario, World};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut unmet = 0;
    for file in std::env::args().skip(1) {
        let scenario: Scenario =
            std::fs::read_to_string(&file)?.parse().map_err(|error| format!("{file}: {error}"))?;
        let run = World::new(&scenario, &mut Kv::new(Repeats::Recognise)).play(Record::Everything);
        println!("{}", run.timeline(&scenario).states(false));
        for not in scenario.unmet(&run.said) {
            println!("{file}: {not}");
            unmet += 1;
        }
    }
    Ok(if unmet == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
