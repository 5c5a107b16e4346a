//! A fleet in memory: peers of every kind, a network, a kernel with its queues, an attacker, and the books.
//!
//! The kernel is a `Port`: the client is driven by the very `turn` that adapters use. Time is virtual, chance is seeded.
//! The books know what left, what arrived and what was said of it; each event of the client is checked against them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::datagram::client::{Client, Config, Event, HEADER, PeerId, Seq};
use resound_core::datagram::{Batch, End, Fact, Machine, Port, Reading, Ready, Sending, Train, Via, turn};
use resound_core::signal::icmp::{parse_icmp_v6, parse_v4};
use resound_core::signal::{Cause, Errno, IcmpError, Reason, Signal, Version};
use resound_core::{Instant, Rng};

pub(crate) const MS: u64 = 1_000_000;
/// P and M of a client unless set.
pub(crate) const P: Duration = Duration::from_secs(3);
pub(crate) const M: usize = 5;
const SECRET: [u64; 2] = [0x5ec2e7, 0x5ec2e8];
const LOCAL_PORT: u16 = 40_000;
const RECEIVE_BUFFER: usize = 40_000;
const ROUTER4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 254));
const ROUTER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1));

/// The address of the peer with this number: the families take turns.
pub(crate) fn address(which: usize) -> SocketAddr {
    let k = which as u16 + 1;
    if which % 2 == 0 {
        SocketAddr::from(([192, 0, 2, k as u8], 7))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, k], 7))
    }
}

/// What a peer, or what stands in its way, does with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Echoes,
    Silent,
    /// Nothing listens there: port unreachable, with so much of the payload quoted.
    Refuses {
        quoted: usize,
    },
    /// Answers from another address.
    Elsewhere,
    /// Answers something else.
    Garbles,
    /// A router says so, and drops it.
    Router {
        which: usize,
        quoted: usize,
    },
    /// This host cannot send there.
    Unsendable(Errno),
}

/// What routers say, as types and codes of both versions.
const COMPLAINTS: [[(u8, u8); 2]; 5] =
    [[(3, 1), (1, 3)], [(3, 13), (1, 1)], [(11, 0), (3, 0)], [(3, 4), (2, 0)], [(3, 0), (1, 0)]];

/// How the way to a peer and back is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) delay_ms: u64,
    pub(crate) spread_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) double_percent: u64,
}

pub(crate) const GOOD: Way = Way { delay_ms: 20, spread_ms: 0, loss_percent: 0, double_percent: 0 };

/// Configurations: the defaults, and others of which each changes what comes before what.
pub(crate) fn configs() -> impl Strategy<Value = Config> {
    let idle = prop_oneof![Just(2_000u64), Just(15_000), Just(600_000)];
    let probe = prop_oneof![Just(500u64), Just(2_000)];
    let timeout = prop_oneof![Just(200u64), Just(3_000), Just(30_000)];
    let other = (idle, probe, 1u8..6, timeout, 0usize..20, 1usize..20).prop_map(
        |(idle, probe, misses, timeout, remember_most, max_in_flight)| {
            let mut config =
                Config { remember_most: remember_most + 1_000, max_in_flight, ..Config::default() };
            config.timeout = Duration::from_millis(timeout);
            config.remember = config.timeout + Duration::from_secs(100);
            config.link.liveness.idle = Duration::from_millis(idle);
            config.link.liveness.probe = Duration::from_millis(probe);
            config.link.liveness.misses = misses;
            config.link.race.round = Duration::from_millis(idle.min(8_000));
            config
        },
    );
    prop_oneof![1 => Just(Config::default()), 2 => other]
}

/// A forgery: of what it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stuff {
    Random,
    /// A datagram of a client with the same peers and another secret.
    OtherSecret,
    /// A datagram that went to another peer.
    OtherPeer,
    /// A datagram to this peer that has been answered or given up.
    Old,
    /// A datagram to this peer with a few bits changed.
    Bent,
    /// A datagram to this peer, cut within the tag.
    Cut,
    Nothing,
}

const STUFF: [Stuff; 7] = [
    Stuff::Random,
    Stuff::OtherSecret,
    Stuff::OtherPeer,
    Stuff::Old,
    Stuff::Bent,
    Stuff::Cut,
    Stuff::Nothing,
];

/// One thing that the world, the program or the driver does.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Sleep { ms: u64 },
    Late { ms: u64 },
    Send { which: usize, len: usize },
    Add { which: usize },
    Remove { which: usize },
    Become { which: usize, nature: Nature },
    Road { which: usize, way: Way },
    ForgeAnswer { which: usize, stuff: Stuff },
    ForgeIcmp { which: usize, stuff: Stuff, complaint: usize },
    Block { ms: u64 },
    Overrun,
    Resumed,
    Hurry { which: usize },
    Close,
    Abort,
}

