//! A machine that dials, with its sockets, driven by the thread that asks it for events. How it is driven is told in
//! `driver.rs`.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use resound_core::Instant;
use resound_core::stream::Machine;
use resound_sockets::clock::Clock;
use resound_sockets::poll::Waker;
use resound_sockets::pool::{CHUNK_BYTES, Pool};
use resound_sockets::port::Lines;
use resound_sockets::tcp::DialOptions;

use crate::driver::{Driver, Handle, Quiet, Slept, Sockets};
use crate::sockets::{Polled, sleep, turn};

/// Any machine that dials addresses, on blocking std: the echo client, or your own protocol around
/// [`Link`](resound_core::link::Link). Dropping it closes its sockets.
pub struct Session<M: Machine<Target = SocketAddr>> {
    driver: Driver<M, Streams>,
}

/// The sockets of one machine, and what they work with.
struct Streams {
    lines: Lines<Polled>,
    options: DialOptions,
    pool: Pool,
}

impl<M: Machine<Target = SocketAddr>> Sockets<M> for Streams {
    type Event = M::Event;

    fn turn(&mut self, machine: &mut M, clock: Clock, event: impl FnMut(M::Event)) -> Option<Instant> {
        turn(machine, &mut self.lines, &self.options, &self.pool, clock, event)
    }

    fn is_done(machine: &M) -> bool {
        machine.is_done()
    }

    fn sleep(&mut self, waker: &Waker, timeout: Duration) -> Slept {
        sleep(&self.lines, waker, Some(timeout))
    }
}

impl<M: Machine<Target = SocketAddr>> Session<M> {
    /// A session of this machine. Nothing is dialed before somebody drives it.
    ///
    /// # Errors
    ///
    /// The process or the system has no descriptor left for the waker.
    pub fn new(machine: M, options: DialOptions) -> io::Result<Self> {
        // One chunk is lent at a time; a client's machine never keeps it.
        let streams = Streams { lines: Lines::default(), options, pool: Pool::new(CHUNK_BYTES, 1) };
        Ok(Self { driver: Driver::new(machine, streams)? })
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.driver.handle()
    }

    /// Drives the machine until it tells something, and returns that. Events come one by one, in order.
    ///
    /// # Errors
    ///
    /// [`Quiet::TimedOut`] if nothing happened within `timeout`; [`Quiet::Finished`] if nothing ever will.
    pub fn next_event(&mut self, timeout: Duration) -> Result<M::Event, Quiet> {
        self.driver.next_event(timeout)
    }

    /// Drives the machine until it is done, and shows every event to `event`.
    pub fn run_with(&mut self, event: impl FnMut(M::Event)) {
        self.driver.run_with(event);
    }

    /// Drives the machine until it is done. Its events are dropped.
    pub fn run(&mut self) {
        self.run_with(drop);
    }
}

impl<M: Machine<Target = SocketAddr>> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lines", &self.driver.sockets.lines).finish_non_exhaustive()
    }
}
