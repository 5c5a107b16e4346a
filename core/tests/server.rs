//! The invariants of a server's side of a connection: E3 to E5, P1 to P5, and an end that is told once and is honest.
//!
//! Most of them are assertions inside [`Peer`], checked after every operation; the properties here add what needs two
//! runs to be compared, and the tests below them name the cases that must not change.

mod support;

use core::time::Duration;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::signal::{Cause, Errno, Op, Origin, Reason, Signal};
use resound_core::stream::server::{Command, Config, State};
use resound_core::stream::{Close, ConnId, Fact, Machine};
use support::Delivery;
use support::peer::{Do, LATE, Manners, Peer, Rude, configs, operations};

const START: Instant = Instant::from_nanos(1_000_000_000);
const CONN: ConnId = ConnId::ONLY;

proptest! {
    /// E5 no input sequence panics; and, asserted on the way: P1, P2, P5, B7, E3, the echoed bytes are a prefix of the
    /// received ones, one end with the right counts, `closed` only if nothing was due, limits at their exact time.
    #[test]
    fn e5_no_input_sequence_panics(config in configs(), operations in operations(Manners::Any)) {
        Peer::run(config, START, Delivery::Whole, &operations);
        Peer::run(config, START, Delivery::ByteByByte, &operations);
    }

    /// E4 one chunk or byte by byte: the same bytes echoed, the same end. (What was received differs by what is left in
    /// the kernel, because one byte is enough to stop the reading.)
    #[test]
    fn e4_splitting_what_arrives_changes_nothing(config in configs(), operations in operations(Manners::Polite)) {
        let whole = Peer::run(config, START, Delivery::Whole, &operations);
        let split = Peer::run(config, START, Delivery::ByteByByte, &operations);
        prop_assert_eq!(&whole.echoed, &split.echoed);
        prop_assert_eq!(whole.cause(), split.cause());
    }

    /// Whatever has room and is not cut short comes back whole, however it was cut up on the way.
    #[test]
    fn everything_comes_back_to_a_peer_that_reads(operations in operations(Manners::Polite)) {
        let config = Config { idle: None, stall: Duration::from_secs(1 << 20), ..Config::default() };
        let calm = |op: &&Do| !matches!(op, Do::WriteFails { .. } | Do::PeerResets | Do::PeerDies | Do::Deadline { .. });
        let mut peer = Peer::new(config, START, Delivery::Whole);
        operations.iter().filter(calm).for_each(|op| peer.apply(op));
        peer.apply(&Do::PeerEnds);
        peer.apply(&Do::Roomy);
        prop_assert_eq!(&peer.echoed, &peer.received);
        prop_assert_eq!(peer.cause(), Some(Cause::peer(Reason::Closed)));
    }

    /// P3 shifting a whole trace in time shifts the outputs, nothing else.
    #[test]
    fn p3_time_has_no_origin(config in configs(), operations in operations(Manners::Any), by in 0u64..1 << 60) {
        let here = Peer::run(config, START, Delivery::Whole, &operations);
        let there = Peer::run(config, START + Duration::from_nanos(by), Delivery::Whole, &operations);
        let since = |peer: &Peer| peer.server.next_deadline().map(|d| d.since(peer.now));
        prop_assert_eq!(since(&here), since(&there));
        prop_assert_eq!(here.log, there.log);
    }

    /// P4 the same trace gives the same outputs.
    #[test]
    fn p4_the_same_trace_gives_the_same_outputs(config in configs(), operations in operations(Manners::Any)) {
        let once = Peer::run(config, START, Delivery::Whole, &operations);
        let again = Peer::run(config, START, Delivery::Whole, &operations);
        prop_assert_eq!(format!("{:?}", once.server), format!("{:?}", again.server));
        prop_assert_eq!(once.log, again.log);
    }
}

/// A generator that hardly ever gets anywhere proves nothing.
#[test]
fn the_generated_sequences_reach_what_they_are_meant_to_reach() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut states = std::collections::BTreeMap::<String, u32>::new();
    let mut reasons = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..1_000 {
        let operations = operations(Manners::Any).new_tree(&mut runner).unwrap().current();
        let config = configs().new_tree(&mut runner).unwrap().current();
        let peer = Peer::run(config, START, Delivery::Whole, &operations);
        for state in State::ALL {
            *states.entry(format!("{state:?}")).or_default() += u32::from(peer.states.contains(state));
        }
        let cause =
            peer.cause().map_or_else(String::new, |cause| format!("{} {}", cause.reason, cause.origin));
        *reasons.entry(cause).or_default() += 1;
    }
    for (state, n) in &states {
        assert!(*n >= 5, "{state} comes up in only {n} of 1000 sequences: {states:?}");
    }
    for end in [
        "closed peer",
        "closed-early peer",
        "reset peer",
        "broken-pipe unknown",
        "aborted local",
        "aborted timer",
        "write-blocked timer",
    ] {
        assert!(reasons.get(end).is_some_and(|n| *n >= 5), "{end} in {reasons:?}");
    }
}

