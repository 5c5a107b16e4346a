//! Ways, routers and neighbours: how a packet gets from one host to another, or does not.
//!
//! A way has what its link has: a delay, a rate, a length that fits, and noise. Whether the nth packet of a way is lost,
//! doubled or damaged follows from `n` and the link's number for it, and from nothing else.
//!
//! What is for many - a group, or everybody - goes out of a host's first link, and no router passes it on.
//!
//! A node that does not hear its neighbour (no power, no cable) asks for its address three times, one second apart, keeps
//! what it has for it meanwhile, and then complains: a host to itself, a router to whoever sent it
//! (`neigh_timer_handler`, `arp_error_report`, `ndisc_error_report`; measured: 3.05 s).

use std::collections::VecDeque;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use super::events::Event;
use super::host::Power;
use super::{Node, World};
use crate::faults::{Carries, Interface, WayId};
use crate::kernel::{Fate, IcmpLimiter, Sysctl, Sysctls, Unlinked};
use crate::packet::{Body, FaultId, LONGEST_QUOTE, Packet, is_for_many};
use crate::run::{Happened, Record};
use crate::scenario::{self, NodeId, Role, RouteKind, Scenario, Way, address, node_at};

/// When a neighbour is asked for again, and when that is given up.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASKS: u8 = 3;
const GIVE_UP: Duration = Duration::from_millis(3_050);

/// What a node keeps for a neighbour that it is asking for (`unres_qlen_bytes` holds about as many small ones).
const UNRESOLVED: usize = 100;

/// All ways, and which of them leads where.
#[derive(Debug)]
pub(super) struct Network {
    ways: Vec<WayState>,
    /// From each node to each: the first way.
    first: Vec<Vec<Option<WayId>>>,
}

#[derive(Debug)]
struct WayState {
    way: Way,
    link: scenario::Link,
    /// When each packet that waits will have left, on a link with a rate.
    leaving: VecDeque<Instant>,
    count: u64,
    plugged: bool,
    /// That of the node from which this way leads.
    interface: Interface,
    asking: Option<Asking>,
}

/// A neighbour's address is being asked for.
#[derive(Debug)]
struct Asking {
    since: Instant,
    asked: u8,
    waiting: Vec<Packet>,
}

/// A node that passes packets on.
#[derive(Debug)]
pub(super) struct Router {
    limiter: IcmpLimiter,
    routes: Vec<(Option<NodeId>, RouteKind)>,
}

impl Router {
    pub(super) fn new(node: &scenario::Node) -> Self {
        let mut sysctl = Sysctls::default();
        for &(name, value) in &node.sysctl {
            sysctl.set(name, value);
        }
        Self {
            limiter: IcmpLimiter::new(Duration::from_millis(sysctl.get(Sysctl::IcmpRateLimit))),
            routes: Vec::new(),
        }
    }

    pub(super) fn route(&mut self, to: Option<NodeId>, kind: Option<RouteKind>) {
        self.routes.retain(|(was, _)| *was != to);
        self.routes.extend(kind.map(|kind| (to, kind)));
    }

    fn routed(&self, to: Option<NodeId>) -> Option<RouteKind> {
        let of = |wanted| self.routes.iter().find(|(to, _)| *to == wanted).map(|(_, kind)| *kind);
        to.and_then(|to| of(Some(to))).or_else(|| of(None))
    }
}

