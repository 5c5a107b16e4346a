//! A machine that dials, driven by its owner.
//!
//! # Theory of operation
//!
//! ```text
//!   Handle ── command ──►┌─────────┐        ┌──────────┐
//!   Handle ── command ──►│ machine │◄─turn─►│ sockets, │
//!        (any thread)    └─────────┘        │ timer    │     both belong to the session
//!                             │             └──────────┘
//!                             ▼ events, until all are taken
//!                    Stream::poll_next  ──►  the owner
//! ```
//!
//! A session is no task. It turns when its owner polls it, and an owner that does not poll it lets it stand still; the
//! machine then notices that its timer calls come late, says `Stalled`, and convicts nobody for it.
//!
//! A command is applied to the machine at once, under its lock: it is accepted or refused before the call returns. There
//! is no queue between that could be full, or lose something when a future is dropped. The driver is woken to do what
//! follows.
//!
//! Events wait in the session until the owner has taken them, and while one waits the machine is not turned. So the
//! events of one turn are all that is ever queued.

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
use resound_core::stream::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::port::{Lines, Switchboard};
use resound_sockets::tcp::{DialOptions, Target};

use crate::alarm::Alarm;
use crate::runtime::Runtime;

/// What a session works with. The default suits one session; many in one process may share a clock and a pool.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How to dial.
    pub dial: DialOptions,
    /// The clock that the machine's time comes from.
    pub clock: Clock,
    /// Where buffers for reading come from.
    pub pool: Arc<Pool>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { dial: DialOptions::default(), clock: Clock::start(), pool: Arc::default() }
    }
}

/// A machine with its sockets and its timer. Poll it, as a stream of events or with one of the `run` methods, or nothing
/// happens.
pub struct Session<M: Machine, R: Runtime> {
    shared: Arc<Shared<M>>,
    lines: Lines<R::Socket>,
    alarm: Alarm<R::Timer>,
    events: VecDeque<M::Event>,
    dial: DialOptions,
    pool: Arc<Pool>,
    pace: Pace,
}

/// A wish for a machine, from anywhere.
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

/// Whether the session may turn at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Free,
    /// The last turn took in as much as one may: let other tasks run first.
    Yield,
}

/// What a turn leads to.
struct Turned {
    until: Option<Instant>,
    over: bool,
}

/// How often one poll turns the machine before other tasks have their turn.
const TURNS: u8 = 4;

impl<M: Machine<Target: Target>, R: Runtime> Session<M, R> {
    /// Puts a machine on sockets. Nothing happens before it is polled.
    pub fn new(machine: M, setup: Setup) -> Self {
        let state = State { machine, driver: None, waiting: Vec::new() };
        Self {
            shared: Arc::new(Shared { clock: setup.clock, state: Mutex::new(state) }),
            lines: Lines::default(),
            alarm: Alarm::default(),
            events: VecDeque::new(),
            dial: setup.dial,
            pool: setup.pool,
            pace: Pace::Free,
        }
    }

    /// A handle for commands. It may go to other tasks and threads.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        Handle { shared: self.shared.clone() }
    }

    /// Drives to the end of the machine, and discards what it tells.
    pub async fn run(self) {
        self.run_with(drop).await;
    }

    /// Drives to the end of the machine, and gives what it tells to `event`.
    pub async fn run_with(mut self, event: impl FnMut(M::Event)) {
        each(&mut self, event).await;
    }

    /// Drives until `future` is ready, and gives what the machine tells meanwhile to `event`. If the machine ends first,
    /// `future` is still waited for.
    pub async fn run_until<F: Future>(&mut self, future: F, event: impl FnMut(M::Event)) -> F::Output {
        until(self, future, event).await
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turned {
        let mut state = self.shared.lock();
        let State { machine, driver, waiting } = &mut *state;
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        let mut port = Switchboard::new(&mut self.lines, &self.dial, &self.pool, cx);
        let until =
            turn(machine, &mut port, || self.shared.clock.now(), |event| self.events.push_back(event));
        let early = until == Some(Instant::EPOCH);
        self.pace = if port.exhausted() || early { Pace::Yield } else { Pace::Free };
        let turned = Turned { until, over: machine.is_done() };
        let woken =
            if self.events.is_empty() && !turned.over { Vec::new() } else { core::mem::take(waiting) };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        turned
    }
}

impl<M: Machine<Target: Target>, R: Runtime> Stream for Session<M, R> {
    type Item = M::Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        let this = self.get_mut();
        for _ in 0..TURNS {
            if let Some(event) = this.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if core::mem::replace(&mut this.pace, Pace::Free) == Pace::Yield {
                break;
            }
            let Turned { until, over } = this.turn(cx);
            if !this.events.is_empty() {
                continue;
            }
            if over {
                return Poll::Ready(None);
            }
            if this.pace == Pace::Free && this.alarm.poll(&this.shared.clock, until, cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nothing in it is pinned in place.
impl<M: Machine, R: Runtime> Unpin for Session<M, R> {}

impl<M: Machine + fmt::Debug, R: Runtime> fmt::Debug for Session<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("machine", &self.shared.lock().machine)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Handle<M> {
    /// Asks the machine for something; accepted or refused before this returns. Only [`Session`] does what follows: a
    /// command that is accepted after the session was dropped has no effect.
    ///
    /// # Errors
    ///
    /// As the machine refuses it: the command is given back, and nothing has changed.
    pub fn command(&self, command: M::Command) -> Result<(), M::Refused> {
        self.with(|machine, now| machine.command(now, command))
    }

    /// The time on the session's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Looks at the machine, or asks it for something; the driver is woken if that was accepted.
    pub(crate) fn with<T, E>(&self, ask: impl FnOnce(&mut M, Instant) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.shared.lock();
        let answer = ask(&mut state.machine, self.shared.clock.now());
        let driver = if answer.is_ok() { state.driver.take() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        answer
    }

    /// As [`with`](Self::with); if `again` says of the refusal that it will pass, the task is woken after the next
    /// turn in which something happened. Asking and registering are one step, so that no wake-up is lost.
    pub(crate) fn poll_with<T, E>(
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
