//! A single-threaded event loop over `mio` that drives machines of the core.
//!
//! Read this if you want to use Resound in a runtime that has no adapter. Nothing here is special to echo: your own
//! protocol, a [`Machine`] around [`Link`](resound_core::link::Link), runs in it unchanged; see
//! [`own_protocol`](crate::own_protocol).
//!
//! # What you have to write
//!
//! A machine decides, and never makes a call. [`turn`] asks it for steps until there are none, and a [`Switchboard`]
//! makes the calls. Three things are left that only your loop can do:
//!
//! 1. **Sleep** until a socket has something to say, or until the time that the last turn returned.
//! 2. **Remember** what the sockets said ([`mio_port`](crate::mio_port)), so that the switchboard can ask for it.
//! 3. **Take a turn** of each machine whose socket spoke, whose time has come, or that was given a command.
//!
//! ```text
//!        ┌─────────────────── Loop::next_event ──────────────────────┐
//!        ▼                                                           │
//!   mio: sleep until readiness or the earliest time ──► machines become due
//!        ▲                                                           │
//!        └── until when to sleep ◄── turn(machine, switchboard) ◄────┘ ──► events, one by one, to the program
//! ```
//!
//! That is all. There is no call order to get right beyond it: early and repeated turns change nothing, a late one is
//! noticed by the machine and reported as a local stall.
//!
//! # What this loop takes care of
//!
//! * **When each machine is due** is kept beside it, and all are looked at before each sleep. That is good for hundreds;
//!   a loop for thousands keeps these times in order.
//! * **A turn is bounded.** What it leaves is due at once, after the sockets of the others were looked at.
//! * **Events are taken, not called back.** Nothing is borrowed while the program looks at one, so it may answer with a
//!   command at once. A program that takes none lets everything stand still.
//! * **Another thread** gets in through a [`mio::Waker`]: the loop tells [`Told::Woken`], and the program looks into
//!   whatever queue it shares with that thread.
//!
//! The listener is one more thing that becomes due; it is in [`mio_server`](crate::mio_server).

use core::net::SocketAddr;
use std::collections::{HashMap, VecDeque};
use std::io;

use mio::{Events, Poll, Token, Waker};
use resound_core::Instant;
use resound_core::stream::admission::Event as ServerEvent;
use resound_core::stream::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::port::{Lines, Switchboard};
use resound_sockets::tcp::{DialOptions, Target};

use crate::mio_port::Watched;
use crate::mio_server::Accepting;

/// Names a machine in the loop, and for mio all of its sockets.
pub type Key = usize;

/// What the loop's own affairs are named.
pub(crate) const LISTENER: Key = 0;
const WAKER: Key = 1;

/// What happened.
pub enum Told<E> {
    /// A machine said something.
    Machine(Key, E),
    /// The server said something, or one of its connections.
    Server(ServerEvent<E>),
    /// Another thread used the waker.
    Woken,
}

/// The event loop.
pub struct Loop<M: Machine> {
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) driven: HashMap<Key, Driven<M>>,
    pub(crate) server: Option<Accepting<M>>,
    pub(crate) told: VecDeque<Told<M::Event>>,
    dial: DialOptions,
    pool: Pool,
    last_key: Key,
}

/// A machine with its sockets.
pub(crate) struct Driven<M> {
    pub(crate) machine: M,
    lines: Lines<Watched>,
    /// Whom it serves, if it came from the listener.
    pub(crate) serves: Option<SocketAddr>,
    /// When its next turn is due, if not when a socket speaks.
    pub(crate) due: Option<Instant>,
}

impl<M: Machine<Target: Target>> Loop<M> {
    /// A loop without machines. Those to come dial like this.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new(dial: DialOptions) -> io::Result<Self> {
        let (driven, server, told, last_key) = (HashMap::new(), None, VecDeque::new(), WAKER);
        let (poll, clock, pool) = (Poll::new()?, Clock::start(), Pool::default());
        Ok(Self { poll, clock, driven, server, told, dial, pool, last_key })
    }

    /// The clock that all machines in the loop live by.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What wakes the loop from another thread. There is one for each loop.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), Token(WAKER))
    }

    /// Puts a machine in. Its first turn is due.
    pub fn add(&mut self, machine: M) -> Key {
        self.insert(machine, Lines::default(), None)
    }

    /// A machine that was [`add`](Self::add)ed, to give it a command. Its turn is due.
    pub fn machine(&mut self, key: Key) -> Option<&mut M> {
        let driven = self.driven.get_mut(&key)?;
        driven.due = Some(Instant::EPOCH);
        Some(&mut driven.machine)
    }

    /// What happens next; `None` when the server and all machines are done.
    ///
    /// # Errors
    ///
    /// What the system's poll said.
    pub fn next_event(&mut self) -> io::Result<Option<Told<M::Event>>> {
        let done = |driven: &Driven<M>| driven.machine.is_done();
        while self.told.is_empty() && !(self.server.is_none() && self.driven.values().all(done)) {
            self.sleep()?;
            self.accept();
            let now = self.clock.now();
            let due = self.driven.iter().filter(|(_, driven)| driven.due.is_some_and(|due| due <= now));
            let due: Vec<Key> = due.map(|(&key, _)| key).collect();
            due.into_iter().for_each(|key| self.turn(key));
        }
        Ok(self.told.pop_front())
    }

    fn sleep(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let due = self.driven.values().map(|driven| driven.due);
        let due = due.chain(self.server.as_ref().map(|server| server.due)).flatten().min();
        match self.poll.poll(&mut events, due.map(|due| self.clock.until(due))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            slept => slept?,
        }
        for what in &events {
            match (what.token().0, &mut self.server) {
                (WAKER, _) => self.told.push_back(Told::Woken),
                (LISTENER, Some(server)) => server.due = Some(Instant::EPOCH),
                (key, _) => self.driven.get_mut(&key).into_iter().for_each(|driven| {
                    driven.lines.sockets().for_each(|socket| socket.told(what));
                    driven.due = Some(Instant::EPOCH);
                }),
            }
        }
        Ok(())
    }

    fn turn(&mut self, key: Key) {
        let Some(driven) = self.driven.get_mut(&key) else { return };
        let (clock, serves, told) = (self.clock, driven.serves, &mut self.told);
        let mut cx = (self.poll.registry(), Token(key));
        let mut port = Switchboard::new(&mut driven.lines, &self.dial, &self.pool, &mut cx);
        let until = turn(
            &mut driven.machine,
            &mut port,
            || clock.now(),
            |event| {
                told.push_back(match serves {
                    Some(peer) => Told::Server(ServerEvent::Connection { peer, event }),
                    None => Told::Machine(key, event),
                });
            },
        );
        driven.due = if port.exhausted() { Some(Instant::EPOCH) } else { until };
        if let (true, Some(peer)) = (driven.machine.is_done(), serves) {
            self.driven.remove(&key);
            self.served(peer);
        }
    }

    pub(crate) fn insert(&mut self, machine: M, lines: Lines<Watched>, serves: Option<SocketAddr>) -> Key {
        self.last_key += 1;
        self.driven.insert(self.last_key, Driven { machine, lines, serves, due: Some(Instant::EPOCH) });
        self.last_key
    }
}
