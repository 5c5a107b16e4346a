//! The server's side of one connection.
//!
//! It does not dial, it does not probe: a client that is silent for ten minutes is let go, and one that does not read its
//! answers is not read from any more. Neither holds more memory than a few frames.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use resound_core::signal::{Cause, Op, Reason};
use resound_core::stream::server::Command;
use resound_core::stream::{Close, Fact, Findings, Machine, Step, Wire};
use resound_core::{ConnId, Instant};

use super::frame::{Frame, Incoming, Malformed};
use super::store::Store;

/// A client that is silent for longer is let go. Clients probe more often.
const IDLE: Duration = Duration::from_secs(600);
/// With so many bytes of answers unsent, nothing more is read.
const ENOUGH: usize = 64 * 1_024;

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was answered.
    Answered {
        /// The request.
        request: String,
        /// The answer.
        answer: String,
    },
    /// The connection is over, and why.
    Ended(Cause),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    store: Arc<Mutex<Store>>,
    /// Who it is, once it has said so.
    client: Option<String>,
    wire: Wire,
    incoming: Incoming,
    unsent: Vec<u8>,
    /// The peer will send no more.
    last: bool,
    over: bool,
    heard: Instant,
    steps: VecDeque<Step<Infallible, Event>>,
}

const CONN: ConnId = ConnId::ONLY;

impl Connection {
    /// A connection that was accepted now.
    #[must_use]
    pub fn new(store: Arc<Mutex<Store>>, now: Instant) -> Self {
        Self {
            store,
            client: None,
            wire: Wire::default(),
            incoming: Incoming::default(),
            unsent: Vec::new(),
            last: false,
            over: false,
            heard: now,
            steps: VecDeque::new(),
        }
    }

    fn end(&mut self, cause: Cause, how: Close) {
        if !self.over {
            self.over = true;
            self.steps.push_back(Step::Close { conn: CONN, how });
            self.steps.push_back(Step::Event(Event::Ended(cause)));
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        self.wire.bytes_came(bytes.len());
        self.incoming.extend(bytes);
        while !self.over {
            let done = match self.incoming.take() {
                Ok(None) => return,
                Ok(Some(frame)) => self.serve(&frame),
                Err(malformed) => Err(malformed),
            };
            if done.is_err() {
                self.end(Cause::peer(Reason::Protocol), Close::Reset);
            }
        }
    }

    fn serve(&mut self, Frame { number, text }: &Frame) -> Result<(), Malformed> {
        let answer = if *number == 0 {
            self.client = Some(text.clone());
            "hello".to_owned()
        } else {
            let client = self.client.as_deref().ok_or(Malformed)?;
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = store.execute(client, *number, text).ok_or(Malformed)?;
            let said = Event::Answered { request: text.clone(), answer: answer.clone() };
            self.steps.push_back(Step::Event(said));
            answer
        };
        Frame { number: *number, text: answer }.write(&mut self.unsent);
        Ok(())
    }

    fn close_if_all_was_said(&mut self) {
        if self.last && (self.unsent.is_empty() || self.wire.is_broken()) {
            self.end(self.wire.at_end(self.unsent.len()), Close::Drop);
        }
    }

    fn writes(&self) -> bool {
        !self.over && !self.unsent.is_empty() && self.wire.takes_bytes()
    }
}

impl Machine for Connection {
    type Target = Infallible;
    type Event = Event;
    type Command = Command;
    type Refused = Command;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        match fact {
            Fact::Tick if now >= self.heard + IDLE => self.end(Cause::timer(Reason::Aborted), Close::Reset),
            Fact::Received { chunk, .. } => {
                self.heard = now;
                self.received(chunk.bytes());
                chunk.clear();
            }
            Fact::Wrote { n, .. } => {
                self.wire.wrote(n);
                self.unsent.drain(..n.min(self.unsent.len()));
            }
            Fact::Blocked { .. } => self.wire.blocked(),
            Fact::Writable { .. } => self.wire.writable(),
            Fact::Ended { .. } => self.last = true,
            Fact::Failed { op: Op::Write, signal, .. } => {
                self.wire.write_failed(signal);
                self.steps.push_back(Step::Examine { conn: CONN });
            }
            Fact::Failed { op, signal, .. } => self.end(self.wire.failed(op, signal), Close::Reset),
            Fact::Examined { .. } => match self.wire.examined() {
                Findings::Again => self.steps.push_back(Step::Examine { conn: CONN }),
                Findings::Over(cause) => self.end(cause, Close::Reset),
                Findings::Nothing => {}
            },
            Fact::Dialed { .. } | Fact::Hint { .. } | Fact::Resumed | Fact::Tick => {}
        }
        self.close_if_all_was_said();
    }

    fn command(&mut self, _: Instant, command: Command) -> Result<(), Command> {
        match command {
            refused if self.over => return Err(refused),
            // What was not read yet the client sends again, elsewhere.
            Command::Drain => self.last = true,
            Command::Abort => self.end(Cause::local(Reason::Aborted), Close::Reset),
        }
        self.close_if_all_was_said();
        Ok(())
    }

    fn poll(&mut self) -> Step<Infallible, Event> {
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        if self.writes() {
            self.wire.asked();
            return Step::Write { conn: CONN };
        }
        Step::Wait(self.next_deadline())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let due = self.writes() || !self.steps.is_empty();
        if due { Some(Instant::EPOCH) } else { (!self.over).then(|| self.heard + IDLE) }
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        conn == CONN && !self.over && !self.last && self.unsent.len() < ENOUGH
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        match out.first_mut() {
            Some(slot) if conn == CONN && !self.over && !self.unsent.is_empty() => {
                *slot = &self.unsent;
                1
            }
            _ => 0,
        }
    }

    fn is_done(&self) -> bool {
        self.over && self.steps.is_empty()
    }
}
