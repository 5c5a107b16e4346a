//! Peers that live and are no echo servers. To try again would not help: the client gives up at once.

use resound_core::signal::{Origin, Reason};

use super::{Load, Promise, Scenario, Transport, Within};
use crate::peers::{Conduct, Peer};
use crate::stage::{Played, Stage};

const MISMATCH: Promise = Promise {
    events: &["dialing", "up", "down mismatch (peer)", "lost mismatch (peer)", "gave-up mismatch (peer)"],
    verdict: Some((Reason::Mismatch, Origin::Peer)),
    within: Some(Within::AtOnce),
};

pub(super) const NOT_AN_ECHO_HTTP: Scenario = Scenario {
    name: "not-an-echo-http",
    about: "The peer is a web server and answers as such.",
    promise: MISMATCH,
    over: Transport::Tcp,
    load: Load::Light,
    play: |stage| {
        answered_otherwise(stage, Conduct::Answer(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
    },
};

pub(super) const NOT_AN_ECHO_RANDOM: Scenario = Scenario {
    name: "not-an-echo-random",
    about: "The peer answers with as many bytes, but others.",
    promise: MISMATCH,
    over: Transport::Tcp,
    load: Load::Light,
    play: |stage| answered_otherwise(stage, Conduct::Noise { seed: 862 }),
};

fn answered_otherwise(stage: &mut Stage<'_>, conduct: Conduct) -> Played {
    let peer = Peer::new(conduct)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.send(1)?;
    stage.fault(peer.wait_spoken()?);
    stage.down()?;
    stage.gave_up()?;
    Ok(())
}

pub(super) const NOT_AN_ECHO_BANNER: Scenario = Scenario {
    name: "not-an-echo-banner",
    about: "The peer speaks first, as a mail server does: bytes that answer nothing.",
    promise: Promise {
        events: &["dialing", "up", "down mismatch (peer)", "gave-up mismatch (peer)"],
        ..MISMATCH
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: banner,
};

fn banner(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::Greet(b"220 mail.example ESMTP\r\n"))?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.fault(peer.wait_spoken()?);
    stage.down()?;
    stage.gave_up()?;
    Ok(())
}
