//! The echo server: several sockets, one machine and one task for each.
//!
//! ```text
//!   Server ── spawn ─► Responder: socket, machine       ◄──┐
//!          ── spawn ─► Responder: socket, machine       ◄──┼── ServerHandle: counts, stop
//!          ── spawn ─► Responder: socket, machine       ◄──┘
//! ```
//!
//! Each address may have a group of sockets, over which the kernel spreads the peers. They have nothing in common: no
//! lock, no counter, no limit. So a group serves on as many processors as it has sockets.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};

use futures_core::Stream as _;
use resound_core::datagram::server::{self, Counts, Event};
use resound_sockets::StartError;
use resound_sockets::clock::Clock;
use resound_sockets::udp::{ServerConfig, echo_servers};

use super::session::{Session, Setup};
use crate::driver::Handle;
use crate::runtime::Runtime;

/// Serves echo on these addresses; port 0 lets the kernel choose one. Nothing is answered before the server is polled.
///
/// `spawn` is given a future for each socket, and must see to it that it is polled. `on_event` is told what happens on
/// the socket that is bound to this address, from whatever task it happens in, and must not block.
///
/// # Errors
///
/// The configuration cannot work, or an address cannot be bound.
pub fn serve<R, S, E>(
    addrs: &[SocketAddr],
    config: &ServerConfig,
    spawn: S,
    on_event: E,
) -> Result<Server<R, S, E>, StartError>
where
    R: Runtime,
    S: FnMut(Responder<R, E>),
    E: Fn(SocketAddr, Event),
{
    let setup = Setup { clock: Clock::start(), sizes: config.sizes };
    let on_event = Arc::new(on_event);
    let (mut sessions, mut posts) = (Vec::new(), Vec::new());
    for (socket, machine) in echo_servers(addrs, config)? {
        let session = Session::<_, R>::new(machine, socket, setup)?;
        posts.push(Post {
            local_addr: session.local_addr(),
            options: session.socket_options(),
            machine: session.handle(),
        });
        sessions.push(session);
    }
    let control =
        Arc::new(Control { posts, working: AtomicUsize::new(sessions.len()), owner: Mutex::default() });
    let responder =
        |session| Responder { session, on_event: on_event.clone(), _presence: Presence(control.clone()) };
    Ok(Server { responders: sessions.into_iter().map(responder).collect(), control, spawn })
}

/// A server, as a future that is ready when it has stopped. Dropping it stops it.
#[must_use = "a server answers only while it is polled"]
pub struct Server<R: Runtime, S, E> {
    /// Those that are still to be spawned.
    responders: Vec<Responder<R, E>>,
    control: Arc<Control>,
    spawn: S,
}

/// One socket of a server, as a future that is ready when the server has stopped.
#[must_use = "a socket is served only while it is polled"]
pub struct Responder<R: Runtime, E> {
    session: Session<server::Server, R>,
    on_event: Arc<E>,
    /// The last to be dropped: when the server is ready, its sockets are closed.
    _presence: Presence,
}

/// A responder that has not ended.
struct Presence(Arc<Control>);

/// A server's handle. Clones may go to other tasks and threads.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    control: Arc<Control>,
}

struct Control {
    posts: Vec<Post>,
    /// How many responders have not ended.
    working: AtomicUsize,
    /// Whoever polls the server.
    owner: Mutex<Option<Waker>>,
}

/// What is known of a responder.
struct Post {
    local_addr: SocketAddr,
    options: Vec<(&'static str, String)>,
    machine: Handle<server::Server>,
}

impl ServerHandle {
    /// Where each socket is bound: in the order of the addresses that were given, those of a group next to each other.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.control.posts.iter().map(|post| post.local_addr).collect()
    }

    /// What all sockets have done together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.each_counts().for_each(|counts| sum += counts);
        sum
    }

    /// What each socket has done, in the order of [`local_addrs`](Self::local_addrs).
    pub fn each_counts(&self) -> impl Iterator<Item = Counts> {
        self.control.posts.iter().map(|post| post.machine.look(|machine| *machine.counts()))
    }

    /// The options of each socket as the kernel took them, by the names that `setsockopt` knows.
    pub fn socket_options(&self) -> impl Iterator<Item = &[(&'static str, String)]> {
        self.control.posts.iter().map(|post| &*post.options)
    }

    /// Answers nothing more. What was not told yet is told, and then the server is ready.
    pub fn stop(&self) {
        self.control.stop();
    }
}

impl Control {
    fn stop(&self) {
        self.posts.iter().for_each(|post| post.machine.with(|machine, _| machine.stop()));
    }

    /// A responder has ended.
    fn leave(&self) {
        if self.working.fetch_sub(1, Ordering::AcqRel) == 1 {
            let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(owner) = owner {
                owner.wake();
            }
        }
    }

    fn poll_all_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let old = self.owner.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        // Dropping a waker may run other people's code: not under the lock.
        drop(old);
        if self.working.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<R: Runtime, S, E> Server<R, S, E> {
    /// A handle for stopping it, and for its counters.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { control: self.control.clone() }
    }
}

impl<R: Runtime, S: FnMut(Responder<R, E>), E> Future for Server<R, S, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { responders, control, spawn } = self.get_mut();
        responders.drain(..).for_each(spawn);
        control.poll_all_gone(cx)
    }
}

impl<R: Runtime, E: Fn(SocketAddr, Event)> Future for Responder<R, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { session, on_event, .. } = self.get_mut();
        loop {
            match Pin::new(&mut *session).poll_next(cx) {
                Poll::Ready(Some(event)) => on_event(session.local_addr(), event),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Nothing in them is pinned in place.
impl<R: Runtime, S, E> Unpin for Server<R, S, E> {}
impl<R: Runtime, E> Unpin for Responder<R, E> {}

impl<R: Runtime, S, E> Drop for Server<R, S, E> {
    fn drop(&mut self) {
        self.control.stop();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<R: Runtime, S, E> fmt::Debug for Server<R, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("control", &self.control).finish_non_exhaustive()
    }
}

impl<R: Runtime, E> fmt::Debug for Responder<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("session", &self.session).finish_non_exhaustive()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.posts.iter().map(|post| post.local_addr)).finish()
    }
}