pub(crate) const PEERS: usize = 5;

fn natures() -> impl Strategy<Value = Nature> {
    let quoted = prop_oneof![Just(0usize), 1usize..HEADER, Just(HEADER), Just(548)];
    let errnos = Errno::ALL.to_vec();
    prop_oneof![
        8 => Just(Nature::Echoes),
        3 => Just(Nature::Silent),
        3 => quoted.clone().prop_map(|quoted| Nature::Refuses { quoted }),
        1 => Just(Nature::Elsewhere),
        1 => Just(Nature::Garbles),
        3 => (0usize..COMPLAINTS.len(), quoted).prop_map(|(which, quoted)| Nature::Router { which, quoted }),
        2 => proptest::sample::select(errnos).prop_map(Nature::Unsendable),
        1 => Just(Nature::Unsendable(Errno::NoBufs)),
    ]
}

fn ways() -> impl Strategy<Value = Way> {
    let delay_ms = prop_oneof![4 => 0u64..200, 1 => 200u64..5_000];
    let spread_ms = prop_oneof![2 => Just(0u64), 2 => 1u64..100, 1 => 100u64..4_000];
    (
        delay_ms,
        spread_ms,
        prop_oneof![3 => Just(0u64), 1 => 0u64..60],
        prop_oneof![2 => Just(0u64), 1 => 0u64..60],
    )
        .prop_map(|(delay_ms, spread_ms, loss_percent, double_percent)| Way {
            delay_ms,
            spread_ms,
            loss_percent,
            double_percent,
        })
}

pub(crate) fn operations() -> impl Strategy<Value = Vec<Do>> {
    let which = 0usize..PEERS;
    let stuff = proptest::sample::select(STUFF.to_vec());
    let one = prop_oneof![
        10 => prop_oneof![3 => 0u64..8_000, 1 => 0u64..30_000].prop_map(|ms| Do::Sleep { ms }),
        2 => prop_oneof![1u64..90, 150u64..8_000].prop_map(|ms| Do::Late { ms }),
        14 => (which.clone(), 0usize..100).prop_map(|(which, len)| Do::Send { which, len }),
        4 => which.clone().prop_map(|which| Do::Add { which }),
        1 => which.clone().prop_map(|which| Do::Remove { which }),
        4 => (which.clone(), natures()).prop_map(|(which, nature)| Do::Become { which, nature }),
        3 => (which.clone(), ways()).prop_map(|(which, way)| Do::Road { which, way }),
        3 => (which.clone(), stuff.clone()).prop_map(|(which, stuff)| Do::ForgeAnswer { which, stuff }),
        5 => (which.clone(), stuff, 0usize..6)
            .prop_map(|(which, stuff, complaint)| Do::ForgeIcmp { which, stuff, complaint }),
        1 => (1u64..6_000).prop_map(|ms| Do::Block { ms }),
        1 => Just(Do::Overrun),
        1 => Just(Do::Resumed),
        1 => which.prop_map(|which| Do::Hurry { which }),
    ];
    let end = prop_oneof![2 => Just(vec![]), 1 => Just(vec![Do::Close]), 1 => Just(vec![Do::Abort])];
    (vec(one, 1..80), end, 0u64..60_000).prop_map(|(mut all, end, rest)| {
        for which in 0..2 {
            all.insert(0, Do::Add { which });
        }
        all.extend(end);
        all.push(Do::Sleep { ms: rest });
        all
    })
}

/// A datagram that left this host.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) handed: Instant,
    pub(crate) bytes: Vec<u8>,
    /// When answers to it were read, each from where it was sent to and with its own header.
    pub(crate) answers: Vec<Instant>,
    /// Whether the first of them was the same, byte for byte.
    pub(crate) same: bool,
    /// When it left this host, or was refused by it for another reason than want of room.
    left: Option<Instant>,
    /// Whether anybody but this host can have seen it.
    seen: bool,
    ended: bool,
}

/// The number in a header, if this is one at all.
fn number_of(datagram: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(datagram.get(16..24)?.try_into().unwrap())).filter(|_| datagram.len() >= HEADER)
}

#[derive(Debug)]
enum Arrival {
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Icmp { error: IcmpError, quote: Vec<u8> },
}

/// How ICMP reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    ErrorQueue,
    RawSocket,
}

