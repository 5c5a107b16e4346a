//! The times of a connection, and what follows from each of them alone.
//!
//! Deadlines are only fields. One timer of the world stands for all of them, and is asked for only if none is under way
//! that comes earlier: when it fires, each deadline is looked at. So an acknowledgement costs nothing here.

use std::time::Duration;

use resound_core::Instant;

use crate::kernel::{Env, Sysctl};
use crate::packet::Seq;

/// `TCP_TIMEOUT_INIT`
pub(super) const FIRST_RTO: Duration = Duration::from_secs(1);
/// `TCP_DELACK_MIN`
const DELAYED_ACK: Duration = Duration::from_millis(40);
/// As soon as a timer can be (`TCP_TIMEOUT_MIN`).
pub(super) const SOON: Duration = Duration::from_millis(2);
/// All times of a connection.
#[derive(Debug)]
pub(super) struct Clock {
    srtt: Option<Duration>,
    deviation: Duration,
    pub(super) rto: Duration,
    /// What is timed: acknowledged when this is, sent then.
    pub(super) timed: Option<(Seq, Instant)>,
    pub(super) retransmission: Option<Instant>,
    /// When the oldest of what is in flight left; once a part of that is acknowledged: when, which is a round trip later at
    /// most (`skb_mstamp_ns`).
    pub(super) oldest: Instant,
    /// When something was sent again for the last time.
    pub(super) resent: Instant,
    /// What `retransmission` is for.
    pub(super) purpose: Purpose,
    /// What was in flight when something was sent again; until it is acknowledged, more of it is sent again.
    pub(super) recover: Option<Seq>,
    pub(super) window_probe: Option<Instant>,
    pub(super) keepalive: Option<Instant>,
    pub(super) delayed_ack: Option<Instant>,
    /// TIME_WAIT, or FIN_WAIT_2 without a program, is over.
    pub(super) over: Option<Instant>,
    pub(super) retransmits: u8,
    pub(super) backoff: u8,
    pub(super) probes: u8,
    /// When something was sent again for the first time, or if that found no way, when it was sent before (`retrans_stamp`);
    /// of a SYN, when it was sent first.
    pub(super) stamp: Option<Instant>,
    /// The first window probe since the window closed (`icsk_probes_tstamp`).
    pub(super) probing: Option<Instant>,
    /// The last acknowledgement of any kind (`rcv_tstamp`).
    pub(super) heard: Instant,
    /// The last data (`lrcvtime`).
    pub(super) received: Instant,
    /// The last answer to a segment out of the window.
    challenged: Option<Instant>,
}

/// What the retransmission timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To probe for a lost tail, before anything is believed lost (RFC 8985 §7).
    LossProbe,
    /// To send again, after a loss probe or without.
    Retransmission,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            srtt: None,
            deviation: Duration::ZERO,
            rto: FIRST_RTO,
            timed: None,
            retransmission: None,
            oldest: Instant::EPOCH,
            resent: Instant::EPOCH,
            purpose: Purpose::Retransmission,
            recover: None,
            window_probe: None,
            keepalive: None,
            delayed_ack: None,
            over: None,
            retransmits: 0,
            backoff: 0,
            probes: 0,
            stamp: None,
            probing: None,
            heard: Instant::EPOCH,
            received: Instant::EPOCH,
            challenged: None,
        }
    }
}

impl Clock {
    pub(super) fn stop(&mut self) {
        self.retransmission = None;
        self.window_probe = None;
        self.keepalive = None;
        self.delayed_ack = None;
        self.over = None;
    }

    /// A SYN or SYN-ACK was sent for the first time.
    pub(super) fn sent_syn(&mut self, now: Instant, end: Seq) {
        self.stamp = Some(now);
        self.heard = now;
        self.received = now;
        self.timed = Some((end, now));
        self.retransmission = Some(now + self.rto);
    }

