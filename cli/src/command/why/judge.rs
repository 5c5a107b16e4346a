//! From evidence to a finding: a pure function, and all that `resound why` claims to know.
//!
//! ```text
//!   this host says no ──► which route, filter or limit
//!   somebody says no  ──► an ICMP message: what it says, and whether he is this host, the peer or a router
//!                         a RST: the port is closed
//!   nobody says no    ──► what else was asked on the way there, and answered or not
//!   a connection stood ─► how it ended, what the kernel knew, and whether another one stands now
//! ```
//!
//! What is named for certain is what was observed. Where several things would look the same from here, all of them are
//! named.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use resound_core::liveness::{KernelView, verdict};
use resound_core::signal::{Cause, Errno, IcmpError, Op, Origin, Reason, Signal};

use super::evidence::{
    Datagrams, Dialed, Ending, Evidence, Hop, Moment, Others, Parting, Replied, Session, Silence, is_from,
};
use super::evidence::{Route, Told};
use super::route::is_here;
use super::situation::{Candidate, Situation};

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) situation: Situation,
    /// What would look the same from here; empty where the situation says it all.
    pub(super) between: Vec<Candidate>,
    /// `None` for what is healthy.
    pub(super) cause: Option<Cause>,
    /// Who said so.
    pub(super) who: Option<IpAddr>,
}

impl Finding {
    fn new(situation: Situation, cause: Cause) -> Self {
        let who = cause.icmp.and_then(|icmp| icmp.offender);
        Self { situation, between: Vec::new(), cause: Some(cause), who }
    }

    fn between(self, candidates: impl Into<Vec<Candidate>>) -> Self {
        Self { between: candidates.into(), ..self }
    }

    /// Whoever said so, for a sentence.
    pub(super) fn who(&self) -> String {
        self.who.map_or_else(|| String::from("somebody"), |who| who.to_string())
    }

    /// The situation in a few words.
    pub(super) fn headline(&self) -> String {
        self.situation.entry().headline.replace("{who}", &self.who())
    }

    /// What to try, with what is known filled in.
    pub(super) fn advice(&self, target: &str, to: Option<SocketAddr>) -> Vec<String> {
        let here = to.is_some_and(|to| is_here(to.ip()));
        let advice = self.situation.entry().advice.iter();
        // Who asks on loopback would reach a server that listens there.
        let advice = advice.filter(|advice| !(here && advice.contains("127.0.0.1 only")));
        advice.map(|advice| filled_in(advice, target, to)).collect()
    }

    /// What would tell the candidates apart, where there are any.
    pub(super) fn decide(&self, target: &str, to: Option<SocketAddr>) -> Option<String> {
        let decide = self.situation.entry().decide.filter(|_| !self.certain())?;
        Some(filled_in(decide, target, to))
    }

    /// Whether one explanation is left.
    pub(super) fn certain(&self) -> bool {
        self.between.is_empty()
    }
}

/// The textbook's sentence, about this target.
fn filled_in(text: &str, target: &str, to: Option<SocketAddr>) -> String {
    let text = text.replace("TARGET", target);
    match to {
        None => text.replace("NAME", target.rsplit_once(':').map_or(target, |(name, _)| name)),
        Some(to) => text.replace("ADDRESS", &to.ip().to_string()).replace("PORT", &to.port().to_string()),
    }
}

/// A name that led to no address.
pub(super) fn nameless() -> Finding {
    Finding::new(Situation::NameNotFound, Cause::local(Reason::NameResolution))
}

/// What the evidence amounts to.
pub(super) fn judge(evidence: &Evidence) -> Finding {
    let unknown = Route { source: Ipv4Addr::UNSPECIFIED.into(), hop: Hop::Unknown };
    let route = match (&evidence.route, &evidence.told) {
        (route, Told::Dialed(Dialed::AtOnce(errno))) => {
            return by_this_host(*errno, route.as_ref().err().copied());
        }
        (Err(errno), Told::Datagrams(_)) => return by_this_host(*errno, Some(*errno)),
        // The look for a route is UDP's, and met a limit of UDP's.
        (Err(_), _) => &unknown,
        (Ok(route), _) => route,
    };
    match &evidence.told {
        Told::Dialed(dialed) => by_dial(dialed, route, evidence),
        Told::Session(session) => by_session(session, route, evidence),
        Told::Datagrams(datagrams) => by_datagrams(datagrams, route, evidence),
    }
}

// -- This host says no ------------------------------------------------------------------------------------------------

