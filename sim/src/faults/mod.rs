//! The fault engine: when each fault of a scenario happens, what it does to packets, and what became of it.
//!
//! # Theory of operation
//!
//! The engine knows nothing of kernels and hosts. It is told what passes on the links, what programs say and which states
//! sockets enter; it answers with what happens to a packet ([`Passing`]), and with orders for whoever plays the scenario
//! ([`Order`]). So it works on a simulated network as on a router between real ones.
//!
//! ```text
//!   a packet sets out ─► passes() ─► lost, late, twice, changed     what every fault did
//!   time, state, words ─► fire()  ─► orders: inject, kill, cut …    ─────► ledger
//! ```
//!
//! What it forges it makes up from what it has seen pass, like a man in the middle: it never asks a kernel for a sequence
//! number.

use std::collections::VecDeque;
use std::time::Duration;

use resound_core::Instant;

use crate::kernel::{Fate, TcpState};
use crate::packet::{FaultId, Packet};
use crate::run::Effect;
use crate::scenario::{Comeback, HostFault, NodeId, RouteKind, Scenario, Tamper, Trigger, Way, What};

mod forge;
mod ledger;
mod tamper;

use forge::Sightings;
use ledger::Ledger;

/// One direction of a link: twice the link's place in its scenario, and one more if it leads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WayId(pub u16);

/// What happens to a packet that sets out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// It is lost.
    pub lost: bool,
    /// It is later by this much than the link makes it.
    pub late: Duration,
    /// It arrives a second time, so much after the first, for this fault.
    pub twice: Option<(Duration, FaultId)>,
    /// Which fault did it, and its word.
    pub fault: Option<(FaultId, &'static str)>,
}

/// Whether a link delivers a packet, whatever faults do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// It does.
    Delivers,
    /// Its noise, or its full queue, loses it.
    Loses,
}

/// What is to be done by whoever plays the scenario.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A fault that is not about one packet begins: for whoever writes down what happens.
    Begins(FaultId),
    /// A fault that lasts has ended.
    Ends(FaultId),
    /// Send this packet off from this node.
    Inject(NodeId, Packet),
    /// Something happens to a host.
    Host(FaultId, NodeId, HostFault),
    /// The last [`HostFault::NoPorts`] of this host is over.
    PortsAgain(NodeId),
    /// The last [`HostFault::NoDescriptors`] of this host is over.
    DescriptorsAgain(NodeId),
    /// A node has lost its way to another one, or to all; or (`None`) has it back.
    Route(NodeId, Option<NodeId>, Option<RouteKind>),
    /// Neighbours do not hear each other any more, or do again.
    Plug(Way, Plug),
    /// The interface of a host by which this way begins is taken down, or up.
    Interface(FaultId, Way, Interface),
    /// Longer packets do not fit any more.
    Mtu(Way, u16),
    /// Call [`Faults::expire`] at this time after the start.
    Expire(FaultId, Duration),
}

/// Whether neighbours hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plug {
    /// They do not.
    Out,
    /// They do.
    In,
}

/// What an interface of a host is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// As it was configured.
    Up,
    /// Up, with nothing but what the kernel gave it by itself: [`Comeback::Bare`].
    Bare,
    /// Down.
    Down,
}

/// The fault engine of one run.
#[derive(Debug)]
pub struct Faults<'s> {
    scenario: &'s Scenario,
    /// How many packets have set out each way.
    counts: Vec<u32>,
    /// What is waited for: a beginning or an end.
    watches: Vec<(Watch, FaultId, Turn)>,
    /// Faults that last, from their beginning to their end.
    lasting: Vec<FaultId>,
    /// Ways that are cut, and by which fault.
    cuts: Vec<(WayId, FaultId)>,
    /// What happens to the next packet of a way: all of it, to that one.
    next: Vec<(WayId, FaultId, Tamper)>,
    sightings: Option<Sightings>,
    ledger: Ledger,
    orders: VecDeque<Order>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begin,
    End,
}

/// A trigger, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Watch {
    Packet(WayId, u32),
    State(NodeId, TcpState),
    Says(NodeId, String),
}

