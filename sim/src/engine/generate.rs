//! Where scenarios come from that nobody wrote: a source of choices, and a mix that says among what is chosen.
//!
//! Everything that is drawn ends as data in the scenario, times and packet numbers too; none of it is drawn while the
//! scenario is played. The source is a [`Draw`]: a seeded generator (soak, proptest) or bytes (fuzzing). Where the choices
//! run out, zero is drawn: each choice has its simplest value there, so that fewer bytes are simpler scenarios.
//!
//! A mix swarms: each scenario takes a random part of the kinds of faults, with random weights. A run in which resets are
//! common and nothing else happens finds what a run with a little of everything does not (Groce et al., "Swarm testing",
//! 2012).

use std::ops::RangeInclusive;
use std::time::Duration;

use resound_core::Rng;
use resound_core::signal::Version;

use crate::kernel::TcpState;
use crate::scenario::{
    Comeback, Command, Fault, Forgery, HostFault, Knobs, Line, Link, NodeId, Payload, Peer, Pick, Role,
    RouteKind, Scenario, Tamper, Transport, Trigger, Way, What,
};

/// A source of choices.
pub trait Draw {
    /// A number in `0..=max`.
    fn up_to(&mut self, max: u64) -> u64;
}

impl Draw for Rng {
    fn up_to(&mut self, max: u64) -> u64 {
        Self::up_to(self, max)
    }
}

/// What scenarios are drawn from.
///
/// ```
/// use resound_core::Rng;
/// use resound_sim::engine::generate::{Kind, Mix};
///
/// let mix = Mix::new().tcp().udp().faults(1..=6).only(&[Kind::Drop, Kind::Rst]);
/// let scenario = mix.draw(&mut Rng::from_seed(7));
/// assert!(scenario.check().is_ok());
/// assert!((1..=6).contains(&scenario.faults.len()));
/// ```
#[derive(Clone, Debug)]
pub struct Mix {
    transports: Vec<Transport>,
    versions: Vec<Version>,
    faults: RangeInclusive<u32>,
    kinds: Vec<Kind>,
    messages: RangeInclusive<u32>,
    noise: u32,
}

