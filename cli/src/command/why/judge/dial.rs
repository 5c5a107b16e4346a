//! No connection came up: somebody refused it, or nobody said a word.

use resound_core::signal::{Cause, Errno, Op, Reason, Signal};

use super::super::evidence::{Dialed, Evidence, Moment, Replied, Route};
use super::super::situation::{Candidate, Situation};
use super::finding::Finding;
use super::refusal::{about_the_host, by_errno, by_icmp, by_this_host};
use super::session::by_reset;

/// How a connect ended.
pub(super) fn by_dial(dialed: &Dialed, route: &Route, evidence: &Evidence) -> Finding {
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

/// Silence on connect.
fn by_silence(route: &Route, evidence: &Evidence) -> Finding {
    use Candidate::{AcceptQueueFull, AddressUnused, Filtered, HostDown, LocalFilter, PathCut, PortFiltered};

    let cause = Cause::timer(Reason::NoResponse);
    if evidence.others.host_answers(evidence.to.ip()) {
        return Finding::new(Situation::PortSilent, cause).between([AcceptQueueFull, PortFiltered]);
    }
    if let Some(icmp) = about_the_host(&evidence.others) {
        return by_icmp(&icmp, None, route, evidence);
    }
    let mut between = vec![Filtered, HostDown, AddressUnused, PathCut, AcceptQueueFull];
    if evidence.others.datagram == Some(Replied::Local(Errno::Perm)) {
        between.insert(0, LocalFilter);
    }
    Finding::new(Situation::Silence, cause).between(between)
}
