//! A machine that dials, driven by its owner.
//!
//! # Theory of operation
//!
//! A session is no task. It turns when its owner polls it, and an owner that does not poll it lets it stand still; the
//! machine then notices that its timer calls come late, says `Stalled`, and convicts nobody for it. What it has in common
//! with a session over datagrams is in `driver.rs`.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use resound_core::stream::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::port::{Lines, Switchboard};
use resound_sockets::tcp::{DialOptions, Target};

use crate::driver::{Driver, Handle, Turned, each, until};
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
    driver: Driver<M, M::Event, R::Timer>,
    lines: Lines<R::Socket>,
    dial: DialOptions,
    pool: Arc<Pool>,
}

impl<M: Machine<Target: Target>, R: Runtime> Session<M, R> {
    /// Puts a machine on sockets. Nothing happens before it is polled.
    pub fn new(machine: M, setup: Setup) -> Self {
        Self {
            driver: Driver::new(machine, setup.clock),
            lines: Lines::default(),
            dial: setup.dial,
            pool: setup.pool,
        }
    }

    /// A handle for commands. It may go to other tasks and threads.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.driver.handle()
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
}

impl<M: Machine<Target: Target>, R: Runtime> Stream for Session<M, R> {
    type Item = M::Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        let Self { driver, lines, dial, pool } = self.get_mut();
        driver.poll_next(cx, |machine, clock, events, cx| {
            let mut port = Switchboard::new(lines, dial, pool, cx);
            let until = turn(machine, &mut port, || clock.now(), |event| events.push_back(event));
            Turned::after(until, port.exhausted(), machine.is_done())
        })
    }
}

/// Nothing in it is pinned in place.
impl<M: Machine, R: Runtime> Unpin for Session<M, R> {}

impl<M: Machine + fmt::Debug, R: Runtime> fmt::Debug for Session<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("machine", &self.driver)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}