/// The network and the kernel, with the books about them.
#[derive(Debug)]
pub(crate) struct Net {
    now: Instant,
    rng: Rng,
    hearing: Hearing,
    pub(crate) natures: [Nature; PEERS],
    pub(crate) ways: [Way; PEERS],
    on_the_way: BTreeMap<(Instant, u64), Arrival>,
    count: u64,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    waiting: usize,
    errors: VecDeque<(IcmpError, Vec<u8>)>,
    dropped: u32,
    batch: Batch,
    blocked_until: Option<Instant>,
    told_blocked: bool,
    pub(crate) sent: BTreeMap<u64, Sent>,
    /// Peers that a port-unreachable about a datagram on its way was told of, in this turn.
    licensed: BTreeSet<SocketAddr>,
    /// Peers that a send failed to, in this turn.
    unsent: BTreeSet<SocketAddr>,
    /// Peer, generation and connection of what was sent last to each address.
    current: BTreeMap<SocketAddr, [u8; 12]>,
    pub(crate) last_answer: BTreeMap<SocketAddr, Instant>,
    /// Everything that was ever said of a datagram to each address.
    said: BTreeSet<(SocketAddr, String)>,
    pub(crate) happenings: u64,
}

impl Net {
    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.rng.up_to(99) < percent
    }

    fn send_off(&mut self, after_ms: u64, arrival: Arrival) {
        self.count += 1;
        self.on_the_way.insert((self.now + Duration::from_millis(after_ms), self.count), arrival);
    }

    /// A datagram leaves this host.
    fn depart(&mut self, to: SocketAddr, datagram: &[u8]) {
        let number = number_of(datagram).expect("the client sends headers");
        if let Some(sent) = self.sent.get_mut(&number) {
            assert_eq!((sent.to, sent.left), (to, None), "each datagram leaves once, to its peer");
            sent.left = Some(self.now);
            sent.seen = true;
        }
        self.current.insert(to, datagram[4..16].try_into().unwrap());
        let Some(which) = (0..PEERS).find(|&which| address(which) == to) else { return };
        let Way { delay_ms, spread_ms, loss_percent, double_percent } = self.ways[which];
        if self.chance(loss_percent) {
            return;
        }
        for _ in 0..1 + u8::from(self.chance(double_percent)) {
            let after = delay_ms + self.rng.up_to(spread_ms);
            let answer = |from| Arrival::Datagram { from, bytes: datagram.to_vec() };
            let unreachable = if to.is_ipv4() { (3, 3) } else { (1, 4) };
            match self.natures[which] {
                Nature::Silent | Nature::Unsendable(_) => {}
                Nature::Echoes => self.send_off(after, answer(to)),
                Nature::Elsewhere => self.send_off(after, answer(address(99 - which % 2))),
                Nature::Garbles => {
                    let bytes = [datagram, b"!"].concat();
                    self.send_off(after, Arrival::Datagram { from: to, bytes });
                }
                Nature::Refuses { quoted } => {
                    self.complain(after, to.ip(), to, unreachable, datagram, quoted);
                }
                Nature::Router { which, quoted } => {
                    let from = if to.is_ipv4() { ROUTER4 } else { ROUTER6 };
                    let what = COMPLAINTS[which][usize::from(to.is_ipv6())];
                    self.complain(after, from, to, what, datagram, quoted);
                }
            }
        }
    }

    fn complain(
        &mut self,
        after_ms: u64,
        from: IpAddr,
        to: SocketAddr,
        (kind, code): (u8, u8),
        datagram: &[u8],
        quoted: usize,
    ) {
        let version = if to.is_ipv4() { Version::V4 } else { Version::V6 };
        let mtu = matches!((version, kind, code), (Version::V4, 3, 4) | (Version::V6, 2, _)).then_some(1_400);
        let error = IcmpError { version, kind, code, offender: Some(from), destination: Some(to), mtu };
        let quote = datagram[..quoted.min(datagram.len())].to_vec();
        self.send_off(after_ms, Arrival::Icmp { error, quote });
    }

    /// What has reached this host by now.
    fn arrive(&mut self) {
        let later = self.on_the_way.split_off(&(self.now, u64::MAX));
        for arrival in core::mem::replace(&mut self.on_the_way, later).into_values() {
            self.happenings += 1;
            match arrival {
                Arrival::Datagram { bytes, .. } if self.waiting + bytes.len().max(1) > RECEIVE_BUFFER => {
                    self.dropped += 1;
                }
                Arrival::Datagram { from, bytes } => {
                    self.waiting += bytes.len().max(1);
                    self.inbox.push_back((from, bytes));
                }
                Arrival::Icmp { error, quote } => self.errors.push_back((error, quote)),
            }
        }
    }

    /// The books on what the client is about to be told.
    fn note_answer(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Some(sent) = number_of(bytes).and_then(|number| self.sent.get_mut(&number)) else { return };
        if sent.to == from && sent.bytes[..HEADER] == bytes[..HEADER] {
            if sent.answers.is_empty() {
                sent.same = sent.bytes == bytes;
            }
            sent.answers.push(self.now);
            // An answer on a connection that is over shows no life of the one that stands.
            if self.current.get(&from).is_some_and(|conn| conn[..] == bytes[4..16]) {
                self.last_answer.insert(from, self.now);
            }
        }
    }

    fn note_icmp(&mut self, error: &IcmpError, quote: &[u8]) {
        let Some(to) = error.destination else { return };
        self.said.insert((to, format!("{error:?}")));
        let Some(sent) = number_of(quote).and_then(|number| self.sent.get(&number)) else { return };
        let true_quote = sent.to == to && sent.bytes[..HEADER] == quote[..HEADER];
        if error.meaning().reason == Reason::PortUnreach
            && true_quote
            && !sent.ended
            && sent.answers.is_empty()
        {
            self.licensed.insert(to);
        }
    }
}

