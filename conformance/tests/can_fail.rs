//! The suite finds what is wrong: runtimes that lie, dawdle or forget do not pass.

#![cfg(feature = "std-sockets")]

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::thread;

use resound_conformance::on::std::Std;
use resound_conformance::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, OnUdpEvent, OnUdpServerEvent, Outcome, Runtime,
    Scenario, ServerConfig, ServerSession, UdpClientSession, UdpRuntime, UdpServerSession, differences, run,
};
use resound_core::Instant;
use resound_core::datagram::client::{self as udp, Client};
use resound_core::datagram::server::Groups;
use resound_core::signal::{Cause, Reason};
use resound_core::stream::client::Event;
use resound_sockets::StartError;
use resound_sockets::udp::ServerConfig as ServerConfigUdp;

/// What is wrong with a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// It takes a reset for a good end.
    SaysClosed,
    /// It tells of the end of a connection long after it saw it.
    Dawdles,
    /// It tells of the end of a connection before it can know.
    Foresees,
    /// It forgets messages that were lost.
    ForgetsLost,
    /// It tells of every echo twice.
    Repeats,
    /// It gives back another payload.
    SwapsPayload,
    /// It does not tell that it has closed.
    NeverCloses,
    /// It does not start.
    Fails,
    /// Its server takes its time over the idle limit.
    IdlesLong,
    /// It charges an error to another peer as well.
    BlamesAnother,
    /// Its servers answer broadcasts.
    AnswersAll,
}

impl Runtime for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn client(
        &self,
        client: EchoClient,
        dial: Dial,
        mut on_event: OnEvent,
    ) -> io::Result<Box<dyn ClientSession>> {
        if *self == Self::Fails {
            return Err(io::Error::other("out of order"));
        }
        let (tell, told) = channel();
        // On a thread of its own: what dawdles there does not hold up the driver.
        thread::spawn({
            let wrong = *self;
            move || told.into_iter().for_each(|(at, event)| wrong.pass_on(at, event, &mut *on_event))
        });
        Std.client(client, dial, Box::new(move |at, event| drop(tell.send((at, event)))))
    }

    fn server(
        &self,
        addr: SocketAddr,
        mut config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>> {
        if *self == Self::IdlesLong {
            config.connection.idle = config.connection.idle.map(|idle| idle * 2);
        }
        Std.server(addr, config, on_event)
    }

    fn udp(&self) -> Option<&dyn UdpRuntime> {
        (*self != Self::Fails).then_some(self)
    }
}

impl UdpRuntime for Wrong {
    fn udp_client(
        &self,
        client: Client,
        socket: UdpSocket,
        mut on_event: OnUdpEvent,
    ) -> io::Result<Box<dyn UdpClientSession>> {
        let (wrong, mut first) = (*self, None);
        let on_event = Box::new(move |mut at: Instant, mut event: udp::Event| {
            first = first.or(event.peer());
            match (wrong, &mut event) {
                (Self::SaysClosed, udp::Event::Down { cause, .. }) => *cause = Cause::peer(Reason::Closed),
                (Self::BlamesAnother, udp::Event::DialFailed { attempt, cause, .. }) => {
                    let (attempt, cause) = (*attempt, *cause);
                    first.into_iter().for_each(|peer| {
                        on_event(at, udp::Event::DialFailed { peer, attempt, cause });
                    });
                }
                (Self::ForgetsLost, udp::Event::Lost { .. }) => return,
                (Self::Repeats, udp::Event::Echoed { .. }) => on_event(at, event.clone()),
                (Self::Foresees, udp::Event::Down { .. }) => {
                    at = Instant::from_nanos(at.nanos() - 300_000_000);
                }
                _ => {}
            }
            on_event(at, event);
        });
        Std.udp_client(client, socket, on_event)
    }

    fn udp_server(
        &self,
        addrs: &[SocketAddr],
        config: &ServerConfigUdp,
        on_event: OnUdpServerEvent,
    ) -> Result<Box<dyn UdpServerSession>, StartError> {
        let mut config = config.clone();
        if *self == Self::AnswersAll {
            config.echo.groups = Groups::Answer;
        }
        Std.udp_server(addrs, &config, on_event)
    }
}

