//! Peers that die and come back: the session goes on, and every message is accounted for.

use resound_core::signal::{Origin, Reason};
use resound_core::stream::client::{Command, OnLoss};

use super::{Load, Promise, Scenario, Transport, Within};
use crate::peers::{Conduct, Peer};
use crate::stage::{Played, Stage};

pub(super) const DIES_AND_RETURNS: Scenario = Scenario {
    name: "dies-and-returns",
    about: "The peer dies with two messages due and comes back: those two are lost, two sent meanwhile are echoed.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down closed-early (peer)",
            "lost closed-early (peer)×2",
            "retry",
            "dialing",
            "dial-failed conn-refused (peer)",
            "retry",
            "dialing",
            "up",
            "echo×2",
            "closed",
        ],
        verdict: Some((Reason::ClosedEarly, Origin::Peer)),
        within: Some(Within::Redial),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: |stage| dies_and_returns(stage, OnLoss::Report),
};

pub(super) const DIES_AND_RETURNS_RESEND: Scenario = Scenario {
    name: "dies-and-returns-resend",
    about: "As dies-and-returns, with a client that sends again what was due: all four are echoed.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down closed-early (peer)",
            "retry",
            "dialing",
            "dial-failed conn-refused (peer)",
            "retry",
            "dialing",
            "up",
            "echo×4",
            "closed",
        ],
        ..DIES_AND_RETURNS.promise
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: |stage| dies_and_returns(stage, OnLoss::Resend),
};

fn dies_and_returns(stage: &mut Stage<'_>, on_loss: OnLoss) -> Played {
    stage.profile.client.on_loss = on_loss;
    let peer = Peer::new(Conduct::Echo)?;
    stage.dial([peer.addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    peer.become_(Conduct::Swallow)?;
    stage.send(2)?;
    peer.wait_received(stage.bytes_accepted())?;
    peer.kill()?;
    stage.down()?;
    stage.send(2)?;
    stage.dial_failed()?;
    peer.become_(Conduct::Echo)?;
    stage.fault(peer.come_back()?);
    let up = stage.up()?;
    stage.measure(up);
    stage.echoes(match on_loss {
        OnLoss::Report => 2,
        OnLoss::Resend => 4,
    })?;
    stage.command(Command::Close)?;
    stage.closed()
}
