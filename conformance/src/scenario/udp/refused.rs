//! Peers that do not run. Their hosts say so, to nobody in particular: only the error queue tells whom it is about.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use resound_core::datagram::client::PeerId;
use resound_core::signal::{Origin, Reason};

use super::{V4, V6, any_port};
use crate::peers::{ClosedPort, Manner, UdpPeer};
use crate::scenario::{Load, Promise, Scenario, Transport, Within};
use crate::stage::{Played, Stage};

/// How many messages each of the peers that run is sent.
const ROUNDS: usize = 20;

const UNREACHABLE: Promise =
    Promise { events: &[], verdict: Some((Reason::PortUnreach, Origin::Peer)), within: Some(Within::AtOnce) };

pub(in crate::scenario) const THREE_SERVERS_V4: Scenario = Scenario {
    name: "udp-three-servers-v4",
    about: "One socket, three servers, and the second one does not run: it is named, and the others lose nothing.",
    promise: Promise {
        events: &[
            "first: dialing",
            "first: up",
            "first: echo×20",
            "second: dialing",
            "second: dial-failed port-unreach (peer)",
            "second: lost port-unreach (peer)",
            "third: dialing",
            "third: up",
            "third: echo×20",
        ],
        ..UNREACHABLE
    },
    over: Transport::Udp,
    load: Load::Light,
    play: |stage| three_servers(stage, V4),
};

pub(in crate::scenario) const THREE_SERVERS_V6: Scenario = Scenario {
    name: "udp-three-servers-v6",
    about: "The same over IPv6.",
    play: |stage| three_servers(stage, V6),
    ..THREE_SERVERS_V4
};

fn three_servers(stage: &mut Stage<'_>, ip: IpAddr) -> Played {
    let (first, third) = (UdpPeer::new(ip, Manner::Echo)?, UdpPeer::new(ip, Manner::Echo)?);
    let second = ClosedPort::new(ip)?;
    stage.open(any_port(ip))?;
    let servers =
        [Server::live("first", &first), Server::dead("second", &second), Server::live("third", &third)];
    refused_among_live_ones(stage, servers)
}

pub(in crate::scenario) const THREE_SERVERS_DUAL: Scenario = Scenario {
    name: "udp-three-servers-dual",
    about: "The same on a dual-stack socket, with a server that runs and one that does not in either family.",
    promise: Promise {
        events: &[
            "live-v4: dialing",
            "live-v4: up",
            "live-v4: echo×20",
            "dead-v4: dialing",
            "dead-v4: dial-failed port-unreach (peer)",
            "dead-v4: lost port-unreach (peer)",
            "live-v6: dialing",
            "live-v6: up",
            "live-v6: echo×20",
            "dead-v6: dialing",
            "dead-v6: dial-failed port-unreach (peer)",
            "dead-v6: lost port-unreach (peer)",
        ],
        ..UNREACHABLE
    },
    over: Transport::Udp,
    load: Load::Light,
    play: three_servers_dual,
};

fn three_servers_dual(stage: &mut Stage<'_>) -> Played {
    let (live_v4, live_v6) = (UdpPeer::new(V4, Manner::Echo)?, UdpPeer::new(V6, Manner::Echo)?);
    let (dead_v4, dead_v6) = (ClosedPort::new(V4)?, ClosedPort::new(V6)?);
    stage.open(any_port(Ipv6Addr::UNSPECIFIED.into()))?;
    let servers = [
        Server::live("live-v4", &live_v4),
        Server::dead("dead-v4", &dead_v4),
        Server::live("live-v6", &live_v6),
        Server::dead("dead-v6", &dead_v6),
    ];
    refused_among_live_ones(stage, servers)
}

/// One of those that are asked, in this order.
struct Server<'a> {
    name: &'static str,
    addr: SocketAddr,
    /// `None`: it does not run.
    runs: Option<&'a UdpPeer>,
}

impl<'a> Server<'a> {
    const fn live(name: &'static str, server: &'a UdpPeer) -> Self {
        Self { name, addr: server.addr(), runs: Some(server) }
    }

    const fn dead(name: &'static str, port: &ClosedPort) -> Self {
        Self { name, addr: port.addr(), runs: None }
    }
}