macro_rules! kinds {
    ($($variant:ident $doc:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $doc] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

kinds! {
    Drop "A packet is lost.";
    Duplicate "A packet arrives twice.";
    Delay "A packet is late.";
    Corrupt "A packet arrives with a checksum that fails.";
    Alter "A bit of a payload is turned over.";
    Truncate "A payload is cut short.";
    Cut "A way is cut for a while.";
    Unplug "A link is unplugged for a while.";
    LinkDown "A host's link is administratively down for a while.";
    Mtu "Longer packets do not fit any more.";
    Rst "A reset that nobody sent.";
    Fin "A FIN that nobody sent.";
    Syn "A SYN that nobody sent.";
    Icmp "An ICMP error that nobody sent.";
    Route "A node has no way for a while.";
    Kill "A host's programs are killed.";
    Pause "A host's programs stand still for a while.";
    PowerLoss "A host loses its power.";
    Reboot "A host loses its power, and is back after a while.";
    Forget "A host forgets its connections.";
    Skew "A host's clock jumps.";
    Short "Reads or writes are cut short.";
    Wake "Programs are woken for nothing.";
    Buffers "Sockets have small buffers.";
    NoPorts "No local port is left for a while.";
    NoDescriptors "A host's programs get no descriptor for a while.";
    AcceptQueue "Listeners have short queues.";
}

impl Default for Mix {
    fn default() -> Self {
        Self::new()
    }
}

impl Mix {
    /// An echo client and its server over a router, TCP and UDP, IPv4 and IPv6, up to four faults of every kind, up to
    /// eight messages, now and then a link with noise.
    #[must_use]
    pub fn new() -> Self {
        Self {
            transports: Vec::new(),
            versions: vec![Version::V4, Version::V6],
            faults: 0..=4,
            kinds: Kind::ALL.to_vec(),
            messages: 1..=8,
            noise: 4,
        }
    }

    /// Over TCP. If both are named, or none, each scenario has one of both.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.transports.push(Transport::Tcp);
        self
    }

    /// Over UDP. If both are named, or none, each scenario has one of both.
    #[must_use]
    pub fn udp(mut self) -> Self {
        self.transports.push(Transport::Udp);
        self
    }

    /// Over this IP version only.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        Self { versions: vec![version], ..self }
    }

    /// How many faults.
    #[must_use]
    pub fn faults(self, faults: RangeInclusive<u32>) -> Self {
        Self { faults, ..self }
    }

    /// Only these kinds of faults.
    #[must_use]
    pub fn only(self, kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), ..self }
    }

    /// All kinds of faults but these.
    #[must_use]
    pub fn without(mut self, kinds: &[Kind]) -> Self {
        self.kinds.retain(|kind| !kinds.contains(kind));
        self
    }

    /// How many messages the client sends.
    #[must_use]
    pub fn messages(self, messages: RangeInclusive<u32>) -> Self {
        Self { messages, ..self }
    }

    /// One in so many scenarios has a link that loses, doubles and damages packets; none, if zero.
    #[must_use]
    pub fn noise(self, one_in: u32) -> Self {
        Self { noise: one_in, ..self }
    }

    /// A scenario. It can be played, and written down.
    pub fn draw(&self, source: &mut dyn Draw) -> Scenario {
        let mut scenario = self.draw_base(source);
        self.draw_faults(source, &mut scenario);
        scenario
    }

    /// A scenario of this kind in which nothing goes wrong but, now and then, a link's noise.
    pub fn draw_base(&self, source: &mut dyn Draw) -> Scenario {
        let routed = source.up_to(1) == 1;
        let mut scenario = if routed { Scenario::three_nodes() } else { two_nodes() };
        scenario.version = *choose(source, &self.versions).unwrap_or(&Version::V4);
        scenario.seed = source.up_to(u64::from(u32::MAX));
        scenario.until = Duration::from_secs(120);
        const BOTH: &[Transport] = &[Transport::Tcp, Transport::Udp];
        let transports = if self.transports.is_empty() { BOTH } else { &self.transports };
        let transport = *choose(source, transports).unwrap_or(&Transport::Tcp);
        let (client, server) = (NodeId(0), NodeId(if routed { 2 } else { 1 }));
        if self.noise > 0 && source.up_to(u64::from(self.noise)) == u64::from(self.noise) {
            let many = scenario.links.len();
            let link = &mut scenario.links[source.up_to(many as u64 - 1) as usize];
            noise(source, link);
        }
        let port = 7;
        scenario.at(Duration::ZERO, server, Command::Serve(transport, port));
        let knobs = knobs(source);
        let peer = Peer { host: server, port };
        let mut at = millis(source, 1_000);
        scenario.at(at, client, Command::Connect(transport, peer, knobs));
        let messages = between(source, &self.messages);
        for _ in 0..messages {
            at += millis(source, 5_000);
            let payload = match source.up_to(3) {
                0 => Payload::Text("hello".to_owned()),
                1 => Payload::Bytes(1 + source.up_to(31) as u32),
                2 => Payload::Bytes(1 + source.up_to(1_199) as u32),
                _ => Payload::Bytes(1 + source.up_to(9_999) as u32),
            };
            scenario.script.push(Line { at, host: client, command: Command::Send(payload) });
        }
        if source.up_to(3) == 3 {
            at += millis(source, 5_000);
            scenario.at(at, client, Command::Close);
        }
        scenario
    }

    /// Adds faults to a scenario: of a random part of the kinds, with random weights. They may be inert.
    pub fn draw_faults(&self, source: &mut dyn Draw, scenario: &mut Scenario) {
        let swarm: Vec<(Kind, u64)> = self.kinds.iter().map(|&kind| (kind, source.up_to(7))).collect();
        // A kind whose weight is below 4 is left out of this scenario.
        let weight = |weight: u64| weight.saturating_sub(3);
        let total: u64 = swarm.iter().map(|&(_, w)| weight(w)).sum();
        for _ in 0..between(source, &self.faults) {
            let mut left = source.up_to(total.saturating_sub(1));
            let heavy = swarm.iter().find(|&&(_, w)| {
                let here = left < weight(w);
                left = left.saturating_sub(weight(w));
                here
            });
            // None was left in: any will do.
            let Some(&(kind, _)) = heavy.or_else(|| choose(source, &swarm)) else { return };
            let Some(fault) = fault(source, scenario, kind) else { return };
            scenario.faults.push(fault);
        }
    }
}

fn two_nodes() -> Scenario {
    let mut scenario = Scenario::new();
    let client = scenario.add("client", Role::Host);
    let server = scenario.add("server", Role::Host);
    scenario.links.push(Link::new(client, server, Duration::from_millis(10)));
    scenario
}

fn noise(source: &mut dyn Draw, link: &mut Link) {
    link.loss = 10_000 * source.up_to(10) as u32;
    link.duplicate = 10_000 * source.up_to(5) as u32;
    link.corrupt = 10_000 * source.up_to(5) as u32;
    link.jitter = millis(source, 30);
    link.noise = source.up_to(u64::from(u32::MAX));
}

