//! What happens to a server, and a driver that does what the contract asks. Asserted on the way, after every operation: P1
//! and P2 of the machines' rules.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::Instant;
use resound_core::datagram::server::{Config, Counts, Event, Groups, Ignored, Remote, Server};
use resound_core::datagram::{Batch, Cast, End, Fact, Machine, Step, Train};
use resound_core::signal::{Errno, IcmpError, Op, Signal, Version};

use super::{BYTES, SECOND, local, server};

#[derive(Clone, Debug)]
pub(super) enum Do {
    Train { from: SocketAddr, to: Option<IpAddr>, cast: Cast, len: usize, size: usize, end: End },
    Overrun(u32),
    Failed(Op, Signal),
    Unsent(usize),
    Nothing(u8),
    Sleep(u64),
    Deadline(u64),
}

/// A few sources in each of their forms, at ports of every kind.
fn peers() -> impl Strategy<Value = SocketAddr> {
    let port =
        prop_oneof![6 => 40_000u16..40_003, 1 => prop::sample::select(vec![0, 7, 53, 7_007, 9_000, 9_001])];
    (0u8..4, any::<u64>(), 0u8..8, port).prop_map(|(n, host, form, port)| {
        let v4 = Ipv4Addr::new(192, 0, 2, n);
        let v6 = Ipv6Addr::from_bits(u128::from(v4.to_bits()) << 64 | u128::from(host));
        let ip = match form {
            0 => v4.to_ipv6_mapped().into(),
            1..=3 => v4.into(),
            4 => IpAddr::from([255; 4]),
            _ => v6.into(),
        };
        SocketAddr::new(ip, port)
    })
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Do>> {
    let cast = prop_oneof![8 => Just(Cast::Unicast), 1 => Just(Cast::Broadcast), 1 => Just(Cast::Multicast)];
    let end = prop_oneof![6 => Just(End::Whole), 1 => Just(End::Truncated)];
    let to = prop::option::of((0u8..2).prop_map(local));
    // A last datagram that is shorter, full, alone, or empty.
    let shape = (0usize..40, 1usize..20).prop_map(|(len, size)| if len == 0 { (0, 0) } else { (len, size) });
    let train = (peers(), to, cast, shape, end).prop_map(|(from, to, cast, (len, size), end)| Do::Train {
        from,
        to,
        cast,
        len,
        size,
        end,
    });
    let op = prop_oneof![Just(Op::Read), Just(Op::Write)];
    let signal =
        prop::sample::select(vec![Errno::NoBufs, Errno::Perm, Errno::MsgSize]).prop_map(Signal::Errno);
    let one = prop_oneof![
        20 => train,
        2 => (0u32..9).prop_map(Do::Overrun),
        2 => (op, signal).prop_map(|(op, signal)| Do::Failed(op, signal)),
        1 => (0usize..20).prop_map(Do::Unsent),
        2 => any::<u8>().prop_map(Do::Nothing),
        6 => (0u64..3_000_000).prop_map(Do::Sleep),
        2 => (0u64..2_000_000_000).prop_map(Do::Sleep),
        4 => prop_oneof![Just(0u64), 0u64..2_000_000_000].prop_map(Do::Deadline),
    ];
    vec(one, 0..120)
}

pub(super) fn configs() -> impl Strategy<Value = Config> {
    let only_local = prop::option::weighted(0.2, (0u8..2).prop_map(local));
    let remote = Ipv4Addr::new(192, 0, 2, 1);
    let only_remote = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Remote::from(IpAddr::V4(remote)))),
        1 => Just(Some(Remote::from(SocketAddr::from((remote.to_ipv6_mapped(), 40_001))))),
    ];
    let groups = prop_oneof![3 => Just(Groups::Ignore), 1 => Just(Groups::Answer)];
    let rate = prop::option::weighted(0.8, prop_oneof![1u32..5, 1u32..2_000, Just(10_000_000)]);
    (only_local, only_remote, groups, rate, 1u32..30, 1u32..12).prop_map(
        |(only_local, only_remote, groups, rate, burst, sources)| Config {
            own_ports: vec![9_001, 9_000, 9_001],
            only_local,
            only_remote,
            groups,
            rate,
            burst,
            sources,
        },
    )
}

/// A server, a driver that does what the contract asks, and the books.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) now: Instant,
    start: Instant,
    pub(super) log: Vec<(Duration, String)>,
    /// When an event of each kind was last told.
    told_at: BTreeMap<String, Instant>,
    /// The sums of all events of each kind.
    pub(super) told: BTreeMap<String, u64>,
    /// Datagrams and bytes that went back, and those that came.
    pub(super) back: (usize, usize),
    pub(super) came: (usize, usize),
}

impl World {
    pub(super) fn new(config: Config, start: Instant) -> Self {
        Self {
            server: server(config),
            now: start,
            start,
            log: Vec::new(),
            told_at: BTreeMap::new(),
            told: BTreeMap::new(),
            back: (0, 0),
            came: (0, 0),
        }
    }

    pub(super) fn run(config: Config, start: Instant, operations: &[Do]) -> Self {
        let mut world = Self::new(config, start);
        operations.iter().for_each(|operation| world.apply(operation));
        world
    }

