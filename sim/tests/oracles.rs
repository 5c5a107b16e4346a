//! Each oracle holds where it should, and breaks where it should: told by hand, remark by remark.

use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Origin, Reason};
use resound_sim::oracle::{self, Broken, Oracle};
use resound_sim::run::{Effect, Remark, Run};
use resound_sim::scenario::{NodeId, Said, Scenario};
use resound_sim::{Echo, Record, World};

const CLIENT: NodeId = NodeId(0);

fn scenario(more: &str) -> Scenario {
    let base = "host client ; host server ; host other ; link client <-> server 10ms ; until 100";
    format!("{base}\n{more}").parse().unwrap_or_else(|error| panic!("{error}\n{more}"))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A run in which the client says this.
fn run(said: &[(f64, Said)]) -> Run {
    let empty = scenario("");
    let mut run = World::new(&empty, &mut Echo).play(Record::Said);
    run.said = said
        .iter()
        .map(|(at, said)| Remark { at: Instant::EPOCH + seconds(*at), node: CLIENT, said: said.clone() })
        .collect();
    run
}

fn other(said: &str) -> Said {
    Said::other(said)
}

fn rule(oracle: &impl Oracle, scenario: &Scenario, run: &Run) -> String {
    oracle.check(scenario, run).map_or_else(|broken| broken.rule.into_owned(), |()| "holds".to_owned())
}

const LOST: fn(u64) -> Said = |seq| Said::Lost(seq, Reason::Reset);
const DOWN: Said = Said::Down(Reason::Reset, Origin::Peer);

#[test]
fn a_broken_rule_is_displayed_with_what_broke_it() {
    assert_eq!(Broken::new("rule", "it did").to_string(), "rule: it did");
    let broken = oracle::never(CLIENT, "down").check(&scenario(""), &run(&[(1.5, DOWN)])).unwrap_err();
    assert_eq!(broken.to_string(), "never down: client said \"down reset peer\" at 1.5s");
}

#[test]
fn expectations_and_inert_faults() {
    let with = scenario("expect client up\n!client->server#9 drop");
    let mut silent = run(&[]);
    assert_eq!(rule(&oracle::expected(), &with, &silent), "expected");
    assert_eq!(rule(&oracle::expected(), &with, &run(&[(1.0, Said::Up)])), "holds");
    silent.ledger = vec![Effect::Inert("it never came to that".to_owned())];
    assert_eq!(rule(&oracle::nothing_inert(), &with, &silent), "nothing-inert");
    assert_eq!(
        rule(&oracle::nothing_inert(), &scenario("!client->server#9 drop may-be-inert"), &silent),
        "holds"
    );
}

#[test]
fn a_run_that_differs_from_itself_is_not_deterministic() {
    let scenario = scenario("0 server serve udp 7 ; 0 client connect udp server:7");
    let mut run = World::new(&scenario, &mut Echo).play(Record::Said);
    let oracle = oracle::deterministic(|| Echo);
    assert_eq!(rule(&oracle, &scenario, &run), "holds");
    run.digest ^= 1;
    assert_eq!(rule(&oracle, &scenario, &run), "deterministic");
}

#[test]
fn each_message_ends_once() {
    use Said::{Echo, Sent, Up};
    let tcp = scenario("0 client connect server:7");
    let udp = scenario("0 client connect udp server:7");
    let check = |scenario: &Scenario, said: &[Said]| {
        let said: Vec<_> = said.iter().map(|said| (1.0, said.clone())).collect();
        rule(&oracle::conservation(CLIENT), scenario, &run(&said))
    };
    assert_eq!(check(&tcp, &[Sent(0), Sent(1), Up, Echo(0), Echo(1)]), "holds");
    assert_eq!(check(&tcp, &[Sent(0), Sent(1), Up, Echo(0), LOST(1)]), "holds");
    assert_eq!(check(&tcp, &[Sent(0), Echo(0), Echo(0)]), "conservation");
    assert_eq!(check(&tcp, &[Sent(0), Echo(0), LOST(0)]), "conservation");
    assert_eq!(check(&tcp, &[Echo(0)]), "conservation");
    // In order over TCP; over UDP as they come.
    assert_eq!(check(&tcp, &[Sent(0), Sent(1), Echo(1), Echo(0)]), "conservation");
    assert_eq!(check(&udp, &[Sent(0), Sent(1), Echo(1), Echo(0)]), "holds");
    // One message to two peers ends at each of them, once.
    let both = [Sent(1), Sent(1), other("server echo 1"), other("other lost 1 reset")];
    assert_eq!(check(&udp, &both), "holds");
    let twice =
        [Sent(1), Sent(1), other("server echo 1"), other("server lost 1 reset"), other("other echo 1")];
    assert_eq!(check(&udp, &twice), "conservation");
}

#[test]
fn a_message_that_is_still_under_way_is_only_complete_if_its_host_was_killed() {
    let said = run(&[(1.0, Said::Sent(0))]);
    let complete = oracle::conservation(CLIENT).complete();
    assert_eq!(rule(&oracle::conservation(CLIENT), &scenario(""), &said), "holds");
    assert_eq!(rule(&complete, &scenario(""), &said), "conservation");
    let mut killed = said;
    killed.ledger = vec![Effect::Acted("its programs are gone".to_owned())];
    assert_eq!(rule(&complete, &scenario("!2 client kill"), &killed), "holds");
    assert_eq!(rule(&complete, &scenario("!2 server kill"), &killed), "conservation");
}

#[test]
fn after_the_last_fault_the_client_settles() {
    let oracle = oracle::settles_after_healing(CLIENT, seconds(30.0));
    let cut = scenario("!1 client<->server cut until 10");
    let check = |scenario: &Scenario, said: &[(f64, Said)]| {
        let mut run = run(said);
        run.disturbed = Some(Instant::EPOCH + seconds(10.0));
        rule(&oracle, scenario, &run)
    };
    assert_eq!(check(&cut, &[(5.0, DOWN), (39.0, Said::Up)]), "holds");
    assert_eq!(check(&cut, &[(5.0, DOWN), (39.0, Said::GaveUp(Reason::NoResponse))]), "holds");
    assert_eq!(check(&cut, &[(5.0, DOWN), (41.0, Said::Up)]), "settles-after-healing");
    assert_eq!(check(&cut, &[(0.0, Said::Up), (41.0, DOWN)]), "settles-after-healing");
    assert_eq!(
        check(&cut, &[(5.0, other("server down x")), (6.0, other("other up"))]),
        "settles-after-healing"
    );
    assert_eq!(check(&cut, &[]), "holds");
    // What never heals is not judged, nor what ends too soon.
    assert_eq!(check(&scenario("!1 client->server cut"), &[(5.0, DOWN)]), "holds");
    assert_eq!(check(&Scenario { until: seconds(39.0), ..cut }, &[(5.0, DOWN)]), "holds");
}

#[test]
fn a_run_knows_when_it_was_last_disturbed() {
    let scenario = scenario(
        "0 server serve udp 7 ; 0 client connect udp server:7 idle=2s probe=500ms misses=2
         !client->server#1 delay 3s ; !5 client->server cut until 20",
    );
    let run = World::new(&scenario, &mut Echo).play(Record::Said);
    assert_eq!(run.disturbed, Some(Instant::EPOCH + seconds(20.0)));
    let undisturbed = Scenario { faults: Vec::new(), ..scenario };
    assert_eq!(World::new(&undisturbed, &mut Echo).play(Record::Said).disturbed, None);
}

#[test]
fn attempts_are_bounded_in_every_window() {
    let oracle = oracle::bounded_attempts(CLIENT, seconds(1.0));
    let check = |times: &[f64]| {
        let said: Vec<_> = times.iter().map(|at| (*at, Said::Dialing)).collect();
        rule(&oracle, &scenario(""), &run(&said))
    };
    assert_eq!(check(&[0.0, 1.0, 2.0, 3.0]), "holds");
    // Two within a moment are allowed once: 1 + ⌈W/F⌉.
    assert_eq!(check(&[0.0, 0.5, 2.0, 3.0]), "holds");
    assert_eq!(check(&[0.0, 0.0]), "bounded-attempts");
    assert_eq!(check(&[0.0, 0.5, 0.9]), "bounded-attempts");
    let named = run(&[(0.0, other("server dialing")), (0.0, other("other dialing"))]);
    assert_eq!(rule(&oracle, &scenario(""), &named), "holds");
}

#[test]
fn silence_convicts_in_time() {
    let oracle = oracle::conviction_within(CLIENT, seconds(20.0));
    let cut = scenario("!10 server->client cut until 40");
    let check = |scenario: &Scenario, said: &[(f64, Said)]| rule(&oracle, scenario, &run(said));
    assert_eq!(check(&cut, &[(1.0, Said::Up), (29.0, DOWN)]), "holds");
    assert_eq!(check(&cut, &[(1.0, Said::Up), (31.0, DOWN)]), "conviction-within");
    assert_eq!(check(&cut, &[(1.0, Said::Up)]), "conviction-within");
    // Who was not up convicts nobody; a short silence need not convict; the other way is another matter.
    assert_eq!(check(&cut, &[]), "holds");
    assert_eq!(check(&scenario("!10 server->client cut until 29"), &[(1.0, Said::Up)]), "holds");
    assert_eq!(check(&scenario("!10 client->server cut until 40"), &[(1.0, Said::Up)]), "holds");
}

#[test]
fn what_leads_to_what() {
    let empty = scenario("");
    let always = oracle::always("no suspicion", |remark| !matches!(remark.said, Said::Suspect(_)));
    assert_eq!(rule(&always, &empty, &run(&[(1.0, Said::Up)])), "holds");
    assert_eq!(rule(&always, &empty, &run(&[(1.0, Said::Suspect(1))])), "no suspicion");
    let up = oracle::eventually_within(CLIENT, "up", seconds(2.0));
    assert_eq!(rule(&up, &empty, &run(&[(2.0, Said::Up)])), "holds");
    assert_eq!(rule(&up, &empty, &run(&[(2.1, Said::Up)])), "eventually up");
    let again = oracle::leads_to(CLIENT, "down", "up", seconds(10.0));
    assert_eq!(rule(&again, &empty, &run(&[(1.0, DOWN), (11.0, Said::Up)])), "holds");
    assert_eq!(rule(&again, &empty, &run(&[(1.0, DOWN), (11.1, Said::Up)])), "down leads to up");
    assert_eq!(rule(&again, &empty, &run(&[(95.0, DOWN)])), "holds", "the end comes before");
}
