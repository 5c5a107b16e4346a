//! What this host drops, holds back or is too busy for is nobody's fault, and stops no timer.

mod support;

use core::time::Duration;

use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, Event};
use resound_core::datagram::{Batch, Fact, Machine, Port, Reading, Ready, Sending, Train, Via, turn};
use resound_core::signal::{Errno, Origin, Reason};
use support::fleet::{Do, GOOD, Hearing, Nature, Way, World, address};

const START: Instant = Instant::from_nanos(1_000_000_000);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A network that answers nothing, and a kernel that does as it is told.
struct Bare {
    batch: Batch,
    /// How many datagrams it drops before each turn.
    drops: u32,
    /// What it has for each read, so many times in a train.
    waiting: (Vec<u8>, usize),
    /// How many reads it has for each turn.
    reads: u32,
}

impl Bare {
    fn new() -> Self {
        Self { batch: Batch::new(4_096, 8, 8), drops: 0, waiting: (Vec::new(), 0), reads: 0 }
    }
}

impl Port for Bare {
    fn receive(&mut self, _: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        let (datagram, times) = &self.waiting;
        if *times == 0 {
            return Reading::Empty;
        }
        let bytes = datagram.repeat(*times);
        tell(Fact::Received { train: &Train { size: datagram.len(), ..Train::one(address(0), &bytes) } });
        Reading::Some { bytes: bytes.len() }
    }

    fn errors(&mut self, _: impl FnMut(Fact<'_>)) {}

    fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    fn send(&mut self, _: impl FnMut(Fact<'_>)) -> Sending {
        self.batch.clear();
        Sending::Done
    }

    fn overrun(&mut self) -> u32 {
        self.drops
    }

    fn receive_buffer(&self) -> usize {
        40_000
    }

    fn next_ready(&mut self) -> Option<Ready> {
        self.reads = self.reads.checked_sub(1)?;
        Some(Ready::Readable)
    }
}

#[test]
fn drops_in_each_turn_stop_no_timer() {
    let mut client = Client::new(Config::default(), 1, [1, 2]).unwrap();
    let mut port = Bare { drops: 1, ..Bare::new() };
    let peer = client.add(START, address(0)).unwrap();
    client.send(START, peer, "x".into()).unwrap();
    let (mut now, mut turns, mut lost, mut overruns) = (START, 0, Vec::new(), 0);
    while now < START + ms(10_000) {
        turns += 1;
        assert!(turns < 1_000, "it spins");
        let at = now;
        let until = turn(
            &mut client,
            &mut port,
            || at,
            |event| match event {
                Event::Lost { cause, .. } => lost.push((at - START, cause.origin, cause.reason)),
                Event::Overrun { lost } => overruns += u64::from(lost),
                _ => {}
            },
        );
        now = until.map_or(now, |until| until.max(now)) + ms(1);
    }
    assert!(matches!(lost[..], [(at, Origin::Local, Reason::NoBuffers)] if at < ms(3_500)), "{lost:?}");
    assert!(overruns <= client.strays().overrun && overruns + 60 > client.strays().overrun);
}

#[test]
fn a_flood_of_doubles_stops_no_timer() {
    let mut client = Client::new(Config::default(), 1, [1, 2]).unwrap();
    let [alive, dead] = [0, 1].map(|which| client.add(START, address(which)).unwrap());
    client.send(START, alive, "x".into()).unwrap();
    let mut port = Bare::new();
    client.handle(START, Fact::Room { batch: &mut port.batch });
    let sent: Vec<_> =
        port.batch.runs().flat_map(|run| port.batch.datagrams(run).map(|d| (run.to, d.to_vec()))).collect();
    for (to, datagram) in &sent {
        if *to == address(0) {
            client.handle(START, Fact::Received { train: &Train::one(*to, datagram) });
            port.waiting = (datagram.clone(), 1_999);
        }
    }
    port.batch.clear();
    client.send(START, dead, "y".into()).unwrap();
    let mut lost = None;
    for n in (10..=4_000).step_by(50) {
        let at = START + ms(n);
        port.reads = 16;
        turn(
            &mut client,
            &mut port,
            || at,
            |event| {
                if let Event::Lost { peer, .. } = event {
                    assert_eq!(peer, dead);
                    lost = Some(at - START);
                }
            },
        );
    }
    assert!(lost.is_some_and(|at| at < ms(3_500)), "{lost:?}");
}

#[test]
fn a_queue_that_is_full_for_one_peer_saves_no_other() {
    let mut world = World::simple(1);
    world.add(0);
    world.add(1);
    world.sleep(100);
    world.apply(&Do::Become { which: 0, nature: Nature::Unsendable(Errno::NoBufs) });
    world.apply(&Do::Become { which: 1, nature: Nature::Silent });
    world.sleep(120_000);
    let downs = |which| world.times(which, |event| matches!(event, Event::Down { .. })).len();
    assert_eq!([downs(0), downs(1)], [0, 1]);
}

#[test]
fn a_socket_that_was_blocked_while_a_probe_waited_convicts_nobody() {
    let mut config = Config::default();
    config.link.liveness.misses = 1;
    let mut world = World::new(config, 3, START, Hearing::ErrorQueue);
    world.add(0);
    world.sleep(100);
    world.apply(&Do::Road { which: 0, way: Way { delay_ms: 200, ..GOOD } });
    // From before the idle probe until 100 ms before it is to be answered.
    let before = world.net.sent.len();
    while world.net.sent.len() == before {
        world.apply(&Do::Block { ms: 20 });
        world.sleep(5);
    }
    world.apply(&Do::Block { ms: 2_900 });
    world.sleep(10_000);
    assert!(world.times(0, |event| matches!(event, Event::Down { .. } | Event::Suspect { .. })).is_empty());
}

#[test]
fn what_a_blocked_socket_holds_back_is_lost_here() {
    let mut world =
        World::new(Config { timeout: ms(500), ..Config::default() }, 4, START, Hearing::ErrorQueue);
    world.add(0);
    world.sleep(100);
    world.apply(&Do::Block { ms: 2_000 });
    world.send(0, 5);
    world.sleep(5_000);
    let said: Vec<_> = world
        .log
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Lost { cause, .. } => Some((cause.origin, cause.reason)),
            _ => None,
        })
        .collect();
    assert_eq!(said, [(Origin::Local, Reason::NoBuffers)]);
}

#[test]
fn a_dial_that_never_left_does_not_fail() {
    let mut world = World::simple(5);
    world.apply(&Do::Block { ms: 25_000 });
    world.add(0);
    world.sleep(40_000);
    assert!(world.times(0, |event| matches!(event, Event::DialFailed { .. })).is_empty(), "{:?}", world.log);
    assert_eq!(world.times(0, |event| matches!(event, Event::Up { .. })).len(), 1);
}