/// An error number that a call gave at once, before anything was sent; and what the look for a route met. The routes'
/// errors come to sockets of every kind (kernel: `fib_props`, `ip6_rt_type_to_error`).
fn by_this_host(errno: Errno, route: Option<Errno>) -> Finding {
    let situation = match (errno, route) {
        (Errno::NetUnreach, Some(Errno::Acces)) => Situation::Broadcast,
        (Errno::Acces, Some(_)) => Situation::ProhibitRoute,
        (Errno::Acces | Errno::Perm, _) => Situation::NotPermitted,
        (Errno::NetUnreach, _) => Situation::NoRoute,
        (Errno::HostUnreach, _) => Situation::UnreachableRoute,
        (Errno::Inval, _) => Situation::BlackholeRoute,
        // Without a source address UDP gets no further than TCP; without a free port it says EAGAIN, or knows nothing of it.
        (Errno::AddrNotAvail, Some(Errno::AddrNotAvail)) | (Errno::AfNoSupport, _) => Situation::NoSource,
        (Errno::Again | Errno::AddrInUse | Errno::AddrNotAvail, _) => Situation::NoPorts,
        (Errno::MsgSize, _) => Situation::TooBig,
        (Errno::MFile | Errno::NFile | Errno::NoBufs | Errno::NoMem, _) => Situation::NoResources,
        _ => Situation::Unreachable,
    };
    let mut cause = Signal::Errno(errno).cause(Op::Connect);
    cause.origin = Origin::Local;
    if situation == Situation::NoPorts {
        cause.reason = Reason::NoPorts;
    }
    Finding::new(situation, cause)
}

// -- Somebody says no -------------------------------------------------------------------------------------------------

fn by_dial(dialed: &Dialed, route: &Route, evidence: &Evidence) -> Finding {
    match dialed {
        // What stands has a session, and what fails at once is this host's affair.
        Dialed::Stands | Dialed::Silent => by_silence(route, evidence),
        Dialed::AtOnce(errno) => by_this_host(*errno, None),
        Dialed::SelfConnect => Finding::new(Situation::SelfConnect, Signal::SelfConnect.cause(Op::Connect)),
        Dialed::Failed { errno, icmp: Some(icmp) } => by_icmp(icmp, Some(*errno), route, evidence),
        Dialed::Failed { errno: Errno::TimedOut, icmp: None } => by_silence(route, evidence),
        // It stood, and was reset before anybody looked.
        Dialed::Failed { errno: Errno::ConnReset, icmp: None } => by_reset(Moment::Unasked, &evidence.others),
        Dialed::Failed { errno, icmp: None } => by_errno(*errno, Op::Connect),
    }
}

/// An ICMP error: what it says, and who says it.
fn by_icmp(icmp: &IcmpError, errno: Option<Errno>, route: &Route, evidence: &Evidence) -> Finding {
    let to = evidence.to.ip();
    let mut cause = Signal::Icmp(*icmp).cause(Op::Connect);
    cause.errno = errno;
    let from_peer = is_from(icmp, to);
    let from_here = !from_peer && is_from(icmp, route.source);
    if from_here {
        cause.origin = Origin::Local;
    }
    if icmp.meaning().reason == Reason::PortUnreach && from_peer && errno.is_some() {
        // What the kernel did not tell apart has one word: a connect was refused.
        cause.reason = Reason::ConnRefused;
    }
    match icmp.meaning().reason {
        Reason::HostUnreach if from_here => by_neighbour(cause, route, to),
        Reason::PortUnreach if from_peer => Finding::new(Situation::PortClosed, cause),
        _ if from_here => Finding::new(Situation::LocalReject, cause),
        Reason::PortUnreach => Finding::new(Situation::Rejected, cause),
        reason => Finding::new(said(reason), cause),
    }
}

/// This host could not find out the hardware address of the next hop.
fn by_neighbour(cause: Cause, route: &Route, to: IpAddr) -> Finding {
    match route.hop {
        Hop::Gateway(gateway, _) if gateway != to => {
            let silent = Finding { who: Some(gateway), ..Finding::new(Situation::GatewaySilent, cause) };
            silent.between([Candidate::GatewayDown, Candidate::LinkCut])
        }
        _ => Finding::new(Situation::NeighbourSilent, cause).between([
            Candidate::HostDown,
            Candidate::AddressUnused,
            Candidate::LinkCut,
        ]),
    }
}

/// What an ICMP error says, whoever says it.
const fn said(reason: Reason) -> Situation {
    match reason {
        Reason::HostUnreach => Situation::HostUnreachable,
        Reason::NetUnreach | Reason::NoRoute => Situation::NetUnreachable,
        Reason::NetProhibited | Reason::HostProhibited | Reason::AdminProhibited | Reason::RejectRoute => {
            Situation::Prohibited
        }
        Reason::TimeExceeded => Situation::TtlExceeded,
        Reason::ProtoUnreach => Situation::ProtocolUnreachable,
        Reason::ParamProblem => Situation::HeaderRejected,
        Reason::BeyondScope => Situation::SourceRejected,
        Reason::TooBig => Situation::TooBig,
        _ => Situation::Unreachable,
    }
}

