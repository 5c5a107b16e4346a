//! One peer, for as long as the program wants it: dial, race, up, suspect, down, wait, dial again.
//!
//! # Theory of operation
//!
//! A link composes [`backoff`](crate::backoff), [`race`](crate::race) and [`liveness`](crate::liveness) and knows no
//! protocol. Its owner does: it tells the link that an answer is due ([`Told::Sent`]), that bytes came in
//! ([`Told::Heard`]: life) and that an answer came ([`Told::Answered`]: proof, and a round-trip sample). A banner is life
//! and no proof.
//!
//! ```text
//!            ┌────────────────────── the wait is over ─────────────────────┐
//!            ▼                                                             │
//!  open ─► Dialing ── an attempt succeeds ─► Up ── FIN, RST, verdict ─► Waiting
//!            │                               │▲                          ▲ ▲
//!            │              probe unanswered ▼│ a byte                   │ │
//!            │                             Suspect ──────────────────────┘ │
//!            └──────────── every attempt failed, or time is over ──────────┘
//! ```
//!
//! The exact table is [`State::TABLE`]. A link holds neither its configuration, which comes by reference with each call,
//! nor a queue: what it wants done is handed to a sink of the owner's. What it needs only while something is wrong (a
//! race, delays, the evidence) it allocates then, and frees when a connection stands. So a fleet of links is cheap.
//!
//! Every attempt has a [`ConnId`] of its own; what is told of an id that is over changes nothing.

use alloc::boxed::Box;
use core::time::Duration;

use crate::backoff::{Backoff, Proof};
use crate::liveness::{Due, Liveness};
use crate::race::{Memory, Race};
use crate::rng::Rng;
use crate::signal::{Cause, Reason};
use crate::stream::{Close, ConnId};
use crate::time::{Instant, earliest};

use outage::{Asked, Outage};

mod config;
mod dialing;
mod dialogue;
mod outage;
mod standing;
mod table;

pub use config::{Config, GiveUp, OnSuspect, Policy};
pub use dialogue::{Action, Event, Told};
pub use table::{Input, State};

/// The timers of a link. [`Link::timers`] lists every one of them, so that none can be forgotten in a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    GiveUp,
    Race,
    Liveness,
    Retry,
}

impl Timer {
    const ALL: [Self; 4] = [Self::GiveUp, Self::Race, Self::Liveness, Self::Retry];
}

/// The state of one link.
#[derive(Clone, Debug)]
pub struct Link {
    state: State,
    targets: u8,
    proof: Proof,
    /// The connection that stands.
    conn: Option<ConnId>,
    next_id: u32,
    /// Which addresses failed before; while there is an outage, its race knows better.
    memory: Memory,
    /// Draws the delays. The jitter of probes is drawn elsewhere, so that how often a peer is dialed does not depend on
    /// how it is probed.
    rng: Rng,
    probe_rng: Rng,
    backoff: Backoff,
    up_since: Instant,
    liveness: Option<Liveness>,
    outage: Option<Box<Outage>>,
}

/// A fleet holds one of them for each peer.
const _: () = assert!(size_of::<Link>() <= 128);