impl Network {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let ways = scenario.links.iter().flat_map(|link| {
            let [a, b] = link.ends;
            [Way { from: a, to: b }, Way { from: b, to: a }].map(|way| WayState {
                way,
                link: link.clone(),
                leaving: VecDeque::new(),
                count: 0,
                plugged: true,
                interface: Interface::Up,
                asking: None,
            })
        });
        let ways: Vec<_> = ways.collect();
        let roles: Vec<_> = scenario.nodes.iter().map(|node| node.role).collect();
        let mut leaving = vec![Vec::new(); roles.len()];
        for (index, WayState { way, .. }) in ways.iter().enumerate() {
            leaving[usize::from(way.from.0)].push((usize::from(way.to.0), WayId(index as u16)));
        }
        let first = (0..roles.len()).map(|from| first_ways(&leaving, &roles, from)).collect();
        Self { ways, first }
    }

    pub(super) fn first(&self, from: NodeId, to: NodeId) -> Option<WayId> {
        *self.first[usize::from(from.0)].get(usize::from(to.0))?
    }

    /// By which way a node reaches many: its first link.
    pub(super) fn to_many(&self, from: NodeId) -> Option<WayId> {
        let at = self.ways.iter().position(|state| state.way.from == from)?;
        Some(WayId(at as u16))
    }

    pub(super) fn mtu(&mut self, way: WayId, mtu: u16) {
        if let Some(way) = self.ways.get_mut(usize::from(way.0)) {
            way.link.mtu = mtu;
        }
    }

    pub(super) fn is_plugged(&self, way: WayId) -> bool {
        self.ways.get(usize::from(way.0)).is_some_and(|way| way.plugged)
    }

    /// Whether the neighbour answers when it is asked for its address.
    pub(super) fn answers(&self, way: WayId, version: Version) -> bool {
        let back = self.ways.get(usize::from(way.0 ^ 1)).map(|back| back.interface);
        // One that is bare has no IPv6 address.
        self.is_plugged(way) && (back == Some(Interface::Up) || version == Version::V4)
    }

    /// What a node's interface by which this way begins is like from now on. It has forgotten its neighbour, and what it kept
    /// for it (`neigh_ifdown`).
    pub(super) fn set_interface(&mut self, way: WayId, interface: Interface) {
        if let Some(way) = self.ways.get_mut(usize::from(way.0)) {
            way.interface = interface;
            way.asking = None;
        }
    }

    fn interface(&self, way: WayId) -> Interface {
        self.ways.get(usize::from(way.0)).map_or(Interface::Up, |way| way.interface)
    }

    /// The ways of a node that begin at interfaces which are not as they were configured.
    pub(super) fn changed(&self, node: NodeId) -> impl Iterator<Item = (Way, Interface)> + '_ {
        let of = self.ways.iter().filter(move |state| state.way.from == node);
        of.map(|state| (state.way, state.interface)).filter(|(_, interface)| *interface != Interface::Up)
    }

    /// What the interfaces of a node do not lead to.
    pub(super) fn unlinked(&self, node: NodeId) -> Unlinked {
        let mut addresses = Vec::new();
        for (to, way) in (0..).map(NodeId).zip(&self.first[usize::from(node.0)]) {
            let Some(way) = *way else { continue };
            let v4 = match self.interface(way) {
                Interface::Up => continue,
                Interface::Bare => self.ways[usize::from(way.0)].way.to != to,
                Interface::Down => true,
            };
            addresses.extend(v4.then(|| address(to, Version::V4)));
            addresses.push(address(to, Version::V6));
        }
        let mut own = self.ways.iter().filter(|state| state.way.from == node).peekable();
        if own.peek().is_some() && own.all(|state| state.interface != Interface::Up) {
            addresses.push(address(node, Version::V6));
        }
        let many = self.to_many(node).is_some_and(|way| self.interface(way) != Interface::Up);
        Unlinked { addresses, many }
    }

    /// The neighbours of a link hear each other, or do not.
    pub(super) fn plug(&mut self, way: WayId, plugged: bool) {
        for way in [way, WayId(way.0 ^ 1)] {
            if let Some(way) = self.ways.get_mut(usize::from(way.0)) {
                way.plugged = plugged;
            }
        }
    }
}

/// From one node, the first way of the shortest path to each other one; of equally short ones the first link's. Paths lead
/// through routers only: a host passes nothing on.
fn first_ways(leaving: &[Vec<(usize, WayId)>], roles: &[Role], from: usize) -> Vec<Option<WayId>> {
    let mut first = vec![None; roles.len()];
    let mut seen = vec![false; roles.len()];
    seen[from] = true;
    let mut border = vec![from];
    while !border.is_empty() {
        let mut next = Vec::new();
        for &node in border.iter().filter(|&&node| node == from || roles[node] == Role::Router) {
            for &(to, way) in &leaving[node] {
                if !core::mem::replace(&mut seen[to], true) {
                    first[to] = if node == from { Some(way) } else { first[node] };
                    next.push(to);
                }
            }
        }
        border = next;
    }
    first
}

/// From each node to each other, by their places in the scenario: the way that a packet leaves by. `None` for the node itself,
/// and where no path leads.
#[must_use]
pub fn first_ways_of(scenario: &Scenario) -> Vec<Vec<Option<Way>>> {
    let Network { ways, first } = Network::new(scenario);
    let way = |id: &Option<WayId>| id.map(|id| ways[usize::from(id.0)].way);
    first.iter().map(|row| row.iter().map(way).collect()).collect()
}

