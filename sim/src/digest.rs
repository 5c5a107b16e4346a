//! A hash of a run: two runs of one scenario have the same, on every platform.
//!
//! Not a cryptographic one: it tells whether two runs differ, not whether somebody made them so.

use std::net::IpAddr;

use resound_core::Instant;

use crate::packet::{Body, Packet};
use crate::scenario::{NodeId, Said};

#[derive(Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    #[inline]
    pub(crate) const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// In words of eight bytes; the last one is filled up with zeros.
    pub(crate) fn bytes(&mut self, mut bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        while let Some((word, rest)) = bytes.split_first_chunk() {
            self.mix(u64::from_le_bytes(*word));
            bytes = rest;
        }
        if !bytes.is_empty() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.mix(u64::from_le_bytes(word));
        }
    }

    pub(crate) fn said(&mut self, at: Instant, node: NodeId, said: &Said) {
        self.mix(at.nanos() ^ u64::from(node.0) << 56);
        match said {
            // The two that come most often, without making words of them.
            Said::Sent(seq) => self.mix(seq << 1),
            Said::Echo(seq) => self.mix(seq << 1 | 1),
            other => self.bytes(other.to_string().as_bytes()),
        }
    }

    /// A packet sets out, and arrives at a time or not at all.
    pub(crate) fn packet(&mut self, at: Instant, way: u16, packet: &Packet, arrives: Option<Instant>) {
        self.mix(at.nanos() ^ u64::from(way) << 48);
        self.mix(arrives.map_or(u64::MAX, Instant::nanos));
        self.content(packet);
    }

    fn content(&mut self, packet: &Packet) {
        self.address(packet.source);
        self.address(packet.destination);
        self.mix(u64::from(packet.hops) << 1 | u64::from(packet.damaged));
        match &packet.body {
            Body::Tcp(segment) => {
                let flags = u64::from(segment.flags.syn) << 2
                    | u64::from(segment.flags.fin) << 1
                    | u64::from(segment.flags.rst);
                let ports = u64::from(segment.source) << 16 | u64::from(segment.destination);
                self.mix(u64::from(segment.seq.0) << 32 | u64::from(segment.ack.map_or(0, |ack| ack.0)));
                self.mix(ports << 32 | u64::from(segment.window));
                self.mix(flags << 1 | u64::from(segment.ack.is_some()));
                self.bytes(&segment.payload);
            }
            Body::Udp(datagram) => {
                self.mix(u64::from(datagram.source) << 16 | u64::from(datagram.destination));
                self.bytes(&datagram.payload);
            }
            Body::Icmp(icmp) => {
                self.mix(u64::from(icmp.kind) << 8 | u64::from(icmp.code));
                self.mix(u64::from(icmp.mtu.unwrap_or(0)));
                self.content(&icmp.quote);
            }
        }
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.mix(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                self.mix((bits >> 64) as u64);
                self.mix(bits as u64);
            }
        }
    }

    pub(crate) const fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
