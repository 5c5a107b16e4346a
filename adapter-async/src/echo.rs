//! The echo client as users of async code expect it: `echo(payload).await`, a sink, a stream of events.
//!
//! All of it stands on [`Session`] and its handle, as your own protocol's client would.
//!
//! A message that was sent with [`ClientHandle::echo`] is answered there, and its end is not among the events that the
//! owner of the [`Client`] sees. A future that is dropped takes nothing back: before the message was accepted nothing was
//! sent; afterwards it runs to its end, and its result is discarded.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use resound_core::BadConfig;
use resound_core::signal::Cause;
use resound_core::stream::Machine as _;
use resound_core::stream::client::{self, Command, Config, Event, Refusal, Refused, Seq};
use resound_sockets::{entropy, tcp::DialOptions};

use crate::runtime::Runtime;
use crate::session::{Handle, Session, Setup, each, until};

/// The machine of a client: the core's own, over addresses.
pub type Machine = client::Client<SocketAddr>;

/// An echo client, driven by its owner: poll it as a stream of events, or let one of the `run` methods do it.
///
/// Dropping it resets the connection; what was in flight is lost, and whoever waits for it is told.
pub struct Client<R: Runtime> {
    session: Session<Machine, R>,
    desk: Arc<Desk>,
}

/// A client's handle: send, wait for the echo, close. Clones may go to other tasks and threads.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    machine: Handle<Machine>,
    desk: Arc<Desk>,
}

/// A message that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// What was sent, and came back byte for byte: the very buffer that was moved in.
    pub payload: Bytes,
    /// From the write of its last byte to the arrival of its last byte.
    pub round_trip: Duration,
}

/// Why a message did not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoError {
    /// It was not accepted, and nothing was sent.
    Refused(Refused),
    /// It was accepted, and lost. The peer may have seen it.
    Lost {
        /// The payload that was moved in.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Lost { cause, .. } => write!(f, "lost: {cause}"),
        }
    }
}

impl core::error::Error for EchoError {}

impl<R: Runtime> Client<R> {
    /// A client of one peer that may have several addresses, best first. It dials when it is first polled, and takes its
    /// randomness from the system.
    ///
    /// # Errors
    ///
    /// Names the field of the configuration that cannot work.
    pub fn connect(targets: impl IntoIterator<Item = SocketAddr>, config: Config) -> Result<Self, BadConfig> {
        let machine = Machine::new(config, entropy::seed(), targets)?;
        let user_timeout = machine.kernel_backstop();
        let dial = DialOptions { user_timeout, ..DialOptions::default() };
        Ok(Self::new(machine, Setup { dial, ..Setup::default() }))
    }

    /// A client of your own making: with your seed, your clock, your local address.
    #[must_use]
    pub fn new(machine: Machine, setup: Setup) -> Self {
        Self { session: Session::new(machine, setup), desk: Arc::default() }
    }

    /// A handle for sending and closing.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        ClientHandle { machine: self.session.handle(), desk: self.desk.clone() }
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

impl<R: Runtime> Stream for Client<R> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match Pin::new(&mut self.session).poll_next(cx) {
                Poll::Ready(Some(event)) => {
                    if let Some(event) = self.desk.deliver(event) {
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
        let _ = self.handle().command(Command::Abort);
        let mut cx = Context::from_waker(Waker::noop());
        // Pending once, if the last turn was to be followed by a pause. After an abort one turn says everything.
        let mut pauses = 0;
        while pauses < 2 {
            match Pin::new(&mut *self).poll_next(&mut cx) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => break,
                Poll::Pending => pauses += 1,
            }
        }
    }
}

impl<R: Runtime> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}

impl ClientHandle {
    /// Asks the client for something; accepted or refused before this returns. The end of a message that was sent with
    /// [`Command::Send`] is an event of the [`Client`].
    ///
    /// # Errors
    ///
    /// The command, given back, with the reason.
    pub fn command(&self, command: Command) -> Result<(), Refused> {
        self.machine.command(command)
    }

    /// Sends and waits for the echo, while somebody drives the client. While as much is in flight as may be, it waits
    /// for a place.
    pub fn echo(&self, payload: impl Into<Bytes>) -> Echoing {
        Echoing { handle: self.clone(), stage: Stage::Unsent(payload.into()) }
    }

    /// A sink of payloads, with back-pressure. What becomes of them are events of the [`Client`].
    #[must_use]
    pub fn sink(&self) -> EchoSink {
        EchoSink { handle: self.clone(), held: None }
    }

    /// Closes in good order: what was accepted is still sent, and its echoes are waited for. While no connection
    /// stands, the client is done at once.
    pub fn close(&self) {
        // Refused only if it is over already.
        let _ = self.command(Command::Close);
    }

    /// Resets the connection; what is in flight is lost.
    pub fn abort(&self) {
        let _ = self.command(Command::Abort);
    }

