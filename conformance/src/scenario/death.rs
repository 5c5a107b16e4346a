//! Peers that die while a connection stands. Their kernel says so: nothing needs to time out.

use resound_core::signal::{Origin, Reason};

use super::{Load, Promise, Scenario, Transport, Within};
use crate::peers::{Conduct, Peer};
use crate::stage::{Played, Stage};

pub(super) const KILLED_IDLE: Scenario = Scenario {
    name: "killed-idle",
    about: "The peer is killed while nothing is due: noticed at once, not at the next write.",
    promise: Promise {
        events: &["dialing", "up", "echo", "down closed (peer)", "retry"],
        verdict: Some((Reason::Closed, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: killed_idle,
};

fn killed_idle(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::Echo)?;
    stage.dial([peer.addr()])?;
    stage.send(1)?;
    stage.echoes(1)?;
    // Long enough to count as proved: the level must fall to 0, and the first wait is that of a first wave.
    let stable = stage.profile.client.link.backoff.stable;
    stage.pause(stable + stable / 4)?;
    stage.fault(peer.kill()?);
    stage.down()?;
    let (level, _) = stage.retry()?;
    stage.check(level == 0, || format!("the connection had proved itself, but the level is {level}"));
    Ok(())
}

pub(super) const KILLED_WITH_ECHOES_DUE: Scenario = Scenario {
    name: "killed-with-echoes-due",
    about: "The peer is killed after it has read two messages and before it has answered them.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down closed-early (peer)",
            "lost closed-early (peer)×2",
            "retry",
        ],
        verdict: Some((Reason::ClosedEarly, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: killed_with_echoes_due,
};

fn killed_with_echoes_due(stage: &mut Stage<'_>) -> Played {
    let peer = with_two_due(stage)?;
    stage.fault(peer.kill()?);
    stage.down()?;
    stage.retry()?;
    Ok(())
}

pub(super) const RESET_WITH_ECHOES_DUE: Scenario = Scenario {
    name: "reset-with-echoes-due",
    about: "The peer resets the connection (SO_LINGER 0) while two messages are due.",
    promise: Promise {
        events: &["dialing", "up", "echo×3", "down reset (peer)", "lost reset (peer)×2", "retry"],
        verdict: Some((Reason::Reset, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: reset_with_echoes_due,
};

fn reset_with_echoes_due(stage: &mut Stage<'_>) -> Played {
    let peer = with_two_due(stage)?;
    stage.fault(peer.reset()?);
    stage.down()?;
    stage.retry()?;
    Ok(())
}

/// A peer that has echoed three messages, and has read two more that it will not answer.
fn with_two_due(stage: &mut Stage<'_>) -> Result<Peer, crate::stage::Failed> {
    let peer = Peer::new(Conduct::Echo)?;
    stage.dial([peer.addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    peer.become_(Conduct::Swallow)?;
    stage.send(2)?;
    peer.wait_received(stage.bytes_accepted())?;
    Ok(peer)
}

pub(super) const RESET_WITH_UNREAD_DATA: Scenario = Scenario {
    name: "reset-with-unread-data",
    about: "The peer is killed with a message in its receive buffer, and its kernel makes a reset of that.",
    promise: Promise {
        events: &["dialing", "up", "down reset (peer)", "lost reset (peer)", "retry"],
        verdict: Some((Reason::Reset, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: reset_with_unread_data,
};

fn reset_with_unread_data(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::Ignore)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.send(1)?;
    stage.fault(peer.kill_unread()?);
    stage.down()?;
    stage.retry()?;
    Ok(())
}
