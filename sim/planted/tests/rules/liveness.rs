//! When a peer is dead: L1, L2, L6 and L7, and how long anything may take.

use std::time::Duration;

use resound_core::signal::{Origin, Reason};
use resound_planted_sim as resound_sim;

use resound_sim::scenario::{Command, HostFault, Said, What};

use super::story::{MS, SECOND, Story};
use super::{Verdict, broken};

const RULE: &str = "L6 consecutive unanswered probes";

/// L6: as many probes in a row as configured stay unanswered before a peer is convicted, no late call counts, and what
/// somebody says on the way convicts nobody. None where the detector is off.
pub(super) fn misses(story: &Story<'_>) -> Verdict {
    let (mut missed, mut life, mut stalled) = (0, Duration::ZERO, None);
    for (at, said) in story.before_closing() {
        match said {
            Said::Up | Said::Echo(_) => (missed, life) = (0, at),
            Said::Stalled(_) => stalled = Some(at),
            Said::Suspect(n) => {
                // The client's own probes may have been answered: then it begins again.
                let next = *n == missed + 1 || *n == 1;
                if !next || *n >= story.misses || story.idle.is_zero() {
                    return broken(RULE, format!("{said} at {at:?}, after {missed}"));
                }
                if at < life + story.probe * u32::from(*n) {
                    return broken(RULE, format!("{said} at {at:?}, and a sign of life at {life:?}"));
                }
                if stalled == Some(at) {
                    return broken("L6 a late call counts nothing", format!("{said} at {at:?}"));
                }
                missed = *n;
            }
            Said::Down(reason, origin) if is_verdict(story, *reason, *origin) => {
                if missed + 1 != story.misses || story.idle.is_zero() {
                    return broken(RULE, format!("{said} at {at:?}, after {missed}"));
                }
                if at < life + story.probe * u32::from(story.misses) {
                    return broken(RULE, format!("{said} at {at:?}, and a sign of life at {life:?}"));
                }
                if stalled == Some(at) {
                    return broken("L6 a late call counts nothing", format!("{said} at {at:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether this end needs unanswered probes. Over UDP, only a port that is proven to be closed needs none.
const fn is_verdict(story: &Story<'_>, reason: Reason, origin: Origin) -> bool {
    use Reason as R;
    if story.udp {
        return !matches!(reason, R::PortUnreach | R::Mismatch) && !matches!(origin, Origin::Local);
    }
    matches!((reason, origin), (R::NoEcho | R::PathDead | R::PeerStalled | R::WriteBlocked, Origin::Timer))
}

/// L1: who owes an echo and says nothing is convicted in time, however much more is sent.
pub(super) fn silence(story: &Story<'_>) -> Verdict {
    if story.udp || story.idle.is_zero() || !story.run.said.iter().any(|remark| remark.said == Said::Up) {
        return Ok(());
    }
    // Where P' can be no longer than P, it is exact.
    let bound = story.idle * (u32::from(story.misses) + 1) + 100 * MS + story.stood_still * 2;
    let (mut waiting, mut up) = (Vec::new(), false);
    let mut since = Duration::ZERO;
    let end = (story.scenario.until, &Said::Closed);
    for (at, said) in story.before_closing().chain([end]) {
        let late = up && !waiting.is_empty() && at > since + bound;
        if late && story.is_over(since + bound) && story.closing.is_none_or(|closing| since + bound < closing)
        {
            return broken("L1 convicted in time", format!("nothing was heard from {since:?} to {at:?}"));
        }
        match said {
            Said::Sent(seq) => {
                if waiting.is_empty() {
                    since = at;
                }
                waiting.push(*seq);
            }
            Said::Echo(seq) => {
                since = at;
                waiting.retain(|waits| waits != seq);
            }
            Said::Lost(seq, _) => waiting.retain(|waits| waits != seq),
            Said::Up => (up, since) = (true, at),
            Said::Down(..) | Said::GaveUp(_) => up = false,
            _ => {}
        }
    }
    Ok(())
}

/// Over UDP every message ends within its time; a graceful close does; and the end of a connection is heard at once.
pub(super) fn in_time(story: &Story<'_>) -> Verdict {
    let said = |wanted: &dyn Fn(&Said) -> bool, from: Duration| {
        story.lines.iter().find(|(at, said)| *at >= from && wanted(said)).map(|(at, _)| *at)
    };
    if story.udp {
        let timeout = 3 * SECOND + 500 * MS + story.stood_still;
        for (at, sent) in &story.lines {
            let Said::Sent(seq) = sent else { continue };
            let ends = |said: &Said| matches!(said, Said::Echo(n) | Said::Lost(n, _) if n == seq);
            if story.is_over(*at + timeout) && said(&ends, *at).is_none_or(|end| end > *at + timeout) {
                return broken("every message ends in time", format!("{sent} at {at:?}"));
            }
        }
    }
    if let Some(closing) = story.closing {
        let limit = closing + 10 * SECOND + SECOND + story.stood_still;
        let over = |said: &Said| matches!(said, Said::Closed | Said::GaveUp(_));
        if story.is_over(limit) && said(&over, Duration::ZERO).is_none_or(|end| end > limit) {
            return broken("a close ends in time", format!("it was asked for at {closing:?}"));
        }
    }
    heard_at_once(story)
}

/// The client watches its socket even when nothing is due.
fn heard_at_once(story: &Story<'_>) -> Verdict {
    let server = story.peer.host;
    let kill = |what: &What| matches!(what, What::Host(host, HostFault::Kill) if *host == server);
    if story.udp || !story.only(kill) || story.scenario.faults.is_empty() || !story.is_served() {
        return Ok(());
    }
    let wire = story.wire();
    let Some(end) = wire.ends_reach_client().min() else { return Ok(()) };
    let hears = |said: &Said| matches!(said, Said::Down(..) | Said::Closed | Said::DialFailed(..));
    let heard = story.lines.iter().any(|(at, said)| *at + MS >= end && *at <= end + SECOND && hears(said));
    // What began after that was refused.
    let over =
        story.lines.iter().any(|(at, said)| *at < end && matches!(said, Said::Closed | Said::GaveUp(_)));
    if heard || over || !story.is_over(end + SECOND) {
        return Ok(());
    }
    broken("the end is heard at once", format!("it came in at {end:?}"))
}

/// L2: a byte that came in before the verdict, and after the first unanswered probe, prevents it; who was asked
/// nothing owes nothing.
pub(super) fn drained(story: &Story<'_>) -> Verdict {
    const READ: &str = "L2 read before judging";
    let small = |host| story.host_faults(host).any(|what| matches!(what, HostFault::ReceiveBuffer(_)));
    // Whether a packet of a noisy link arrives whole is not known.
    if small(story.client) || story.scenario.links.iter().any(|link| link.corrupt > 0) {
        return Ok(());
    }
    let mut suspected = None;
    let forged = |what: &What| matches!(what, What::Forge { .. } | What::Route { .. });
    let tricked =
        story.may_lose_neighbours() || story.scenario.faults.iter().any(|fault| forged(&fault.what));
    let (mut wire, mut dialing) = (None, Duration::ZERO);
    for (at, said) in story.before_closing() {
        match said {
            Said::Dialing => dialing = at,
            Said::Suspect(1) => suspected = Some(at),
            Said::Up | Said::Echo(_) => suspected = None,
            Said::Down(reason, origin) if is_verdict(story, *reason, *origin) => {
                let from = suspected.take().unwrap_or(at.saturating_sub(story.probe));
                let wire = wire.get_or_insert_with(|| story.wire());
                let peer = story.peer_addr();
                let came =
                    wire.heard(peer).into_iter().find(|(heard, n)| from < *heard && *heard < at && *n > 0);
                if let Some((heard, _)) = came {
                    return broken(READ, format!("{said} at {at:?}, and bytes had come in at {heard:?}"));
                }
                if !story.udp && !tricked && !wire.is_owed(peer, at) {
                    return broken(RULE, format!("{said} at {at:?}, and nothing was owed"));
                }
            }
            Said::DialFailed(Reason::NoResponse, _) => {
                let wire = wire.get_or_insert_with(|| story.wire());
                if let Some(stood) = wire.accepted_before(dialing, at).filter(|_| !tricked) {
                    return broken(
                        READ,
                        format!("{said} at {at:?}, and the connection stood since {stood:?}"),
                    );
                }
                if let Some(late) = wire.dials_on_after(at) {
                    return broken(
                        "H4 what failed is given up",
                        format!("{said} at {at:?}, and a SYN at {late:?}"),
                    );
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// L7, over UDP: probes of a peer that stands are no closer together than P, whatever anybody says.
pub(super) fn probes(story: &Story<'_>) -> Verdict {
    let asks = |command: &Command| matches!(command, Command::Connect(..));
    let quiet = story.scenario.script.iter().filter(|line| asks(&line.command)).count() == 1;
    let forged =
        story.scenario.faults.iter().filter(|fault| matches!(fault.what, What::Forge { .. })).count();
    if !story.udp || !quiet || forged < 2 {
        return Ok(());
    }
    let wire = story.wire();
    let ups = story.lines.iter().enumerate().filter(|(_, (_, said))| **said == Said::Up);
    for (index, (up, _)) in ups {
        let over = |said: &Said| matches!(said, Said::Down(..) | Said::GaveUp(_) | Said::Closed);
        let down = story.lines[index..].iter().find(|(_, said)| over(said));
        let down = down.map_or(story.scenario.until, |(at, _)| *at);
        let probes: Vec<_> = wire.probes(story.peer_addr()).filter(|at| up < at && *at <= down).collect();
        if let Some(pair) = probes.windows(2).find(|pair| pair[1] < pair[0] + story.probe) {
            return broken("L7 hints are no amplifier", format!("probes at {pair:?}"));
        }
    }
    Ok(())
}
