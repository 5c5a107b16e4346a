//! Your own protocol around [`Link`], and every runtime with it.
//!
//! The protocol here is the simplest one that is not echo: a line is asked, a line is answered, in order; Redis' inline
//! commands are such lines (`PING` → `+PONG`). The machine below is all there is to write. It gets connecting, racing,
//! backoff, probing, conviction and the classification of errors from [`Link`], the reading of a connection's end from
//! [`Wire`], and the sockets, threads and timers from whichever adapter runs it: `Session::new(machine, …)` of
//! `resound-std`, `resound-tokio`, `resound-smol`, or an event loop of your own.
//!
//! What the protocol owes the link is three words: that an answer is due ([`Told::Sent`]), that bytes came in
//! ([`Told::Heard`]), that an answer came ([`Told::Answered`]).

use std::collections::VecDeque;

use resound_core::link::{self, Action, Event as LinkEvent, Link, Policy, Told};
use resound_core::liveness::Writing;
use resound_core::signal::{Cause, Op, Reason};
use resound_core::stream::{Close, Fact, Findings, Machine, Step, Wire};
use resound_core::{BadConfig, ConnId, Instant};

/// What an idle server is asked, to hear whether it lives.
const PROBE: &str = "PING";
/// A line longer than this is not this protocol.
const LONGEST: usize = 64 * 1024;

/// What the program can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this line (without its end) and wait for the answer.
    Ask(String),
    /// Close; what is due is lost.
    Close,
}

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection stands.
    Up,
    /// A line was answered.
    Answer {
        /// What was asked.
        asked: String,
        /// What was answered, without the end of the line.
        answer: String,
    },
    /// A line will not be answered.
    Lost {
        /// What was asked.
        asked: String,
    },
    /// The connection is over, and why.
    Down(Cause),
    /// There will be no other.
    Ended,
}

/// A line that was asked: by the program, or (`None`) by the machine itself, as a probe.
type Asked = Option<String>;

/// Asks lines of one server, for as long as the program wants.
#[derive(Debug)]
pub struct Asker<T> {
    policy: Policy,
    link: Link,
    wire: Wire,
    target: T,
    steps: VecDeque<Step<T, Event>>,
    /// Asked and not answered, with the time.
    due: VecDeque<(Asked, Instant)>,
    unsent: Vec<u8>,
    line: Vec<u8>,
    now: Instant,
}

impl<T: Clone> Asker<T> {
    /// An asker of one server; everything random in it follows from `seed`.
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
            steps: VecDeque::new(),
            due: VecDeque::new(),
            unsent: Vec::new(),
            line: Vec::new(),
            now: Instant::EPOCH,
        })
    }

    /// Tells the link, and does what it wants done.
    fn tell(&mut self, told: Told) {
        let mut actions = Vec::new();
        self.link.handle(&self.policy, self.now, told, &mut actions);
        for action in actions {
            match action {
                Action::Dial { conn, .. } => self.dial(conn),
                Action::Close { conn, how } => self.steps.push_back(Step::Close { conn, how }),
                Action::Examine { conn } => self.steps.push_back(Step::Examine { conn }),
                Action::Probe { conn } if self.due.is_empty() => self.ask(conn, None),
                Action::Probe { .. } => {} // What is due already is the probe.
                Action::Event(LinkEvent::Up { .. }) => self.begin(),
                Action::Event(LinkEvent::Down { cause, .. }) => self.lose(Event::Down(cause)),
                Action::Event(LinkEvent::GaveUp { .. } | LinkEvent::Closed) => self.lose(Event::Ended),
                Action::Event(_) => {}
            }
        }
    }

    fn dial(&mut self, conn: ConnId) {
        self.steps.push_back(Step::Dial { conn, to: self.target.clone() });
    }

    fn begin(&mut self) {
        (self.wire, self.unsent, self.line) = (Wire::default(), Vec::new(), Vec::new());
        self.steps.push_back(Step::Event(Event::Up));
    }

    fn lose(&mut self, why: Event) {
        self.steps.push_back(Step::Event(why));
        let lost = self.due.drain(..).filter_map(|(asked, _)| asked);
        self.steps.extend(lost.map(|asked| Step::Event(Event::Lost { asked })));
    }

    fn ask(&mut self, conn: ConnId, asked: Asked) {
        self.unsent.extend_from_slice(asked.as_deref().unwrap_or(PROBE).as_bytes());
        self.unsent.extend_from_slice(b"\r\n");
        self.due.push_back((asked, self.now));
        self.tell(Told::Sent { conn });
    }

    fn received(&mut self, conn: ConnId, bytes: &[u8]) {
        self.tell(Told::Heard { conn });
        self.wire.bytes_came(bytes.len());
        for &byte in bytes {
            if byte != b'\n' && self.line.len() < LONGEST {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            // An answer to nothing is another protocol, and so is a line without an end.
            let Some((asked, at)) = self.due.pop_front().filter(|_| byte == b'\n') else {
                return self.tell(Told::Ended { conn, cause: Cause::peer(Reason::Protocol) });
            };
            self.tell(Told::Answered { conn, round_trip: Some(self.now - at) });
            if let Some(asked) = asked {
                self.steps.push_back(Step::Event(Event::Answer { asked, answer: line }));
            }
        }
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
            Fact::Ended { .. } => self.tell(Told::Ended { conn, cause: self.wire.at_end(self.due.len()) }),
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
}

impl<T: Clone> Machine for Asker<T> {
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
        match (command, self.link.conn()) {
            (Command::Ask(line), Some(conn)) if !line.contains(['\r', '\n']) => self.ask(conn, Some(line)),
            (Command::Close, _) => self.tell(Told::Close { how: Close::Drop }),
            (refused, _) => return Err(refused),
        }
        Ok(())
    }

    fn poll(&mut self) -> Step<T, Event> {
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        match self.link.conn().filter(|_| !self.unsent.is_empty() && self.wire.takes_bytes()) {
            Some(conn) => {
                self.wire.asked();
                Step::Write { conn }
            }
            None => Step::Wait(self.next_deadline()),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let fresh = self.link.state() == link::State::Idle;
        let writes = self.link.conn().is_some() && !self.unsent.is_empty() && self.wire.takes_bytes();
        if fresh || writes || !self.steps.is_empty() { Some(Instant::EPOCH) } else { self.link.deadline() }
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
