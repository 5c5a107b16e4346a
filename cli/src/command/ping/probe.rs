//! One target of `ping`: when a message is due, and what becomes of it.
//!
//! A message is due every interval, connection or not, so that what is lost can be counted:
//!
//! ```text
//!   connection stands           sent; echoed or lost, as the core says
//!   an attempt is under way     waits for it: sent when it succeeds, lost with its reason when it fails
//!   between two attempts        lost at once, with the reason of the attempt or the connection before
//! ```

use alloc::collections::VecDeque;
use core::time::Duration;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use bytes::Bytes;
use resound_conformance::{ClientSession, Dial, EchoClient};
use resound_core::Instant;
use resound_core::signal::Reason;
use resound_core::stream::client::{Command, Config, Event};
use resound_sockets::clock::Clock;
use resound_sockets::entropy::seed;

use super::super::{FAREWELL, look_up};
use super::{Deaf, Told};
use crate::args::{Named, RuntimeName};
use crate::exit::Exit;
use crate::output::event::{Body, End};
use crate::runtime::{Threads, runtime};
use crate::tracker::Tracker;

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Named,
    pub(super) config: Config,
    pub(super) count: Option<u64>,
    pub(super) interval: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) size: usize,
    pub(super) runtime: RuntimeName,
}

/// Where the target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Up,
    /// Between two attempts.
    Down,
}

/// A message that the core has accepted.
#[derive(Debug)]
struct Flight {
    /// Its number in the core.
    core: u64,
    seq: u64,
    since: Instant,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// Counted as lost; its echo may still come.
    Lost,
}

struct Probe<'a> {
    plan: &'a Plan,
    clock: Clock,
    session: Box<dyn ClientSession>,
    events: Receiver<(Instant, Event)>,
    tracker: Tracker,
    tell: &'a dyn Fn(Told) -> Result<(), Deaf>,
    phase: Phase,
    /// Why there is no connection.
    reason: Reason,
    next_seq: u64,
    next_core: u64,
    next_due: Instant,
    flights: VecDeque<Flight>,
    /// Messages that wait for the attempt under way.
    waiting: VecDeque<u64>,
    end: Option<End>,
}

/// Looks the target up, and sends it messages until the plan is fulfilled.
pub(super) fn probe(plan: &Plan, clock: Clock, tell: &dyn Fn(Told) -> Result<(), Deaf>) -> Result<(), Deaf> {
    let addresses = match look_up(&plan.target) {
        Ok(addresses) => addresses,
        Err(error) => {
            let (reason, exit) = (Some(Reason::NameResolution), Exit::NameResolution);
            return tell(Told::Failed { reason, exit, error: error.to_string() });
        }
    };
    let fail = |error: String| tell(Told::Failed { reason: None, exit: Exit::Local, error });
    let client = match EchoClient::new(plan.config, seed(), addresses.iter().copied()) {
        Ok(client) => client,
        Err(error) => return fail(error.to_string()),
    };
    let (tell_event, events) = channel();
    let on_event = Box::new(move |at, event| drop(tell_event.send((at, event))));
    let session = match runtime(plan.runtime, Threads::One).client(client, Dial::default(), on_event) {
        Ok(session) => session,
        Err(error) => return fail(format!("cannot start the runtime: {error}")),
    };
    let tracker = Tracker::new(plan.target.written.as_str().into(), addresses, &clock, session.now());
    let mut probe = Probe {
        plan,
        clock,
        session,
        events,
        tracker,
        tell,
        phase: Phase::Dialing,
        reason: Reason::NoResponse,
        next_seq: 0,
        next_core: 0,
        next_due: clock.now(),
        flights: VecDeque::new(),
        waiting: VecDeque::new(),
        end: None,
    };
    probe.run()
}

