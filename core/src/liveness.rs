//! When to probe, when to suspect, when to convict, and of what.
//!
//! # Theory of operation
//!
//! Evidence of life is bytes received; nothing that this side sends counts. Time runs in three stretches:
//!
//! ```text
//!  last byte            B                 B + P'         B + 2P'          B + M·P'
//!     │  quiet          │ probe           │ 1 unanswered │ 2 unanswered   │ examine, then convict
//!     └─────────────────┴─────────────────┴──────────────┴────────────────┘
//!  B = the last byte + I (less some jitter), or P' after the first send that is still unanswered, whichever is first
//!  P' = max(P, SRTT + 4·RTTVAR), at most I
//! ```
//!
//! Any byte at any time leads back to the left edge. A call that comes too late is the driver's fault: it is reported
//! as a stall, counts nothing, and the peer gets another probe and another P'. The verdict itself is not given here:
//! the driver is first asked to read once more ([`Due::Examine`]), because the proof of life may lie in the kernel.
//!
//! This is not a ping scheduler: on a byte stream the oldest unanswered bytes *are* the probe, and the owner decides
//! whether [`Due::Probe`] needs anything written at all.

use core::time::Duration;

use crate::config::BadConfig;
use crate::rng::Rng;
use crate::signal::Reason;
use crate::time::{Instant, nanos};

/// When to probe and when to convict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// I: silence before a probe. Default 15 s (RFC 8085 §3.5 asks for no less on UDP). Zero switches the whole
    /// detector off: then a peer that falls silent is noticed only by the kernel, if ever, and one that stops
    /// answering while it keeps the connection open is never noticed.
    pub idle: Duration,
    /// P: how long a probe may stay unanswered, before measured round trips ask for more. Default 5 s.
    pub probe: Duration,
    /// M: how many consecutive probes must stay unanswered (SCTP's Path.Max.Retrans, BFD's Detect Mult). Default 3.
    pub misses: u8,
    /// By how much a timer call may be late and still be believed. Default `max(100 ms, probe / 10)`.
    pub tolerance: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { idle: Duration::from_secs(15), probe: Duration::from_secs(5), misses: 3, tolerance: None }
    }
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Names the field: `liveness.probe` must be positive and, unless the detector is off, no longer than
    /// `liveness.idle`; `liveness.misses` must be at least 1; `liveness.tolerance` must be at least
    /// 5 ms.
    pub fn check(self) -> Result<Policy, BadConfig> {
        BadConfig::unless(!self.probe.is_zero(), "liveness.probe", "must be longer than zero")?;
        BadConfig::unless(self.misses > 0, "liveness.misses", "must be at least 1")?;
        BadConfig::unless(
            self.idle.is_zero() || self.probe <= self.idle,
            "liveness.probe",
            "must not be longer than liveness.idle",
        )?;
        BadConfig::unless(
            self.tolerance.is_none_or(|t| t >= LEAST_TOLERANCE),
            "liveness.tolerance",
            "must be at least 5 ms: no timer call is ever exactly in time",
        )?;
        let tolerance = self.tolerance.unwrap_or((self.probe / 10).max(Duration::from_millis(100)));
        Ok(Policy {
            idle: nanos(self.idle),
            probe: nanos(self.probe),
            misses: self.misses,
            tolerance: nanos(tolerance),
        })
    }
}

/// Runtimes count whole milliseconds and wake late; less would take every call for a stall.
const LEAST_TOLERANCE: Duration = Duration::from_millis(5);

/// A checked [`Config`].
#[derive(Clone, Debug)]
pub struct Policy {
    idle: u64,
    probe: u64,
    misses: u8,
    tolerance: u64,
}

impl Policy {
    /// By how much a timer call may be late and still be believed.
    #[must_use]
    pub const fn tolerance(&self) -> Duration {
        Duration::from_nanos(self.tolerance)
    }

    /// P: no probe is unanswered before it is as old as this.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        Duration::from_nanos(self.probe)
    }

    /// The time within which a dead peer is convicted, counted from the last byte: I + M·P, with round trips so short
    /// that P' = P and a driver that is never late. `None` if the detector is off.
    #[must_use]
    pub fn promise_idle(&self) -> Option<Duration> {
        let probing = self.probe.saturating_mul(self.misses.into());
        (self.idle > 0).then(|| Duration::from_nanos(self.idle.saturating_add(probing)))
    }

    /// As [`promise_idle`](Self::promise_idle), counted from the first send that is never answered: (M + 1)·P.
    #[must_use]
    pub fn promise_due(&self) -> Option<Duration> {
        let probing = self.probe.saturating_mul(u64::from(self.misses) + 1);
        (self.idle > 0).then(|| Duration::from_nanos(probing))
    }

    /// A bound for the kernel's own timer (TCP_USER_TIMEOUT) that lies later than every promise made here:
    /// 2·(I + M·P'max), with P'max = I. `None` if the detector is off: a backstop would then kill a live peer whose
    /// window is closed.
    #[must_use]
    pub fn kernel_backstop(&self) -> Option<Duration> {
        let worst = self.idle.saturating_mul(1 + u64::from(self.misses)).saturating_mul(2);
        (self.idle > 0).then(|| Duration::from_nanos(worst))
    }
}

