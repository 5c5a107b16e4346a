//! A recorded run, told to a fresh machine, gives the same steps; and a record survives being text.

mod support;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, IcmpError, Op, Signal, Version};
use resound_core::stream::client::{self, Client};
use resound_core::stream::record::{BadEntry, CommandText, Entry, Input, OwnedFact, Recorder, replay};
use resound_core::stream::server::{self, Connection};
use resound_core::stream::{Established, Machine};
use resound_core::{ConnId, Instant};
use support::port::{Choices, MemoryPort, Spy, Wire, drive};

const START: Instant = Instant::from_nanos(3_000_000_000);

/// What a run left behind.
#[derive(Debug)]
struct Run<M, C> {
    spy: Spy<M>,
    record: Vec<Entry<C>>,
}

fn run_client(config: client::Config, seed: u64, script: &[u16]) -> Run<Client<u8>, client::Command> {
    let mut record = Vec::new();
    let client = Spy::new(Client::new(config, seed, [0u8, 1, 2]).unwrap());
    let mut recorder = Recorder::new(client, |entry| record.push(entry));
    let mut port = MemoryPort::new(script, Wire::Echoes);
    drive(&mut recorder, &mut port, START, |choices| match choices.below(24) {
        0..=11 => {
            Some(client::Command::Send(vec![choices.below(256) as u8; usize::from(choices.below(40))].into()))
        }
        12 => Some(client::Command::Hurry),
        13 if choices.below(4) == 0 => Some(client::Command::Close),
        14 if choices.below(4) == 0 => Some(client::Command::Abort),
        _ => None,
    });
    let (spy, _) = recorder.into_inner();
    Run { spy, record }
}

fn run_server(config: server::Config, script: &[u16]) -> Run<Connection, server::Command> {
    let mut record = Vec::new();
    let connection = Spy::new(Connection::new(config.check().unwrap(), START));
    let mut recorder = Recorder::new(connection, |entry| record.push(entry));
    let mut port = MemoryPort::new(script, Wire::Swallows);
    port.accept(ConnId::ONLY);
    drive(&mut recorder, &mut port, START, |choices: &mut Choices| match choices.below(40) {
        1 => Some(server::Command::Drain),
        2 if choices.below(3) == 0 => Some(server::Command::Abort),
        _ => None,
    });
    let (spy, _) = recorder.into_inner();
    Run { spy, record }
}

/// Through text and back.
fn reread<C: CommandText>(record: &[Entry<C>]) -> Vec<Entry<C>> {
    let text: String = record.iter().map(|entry| format!("{entry}\n")).collect();
    text.lines().map(|line| line.parse().unwrap_or_else(|bad| panic!("{line}: {bad}"))).collect()
}

fn replayed<M>(machine: M, record: Vec<Entry<M::Command>>) -> Spy<M>
where
    M: Machine<Target: core::fmt::Debug, Event: core::fmt::Debug, Refused: core::fmt::Debug>,
{
    let mut spy = Spy::new(machine);
    replay(&mut spy, record, |_, _| {});
    spy
}

fn script() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..1_200)
}

