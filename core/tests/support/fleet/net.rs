//! The network and the kernel with its queues, as a `Port`, with the books about what passes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use resound_core::datagram::client::HEADER;
use resound_core::datagram::{Batch, End, Fact, Port, Reading, Ready, Sending, Train, Via};
use resound_core::signal::icmp::{parse_icmp_v6, parse_v4};
use resound_core::signal::{Errno, IcmpError, Reason, Signal, Version};
use resound_core::{Instant, Rng};

use super::plan::{COMPLAINTS, Nature, PEERS, Way, address};

const LOCAL_PORT: u16 = 40_000;
const RECEIVE_BUFFER: usize = 40_000;
pub(super) const ROUTER4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 254));
pub(super) const ROUTER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1));

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
    pub(super) left: Option<Instant>,
    /// Whether anybody but this host can have seen it.
    pub(super) seen: bool,
    pub(super) ended: bool,
}

/// The number in a header, if this is one at all.
fn number_of(datagram: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(datagram.get(16..24)?.try_into().unwrap())).filter(|_| datagram.len() >= HEADER)
}

#[derive(Debug)]
pub(super) enum Arrival {
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
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) hearing: Hearing,
    pub(crate) natures: [Nature; PEERS],
    pub(crate) ways: [Way; PEERS],
    pub(super) on_the_way: BTreeMap<(Instant, u64), Arrival>,
    pub(super) count: u64,
    pub(super) inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) waiting: usize,
    pub(super) errors: VecDeque<(IcmpError, Vec<u8>)>,
    pub(super) dropped: u32,
    pub(super) batch: Batch,
    pub(super) blocked_until: Option<Instant>,
    pub(super) told_blocked: bool,
    pub(crate) sent: BTreeMap<u64, Sent>,
    /// Peers that a port-unreachable about a datagram on its way was told of, in this turn.
    pub(super) licensed: BTreeSet<SocketAddr>,
    /// Peers that a send failed to, in this turn.
    pub(super) unsent: BTreeSet<SocketAddr>,
    /// Peer, generation and connection of what was sent last to each address.
    pub(super) current: BTreeMap<SocketAddr, [u8; 12]>,
    pub(crate) last_answer: BTreeMap<SocketAddr, Instant>,
    /// Everything that was ever said of a datagram to each address.
    pub(super) said: BTreeSet<(SocketAddr, String)>,
    pub(crate) happenings: u64,
}

impl Net {
    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.rng.up_to(99) < percent
    }

    pub(super) fn send_off(&mut self, after_ms: u64, arrival: Arrival) {
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

    pub(super) fn complain(
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
    pub(super) fn arrive(&mut self) {
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
