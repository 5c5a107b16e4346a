//! The invariants of the client over datagrams, over generated fleets, networks, attackers and drivers.
//!
//! Most of them are asserted while the world runs, against its own books (`support/fleet/books.rs`): that errors are charged to
//! the right peer, that each message ends once, that round trips and counts are the world's, that no verdict is given
//! without its evidence, and that the driver's loop always comes to rest (P1).

mod support;

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, Event, HEADER, PeerId, PeerStatus, Refusal};
use resound_core::datagram::{Batch, Fact, Machine, Step, Train};
use resound_core::signal::icmp::parse_v4;
use resound_core::signal::{Errno, IcmpError, Reason, Signal, Version};
use support::fleet::{
    Do, GOOD, Hearing, M, MS, Nature, P, PEERS, Stuff, Way, World, address, configs, operations,
};

const START: Instant = Instant::from_nanos(1_000 * MS);
const SECOND: Duration = Duration::from_secs(1);
/// I of a client unless set.
const I: Duration = Duration::from_secs(15);

fn run(seed: u64, all: &[Do]) -> World {
    World::run(Config::default(), seed, START, Hearing::ErrorQueue, all)
}

/// A world with one peer that is up.
fn one_up(seed: u64) -> World {
    let mut world = World::simple(seed);
    world.add(0);
    world.sleep(100);
    assert_eq!(world.times(0, |e| matches!(e, Event::Up { .. })).len(), 1);
    world
}

/// Everything in a client but what time it is.
fn but_the_time(client: &Client) -> String {
    let mut text = format!("{client:?}");
    text.truncate(text.rfind(", now: ").expect("the last field"));
    text
}

const fn is_trouble(event: &Event) -> bool {
    matches!(event, Event::Down { .. } | Event::Suspect { .. })
}

const fn is_lost(event: &Event) -> bool {
    matches!(event, Event::Lost { .. })
}

const fn is_down(event: &Event) -> bool {
    matches!(event, Event::Down { .. })
}