proptest! {
    #[test]
    fn a_client_replays(config in support::configs(), seed: u64, script in script()) {
        let Run { spy, record } = run_client(config, seed, &script);
        let again = replayed(Client::new(config, seed, [0u8, 1, 2]).unwrap(), reread(&record));
        prop_assert_eq!(&spy.log, &again.log);
        prop_assert_eq!(format!("{:?}", spy.machine), format!("{:?}", again.machine));
    }

    #[test]
    fn a_server_connection_replays(config in support::peer::configs(), script in script()) {
        let Run { spy, record } = run_server(config, &script);
        let again = replayed(Connection::new(config.check().unwrap(), START), reread(&record));
        prop_assert_eq!(&spy.log, &again.log);
        prop_assert_eq!(spy.machine.state(), again.machine.state());
    }

    /// The comparison can fail: with another seed, a client that was refused retries at another time.
    #[test]
    fn another_seed_does_not_replay(seed: u64, other: u64) {
        prop_assume!(seed != other);
        let fresh = |seed| Client::new(client::Config::default(), seed, [0u8]).unwrap();
        let record: Vec<_> = ["3.000000000 tick", "3.000000001 dialed 1 failed ECONNREFUSED", "3.000000002 tick"]
            .map(|line| line.parse().unwrap())
            .into();
        let once = replayed(fresh(seed), record.clone());
        prop_assert_eq!(&replayed(fresh(seed), record.clone()).log, &once.log);
        prop_assert_ne!(&replayed(fresh(other), record).log, &once.log);
    }

    /// So it can for a server: without the first chunk that came in, other bytes are echoed.
    #[test]
    fn a_record_with_a_gap_does_not_replay(config in support::peer::configs(), script in script()) {
        let Run { spy, mut record } = run_server(config, &script);
        if spy.log.iter().any(|step| step.starts_with("Write")) {
            let received = |entry: &Entry<_>| matches!(entry.input, Input::Fact(OwnedFact::Received { .. }));
            record.remove(record.iter().position(received).unwrap());
            let again = replayed(Connection::new(config.check().unwrap(), START), record);
            prop_assert_ne!(&spy.log, &again.log);
        }
    }

    /// A record of anything, told to a machine that never saw it: nothing breaks, and it ends.
    #[test]
    fn any_record_can_be_told(seed: u64, client in vec(entry(client_command()), 0..60), server in vec(entry(server_command()), 0..60)) {
        replayed(Client::new(client::Config::default(), seed, [0u8, 1]).unwrap(), client);
        replayed(Connection::new(server::Config::default().check().unwrap(), START), server);
    }

    #[test]
    fn a_clients_entries_survive_being_text(entry in entry(client_command())) {
        prop_assert_eq!(entry.to_string().parse::<Entry<client::Command>>(), Ok(entry));
    }

    #[test]
    fn a_servers_entries_survive_being_text(entry in entry(server_command())) {
        prop_assert_eq!(entry.to_string().parse::<Entry<server::Command>>(), Ok(entry));
    }

    /// Whatever stands in a file, reading it is an answer; and what is accepted is written back the same way.
    #[test]
    fn any_line_is_an_entry_or_an_error(line in "[0-9]{1,2}\\.[0-9]{9} [a-z]{4,9}( [a-z0-9:./=-]{1,9}){0,4}|.{0,40}") {
        if let Ok(entry) = line.parse::<Entry<client::Command>>() {
            prop_assert_eq!(entry.to_string().parse::<Entry<client::Command>>(), Ok(entry));
        }
    }
}

/// Generated runs that hardly ever get anywhere prove nothing.
#[test]
fn the_generated_runs_reach_what_they_are_meant_to_reach() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let words = |words: &'static [&str]| words.iter().map(|&word| (word, 0)).collect::<Vec<_>>();
    let mut client = words(&[
        "Dialing",
        "DialFailed",
        "Up {",
        "Echoed",
        "Lost",
        "Suspect",
        "Down",
        "Retry",
        "Stalled",
        "Examine",
        "Shutdown",
        "Closed",
        "Err(",
    ]);
    let mut server = words(&[
        "Write",
        "Examine",
        "Shutdown",
        "Close {",
        "Ended",
        "Reset",
        "WriteBlocked",
        "reason: Closed",
    ]);
    for seed in 0..300 {
        let script = script().new_tree(&mut runner).unwrap().current();
        let config = support::configs().new_tree(&mut runner).unwrap().current();
        let limits = support::peer::configs().new_tree(&mut runner).unwrap().current();
        for (counts, log) in [
            (&mut client, run_client(config, seed, &script).spy.log),
            (&mut server, run_server(limits, &script).spy.log),
        ] {
            for (word, count) in counts {
                *count += u32::from(log.iter().any(|step| step.contains(*word)));
            }
        }
    }
    for (word, count) in [&client[..], &server[..]].concat() {
        assert!(count >= 5, "{word} comes up in only {count} of 300 runs: {client:?} {server:?}");
    }
}

