//! Strategies shrink on the scenario, and fuzz bytes give scenarios whatever they are.

mod careless;

use arbitrary::{Arbitrary, Unstructured};
use careless::Careless;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use resound_sim::Scenario;
use resound_sim::engine::Trial;
use resound_sim::engine::generate::Mix;
use resound_sim::oracle;
use resound_sim::proptest::{faults, scenarios};
use resound_sim::scenario::NodeId;

fn runner() -> TestRunner {
    let config = ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
}

fn careless() -> Trial<'static> {
    Trial::new(|| Careless).must(oracle::conservation(NodeId(0)))
}

fn holds(trial: &Trial<'_>, scenario: &Scenario) -> Result<(), TestCaseError> {
    trial.judge(scenario).map(|_| ()).map_err(|broken| TestCaseError::fail(broken.to_string()))
}

#[test]
fn a_bug_is_found_and_shrunk_on_the_scenario() {
    let trial = careless();
    let failed = runner().run(&scenarios(Mix::new().udp()), |scenario| holds(&trial, &scenario));
    let Err(TestError::Fail(_, scenario)) = failed else { panic!("there is a bug: {failed:?}") };
    println!("{scenario}");
    assert!(trial.judge(&scenario).is_err(), "{scenario}");
    assert!(scenario.to_string().lines().count() <= 10, "{scenario}");
}

#[test]
fn of_a_given_scenario_only_the_faults_shrink() {
    let base = careless::three_messages();
    let trial = careless();
    let strategy = faults(base.clone(), Mix::new().faults(1..=6));
    let failed = runner().run(&strategy, |scenario| holds(&trial, &scenario));
    let Err(TestError::Fail(_, scenario)) = failed else { panic!("there is a bug: {failed:?}") };
    assert_eq!(Scenario { faults: Vec::new(), ..scenario.clone() }, base);
    assert!((1..=2).contains(&scenario.faults.len()), "{scenario}");
}

proptest! {
    #[test]
    fn any_bytes_give_a_scenario_that_can_be_played_and_written(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let scenario = Scenario::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        prop_assert_eq!(scenario.check(), Ok(()));
        prop_assert_eq!(scenario.to_string().parse::<Scenario>(), Ok(scenario));
    }

    #[test]
    fn every_scenario_of_the_strategy_is_valid(scenario in scenarios(Mix::new().faults(0..=9))) {
        prop_assert_eq!(scenario.check(), Ok(()));
        prop_assert_eq!(scenario.to_string().parse::<Scenario>(), Ok(scenario));
    }
}

#[test]
fn no_bytes_give_the_simplest_scenario() {
    let scenario = Scenario::arbitrary(&mut Unstructured::new(&[])).unwrap();
    assert_eq!(scenario.faults, []);
    assert_eq!(scenario.nodes.len(), 2);
}
