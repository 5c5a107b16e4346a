//! Packets that nobody sent, made up from what was seen to pass.

use std::net::SocketAddr;

use crate::packet::{Body, Flags, LONGEST_QUOTE, Packet, Segment, Seq};
use crate::scenario::{Forgery, NodeId, Pick, address};

/// What was seen of each node.
#[derive(Debug)]
pub(super) struct Sightings {
    nodes: Vec<Sighting>,
}

#[derive(Clone, Debug, Default)]
struct Sighting {
    /// The last packet that it sent, as much of it as can be quoted.
    sent: Option<Packet>,
    /// Its TCP connections; the one on which it sent last is the last.
    flows: Vec<Flow>,
}

/// What was seen of a TCP connection, on the side of one of its ends.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// This end and the other one.
    ends: (SocketAddr, SocketAddr),
    /// Behind the last byte that it sent, and what it acknowledged with it.
    end: Seq,
    ack: Option<Seq>,
    /// Behind the last byte that was sent to it.
    reached: Option<Seq>,
    /// What the other end has acknowledged.
    acked: Option<Seq>,
}

/// So many connections of a node are remembered: those on which it sent last.
const FLOWS: usize = 64;

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
            Forgery::Rst(pick) => seen.flows.last().map(|flow| flow.segment(Flags::RST, pick)),
            Forgery::Fin(pick) => seen.flows.last().map(|flow| flow.segment(Flags::FIN, pick)),
            Forgery::Syn(pick) => seen.flows.last().map(|flow| flow.segment(Flags::SYN, pick)),
        }
    }
}

impl Sighting {
    fn see_sent(&mut self, packet: &Packet) {
        self.sent = Some(packet.quoted(LONGEST_QUOTE));
        let Body::Tcp(segment) = &packet.body else { return };
        let ends = packet.ends();
        let known = self.flows.iter().position(|flow| flow.ends == ends);
        // A SYN begins anew, whatever these ports had been used for.
        let known = known.map(|at| self.flows.remove(at)).filter(|_| !segment.flags.syn);
        let (reached, acked) = known.map_or((None, None), |flow| (flow.reached, flow.acked));
        if self.flows.len() == FLOWS {
            self.flows.remove(0);
        }
        let (end, ack) = (segment.end(), segment.ack);
        self.flows.push(Flow { ends, end, ack, reached, acked });
    }

    fn see_arriving(&mut self, packet: &Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        let (source, destination) = packet.ends();
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.ends == (destination, source)) else {
            return;
        };
        let later = |was: Option<Seq>, is: Seq| was.filter(|was| !was.before(is)).or(Some(is));
        flow.reached = later(flow.reached, segment.end());
        if let Some(ack) = segment.ack {
            flow.acked = later(flow.acked, ack);
        }
    }

    /// The sequence number that an ICMP error quotes of what was sent.
    fn quoted(&self, latest: Seq, pick: Pick) -> Seq {
        match pick {
            Pick::Exact => latest,
            Pick::Inside => self.flows.last().and_then(|flow| flow.acked).unwrap_or(latest),
            Pick::Outside => Seq(latest.0.wrapping_sub(1 << 24)),
        }
    }
}

impl Flow {
    /// A segment as the other end would send it.
    fn segment(&self, flags: Flags, pick: Pick) -> Packet {
        // The next byte that this end expects: what it acknowledged, or more, if more was seen on its way.
        let expected = match (self.ack, self.reached) {
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
            (None, Pick::Exact) => Some(self.end),
            (None, Pick::Inside) => None,
            (None, Pick::Outside) => Some(self.end + (1 << 24)),
            (Some(_), _) => (!flags.rst && !flags.syn).then_some(self.end),
        };
        let (ours, theirs) = self.ends;
        let segment = Segment {
            source: theirs.port(),
            destination: ours.port(),
            seq,
            ack,
            flags,
            window: 65_535,
            mss: None,
            payload: Vec::new(),
        };
        Packet::new(theirs.ip(), ours.ip(), Body::Tcp(segment))
    }
}