#[test]
fn a_refused_command_is_recorded_and_refused_again() {
    let config = client::Config { max_in_flight: 1, ..client::Config::default() };
    let mut record = Vec::new();
    let fresh = || Spy::new(Client::new(config, 1, [0u8]).unwrap());
    let mut recorder = Recorder::new(fresh(), |entry| record.push(entry));
    for _ in 0..2 {
        let _ = recorder.command(START, client::Command::Send("hello".into()));
    }
    let log = recorder.machine().log.clone();
    assert!(log[0] == "Ok(())" && log[1].starts_with("Err("), "{log:?}");
    let mut again = fresh();
    replay(&mut again, record, |_, _| {});
    assert_eq!(again.log, log);
}

#[test]
fn each_kind_of_entry_has_its_words() {
    for line in [
        "0.000000000 tick",
        "18446744073.709551614 resumed",
        "0.000000001 dialed 1 up",
        "0.000000001 dialed 7 up [fe80::1%3]:40112 flow 9",
        "0.000000001 dialed 1 failed ECONNREFUSED",
        "0.000000001 dialed 1 failed self-connect",
        "0.000000001 received 1 00ff68",
        "0.000000001 wrote 4294967295 5",
        "0.000000001 blocked 1",
        "0.000000001 writable 1",
        "0.000000001 ended 1",
        "0.000000001 failed 1 read errno:-123",
        "0.000000001 failed 1 write EPIPE",
        "0.000000001 hint 1 icmp4 3/1 from 192.0.2.1 to 198.51.100.7:7 mtu 1400",
        "0.000000001 hint 1 icmp6 1/4 from 2001:db8::1 to [2001:db8::2]:7",
        "0.000000001 examined 1",
        "0.000000001 examined 1 unacked=1 unsent=2 retransmits=3 backoff=4 probes=5 since_ack=0.200000000 peer_window=6",
        "0.000000001 command send 68690a",
        "0.000000001 command send -",
        "0.000000001 command close",
        "0.000000001 command abort",
        "0.000000001 command hurry",
    ] {
        let entry: Entry<client::Command> = line.parse().unwrap_or_else(|bad| panic!("{line}: {bad}"));
        assert_eq!(entry.to_string(), line);
    }
    for line in ["0.000000001 command drain", "0.000000001 command abort"] {
        assert_eq!(line.parse::<Entry<server::Command>>().unwrap().to_string(), line);
    }
}

#[test]
fn an_error_names_the_word_and_what_should_stand_there() {
    for (line, expected) in [
        ("", "word 1: expected seconds with nine decimals, up to 18446744073.709551614, but the line ends"),
        (
            "1.5 tick",
            "word 1: expected seconds with nine decimals, up to 18446744073.709551614, found \"1.5\"",
        ),
        (
            "18446744073.709551615 tick",
            "word 1: expected seconds with nine decimals, up to 18446744073.709551614, found \"18446744073.709551615\"",
        ),
        ("0.000000000 command", "word 3: expected send, close, abort or hurry, but the line ends"),
        ("0.000000000 command drain", "word 3: expected send, close, abort or hurry, found \"drain\""),
        ("0.000000000 ended 0", "word 3: expected the number of a connection, from 1, found \"0\""),
        (
            "0.000000000 received 1 abc",
            "word 4: expected bytes as pairs of hexadecimal digits, or -, found \"abc\"",
        ),
        (
            "0.000000000 hint 1 icmp4 3/256",
            "word 5: expected the type and the code of an ICMP message, as 3/1, found \"3/256\"",
        ),
        (
            "0.000000000 hint 1 icmp4 3/1 to nowhere",
            "word 7: expected an IP address and a port, found \"nowhere\"",
        ),
        ("0.000000000 examined 1 unacked=1 sent=2", "word 5: expected unsent=, found \"sent=2\""),
        ("0.000000000 tick tick", "word 3: expected the end of the line, found \"tick\""),
    ] {
        let bad: BadEntry = line.parse::<Entry<client::Command>>().unwrap_err();
        assert_eq!(bad.to_string(), expected);
    }
}

// Generated entries.

