//! Peers that come and go by the program's wish, and messages that no datagram can carry.

use bytes::Bytes;
use resound_core::datagram::client::{LONGEST_PAYLOAD, Refusal};

use super::{V4, any_port};
use crate::peers::{Manner, UdpPeer};
use crate::scenario::{Load, Promise, Scenario, Transport};
use crate::stage::{Failed, Played, Stage};

pub(in crate::scenario) const REMOVED_AND_ADDED: Scenario = Scenario {
    name: "udp-removed-and-added",
    about: "A peer is removed with a message due and added again: the old answer is not taken for the new peer's.",
    promise: Promise {
        events: &[
            "before: dialing",
            "before: up",
            "before: echo",
            "before: lost aborted (local)",
            "after: dialing",
            "after: up",
            "after: echo",
            "closed",
        ],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: removed_and_added,
};

fn removed_and_added(stage: &mut Stage<'_>) -> Played {
    let server = UdpPeer::new(V4, Manner::Echo)?;
    stage.open(any_port(V4))?;
    let before = stage.add("before", server.addr())?;
    stage.send_to(before, 1)?;
    stage.peer_echoes(before, 1)?;
    server.become_(Manner::Hold)?;
    let answered = server.received();
    stage.send_to(before, 1)?;
    server.wait_received(answered + 1)?;
    stage.at_once(|wishes| wishes.remove(before))?;
    stage.peer_loses(before, 1)?;
    let after = stage.add("after", server.addr())?;
    server.become_(Manner::Echo)?;
    stage.peer_up(after, 1)?;
    stage.send_to(after, 1)?;
    stage.peer_echoes(after, 1)?;
    let strays = stage.strays()?;
    stage.check(strays.stale >= 1, || format!("the answer to a removed peer is counted as {strays:?}"));
    stage.close_fleet()
}

pub(in crate::scenario) const TOO_LONG: Scenario = Scenario {
    name: "udp-too-long",
    about: "The longest payload comes back; one byte more is refused before the socket, with the limit.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo",
            "refused: the payload is too long for a datagram: 65475 bytes at most",
            "closed",
        ],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: too_long,
};

fn too_long(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve_udp(&[any_port(V4)])?;
    stage.open(any_port(V4))?;
    let peer = stage.add("", server.addr()?)?;
    stage.peer_up(peer, 1)?;
    stage.send_this_to(peer, Bytes::from(vec![b'x'; LONGEST_PAYLOAD]))?;
    stage.peer_echoes(peer, 1)?;
    let payload = Bytes::from(vec![b'x'; LONGEST_PAYLOAD + 1]);
    let Err(refused) = stage.ask(|client, now| client.send(now, peer, payload))? else {
        return Err(Failed::new("a payload that is too long was accepted"));
    };
    let back = refused.payload.len();
    stage.check(refused.why == Refusal::TooLong && back == LONGEST_PAYLOAD + 1, || {
        format!("refused as {:?}, with {back} bytes given back", refused.why)
    });
    stage.note_of("", &format!("refused: {refused}"));
    stage.close_fleet()
}
