//! A connection stood: how it ended, what the kernel knew, and whether another one stands now.

use resound_core::liveness::{KernelView, verdict};
use resound_core::signal::{Cause, Errno, Op, Reason, Signal};

use super::super::evidence::{Dialed, Ending, Evidence, Moment, Others, Route, Session, Silence, is_from};
use super::super::situation::{Candidate, Situation};
use super::finding::Finding;
use super::refusal::{about_the_host, by_errno, by_icmp, by_this_host};

/// How a connection ended, or what its silence looks like.
pub(super) fn by_session(session: &Session, route: &Route, evidence: &Evidence) -> Finding {
    match &session.end {
        Ending::Echoed => Finding::healthy(),
        Ending::Differs => Finding::new(Situation::NotEcho, Cause::peer(Reason::Mismatch)),
        Ending::Closed(moment) => by_fin(*moment, &evidence.others),
        Ending::Reset(moment) => by_reset(*moment, &evidence.others),
        Ending::GivenUp(errno) => by_dead_path(
            Signal::Errno(*errno).cause(Op::Read),
            session.soft.or(Some(*errno).filter(|errno| *errno != Errno::TimedOut)),
            route,
            evidence,
        ),
        Ending::Silent(silence) => by_silent_session(silence, session, route, evidence),
    }
}

/// Whether the port refuses now, in the host's name.
fn refuses(others: &Others) -> bool {
    matches!(others.again, Some(Dialed::Failed { errno: Errno::ConnRefused, .. }))
}

fn by_fin(moment: Moment, others: &Others) -> Finding {
    use Candidate::{
        InBetween, LimitsSessions, NotEcho, PeerRestricted, ServerCrashes, ServerFull, ServerRestarted,
    };

    let early = matches!(moment, Moment::Unanswered | Moment::Due);
    let reason = if early { Reason::ClosedEarly } else { Reason::Closed };
    // Before a word was said, an answer was due all the same: the connection was of no use.
    let reason = if moment == Moment::Unasked { Reason::ClosedEarly } else { reason };
    let cause = Cause::peer(reason);
    if refuses(others) {
        // A FIN is a kernel's that lives: the host was not restarted.
        return Finding::new(Situation::ServerGone, cause);
    }
    match moment {
        Moment::Unasked => Finding::new(Situation::ClosedAtOnce, cause).between([
            PeerRestricted,
            ServerFull,
            ServerCrashes,
            InBetween,
        ]),
        Moment::Unanswered => {
            Finding::new(Situation::ClosedUnanswered, cause).between([NotEcho, ServerCrashes, InBetween])
        }
        Moment::Idle | Moment::Due => {
            Finding::new(Situation::ClosedLater, cause).between([ServerRestarted, LimitsSessions, InBetween])
        }
    }
}

pub(super) fn by_reset(moment: Moment, others: &Others) -> Finding {
    use Candidate::{
        ClosedUnread, HostRestarted, InBetween, PeerRestricted, ServerCrashes, ServerFull, ServerKilled,
        ServerRestarted,
    };

    let cause = Signal::Errno(Errno::ConnReset).cause(Op::Read);
    if refuses(others) {
        return Finding::new(Situation::ServerGone, cause).between([ServerKilled, HostRestarted]);
    }
    match moment {
        Moment::Unasked => Finding::new(Situation::ResetAtOnce, cause).between([
            PeerRestricted,
            ServerFull,
            ServerCrashes,
            InBetween,
        ]),
        Moment::Unanswered => Finding::new(Situation::ResetOnWrite, cause).between([
            ClosedUnread,
            HostRestarted,
            ServerCrashes,
            InBetween,
        ]),
        Moment::Idle | Moment::Due => {
            Finding::new(Situation::ResetLater, cause).between([ServerRestarted, HostRestarted, InBetween])
        }
    }
}

/// More bytes than a receive buffer holds that nobody reads from: Linux lets it grow only as it is read
/// (`tcp_rcv_space_adjust`), from 128 KiB (`tcp_rmem`).
const MORE_THAN_A_BUFFER: usize = 512 * 1_024;

/// The peer's window has room for what waits, nothing is on its way, and still it is not sent: it does not get out of this
/// host.
fn open_and_unsent(kernel: KernelView) -> bool {
    kernel.unacked == 0 && kernel.unsent > 0 && kernel.peer_window.is_some_and(|bytes| bytes >= kernel.unsent)
}

/// A silence on a connection that stood: the kernel's view convicts, by the core's own rule.
fn by_silent_session(silence: &Silence, session: &Session, route: &Route, evidence: &Evidence) -> Finding {
    use Candidate::{NotAccepted, NotEcho, ServerHung};

    let reason = match verdict(silence.lasted, silence.writing, silence.kernel) {
        Reason::WriteBlocked if silence.kernel.is_some_and(open_and_unsent) => Reason::PathDead,
        reason => reason,
    };
    let cause = Cause::timer(reason);
    // A second SYN that stays unanswered, while the first connection is fine, was most likely dropped by a full queue.
    let queue_full = evidence.others.again == Some(Dialed::Silent);
    match reason {
        Reason::PathDead => by_dead_path(cause, session.soft, route, evidence),
        Reason::PeerStalled if queue_full && session.echoed == 0 => {
            Finding::new(Situation::PeerStalled, cause).between([NotAccepted, ServerHung, NotEcho])
        }
        // It was an echo server a moment ago.
        Reason::PeerStalled if session.echoed > 0 => Finding::new(Situation::PeerStalled, cause),
        // No buffer holds so much: somebody reads it.
        Reason::PeerStalled if silence.acknowledged >= MORE_THAN_A_BUFFER => {
            Finding::new(Situation::PeerStalled, cause).between([NotEcho, ServerHung])
        }
        Reason::PeerStalled => {
            Finding::new(Situation::PeerStalled, cause).between([ServerHung, NotAccepted, NotEcho])
        }
        Reason::WriteBlocked if session.echoed > 0 => Finding::new(Situation::ZeroWindow, cause),
        Reason::WriteBlocked => Finding::new(Situation::ZeroWindow, cause).between([ServerHung, NotAccepted]),
        _ => Finding::new(Situation::NoEcho, cause).between([Candidate::PathCut, ServerHung, NotAccepted]),
    }
}

/// What was sent is not acknowledged. Who can say why: whoever stops a second connection, or a datagram.
fn by_dead_path(cause: Cause, soft: Option<Errno>, route: &Route, evidence: &Evidence) -> Finding {
    use Candidate::{FlowForgotten, HostDown, MtuBlackHole, PathCut};

    let Others { again, .. } = &evidence.others;
    // What stops a second connection to the same port is about the first as well, unless it is the host's own word.
    let about_both = match again {
        Some(Dialed::Failed { icmp, .. }) => icmp.filter(|icmp| !is_from(icmp, evidence.to.ip())),
        _ => None,
    };
    if let Some(icmp) = about_both.or_else(|| about_the_host(&evidence.others)) {
        return by_icmp(&icmp, soft, route, evidence);
    }
    if let Some(Dialed::AtOnce(errno)) = again {
        // A second socket has no other way than the first: what stops it stops both.
        return by_this_host(*errno, Some(*errno));
    }
    if evidence.others.host_answers(evidence.to.ip()) {
        return Finding::new(Situation::FlowDead, cause).between([FlowForgotten, MtuBlackHole]);
    }
    match soft {
        Some(errno) => by_errno(errno, Op::Read),
        None => Finding::new(Situation::PathDead, cause).between([HostDown, PathCut]),
    }
}
