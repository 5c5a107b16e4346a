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

const TCP: &str = "0 client connect server:7 idle=2s misses=3";

/// What conservation says of a run (until 100) in which the client says this, and a fault last did something then.
fn conserved(more: &str, said: &[(f64, Said)], disturbed: Option<f64>) -> String {
    let mut run = run(said);
    run.disturbed = disturbed.map(|at| Instant::EPOCH + seconds(at));
    rule(&oracle::conservation(CLIENT), &scenario(more), &run)
}

#[test]
fn a_message_that_no_connection_stands_for_waits() {
    let sent = (1.0, Said::Sent(0));
    let up = |at| (at, Said::Up);
    assert_eq!(conserved(TCP, std::slice::from_ref(&sent), None), "holds");
    assert_eq!(conserved(TCP, &[up(0.0), sent.clone(), (2.0, DOWN)], None), "holds");
    // Who gave up, or is closed, waits for nothing.
    let gave_up = (3.0, Said::GaveUp(Reason::NoResponse));
    assert_eq!(conserved(TCP, &[sent.clone(), gave_up.clone()], None), "conservation");
    assert_eq!(conserved(TCP, &[up(0.0), sent.clone(), (3.0, Said::Closed)], None), "conservation");
    assert_eq!(conserved(TCP, &[sent.clone(), gave_up, (3.0, LOST(0))], None), "holds");
    // Two clients on one host are not told apart.
    let two = format!("{TCP}\n{TCP}");
    assert_eq!(conserved(&two, &[up(0.0), sent], None), "holds");
}

#[test]
fn a_message_on_a_connection_that_stands_is_answered_or_lost_in_time() {
    let up = (0.0, Said::Up);
    let check = |more: &str, at, disturbed| conserved(more, &[up.clone(), (at, Said::Sent(0))], disturbed);
    // (3 + 1)·2 s and one second.
    assert_eq!(check(TCP, 91.0, None), "conservation");
    assert_eq!(check(TCP, 91.1, None), "holds");
    assert_eq!(check(TCP, 50.0, Some(91.0)), "conservation");
    assert_eq!(check(TCP, 50.0, Some(91.1)), "holds");
    assert_eq!(conserved(TCP, &[(50.0, Said::Sent(0)), (91.1, Said::Up)], None), "holds");
    // By the default knobs, (3 + 1)·15 s and one.
    assert_eq!(check("0 client connect server:7", 39.0, None), "conservation");
    assert_eq!(check("0 client connect server:7", 39.1, None), "holds");
    // Nobody notices silence.
    assert_eq!(check("0 client connect server:7 idle=0s", 1.0, None), "holds");
    // Where the client itself stood still, it has that much longer.
    assert_eq!(check(&format!("{TCP}\n!50 client pause 30s"), 61.0, None), "conservation");
    assert_eq!(check(&format!("{TCP}\n!50 client pause 30s"), 61.1, None), "holds");
    assert_eq!(check(&format!("{TCP}\n!50 client skew -30s"), 61.1, None), "holds");
    assert_eq!(check(&format!("{TCP}\n!50 server pause 30s"), 61.1, None), "conservation");
    // As long as bytes may come, and none are missed, there is no such time.
    for noise in ["loss=1%", "corrupt=1%", "rate=1Mbit"] {
        let link = format!("link server <-> other 1ms {noise}");
        assert_eq!(check(&format!("{TCP}\n{link}"), 1.0, None), "holds", "{noise}");
    }
}

#[test]
fn a_client_that_forgets_one_message_is_found() {
    for transport in ["tcp", "udp"] {
        let scenario = scenario(&format!(
            "0 server serve {transport} 7 ; 0 client connect {transport} server:7 idle=2s
             1 client send \"a\" ; 2 client send \"b\" ; 3 client send \"c\""
        ));
        let oracle = oracle::conservation(CLIENT);
        let run = World::new(&scenario, &mut Echo).play(Record::Said);
        assert_eq!(rule(&oracle, &scenario, &run), "holds");
        let ends = |remark: &Remark| matches!(remark.said, Said::Echo(_));
        let ended: Vec<_> = (0..run.said.len()).filter(|&at| ends(&run.said[at])).collect();
        assert_eq!(ended.len(), 3, "{:?}", run.said);
        for at in ended {
            let mut forgets = run.clone();
            forgets.said.remove(at);
            assert_eq!(rule(&oracle, &scenario, &forgets), "conservation", "{transport} {at}");
        }
    }
}

