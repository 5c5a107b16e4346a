//! Every datagram of a client, from the moment it is accepted until its memory has faded: one ring, in order.
//!
//! ```text
//!        forgotten │ ended, remembered │ on their way, some ended │ still to be sent │
//!                  └ first             └ due                      └ unsent           └ end
//! ```
//!
//! Numbers count up and are never used twice; a number is a place in the ring. Because all datagrams may take equally
//! long, the oldest one is always the first to be given up: no timer is needed for any other.
//!
//! In the same way the ring watches over silence. A peer that leaves a flight unanswered wants attention no earlier than
//! the shortest patience after that flight; so one cursor, as many seconds behind, brings up those peers. The others, of
//! which there are many more, need no timer for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Flight {
    /// When it was sent; before that, when it was accepted.
    pub(super) sent: Instant,
    /// How long it had to wait for that, in microseconds, rounded up.
    waited: u32,
    /// The peer's place in the table.
    pub(super) peer: u32,
    /// How far back the previous one to the same peer lies; 0 if there is none, or too far.
    pub(super) back: u32,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    pub(super) answers_elsewhere: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accepted from the program; its payload lies at this place until it ends.
    Message {
        /// Where in the [`Payloads`].
        place: u32,
    },
    /// The client's own, without a payload.
    Probe,
}

/// The payloads of messages that have not ended. They are few beside the flights, most of which are probes or have ended,
/// and a flight that held one would be twice as large.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    places: Vec<Bytes>,
    free: Vec<u32>,
}

impl Payloads {
    /// Keeps the payload of a message.
    pub(super) fn keep(&mut self, payload: Bytes) -> Kind {
        let place = if let Some(place) = self.free.pop() {
            self.places[place as usize] = payload;
            place
        } else {
            self.places.push(payload);
            (self.places.len() - 1) as u32
        };
        Kind::Message { place }
    }

    /// What a flight carries that has not ended.
    pub(super) fn of(&self, kind: Kind) -> &[u8] {
        match kind {
            Kind::Message { place } => &self.places[place as usize],
            Kind::Probe => &[],
        }
    }

    /// The payload of a message that ends now.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Bytes> {
        let Kind::Message { place } = kind else { return None };
        self.free.push(place);
        Some(core::mem::take(&mut self.places[place as usize]))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Sent,
    Echoed,
    Lost,
    /// It was lost, and came back after all.
    Late,
}

/// Whether its answer was seen to come from another address than it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    No,
    Yes,
}

impl Flight {
    /// A flight that begins now.
    pub(super) const fn new(now: Instant, peer: u32, back: u32, kind: Kind) -> Self {
        Self { sent: now, waited: 0, peer, back, kind, stage: Stage::Queued, answers_elsewhere: Seen::No }
    }

    /// It leaves.
    pub(super) fn leave(&mut self, now: Instant) {
        let waited = now.since(self.sent).as_nanos().div_ceil(1_000);
        self.waited = u32::try_from(waited).unwrap_or(u32::MAX);
        self.sent = now;
        self.stage = Stage::Sent;
    }

    /// When it was accepted, or up to a microsecond earlier. In the ring, these times never fall.
    fn accepted(&self) -> Instant {
        Instant::from_nanos(self.sent.nanos().saturating_sub(u64::from(self.waited) * 1_000))
    }

    pub(super) const fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message { .. })
    }

    const fn has_ended(&self) -> bool {
        !matches!(self.stage, Stage::Queued | Stage::Sent)
    }
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    ring: VecDeque<Flight>,
    first: u64,
    due: u64,
    unsent: u64,
    /// The first that no peer was brought up for; none from here on was accepted earlier.
    unwatched: u64,
}

impl Flights {
    /// The number that the next one gets.
    pub(super) fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    pub(super) fn push(&mut self, flight: Flight) -> u64 {
        let number = self.end();
        self.ring.push_back(flight);
        number
    }

