//! The echo server over UDP: what it answers, what it never answers, and that neither a flood nor a forged source makes
//! it do more. Asserted on the way, after every operation: P1 and P2 of the machines' rules.

extern crate alloc;

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::Instant;
use resound_core::datagram::server::{
    Config, Counts, Event, Groups, Habit, Ignored, REFLECTING, Reflecting, Remote, Server,
};
use resound_core::datagram::{
    Batch, Cast, End, Fact, Machine, Port, Reading, Ready, Sending, Step, Train, Via, turn,
};
use resound_core::signal::{Errno, IcmpError, Op, Signal, Version};

const START: Instant = Instant::from_nanos(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const KEY: [u64; 2] = [0x5eed, 0xcafe];

/// Zeroes enough for any train.
static BYTES: [u8; 4_096] = [0; 4_096];

// What happens to a server.

#[derive(Clone, Debug)]
enum Do {
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

fn local(n: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, n])
}

fn operations() -> impl Strategy<Value = Vec<Do>> {
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

fn configs() -> impl Strategy<Value = Config> {
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
struct World {
    server: Server,
    now: Instant,
    start: Instant,
    log: Vec<(Duration, String)>,
    /// When an event of each kind was last told.
    told_at: BTreeMap<String, Instant>,
    /// The sums of all events of each kind.
    told: BTreeMap<String, u64>,
    /// Datagrams and bytes that went back, and those that came.
    back: (usize, usize),
    came: (usize, usize),
}

impl World {
    fn new(config: Config, start: Instant) -> Self {
        Self {
            server: Server::new(config, KEY).expect("an accepted configuration"),
            now: start,
            start,
            log: Vec::new(),
            told_at: BTreeMap::new(),
            told: BTreeMap::new(),
            back: (0, 0),
            came: (0, 0),
        }
    }

    fn run(config: Config, start: Instant, operations: &[Do]) -> Self {
        let mut world = Self::new(config, start);
        operations.iter().for_each(|operation| world.apply(operation));
        world
    }

    fn tell(&mut self, fact: Fact<'_>) {
        self.server.handle(self.now, fact);
        self.drain(SECOND);
    }

    fn apply(&mut self, operation: &Do) {
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

    fn answer(&mut self, train: &Train<'_>) {
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
    fn drain(&mut self, apart: Duration) {
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

proptest! {
    /// Nothing panics, nothing is answered with more than it was; and, asserted on the way: P1, P2, the books balance,
    /// events of one kind come at most once in a second.
    #[test]
    fn never_more_goes_back_than_came(config in configs(), operations in operations()) {
        let world = World::run(config, START, &operations);
        let (counts, unsent) = (world.server.counts(), world.server.counts().unsent);
        prop_assert!(world.back.0 <= world.came.0 && world.back.1 <= world.came.1);
        prop_assert_eq!(counts.received, world.came.0 as u64);
        prop_assert_eq!(counts.echoed + unsent, world.back.0 as u64);
        prop_assert!(counts.bytes <= world.back.1 as u64);
        prop_assert!(unsent > 0 || counts.bytes == world.back.1 as u64);
    }

    /// None is told twice, none is kept back for ever: the sums of the events are the counters.
    #[test]
    fn events_add_up_to_the_counters(config in configs(), operations in operations(), stop: bool) {
        let mut world = World::run(config, START, &operations);
        if stop {
            world.server.stop();
            world.drain(Duration::ZERO);
            prop_assert_eq!(world.told.remove("done"), Some(1));
            prop_assert!(world.log.last().is_some_and(|(_, last)| last == "Stopped"));
            prop_assert!(world.server.is_done());
        } else {
            // Every kind that was told twice is quiet after two pauses.
            (0..2).for_each(|_| world.apply(&Do::Sleep(1_000_000_000)));
        }
        prop_assert_eq!(world.server.next_deadline(), None);
        let counts = world.server.counts();
        for &why in Ignored::ALL {
            prop_assert_eq!(world.told.get(why.as_str()).copied().unwrap_or(0), counts.ignored(why), "{}", why);
        }
        prop_assert_eq!(world.told.get("overrun").copied().unwrap_or(0), counts.overrun);
        let count = |op| operations.iter().filter(|told| match told {
            Do::Failed(other, _) => *other == op,
            Do::Unsent(_) => op == Op::Write,
            _ => false,
        }).count() as u64;
        prop_assert_eq!(world.told.get("Write").copied().unwrap_or(0), count(Op::Write));
        prop_assert_eq!(world.told.get("Read").copied().unwrap_or(0), count(Op::Read));
    }

    /// P3 shifting a whole trace in time shifts the outputs, nothing else; and P4 the same inputs give the same outputs.
    #[test]
    fn p3_time_has_no_origin(config in configs(), operations in operations(), by in 0u64..1 << 60) {
        let here = World::run(config.clone(), START, &operations);
        let there = World::run(config, START + Duration::from_nanos(by), &operations);
        prop_assert_eq!(here.log, there.log);
        prop_assert_eq!(here.server.counts(), there.server.counts());
    }

    /// A driver that never polls gets the same answers and counts as one that always does.
    #[test]
    fn polling_late_changes_no_answer(config in configs(), operations in operations()) {
        let clocked = |operation: &Do| matches!(operation, Do::Train { .. } | Do::Sleep(_));
        let operations: Vec<Do> = operations.into_iter().filter(clocked).collect();
        let prompt = World::run(config.clone(), START, &operations);
        let mut lazy = World::new(config, START);
        for operation in &operations {
            match *operation {
                Do::Train { from, to, cast, len, size, end } => {
                    let train = Train { to, cast, bytes: &BYTES[..len], size, end, ..Train::one(from, &[]) };
                    lazy.server.handle(lazy.now, Fact::Received { train: &train });
                    lazy.answer(&train);
                }
                Do::Sleep(nanos) => lazy.now = lazy.now + Duration::from_nanos(nanos),
                _ => {}
            }
        }
        let answers = |world: &World| {
            world.log.iter().filter(|(_, line)| line.contains(" of ")).cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(answers(&prompt), answers(&lazy));
        prop_assert_eq!(prompt.server.counts(), lazy.server.counts());
    }
}

// The limit.

/// So many datagrams of one source, so long after those before.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u8, usize)>> {
    let gap = prop_oneof![Just(0u64), 0u64..3_000_000, 0u64..2_000_000_000];
    vec((gap, 0u8..12, 1usize..40), 0..150)
}

fn host(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 | n), 40_000))
}

/// How many of `n` datagrams are answered.
fn ask(server: &mut Server, now: Instant, from: SocketAddr, n: usize) -> usize {
    let train = Train { size: 1, ..Train::one(from, &BYTES[..n]) };
    server.handle(now, Fact::Received { train: &train });
    train.echo.get()
}

/// No window holds more than `times (rate · W + burst)` answers.
fn assert_within(answers: &[(Instant, usize)], rate: u32, burst: u32, times: u128) {
    for (i, &(from, _)) in answers.iter().enumerate() {
        let mut sum = 0u128;
        for &(to, n) in &answers[i..] {
            sum += n as u128;
            let free = u128::from(burst) * 1_000_000_000;
            let most = times * (u128::from(rate) * (to - from).as_nanos() + free);
            assert!(sum * 1_000_000_000 <= most, "{sum} in {:?}", to - from);
        }
    }
}

proptest! {
    /// While there is a place for each source: in any window of W seconds, at most rate · W + burst of each, and not one
    /// less than the bucket that one would draw holds.
    #[test]
    fn each_source_has_its_limit(rate in 1u32..3_000, burst in 1u32..50, arrivals in arrivals()) {
        let config = Config { rate: Some(rate), burst, sources: 12, ..Config::default() };
        let mut server = Server::new(config, KEY).expect("an accepted configuration");
        let each = 1_000_000_000u128.div_ceil(u128::from(rate));
        let full = each * u128::from(burst);
        let mut levels = [(full, START); 12];
        let mut answers = vec![Vec::new(); 12];
        let mut now = START;
        for (gap, source, n) in arrivals {
            now = now + Duration::from_nanos(gap);
            let answered = ask(&mut server, now, host(u32::from(source)), n);
            let (level, since) = &mut levels[usize::from(source)];
            *level = full.min(*level + (now - *since).as_nanos());
            *since = now;
            prop_assert_eq!(answered as u128, (n as u128).min(*level / each));
            *level -= answered as u128 * each;
            answers[usize::from(source)].push((now, answered));
        }
        answers.iter().for_each(|answers| assert_within(answers, rate, burst, 1));
    }

    /// With more sources than places, a source has at most a place's limit and that which is shared.
    #[test]
    fn sources_without_a_place_share_one_limit(
        rate in 1u32..3_000, burst in 1u32..50, sources in 1u32..6, arrivals in arrivals(),
    ) {
        let config = Config { rate: Some(rate), burst, sources, ..Config::default() };
        let mut server = Server::new(config, KEY).expect("an accepted configuration");
        let mut answers = vec![Vec::new(); 12];
        let mut now = START;
        for (gap, source, n) in arrivals {
            now = now + Duration::from_nanos(gap);
            let answered = ask(&mut server, now, host(u32::from(source)), n);
            answers[usize::from(source)].push((now, answered));
        }
        answers.iter().for_each(|answers| assert_within(answers, rate, burst, 2));
    }

    /// However many sources a flood forges, at one instant it gets the bursts of a full table and the shared one.
    #[test]
    fn a_flood_gets_no_more_than_the_table_holds(key: [u64; 2], sources in 1u32..300, burst in 1u32..20) {
        let config = Config { burst, sources, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        let answered: usize = (0..2 * sources + 2).map(|n| ask(&mut server, START, host(n), 40)).sum();
        prop_assert_eq!(answered as u32, (sources + 1) * burst);
    }

    /// Once a flood has ended, its places are free when their buckets are full again, and honest sources find them.
    #[test]
    fn honest_sources_find_a_place_after_a_flood(key: [u64; 2], sources in 1u32..300, burst in 2u32..20) {
        let config = Config { rate: Some(1_000), burst, sources, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        for n in 0..3 * sources {
            ask(&mut server, START, host(n), 40);
        }
        let now = START + Duration::from_millis(u64::from(burst));
        let honest = sources.div_ceil(2);
        let answered: usize = (0..honest).map(|n| ask(&mut server, now, host(0x00ff_0000 + n), burst as usize)).sum();
        // A place is looked for in a few slots only. A few may find none there, and take from what is shared.
        prop_assert!(answered as u32 + 4 * burst >= honest * burst, "{} of {}", answered, honest * burst);
    }
}

proptest! {
    /// Whoever is short of a full burst keeps its place, however many places around it are given to others.
    #[test]
    fn only_full_buckets_are_forgotten(key: [u64; 2], pairs in 1u32..200) {
        let config = Config { rate: Some(1_000), burst: 10, sources: 2 * pairs, ..Config::default() };
        let mut server = Server::new(config, key).expect("an accepted configuration");
        for n in 0..pairs {
            ask(&mut server, START, host(2 * n), 1);
            ask(&mut server, START, host(2 * n + 1), 10);
        }
        let now = START + Duration::from_millis(1);
        for n in 0..pairs {
            ask(&mut server, now, host(0x00ff_0000 + n), 10);
        }
        for n in 0..pairs {
            prop_assert_eq!(ask(&mut server, now, host(2 * n + 1), 10), 1, "what came back in 1 ms");
        }
    }
}

#[test]
fn a_share_is_never_rounded_to_be_too_short() {
    let mut server = server(Config { rate: Some(3), burst: 1, ..Config::default() });
    let at = |nanos| START + Duration::from_nanos(nanos);
    let answers = [0, 333_333_333, 333_333_334].map(|nanos| ask(&mut server, at(nanos), host(1), 1));
    assert_eq!(answers, [1, 0, 1]);
}

/// A flood that does not keep the table full is not noticed by anybody else: 400 000 forged sources per second against
/// a table for 1 000.
#[test]
fn a_flood_that_does_not_fill_the_table_hurts_nobody() {
    let config = Config { rate: Some(1_000), burst: 10, sources: 1_000, ..Config::default() };
    let mut server = Server::new(config, KEY).expect("an accepted configuration");
    for n in 0..100_000 {
        let now = START + Duration::from_nanos(2_500) * n;
        ask(&mut server, now, host(n), 1);
        if n % 1_000 == 999 {
            assert_eq!(ask(&mut server, now, host(0x00ff_0000 + n), 10), 10, "after {n}");
        }
    }
}

// Two servers that can be made to answer each other.

struct Wired {
    servers: [Server; 2],
    addresses: [SocketAddr; 2],
    /// When each has answered.
    answers: [Vec<(Instant, usize)>; 2],
}

impl Wired {
    fn new(ports: [u16; 2], config: &Config) -> Self {
        let server = |port| Server::new(Config { own_ports: vec![port], ..config.clone() }, KEY).unwrap();
        let address = |n: usize| SocketAddr::from(([192, 0, 2, n as u8], ports[n]));
        Self { servers: ports.map(server), addresses: [0, 1].map(address), answers: [vec![], vec![]] }
    }

    /// One datagram to the first that claims to be from the second; then what they make of it. Returns when it ended,
    /// if it did within `time`.
    fn forge(&mut self, way: Duration, time: Duration) -> Option<Instant> {
        let mut now = START;
        let mut at = 0;
        while now - START < time {
            let answered = ask(&mut self.servers[at], now, self.addresses[1 - at], 1);
            self.answers[at].push((now, answered));
            if answered == 0 {
                return Some(now);
            }
            now = now + way;
            at = 1 - at;
        }
        None
    }
}

#[test]
fn a_forged_datagram_between_two_servers_gets_no_answer() {
    // The default port, two servers on one port of their own, and every service that answers.
    let pairs = [[7_007, 7_007], [7_007, 9_000], [9_000, 7_007], [9_000, 9_000]];
    let reflecting = REFLECTING.iter().map(|entry| [9_000, entry.port]);
    for ports in pairs.into_iter().chain(reflecting) {
        let mut wired = Wired::new(ports, &Config { rate: None, ..Config::default() });
        let ended = wired.forge(Duration::from_micros(50), SECOND);
        // Where only the second is known to be a server, the first is never asked by it: one datagram, no loop.
        let [first, second] = wired.servers.map(|server| server.counts().echoed);
        assert!(ended.is_some(), "{ports:?}");
        assert_eq!(second, 0, "{ports:?}");
        assert_eq!(
            first,
            u64::from(Reflecting::find(ports[1]).is_none() && ports[0] != ports[1]),
            "{ports:?}"
        );
    }
}

proptest! {
    /// On two ports that nobody has listed, the exchange stays within the limit, and one that goes round faster than the
    /// limit ends.
    #[test]
    fn two_servers_on_unlisted_ports_stay_within_the_limit(
        way in 1u64..3_000_000, rate in 1u32..2_000, burst in 1u32..200,
    ) {
        let config = Config { rate: Some(rate), burst, ..Config::default() };
        let mut wired = Wired::new([9_000, 9_001], &config);
        let way = Duration::from_nanos(way);
        let round = way * 2;
        let ended = wired.forge(way, round * 1_000);
        wired.answers.iter().for_each(|answers| assert_within(answers, rate, burst, 1));
        // At twice the limit, each round costs half of a datagram's share that does not come back.
        let fast = round * rate * 2 < SECOND;
        prop_assert!(!fast || ended.is_some_and(|at| at - START <= round * (2 * burst + 2)), "{:?}", ended);
    }
}

// Each check, by name.

fn server(config: Config) -> Server {
    Server::new(config, KEY).expect("an accepted configuration")
}

/// Why a datagram is not answered.
fn objection(config: &Config, train: &Train<'_>) -> Option<Ignored> {
    let mut server = server(config.clone());
    server.handle(START, Fact::Received { train });
    match server.poll() {
        Step::Event(Event::Ignored { why, from, count }) => {
            assert_eq!((from, count, train.echo.get()), (train.from, train.count() as u64, 0));
            Some(why)
        }
        step => {
            assert_eq!(step, Step::Wait(Some(START + SECOND)));
            assert_eq!(train.echo.get(), train.count());
            None
        }
    }
}

fn peer(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[test]
fn each_check_has_its_word() {
    let open = Config { own_ports: vec![9_000], ..Config::default() };
    let one = |from: &str| Train::one(peer(from), b"hello");
    let cases = [
        ("192.0.2.1:40000", None),
        ("[2001:db8::1]:40000", None),
        ("192.0.2.1:0", Some(Ignored::Unanswerable)),
        ("0.0.0.0:40000", Some(Ignored::Unanswerable)),
        ("[::]:40000", Some(Ignored::Unanswerable)),
        ("255.255.255.255:40000", Some(Ignored::Unanswerable)),
        ("[::ffff:255.255.255.255]:40000", Some(Ignored::Unanswerable)),
        ("224.0.0.1:40000", Some(Ignored::Unanswerable)),
        ("[ff02::1]:40000", Some(Ignored::Unanswerable)),
        ("192.0.2.1:19", Some(Ignored::ReflectingPort)),
        ("[2001:db8::1]:7007", Some(Ignored::ReflectingPort)),
        ("192.0.2.1:9000", Some(Ignored::OwnPort)),
    ];
    for (from, why) in cases {
        assert_eq!(objection(&open, &one(from)), why, "{from}");
    }
}

#[test]
fn groups_are_answered_only_if_configured() {
    let train = |cast| Train { cast, ..Train::one(peer("192.0.2.1:40000"), b"hello") };
    let ignore = Config::default();
    assert_eq!(objection(&ignore, &train(Cast::Broadcast)), Some(Ignored::Broadcast));
    assert_eq!(objection(&ignore, &train(Cast::Multicast)), Some(Ignored::Multicast));
    let answer = Config { groups: Groups::Answer, ..ignore };
    assert_eq!(objection(&answer, &train(Cast::Broadcast)), None);
    assert_eq!(objection(&answer, &train(Cast::Multicast)), None);
}

#[test]
fn a_restricted_server_answers_one_address_or_one_peer() {
    let train = |from: &str, to| Train { to, ..Train::one(peer(from), b"hello") };
    let from = "192.0.2.1:40000";
    let config = Config { only_local: Some(ip("::ffff:198.51.100.1")), ..Config::default() };
    assert_eq!(objection(&config, &train(from, Some(local(1)))), None);
    assert_eq!(objection(&config, &train(from, Some(ip("::ffff:198.51.100.1")))), None);
    assert_eq!(objection(&config, &train(from, Some(local(2)))), Some(Ignored::LocalAddress));
    assert_eq!(objection(&config, &train(from, None)), Some(Ignored::LocalAddress));

    let other = Some(Ignored::RemoteAddress);
    let config = Config { only_remote: Some(peer(from).into()), ..Config::default() };
    assert_eq!(objection(&config, &train(from, None)), None);
    assert_eq!(objection(&config, &train("[::ffff:192.0.2.1]:40000", None)), None);
    assert_eq!(objection(&config, &train("192.0.2.1:40001", None)), other);
    assert_eq!(objection(&config, &train("192.0.2.2:40000", None)), other);
    let config = Config { only_remote: Some(ip("192.0.2.1").into()), ..Config::default() };
    assert_eq!(objection(&config, &train("192.0.2.1:40001", None)), None);
    assert_eq!(objection(&config, &train("192.0.2.2:40001", None)), other);
}

#[test]
fn of_a_train_whose_last_is_cut_the_others_are_answered() {
    let mut server = server(Config::default());
    let from = peer("192.0.2.1:40000");
    let train = Train { size: 4, end: End::Truncated, ..Train::one(from, &BYTES[..10]) };
    server.handle(START, Fact::Received { train: &train });
    assert_eq!(train.echo.get(), 2);
    let alone = Train { end: End::Truncated, ..Train::one(from, b"") };
    server.handle(START, Fact::Received { train: &alone });
    assert_eq!(alone.echo.get(), 0);
    let counts = server.counts();
    assert_eq!((counts.received, counts.echoed, counts.bytes), (4, 2, 8));
    assert_eq!(counts.ignored(Ignored::Truncated), 2);
}

#[test]
fn an_empty_datagram_is_echoed() {
    let train = Train::one(peer("192.0.2.1:40000"), b"");
    assert_eq!(objection(&Config::default(), &train), None);
    assert_eq!(train.echo.get(), 1);
}

#[test]
fn the_limit_cuts_a_train() {
    let mut server = server(Config { burst: 3, ..Config::default() });
    assert_eq!(ask(&mut server, START, host(1), 5), 3);
    assert_eq!(server.poll(), ignored_event(Ignored::RateLimit, host(1), 2));
    assert_eq!(ask(&mut server, START + Duration::from_millis(2), host(1), 5), 2);
}

fn ignored_event(why: Ignored, from: SocketAddr, count: u64) -> Step<Event> {
    Step::Event(Event::Ignored { why, from, count })
}

#[test]
fn events_come_at_once_and_then_once_in_a_second() {
    let mut server = server(Config::default());
    let at = |ms| START + Duration::from_millis(ms);
    server.handle(at(0), Fact::Overrun { lost: 3 });
    server.handle(at(1), Fact::Overrun { lost: 4 });
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 3 }));
    server.handle(at(2), Fact::Overrun { lost: 5 });
    assert_eq!(server.poll(), Step::Wait(Some(at(1_000))));
    // Only a tick fires a timer.
    server.handle(at(1_001), Fact::Overrun { lost: 1 });
    assert_eq!(server.poll(), Step::Wait(Some(at(1_000))));
    server.handle(at(1_002), Fact::Tick);
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 10 }));
    assert_eq!(server.poll(), Step::Wait(None));
    // After a quiet second the next is told at once.
    server.handle(at(2_002), Fact::Overrun { lost: 6 });
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 6 }));
    assert_eq!(server.counts().overrun, 19);
}

