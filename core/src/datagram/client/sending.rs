//! A flight's life: accepted, sent, ended once.

use alloc::vec::Vec;

use bytes::Bytes;

use super::flights::{Flight, Kind, Stage};
use super::peers::{Left, Peer};
use super::probe::Header;
use super::{Client, Event, HEADER, Seq};
use crate::datagram::Batch;
use crate::link::Told;
use crate::signal::{Cause, Reason};
use crate::stream::ConnId;

impl Client {
    /// Sees to it that a probe is on its way. One that waits to be sent will do.
    pub(super) fn probe(&mut self, index: u32) {
        let waiting = |peer: &Peer| peer.newest > 0 && self.flights.is_waiting(peer.newest - 1);
        if self.peers.at(index).is_some_and(|peer| !waiting(peer)) {
            self.launch(index, Kind::Probe);
        }
    }

    pub(super) fn launch(&mut self, index: u32, kind: Kind) -> u64 {
        self.flights.forget(self.now, self.config.remember, self.config.remember_most);
        let number = self.flights.end();
        let Some(peer) = self.peers.at_mut(index) else { return number };
        let back = if peer.newest == 0 { 0 } else { u32::try_from(number + 1 - peer.newest).unwrap_or(0) };
        peer.newest = number + 1;
        peer.left = Left::Perhaps;
        peer.in_flight += 1;
        let standing = peer.link.conn();
        self.flights.push(Flight::new(self.now, index, back, kind));
        if let Some(conn) = standing {
            self.tell(index, Told::Sent { conn });
        }
        number
    }

    pub(super) fn fill(&mut self, batch: &mut Batch) {
        while let Some((number, flight)) = self.flights.next_unsent() {
            let index = flight.peer;
            let Some(peer) = self.peers.at_mut(index) else {
                self.flights.finish(number, Stage::Lost);
                continue;
            };
            let to = peer.addr();
            let carried = self.payloads.of(flight.kind);
            let Some(room) = batch.push(to, HEADER + carried.len()) else {
                if batch.is_empty() {
                    // The driver's batch will never hold it.
                    self.lose(number, Cause::local(Reason::TooBig));
                    continue;
                }
                return;
            };
            let Some((head, payload)) = room.split_first_chunk_mut::<HEADER>() else { return };
            payload.copy_from_slice(carried);
            flight.leave(self.now);
            let conn = peer.link.current().map_or(0, ConnId::get);
            let generation = self.peers.id(index).generation;
            Header { index, generation, conn, number }.write(&self.key, to, head);
            self.flights.sent();
        }
    }

    /// Takes a flight off the books, if it has not ended before; its message, if it is one.
    pub(super) fn end(&mut self, number: u64, stage: Stage) -> Option<(u32, Option<Bytes>)> {
        let flight = self.flights.get_mut(number)?;
        if !matches!(flight.stage, Stage::Queued | Stage::Sent) {
            return None;
        }
        let index = flight.peer;
        let payload = self.payloads.take(flight.kind);
        self.flights.finish(number, stage);
        self.messages -= usize::from(payload.is_some());
        if let Some(peer) = self.peers.at_mut(index) {
            peer.in_flight -= 1;
            match stage {
                Stage::Echoed => peer.echoed += 1,
                _ => peer.lost += 1,
            }
        }
        Some((index, payload))
    }

    /// It never left: a queue of this host was full.
    pub(super) fn lose_unsent(&mut self, index: u32, number: u64, cause: Cause) {
        if let Some(peer) = self.peers.at_mut(index).filter(|peer| peer.newest == number + 1) {
            peer.left = Left::Never;
        }
        self.lose(number, cause);
    }

    pub(super) fn lose(&mut self, number: u64, cause: Cause) {
        let Some((index, payload)) = self.end(number, Stage::Lost) else { return };
        if let Some(payload) = payload {
            let peer = self.peers.id(index);
            self.events.push_back(Event::Lost { peer, seq: Seq(number), payload, cause });
        }
        if let Some(conn) = self.peers.at(index).and_then(|peer| peer.link.conn()) {
            self.tell(index, Told::Waived { conn });
        }
        // It watched over the peer, perhaps.
        self.arm(index);
    }

    /// Every flight to a peer that has not ended, newest first.
    pub(super) fn flights_to(&self, index: u32) -> impl Iterator<Item = (u64, &Flight)> {
        let peer = self.peers.at(index);
        let mut left = peer.map_or(0, |peer| peer.in_flight);
        let mut next = peer.and_then(|peer| peer.newest.checked_sub(1));
        core::iter::from_fn(move || {
            loop {
                let number = next.filter(|_| left > 0)?;
                let flight = self.flights.get(number)?;
                next = if flight.back == 0 { None } else { number.checked_sub(u64::from(flight.back)) };
                if matches!(flight.stage, Stage::Queued | Stage::Sent) {
                    left -= 1;
                    return Some((number, flight));
                }
            }
        })
    }

    pub(super) fn messages_to(&self, index: u32) -> usize {
        self.flights_to(index).filter(|(_, flight)| flight.is_message()).count()
    }

    #[inline(never)]
    pub(super) fn lose_all(&mut self, index: u32, cause: Cause) {
        let numbers: Vec<u64> = self.flights_to(index).map(|(number, _)| number).collect();
        for number in numbers.into_iter().rev() {
            self.lose(number, cause);
        }
    }
}
