//! A server: one thread that accepts, and one thread for each connection.
//!
//! # Theory of operation
//!
//! ```text
//!   listener ─► the accepting thread ─► admission ─► a thread for the connection: turn, sleep, turn, sleep …
//!                       ▲                                              ▲
//!   drain(), abort() ───┴────────────── two wakers for all ────────────┘
//! ```
//!
//! Who is let in, and what to do about an accept that failed, is [`Admission`]'s to say. Every thread sleeps in `poll(2)`
//! on its socket and on one of two wakers that all threads share. A waker that is never cleared stays readable, so that
//! one call of [`ServerHandle::drain`] reaches ten thousand threads, for two descriptors in all.
//!
//! A connection costs a thread, whose stack is an address range of [`ServerConfig::stack`] bytes of which only the pages
//! that were touched are memory, and one descriptor. It holds a buffer only while echoes are unsent.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::{fmt, slice};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use resound_core::Instant;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::{self, AcceptError, Admission, Event, Refusal};
use resound_core::stream::server::{self, Command, Connection};
use resound_core::stream::{Close, Machine};
use resound_sockets::clock::Clock;
use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
use resound_sockets::pool::Pool;
use resound_sockets::port::Lines;
use resound_sockets::tcp::{self, DialOptions, ListenOptions, ReadBack};
use resound_sockets::{StartError, entropy, errno};

use crate::driver::Slept;
use crate::sockets::{Polled, WITHOUT_POLL, sleep, turn};

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Whom it lets in.
    pub admission: admission::Config,
    /// How it listens.
    pub listen: ListenOptions,
    /// Bytes of address space for the stack of each connection's thread. Default 128 KiB: a connection of the echo server
    /// touches two pages of it, and the rest is for your own machine and `on_event`. Ten thousand connections reserve
    /// 1.2 GiB of addresses for their stacks; with std's default of 2 MiB it would be 20 GiB, which a system without
    /// overcommit refuses.
    pub stack: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { admission: admission::Config::default(), listen: ListenOptions::default(), stack: 128 * 1024 }
    }
}

/// A running server. Dropping it aborts it.
#[derive(Debug)]
#[must_use = "dropping it aborts the server"]
pub struct Server {
    handle: ServerHandle,
    accepting: Option<JoinHandle<()>>,
}

/// Ends a server, from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    control: Arc<Control>,
}

/// A server never dials.
static NO_DIAL: DialOptions = DialOptions { bind: None, user_timeout: None };

/// What all threads of a server share.
struct Control {
    addr: SocketAddr,
    /// Of the listener.
    options: Vec<(&'static str, String)>,
    read_back: ReadBack,
    admission: Mutex<Admission>,
    all_gone: Condvar,
    /// Neither is ever cleared. An abort wakes both: a thread watches `drain` until it has heard it, then `abort`.
    abort: Waker,
    drain: Waker,
    aborted: AtomicBool,
    clock: Clock,
    pool: Arc<Pool>,
}

/// Serves echo on `addr`: [`serve`] with the core's own machine.
///
/// # Errors
///
/// As [`serve`]; also a limit that cannot work.
pub fn serve_echo(
    addr: SocketAddr,
    config: ServerConfig,
    limits: server::Config,
    on_event: impl Fn(Event<server::Ended>) + Send + Sync + 'static,
) -> Result<Server, StartError> {
    let policy = limits.check()?;
    serve(addr, config, move |_, now| Connection::new(policy, now), on_event)
}

/// Listens on `addr` and gives each connection that is let in a machine of its own, made by `make` on that
/// connection's thread. `on_event` is called on the thread where the event came up, by several at once.
///
/// # Errors
///
/// The configuration cannot work, the address cannot be listened on, or there is no thread or descriptor left.
pub fn serve<M, F, E>(
    addr: SocketAddr,
    config: ServerConfig,
    make: F,
    on_event: E,
) -> Result<Server, StartError>
where
    M: Machine<Target = Infallible>,
    M::Command: From<Command>,
    F: Fn(SocketAddr, Instant) -> M + Send + Sync + 'static,
    E: Fn(Event<M::Event>) + Send + Sync + 'static,
{
    let clock = Clock::start();
    let admission = Admission::new(config.admission, entropy::key(), clock.now())?;
    let listener = tcp::listen(addr, &config.listen)?;
    let control = Arc::new(Control {
        addr: listener.local_addr()?,
        options: tcp::describe(&listener),
        read_back: config.listen.read_back,
        admission: Mutex::new(admission),
        all_gone: Condvar::new(),
        abort: Waker::new()?,
        drain: Waker::new()?,
        aborted: AtomicBool::new(false),
        clock,
        pool: Arc::new(Pool::default()),
    });
    let program = Arc::new(Program { control: Arc::clone(&control), make, on_event });
    let accepting = thread::Builder::new()
        .name(String::from("resound-accept"))
        .stack_size(config.stack)
        .spawn(move || program.run(listener, config.stack))?;
    Ok(Server { handle: ServerHandle { control }, accepting: Some(accepting) })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Waits until the server has ended: after a drain or an abort, or when its listener is of no use any more.
    ///
    /// # Panics
    ///
    /// If `on_event` panicked in the accepting thread.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(Err(panic)) = self.accepting.take().map(JoinHandle::join) {
            if !thread::panicking() {
                resume_unwind(panic);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.handle.abort();
            self.wait();
        }
    }
}

