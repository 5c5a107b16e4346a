//! Where a scenario is played: the session under test, and the record of what it said.
//!
//! The script calls for what it waits for; everything that comes until then is written down. What comes after the last
//! thing that the script waited for is no part of the timeline, but is still held against the rules of every session.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant as HostInstant;

use bytes::Bytes;
use resound_core::BadConfig;
use resound_core::signal::{Cause, Origin, Reason};
use resound_core::stream::client::{self, Command, Event, Refused};
use resound_core::stream::server;

use crate::outcome::Outcome;
use crate::profile::{self, Profile};
use crate::runtime::{Dial, EchoClient, Runtime, ServerEvent, ServerSession};
use crate::scenario::Scenario;
use crate::timeline::Timeline;

mod fleet;
mod subject;
mod udp;

use fleet::Fleet;
use subject::{Slowness, Subject};
pub(crate) use udp::ServedUdp;

/// How long the suite waits for what never comes before it says so. No promise depends on it.
const PATIENCE: Duration = Duration::from_secs(15);

/// The seed of every client: the same jitter on every runtime.
const SEED: u64 = 0x7e50_47d5;

/// Whether a script could be played to its end.
pub(crate) type Played = Result<(), Failed>;

/// Why a script could not be played to its end.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(format!("a socket or the runtime failed: {error}"))
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self(format!("a command was refused: {refused}"))
    }
}

impl From<BadConfig> for Failed {
    fn from(bad: BadConfig) -> Self {
        Self(format!("bad configuration: {bad}"))
    }
}

/// The server under test.
pub(crate) struct Served {
    pub(crate) session: Box<dyn ServerSession>,
    events: Receiver<ServerEvent>,
}

/// A runtime under test and the record of what it does.
pub(crate) struct Stage<'a> {
    runtime: &'a dyn Runtime,
    pub(crate) profile: Profile,
    began: HostInstant,
    timeline: Timeline,
    client: Option<Subject>,
    fleet: Option<Fleet>,
    fault: Option<HostInstant>,
    detected: Option<Duration>,
    verdict: Option<(Reason, Origin)>,
    broken: Vec<String>,
}

impl fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("runtime", &self.runtime.name()).finish_non_exhaustive()
    }
}

// What scripts call.
impl<'a> Stage<'a> {
    pub(crate) fn new(runtime: &'a dyn Runtime) -> Self {
        Self {
            runtime,
            profile: profile::fast(),
            began: HostInstant::now(),
            timeline: Timeline::default(),
            client: None,
            fleet: None,
            fault: None,
            detected: None,
            verdict: None,
            broken: Vec::new(),
        }
    }

    /// Starts the client under test, with the profile as it is now.
    pub(crate) fn dial(&mut self, targets: impl IntoIterator<Item = SocketAddr>) -> Played {
        self.dial_as(Dial::default(), targets)
    }

    pub(crate) fn dial_as(&mut self, dial: Dial, targets: impl IntoIterator<Item = SocketAddr>) -> Played {
        let client = EchoClient::new(self.profile.client, SEED, targets)?;
        let (tell, events) = channel();
        // Nobody listens any more to a session that is being dropped.
        let on_event = Box::new(move |at, event| drop(tell.send((at, event))));
        self.client = Some(Subject::new(self.runtime.client(client, dial, on_event)?, events));
        Ok(())
    }

