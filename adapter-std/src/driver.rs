//! What drives a machine on the thread that asks it for events, whatever it speaks.
//!
//! ```text
//!   the driving thread                           any thread
//!   next_event ─► turn ─► sleep in poll(2) ──┐     handle ─► machine
//!                  ▲        lock not held    │        │
//!                  └─────────────────────────┴─ waker ◄  only if the driver sleeps
//! ```
//!
//! One lock guards the machine. It is held for a turn, whose calls never block, and for a wish; never while the driver
//! sleeps, and never while the program looks at an event. So a wish is accepted or refused at once, from any thread, in
//! one step and without a second queue.
//!
//! Nothing happens between two calls of `next_event`: no probe is sent, nothing is read. A machine that was left alone
//! for longer than its timers allow says so when it is driven again, with its own event for a local stall, and blames
//! nobody.

use core::time::Duration;
use core::{fmt, mem};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resound_core::{Instant, datagram, stream};
use resound_sockets::clock::Clock;
use resound_sockets::poll::Waker;

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
    thread: Thread,
}

/// What the driving thread is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    /// It will look at the machine before it sleeps.
    Awake,
    /// It must be woken.
    Asleep,
}

/// What a machine's turns are taken on.
pub(crate) trait Sockets<M> {
    type Event;

    /// One turn; returns until when to sleep.
    fn turn(&mut self, machine: &mut M, clock: Clock, event: impl FnMut(Self::Event)) -> Option<Instant>;

    /// Whether the machine will never do anything again.
    fn is_done(machine: &M) -> bool;

    /// Sleeps until there is something that the last turn left wanting, the waker is awake, or the time is over.
    fn sleep(&mut self, waker: &Waker, timeout: Duration) -> Slept;
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// A socket is ready, or the time is over.
    Enough,
    /// The waker is awake.
    Woken,
}

/// A machine, its sockets, and what it has told.
pub(crate) struct Driver<M, S: Sockets<M>> {
    shared: Arc<Shared<M>>,
    pub(crate) sockets: S,
    events: VecDeque<S::Event>,
}

/// What a turn led to.
enum Turned {
    Done,
    /// Nothing to do before this time.
    Quiet(Option<Instant>),
}

impl<M, S: Sockets<M>> Driver<M, S> {
    pub(crate) fn new(machine: M, sockets: S) -> io::Result<Self> {
        let state = Mutex::new(State { machine, thread: Thread::Awake });
        let shared = Arc::new(Shared { state, waker: Waker::new()?, clock: Clock::start() });
        Ok(Self { shared, sockets, events: VecDeque::new() })
    }

    pub(crate) fn handle(&self) -> Handle<M> {
        Handle { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn next_event(&mut self, timeout: Duration) -> Result<S::Event, Quiet> {
        self.next_event_by(|now| now + timeout)
    }

    /// `until` says of the time that it is until when to wait. What is there already costs no look at the clock.
    pub(crate) fn next_event_by(
        &mut self,
        until: impl FnOnce(Instant) -> Instant,
    ) -> Result<S::Event, Quiet> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let clock = self.shared.clock;
        let until = until(clock.now());
        let mut then = Thread::Asleep;
        loop {
            let turned = self.turn(then);
            match (self.events.pop_front(), turned) {
                (Some(event), _) => return Ok(event),
                (None, Turned::Done) => return Err(Quiet::Finished),
                (None, Turned::Quiet(_)) if then == Thread::Awake => return Err(Quiet::TimedOut),
                (None, Turned::Quiet(deadline)) => {
                    self.sleep(deadline.map_or(until, |deadline| deadline.min(until)));
                }
            }
            if clock.now() >= until {
                then = Thread::Awake;
            }
        }
    }

    pub(crate) fn run_with(&mut self, mut event: impl FnMut(S::Event)) {
        loop {
            match self.next_event(Duration::MAX) {
                Ok(told) => event(told),
                Err(Quiet::TimedOut) => {}
                Err(Quiet::Finished) => return,
            }
        }
    }

    /// One turn; `then` says what the thread does after it, unless there are events.
    fn turn(&mut self, then: Thread) -> Turned {
        let mut state = self.shared.lock();
        let events = &mut self.events;
        let tell = |event| events.push_back(event);
        let deadline = self.sockets.turn(&mut state.machine, self.shared.clock, tell);
        state.thread = if events.is_empty() { then } else { Thread::Awake };
        if S::is_done(&state.machine) { Turned::Done } else { Turned::Quiet(deadline) }
    }

    fn sleep(&mut self, until: Instant) {
        let Shared { waker, clock, .. } = &*self.shared;
        if self.sockets.sleep(waker, clock.until(until)) == Slept::Woken {
            waker.clear();
        }
    }
}

impl<M> Handle<M> {
    /// The time on the session's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Lets `look` look at the machine: its state, its round-trip time. The driving thread waits meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.shared.lock().machine)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut M, Instant) -> R) -> R {
        let mut state = self.shared.lock();
        let result = change(&mut state.machine, self.shared.clock.now());
        let thread = mem::replace(&mut state.thread, Thread::Awake);
        drop(state);
        if thread == Thread::Asleep {
            self.shared.waker.wake();
        }
        result
    }
}

impl<M: stream::Machine> Handle<M> {
    /// Asks for something. It is accepted or refused before this returns; the driving thread is woken.
    ///
    /// # Errors
    ///
    /// As the machine refuses it: the command comes back unchanged.
    pub fn command(&self, command: M::Command) -> Result<(), M::Refused> {
        self.change(|machine, now| machine.command(now, command))
    }
}

impl<M: datagram::Machine> Handle<M> {
    /// Asks the machine for something, by its own methods: `handle.with(|client, now| client.add(now, addr))`. It is done
    /// when this returns, and the driving thread is woken for what follows. It waits meanwhile, so `ask` must not.
    ///
    /// Telling it facts or polling it is the driver's affair: what `ask` takes out of it is lost to the session.
    pub fn with<R>(&self, ask: impl FnOnce(&mut M, Instant) -> R) -> R {
        self.change(ask)
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

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "nothing happened in time",
            Self::Finished => "nothing will happen any more",
        })
    }
}

impl core::error::Error for Quiet {}
