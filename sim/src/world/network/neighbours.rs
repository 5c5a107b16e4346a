//! Neighbours: whoever does not know one's address asks for it.
//!
//! A node that does not hear its neighbour (no power, no cable) asks for its address three times, one second apart, keeps
//! what it has for it meanwhile, and then complains: a host to itself, a router to whoever sent it
//! (`neigh_timer_handler`, `arp_error_report`, `ndisc_error_report`; measured: 3.05 s).

use std::time::Duration;

use resound_core::Instant;

use super::by_version;
use crate::faults::WayId;
use crate::packet::Packet;
use crate::scenario::NodeId;
use crate::world::events::Event;
use crate::world::host::Power;
use crate::world::{Node, World};

/// When a neighbour is asked for again, and when that is given up.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASKS: u8 = 3;
const GIVE_UP: Duration = Duration::from_millis(3_050);

/// What a node keeps for a neighbour that it is asking for (`unres_qlen_bytes` holds about as many small ones).
const UNRESOLVED: usize = 100;

/// A neighbour's address is being asked for.
#[derive(Debug)]
pub(super) struct Asking {
    since: Instant,
    asked: u8,
    waiting: Vec<Packet>,
}

impl World<'_> {
    /// A packet is to leave a node by this way.
    pub(super) fn transmit(&mut self, way: WayId, packet: Packet) {
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
            self.events.push(now + ASK_AGAIN, Event::Resolve(way, now));
        }
        if let Some(asking) = state.asking.as_mut().filter(|asking| asking.waiting.len() < UNRESOLVED) {
            asking.waiting.push(packet);
        }
    }

    pub(in crate::world) fn is_there(&self, node: NodeId) -> bool {
        match &self.nodes[usize::from(node.0)] {
            Node::Host(host) => host.power == Power::On,
            Node::Outside(outside) => outside.power == Power::On,
            Node::Router(_) => true,
        }
    }

    /// A neighbour that did not answer is asked again, or given up.
    #[cold]
    pub(in crate::world) fn resolve(&mut self, way: WayId, since: Instant) {
        let now = self.now;
        let state = &self.network.ways[usize::from(way.0)];
        let answers = self.network.answers(way, self.scenario.version) && self.is_there(state.way.to);
        let state = &mut self.network.ways[usize::from(way.0)];
        // What an interface forgot that was down is asked for anew.
        let Some(mut asking) = state.asking.take_if(|asking| asking.since == since) else { return };
        if answers {
            for packet in asking.waiting {
                self.depart(way, packet);
            }
        } else if asking.asked < ASKS {
            asking.asked += 1;
            let next = if asking.asked < ASKS { now + ASK_AGAIN } else { asking.since + GIVE_UP };
            state.asking = Some(asking);
            self.events.push(next, Event::Resolve(way, since));
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
}
