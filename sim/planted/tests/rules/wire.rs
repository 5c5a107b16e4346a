//! What passed on the wires of a run, as far as a rule needs it for evidence.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resound_planted_sim as resound_sim;

use resound_sim::faults::since_start;
use resound_sim::packet::{Body, Icmp, Packet, Segment, Seq};
use resound_sim::run::Happened;
use resound_sim::scenario::NodeId;
use resound_sim::scenario::address;
use resound_sim::{Echo, Record, Scenario, World};

/// How long the header of the UDP client's datagrams is.
const HEADER: usize = 32;

/// What a client sent, and what reached it.
pub(crate) struct Wire {
    client: IpAddr,
    /// What set out from it, and when.
    sent: Vec<(Duration, Packet)>,
    /// What arrived, whole, and when: in the order of arrival.
    came: Vec<(Duration, Packet)>,
    /// What set out anywhere, once for each link.
    pub(crate) all: Vec<Packet>,
}

impl Wire {
    pub(crate) fn of(scenario: &Scenario, client: NodeId) -> Self {
        let run = World::new(scenario, &mut Echo).play(Record::Everything);
        let addr = address(client, scenario.version);
        let mut wire = Self { client: addr, sent: Vec::new(), came: Vec::new(), all: Vec::new() };
        for moment in run.moments {
            let Happened::Sent { way, packet, arrives, fault } = moment.what else { continue };
            wire.all.push(packet.clone());
            // What is changed on the way is not what the client sent.
            let changed = fault.is_some_and(|(_, word)| matches!(word, "alter" | "truncate"));
            if way.from == client && packet.source == addr && !changed {
                wire.sent.push((since_start(moment.at), packet.clone()));
            }
            if way.to == client && packet.destination == addr && !packet.damaged {
                wire.came.extend(arrives.map(|at| (since_start(at), packet)));
            }
        }
        wire.came.sort_by_key(|(at, _)| *at);
        wire
    }

    fn segments(&self) -> impl Iterator<Item = (Duration, &Segment)> {
        self.came.iter().filter_map(|(at, packet)| match &packet.body {
            Body::Tcp(segment) => Some((*at, segment)),
            _ => None,
        })
    }