proptest! {
    /// Attribution, conservation, L2, L6, P1 and the books, as the world asserts them on the way.
    #[test]
    fn every_event_is_borne_out_by_the_books(config in configs(), seed: u64, all in operations()) {
        let mut world = World::run(config, seed, START, Hearing::ErrorQueue, &all);
        world.apply(&Do::Abort);
        prop_assert!(world.client.is_done() && world.client.pending() == 0);
        prop_assert_eq!(world.client.next_deadline(), None);
    }

    /// Everything a program was told is the same, whether ICMP came by the error queue or by a raw socket.
    #[test]
    fn a_raw_socket_tells_what_the_error_queue_tells(seed: u64, all in operations()) {
        let whole = |hearing| World::run(Config::default(), seed, START, hearing, &all).log;
        prop_assert_eq!(whole(Hearing::ErrorQueue), whole(Hearing::RawSocket));
    }

    /// P3: a trace that begins at another time ends at another time, and nothing else. P4: the same again is the same.
    #[test]
    fn p3_p4_the_same_happens_whenever_it_happens(
        config in configs(),
        seed: u64,
        all in operations(),
        later in 0u64..1 << 60,
    ) {
        let from = |start| World::run(config, seed, start, Hearing::ErrorQueue, &all).log;
        let first = from(START);
        prop_assert_eq!(&first, &from(START));
        prop_assert_eq!(&first, &from(START + Duration::from_nanos(later)));
    }

    /// P1, the other half: a driver is not called oftener than something happens or is due. Each peer's timers come to
    /// at most one probe in P' and one more call for each flight's end.
    #[test]
    fn p1_turns_are_bounded_by_what_happens(seed: u64, all in operations()) {
        let world = run(seed, &all);
        let elapsed = (world.now - START).as_millis() as u64;
        let timers = (elapsed / 500 + 10) * PEERS as u64;
        let bound = 20 + 6 * (world.net.happenings + world.net.sent.len() as u64 + timers);
        prop_assert!(world.turns <= bound, "{} > {}", world.turns, bound);
    }

    /// P2: early and repeated ticks change nothing.
    #[test]
    fn p2_ticks_that_are_not_due_change_nothing(config in configs(), seed: u64, mut all in operations()) {
        all.truncate(30);
        let mut world = World::new(config, seed, START, Hearing::ErrorQueue);
        for one in &all {
            world.apply(one);
            let due = world.client.next_deadline();
            if due.is_none_or(|at| at > world.now) {
                let before = but_the_time(&world.client);
                for now in [world.now, Instant::EPOCH, world.now] {
                    world.client.handle(now, Fact::Tick);
                }
                prop_assert_eq!(but_the_time(&world.client), before);
            }
        }
    }

    /// B6: rounds of asking, in any window W, are at most 1 + hints + ⌈W/F⌉; and a peer that refuses is asked no oftener
    /// than the backoff says: not more than a dozen times in the first minute.
    #[test]
    fn b6_rounds_are_paced_by_the_backoff(seed: u64, all in operations()) {
        let world = run(seed, &all);
        let floor = world.config().link.backoff.floor;
        for id in world.addresses.keys() {
            let rounds: Vec<_> = world.log.iter()
                .filter(|(_, event)| matches!(event, Event::Dialing { peer, .. } if peer == id))
                .map(|(at, _)| *at).collect();
            for (first, begun) in rounds.iter().enumerate() {
                for (more, ended) in rounds[first..].iter().enumerate() {
                    let windows = (*ended - *begun).as_nanos().div_ceil(floor.as_nanos()) as usize;
                    prop_assert!(more < 1 + world.hints as usize + windows.max(1), "{rounds:?}");
                }
            }
        }
    }

    /// What forgers say convicts nobody, and makes the client send no more than one probe in each P'.
    #[test]
    fn forgeries_neither_convict_nor_amplify(
        seed: u64,
        forged in vec((proptest::sample::select(vec![
            Stuff::Random, Stuff::OtherSecret, Stuff::OtherPeer, Stuff::Old, Stuff::Bent, Stuff::Cut, Stuff::Nothing,
        ]), 0usize..6, 0u64..400, any::<bool>()), 1..120),
    ) {
        let mut world = World::simple(seed);
        (0..2).for_each(|which| world.add(which));
        world.sleep(100);
        let began = world.now;
        for &(stuff, complaint, ms, answer) in &forged {
            for which in 0..2 {
                world.apply(&if answer {
                    Do::ForgeAnswer { which, stuff }
                } else {
                    Do::ForgeIcmp { which, stuff, complaint }
                });
            }
            world.sleep(ms);
        }
        let probes = |which| world.net.sent.values().filter(|s| s.to == address(which) && s.handed >= began).count();
        let most = (world.now - began).as_millis() / P.as_millis() + 2;
        for which in 0..2 {
            prop_assert!(world.times(which, is_trouble).is_empty());
            prop_assert!(probes(which) as u128 <= most, "{} probes in {:?}", probes(which), world.now - began);
        }
        prop_assert!(world.net.sent.values().all(|s| s.to == address(0) || s.to == address(1)));
    }

    /// L1, with an on-time driver: conviction ≤ min(the last byte + I, the first unanswered send + P') + M·P'.
    #[test]
    fn l1_a_dead_peer_is_convicted_in_time(
        seed: u64,
        alive_ms in 0u64..40_000,
        sends in vec((0u64..30_000, 0usize..50), 0..6),
        lates in vec((0u64..30_000, prop_oneof![1u64..290, 310u64..5_000]), 0..3),
    ) {
        let mut world = one_up(seed);
        world.sleep(alive_ms);
        world.apply(&Do::Become { which: 0, nature: Nature::Silent });
        world.sleep(50); // what was on its way has come
        let heard = world.net.last_answer[&address(0)];
        let died = world.now;
        // Sorted by when they happen: sends and late calls.
        let mut script: Vec<(u64, Do)> = sends.iter().map(|&(at, len)| (at, Do::Send { which: 0, len })).collect();
        script.extend(lates.iter().map(|&(at, ms)| (at, Do::Late { ms })));
        script.sort_by_key(|(at, _)| *at);
        let mut first_send = None;
        for (at, one) in script {
            let wait = (died + Duration::from_millis(at)).since(world.now).as_millis() as u64;
            world.sleep(wait);
            if matches!(one, Do::Send { .. }) {
                first_send.get_or_insert(world.now);
            }
            world.apply(&one);
        }
        world.sleep(120_000);
        let downs = world.times(0, is_down);
        prop_assert_eq!(downs.len(), 1, "L8: convicted once");
        let (late, stalls) = lates.iter().fold((0, 0u32), |(sum, n), (_, ms)| (sum + ms, n + 1));
        let tolerance = Duration::from_millis(300);
        // The driver's calls for other timers may have been the late ones, and each delays what follows.
        let base = (heard + I).min(first_send.map_or(Instant::MAX, |at| at + P));
        let bound = base + P * (M as u32 + stalls) + Duration::from_millis(late) + tolerance * (M as u32 + stalls + 1);
        prop_assert!(START + downs[0] <= bound, "{:?} > {bound:?}", START + downs[0]);
    }

    /// L2: what was readable before the verdict prevents it, at any lateness.
    #[test]
    fn l2_a_readable_answer_prevents_a_conviction(seed: u64, deaf_ms in 0u64..9_999, late_ms in 0u64..200_000) {
        let mut world = one_up(seed);
        // Its answers take longer than a probe may, and less than all of them together.
        world.apply(&Do::Road { which: 0, way: Way { delay_ms: 3_001 + deaf_ms, ..GOOD } });
        for _ in 0..6 {
            world.apply(&Do::Late { ms: late_ms });
            world.sleep(30_000);
        }
        prop_assert!(world.times(0, is_down).is_empty());
    }

    /// L2, to the point: the answer comes in after the verdict is due, and before the driver's call, which is late by no
    /// more than is forgiven.
    #[test]
    fn l2_what_the_kernel_holds_is_read_before_the_verdict(seed: u64, (lag, before) in (1u64..290).prop_flat_map(|lag| (Just(lag), 0..lag))) {
        let mut world = one_up(seed);
        let delay_ms = M as u64 * (3_000 + lag) - before;
        world.apply(&Do::Road { which: 0, way: Way { delay_ms, ..GOOD } });
        world.lag = Duration::from_millis(lag);
        world.sleep(40_000);
        let suspected = world.times(0, |e| matches!(e, Event::Suspect { .. })).len();
        prop_assert!(suspected >= M - 1 && world.times(0, is_down).is_empty(), "{:?}", world.log);
    }

    /// L3: more sends never delay a conviction.
    #[test]
    fn l3_more_sends_never_delay_a_conviction(seed: u64, few in vec(0u64..30_000, 0..4), more in vec(0u64..30_000, 1..4)) {
        let convicted = |mut sends: Vec<u64>| {
            sends.sort_unstable();
            let mut world = one_up(seed);
            world.apply(&Do::Become { which: 0, nature: Nature::Silent });
            let died = world.now;
            for at in sends {
                world.sleep((died + Duration::from_millis(at)).since(world.now).as_millis() as u64);
                world.send(0, 10);
            }
            world.sleep(100_000);
            world.times(0, is_down)[0]
        };
        prop_assert!(convicted([few.clone(), more].concat()) <= convicted(few));
    }

    /// L4, L5: answers that come later, or doubled, never hasten a conviction.
    #[test]
    fn l4_l5_more_answers_never_hasten_a_conviction(seed: u64, last_ms in 100u64..40_000, doubled: bool) {
        let convicted = |answers: bool| {
            let mut world = one_up(seed);
            let double_percent = if doubled { 100 } else { 0 };
            if answers {
                world.apply(&Do::Road { which: 0, way: Way { double_percent, ..GOOD } });
                world.send(0, 5);
                world.sleep(last_ms);
            }
            world.apply(&Do::Become { which: 0, nature: Nature::Silent });
            let heard = world.net.last_answer[&address(0)];
            world.sleep(100_000);
            (START + world.times(0, is_down)[0], heard)
        };
        let ((with, last), (without, first)) = (convicted(true), convicted(false));
        prop_assert!(last >= first);
        // The jitter of a later silence is another draw: up to a quarter of I.
        prop_assert!(with + I / 4 >= without, "{with:?} {without:?}");
    }

    /// L6: a late call never convicts; the M probes that it takes are asserted by the world. A peer that answers is never
    /// convicted, however late the driver is.
    #[test]
    fn l6_a_late_call_never_convicts(
        seed: u64,
        lates in vec(prop_oneof![2 => Just(0), 1 => 1u64..290, 2 => 310u64..60_000], 1..20),
        answers: bool,
    ) {
        let mut world = one_up(seed);
        if !answers {
            world.apply(&Do::Become { which: 0, nature: Nature::Silent });
        }
        for &ms in &lates {
            world.apply(&Do::Late { ms });
        }
        world.sleep(200_000);
        let downs = world.times(0, is_down);
        prop_assert!(!answers || downs.is_empty());
        for at in downs {
            prop_assert!(world.calls[&at] <= Duration::from_millis(300), "{:?} late", world.calls[&at]);
        }
    }

    /// L7: an idle peer is probed after [0.75·I, I] of silence, each on its own.
    #[test]
    fn l7_the_idle_gap_has_its_bounds(seed: u64, late in 0u64..250) {
        let mut world = World::simple(seed);
        (0..PEERS).for_each(|which| world.add(which));
        for _ in 0..30 {
            world.apply(&Do::Late { ms: late });
            world.sleep(10_000);
        }
        for which in 0..PEERS {
            let sent: Vec<_> = world.net.sent.values().filter(|s| s.to == address(which)).collect();
            prop_assert!(sent.len() >= 15, "{}", sent.len());
            for pair in sent.windows(2) {
                let gap = pair[1].handed - pair[0].answers[0];
                // Any late call is late for what is due meanwhile.
                prop_assert!(gap >= I * 3 / 4 && gap <= I + Duration::from_millis(late), "{gap:?}");
            }
        }
    }

    /// L7, second half: nothing is probed when the detector is off, and nobody convicted.
    #[test]
    fn l7_nothing_is_probed_when_the_detector_is_off(seed: u64, sends in vec(0u64..20_000, 0..5)) {
        let mut config = Config::default();
        config.link.liveness.idle = Duration::ZERO;
        let mut world = World::new(config, seed, START, Hearing::ErrorQueue);
        world.add(0);
        world.sleep(100);
        world.apply(&Do::Become { which: 0, nature: Nature::Silent });
        for &ms in &sends {
            world.sleep(ms);
            world.send(0, 5);
            world.apply(&Do::ForgeIcmp { which: 0, stuff: Stuff::Nothing, complaint: 0 });
        }
        world.sleep(300_000);
        prop_assert_eq!(world.net.sent.len(), 1 + sends.len());
        prop_assert!(world.times(0, is_down).is_empty());
        prop_assert_eq!(world.times(0, is_lost).len(), sends.len());
    }

    /// Answers on a network that delays, doubles and reorders, but loses nothing and is never slower than the timeout:
    /// each count is exactly what the books say.
    #[test]
    fn order_and_doubles_are_counted_exactly(
        seed: u64,
        spread_ms in 0u64..2_000,
        double_percent in 0u64..100,
        gaps in vec(0u64..300, 1..60),
    ) {
        let mut world = one_up(seed);
        world.apply(&Do::Road { which: 0, way: Way { delay_ms: 1, spread_ms, double_percent, ..GOOD } });
        for &ms in &gaps {
            world.send(0, 10);
            world.sleep(ms);
        }
        world.sleep(2_500);
        let status = world.client.peer(world.peer(0).unwrap()).unwrap();
        let sent = &world.net.sent;
        prop_assert_eq!((status.echoed, status.lost, status.late), (sent.len() as u64, 0, 0));
        let answers: usize = sent.values().map(|s| s.answers.len()).sum();
        prop_assert_eq!(status.duplicated as usize, answers - sent.len());
        let told: Vec<u64> = world.log.iter().filter_map(|(_, event)| match event {
            Event::Echoed { seq, .. } => Some(seq.get()),
            _ => None,
        }).collect();
        // A message came too late in order if one with a higher number was told before it; probes may add to that.
        let mut highest = 0;
        let reordered = told.iter().filter(|&&seq| {
            let after = seq < highest;
            highest = highest.max(seq);
            after
        }).count();
        let probes = sent.len() - 1 - told.len();
        prop_assert!((reordered..=reordered + probes + told.len() * usize::from(probes > 0)).contains(&(status.reordered as usize)));
        let srtt = status.round_trip.unwrap();
        prop_assert!(srtt <= Duration::from_millis(2_001), "{srtt:?}");
    }

    /// Answers that all come after the timeout are late, once each, and none is lost sight of.
    #[test]
    fn what_comes_after_its_time_is_late_once(seed: u64, over in 1u64..4_000, double in prop_oneof![Just(0u64), Just(100)], n in 1usize..20) {
        let mut world = one_up(seed);
        world.apply(&Do::Road { which: 0, way: Way { delay_ms: 3_000 + over, double_percent: double, ..GOOD } });
        for _ in 0..n {
            world.send(0, 10);
            world.sleep(10);
        }
        world.apply(&Do::Road { which: 0, way: GOOD });
        world.sleep(9_000);
        let late = world.times(0, |e| matches!(e, Event::Late { .. })).len();
        let doubled = world.times(0, |e| matches!(e, Event::Duplicated { .. })).len();
        prop_assert_eq!((late, doubled), (n, n * usize::from(double > 0)));
        let status = world.client.peer(world.peer(0).unwrap()).unwrap();
        prop_assert!(status.late as usize >= n && status.duplicated as usize >= doubled);
    }

    /// While this host drops what comes in, nobody is convicted, and what is lost is charged to this host.
    #[test]
    fn overruns_void_what_was_on_its_way(seed: u64, every_ms in 500u64..2_900) {
        let mut world = one_up(seed);
        world.apply(&Do::Become { which: 0, nature: Nature::Silent });
        for _ in 0..100_000 / every_ms {
            world.apply(&Do::Overrun);
            if world.peer(0).is_some() && world.turns % 3 == 0 {
                world.send(0, 1);
            }
            world.sleep(every_ms);
        }
        prop_assert!(world.times(0, is_down).is_empty());
        let local = |event: &Event| matches!(event, Event::Lost { cause, .. } if cause.reason == Reason::NoBuffers);
        prop_assert_eq!(world.times(0, is_lost), world.times(0, local));
    }

    /// Strangers who keep the receive buffer full cannot postpone a verdict for ever.
    #[test]
    fn a_flood_of_strangers_does_not_save_the_dead(seed: u64) {
        let mut world = one_up(seed);
        world.add(1);
        world.apply(&Do::Become { which: 0, nature: Nature::Silent });
        for _ in 0..600 {
            for _ in 0..5 {
                world.apply(&Do::ForgeAnswer { which: 1, stuff: Stuff::Random });
            }
            world.sleep(100);
        }
        prop_assert_eq!(world.times(0, is_down).len(), 1);
        prop_assert!(world.times(1, is_down).is_empty());
        prop_assert!(world.client.strays().strangers >= 2_000);
    }

    /// P5: names, attempts and tags that are over change nothing but counters.
    #[test]
    fn p5_what_is_stale_changes_only_counters(seed: u64, kind in 0usize..3) {
        let mut world = one_up(seed);
        world.send(0, 10);
        let old: Vec<_> = world.net.sent.values().map(|s| s.bytes.clone()).collect();
        let name = world.peer(0).unwrap();
        match kind {
            // Another peer has its place, and its address.
            0 => {
                world.apply(&Do::Remove { which: 0 });
                world.add(0);
                prop_assert_ne!(world.peer(0), Some(name));
                prop_assert!(world.client.peer(name).is_none() && !world.client.remove(world.now, name));
                let refused = world.client.send(world.now, name, "x".into()).unwrap_err();
                prop_assert_eq!((refused.why, refused.payload.as_ref()), (Refusal::UnknownPeer, &b"x"[..]));
                world.client.hurry(world.now, name);
                world.sleep(50);
            }
            // Nobody has.
            1 => world.apply(&Do::Remove { which: 0 }),
            // The connection is another one.
            _ => {
                world.apply(&Do::Become { which: 0, nature: Nature::Refuses { quoted: 548 } });
                world.send(0, 1);
                world.sleep(100);
                world.apply(&Do::Become { which: 0, nature: Nature::Echoes });
                world.sleep(20_000);
                prop_assert_eq!(world.times(0, |e| matches!(e, Event::Up { .. })).len(), 2);
            }
        }
        let (to, strays) = (address(0), world.client.strays());
        let before = world.client.peers().map(|id| world.client.peer(id)).collect::<Vec<_>>();
        let deadline = world.client.next_deadline();
        let icmp = IcmpError { version: Version::V4, kind: 3, code: 3, offender: None, destination: Some(to), mtu: None };
        for bytes in &old {
            world.client.handle(world.now, Fact::Icmp { error: icmp, quote: bytes });
            if kind < 2 {
                world.client.handle(world.now, Fact::Received { train: &Train::one(to, bytes) });
            }
            let signal = Signal::Errno(Errno::NetUnreach);
            world.client.handle(world.now, Fact::Unsent { to, datagram: bytes, signal, mtu: None });
        }
        prop_assert_eq!(world.client.next_deadline(), deadline);
        let steps = core::iter::from_fn(|| match world.client.poll() {
            Step::Wait(_) => None,
            step => Some(step),
        }).count();
        prop_assert_eq!(steps, 0);
        prop_assert_eq!(before, world.client.peers().map(|id| world.client.peer(id)).collect::<Vec<_>>());
        prop_assert!(world.client.strays().stale > strays.stale);
    }
}

