//! A fleet in memory: peers of every kind, a network, a kernel with its queues, an attacker, and the books.
//!
//! The kernel is a `Port`: the client is driven by the very `turn` that adapters use. Time is virtual, chance is seeded.
//! The books know what left, what arrived and what was said of it; each event of the client is checked against them.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use resound_core::datagram::client::{Client, Config, Event, HEADER, PeerId, Seq};
use resound_core::datagram::{Batch, Fact, Machine, turn};
use resound_core::{Instant, Rng};

mod books;
mod net;
mod plan;

pub(crate) use net::Hearing;
pub(crate) use plan::*;

use net::{Arrival, Net, ROUTER4, ROUTER6, Sent};

pub(crate) const MS: u64 = 1_000_000;
/// P and M of a client unless set.
pub(crate) const P: Duration = Duration::from_secs(3);
pub(crate) const M: usize = 5;
const SECRET: [u64; 2] = [0x5ec2e7, 0x5ec2e8];

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
