//! Plays a scenario from a file, and draws what happened.
use resound_sim::{Echo, Record, Scenario, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: play FILE.scn")?;
    let scenario: Scenario = std::fs::read_to_string(path)?.parse()?;
    let run = World::new(&scenario, &mut Echo).play(Record::Everything);
    println!("{}", run.timeline(&scenario));
    Ok(())
}
