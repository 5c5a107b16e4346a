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

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use resound_core::BadConfig;
use resound_core::stream::Machine as _;
use resound_core::stream::client::{self, Command, Config, Event, Refusal, Refused, Seq};
use resound_sockets::{entropy, tcp::DialOptions};

use crate::desk::{Desk, End, Errand, Unsent};
pub use crate::desk::{Echo, EchoError};
use crate::driver::{Handle, each, exhaust, until};
use crate::runtime::Runtime;
use crate::session::{Session, Setup};

/// The machine of a client: the core's own, over addresses.
pub type Machine = client::Client<SocketAddr>;

/// An echo client, driven by its owner: poll it as a stream of events, or let one of the `run` methods do it.
///
/// Dropping it resets the connection; what was in flight is lost, and whoever waits for it is told.
pub struct Client<R: Runtime> {
    session: Session<Machine, R>,
    desk: Arc<Desk<Seq>>,
}

/// A client's handle: send, wait for the echo, close. Clones may go to other tasks and threads.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    machine: Handle<Machine>,
    desk: Arc<Desk<Seq>>,
}

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
                    if let Some(event) = deliver(&self.desk, event) {
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
        exhaust(self);
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
        Echoing { errand: Errand::new(&self.desk, payload.into()), handle: self.clone() }
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
    fn send(
        &self,
        payload: Bytes,
        cx: &mut Context<'_>,
        accepted: impl FnOnce(Seq),
    ) -> Result<Seq, Unsent<Refused>> {
        let send = |machine: &mut Machine, now| {
            let seq = machine.next_seq();
            machine.command(now, Command::Send(payload)).map_err(|refused| match refused {
                Refused { command: Command::Send(payload), why: Refusal::Full } => Unsent::Full(payload),
                refused => Unsent::Refused(refused),
            })?;
            accepted(seq);
            Ok(seq)
        };
        self.machine.poll_ask(cx, send, |unsent| matches!(unsent, Unsent::Full(_)))
    }
}

/// The future of [`ClientHandle::echo`]. Polled again after it was ready, it is pending for ever.
#[derive(Debug)]
#[must_use = "nothing is sent before it is polled"]
pub struct Echoing {
    handle: ClientHandle,
    errand: Errand<Seq>,
}

impl Future for Echoing {
    type Output = Result<Echo, EchoError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, errand } = self.get_mut();
        errand.poll(cx, |payload, cx, accepted| handle.send(payload, cx, accepted))
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

/// Gives the end of a message to whoever waits for it; any other event comes back.
fn deliver(desk: &Desk<Seq>, event: Event) -> Option<Event> {
    let (seq, end) = match event {
        Event::Echoed { seq, payload, round_trip } if desk.awaits(seq) => {
            (seq, End::Echoed(Echo { payload, round_trip }))
        }
        Event::Lost { seq, payload, cause } if desk.awaits(seq) => (seq, End::Lost { payload, cause }),
        event => return Some(event),
    };
    desk.settle(seq, end);
    None
}
