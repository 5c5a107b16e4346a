//! What came of datagrams. There is no connection that could end: there are answers, words of others, and silence.

use resound_core::signal::{Cause, Op, Reason};

use super::super::evidence::{Datagrams, Evidence, Parting, Route};
use super::super::situation::{Candidate, Situation};
use super::finding::Finding;
use super::refusal::{about_the_host, by_errno, by_icmp};

/// What came of them all.
pub(super) fn by_datagrams(datagrams: &Datagrams, route: &Route, evidence: &Evidence) -> Finding {
    match &datagrams.end {
        Parting::Enough if datagrams.echoed == 0 => by_unanswered(datagrams, evidence, route),
        Parting::Enough if datagrams.since >= TOO_MANY => by_unanswered(datagrams, evidence, route),
        Parting::Enough if datagrams.echoed < datagrams.sent => {
            Finding::new(Situation::Lossy, Cause::timer(Reason::NoEcho))
        }
        Parting::Enough => Finding::healthy(),
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
    if answered {
        between.retain(|candidate| *candidate != AddressUnused);
    }
    Finding::new(Situation::Silence, cause).between(between)
}
