//! From the first dial of a round to a connection that stands, or to the wait for the next round.

use core::num::NonZeroU32;

use super::outage::Outage;
use super::{Action, Event, Input, Link, Policy, State};
use crate::backoff::Proof;
use crate::liveness::{Due, Liveness};
use crate::race;
use crate::signal::{Cause, Reason, Retry};
use crate::stream::{Close, ConnId, Established};
use crate::time::Instant;

impl Outage {
    pub(super) fn attempt_id(&self, attempt: u8) -> ConnId {
        ConnId(NonZeroU32::MIN.saturating_add(self.round_base - 1 + u32::from(attempt)))
    }

    fn attempt_of(&self, conn: ConnId) -> Option<u8> {
        conn.get().checked_sub(self.round_base).and_then(|k| u8::try_from(k).ok())
    }

    pub(super) fn is_dialing(&self, conn: ConnId) -> bool {
        self.attempt_of(conn).is_some_and(|attempt| self.race.is_pending(attempt))
    }
}

impl Link {
    pub(super) fn begin_round(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        // Ids of one round follow each other; near the end of the numbers, some 30 years away, they begin again.
        if self.next_id > u32::MAX - race::MAX_TARGETS as u32 {
            self.next_id = 1;
        }
        let (next_id, targets) = (self.next_id, self.targets);
        let outage = self.outage_mut();
        outage.second_from = outage.second_from.max(now + policy.backoff.floor());
        outage.round_base = next_id;
        outage.round_began = now;
        outage.retry_at = None;
        outage.failure = None;
        outage.hint = None;
        outage.race.begin(&policy.race, now, targets);
        self.race_on(policy, now, out);
    }

    /// The round's time is over: what is pending has failed.
    pub(super) fn round_over(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        let outage = self.outage_mut();
        let cause = outage.hint.unwrap_or(Cause::timer(Reason::NoResponse));
        let round = outage.race.clone();
        for attempt in outage.race.end() {
            let conn = outage.attempt_id(attempt);
            out.extend([Action::Close { conn, how: Close::Drop }]);
            let failed = round.target(attempt).map(|target| Event::DialFailed { conn, target, cause });
            out.extend(failed.map(Action::Event));
        }
        self.round_lost(policy, now, cause, out);
    }

    /// Starts what the race has due, and ends a round that is lost.
    pub(super) fn race_on(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        let Some(outage) = &mut self.outage else { return };
        while let Some(start) = outage.race.next(&policy.race, now) {
            let conn = outage.attempt_id(start.attempt);
            self.next_id = conn.get() + 1;
            let target = start.target;
            out.extend([Action::Event(Event::Dialing { conn, target }), Action::Dial { conn, target }]);
        }
        if outage.race.is_lost() {
            let _ = outage.race.end();
            let cause = outage.failure.unwrap_or(Cause::local(Reason::BadAddress));
            self.round_lost(policy, now, cause, out);
        }
    }

    pub(super) fn dialed(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        result: Result<Established, Cause>,
        out: &mut impl Extend<Action>,
    ) {
        let Some(outage) = &mut self.outage else { return };
        let Some(attempt) = outage.attempt_of(conn) else { return };
        let Some(target) = outage.race.target(attempt) else { return };
        match result {
            Err(cause) => {
                if outage.race.failed(&policy.race, now, attempt) {
                    out.extend([
                        Action::Close { conn, how: Close::Drop },
                        Action::Event(Event::DialFailed { conn, target, cause }),
                    ]);
                    // A failure that leaves hope outweighs one that leaves none.
                    let outweighed = |f: Cause| f.retry() == Retry::Never || cause.retry() == Retry::Again;
                    if outage.failure.is_none_or(outweighed) {
                        outage.failure = Some(cause);
                    }
                    self.race_on(policy, now, out);
                }
            }
            Ok(established) => {
                let Some(others) = outage.race.won(attempt) else { return };
                for other in others {
                    out.extend([Action::Close { conn: outage.attempt_id(other), how: Close::Drop }]);
                }
                if self.state == State::Suspect {
                    outage.second = Some((conn, target, established));
                    out.extend([Action::Probe { conn }]);
                } else if self.step(Input::Established) {
                    self.stand(policy, now, conn, target, established, out);
                }
            }
        }
    }

    pub(super) fn stand(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        target: u8,
        established: Established,
        out: &mut impl Extend<Action>,
    ) {
        self.conn = Some(conn);
        self.proof = Proof::None;
        self.up_since = now;
        self.recovered(policy);
        self.liveness = Some(Liveness::new(&policy.liveness, &mut self.probe_rng, now));
        out.extend([Action::Event(Event::Up { conn, target, established })]);
    }

    pub(super) fn round_lost(
        &mut self,
        policy: &Policy,
        now: Instant,
        cause: Cause,
        out: &mut impl Extend<Action>,
    ) {
        if self.state == State::Suspect {
            return; // The first connection still stands; its verdict decides.
        }
        let outage = self.outage_mut();
        outage.rounds_lost = outage.rounds_lost.saturating_add(1);
        let (lost, began) = (outage.rounds_lost, outage.round_began);
        let spent = policy.give_up.rounds.is_some_and(|most| lost >= most);
        if spent || cause.retry() == Retry::Never {
            return self.give_up(policy, cause, out);
        }
        if self.step(Input::RoundLost) {
            let delay = self.backoff.failed(&policy.backoff, &mut self.rng);
            self.wait_until(now, began + delay, out);
        }
    }

    pub(super) fn down_from(&mut self, policy: &Policy, now: Instant) {
        let outage = self.outage_mut();
        outage.give_up_at = policy.give_up.after.map(|after| now + after);
        outage.give_up_postponed = false;
    }

    pub(super) fn wait_until(&mut self, now: Instant, at: Instant, out: &mut impl Extend<Action>) {
        let at = at.max(now);
        self.outage_mut().retry_at = Some(at);
        out.extend([Action::Event(Event::Retry { level: self.backoff.level(), delay: at.since(now) })]);
    }

    pub(super) fn hurry(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        if let Some(at) = self.outage.as_ref().and_then(|outage| outage.retry_at) {
            let delay = self.backoff.nudged(&policy.backoff, &mut self.rng);
            self.wait_until(now, at.min(now + delay), out);
        }
    }

    pub(super) fn resumed(&mut self, policy: &Policy, now: Instant, out: &mut impl Extend<Action>) {
        self.hurry(policy, now, out);
        if let (Some(conn), Some(liveness)) = (self.conn, self.liveness.as_mut()) {
            if liveness.resumed(&policy.liveness, now) == Due::Probe {
                out.extend([Action::Probe { conn }]);
            }
        }
    }
}
