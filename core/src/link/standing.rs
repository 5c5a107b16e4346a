//! While a connection stands: life, silence, signs of trouble, and its end.

use core::time::Duration;

use super::outage::Asked;
use super::{Action, Event, Input, Link, Policy, State};
use crate::backoff::Proof;
use crate::liveness::{Due, KernelView, Writing, verdict};
use crate::signal::{Cause, Reason, Retry};
use crate::stream::{Close, ConnId, Established};
use crate::time::Instant;

impl Link {
    #[inline]
    pub(super) fn heard(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        out: &mut impl Extend<Action>,
    ) {
        if let Some(liveness) = self.watch(conn) {
            liveness.heard(&policy.liveness, now);
            if self.state == State::Suspect {
                self.step(Input::Heard);
                self.cancel_second(out);
            }
            if self.outage.is_some() {
                self.heard_after_trouble(policy);
            }
        } else if let Some(second) = self.outage.as_ref().and_then(|outage| outage.second) {
            if second.0 == conn {
                self.replace(policy, now, second, out);
            }
        }
    }

    /// What was said of the peer's silence is void. What else there is of trouble may outlast it.
    #[cold]
    fn heard_after_trouble(&mut self, policy: &Policy) {
        let Some(outage) = &mut self.outage else { return };
        outage.hint = None;
        let only_hint = outage.second.is_none() && outage.asked_delay.is_none() && !outage.race.is_running();
        if self.state == State::Up && only_hint {
            self.recovered(policy);
        }
    }

    /// The second connection yielded bytes first: it stays.
    pub(super) fn replace(
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
            let outage = self.outage_mut();
            outage.second_from = outage.second_from.max(now + delay);
        }
    }

    pub(super) fn cancel_second(&mut self, out: &mut impl Extend<Action>) {
        let Some(outage) = &mut self.outage else { return };
        for attempt in outage.race.cancel() {
            out.extend([Action::Close { conn: outage.attempt_id(attempt), how: Close::Drop }]);
        }
        if let Some((conn, ..)) = outage.second.take() {
            out.extend([Action::Close { conn, how: Close::Reset }]);
        }
    }

    pub(super) fn silent(&self, now: Instant) -> Duration {
        self.liveness.as_ref().map_or(Duration::ZERO, |l| now.since(l.last_heard()))
    }

    /// A sign of trouble: worth a probe, and remembered in case that nothing better explains the silence.
    pub(super) fn hinted(&mut self, policy: &Policy, now: Instant, conn: ConnId, cause: Option<Cause>) {
        if let Some(liveness) = self.watch(conn) {
            liveness.hint(&policy.liveness, now);
        } else if !self.outage.as_ref().is_some_and(|outage| outage.is_dialing(conn)) {
            return;
        }
        // What leaves no hope ends a link when it is met, and not because it was met once and silence followed.
        if let Some(cause) = cause.filter(|cause| cause.retry() == Retry::Again) {
            self.outage_mut().hint = Some(cause);
        }
    }

    /// What this side may have lost, or kept back, counts for nothing: another probe, and as many left unanswered as
    /// before; or more time for an attempt.
    pub(super) fn voided(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        out: &mut impl Extend<Action>,
    ) {
        if let Some(liveness) = self.watch(conn) {
            if liveness.voided(&policy.liveness, now) == Due::Probe {
                out.extend([Action::Probe { conn }]);
            }
        } else if let Some(outage) = self.outage.as_mut().filter(|outage| outage.is_dialing(conn)) {
            outage.race.extend(now + policy.liveness.patience());
        }
    }

    pub(super) fn examined(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        kernel: Option<KernelView>,
        writing: Writing,
        out: &mut impl Extend<Action>,
    ) {
        let Some(liveness) = self.watch(conn) else { return };
        if !liveness.judge() {
            return;
        }
        let cause = Cause::timer(verdict(liveness.probing_for(now), writing, kernel));
        // Of a silent peer, what somebody said meanwhile tells more; of one whose kernel answers, it does not.
        let hint = self.outage.as_ref().and_then(|outage| outage.hint);
        let silence = matches!(cause.reason, Reason::NoEcho | Reason::PathDead);
        self.ended(policy, now, conn, hint.filter(|_| silence).unwrap_or(cause), out);
    }

    pub(super) fn ended(
        &mut self,
        policy: &Policy,
        now: Instant,
        conn: ConnId,
        cause: Cause,
        out: &mut impl Extend<Action>,
    ) {
        let second = self.outage.as_mut().map(|outage| &mut outage.second);
        if let Some((_, target, _)) = second.and_then(|s| s.take_if(|(second, ..)| *second == conn)) {
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
            return self.give_up(policy, cause, out);
        }
        let delay = self.delay_after_loss(policy, now);
        let outage = self.outage_mut();
        outage.failure = Some(cause);
        if let Some((conn, target, established)) = outage.second {
            self.step(Input::Established);
            self.stand(policy, now, conn, target, established, out);
            let outage = self.outage_mut();
            outage.second_from = outage.second_from.max(now + delay);
            out.extend([Action::Probe { conn }]);
            return;
        }
        if outage.race.is_running() {
            self.step(Input::LostRedialing);
        } else if self.step(Input::Lost) {
            self.wait_until(now, now + delay, out);
        }
    }

    /// How long to wait before the next dial, and what the loss does to the level of the backoff.
    pub(super) fn delay_after_loss(&mut self, policy: &Policy, now: Instant) -> Duration {
        let (backoff, rng) = (&mut self.backoff, &mut self.rng);
        let asked = self.outage.as_mut().and_then(|outage| outage.asked_delay.take());
        match (asked, self.proof) {
            // A goodbye is believed of a peer that has answered: others would be dialed as often as they liked.
            (Some(Asked::Any), Proof::Answered) => backoff.nudged(&policy.backoff, rng),
            (Some(Asked::After(h)), Proof::Answered) => backoff.hinted(&policy.backoff, rng, h),
            (_, proof) => backoff.lost(&policy.backoff, rng, now.since(self.up_since), proof),
        }
    }
}