    /// The SYN is to be sent again at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.retransmits == 0 {
            self.retransmission = Some(now + SOON);
        }
    }

    /// Something was sent, and nothing was in flight before.
    #[inline]
    pub(super) fn sent(&mut self, now: Instant, end: Seq, single: bool) {
        self.timed = Some((end, now));
        self.oldest = now;
        self.window_probe = None;
        self.wait(now, single);
    }

    /// A segment was sent where a window probe was due. No loss probe follows it (`tcp_event_new_data_sent`).
    pub(super) fn sent_as_probe(&mut self, now: Instant, end: Seq) {
        self.window_opened();
        self.probes = 0;
        self.timed = Some((end, now));
        self.oldest = now;
        self.purpose = Purpose::Retransmission;
        self.retransmission = Some(now + self.rto);
    }

    /// Sets the timer for what is in flight: first for a loss probe (`tcp_schedule_loss_probe`).
    #[inline]
    fn wait(&mut self, now: Instant, single: bool) {
        let may_probe = self.recover.is_none() && self.srtt.is_some();
        let mut wait = self.rto;
        self.purpose = Purpose::Retransmission;
        if let (true, Some(srtt)) = (may_probe, self.srtt) {
            self.purpose = Purpose::LossProbe;
            // A single segment may wait for a delayed acknowledgement.
            let margin = if single { Duration::from_millis(200) } else { SOON };
            wait = wait.min(srtt.saturating_mul(2).saturating_add(margin));
        }
        self.retransmission = Some(now + wait);
    }

    pub(super) fn wait_for_window(&mut self, now: Instant) {
        if self.window_probe.is_none() {
            self.window_probe = Some(now + self.rto);
        }
    }

    /// The window is open again.
    pub(super) fn window_opened(&mut self) {
        self.window_probe = None;
        self.probing = None;
        self.backoff = 0;
    }

    /// What this side has received is acknowledged by what it has just sent.
    #[inline]
    pub(super) fn acknowledged(&mut self) {
        self.delayed_ack = None;
    }

    #[inline]
    pub(super) fn acknowledge_later(&mut self, now: Instant) {
        if self.delayed_ack.is_none() {
            self.delayed_ack = Some(now + DELAYED_ACK);
        }
    }

    pub(super) fn over_at(&mut self, at: Instant) {
        self.stop();
        self.over = Some(at);
    }

    pub(super) fn start_keepalive(&mut self, now: Instant, idle: Duration) {
        self.keepalive = Some(now + idle);
    }

    /// Any acknowledgement came in (`tcp_ack`).
    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probes = 0;
    }

    /// Everything before `una` is acknowledged; more is in flight if `rest`, one segment if `single`. How many bytes from
    /// the oldest on are to be sent again is in `recovering`.
    #[inline]
    pub(super) fn advanced(&mut self, env: &Env, now: Instant, una: Seq, rest: bool, single: bool) {
        if let Some((_, sent)) = self.timed.filter(|(end, _)| !una.before(*end)) {
            self.timed = None;
            self.measured(env, now - sent);
        } else if self.retransmits > 0 {
            // Linux measures every acknowledgement by time stamps, what was sent again too.
            self.estimate(env);
        }
        self.retransmits = 0;
        self.backoff = 0;
        self.stamp = None;
        if self.recover.is_some_and(|recover| !una.before(recover)) {
            self.recover = None;
        }
        if rest {
            self.oldest = now;
            self.wait(now, single);
        } else {
            self.retransmission = None;
        }
    }

    pub(super) const fn recovering(&self) -> bool {
        self.recover.is_some()
    }

    /// RFC 6298, with Linux' bound: the deviation counts as 200 ms at least, not the sum (`tcp_rtt_estimator`).
    #[inline]
    fn measured(&mut self, env: &Env, rtt: Duration) {
        let (srtt, rtt) = (self.srtt.map_or(0, |srtt| srtt.as_nanos() as u64), rtt.as_nanos() as u64);
        if self.srtt.is_none() {
            self.srtt = Some(Duration::from_nanos(rtt));
            self.deviation = Duration::from_nanos(rtt / 2);
        } else {
            let deviation = self.deviation.as_nanos() as u64;
            self.deviation =
                Duration::from_nanos(deviation.saturating_mul(3).saturating_add(srtt.abs_diff(rtt)) / 4);
            self.srtt = Some(Duration::from_nanos(srtt.saturating_mul(7).saturating_add(rtt) / 8));
        }
        self.estimate(env);
    }

    fn estimate(&mut self, env: &Env) {
        let Some(srtt) = self.srtt else {
            self.rto = FIRST_RTO;
            return;
        };
        let margin = self.deviation.saturating_mul(4).max(env.millis(Sysctl::RtoMinMs));
        self.rto = srtt.saturating_add(margin).min(env.millis(Sysctl::RtoMaxMs));
    }

    /// The path is broken, not full, so that waiting for longer and longer helps nobody: one doubling is taken back (RFC
    /// 6069, `tcp_ld_RTO_revert`).
    pub(super) fn take_back_a_doubling(&mut self, env: &Env, now: Instant) {
        if self.retransmits == 0 || self.backoff == 0 || self.retransmission.is_none() {
            return;
        }
        self.backoff -= 1;
        self.estimate(env);
        let doubled = 1_u32.checked_shl(self.backoff.into()).unwrap_or(u32::MAX);
        self.rto = self.rto.saturating_mul(doubled).min(env.millis(Sysctl::RtoMaxMs));
        self.retransmission = Some((self.resent + self.rto).max(now));
    }

    /// Whether a segment out of the window may be answered (`tcp_oow_rate_limited`).
    pub(super) fn may_challenge(&mut self, env: &Env, now: Instant) -> bool {
        let limit = env.millis(Sysctl::InvalidRateLimit);
        let may = self.challenged.is_none_or(|last| now - last >= limit);
        if may {
            self.challenged = Some(now);
        }
        may
    }
}
