//! The echo client: what was sent must come back, byte for byte, in order (RFC 862 over TCP).
//!
//! # Theory of operation
//!
//! The peer needs no protocol of ours, because this side knows every byte that must come back. Accepted messages stand
//! in one queue, oldest first; a write cursor runs ahead, a match cursor follows with what returns:
//!
//! ```text
//!             match cursor          write cursor
//!                  ▼                     ▼
//!   ┌─────────┬─────────┬─────────┬─────────┬─────────┐
//!   │ (gone)  │ echoing │ written │ writing │ waiting │   at most `max_in_flight` messages, `max_bytes` bytes
//!   └─────────┴─────────┴─────────┴─────────┴─────────┘
//! ```
//!
//! The prefix that matches completes messages in order; a byte that differs, or that answers nothing, ends the
//! connection as `mismatch`. When nothing is in flight and the link wants to know whether the peer lives, a few bytes of
//! this machine's own go the same way; the program never sees them.
//!
//! Every accepted message ends exactly once, echoed or lost. After a loss of the connection what was already on the
//! wire is reported lost or sent again, as [`Config::on_loss`] says; what was not waits for the next connection.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::{Chunk, Close, ConnId, Fact, Findings, Machine, Step, Wire};
use crate::config::BadConfig;
use crate::link::{self, Action, Link, State, Told};
use crate::liveness::{KernelView, Writing, verdict};
use crate::race::MAX_TARGETS;
use crate::signal::{Cause, Op, Reason, Signal};
use crate::time::{Instant, earliest};

mod config;
mod dialogue;

pub use config::{Config, OnLoss};
pub use dialogue::{Command, Event, Refusal, Refused, Seq};

/// What an idle connection is probed with. Any echo server returns it; the program never sees it.
pub const PROBE: &[u8] = b"resound\n";

/// How many steps beyond the echoes of a full window may wait to be polled before messages are refused.
const UNPOLLED: usize = 128;

/// An accepted message, or (`seq` is `None`) a probe.
#[derive(Debug)]
struct Message {
    payload: Bytes,
    seq: Option<Seq>,
    /// When its last byte was handed to the kernel.
    written: Instant,
    tries: Tries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    First,
    Repeated,
}

/// How far the connection that stands has come.
#[derive(Debug, Default)]
struct Cursors {
    /// Messages of the queue that are written whole.
    written: usize,
    /// Bytes written of the one after them.
    offset: usize,
    /// Bytes of the oldest message that came back.
    matched: usize,
}

/// The one probe of a second connection.
#[derive(Debug, Default)]
struct SpareProbe {
    conn: Option<ConnId>,
    written: usize,
    wire: Wire,
}

/// How far a graceful close has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// What was accepted is still being written.
    Flushing,
    /// Half-closed; echoes are due.
    Shut,
}

/// Where the limit of a graceful close lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Ahead,
    /// A late driver was given a moment more.
    Postponed,
    /// It has passed; what the kernel holds is looked at once more.
    Reached,
}

#[derive(Debug)]
enum Queued {
    Dial { conn: ConnId, target: u8 },
    Examine { conn: ConnId },
    Shutdown { conn: ConnId },
    Close { conn: ConnId, how: Close },
    Event(Event),
}

/// An echo client over byte streams. `T` is what its driver dials, an address.
///
/// ```
/// use resound_core::stream::client::{Client, Command, Config, Event};
/// use resound_core::stream::{Established, Fact, Machine, Step};
/// use resound_core::Instant;
///
/// let mut client = Client::new(Config::default(), 7, ["server"]).unwrap();
/// let now = Instant::EPOCH;
/// client.handle(now, Fact::Tick);
/// assert!(matches!(client.poll(), Step::Event(Event::Dialing { .. })));
/// let Step::Dial { conn, to: "server" } = client.poll() else { panic!() };
/// client.handle(now, Fact::Dialed { conn, result: Ok(Established::default()) });
/// assert!(matches!(client.poll(), Step::Event(Event::Up { .. })));
/// client.command(now, Command::Send("hello".into())).unwrap();
/// assert_eq!(client.poll(), Step::Write { conn });
/// ```
#[derive(Debug)]
pub struct Client<T> {
    config: Config,
    policy: link::Policy,
    targets: Vec<T>,
    link: Link,
    messages: VecDeque<Message>,
    /// Payload bytes that they hold.
    bytes: usize,
    next_seq: Seq,
    cursors: Cursors,
    wire: Wire,
    spare: SpareProbe,
    closing: Closing,
    close_by: Option<Instant>,
    close_limit: Limit,
    queue: VecDeque<Queued>,
    actions: Vec<Action>,
    now: Instant,
}