impl Probe<'_> {
    fn run(&mut self) -> Result<(), Deaf> {
        loop {
            let now = self.clock.now();
            while self.is_due(now) && self.message(now)? == Went::On {}
            self.expire(now)?;
            if self.is_done() {
                return self.leave();
            }
            match self.events.recv_timeout(self.patience()) {
                Ok((at, event)) => self.event(at, event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let error = String::from("the runtime has ended and did not say why");
                    return (self.tell)(Told::Failed { reason: None, exit: Exit::Local, error });
                }
            }
            if let Some(end) = self.end {
                return (self.tell)(Told::Over { t_ns: self.clock.now().nanos(), end });
            }
        }
    }

    // What is due.

    fn is_due(&self, now: Instant) -> bool {
        let more = self.plan.count.is_none_or(|count| self.next_seq < count);
        let in_turn = !self.plan.interval.is_zero() || self.nothing_open();
        more && in_turn && self.next_due <= now
    }

    fn nothing_open(&self) -> bool {
        self.waiting.is_empty() && self.flights.iter().all(|flight| flight.fate == Fate::Lost)
    }

    fn is_done(&self) -> bool {
        self.plan.count.is_some_and(|count| self.next_seq >= count) && self.nothing_open()
    }

    /// How long nothing is due, unless an event comes.
    fn patience(&self) -> Duration {
        let now = self.clock.now();
        let more = self.plan.count.is_none_or(|count| self.next_seq < count);
        let next = (more && !self.plan.interval.is_zero()).then(|| self.next_due.since(now));
        let oldest = self.flights.iter().find(|flight| flight.fate == Fate::Open);
        let expiry =
            oldest.zip(self.plan.timeout).map(|(flight, timeout)| (flight.since + timeout).since(now));
        next.into_iter().chain(expiry).min().unwrap_or(Duration::from_secs(3_600))
    }

    /// A message is due.
    fn message(&mut self, now: Instant) -> Result<Went, Deaf> {
        let seq = self.next_seq;
        // As fast as echoes come: between two attempts nothing comes, and there is no hurry.
        let hold = self.phase == Phase::Dialing || self.plan.interval.is_zero();
        if self.phase == Phase::Up && !self.send(seq, now) {
            self.schedule(now);
            return Ok(Went::Nowhere);
        }
        self.next_seq += 1;
        self.schedule(now);
        (self.tell)(Told::Sent)?;
        match self.phase {
            Phase::Up => {}
            Phase::Dialing | Phase::Down if hold => self.waiting.push_back(seq),
            Phase::Dialing | Phase::Down => self.lost(seq, self.reason)?,
        }
        Ok(Went::On)
    }

    fn schedule(&mut self, now: Instant) {
        self.next_due = self.next_due + self.plan.interval;
        if self.next_due + self.plan.interval < now {
            // Whole intervals were slept through; they are not made up for.
            self.next_due = now + self.plan.interval;
        }
    }

    /// Hands it to the core; `false` if the core has no room now.
    fn send(&mut self, seq: u64, now: Instant) -> bool {
        match self.session.command(Command::Send(payload(seq, self.plan.size))) {
            Ok(()) => {
                self.flights.push_back(Flight { core: self.next_core, seq, since: now, fate: Fate::Open });
                self.next_core += 1;
                true
            }
            // Full, or over; the event that changes it is under way.
            Err(_) => false,
        }
    }

    // What happened.

    fn event(&mut self, at: Instant, event: Event) -> Result<(), Deaf> {
        let t_ns = self.tracker.t_ns(at);
        let body = self.tracker.body(at, &event);
        match (&event, body) {
            (Event::Echoed { seq, .. }, Some(Body::Echo { bytes, rtt_ns, .. })) => match self.landed(seq.0) {
                Some(Flight { seq, fate: Fate::Open, .. }) => {
                    self.write(t_ns, Body::Echo { seq, bytes, rtt_ns })?;
                }
                Some(_) => (self.tell)(Told::Late)?,
                None => {}
            },
            (Event::Lost { seq, .. }, Some(Body::Lost { reason, .. })) => {
                if let Some(Flight { seq, fate: Fate::Open, .. }) = self.landed(seq.0) {
                    self.write(t_ns, Body::Lost { seq, reason })?;
                }
            }
            (_, Some(body)) => self.write(t_ns, body)?,
            (_, None) => {}
        }
        match event {
            Event::Dialing { .. } => self.phase = Phase::Dialing,
            Event::DialFailed { cause, .. } => self.reason = cause.reason,
            Event::Up { .. } => {
                self.phase = Phase::Up;
                while let Some(seq) = self.waiting.pop_front() {
                    if !self.send(seq, self.clock.now()) {
                        self.lost(seq, Reason::WriteBlocked)?;
                    }
                }
            }
            Event::Down { cause, .. } => {
                self.phase = Phase::Down;
                self.reason = cause.reason;
            }
            Event::Retry { .. } => {
                self.phase = Phase::Down;
                self.lose_open()?;
            }
            Event::GaveUp { cause } => {
                self.reason = cause.reason;
                self.lose_open()?;
                self.end = Some(End::GaveUp);
            }
            Event::Closed => self.end = Some(End::Count),
            _ => {}
        }
        Ok(())
    }

    fn landed(&mut self, core: u64) -> Option<Flight> {
        let index = self.flights.binary_search_by_key(&core, |flight| flight.core).ok()?;
        self.flights.remove(index)
    }

    /// A round of attempts has failed, or there will be none: what waits for a connection is lost.
    fn lose_open(&mut self) -> Result<(), Deaf> {
        let reason = self.reason;
        for index in 0..self.flights.len() {
            self.lose_flight(index, reason)?;
        }
        while let Some(seq) = self.waiting.pop_front() {
            self.lost(seq, reason)?;
        }
        Ok(())
    }

    /// What was sent too long ago is lost.
    fn expire(&mut self, now: Instant) -> Result<(), Deaf> {
        let Some(timeout) = self.plan.timeout else { return Ok(()) };
        for index in 0..self.flights.len() {
            if self.flights[index].since + timeout > now {
                break;
            }
            self.lose_flight(index, Reason::NoEcho)?;
        }
        Ok(())
    }

    fn lose_flight(&mut self, index: usize, reason: Reason) -> Result<(), Deaf> {
        let flight = &mut self.flights[index];
        if core::mem::replace(&mut flight.fate, Fate::Lost) == Fate::Lost {
            return Ok(());
        }
        let seq = flight.seq;
        self.lost(seq, reason)
    }

    fn lost(&mut self, seq: u64, reason: Reason) -> Result<(), Deaf> {
        self.write(self.clock.now().nanos(), Body::Lost { seq, reason })
    }

    fn write(&mut self, t_ns: u64, body: Body) -> Result<(), Deaf> {
        (self.tell)(Told::Event { t_ns, about: self.tracker.about(), body })
    }

    /// The plan is fulfilled: closes the connection in good order.
    fn leave(&mut self) -> Result<(), Deaf> {
        (self.tell)(Told::Over { t_ns: self.clock.now().nanos(), end: End::Count })?;
        if self.session.command(Command::Close).is_ok() {
            let until = self.clock.now() + FAREWELL;
            loop {
                match self.events.recv_timeout(until.since(self.clock.now())) {
                    Ok((_, Event::Closed | Event::GaveUp { .. })) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether there was room for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    On,
    Nowhere,
}

/// The bytes of a message: its number, and a pattern that follows from it, so that no two look alike and a mix-up
/// shows as `mismatch`.
pub(super) fn payload(seq: u64, size: usize) -> Bytes {
    let number = seq.to_be_bytes();
    let pattern = (0u64..).map(|index| {
        let mixed = (seq ^ index.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    });
    // A short message keeps the digits that change.
    let skip = number.len().saturating_sub(size);
    number.into_iter().skip(skip).chain(pattern).take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_size_and_differ_from_their_neighbours() {
        for size in [1, 7, 8, 9, 56, 5_000] {
            assert_eq!(payload(3, size).len(), size);
            assert_ne!(payload(3, size), payload(4, size), "{size}");
        }
        let differing = payload(3, 1_000).iter().zip(&payload(4, 1_000)).filter(|(a, b)| a != b).count();
        assert!(differing > 900, "{differing}");
    }
}
