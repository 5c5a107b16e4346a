//! One peer, for as long as the program wants it: dial, race, up, suspect, down, wait, dial again.
//!
//! # Theory of operation
//!
//! A link composes [`backoff`](crate::backoff), [`race`] and [`liveness`](crate::liveness) and knows no protocol. Its
//! owner does: it tells the link that an answer is due ([`Told::Sent`]), that bytes came in ([`Told::Heard`]: life) and
//! that an answer came ([`Told::Answered`]: proof, and a round-trip sample). A banner is life and no proof.
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
//! nor a queue: what it wants done is handed to a sink of the owner's. So a link is small, and a fleet of them is cheap.
//!
//! Every attempt has a [`ConnId`] of its own; what is told of an id that is over changes nothing.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff::{Backoff, Proof};
use crate::liveness::{Due, KernelView, Liveness, Writing, verdict};
use crate::race::{self, Race};
use crate::rng::Rng;
use crate::signal::{Cause, Reason, Retry};
use crate::stream::{Close, ConnId, Established};
use crate::time::{Instant, earliest};

mod config;
mod dialogue;
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
    /// Draws the delays. The jitter of probes is drawn elsewhere, so that how often a peer is dialed does not depend on
    /// how it is probed.
    rng: Rng,
    probe_rng: Rng,
    backoff: Backoff,
    race: Race,
    liveness: Option<Liveness>,
    /// The connection that stands.
    conn: Option<ConnId>,
    /// A second one, dialed while the first is suspected, that has not yielded a byte yet.
    second: Option<(ConnId, u8, Established)>,
    /// The id of the running round's attempt 0.
    round_base: u32,
    next_id: u32,
    rounds_lost: u32,
    round_began: Instant,
    up_since: Instant,
    retry_at: Option<Instant>,
    give_up_at: Option<Instant>,
    give_up_postponed: bool,
    /// No second connection is dialed before this.
    second_from: Instant,
    /// Why there is no connection: the loss of the last one, or the latest failure that leaves hope.
    failure: Option<Cause>,
    /// The delay that the peer asked for when it said goodbye.
    asked_delay: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Any,
    After(Duration),
}

impl Link {
    /// A link that has not been opened. Everything random in it follows from `seed`; give every link another one.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: State::Idle,
            targets: 0,
            proof: Proof::None,
            rng: Rng::from_seed(seed),
            probe_rng: Rng::from_seed(!seed),
            backoff: Backoff::new(),
            race: Race::new(),
            liveness: None,
            conn: None,
            second: None,
            round_base: 1,
            next_id: 1,
            rounds_lost: 0,
            round_began: Instant::EPOCH,
            up_since: Instant::EPOCH,
            retry_at: None,
            give_up_at: None,
            give_up_postponed: false,
            second_from: Instant::EPOCH,
            failure: None,
            asked_delay: None,
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

