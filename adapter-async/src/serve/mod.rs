//! A listener, and whatever answers behind it.
//!
//! # Theory of operation
//!
//! ```text
//!              ┌──────── Control: admission, phase, wakers ◄──── ServerHandle: drain, abort
//!              │                       │
//!   Server ── accept ─► admit? ── spawn(Conversation)    one future per connection: a machine, its socket, a timer
//!              │           └─ no: reset
//!              └── accept failed: pause, as admission says; never a spin
//! ```
//!
//! [`Server`] is a future that accepts; its caller spawns it or awaits it. Each connection is a future of its own, given
//! to a `spawn` function of the caller's. All share one pool of buffers; an idle connection holds none.
//!
//! A drain stops accepting and tells every machine to leave; an abort tells them to leave at once. When the last one has
//! gone the server says `Done`, and its future is ready. Dropping the future is an abort.

use alloc::string::String;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::TcpStream;

use resound_core::signal::Signal;
use resound_core::stream::admission::{self, AcceptError, Event};
use resound_core::stream::server::{self, Command};
use resound_core::stream::{Close, Machine};
use resound_core::{BadConfig, Instant};
use resound_sockets::clock::Clock;
use resound_sockets::port::{Direction, Left, Socket as _};
use resound_sockets::tcp::{self, ListenOptions};
use resound_sockets::{StartError, entropy, errno};

use crate::alarm::Alarm;
use crate::runtime::Runtime;

mod control;
mod conversation;

use control::{Control, Phase};
pub use conversation::Conversation;

/// How a server listens and whom it lets in.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerConfig {
    /// Whom it lets in, and how long it pauses when accepting fails.
    pub admission: admission::Config,
    /// How it listens.
    pub listen: ListenOptions,
}

/// Listens on `addr`; port 0 lets the kernel choose one. Nothing is accepted before the server is polled.
///
/// `make` makes the machine of each connection; `spawn` is given the connection's future and must see to it that it is
/// polled; `on_event` is told what happens, from whatever task it happens in, and must not block. When the server leaves,
/// machines are asked to with the core's own [`Command`].
///
/// # Errors
///
/// The configuration cannot work, or the address cannot be listened on.
pub fn serve<R, M, F, S, E>(
    addr: SocketAddr,
    config: ServerConfig,
    make: F,
    spawn: S,
    on_event: E,
) -> Result<Server<R, F, S, E>, StartError>
where
    R: Runtime,
    M: Machine<Target = Infallible, Command: From<Command>>,
    F: FnMut(SocketAddr, Instant) -> M,
    S: FnMut(Conversation<R, M, E>),
    E: Fn(Event<M::Event>),
{
    let clock = Clock::start();
    let admission = admission::Admission::new(config.admission, entropy::key(), clock.now())?;
    let listener = tcp::listen(addr, &config.listen)?;
    let (local_addr, options) = (listener.local_addr()?, tcp::describe(&listener));
    // To register wakes nobody; whoever polls the server is to be woken.
    let listener = R::Socket::register(listener.into(), &mut Context::from_waker(Waker::noop()))?;
    Ok(Server {
        listener: Some(listener),
        gate: Gate::Shut,
        control: Arc::new(Control::new(local_addr, options, config.listen.read_back, admission, clock)),
        alarm: Alarm::default(),
        make,
        spawn,
        on_event: Arc::new(on_event),
    })
}

/// How to make the machines of an echo server (RFC 862): what [`serve`] takes as `make`.
///
/// # Errors
///
/// Names the field of the limits that cannot work.
pub fn echo_connections(
    limits: server::Config,
) -> Result<impl FnMut(SocketAddr, Instant) -> server::Connection + Send + 'static, BadConfig> {
    let policy = limits.check()?;
    Ok(move |_: SocketAddr, now| server::Connection::new(policy, now))
}

/// A server, as a future that is ready when it has drained. Dropping it resets every connection.
#[must_use = "a server accepts only while it is polled"]
pub struct Server<R: Runtime, F, S, E> {
    listener: Option<R::Socket>,
    /// Open after an accept that succeeded: there may be another connection behind it.
    gate: Gate,
    control: Arc<Control>,
    alarm: Alarm<R::Timer>,
    make: F,
    spawn: S,
    on_event: Arc<E>,
}

/// Whether to accept before the runtime reports anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
}

