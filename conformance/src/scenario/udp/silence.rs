//! Peers that fall silent. Over UDP no kernel acknowledges anything: silence is all that there is to go by.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;
use std::time::Instant;

use resound_core::datagram::client::Event;
use resound_core::signal::{Origin, Reason};

use super::{V4, any_port};
use crate::peers::{Manner, UdpPeer};
use crate::scenario::{Load, Promise, Scenario, Transport, Within};
use crate::stage::{Failed, Played, Stage};

pub(in crate::scenario) const SILENT: Scenario = Scenario {
    name: "udp-silent",
    about: "The peer takes what is sent and never answers again: suspected, and convicted after M probes.",
    promise: Promise {
        events: &["dialing", "up", "suspect×2", "down no-echo (timer)", "lost no-echo (timer)", "retry"],
        verdict: Some((Reason::NoEcho, Origin::Timer)),
        within: Some(Within::Unanswered),
    },
    over: Transport::Udp,
    load: Load::Light,
    play: silent,
};

fn silent(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.settle(peer)?;
    server.become_(Manner::Swallow)?;
    stage.fault(Instant::now());
    stage.send_to(peer, 1)?;
    let down = stage.peer_down(peer)?;
    stage.measure(down);
    stage.told(peer, 1, "another round", |event| matches!(event, Event::Retry { .. })).map(drop)
}

pub(in crate::scenario) const SILENT_WHEN_IDLE: Scenario = Scenario {
    name: "udp-silent-when-idle",
    about: "The peer falls silent while nothing is due: only the client's own probes can notice.",
    promise: Promise {
        events: &["dialing", "up", "echo", "suspect×2", "down no-echo (timer)", "retry"],
        verdict: Some((Reason::NoEcho, Origin::Timer)),
        within: Some(Within::Silence),
    },
    over: Transport::Udp,
    load: Load::Light,
    play: silent_when_idle,
};

fn silent_when_idle(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.settle(peer)?;
    // The last answer comes a round trip later.
    stage.fault(Instant::now());
    stage.send_to(peer, 1)?;
    stage.peer_echoes(peer, 1)?;
    server.become_(Manner::Swallow)?;
    let down = stage.peer_down(peer)?;
    stage.measure(down);
    stage.told(peer, 1, "another round", |event| matches!(event, Event::Retry { .. })).map(drop)
}

pub(in crate::scenario) const STALLS_AND_RECOVERS: Scenario = Scenario {
    name: "udp-stalls-and-recovers",
    about: "The peer is slow until it is suspected, then it answers: it stays up, and nothing is lost.",
    promise: Promise {
        events: &["dialing", "up", "suspect", "echo×2", "closed"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: stalls_and_recovers,
};

fn stalls_and_recovers(stage: &mut Stage<'_>) -> Played {
    // Time enough between the first suspicion and the next for a busy machine to let the peer recover.
    stage.profile.udp_client.link.liveness.probe = stage.profile.udp_client.link.liveness.idle / 2;
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.settle(peer)?;
    server.become_(Manner::Hold)?;
    stage.send_to(peer, 2)?;
    stage.told(peer, 1, "a suspicion", |event| matches!(event, Event::Suspect { .. }))?;
    server.become_(Manner::Echo)?;
    stage.peer_echoes(peer, 2)?;
    stage.close_fleet()
}

pub(in crate::scenario) const FLOOD: Scenario = Scenario {
    name: "udp-flood",
    about: "Strangers send as fast as they can to the client's port: a silent peer is convicted in time all the same.",
    promise: Promise {
        events: &[
            "silent: dialing",
            "silent: up",
            "silent: suspect×2",
            "silent: down no-echo (timer)",
            "silent: lost no-echo (timer)",
            "live: dialing",
            "live: up",
            "live: echo×5",
        ],
        verdict: Some((Reason::NoEcho, Origin::Timer)),
        within: Some(Within::Unanswered),
    },
    over: Transport::Udp,
    load: Load::Heavy,
    play: flood,
};

fn flood(stage: &mut Stage<'_>) -> Played {
    // It keeps a processor busy: no longer than needed.
    stage.profile.client.link.liveness.probe = Duration::from_millis(100);
    stage.profile.udp_client.link = stage.profile.client.link;
    let silent = UdpPeer::new(V4, Manner::Echo)?;
    let live = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peers = [stage.add("silent", silent.addr())?, stage.add("live", live.addr())?];
    for peer in peers {
        stage.settle(peer)?;
    }
    silent.become_(Manner::Swallow)?;
    let mut strangers = Strangers::new(stage.client_addr()?)?;
    strangers.press(stage)?;
    stage.fault(Instant::now());
    stage.send_to(peers[0], 1)?;
    let mut echoes = 0;
    let down = loop {
        strangers.press(stage)?;
        stage.listen(Duration::ZERO)?;
        let fleet_says = |event: &Event| matches!(event, Event::Down { .. });
        if let Some(at) = stage.told_already(peers[0], 1, fleet_says)? {
            break at;
        }
        let back = stage.told_already(peers[1], echoes, |event| matches!(event, Event::Echoed { .. }))?;
        if echoes < 5 && (echoes == 0 || back.is_some()) {
            stage.send_to(peers[1], 1)?;
            echoes += 1;
        }
    };
    stage.measure(down);
    stage.peer_loses(peers[0], 1)?;
    stage.peer_echoes(peers[1], 5)?;
    let strays = stage.strays()?;
    stage.check(strays.overrun == 0 && strays.strangers > 500, || {
        format!("this was no flood, or too much of one: {strays:?}")
    });
    Ok(())
}

/// Strangers who always have something in the client's receive buffer, and never more than it holds: what the client
/// drops is the subject of another scenario.
struct Strangers {
    socket: UdpSocket,
    client: SocketAddr,
    sent: u64,
}

impl Strangers {
    /// The default buffer holds 255 small datagrams.
    const WAITING: u64 = 100;

    fn new(client: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(any_port(V4))?, client, sent: 0 })
    }

    fn press(&mut self, stage: &mut Stage<'_>) -> Result<(), Failed> {
        let seen = stage.strays()?.strangers;
        while self.sent < seen + Self::WAITING {
            self.socket.send_to(b"not for you", self.client)?;
            self.sent += 1;
        }
        Ok(())
    }
}
