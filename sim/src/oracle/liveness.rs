//! Clients come back, do not hurry, and notice silence.

use std::collections::BTreeMap;
use std::time::Duration;

use resound_core::Instant;

use super::gist::{Gist, first_peer, gist, lateness, was_killed};
use super::{Broken, Oracle, tell};
use crate::faults::since_start;
use crate::run::Run;
use crate::scenario::{Comeback, Fault, HostFault, NodeId, Scenario, Trigger, Way, What};

/// Within `bound` after the last fault has ended, each client on this host is up and stays so, or has reported a final
/// reason. Says nothing of a scenario that does not heal: with a link that loses packets, or a fault that has no end or
/// whose end did not come.
#[must_use]
pub fn settles_after_healing(node: NodeId, bound: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let lossy = scenario.links.iter().any(|link| link.loss > 0 || link.corrupt > 0);
        let lasts = |fault: &Fault| !has_ended(scenario, run, fault);
        if lossy || scenario.faults.iter().any(lasts) || was_killed(scenario, run, node) {
            return Ok(());
        }
        let healed = run.disturbed.unwrap_or(Instant::EPOCH);
        let due = healed + bound;
        if since_start(due) > scenario.until {
            return Ok(());
        }
        let broken = |what| Err(Broken::new("settles-after-healing", what));
        let first = first_peer(scenario, node);
        let mut clients: BTreeMap<Option<&str>, Gist> = BTreeMap::new();
        for remark in run.said_by(node) {
            let (name, gist) = gist(scenario, &remark.said);
            if remark.at > due && gist == Gist::Down {
                let healed = since_start(healed);
                return broken(format!("{}, though all was well since {healed:?}", tell(scenario, remark)));
            }
            match gist {
                _ if remark.at > due => {}
                Gist::Closed => clients.values_mut().for_each(|was| *was = Gist::Closed),
                Gist::Dialing | Gist::Up | Gist::Down | Gist::GaveUp => {
                    clients.insert(name.or(first), gist);
                }
                Gist::Sent(_) | Gist::Echo(_) | Gist::Lost(_) | Gist::Else => {}
            }
        }
        let unsettled = clients.iter().find(|(_, was)| matches!(was, Gist::Dialing | Gist::Down));
        unsettled.map_or(Ok(()), |(peer, _)| {
            let name = scenario.name(node);
            let peer = peer.map(|peer| format!(" to {peer}")).unwrap_or_default();
            broken(format!("{name} is not up{peer} {bound:?} after the last fault, and gave no final reason"))
        })
    }
}

/// Whether what this fault did is over when the run ends; `false` where that cannot be told.
fn has_ended(scenario: &Scenario, run: &Run, fault: &Fault) -> bool {
    match &fault.what {
        // It began no later than the last thing that a fault did.
        What::Host(_, HostFault::Pause(lasts) | HostFault::Reboot(lasts)) => {
            return since_start(run.disturbed.unwrap_or(Instant::EPOCH)) + *lasts <= scenario.until;
        }
        What::LinkDown(_, Some((_, Comeback::Bare)))
        | What::Mtu(..)
        | What::Host(_, HostFault::Kill | HostFault::PowerLoss | HostFault::AcceptQueue(_)) => {
            return false;
        }
        What::Cut(..)
        | What::Unplug(..)
        | What::LinkDown(..)
        | What::Route { .. }
        | What::Host(_, HostFault::NoPorts(_) | HostFault::NoDescriptors(_)) => {}
        What::Tamper(..) | What::Forge { .. } | What::Host(..) => return true,
    }
    match fault.what.until() {
        None => false,
        // A scenario that was checked has no end that comes later than its own.
        Some(Trigger::At(_)) => true,
        // It came after the beginning only if that was an earlier packet of the same way.
        Some(Trigger::Packet(way, nth)) => {
            let earlier =
                matches!(fault.when, Trigger::Packet(begins, first) if begins == *way && first < *nth);
            earlier && packets(scenario, run, *way) >= *nth
        }
        Some(Trigger::State(..) | Trigger::Says(..)) => false,
    }
}

