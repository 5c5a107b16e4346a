//! Hosts that somebody else plays: real ones, beside or instead of the simulated.
//!
//! # Theory of operation
//!
//! [`Live`] is a world without a clock of its own. Its driver tells it the time, the packets that left the hosts outside, and
//! what programs said there; it answers with [errands](Errand): packets to be delivered, lines of the script to be read,
//! faults to be done to a host. Links, routers and the fault engine are those of every [`World`], so what happens to a
//! packet of a real kernel is what would happen to one of a simulated kernel.
//!
//! ```text
//!   real host ── packet, words ──►  ┌───────┐  ──► Errand::Deliver, Ask, Afflict …   to be done outside
//!   clock ────── advance ────────►  │ World │
//!                                   └───────┘  ──► Run                               as of any other world
//! ```
//!
//! Into a kernel outside nobody can look: a packet that a fault made or changed has acted when it was delivered there.

use resound_core::Instant;

use super::events::Event;
use super::host::Power;
use super::{Cast, Node, World};
use crate::faults::{Faults, Interface, Plug};
use crate::kernel::{Fate, TcpState};
use crate::packet::{Body, FaultId, Packet, is_for_many};
use crate::run::{Happened, Record, Run};
use crate::scenario::{Command, HostFault, NodeId, Role, RouteKind, Said, Scenario, Way, node_at};

/// A scenario some of whose hosts are played by somebody else, in whatever time its driver keeps.
#[derive(Debug)]
pub struct Live<'s> {
    world: World<'s>,
}

/// What is to be done to a host outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// A packet has come to it.
    Deliver {
        /// To whom.
        host: NodeId,
        /// The neighbour on whose link it came; `None`: it came by no link, but from the host itself.
        from: Option<NodeId>,
        /// If it is [damaged](Packet::damaged), its bytes are to be so that a checksum fails.
        packet: Packet,
    },
    /// A line of the script is to be read to its programs.
    Ask {
        /// Whose.
        host: NodeId,
        /// The line's place in [`Scenario::script`].
        line: u32,
        /// For the random choices of a program that it starts: [`Stage::seed`](super::Stage::seed).
        seed: u64,
    },
    /// Something happens to it. Whether that changed anything is to be told: [`Live::acted`], [`Live::missed`].
    Afflict(FaultId, NodeId, HostFault),
    /// Its programs go on after a pause.
    Resume(NodeId),
    /// It is back after a reboot: with an empty memory, and its servers are started again by [`Ask`](Self::Ask).
    Boot(NodeId),
    /// The last [`HostFault::NoPorts`] is over.
    PortsAgain(NodeId),
    /// The last [`HostFault::NoDescriptors`] is over.
    DescriptorsAgain(NodeId),
    /// It has lost its way to a node, or to all; or (`None`) has it back.
    Route(NodeId, Option<NodeId>, Option<RouteKind>),
    /// It does not hear its neighbour any more, not even when it asks for its address; or does again.
    Plug(Way, Plug),
    /// The interface by which this way leaves it is taken down, or up: in whatever state the host is. What it is like outlasts
    /// [`Afflict`](Self::Afflict): a host that is rebooted, or forgets, has its interfaces as they were.
    Interface(Way, Interface),
    /// Longer packets do not fit the link that leaves it this way.
    Mtu(Way, u16),
}

/// What the world keeps of a host that it does not play.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) power: Power,
    boots_at: Option<(Instant, FaultId)>,
    pause: Option<(Instant, FaultId)>,
    /// Lines of the script whose programs are started again when it boots.
    services: Vec<u32>,
}

impl Outside {
    pub(super) const fn new() -> Self {
        Self { power: Power::On, boots_at: None, pause: None, services: Vec::new() }
    }
}

impl<'s> Live<'s> {
    /// The world of a scenario at its beginning, with these hosts outside. The cast are the programs of the others.
    ///
    /// # Panics
    ///
    /// As [`World::new`].
    #[must_use]
    pub fn new(
        scenario: &'s Scenario,
        cast: &'s mut dyn Cast,
        record: Record,
        outside: impl Fn(NodeId) -> bool,
    ) -> Self {
        let mut world = World::new(scenario, cast);
        world.record = record;
        for (at, node) in scenario.nodes.iter().enumerate() {
            if node.role == Role::Host && outside(NodeId(at as u8)) {
                world.nodes[at] = Node::Outside(Box::new(Outside::new()));
            }
        }
        Self { world }
    }

