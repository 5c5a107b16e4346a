//! The echo client, for programs that wait.
//!
//! A [`Client`] is a [`Session`] of the core's echo client. Whoever owns it drives it, by [`Client::echo`] or
//! [`Client::next_event`]. A [`ClientHandle`] can echo from other threads meanwhile: it hands its message over under
//! the session's lock, notes whom its end concerns, and waits for the driving thread to tell.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::signal::Cause;
use resound_core::stream::client::{self, Command, Config, Event, Refused, Seq};
use resound_sockets::tcp::DialOptions;
use resound_sockets::{StartError, entropy};

use crate::desk::{Desk, Echo, EchoError, Inbox};
use crate::driver::{Handle, Quiet};
use crate::session::Session;

type Machine = client::Client<SocketAddr>;

/// An echo client that is driven by whoever owns it. Dropping it aborts it.
pub struct Client {
    session: Session<Machine>,
    handle: ClientHandle,
    inbox: Inbox<Event>,
}

/// Echoes and asks from any thread, while the owner of the [`Client`] drives it.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    handle: Handle<Machine>,
    desk: Arc<Desk<Seq>>,
}

impl Client {
    /// A client of one peer that may have several addresses, best first. It begins to dial as soon as it is driven.
    ///
    /// Everything random in it comes from the system. The kernel's own timer (TCP_USER_TIMEOUT) is set behind the
    /// promises of [`Config::link`]. For anything else give a [`Session`] of your own to [`Client::from`].
    ///
    /// # Errors
    ///
    /// The configuration cannot work, or no descriptor is left. That a peer cannot be reached is an event.
    pub fn connect(
        targets: impl IntoIterator<Item = SocketAddr>,
        config: Config,
    ) -> Result<Self, StartError> {
        let machine = Machine::new(config, entropy::seed(), targets)?;
        let user_timeout = machine.kernel_backstop();
        let session = Session::new(machine, DialOptions { user_timeout, ..DialOptions::default() })?;
        Ok(Self::from(session))
    }

    /// Sends a message and waits until it comes back. While no connection stands it waits for one.
    ///
    /// What else happens meanwhile is kept for [`next_event`](Self::next_event), up to [`EVENTS_KEPT`](crate::EVENTS_KEPT) events.
    ///
    /// # Errors
    ///
    /// See [`EchoError`].
    pub fn echo(&mut self, payload: impl Into<Bytes>, timeout: Duration) -> Result<Echo, EchoError> {
        let until = self.handle.now() + timeout;
        let mine = self.handle.send(payload.into(), drop).map_err(EchoError::Refused)?;
        let (session, handle) = (&mut self.session, &self.handle);
        self.inbox.wait_for(mine, || session.next_event(until.since(handle.now())))
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
            None => self.drive(self.handle.now() + timeout),
        }
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        self.handle.clone()
    }

    /// Closes in good order: half-closes, waits for the echoes that are due, as long as [`Config::close_within`] allows.
    /// If the connection ended otherwise, says why; what was in flight is lost then.
    pub fn close(mut self) -> Option<Cause> {
        // Refused only by a client that is closed already.
        let _ = self.handle.command(Command::Close);
        let mut trouble = None;
        loop {
            match self.drive(Instant::MAX) {
                Ok(Event::Down { cause, .. } | Event::GaveUp { cause }) => trouble = Some(cause),
                Ok(_) | Err(Quiet::TimedOut) => {}
                Err(Quiet::Finished) => return trouble,
            }
        }
    }

    /// The next event that is not awaited elsewhere.
    fn drive(&mut self, until: Instant) -> Result<Event, Quiet> {
        let (session, handle) = (&mut self.session, &self.handle);
        self.inbox.next(|| session.next_event(until.since(handle.now())))
    }
}

impl From<Session<Machine>> for Client {
    fn from(session: Session<Machine>) -> Self {
        let handle = ClientHandle { handle: session.handle(), desk: Arc::default() };
        Self { session, inbox: Inbox::new(Arc::clone(&handle.desk)), handle }
    }
}

impl Drop for Client {
    /// What is in flight is lost, and those who wait for it are told; from now on everything is refused.
    fn drop(&mut self) {
        if self.handle.command(Command::Abort).is_ok() {
            while self.drive(Instant::EPOCH).is_ok() {}
        }
    }
}

impl ClientHandle {
    /// Sends a message and waits until the thread that drives the client has seen it come back. On that thread itself
    /// use [`Client::echo`]: this would wait for nobody.
    ///
    /// # Errors
    ///
    /// See [`EchoError`].
    pub fn echo(&self, payload: impl Into<Bytes>, timeout: Duration) -> Result<Echo, EchoError> {
        let payload = payload.into();
        self.desk.echo(timeout, |note| self.send(payload, note))
    }

    /// Asks for something. It is accepted or refused before this returns. What becomes of a message that is sent this
    /// way is told by [`Client::next_event`].
    ///
    /// # Errors
    ///
    /// As the machine refuses it: the command comes back unchanged.
    pub fn command(&self, command: Command) -> Result<(), Refused> {
        self.handle.command(command)
    }

    /// Lets `look` look at the machine: its state, its round-trip time. The driving thread waits meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        self.handle.look(look)
    }

    fn now(&self) -> Instant {
        self.handle.now()
    }

    /// Calls `note` with the message's number under the machine's lock: before anybody can see its end.
    fn send(&self, payload: Bytes, note: impl FnOnce(Seq)) -> Result<Seq, Refused> {
        self.handle.change(|machine, now| {
            let seq = machine.next_seq();
            resound_core::stream::Machine::command(machine, now, Command::Send(payload))?;
            note(seq);
            Ok(seq)
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}
