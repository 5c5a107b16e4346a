//! What servers owe: to let nobody be idle who is not, and to answer nobody who would answer back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resound_core::datagram::server::REFLECTING;
use resound_core::signal::Reason;
use resound_planted_sim as resound_sim;

use resound_sim::faults::since_start;
use resound_sim::packet::Body;
use resound_sim::scenario::node_at;
use resound_sim::scenario::{Call, Command, HostFault, Line, NodeId, Said, Transport, What};
use resound_sim::{Run, Scenario};

use super::story::{SECOND, Story};
use super::wire::Wire;
use super::{Verdict, broken};

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(300);
/// How many datagrams of one source a UDP server answers at once, and per second.
const BURST: u64 = 1_000;
const RATE: u64 = 1_000;

/// A server that only stood still ends no connection as idle on which something was sent.
pub(super) fn ends(scenario: &Scenario, run: &Run) -> Verdict {
    let Some(story) = Story::of(scenario, run) else { return Ok(()) };
    let stands_still =
        |what: &What| matches!(what, What::Host(host, HostFault::Pause(_)) if *host == story.peer.host);
    if !story.only(stands_still) || !story.is_served() {
        return Ok(());
    }
    for remark in run.said_by(story.peer.host) {
        let at = since_start(remark.at);
        let sent = story.lines.iter().any(|(sent, said)| {
            matches!(said, Said::Sent(_)) && *sent + SECOND < at && at < *sent + IDLE - SECOND
        });
        if remark.said == Said::Ended(Reason::Aborted) && sent && story.closing.is_none() {
            return broken("who is not idle stays", format!("{} at {at:?}", remark.said));
        }
    }
    Ok(())
}

/// A UDP server never answers a port from which an answer would come back, and answers nobody more than its limit allows.
pub(super) fn reflects(scenario: &Scenario, run: &Run) -> Verdict {
    let calls = scenario.script.iter().any(|line| matches!(line.command, Command::Call(Call::SendTo(..))));
    let serves = |line: &Line| match line.command {
        Command::Serve(Transport::Udp, port) => Some((line.host, port)),
        _ => None,
    };
    let served: Vec<(NodeId, u16)> = scenario.script.iter().filter_map(serves).collect();
    if !calls || served.is_empty() {
        return Ok(());
    }
    let most = BURST + RATE * (since_start(run.ended).as_secs() + 1);
    let mut answers: BTreeMap<(SocketAddr, IpAddr), u64> = BTreeMap::new();
    for packet in Wire::of(scenario, NodeId(0)).all {
        let (from, to) = packet.ends();
        let server = node_at(from.ip()).is_some_and(|node| served.contains(&(node, from.port())));
        if !server || !matches!(packet.body, Body::Udp(_)) {
            continue;
        }
        if to.port() == from.port() || REFLECTING.iter().any(|entry| entry.port == to.port()) {
            return broken("who would answer is not answered", format!("a datagram from {from} to {to}"));
        }
        let so_far = answers.entry((from, to.ip())).or_default();
        *so_far += 1;
        if *so_far > most {
            return broken(
                "the limit of a source",
                format!("more than {most} datagrams from {from} to {to}"),
            );
        }
    }
    Ok(())
}
