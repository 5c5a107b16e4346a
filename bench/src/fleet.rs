//! A fleet in simulated time: one client, very many peers, each probed about every ten seconds, and no operating system.
//!
//! The network is a queue: what is sent is answered a millisecond later, so that probes are on their way while others
//! leave. One peer in a hundred never answers, one in a hundred is refused by its host.
//!
//! Time jumps from one thing that happens to the next. So nearly every probe is sent in a turn of its own, as if the
//! driver had slept before it: the dearest way to serve a fleet.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, HEADER, PeerId};
use resound_core::datagram::{Batch, Fact, Machine as _, Step, Train};
use resound_core::signal::{IcmpError, Version};

/// The silence before a probe.
pub const IDLE: Duration = Duration::from_secs(10);

const ROUND_TRIP: Duration = Duration::from_millis(1);

/// The first peer's address. The others follow it.
const FIRST: u32 = 0x0a00_0000;

/// One client, its peers, and the network between them.
#[derive(Debug)]
pub struct Fleet {
    client: Client,
    now: Instant,
    /// When the client wants to be asked again.
    until: Option<Instant>,
    batch: Batch,
    /// What comes back, and when.
    network: VecDeque<(Instant, SocketAddr, [u8; HEADER])>,
    probes: u64,
    turns: u64,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Echoed,
    Refused,
    Lost,
}

const fn addr(nth: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(FIRST + nth)), 7)
}

fn fate(to: SocketAddr) -> Fate {
    let IpAddr::V4(ip) = to.ip() else { return Fate::Lost };
    match (ip.to_bits() - FIRST) % 100 {
        1 => Fate::Lost,
        2 => Fate::Refused,
        _ => Fate::Echoed,
    }
}

/// What a router or a host says that has nobody on that port.
const fn refused(to: SocketAddr) -> IcmpError {
    IcmpError {
        version: Version::V4,
        kind: 3,
        code: 3,
        offender: Some(to.ip()),
        destination: Some(to),
        mtu: None,
    }
}

impl Fleet {
    /// A fleet of so many peers. They are added over [`IDLE`], so that their probes are spread over time, and answer (or do
    /// not) meanwhile.
    ///
    /// # Panics
    ///
    /// Never: the configuration works, and there are addresses for 16 million peers.
    #[must_use]
    pub fn new(peers: u32) -> Self {
        let mut config = Config::default();
        config.link.liveness.idle = IDLE;
        let mut fleet = Self {
            client: Client::new(config, 1, [1, 2]).expect("it works"),
            now: Instant::EPOCH,
            until: None,
            batch: Batch::new(128 * 1024, 64, 64),
            network: VecDeque::new(),
            probes: 0,
            turns: 0,
        };
        for nth in 0..peers {
            let at = Instant::EPOCH + IDLE.mul_f64(f64::from(nth) / f64::from(peers));
            fleet.run_until(at);
            fleet.client.add(at, addr(nth)).expect("nobody has this address yet");
            fleet.turn();
        }
        fleet
    }

    /// Serves the fleet for so long; says how many probes were sent and how many turns that took.
    pub fn run(&mut self, time: Duration) -> (u64, u64) {
        let before = (self.probes, self.turns);
        self.run_until(self.now + time);
        (self.probes - before.0, self.turns - before.1)
    }

    /// Some peers, from one end of the fleet to the other.
    pub fn some(&self, count: usize) -> impl Iterator<Item = PeerId> {
        let all = self.client.peers();
        let step = (all.size_hint().1.unwrap_or(0) / count).max(1);
        all.step_by(step).take(count)
    }

    /// Removes these peers.
    pub fn remove(&mut self, peers: &[PeerId]) {
        for &peer in peers {
            self.client.remove(self.now, peer);
        }
    }

    /// Adds so many peers that have not been there before.
    ///
    /// # Panics
    ///
    /// If the fleet has 15 million peers already.
    pub fn add(&mut self, count: u32) {
        for nth in 0..count {
            self.client.add(self.now, addr(15_000_000 + nth)).expect("nobody has this address yet");
        }
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let back = self.network.front().map(|(at, ..)| *at);
            let next = [self.until, back].into_iter().flatten().min();
            match next.map(|at| at.max(self.now)) {
                Some(at) if at < end => self.now = at,
                _ => break,
            }
            self.turn();
        }
        self.now = self.now.max(end);
    }

    /// What a driver does when it wakes: timers, steps, what has come in, and the steps that follow from it.
    fn turn(&mut self) {
        self.turns += 1;
        if self.client.next_deadline().is_some_and(|at| at <= self.now) {
            self.client.handle(self.now, Fact::Tick);
        }
        self.steps();
        if self.deliver() {
            self.steps();
        }
    }

    fn steps(&mut self) {
        loop {
            match self.client.poll() {
                Step::Transmit => self.transmit(),
                Step::Examine => {
                    self.deliver();
                    self.client.handle(self.now, Fact::Examined);
                }
                Step::Event(_) => {}
                Step::Wait(until) => {
                    self.until = until;
                    return;
                }
            }
        }
    }

    fn transmit(&mut self) {
        self.client.handle(self.now, Fact::Room { batch: &mut self.batch });
        for run in self.batch.runs() {
            for datagram in self.batch.datagrams(run) {
                self.probes += 1;
                if let (Ok(datagram), Fate::Echoed | Fate::Refused) = (datagram.try_into(), fate(run.to)) {
                    self.network.push_back((self.now + ROUND_TRIP, run.to, datagram));
                }
            }
        }
        self.batch.clear();
    }

    /// Whether anything came in.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        while self.network.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, from, datagram)) = self.network.pop_front() else { break };
            any = true;
            let fact = match fate(from) {
                Fate::Refused => Fact::Icmp { error: refused(from), quote: &datagram },
                _ => Fact::Received { train: &Train::one(from, &datagram) },
            };
            self.client.handle(self.now, fact);
        }
        any
    }
}
