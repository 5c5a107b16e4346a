//! What faults do to a packet that sets out.

use super::{Carries, Faults, Passing, WayId};
use crate::packet::{Body, FaultId, Packet};
use crate::scenario::Tamper;

impl Faults<'_> {
    pub(super) fn tamper(&mut self, way: WayId, packet: &mut Packet, link: Carries) -> Passing {
        if let Some(&(_, id)) = self.cuts.iter().find(|(cut, _)| *cut == way) {
            if link == Carries::Delivers && !self.ledger.has_acted(id) {
                self.ledger.acted(id, "packets were lost".to_owned());
            }
            self.none_of_next(way, "the way was cut already");
            return Passing { lost: true, fault: Some((id, "cut")), ..Passing::default() };
        }
        if self.next.iter().all(|(on, ..)| *on != way) {
            return Passing::default();
        }
        if link == Carries::Loses {
            self.none_of_next(way, "the link lost the packet anyway");
            return Passing::default();
        }
        let mut passing = Passing::default();
        for (_, id, tamper) in self.take_next(way) {
            if passing.lost {
                self.ledger.absorbed(id, "the packet was lost already".to_owned());
            } else {
                self.apply(id, tamper, packet, &mut passing);
            }
        }
        if let Some((_, id)) = passing.twice.take_if(|_| passing.lost) {
            self.ledger.absorbed(id, "the packet was lost already".to_owned());
        }
        passing
    }

    /// What was to happen to the next packet of this way does not.
    fn none_of_next(&mut self, way: WayId, why: &str) {
        for (_, id, _) in self.take_next(way) {
            self.ledger.absorbed(id, why.to_owned());
        }
    }

    /// What is to happen to the packet that sets out this way now, in the order in which it was wanted.
    fn take_next(&mut self, way: WayId) -> Vec<(WayId, FaultId, Tamper)> {
        let (now, later) = core::mem::take(&mut self.next).into_iter().partition(|(on, ..)| *on == way);
        self.next = later;
        now
    }

    fn apply(&mut self, id: FaultId, tamper: Tamper, packet: &mut Packet, passing: &mut Passing) {
        let word = match tamper {
            Tamper::Drop => {
                passing.lost = true;
                self.ledger.acted(id, format!("lost: {}", outline(packet)));
                "drop"
            }
            Tamper::Delay(by) => {
                passing.late += by;
                self.ledger.acted(id, format!("late by {by:?}: {}", outline(packet)));
                "delay"
            }
            // Whether the second does anything, its receiver says.
            Tamper::Duplicate(after) => {
                passing.twice = Some((after, id));
                "duplicate"
            }
            // Whether it arrives at all, its receiver says.
            Tamper::Corrupt => {
                packet.damaged = true;
                packet.fault = packet.fault.or(Some(id));
                "corrupt"
            }
            Tamper::Alter(bit) => {
                let altered = alter(packet, bit);
                self.changed(id, altered, packet);
                "alter"
            }
            Tamper::Truncate(length) => {
                let truncated = truncate(packet, usize::from(length));
                self.changed(id, truncated, packet);
                "truncate"
            }
        };
        if passing.fault.is_none() || passing.lost {
            passing.fault = Some((id, word));
        }
    }

    fn changed(&mut self, id: FaultId, changed: bool, packet: &Packet) {
        if changed {
            self.ledger.acted(id, format!("changed: {}", outline(packet)));
        } else {
            self.ledger.missed(id, format!("it has no such bytes: {}", outline(packet)));
        }
    }
}

fn payload(packet: &mut Packet) -> Option<&mut Vec<u8>> {
    match &mut packet.body {
        Body::Tcp(segment) => Some(&mut segment.payload),
        Body::Udp(datagram) => Some(&mut datagram.payload),
        Body::Icmp(_) => None,
    }
}

fn alter(packet: &mut Packet, bit: u32) -> bool {
    let Some(payload) = payload(packet).filter(|payload| !payload.is_empty()) else { return false };
    let bit = bit as usize % (payload.len() * 8);
    payload[bit / 8] ^= 1 << (bit % 8);
    packet.bytes = None;
    true
}

fn truncate(packet: &mut Packet, length: usize) -> bool {
    let Some(payload) = payload(packet).filter(|payload| payload.len() > length) else { return false };
    payload.truncate(length);
    packet.bytes = None;
    true
}

/// A packet in a few words.
#[must_use]
pub(super) fn outline(packet: &Packet) -> String {
    match &packet.body {
        Body::Udp(datagram) => format!("UDP, {} bytes", datagram.payload.len()),
        Body::Icmp(icmp) => format!("ICMP {}/{}", icmp.kind, icmp.code),
        Body::Tcp(segment) => {
            let flags = [
                (segment.flags.syn, "SYN"),
                (segment.flags.fin, "FIN"),
                (segment.flags.rst, "RST"),
                (segment.ack.is_some(), "ACK"),
            ];
            let named: Vec<_> = flags.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
            format!("TCP {}, {} bytes", named.join("+"), segment.payload.len())
        }
    }
}
