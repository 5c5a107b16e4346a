//! What a client's remarks come to, and whose they are; what was done to its host.

use std::time::Duration;

use crate::run::{Effect, Run};
use crate::scenario::{Command, HostFault, Knobs, NodeId, Said, Scenario, Transport, What};

/// What a client says, without whose peer it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gist {
    Dialing,
    Up,
    Sent(u64),
    Echo(u64),
    Lost(u64),
    Down,
    /// It will not try this peer again: it gave up.
    GaveUp,
    /// It is over, with all its peers.
    Closed,
    Else,
}

/// The peer's name, if one was said, and the rest.
pub(super) fn gist<'r>(scenario: &Scenario, said: &'r Said) -> (Option<&'r str>, Gist) {
    let gist = match said {
        Said::Dialing => Gist::Dialing,
        Said::Up => Gist::Up,
        Said::Sent(seq) => Gist::Sent(*seq),
        Said::Echo(seq) => Gist::Echo(*seq),
        Said::Lost(seq, _) => Gist::Lost(*seq),
        Said::Down(..) => Gist::Down,
        Said::GaveUp(_) => Gist::GaveUp,
        Said::Closed => Gist::Closed,
        Said::Other(text) => return named(scenario, text),
        _ => Gist::Else,
    };
    (None, gist)
}

fn named<'r>(scenario: &Scenario, text: &'r str) -> (Option<&'r str>, Gist) {
    let mut words = text.split(' ');
    let name = words.next().filter(|name| scenario.nodes.iter().any(|node| node.name == **name));
    if name.is_none() {
        return (None, Gist::Else);
    }
    let (word, seq) = (words.next(), words.next().and_then(|seq| seq.parse().ok()));
    let gist = match (word, seq) {
        (Some("dialing"), _) => Gist::Dialing,
        (Some("up"), _) => Gist::Up,
        (Some("echo"), Some(seq)) => Gist::Echo(seq),
        (Some("lost"), Some(seq)) => Gist::Lost(seq),
        (Some("down"), _) => Gist::Down,
        (Some("gave-up"), _) => Gist::GaveUp,
        (Some("closed"), _) => Gist::Closed,
        _ => Gist::Else,
    };
    (name, gist)
}

/// What this host's script connects to: over what, to whom, with which knobs.
pub(super) fn connects(
    scenario: &Scenario,
    host: NodeId,
) -> impl Iterator<Item = (Transport, NodeId, Knobs)> + '_ {
    scenario.script.iter().filter(move |line| line.host == host).filter_map(|line| match &line.command {
        Command::Connect(transport, peer, knobs) => Some((*transport, peer.host, *knobs)),
        _ => None,
    })
}

/// Whose a remark without a name is: a client that has one peer names nobody, and that peer is its first.
pub(super) fn first_peer(scenario: &Scenario, host: NodeId) -> Option<&str> {
    connects(scenario, host).next().map(|(_, peer, _)| scenario.nodes[usize::from(peer.0)].name.as_str())
}

/// Whether this host's programs ended without being asked: what they had to say, they could not.
pub(super) fn was_killed(scenario: &Scenario, run: &Run, node: NodeId) -> bool {
    scenario.faults.iter().zip(&run.ledger).any(|(fault, effect)| {
        let What::Host(at, what) = &fault.what else { return false };
        let kills = matches!(what, HostFault::Kill | HostFault::PowerLoss | HostFault::Reboot(_));
        *at == node && kills && matches!(effect, Effect::Acted(_))
    })
}

/// How late this host's programs can have been in all (Λ): they were made to stand still, or their clock jumped.
pub(super) fn lateness(scenario: &Scenario, node: NodeId) -> Duration {
    let late = scenario.faults.iter().map(|fault| match fault.what {
        What::Host(at, HostFault::Pause(lasts)) if at == node => lasts,
        What::Host(at, HostFault::Skew(by)) if at == node => Duration::from_nanos(by.unsigned_abs()),
        _ => Duration::ZERO,
    });
    late.fold(Duration::ZERO, Duration::saturating_add)
}
