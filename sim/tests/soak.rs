//! Random scenarios: the same from the same seed, valid, and a bug in them is found and made small. What they say of the
//! core is in `invariants.rs`.

mod careless;

use careless::Careless;
use resound_core::Rng;
use resound_sim::engine::generate::{Kind, Mix};
use resound_sim::engine::soak::Soak;
use resound_sim::engine::{Trial, replay};
use resound_sim::oracle;
use resound_sim::scenario::{NodeId, Scenario, What};

const CLIENT: NodeId = NodeId(0);

#[test]
fn every_scenario_is_valid_and_is_read_back() {
    let (mut kinds, mix) = (std::collections::BTreeSet::new(), Mix::new().faults(0..=12));
    for seed in 0..3_000 {
        let scenario = mix.draw(&mut Rng::from_seed(seed));
        assert_eq!(scenario.check(), Ok(()), "{scenario}");
        assert_eq!(scenario.to_string().parse::<Scenario>().as_ref(), Ok(&scenario), "{scenario}");
        kinds.extend(scenario.faults.iter().map(|fault| match &fault.what {
            What::Tamper(_, tamper) => format!("{:?}", core::mem::discriminant(tamper)),
            What::Forge { packet, .. } => format!("{:?}", core::mem::discriminant(packet)),
            What::Host(_, what) => format!("host {:?}", core::mem::discriminant(what)),
            what => format!("what {:?}", core::mem::discriminant(what)),
        }));
    }
    assert!(kinds.len() > 20, "every kind of fault comes up: {kinds:?}");
}

#[test]
fn only_the_kinds_that_were_asked_for_come_up() {
    let mix = Mix::new().faults(3..=3).only(&[Kind::Reboot]);
    for seed in 0..200 {
        let scenario = mix.draw(&mut Rng::from_seed(seed));
        assert_eq!(scenario.faults.len(), 3);
        assert!(scenario.faults.iter().all(|fault| matches!(fault.what, What::Host(..))), "{scenario}");
    }
}

#[test]
fn the_same_seed_gives_the_same_scenarios_and_runs() {
    let soak = || Soak::new(7).runs(50);
    assert_eq!(soak().scenario(33), soak().scenario(33));
    assert_ne!(soak().scenario(33), soak().scenario(34));
    assert_eq!(soak().run(&Trial::echo()), soak().run(&Trial::echo()));
}

#[test]
fn a_bug_is_found_and_shrunk_to_a_few_lines() {
    let trial = Trial::new(|| Careless).must(oracle::conservation(CLIENT).of_what_ended());
    let wet = Soak::new(3).runs(10_000).mix(Mix::new().udp()).run(&trial).expect_err("there is a bug");
    println!("{wet}");
    let text = wet.shrunk.scenario.to_string();
    assert_eq!(wet.shrunk.broken.rule, wet.broken.rule);
    assert!(text.lines().count() <= 10, "{wet}");
    assert!(wet.shrunk.scenario.faults.len() <= 2, "{wet}");
    assert!(wet.timeline.contains("echo 0"), "{wet}");
    // What was printed fails in the same way.
    let again: Scenario = text.parse().unwrap();
    assert_eq!(trial.judge(&again).unwrap_err(), wet.shrunk.broken);
}

#[test]
fn a_replay_tells_everything_that_is_broken() {
    let scenario: Scenario = "host a ; host b ; link a <-> b 1ms
         0 b serve udp 7 ; 0 a connect udp b:7 ; 1 a send \"x\"
         !50 a->b drop
         expect a down"
        .parse()
        .unwrap();
    let report = replay::replay(&scenario, &replay::standard(&scenario));
    let rules: Vec<_> = report.broken.iter().map(|broken| broken.rule.as_ref()).collect();
    // At 50 s a probe sets out, and is lost.
    assert_eq!(rules, ["expected"], "{report}");
}
