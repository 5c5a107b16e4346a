//! What the world wants done to the real hosts.

use std::time::{Duration, Instant};
use std::{io, thread};

use nix::libc;
use resound_sim::faults::Plug;
use resound_sim::packet::{FaultId, Packet};
use resound_sim::scenario::{HostFault, NodeId, Way};
use resound_sim::world::Errand;

use super::{PlayError, Stage};
use crate::agent::{Agent, Descriptors};
use crate::rig::Wire;
use crate::suite::LATE;

/// What a host has no room for is offered again after so long.
const OFFERED_AGAIN: Duration = Duration::from_millis(1);

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
            Errand::Deliver { host, from, packet } => self.deliver(host, from, &packet)?,
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

    /// Over the wire of the neighbour from which it comes. What comes from the host itself comes over any that it hears.
    fn deliver(&mut self, host: NodeId, from: Option<NodeId>, packet: &Packet) -> Result<(), PlayError> {
        let is_it = |way: Way| way.from == host && from.is_none_or(|from| way.to == from);
        let mut wires = 0..self.rig.wires().len();
        let takes = |wire: &usize| {
            let way = self.rig.wires()[*wire].way();
            is_it(way) && self.rig.hears(way)
        };
        match wires.find(takes) {
            Some(wire) => self.put(wire, |wire| wire.send(packet)),
            None => Ok(()),
        }
    }

    /// Puts something on a wire.
    ///
    /// A host that hears the wire and does not take it (ENOBUFS) has as much to do as it can keep: that is the machine's doing,
    /// and no scenario's. So it is offered again: what comes a little late is what a busy machine does anyway, and a packet
    /// that is lost would be a fault that nobody named. If it is not taken for so long that the play is too late to be
    /// believed, it is lost, and the play is as late as that.
    pub(super) fn put(
        &mut self,
        wire: usize,
        mut what: impl FnMut(&mut Wire) -> io::Result<()>,
    ) -> Result<(), PlayError> {
        let began = Instant::now();
        let way = self.rig.wires()[wire].way();
        loop {
            match what(&mut self.rig.wires()[wire]) {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                put => return Ok(put?),
            }
            // Nobody is there.
            if !self.rig.hears(way) {
                return Ok(());
            }
            if began.elapsed() > LATE {
                self.late = self.late.max(began.elapsed());
                return Ok(());
            }
            thread::sleep(OFFERED_AGAIN);
        }
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