#[test]
fn a_datagram_is_answered_or_lost_in_time_whether_the_peer_is_up_or_not() {
    let udp = "0 client connect udp server:7";
    let check = |more: &str, at| conserved(more, &[(at, Said::Sent(0))], Some(at));
    assert_eq!(check(udp, 94.0), "conservation");
    assert_eq!(check(udp, 94.1), "holds");
    assert_eq!(check(&format!("{udp}\n!50 client pause 30s"), 64.1), "holds");
}

#[test]
fn more_or_less_can_be_asked_of_messages() {
    let said = run(&[(99.0, Said::Sent(0))]);
    let complete = oracle::conservation(CLIENT).complete();
    assert_eq!(rule(&oracle::conservation(CLIENT), &scenario(TCP), &said), "holds");
    assert_eq!(rule(&complete, &scenario(TCP), &said), "conservation");
    let over = run(&[(1.0, Said::Sent(0)), (2.0, Said::Closed)]);
    assert_eq!(rule(&oracle::conservation(CLIENT).of_what_ended(), &scenario(TCP), &over), "holds");
    // A program that was killed says nothing any more.
    for mut killed in [said, over] {
        killed.ledger = vec![Effect::Acted("its programs are gone".to_owned())];
        for oracle in [oracle::conservation(CLIENT), complete] {
            let by = |fault: &str| rule(&oracle, &scenario(&format!("{TCP}\n{fault}")), &killed);
            assert_eq!(by("!2 client kill"), "holds");
        }
        assert_eq!(rule(&complete, &scenario(&format!("{TCP}\n!2 server kill")), &killed), "conservation");
    }
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
    assert_eq!(check(&Scenario { until: seconds(39.0), ..cut.clone() }, &[(5.0, DOWN)]), "holds");
    for until in ["client says \"never\"", "client:closed", "client->server#9"] {
        let cut = scenario(&format!("!1 client->server cut until {until}"));
        assert_eq!(check(&cut, &[(5.0, DOWN)]), "holds", "{until}");
    }
    assert_eq!(check(&scenario("!1 server pause 91s"), &[(5.0, DOWN)]), "holds");
    assert_eq!(check(&scenario("!1 server pause 90s"), &[(5.0, DOWN)]), "settles-after-healing");
    // An end that is a later packet of the same way, and did set out.
    let outage = scenario("!client->server#3 client->server cut until client->server#9");
    let mut run = run(&[(5.0, DOWN)]);
    run.disturbed = Some(Instant::EPOCH + seconds(10.0));
    run.ways = vec![[8, 20]];
    assert_eq!(rule(&oracle, &outage, &run), "holds");
    run.ways = vec![[9, 0]];
    assert_eq!(rule(&oracle, &outage, &run), "settles-after-healing");
}

#[test]
fn a_client_that_gets_a_second_peer_begins_to_name_the_first() {
    let two = "0 client connect udp server:7 ; 50 client connect udp other:7";
    let settles = oracle::settles_after_healing(CLIENT, seconds(60.0));
    let said = [(1.0, Said::Dialing), (51.0, other("other up")), (52.0, other("server up"))];
    assert_eq!(rule(&settles, &scenario(two), &run(&said)), "holds");
    assert_eq!(rule(&settles, &scenario(two), &run(&said[..2])), "settles-after-healing");
    let convicts = oracle::conviction_within(CLIENT, seconds(20.0));
    let cut = scenario(&format!("{two}\n!60 client->server cut\n!60 server->client cut"));
    let said = [(1.0, Said::Up), (51.0, other("other up")), (70.0, other("server down no-echo timer"))];
    assert_eq!(rule(&convicts, &cut, &run(&said)), "conviction-within", "the other is not down");
    let both = [&said[..], &[(71.0, other("other down no-echo timer"))]].concat();
    assert_eq!(rule(&convicts, &cut, &run(&both)), "holds");
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
    // Who stood still meanwhile has that much longer, of the same silence.
    let paused = scenario("!10 server->client cut until 60\n!12 client pause 15s");
    assert_eq!(check(&paused, &[(1.0, Said::Up), (45.0, DOWN)]), "holds");
    assert_eq!(check(&paused, &[(1.0, Said::Up), (45.1, DOWN)]), "conviction-within");
    // There is another way to the host.
    let around = scenario("link client <-> other 1ms\n!10 server->client cut until 40");
    assert_eq!(check(&around, &[(1.0, Said::Up)]), "holds");
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
