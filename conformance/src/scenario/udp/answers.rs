//! Answers that are not what RFC 862 has in mind: twice, in another order, too late, from elsewhere, or something else.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::time::Instant;

use resound_core::datagram::client::Event;
use resound_core::signal::{Origin, Reason};

use super::{V4, any_port};
use crate::peers::{Manner, UdpPeer};
use crate::scenario::{Load, Promise, Scenario, Transport, Within};
use crate::stage::{Played, Stage};

pub(in crate::scenario) const ECHO: Scenario = Scenario {
    name: "udp-echo",
    about: "Nothing goes wrong: the runtime's own client and server exchange three datagrams and part.",
    promise: Promise {
        events: &["dialing", "up", "echo×3", "closed", "server: stopped"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: echo,
};

fn echo(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve_udp(&[any_port(V4)])?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr()?)?;
    stage.send_to(peer, 3)?;
    stage.peer_echoes(peer, 3)?;
    stage.close_fleet()?;
    server.session.stop();
    stage.udp_server_says(&server, "its end", |event| {
        matches!(event, resound_core::datagram::server::Event::Stopped)
    })?;
    let counts = server.session.counts();
    stage.check(counts.received == counts.echoed && counts.echoed >= 4, || {
        format!("the server answered {} of {} datagrams", counts.echoed, counts.received)
    });
    Ok(())
}

pub(in crate::scenario) const DUPLICATED: Scenario = Scenario {
    name: "udp-duplicated",
    about: "Every answer comes twice: each message is echoed once, and the second answer is counted.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo",
            "duplicated",
            "echo",
            "duplicated",
            "echo",
            "duplicated",
            "closed",
        ],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: duplicated,
};

fn duplicated(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Twice)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.peer_up(peer, 1)?;
    for number in 1..=3 {
        stage.send_to(peer, 1)?;
        stage.told(peer, number, "a second answer", |event| matches!(event, Event::Duplicated { .. }))?;
    }
    // The client's own probes come back twice as well; nobody is told of them.
    stage.poll_until("every second answer to be counted", |stage| {
        let status = stage.status(peer)?;
        Ok(u64::from(status.duplicated) == status.echoed && status.echoed >= 4)
    })?;
    stage.close_fleet()
}

pub(in crate::scenario) const REORDERED: Scenario = Scenario {
    name: "udp-reordered",
    about: "Three answers come back in the opposite order: all are echoes, and two of them are counted as reordered.",
    promise: Promise {
        events: &["dialing", "up", "echo×3", "counted 2 reordered", "closed"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: reordered,
};

fn reordered(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.peer_up(peer, 1)?;
    server.become_(Manner::Backwards(3))?;
    stage.send_to(peer, 3)?;
    stage.peer_echoes(peer, 3)?;
    server.become_(Manner::Echo)?;
    let reordered = stage.status(peer)?.reordered;
    stage.note_of("", &format!("counted {reordered} reordered"));
    stage.close_fleet()
}

pub(in crate::scenario) const LATE: Scenario = Scenario {
    name: "udp-late",
    about: "An answer comes after its message was given up: that stays lost, the answer is counted, the peer stays up.",
    promise: Promise {
        events: &["dialing", "up", "lost no-echo (timer)", "late", "echo", "closed"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: late,
};

fn late(stage: &mut Stage<'_>) -> Played {
    // The message is lost long before the peer is suspected.
    stage.profile.udp_client.timeout = Duration::from_millis(600);
    let liveness = &mut stage.profile.udp_client.link.liveness;
    (liveness.idle, liveness.probe) = (Duration::from_secs(2), Duration::from_secs(2));
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr())?;
    stage.peer_up(peer, 1)?;
    server.become_(Manner::Hold)?;
    stage.send_to(peer, 1)?;
    stage.peer_loses(peer, 1)?;
    server.become_(Manner::Echo)?;
    stage.told(peer, 1, "the late answer", |event| matches!(event, Event::Late { .. }))?;
    stage.send_to(peer, 1)?;
    stage.peer_echoes(peer, 1)?;
    stage.close_fleet()
}

pub(in crate::scenario) const WRONG_ADDRESS: Scenario = Scenario {
    name: "udp-wrong-address",
    about: "Two servers answer from another port, and from another address: neither answer is taken, and both are told.",
    promise: Promise {
        events: &[
            "port: dialing",
            "port: wrong-address",
            "port: dial-failed no-response (timer)",
            "address: dialing",
            "address: wrong-address",
            "address: dial-failed no-response (timer)",
        ],
        verdict: Some((Reason::NoResponse, Origin::Timer)),
        within: Some(Within::Round),
    },
    over: Transport::Udp,
    load: Load::Light,
    play: wrong_address,
};

fn wrong_address(stage: &mut Stage<'_>) -> Played {
    let port = UdpPeer::new(V4, Manner::Elsewhere)?;
    let address = UdpPeer::answering_from(V4, Ipv4Addr::new(127, 0, 0, 2), Manner::Elsewhere)?;
    stage.open(any_port(V4))?;
    stage.fault(Instant::now());
    let peers = [stage.add("port", port.addr())?, stage.add("address", address.addr())?];
    never_up(stage, &peers)?;
    let strays = stage.strays()?;
    stage.check(strays.wrong_address >= 2 && strays.strangers == 0, || {
        format!("answers from elsewhere are counted as {strays:?}")
    });
    Ok(())
}

/// Waits until the first round with each of these peers is over.
fn never_up(stage: &mut Stage<'_>, peers: &[resound_core::datagram::client::PeerId]) -> Played {
    for (index, &peer) in peers.iter().enumerate() {
        let failed = stage.peer_fails(peer)?;
        if index == 0 {
            stage.measure(failed);
        }
    }
    Ok(())
}

pub(in crate::scenario) const GARBLED: Scenario = Scenario {
    name: "udp-garbled",
    about: "One server answers with noise, another cuts its answers short: noise is no answer, half an echo is none.",
    promise: Promise {
        events: &[
            "noise: dialing",
            "noise: dial-failed no-response (timer)",
            "cut: dialing",
            "cut: up",
            "cut: lost mismatch (peer)",
        ],
        verdict: Some((Reason::NoResponse, Origin::Timer)),
        within: Some(Within::Round),
    },
    over: Transport::Udp,
    load: Load::Light,
    play: garbled,
};

fn garbled(stage: &mut Stage<'_>) -> Played {
    let noise = UdpPeer::new(V4, Manner::Noise { seed: 862 })?;
    let cut = UdpPeer::new(V4, Manner::Cut(resound_core::datagram::client::HEADER + 3))?;
    stage.open(any_port(V4))?;
    stage.fault(Instant::now());
    let peer = stage.add("noise", noise.addr())?;
    never_up(stage, &[peer])?;
    let peer = stage.add("cut", cut.addr())?;
    stage.peer_up(peer, 1)?;
    stage.send_to(peer, 1)?;
    stage.peer_loses(peer, 1)?;
    let strays = stage.strays()?;
    stage.check(strays.strangers >= 1, || format!("noise is counted as {strays:?}"));
    Ok(())
}
