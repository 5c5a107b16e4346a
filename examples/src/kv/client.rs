//! The client: what it is asked for is answered, whatever becomes of its connections.
//!
//! Everything about connections is [`Link`]'s: dialing, backoff, probes, conviction, reasons. The machine here owes it three
//! words: that an answer is due ([`Told::Sent`]), that bytes came in ([`Told::Heard`]), that an answer came
//! ([`Told::Answered`]). [`Wire`] reads the end of a connection.
//!
//! Requests stay in a queue until they are answered. When a connection is lost, those in the queue go out again on the next
//! one, in the same order and with the same numbers.

use std::collections::VecDeque;

use resound_core::link::{self, Action, Event as LinkEvent, Link, Policy, Told};
use resound_core::liveness::Writing;
use resound_core::signal::{Cause, Op, Reason};
use resound_core::stream::{Close, Fact, Findings, Machine, Step, Wire};
use resound_core::{BadConfig, ConnId, Instant};

use super::WINDOW;
use super::frame::{Frame, Incoming};

/// What the program can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this request.
    Ask(String),
    /// Close; what is not answered yet is never answered.
    Close,
}

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection is attempted.
    Dialing,
    /// It stands.
    Up,
    /// A request was answered.
    Answer {
        /// The request.
        request: String,
        /// The answer.
        answer: String,
    },
    /// The connection is over, and why; or it never stood.
    Down(Cause),
    /// There will be no other: what was asked and not answered, nobody knows whether it was done.
    Ended {
        /// The requests.
        unanswered: Vec<String>,
    },
}

/// A request on its way.
#[derive(Debug)]
struct Asked {
    request: Frame,
    /// When it went out, on this connection.
    sent: Option<Instant>,
    /// Whether it went out before, on another one.
    again: bool,
}

/// Asks one server.
#[derive(Debug)]
pub struct Client<T> {
    policy: Policy,
    link: Link,
    wire: Wire,
    target: T,
    /// Under which the server knows it.
    name: String,
    /// The number of the next request.
    next: u64,
    asked: VecDeque<Asked>,
    /// When a greeting went out that is not answered yet.
    greeted: Option<Instant>,
    incoming: Incoming,
    unsent: Vec<u8>,
    steps: VecDeque<Step<T, Event>>,
    now: Instant,
}

impl<T: Clone> Client<T> {
    /// A client of one server. Everything random in it follows from `seed`, its name too: no two clients have the same.
    ///
    /// # Errors
    ///
    /// Names the field of the configuration that cannot work.
    pub fn new(config: link::Config, seed: u64, target: T) -> Result<Self, BadConfig> {
        Ok(Self {
            policy: config.check()?,
            link: Link::new(seed),
            wire: Wire::default(),
            target,
            name: format!("client-{seed:x}"),
            next: 1,
            asked: VecDeque::new(),
            greeted: None,
            incoming: Incoming::default(),
            unsent: Vec::new(),
            steps: VecDeque::new(),
            now: Instant::EPOCH,
        })
    }