// One thing at a time.

#[test]
fn each_refusal_reaches_its_peer_at_once_and_no_other() {
    let mut world = World::simple(1);
    (0..PEERS).for_each(|which| world.add(which));
    world.sleep(100);
    world.apply(&Do::Become { which: 3, nature: Nature::Refuses { quoted: 548 } });
    for which in 0..PEERS {
        world.send(which, 10);
    }
    world.sleep(100);
    for which in 0..PEERS {
        assert_eq!(world.times(which, is_down).len(), usize::from(which == 3));
        assert_eq!(world.times(which, |e| matches!(e, Event::Echoed { .. })).len(), usize::from(which != 3));
    }
}

#[test]
fn a_bare_port_unreachable_hastens_a_probe_and_ends_nothing() {
    for quoted in [0, 8, HEADER - 1] {
        let mut world = one_up(2);
        world.apply(&Do::Become { which: 0, nature: Nature::Refuses { quoted } });
        world.send(0, 10);
        world.sleep(500);
        assert!(world.times(0, is_down).is_empty());
        assert_eq!(world.times(0, |e| matches!(e, Event::Trouble { .. })).len(), 1, "{quoted}");
        world.sleep(60_000);
        let said = world.log.iter().find_map(|(_, event)| match event {
            Event::Down { cause, .. } => Some(cause.reason),
            _ => None,
        });
        assert_eq!(said, Some(Reason::PortUnreach), "it explains the silence when that has lasted");
    }
}