fn conn() -> impl Strategy<Value = ConnId> {
    prop_oneof![1u32..4, 1..=u32::MAX].prop_map(support::conn)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|ip| IpAddr::V4(Ipv4Addr::from_bits(ip))),
        any::<u128>().prop_map(|ip| IpAddr::V6(Ipv6Addr::from_bits(ip))),
        any::<u32>().prop_map(|ip| IpAddr::V6(Ipv4Addr::from_bits(ip).to_ipv6_mapped())),
    ]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>(), prop_oneof![Just(0), any::<u32>()], prop_oneof![Just(0), any::<u32>()]).prop_map(
        |(ip, port, flow, scope)| match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)),
        },
    )
}

fn signal() -> impl Strategy<Value = Signal> {
    let version = prop_oneof![Just(Version::V4), Just(Version::V6)];
    let icmp = (version, any::<u8>(), any::<u8>(), of(ip()), of(address()), of(any::<u32>())).prop_map(
        |(version, kind, code, offender, destination, mtu)| {
            Signal::Icmp(IcmpError { version, kind, code, offender, destination, mtu })
        },
    );
    prop_oneof![
        proptest::sample::select(Errno::ALL).prop_map(Signal::Errno),
        any::<i32>().prop_map(|number| Signal::Errno(Errno::Other(number))),
        icmp,
        Just(Signal::SelfConnect),
    ]
}

fn fact() -> impl Strategy<Value = OwnedFact> {
    let view = (any::<[u32; 2]>(), any::<[u8; 3]>(), any::<u64>(), 0u32..1_000_000_000, of(any::<u32>()))
        .prop_map(|([unacked, unsent], [retransmits, backoff, probes], seconds, nanos, peer_window)| {
            KernelView {
                unacked,
                unsent,
                retransmits,
                backoff,
                probes,
                since_ack: Duration::new(seconds, nanos),
                peer_window,
            }
        });
    let op = prop_oneof![Just(Op::Connect), Just(Op::Read), Just(Op::Write)];
    prop_oneof![
        (conn(), of(address()))
            .prop_map(|(conn, local)| OwnedFact::Dialed { conn, result: Ok(Established { local }) }),
        (conn(), signal()).prop_map(|(conn, signal)| OwnedFact::Dialed { conn, result: Err(signal) }),
        (conn(), vec(any::<u8>(), 0..40)).prop_map(|(conn, bytes)| OwnedFact::Received { conn, bytes }),
        (conn(), prop_oneof![0usize..20, any::<usize>()]).prop_map(|(conn, n)| OwnedFact::Wrote { conn, n }),
        conn().prop_map(|conn| OwnedFact::Blocked { conn }),
        conn().prop_map(|conn| OwnedFact::Writable { conn }),
        conn().prop_map(|conn| OwnedFact::Ended { conn }),
        (conn(), op, signal()).prop_map(|(conn, op, signal)| OwnedFact::Failed { conn, op, signal }),
        (conn(), signal()).prop_map(|(conn, signal)| OwnedFact::Hint { conn, signal }),
        (conn(), of(view)).prop_map(|(conn, kernel)| OwnedFact::Examined { conn, kernel }),
        Just(OwnedFact::Resumed),
        Just(OwnedFact::Tick),
    ]
}

fn client_command() -> impl Strategy<Value = client::Command> {
    prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(|payload| client::Command::Send(payload.into())),
        Just(client::Command::Close),
        Just(client::Command::Abort),
        Just(client::Command::Hurry),
    ]
}

fn server_command() -> impl Strategy<Value = server::Command> {
    prop_oneof![Just(server::Command::Drain), Just(server::Command::Abort)]
}

fn entry<C: Clone + core::fmt::Debug>(command: impl Strategy<Value = C>) -> impl Strategy<Value = Entry<C>> {
    let at = prop_oneof![0..10_000_000_000u64, any::<u64>()].prop_map(Instant::from_nanos);
    let input = prop_oneof![4 => fact().prop_map(Input::Fact), 1 => command.prop_map(Input::Command)];
    (at, input).prop_map(|(at, input)| Entry { at, input })
}