impl Port for Net {
    fn receive(&mut self, _: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        let Some((from, first)) = self.inbox.pop_front() else { return Reading::Empty };
        let mut bytes = first.clone();
        self.note_answer(from, &first);
        // What follows from the same sender in the same size comes in the same train.
        while !first.is_empty()
            && self.inbox.front().is_some_and(|(f, b)| *f == from && b.len() == first.len())
        {
            let (_, more) = self.inbox.pop_front().unwrap();
            self.note_answer(from, &more);
            bytes.extend(more);
        }
        self.waiting -= bytes.len().max(1);
        let train = Train { size: first.len(), end: End::Whole, ..Train::one(from, &bytes) };
        tell(Fact::Received { train: &train });
        assert_eq!(train.echo.get(), 0, "a client answers nobody");
        Reading::Some { bytes: bytes.len() }
    }

    fn errors(&mut self, mut tell: impl FnMut(Fact<'_>)) {
        while let Some((error, quote)) = self.errors.pop_front() {
            self.note_icmp(&error, &quote);
            match self.hearing {
                Hearing::ErrorQueue => tell(Fact::Icmp { error, quote: &quote }),
                Hearing::RawSocket => overhear(&error, &quote, &mut tell),
            }
        }
    }

    fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    fn send(&mut self, mut tell: impl FnMut(Fact<'_>)) -> Sending {
        let batch = core::mem::replace(&mut self.batch, Batch::new(0, 1, 1));
        let all = || batch.runs().flat_map(|run| batch.datagrams(run).map(|d| (run.to, d)));
        for (to, datagram) in all() {
            let number = number_of(datagram).expect("the client sends headers");
            self.sent.entry(number).or_insert_with(|| Sent {
                to,
                handed: self.now,
                bytes: datagram.to_vec(),
                answers: Vec::new(),
                same: false,
                left: None,
                seen: false,
                ended: false,
            });
        }
        if self.blocked_until.is_some_and(|until| until > self.now) {
            self.batch = batch;
            self.told_blocked = true;
            return Sending::Blocked;
        }
        for (to, datagram) in all() {
            let which = (0..PEERS).find(|&which| address(which) == to).unwrap();
            if let Nature::Unsendable(errno) = self.natures[which] {
                self.unsent.insert(to);
                self.said.insert((to, format!("{errno:?}")));
                if !matches!(errno, Errno::NoBufs | Errno::NoMem) {
                    self.sent.get_mut(&number_of(datagram).unwrap()).unwrap().left = Some(self.now);
                }
                tell(Fact::Unsent { to, datagram, signal: Signal::Errno(errno), mtu: None });
            } else {
                self.depart(to, datagram);
            }
        }
        self.batch = batch;
        self.batch.clear();
        Sending::Done
    }

    fn overrun(&mut self) -> u32 {
        core::mem::take(&mut self.dropped)
    }

    fn receive_buffer(&self) -> usize {
        RECEIVE_BUFFER
    }

    fn next_ready(&mut self) -> Option<Ready> {
        if !self.errors.is_empty() {
            return Some(Ready::Errors);
        }
        if self.told_blocked && self.blocked_until.is_none_or(|until| until <= self.now) {
            self.told_blocked = false;
            return Some(Ready::Writable);
        }
        (!self.inbox.is_empty()).then_some(Ready::Readable)
    }
}

/// The packet that a raw socket would have given, parsed.
fn overhear(error: &IcmpError, quote: &[u8], tell: &mut impl FnMut(Fact<'_>)) {
    let to = error.destination.unwrap();
    let word = |n: usize| (n as u16).to_be_bytes();
    let udp = [
        &LOCAL_PORT.to_be_bytes()[..],
        &to.port().to_be_bytes(),
        &word(8 + 548), // a length that more than covers what is quoted
        &[0; 2],
        quote,
    ]
    .concat();
    let mtu = error.mtu.unwrap_or(0);
    let parsed = match (to.ip(), error.offender.unwrap()) {
        (IpAddr::V4(to), IpAddr::V4(from)) => {
            let ip = |protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, body: &[u8]| {
                let head = [&[0x45, 0][..], &word(20 + body.len()), &[0; 5], &[protocol, 0, 0]].concat();
                [&head[..], &source.octets(), &destination.octets(), body].concat()
            };
            let here = Ipv4Addr::new(192, 0, 2, 200);
            let head = [&[error.kind, error.code, 0, 0, 0, 0][..], &word(mtu as usize)].concat();
            ip(1, from, here, &[&head[..], &ip(17, here, to, &udp)].concat())
        }
        (IpAddr::V6(to), _) => {
            let head = [&[error.kind, error.code, 0, 0][..], &mtu.to_be_bytes()].concat();
            let ip = [&[0x60, 0, 0, 0][..], &word(udp.len()), &[17, 64]].concat();
            [&head[..], &ip, &Ipv6Addr::LOCALHOST.octets(), &to.octets(), &udp].concat()
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => unreachable!(),
    };
    let mut received = if to.is_ipv4() { parse_v4(&parsed) } else { parse_icmp_v6(&parsed) }.unwrap();
    if to.is_ipv6() {
        received.error.offender = error.offender;
    }
    assert!(Fact::overheard(&received, LOCAL_PORT + 1).is_none());
    tell(Fact::overheard(&received, LOCAL_PORT).unwrap());
}

/// The client under test, its world, and what it has said.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) net: Net,
    pub(crate) now: Instant,
    start: Instant,
    config: Config,
    /// By how much the next calls are late.
    late: VecDeque<Duration>,
    /// How late each call was that something was due for, by the time since the start.
    pub(crate) calls: BTreeMap<Duration, Duration>,
    /// By how much every call is late.
    pub(crate) lag: Duration,
    twin: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) log: Vec<(Duration, Event)>,
    pub(crate) accepted: BTreeMap<Seq, (PeerId, Bytes)>,
    ended: BTreeSet<Seq>,
    counted: BTreeMap<Seq, usize>,
    pub(crate) addresses: BTreeMap<PeerId, SocketAddr>,
    removed: BTreeSet<PeerId>,
    dialing_since: BTreeMap<PeerId, Instant>,
    suspected: BTreeMap<PeerId, u8>,
    pub(crate) hints: u32,
    pub(crate) turns: u64,
    closed: bool,
}

impl World {
    pub(crate) fn new(config: Config, seed: u64, start: Instant, hearing: Hearing) -> Self {
        Self {
            client: Client::new(config, seed, SECRET).unwrap(),
            net: Net {
                now: start,
                rng: Rng::from_seed(seed ^ 0xf1ee7),
                hearing,
                natures: [Nature::Echoes; PEERS],
                ways: [GOOD; PEERS],
                on_the_way: BTreeMap::new(),
                count: 0,
                inbox: VecDeque::new(),
                waiting: 0,
                errors: VecDeque::new(),
                dropped: 0,
                batch: Batch::new(4_096, 8, 4),
                blocked_until: None,
                told_blocked: false,
                sent: BTreeMap::new(),
                licensed: BTreeSet::new(),
                unsent: BTreeSet::new(),
                current: BTreeMap::new(),
                last_answer: BTreeMap::new(),
                said: BTreeSet::new(),
                happenings: 0,
            },
            now: start,
            start,
            config,
            late: VecDeque::new(),
            calls: BTreeMap::new(),
            lag: Duration::ZERO,
            twin: twin(start),
            log: Vec::new(),
            accepted: BTreeMap::new(),
            ended: BTreeSet::new(),
            counted: BTreeMap::new(),
            addresses: BTreeMap::new(),
            removed: BTreeSet::new(),
            dialing_since: BTreeMap::new(),
            suspected: BTreeMap::new(),
            hints: 0,
            turns: 0,
            closed: false,
        }
    }

    /// A world in which these things have happened.
    pub(crate) fn run(config: Config, seed: u64, start: Instant, hearing: Hearing, all: &[Do]) -> Self {
        let mut world = Self::new(config, seed, start, hearing);
        all.iter().for_each(|one| world.apply(one));
        world
    }

    pub(crate) fn simple(seed: u64) -> Self {
        Self::new(Config::default(), seed, Instant::from_nanos(1_000 * MS), Hearing::ErrorQueue)
    }

    pub(crate) fn peer(&self, which: usize) -> Option<PeerId> {
        self.client.find(address(which))
    }

    pub(crate) fn apply(&mut self, one: &Do) {
        self.net.happenings += 1;
        match *one {
            Do::Sleep { ms } => return self.sleep(ms),
            Do::Late { ms } => {
                self.late.push_back(Duration::from_millis(ms));
                return;
            }
            Do::Send { which, len } => self.send(which, len),
            Do::Add { which } => self.add(which),
            Do::Remove { which } => {
                if let Some(id) = self.peer(which) {
                    assert!(self.client.remove(self.now, id));
                    assert!(!self.client.remove(self.now, id));
                    self.removed.insert(id);
                }
            }
            Do::Become { which, nature } => self.net.natures[which] = nature,
            Do::Road { which, way } => self.net.ways[which] = way,
            Do::ForgeAnswer { which, stuff } => {
                let bytes = self.stuff(which, stuff);
                self.net.send_off(0, Arrival::Datagram { from: address(which), bytes });
            }
            Do::ForgeIcmp { which, stuff, complaint } => {
                let quote = self.stuff(which, stuff);
                let to = address(which);
                let v6 = usize::from(to.is_ipv6());
                let what = COMPLAINTS.get(complaint).map_or([(3, 3), (1, 4)][v6], |both| both[v6]);
                let from = if complaint % 2 == 0 { to.ip() } else { [ROUTER4, ROUTER6][v6] };
                self.net.complain(0, from, to, what, &quote, 548);
            }
            Do::Block { ms } => self.net.blocked_until = Some(self.now + Duration::from_millis(ms)),
            Do::Overrun => self.net.dropped += 1,
            Do::Resumed => {
                self.hints += 1;
                self.client.handle(self.now, Fact::Resumed);
            }
            Do::Hurry { which } => {
                self.hints += 1;
                if let Some(id) = self.peer(which) {
                    self.client.hurry(self.now, id);
                }
            }
            Do::Close => self.client.close(self.now),
            Do::Abort => self.client.abort(self.now),
        }
        self.turn();
    }

    pub(crate) fn add(&mut self, which: usize) {
        if let Ok(id) = self.client.add(self.now, address(which)) {
            assert!(!self.addresses.contains_key(&id), "a name is given once: {id:?}");
            self.addresses.insert(id, address(which));
            self.net.last_answer.remove(&address(which));
            self.turn();
        }
    }

    pub(crate) fn send(&mut self, which: usize, len: usize) {
        let Some(id) = self.peer(which) else { return };
        let payload = Bytes::from(vec![which as u8; len]);
        if let Ok(seq) = self.client.send(self.now, id, payload.clone()) {
            assert!(!self.closed);
            self.accepted.insert(seq, (id, payload));
            self.turn();
        }
    }

    fn stuff(&mut self, which: usize, stuff: Stuff) -> Vec<u8> {
        let to = address(which);
        let last = |yes: &dyn Fn(&Sent) -> bool| {
            self.net.sent.values().rev().find(|&sent| sent.seen && yes(sent)).map(|sent| sent.bytes.clone())
        };
        let mine = last(&|sent| sent.to == to);
        match stuff {
            Stuff::Nothing => None,
            Stuff::Random => {
                let len = self.net.rng.up_to(80) as usize;
                let mut bytes: Vec<u8> = (0..len).map(|_| self.net.rng.up_to(255) as u8).collect();
                if let (Some(magic), true) = (bytes.first_chunk_mut::<4>(), len % 2 == 0) {
                    *magic = *b"rsnd";
                }
                Some(bytes)
            }
            Stuff::OtherSecret => {
                self.twin.iter().find(|(addr, _)| *addr == to).map(|(_, bytes)| bytes.clone())
            }
            Stuff::OtherPeer => last(&|sent| sent.to != to),
            Stuff::Old => last(&|sent| sent.to == to && (sent.ended || !sent.answers.is_empty())),
            Stuff::Bent => mine.map(|mut bytes| {
                let at = self.net.rng.up_to(HEADER as u64 - 1) as usize;
                bytes[at] ^= 1 << self.net.rng.up_to(7);
                bytes
            }),
            Stuff::Cut => mine.map(|bytes| bytes[..self.net.rng.up_to(HEADER as u64 - 1) as usize].to_vec()),
        }
        .unwrap_or_default()
    }

    pub(crate) fn sleep(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        loop {
            let deadline = self.client.next_deadline();
            let arrival = self.net.on_the_way.keys().next().map(|(at, _)| *at);
            let blocked = self.net.blocked_until.filter(|&at| at > self.now && self.net.told_blocked);
            let wake = [deadline, arrival, blocked].into_iter().flatten().min();
            let Some(wake) = wake.filter(|&at| at <= until) else { break };
            self.now = self.now.max(wake) + self.lag + self.late.pop_front().unwrap_or_default();
            if let Some(due) = deadline.filter(|&due| due <= self.now) {
                self.calls.insert(self.now - self.start, self.now - due);
            }
            self.turn();
        }
        self.now = self.now.max(until);
    }

    /// The driver's turn, or a few: until the client has nothing to do at this time.
    pub(crate) fn turn(&mut self) {
        for _ in 0..20 {
            self.turns += 1;
            self.net.now = self.now;
            self.net.arrive();
            let now = self.now;
            let mut events = Vec::new();
            let until = turn(&mut self.client, &mut self.net, || now, |event| events.push(event));
            assert_eq!(until, self.client.next_deadline());
            for event in events {
                self.check(&event);
                self.log.push((self.now - self.start, event));
            }
            self.net.licensed.clear();
            self.net.unsent.clear();
            let pending = self.accepted.len() - self.ended.len();
            assert_eq!(
                self.client.pending(),
                pending,
                "conservation: pending is what is accepted and not ended"
            );
            self.check_books();
            if until.is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("P1: a busy loop at {:?}: {:?}", self.now, self.client.next_deadline());
    }

    fn check(&mut self, event: &Event) {
        assert!(!self.closed, "an event after Closed: {event:?}");
        let addr = event.peer().map(|id| self.addresses[&id]);
        match event {
            Event::Dialing { peer, .. } => {
                self.dialing_since.insert(*peer, self.now);
            }
            Event::Up { peer, .. } => {
                let heard = self.net.last_answer.get(&addr.unwrap());
                assert_eq!(heard, Some(&self.now), "up because of an answer, at once");
                self.suspected.remove(peer);
            }
            Event::Suspect { peer, unanswered } => {
                self.suspected.insert(*peer, *unanswered);
            }
            Event::DialFailed { peer, cause, .. } => {
                self.charged(addr.unwrap(), cause);
                let since = self.now - self.dialing_since[peer];
                let excused = self.licence(addr.unwrap()) || since >= self.config.link.race.round;
                assert!(excused, "attribution: nothing ended this attempt: {event:?}");
            }
            Event::Down { peer, cause, silent, .. } => {
                let addr = addr.unwrap();
                self.charged(addr, cause);
                let heard = self.net.last_answer[&addr];
                let licensed = self.net.licensed.contains(&addr);
                // An answer may have been read after the error, at the same time.
                let told = *silent == self.now - heard || (licensed && heard == self.now);
                assert!(told, "silence is what the books say: {silent:?}, {:?}", self.now - heard);
                if !licensed {
                    self.convicted(*peer, addr, heard, event);
                }
                self.suspected.remove(peer);
            }
            Event::GaveUp { cause, .. } => {
                assert!(cause.icmp.is_none(), "nobody from outside makes the client give up: {cause}");
            }
            Event::Trouble { cause, .. } => self.charged(addr.unwrap(), cause),
            Event::Echoed { peer, seq, payload, round_trip } => {
                self.end(*peer, *seq, payload);
                let sent = &self.net.sent[&seq.get()];
                assert!(sent.same);
                assert_eq!(sent.answers[0], self.now, "an echo is told when it is read");
                assert_eq!(*round_trip, self.now - sent.handed, "the round trip is the world's");
                *self.counted.entry(*seq).or_default() += 1;
            }
            Event::Lost { peer, seq, payload, cause } => {
                self.end(*peer, *seq, payload);
                if cause.reason == Reason::Mismatch {
                    assert!(!self.net.sent[&seq.get()].same);
                }
                self.charged(addr.unwrap(), cause);
            }
            Event::Late { seq, round_trip, .. } => {
                assert!(self.ended.contains(seq));
                assert_eq!(*self.counted.entry(*seq).or_default(), 0, "late is the first answer only");
                self.counted.insert(*seq, 1);
                assert_eq!(*round_trip, self.now - self.net.sent[&seq.get()].handed);
            }
            Event::Duplicated { seq, .. } => {
                let counted = self.counted.entry(*seq).or_default();
                assert!(*counted > 0 || !self.net.sent[&seq.get()].same, "another came before a double one");
                *counted += 1;
            }
            Event::WrongAddress { from, .. } => assert_ne!(Some(*from), addr),
            Event::Closed => {
                self.closed = true;
                assert_eq!(self.accepted.len(), self.ended.len(), "conservation: all have ended");
            }
            Event::TooBig { .. }
            | Event::Retry { .. }
            | Event::Overrun { .. }
            | Event::Stalled { .. }
            | Event::Failed { .. } => {}
        }
    }

    /// What entitles the client to say at once that a peer is gone.
    fn licence(&self, addr: SocketAddr) -> bool {
        self.net.licensed.contains(&addr) || self.net.unsent.contains(&addr)
    }

    /// Attribution: what somebody said is charged to the peer that it was said of.
    fn charged(&self, addr: SocketAddr, cause: &Cause) {
        let evidence = match (cause.icmp, cause.errno) {
            (Some(icmp), _) => format!("{icmp:?}"),
            (None, Some(errno)) => format!("{errno:?}"),
            (None, None) => return,
        };
        let said = self.net.said.contains(&(addr, evidence));
        assert!(said, "attribution: nobody said {cause} of {addr}");
    }

    /// A verdict for silence: the books must bear it out.
    fn convicted(&self, peer: PeerId, addr: SocketAddr, heard: Instant, event: &Event) {
        let (probe, misses) = (self.config.link.liveness.probe, self.config.link.liveness.misses);
        let suspected = self.suspected.get(&peer).copied().unwrap_or(0);
        assert_eq!(suspected, misses - 1, "L6: {event:?}");
        assert!(self.now - heard >= probe * u32::from(misses), "L6: {event:?} too early");
        let unanswered =
            self.net.sent.values().filter(|s| s.to == addr && s.left.is_some_and(|at| at >= heard));
        assert!(unanswered.count() >= usize::from(misses), "L6: too few probes for {event:?}");
        assert_ne!(heard, self.now, "L2: an answer that was readable: {event:?}");
    }

    fn end(&mut self, peer: PeerId, seq: Seq, payload: &Bytes) {
        let (to, was) = &self.accepted[&seq];
        assert_eq!((*to, was), (peer, payload), "the payload of this very message");
        assert!(self.ended.insert(seq), "conservation: {seq:?} ended twice");
        if let Some(sent) = self.net.sent.get_mut(&seq.get()) {
            sent.ended = true;
        }
    }

    /// What is known of each peer, against the books.
    fn check_books(&self) {
        for id in self.client.peers() {
            let status = self.client.peer(id).unwrap();
            assert_eq!(status.addr, self.addresses[&id], "a peer has the address that it was added with");
            assert_eq!(status.sent, status.echoed + status.lost + u64::from(status.in_flight));
            let index = id.index();
            let mine = |sent: &&Sent| sent.bytes[4..8] == index.to_be_bytes() && sent.to == status.addr;
            // Names are given once, so of one index and address there may have been several.
            if self.addresses.iter().filter(|(i, a)| i.index() == index && **a == status.addr).count() == 1 {
                let answers: usize = self.net.sent.values().filter(mine).map(|sent| sent.answers.len()).sum();
                let mismatched: u64 =
                    self.net.sent.values().filter(mine).filter(|s| !s.answers.is_empty() && !s.same).count()
                        as u64;
                let told = status.echoed + u64::from(status.late) + u64::from(status.duplicated);
                assert!(told <= answers as u64 && answers as u64 <= told + mismatched, "{status:?}");
                let left = self.net.sent.values().filter(mine).count() as u64;
                assert!(left <= status.sent, "{status:?}");
            }
        }
    }

    /// The time of each event about a peer that is so.
    pub(crate) fn times(&self, which: usize, yes: impl Fn(&Event) -> bool) -> Vec<Duration> {
        let about = |event: &Event| event.peer().is_some_and(|id| self.addresses[&id] == address(which));
        self.log.iter().filter(|(_, event)| about(event) && yes(event)).map(|(at, _)| *at).collect()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}

/// What a client with the same peers and another secret would send.
fn twin(now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut twin = Client::new(Config::default(), 7, [SECRET[0] ^ 1, SECRET[1]]).unwrap();
    for which in 0..PEERS {
        twin.add(now, address(which)).unwrap();
    }
    let mut batch = Batch::new(4_096, 64, 1);
    twin.handle(now, Fact::Room { batch: &mut batch });
    batch.runs().map(|run| (run.to, batch.bytes(run).to_vec())).collect()
}
