//! What drives a machine, whatever it speaks: the lock, the handle, the events that wait, and when to turn.
//!
//! ```text
//!   Handle ──►┌─────────┐        ┌──────────┐
//!   Handle ──►│ machine │◄─turn─►│ sockets, │   a turn is the session's: it knows which kind of sockets
//!  any thread └─────────┘        │ timer    │
//!                  │             └──────────┘
//!                  ▼ events, until all are taken
//!         Driver::poll_next  ──►  the owner
//! ```
//!
//! A wish is applied to the machine at once, under its lock: it is accepted or refused before the call returns. There is
//! no queue between that could be full, or lose something when a future is dropped. The driver is woken to do what
//! follows.
//!
//! Events wait until the owner has taken them, and while one waits the machine is not turned. So the events of one turn
//! are all that is ever queued.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use resound_core::Instant;
use resound_core::{datagram, stream};
use resound_sockets::clock::Clock;

use crate::alarm::Alarm;
use crate::runtime::Timer;

/// A wish for a machine, from anywhere. Clones may go to other tasks and threads.
pub struct Handle<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    clock: Clock,
    state: Mutex<State<M>>,
}

struct State<M> {
    machine: M,
    /// Wakes the owner of the session. Taken by whoever wakes it, so that it is woken once per turn.
    driver: Option<Waker>,
    /// Who waits for the machine to have turned.
    waiting: Vec<Waker>,
}

/// A machine, its timer, and what it has told.
pub(crate) struct Driver<M, E, T> {
    shared: Arc<Shared<M>>,
    alarm: Alarm<T>,
    events: VecDeque<E>,
    pace: Pace,
    /// How often it turned since other tasks had theirs.
    turns: u8,
}

/// Whether the driver may turn at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Free,
    /// The last turn took in as much as one may: let other tasks run first.
    Yield,
}

/// What a turn leads to.
pub(crate) struct Turned {
    pub(crate) until: Option<Instant>,
    pub(crate) pace: Pace,
    pub(crate) over: bool,
}

impl Turned {
    /// After a turn of the core's, which says by a time that has long passed that it returned early.
    pub(crate) fn after(until: Option<Instant>, exhausted: bool, over: bool) -> Self {
        let pace = if exhausted || until == Some(Instant::EPOCH) { Pace::Yield } else { Pace::Free };
        Self { until, pace, over }
    }
}

/// How often the machine is turned before other tasks have their turn, however many events the owner takes meanwhile.
const TURNS: u8 = 16;

impl<M, E, T: Timer> Driver<M, E, T> {
    pub(crate) fn new(machine: M, clock: Clock) -> Self {
        let state = State { machine, driver: None, waiting: Vec::new() };
        Self {
            shared: Arc::new(Shared { clock, state: Mutex::new(state) }),
            alarm: Alarm::default(),
            events: VecDeque::new(),
            pace: Pace::Free,
            turns: 0,
        }
    }

    pub(crate) fn handle(&self) -> Handle<M> {
        Handle { shared: self.shared.clone() }
    }

    /// The next event. `turn` turns the machine on its sockets, once.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        mut turn: impl FnMut(&mut M, Clock, &mut VecDeque<E>, &mut Context<'_>) -> Turned,
    ) -> Poll<Option<E>> {
        while self.turns < TURNS {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if core::mem::replace(&mut self.pace, Pace::Free) == Pace::Yield {
                break;
            }
            self.turns += 1;
            let Turned { until, pace, over } = self.turn(cx, &mut turn);
            self.pace = pace;
            if !self.events.is_empty() {
                continue;
            }
            if over {
                return Poll::Ready(None);
            }
            if self.pace == Pace::Free && self.alarm.poll(&self.shared.clock, until, cx).is_pending() {
                self.turns = 0;
                return Poll::Pending;
            }
        }
        self.turns = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        turn: impl FnOnce(&mut M, Clock, &mut VecDeque<E>, &mut Context<'_>) -> Turned,
    ) -> Turned {
        let mut state = self.shared.lock();
        let State { machine, driver, waiting } = &mut *state;
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        let turned = turn(machine, self.shared.clock, &mut self.events, cx);
        let woken =
            if self.events.is_empty() && !turned.over { Vec::new() } else { core::mem::take(waiting) };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        turned
    }
}

