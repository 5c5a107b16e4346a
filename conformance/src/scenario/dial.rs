//! Connections that do not come up, and those that do not last.

use core::net::SocketAddr;
use std::time::Instant;

use resound_core::signal::{Origin, Reason};
use resound_core::stream::client::Command;

use super::{Load, Promise, Scenario, Transport, Within};
use crate::peers::{Conduct, Peer, Refusing, Silent};
use crate::runtime::Dial;
use crate::stage::{Played, Stage};

pub(super) const REFUSED: Scenario = Scenario {
    name: "refused",
    about: "Nobody listens on the port; after three rounds the client gives up.",
    promise: Promise {
        events: &["dialing", "dial-failed conn-refused (peer)", "gave-up conn-refused (peer)"],
        verdict: Some((Reason::ConnRefused, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: refused,
};

fn refused(stage: &mut Stage<'_>) -> Played {
    let port = Refusing::new()?;
    stage.profile.client.link.give_up.rounds = Some(3);
    stage.fault(Instant::now());
    stage.dial([port.addr()])?;
    let failed = stage.dial_failed()?;
    stage.measure(failed);
    let levels = [stage.retry()?.0, stage.retry()?.0];
    stage.check(levels == [1, 2], || format!("the levels of the backoff are {levels:?}, not [1, 2]"));
    stage.gave_up()?;
    Ok(())
}

pub(super) const CONNECT_TO_SILENCE: Scenario = Scenario {
    name: "connect-to-silence",
    about: "The peer's accept queue is full, so that its kernel drops every SYN; the client has one round.",
    promise: Promise {
        events: &["dialing", "dial-failed no-response (timer)", "gave-up no-response (timer)"],
        verdict: Some((Reason::NoResponse, Origin::Timer)),
        within: Some(Within::Round),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: connect_to_silence,
};

fn connect_to_silence(stage: &mut Stage<'_>) -> Played {
    let silent = Silent::new()?;
    stage.profile.client.link.give_up.rounds = Some(1);
    stage.fault(Instant::now());
    stage.dial([silent.addr()])?;
    let gave_up = stage.gave_up()?;
    stage.measure(gave_up);
    Ok(())
}

pub(super) const FIRST_REFUSES: Scenario = Scenario {
    name: "first-refuses",
    about: "The first of two addresses refuses: the second is tried at once.",
    promise: Promise {
        events: &[
            "dialing",
            "dial-failed conn-refused (peer)",
            "dialing target 1",
            "up target 1",
            "echo",
            "closed",
        ],
        verdict: None,
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: first_refuses,
};

fn first_refuses(stage: &mut Stage<'_>) -> Played {
    let dead = Refusing::new()?;
    second_lives(stage, dead.addr())
}

pub(super) const FIRST_IS_SILENT: Scenario = Scenario {
    name: "first-is-silent",
    about: "The first of two addresses does not answer: the second is tried one attempt delay later.",
    promise: Promise {
        events: &["dialing", "dialing target 1", "up target 1", "echo", "closed"],
        verdict: None,
        within: Some(Within::AttemptDelay),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: first_is_silent,
};

fn first_is_silent(stage: &mut Stage<'_>) -> Played {
    let dead = Silent::new()?;
    second_lives(stage, dead.addr())
}

fn second_lives(stage: &mut Stage<'_>, dead: SocketAddr) -> Played {
    let peer = Peer::new(Conduct::Echo)?;
    stage.fault(Instant::now());
    stage.dial([dead, peer.addr()])?;
    let up = stage.up()?;
    stage.measure(up);
    stage.send(1)?;
    stage.echoes(1)?;
    stage.command(Command::Close)?;
    stage.closed()
}

pub(super) const SELF_CONNECT: Scenario = Scenario {
    name: "self-connect",
    about: "The client dials from the very port it dials to, where nobody listens: TCP connects it to itself.",
    promise: Promise {
        events: &["dialing", "dial-failed self-connect (local)", "gave-up self-connect (local)"],
        verdict: Some((Reason::SelfConnect, Origin::Local)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: self_connect,
};

fn self_connect(stage: &mut Stage<'_>) -> Played {
    let port = Refusing::new()?;
    stage.profile.client.link.give_up.rounds = Some(1);
    stage.fault(Instant::now());
    stage.dial_as(Dial { bind: Some(port.addr()) }, [port.addr()])?;
    let failed = stage.dial_failed()?;
    stage.measure(failed);
    stage.gave_up()?;
    Ok(())
}

pub(super) const FLAP: Scenario = Scenario {
    name: "flap",
    about: "The peer accepts and closes at once, again and again: that earns no faster retries than a refusal.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "down closed (peer)",
            "retry",
            "dialing",
            "up",
            "down closed (peer)",
            "retry",
            "dialing",
            "up",
            "down closed (peer)",
            "retry",
        ],
        verdict: Some((Reason::Closed, Origin::Peer)),
        within: None,
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: flap,
};

fn flap(stage: &mut Stage<'_>) -> Played {
    let peer = Peer::new(Conduct::HangUp)?;
    stage.dial([peer.addr()])?;
    let floor = stage.profile.client.link.backoff.floor;
    for expected in 1..=3 {
        let (level, delay) = stage.retry()?;
        stage.check(level == expected, || format!("the backoff is at level {level}, not {expected}"));
        stage.check(delay >= floor, || format!("the wait is {delay:?}, shorter than the floor"));
    }
    Ok(())
}
