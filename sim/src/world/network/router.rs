//! A node that passes packets on, and says why it does not.

use std::time::Duration;

use super::by_version;
use crate::kernel::{IcmpLimiter, Sysctl, Sysctls};
use crate::packet::{Packet, is_for_many};
use crate::scenario::{self, NodeId, RouteKind, node_at};
use crate::world::{Node, World};

/// A node that passes packets on.
#[derive(Debug)]
pub(in crate::world) struct Router {
    pub(super) limiter: IcmpLimiter,
    routes: Vec<(Option<NodeId>, RouteKind)>,
}

impl Router {
    pub(in crate::world) fn new(node: &scenario::Node) -> Self {
        let mut sysctl = Sysctls::default();
        for &(name, value) in &node.sysctl {
            sysctl.set(name, value);
        }
        Self {
            limiter: IcmpLimiter::new(Duration::from_millis(sysctl.get(Sysctl::IcmpRateLimit))),
            routes: Vec::new(),
        }
    }

    pub(in crate::world) fn route(&mut self, to: Option<NodeId>, kind: Option<RouteKind>) {
        self.routes.retain(|(was, _)| *was != to);
        self.routes.extend(kind.map(|kind| (to, kind)));
    }

    fn routed(&self, to: Option<NodeId>) -> Option<RouteKind> {
        let of = |wanted| self.routes.iter().find(|(to, _)| *to == wanted).map(|(_, kind)| *kind);
        to.and_then(|to| of(Some(to))).or_else(|| of(None))
    }
}

impl World<'_> {
    pub(super) fn forward(&mut self, router: NodeId, mut packet: Packet) {
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
}
