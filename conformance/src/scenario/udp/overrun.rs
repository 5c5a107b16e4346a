//! Receive buffers that overflow. The kernel drops what does not fit, and counts it; the rest must say so, and blame
//! nobody.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use resound_core::datagram::client::Event;
use resound_core::datagram::server;
use resound_sockets::udp::{Offload, Options};

use super::{V4, any_port};
use crate::peers::{Manner, UdpPeer};
use crate::scenario::{Load, Promise, Scenario, Transport};
use crate::stage::{Played, Stage};

/// A socket whose receive buffer holds a handful of datagrams.
fn small() -> Options {
    Options { receive_buffer: Some(4_096), offload: Offload::Single, ..Options::default() }
}

pub(in crate::scenario) const CLIENT_OVERRUN: Scenario = Scenario {
    name: "udp-client-overrun",
    about: "The client stands still while strangers fill its receive buffer, and an answer is dropped: nobody is blamed.",
    promise: Promise {
        events: &["dialing", "up", "overrun", "lost no-buffers (local)", "echo", "closed"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: client_overrun,
};

fn client_overrun(stage: &mut Stage<'_>) -> Played {
    // The message is given up before anything else could be concluded from its silence.
    stage.profile.udp_client.timeout = Duration::from_millis(600);
    let liveness = &mut stage.profile.udp_client.link.liveness;
    (liveness.idle, liveness.probe) = (Duration::from_secs(2), Duration::from_secs(2));
    let peer_server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open_with(any_port(V4), small())?;
    let peer = stage.add("", peer_server.addr())?;
    stage.peer_up(peer, 1)?;
    let client = stage.client_addr()?;
    peer_server.become_(Manner::Hold)?;
    let answered = peer_server.received();
    stage.send_to(peer, 1)?;
    peer_server.wait_received(answered + 1)?;
    // The driver waits while its machine is being asked.
    stage.ask(|_, _| {
        flood(client, 100)?;
        peer_server.become_(Manner::Echo)
    })??;
    stage.told(None, 1, "the overrun", |event| matches!(event, Event::Overrun { .. }))?;
    stage.peer_loses(peer, 1)?;
    stage.send_to(peer, 1)?;
    stage.peer_echoes(peer, 1)?;
    let strays = stage.strays()?;
    let counted = strays.overrun + strays.strangers;
    stage.check(counted == 101 && strays.overrun > 0, || {
        format!("of 100 datagrams and an answer, {counted} are accounted for: {strays:?}")
    });
    stage.close_fleet()
}

pub(in crate::scenario) const SERVER_OVERRUN: Scenario = Scenario {
    name: "udp-server-overrun",
    about: "A flood overflows the server's receive buffer: it says so, and every datagram is read or counted as dropped.",
    promise: Promise {
        events: &["server: overrun", "client: every datagram is accounted for"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: server_overrun,
};

fn server_overrun(stage: &mut Stage<'_>) -> Played {
    // However fast it reads, it does not read between two datagrams of a burst.
    const BURST: u64 = 1_000;
    stage.profile.udp_server.socket = small();
    stage.profile.udp_server.echo.rate = None;
    let server = stage.serve_udp(&[any_port(V4)])?;
    flood(server.addr()?, BURST)?;
    stage.udp_server_says(&server, "the overrun", |event| matches!(event, server::Event::Overrun { .. }))?;
    stage.poll_until("every datagram to be accounted for", |_| {
        let counts = server.session.counts();
        Ok(counts.received + counts.overrun == BURST)
    })?;
    stage.note_of("", "client: every datagram is accounted for");
    Ok(())
}

fn flood(to: SocketAddr, count: u64) -> std::io::Result<()> {
    let stranger = UdpSocket::bind(any_port(V4))?;
    for _ in 0..count {
        stranger.send_to(b"not for you", to)?;
    }
    Ok(())
}