/// How many packets set out on this way.
fn packets(scenario: &Scenario, run: &Run, way: Way) -> u32 {
    let of_link = scenario.links.iter().zip(&run.ways).find_map(|(link, [there, back])| match link.ends {
        [from, to] if from == way.from && to == way.to => Some(*there),
        [to, from] if from == way.from && to == way.to => Some(*back),
        _ => None,
    });
    of_link.unwrap_or(0)
}

/// In any window of time W, this host starts at most 1 + ⌈W/floor⌉ rounds of dialing one peer (B6). Says nothing where
/// the host's clock jumps.
#[must_use]
pub fn bounded_attempts(node: NodeId, floor: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let skewed = |fault: &Fault| matches!(fault.what, What::Host(at, HostFault::Skew(_)) if at == node);
        if scenario.faults.iter().any(skewed) {
            return Ok(());
        }
        let first = first_peer(scenario, node);
        let mut starts: BTreeMap<Option<&str>, Vec<Instant>> = BTreeMap::new();
        for remark in run.said_by(node) {
            if let (name, Gist::Dialing) = gist(scenario, &remark.said) {
                starts.entry(name.or(first)).or_default().push(remark.at);
            }
        }
        for times in starts.values() {
            for (i, &from) in times.iter().enumerate() {
                for (more, &to) in times[i..].iter().enumerate() {
                    let window = to.since(from);
                    if more as u128 > window.as_nanos().div_ceil(floor.as_nanos().max(1)) {
                        let what =
                            format!("{} rounds within {window:?}, from {:?}", more + 1, since_start(from));
                        return Err(Broken::new("bounded-attempts", what));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Peers of this host that fall silent are convicted within `bound` (L1, end to end): where the only way to the host is cut
/// at a given time for that long, each peer that was up then is `down` in time. How late the host was made itself (Λ) is
/// added to the bound.
#[must_use]
pub fn conviction_within(node: NodeId, bound: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let bound = bound + lateness(scenario, node);
        let ways = scenario.links.iter().filter(|link| link.ends.contains(&node)).count();
        if ways != 1 || was_killed(scenario, run, node) {
            return Ok(());
        }
        let first = first_peer(scenario, node);
        for fault in &scenario.faults {
            let Some(from) = silence(fault, node, bound) else { continue };
            let due = from + bound;
            if due > scenario.until {
                continue;
            }
            // Who was up when it began, and is not down since.
            let mut up: Vec<Option<&str>> = Vec::new();
            for remark in run.said_by(node).take_while(|remark| since_start(remark.at) <= due) {
                let (name, gist) = gist(scenario, &remark.said);
                let peer = name.or(first);
                match gist {
                    Gist::Up if since_start(remark.at) <= from => up.push(peer),
                    Gist::Down | Gist::GaveUp => up.retain(|is| *is != peer),
                    Gist::Closed => up.clear(),
                    _ => {}
                }
            }
            if let Some(peer) = up.first() {
                let (name, cut) = (scenario.name(node), scenario.show(fault));
                let peer = peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
                let what = format!("{cut}: {name} heard nothing{peer}, and was not down by {due:?}");
                return Err(Broken::new("conviction-within", what));
            }
        }
        Ok(())
    }
}

/// When this fault begins to keep everything from this host, if it does so for long enough.
fn silence(fault: &Fault, node: NodeId, lasts: Duration) -> Option<Duration> {
    let Trigger::At(from) = fault.when else { return None };
    let silences = match &fault.what {
        What::Cut(way, _) => way.to == node,
        What::Unplug(way, _) | What::LinkDown(way, _) => way.from == node || way.to == node,
        _ => false,
    };
    match fault.what.until() {
        _ if !silences => None,
        None => Some(from),
        Some(Trigger::At(until)) => Some(from).filter(|_| *until >= from + lasts),
        Some(_) => None,
    }
}
