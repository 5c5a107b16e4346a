//! Any text is a scenario or an error; a scenario is read as it was written: `cargo +nightly fuzz run -s none text`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resound_sim::Scenario;

fuzz_target!(|text: &str| {
    if let Ok(scenario) = text.parse::<Scenario>() {
        let again = scenario.to_string().parse::<Scenario>();
        assert_eq!(again.as_ref(), Ok(&scenario), "{scenario}");
    }
});