impl<T> Client<T> {
    /// A client of one peer that may have several addresses, best first; it dials at the first [`Fact::Tick`].
    /// Everything random in it follows from `seed`: give every client another one, or they will all retry in step.
    ///
    /// # Errors
    ///
    /// Names the field of the configuration that cannot work; `targets` must hold 1 to 32 addresses.
    pub fn new(config: Config, seed: u64, targets: impl IntoIterator<Item = T>) -> Result<Self, BadConfig> {
        let targets: Vec<T> = targets.into_iter().collect();
        let fits = (1..=MAX_TARGETS).contains(&targets.len());
        BadConfig::unless(fits, "targets", "must hold 1 to 32 addresses")?;
        BadConfig::unless(config.max_in_flight > 0, "max_in_flight", "must be at least 1")?;
        BadConfig::unless(config.max_bytes > 0, "max_bytes", "must be at least 1")?;
        BadConfig::unless(
            !config.close_within.is_zero(),
            "close_within",
            "must be longer than zero; Abort closes at once",
        )?;
        let room = config.max_in_flight.min(4_096) + 1;
        Ok(Self {
            policy: config.link.check()?,
            config,
            targets,
            link: Link::new(seed),
            messages: VecDeque::with_capacity(room),
            bytes: 0,
            next_seq: Seq(0),
            cursors: Cursors::default(),
            wire: Wire::default(),
            spare: SpareProbe::default(),
            closing: Closing::No,
            close_by: None,
            close_limit: Limit::Ahead,
            queue: VecDeque::with_capacity(room),
            actions: Vec::with_capacity(8),
            now: Instant::EPOCH,
        })
    }