impl World<'_> {
    /// A node sends a packet off.
    pub(super) fn send(&mut self, node: NodeId, mut packet: Packet) {
        let to = node_at(packet.destination);
        if to == Some(node) || packet.destination.is_loopback() {
            return self.events.push(self.now, Event::Local(node, packet));
        }
        if is_for_many(packet.destination) {
            return self.send_to_many(node, packet);
        }
        // No link leads there.
        let Some(way) = to.and_then(|to| self.network.first(node, to)) else {
            let (kind, code) = by_version(&packet, (3, 0), (1, 0));
            return self.complain(node, &packet, kind, code, None);
        };
        if self.is_too_long(way, &packet) {
            if !matches!(packet.body, Body::Udp(_)) {
                return self.too_long(node, way, packet);
            }
            // A host knows its own link, and sends a long datagram in pieces.
            self.faults.mtu_met(way);
            packet.fragments = true;
        }
        self.transmit(way, packet);
    }

    /// A host sends a packet to a group, or to everybody: to itself too, if it is one of them. Nobody is asked for an address
    /// of the link, and nobody complains.
    fn send_to_many(&mut self, node: NodeId, mut packet: Packet) {
        if self.host(node).is_some_and(|host| host.kernel.hears(packet.destination)) {
            self.events.push(self.now, Event::Local(node, packet.clone()));
        }
        let Some(way) = self.network.to_many(node) else { return };
        packet.fragments |= self.is_too_long(way, &packet);
        self.depart_to_many(way, packet);
    }

    /// It leaves by the first link, if that is plugged in.
    pub(super) fn depart_to_many(&mut self, way: WayId, packet: Packet) {
        if self.network.is_plugged(way) {
            self.depart(way, packet);
        } else {
            self.faults.plug_met(way);
        }
    }

    /// A packet is to leave a node by this way.
    fn transmit(&mut self, way: WayId, packet: Packet) {
        let state = &self.network.ways[usize::from(way.0)];
        let answers = self.network.answers(way, self.scenario.version);
        if answers && state.asking.is_none() && self.is_there(state.way.to) {
            return self.depart(way, packet);
        }
        if !state.plugged {
            self.faults.plug_met(way);
        }
        let now = self.now;
        let state = &mut self.network.ways[usize::from(way.0)];
        if state.asking.is_none() {
            state.asking = Some(Asking { since: now, asked: 1, waiting: Vec::new() });
            self.events.push(now + ASK_AGAIN, Event::Resolve(way));
        }
        if let Some(asking) = state.asking.as_mut().filter(|asking| asking.waiting.len() < UNRESOLVED) {
            asking.waiting.push(packet);
        }
    }

    pub(super) fn is_there(&self, node: NodeId) -> bool {
        match &self.nodes[usize::from(node.0)] {
            Node::Host(host) => host.power == Power::On,
            Node::Outside(outside) => outside.power == Power::On,
            Node::Router(_) => true,
        }
    }

    /// A neighbour that did not answer is asked again, or given up.
    #[cold]
    pub(super) fn resolve(&mut self, way: WayId) {
        let now = self.now;
        let state = &self.network.ways[usize::from(way.0)];
        let answers = self.network.answers(way, self.scenario.version) && self.is_there(state.way.to);
        let state = &mut self.network.ways[usize::from(way.0)];
        let Some(mut asking) = state.asking.take() else { return };
        if answers {
            for packet in asking.waiting {
                self.depart(way, packet);
            }
        } else if asking.asked < ASKS {
            asking.asked += 1;
            let next = if asking.asked < ASKS { now + ASK_AGAIN } else { asking.since + GIVE_UP };
            state.asking = Some(asking);
            self.events.push(next, Event::Resolve(way));
        } else {
            let node = state.way.from;
            for packet in asking.waiting {
                self.neighbour_failed(node, &packet);
            }
        }
    }

    fn neighbour_failed(&mut self, node: NodeId, packet: &Packet) {
        let now = self.now;
        match &mut self.nodes[usize::from(node.0)] {
            Node::Host(host) => {
                host.kernel.neighbour_failed(now, packet);
                self.drain(node);
            }
            Node::Router(_) => {
                let (kind, code) = by_version(packet, (3, 1), (1, 3));
                self.complain(node, packet, kind, code, None);
            }
            // Its own kernel finds out by itself.
            Node::Outside(_) => {}
        }
    }

    /// A packet sets out.
    pub(super) fn depart(&mut self, way: WayId, mut packet: Packet) {
        self.packets += 1;
        let state = &mut self.network.ways[usize::from(way.0)];
        state.count += 1;
        let noise = state.noise();
        let carried = state.carry(self.now, &packet, noise);
        let direction = state.way;
        self.digest.packet(self.now, way.0, &packet, carried);
        let link = if carried.is_some() { Carries::Delivers } else { Carries::Loses };
        let passing = self.faults.passes(way, &mut packet, link);
        if passing.fault.is_some() {
            let twice = passing.twice.map_or(Duration::ZERO, |(after, _)| after);
            self.disturbed = self.disturbed.max(Some(self.now + passing.late + twice));
        }
        if self.order.len() < self.trace {
            self.order.push(direction);
        }
        let arrives = carried.filter(|_| !passing.lost).map(|at| at + passing.late);
        if self.record == Record::Everything {
            let (packet, fault) = (packet.clone(), passing.fault);
            self.note(Happened::Sent { way: direction, packet, arrives, fault });
        }
        if let Some(at) = arrives {
            packet.damaged |= noise.damages;
            if passing.twice.is_some() || noise.doubles {
                self.arrive_twice(way, packet, at, passing.twice);
            } else {
                self.events.push(at, Event::Arrive(way, packet));
            }
        }
        self.obey();
    }

    /// A fault doubles it, or else the link. The original first: of two that arrive at one time, it is the first.
    #[cold]
    fn arrive_twice(
        &mut self,
        way: WayId,
        packet: Packet,
        at: Instant,
        by_fault: Option<(Duration, FaultId)>,
    ) {
        let (after, copy) = match by_fault {
            Some((after, id)) => (after, Packet { fault: Some(id), ..packet.clone() }),
            None => (Duration::from_micros(1), packet.clone()),
        };
        self.events.push(at, Event::Arrive(way, packet));
        self.events.push(at + after, Event::Arrive(way, copy));
    }

    /// A packet has come to the end of a way.
    pub(super) fn arrives(&mut self, way: WayId, packet: Packet) {
        let back = WayId(way.0 ^ 1);
        let node = self.network.ways[usize::from(way.0)].way.to;
        if packet.source.is_loopback() {
            // RFC 4291 §2.5.3 (`ipv6_rcv`).
            return self.fate(
                node,
                packet.fault,
                Fate::Absorbed("dropped: from the loopback of another host"),
            );
        }
        if self.network.interface(back) == Interface::Down {
            return self.fate(node, packet.fault, Fate::Absorbed("the interface was down"));
        }
        match &self.nodes[usize::from(node.0)] {
            Node::Host(_) | Node::Outside(_) => self.arrives_at(node, packet),
            Node::Router(_) => self.forward(node, packet),
        }
    }

    /// A packet has come to a host.
    pub(super) fn arrives_at(&mut self, node: NodeId, packet: Packet) {
        let now = self.now;
        let to = packet.destination;
        let mine = to.is_loopback() || is_for_many(to) || node_at(to) == Some(node);
        let (fault, damaged) = (packet.fault, packet.damaged);
        let Some(host) = self.host(node) else {
            let fate = self.deliver(node, packet);
            return self.fate(node, fault, fate);
        };
        let fate = if host.power == Power::Off {
            Fate::Absorbed("the host has no power")
        } else if damaged {
            Fate::Acted("dropped where it arrived, for its checksum")
        } else if mine {
            host.kernel.receive(now, packet)
        } else {
            Fate::Absorbed("it was for another host")
        };
        self.fate(node, fault, fate);
        self.drain(node);
    }

    fn forward(&mut self, router: NodeId, mut packet: Packet) {
        let to = node_at(packet.destination);
        if to == Some(router) || is_for_many(packet.destination) {
            return; // Nobody speaks to a router here, and what is for many stays on its link.
        }
        packet.hops = packet.hops.saturating_sub(1);
        if packet.hops == 0 {
            let (kind, code) = by_version(&packet, (11, 0), (3, 0));
            return self.complain(router, &packet, kind, code, None);
        }
        let Node::Router(state) = &self.nodes[usize::from(router.0)] else { return };
        if let Some(kind) = state.routed(to) {
            return self.no_way(router, &packet, kind);
        }
        let Some(way) = to.and_then(|to| self.network.first(router, to)) else {
            let (kind, code) = by_version(&packet, (3, 0), (1, 0));
            return self.complain(router, &packet, kind, code, None);
        };
        if self.is_too_long(way, &packet) {
            return self.too_long(router, way, packet);
        }
        self.transmit(way, packet);
    }

    /// What a Linux router says of each type of route (measured).
    fn no_way(&mut self, router: NodeId, packet: &Packet, kind: RouteKind) {
        self.faults.route_met(router, node_at(packet.destination), "the router had no way for a packet");
        let said = match kind {
            RouteKind::Unreachable => by_version(packet, (3, 1), (1, 0)),
            RouteKind::Prohibit => by_version(packet, (3, 13), (1, 1)),
            RouteKind::Missing => by_version(packet, (3, 0), (1, 0)),
            RouteKind::Blackhole => return,
        };
        self.complain(router, packet, said.0, said.1, None);
    }

    /// Whether a packet does not fit, and may not be sent in pieces.
    fn is_too_long(&self, way: WayId, packet: &Packet) -> bool {
        let mtu = self.network.ways[usize::from(way.0)].link.mtu;
        packet.length() > usize::from(mtu) && !packet.may_be_fragmented()
    }

    fn too_long(&mut self, node: NodeId, way: WayId, packet: Packet) {
        self.faults.mtu_met(way);
        let mtu = u32::from(self.network.ways[usize::from(way.0)].link.mtu);
        let (kind, code) = by_version(&packet, (3, 4), (2, 0));
        self.complain(node, &packet, kind, code, Some(mtu));
    }

    /// A node tells whoever sent a packet what is wrong with it, if it may (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7).
    fn complain(&mut self, node: NodeId, packet: &Packet, kind: u8, code: u8, mtu: Option<u32>) {
        let offender = address(node, packet.version());
        let icmp = match &mut self.nodes[usize::from(node.0)] {
            Node::Router(router) => router.limiter.complain(self.now, packet, offender, (kind, code), mtu),
            Node::Host(_) | Node::Outside(_) => {
                Some(packet.complain(offender, kind, code, mtu, LONGEST_QUOTE))
            }
        };
        if let Some(icmp) = icmp {
            self.send(node, icmp);
        }
    }
}