    pub(super) fn get(&self, number: u64) -> Option<&Flight> {
        self.ring.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Flight> {
        self.ring.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Whether this one is still to be sent.
    pub(super) fn is_waiting(&self, number: u64) -> bool {
        self.get(number).is_some_and(|flight| flight.stage == Stage::Queued)
    }

    /// The next one to be sent; those that ended before they were sent are passed over.
    pub(super) fn next_unsent(&mut self) -> Option<(u64, &mut Flight)> {
        while self.get(self.unsent)?.has_ended() {
            self.unsent += 1;
        }
        let number = self.unsent;
        self.get_mut(number).map(|flight| (number, flight))
    }

    /// The one that [`next_unsent`](Self::next_unsent) gave has been dealt with.
    pub(super) fn sent(&mut self) {
        self.unsent += 1;
        self.settle();
    }

    /// Whether there is something to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent < self.end()
    }

    /// Ends one.
    pub(super) fn finish(&mut self, number: u64, stage: Stage) {
        if let Some(flight) = self.get_mut(number) {
            flight.stage = stage;
            self.settle();
        }
    }

    /// Passes over what has ended, so that each cursor shows something that has not.
    fn settle(&mut self) {
        while self.unwatched < self.end() && self.get(self.unwatched).is_some_and(Flight::has_ended) {
            self.unwatched += 1;
        }
        while self.unsent < self.end() && self.get(self.unsent).is_some_and(Flight::has_ended) {
            self.unsent += 1;
        }
        while self.due < self.unsent && self.get(self.due).is_some_and(Flight::has_ended) {
            self.due += 1;
        }
    }

    /// The oldest that is on its way.
    pub(super) fn oldest(&self) -> Option<(u64, &Flight)> {
        if self.due >= self.unsent {
            return None;
        }
        self.get(self.due).filter(|flight| !flight.has_ended()).map(|flight| (self.due, flight))
    }

    /// Whether its peer will be brought up for this one if it stays unanswered.
    pub(super) fn is_watched(&self, number: u64) -> bool {
        number >= self.unwatched && self.get(number).is_some_and(|flight| !flight.has_ended())
    }

    /// When [`unanswered`](Self::unanswered) will have a peer.
    pub(super) fn unanswered_at(&self, patience: Duration) -> Option<Instant> {
        self.get(self.unwatched).map(|flight| flight.accepted() + patience)
    }

    /// The next peer that has left a flight unanswered for so long.
    pub(super) fn unanswered(&mut self, now: Instant, patience: Duration) -> Option<u32> {
        self.unanswered_at(patience).filter(|&at| at <= now)?;
        let peer = self.get(self.unwatched)?.peer;
        self.unwatched += 1;
        self.settle();
        Some(peer)
    }

    /// The oldest that waits to be sent.
    pub(super) fn oldest_unsent(&self) -> Option<(u64, &Flight)> {
        self.get(self.unsent).filter(|flight| !flight.has_ended()).map(|flight| (self.unsent, flight))
    }

    /// Forgets what ended long ago, and what is more than may be remembered.
    pub(super) fn forget(&mut self, now: Instant, remember: Duration, most: usize) {
        while self.first < self.due {
            let Some(oldest) = self.ring.front() else { return };
            let remembered = (self.due - self.first) as usize;
            if remembered <= most && now.since(oldest.sent) < remember {
                return;
            }
            self.ring.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(at: u64) -> Flight {
        Flight::new(Instant::from_nanos(at), 0, 0, Kind::Probe)
    }

    #[test]
    fn what_the_documentation_says_of_its_size_is_true() {
        assert_eq!(size_of::<Flight>(), 32);
    }

    #[test]
    fn ended_ones_are_passed_over_and_forgotten_in_order() {
        let mut flights = Flights::default();
        for at in 0..4 {
            assert_eq!(flights.push(flight(at)), at);
        }
        flights.finish(1, Stage::Lost); // before it was sent
        for expected in [0, 2] {
            let (number, flight) = flights.next_unsent().unwrap();
            assert_eq!(number, expected);
            flight.leave(Instant::from_nanos(5));
            flights.sent();
        }
        assert_eq!(flights.oldest().unwrap().0, 0);
        flights.finish(0, Stage::Echoed);
        assert_eq!(flights.oldest().unwrap().0, 2);
        let mut forget = |at, most| {
            flights.forget(Instant::from_nanos(at), Duration::from_nanos(100), most);
            [0, 1, 2].map(|number| flights.get(number).is_some())
        };
        assert_eq!(forget(50, 10), [true, true, true]);
        assert_eq!(forget(50, 1), [false, true, true], "no more than that many");
        assert_eq!(forget(500, 10), [false, false, true], "what is on its way is never forgotten");
        assert!(flights.has_unsent() && flights.is_waiting(3));
    }
}
