//! What comes in: answers to flights, and what is nobody's.

use core::net::SocketAddr;
use core::time::Duration;

use super::flights::{Kind, Seen, Stage};
use super::peers::Peer;
use super::probe::{Claim, Header};
use super::{Client, Event, HEADER, PeerId, Seq, canonical};
use crate::datagram::{End, Train};
use crate::link::Told;
use crate::signal::{Cause, Reason};
use crate::stream::{ConnId, Established};

impl Client {
    #[inline]
    pub(super) fn received(&mut self, train: &Train<'_>) {
        let from = canonical(train.from);
        let count = train.count();
        for (at, datagram) in train.datagrams().enumerate() {
            let whole = train.end == End::Whole || at + 1 < count;
            self.answered(from, datagram, whole);
        }
    }

    pub(super) fn answered(&mut self, from: SocketAddr, datagram: &[u8], whole: bool) {
        let Some(claim) = Claim::parse(datagram) else {
            self.strays.strangers += 1;
            return;
        };
        let Some(header) = claim.verify(&self.key, from) else { return self.misdirected(&claim, from) };
        let index = header.index;
        let id = PeerId { index, generation: header.generation };
        let Some(peer) = self.peers.get(id) else {
            self.strays.stale += 1;
            return;
        };
        if !peer.is_at(from) {
            // The tag knows no IPv6 scope: the same link-local address on another link.
            return self.misdirected(&claim, from);
        }
        let current = peer.link.current().filter(|conn| conn.get() == header.conn);
        let stage = match self.flights.get(header.number) {
            Some(flight) if flight.stage == Stage::Sent => {
                let same = whole && datagram[HEADER..] == *self.payloads.of(flight.kind);
                let round_trip = self.now.since(flight.sent);
                return self.came_back(id, header.number, current, same, round_trip);
            }
            Some(flight) => Some((flight.stage, flight.kind, self.now.since(flight.sent))),
            None => None,
        };
        let Some(peer) = self.peers.at_mut(index) else { return };
        let seq = Seq(header.number);
        match stage {
            Some((Stage::Echoed | Stage::Late, kind, _)) => {
                peer.duplicated = peer.duplicated.saturating_add(1);
                if let Kind::Message { .. } = kind {
                    self.events.push_back(Event::Duplicated { peer: id, seq });
                }
            }
            Some((_, kind, round_trip)) => {
                peer.late = peer.late.saturating_add(1);
                self.flights.finish(header.number, Stage::Late);
                if let Kind::Message { .. } = kind {
                    self.events.push_back(Event::Late { peer: id, seq, round_trip });
                }
            }
            // Too long ago to know which; nothing that never was sent has a valid tag.
            None => peer.late = peer.late.saturating_add(1),
        }
        let Some(conn) = current else { return };
        self.alive(index, conn);
        if let Some((Stage::Lost, _, round_trip)) = stage {
            // A path that is slower than the timeout has a round-trip time as well, and its answer is an answer. It is no
            // longer waited for; so it is put back on the books first.
            self.tell(index, Told::Sent { conn });
            self.tell(index, Told::Answered { conn, round_trip: Some(round_trip) });
        }
    }

    /// A flight that was on its way came back.
    pub(super) fn came_back(
        &mut self,
        peer: PeerId,
        number: u64,
        conn: Option<ConnId>,
        same: bool,
        round_trip: Duration,
    ) {
        let index = peer.index;
        if let Some(conn) = conn {
            self.alive(index, conn);
        }
        if !same {
            return self.lose(number, Cause::peer(Reason::Mismatch));
        }
        let Some((_, payload)) = self.end(number, Stage::Echoed) else { return };
        if let Some(peer) = self.peers.at_mut(index) {
            // How far the highest lies ahead. What lies further ahead than the newest of all was long ago.
            let ahead = peer.highest.wrapping_sub(number as u32);
            if ahead > 0 && u64::from(ahead) <= self.flights.end() - number {
                peer.reordered = peer.reordered.saturating_add(1);
            } else {
                peer.highest = (number + 1) as u32;
            }
        }
        if let Some(conn) = conn {
            self.tell(index, Told::Answered { conn, round_trip: Some(round_trip) });
        }
        if let Some(payload) = payload {
            self.events.push_back(Event::Echoed { peer, seq: Seq(number), payload, round_trip });
        }
    }

    /// Something came from a peer that only it can have sent.
    pub(super) fn alive(&mut self, index: u32, conn: ConnId) {
        let Some(peer) = self.peers.at(index) else { return };
        if peer.link.conn() != Some(conn) {
            let due = peer.in_flight;
            self.tell(index, Told::Dialed { conn, result: Ok(Established::default()) });
            for _ in 0..due {
                self.tell(index, Told::Sent { conn });
            }
        }
        self.tell(index, Told::Heard { conn });
    }

    /// The tag is not one for the address that it came from.
    pub(super) fn misdirected(&mut self, claim: &Claim<'_>, from: SocketAddr) {
        let Header { index, generation, number, .. } = claim.unverified();
        let id = PeerId { index, generation };
        let asked = self.peers.get(id).map(Peer::addr);
        if asked.and_then(|asked| claim.verify(&self.key, asked)).is_none() {
            self.strays.strangers += 1;
            return;
        }
        self.strays.wrong_address += 1;
        // Told once for each flight: whoever repeats the answer is only counted.
        if let Some(flight) = self.flights.get_mut(number).filter(|f| f.answers_elsewhere == Seen::No) {
            flight.answers_elsewhere = Seen::Yes;
            self.events.push_back(Event::WrongAddress { peer: id, from });
        }
    }
}