    /// Starts the server under test, with the profile as it is now, on a port that the kernel chooses.
    pub(crate) fn serve(&mut self) -> Result<Served, Failed> {
        let (tell, events) = channel();
        let on_event = Box::new(move |event| {
            let _ = tell.send(event);
        });
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Served { session: self.runtime.server(addr, self.profile.server, on_event)?, events })
    }

    /// Sends this many short messages.
    pub(crate) fn send(&mut self, count: usize) -> Played {
        for _ in 0..count {
            let number = self.client()?.accepted();
            self.send_this(Bytes::from(format!("message {number}\n")))?;
        }
        Ok(())
    }

    /// Sends a message; waits for echoes while as much is in flight as may be.
    pub(crate) fn send_this(&mut self, payload: Bytes) -> Played {
        let mut command = Command::Send(payload);
        loop {
            match self.client()?.command(command) {
                Ok(()) => return Ok(()),
                Err(refused) if refused.why == client::Refusal::Full => command = refused.command,
                Err(refused) => return Err(refused.into()),
            }
            self.until("room for a message", |event| matches!(event, Event::Echoed { .. }))?;
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Played {
        Ok(self.client()?.command(command)?)
    }

    /// The fault happens now, or happened at `at`: the time counts from here.
    pub(crate) fn fault(&mut self, at: HostInstant) {
        self.fault = Some(at);
        let _before = self.take_slowness();
    }

    /// Bytes of the messages that the client has accepted so far.
    pub(crate) fn bytes_accepted(&self) -> u64 {
        self.client.as_ref().map_or(0, Subject::bytes_accepted)
    }

    /// Waits until the connection stands; since when. As all that is waited for: on the host's clock.
    pub(crate) fn up(&mut self) -> Result<HostInstant, Failed> {
        self.until("a connection", |event| matches!(event, Event::Up { .. }))
    }

    /// Waits for this many echoes; when the last of them came.
    pub(crate) fn echoes(&mut self, count: usize) -> Result<HostInstant, Failed> {
        let mut left = count;
        self.until("an echo", |event| {
            left -= usize::from(matches!(event, Event::Echoed { .. }));
            left == 0
        })
    }

    /// Waits until the connection is down: that is the verdict, and its time is measured.
    pub(crate) fn down(&mut self) -> Played {
        let at = self.until("the end of the connection", |event| matches!(event, Event::Down { .. }))?;
        self.measure(at);
        Ok(())
    }

    /// Waits until an attempt has failed; when it did.
    pub(crate) fn dial_failed(&mut self) -> Result<HostInstant, Failed> {
        self.until("a failed attempt", |event| matches!(event, Event::DialFailed { .. }))
    }

    /// Waits for the announcement of the next round: the level of the backoff, and how long the wait is.
    pub(crate) fn retry(&mut self) -> Result<(u32, Duration), Failed> {
        let mut announced = (0, Duration::ZERO);
        self.until("another round", |event| {
            if let Event::Retry { level, delay } = event {
                announced = (*level, *delay);
            }
            matches!(event, Event::Retry { .. })
        })?;
        Ok(announced)
    }

    /// Waits until the client has given up; when it did.
    pub(crate) fn gave_up(&mut self) -> Result<HostInstant, Failed> {
        self.until("the client to give up", |event| matches!(event, Event::GaveUp { .. }))
    }

    /// Waits until the client is closed.
    pub(crate) fn closed(&mut self) -> Played {
        self.until("the client to be closed", |event| matches!(event, Event::Closed)).map(drop)
    }

    /// Lets time pass.
    pub(crate) fn pause(&mut self, time: Duration) -> Played {
        let end = HostInstant::now() + time;
        loop {
            let left = end.saturating_duration_since(HostInstant::now());
            if left.is_zero() {
                return Ok(());
            }
            if self.next(left)?.is_none() {
                std::thread::sleep(end.saturating_duration_since(HostInstant::now()));
            }
        }
    }

    /// The time that is measured ends at `at`.
    pub(crate) fn measure(&mut self, at: HostInstant) {
        self.detected = self.fault.map(|fault| at.saturating_duration_since(fault));
    }

    /// A promise that only this script can check.
    pub(crate) fn check(&mut self, kept: bool, promise: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(promise());
        }
    }

    /// Writes down what a peer saw.
    pub(crate) fn note(&mut self, at: HostInstant, what: &str) {
        self.timeline.push(at.saturating_duration_since(self.began), what);
    }

    /// Waits for a server's event of that kind.
    pub(crate) fn server_says(
        &mut self,
        server: &Served,
        what: &'static str,
        mut fits: impl FnMut(&ServerEvent) -> bool,
    ) -> Result<HostInstant, Failed> {
        let end = HostInstant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(HostInstant::now());
            let Ok(event) = server.events.recv_timeout(left) else {
                return Err(Failed(format!("waited in vain for the server to tell of {what}")));
            };
            let at = HostInstant::now();
            self.timeline.server(at.saturating_duration_since(self.began), &event);
            if let ServerEvent::Connection { event: server::Ended { cause, .. }, .. } = event {
                // With a client under test the verdict is the client's.
                self.verdict = self.verdict.or(bad_end(cause));
            }
            if fits(&event) {
                return Ok(at);
            }
        }
    }
}