#[test]
fn a_peer_given_up_while_it_is_asked_is_not_half_alive() {
    let mut config = Config::default();
    config.link.give_up.after = Some(5 * SECOND);
    let mut world = World::new(config, 3, START, Hearing::ErrorQueue);
    world.net.natures[0] = Nature::Silent;
    world.add(0);
    world.send(0, 4);
    world.sleep(10_000);
    assert_eq!(world.times(0, |e| matches!(e, Event::GaveUp { .. })).len(), 1);
    let peer = world.peer(0).unwrap();
    let status = world.client.peer(peer).unwrap();
    assert_eq!((status.in_flight, world.client.pending()), (0, 0));
    assert_eq!(world.client.send(world.now, peer, "x".into()).map_err(|r| r.why), Err(Refusal::GaveUp));
}

#[test]
fn nothing_is_said_after_closed() {
    let mut world = one_up(4);
    world.apply(&Do::Become { which: 0, nature: Nature::Silent });
    world.send(0, 4);
    world.apply(&Do::Block { ms: 60_000 });
    world.send(0, 4);
    world.apply(&Do::Close);
    world.apply(&Do::Late { ms: 30_000 });
    world.sleep(60_000);
    assert!(world.client.is_done());
    assert_eq!(world.log.last().map(|(_, event)| event), Some(&Event::Closed));
}

