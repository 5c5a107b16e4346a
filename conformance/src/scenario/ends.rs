//! Sessions that end well.

use resound_core::stream::client::Command;

use super::{Load, Promise, Scenario};
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
    load: Load::Light,
    play: echo_and_close,
};

fn echo_and_close(stage: &mut Stage<'_>) -> Played {
    let mut server = stage.serve()?;
    stage.dial([server.local_addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    stage.command(Command::Close)?;
    stage.closed()?;
    stage.server_says(&mut *server, "the end of the connection", |event| {
        matches!(event, ServerEvent::Connection { .. })
    })?;
    Ok(())
}