    // Time.

    /// The time up to which it has been played.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.world.now
    }

    /// When it is to be [advanced](Self::advance) at the latest; `None`: nothing will happen by itself.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.world.runnable.is_empty() { self.world.events.next_at() } else { Some(self.world.now) }
    }

    /// Plays everything up to this time, which is never before [`now`](Self::now).
    pub fn advance(&mut self, to: Instant) {
        self.world.play_until(to);
        self.world.now = self.world.now.max(to);
    }

    // What is told.

    /// A packet has left a host outside, by this way.
    pub fn sets_out(&mut self, at: Instant, way: Way, packet: Packet) {
        self.advance(at);
        self.world.left(way, packet);
        self.world.obey();
    }

    /// A program of a host outside said something.
    pub fn says(&mut self, at: Instant, host: NodeId, said: Said) {
        self.advance(at);
        self.world.says(host, said);
        self.world.obey();
    }

    /// A TCP socket of a host outside entered a state.
    pub fn enters(&mut self, at: Instant, host: NodeId, state: TcpState) {
        self.advance(at);
        if self.world.record == Record::Everything {
            self.world.note(Happened::State { node: host, state });
        }
        self.world.faults.entered(host, state);
        self.world.obey();
    }

    /// A fault that was done to a host outside changed something, in words.
    pub fn acted(&mut self, fault: FaultId, what: &str) {
        self.world.faults.acted(fault, what);
    }

    /// There was nothing that it could have changed: why.
    pub fn missed(&mut self, fault: FaultId, why: &str) {
        self.world.faults.missed(fault, why);
    }

    // What is asked.

    /// What is to be done outside next; to be asked for until there is no more, whenever something was told.
    pub fn next_errand(&mut self) -> Option<Errand> {
        self.world.errands.pop_front()
    }

    /// A host outside asks for the address of a neighbour: whether that answers.
    pub fn asks(&mut self, at: Instant, host: NodeId, neighbour: NodeId) -> bool {
        self.advance(at);
        let world = &mut self.world;
        let Some(way) = Faults::way(world.scenario, Way { from: host, to: neighbour }) else { return false };
        if !world.network.is_plugged(way) {
            world.faults.plug_met(way);
        }
        world.network.answers(way, world.scenario.version)
            && world.is_there(neighbour)
            && world.is_there(host)
    }

    /// Whether a host has power.
    #[must_use]
    pub fn is_on(&self, host: NodeId) -> bool {
        self.world.is_there(host)
    }

    /// The end: what came of it.
    #[must_use]
    pub fn finish(self) -> Run {
        self.world.finish()
    }
}