/// All are asked in one go, so that the error of one is pending when the next is sent to; again and again. A peer that is
/// down is left alone for a while, so that those that do not run are removed and added anew.
fn refused_among_live_ones<const N: usize>(stage: &mut Stage<'_>, servers: [Server<'_>; N]) -> Played {
    let mut peers = stage.at_once(|wishes| {
        let mut peers = Vec::new();
        for server in &servers {
            peers.push(wishes.add(server.name, server.addr)?);
        }
        live(&servers, &peers).try_for_each(|(_, peer)| wishes.send(peer))?;
        Ok(peers)
    })?;
    for &peer in dead(&servers, &peers) {
        stage.peer_fails(peer)?;
    }
    for round in 2..=ROUNDS {
        stage.fault(Instant::now());
        stage.at_once(|wishes| {
            for (server, peer) in servers.iter().zip(&mut peers) {
                if server.runs.is_none() {
                    wishes.remove(*peer)?;
                    *peer = wishes.add(server.name, server.addr)?;
                }
                if server.runs.is_some() || round == ROUNDS {
                    wishes.send(*peer)?;
                }
            }
            Ok(())
        })?;
        let mut told = Vec::new();
        for &peer in dead(&servers, &peers) {
            told.push(stage.peer_fails(peer)?);
        }
        told.into_iter().max().into_iter().for_each(|last| stage.measure(last));
        for (_, peer) in live(&servers, &peers) {
            stage.peer_echoes(peer, round)?;
        }
    }
    for &peer in dead(&servers, &peers) {
        stage.peer_loses(peer, 1)?;
    }
    for (server, peer) in live(&servers, &peers) {
        let status = stage.status(peer)?;
        let (sent, came) = (status.sent, server.received());
        stage.check(status.lost == 0, || format!("{} datagrams to a live peer were lost", status.lost));
        stage.check(came == sent, || format!("{sent} datagrams were sent to a live peer, {came} got there"));
    }
    Ok(())
}

fn live<'a>(
    servers: &'a [Server<'a>],
    peers: &'a [PeerId],
) -> impl Iterator<Item = (&'a UdpPeer, PeerId)> + use<'a> {
    servers.iter().zip(peers).filter_map(|(server, &peer)| Some((server.runs?, peer)))
}

fn dead<'a>(servers: &'a [Server<'a>], peers: &'a [PeerId]) -> impl Iterator<Item = &'a PeerId> + use<'a> {
    servers.iter().zip(peers).filter_map(|(server, peer)| server.runs.is_none().then_some(peer))
}

pub(in crate::scenario) const ALL_DEAD: Scenario = Scenario {
    name: "udp-all-dead",
    about: "Three peers answer, then all of them are killed: each is told for itself, with what was lost to it.",
    promise: Promise {
        events: &[
            "first: dialing",
            "first: up",
            "first: echo",
            "first: down port-unreach (peer)",
            "first: lost port-unreach (peer)",
            "first: retry",
            "first: dialing",
            "first: dial-failed port-unreach (peer)",
            "second: dialing",
            "second: up",
            "second: echo",
            "second: down port-unreach (peer)",
            "second: lost port-unreach (peer)",
            "second: retry",
            "second: dialing",
            "second: dial-failed port-unreach (peer)",
            "third: dialing",
            "third: up",
            "third: echo",
            "third: down port-unreach (peer)",
            "third: lost port-unreach (peer)",
            "third: retry",
            "third: dialing",
            "third: dial-failed port-unreach (peer)",
        ],
        ..UNREACHABLE
    },
    over: Transport::Udp,
    load: Load::Light,
    play: all_dead,
};

fn all_dead(stage: &mut Stage<'_>) -> Played {
    stage.open(any_port(V4))?;
    let mut peers = Vec::new();
    for name in ["first", "second", "third"] {
        let server = UdpPeer::new(V4, Manner::Echo)?;
        let peer = stage.add(name, server.addr())?;
        stage.send_to(peer, 1)?;
        stage.peer_echoes(peer, 1)?;
        peers.push((peer, server));
    }
    for (_, server) in &peers {
        server.kill()?;
    }
    stage.fault(Instant::now());
    for (peer, _) in &peers {
        stage.send_to(*peer, 1)?;
    }
    let mut told = Vec::new();
    for (peer, _) in &peers {
        told.push(stage.peer_down(*peer)?);
        stage.peer_loses(*peer, 1)?;
        // The next round has failed, and what follows is another like it.
        stage.peer_fails(*peer)?;
    }
    if let Some(last) = told.into_iter().max() {
        stage.measure(last);
    }
    Ok(())
}

pub(in crate::scenario) const DIES_AND_RETURNS: Scenario = Scenario {
    name: "udp-dies-and-returns",
    about: "The peer is killed and comes back on its port: down with the reason, up again by the backoff.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down port-unreach (peer)",
            "lost port-unreach (peer)",
            "retry",
            "dialing",
            "dial-failed port-unreach (peer)",
            "retry",
            "dialing",
            "up",
            "echo×2",
            "closed",
        ],
        within: Some(Within::Redial),
        ..UNREACHABLE
    },
    over: Transport::Udp,
    load: Load::Light,
    play: dies_and_returns,
};

fn dies_and_returns(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.send_to(peer, 3)?;
    stage.peer_echoes(peer, 3)?;
    server.kill()?;
    stage.send_to(peer, 1)?;
    stage.peer_loses(peer, 1)?;
    stage.peer_fails(peer)?;
    stage.fault(server.come_back()?);
    let up = stage.peer_up(peer, 2)?;
    stage.measure(up);
    stage.send_to(peer, 2)?;
    stage.peer_echoes(peer, 5)?;
    stage.close_fleet()
}