#[test]
fn a_stopped_server_tells_what_it_knows_and_answers_nothing() {
    let mut server = server(Config::default());
    let signal = Signal::Errno(Errno::NoBufs);
    for _ in 0..3 {
        server.handle(START, Fact::Failed { op: Op::Read, signal });
    }
    ask(&mut server, START, host(1), 1);
    server.stop();
    server.stop();
    assert!(!server.is_done());
    assert_eq!(ask(&mut server, START, host(1), 2), 0);
    server.handle(START, Fact::Overrun { lost: 1 });
    assert_eq!(server.poll(), Step::Event(Event::Failed { op: Op::Read, signal, count: 3 }));
    assert_eq!(server.poll(), Step::Event(Event::Stopped));
    assert!(server.is_done());
    assert_eq!(server.poll(), Step::Wait(None));
    assert_eq!((server.counts().ignored(Ignored::Stopped), server.counts().overrun), (2, 1));
}

#[test]
fn an_echo_that_was_not_sent_is_not_counted_as_sent() {
    let mut server = server(Config::default());
    let train = Train::one(host(1), b"hello");
    let signal = Signal::Errno(Errno::Perm);
    server.handle(START, Fact::Received { train: &train });
    let unsent = Fact::Unsent { to: host(1), datagram: b"hello", signal, mtu: None };
    server.handle(START, unsent);
    let counts = server.counts();
    assert_eq!((counts.received, counts.echoed, counts.unsent, counts.bytes), (1, 0, 1, 0));
    assert_eq!(server.poll(), Step::Event(Event::Failed { op: Op::Write, signal, count: 1 }));
}