/// What is due, as [`Liveness::tick`] says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// See to it that an answer is due: send something unless bytes are in flight already.
    Probe,
    /// One more probe stayed unanswered, this many in a row; see to the next one.
    Missed(u8),
    /// All of them stayed unanswered: look into the kernel, then call [`Liveness::judge`].
    Examine,
}

/// The state of the detector for one connection.
#[derive(Clone, Debug)]
pub struct Liveness {
    last_rx: Instant,
    deadline: Option<Instant>,
    probed: Option<Instant>,
    /// The first probe since the last byte.
    suspected: Instant,
    srtt: u64,
    rttvar: u64,
    jitter: u64,
    /// Answers that are due.
    due: u32,
    stretch: Stretch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Quiet,
    Probing { unanswered: u8 },
    Examining,
}

impl Liveness {
    /// Watches a connection that came up at `now`.
    #[must_use]
    pub fn new(policy: &Policy, rng: &mut Rng, now: Instant) -> Self {
        let mut new = Self {
            last_rx: now,
            deadline: None,
            probed: None,
            suspected: now,
            srtt: 0,
            rttvar: 0,
            jitter: rng.up_to(policy.idle / 4),
            due: 0,
            stretch: Stretch::Quiet,
        };
        new.quiet(policy);
        new
    }