impl<M: fmt::Debug, E, T> fmt::Debug for Driver<M, E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.lock().machine.fmt(f)
    }
}

impl<M> Handle<M> {
    /// The time on the session's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Asks the machine for something; the driver is woken if that was accepted.
    pub(crate) fn ask<T, E>(&self, ask: impl FnOnce(&mut M, Instant) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.shared.lock();
        let answer = ask(&mut state.machine, self.shared.clock.now());
        let driver = if answer.is_ok() { state.driver.take() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        answer
    }

    /// As [`ask`](Self::ask); if `again` says of the refusal that it will pass, the task is woken after the next turn in
    /// which something happened. Asking and registering are one step, so that no wake-up is lost.
    pub(crate) fn poll_ask<T, E>(
        &self,
        cx: &mut Context<'_>,
        ask: impl FnOnce(&mut M, Instant) -> Result<T, E>,
        again: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let mut state = self.shared.lock();
        let answer = ask(&mut state.machine, self.shared.clock.now());
        let driver = match &answer {
            Ok(_) => state.driver.take(),
            Err(refused) => {
                if again(refused) && !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.waiting.push(cx.waker().clone());
                }
                None
            }
        };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        answer
    }

    /// Looks at the machine, and wakes nobody.
    pub(crate) fn look_at<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.shared.lock().machine)
    }
}

impl<M: stream::Machine> Handle<M> {
    /// Asks the machine for something; accepted or refused before this returns. Only the session does what follows: a
    /// command that is accepted after the session was dropped has no effect.
    ///
    /// # Errors
    ///
    /// As the machine refuses it: the command is given back, and nothing has changed.
    pub fn command(&self, command: M::Command) -> Result<(), M::Refused> {
        self.ask(|machine, now| machine.command(now, command))
    }
}

impl<M: datagram::Machine> Handle<M> {
    /// Asks the machine for something, by its own methods: `handle.with(|client, now| client.add(now, addr))`. It is done
    /// when this returns; the driver is woken for what follows. Meanwhile the driver waits, so `ask` must not.
    ///
    /// Telling it facts or polling it is the driver's affair: what `ask` takes out of it is lost to the session.
    pub fn with<T>(&self, ask: impl FnOnce(&mut M, Instant) -> T) -> T {
        match self.ask(|machine, now| Ok::<T, core::convert::Infallible>(ask(machine, now))) {
            Ok(answer) => answer,
        }
    }

    /// Looks at the machine. The driver waits meanwhile, and is not woken.
    pub fn look<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        self.look_at(look)
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<M> Shared<M> {
    /// A machine that panicked is not the handle's fault; the panic has been seen where it happened.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives every item of a stream to `event`.
pub(crate) async fn each<S: Stream + Unpin>(stream: &mut S, mut event: impl FnMut(S::Item)) {
    while let Some(item) = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await {
        event(item);
    }
}

/// Polls a stream for as long as `future` takes.
pub(crate) async fn until<S: Stream + Unpin, F: Future>(
    stream: &mut S,
    future: F,
    mut event: impl FnMut(S::Item),
) -> F::Output {
    let mut future = pin!(future);
    let mut over = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if over {
                return Poll::Pending;
            }
            match Pin::new(&mut *stream).poll_next(cx) {
                Poll::Ready(Some(item)) => event(item),
                Poll::Ready(None) => over = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Takes what a stream still tells, after its machine was told to end at once, and ends with it.
pub(crate) fn exhaust<S: Stream + Unpin>(stream: &mut S) {
    let mut cx = Context::from_waker(Waker::noop());
    // Pending once, if the last turn was to be followed by a pause. After an abort one turn says everything.
    let mut pauses = 0;
    while pauses < 2 {
        match Pin::new(&mut *stream).poll_next(&mut cx) {
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => break,
            Poll::Pending => pauses += 1,
        }
    }
}