    /// Tells the link, and does what it wants done.
    fn tell(&mut self, told: Told) {
        let mut actions = Vec::new();
        self.link.handle(&self.policy, self.now, told, &mut actions);
        for action in actions {
            match action {
                Action::Dial { conn, .. } => {
                    self.steps.push_back(Step::Dial { conn, to: self.target.clone() });
                }
                Action::Close { conn, how } => self.steps.push_back(Step::Close { conn, how }),
                Action::Examine { conn } => self.steps.push_back(Step::Examine { conn }),
                // What is due already is the probe.
                Action::Probe { .. } if !self.asked.is_empty() || self.greeted.is_some() => {}
                Action::Probe { conn } => self.greet(conn),
                Action::Event(LinkEvent::Dialing { .. }) => self.event(Event::Dialing),
                Action::Event(LinkEvent::Up { conn, .. }) => self.begin(conn),
                Action::Event(LinkEvent::Down { cause, .. } | LinkEvent::DialFailed { cause, .. }) => {
                    self.event(Event::Down(cause));
                }
                Action::Event(LinkEvent::GaveUp { .. } | LinkEvent::Closed) => self.end(),
                Action::Event(_) => {}
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.steps.push_back(Step::Event(event));
    }

    /// A connection stands: nothing of the last one may get into it, and what was not answered goes out again.
    fn begin(&mut self, conn: ConnId) {
        self.event(Event::Up);
        (self.wire, self.incoming) = (Wire::default(), Incoming::default());
        self.unsent.clear();
        self.greet(conn);
        for at in 0..self.asked.len() {
            self.send(conn, at);
        }
    }

    fn end(&mut self) {
        let unanswered = self.asked.drain(..).map(|asked| asked.request.text).collect();
        self.event(Event::Ended { unanswered });
    }

    // Out.

    fn greet(&mut self, conn: ConnId) {
        Frame { number: 0, text: self.name.clone() }.write(&mut self.unsent);
        self.greeted = Some(self.now);
        self.tell(Told::Sent { conn });
    }

    /// Sends the request at this place of the queue.
    fn send(&mut self, conn: ConnId, at: usize) {
        let asked = &mut self.asked[at];
        asked.again |= asked.sent.is_some();
        asked.sent = Some(self.now);
        asked.request.write(&mut self.unsent);
        self.tell(Told::Sent { conn });
    }

    fn ask(&mut self, text: String) {
        let request = Frame { number: self.next, text };
        self.next += 1;
        self.asked.push_back(Asked { request, sent: None, again: false });
        if let Some(conn) = self.link.conn() {
            self.send(conn, self.asked.len() - 1);
        }
    }

    // In.

    fn received(&mut self, conn: ConnId, bytes: &[u8]) {
        self.tell(Told::Heard { conn });
        self.wire.bytes_came(bytes.len());
        self.incoming.extend(bytes);
        loop {
            match self.incoming.take() {
                Ok(None) => return,
                Ok(Some(answer)) if self.answered(conn, &answer) => {}
                // An answer to nothing is another protocol, too.
                _ => return self.tell(Told::Ended { conn, cause: Cause::peer(Reason::Protocol) }),
            }
        }
    }

    /// Whether it is the answer to something.
    fn answered(&mut self, conn: ConnId, answer: &Frame) -> bool {
        let round_trip = if answer.number == 0 {
            let Some(sent) = self.greeted.take() else { return false };
            Some(self.now - sent)
        } else {
            if self.asked.front().map(|asked| asked.request.number) != Some(answer.number) {
                return false;
            }
            let Some(Asked { request, sent, again }) = self.asked.pop_front() else { return false };
            self.event(Event::Answer { request: request.text, answer: answer.text.clone() });
            sent.filter(|_| !again).map(|sent| self.now - sent)
        };
        self.tell(Told::Answered { conn, round_trip });
        true
    }

    /// What is told of the connection that stands; the rest is about attempts, and the link's affair.
    fn about(&mut self, conn: ConnId, fact: Fact<'_>) {
        match fact {
            Fact::Received { chunk, .. } => {
                self.received(conn, chunk.bytes());
                chunk.clear();
            }
            Fact::Wrote { n, .. } => {
                self.wire.wrote(n);
                self.unsent.drain(..n.min(self.unsent.len()));
            }
            Fact::Blocked { .. } => self.wire.blocked(),
            Fact::Writable { .. } => self.wire.writable(),
            Fact::Ended { .. } => self.tell(Told::Ended { conn, cause: self.wire.at_end(self.asked.len()) }),
            Fact::Failed { op: Op::Write, signal, .. } => {
                self.wire.write_failed(signal);
                self.steps.push_back(Step::Examine { conn });
            }
            Fact::Failed { op, signal, .. } => {
                self.tell(Told::Ended { conn, cause: self.wire.failed(op, signal) });
            }
            Fact::Hint { signal, .. } => {
                self.tell(Told::Hint { conn, cause: Some(signal.cause(Op::Read)) });
            }
            Fact::Examined { kernel, .. } => match self.wire.examined() {
                Findings::Again => self.steps.push_back(Step::Examine { conn }),
                Findings::Over(cause) => self.tell(Told::Ended { conn, cause }),
                Findings::Nothing => {
                    let writing = if self.unsent.is_empty() { Writing::Free } else { Writing::Blocked };
                    self.tell(Told::Examined { conn, kernel, writing });
                }
            },
            Fact::Dialed { .. } | Fact::Resumed | Fact::Tick => {}
        }
    }

    /// The connection on which there is something to write, if it takes it.
    fn writes(&self) -> Option<ConnId> {
        self.link.conn().filter(|_| !self.unsent.is_empty() && self.wire.takes_bytes())
    }
}

impl<T: Clone> Machine for Client<T> {
    type Target = T;
    type Event = Event;
    type Command = Command;
    type Refused = Command;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        self.now = self.now.max(now);
        match fact {
            Fact::Tick if !self.steps.is_empty() => {}
            Fact::Tick => {
                self.tell(Told::Open { targets: 1 });
                self.tell(Told::Tick);
            }
            Fact::Resumed => self.tell(Told::Resumed),
            Fact::Dialed { conn, result } => {
                self.tell(Told::Dialed { conn, result: result.map_err(|signal| signal.cause(Op::Connect)) });
            }
            fact => {
                if let Some(conn) = self.link.conn().filter(|&conn| fact.conn() == Some(conn)) {
                    self.about(conn, fact);
                }
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), Command> {
        self.now = self.now.max(now);
        let closed = self.link.state() == link::State::Closed;
        match command {
            Command::Ask(text) if Frame::fits(&text) && self.asked.len() < WINDOW && !closed => {
                self.ask(text);
            }
            Command::Close if !closed => self.tell(Told::Close { how: Close::Drop }),
            refused => return Err(refused),
        }
        Ok(())
    }

    fn poll(&mut self) -> Step<T, Event> {
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        match self.writes() {
            Some(conn) => {
                self.wire.asked();
                Step::Write { conn }
            }
            None => Step::Wait(self.next_deadline()),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let fresh = self.link.state() == link::State::Idle;
        let due = fresh || !self.steps.is_empty() || self.writes().is_some();
        if due { Some(Instant::EPOCH) } else { self.link.deadline() }
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        self.link.conn() == Some(conn)
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        match out.first_mut() {
            Some(slot) if self.link.conn() == Some(conn) && !self.unsent.is_empty() => {
                *slot = &self.unsent;
                1
            }
            _ => 0,
        }
    }

    fn is_done(&self) -> bool {
        self.link.state() == link::State::Closed && self.steps.is_empty()
    }
}