/// Clients that notice soon, so that much happens in a short time.
fn knobs(source: &mut dyn Draw) -> Knobs {
    let idle = [None, Some(1), Some(2), Some(5), Some(15)];
    let idle = choose(source, &idle).copied().flatten().map(Duration::from_secs);
    Knobs {
        idle,
        probe: idle.map(|idle| idle / 4),
        misses: idle.map(|_| 1 + source.up_to(3) as u8),
        round: None,
        rounds: (source.up_to(7) == 7).then(|| 1 + source.up_to(5) as u32),
        resend: source.up_to(3) == 3,
    }
}

fn choose<'t, T>(source: &mut dyn Draw, from: &'t [T]) -> Option<&'t T> {
    let last = from.len().checked_sub(1)?;
    from.get(source.up_to(last as u64) as usize)
}

fn between(source: &mut dyn Draw, range: &RangeInclusive<u32>) -> u32 {
    range.start() + source.up_to(u64::from(range.end().saturating_sub(*range.start()))) as u32
}

fn millis(source: &mut dyn Draw, most: u64) -> Duration {
    Duration::from_millis(source.up_to(most))
}

/// How long something lasts: a millisecond at least.
fn lasting(source: &mut dyn Draw, most: u64) -> Duration {
    Duration::from_millis(1) + millis(source, most - 1)
}

/// A fault of this kind, anywhere in this scenario; `None` if it has no link or no host.
fn fault(source: &mut dyn Draw, scenario: &Scenario, kind: Kind) -> Option<Fault> {
    let mut place = Place { source, scenario };
    let when = place.trigger()?;
    let what = place.what(kind, &when)?;
    Some(Fault { when, what, may_be_inert: true })
}

struct Place<'a> {
    source: &'a mut dyn Draw,
    scenario: &'a Scenario,
}

