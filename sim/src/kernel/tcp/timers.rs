//! What happens when time is up: retransmission, window probes, keepalive, and when each gives up.

use std::time::Duration;

use resound_core::Instant;

use super::clock::{FIRST_RTO, Purpose, SOON};
use super::output::Posted;
use super::{Context, Tcp, TcpState};
use crate::kernel::table::Signal;
use crate::kernel::{Env, Fd, Kernel, Sysctl};

/// How long the peer may be silent after it has closed its window with data in flight (`tcp_rtx_probe0_timed_out`).
const SHRUNK: Duration = Duration::from_secs(240);

impl Tcp {
    /// The earliest of all deadlines.
    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let clock = &self.clock;
        let all = [clock.retransmission, clock.window_probe, clock.delayed_ack, clock.keepalive, clock.over];
        // Asked after each call: without a branch for each of them.
        let nanos = all.iter().fold(u64::MAX, |least, at| least.min(at.map_or(u64::MAX, Instant::nanos)));
        (nanos < u64::MAX).then(|| Instant::from_nanos(nanos))
    }

    fn tick(&mut self, cx: &mut Context<'_>) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= cx.now);
        let (over, ack, retransmission, probe, keepalive) = (
            due(self.clock.over),
            due(self.clock.delayed_ack),
            due(self.clock.retransmission),
            due(self.clock.window_probe),
            due(self.clock.keepalive),
        );
        if over {
            self.clock.stop();
            self.done(cx);
            return;
        }
        if ack {
            self.emit_ack(cx);
        }
        if retransmission {
            self.clock.retransmission = None;
            self.retransmission_due(cx);
        }
        if probe && self.clock.window_probe.is_some() {
            self.clock.window_probe = None;
            self.window_probe_due(cx);
        }
        if keepalive && self.clock.keepalive.is_some() {
            self.clock.keepalive = None;
            self.keepalive_due(cx);
        }
    }

    /// `tcp_retransmit_timer`
    fn retransmission_due(&mut self, cx: &mut Context<'_>) {
        if self.una == self.nxt {
            return;
        }
        if self.clock.purpose == Purpose::LossProbe {
            // The oldest segment, not the last as Linux sends it: without selective acknowledgements that is what helps.
            self.clock.recover = Some(self.nxt);
            self.clock.timed = None;
            self.clock.purpose = Purpose::Retransmission;
            self.clock.retransmission = Some(cx.now + self.clock.rto);
            let single = self.in_flight_segments() <= 1;
            if self.resend(cx, 0).is_some() && single {
                self.clock.oldest = cx.now;
            }
            return;
        }
        if let Some(signal) = self.gives_up(cx) {
            self.give_up(cx, signal);
            return;
        }
        self.clock.timed = None;
        let connecting = matches!(self.state, TcpState::SynSent | TcpState::SynReceived);
        if !connecting {
            self.clock.recover = Some(self.nxt);
        }
        self.clock.retransmits = self.clock.retransmits.saturating_add(1);
        self.clock.resent = cx.now;
        let linear = cx.env.sysctl.get(Sysctl::SynLinearTimeouts);
        if self.state != TcpState::SynSent || u64::from(self.clock.retransmits) > linear {
            self.clock.backoff = self.clock.backoff.saturating_add(1);
            self.clock.rto = self.clock.rto.saturating_mul(2).min(cx.env.millis(Sysctl::RtoMaxMs));
        }
        let left = self.resend(cx, 0).is_some();
        if self.state == TcpState::Closed {
            return;
        }
        // tcp_retransmit_skb: what found no way still has the time at which it left before.
        let stamp = *self.clock.stamp.get_or_insert(if left { cx.now } else { self.clock.oldest });
        // tcp_clamp_rto_to_user_timeout
        let mut wait = self.clock.rto;
        if let Some(most) = self.options.user_timeout {
            wait = wait.min(most.saturating_sub(cx.now - stamp).max(Duration::from_millis(1)));
        }
        self.clock.retransmission = Some(cx.now + wait);
    }

    /// Whether the retransmission timer gives up now (`tcp_write_timeout`).
    fn gives_up(&self, cx: &Context<'_>) -> Option<Signal> {
        let sysctl = |sysctl| cx.env.sysctl.get(sysctl);
        let retransmits = u64::from(self.clock.retransmits);
        let (mut retries, mut base) = (sysctl(Sysctl::Retries2), cx.env.millis(Sysctl::RtoMinMs));
        match self.state {
            TcpState::SynReceived if self.parent.is_some() => {
                let expired = retransmits >= sysctl(Sysctl::SynAckRetries);
                return expired.then_some(Signal::RetriesExhausted);
            }
            TcpState::SynSent | TcpState::SynReceived => {
                retries = self.options.syn_retries.map_or(sysctl(Sysctl::SynRetries), u64::from);
                base = FIRST_RTO;
                let linear =
                    if self.state == TcpState::SynSent { sysctl(Sysctl::SynLinearTimeouts) } else { 0 };
                if retransmits >= retries.saturating_add(linear) {
                    return Some(self.exhausted());
                }
            }
            _ if self.window_end == self.una && !self.orphan => {
                // The peer has closed its window on what is in flight.
                let most = self.options.user_timeout.unwrap_or(SHRUNK);
                let silent = cx.now - self.clock.heard > most;
                return silent.then(|| self.exhausted_or_user());
            }
            _ if self.orphan => {
                let alive = self.clock.rto < cx.env.millis(Sysctl::RtoMaxMs);
                retries = self.orphan_retries(cx, alive);
            }
            _ => {}
        }
        let stamp = self.clock.stamp.filter(|_| retransmits > 0)?;
        let most = self.options.user_timeout.unwrap_or_else(|| model_timeout(cx.env, retries, base));
        (cx.now - stamp >= most).then(|| self.exhausted_or_user())
    }

    /// `tcp_orphan_retries`
    fn orphan_retries(&self, cx: &Context<'_>, alive: bool) -> u64 {
        match cx.env.sysctl.get(Sysctl::OrphanRetries) {
            _ if self.latches.soft.is_some() && !alive => 0,
            0 if alive => 8,
            retries => retries,
        }
    }

    /// What was remembered may be a lost route's, too: then neither `IP_RECVERR` nor a connect is in the way.
    fn exhausted(&self) -> Signal {
        match self.latches.soft {
            Some(_) if self.orphan || !self.options.recverr && self.state != TcpState::SynSent => {
                Signal::RetriesExhaustedAfterIcmp
            }
            _ => Signal::RetriesExhausted,
        }
    }

    fn exhausted_or_user(&self) -> Signal {
        if self.options.user_timeout.is_some() { Signal::UserTimeout } else { self.exhausted() }
    }

    fn give_up(&mut self, cx: &mut Context<'_>, signal: Signal) {
        let (retransmits, probes) = (self.clock.retransmits, self.clock.probes);
        self.obey(cx, signal, None);
        self.clock.retransmits = retransmits;
        self.clock.probes = probes;
    }

    /// `tcp_probe_timer`
    fn window_probe_due(&mut self, cx: &mut Context<'_>) {
        if !self.stuck() {
            self.clock.probes = 0;
            return;
        }
        let most = self.options.user_timeout;
        match self.clock.probing {
            None => self.clock.probing = Some(cx.now),
            Some(first) if most.is_some_and(|most| cx.now - first >= most) => {
                self.give_up(cx, Signal::UserTimeout);
                return;
            }
            Some(_) => {}
        }
        let longest = cx.env.millis(Sysctl::RtoMaxMs);
        let mut retries = cx.env.sysctl.get(Sysctl::Retries2);
        let mut tired = false;
        if self.orphan {
            let alive = self.probe_distance(longest) < longest;
            retries = self.orphan_retries(cx, alive);
            tired = !alive && u64::from(self.clock.backoff) >= retries;
        }
        if tired || u64::from(self.clock.probes) >= retries {
            self.give_up(cx, self.exhausted());
            return;
        }
        // tcp_write_wakeup: where there is room, a single segment of what waits is the probe.
        match self.push_one(cx) {
            Some(Posted::Left) => return self.clock.sent_as_probe(cx.now, self.nxt),
            Some(Posted::NoWay) => {}
            None => self.emit_probe(cx),
        }
        if self.state == TcpState::Closed {
            return;
        }
        self.clock.probes = self.clock.probes.saturating_add(1);
        if u64::from(self.clock.backoff) < cx.env.sysctl.get(Sysctl::Retries2) {
            self.clock.backoff += 1;
        }
        let mut wait = self.probe_distance(longest);
        if let (Some(most), Some(first)) = (most, self.clock.probing) {
            wait = wait.min(most.saturating_sub(cx.now - first).max(SOON));
        }
        self.clock.window_probe = Some(cx.now + wait);
    }

    fn probe_distance(&self, longest: Duration) -> Duration {
        let times = 1_u32.checked_shl(self.clock.backoff.into()).unwrap_or(u32::MAX);
        self.clock.rto.saturating_mul(times).min(longest)
    }

    /// `tcp_keepalive_timer`
    fn keepalive_due(&mut self, cx: &mut Context<'_>) {
        let Some((idle, interval, count)) = self.options.keepalive else { return };
        let still = cx.now - self.clock.heard.max(self.clock.received);
        let mut wait = idle;
        if self.una != self.nxt || self.stuck() {
            // Retransmissions or window probes find out: keepalive does not run while data or a FIN is out, or waits.
        } else if still < idle {
            wait = idle - still;
        } else {
            let expired = match self.options.user_timeout {
                Some(most) => still >= most && self.clock.probes > 0,
                None => self.clock.probes >= count,
            };
            if expired {
                self.emit_reset(cx);
                let by_user = self.options.user_timeout.is_some();
                self.give_up(cx, if by_user { Signal::UserTimeout } else { Signal::KeepaliveExhausted });
                return;
            }
            self.emit_probe(cx);
            self.clock.probes = self.clock.probes.saturating_add(1);
            wait = interval;
        }
        self.clock.keepalive = Some(cx.now + wait.max(SOON));
    }
}

/// How long `retries` retransmissions take (`tcp_model_timeout`).
fn model_timeout(env: &Env, retries: u64, base: Duration) -> Duration {
    let longest = env.millis(Sysctl::RtoMaxMs);
    let base = base.max(Duration::from_millis(1));
    let doublings = u64::from((longest.as_nanos() / base.as_nanos()).checked_ilog2().unwrap_or(0)).min(20);
    let doubled = retries.min(doublings);
    let rest = u32::try_from(retries - doubled).unwrap_or(u32::MAX);
    base.saturating_mul((2 << doubled) - 1).saturating_add(longest.saturating_mul(rest))
}

impl Kernel {
    pub(in crate::kernel) fn tcp_timer(&mut self, fd: Fd) {
        self.work(fd, Tcp::tick);
    }
}
