//! Packets that nobody sent, made up from what was seen to pass.

use std::net::IpAddr;

use crate::packet::{Body, Flags, Packet, Segment, Seq};
use crate::scenario::{Forgery, NodeId, Pick};
use crate::world::address;

/// What each node was last seen to send and to be sent.
#[derive(Debug)]
pub(super) struct Sightings {
    nodes: Vec<Sighting>,
}

#[derive(Clone, Debug, Default)]
struct Sighting {
    /// The last packet that it sent.
    sent: Option<Packet>,
    /// The last TCP segment that it sent.
    segment: Option<Packet>,
    /// Behind the last byte that was sent to it over that connection.
    reached: Option<Seq>,
    /// What its peer has acknowledged over that connection.
    acked: Option<Seq>,
}

impl Sightings {
    pub(super) fn new(nodes: usize) -> Self {
        Self { nodes: vec![Sighting::default(); nodes] }
    }

    /// A packet sets out from this node. What it passes on is somebody else's.
    pub(super) fn sets_out(&mut self, from: NodeId, packet: &Packet) {
        if address(from, packet.version()) == packet.source && !matches!(packet.body, Body::Icmp(_)) {
            self.nodes[usize::from(from.0)].see_sent(packet);
        }
    }

    /// A packet is on its last way, to this node.
    pub(super) fn arrives(&mut self, to: NodeId, packet: &Packet) {
        if address(to, packet.version()) == packet.destination {
            self.nodes[usize::from(to.0)].see_arriving(packet);
        }
    }

    /// The packet that `from` makes up for `to`; `None` if nothing was seen that it could be about.
    pub(super) fn forge(&self, from: NodeId, to: NodeId, what: &Forgery) -> Option<Packet> {
        let seen = &self.nodes[usize::from(to.0)];
        match *what {
            Forgery::Icmp { kind, code, mtu, quote, quoted } => {
                let about = seen.sent.as_ref()?;
                let offender = address(from, about.version());
                let mut packet =
                    about.complain(offender, kind, code, mtu.map(u32::from), usize::from(quoted));
                if let Body::Icmp(icmp) = &mut packet.body {
                    if let Body::Tcp(segment) = &mut icmp.quote.body {
                        segment.seq = seen.quoted(segment.seq, quote);
                    }
                }
                Some(packet)
            }
            Forgery::Rst(pick) => seen.segment_for(Flags::RST, pick),
            Forgery::Fin(pick) => seen.segment_for(Flags::FIN, pick),
            Forgery::Syn(pick) => seen.segment_for(Flags::SYN, pick),
        }
    }
}

impl Sighting {
    fn see_sent(&mut self, packet: &Packet) {
        if let Body::Tcp(_) = packet.body {
            if self.segment.as_ref().is_none_or(|last| last.ends() != packet.ends()) {
                (self.reached, self.acked) = (None, None);
            }
            self.segment = Some(packet.clone());
        }
        self.sent = Some(packet.clone());
    }

    fn see_arriving(&mut self, packet: &Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        let Some(ours) = &self.segment else { return };
        let (source, destination) = packet.ends();
        if ours.ends() != (destination, source) {
            return;
        }
        let end = segment.end();
        if self.reached.is_none_or(|reached| reached.before(end)) {
            self.reached = Some(end);
        }
        if let Some(ack) = segment.ack {
            if self.acked.is_none_or(|acked| acked.before(ack)) {
                self.acked = Some(ack);
            }
        }
    }

    /// The sequence number that an ICMP error quotes of what was sent.
    fn quoted(&self, latest: Seq, pick: Pick) -> Seq {
        match pick {
            Pick::Exact => latest,
            Pick::Inside => self.acked.unwrap_or(latest),
            Pick::Outside => Seq(latest.0.wrapping_sub(1 << 24)),
        }
    }

    /// A segment as its peer would send it.
    fn segment_for(&self, flags: Flags, pick: Pick) -> Option<Packet> {
        let ours = self.segment.as_ref()?;
        let Body::Tcp(sent) = &ours.body else { return None };
        // The next byte that it expects: what it acknowledged, or more, if more was seen on its way.
        let expected = match (sent.ack, self.reached) {
            (Some(ack), Some(reached)) if ack.before(reached) => Some(reached),
            (ack, reached) => ack.or(reached),
        };
        let seq = expected.map_or(Seq(0), |expected| match pick {
            Pick::Exact => expected,
            Pick::Inside => expected + 1,
            Pick::Outside => expected + (1 << 24),
        });
        // A connection that is only asked for is refused by a reset that acknowledges its SYN.
        let ack = match (expected, pick) {
            (None, Pick::Exact) => Some(sent.end()),
            (None, Pick::Inside) => None,
            (None, Pick::Outside) => Some(sent.end() + (1 << 24)),
            (Some(_), _) => (!flags.rst && !flags.syn).then(|| sent.end()),
        };
        let segment = Segment {
            source: sent.destination,
            destination: sent.source,
            seq,
            ack,
            flags,
            window: 65_535,
            mss: None,
            payload: Vec::new(),
        };
        let source: IpAddr = ours.destination;
        Some(Packet::new(source, ours.source, Body::Tcp(segment)))
    }
}
