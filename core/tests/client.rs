//! The invariants of the echo client over a stream: P1 to P5, B7, L8, L9 and E1 to E5, under generated misfortune.
//!
//! Most of them are assertions inside [`World`], checked after every operation of the property that bears their name; the
//! others compare two runs.

mod support;

use core::time::Duration;

use proptest::prelude::*;
use resound_core::stream::client::{Client, Command, Config};
use resound_core::stream::{Established, Fact, Machine, Step};
use resound_core::{Chunk, ConnId, Instant};
use support::{Delivery, Do, World, configs, operations};

const START: Instant = Instant::from_nanos(1_000_000_000);

/// The events alone: what the program sees.
fn events(world: &World) -> Vec<String> {
    world
        .log
        .iter()
        .filter(|(_, step)| step.starts_with("Event"))
        .map(|(at, step)| format!("{at} {step}"))
        .collect()
}

/// One property for each of these invariants, asserted by [`World`] after every operation.
macro_rules! proven_on_the_way {
    ($($(#[$claim:meta])* $name:ident $id:literal;)*) => {
        proptest! {
            $(
                $(#[$claim])*
                #[test]
                fn $name(config in configs(), seed: u64, operations in operations()) {
                    World::prove(&[$id], config, seed, &operations);
                }
            )*
        }
    };
}

proven_on_the_way! {
    /// P1: not closed ⇒ there is a deadline; after a due timeout it is later than now, or output is pending.
    p1_there_is_always_something_to_wait_for "P1";
    /// P2: early and repeated timeouts are no-ops.
    p2_early_and_repeated_timeouts_change_nothing "P2";
    /// P5: what is told of an id that is over changes nothing.
    p5_stale_ids_change_nothing "P5";
    /// L8: one end for each connection.
    l8_a_connection_goes_down_once "L8";
    /// L9: at most two live generations.
    l9_at_most_two_connections_stand "L9";
    /// E2: echoes complete in order on one connection.
    e2_echoes_come_in_order "E2";
    /// E3: queues never exceed their limits.
    e3_limits_hold "E3";
    /// E5: no input sequence panics.
    e5_no_input_sequence_panics "";
}

proptest! {
    /// E1: every accepted message ends exactly once, however the client ends.
    #[test]
    fn e1_every_message_ends_once(config in configs(), seed: u64, operations in operations()) {
        let mut world = World::prove(&["E1"], config, seed, &operations);
        let _ = world.client.command(world.now, Command::Abort);
        world.settle();
        prop_assert_eq!(world.unended().count(), 0);
        prop_assert_eq!(world.ended.len(), world.accepted.len());
        prop_assert!(world.client.is_done());
        prop_assert!(matches!(world.client.poll(), Step::Wait(None)));
    }

    /// E4 one chunk or byte by byte: the same events.
    #[test]
    fn e4_splitting_what_arrives_changes_no_event(config in configs(), seed: u64, operations in operations()) {
        let whole = World::run(config, seed, START, Delivery::Whole, &operations);
        let split = World::run(config, seed, START, Delivery::ByteByByte, &operations);
        prop_assert_eq!(events(&whole), events(&split));
    }

    /// P3 shifting a whole trace in time shifts the outputs, nothing else.
    #[test]
    fn p3_a_shifted_trace_gives_shifted_outputs(config in configs(), seed: u64, operations in operations(), by in 0u64..1 << 60) {
        let here = World::run(config, seed, START, Delivery::Whole, &operations);
        let there = World::run(config, seed, START + Duration::from_nanos(by), Delivery::Whole, &operations);
        let since = |world: &World| world.client.next_deadline().map(|d| d.since(world.now));
        prop_assert_eq!(since(&here), since(&there));
        prop_assert_eq!(here.log, there.log);
    }

    /// P4 the same seed and the same trace give the same outputs.
    #[test]
    fn p4_the_same_seed_and_trace_give_the_same_outputs(config in configs(), seed: u64, operations in operations()) {
        let once = World::run(config, seed, START, Delivery::Whole, &operations);
        let again = World::run(config, seed, START, Delivery::Whole, &operations);
        prop_assert_eq!(format!("{:?}", once.client), format!("{:?}", again.client));
        prop_assert_eq!(once.log, again.log);
    }

    /// B7, from any state: abort, and close while not up, end everything in the same call.
    #[test]
    fn b7_an_abort_ends_everything_at_once(config in configs(), seed: u64, operations in operations(), close: bool) {
        let alive: Vec<_> = operations.into_iter().filter(|op| !matches!(op, Do::Close | Do::Abort)).collect();
        let mut world = World::prove(&["B7"], config, seed, &alive);
        world.apply(if close { &Do::Close } else { &Do::Abort });
    }
}

/// A generator that hardly ever gets anywhere proves nothing.
#[test]
fn the_generated_sequences_reach_what_they_are_meant_to_reach() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::<&str, u32>::new();
    let words = [
        "Up {", "Echoed", "Lost", "Suspect", "Down", "Retry", "Stalled", "GaveUp", "Closed", "Examine",
        "Shutdown",
    ];
    for seed in 0..300 {
        let operations = operations().new_tree(&mut runner).unwrap().current();
        let config = configs().new_tree(&mut runner).unwrap().current();
        let world = World::run(config, seed, START, Delivery::Whole, &operations);
        for word in words {
            *counts.entry(word).or_default() +=
                u32::from(world.log.iter().any(|(_, step)| step.contains(word)));
        }
    }
    for word in words {
        assert!(counts[word] >= 15, "{word} comes up in only {} of 300 sequences: {counts:?}", counts[word]);
    }
}

/// A client whose connection has just come up.
fn up() -> (Client<u8>, ConnId) {
    let mut client = Client::new(Config::default(), 1, [0u8]).unwrap();
    client.handle(START, Fact::Tick);
    let conn = loop {
        if let Step::Dial { conn, .. } = client.poll() {
            break conn;
        }
    };
    client.handle(START, Fact::Dialed { conn, result: Ok(Established::default()) });
    (client, conn)
}

/// One with a message on the wire and a graceful close begun, which has 10 s.
fn closing_with_an_echo_due() -> (Client<u8>, ConnId) {
    let (mut client, conn) = up();
    client.command(START, Command::Send("hello".into())).unwrap();
    drain(&mut client);
    client.handle(START, Fact::Wrote { conn, n: 5 });
    client.command(START, Command::Close).unwrap();
    assert!(drain(&mut client).iter().any(|step| step.starts_with("Shutdown")));
    (client, conn)
}

fn drain(client: &mut Client<u8>) -> Vec<String> {
    let mut steps = Vec::new();
    loop {
        match client.poll() {
            Step::Wait(_) => return steps,
            step => steps.push(format!("{step:?}")),
        }
    }
}

#[test]
fn a_late_driver_still_gets_the_echo_that_waits_for_it_while_closing() {
    let (mut client, conn) = closing_with_an_echo_due();
    let late = START + Duration::from_secs(14);
    client.handle(late, Fact::Tick);
    assert!(drain(&mut client)[0].contains("Stalled"));
    let mut chunk = Chunk::with_capacity(5);
    chunk.spare().copy_from_slice(b"hello");
    chunk.filled(5);
    client.handle(late, Fact::Received { conn, chunk: &mut chunk });
    let steps = drain(&mut client);
    assert!(steps[0].contains("Echoed"), "{steps:?}");
    assert!(steps.last().unwrap().contains("Closed"), "{steps:?}");
}

#[test]
fn a_close_that_is_not_answered_ends_at_its_limit() {
    let (mut client, conn) = closing_with_an_echo_due();
    let mut steps = Vec::new();
    let mut now = START;
    while let Some(deadline) = client.next_deadline() {
        now = deadline;
        client.handle(now, Fact::Tick);
        let asked = drain(&mut client);
        if asked.iter().any(|step| step.starts_with("Examine")) {
            client.handle(now, Fact::Examined { conn, kernel: None });
        }
        steps.extend(asked);
        steps.extend(drain(&mut client));
    }
    assert_eq!(now, START + Duration::from_secs(10));
    assert!(steps.iter().any(|step| step.contains("Lost") && step.contains("NoEcho")), "{steps:?}");
    assert!(client.is_done());
}

#[test]
fn a_peer_that_ends_its_side_while_messages_are_still_to_be_written_closes_early() {
    let (mut client, conn) = up();
    client.command(START, Command::Send("hello".into())).unwrap();
    client.command(START, Command::Close).unwrap();
    drain(&mut client);
    client.handle(START, Fact::Blocked { conn });
    client.handle(START, Fact::Ended { conn });
    let steps = drain(&mut client);
    assert!(steps.iter().any(|step| step.contains("Lost") && step.contains("ClosedEarly")), "{steps:?}");
}