    fn tell(&mut self, fact: Fact<'_>) {
        self.server.handle(self.now, fact);
        self.drain(SECOND);
    }

    pub(super) fn apply(&mut self, operation: &Do) {
        let signal = Signal::Errno(Errno::MsgSize);
        match *operation {
            Do::Train { from, to, cast, len, size, end } => {
                let bytes = &BYTES[..len];
                let train = Train { to, cast, bytes, size, end, ..Train::one(from, &[]) };
                self.tell(Fact::Received { train: &train });
                self.answer(&train);
            }
            Do::Overrun(lost) => self.tell(Fact::Overrun { lost }),
            Do::Failed(op, signal) => self.tell(Fact::Failed { op, signal }),
            Do::Unsent(len) => {
                let to = SocketAddr::from(([192, 0, 2, 1], 40_000));
                self.tell(Fact::Unsent { to, datagram: &BYTES[..len], signal, mtu: None });
            }
            Do::Nothing(which) => self.nothing(which),
            Do::Sleep(nanos) => {
                self.now = self.now + Duration::from_nanos(nanos);
                self.tick();
            }
            Do::Deadline(late) => {
                if let Some(at) = self.server.next_deadline() {
                    self.now = self.now.max(at) + Duration::from_nanos(late);
                }
                self.tick();
            }
        }
        // P2: early and repeated ticks change nothing.
        let before = format!("{:?}", self.server);
        if self.server.next_deadline().is_none_or(|at| at > self.now) {
            self.server.handle(self.now, Fact::Tick);
            assert_eq!(format!("{:?}", self.server), before, "P2");
        }
        assert_eq!(balance(self.server.counts()), 0, "{:?}", self.server.counts());
    }

    pub(super) fn answer(&mut self, train: &Train<'_>) {
        let echo = train.echo.get();
        let back: usize = train.datagrams().take(echo).map(<[u8]>::len).sum();
        assert!(echo <= train.count());
        self.back = (self.back.0 + echo, self.back.1 + back);
        self.came = (self.came.0 + train.count(), self.came.1 + train.bytes.len());
        self.log.push((self.now - self.start, format!("{echo} of {}", train.count())));
    }

    /// What is no business of a server's.
    fn nothing(&mut self, which: u8) {
        let mut batch = Batch::new(64, 4, 4);
        let error = IcmpError {
            version: Version::V4,
            kind: 3,
            code: 3,
            offender: None,
            destination: None,
            mtu: None,
        };
        self.tell(match which % 6 {
            0 => Fact::Room { batch: &mut batch },
            1 => Fact::Blocked,
            2 => Fact::Writable,
            3 => Fact::Examined,
            4 => Fact::Resumed,
            _ => Fact::Icmp { error, quote: b"" },
        });
        assert!(batch.is_empty());
    }

    fn tick(&mut self) {
        let due = self.server.next_deadline().is_some_and(|at| at <= self.now);
        self.server.handle(self.now, Fact::Tick);
        // P1: after a due timeout the deadline is later than now, or output is pending.
        let next = self.server.next_deadline();
        assert!(!due || next.is_none_or(|at| at > self.now || at == Instant::EPOCH), "P1: {:?}", self.server);
        self.drain(SECOND);
    }

    /// Does every step, and ends with the wait that was announced. Events of one kind come this far apart.
    pub(super) fn drain(&mut self, apart: Duration) {
        loop {
            let announced = self.server.next_deadline();
            match self.server.poll() {
                Step::Event(event) => {
                    assert_eq!(announced, Some(Instant::EPOCH), "P1: an event that nobody waits for");
                    self.event(event, apart);
                }
                Step::Examine => {
                    assert_eq!(announced, Some(Instant::EPOCH));
                    self.log.push((self.now - self.start, "examine".into()));
                    self.server.handle(self.now, Fact::Examined);
                }
                Step::Transmit => panic!("a server sends nothing of its own"),
                Step::Wait(until) => {
                    assert_eq!(announced, until);
                    assert!(
                        until.is_none_or(|at| at > self.now || at >= self.start),
                        "P1: pending, and waits"
                    );
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event, apart: Duration) {
        self.log.push((self.now - self.start, format!("{event:?}")));
        let (kind, count) = match event {
            Event::Ignored { why, count, .. } => (why.to_string(), count),
            Event::Overrun { lost } => ("overrun".into(), lost),
            Event::Failed { op, count, .. } => (format!("{op:?}"), count),
            Event::Stopped => ("done".into(), 1),
        };
        assert!(count > 0, "{kind}");
        if let Some(at) = self.told_at.insert(kind.clone(), self.now) {
            assert!(self.now - at >= apart, "{kind}: {:?} after the last", self.now - at);
        }
        *self.told.entry(kind).or_default() += count;
    }
}

fn ignored(counts: &Counts) -> u64 {
    Ignored::ALL.iter().map(|&why| counts.ignored(why)).sum()
}

/// What came in and is nowhere in the books.
fn balance(counts: &Counts) -> i128 {
    i128::from(counts.received)
        - i128::from(counts.echoed)
        - i128::from(counts.unsent)
        - i128::from(ignored(counts))
}
