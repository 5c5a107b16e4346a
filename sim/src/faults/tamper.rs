//! What faults do to a packet that sets out.

use super::{Faults, Passing, WayId};
use crate::packet::{Body, FaultId, Packet};
use crate::scenario::Tamper;

impl Faults<'_> {
    pub(super) fn tamper(&mut self, way: WayId, packet: &mut Packet) -> Passing {
        if let Some(&(_, id)) = self.cuts.iter().find(|(cut, _)| *cut == way) {
            if !self.ledger.has_acted(id) {
                self.ledger.acted(id, "packets were lost".to_owned());
            }
            self.next_is_absorbed(way, "the way was cut already");
            return Passing { lost: true, fault: Some((id, "cut")), ..Passing::default() };
        }
        let Some(at) = self.next.iter().position(|(on, ..)| *on == way) else { return Passing::default() };
        let Some((_, id, tamper)) = self.next.remove(at) else { return Passing::default() };
        self.apply(id, tamper, packet)
    }

    fn next_is_absorbed(&mut self, way: WayId, why: &str) {
        let ids: Vec<_> = self.next.iter().filter(|(on, ..)| *on == way).map(|(_, id, _)| *id).collect();
        self.next.retain(|(on, ..)| *on != way);
        for id in ids {
            self.ledger.absorbed(id, why.to_owned());
        }
    }

    fn apply(&mut self, id: FaultId, tamper: Tamper, packet: &mut Packet) -> Passing {
        let mut passing = Passing::default();
        let word = match tamper {
            Tamper::Drop => {
                passing.lost = true;
                self.ledger.acted(id, format!("lost: {}", outline(packet)));
                "drop"
            }
            Tamper::Delay(by) => {
                passing.late = by;
                self.ledger.acted(id, format!("late by {by:?}: {}", outline(packet)));
                "delay"
            }
            // Whether the second does anything, its receiver says.
            Tamper::Duplicate(after) => {
                passing.twice = Some(after);
                "duplicate"
            }
            Tamper::Corrupt => {
                packet.damaged = true;
                self.ledger
                    .acted(id, format!("dropped where it arrives, for its checksum: {}", outline(packet)));
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
        passing.fault = Some((id, word));
        passing
    }

    fn changed(&mut self, id: FaultId, changed: bool, packet: &Packet) {
        if changed {
            self.ledger.acted(id, format!("changed: {}", outline(packet)));
        } else {
            self.ledger.absorbed(id, format!("it has no such bytes: {}", outline(packet)));
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
    true
}

fn truncate(packet: &mut Packet, length: usize) -> bool {
    let Some(payload) = payload(packet).filter(|payload| payload.len() > length) else { return false };
    payload.truncate(length);
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