const fn by_version<T: Copy>(packet: &Packet, v4: T, v6: T) -> T {
    match packet.version() {
        Version::V4 => v4,
        Version::V6 => v6,
    }
}

/// What a link's noise does to one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) loses: bool,
    pub(crate) doubles: bool,
    pub(crate) damages: bool,
}

impl scenario::Link {
    /// What its noise does to the nth packet of this way, counted from 1.
    pub(crate) fn noise_of(&self, way: Way, nth: u64) -> Noise {
        Noise {
            loses: self.loss > 0 && self.drawn(way, nth, 0, 999_999) < u64::from(self.loss),
            doubles: self.duplicate > 0 && self.drawn(way, nth, 2, 999_999) < u64::from(self.duplicate),
            damages: self.corrupt > 0 && self.drawn(way, nth, 3, 999_999) < u64::from(self.corrupt),
        }
    }

    /// A number in `0..=max` that follows from the packet's own number: it does not matter what else was drawn.
    fn drawn(&self, way: Way, nth: u64, salt: u64, max: u64) -> u64 {
        let way = u64::from(way.from.0) << 8 | u64::from(way.to.0);
        let seed = self.noise.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ nth.wrapping_mul(0xd1b5_4a32_d192_ed03)
            ^ (way << 8 | salt).wrapping_mul(0x8cb9_2ba7_2f3d_8dd7);
        resound_core::Rng::from_seed(seed).up_to(max)
    }
}

