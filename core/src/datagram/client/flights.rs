//! Every datagram of a client, from the moment it is accepted until its memory has faded: one ring, in order.
//!
//! ```text
//!        forgotten │ ended, remembered │ on their way, some ended │ still to be sent │
//!                  └ first             └ due                      └ unsent           └ end
//! ```
//!
//! Numbers count up and are never used twice; a number is a place in the ring. Because all datagrams may take equally
//! long, the oldest one is always the first to be given up: no timer is needed for any other.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Flight {
    /// When it was sent; before that, when it was accepted.
    pub(super) sent: Instant,
    /// The peer's place in the table.
    pub(super) peer: u32,
    /// How far back the previous one to the same peer lies; 0 if there is none, or too far.
    pub(super) back: u32,
    /// A message's payload; empty for a probe of the client's own.
    pub(super) payload: Bytes,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    pub(super) answers_elsewhere: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accepted from the program.
    Message,
    /// The client's own.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Sent,
    Echoed,
    Lost,
}

/// Whether its answer was seen to come from another address than it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    No,
    Yes,
}

impl Flight {
    const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Echoed | Stage::Lost)
    }
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    ring: VecDeque<Flight>,
    first: u64,
    due: u64,
    unsent: u64,
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

    /// Passes over what has ended, so that `due` and `unsent` show something that has not.
    fn settle(&mut self) {
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
        Flight {
            sent: Instant::from_nanos(at),
            peer: 0,
            back: 0,
            payload: Bytes::new(),
            kind: Kind::Probe,
            stage: Stage::Queued,
            answers_elsewhere: Seen::No,
        }
    }

    #[test]
    fn what_the_documentation_says_of_its_size_is_true() {
        assert_eq!(size_of::<Flight>(), 56);
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
            flight.stage = Stage::Sent;
            flights.sent();
        }
        assert_eq!(flights.oldest().unwrap().0, 0);
        flights.finish(0, Stage::Echoed);
        assert_eq!(flights.oldest().unwrap().0, 2);
        flights.forget(Instant::from_nanos(100), Duration::from_nanos(100), 10);
        assert!(flights.get(0).is_none() && flights.get(1).is_some());
        flights.forget(Instant::from_nanos(100), Duration::from_secs(1), 0);
        assert!(
            flights.get(1).is_none() && flights.get(2).is_some(),
            "what is on its way is never forgotten"
        );
        assert!(flights.has_unsent() && flights.is_waiting(3));
    }
}
