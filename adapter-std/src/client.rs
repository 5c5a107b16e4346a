//! The echo client, for programs that wait.
//!
//! # Theory of operation
//!
//! A [`Client`] is a [`Session`] of the core's echo client. Whoever owns it drives it, by [`Client::echo`] or
//! [`Client::next_event`]. A [`ClientHandle`] can echo from other threads meanwhile: it hands its message over under
//! the session's lock, notes whom its end concerns, and waits for the driving thread to tell.
//!
//! ```text
//!   driving thread:   next_event ─► Echoed 7 ── nobody's ──► returned
//!                                   Echoed 8 ── awaited ───► the thread that waits in ClientHandle::echo
//!                                   Echoed 9 ── given up ──► dropped
//! ```
//!
//! Every message runs to its end, even if the one who sent it no longer waits.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use resound_core::Instant;
use resound_core::signal::Cause;
use resound_core::stream::client::{self, Command, Config, Event, Refused, Seq};
use resound_sockets::tcp::DialOptions;
use resound_sockets::{StartError, entropy};

use crate::session::{Handle, Quiet, Session};

/// How many events [`Client::echo`] keeps for [`Client::next_event`]; the oldest are dropped first.
pub const EVENTS_KEPT: usize = 1_024;

type Machine = client::Client<SocketAddr>;

/// An echo client that is driven by whoever owns it. Dropping it aborts it.
pub struct Client {
    session: Session<Machine>,
    handle: ClientHandle,
    /// What happened during [`Client::echo`] and was not about its message.
    kept: VecDeque<Event>,
}

/// Echoes and asks from any thread, while the owner of the [`Client`] drives it.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    handle: Handle<Machine>,
    awaited: Arc<Mutex<Awaited>>,
}

/// A message that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The payload that was moved in.
    pub payload: Bytes,
    /// From the write of its last byte to the arrival of its last byte.
    pub round_trip: Duration,
}

/// Why a message did not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoError {
    /// It was not accepted.
    Refused(Refused),
    /// It was accepted, and lost.
    Lost {
        /// The payload that was moved in.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
    /// It has not come back in time. It keeps its place until it ends; its end will not be told.
    TimedOut,
}

type End = Result<Echo, EchoError>;

/// Messages whose end concerns somebody else than the driver.
type Awaited = HashMap<Seq, Concerns>;

#[derive(Debug)]
enum Concerns {
    Waiter(SyncSender<End>),
    Nobody,
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
    /// What else happens meanwhile is kept for [`next_event`](Self::next_event), up to [`EVENTS_KEPT`] events.
    ///
    /// # Errors
    ///
    /// See [`EchoError`].
    pub fn echo(&mut self, payload: impl Into<Bytes>, timeout: Duration) -> Result<Echo, EchoError> {
        let until = self.handle.now() + timeout;
        let mine = self.handle.send(payload.into(), None)?;
        loop {
            match self.drive(until) {
                Ok(event) if ended(&event) == Some(mine) => {
                    if let Some(end) = end(event) {
                        return end;
                    }
                }
                Ok(event) => {
                    if self.kept.len() == EVENTS_KEPT {
                        self.kept.pop_front();
                    }
                    self.kept.push_back(event);
                }
                // A machine does not finish before its messages have ended, so this is about time in both cases.
                Err(Quiet::TimedOut | Quiet::Finished) => {
                    self.handle.awaited().insert(mine, Concerns::Nobody);
                    return Err(EchoError::TimedOut);
                }
            }
        }
    }

    /// Drives the client until it has something to tell, and returns that. The end of a message that somebody waits
    /// for in `echo` is told there, not here.
    ///
    /// # Errors
    ///
    /// [`Quiet::TimedOut`] if nothing happened within `timeout`; [`Quiet::Finished`] if nothing ever will.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Event, Quiet> {
        match self.kept.pop_front() {
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
        loop {
            let event = self.session.next_event(until.since(self.handle.now()))?;
            if let Some(event) = self.handle.pass_on(event) {
                return Ok(event);
            }
        }
    }
}

impl From<Session<Machine>> for Client {
    fn from(session: Session<Machine>) -> Self {
        let handle = ClientHandle { handle: session.handle(), awaited: Arc::default() };
        Self { session, handle, kept: VecDeque::new() }
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
        let (waiter, end) = sync_channel(1);
        self.send(payload.into(), Some(Concerns::Waiter(waiter)))?;
        // A message whose waiter is gone is still awaited: its end finds nobody there, and is dropped.
        match end.recv_timeout(timeout) {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(EchoError::TimedOut),
        }
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

    /// Whom it concerns is noted under the machine's lock: before anybody can see its end.
    fn send(&self, payload: Bytes, concerns: Option<Concerns>) -> Result<Seq, EchoError> {
        self.handle.with(|machine, now| {
            let seq = machine.next_seq();
            resound_core::stream::Machine::command(machine, now, Command::Send(payload))
                .map_err(EchoError::Refused)?;
            if let Some(concerns) = concerns {
                self.awaited().insert(seq, concerns);
            }
            Ok(seq)
        })
    }

    /// Gives an event to whom it concerns; back, if that is the driver.
    fn pass_on(&self, event: Event) -> Option<Event> {
        let concerns = ended(&event).and_then(|seq| self.awaited().remove(&seq));
        match concerns {
            None => return Some(event),
            Some(Concerns::Nobody) => {}
            Some(Concerns::Waiter(waiter)) => {
                if let Some(end) = end(event) {
                    // It has room for one; where it fails, nobody waits any more.
                    let _ = waiter.try_send(end);
                }
            }
        }
        None
    }

    /// Nothing panics while it is held.
    fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message that ends with this event.
const fn ended(event: &Event) -> Option<Seq> {
    match event {
        Event::Echoed { seq, .. } | Event::Lost { seq, .. } => Some(*seq),
        _ => None,
    }
}

/// How it ends.
fn end(event: Event) -> Option<End> {
    match event {
        Event::Echoed { payload, round_trip, .. } => Some(Ok(Echo { payload, round_trip })),
        Event::Lost { payload, cause, .. } => Some(Err(EchoError::Lost { payload, cause })),
        _ => None,
    }
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Lost { cause, .. } => write!(f, "the message was lost: {cause}"),
            Self::TimedOut => f.write_str("the message has not come back in time"),
        }
    }
}

impl core::error::Error for EchoError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Lost { .. } | Self::TimedOut => None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}