    /// When [`tick`](Self::tick) will have something to say; `None` if the detector is off.
    #[must_use]
    #[inline]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// When the last byte came in, or the connection came up.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.last_rx
    }

    /// When the last probe since the last byte was due; `None` while there was no need for one.
    #[must_use]
    pub fn probed(&self) -> Option<Instant> {
        if self.stretch == Stretch::Quiet { None } else { self.probed }
    }

    /// How long probes have gone unanswered.
    #[must_use]
    pub fn probing_for(&self, now: Instant) -> Duration {
        if self.stretch == Stretch::Quiet { Duration::ZERO } else { now.since(self.suspected) }
    }

    /// The smoothed round-trip time (RFC 6298 §2); `None` before the first sample.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        if self.srtt == 0 { None } else { Some(Duration::from_nanos(self.srtt)) }
    }

    /// Something was sent, or queued to be sent, that must be answered. More of it never delays a conviction.
    #[inline]
    pub fn sent(&mut self, policy: &Policy, now: Instant) {
        self.due = self.due.saturating_add(1);
        if self.due == 1 && self.stretch == Stretch::Quiet && policy.idle > 0 {
            let by = now.after(self.patience(policy));
            self.deadline = Some(self.deadline.map_or(by, |d| d.min(by)));
        }
    }

    /// Bytes came in, any bytes: the peer lives.
    #[inline]
    pub fn heard(&mut self, policy: &Policy, now: Instant) {
        self.last_rx = self.last_rx.max(now);
        self.stretch = Stretch::Quiet;
        self.quiet(policy);
    }

    /// One of the answers that were due came in; call [`heard`](Self::heard) first. `round_trip` is a sample unless
    /// the send was repeated (Karn's rule).
    #[inline]
    pub fn answered(&mut self, policy: &Policy, round_trip: Option<Duration>) {
        self.due = self.due.saturating_sub(1);
        if let Some(sample) = round_trip {
            self.sample(nanos(sample).max(1));
        }
        if self.stretch == Stretch::Quiet {
            self.quiet(policy);
        }
    }

    /// One of the answers that were due will not come any more: the network has lost it, or the send. It is no longer
    /// waited for, but the probe that its silence calls for stays due.
    pub fn waived(&mut self) {
        self.due = self.due.saturating_sub(1);
    }

    /// A sign of trouble that proves nothing, such as a soft error: the next probe comes at once, but no more than
    /// one in each P'.
    pub fn hint(&mut self, policy: &Policy, now: Instant) {
        if self.stretch == Stretch::Quiet && self.is_rested(policy, now) && policy.idle > 0 {
            self.deadline = Some(self.deadline.map_or(now, |d| d.min(now)));
        }
    }

    /// Whether the last probe is P' ago.
    #[must_use]
    pub fn is_rested(&self, policy: &Policy, now: Instant) -> bool {
        self.probed.is_none_or(|at| now >= at.after(self.patience(policy)))
    }

    /// The host was suspended, or its clock stood still: whatever was counted so far counts no more.
    pub fn resumed(&mut self, policy: &Policy, now: Instant) -> Due {
        if policy.idle == 0 {
            return Due::Nothing;
        }
        self.probe(policy, now, 0);
        Due::Probe
    }

    /// Answers may have been lost on this side: the last probe does not count as unanswered, and another one is due.
    pub fn voided(&mut self, policy: &Policy, now: Instant) -> Due {
        let unanswered = match self.stretch {
            Stretch::Quiet => return Due::Nothing,
            Stretch::Probing { unanswered } => unanswered,
            Stretch::Examining => policy.misses - 1,
        };
        self.probe(policy, now, unanswered);
        Due::Probe
    }

    /// Time passed. Returns what is due, and by how much the call was late if that was too much.
    pub fn tick(&mut self, policy: &Policy, rng: &mut Rng, now: Instant) -> (Due, Option<Duration>) {
        let Some(deadline) = self.deadline.filter(|&d| d <= now) else { return (Due::Nothing, None) };
        let late = now.since(deadline);
        let stall = (nanos(late) > policy.tolerance).then_some(late);
        let due = match self.stretch {
            Stretch::Quiet => {
                self.jitter = rng.up_to(policy.idle / 4);
                self.probe(policy, now, 0);
                Due::Probe
            }
            Stretch::Probing { unanswered } if stall.is_some() => {
                self.probe(policy, now, unanswered);
                Due::Probe
            }
            Stretch::Probing { unanswered } if unanswered + 1 < policy.misses => {
                self.probe(policy, now, unanswered + 1);
                Due::Missed(unanswered + 1)
            }
            Stretch::Probing { .. } | Stretch::Examining => {
                self.stretch = Stretch::Examining;
                self.deadline = Some(now.after(self.patience(policy)));
                Due::Examine
            }
        };
        (due, stall)
    }

    /// The kernel was examined and held nothing: whether the peer is convicted.
    #[must_use]
    pub fn judge(&self) -> bool {
        self.stretch == Stretch::Examining
    }

    #[inline]
    fn quiet(&mut self, policy: &Policy) {
        let wait =
            if self.due > 0 { self.patience(policy) } else { policy.idle - self.jitter.min(policy.idle) };
        self.deadline = (policy.idle > 0).then(|| self.last_rx.after(wait));
    }

    fn probe(&mut self, policy: &Policy, now: Instant, unanswered: u8) {
        if self.stretch == Stretch::Quiet {
            self.suspected = now;
        }
        self.stretch = Stretch::Probing { unanswered };
        self.probed = Some(now);
        self.deadline = Some(now.after(self.patience(policy)));
    }

    /// P'.
    #[inline]
    fn patience(&self, policy: &Policy) -> u64 {
        let measured = self.srtt.saturating_add(self.rttvar.saturating_mul(4));
        policy.probe.max(measured).min(policy.idle)
    }

    /// RFC 6298 §2.2 and §2.3.
    #[inline]
    fn sample(&mut self, rtt: u64) {
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(rtt) / 4;
            self.srtt = self.srtt - self.srtt / 8 + rtt / 8;
        }
    }
}

/// What the kernel knows about a connection, as far as it tells a dead path from a stalled peer (Linux `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelView {
    /// Segments sent and not acknowledged (`tcpi_unacked`).
    pub unacked: u32,
    /// Bytes taken from the program and not yet sent once (`tcpi_notsent_bytes`).
    pub unsent: u32,
    /// Retransmissions of the oldest segment without an answer (`tcpi_retransmits`).
    pub retransmits: u8,
    /// How often the retransmission or window-probe timer has doubled (`tcpi_backoff`).
    pub backoff: u8,
    /// Window or keepalive probes without an answer (`tcpi_probes`).
    pub probes: u8,
    /// Since the last acknowledgement of any kind came in (`tcpi_last_ack_recv`).
    pub since_ack: Duration,
    /// The peer's receive window in bytes, where the kernel tells it (`tcpi_snd_wnd`, Linux 5.4).
    pub peer_window: Option<u32>,
}

/// No segment is longer (RFC 791 §3.1).
const LONGEST_SEGMENT: u32 = 65_535;

/// Whether this side could still write when the verdict was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writing {
    /// Everything was taken by the kernel.
    Free,
    /// Bytes wait that the kernel does not take.
    Blocked,
}