// Limits.

const MS: fn(u64) -> Duration = Duration::from_millis;

fn limits() -> Config {
    Config { idle: Some(MS(5_000)), stall: MS(3_000), drain: MS(2_000), ..Config::default() }
}

fn after(operations: &[Do]) -> Peer {
    Peer::run(limits(), START, Delivery::Whole, operations)
}

/// Ends by the clock after `limit`, and not a nanosecond earlier.
fn ends_after(mut peer: Peer, limit: Duration, cause: Cause, how: Close) {
    let at = peer.now + limit;
    peer.server.handle(Instant::from_nanos(at.nanos() - 1), Fact::Tick);
    assert_ne!(peer.server.state(), State::Closed, "one nanosecond early");
    assert_eq!(peer.server.next_deadline(), Some(at));
    peer.now = at;
    peer.fact(Fact::Tick);
    assert_eq!(peer.server.state(), State::Closed);
    peer.settle();
    assert_eq!(peer.cause(), Some(cause));
    assert!(peer.closed_by(how));
}

#[test]
fn silence_ends_a_connection_at_its_idle_limit() {
    ends_after(after(&[]), MS(5_000), Cause::timer(Reason::Aborted), Close::Drop);
    let quiet = after(&[Do::PeerSends { n: 3 }]);
    ends_after(quiet, MS(5_000), Cause::timer(Reason::Aborted), Close::Drop);
}

#[test]
fn a_peer_that_does_not_read_is_reset_at_its_stall_limit() {
    let full = [Do::PeerSends { n: 50 }, Do::Sleep { ms: 700 }, Do::Room { n: 2 }];
    ends_after(after(&full), MS(3_000), Cause::timer(Reason::WriteBlocked), Close::Reset);
}

#[test]
fn a_drain_that_is_not_answered_ends_at_its_limit() {
    let aborted = Cause::timer(Reason::Aborted);
    ends_after(after(&[Do::Drain, Do::Sleep { ms: 100 }]), MS(1_900), aborted, Close::Reset);
    // Neither idleness nor a second wish moves it.
    let idle = after(&[Do::Sleep { ms: 4_900 }, Do::Drain, Do::Sleep { ms: 0 }]);
    ends_after(idle, MS(2_000), aborted, Close::Reset);
    ends_after(after(&[Do::Drain, Do::Sleep { ms: 500 }, Do::Drain]), MS(1_500), aborted, Close::Reset);
    // Bytes that come in meanwhile do not either.
    ends_after(
        after(&[Do::Drain, Do::Sleep { ms: 500 }, Do::PeerSends { n: 9 }]),
        MS(1_500),
        aborted,
        Close::Reset,
    );
}

#[test]
fn a_late_tick_lets_the_driver_look_at_its_socket_first() {
    // The machine slept for an hour, and the peer has spoken meanwhile.
    let mut peer = after(&[Do::PeerSends { n: 3 }]);
    peer.now = peer.now + Duration::from_secs(3_600);
    peer.fact(Fact::Tick);
    assert_eq!(peer.server.state(), State::Open);
    assert_eq!(peer.server.next_deadline(), Some(peer.now + LATE));
    peer.apply(&Do::PeerSends { n: 3 });
    assert_eq!(peer.echoed.len(), 6);
    assert_eq!(peer.server.next_deadline(), Some(peer.now + MS(5_000)));
}

#[test]
fn a_driver_that_is_always_late_still_enforces_the_limits() {
    let mut peer = after(&[]);
    for _ in 0..2 {
        assert_eq!(peer.server.state(), State::Open);
        peer.now = peer.now + Duration::from_secs(3_600);
        peer.fact(Fact::Tick);
    }
    assert_eq!(peer.server.state(), State::Closed);
}

#[test]
fn time_that_goes_backwards_is_clamped() {
    // Something is held, so that the drain's own limit, 2 s from its command, is the next to come.
    let mut peer = after(&[Do::PeerSends { n: 50 }]);
    peer.server.handle(START + MS(500), Fact::Tick);
    peer.server.command(START, Command::Drain).unwrap();
    peer.settle();
    assert_eq!(peer.server.next_deadline(), Some(START + MS(2_500)));
}

// Pauses.

fn pausing() -> Peer {
    let config = Config { first_read_after: MS(7_000), close_after: MS(9_000), ..limits() };
    Peer::new(config, START, Delivery::Whole)
}

