//! What the world does at the right time and by the right way, or notices that it never will.

use std::time::Duration;

use resound_core::Instant;
use resound_sim::kernel::{Fd, UdpOptions};
use resound_sim::run::Happened;
use resound_sim::scenario::{Command, Said, Scenario, address};
use resound_sim::world::{Answer, Calls, Next, Program};
use resound_sim::{Echo, Record, Run, World};

fn read(text: &str) -> Scenario {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn play(scenario: &Scenario) -> Run {
    World::new(scenario, &mut Echo).play(Record::Everything)
}

#[test]
fn a_fault_that_waits_for_words_happens_when_they_are_said() {
    let scenario = read(
        "host client ; host server ; link client <-> server 10ms
         !0 client route to server prohibit
         0 client connect server:7
         !client says \"retry\" client skew +1h",
    );
    let run = play(&scenario);
    let said = run.said.iter().find(|remark| matches!(remark.said, Said::Retry { .. })).expect("a retry").at;
    let skewed = |what: &Happened| matches!(what, Happened::Fault { what, .. } if what.contains("skew"));
    let at = run.moments.iter().find(|moment| skewed(&moment.what)).expect("it happens").at;
    assert_eq!(at, said);
}

#[test]
fn time_does_not_go_back_to_an_end_that_has_passed() {
    let scenario = read(
        "host a ; host b ; link a <-> b 10ms
         0 a call u = udp 0 ; 2 a call u sendto b:7 \"x\"
         !a->b#1 a->b cut until 0.5",
    );
    assert_eq!(play(&scenario).ended, Instant::EPOCH + Duration::from_secs(2));
}

#[test]
fn no_path_leads_through_a_host() {
    let scenario = read(
        "host client ; host middle ; router one ; router two ; host server
         link client <-> middle 1ms ; link middle <-> server 1ms
         link client <-> one 1ms ; link one <-> two 1ms ; link two <-> server 1ms
         0 server serve 7 ; 0 client connect server:7
         expect client up by 0.1",
    );
    assert_eq!(scenario.unmet(&play(&scenario).said), []);
}

/// Sends whenever it runs, and never sleeps.
struct Restless(Option<Fd>);

impl Program for Restless {
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        let any = calls.any(0);
        let fd = *self.0.get_or_insert_with(|| calls.udp(any, &UdpOptions::default()).expect("a port"));
        let to = (address(resound_sim::scenario::NodeId(1), calls.version()), 7).into();
        calls.send_to(fd, Some(to), None, b"").expect("it is sent");
        Next::Sleep(Some(calls.now()))
    }

    fn ask(&mut self, _: &mut Calls<'_>, _: &Command) -> Answer {
        Answer::NotMine
    }
}

#[test]
fn a_program_that_sends_for_ever_at_one_instant_is_noticed() {
    let scenario = read("host a ; host b ; link a <-> b 1ms");
    let mut cast = Echo;
    let mut world = World::new(&scenario, &mut cast);
    world.spawn(resound_sim::scenario::NodeId(0), Box::new(Restless(None)));
    let run = world.play(Record::Said);
    assert_eq!(run.ended, Instant::EPOCH);
    let spins = |said: &Said| said.to_string().starts_with("spins");
    assert!(run.said.iter().any(|remark| spins(&remark.said)), "{:?}", run.said);
}