impl<'s> Faults<'s> {
    /// The engine of a scenario whose run begins now. Gives the times at which [`fire`](Self::fire) is to be called.
    #[must_use]
    pub fn new(scenario: &'s Scenario) -> (Self, Vec<(Duration, FaultId)>) {
        let forges = scenario.faults.iter().any(|fault| matches!(fault.what, What::Forge { .. }));
        let mut faults = Self {
            scenario,
            counts: vec![0; scenario.links.len() * 2],
            watches: Vec::new(),
            lasting: Vec::new(),
            cuts: Vec::new(),
            next: Vec::new(),
            sightings: forges.then(|| Sightings::new(scenario.nodes.len())),
            ledger: Ledger::new(scenario.faults.len()),
            orders: VecDeque::new(),
        };
        let mut times = Vec::new();
        for (index, fault) in scenario.faults.iter().enumerate() {
            let id = FaultId(index as u32);
            match faults.watch(&fault.when) {
                Ok(at) => times.push((at, id)),
                Err(watch) => faults.watches.push((watch, id, Turn::Begin)),
            }
        }
        (faults, times)
    }

    /// The place of a direction; `None` if the scenario has no such link.
    #[must_use]
    pub fn way(scenario: &Scenario, way: Way) -> Option<WayId> {
        let place = |link: &crate::scenario::Link| match link.ends {
            [a, b] if (a, b) == (way.from, way.to) => Some(0),
            [a, b] if (b, a) == (way.from, way.to) => Some(1),
            _ => None,
        };
        let found = scenario.links.iter().enumerate().find_map(|(at, link)| Some((at, place(link)?)));
        found.map(|(at, back)| WayId((at * 2 + back) as u16))
    }

    fn way_id(&self, way: Way) -> WayId {
        Self::way(self.scenario, way).unwrap_or(WayId(u16::MAX))
    }

    fn watch(&self, trigger: &Trigger) -> Result<Duration, Watch> {
        Err(match trigger {
            Trigger::At(at) => return Ok(*at),
            Trigger::Packet(way, nth) => Watch::Packet(self.way_id(*way), *nth),
            Trigger::State(node, state) => Watch::State(*node, *state),
            Trigger::Says(node, words) => Watch::Says(*node, words.clone()),
        })
    }

    // What is told.

    /// A packet sets out on a link that delivers it or, for its own reasons, does not. What was ordered by it is in
    /// [`next_order`](Self::next_order).
    #[inline]
    pub fn passes(&mut self, way: WayId, packet: &mut Packet, link: Carries) -> Passing {
        let count = &mut self.counts[usize::from(way.0)];
        *count += 1;
        let nth = *count;
        if self.watches.is_empty() && self.cuts.is_empty() && self.next.is_empty() && self.sightings.is_none()
        {
            return Passing::default();
        }
        self.passes_as(nth, way, packet, link)
    }

