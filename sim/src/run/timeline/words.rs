//! Packets in words: `SYN`, `data 0..5`, `ICMP 3/1 host-unreach about SYN`.
//!
//! Sequence numbers are counted from the first byte that a side of a connection sends, so that `ACK 5` acknowledges
//! `data 0..5`. What was made up does not move the count: a forged segment is told in the numbers of the connection that
//! it is about, and one outside the window is seen to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use resound_core::signal::{IcmpError, Reason, Version};

use crate::packet::{Body, Icmp, Packet, Segment, Seq};
use crate::scenario::Way;

/// From one socket to another.
type Flow = (SocketAddr, SocketAddr);

/// What is known of the packets that went before.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The first byte's number.
    firsts: BTreeMap<Flow, Seq>,
    /// The number behind the last byte that was seen on a link.
    ends: BTreeMap<(Way, Flow), Seq>,
}

/// A packet in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// What it is, as short as can be.
    pub(super) what: String,
    /// What else it says; may be empty.
    pub(super) more: String,
}

impl Told {
    pub(super) fn all(&self) -> String {
        if self.more.is_empty() { self.what.clone() } else { format!("{} {}", self.what, self.more) }
    }
}

impl Words {
    /// Tells of the next packet that sets out.
    pub(super) fn tell(&mut self, way: Way, packet: &Packet, forged: bool) -> Told {
        let brief = |what| Told { what, more: String::new() };
        match &packet.body {
            Body::Udp(datagram) => brief(format!("UDP {}", bytes(datagram.payload.len()))),
            Body::Icmp(icmp) => self.error(packet.version(), icmp),
            Body::Tcp(segment) if forged => brief(self.forgery(packet.ends(), segment)),
            Body::Tcp(segment) => brief(self.segment(way, packet.ends(), segment)),
        }
    }

    fn segment(&mut self, way: Way, flow: Flow, segment: &Segment) -> String {
        self.learn(flow, segment);
        let end = self.ends.get(&(way, flow)).copied();
        let mut words = self.plain(flow, segment);
        match end {
            Some(end) if segment.length() > 0 && !end.before(segment.end()) => words.push_str(" again"),
            // A keepalive, or a probe of a closed window, repeats a number that is acknowledged.
            Some(end) if segment.length() == 0 && !segment.flags.rst && segment.seq != end => {
                let _ = write!(words, ", seq {}", self.relative(flow, segment.seq));
            }
            _ => {}
        }
        if segment.window == 0 && segment.ack.is_some() && !segment.flags.rst {
            words.push_str(", window 0");
        }
        if !segment.flags.rst && end.is_none_or(|end| end.before(segment.end())) {
            self.ends.insert((way, flow), segment.end());
        }
        words
    }

    /// Where the connection's numbers begin.
    fn learn(&mut self, flow: Flow, segment: &Segment) {
        if segment.flags.rst {
            return;
        }
        if segment.flags.syn {
            let first = segment.seq + 1;
            if self.firsts.insert(flow, first).is_some_and(|was| was != first) {
                // Another connection of the same ports.
                self.ends.retain(|(_, of), _| *of != flow);
            }
            return;
        }
        self.firsts.entry(flow).or_insert(segment.seq);
        if let Some(ack) = segment.ack {
            self.firsts.entry(opposite(flow)).or_insert(ack);
        }
    }

    fn plain(&self, flow: Flow, segment: &Segment) -> String {
        let flags = segment.flags;
        let mut words = match (flags.syn, segment.ack) {
            _ if flags.rst => match self.firsts.get(&flow) {
                Some(_) => format!("RST {}", self.relative(flow, segment.seq)),
                // Nobody has ever sent anything from there: its number says nothing.
                None => "RST".to_owned(),
            },
            (true, None) => "SYN".to_owned(),
            (true, Some(_)) => "SYN+ACK".to_owned(),
            (false, _) if !segment.payload.is_empty() => format!("data {}", self.range(flow, segment)),
            (false, Some(ack)) if !flags.fin => {
                format!("ACK {}", self.relative(opposite(flow), ack))
            }
            (false, _) if flags.fin => return "FIN".to_owned(),
            (false, _) => "nothing".to_owned(),
        };
        if flags.fin {
            words.push_str(" FIN");
        }
        words
    }

    /// With the number, which decides what becomes of it.
    fn forgery(&self, flow: Flow, segment: &Segment) -> String {
        let words = self.plain(flow, segment);
        if segment.flags.rst || segment.length() == segment.payload.len() {
            return words;
        }
        format!("{words} {}", self.relative(flow, segment.seq))
    }

    fn error(&self, version: Version, icmp: &Icmp) -> Told {
        let Icmp { kind, code, mtu, .. } = *icmp;
        let reason = reason(version, icmp);
        let protocol = match version {
            Version::V4 => "ICMP",
            Version::V6 => "ICMPv6",
        };
        let flow = icmp.quote.ends();
        let about = match &icmp.quote.body {
            Body::Tcp(segment) if segment.flags.syn => self.plain(flow, segment),
            Body::Tcp(segment) if segment.payload.is_empty() => {
                format!("seq {}", self.relative(flow, segment.seq))
            }
            Body::Tcp(segment) => format!("data {}", self.range(flow, segment)),
            Body::Udp(_) => "UDP".to_owned(),
            Body::Icmp(_) => "ICMP".to_owned(),
        };
        let mut more = format!("{reason} about {about}");
        if let Some(mtu) = mtu {
            let _ = write!(more, ", MTU {mtu}");
        }
        Told { what: format!("{protocol} {kind}/{code}"), more }
    }

    fn range(&self, flow: Flow, segment: &Segment) -> String {
        let first = self.relative(flow, segment.seq);
        format!("{first}..{}", first + segment.payload.len() as i64)
    }

    /// Counted from the first byte; as it stands if nothing was seen of that side.
    fn relative(&self, flow: Flow, seq: Seq) -> i64 {
        self.firsts.get(&flow).map_or(i64::from(seq.0), |&first| i64::from(seq.since(first)))
    }
}

/// What an ICMP error says.
pub(super) fn reason(version: Version, icmp: &Icmp) -> Reason {
    let Icmp { kind, code, mtu, .. } = *icmp;
    IcmpError { version, kind, code, mtu, offender: None, destination: None }.meaning().reason
}

fn opposite((source, destination): Flow) -> Flow {
    (destination, source)
}

fn bytes(n: usize) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}
