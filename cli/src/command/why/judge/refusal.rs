//! Somebody says no: by an error number of this host, or by an ICMP message.
//!
//! ```text
//!   a call fails at once ──► by_this_host: which route, filter or limit
//!   an ICMP message      ──► by_icmp: what it says, and whether this host, the peer or a router says it
//!   an errno, later      ──► by_errno: what little a bare number tells
//! ```

use core::net::IpAddr;

use resound_core::signal::{Cause, Errno, IcmpError, Op, Origin, Reason, Signal};

use super::super::evidence::{Dialed, Evidence, Hop, Others, Replied, Route, is_from};
use super::super::situation::{Candidate, Situation};
use super::finding::Finding;

/// An error number that a call gave at once, before anything was sent; and what the look for a route met. The routes'
/// errors come to sockets of every kind (kernel: `fib_props`, `ip6_rt_type_to_error`).
pub(super) fn by_this_host(errno: Errno, route: Option<Errno>) -> Finding {
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

/// An ICMP error: what it says, and who says it.
pub(super) fn by_icmp(icmp: &IcmpError, errno: Option<Errno>, route: &Route, evidence: &Evidence) -> Finding {
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
pub(super) fn by_errno(errno: Errno, op: Op) -> Finding {
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

/// What somebody said of the whole host, to whichever question. A prohibition or a refusal can be about one port or one
/// protocol; that a host or a network cannot be reached is about everything that goes there. ICMP errors are rated: who
/// was silent about one packet may have spoken of another.
pub(super) fn about_the_host(others: &Others) -> Option<IcmpError> {
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