impl Place<'_> {
    fn way(&mut self) -> Option<Way> {
        let [from, to] = choose(self.source, &self.scenario.links)?.ends;
        Some(if self.source.up_to(1) == 0 { Way { from, to } } else { Way { from: to, to: from } })
    }

    fn host(&mut self) -> Option<NodeId> {
        let nodes = (0..).map(NodeId).zip(&self.scenario.nodes);
        let hosts: Vec<NodeId> =
            nodes.filter(|(_, node)| node.role == Role::Host).map(|(id, _)| id).collect();
        choose(self.source, &hosts).copied()
    }

    fn node(&mut self) -> Option<NodeId> {
        let last = self.scenario.nodes.len().checked_sub(1)?;
        Some(NodeId(self.source.up_to(last as u64) as u8))
    }

    /// Mostly at one of the first packets, where most happens.
    fn trigger(&mut self) -> Option<Trigger> {
        Some(match self.source.up_to(9) {
            0..=4 => Trigger::Packet(self.way()?, 1 + self.source.up_to(15) as u32),
            5..=7 => Trigger::At(self.time()),
            8 => Trigger::State(self.host()?, *choose(self.source, &TcpState::ALL)?),
            _ => {
                let words = ["up", "dialing", "sent", "suspect", "down", "retry"];
                Trigger::Says(NodeId(0), (*choose(self.source, &words)?).to_owned())
            }
        })
    }

    fn time(&mut self) -> Duration {
        let most = self.scenario.until.as_millis().min(30_000) as u64;
        millis(self.source, most)
    }

    /// The end of something that begins so. Nearly everything ends.
    fn until(&mut self, from: &Trigger) -> Option<Trigger> {
        if self.source.up_to(7) == 7 {
            return None;
        }
        let lasts = lasting(self.source, 20_001);
        let until = match from {
            Trigger::At(from) => *from + lasts,
            _ => Duration::from_secs(30) + lasts,
        };
        Some(Trigger::At(until)).filter(|_| until <= self.scenario.until)
    }

    fn what(&mut self, kind: Kind, when: &Trigger) -> Option<What> {
        Some(match kind {
            Kind::Drop => self.tamper(when, |_| Tamper::Drop)?,
            Kind::Duplicate => self.tamper(when, |draw| Tamper::Duplicate(lasting(draw, 500)))?,
            Kind::Delay => self.tamper(when, |draw| Tamper::Delay(lasting(draw, 3_000)))?,
            Kind::Corrupt => self.tamper(when, |_| Tamper::Corrupt)?,
            Kind::Alter => self.tamper(when, |draw| Tamper::Alter(draw.up_to(511) as u32))?,
            Kind::Truncate => self.tamper(when, |draw| Tamper::Truncate(draw.up_to(63) as u16))?,
            Kind::Cut => What::Cut(self.way()?, self.until(when)),
            Kind::Unplug => What::Unplug(self.way()?, self.until(when)),
            Kind::LinkDown => {
                let host = self.host()?;
                let links = self.scenario.links.iter().map(|link| link.ends);
                let ways = links.filter_map(|[a, b]| match host {
                    host if host == a => Some(Way { from: a, to: b }),
                    host if host == b => Some(Way { from: b, to: a }),
                    _ => None,
                });
                let way = *choose(self.source, &ways.collect::<Vec<_>>())?;
                let until = self.until(when).map(|until| {
                    let bare = self.source.up_to(7) == 7;
                    (until, if bare { Comeback::Bare } else { Comeback::Configured })
                });
                What::LinkDown(way, until)
            }
            Kind::Mtu => What::Mtu(self.way()?, 1_280 + self.source.up_to(220) as u16),
            Kind::Rst => self.forge(|draw| Some(Forgery::Rst(pick(draw))))?,
            Kind::Fin => self.forge(|draw| Some(Forgery::Fin(pick(draw))))?,
            Kind::Syn => self.forge(|draw| Some(Forgery::Syn(pick(draw))))?,
            Kind::Icmp => {
                let version = self.scenario.version;
                self.forge(|draw| icmp(draw, version))?
            }
            Kind::Route => {
                let at = self.node()?;
                let to = self.node().filter(|to| *to != at);
                let kinds =
                    [RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Blackhole, RouteKind::Missing];
                What::Route { at, to, kind: *choose(self.source, &kinds)?, until: self.until(when) }
            }
            _ => What::Host(self.host()?, self.host_fault(kind, when)),
        })
    }

    fn tamper(&mut self, when: &Trigger, tamper: impl Fn(&mut dyn Draw) -> Tamper) -> Option<What> {
        let way = match when {
            Trigger::Packet(way, _) => *way,
            _ => self.way()?,
        };
        Some(What::Tamper(way, tamper(self.source)))
    }

    fn forge(&mut self, packet: impl Fn(&mut dyn Draw) -> Option<Forgery>) -> Option<What> {
        Some(What::Forge { from: self.node()?, to: self.host()?, packet: packet(self.source)? })
    }

    fn host_fault(&mut self, kind: Kind, when: &Trigger) -> HostFault {
        match kind {
            Kind::Pause => HostFault::Pause(lasting(self.source, 20_000)),
            Kind::PowerLoss => HostFault::PowerLoss,
            Kind::Reboot => HostFault::Reboot(lasting(self.source, 20_000)),
            Kind::Forget => HostFault::Forget,
            Kind::Skew => {
                let by = self.source.up_to(60_000) as i64 * 1_000_000;
                HostFault::Skew(if self.source.up_to(3) == 3 { -by } else { by })
            }
            Kind::Short => {
                let bytes = 1 + self.source.up_to(9) as u32;
                if self.source.up_to(1) == 0 {
                    HostFault::ShortReads(bytes)
                } else {
                    HostFault::ShortWrites(bytes)
                }
            }
            Kind::Wake => HostFault::SpuriousWake,
            Kind::Buffers => {
                let bytes = 2_304 + self.source.up_to(10_000) as u32;
                if self.source.up_to(1) == 0 {
                    HostFault::ReceiveBuffer(bytes)
                } else {
                    HostFault::SendBuffer(bytes * 2)
                }
            }
            Kind::NoPorts => HostFault::NoPorts(self.until(when)),
            Kind::NoDescriptors => HostFault::NoDescriptors(self.until(when)),
            Kind::AcceptQueue => HostFault::AcceptQueue(self.source.up_to(2) as u32),
            _ => HostFault::Kill,
        }
    }
}

fn pick(source: &mut dyn Draw) -> Pick {
    *choose(source, &[Pick::Exact, Pick::Inside, Pick::Outside]).unwrap_or(&Pick::Exact)
}

fn icmp(source: &mut dyn Draw, version: Version) -> Option<Forgery> {
    let (kind, code) = match version {
        Version::V4 => match source.up_to(3) {
            0 | 1 => (3, source.up_to(15) as u8),
            2 => *choose(source, &[(11, 0), (11, 1), (12, 0), (12, 1), (4, 0), (5, 1)])?,
            _ => (source.up_to(255) as u8, source.up_to(255) as u8),
        },
        Version::V6 => match source.up_to(3) {
            0 | 1 => (1, source.up_to(8) as u8),
            2 => *choose(source, &[(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)])?,
            _ => (source.up_to(255) as u8, source.up_to(255) as u8),
        },
    };
    let tells_mtu = matches!((version, kind, code), (Version::V4, 3, 4) | (Version::V6, 2, _));
    let mtu = tells_mtu.then(|| 500 + source.up_to(1_000) as u16);
    Some(Forgery::Icmp { kind, code, mtu, quote: pick(source), quoted: source.up_to(528) as u16 })
}