    /// The ICMP errors that reached the client: when, from whom, what.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (Duration, IpAddr, &Icmp)> {
        self.came.iter().filter_map(|(at, packet)| match &packet.body {
            Body::Icmp(icmp) => Some((*at, packet.source, icmp)),
            _ => None,
        })
    }

    /// When resets reached the client.
    pub(crate) fn resets(&self) -> impl Iterator<Item = Duration> {
        self.segments().filter(|(_, segment)| segment.flags.rst).map(|(at, _)| at)
    }

    /// When ends of the peer's side reached the client.
    pub(crate) fn fins(&self) -> impl Iterator<Item = Duration> {
        self.segments().filter(|(_, segment)| segment.flags.fin).map(|(at, _)| at)
    }

    /// Both.
    pub(crate) fn ends_reach_client(&self) -> impl Iterator<Item = Duration> {
        self.resets().chain(self.fins())
    }

    /// When the client's program had something new to read from this peer, and how much it then had in all, of the
    /// connection that stood.
    pub(crate) fn heard(&self, peer: SocketAddr) -> Vec<(Duration, usize)> {
        let mut reading: Option<Reading> = None;
        let mut heard = Vec::new();
        for (at, packet) in self.came.iter().filter(|(_, packet)| packet.ends().0 == peer) {
            match &packet.body {
                Body::Udp(datagram) => {
                    // What was changed on the way is nobody's answer.
                    let answers = |asked: &Packet| header(asked).is_some() && header(asked) == header(packet);
                    if self.sent.iter().any(|(_, asked)| answers(asked)) {
                        heard.push((*at, datagram.payload.len()));
                    }
                }
                Body::Tcp(segment) if segment.flags.syn => {
                    reading = Some(Reading::new(segment));
                    heard.push((*at, 0));
                }
                Body::Tcp(segment) => {
                    let total = reading.as_mut().and_then(|reading| reading.take(segment));
                    heard.extend(total.map(|total| (*at, total)));
                }
                Body::Icmp(_) => {}
            }
        }
        heard
    }

    /// Whether more was sent to this TCP peer, on the connection that stood at this time, than had come back by then.
    pub(crate) fn is_owed(&self, peer: SocketAddr, at: Duration) -> bool {
        let back =
            self.heard(peer).into_iter().rev().find(|(heard, _)| *heard < at).map_or(0, |(_, total)| total);
        let sent = self.sent.iter().filter(|(sent, packet)| *sent < at && packet.ends().1 == peer);
        let (mut first, mut most) = (Seq(0), 0);
        for (_, packet) in sent {
            match &packet.body {
                Body::Tcp(segment) if segment.flags.syn => (first, most) = (segment.end(), 0),
                Body::Tcp(segment) if !segment.payload.is_empty() => {
                    most = most.max((segment.seq + segment.payload.len()).since(first));
                }
                _ => {}
            }
        }
        usize::try_from(most).is_ok_and(|most| most > back)
    }

    /// The port of the attempt that was under way at this time.
    fn dialed_by(&self, at: Duration) -> Option<u16> {
        self.syns().filter(|(sent, _)| *sent < at).last().map(|(_, port)| port)
    }

    fn syns(&self) -> impl Iterator<Item = (Duration, u16)> {
        self.sent.iter().filter_map(|(at, packet)| match &packet.body {
            Body::Tcp(segment) if segment.flags.syn => Some((*at, segment.source)),
            _ => None,
        })
    }

    /// When the attempt that began at the one time was accepted, if it was, before the other.
    pub(crate) fn accepted_before(&self, dialing: Duration, at: Duration) -> Option<Duration> {
        let port = self.dialed_by(at)?;
        let accepted = self
            .segments()
            .filter(|(_, segment)| segment.flags.syn && segment.ack.is_some() && segment.destination == port);
        accepted.map(|(came, _)| came).find(|came| dialing < *came && *came < at)
    }

    /// When the attempt of that time still dialed after it.
    pub(crate) fn dials_on_after(&self, at: Duration) -> Option<Duration> {
        let port = self.dialed_by(at)?;
        self.syns().find(|(sent, by)| *sent > at && *by == port).map(|(sent, _)| sent)
    }

    /// When the client sent probes of its own to this peer.
    pub(crate) fn probes(&self, peer: SocketAddr) -> impl Iterator<Item = Duration> {
        self.sent.iter().filter_map(move |(at, packet)| match &packet.body {
            Body::Udp(datagram) if packet.ends().1 == peer && datagram.payload.len() == HEADER => Some(*at),
            _ => None,
        })
    }

    /// Whether an answer to something that was sent at or after the one time came in at or before the other.
    pub(crate) fn is_answered(&self, from: Duration, by: Duration) -> bool {
        let asked: Vec<_> =
            self.sent.iter().filter(|(at, _)| *at >= from).filter_map(|(_, packet)| header(packet)).collect();
        let came = self.came.iter().filter(|(at, _)| *at <= by).filter_map(|(_, packet)| header(packet));
        came.into_iter().any(|answer| asked.contains(&answer))
    }

    /// Whether a port-unreachable is proven at this time: one came in that quotes the whole header of a datagram which
    /// was not answered before.
    pub(crate) fn proves_port_closed(&self, at: Duration) -> bool {
        self.errors().filter(|(came, ..)| *came <= at).any(|(came, _, icmp)| {
            let Some(quoted) = header(&icmp.quote) else { return false };
            let answer = |packet: &Packet| header(packet) == Some(quoted);
            let answered = self.came.iter().any(|(before, packet)| *before < came && answer(packet));
            matches!((icmp.kind, icmp.code), (3, 3) | (1, 4)) && !answered
        })
    }

    pub(crate) const fn client(&self) -> IpAddr {
        self.client
    }
}

/// What names a datagram of the client: the header that it wrote.
fn header(packet: &Packet) -> Option<&[u8]> {
    let Body::Udp(datagram) = &packet.body else { return None };
    datagram.payload.get(..HEADER)
}

/// What of a connection's bytes came in, in order.
struct Reading {
    port: u16,
    first: Seq,
    next: Seq,
    ahead: Vec<(Seq, Seq)>,
}

impl Reading {
    fn new(syn: &Segment) -> Self {
        Self { port: syn.destination, first: syn.end(), next: syn.end(), ahead: Vec::new() }
    }

    /// How many bytes there are in all, if there are more now.
    fn take(&mut self, segment: &Segment) -> Option<usize> {
        if segment.destination != self.port || segment.payload.is_empty() || segment.flags.rst {
            return None;
        }
        let before = self.next;
        self.ahead.push((segment.seq, segment.seq + segment.payload.len()));
        let fits = |next: Seq, ahead: &[(Seq, Seq)]| {
            ahead.iter().position(|(from, to)| !next.before(*from) && next.before(*to))
        };
        while let Some(at) = fits(self.next, &self.ahead) {
            self.next = self.ahead.swap_remove(at).1;
        }
        before.before(self.next).then(|| self.next.since(self.first).unsigned_abs() as usize)
    }
}
