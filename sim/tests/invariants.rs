//! The invariants of a link, end to end: a client machine, a network, a server machine. Each test bears the name of the
//! invariant, as the core's own properties do; what can only be seen inside a machine is tested there.
//!
//! What the engines say of the core is all here: every schedule of faults, and random scenarios.
//!
//! | | release | debug (the workspace's) |
//! |---|---|---|
//! | up to 3 faults of the standard menu, TCP and UDP | first 14 packets: 68 000 schedules, 2.6 s | first 7: 7 300, 1.0 s |
//! | up to 2 forged segments or ICMP errors | first 20 packets: 23 000 schedules, 1.0 s | first 10, 0.8 s |
//! | random scenarios | 10 000, 1.3 s | 1 000, 0.4 s |
//! | all of this file | 5.2 s | 2.6 s |
//!
//! Seconds of one core; the tests run side by side.

mod support;

use std::cell::Cell;
use std::time::Duration;

use expect_test::expect_file;
use resound_core::Instant;
use resound_core::stream::server::{Config, Connection};
use resound_sim::engine::Trial;
use resound_sim::engine::explore::{Certificate, Explore, Extent, Menu, Within};
use resound_sim::engine::generate::Mix;
use resound_sim::engine::soak::Soak;
use resound_sim::kernel::TcpOptions;
use resound_sim::oracle::{self, Broken};
use resound_sim::packet::Body;
use resound_sim::programs::Listening;
use resound_sim::run::{Happened, Remark};
use resound_sim::scenario::{Command, Said, Scenario};
use resound_sim::world::{Answer, Calls, Cast, Next, Program, Stage};
use resound_sim::{Echo, Record, Run, World};

const FLOOR: Duration = Duration::from_millis(250);

fn scenario(text: &str) -> Scenario {
    text.parse().unwrap_or_else(|malformed| panic!("{malformed}\n{text}"))
}

/// A client with short times, a router, a server; four messages, then a graceful close. Over both protocols and versions.
fn base(transport: &str, version: u8) -> Scenario {
    scenario(&format!(
        "ip {version}
         until 70
         host client ; router router ; host server
         link client <-> router 10ms ; link router <-> server 1ms
         0.000 server serve {transport} 7
         0.010 client connect {transport} server:7 idle=20s probe=500ms misses=3 round=5s
         0.500 client send \"one\"
         0.510 client send \"two\"
         1.500 client send 3000 bytes
         20.00 client send \"four\"
         60.00 client close"
    ))
}

fn idle_wedge(scenario: &Scenario, run: &Run) -> Result<(), Broken> {
    let client = scenario.node("client").expect("a client");
    let over = run.said_by(client).any(|remark| matches!(remark.said, Said::Closed | Said::GaveUp(_)));
    let early = run.ended < Instant::EPOCH + scenario.until.mul_f64(0.5);
    if early && !over {
        return Err(Broken::new(
            "P1",
            format!("nothing happens after {:?}, and the client is not done", run.ended),
        ));
    }
    Ok(())
}

fn no_spin(_: &Scenario, run: &Run) -> Result<(), Broken> {
    let spins = |remark: &&Remark| remark.said == Said::Spins;
    match run.said.iter().find(spins) {
        None => Ok(()),
        Some(remark) => Err(Broken::new("P1", format!("at {:?} a program {}", remark.at, remark.said))),
    }
}

/// After the end nothing is said.
fn nothing_after_the_end(scenario: &Scenario, run: &Run) -> Result<(), Broken> {
    let client = scenario.node("client").expect("a client");
    let mut said = run.said_by(client).skip_while(|remark| remark.said != Said::Closed).skip(1);
    // What the script asks of a program that is gone is refused.
    let after = said.find(|remark| !remark.said.to_string().starts_with("refused"));
    match after {
        None => Ok(()),
        Some(remark) => Err(Broken::new("B7", format!("after `closed`: {}", remark.said))),
    }
}

