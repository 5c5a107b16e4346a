//! Any bytes give a scenario; whatever it is, the rules hold: `cargo +nightly fuzz run -s none scenario`.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use resound_sim::engine::Trial;
use resound_sim::engine::replay::clients;
use resound_sim::{Scenario, oracle};

fuzz_target!(|scenario: Scenario| {
    let mut trial = Trial::echo();
    for client in clients(&scenario) {
        trial = trial
            .must(oracle::conservation(client))
            .must(oracle::bounded_attempts(client, Duration::from_millis(250)))
            .must(oracle::settles_after_healing(client, Duration::from_secs(100)));
    }
    if let Err(broken) = trial.judge(&scenario) {
        panic!("{broken}\n{scenario}");
    }
});
