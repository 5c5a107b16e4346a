//! The loop, put to the test: the suite's trait on top of it.
//!
//! The suite wants sessions that run in the background and take commands from its own thread. So each session has a loop
//! on a thread of its own, and in that loop a task that does what is sent to it: a closure, to which the loop belongs
//! while it runs.

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use mio::{Token, Waker};
use resound_conformance::{
    ClientSession, Dial, EchoClient, Runtime, ServerConfig, ServerEvent, ServerSession,
};
use resound_core::Instant;
use resound_core::stream::Machine;
use resound_core::stream::client::{Command, Event, Refused};
use resound_core::stream::server;
use resound_sockets::clock::Clock;
use resound_sockets::tcp::{DialOptions, ListenOptions};

use crate::mio_loop::{Driven, Key, Loop, Task, Then};
use crate::mio_port::Sockets;
use crate::mio_server::Server;

/// The loop of [`mio_loop`](crate::mio_loop).
#[derive(Clone, Copy, Debug, Default)]
pub struct Mio;

/// What is sent to a loop's thread. `S` is what lives there.
type Job<S> = Box<dyn FnOnce(&mut Loop, &S) + Send>;

/// A loop on a thread of its own. It ends when this is dropped and its tasks are done.
struct Remote<S> {
    jobs: Option<Sender<Job<S>>>,
    waker: Waker,
    clock: Clock,
    thread: Option<JoinHandle<()>>,
}

/// The task that does the jobs, at the other end.
struct Mailbox<S> {
    jobs: Receiver<Job<S>>,
    state: S,
}

impl<S> Task for Mailbox<S> {
    fn told(&mut self, _: &mio::event::Event) {}

    fn turn(&mut self, cx: &mut Loop) -> Then {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => job(cx, &self.state),
                Err(TryRecvError::Empty) => return Then::Sleep(None),
                Err(TryRecvError::Disconnected) => return Then::Done,
            }
        }
    }
}

impl<S: 'static> Remote<S> {
    /// Starts the thread. `make` puts into the loop what is to live there, and says something to whoever starts it.
    fn start<R: Send + 'static>(
        make: impl FnOnce(&mut Loop) -> io::Result<(S, R)> + Send + 'static,
    ) -> io::Result<(Self, R)> {
        let (send_job, jobs) = channel();
        let (ready, started) = channel();
        let body = move || {
            let made = Loop::new().and_then(|mut cx| {
                let key = cx.new_key();
                let waker = Waker::new(cx.registry(), Token(key))?;
                let (state, said) = make(&mut cx)?;
                cx.add(key, Box::new(Mailbox { jobs, state }));
                let _ = ready.send(Ok((waker, cx.clock(), said)));
                Ok(cx)
            });
            if let Err(error) = made.and_then(Loop::run) {
                let _ = ready.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name(String::from("resound-mio")).spawn(body)?;
        let ended = |_| Err(io::Error::other("the loop's thread has ended"));
        let (waker, clock, said) = started.recv().unwrap_or_else(ended)?;
        Ok((Self { jobs: Some(send_job), waker, clock, thread: Some(thread) }, said))
    }

    fn send(&self, job: impl FnOnce(&mut Loop, &S) + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Box::new(job));
        }
        self.wake();
    }
}

impl<S> Remote<S> {
    fn wake(&self) {
        // It fails only if the loop is gone.
        let _ = self.waker.wake();
    }
}

impl<S> Drop for Remote<S> {
    fn drop(&mut self) {
        self.jobs = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Runtime for Mio {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn client(&self, client: EchoClient, dial: Dial) -> io::Result<Box<dyn ClientSession>> {
        let user_timeout = client.policy().liveness.kernel_backstop();
        let options = DialOptions { bind: dial.bind, user_timeout };
        let (tell, events) = channel();
        let (remote, ()) = Remote::start(move |cx| {
            let (key, clock) = (cx.new_key(), cx.clock());
            let machine = Rc::new(RefCell::new(client));
            let sockets = Sockets::new(cx.registry(), Token(key), options, Rc::default())?;
            let event = move |event, _: &mut Loop| {
                let _ = tell.send((clock.now(), event));
            };
            cx.add(key, Box::new(Driven::new(Rc::clone(&machine), sockets, event)));
            Ok(((key, machine), ()))
        })?;
        Ok(Box::new(Client { remote, events }))
    }

    fn server(&self, addr: SocketAddr, config: ServerConfig) -> io::Result<Box<dyn ServerSession>> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let policy = config.connection.check().map_err(bad)?;
        let default = ListenOptions::default();
        let listen = ListenOptions { backlog: config.backlog.unwrap_or(default.backlog), ..default };
        let (tell, events) = channel();
        let (remote, addr) = Remote::start(move |cx| {
            let event = move |event| {
                let _ = tell.send(event);
            };
            let server = Server::start(cx, addr, &listen, config.admission, policy, event)?;
            let addr = server.local_addr();
            Ok((server, addr))
        })?;
        Ok(Box::new(Serving { remote, addr, events }))
    }
}

struct Client {
    remote: Remote<(Key, Rc<RefCell<EchoClient>>)>,
    events: Receiver<(Instant, Event)>,
}

impl ClientSession for Client {
    fn command(&self, command: Command) -> Result<(), Refused> {
        let (reply, answer) = channel();
        self.remote.send(move |cx, (key, machine)| {
            let now = cx.clock().now();
            let _ = reply.send(machine.borrow_mut().command(now, command));
            cx.wake(*key);
        });
        answer.recv().expect("the loop's thread has ended")
    }

    fn next_event(&mut self, patience: Duration) -> Option<(Instant, Event)> {
        self.events.recv_timeout(patience).ok()
    }

    fn now(&self) -> Instant {
        self.remote.clock.now()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Refused only by a client that has ended.
        let _ = self.command(Command::Abort);
    }
}

struct Serving {
    remote: Remote<Server>,
    addr: SocketAddr,
    events: Receiver<ServerEvent>,
}

impl ServerSession for Serving {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn drain(&self) {
        self.remote.send(|cx, server| server.end(cx, server::Command::Drain));
    }

    fn abort(&self) {
        self.remote.send(|cx, server| server.end(cx, server::Command::Abort));
    }

    fn next_event(&mut self, patience: Duration) -> Option<ServerEvent> {
        self.events.recv_timeout(patience).ok()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("addr", &self.addr).finish_non_exhaustive()
    }
}