#[test]
fn nothing_is_read_before_the_pause_is_over_and_then_everything_is() {
    let mut peer = pausing();
    peer.apply(&Do::PeerSends { n: 20 });
    // Longer than the idle limit, which does not count before it listens.
    peer.apply(&Do::Sleep { ms: 6_999 });
    assert_eq!((peer.server.state(), peer.received.len()), (State::Fresh, 0));
    assert_eq!(peer.server.next_deadline(), Some(START + MS(7_000)));
    peer.apply(&Do::Sleep { ms: 1 });
    assert_eq!((peer.server.state(), peer.echoed.len()), (State::Open, 20));
    ends_after(peer, MS(5_000), Cause::timer(Reason::Aborted), Close::Drop);
}

#[test]
fn the_close_waits_when_everything_was_said() {
    let mut peer = pausing();
    for op in [Do::Sleep { ms: 7_000 }, Do::PeerSends { n: 50 }, Do::PeerEnds] {
        peer.apply(&op);
    }
    assert_eq!(peer.server.state(), State::Echoing, "what is held comes first");
    peer.apply(&Do::Roomy);
    assert_eq!((peer.server.state(), peer.echoed.len()), (State::CloseWait, 50));
    ends_after(peer, MS(9_000), Cause::peer(Reason::Closed), Close::Drop);
}

#[test]
fn a_drain_and_an_abort_wait_for_no_pause() {
    let mut peer = pausing();
    peer.apply(&Do::PeerSends { n: 5 });
    peer.apply(&Do::Drain);
    assert_eq!((peer.server.state(), peer.echoed.len()), (State::Leaving, 5));
    peer.apply(&Do::PeerEnds);
    assert_eq!(peer.cause(), Some(Cause::peer(Reason::Closed)), "nor for one that would begin now");

    let mut peer = pausing();
    [Do::Sleep { ms: 7_000 }, Do::PeerEnds].iter().for_each(|op| peer.apply(op));
    assert_eq!(peer.server.state(), State::CloseWait);
    peer.apply(&Do::Drain);
    assert_eq!(peer.cause(), Some(Cause::peer(Reason::Closed)));

    let mut peer = pausing();
    peer.apply(&Do::Abort);
    assert_eq!(peer.cause(), Some(Cause::local(Reason::Aborted)));
}

#[test]
fn a_late_end_of_a_pause_is_an_end_of_it() {
    let mut peer = pausing();
    peer.apply(&Do::Sleep { ms: 3_600_000 });
    assert_eq!(peer.server.state(), State::Open);
    assert_eq!(peer.server.next_deadline(), Some(peer.now + MS(5_000)));
}

// Ends.

fn errno(errno: Errno) -> Signal {
    Signal::Errno(errno)
}

/// How a connection ends that holds bytes when its peer goes away in so many ways.
fn end_of(operations: &[Do]) -> Cause {
    let mut all = vec![Do::PeerSends { n: 50 }];
    all.extend_from_slice(operations);
    after(&all).cause().unwrap_or_else(|| panic!("not over after {operations:?}"))
}

#[test]
fn the_first_telling_errno_decides_then_the_end_of_the_stream_then_epipe() {
    let pipe = || Do::WriteFails { signal: errno(Errno::Pipe) };
    let reset = || Do::WriteFails { signal: errno(Errno::ConnReset) };
    let room = || Do::Room { n: 1 };
    // A write that ate ECONNRESET: whatever is read afterwards, EAGAIN, bytes or the end, it was a reset.
    for more in
        [vec![], vec![Do::PeerEnds], vec![Do::PeerSends { n: 9 }], vec![Do::PeerSends { n: 9 }, Do::PeerEnds]]
    {
        let operations = [more.clone(), vec![reset(), room()]].concat();
        let cause = end_of(&operations);
        assert_eq!((cause.reason, cause.errno), (Reason::Reset, Some(Errno::ConnReset)), "{operations:?}");
        // With EPIPE instead, the end of the stream decides if there is one.
        let operations = [more.clone(), vec![pipe(), room()]].concat();
        let cause = end_of(&operations);
        let ends = more.iter().any(|op| matches!(op, Do::PeerEnds));
        let expected = if ends { Reason::ClosedEarly } else { Reason::BrokenPipe };
        assert_eq!(cause.reason, expected, "{operations:?}");
    }
    // Read or write meets the reset first; both say so.
    assert_eq!(end_of(&[Do::PeerResets]).reason, Reason::Reset);
    let read_first = Do::Rude { what: Rude::Failed { op: Op::Read, signal: errno(Errno::ConnReset) } };
    assert_eq!(end_of(&[read_first]).reason, Reason::Reset);
}

