//! Sessions that end well.

use bytes::Bytes;
use resound_core::stream::client::Command;

use super::{Load, Promise, Scenario, Transport};
use crate::peers::{Conduct, Peer};
use crate::runtime::ServerEvent;
use crate::stage::{Played, Stage};

pub(super) const ECHO_AND_CLOSE: Scenario = Scenario {
    name: "echo-and-close",
    about: "Nothing goes wrong: the runtime's own client and server exchange three messages and part.",
    promise: Promise {
        events: &["dialing", "up", "echo×3", "closed", "server: accepted", "server: ended closed (peer)"],
        verdict: None,
        within: None,
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: echo_and_close,
};

fn echo_and_close(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve()?;
    stage.dial([server.session.local_addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    stage.command(Command::Close)?;
    stage.closed()?;
    stage.server_says(&server, "the end of the connection", |event| {
        matches!(event, ServerEvent::Connection { .. })
    })?;
    Ok(())
}

pub(super) const BATCH_HALF_CLOSE: Scenario = Scenario {
    name: "batch-half-close",
    about: "Five thousand lines are sent and the client closes at once: every one of them still comes back.",
    promise: Promise { events: &["dialing", "up", "echo×5000", "closed"], verdict: None, within: None },
    over: Transport::Tcp,
    load: Load::Heavy,
    play: batch_half_close,
};

fn batch_half_close(stage: &mut Stage<'_>) -> Played {
    const LINES: usize = 5_000;
    stage.profile.client.max_in_flight = LINES;
    let peer = Peer::new(Conduct::Echo)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    for number in 0..LINES {
        stage.send_this(Bytes::from(format!("line {number} of a file that somebody redirected\n")))?;
    }
    stage.command(Command::Close)?;
    stage.closed()
}
