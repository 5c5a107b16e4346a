//! A machine with its sockets, driven by the thread that asks it for events.
//!
//! # Theory of operation
//!
//! ```text
//!   the driving thread                           any thread
//!   next_event ─► turn ─► sleep in poll(2) ──┐     handle.command ─► machine
//!                  ▲        lock not held    │            │
//!                  └─────────────────────────┴── waker ◄──┘  only if the driver sleeps
//! ```
//!
//! One lock guards the machine. It is held for a turn, whose calls never block, and for a command; never while the
//! driver sleeps, and never while the program looks at an event. So a command is accepted or refused at once, from any
//! thread, in one step and without a second queue.
//!
//! Nothing happens between two calls of [`Session::next_event`]: no probe is sent, no byte is read. A session that was
//! left alone for longer than its timers allow says so when it is driven again, with the machine's own event for a
//! local stall, and blames nobody.

use core::net::SocketAddr;
use core::time::Duration;
use core::{fmt, mem};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resound_core::Instant;
use resound_core::stream::Machine;
use resound_sockets::clock::Clock;
use resound_sockets::poll::Waker;
use resound_sockets::pool::{CHUNK_BYTES, Pool};
use resound_sockets::port::Lines;
use resound_sockets::tcp::DialOptions;

use crate::sockets::{Polled, Slept, sleep, turn};

/// Any machine that dials addresses, on blocking std: the echo client, or your own protocol around
/// [`Link`](resound_core::link::Link). Dropping it closes its sockets.
pub struct Session<M: Machine<Target = SocketAddr>> {
    shared: Arc<Shared<M>>,
    lines: Lines<Polled>,
    options: DialOptions,
    pool: Pool,
    events: VecDeque<M::Event>,
}

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quiet {
    /// Nothing happened in time.
    TimedOut,
    /// Nothing will ever happen again: the machine is done.
    Finished,
}

/// Asks a session's machine for something, from any thread.
pub struct Handle<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    waker: Waker,
    clock: Clock,
}

struct State<M> {
    machine: M,
    driver: Driver,
}

/// What the driving thread is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    /// It will look at the machine before it sleeps.
    Awake,
    /// It must be woken.
    Asleep,
}

/// What a turn led to.
enum Turned {
    Done,
    /// Nothing to do before this time.
    Quiet(Option<Instant>),
}

impl<M: Machine<Target = SocketAddr>> Session<M> {
    /// A session of this machine. Nothing is dialed before somebody drives it.
    ///
    /// # Errors
    ///
    /// The process or the system has no descriptor left for the waker.
    pub fn new(machine: M, options: DialOptions) -> io::Result<Self> {
        let state = Mutex::new(State { machine, driver: Driver::Awake });
        let shared = Arc::new(Shared { state, waker: Waker::new()?, clock: Clock::start() });
        // One chunk is lent at a time; a client's machine never keeps it.
        let pool = Pool::new(CHUNK_BYTES, 1);
        Ok(Self { shared, lines: Lines::default(), options, pool, events: VecDeque::new() })
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Drives the machine until it tells something, and returns that. Events come one by one, in order.
    ///
    /// # Errors
    ///
    /// [`Quiet::TimedOut`] if nothing happened within `timeout`; [`Quiet::Finished`] if nothing ever will.
    pub fn next_event(&mut self, timeout: Duration) -> Result<M::Event, Quiet> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let clock = self.shared.clock;
        let until = clock.now() + timeout;
        let mut then = Driver::Asleep;
        loop {
            let turned = self.turn(then);
            match (self.events.pop_front(), turned) {
                (Some(event), _) => return Ok(event),
                (None, Turned::Done) => return Err(Quiet::Finished),
                (None, Turned::Quiet(_)) if then == Driver::Awake => return Err(Quiet::TimedOut),
                (None, Turned::Quiet(deadline)) => {
                    self.sleep(deadline.map_or(until, |deadline| deadline.min(until)));
                }
            }
            if clock.now() >= until {
                then = Driver::Awake;
            }
        }
    }

    /// Drives the machine until it is done, and shows every event to `event`.
    pub fn run_with(&mut self, mut event: impl FnMut(M::Event)) {
        loop {
            match self.next_event(Duration::MAX) {
                Ok(told) => event(told),
                Err(Quiet::TimedOut) => {}
                Err(Quiet::Finished) => return,
            }
        }
    }

    /// Drives the machine until it is done. Its events are dropped.
    pub fn run(&mut self) {
        self.run_with(drop);
    }

    /// One turn; `then` says what the driver does after it, unless there are events.
    fn turn(&mut self, then: Driver) -> Turned {
        let clock = self.shared.clock;
        let mut state = self.shared.lock();
        let events = &mut self.events;
        let tell = |event| events.push_back(event);
        let deadline = turn(&mut state.machine, &mut self.lines, &self.options, &self.pool, clock, tell);
        state.driver = if events.is_empty() { then } else { Driver::Awake };
        if state.machine.is_done() { Turned::Done } else { Turned::Quiet(deadline) }
    }

    fn sleep(&mut self, until: Instant) {
        let Shared { waker, clock, .. } = &*self.shared;
        if sleep(&self.lines, waker, Some(clock.until(until))) == Slept::Woken {
            waker.clear();
        }
    }
}

impl<M: Machine> Handle<M> {
    /// Asks for something. It is accepted or refused before this returns; the driving thread is woken.
    ///
    /// # Errors
    ///
    /// As the machine refuses it: the command comes back unchanged.
    pub fn command(&self, command: M::Command) -> Result<(), M::Refused> {
        self.with(|machine, now| machine.command(now, command))
    }

    /// Lets `look` look at the machine: its state, its round-trip time. The driving thread waits meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.shared.lock().machine)
    }

    /// The time on the session's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut M, Instant) -> R) -> R {
        let mut state = self.shared.lock();
        let result = change(&mut state.machine, self.shared.clock.now());
        let driver = mem::replace(&mut state.driver, Driver::Awake);
        drop(state);
        if driver == Driver::Asleep {
            self.shared.waker.wake();
        }
        result
    }
}

impl<M> Shared<M> {
    /// A machine whose method panicked is the panicking thread's affair; the lock itself guards nothing more.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<M: Machine<Target = SocketAddr>> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "nothing happened in time",
            Self::Finished => "nothing will happen any more",
        })
    }
}

impl core::error::Error for Quiet {}