#[test]
fn epipe_is_outweighed_by_what_the_read_side_says() {
    let mut peer = after(&[Do::PeerSends { n: 50 }]);
    for signal in [Errno::Pipe, Errno::ConnReset, Errno::Pipe] {
        peer.fact(Fact::Failed { conn: CONN, op: Op::Write, signal: errno(signal) });
    }
    peer.fact(Fact::Ended { conn: CONN });
    peer.settle();
    assert_eq!(peer.cause().unwrap().reason, Reason::Reset);

    let mut peer = after(&[Do::PeerSends { n: 50 }]);
    peer.fact(Fact::Failed { conn: CONN, op: Op::Write, signal: errno(Errno::Pipe) });
    peer.fact(Fact::Failed { conn: CONN, op: Op::Read, signal: errno(Errno::TimedOut) });
    peer.settle();
    assert_eq!(peer.cause().unwrap().reason, Reason::TimedOut);
}

#[test]
fn a_peer_that_ends_its_side_gets_the_rest_before_the_close() {
    let mut peer = after(&[Do::PeerSends { n: 50 }, Do::PeerEnds]);
    assert_eq!(peer.cause(), None);
    peer.apply(&Do::Roomy);
    assert_eq!((peer.echoed.len(), peer.cause()), (50, Some(Cause::peer(Reason::Closed))));
    assert!(peer.closed_by(Close::Drop));
}

#[test]
fn a_drain_echoes_what_had_come_in_and_half_closes() {
    let mut peer = after(&[Do::PeerSends { n: 45 }]);
    assert_eq!((peer.server.state(), peer.echoed.len()), (State::Echoing, 40));
    peer.apply(&Do::Drain);
    assert_eq!(peer.server.state(), State::Draining);
    peer.apply(&Do::PeerSends { n: 7 });
    assert!(!peer.server.wants_read(CONN), "nothing is read while something is held");
    assert_eq!(peer.received.len(), 45);
    peer.apply(&Do::Roomy);
    assert_eq!(peer.server.state(), State::Leaving);
    peer.apply(&Do::PeerSends { n: 8 });
    assert_eq!(peer.echoed.len(), 60, "a peer that was told nothing yet is served");
    peer.apply(&Do::Sleep { ms: 99 });
    assert_eq!(peer.server.state(), State::Leaving);
    peer.apply(&Do::Sleep { ms: 1 });
    assert_eq!(peer.server.state(), State::Shut, "it has been quiet for 100 ms");
    assert!(peer.log.iter().any(|(_, step)| step.starts_with("Shutdown")));
    // What comes later is read all the same: a close with unread bytes would be a reset (RFC 2525 §2.17).
    peer.apply(&Do::PeerSends { n: 3 });
    assert_eq!((peer.received.len(), peer.echoed.len()), (63, 60));
}

#[test]
fn a_peer_that_is_never_quiet_is_left_after_half_the_drain() {
    let mut peer = after(&[Do::PeerSends { n: 5 }, Do::Roomy, Do::Drain]);
    while peer.server.state() != State::Shut {
        assert!(peer.now < START + MS(1_100), "{:?}", peer.server);
        peer.apply(&Do::Sleep { ms: 20 });
        peer.apply(&Do::PeerSends { n: 5 });
    }
    assert!(peer.now >= START + MS(1_000));
}

#[test]
fn an_end_after_a_drain_is_closed_only_if_nothing_was_due() {
    let clean = after(&[Do::PeerSends { n: 5 }, Do::Drain, Do::PeerSends { n: 2 }, Do::PeerEnds]);
    assert_eq!((clean.cause(), clean.echoed.len()), (Some(Cause::peer(Reason::Closed)), 7));
    // These crossed the half-close. They cannot be echoed any more, and it was this side that cut them short.
    let quiet = Do::Sleep { ms: 100 };
    let crossed = after(&[Do::PeerSends { n: 5 }, Do::Drain, quiet, Do::PeerSends { n: 2 }, Do::PeerEnds]);
    let ended = crossed.ended.unwrap();
    assert_eq!((ended.cause, ended.received, ended.echoed), (Cause::local(Reason::Aborted), 7, 5));
    assert!(crossed.closed_by(Close::Drop), "the peer still gets what was echoed");
}

#[test]
fn bytes_read_by_an_examination_are_due_and_the_end_says_so() {
    let peer = after(&[
        Do::PeerSends { n: 50 },
        Do::PeerEnds,
        Do::WriteFails { signal: errno(Errno::Pipe) },
        Do::Room { n: 1 },
    ]);
    let ended = peer.ended.unwrap();
    assert_eq!((ended.cause, ended.received, ended.echoed), (Cause::peer(Reason::ClosedEarly), 50, 40));
}

#[test]
fn a_driver_that_reads_when_it_should_not_leaves_no_hole_in_the_echo() {
    let peer = after(&[Do::PeerSends { n: 45 }, Do::Rude { what: Rude::Received { n: 4 } }, Do::Roomy]);
    assert_eq!((peer.cause(), peer.echoed.len()), (Some(Cause::local(Reason::Aborted)), 40));
    assert_eq!(peer.cause().unwrap().origin, Origin::Local);
}