impl Link {
    /// A link that has not been opened. Everything random in it follows from `seed`; give every link another one.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: State::Idle,
            targets: 0,
            proof: Proof::None,
            conn: None,
            next_id: 1,
            memory: Race::new().memory(),
            rng: Rng::from_seed(seed),
            probe_rng: Rng::from_seed(!seed),
            backoff: Backoff::new(),
            up_since: Instant::EPOCH,
            liveness: None,
            outage: None,
        }
    }

    /// Where it stands.
    #[must_use]
    #[inline]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The connection that stands.
    #[must_use]
    #[inline]
    pub const fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// The connection that stands; if none does, the latest attempt that is under way.
    #[must_use]
    #[inline]
    pub fn current(&self) -> Option<ConnId> {
        self.conn.or_else(|| {
            let outage = self.outage.as_ref()?;
            outage.race.latest().map(|attempt| outage.attempt_id(attempt))
        })
    }

    /// The second connection of a suspected peer, while neither has won.
    #[must_use]
    #[inline]
    pub fn second(&self) -> Option<ConnId> {
        self.outage.as_ref()?.second.map(|(conn, ..)| conn)
    }

    /// What was last said of a peer that has not been heard since.
    #[must_use]
    pub fn hint(&self) -> Option<Cause> {
        self.outage.as_ref().and_then(|outage| outage.hint)
    }

    /// Whether a hint would hasten a probe now, or at least be the first of an attempt.
    #[must_use]
    pub fn is_rested(&self, policy: &Policy, now: Instant) -> bool {
        self.liveness.as_ref().is_none_or(|liveness| liveness.is_rested(&policy.liveness, now))
    }

    /// When the last probe of a silent peer was due; `None` while nothing is wrong with it.
    #[must_use]
    pub fn probed(&self) -> Option<Instant> {
        self.liveness.as_ref().and_then(Liveness::probed)
    }

    /// The smoothed round-trip time of the connection that stands.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.liveness.as_ref().and_then(Liveness::round_trip)
    }

    /// When to tell [`Told::Tick`] next.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        earliest(self.timers())
    }

    /// When each timer is due, in the order of [`Timer::ALL`].
    #[inline]
    fn timers(&self) -> [Option<Instant>; Timer::ALL.len()] {
        let liveness = self.liveness.as_ref().and_then(Liveness::deadline);
        let Some(outage) = &self.outage else { return [None, None, liveness, None] };
        [outage.give_up_at, outage.race.deadline(), liveness, outage.retry_at]
    }

    /// Tells the link something; what it wants done goes into `out`, in order.
    // What every message tells is decided where it is told; everything else is one call away.
    #[inline(always)]
    pub fn handle(&mut self, policy: &Policy, now: Instant, told: Told, out: &mut impl Extend<Action>) {
        match told {
            Told::Sent { conn } => {
                if let Some(liveness) = self.watch(conn) {
                    liveness.sent(&policy.liveness, now);
                }
            }
            Told::Heard { conn } => self.heard(policy, now, conn, out),
            Told::Answered { conn, round_trip } => {
                if let Some(liveness) = self.watch(conn) {
                    liveness.answered(&policy.liveness, round_trip);
                    self.proof = Proof::Answered;
                }
            }
            Told::Waived { conn } => {
                if let Some(liveness) = self.watch(conn) {
                    liveness.waived();
                }
            }
            Told::Tick => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    self.fire_due(policy, now, out);
                }
            }
            seldom => self.handle_seldom(policy, now, seldom, out),
        }
    }

    #[inline(never)]
    fn handle_seldom(&mut self, policy: &Policy, now: Instant, told: Told, out: &mut impl Extend<Action>) {
        match told {
            Told::Sent { .. }
            | Told::Heard { .. }
            | Told::Answered { .. }
            | Told::Waived { .. }
            | Told::Tick => {}
            Told::Open { targets } => {
                if self.step(Input::Open) {
                    self.targets = targets;
                    self.down_from(policy, now);
                    self.begin_round(policy, now, out);
                }
            }
            Told::Targets { targets } => {
                self.targets = targets;
                self.memory = Memory::default();
                if let Some(outage) = &mut self.outage {
                    outage.race.forget();
                }
            }
            Told::Dialed { conn, result } => self.dialed(policy, now, conn, result, out),
            Told::Hint { conn, cause } => self.hinted(policy, now, conn, cause),
            Told::Voided { conn } => self.voided(policy, now, conn, out),
            Told::Ended { conn, cause } => self.ended(policy, now, conn, cause, out),
            Told::Goodbye { conn, retry_after } => {
                if self.conn == Some(conn) {
                    let asked = retry_after.map_or(Asked::Any, Asked::After);
                    self.outage_mut().asked_delay = Some(asked);
                }
            }
            Told::Examined { conn, kernel, writing } => {
                self.examined(policy, now, conn, kernel, writing, out);
            }
            Told::Resumed => self.resumed(policy, now, out),
            Told::Hurry => self.hurry(policy, now, out),
            Told::Drain => self.drain(policy, out),
            Told::Close { how } => self.close(policy, how, out),
        }
    }

    /// Takes the step that the table names; false where it names none.
    fn step(&mut self, input: Input) -> bool {
        let next = self.state.on(input);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    #[inline]
    fn watch(&mut self, conn: ConnId) -> Option<&mut Liveness> {
        if self.conn == Some(conn) { self.liveness.as_mut() } else { None }
    }

    // What is wrong, and what is no longer.

    fn outage_mut(&mut self) -> &mut Outage {
        self.outage.get_or_insert_with(|| Outage::new(self.memory))
    }

    /// A connection stands, or nothing ever will again. `second_from` outlives it where it is ever asked for.
    fn recovered(&mut self, policy: &Policy) {
        let Some(outage) = self.outage.take() else { return };
        self.memory = outage.race.memory();
        if policy.on_suspect == OnSuspect::DialSecond {
            self.outage_mut().second_from = outage.second_from;
        }
    }

    // Ending.

    fn drain(&mut self, policy: &Policy, out: &mut impl Extend<Action>) {
        if self.step(Input::Drain) {
            self.cancel_second(out);
            if self.state == State::Closed {
                self.cut(policy, Close::Drop, out);
                out.extend([Action::Event(Event::Closed)]);
            }
        }
    }

    fn give_up(&mut self, policy: &Policy, cause: Cause, out: &mut impl Extend<Action>) {
        if self.step(Input::GiveUp) {
            self.cut(policy, Close::Reset, out);
            out.extend([Action::Event(Event::GaveUp { cause })]);
        }
    }

    fn close(&mut self, policy: &Policy, how: Close, out: &mut impl Extend<Action>) {
        if self.step(Input::Close) {
            self.cut(policy, how, out);
            out.extend([Action::Event(Event::Closed)]);
        }
    }

    /// Ends whatever is under way, and every timer with it.
    fn cut(&mut self, policy: &Policy, how: Close, out: &mut impl Extend<Action>) {
        self.cancel_second(out);
        if let Some(conn) = self.conn.take() {
            out.extend([Action::Close { conn, how }]);
        }
        self.liveness = None;
        self.recovered(policy);
    }

    // Time.

    #[inline(never)]
    fn fire_due(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        for timer in Timer::ALL {
            if self.timers()[timer as usize].is_some_and(|at| at <= now) {
                self.fire(policy, now, timer, out);
            }
        }
    }

    fn fire(&mut self, policy: &Policy, now: Instant, timer: Timer, out: &mut impl Extend<Action>) {
        match timer {
            Timer::GiveUp => {
                if let Some(at) = self.outage.as_ref().and_then(|outage| outage.give_up_at) {
                    self.check_give_up(policy, now, at, out);
                }
            }
            Timer::Race => self.check_race(policy, now, out),
            Timer::Liveness => self.check_liveness(policy, now, out),
            Timer::Retry => {
                if self.step(Input::Retry) {
                    self.begin_round(policy, now, out);
                }
            }
        }
    }

    /// As with silence, a late call convicts nobody: the driver first gets to look at what its sockets say.
    fn check_race(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        let Some(race) = self.outage.as_mut().map(|outage| &mut outage.race) else { return };
        let Some(late) = race.overdue_by(now) else { return self.race_on(policy, now, out) };
        let tolerance = policy.liveness.tolerance();
        if late > tolerance && race.postpone(now + tolerance) {
            out.extend([Action::Event(Event::Stalled { late })]);
        } else {
            self.round_over(policy, now, out);
        }
    }

    fn check_give_up(&mut self, policy: &Policy, now: Instant, at: Instant, out: &mut impl Extend<Action>) {
        let (late, tolerance) = (now.since(at), policy.liveness.tolerance());
        let outage = self.outage_mut();
        if late > tolerance && !outage.give_up_postponed {
            outage.give_up_postponed = true;
            outage.give_up_at = Some(now + tolerance);
            out.extend([Action::Event(Event::Stalled { late })]);
        } else {
            let cause = outage.failure.or(outage.hint).unwrap_or(Cause::timer(Reason::NoResponse));
            self.give_up(policy, cause, out);
        }
    }

    fn check_liveness(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        let (Some(conn), Some(liveness)) = (self.conn, self.liveness.as_mut()) else { return };
        let (due, late) = liveness.tick(&policy.liveness, &mut self.probe_rng, now);
        if let Some(late) = late {
            out.extend([Action::Event(Event::Stalled { late })]);
        }
        match due {
            Due::Nothing => {}
            Due::Probe => out.extend([Action::Probe { conn }]),
            Due::Examine => out.extend([Action::Examine { conn }]),
            Due::Missed(unanswered) => {
                self.step(Input::Missed);
                out.extend([Action::Event(Event::Suspect { unanswered }), Action::Probe { conn }]);
                let wants_second = policy.on_suspect == OnSuspect::DialSecond
                    && self.state == State::Suspect
                    && self.second().is_none()
                    && !self.outage.as_ref().is_some_and(|outage| outage.race.is_running());
                // A second dial is a round like any other: no oftener than the backoff allows.
                if wants_second && self.outage.as_ref().is_none_or(|outage| now >= outage.second_from) {
                    self.begin_round(policy, now, out);
                }
            }
        }
    }
}
