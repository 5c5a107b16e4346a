//! The loop of the guide passes the suite that the adapters pass.

use resound_conformance::{Runtime, Scenario, run_all};
use resound_examples::mio_conformance::Mio;

/// How many scenarios are played at a time.
const SEATS: usize = 6;

#[test]
fn the_loop_conforms() {
    let scenarios: Vec<&Scenario> = Scenario::ALL.iter().collect();
    let runtimes: [&dyn Runtime; 1] = [&Mio];
    let outcomes = run_all(&runtimes, &scenarios, SEATS, |_| {});
    assert_eq!(outcomes.len(), Scenario::ALL.len());
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
