//! Peers that fall silent. Nobody says so: only the rules of liveness notice, and what the kernel knows tells which
//! silence it is.

use std::time::Instant;

use bytes::Bytes;
use resound_core::signal::{Origin, Reason};
use resound_core::stream::client::{Command, Event};

use super::{Load, Promise, Scenario, Transport, Within};
use crate::peers::{Conduct, Peer};
use crate::stage::{Played, Stage};

pub(super) const SILENT: Scenario = Scenario {
    name: "silent",
    about: "The peer reads what is sent and never answers: its kernel acknowledges, its program stalls.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "suspect×2",
            "down peer-stalled (timer)",
            "lost peer-stalled (timer)",
            "retry",
        ],
        verdict: Some((Reason::PeerStalled, Origin::Timer)),
        within: Some(Within::Unanswered),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: silent,
};

fn silent(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::Swallow)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.fault(Instant::now());
    stage.send(1)?;
    stage.down()?;
    stage.retry()?;
    Ok(())
}

pub(super) const SILENT_WHEN_IDLE: Scenario = Scenario {
    name: "silent-when-idle",
    about: "The peer stalls while nothing is due: only the client's own probes can notice.",
    promise: Promise {
        events: &["dialing", "up", "echo", "suspect×2", "down peer-stalled (timer)", "retry"],
        verdict: Some((Reason::PeerStalled, Origin::Timer)),
        within: Some(Within::Silence),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: silent_when_idle,
};

fn silent_when_idle(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::Echo)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    // The last byte comes in a round trip later.
    stage.fault(Instant::now());
    stage.send(1)?;
    stage.echoes(1)?;
    peer.become_(Conduct::Swallow)?;
    stage.down()?;
    stage.retry()?;
    Ok(())
}

pub(super) const ZERO_WINDOW: Scenario = Scenario {
    name: "zero-window",
    about: "The peer never reads: its window closes with most of a large message still to be sent.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "suspect×2",
            "down write-blocked (timer)",
            "lost write-blocked (timer)",
            "retry",
        ],
        verdict: Some((Reason::WriteBlocked, Origin::Timer)),
        within: Some(Within::Unanswered),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: zero_window,
};

fn zero_window(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::with_receive_buffer(Conduct::Ignore, Some(4_096))?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.fault(Instant::now());
    stage.send_this(Bytes::from(vec![b'x'; stage.profile.client.max_bytes]))?;
    stage.down()?;
    stage.retry()?;
    Ok(())
}

pub(super) const STALLS_AND_RECOVERS: Scenario = Scenario {
    name: "stalls-and-recovers",
    about: "The peer stops reading until it is suspected, then goes on: the connection stays, and nothing is lost.",
    promise: Promise {
        events: &["dialing", "up", "suspect", "echo×2", "closed"],
        verdict: None,
        within: None,
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: stalls_and_recovers,
};

fn stalls_and_recovers(stage: &mut Stage<'_>) -> Played {
    // Time enough between the first suspicion and the next for a busy machine to let the peer recover.
    stage.profile.client.link.liveness.probe = stage.profile.client.link.liveness.idle / 2;
    let peer = Peer::new(Conduct::Ignore)?;
    stage.dial([peer.addr()])?;
    stage.up()?;
    stage.send(2)?;
    stage.until("a suspicion", |event| matches!(event, Event::Suspect { .. }))?;
    peer.become_(Conduct::Echo)?;
    stage.echoes(2)?;
    stage.command(Command::Close)?;
    stage.closed()
}