/// An error number that came later, and no message that it could be from.
fn by_errno(errno: Errno, op: Op) -> Finding {
    let cause = Signal::Errno(errno).cause(op);
    let situation = match errno {
        Errno::ConnRefused if op == Op::Connect => Situation::PortClosed,
        Errno::Perm => Situation::NotPermitted,
        Errno::MsgSize => Situation::TooBig,
        Errno::NoBufs | Errno::NoMem => Situation::NoResources,
        _ => Situation::Unreachable,
    };
    Finding::new(situation, cause)
}

// -- Nobody says no ---------------------------------------------------------------------------------------------------

/// Silence on connect.
fn by_silence(route: &Route, evidence: &Evidence) -> Finding {
    let cause = Cause::timer(Reason::NoResponse);
    let Others { datagram, .. } = &evidence.others;
    if evidence.others.host_answers(evidence.to.ip()) {
        return Finding::new(Situation::PortSilent, cause)
            .between([Candidate::AcceptQueueFull, Candidate::PortFiltered]);
    }
    if let Some(icmp) = about_the_host(&evidence.others) {
        return by_icmp(&icmp, None, route, evidence);
    }
    let mut between =
        vec![Candidate::Filtered, Candidate::HostDown, Candidate::AddressUnused, Candidate::PathCut];
    between.push(Candidate::AcceptQueueFull);
    if matches!(datagram, Some(Replied::Local(Errno::Perm))) {
        between.insert(0, Candidate::LocalFilter);
    }
    Finding::new(Situation::Silence, cause).between(between)
}

// -- A connection stood -----------------------------------------------------------------------------------------------

fn by_session(session: &Session, route: &Route, evidence: &Evidence) -> Finding {
    match &session.end {
        Ending::Echoed => {
            Finding { situation: Situation::Healthy, between: Vec::new(), cause: None, who: None }
        }
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

fn by_reset(moment: Moment, others: &Others) -> Finding {
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

/// What somebody said of the whole host, to whichever question. A prohibition or a refusal can be about one port or one
/// protocol; that a host or a network cannot be reached is about everything that goes there. ICMP errors are rated: who
/// was silent about one packet may have spoken of another.
fn about_the_host(others: &Others) -> Option<IcmpError> {
    let dialed = [&others.again, &others.elsewhere].into_iter().filter_map(|dialed| match dialed {
        Some(Dialed::Failed { icmp, .. }) => *icmp,
        _ => None,
    });
    let replied = match others.datagram {
        Some(Replied::Icmp(icmp)) => Some(icmp),
        _ => None,
    };
    dialed.chain(replied).find(|icmp| {
        let said = said(icmp.meaning().reason);
        matches!(said, Situation::HostUnreachable | Situation::NetUnreachable | Situation::TtlExceeded)
    })
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

// -- Datagrams --------------------------------------------------------------------------------------------------------

fn by_datagrams(datagrams: &Datagrams, route: &Route, evidence: &Evidence) -> Finding {
    match &datagrams.end {
        Parting::Enough if datagrams.echoed == 0 => by_unanswered(datagrams, evidence, route),
        Parting::Enough if datagrams.since >= TOO_MANY => by_unanswered(datagrams, evidence, route),
        Parting::Enough if datagrams.echoed < datagrams.sent => {
            Finding::new(Situation::Lossy, Cause::timer(Reason::NoEcho))
        }
        Parting::Enough => {
            Finding { situation: Situation::Healthy, between: Vec::new(), cause: None, who: None }
        }
        Parting::Icmp(icmp) => by_icmp(icmp, None, route, evidence),
        Parting::Local(errno) => by_errno(*errno, Op::Write),
        Parting::Differs => Finding::new(Situation::NotEcho, Cause::peer(Reason::Mismatch)),
        Parting::Elsewhere(from) => Finding {
            who: Some(from.ip()),
            ..Finding::new(Situation::AnswerElsewhere, Cause::peer(Reason::NoResponse))
        },
    }
}

/// So many datagrams in a row that stay unanswered are no loss any more.
const TOO_MANY: u64 = 3;

fn by_unanswered(datagrams: &Datagrams, evidence: &Evidence, route: &Route) -> Finding {
    use Candidate::{AddressUnused, Filtered, HostDown, NotAnswering, PathCut, PortFiltered};

    let answered = datagrams.echoed > 0;
    let cause = Cause::timer(if answered { Reason::NoEcho } else { Reason::NoResponse });
    let to = evidence.to.ip();
    if evidence.others.host_answers(to) {
        return Finding::new(Situation::PortSilent, cause).between([NotAnswering, PortFiltered]);
    }
    if let Some(icmp) = about_the_host(&evidence.others) {
        return by_icmp(&icmp, None, route, evidence);
    }
    let mut between = vec![Filtered, HostDown, AddressUnused, PathCut, NotAnswering];
    between.retain(|candidate| !(answered && *candidate == AddressUnused));
    Finding::new(Situation::Silence, cause).between(between)
}

#[cfg(test)]
mod tests;
