//! A machine on one socket, driven by its owner.
//!
//! As a [session](crate::Session) over streams it is no task: it turns when it is polled, and one that is left alone lets
//! its machine notice that its timer calls come late.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::UdpSocket;

use futures_core::Stream;
use resound_core::datagram::{Machine, turn};
use resound_sockets::clock::Clock;
use resound_sockets::udp::{Endpoint, Exchange, Sizes, Socket as _, describe};

use crate::driver::{Driver, Handle, Turned, each, until};
use crate::runtime::Runtime;

/// What a session works with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The clock that the machine's time comes from. Many sessions in one process may share one.
    pub clock: Clock,
    /// How much room there is for datagrams that come and go.
    pub sizes: Sizes,
}

impl Default for Setup {
    fn default() -> Self {
        Self { clock: Clock::start(), sizes: Sizes::default() }
    }
}

/// A machine with its socket and its timer. Poll it, as a stream of events or with one of the `run` methods, or nothing
/// happens.
pub struct Session<M: Machine, R: Runtime> {
    driver: Driver<M, M::Event, R::Timer>,
    endpoint: Endpoint<R::UdpSocket>,
    local_addr: SocketAddr,
}

impl<M: Machine, R: Runtime> Session<M, R> {
    /// Puts a machine on a socket that was made by [`bind`](resound_sockets::udp::bind). Nothing happens before it is
    /// polled.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the socket, or it is not bound.
    pub fn new(machine: M, socket: UdpSocket, setup: Setup) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        // To register wakes nobody; whoever polls the session is to be woken.
        let socket = R::UdpSocket::register(socket.into(), &mut Context::from_waker(Waker::noop()))?;
        Ok(Self {
            driver: Driver::new(machine, setup.clock),
            endpoint: Endpoint::new(socket, setup.sizes)?,
            local_addr,
        })
    }

    /// A handle for the machine. It may go to other tasks and threads.
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
        describe(self.endpoint.socket())
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

impl<M: Machine, R: Runtime> Stream for Session<M, R> {
    type Item = M::Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        let Self { driver, endpoint, .. } = self.get_mut();
        driver.poll_next(cx, |machine, clock, events, cx| {
            let mut port = Exchange::new(endpoint, cx);
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
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