impl ServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.control.addr
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
        self.control.admission().live()
    }

    /// Stops listening and lets every connection finish: what is held is written, then the peer's end is awaited, for
    /// as long as its machine allows.
    pub fn drain(&self) {
        self.control.admission().drain();
        self.control.drain.wake();
    }

    /// Stops listening and resets every connection.
    pub fn abort(&self) {
        self.control.aborted.store(true, Ordering::Release);
        self.control.abort.wake();
        self.drain();
    }
}

impl Control {
    /// Nothing panics while it is held.
    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_all_are_gone(&self) {
        let gone = self.all_gone.wait_while(self.admission(), |admission| admission.live() > 0);
        drop(gone.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connection's place among those that are let in; dropping it, even in a panic, makes it free.
struct Place {
    control: Arc<Control>,
    peer: SocketAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.control.admission().release(self.peer);
        self.control.all_gone.notify_all();
    }
}

/// The program's part, and what all threads share.
struct Program<F, E> {
    control: Arc<Control>,
    make: F,
    on_event: E,
}

impl<M, F, E> Program<F, E>
where
    M: Machine<Target = Infallible>,
    M::Command: From<Command>,
    F: Fn(SocketAddr, Instant) -> M + Send + Sync + 'static,
    E: Fn(Event<M::Event>) + Send + Sync + 'static,
{
    // The accepting thread.

    fn run(self: Arc<Self>, listener: TcpListener, stack: usize) {
        self.accept_until_told(&listener, stack);
        drop(listener);
        self.control.wait_until_all_are_gone();
        (self.on_event)(Event::Done);
    }

    /// Accepts until the server is to end, or cannot go on.
    fn accept_until_told(self: &Arc<Self>, listener: &TcpListener, stack: usize) {
        let control = &*self.control;
        loop {
            let then = match control.paused_until() {
                Some(until) => control.sleep(None, Some(until)),
                None => match tcp::accept(listener) {
                    Ok(Some((stream, peer))) => self.admit(stream, peer, stack),
                    Ok(None) => control.sleep(Some(listener), None),
                    Err(error) => self.failed(errno::signal(&error)),
                },
            };
            if then == Then::End {
                return;
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, stack: usize) -> Then {
        let admitted = self.control.admission().admit(peer);
        if let Err(why) = admitted {
            self.control.admission().accepted();
            tcp::close(stream, Close::Reset);
            (self.on_event)(Event::Refused { peer, why });
            return if why == Refusal::Draining { Then::End } else { Then::GoOn };
        }
        let place = Place { control: Arc::clone(&self.control), peer };
        let program = Arc::clone(self);
        let name = String::from("resound-conn");
        let spawned = thread::Builder::new()
            .name(name)
            .stack_size(stack)
            .spawn(move || program.serve_connection(stream, peer, &place));
        match spawned {
            Ok(_detached) => {
                self.control.admission().accepted();
                Then::GoOn
            }
            // pthread_create says EAGAIN for whatever it lacks. That is a shortage, and no "not now".
            Err(_) => self.failed(Signal::Errno(Errno::NoMem)),
        }
    }

    fn failed(&self, signal: Signal) -> Then {
        let then = self.control.admission().failed(self.control.clock.now(), signal);
        (self.on_event)(Event::AcceptFailed { signal, then });
        if then == AcceptError::Fatal { Then::End } else { Then::GoOn }
    }

    // A connection's thread.

    fn serve_connection(&self, stream: TcpStream, peer: SocketAddr, _: &Place) {
        let Control { read_back, abort, drain, aborted, clock, pool, .. } = &*self.control;
        (self.on_event)(tcp::arrival(&stream, peer, *read_back));
        let mut machine = (self.make)(peer, clock.now());
        let mut lines = Lines::accepted(Polled::new(stream));
        // What was heard once is not listened for again: it stays readable for ever.
        let mut waker = drain;
        loop {
            let tell = |event| (self.on_event)(Event::Connection { peer, event });
            let deadline = turn(&mut machine, &mut lines, &NO_DIAL, pool, *clock, tell);
            if machine.is_done() {
                return;
            }
            let timeout = deadline.map(|deadline| clock.until(deadline));
            if sleep(&lines, waker, timeout) == Slept::Woken {
                let command = if aborted.load(Ordering::Acquire) { Command::Abort } else { Command::Drain };
                // Refused only by a machine that has ended, and then the next turn is its last.
                let _ = machine.command(clock.now(), M::Command::from(command));
                waker = abort;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Control {
    /// Until when nothing may be accepted.
    fn paused_until(&self) -> Option<Instant> {
        let mut admission = self.admission();
        if admission.resume(self.clock.now()) { None } else { admission.ready_at() }
    }

    /// The accepting thread's sleep: until a connection waits, if `listener` is given, or until then, or to the end.
    fn sleep(&self, listener: Option<&TcpListener>, until: Option<Instant>) -> Then {
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut both = [watch(self.drain.as_fd()), watch(self.drain.as_fd())];
        let fds = match listener {
            Some(listener) => {
                both[1] = watch(listener.as_fd());
                &mut both[..]
            }
            None => slice::from_mut(&mut both[0]),
        };
        if wait(fds, until.map(|until| self.clock.until(until))).is_err() {
            // No memory for poll(2). The next accept finds out more.
            thread::sleep(WITHOUT_POLL);
        }
        if fds[0].any() == Some(true) { Then::End } else { Then::GoOn }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("addr", &self.addr).finish_non_exhaustive()
    }
}