fn trial(scenario: &Scenario) -> Trial<'static> {
    let client = scenario.node("client").expect("a client");
    Trial::echo()
        .must(oracle::conservation(client))
        .must(oracle::bounded_attempts(client, FLOOR))
        .must(oracle::settles_after_healing(client, Duration::from_secs(45)))
        .must(nothing_after_the_end)
        .must(idle_wedge)
        .must(no_spin)
        .must(support::nothing_impossible)
}

fn certificate(base: &Scenario, menu: Menu, faults: u32, within: u32) -> Certificate {
    let search = Explore::new(base).menu(menu).most_faults(faults).within(Within::Overall(within));
    let found = search.run(&trial(base));
    let certificate = found.unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(certificate.extent, Extent::All);
    println!("{certificate}");
    certificate
}

/// All schedules of up to three faults of the standard menu, at the first packets; fewer where nothing is optimised.
fn up_to_three(base: &Scenario) {
    let (within, least) = if cfg!(debug_assertions) { (7, 2_000) } else { (14, 30_000) };
    let certificate = certificate(base, Menu::standard(), 3, within);
    assert!(certificate.schedules > least, "{certificate}");
    // Schedules whose faults come to nothing prove nothing.
    assert!(certificate.acted > certificate.schedules / 3, "{certificate}");
}

/// E1, E2, B6, B7, P1 and settling, under everything that the standard menu can do to the first packets.
#[test]
fn every_schedule_of_three_faults_over_tcp() {
    up_to_three(&base("tcp", 4));
}

#[test]
fn every_schedule_of_three_faults_over_udp() {
    up_to_three(&base("udp", 6));
}

/// A change of behaviour shows in the certificate: one is committed.
#[test]
fn certificates_are_what_they_were() {
    let each = [("tcp", 4), ("tcp", 6), ("udp", 4), ("udp", 6)].map(|(transport, version)| {
        let certificate = certificate(&base(transport, version), Menu::standard(), 2, 8);
        format!("{transport} over IPv{version}: {certificate}\n")
    });
    expect_file!["snapshots/certificates.txt"].assert_eq(&each.concat());
}

#[test]
fn every_pair_of_forged_or_broken_ends_over_tcp() {
    certificate(&base("tcp", 6), Menu::tcp_errors(), 2, pairs_within());
}

#[test]
fn every_pair_of_icmp_errors() {
    for transport in ["tcp", "udp"] {
        certificate(&base(transport, 4), Menu::icmp_v4(), 2, pairs_within());
        certificate(&base(transport, 6), Menu::icmp_v6(), 2, pairs_within());
    }
}

const fn pairs_within() -> u32 {
    if cfg!(debug_assertions) { 10 } else { 20 }
}

/// The same, under random faults of every kind, in random numbers: `SOAK_RUNS` scenarios of each protocol, or 5 000, or 500
/// where nothing is optimised.
#[test]
fn random_scenarios() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let runs = number("SOAK_RUNS").unwrap_or(if cfg!(debug_assertions) { 500 } else { 5_000 });
    let seed = number("SOAK_SEED").unwrap_or(1);
    for mix in [Mix::new().tcp(), Mix::new().udp()] {
        let client = mix.draw(&mut resound_core::Rng::from_seed(1)).node("client").expect("a client");
        let trial = Trial::echo()
            .must(oracle::conservation(client))
            .must(oracle::bounded_attempts(client, FLOOR))
            .must(oracle::settles_after_healing(client, Duration::from_secs(100)))
            .must(support::nothing_impossible)
            .must(nothing_after_the_end)
            .must(no_spin);
        match Soak::new(seed).runs(runs).mix(mix).run(&trial) {
            Ok(dry) => println!("{dry}"),
            Err(wet) => panic!("{wet}"),
        }
    }
}

fn play(scenario: &Scenario) -> Run {
    World::new(scenario, &mut Echo).play(Record::Everything)
}

fn client_said(scenario: &Scenario, run: &Run) -> Vec<(Duration, Said)> {
    let client = scenario.node("client").expect("a client");
    run.said_by(client).map(|remark| (remark.at.since(Instant::EPOCH), remark.said.clone())).collect()
}

fn first(said: &[(Duration, Said)], is: impl Fn(&Said) -> bool) -> Option<Duration> {
    said.iter().find(|(_, said)| is(said)).map(|(at, _)| *at)
}