/// Of what a peer is convicted that has left probes unanswered for `probing`.
///
/// The kernel's view tells the cases apart: what stays unsent while the other kernel still acknowledges is a closed
/// window; what is acknowledged and not answered is a stalled program; what is sent again and again is a dead path, and so is
/// one to which there is no way any more.
#[must_use]
pub fn verdict(probing: Duration, writing: Writing, kernel: Option<KernelView>) -> Reason {
    let Some(kernel) = kernel else {
        return match writing {
            Writing::Blocked => Reason::WriteBlocked,
            Writing::Free => Reason::NoEcho,
        };
    };
    let nothing_out = kernel.unacked == 0 && kernel.unsent == 0;
    // The peer has room, and nothing is in flight: what keeps it here is that it finds no way (tcp_write_xmit leaves unsent
    // what has no route, and what a queueing discipline of this host drops). A window with room for a segment of any
    // length is never waited at.
    let room = kernel.unsent.min(LONGEST_SEGMENT);
    let no_way =
        kernel.unacked == 0 && kernel.unsent > 0 && kernel.peer_window.is_some_and(|window| window >= room);
    // Window probes come ever more rarely (tcp_probe_timer doubles their distance), and Linux answers one in 500 ms at
    // most (tcp_oow_rate_limited). So one without an answer proves nothing, however long ago the last answer came.
    let window_shut = kernel.unsent > 0 && kernel.unacked == 0 && kernel.probes <= 1;
    let acknowledging = kernel.since_ack < probing || window_shut;
    if nothing_out && writing == Writing::Free {
        Reason::PeerStalled
    } else if kernel.retransmits > 0 || !acknowledging || no_way {
        Reason::PathDead
    } else if kernel.unsent > 0 || writing == Writing::Blocked {
        Reason::WriteBlocked
    } else {
        Reason::NoEcho
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBING: Duration = Duration::from_secs(3);

    fn view(unacked: u32, unsent: u32, retransmits: u8, since_ack: Duration) -> KernelView {
        KernelView { unacked, unsent, retransmits, since_ack, ..KernelView::default() }
    }

    #[test]
    fn each_situation_has_its_verdict() {
        use Reason::{NoEcho, PathDead, PeerStalled, WriteBlocked};
        use Writing::{Blocked, Free};
        let soon = Duration::from_millis(200);
        for (writing, kernel, expected) in [
            (Free, None, NoEcho),
            (Blocked, None, WriteBlocked),
            (Free, Some(view(0, 0, 0, PROBING * 2)), PeerStalled),
            (Free, Some(view(1, 0, 2, PROBING * 2)), PathDead),
            (Blocked, Some(view(0, 5_000, 0, soon)), WriteBlocked),
            (Blocked, Some(KernelView { probes: 1, ..view(0, 5_000, 0, PROBING * 2) }), WriteBlocked),
            (Blocked, Some(KernelView { probes: 2, ..view(0, 5_000, 0, PROBING * 2) }), PathDead),
            (Blocked, Some(view(1, 5_000, 0, PROBING * 2)), PathDead),
            // There was room for it, and it was not sent.
            (Free, Some(KernelView { peer_window: Some(65_535), ..view(0, 5, 0, soon) }), PathDead),
            (Free, Some(KernelView { peer_window: Some(65_535), ..view(0, 5, 0, PROBING * 2) }), PathDead),
            (Blocked, Some(KernelView { peer_window: Some(65_535), ..view(0, 200_000, 0, soon) }), PathDead),
            (Free, Some(KernelView { peer_window: Some(4), ..view(0, 5, 0, soon) }), WriteBlocked),
            (Blocked, Some(KernelView { peer_window: Some(0), ..view(0, 5_000, 0, soon) }), WriteBlocked),
            (Free, Some(view(1, 0, 0, soon)), NoEcho),
        ] {
            assert_eq!(verdict(PROBING, writing, kernel), expected, "{writing:?} {kernel:?}");
        }
    }

    #[test]
    fn bad_configurations_name_their_field() {
        let ok = Config::default();
        let field = |config: Config| config.check().unwrap_err().field;
        assert_eq!(field(Config { probe: Duration::ZERO, ..ok }), "liveness.probe");
        assert_eq!(field(Config { probe: Duration::from_secs(16), ..ok }), "liveness.probe");
        assert_eq!(field(Config { misses: 0, ..ok }), "liveness.misses");
        assert_eq!(field(Config { tolerance: Some(Duration::ZERO), ..ok }), "liveness.tolerance");
        assert!(Config { idle: Duration::ZERO, ..ok }.check().is_ok());
    }
}