/// A server's handle. Clones may go to other tasks and threads.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    control: Arc<Control>,
}

impl ServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.control.local_addr
    }

    /// The options of the listening socket as the kernel took them when the server started, by the names that
    /// `setsockopt` knows.
    #[must_use]
    pub fn socket_options(&self) -> &[(&'static str, String)] {
        &self.control.options
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.control.live()
    }

    /// Stops listening and asks every connection to leave in good order.
    pub fn drain(&self) {
        self.control.leave(Command::Drain);
    }

    /// Stops listening and resets every connection.
    pub fn abort(&self) {
        self.control.leave(Command::Abort);
    }
}

/// How many connections one poll accepts before other tasks have their turn.
const ACCEPTS: u8 = 32;

impl<R, M, F, S, E> Server<R, F, S, E>
where
    R: Runtime,
    M: Machine<Target = Infallible, Command: From<Command>>,
    F: FnMut(SocketAddr, Instant) -> M,
    S: FnMut(Conversation<R, M, E>),
    E: Fn(Event<M::Event>),
{
    /// A handle for leaving.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { control: self.control.clone() }
    }

    /// Ready when there may be a connection to accept; the error that stands in its place.
    fn poll_listener(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(until) = self.control.paused_until() {
            if self.alarm.poll(&self.control.clock, Some(until), cx).is_pending() {
                return Poll::Pending;
            }
            self.control.resume();
        }
        match &self.listener {
            Some(_) if self.gate == Gate::Open => Poll::Ready(Ok(())),
            Some(listener) => listener.poll_ready(Direction::Read, cx),
            None => Poll::Pending,
        }
    }

    /// Accepts one connection, if there is one.
    fn accept(&mut self, cx: &mut Context<'_>) {
        let Some(listener) = &self.listener else { return };
        self.gate = Gate::Shut;
        let accepted = listener.attempt(Direction::Read, |fd| {
            let accepted = tcp::accept(fd);
            let left = if matches!(accepted, Ok(None)) { Left::Nothing } else { Left::More };
            (accepted, left)
        });
        match accepted {
            Some(Ok(Some((stream, peer)))) => {
                self.gate = Gate::Open;
                self.admit(stream, peer, cx);
            }
            Some(Err(error)) => self.failed(errno::signal(&error)),
            Some(Ok(None)) | None => {}
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, cx: &mut Context<'_>) {
        if let Err(why) = self.control.admit(peer) {
            tcp::close(stream, Close::Reset);
            return (self.on_event)(Event::Refused { peer, why });
        }
        match R::Socket::register(stream.into(), cx) {
            Ok(socket) => {
                (self.on_event)(tcp::arrival(&socket, peer, self.control.read_back));
                let machine = (self.make)(peer, self.control.clock.now());
                let (control, event) = (self.control.clone(), self.on_event.clone());
                (self.spawn)(Conversation::new(machine, socket, peer, control, event));
            }
            Err(error) => {
                self.control.release(peer);
                self.failed(errno::signal(&error));
            }
        }
    }

    fn failed(&mut self, signal: Signal) {
        let then = self.control.failed(signal);
        (self.on_event)(Event::AcceptFailed { signal, then });
        if then == AcceptError::Fatal {
            self.control.leave(Command::Drain);
        }
    }
}

impl<R, M, F, S, E> Future for Server<R, F, S, E>
where
    R: Runtime,
    M: Machine<Target = Infallible, Command: From<Command>>,
    F: FnMut(SocketAddr, Instant) -> M,
    S: FnMut(Conversation<R, M, E>),
    E: Fn(Event<M::Event>),
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..ACCEPTS {
            if this.control.poll_phase(cx) != Phase::Open {
                this.listener = None;
                if this.control.live() > 0 {
                    return Poll::Pending;
                }
                (this.on_event)(Event::Done);
                return Poll::Ready(());
            }
            match this.poll_listener(cx) {
                Poll::Ready(Ok(())) => this.accept(cx),
                Poll::Ready(Err(error)) => this.failed(errno::signal(&error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nothing in it is pinned in place.
impl<R: Runtime, F, S, E> Unpin for Server<R, F, S, E> {}

impl<R: Runtime, F, S, E> Drop for Server<R, F, S, E> {
    fn drop(&mut self) {
        self.control.leave(Command::Abort);
    }
}

impl<R: Runtime, F, S, E> fmt::Debug for Server<R, F, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}
