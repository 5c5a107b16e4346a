//! What the world wants done to the real hosts.

use std::time::Instant;

use resound_sim::faults::Plug;
use resound_sim::packet::{FaultId, Packet};
use resound_sim::scenario::{HostFault, NodeId, node_at};
use resound_sim::world::Errand;

use super::{PlayError, Stage};
use crate::agent::{Agent, Descriptors};

impl Stage<'_> {
    /// Runs all errands there are.
    pub(super) fn errands(&mut self) -> Result<(), PlayError> {
        while let Some(errand) = self.live.next_errand() {
            self.errand(errand)?;
        }
        Ok(())
    }

    fn errand(&mut self, errand: Errand) -> Result<(), PlayError> {
        match errand {
            Errand::Deliver(host, packet) => self.deliver(host, &packet)?,
            Errand::Ask { host, line, seed } => {
                if self.agents[usize::from(host.0)].is_none() {
                    self.start_agent(host)?;
                }
                if let Some(agent) = &mut self.agents[usize::from(host.0)] {
                    agent.ask(line, seed).map_err(|error| PlayError::Died(host, error.to_string()))?;
                }
            }
            Errand::Afflict(fault, host, what) => self.afflict(fault, host, &what)?,
            Errand::Resume(host) => {
                if let Some(agent) = &mut self.agents[usize::from(host.0)] {
                    agent.go_on();
                }
            }
            // Its new namespace was made when the old one went.
            Errand::Boot(_) => {}
            Errand::PortsAgain(host) => self.on(host, |host| host.restore_ports())?,
            Errand::DescriptorsAgain(host) => self.descriptors(host, Descriptors::AsUsual)?,
            Errand::Route(host, to, kind) => self.on(host, |host| host.route(to, kind))?,
            Errand::Plug(way, Plug::Out) => self.on(way.from, |host| host.forget_neighbours(way))?,
            Errand::Plug(_, Plug::In) => {}
            Errand::Interface(way, interface) => self.rig.interface(way, interface)?,
            Errand::Mtu(way, mtu) => self.on(way.from, |host| host.mtu(way, mtu))?,
        }
        Ok(())
    }

    fn on(
        &mut self,
        node: NodeId,
        job: impl FnOnce(&mut crate::rig::Host) -> Result<(), crate::rig::RigError>,
    ) -> Result<(), PlayError> {
        match self.rig.host(node) {
            Some(host) => Ok(job(host)?),
            None => Ok(()),
        }
    }

    fn descriptors(&mut self, node: NodeId, which: Descriptors) -> Result<(), PlayError> {
        let place = usize::from(node.0);
        self.descriptors[place] = which;
        match &mut self.agents[place] {
            Some(agent) => Ok(agent.descriptors(which)?),
            None => Ok(()),
        }
    }

    /// Over the wire on which it would have come: that of the neighbour that sent it, or the first.
    fn deliver(&mut self, host: NodeId, packet: &Packet) -> Result<(), PlayError> {
        let from = node_at(packet.source);
        let wires = self.rig.wires();
        let of_host = |way: resound_sim::scenario::Way| way.from == host;
        let nearest = wires.iter().position(|wire| of_host(wire.way()) && Some(wire.way().to) == from);
        let any = wires.iter().position(|wire| of_host(wire.way()));
        if let Some(at) = nearest.or(any) {
            wires[at].send(packet)?;
        }
        Ok(())
    }

    fn afflict(&mut self, fault: FaultId, node: NodeId, what: &HostFault) -> Result<(), PlayError> {
        let place = usize::from(node.0);
        match what {
            HostFault::Kill => {
                match self.agents[place].take() {
                    Some(agent) => {
                        // What it said before it died counts.
                        self.last_words(node, agent)?;
                        self.live.acted(fault, "its programs were killed");
                    }
                    None => self.live.missed(fault, "no program ran there"),
                }
                self.start_agent(node)?;
            }
            HostFault::Pause(_) => match &mut self.agents[place] {
                Some(agent) => {
                    agent.stop();
                    self.live.acted(fault, "its programs stand still");
                }
                None => self.live.missed(fault, "no program ran there"),
            },
            HostFault::PowerLoss => {
                self.descriptors[place] = Descriptors::AsUsual;
                if let Some(agent) = self.agents[place].take() {
                    self.last_words(node, agent)?;
                }
            }
            HostFault::Reboot(_) | HostFault::Forget => {
                if matches!(what, HostFault::Reboot(_)) {
                    self.descriptors[place] = Descriptors::AsUsual;
                }
                if let Some(agent) = self.agents[place].take() {
                    self.last_words(node, agent)?;
                }
                self.rig.reboot(node)?;
                self.start_agent(node)?;
            }
            HostFault::NoPorts(_) => {
                self.on(node, |host| host.exhaust_ports())?;
                self.live.acted(fault, "its ports are taken");
            }
            HostFault::NoDescriptors(_) => {
                self.descriptors(node, Descriptors::NoMore)?;
                self.live.acted(fault, "its programs get no descriptor");
            }
            // Scenarios with these are not played.
            HostFault::Skew(_)
            | HostFault::ShortReads(_)
            | HostFault::ShortWrites(_)
            | HostFault::SpuriousWake
            | HostFault::ReceiveBuffer(_)
            | HostFault::SendBuffer(_)
            | HostFault::AcceptQueue(_) => self.live.missed(fault, "that cannot be done to a real kernel"),
        }
        Ok(())
    }

    /// Kills an agent, and takes in what it said before.
    fn last_words(&mut self, node: NodeId, agent: Agent) -> Result<(), PlayError> {
        let began = Instant::now();
        self.bury(node, agent)?;
        // It needs a processor to die, and closes its sockets then.
        self.late = self.late.max(began.elapsed());
        self.pass_on(node);
        Ok(())
    }
}
