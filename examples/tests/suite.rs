//! The loop of the guide passes the suite that the adapters pass.

use resound_conformance::{Runtime, Scenario, Transport, run_all};
use resound_examples::mio_conformance::Mio;

/// How many scenarios are played at a time.
const SEATS: usize = 6;

#[test]
fn the_loop_conforms() {
    let scenarios: Vec<&Scenario> =
        Scenario::ALL.iter().filter(|scenario| scenario.transport() == Transport::Tcp).collect();
    let runtimes: [&dyn Runtime; 1] = [&Mio];
    let outcomes = run_all(&runtimes, &scenarios, SEATS, |_| {});
    assert_eq!(outcomes.len(), scenarios.len());
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