fn down(said: &Said) -> bool {
    matches!(said, Said::Down(..))
}

/// A client that is cut off at a time; what it sends before and after.
fn cut_off(transport: &str, at: f64, sends: &[f64]) -> Scenario {
    let sends: String = sends.iter().map(|at| format!("{at} client send \"x\"\n")).collect();
    let mut scenario = scenario(&format!(
        "until 200
         host client ; host server
         link client <-> server 10ms
         0 server serve {transport} 7
         0 client connect {transport} server:7 idle=10s probe=2s misses=3
         !{at} server->client cut
         {sends}"
    ));
    scenario.script.sort_by_key(|line| line.at);
    scenario
}

/// L1: `down` comes by B + M·P′ after silence began, for a driver that is never late; here P′ = P = 2 s, I = 10 s, M = 3.
#[test]
fn l1_a_silent_peer_is_convicted_in_time() {
    for transport in ["tcp", "udp"] {
        for tenths in 0..120 {
            let at = 20.0 + f64::from(tenths) / 10.0;
            let scenario = cut_off(transport, at, &[]);
            let run = play(&scenario);
            let down = first(&client_said(&scenario, &run), down).expect("a conviction");
            let client = scenario.node("client").unwrap();
            let heard = run.moments.iter().filter_map(|moment| match &moment.what {
                Happened::Sent { way, arrives: Some(arrives), packet, .. } if way.to == client => {
                    let bytes = match &packet.body {
                        Body::Tcp(segment) => segment.payload.len(),
                        Body::Udp(datagram) => datagram.payload.len(),
                        Body::Icmp(_) => 0,
                    };
                    (bytes > 0).then_some(*arrives)
                }
                _ => None,
            });
            let last_heard = heard.max().expect("echoes of probes").since(Instant::EPOCH);
            let bound = last_heard + Duration::from_secs(10 + 3 * 2);
            assert!(down <= bound, "{transport}, cut at {at}: down at {down:?}, due by {bound:?}");
            assert!(down > Duration::from_secs_f64(at), "convicted before it was cut");
        }
    }
}

/// L2, L6: silence that ends before the last probe's time convicts nobody, whenever it begins.
#[test]
fn l2_an_answer_in_time_ends_the_suspicion() {
    for transport in ["tcp", "udp"] {
        for tenths in 0..120 {
            let from = 20.0 + f64::from(tenths) / 10.0;
            // The last of M probes is out (M-1)·P′ = 4 s after the first. On TCP what was lost meanwhile is sent again
            // later, so that silence outlasts the cut.
            let lasts = if transport == "udp" { 3.9 } else { 2.9 };
            let mut scenario = cut_off(transport, from, &[]);
            scenario.faults = super_cut(&scenario, from, from + lasts);
            scenario.until = Duration::from_secs(60);
            let said = client_said(&scenario, &play(&scenario));
            assert_eq!(first(&said, down), None, "{transport}, cut from {from} for {lasts} s: {said:?}");
        }
    }
}

fn super_cut(scenario: &Scenario, from: f64, until: f64) -> Vec<resound_sim::scenario::Fault> {
    use resound_sim::scenario::{Fault, Trigger, Way, What};
    let (client, server) = (scenario.node("client").unwrap(), scenario.node("server").unwrap());
    let until = Trigger::At(Duration::from_secs_f64(until));
    let cut = What::Cut(Way { from: server, to: client }, Some(until));
    vec![Fault::new(Trigger::At(Duration::from_secs_f64(from)), cut)].into_iter().map(may_be_inert).collect()
}

fn may_be_inert(fault: resound_sim::scenario::Fault) -> resound_sim::scenario::Fault {
    resound_sim::scenario::Fault { may_be_inert: true, ..fault }
}

