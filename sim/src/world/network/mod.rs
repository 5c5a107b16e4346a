//! How a packet gets from one host to another, or does not.
//!
//! | file | has |
//! |---|---|
//! | `ways` | what a way does to what passes it, which one leads where, and where it begins |
//! | `neighbours` | who is asked for the address of a neighbour, and what becomes of it without an answer |
//! | `router` | how a node that is no host passes packets on |
//!
//! What is for many - a group, or everybody - goes out of one link of a host, and no router passes it on.

use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use super::events::Event;
use super::host::Power;
use super::{Node, World};
use crate::faults::{Carries, Interface, WayId};
use crate::kernel::Fate;
use crate::packet::{Body, FaultId, LONGEST_QUOTE, Packet, is_for_many};
use crate::run::{Happened, Record};
use crate::scenario::{NodeId, Way, address, node_at};

mod neighbours;
mod router;
mod ways;

pub(super) use router::Router;
pub(super) use ways::Network;
pub use ways::first_ways_of;

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
        let Some(way) = self.network.to_many(node, self.scenario.version) else { return };
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
        let Way { from, to: node } = self.network.ways[usize::from(way.0)].way;
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
            Node::Host(_) | Node::Outside(_) => self.arrives_at(node, Some(from), packet),
            Node::Router(_) => self.forward(node, packet),
        }
    }

    /// A packet has come to a host, from this neighbour or (`None`) from itself.
    pub(super) fn arrives_at(&mut self, node: NodeId, from: Option<NodeId>, packet: Packet) {
        let now = self.now;
        let to = packet.destination;
        let (fault, damaged) = (packet.fault, packet.damaged);
        let Some(host) = self.host(node) else {
            let fate = self.deliver(node, from, packet);
            return self.fate(node, fault, fate);
        };
        let fate = if host.power == Power::Off {
            Fate::Absorbed("the host has no power")
        } else if damaged {
            Fate::Acted("dropped where it arrived, for its checksum")
        } else if host.kernel.is_own(to) {
            host.kernel.receive(now, packet)
        } else {
            Fate::Absorbed("it was for another host")
        };
        self.fate(node, fault, fate);
        self.drain(node);
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