    /// Sends; if there is no place, the task is woken when there may be one.
    ///
    /// `accepted` is called before anybody can drive the machine on, with the machine locked; nobody has been woken yet.
    fn send(&self, payload: Bytes, cx: &mut Context<'_>, accepted: impl FnOnce(Seq)) -> Result<Seq, Unsent> {
        let send = |machine: &mut Machine, now| {
            let seq = machine.next_seq();
            machine.command(now, Command::Send(payload)).map_err(|refused| match refused {
                Refused { command: Command::Send(payload), why: Refusal::Full } => Unsent::Full(payload),
                refused => Unsent::Refused(refused),
            })?;
            accepted(seq);
            Ok(seq)
        };
        self.machine.poll_with(cx, send, |unsent| matches!(unsent, Unsent::Full(_)))
    }
}

/// Why a payload was not sent.
enum Unsent {
    /// There is no place now.
    Full(Bytes),
    /// There never will be one for this.
    Refused(Refused),
}

/// The future of [`ClientHandle::echo`]. Polled again after it was ready, it is pending for ever.
#[derive(Debug)]
#[must_use = "nothing is sent before it is polled"]
pub struct Echoing {
    handle: ClientHandle,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Unsent(Bytes),
    Sent(Seq),
    Over,
}

impl Future for Echoing {
    type Output = Result<Echo, EchoError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Unsent(payload) => {
                let (desk, waker) = (&self.handle.desk, cx.waker().clone());
                // Here the desk is locked while the machine is; nowhere the other way round.
                let take_place = |seq| drop(desk.places().insert(seq, Place::Waiting(waker)));
                let sent = self.handle.send(payload, cx, take_place);
                self.stage = match sent {
                    Ok(seq) => Stage::Sent(seq),
                    Err(Unsent::Full(payload)) => Stage::Unsent(payload),
                    Err(Unsent::Refused(refused)) => return Poll::Ready(Err(EchoError::Refused(refused))),
                };
                Poll::Pending
            }
            Stage::Sent(seq) => match self.handle.desk.poll(seq, cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    self.stage = Stage::Sent(seq);
                    Poll::Pending
                }
            },
            Stage::Over => Poll::Pending,
        }
    }
}

impl Drop for Echoing {
    fn drop(&mut self) {
        if let Stage::Sent(seq) = self.stage {
            self.handle.desk.leave(seq);
        }
    }
}

/// A sink of payloads. While as much is in flight as may be, it holds one payload and is not ready for another. Flushed
/// means accepted by the client; closing it closes the client in good order.
#[derive(Debug)]
pub struct EchoSink {
    handle: ClientHandle,
    held: Option<Bytes>,
}

impl EchoSink {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let Some(payload) = self.held.take() else { return Poll::Ready(Ok(())) };
        match self.handle.send(payload, cx, drop) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(Unsent::Full(payload)) => {
                self.held = Some(payload);
                Poll::Pending
            }
            Err(Unsent::Refused(refused)) => Poll::Ready(Err(refused)),
        }
    }
}

impl Sink<Bytes> for EchoSink {
    type Error = Refused;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.poll_held(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, payload: Bytes) -> Result<(), Refused> {
        self.held = Some(payload);
        match self.poll_held(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.poll_held(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let flushed = self.poll_held(cx);
        if flushed.is_ready() {
            self.handle.close();
        }
        flushed
    }
}

/// Where the ends of messages wait for those who asked.
#[derive(Debug, Default)]
struct Desk {
    places: Mutex<HashMap<Seq, Place>>,
}

#[derive(Debug)]
enum Place {
    Waiting(Waker),
    Ready(Result<Echo, EchoError>),
    /// Whoever asked has gone.
    Left,
}

impl Desk {
    fn places(&self) -> MutexGuard<'_, HashMap<Seq, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the end of a message to whoever waits for it; any other event comes back.
    fn deliver(&self, event: Event) -> Option<Event> {
        let seq = match &event {
            Event::Echoed { seq, .. } | Event::Lost { seq, .. } => *seq,
            _ => return Some(event),
        };
        let mut places = self.places();
        let Some(place) = places.get_mut(&seq) else { return Some(event) };
        let result = match event {
            Event::Echoed { payload, round_trip, .. } => Ok(Echo { payload, round_trip }),
            Event::Lost { payload, cause, .. } => Err(EchoError::Lost { payload, cause }),
            other => return Some(other),
        };
        match core::mem::replace(place, Place::Ready(result)) {
            Place::Waiting(waker) => {
                drop(places);
                waker.wake();
            }
            Place::Left | Place::Ready(_) => {
                places.remove(&seq);
            }
        }
        None
    }

    fn poll(&self, seq: Seq, cx: &mut Context<'_>) -> Poll<Result<Echo, EchoError>> {
        let mut places = self.places();
        match places.remove(&seq) {
            Some(Place::Ready(result)) => Poll::Ready(result),
            Some(Place::Waiting(old)) => {
                places.insert(seq, Place::Waiting(cx.waker().clone()));
                // Dropping a waker may run other people's code, which may come here.
                drop(places);
                drop(old);
                Poll::Pending
            }
            Some(Place::Left) | None => Poll::Pending,
        }
    }

    fn leave(&self, seq: Seq) {
        let mut places = self.places();
        if let Some(Place::Waiting(_)) = places.get(&seq) {
            places.insert(seq, Place::Left);
        } else {
            places.remove(&seq);
        }
    }
}