    /// The second connection of a suspected peer, while neither has won.
    #[must_use]
    #[inline]
    pub fn second(&self) -> Option<ConnId> {
        self.second.map(|(conn, ..)| conn)
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
        [self.give_up_at, self.race.deadline(), liveness, self.retry_at]
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
            Told::Sent { .. } | Told::Heard { .. } | Told::Answered { .. } | Told::Tick => {}
            Told::Open { targets } => {
                if self.step(Input::Open) {
                    self.targets = targets;
                    self.down_from(policy, now);
                    self.begin_round(policy, now, out);
                }
            }
            Told::Targets { targets } => {
                self.targets = targets;
                self.race.forget();
            }
            Told::Dialed { conn, result } => self.dialed(policy, now, conn, result, out),
            Told::Hint { conn } => {
                if let Some(liveness) = self.watch(conn) {
                    liveness.hint(&policy.liveness, now);
                }
            }
            Told::Ended { conn, cause } => self.ended(policy, now, conn, cause, out),
            Told::Goodbye { conn, retry_after } => {
                if self.conn == Some(conn) {
                    self.asked_delay = Some(retry_after.map_or(Asked::Any, Asked::After));
                }
            }
            Told::Examined { conn, kernel, writing } => {
                self.examined(policy, now, conn, kernel, writing, out);
            }
            Told::Resumed => self.resumed(policy, now, out),
            Told::Hurry => self.hurry(policy, now, out),
            Told::Drain => self.drain(out),
            Told::Close { how } => self.close(how, out),
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

    // Dialing.

    fn begin_round(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        // Ids of one round follow each other; near the end of the numbers, some 30 years away, they begin again.
        if self.next_id > u32::MAX - race::MAX_TARGETS as u32 {
            self.next_id = 1;
        }
        self.round_base = self.next_id;
        self.round_began = now;
        self.retry_at = None;
        self.failure = None;
        self.race.begin(&policy.race, now, self.targets);
        self.race_on(policy, now, out);
    }

    /// The round's time is over: what is pending has failed.
    fn round_over(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        let cause = Cause::timer(Reason::NoResponse);
        let round = self.race.clone();
        for attempt in self.race.end() {
            let conn = self.attempt_id(attempt);
            out.extend([Action::Close { conn, how: Close::Drop }]);
            let failed = round.target(attempt).map(|target| Event::DialFailed { conn, target, cause });
            out.extend(failed.map(Action::Event));
        }
        self.round_lost(policy, now, cause, out);
    }

    /// Starts what the race has due, and ends a round that is lost.
    fn race_on(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        while let Some(start) = self.race.next(&policy.race, now) {
            let conn = self.attempt_id(start.attempt);
            self.next_id = conn.get() + 1;
            let target = start.target;
            out.extend([Action::Event(Event::Dialing { conn, target }), Action::Dial { conn, target }]);
        }
        if self.race.is_lost() {
            let _ = self.race.end();
            let cause = self.failure.unwrap_or(Cause::local(Reason::BadAddress));
            self.round_lost(policy, now, cause, out);
        }
    }

    fn attempt_id(&self, attempt: u8) -> ConnId {
        ConnId(NonZeroU32::MIN.saturating_add(self.round_base - 1 + u32::from(attempt)))
    }

    fn attempt_of(&self, conn: ConnId) -> Option<u8> {
        conn.get().checked_sub(self.round_base).and_then(|k| u8::try_from(k).ok())
    }

    fn dialed(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        result: Result<Established, Cause>,
        out: &mut impl Extend<Action>,
    ) {
        let Some(attempt) = self.attempt_of(conn) else { return };
        let Some(target) = self.race.target(attempt) else { return };
        match result {
            Err(cause) => {
                if self.race.failed(&policy.race, now, attempt) {
                    out.extend([
                        Action::Close { conn, how: Close::Drop },
                        Action::Event(Event::DialFailed { conn, target, cause }),
                    ]);
                    // A failure that leaves hope outweighs one that leaves none.
                    if self.failure.is_none_or(|f| f.retry() == Retry::Never || cause.retry() == Retry::Again)
                    {
                        self.failure = Some(cause);
                    }
                    self.race_on(policy, now, out);
                }
            }
            Ok(established) => {
                let Some(others) = self.race.won(attempt) else { return };
                for other in others {
                    out.extend([Action::Close { conn: self.attempt_id(other), how: Close::Drop }]);
                }
                if self.state == State::Suspect {
                    self.second = Some((conn, target, established));
                    out.extend([Action::Probe { conn }]);
                } else if self.step(Input::Established) {
                    self.stand(policy, now, conn, target, established, out);
                }
            }
        }
    }

    fn stand(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        target: u8,
        established: Established,
        out: &mut impl Extend<Action>,
    ) {
        self.conn = Some(conn);
        self.second = None;
        self.proof = Proof::None;
        self.up_since = now;
        self.rounds_lost = 0;
        self.give_up_at = None;
        self.failure = None;
        self.asked_delay = None;
        self.liveness = Some(Liveness::new(&policy.liveness, &mut self.probe_rng, now));
        out.extend([Action::Event(Event::Up { conn, target, established })]);
    }

    fn round_lost(&mut self, policy: &Policy, now: Instant, cause: Cause, out: &mut impl Extend<Action>) {
        if self.state == State::Suspect {
            return; // The first connection still stands; its verdict decides.
        }
        self.rounds_lost = self.rounds_lost.saturating_add(1);
        let spent = policy.give_up.rounds.is_some_and(|most| self.rounds_lost >= most);
        if spent || cause.retry() == Retry::Never {
            return self.give_up(cause, out);
        }
        if self.step(Input::RoundLost) {
            let delay = self.backoff.failed(&policy.backoff, &mut self.rng);
            self.wait_until(now, self.round_began + delay, out);
        }
    }

    // Standing.

    #[inline]
    fn heard(&mut self, policy: &Policy, now: Instant, conn: ConnId, out: &mut impl Extend<Action>) {
        if let Some(liveness) = self.watch(conn) {
            liveness.heard(&policy.liveness, now);
            if self.state == State::Suspect {
                self.step(Input::Heard);
                self.cancel_second(out);
            }
        } else if let Some((second, target, established)) = self.second {
            if second == conn {
                self.replace(policy, now, (second, target, established), out);
            }
        }
    }

    /// The second connection yielded bytes first: it stays.
    fn replace(
        &mut self,
        policy: &Policy,
        now: Instant,
        (conn, target, established): (ConnId, u8, Established),
        out: &mut impl Extend<Action>,
    ) {
        if self.step(Input::Established) {
            let silent = self.silent(now);
            if let Some(old) = self.conn {
                let cause = Cause::timer(Reason::NoEcho);
                out.extend([
                    Action::Close { conn: old, how: Close::Reset },
                    Action::Event(Event::Down { conn: old, cause, silent }),
                ]);
            }
            let delay = self.delay_after_loss(policy, now);
            self.stand(policy, now, conn, target, established, out);
            self.second_from = now + delay;
        }
    }

    fn cancel_second(&mut self, out: &mut impl Extend<Action>) {
        for attempt in self.race.cancel() {
            out.extend([Action::Close { conn: self.attempt_id(attempt), how: Close::Drop }]);
        }
        if let Some((conn, ..)) = self.second.take() {
            out.extend([Action::Close { conn, how: Close::Reset }]);
        }
    }

    fn silent(&self, now: Instant) -> Duration {
        self.liveness.as_ref().map_or(Duration::ZERO, |l| now.since(l.last_heard()))
    }

    fn examined(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        kernel: Option<KernelView>,
        writing: Writing,
        out: &mut impl Extend<Action>,
    ) {
        let Some(liveness) = self.watch(conn) else { return };
        if liveness.judge() {
            let reason = verdict(liveness.probing_for(now), writing, kernel);
            self.ended(policy, now, conn, Cause::timer(reason), out);
        }
    }

    fn ended(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        cause: Cause,
        out: &mut impl Extend<Action>,
    ) {
        if let Some((_, target, _)) = self.second.take_if(|(second, ..)| *second == conn) {
            let failed = Action::Event(Event::DialFailed { conn, target, cause });
            out.extend([Action::Close { conn, how: Close::Reset }, failed]);
            return;
        }
        if self.conn != Some(conn) {
            return;
        }
        // A dead connection is aborted, never closed gracefully; one that the peer ended in good order is let go.
        let how = if cause.reason == Reason::Closed { Close::Drop } else { Close::Reset };
        let silent = self.silent(now);
        self.conn = None;
        self.liveness = None;
        out.extend([Action::Close { conn, how }]);
        if self.state == State::Draining {
            self.step(Input::Lost);
            if cause.reason != Reason::Closed {
                out.extend([Action::Event(Event::Down { conn, cause, silent })]);
            }
            out.extend([Action::Event(Event::Closed)]);
            return;
        }
        out.extend([Action::Event(Event::Down { conn, cause, silent })]);
        self.down_from(policy, now);
        if cause.retry() == Retry::Never {
            return self.give_up(cause, out);
        }
        self.failure = Some(cause);
        let delay = self.delay_after_loss(policy, now);
        if let Some((conn, target, established)) = self.second {
            self.step(Input::Established);
            self.stand(policy, now, conn, target, established, out);
            self.second_from = now + delay;
            out.extend([Action::Probe { conn }]);
            return;
        }
        if self.race.is_running() {
            self.step(Input::LostRedialing);
        } else if self.step(Input::Lost) {
            self.wait_until(now, now + delay, out);
        }
    }

    /// How long to wait before the next dial, and what the loss does to the level of the backoff.
    fn delay_after_loss(&mut self, policy: &Policy, now: Instant) -> Duration {
        let (backoff, rng) = (&mut self.backoff, &mut self.rng);
        match (self.asked_delay.take(), self.proof) {
            // A goodbye is believed of a peer that has answered: others would be dialed as often as they liked.
            (Some(Asked::Any), Proof::Answered) => backoff.nudged(&policy.backoff, rng),
            (Some(Asked::After(h)), Proof::Answered) => backoff.hinted(&policy.backoff, rng, h),
            (_, proof) => backoff.lost(&policy.backoff, rng, now.since(self.up_since), proof),
        }
    }

    // Waiting.

    fn down_from(&mut self, policy: &Policy, now: Instant) {
        self.give_up_at = policy.give_up.after.map(|after| now + after);
        self.give_up_postponed = false;
    }

    fn wait_until(&mut self, now: Instant, at: Instant, out: &mut impl Extend<Action>) {
        let at = at.max(now);
        self.retry_at = Some(at);
        out.extend([Action::Event(Event::Retry { level: self.backoff.level(), delay: at.since(now) })]);
    }

    fn hurry(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        if let Some(at) = self.retry_at {
            let delay = self.backoff.nudged(&policy.backoff, &mut self.rng);
            self.wait_until(now, at.min(now + delay), out);
        }
    }

    fn resumed(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        self.hurry(policy, now, out);
        if let (Some(conn), Some(liveness)) = (self.conn, self.liveness.as_mut()) {
            if liveness.resumed(&policy.liveness, now) == Due::Probe {
                out.extend([Action::Probe { conn }]);
            }
        }
    }

    // Ending.

    fn drain(&mut self, out: &mut impl Extend<Action>) {
        if self.step(Input::Drain) {
            self.cancel_second(out);
            if self.state == State::Closed {
                self.cut(Close::Drop, out);
                out.extend([Action::Event(Event::Closed)]);
            }
        }
    }

    fn give_up(&mut self, cause: Cause, out: &mut impl Extend<Action>) {
        if self.step(Input::GiveUp) {
            self.cut(Close::Reset, out);
            out.extend([Action::Event(Event::GaveUp { cause })]);
        }
    }

    fn close(&mut self, how: Close, out: &mut impl Extend<Action>) {
        if self.step(Input::Close) {
            self.cut(how, out);
            out.extend([Action::Event(Event::Closed)]);
        }
    }

    /// Ends whatever is under way, and every timer with it.
    fn cut(&mut self, how: Close, out: &mut impl Extend<Action>) {
        self.cancel_second(out);
        if let Some(conn) = self.conn.take() {
            out.extend([Action::Close { conn, how }]);
        }
        self.liveness = None;
        self.retry_at = None;
        self.give_up_at = None;
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
                if let Some(at) = self.give_up_at {
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
        let Some(late) = self.race.overdue_by(now) else { return self.race_on(policy, now, out) };
        let tolerance = policy.liveness.tolerance();
        if late > tolerance && self.race.postpone(now + tolerance) {
            out.extend([Action::Event(Event::Stalled { late })]);
        } else {
            self.round_over(policy, now, out);
        }
    }

    fn check_give_up(&mut self, policy: &Policy, now: Instant, at: Instant, out: &mut impl Extend<Action>) {
        let (late, tolerance) = (now.since(at), policy.liveness.tolerance());
        if late > tolerance && !self.give_up_postponed {
            self.give_up_postponed = true;
            self.give_up_at = Some(now + tolerance);
            out.extend([Action::Event(Event::Stalled { late })]);
        } else {
            let cause = self.failure.unwrap_or(Cause::timer(Reason::NoResponse));
            self.give_up(cause, out);
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
                    && self.second.is_none()
                    && !self.race.is_running();
                // A second dial is a round like any other: no oftener than the backoff allows.
                let paced = now >= self.second_from.max(self.round_began + policy.backoff.floor());
                if wants_second && paced {
                    self.begin_round(policy, now, out);
                }
            }
        }
    }
}
