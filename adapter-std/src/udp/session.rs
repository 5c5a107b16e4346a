//! A machine over datagrams with its socket, driven by the thread that asks it for events. How it is driven is told in
//! `driver.rs`.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use resound_core::Instant;
use resound_core::datagram::Machine;
use resound_sockets::udp::{Endpoint, Sizes, Socket as _, describe};

use super::socket::Polled;
use crate::driver::{Driver, Handle, Quiet};

/// Any machine over datagrams, on blocking std: the echo client, the echo server, or your own. Dropping it closes its
/// socket.
pub struct Session<M: Machine> {
    driver: Driver<M, Endpoint<Polled>>,
    local_addr: SocketAddr,
}

impl<M: Machine> Session<M> {
    /// Puts a machine on a socket that was made by [`bind`](resound_sockets::udp::bind). Nothing happens before somebody
    /// drives it.
    ///
    /// # Errors
    ///
    /// The process or the system has no descriptor left for the waker, or the socket is not bound.
    pub fn new(machine: M, socket: UdpSocket, sizes: Sizes) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        let endpoint = Endpoint::new(Polled::register(socket.into(), &mut ())?, sizes)?;
        Ok(Self { driver: Driver::new(machine, endpoint)?, local_addr })
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.driver.handle()
    }

    /// Where the socket is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The options of the socket as the kernel took them, by the names that `setsockopt` knows.
    #[must_use]
    pub fn socket_options(&self) -> Vec<(&'static str, String)> {
        describe(self.driver.sockets.socket())
    }

    /// Drives the machine until it tells something, and returns that. Events come one by one, in order.
    ///
    /// # Errors
    ///
    /// [`Quiet::TimedOut`] if nothing happened within `timeout`; [`Quiet::Finished`] if nothing ever will.
    pub fn next_event(&mut self, timeout: Duration) -> Result<M::Event, Quiet> {
        self.driver.next_event(timeout)
    }

    /// As `Driver::next_event_by`.
    pub(super) fn next_event_by(
        &mut self,
        until: impl FnOnce(Instant) -> Instant,
    ) -> Result<M::Event, Quiet> {
        self.driver.next_event_by(until)
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

impl<M: Machine> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}
