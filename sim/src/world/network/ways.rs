//! Ways: what each does to what passes, which one leads where, and the interfaces at which they begin.
//!
//! A way has what its link has: a delay, a rate, a length that fits, and noise. Whether the nth packet of a way is lost,
//! doubled or damaged follows from `n` and the link's number for it, and from nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use super::neighbours::Asking;
use crate::faults::{Interface, WayId};
use crate::kernel::Unlinked;
use crate::packet::Packet;
use crate::scenario::{self, NodeId, Role, Scenario, Way, address};

/// All ways, and which of them leads where.
#[derive(Debug)]
pub(in crate::world) struct Network {
    pub(super) ways: Vec<WayState>,
    /// How often an interface was taken up that was down.
    taken_up: u32,
    /// From each node to each: the first way.
    first: Vec<Vec<Option<WayId>>>,
}

#[derive(Debug)]
pub(super) struct WayState {
    pub(super) way: Way,
    pub(super) link: scenario::Link,
    /// When each packet that waits will have left, on a link with a rate.
    pub(super) leaving: VecDeque<Instant>,
    pub(super) count: u64,
    pub(super) plugged: bool,
    /// That of the node from which this way leads.
    pub(super) interface: Interface,
    /// How many interfaces had been taken up when this one was.
    pub(super) came_up: u32,
    pub(super) asking: Option<Asking>,
}

impl Network {
    pub(in crate::world) fn new(scenario: &Scenario) -> Self {
        let ways = scenario.links.iter().flat_map(|link| {
            let [a, b] = link.ends;
            [Way { from: a, to: b }, Way { from: b, to: a }].map(|way| WayState {
                way,
                link: link.clone(),
                leaving: VecDeque::new(),
                count: 0,
                plugged: true,
                interface: Interface::Up,
                came_up: 0,
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
        Self { ways, taken_up: 0, first }
    }

    pub(in crate::world) fn first(&self, from: NodeId, to: NodeId) -> Option<WayId> {
        *self.first[usize::from(from.0)].get(usize::from(to.0))?
    }

    /// By which way a node reaches many: its first link. Over IPv6 every interface that is up has such a route, and the one
    /// that is up for the longest time is found first (measured).
    pub(in crate::world) fn to_many(&self, from: NodeId, version: Version) -> Option<WayId> {
        let own = self.ways.iter().enumerate().filter(|(_, state)| state.way.from == from);
        let at = match version {
            Version::V4 => own.map(|(at, _)| at).next(),
            Version::V6 => {
                let up = own.filter(|(_, state)| state.interface != Interface::Down);
                up.min_by_key(|(at, state)| (state.came_up, *at)).map(|(at, _)| at)
            }
        };
        at.map(|at| WayId(at as u16))
    }

    pub(in crate::world) fn mtu(&mut self, way: WayId, mtu: u16) {
        if let Some(way) = self.ways.get_mut(usize::from(way.0)) {
            way.link.mtu = mtu;
        }
    }

    pub(in crate::world) fn is_plugged(&self, way: WayId) -> bool {
        self.ways.get(usize::from(way.0)).is_some_and(|way| way.plugged)
    }

    /// Whether the neighbour answers when it is asked for its address.
    pub(in crate::world) fn answers(&self, way: WayId, version: Version) -> bool {
        let back = self.ways.get(usize::from(way.0 ^ 1)).map(|back| back.interface);
        // One that is bare has no IPv6 address.
        self.is_plugged(way) && (back == Some(Interface::Up) || version == Version::V4)
    }

    /// What a node's interface by which this way begins is like from now on. It has forgotten its neighbour, and what it kept
    /// for it (`neigh_ifdown`).
    pub(in crate::world) fn set_interface(&mut self, way: WayId, interface: Interface) {
        let Some(way) = self.ways.get_mut(usize::from(way.0)) else { return };
        if way.interface == Interface::Down && interface != Interface::Down {
            self.taken_up += 1;
            way.came_up = self.taken_up;
        }
        way.interface = interface;
        way.asking = None;
    }

    pub(super) fn interface(&self, way: WayId) -> Interface {
        self.ways.get(usize::from(way.0)).map_or(Interface::Up, |way| way.interface)
    }

    /// What the interfaces of a node do not lead to; `None`: all are as they were configured.
    pub(in crate::world) fn unlinked(&self, node: NodeId, version: Version) -> Option<Unlinked> {
        let own = || self.ways.iter().filter(|state| state.way.from == node);
        if own().all(|state| state.interface == Interface::Up) {
            return None;
        }
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
        if own().all(|state| state.interface != Interface::Up) {
            addresses.push(address(node, Version::V6));
        }
        let many = match version {
            Version::V4 => own().next().is_some_and(|first| first.interface != Interface::Up),
            Version::V6 => own().all(|state| state.interface == Interface::Down),
        };
        Some(Unlinked { addresses, many })
    }

    /// The neighbours of a link hear each other, or do not.
    pub(in crate::world) fn plug(&mut self, way: WayId, plugged: bool) {
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
    let Network { ways, first, .. } = Network::new(scenario);
    let way = |id: &Option<WayId>| id.map(|id| ways[usize::from(id.0)].way);
    first.iter().map(|row| row.iter().map(way).collect()).collect()
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
    pub(super) fn carry(&mut self, now: Instant, packet: &Packet, noise: Noise) -> Option<Instant> {
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
    pub(super) fn noise(&self) -> Noise {
        self.link.noise_of(self.way, self.count)
    }
}

/// How long a packet takes to leave at this rate.
fn transmission(length: usize, bits_per_second: u64) -> Duration {
    let nanos = (length as u128 * 8 * 1_000_000_000) / u128::from(bits_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