    /// The number that the next accepted message will get.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Messages accepted and not ended.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.messages.iter().filter(|m| m.seq.is_some()).count()
    }

    /// The state of the link to the peer.
    #[must_use]
    pub const fn state(&self) -> State {
        self.link.state()
    }

    /// The smoothed round-trip time of the connection that stands.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.round_trip()
    }

    /// The addresses, as given; events name them by index.
    #[must_use]
    pub fn targets(&self) -> &[T] {
        &self.targets
    }

    /// What the liveness rules promise with this configuration.
    #[must_use]
    pub const fn policy(&self) -> &link::Policy {
        &self.policy
    }

    /// A bound for the kernel's own timer on its connections (TCP_USER_TIMEOUT): later than everything promised here, so
    /// that it never races it. `None` if liveness is off.
    #[must_use]
    pub fn kernel_backstop(&self) -> Option<Duration> {
        let close = self.config.close_within.saturating_mul(2);
        self.policy.kernel_backstop().map(|backstop| backstop.max(close))
    }

    // The link.

    #[inline]
    fn tell(&mut self, told: Told) {
        self.link.handle(&self.policy, self.now, told, &mut self.actions);
        if !self.actions.is_empty() {
            self.act_all();
        }
    }

    #[inline(never)]
    fn act_all(&mut self) {
        let mut actions = core::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(action);
        }
        // Telling more from within `act` may have left a shorter buffer here; keep the one that has grown.
        self.actions = actions;
    }

    fn act(&mut self, action: Action) {
        let queued = match action {
            Action::Dial { conn, target } => Queued::Dial { conn, target },
            Action::Close { conn, how } => Queued::Close { conn, how },
            Action::Examine { conn } => Queued::Examine { conn },
            Action::Probe { conn } => return self.probe(conn),
            Action::Event(event) => return self.link_event(event),
        };
        self.queue.push_back(queued);
    }

    fn link_event(&mut self, event: link::Event) {
        let event = match event {
            link::Event::Dialing { conn, target } => Event::Dialing { conn, target },
            link::Event::DialFailed { conn, target, cause } => Event::DialFailed { conn, target, cause },
            link::Event::Suspect { unanswered } => Event::Suspect { unanswered },
            link::Event::Retry { level, delay } => Event::Retry { level, delay },
            link::Event::Stalled { late } => Event::Stalled { late },
            link::Event::Up { conn, target, established } => {
                self.queue.push_back(Queued::Event(Event::Up { conn, target, established }));
                return self.went_up(conn);
            }
            link::Event::Down { conn, cause, silent } => {
                let in_flight = self.on_the_wire();
                self.queue.push_back(Queued::Event(Event::Down { conn, cause, in_flight, silent }));
                return self.went_down(cause);
            }
            link::Event::GaveUp { cause } => {
                self.lose_all(cause);
                Event::GaveUp { cause }
            }
            link::Event::Closed => {
                self.lose_all(Cause::local(Reason::Aborted));
                Event::Closed
            }
        };
        self.queue.push_back(Queued::Event(event));
    }

    fn went_up(&mut self, conn: ConnId) {
        self.cursors = Cursors::default();
        self.wire = Wire::default();
        let spare = core::mem::take(&mut self.spare);
        if spare.conn == Some(conn) {
            // The second connection has won: its probe is the oldest thing in flight.
            self.wire = spare.wire;
            self.messages.push_front(Message::probe(self.now));
            let whole = spare.written == PROBE.len();
            self.cursors.written = usize::from(whole);
            self.cursors.offset = if whole { 0 } else { spare.written };
        }
        for _ in 0..self.messages.len() {
            self.tell(Told::Sent { conn });
        }
    }

    /// Application messages with at least one byte on the wire.
    fn on_the_wire(&self) -> usize {
        let touched = self.cursors.written + usize::from(self.cursors.offset > 0);
        self.messages.iter().take(touched).filter(|m| m.seq.is_some()).count()
    }

    /// Messages that the peer owes when it ends its side: those on the wire, and while closing those behind them too.
    fn due(&self) -> usize {
        if self.closing == Closing::No { self.on_the_wire() } else { self.pending() }
    }

    fn went_down(&mut self, cause: Cause) {
        if self.closing != Closing::No {
            return self.lose_all(cause); // There will be no other connection to send them on.
        }
        let touched = self.cursors.written + usize::from(self.cursors.offset > 0);
        let report = self.config.on_loss == OnLoss::Report;
        for index in 0..touched {
            if report {
                self.lose_oldest(cause);
            } else {
                self.messages[index].tries = Tries::Repeated;
            }
        }
        self.messages.retain(|m| m.seq.is_some());
        self.cursors = Cursors::default();
        self.wire = Wire::default();
    }

    fn lose_oldest(&mut self, cause: Cause) {
        let Some(Message { payload, seq, .. }) = self.messages.pop_front() else { return };
        if let Some(seq) = seq {
            self.bytes -= payload.len();
            self.queue.push_back(Queued::Event(Event::Lost { seq, payload, cause }));
        }
    }

    fn lose_all(&mut self, cause: Cause) {
        while !self.messages.is_empty() {
            self.lose_oldest(cause);
        }
        self.cursors = Cursors::default();
        self.wire = Wire::default();
        self.close_by = None;
    }

    fn probe(&mut self, conn: ConnId) {
        if self.link.second() == Some(conn) {
            self.spare = SpareProbe { conn: Some(conn), ..SpareProbe::default() };
        } else if self.link.conn() == Some(conn) && self.messages.is_empty() && self.closing != Closing::Shut
        {
            // While bytes are in flight the oldest of them are the probe: more would only queue behind them.
            self.messages.push_back(Message::probe(self.now));
            self.tell(Told::Sent { conn });
        }
    }

    // Writing.

    /// The connection that has something to write and may be asked to.
    fn write_due(&self) -> Option<ConnId> {
        let main = || {
            self.link.conn().filter(|_| self.wire.takes_bytes() && self.cursors.written < self.messages.len())
        };
        let probing = || self.spare.wire.takes_bytes() && self.spare.written < PROBE.len();
        main().or_else(|| self.link.second().filter(|_| probing()))
    }

    fn has_unsent(&self) -> bool {
        self.cursors.written < self.messages.len() && !self.wire.is_broken()
    }

    fn wrote(&mut self, mut n: usize, began: Instant) {
        self.wire.wrote(n);
        while let Some(message) = self.messages.get_mut(self.cursors.written) {
            let left = message.payload.len() - self.cursors.offset;
            if n < left {
                self.cursors.offset += n;
                break;
            }
            n -= left;
            message.written = began;
            self.cursors.written += 1;
            self.cursors.offset = 0;
        }
        self.shut_if_flushed();
    }

    fn write_failed(&mut self, conn: ConnId, signal: Signal) {
        self.wire.write_failed(signal);
        self.queue.push_back(Queued::Examine { conn });
    }

    // Reading.

    fn received(&mut self, conn: ConnId, chunk: &mut Chunk) {
        self.tell(Told::Heard { conn });
        if self.link.conn() != Some(conn) {
            return chunk.clear();
        }
        self.wire.bytes_came(chunk.bytes().len());
        while !chunk.is_empty() {
            let Some(n) = self.match_oldest(conn, chunk.bytes()) else {
                chunk.clear();
                return self.tell(Told::Ended { conn, cause: Cause::peer(Reason::Mismatch) });
            };
            chunk.consume(n);
        }
        self.shut_if_flushed();
    }

    /// Matches what came back against the oldest message; `None` if it differs or answers nothing.
    fn match_oldest(&mut self, conn: ConnId, bytes: &[u8]) -> Option<usize> {
        let oldest = self.messages.front()?;
        let written = if self.cursors.written > 0 { oldest.payload.len() } else { self.cursors.offset };
        let expected = &oldest.payload[self.cursors.matched..written];
        let n = expected.len().min(bytes.len());
        if n == 0 || expected[..n] != bytes[..n] {
            return None;
        }
        self.cursors.matched += n;
        if self.cursors.matched == oldest.payload.len() {
            self.complete_oldest(conn);
        }
        Some(n)
    }

    fn complete_oldest(&mut self, conn: ConnId) {
        let Some(Message { payload, seq, written, tries }) = self.messages.pop_front() else { return };
        self.cursors.matched = 0;
        self.cursors.written -= 1;
        let round_trip = self.now.since(written);
        let sample = (tries == Tries::First).then_some(round_trip);
        self.tell(Told::Answered { conn, round_trip: sample });
        if let Some(seq) = seq {
            self.bytes -= payload.len();
            self.queue.push_back(Queued::Event(Event::Echoed { seq, payload, round_trip }));
        }
    }

    // Ending.

    fn examined(&mut self, conn: ConnId, kernel: Option<KernelView>) {
        match self.wire.examined() {
            Findings::Again => self.queue.push_back(Queued::Examine { conn }),
            Findings::Over(cause) => self.tell(Told::Ended { conn, cause }),
            Findings::Nothing => {
                let writing = if self.has_unsent() { Writing::Blocked } else { Writing::Free };
                if self.close_limit == Limit::Reached {
                    let cause = Cause::timer(verdict(self.config.close_within, writing, kernel));
                    return self.tell(Told::Ended { conn, cause });
                }
                self.tell(Told::Examined { conn, kernel, writing });
            }
        }
    }

    fn begin_close(&mut self) {
        self.closing = Closing::Flushing;
        if self.link.conn().is_some() {
            self.close_by = Some(self.now + self.config.close_within);
            self.tell(Told::Drain);
            self.shut_if_flushed();
        } else {
            self.tell(Told::Close { how: Close::Reset });
        }
    }

    /// A graceful close goes on: half-close once everything is written, close once everything came back.
    fn shut_if_flushed(&mut self) {
        if self.closing == Closing::No {
            return;
        }
        let Some(conn) = self.link.conn() else { return };
        if self.closing == Closing::Flushing && self.cursors.written == self.messages.len() {
            self.closing = Closing::Shut;
            self.queue.push_back(Queued::Shutdown { conn });
        }
        if self.closing == Closing::Shut && self.messages.is_empty() {
            self.close_by = None;
            self.tell(Told::Close { how: Close::Drop });
        }
    }

    fn tick(&mut self) {
        // While steps are queued the driver is behind, not the peer; the deadline stays due.
        if !self.queue.is_empty() {
            return;
        }
        if self.link.state() == State::Idle {
            self.tell(Told::Open { targets: self.targets.len() as u8 });
        }
        self.check_close();
        self.tell(Told::Tick);
    }

    fn check_close(&mut self) {
        let Some(by) = self.close_by.filter(|&by| by <= self.now) else { return };
        let Some(conn) = self.link.conn() else { return };
        let (late, tolerance) = (self.now.since(by), self.policy.liveness.tolerance());
        self.close_by = Some(self.now + tolerance);
        if late > tolerance && self.close_limit == Limit::Ahead {
            // The driver was late: the echoes may be waiting. Once, so that a driver that always is still gets done.
            self.close_limit = Limit::Postponed;
            self.queue.push_back(Queued::Event(Event::Stalled { late }));
        } else {
            self.close_limit = Limit::Reached;
            self.queue.push_back(Queued::Examine { conn });
        }
    }

    /// The facts that an echo does without.
    fn handle_seldom(&mut self, fact: Fact<'_>) {
        let stands = |conn| self.link.conn() == Some(conn);
        let second = |conn| self.link.second() == Some(conn);
        match fact {
            Fact::Tick | Fact::Received { .. } => {}
            Fact::Blocked { conn } if stands(conn) => self.wire.blocked(),
            Fact::Writable { conn } if stands(conn) => self.wire.writable(),
            Fact::Wrote { conn, n } if second(conn) => {
                self.spare.written = (self.spare.written + n).min(PROBE.len());
                self.spare.wire.wrote(n);
            }
            Fact::Blocked { conn } if second(conn) => self.spare.wire.blocked(),
            Fact::Writable { conn } if second(conn) => self.spare.wire.writable(),
            Fact::Wrote { .. } | Fact::Blocked { .. } | Fact::Writable { .. } => {}
            Fact::Dialed { conn, result } => {
                self.tell(Told::Dialed { conn, result: result.map_err(|signal| signal.cause(Op::Connect)) });
            }
            Fact::Ended { conn } if stands(conn) => {
                let cause = self.wire.at_end(self.due());
                self.tell(Told::Ended { conn, cause });
            }
            Fact::Ended { conn } => self.tell(Told::Ended { conn, cause: Cause::peer(Reason::Closed) }),
            Fact::Failed { conn, op: Op::Write, signal } if stands(conn) => self.write_failed(conn, signal),
            Fact::Failed { conn, op, signal } if stands(conn) => {
                let cause = self.wire.failed(op, signal);
                self.tell(Told::Ended { conn, cause });
            }
            Fact::Failed { conn, op, signal } => self.tell(Told::Ended { conn, cause: signal.cause(op) }),
            Fact::Hint { conn, signal } => {
                self.tell(Told::Hint { conn, cause: Some(signal.cause(Op::Read)) });
            }
            Fact::Examined { conn, kernel } if stands(conn) => self.examined(conn, kernel),
            Fact::Examined { .. } => {}
            Fact::Resumed => self.tell(Told::Resumed),
        }
    }

    fn refusal(&self, payload: &Bytes) -> Option<Refusal> {
        let limit = self.config.max_in_flight;
        if self.closing != Closing::No || self.link.state() == State::Closed {
            Some(Refusal::Closed)
        } else if payload.is_empty() {
            Some(Refusal::Empty)
        } else if payload.len() > self.config.max_bytes {
            Some(Refusal::TooLarge)
        } else if self.messages.len() - usize::from(self.probing()) >= limit
            || self.queue.len() >= limit.saturating_add(UNPOLLED)
            || self.bytes.saturating_add(payload.len()) > self.config.max_bytes
        {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// Whether a probe stands in its reserved slot.
    fn probing(&self) -> bool {
        self.messages.front().is_some_and(|m| m.seq.is_none())
    }
}

impl Message {
    fn probe(now: Instant) -> Self {
        Self { payload: Bytes::from_static(PROBE), seq: None, written: now, tries: Tries::First }
    }
}

impl<T: Clone> Machine for Client<T> {
    type Target = T;
    type Event = Event;
    type Command = Command;
    type Refused = Refused;

    #[inline]
    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        let began = self.now;
        self.now = self.now.max(now);
        match fact {
            Fact::Tick => self.tick(),
            Fact::Received { conn, chunk } => self.received(conn, chunk),
            Fact::Wrote { conn, n } if self.link.conn() == Some(conn) => self.wrote(n, began),
            seldom => self.handle_seldom(seldom),
        }
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), Refused> {
        self.now = self.now.max(now);
        let over = self.link.state() == State::Closed;
        match command {
            Command::Send(payload) => {
                if let Some(why) = self.refusal(&payload) {
                    return Err(Refused { command: Command::Send(payload), why });
                }
                self.bytes += payload.len();
                let seq = Some(self.next_seq);
                self.next_seq.0 += 1;
                self.messages.push_back(Message { payload, seq, written: self.now, tries: Tries::First });
                if let Some(conn) = self.link.conn() {
                    self.tell(Told::Sent { conn });
                }
            }
            command if over => return Err(Refused { command, why: Refusal::Closed }),
            Command::Close if self.closing != Closing::No => {}
            Command::Close => self.begin_close(),
            Command::Abort => self.tell(Told::Close { how: Close::Reset }),
            Command::Hurry => self.tell(Told::Hurry),
        }
        Ok(())
    }

    fn poll(&mut self) -> Step<T, Event> {
        if let Some(queued) = self.queue.pop_front() {
            return match queued {
                Queued::Dial { conn, target } => {
                    Step::Dial { conn, to: self.targets[usize::from(target)].clone() }
                }
                Queued::Examine { conn } => Step::Examine { conn },
                Queued::Shutdown { conn } => Step::Shutdown { conn },
                Queued::Close { conn, how } => Step::Close { conn, how },
                Queued::Event(event) => Step::Event(event),
            };
        }
        if let Some(conn) = self.write_due() {
            let wire = if self.link.conn() == Some(conn) { &mut self.wire } else { &mut self.spare.wire };
            wire.asked();
            return Step::Write { conn };
        }
        Step::Wait(self.next_deadline())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let pending =
            !self.queue.is_empty() || self.link.state() == State::Idle || self.write_due().is_some();
        earliest([pending.then_some(Instant::EPOCH), self.close_by, self.link.deadline()])
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        self.link.conn() == Some(conn) || self.link.second() == Some(conn)
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        if self.link.second() == Some(conn) {
            let left = &PROBE[self.spare.written..];
            return out.first_mut().filter(|_| !left.is_empty()).map_or(0, |slot| {
                *slot = left;
                1
            });
        }
        if self.link.conn() != Some(conn) || !self.has_unsent() {
            return 0;
        }
        let mut offset = self.cursors.offset;
        let mut filled = 0;
        for (slot, message) in out.iter_mut().zip(self.messages.range(self.cursors.written..)) {
            *slot = &message.payload[offset..];
            offset = 0;
            filled += 1;
        }
        filled
    }

    fn is_done(&self) -> bool {
        self.link.state() == State::Closed && self.queue.is_empty()
    }
}