/// L3: messages sent into the silence never delay the verdict.
#[test]
fn l3_sending_never_delays_a_conviction() {
    for transport in ["tcp", "udp"] {
        let quiet = cut_off(transport, 21.0, &[]);
        let silent = first(&client_said(&quiet, &play(&quiet)), down).expect("a conviction");
        for first_send in [21.5, 23.0, 27.0, 30.0, 32.0] {
            let sends: Vec<f64> = (0..40).map(|n| first_send + f64::from(n) * 0.5).collect();
            let busy = cut_off(transport, 21.0, &sends);
            let loud = first(&client_said(&busy, &play(&busy)), down).expect("a conviction");
            assert!(loud <= silent, "{transport}, sending from {first_send}: {loud:?} instead of {silent:?}");
        }
    }
}

/// L7: an idle client probes every 0.75·I to I.
#[test]
fn l7_probes_of_an_idle_session_keep_their_distance() {
    for transport in ["tcp", "udp"] {
        let scenario = scenario(&format!(
            "until 2000
             host client ; host server
             link client <-> server 10ms
             0 server serve {transport} 7
             0 client connect {transport} server:7 idle=10s probe=2s"
        ));
        let client = scenario.node("client").unwrap();
        let run = play(&scenario);
        let probes = run.moments.iter().filter(|moment| match &moment.what {
            Happened::Sent { way, packet, .. } if way.from == client => match &packet.body {
                Body::Tcp(segment) => !segment.payload.is_empty(),
                Body::Udp(_) => true,
                Body::Icmp(_) => false,
            },
            _ => false,
        });
        let times: Vec<_> = probes.map(|moment| moment.at).collect();
        assert!(times.len() > 180, "{transport}: {} probes", times.len());
        for pair in times.windows(2) {
            // From the echo of one to the next.
            let gap = pair[1].since(pair[0]) - Duration::from_millis(20);
            assert!(
                gap >= Duration::from_millis(7_500) && gap <= Duration::from_secs(10),
                "{transport}: {gap:?}"
            );
        }
    }
}

/// B7, L8: whoever aborts is done at once, whatever the state.
#[test]
fn b7_abort_ends_at_once() {
    for transport in ["tcp", "udp"] {
        for tenths in 1..150 {
            let at = f64::from(tenths) / 10.0;
            let text = base(transport, 4).to_string();
            let text =
                format!("{text}!0.4 server reboot 3s may-be-inert\n!4.0 router->client cut may-be-inert\n");
            let mut scenario = scenario(&text);
            scenario.script.retain(|line| line.command != Command::Close);
            let client = scenario.node("client").unwrap();
            scenario.at(Duration::from_secs_f64(at), client, Command::Abort);
            scenario.script.sort_by_key(|line| line.at);
            let said = client_said(&scenario, &play(&scenario));
            let closed = first(&said, |said| *said == Said::Closed);
            assert_eq!(closed, Some(Duration::from_secs_f64(at)), "{transport}: {said:?}");
        }
    }
}

/// A server that ends each connection as soon as it has it.
struct Slammer {
    server: Box<dyn Program>,
}

impl Program for Slammer {
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        self.server.run(calls)
    }

    fn ask(&mut self, _: &mut Calls<'_>, _: &Command) -> Answer {
        Answer::NotMine
    }
}

struct AcceptThenClose;

impl Cast for AcceptThenClose {
    fn start(&mut self, stage: &Stage<'_>, command: &Command) -> Option<Box<dyn Program>> {
        let Command::Serve(_, port) = command else { return Echo.start(stage, command) };
        let policy = Config::default().check().expect("the default works");
        let make = move |_, now| {
            use resound_core::stream::Machine as _;
            let mut connection = Connection::new(policy, now);
            let aborted = connection.command(now, resound_core::stream::server::Command::Abort);
            assert!(aborted.is_ok());
            connection
        };
        let server = Box::new(Listening::new(*port, 128, TcpOptions::default(), make, |_| None));
        Some(Box::new(Slammer { server }))
    }
}

fn dials(run: &Run) -> usize {
    run.said.iter().filter(|remark| remark.said == Said::Dialing).count()
}