#[test]
fn the_first_dial_survives_a_passing_complaint() {
    let passing = [
        Nature::Unsendable(Errno::NoBufs),
        Nature::Router { which: 0, quoted: 548 },
        Nature::Router { which: 2, quoted: 548 },
    ];
    for nature in passing {
        let mut world = World::simple(5);
        world.net.natures[0] = nature;
        world.add(0);
        world.sleep(100);
        world.apply(&Do::Become { which: 0, nature: Nature::Echoes });
        world.sleep(10_000);
        assert_eq!(world.times(0, |e| matches!(e, Event::Up { .. })).len(), 1, "{nature:?}: {:?}", world.log);
    }
}

#[test]
fn a_message_that_is_too_long_does_not_fail_the_dial() {
    let mut client = Client::new(Config::default(), 1, [1, 2]).unwrap();
    let peer = client.add(START, address(0)).unwrap();
    client.send(START, peer, vec![0; 9_000].into()).unwrap();
    let mut batch = Batch::new(65_536, 8, 8);
    client.handle(START, Fact::Room { batch: &mut batch });
    let long = batch.runs().find(|run| run.size > 9_000).unwrap();
    let signal = Signal::Errno(Errno::MsgSize);
    let datagram = batch.bytes(long);
    client.handle(START, Fact::Unsent { to: long.to, datagram, signal, mtu: Some(1_500) });
    let mut told = Vec::new();
    while let Step::Event(event) = client.poll() {
        told.push(event);
    }
    assert!(told.contains(&Event::TooBig { peer, mtu: Some(1_500) }), "{told:?}");
    assert!(!told.iter().any(|e| matches!(e, Event::DialFailed { .. })), "{told:?}");
}