    fn passes_as(&mut self, nth: u32, way: WayId, packet: &mut Packet, link: Carries) -> Passing {
        let ends = self.scenario.links[usize::from(way.0) / 2].ends;
        let (from, to) = if way.0 % 2 == 0 { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        if let Some(sightings) = &mut self.sightings {
            sightings.sets_out(from, packet);
        }
        self.happened(|watch| matches!(*watch, Watch::Packet(on, n) if on == way && n == nth));
        let passing = self.tamper(way, packet, link);
        if let Some(sightings) = self.sightings.as_mut().filter(|_| !passing.lost) {
            sightings.arrives(to, packet);
        }
        passing
    }

    /// A program said something, as it is displayed.
    pub fn said(&mut self, node: NodeId, said: impl FnOnce() -> String) {
        if self.watches.iter().any(|(watch, ..)| matches!(watch, Watch::Says(at, _) if *at == node)) {
            let said = said();
            self.happened(
                |watch| matches!(watch, Watch::Says(at, words) if *at == node && begins(&said, words)),
            );
        }
    }

    /// A TCP socket entered a state.
    pub fn entered(&mut self, node: NodeId, state: TcpState) {
        if !self.watches.is_empty() {
            self.happened(|watch| *watch == Watch::State(node, state));
        }
    }

    /// What is to be done next.
    #[must_use]
    pub fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// What came of a packet that a fault had made or changed.
    pub fn met(&mut self, fault: FaultId, fate: Fate) {
        self.ledger.met(fault, fate);
    }

    /// There was nothing that a fault could have done anything to.
    pub fn missed(&mut self, fault: FaultId, why: &str) {
        self.ledger.missed(fault, why.to_owned());
    }

    /// A fault changed something, in words.
    pub fn acted(&mut self, fault: FaultId, what: impl Into<String>) {
        self.ledger.acted(fault, what.into());
    }

    /// What each fault did, in the order of the scenario.
    #[must_use]
    pub fn ledger(self) -> Vec<Effect> {
        self.ledger.close()
    }

    fn count(&self, way: WayId) -> u32 {
        self.counts.get(usize::from(way.0)).copied().unwrap_or(0)
    }

    /// How many packets have set out on each link, there and back.
    #[must_use]
    pub fn counts(&self) -> Vec<[u32; 2]> {
        self.counts.chunks(2).map(|both| [both[0], both[1]]).collect()
    }

    fn happened(&mut self, is: impl Fn(&Watch) -> bool) {
        let mut index = 0;
        while let Some((watch, id, turn)) = self.watches.get(index) {
            if is(watch) {
                let (id, turn) = (*id, *turn);
                self.watches.remove(index);
                match turn {
                    Turn::Begin => self.fire(id),
                    Turn::End => self.expire(id),
                }
            } else {
                index += 1;
            }
        }
    }

    // What begins and ends.

    /// It is time for this fault.
    pub fn fire(&mut self, id: FaultId) {
        let scenario = self.scenario;
        let fault = &scenario.faults[id.0 as usize];
        self.ledger.began(id);
        if !matches!(fault.what, What::Tamper(..)) {
            self.orders.push_back(Order::Begins(id));
        }
        match &fault.what {
            What::Tamper(way, tamper) => self.next.push((self.way_id(*way), id, *tamper)),
            What::Cut(way, until) => {
                self.cuts.push((self.way_id(*way), id));
                self.ends(id, until.as_ref());
            }
            What::Unplug(way, until) => {
                let back = Way { from: way.to, to: way.from };
                self.cuts.extend([(self.way_id(*way), id), (self.way_id(back), id)]);
                self.orders.push_back(Order::Plug(*way, Plug::Out));
                self.ends(id, until.as_ref());
            }
            What::LinkDown(way, until) => {
                let back = Way { from: way.to, to: way.from };
                self.cuts.extend([(self.way_id(*way), id), (self.way_id(back), id)]);
                // In this order: a kernel that loses an interface forgets its neighbours by itself, and tells nobody.
                self.orders.push_back(Order::Interface(id, *way, Interface::Down));
                self.orders.push_back(Order::Plug(*way, Plug::Out));
                self.ends(id, until.as_ref().map(|(until, _)| until));
            }
            What::Mtu(way, mtu) => {
                self.lasting.push(id);
                self.orders.push_back(Order::Mtu(*way, *mtu));
            }
            What::Forge { from, to, packet } => {
                let forged = self.sightings.as_ref().and_then(|seen| seen.forge(*from, *to, packet));
                match forged {
                    Some(forged) => {
                        self.orders.push_back(Order::Inject(*from, Packet { fault: Some(id), ..forged }));
                    }
                    None => {
                        self.ledger.missed(id, "nothing was seen yet that it could be about".to_owned());
                    }
                }
            }
            What::Route { at, to, kind, until } => {
                self.orders.push_back(Order::Route(*at, *to, Some(*kind)));
                self.ends(id, until.as_ref());
            }
            What::Host(node, fault) => {
                self.orders.push_back(Order::Host(id, *node, fault.clone()));
                if let HostFault::NoPorts(until) | HostFault::NoDescriptors(until) = fault {
                    self.ends(id, until.as_ref());
                }
            }
        }
    }

    /// A fault lasts from now on: for good, or until then. What has passed already ends it at once.
    fn ends(&mut self, id: FaultId, until: Option<&Trigger>) {
        self.lasting.push(id);
        match until.map(|until| self.watch(until)) {
            None => {}
            Some(Err(Watch::Packet(way, nth))) if self.count(way) >= nth => self.expire(id),
            Some(Ok(at)) => self.orders.push_back(Order::Expire(id, at)),
            Some(Err(watch)) => self.watches.push((watch, id, Turn::End)),
        }
    }

    /// A fault that lasts is over. What another one that lasts does to the same thing goes on.
    pub fn expire(&mut self, id: FaultId) {
        self.cuts.retain(|(_, fault)| *fault != id);
        self.lasting.retain(|fault| *fault != id);
        self.orders.push_back(Order::Ends(id));
        match &self.scenario.faults[id.0 as usize].what {
            What::Unplug(way, _) => self.plug_in(*way),
            What::LinkDown(way, until) => {
                let same = |what: &What| matches!(what, What::LinkDown(other, ..) if other == way);
                if self.last(same).is_none() {
                    let up = match until {
                        Some((_, Comeback::Bare)) => Interface::Bare,
                        _ => Interface::Up,
                    };
                    self.orders.push_back(Order::Interface(id, *way, up));
                    self.plug_in(*way);
                }
            }
            What::Route { at, to, .. } => {
                let same =
                    |what: &What| matches!(what, What::Route { at: a, to: t, .. } if (a, t) == (at, to));
                let other = self.last(same).map(|other| &self.scenario.faults[other.0 as usize].what);
                let kind = match other {
                    Some(What::Route { kind, .. }) => Some(*kind),
                    _ => None,
                };
                self.orders.push_back(Order::Route(*at, *to, kind));
            }
            What::Host(node, HostFault::NoPorts(_)) => {
                let same =
                    |what: &What| matches!(what, What::Host(other, HostFault::NoPorts(_)) if other == node);
                if self.last(same).is_none() {
                    self.orders.push_back(Order::PortsAgain(*node));
                }
            }
            What::Host(node, HostFault::NoDescriptors(_)) => {
                let same =
                    |what: &What| matches!(what, What::Host(at, HostFault::NoDescriptors(_)) if at == node);
                if self.last(same).is_none() {
                    self.orders.push_back(Order::DescriptorsAgain(*node));
                }
            }
            _ => {}
        }
    }

    /// The neighbours of a link hear each other again, unless another fault keeps them from it.
    fn plug_in(&mut self, way: Way) {
        if self.last(|what| self.is_unplugged_by(what, self.way_id(way))).is_none() {
            self.orders.push_back(Order::Plug(way, Plug::In));
        }
    }

    fn is_unplugged_by(&self, what: &What, way: WayId) -> bool {
        match what {
            What::Unplug(of, _) | What::LinkDown(of, ..) => self.way_id(*of).0 / 2 == way.0 / 2,
            _ => false,
        }
    }

    /// The latest of the faults that last now and are so.
    fn last(&self, is: impl Fn(&What) -> bool) -> Option<FaultId> {
        self.lasting.iter().rev().copied().find(|id| is(&self.scenario.faults[id.0 as usize].what))
    }

    fn met_by(&mut self, is: impl Fn(&What) -> bool, what: &str) {
        self.met_at_last(self.last(is), what);
    }

    fn met_at_last(&mut self, fault: Option<FaultId>, what: &str) {
        if let Some(id) = fault.filter(|id| !self.ledger.has_acted(*id)) {
            self.ledger.acted(id, what.to_owned());
        }
    }

    /// A packet, or a call, found that a node has no way: to that node, if that is known.
    pub fn route_met(&mut self, at: NodeId, towards: Option<NodeId>, what: &str) {
        let is = |what: &What| match what {
            What::Route { at: node, to, .. } => {
                *node == at && (towards.is_none() || to.is_none() || *to == towards)
            }
            _ => false,
        };
        self.met_by(is, what);
    }

    /// A packet found its link unplugged.
    pub fn plug_met(&mut self, way: WayId) {
        let by = self.last(|what| self.is_unplugged_by(what, way));
        self.met_at_last(by, "a neighbour was asked for and did not answer");
    }

    /// A packet was too long for a link.
    pub fn mtu_met(&mut self, way: WayId) {
        let scenario = self.scenario;
        let is = |what: &What| matches!(what, What::Mtu(of, _) if Self::way(scenario, *of) == Some(way));
        self.met_by(is, "a packet was too long");
    }
}

/// Whether what is said begins with these words.
#[must_use]
pub(crate) fn begins(said: &str, words: &str) -> bool {
    said.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The time of an instant of the run.
#[must_use]
pub const fn since_start(at: Instant) -> Duration {
    at.since(Instant::EPOCH)
}
