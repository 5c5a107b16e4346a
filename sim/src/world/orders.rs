//! What the fault engine orders, done to the world.

use super::events::Event;
use super::host::Tally;
use super::outside::Errand;
use super::{Node, World};
use crate::faults::{Faults, Interface, Order, Plug};
use crate::packet::FaultId;
use crate::run::{Happened, Record};
use crate::scenario::{HostFault, NodeId, RouteKind, Way, address, node_at};

use resound_core::Instant;
use resound_core::signal::Version;

impl World<'_> {
    /// Does what the fault engine has ordered.
    pub(super) fn obey(&mut self) {
        while let Some(order) = self.faults.next_order() {
            self.disturbed = self.disturbed.max(Some(self.now));
            self.carry_out(order);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Begins(fault) => self.tell(fault, ""),
            Order::Ends(fault) => self.tell(fault, " ends"),
            Order::Inject(from, packet) => match node_at(packet.destination) {
                Some(to) if to == from => self.events.push(self.now, Event::Local(to, packet)),
                _ => self.send(from, packet),
            },
            Order::Host(fault, node, what) => {
                self.afflict(fault, node, &what);
            }
            Order::PortsAgain(node) => match self.host(node) {
                Some(host) => host.kernel.exhaust_ports(false),
                None => self.errands.push_back(Errand::PortsAgain(node)),
            },
            Order::DescriptorsAgain(node) => match self.host(node) {
                Some(host) => host.kernel.exhaust_descriptors(false),
                None => self.errands.push_back(Errand::DescriptorsAgain(node)),
            },
            Order::Route(node, to, kind) => self.route(node, to, kind),
            Order::Plug(way, plug) => {
                if let Some(way) = Faults::way(self.scenario, way) {
                    self.network.plug(way, plug == Plug::In);
                }
                for way in [way, Way { from: way.to, to: way.from }] {
                    if self.outside(way.from).is_some() {
                        self.errands.push_back(Errand::Plug(way, plug));
                    }
                }
            }
            Order::Interface(fault, way, interface) => self.interface(fault, way, interface),
            Order::Mtu(way, mtu) => {
                if let Some(way) = Faults::way(self.scenario, way) {
                    self.network.mtu(way, mtu);
                }
                if self.outside(way.from).is_some() {
                    self.errands.push_back(Errand::Mtu(way, mtu));
                    if let Some(way) = Faults::way(self.scenario, way) {
                        self.faults.mtu_met(way);
                    }
                }
            }
            // An end that has passed already is now.
            Order::Expire(fault, at) => {
                self.events.push((Instant::EPOCH + at).max(self.now), Event::Expire(fault));
            }
        }
    }

    fn interface(&mut self, fault: FaultId, way: Way, interface: Interface) {
        let Some(id) = Faults::way(self.scenario, way) else { return };
        self.network.set_interface(id, interface);
        if interface == Interface::Down {
            self.faults.acted(fault, "the routes of an interface are gone");
        }
        match self.host(way.from) {
            Some(_) => self.rewire(way.from),
            None => self.errands.push_back(Errand::Interface(way, interface)),
        }
    }

    /// A kernel learns what its host's interfaces are like.
    pub(super) fn rewire(&mut self, node: NodeId) {
        let unlinked = self.network.unlinked(node, self.scenario.version);
        if let Some(host) = self.host(node) {
            host.kernel.unlink(unlinked);
        }
    }

    /// Writes down that a fault begins, or what else there is to say of it.
    pub(super) fn tell(&mut self, fault: FaultId, more: &str) {
        if self.record == Record::Everything {
            let what = format!("{}{more}", self.scenario.describe_fault(fault));
            self.note(Happened::Fault { fault, what });
        }
    }

    fn route(&mut self, node: NodeId, to: Option<NodeId>, kind: Option<RouteKind>) {
        match &mut self.nodes[usize::from(node.0)] {
            Node::Router(router) => router.route(to, kind),
            Node::Outside(_) => {
                self.errands.push_back(Errand::Route(node, to, kind));
                self.faults.route_met(node, to, "the routes of a real host were changed");
            }
            Node::Host(host) => match to {
                None => host.kernel.route(None, kind),
                Some(to) => {
                    for version in [Version::V4, Version::V6] {
                        host.kernel.route(Some(address(to, version)), kind);
                    }
                }
            },
        }
    }

    fn afflict(&mut self, fault: FaultId, node: NodeId, what: &HostFault) {
        let now = self.now;
        let Some(host) = self.host(node) else { return self.afflict_outside(fault, node, what) };
        match what {
            HostFault::Kill => {
                let pids = host.processes.pids();
                for &pid in &pids {
                    host.processes.end(pid);
                    host.kernel.exit(now, pid);
                }
                self.drain(node);
                self.acted_if(fault, !pids.is_empty(), "its programs are gone", "no program ran there");
            }
            HostFault::Pause(lasts) => self.pause(node, fault, *lasts),
            HostFault::PowerLoss => {
                self.lose_power(node, fault, None);
                self.faults.acted(fault, "the host is dead");
            }
            HostFault::Reboot(after) => {
                self.lose_power(node, fault, Some(now + *after));
                self.events.push(now + *after, Event::Boot(node));
                self.faults.acted(fault, "the host has lost its memory");
            }
            HostFault::Forget => {
                let forgotten = host.kernel.forget();
                self.acted_if(fault, forgotten > 0, "its connections are forgotten", "it had no connection");
            }
            HostFault::Skew(by) => {
                host.skew = host.skew.saturating_add(*by);
                let pids = host.processes.pids();
                for &pid in &pids {
                    self.enqueue(node, pid);
                }
                self.acted_if(
                    fault,
                    !pids.is_empty(),
                    "the clock of its programs has jumped",
                    "no program ran there",
                );
            }
            HostFault::ShortReads(most) => host.limits.reads = Some((*most as usize, fault)),
            HostFault::ShortWrites(most) => host.limits.writes = Some((*most as usize, fault)),
            HostFault::SpuriousWake => {
                let pids = host.processes.wake_all();
                for &pid in &pids {
                    self.enqueue(node, pid);
                }
                self.acted_if(
                    fault,
                    !pids.is_empty(),
                    "its programs were woken for nothing",
                    "no program ran there",
                );
            }
            HostFault::ReceiveBuffer(bytes) => {
                host.kernel.receive_buffer(*bytes);
                self.watch(node, fault, Tally::ReceiveBuffers);
            }
            HostFault::SendBuffer(bytes) => {
                host.kernel.send_buffer(*bytes);
                self.watch(node, fault, Tally::SendBuffers);
            }
            HostFault::NoPorts(_) => {
                host.kernel.exhaust_ports(true);
                self.watch(node, fault, Tally::NoPort);
            }
            HostFault::NoDescriptors(_) => {
                host.kernel.exhaust_descriptors(true);
                self.watch(node, fault, Tally::NoDescriptor);
            }
            HostFault::AcceptQueue(most) => {
                host.kernel.accept_queue(*most);
                self.watch(node, fault, Tally::QueueFull);
            }
        }
    }

    fn acted_if(&mut self, fault: FaultId, acted: bool, what: &'static str, why_not: &'static str) {
        if acted {
            self.faults.acted(fault, what);
        } else {
            self.faults.missed(fault, why_not);
        }
    }

    fn lose_power(&mut self, node: NodeId, fault: FaultId, until: Option<Instant>) {
        self.settle(node, |_| true);
        if let Some(host) = self.host(node) {
            host.lose_power(until.map(|until| (until, fault)));
        }
    }

    /// Whether this fault acted, its kernel's tally will show when it ends, or the run.
    fn watch(&mut self, node: NodeId, fault: FaultId, tally: Tally) {
        // From now on it is this one's doing.
        self.settle(node, |other| other == tally);
        if let Some(host) = self.host(node) {
            let so_far = host.tally(tally);
            host.tallies.push((fault, tally, so_far));
        }
    }

    /// Faults that show only by a tally: whether they have acted.
    pub(super) fn settle(&mut self, node: NodeId, is: impl Fn(Tally) -> bool) {
        let Some(host) = self.host(node) else { return };
        let (over, on) = core::mem::take(&mut host.tallies).into_iter().partition(|&(_, tally, _)| is(tally));
        host.tallies = on;
        let acted: Vec<_> =
            Vec::into_iter(over).filter(|&(_, tally, before)| host.tally(tally) > before).collect();
        for (fault, tally, _) in acted {
            let what = match tally {
                Tally::ReceiveBuffers | Tally::SendBuffers => "sockets were made with it",
                Tally::NoPort => "a socket got no port",
                Tally::NoDescriptor => "a call got no descriptor",
                Tally::QueueFull => "a SYN found the queue full",
            };
            self.faults.acted(fault, what);
        }
    }

    /// The same, of all hosts.
    pub(super) fn settle_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.settle(NodeId(node as u8), |_| true);
        }
    }
}
