//! The echo client of many peers, as users of async code expect it.
//!
//! It stands on [`Session`] and its handle, as a client of your own would. A message that was sent with
//! [`ClientHandle::echo`] is answered there, and its end is not among the events that the owner of the [`Client`] sees.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::net::UdpSocket;

use bytes::Bytes;
use futures_core::Stream;
use resound_core::Instant;
use resound_core::datagram::client::{
    self, Config, Event, NotAdded, PeerId, PeerStatus, Refusal, Refused, Seq, Strays,
};
use resound_sockets::udp::{Errors, Options, bind, bind_any};
use resound_sockets::{StartError, entropy};

use super::session::{Session, Setup};
pub use crate::desk::Echo;
use crate::desk::{Desk, End, Errand, Unsent};
use crate::driver::{Handle, each, exhaust, until};
use crate::runtime::Runtime;

/// Why a message did not come back.
pub type EchoError = crate::desk::EchoError<Refused>;

/// An echo client of many peers, driven by its owner: poll it as a stream of events, or let one of the `run` methods do
/// it.
///
/// Dropping it closes its socket; what was in flight is lost, and whoever waits for it is told.
pub struct Client<R: Runtime> {
    session: Session<client::Client, R>,
    desk: Arc<Desk<Seq>>,
}

/// A client's handle: add peers, send, wait for the echo, close. Clones may go to other tasks and threads.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    machine: Handle<client::Client>,
    desk: Arc<Desk<Seq>>,
}

impl<R: Runtime> Client<R> {
    /// A client without peers, on a port of the kernel's choice, for peers of any family that this host has. It takes its
    /// randomness from the system.
    ///
    /// # Errors
    ///
    /// The configuration cannot work, or there is no socket or no port left.
    pub fn open(config: Config) -> Result<Self, StartError> {
        Self::with_socket(config, bind_any(&hearing())?)
    }

    /// As [`open`](Self::open), bound to an address of this host, for peers of its family. Port 0 lets the kernel choose
    /// one.
    ///
    /// # Errors
    ///
    /// Also: the address is taken, or not this host's.
    pub fn bind(local: SocketAddr, config: Config) -> Result<Self, StartError> {
        Self::with_socket(config, bind(local, &hearing())?)
    }

    fn with_socket(config: Config, socket: UdpSocket) -> Result<Self, StartError> {
        let machine = client::Client::new(config, entropy::seed(), entropy::key())?;
        Ok(Self::new(machine, socket, Setup::default())?)
    }

    /// A client of your own making: with your seed, your clock, your socket. Only a socket with [`Errors::Queued`] hears
    /// of ICMP errors.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the socket, or it is not bound.
    pub fn new(machine: client::Client, socket: UdpSocket, setup: Setup) -> io::Result<Self> {
        Ok(Self { session: Session::new(machine, socket, setup)?, desk: Arc::default() })
    }

    /// A handle for adding peers, sending and closing.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        ClientHandle { machine: self.session.handle(), desk: self.desk.clone() }
    }

    /// Where the socket is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.session.local_addr()
    }

    /// The options of the socket as the kernel took them, by the names that `setsockopt` knows.
    #[must_use]
    pub fn socket_options(&self) -> Vec<(&'static str, String)> {
        self.session.socket_options()
    }

    /// Drives to the end of the client, and discards what it tells.
    pub async fn run(self) {
        self.run_with(drop).await;
    }

    /// Drives to the end of the client, and gives what it tells to `event`.
    pub async fn run_with(mut self, event: impl FnMut(Event)) {
        each(&mut self, event).await;
    }

    /// Drives until `future` is ready, and gives what the client tells meanwhile to `event`. If the client ends first,
    /// `future` is still waited for.
    pub async fn run_until<F: Future>(&mut self, future: F, event: impl FnMut(Event)) -> F::Output {
        until(self, future, event).await
    }
}

/// A client's socket. It shares its port with nobody: the errors of a group's sockets go to any of them.
fn hearing() -> Options {
    Options { errors: Errors::Queued, ..Options::default() }
}