impl Wrong {
    fn pass_on(self, mut at: Instant, mut event: Event, on_event: &mut dyn FnMut(Instant, Event)) {
        const LATE: Duration = Duration::from_millis(900);
        match (self, &mut event) {
            (Self::SaysClosed, Event::Down { cause, .. } | Event::Lost { cause, .. }) => {
                *cause = Cause::peer(Reason::Closed);
            }
            (Self::Dawdles, Event::Down { .. }) => {
                thread::sleep(LATE);
                at = at + LATE;
            }
            (Self::Foresees, Event::Down { .. }) => {
                at = Instant::from_nanos(at.nanos() - 300_000_000);
            }
            (Self::ForgetsLost, Event::Lost { .. }) | (Self::NeverCloses, Event::Closed) => return,
            (Self::Repeats, Event::Echoed { .. }) => on_event(at, event.clone()),
            (Self::SwapsPayload, Event::Echoed { payload, .. }) => *payload = "something else".into(),
            _ => {}
        }
        on_event(at, event);
    }
}

fn outcome(scenario: &str, runtime: &dyn Runtime) -> Outcome {
    run(Scenario::named(scenario).expect("a scenario of that name"), runtime)
}

#[track_caller]
fn is_found_out(wrong: Wrong, scenario: &str, broken: &str) {
    let outcome = outcome(scenario, &wrong);
    let found = outcome.broken.iter().any(|sentence| sentence.contains(broken));
    assert!(found, "{wrong:?} is not found out by {scenario}: {outcome:#?}");
}

#[test]
fn a_runtime_that_is_only_wrapped_passes() {
    let outcome = outcome("reset-with-echoes-due", &Wrong::Nothing);
    assert_eq!(outcome.broken, [""; 0]);
}

#[test]
fn a_wrong_reason_breaks_the_verdict_and_the_events() {
    is_found_out(Wrong::SaysClosed, "reset-with-echoes-due", "the verdict is");
    is_found_out(Wrong::SaysClosed, "reset-with-echoes-due", "the events are not as promised");
}

#[test]
fn what_comes_late_or_early_breaks_the_time() {
    is_found_out(Wrong::Dawdles, "killed-with-echoes-due", "at once allows");
    is_found_out(Wrong::Foresees, "silent", "(M + 1)·P forbids it");
    is_found_out(Wrong::IdlesLong, "server-idle-limit", "the server's idle limit allows");
}

#[test]
fn every_message_is_accounted_for() {
    is_found_out(Wrong::ForgetsLost, "killed-with-echoes-due", "ended 0 times");
    is_found_out(Wrong::Repeats, "echo-and-close", "ended 2 times");
    is_found_out(Wrong::Repeats, "echo-and-close", "out of order");
    is_found_out(Wrong::SwapsPayload, "echo-and-close", "another payload");
}

#[test]
fn what_is_never_told_or_never_starts_does_not_pass() {
    is_found_out(Wrong::NeverCloses, "echo-and-close", "never told that it ended");
    is_found_out(Wrong::Fails, "refused", "out of order");
}

#[test]
fn two_runtimes_that_say_different_things_differ() {
    let outcomes = [Wrong::SaysClosed, Wrong::Nothing, Wrong::Nothing]
        .map(|wrong| outcome("reset-with-echoes-due", &wrong));
    let found = differences(&outcomes);
    assert_eq!(found.len(), 4, "two of them differ from the first, in the verdict and the events: {found:?}");
    assert!(found[0].what.contains("closed (peer) or reset (peer)"), "{found:?}");
    assert_eq!(differences(&outcomes[1..]), []);
}

#[test]
fn over_udp_nobody_else_is_blamed_and_every_message_ends_once() {
    is_found_out(Wrong::BlamesAnother, "udp-three-servers-v4", "first: dial-failed port-unreach");
    is_found_out(Wrong::ForgetsLost, "udp-silent", "never ended");
    is_found_out(Wrong::Repeats, "udp-echo", "ended twice");
    is_found_out(Wrong::SaysClosed, "udp-silent", "the verdict is");
    is_found_out(Wrong::Foresees, "udp-silent", "(M + 1)·P forbids it");
    is_found_out(Wrong::Fails, "udp-echo", "the runtime has no UDP");
}

#[test]
fn a_server_that_answers_a_broadcast_is_found_out() {
    is_found_out(Wrong::AnswersAll, "udp-broadcast", "waited in vain for the server");
}