/// A verdict is an end that was not agreed upon.
fn bad_end(cause: Cause) -> Option<(Reason, Origin)> {
    (cause.reason != Reason::Closed).then_some((cause.reason, cause.origin))
}

// The client's events.
impl Stage<'_> {
    fn client(&mut self) -> Result<&mut Subject, Failed> {
        self.client.as_mut().ok_or_else(|| Failed::new("there is no client"))
    }

    /// Writes down events until one fits; when it came, on the host's clock.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Result<HostInstant, Failed> {
        let end = HostInstant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(HostInstant::now());
            let Some((at, event)) = self.next(left)? else {
                return Err(Failed(format!("waited in vain for {what}")));
            };
            if fits(&event) {
                return Ok(at);
            }
        }
    }

    /// The next event, written down.
    fn next(&mut self, patience: Duration) -> Result<Option<(HostInstant, Event)>, Failed> {
        let Some(client) = &mut self.client else { return Err(Failed::new("there is no client")) };
        let Some((at, event)) = client.next(patience, &mut self.broken) else { return Ok(None) };
        self.timeline.client(at.saturating_duration_since(self.began), &event);
        if let Event::Down { cause, .. } | Event::GaveUp { cause } = &event {
            self.verdict = Some((cause.reason, cause.origin));
        }
        Ok(Some((at, event)))
    }

    /// Ends the client and waits for its last event.
    fn end_client(&mut self) {
        let Some(client) = &mut self.client else { return };
        if !client.is_over() {
            // Refused if it has just ended by itself; its last event is under way then.
            let _ = client.command(Command::Abort);
        }
        let end = HostInstant::now() + PATIENCE;
        while !client.is_over() {
            let left = end.saturating_duration_since(HostInstant::now());
            if client.next(left, &mut self.broken).is_none() {
                return self.broken.push(String::from("the client never told that it ended"));
            }
        }
        client.check_all_ended(&mut self.broken);
    }
}

// Judging.
impl Stage<'_> {
    /// Ends the session and holds what it said against the promise.
    pub(crate) fn outcome(mut self, scenario: &Scenario, played: Played) -> Outcome {
        let promise = scenario.promise();
        if let Err(Failed(why)) = played {
            self.broken.push(why);
        }
        self.end_client();
        self.end_fleet();
        let events = self.timeline.take();
        let said: Vec<&str> = events.iter().map(|moment| moment.what.as_str()).collect();
        if said != promise.events {
            let said = if said.is_empty() { String::from("nothing") } else { said.join(", ") };
            let expected = promise.events.join(", ");
            self.broken
                .push(format!("the events are not as promised: expected {expected}; but reported {said}"));
        }
        if self.verdict != promise.verdict {
            self.broken.push(format!("the verdict is {:?}, not {:?}", self.verdict, promise.verdict));
        }
        let promised = promise.within.map(|within| within.promised(&self.profile));
        if let Some(within) = promise.within {
            self.judge_time(within);
        }
        Outcome {
            scenario: scenario.name(),
            runtime: self.runtime.name(),
            events,
            verdict: self.verdict,
            detected: self.detected,
            promised,
            took: self.began.elapsed(),
            broken: self.broken,
        }
    }

    fn judge_time(&mut self, within: crate::scenario::Within) {
        let Some(detected) = self.detected else {
            return self.broken.push(format!("never detected; promised within {within}"));
        };
        let latest = profile::latest(within.promised(&self.profile)) + self.own_slowness();
        let earliest = profile::earliest(within.forbidden_before(&self.profile));
        if detected > latest {
            self.broken.push(format!("detected after {detected:?}: {within} allows {latest:?}"));
        }
        if detected < earliest {
            self.broken.push(format!("detected after {detected:?}: {within} forbids it before {earliest:?}"));
        }
    }

    /// What invariant L1 adds for timer calls that came too late: Λ + s·(P′ + tol).
    fn own_slowness(&mut self) -> Duration {
        let slow = self.take_slowness();
        let liveness = self.profile.client.link.liveness;
        slow.late + (liveness.probe + liveness.tolerance.unwrap_or_default()) * slow.calls
    }

    /// Of whichever client there is, since the last call.
    fn take_slowness(&mut self) -> Slowness {
        let streams = self.client.as_mut().map(Subject::take_slowness);
        let datagrams = self.fleet.as_mut().map(Fleet::take_slowness);
        streams.or(datagrams).unwrap_or_default()
    }
}