#[test]
fn a_host_short_of_buffers_convicts_nobody() {
    let mut world = one_up(6);
    world.apply(&Do::Become { which: 0, nature: Nature::Unsendable(Errno::NoBufs) });
    world.sleep(120_000);
    assert!(world.times(0, is_down).is_empty());
    assert!(world.net.sent.len() < 60, "{} sends: it is no reason to spin", world.net.sent.len());
    world.apply(&Do::Become { which: 0, nature: Nature::Echoes });
    world.sleep(20_000);
    assert!(world.times(0, is_down).is_empty());
}

/// Its path is so slow that a probe gets more time than flights are remembered for; another peer's flights push it out.
#[test]
fn what_never_left_convicts_nobody_when_it_is_forgotten() {
    let mut world = World::simple(6);
    world.apply(&Do::Road { which: 0, way: Way { delay_ms: 4_800, ..GOOD } });
    world.add(0);
    world.add(1);
    world.sleep(6_000);
    world.apply(&Do::Become { which: 0, nature: Nature::Unsendable(Errno::NoBufs) });
    for second in 0..300 {
        world.sleep(1_000);
        world.send(1, second % 9);
    }
    let round_trip = world.client.peer(world.peer(0).unwrap()).unwrap().round_trip.unwrap();
    // RFC 6298: after one sample SRTT + 4·RTTVAR is three times that.
    assert!(round_trip * 3 > world.config().remember, "{round_trip:?}: the path is slow");
    assert!(world.times(0, is_down).is_empty(), "{:?}", world.times(0, is_down));
}