impl WayState {
    /// When a packet that sets out now arrives; `None`: the link loses it.
    #[inline]
    fn carry(&mut self, now: Instant, packet: &Packet, noise: Noise) -> Option<Instant> {
        let link = &self.link;
        let mut leaves = now;
        if let Some(rate) = link.rate {
            let takes = transmission(packet.length(), rate);
            while self.leaving.front().is_some_and(|&at| at <= now) {
                self.leaving.pop_front();
            }
            // One is being sent; the others wait.
            if self.leaving.len() > link.queue as usize {
                return None;
            }
            leaves = self.leaving.back().map_or(now, |&last| last.max(now)) + takes;
            self.leaving.push_back(leaves);
        }
        if noise.loses {
            return None;
        }
        let arrives = leaves + link.delay;
        if link.jitter.is_zero() {
            return Some(arrives);
        }
        let jitter = link.drawn(self.way, self.count, 1, link.jitter.as_nanos() as u64);
        Some(arrives + Duration::from_nanos(jitter))
    }

    #[inline]
    fn noise(&self) -> Noise {
        self.link.noise_of(self.way, self.count)
    }
}

/// How long a packet takes to leave at this rate.
fn transmission(length: usize, bits_per_second: u64) -> Duration {
    let nanos = (length as u128 * 8 * 1_000_000_000) / u128::from(bits_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
