//! A single-threaded event loop over `mio` that drives any machine of the core.
//!
//! Read this if you want to use Resound in a runtime that has no adapter. Nothing here is special to echo: your own
//! protocol, a [`Machine`] around [`Link`](resound_core::link::Link), runs in it unchanged.
//!
//! # What you have to write
//!
//! A machine decides, and never makes a call. You make the calls, and tell it what came of them. [`turn`] does that for
//! you: it asks the machine for steps until there are none. What it needs from you is a port, about ten short methods
//! ([`mio_port`](crate::mio_port)), and then there are three things left that only your loop can do:
//!
//! 1. **Sleep** until a socket has something to say, or until the time that the last turn returned.
//! 2. **Remember** what the sockets said, so that the port can hand it out.
//! 3. **Take a turn** of each machine whose socket spoke, whose time has come, or that was given a command.
//!
//! ```text
//!        ┌──────────────────────── Loop::run ────────────────────────┐
//!        ▼                                                           │
//!   every task that is due: ──► turn(machine, port) ──► events ──► the program
//!        │                          │                                │ commands
//!        ▼                          └─► until when to sleep          ▼
//!   mio: sleep until readiness or the earliest of those times ──► tasks become due
//! ```
//!
//! That is all. There is no call order to get right beyond it: early and repeated turns change nothing, a late one is
//! noticed by the machine and reported as a local stall.
//!
//! # What this loop takes care of
//!
//! * **A task that sleeps costs nothing.** Those that are due are found by time, not by asking all of them.
//! * **Events are shown after the turn.** The program may answer one with a command, and the machine is not borrowed
//!   then.
//!
//! It leaves out threads: see `resound-std` for a handle that commands a machine from another thread.

use core::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::rc::Rc;

use mio::event::Event as Told;
use mio::{Events, Poll, Registry};
use resound_core::Instant;
use resound_core::stream::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::tcp::Target;

use crate::mio_port::Sockets;

/// Names a task, and for mio all of its sockets.
pub type Key = usize;

/// Something that the loop turns: a machine with its sockets, or a listener.
pub trait Task {
    /// mio said something of its sockets.
    fn told(&mut self, what: &Told);
    /// Does all there is to do. `cx` is the loop, which does not hold this task meanwhile.
    fn turn(&mut self, cx: &mut Loop) -> Then;
}

/// What a task needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// A turn when its sockets speak, or at this time.
    Sleep(Option<Instant>),
    /// Nothing any more: drop it.
    Done,
}

/// The event loop.
pub struct Loop {
    poll: Poll,
    clock: Clock,
    tasks: HashMap<Key, Slot>,
    /// When each task is due, in order: one that sleeps costs nothing.
    due: BTreeSet<(Instant, Key)>,
    next_key: Key,
}

struct Slot {
    task: Box<dyn Task>,
    due: Option<Instant>,
}

impl Loop {
    /// A loop without tasks.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let (tasks, due) = (HashMap::new(), BTreeSet::new());
        Ok(Self { poll: Poll::new()?, clock: Clock::start(), tasks, due, next_key: 0 })
    }

    /// The clock that all machines in the loop live by.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Where sockets are registered.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// A key for a task to come.
    pub const fn new_key(&mut self) -> Key {
        self.next_key += 1;
        self.next_key
    }

    /// Puts a task in. Its first turn is due.
    pub fn add(&mut self, key: Key, task: Box<dyn Task>) {
        self.tasks.insert(key, Slot { task, due: None });
        self.wake(key);
    }

    /// A turn of this task is due: after a command, for example.
    pub fn wake(&mut self, key: Key) {
        if let Some(slot) = self.tasks.get_mut(&key) {
            if let Some(before) = slot.due.replace(Instant::EPOCH) {
                self.due.remove(&(before, key));
            }
            self.due.insert((Instant::EPOCH, key));
        }
    }

    /// Runs until no task is left.
    ///
    /// # Errors
    ///
    /// What the system's poll said.
    pub fn run(mut self) -> io::Result<()> {
        let mut told = Events::with_capacity(256);
        loop {
            let now = self.clock.now();
            let due: Vec<_> = self.due.range(..=(now, Key::MAX)).copied().collect();
            due.into_iter().for_each(|(_, key)| self.turn(key));
            if self.tasks.is_empty() {
                return Ok(());
            }
            let timeout = self.due.first().map(|&(at, _)| self.clock.until(at));
            match self.poll.poll(&mut told, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                slept => slept?,
            }
            for what in &told {
                if let Some(slot) = self.tasks.get_mut(&what.token().0) {
                    slot.task.told(what);
                    self.wake(what.token().0);
                }
            }
        }
    }

    /// The task is taken out meanwhile, so that it may have the loop.
    fn turn(&mut self, key: Key) {
        let Some(Slot { mut task, due }) = self.tasks.remove(&key) else { return };
        due.map(|at| self.due.remove(&(at, key)));
        if let Then::Sleep(due) = task.turn(self) {
            self.due.extend(due.map(|at| (at, key)));
            self.tasks.insert(key, Slot { task, due });
        }
    }
}

/// A machine with its sockets, as a task. The program keeps the other end of the `Rc`, for commands; `event` is called
/// with what the machine tells.
pub struct Driven<M, F> {
    machine: Rc<RefCell<M>>,
    sockets: Sockets,
    event: F,
}

impl<M, F> Driven<M, F> {
    /// The task.
    pub const fn new(machine: Rc<RefCell<M>>, sockets: Sockets, event: F) -> Self {
        Self { machine, sockets, event }
    }
}

impl<M: Machine<Target: Target>, F: FnMut(M::Event, &mut Loop)> Task for Driven<M, F> {
    fn told(&mut self, what: &Told) {
        self.sockets.told(what);
    }

    fn turn(&mut self, cx: &mut Loop) -> Then {
        let clock = cx.clock();
        self.sockets.begin_turn();
        loop {
            let mut events = Vec::new();
            let mut machine = self.machine.borrow_mut();
            let until = turn(&mut *machine, &mut self.sockets, || clock.now(), |event| events.push(event));
            let done = machine.is_done();
            drop(machine);
            match (events.is_empty(), done) {
                (false, _) => events.into_iter().for_each(|event| (self.event)(event, cx)),
                (true, true) => return Then::Done,
                (true, false) if self.sockets.has_more() => return Then::Sleep(Some(Instant::EPOCH)),
                (true, false) => return Then::Sleep(until),
            }
        }
    }
}
