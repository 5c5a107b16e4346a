//! The echo client of many peers, for programs that wait.
//!
//! Whoever owns it drives it, by [`Client::echo`] or [`Client::next_event`]. A [`ClientHandle`] can add peers and echo from
//! other threads meanwhile.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::datagram::client::{
    self, Config, Event, NotAdded, PeerId, PeerStatus, Refused, Seq, Strays,
};
use resound_sockets::udp::{Errors, Options, Sizes, bind, bind_any};
use resound_sockets::{StartError, entropy};

use super::session::Session;
use crate::desk::{Desk, Echo, Inbox};
use crate::driver::{Handle, Quiet};

/// Why a message did not come back.
pub type EchoError = crate::desk::EchoError<Refused>;

/// An echo client of many peers that is driven by whoever owns it. Dropping it aborts it.
pub struct Client {
    session: Session<client::Client>,
    handle: ClientHandle,
    inbox: Inbox<Event>,
}

/// Adds, echoes and asks from any thread, while the owner of the [`Client`] drives it.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    machine: Handle<client::Client>,
    desk: Arc<Desk<Seq>>,
}

impl Client {
    /// A client without peers, on a port of the kernel's choice, for peers of any family that this host has. It takes its
    /// randomness from the system. For anything else give a [`Session`] of your own to [`Client::from`].
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
        Ok(Self::from(Session::new(machine, socket, Sizes::default())?))
    }

    /// Sends a message and waits until it comes back.
    ///
    /// What else happens meanwhile is kept for [`next_event`](Self::next_event), up to
    /// [`EVENTS_KEPT`](crate::EVENTS_KEPT) events.
    ///
    /// # Errors
    ///
    /// See [`EchoError`].
    pub fn echo(
        &mut self,
        peer: PeerId,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Echo, EchoError> {
        let until = self.handle.machine.now() + timeout;
        let mine = self.handle.send(peer, payload).map_err(EchoError::Refused)?;
        let session = &mut self.session;
        self.inbox.wait_for(mine, || session.next_event_by(|_| until))
    }

    /// Drives the client until it has something to tell, and returns that. The end of a message that somebody waits
    /// for in `echo` is told there, not here.
    ///
    /// # Errors
    ///
    /// [`Quiet::TimedOut`] if nothing happened within `timeout`; [`Quiet::Finished`] if nothing ever will.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Event, Quiet> {
        match self.inbox.kept() {
            Some(event) => Ok(event),
            None => self.drive(|now| now + timeout),
        }
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        self.handle.clone()
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

    /// Closes in good order: waits until every message has ended.
    pub fn close(mut self) {
        self.handle.close();
        while self.drive(|_| Instant::MAX) != Err(Quiet::Finished) {}
    }

    /// The next event that is not awaited elsewhere. `until` says of the time that it is until when to wait.
    fn drive(&mut self, until: impl Fn(Instant) -> Instant) -> Result<Event, Quiet> {
        let (session, mut fixed) = (&mut self.session, None);
        self.inbox.next(|| session.next_event_by(|now| *fixed.get_or_insert_with(|| until(now))))
    }
}

/// A client's socket. It shares its port with nobody: the errors of a group's sockets go to any of them.
fn hearing() -> Options {
    Options { errors: Errors::Queued, ..Options::default() }
}

impl From<Session<client::Client>> for Client {
    fn from(session: Session<client::Client>) -> Self {
        let handle = ClientHandle { machine: session.handle(), desk: Arc::default() };
        Self { session, inbox: Inbox::new(Arc::clone(&handle.desk)), handle }
    }
}

impl Drop for Client {
    /// What is in flight is lost, and those who wait for it are told; from now on everything is refused.
    fn drop(&mut self) {
        self.handle.abort();
        while self.drive(|_| Instant::EPOCH).is_ok() {}
    }
}

impl ClientHandle {
    /// Adds a peer; it is asked for a first answer at once.
    ///
    /// # Errors
    ///
    /// Says why not.
    pub fn add(&self, addr: SocketAddr) -> Result<PeerId, NotAdded> {
        self.with(|client, now| client.add(now, addr))
    }

    /// Removes a peer: what is on its way to it is lost. False if no peer has this name (any more).
    pub fn remove(&self, peer: PeerId) -> bool {
        self.with(|client, now| client.remove(now, peer))
    }

    /// Sends a message and waits until the thread that drives the client has seen it come back. On that thread itself
    /// use [`Client::echo`]: this would wait for nobody.
    ///
    /// # Errors
    ///
    /// See [`EchoError`].
    pub fn echo(
        &self,
        peer: PeerId,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Echo, EchoError> {
        let payload = payload.into();
        self.desk.echo(timeout, |note| {
            self.with(|client, now| client.send(now, peer, payload).inspect(|&seq| note(seq)))
        })
    }

    /// Sends a message whose end is told by [`Client::next_event`]. It may be sent to a peer that has not answered yet, but
    /// not to one that is down.
    ///
    /// # Errors
    ///
    /// The payload, given back, with the reason.
    pub fn send(&self, peer: PeerId, payload: impl Into<Bytes>) -> Result<Seq, Refused> {
        let payload = payload.into();
        self.with(|client, now| client.send(now, peer, payload))
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
    pub fn with<R>(&self, ask: impl FnOnce(&mut client::Client, Instant) -> R) -> R {
        self.machine.with(ask)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}