#[test]
fn a_blocked_socket_convicts_nobody() {
    let mut world = one_up(7);
    world.apply(&Do::Block { ms: 60_000 });
    world.sleep(90_000);
    assert!(world.times(0, is_down).is_empty(), "{:?}", world.log);
}

#[test]
fn an_answer_that_lies_in_the_kernel_saves_the_round() {
    let mut world = World::simple(8);
    world.net.natures[0] = Nature::Silent;
    world.add(0);
    world.sleep(17_990);
    // The last probe of the round is answered just before its end, and read by the call that is due at the end.
    world.apply(&Do::Become { which: 0, nature: Nature::Echoes });
    world.apply(&Do::Road { which: 0, way: Way { delay_ms: 1_995, ..GOOD } });
    world.sleep(510);
    world.lag = Duration::from_millis(60);
    world.sleep(5_000);
    assert_eq!(world.times(0, |e| matches!(e, Event::Up { .. })), [Duration::from_millis(20_055)]);
    assert!(world.times(0, |e| matches!(e, Event::DialFailed { .. })).is_empty(), "{:?}", world.log);
}

#[test]
fn a_flood_of_forged_complaints_is_not_a_flood_of_events() {
    let mixed = |k: usize| k % 6;
    let same = |complaint: usize| move |_: usize| complaint;
    let choices: [&dyn Fn(usize) -> usize; 4] = [&mixed, &same(0), &same(3), &same(5)];
    for complaint in choices {
        let mut world = one_up(9);
        let began = world.log.len();
        for k in 0..3_000 {
            world.apply(&Do::ForgeIcmp { which: 0, stuff: Stuff::Nothing, complaint: complaint(k) });
            world.sleep(1);
        }
        let told = world.log.len() - began;
        assert!(told < 40, "{told} events in three seconds");
    }
}