impl<R: Runtime> Stream for Client<R> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Self { session, desk } = self.get_mut();
        loop {
            match Pin::new(&mut *session).poll_next(cx) {
                Poll::Ready(Some(event)) => {
                    if let Some(event) = deliver(desk, event) {
                        return Poll::Ready(Some(event));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<R: Runtime> Drop for Client<R> {
    /// Ends the machine, so that every message ends: nobody may wait for a client that nobody drives.
    fn drop(&mut self) {
        self.handle().abort();
        exhaust(self);
    }
}

impl<R: Runtime> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("local_addr", &self.local_addr()).finish_non_exhaustive()
    }
}

impl ClientHandle {
    /// Adds a peer; it is asked for a first answer at once.
    ///
    /// # Errors
    ///
    /// Says why not.
    pub fn add(&self, addr: SocketAddr) -> Result<PeerId, NotAdded> {
        self.machine.ask(|client, now| client.add(now, addr))
    }

    /// Removes a peer: what is on its way to it is lost. False if no peer has this name (any more).
    pub fn remove(&self, peer: PeerId) -> bool {
        self.with(|client, now| client.remove(now, peer))
    }

    /// Sends a message whose end is an event of the [`Client`]; accepted or refused before this returns. It may be sent to
    /// a peer that has not answered yet, but not to one that is down.
    ///
    /// # Errors
    ///
    /// The payload, given back, with the reason.
    pub fn send(&self, peer: PeerId, payload: impl Into<Bytes>) -> Result<Seq, Refused> {
        let payload = payload.into();
        self.machine.ask(|client, now| client.send(now, peer, payload))
    }

    /// Sends and waits for the echo, while somebody drives the client. While as many messages are on their way as may be,
    /// it waits for a place.
    pub fn echo(&self, peer: PeerId, payload: impl Into<Bytes>) -> Echoing {
        Echoing { errand: Errand::new(&self.desk, payload.into()), peer, machine: self.machine.clone() }
    }

    /// A peer that is down is asked soon, instead of when its wait is over.
    pub fn hurry(&self, peer: PeerId) {
        self.with(|client, now| client.hurry(now, peer));
    }

    /// What is known of a peer.
    #[must_use]
    pub fn status(&self, peer: PeerId) -> Option<PeerStatus> {
        self.machine.look(|client| client.peer(peer))
    }

    /// What came in and was nobody's.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.machine.look(client::Client::strays)
    }

    /// Accepts nothing more, and ends as soon as every message has.
    pub fn close(&self) {
        self.with(|client, now| client.close(now));
    }

    /// Ends at once; what is in flight is lost.
    pub fn abort(&self) {
        self.with(|client, now| client.abort(now));
    }

    /// Asks the machine for anything else, as [`Handle::with`].
    pub fn with<T>(&self, ask: impl FnOnce(&mut client::Client, Instant) -> T) -> T {
        self.machine.with(ask)
    }
}

/// The future of [`ClientHandle::echo`]. Polled again after it was ready, it is pending for ever.
#[derive(Debug)]
#[must_use = "nothing is sent before it is polled"]
pub struct Echoing {
    machine: Handle<client::Client>,
    peer: PeerId,
    errand: Errand<Seq>,
}

impl Future for Echoing {
    type Output = Result<Echo, EchoError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { machine, peer, errand } = self.get_mut();
        errand.poll(cx, |payload, cx, accepted| {
            let send = |client: &mut client::Client, now| match client.send(now, *peer, payload) {
                Ok(seq) => {
                    accepted(seq);
                    Ok(seq)
                }
                Err(Refused { why: Refusal::Full, payload }) => Err(Unsent::Full(payload)),
                Err(refused) => Err(Unsent::Refused(refused)),
            };
            machine.poll_ask(cx, send, |unsent| matches!(unsent, Unsent::Full(_)))
        })
    }
}

/// Gives the end of a message to whoever waits for it; any other event comes back.
fn deliver(desk: &Desk<Seq>, event: Event) -> Option<Event> {
    let (seq, end) = match event {
        Event::Echoed { seq, payload, round_trip, .. } if desk.awaits(seq) => {
            (seq, End::Echoed(Echo { payload, round_trip }))
        }
        Event::Lost { seq, payload, cause, .. } if desk.awaits(seq) => (seq, End::Lost { payload, cause }),
        event => return Some(event),
    };
    desk.settle(seq, end);
    None
}