// The whole driver's turn.

/// A socket into which a burst has come that was too long for it: some datagrams wait, the rest is lost, and nothing
/// comes after them that could carry the news.
#[derive(Default)]
struct Burst {
    waiting: usize,
    lost: u32,
    ready: bool,
    echoed: usize,
    batch: Option<Batch>,
}

impl Port for Burst {
    fn receive(&mut self, _: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        if self.waiting == 0 {
            return Reading::Empty;
        }
        let train = Train { size: 1, ..Train::one(host(1), &BYTES[..self.waiting]) };
        tell(Fact::Received { train: &train });
        self.echoed += train.echo.get();
        Reading::Some { bytes: core::mem::take(&mut self.waiting) }
    }

    fn errors(&mut self, _: impl FnMut(Fact<'_>)) {}

    fn batch(&mut self) -> &mut Batch {
        self.batch.get_or_insert_with(|| Batch::new(64, 1, 1))
    }

    fn send(&mut self, _: impl FnMut(Fact<'_>)) -> Sending {
        Sending::Done
    }

    fn overrun(&mut self) -> u32 {
        core::mem::take(&mut self.lost)
    }

    fn receive_buffer(&self) -> usize {
        64
    }

    fn next_ready(&mut self) -> Option<Ready> {
        core::mem::take(&mut self.ready).then_some(Ready::Readable)
    }
}

#[test]
fn what_was_dropped_behind_the_last_datagram_is_told_within_a_second() {
    let mut server = server(Config::default());
    let mut port = Burst { waiting: 5, lost: 7, ready: true, ..Burst::default() };
    let mut events = Vec::new();
    let until = turn(&mut server, &mut port, || START, |event| events.push(event));
    assert_eq!((port.echoed, until), (5, Some(START + SECOND)));
    assert_eq!(events, []);
    // Nobody speaks any more: one look, then no deadline. (`turn` asks before that, at every deadline.)
    let until = turn(&mut server, &mut port, || START + SECOND, |event| events.push(event));
    assert_eq!(events, [Event::Overrun { lost: 7 }]);
    assert_eq!(until, None);
}

#[test]
fn the_driver_is_asked_to_look_once_after_datagrams_came() {
    let mut server = server(Config::default());
    ask(&mut server, START, host(1), 1);
    ask(&mut server, START + SECOND / 2, host(1), 1);
    server.handle(START + SECOND, Fact::Tick);
    assert_eq!(server.poll(), Step::Examine);
    server.handle(START + SECOND, Fact::Examined);
    assert_eq!(server.poll(), Step::Wait(None));
}

#[test]
fn a_clock_that_goes_back_is_not_followed() {
    let mut server = server(Config::default());
    server.handle(START + SECOND, Fact::Tick);
    ask(&mut server, START, host(1), 1);
    assert_eq!(server.next_deadline(), Some(START + SECOND * 2));
}

// The configuration.

#[test]
fn the_table_of_reflecting_ports_can_be_looked_up() {
    for entry in REFLECTING {
        assert_eq!(Reflecting::find(entry.port), Some(entry));
    }
    for port in [7, 13, 17, 19, 37, 53, 69, 111, 123, 137, 161, 389, 520, 1434, 1900, 3702, 5353, 7007, 11211]
    {
        assert!(Reflecting::find(port).is_some(), "{port}");
    }
    assert_eq!(Reflecting::find(7).map(|entry| entry.habit), Some(Habit::Echoes));
    assert_eq!(Reflecting::find(40_000), None);
}

#[test]
fn a_bad_field_is_named() {
    let good = Config::default;
    let remote = |remote: Remote| Config { only_remote: Some(remote), own_ports: vec![9_000], ..good() };
    let cases = [
        (Config { own_ports: vec![9_000, 0], ..good() }, "server.own_ports"),
        (Config { only_local: Some(ip("0.0.0.0")), ..good() }, "server.only_local"),
        (Config { only_local: Some(ip("::")), ..good() }, "server.only_local"),
        (Config { only_local: Some(ip("224.0.0.1")), ..good() }, "server.only_local"),
        (remote(ip("::").into()), "server.only_remote"),
        (remote(ip("ff02::1").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:0").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:19").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:9000").into()), "server.only_remote"),
        (Config { rate: Some(0), ..good() }, "server.rate"),
        (Config { rate: Some(10_000_001), ..good() }, "server.rate"),
        (Config { burst: 0, ..good() }, "server.burst"),
        (Config { burst: (1 << 20) + 1, ..good() }, "server.burst"),
        (Config { sources: 0, ..good() }, "server.sources"),
        (Config { sources: (1 << 20) + 1, ..good() }, "server.sources"),
    ];
    for (config, field) in cases {
        assert_eq!(Server::new(config, KEY).expect_err("a bad configuration").field, field);
    }
    let group = Config { only_local: Some(ip("224.0.0.1")), groups: Groups::Answer, ..good() };
    assert!(Server::new(group, KEY).is_ok());
    assert!(Server::new(remote(peer("192.0.2.1:40000").into()), KEY).is_ok());
}
