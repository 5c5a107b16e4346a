//! What fails is made simple, and goes on failing in the same way.

mod careless;

use std::time::Duration;

use careless::Careless;
use resound_core::Rng;
use resound_sim::engine::Trial;
use resound_sim::engine::generate::Mix;
use resound_sim::engine::shrink::{Descent, MOST_RUNS, shrink, weaker};
use resound_sim::oracle::{self, Broken};
use resound_sim::scenario::{NodeId, Said, Tamper, What};
use resound_sim::{Run, Scenario};

fn read(text: &str) -> Scenario {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A rule that a scenario breaks by what stands in it.
fn breaks(is: impl Fn(&Scenario) -> bool + 'static) -> Trial<'static> {
    Trial::echo().must(
        move |scenario: &Scenario, _: &Run| {
            if is(scenario) { Err(Broken::new("has it", "it has it")) } else { Ok(()) }
        },
    )
}

fn shrunk(text: &str, is: impl Fn(&Scenario) -> bool + 'static) -> String {
    let (scenario, trial) = (read(text), breaks(is));
    let broken = trial.judge(&scenario).expect_err("it fails");
    shrink(&scenario, broken, &trial, MOST_RUNS).scenario.to_string()
}

const BASE: &str = "
seed 99
until 47.3
host client
router here ; router there ; router elsewhere
host server tcp_retries2=5
host bystander
link client <-> here 10ms jitter=3ms loss=20% noise=5
link here <-> there 1ms
link there <-> server 1ms
link elsewhere <-> bystander 1ms
0.123 server serve udp 7
0.456 client connect udp server:7 idle=2s probe=500ms misses=2
1.789 client send 1000 bytes
2.345 client send \"hello\"
!1.234567 server reboot 3.217s
!there->server#2 corrupt
!here->client#3 delay 250ms
!client->here#4 alter bit=77
expect client up
expect client echo 1 ; echo 2
";

#[test]
fn everything_that_does_not_matter_goes() {
    let text = shrunk(BASE, |scenario| scenario.nodes.iter().any(|node| node.name == "client"));
    assert_eq!(text, "profile linux\nhost client\n");
}

#[test]
fn routers_are_bridged_and_faults_move_with_them() {
    let scenario = read(&BASE.replace(" loss=20%", ""));
    let trial = Trial::echo().must(|_: &Scenario, run: &Run| {
        let up = run.said.iter().any(|remark| remark.said == Said::Up);
        let corrupt = run.ledger.iter().any(|effect| effect.explain().starts_with("lost:"));
        let corrupt = corrupt || run.ledger.iter().any(|effect| effect.explain().contains("dropped where"));
        if up && corrupt { Err(Broken::new("both", "both")) } else { Ok(()) }
    });
    let broken = trial.judge(&scenario).expect_err("both");
    let shrunk = shrink(&scenario, broken, &trial, MOST_RUNS).scenario.to_string();
    assert_eq!(
        shrunk,
        "profile linux
host client
host server
link client <-> server 1ms
0.000 server serve udp 7
0.000 client connect udp server:7
!client->server#1 drop
"
    );
}

#[test]
fn faults_are_weakened_and_times_are_round() {
    let text =
        shrunk(BASE, |scenario| scenario.faults.iter().any(|fault| matches!(fault.what, What::Host(..))));
    assert_eq!(text, "profile linux\nhost server\n!0.000 server kill\n");
    let late = Duration::from_secs(2);
    let text = shrunk(BASE, move |scenario| scenario.script.iter().any(|line| line.at > late));
    assert_eq!(text, "profile linux\nhost client\n2.300 client send \"x\"\n");
}

/// What takes time goes on taking time: a timeline in which all falls on one instant cannot be read.
#[test]
fn nothing_takes_less_than_a_millisecond() {
    let text = shrunk(BASE, |scenario| {
        let delays =
            scenario.faults.iter().any(|fault| matches!(fault.what, What::Tamper(_, Tamper::Delay(_))));
        delays && scenario.links.iter().any(|link| link.delay > Duration::ZERO)
    });
    assert!(text.contains(" 1ms\n") && text.ends_with("#1 delay 1ms\n"), "{text}");
    // What was without delay from the start stays so.
    let text = shrunk("host a ; host b ; link a <-> b 0s", |scenario| !scenario.links.is_empty());
    assert_eq!(text, "profile linux\nhost a\nhost b\nlink a <-> b 0s\n");
}

#[test]
fn noise_becomes_the_packets_that_were_lost() {
    let scenario = read(
        "host client ; host server ; link client <-> server 10ms loss=30% noise=11
         until 20
         0 server serve udp 7 ; 0 client connect udp server:7 idle=2s probe=500ms misses=2
         1 client send \"a\" ; 2 client send \"b\" ; 3 client send \"c\" ; 4 client send \"d\"",
    );
    let trial = Trial::echo().must(|_: &Scenario, run: &Run| {
        let behind = run.said.iter().skip_while(|remark| remark.said != Said::Up);
        let lost = behind.filter(|remark| matches!(remark.said, Said::Lost(..))).count();
        if lost > 0 { Err(Broken::new("lost", "though it was up")) } else { Ok(()) }
    });
    let broken = trial.judge(&scenario).expect_err("something is lost");
    let shrunk = shrink(&scenario, broken, &trial, MOST_RUNS);
    assert_eq!(shrunk.scenario.links[0].loss, 0, "{}", shrunk.scenario);
    assert!(!shrunk.scenario.faults.is_empty() && shrunk.scenario.faults.len() <= 2, "{}", shrunk.scenario);
    assert!(shrunk.scenario.to_string().lines().count() <= 10, "{}", shrunk.scenario);
}

#[test]
fn it_is_deterministic_and_bounded() {
    let trial = Trial::new(|| Careless).must(oracle::conservation(NodeId(0)).of_what_ended());
    let mix = Mix::new().udp().faults(4..=8);
    let found = (0..).map(|seed| mix.draw(&mut Rng::from_seed(seed))).find_map(|scenario| {
        let broken = trial.judge(&scenario).err()?;
        Some((scenario, broken))
    });
    let (scenario, broken) = found.expect("there is a bug");
    let once = shrink(&scenario, broken.clone(), &trial, MOST_RUNS);
    assert_eq!(shrink(&scenario, broken.clone(), &trial, MOST_RUNS), once);
    assert!(once.runs < 5_000, "{}", once.runs);
    assert_eq!(shrink(&scenario, broken.clone(), &trial, 10).runs, 10);
    assert_eq!(shrink(&scenario, broken, &trial, 0).scenario, scenario);
}

#[test]
fn the_weaker_have_no_circles() {
    for seed in 0..500 {
        let scenario = Mix::new().faults(8..=8).draw(&mut Rng::from_seed(seed));
        for fault in scenario.faults {
            let mut what = fault.what;
            for steps in 0.. {
                assert!(steps < 40, "{what:?}");
                // Whichever is taken: the strongest of them is the longest way down.
                let Some(next) = weaker(&what).pop() else { break };
                assert_ne!(next, what);
                what = next;
            }
        }
    }
}

#[test]
fn a_descent_ends_even_if_everything_fails() {
    for seed in 0..50 {
        let mut descent = Descent::new(Mix::new().draw(&mut Rng::from_seed(seed)));
        let mut offers = 0;
        while descent.offer().is_some() {
            descent.keep();
            offers += 1;
            assert!(offers < 1_000);
        }
        assert_eq!(descent.best().to_string(), "profile linux\n");
    }
}
