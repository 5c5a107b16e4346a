//! The client under test, and the rules that hold for every session, whatever the fault.
//!
//! A message that was accepted ends once, echoed or lost, with the payload that was moved in; echoes come in order on
//! one connection; what goes down had come up; and nothing follows the last event.

use core::time::Duration;
use std::sync::mpsc::Receiver;
use std::time::Instant as HostInstant;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::stream::ConnId;
use resound_core::stream::client::{Command, Event, Refused, Seq};

use crate::runtime::ClientSession;

pub(super) struct Subject {
    session: Box<dyn ClientSession>,
    events: Receiver<(Instant, Event)>,
    accepted: Vec<Message>,
    last_echoed: Option<Seq>,
    up: Option<ConnId>,
    over: bool,
    slow: Slowness,
}

struct Message {
    payload: Bytes,
    ended: u32,
}

/// How often this machine called a timer too late, and by how much in all.
#[derive(Clone, Copy, Default)]
pub(super) struct Slowness {
    pub(super) calls: u32,
    pub(super) late: Duration,
}

impl Subject {
    pub(super) fn new(session: Box<dyn ClientSession>, events: Receiver<(Instant, Event)>) -> Self {
        Self {
            session,
            events,
            accepted: Vec::new(),
            last_echoed: None,
            up: None,
            over: false,
            slow: Slowness::default(),
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Result<(), Refused> {
        let payload = match &command {
            Command::Send(payload) => Some(payload.clone()),
            _ => None,
        };
        self.session.command(command)?;
        self.accepted.extend(payload.map(|payload| Message { payload, ended: 0 }));
        Ok(())
    }

    /// The next event and when it came out of the machine, held against the rules.
    pub(super) fn next(
        &mut self,
        patience: Duration,
        broken: &mut Vec<String>,
    ) -> Option<(HostInstant, Event)> {
        let (at, event) = self.events.recv_timeout(patience).ok()?;
        let at = self.on_host_clock(at);
        self.check(&event, broken);
        Some((at, event))
    }

    /// Whether the last event has come.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    pub(super) fn bytes_accepted(&self) -> u64 {
        self.accepted.iter().map(|message| message.payload.len() as u64).sum()
    }

    /// Since the last call.
    pub(super) fn take_slowness(&mut self) -> Slowness {
        core::mem::take(&mut self.slow)
    }

    /// When an instant of the session's clock was, on the host's. Read in this order, a delay between the two clocks
    /// makes an event seem later than it was, never earlier.
    fn on_host_clock(&self, at: Instant) -> HostInstant {
        let (now, host) = (self.session.now(), HostInstant::now());
        host.checked_sub(now.since(at)).unwrap_or(host)
    }

    fn check(&mut self, event: &Event, broken: &mut Vec<String>) {
        if self.over {
            broken.push(format!("an event after the last one: {event:?}"));
        }
        match event {
            Event::Up { conn, .. } => {
                if let Some(up) = self.up.replace(*conn) {
                    broken.push(format!("connection {} came up while {} stood", conn.get(), up.get()));
                }
                self.last_echoed = None;
            }
            Event::Down { conn, .. } => {
                let stood = self.up.take();
                if stood != Some(*conn) {
                    broken.push(format!("connection {} went down and had not come up", conn.get()));
                }
            }
            Event::Echoed { seq, payload, .. } => {
                if self.last_echoed.replace(*seq).is_some_and(|last| last >= *seq) {
                    broken.push(format!("message {seq} was echoed out of order"));
                }
                self.ended(*seq, payload, broken);
            }
            Event::Lost { seq, payload, .. } => self.ended(*seq, payload, broken),
            Event::Stalled { late } => {
                self.slow.calls += 1;
                self.slow.late += *late;
            }
            Event::GaveUp { .. } | Event::Closed => self.over = true,
            _ => {}
        }
    }

    fn ended(&mut self, seq: Seq, payload: &Bytes, broken: &mut Vec<String>) {
        let message = usize::try_from(seq.0).ok().and_then(|seq| self.accepted.get_mut(seq));
        let Some(message) = message else {
            return broken.push(format!("message {seq} ended and was never accepted"));
        };
        message.ended += 1;
        if message.payload != *payload {
            broken.push(format!("message {seq} ended with another payload"));
        }
    }

    /// Once the session is over: every message has ended once.
    pub(super) fn check_all_ended(&self, broken: &mut Vec<String>) {
        for (seq, Message { ended, .. }) in self.accepted.iter().enumerate() {
            if *ended != 1 {
                broken.push(format!("message {seq} ended {ended} times: it must be echoed or lost, once"));
            }
        }
    }
}