impl World<'_> {
    pub(super) fn outside(&mut self, node: NodeId) -> Option<&mut Outside> {
        match &mut self.nodes[usize::from(node.0)] {
            Node::Outside(outside) => Some(outside),
            Node::Host(_) | Node::Router(_) => None,
        }
    }

    /// A packet has left a host outside: its own kernel has found the way, and asked for its neighbour's address.
    fn left(&mut self, way: Way, packet: Packet) {
        let host = way.from;
        if self.is_there(host) {
            if is_for_many(packet.destination) {
                // Its kernel may speak to its neighbours too, of groups and addresses: here they know each other.
                let way = Faults::way(self.scenario, way).filter(|_| matches!(packet.body, Body::Udp(_)));
                if let Some(way) = way {
                    self.depart_to_many(way, packet);
                }
            } else if let Some(way) = node_at(packet.destination).and_then(|to| self.network.first(host, to))
            {
                if self.network.is_plugged(way) {
                    self.depart(way, packet);
                } else {
                    self.faults.plug_met(way);
                }
            }
        }
    }

    /// A packet has come to a host outside.
    pub(super) fn deliver(&mut self, host: NodeId, from: Option<NodeId>, packet: Packet) -> Fate {
        if !self.is_there(host) {
            return Fate::Absorbed("the host has no power");
        }
        self.errands.push_back(Errand::Deliver { host, from, packet });
        Fate::Acted("it was delivered to a kernel that cannot be looked into")
    }

    /// A line of the script is to be read outside.
    pub(super) fn ask_outside(&mut self, index: u32) {
        let scenario = self.scenario;
        let line = &scenario.script[index as usize];
        let host = line.host;
        let Some(outside) = self.outside(host) else { return };
        if let Some((until, fault)) = outside.pause {
            self.faults.acted(fault, "a program that was asked for something stood still");
            return self.events.push(until, Event::Line(index));
        }
        let power = outside.power;
        if matches!(line.command, Command::Serve(..)) && !outside.services.contains(&index) {
            outside.services.push(index);
        }
        if self.record == Record::Everything {
            let command = scenario.show(&line.command).to_string();
            self.note(Happened::Asked { node: host, command });
        }
        match power {
            Power::Off => self.says(host, Said::Refused("the host has no power".into())),
            Power::On => self.ask_line(host, index),
        }
    }

    fn ask_line(&mut self, host: NodeId, line: u32) {
        let seed = self.scenario.seed_of(host, line);
        self.errands.push_back(Errand::Ask { host, line, seed });
    }

    /// Something happens to a host outside.
    pub(super) fn afflict_outside(&mut self, fault: FaultId, host: NodeId, what: &HostFault) {
        let now = self.now;
        if matches!(what, HostFault::PowerLoss | HostFault::Reboot(_)) {
            self.deserted(host);
        }
        let Some(outside) = self.outside(host) else { return };
        match what {
            HostFault::PowerLoss => {
                outside.power = Power::Off;
                outside.boots_at = None;
                outside.pause = None;
                self.faults.acted(fault, "the host is dead");
            }
            HostFault::Reboot(after) => {
                outside.power = Power::Off;
                outside.boots_at = Some((now + *after, fault));
                outside.pause = None;
                self.events.push(now + *after, Event::Boot(host));
                self.faults.acted(fault, "the host has lost its memory");
            }
            // The connections are gone when everything is; its servers are there at once.
            HostFault::Forget => {
                outside.power = Power::Off;
                outside.boots_at = Some((now, fault));
                self.events.push(now, Event::Boot(host));
                self.faults.acted(fault, "its connections are forgotten");
            }
            HostFault::Pause(lasts) => {
                let until = now + *lasts;
                if outside.pause.is_none_or(|(other, _)| other < until) {
                    outside.pause = Some((until, fault));
                }
                self.events.push(until, Event::Resume(host));
            }
            _ => {}
        }
        self.errands.push_back(Errand::Afflict(fault, host, what.clone()));
    }

    /// Its neighbours outside do not hear a host any more: they have to ask for its address, as simulated ones do.
    fn deserted(&mut self, host: NodeId) {
        let links = self.scenario.links.iter().filter(|link| link.ends.contains(&host));
        let neighbours = links.map(|link| if link.ends[0] == host { link.ends[1] } else { link.ends[0] });
        for from in neighbours.collect::<Vec<_>>() {
            if self.outside(from).is_some() {
                self.errands.push_back(Errand::Plug(Way { from, to: host }, Plug::Out));
            }
        }
    }

    pub(super) fn boot_outside(&mut self, host: NodeId) {
        let now = self.now;
        let Some(outside) = self.outside(host) else { return };
        // It may have lost its power once more since that was decided.
        let Some((_, fault)) = outside.boots_at.take_if(|(at, _)| *at <= now) else { return };
        outside.power = Power::On;
        let services = outside.services.clone();
        self.tell(fault, ": it is back");
        self.errands.push_back(Errand::Boot(host));
        for line in services {
            self.ask_line(host, line);
        }
    }

    pub(super) fn resume_outside(&mut self, host: NodeId) {
        let now = self.now;
        let Some(outside) = self.outside(host) else { return };
        let Some((_, fault)) = outside.pause.take_if(|(until, _)| *until <= now) else { return };
        self.tell(fault, " ends");
        self.errands.push_back(Errand::Resume(host));
    }
}