/// B4: a server that accepts and closes is dialed no more often than one that refuses.
#[test]
fn b4_accept_then_close_is_no_better_than_refusing() {
    let most = Cell::new(0);
    for seed in 0..50 {
        let refused = scenario(&format!(
            "seed {seed} ; until 600
             host client ; host server
             link client <-> server 10ms
             0 client connect server:7"
        ));
        let mut slammed = refused.clone();
        slammed.at(
            Duration::ZERO,
            slammed.node("server").unwrap(),
            Command::Serve(resound_sim::scenario::Transport::Tcp, 7),
        );
        let refusals = dials(&World::new(&refused, &mut Echo).play(Record::Said));
        let slams = dials(&World::new(&slammed, &mut AcceptThenClose).play(Record::Said));
        most.set(most.get().max(slams));
        assert!(slams <= refusals + 1, "seed {seed}: {slams} dials, {refusals} of one that refuses");
    }
    assert!(most.get() > 20, "it was hardly dialed: {most:?}");
}

/// B5: the level is 0 after a loss if and only if the connection stood for S = 20 s and an answer came.
#[test]
fn b5_the_level_falls_only_after_a_proven_time() {
    for (killed, level) in [(5.0, 1), (19.0, 1), (19.9, 1), (20.2, 0), (40.0, 0)] {
        let scenario = scenario(&format!(
            "until 100
             host client ; host server
             link client <-> server 10ms
             0 server serve 7
             0 client connect server:7
             1 client send \"hello\"
             !{killed} server kill"
        ));
        let said = client_said(&scenario, &play(&scenario));
        let retry = said.iter().find_map(|(_, said)| match said {
            Said::Retry { level, .. } => Some(*level),
            _ => None,
        });
        assert_eq!(retry, Some(level), "killed at {killed}: {said:?}");
    }
}

/// E4: one byte at a time, the same is said of the same messages.
#[test]
fn e4_short_reads_and_writes_change_nothing_that_is_said() {
    let whole = base("tcp", 4);
    let mut pieces = whole.clone();
    for host in ["client", "server"] {
        let node = pieces.node(host).unwrap();
        for fault in [
            resound_sim::scenario::HostFault::ShortReads(1),
            resound_sim::scenario::HostFault::ShortWrites(7),
        ] {
            let what = resound_sim::scenario::What::Host(node, fault);
            let when = resound_sim::scenario::Trigger::At(Duration::from_millis(1));
            pieces.faults.push(may_be_inert(resound_sim::scenario::Fault::new(when, what)));
        }
    }
    let said = |scenario: &Scenario| {
        let run = play(scenario);
        client_said(scenario, &run).into_iter().map(|(_, said)| said).collect::<Vec<_>>()
    };
    assert_eq!(said(&whole), said(&pieces));
}

/// P2: programs that are woken for nothing, again and again, say the same at the same time.
#[test]
fn p2_spurious_wakes_change_nothing() {
    for transport in ["tcp", "udp"] {
        let calm = base(transport, 4);
        let mut woken = calm.clone();
        for host in ["client", "server"] {
            let node = woken.node(host).unwrap();
            for tenths in 1..300 {
                let what =
                    resound_sim::scenario::What::Host(node, resound_sim::scenario::HostFault::SpuriousWake);
                let when = resound_sim::scenario::Trigger::At(Duration::from_millis(tenths * 97));
                woken.faults.push(may_be_inert(resound_sim::scenario::Fault::new(when, what)));
            }
        }
        assert_eq!(client_said(&calm, &play(&calm)), client_said(&woken, &play(&woken)), "{transport}");
    }
}

/// P4: the scenario alone decides the run.
#[test]
fn p4_the_same_scenario_gives_the_same_run() {
    for transport in ["tcp", "udp"] {
        let mut noisy = base(transport, 4);
        for link in &mut noisy.links {
            (link.loss, link.duplicate, link.corrupt, link.noise) = (50_000, 50_000, 20_000, 7);
            link.jitter = Duration::from_millis(30);
        }
        let (one, two) = (play(&noisy), play(&noisy));
        assert_eq!((one.digest, &one.said), (two.digest, &two.said), "{transport}");
        assert_eq!(one.moments, two.moments, "{transport}");
        noisy.links[0].noise = 8;
        assert_ne!(play(&noisy).digest, one.digest, "{transport}: the noise decides something");
    }
}