#[test]
fn only_what_is_about_udp_from_its_port_is_overheard() {
    let packet = |protocol: u8| {
        let ip = |protocol: u8, body: &[u8]| {
            let head = [&[0x45, 0, 0, 20 + body.len() as u8][..], &[0; 4], &[64, protocol, 0, 0]].concat();
            [&head[..], &[192, 0, 2, 200], &[192, 0, 2, 1], body].concat()
        };
        // From port 4660 to port 7, UDP's length 12, and four bytes of payload.
        let quoted = ip(protocol, &[0x12, 0x34, 0, 7, 0, 12, 0, 0, 1, 2, 3, 4]);
        ip(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat())
    };
    let [udp, tcp, other] = [17, 6, 50].map(packet);
    let heard = parse_v4(&udp).unwrap();
    let Some(Fact::Icmp { error, quote }) = Fact::overheard(&heard, 0x1234) else { panic!() };
    assert_eq!((error, quote), (heard.error, &[1, 2, 3, 4][..]));
    assert!(Fact::overheard(&heard, 7).is_none());
    for packet in [tcp, other] {
        assert!(Fact::overheard(&parse_v4(&packet).unwrap(), 0x1234).is_none());
    }
}

#[test]
fn an_address_is_one_peer_however_it_is_written() {
    let mut client = Client::new(Config::default(), 1, [1, 2]).unwrap();
    let v4 = "192.0.2.1:7".parse().unwrap();
    let mapped = "[::ffff:192.0.2.1]:7".parse().unwrap();
    let peer = client.add(START, mapped).unwrap();
    assert_eq!(client.find(v4), Some(peer));
    assert_eq!(client.peer(peer).map(|status: PeerStatus| status.addr), Some(v4));
    let twice: Result<PeerId, _> = client.add(START, v4);
    assert!(twice.is_err());
    let mut batch = Batch::new(4_096, 8, 8);
    client.handle(START, Fact::Room { batch: &mut batch });
    let bytes = batch.bytes(batch.runs().next().unwrap()).to_vec();
    client.handle(START, Fact::Received { train: &Train::one(mapped, &bytes) });
    assert_eq!(client.peer(peer).map(|status| status.echoed), Some(1));
}
