//! The loop, put to the test: the suite's trait on top of it.
//!
//! The suite wants sessions that run in the background and take commands from its own thread. So each session has a loop
//! on a thread of its own, and a queue beside it: what is put in there wakes the loop.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use mio::Waker;
use resound_conformance::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, Runtime, ServerConfig, ServerSession,
};
use resound_core::stream::Machine;
use resound_core::stream::admission::Admission;
use resound_core::stream::client::{Command, Refused};
use resound_core::stream::server::{self, Connection};
use resound_sockets::clock::Clock;
use resound_sockets::entropy;
use resound_sockets::tcp::{self, DialOptions, Target};

use crate::mio_loop::{Loop, Told};

/// The loop of [`mio_loop`](crate::mio_loop).
#[derive(Clone, Copy, Debug, Default)]
pub struct Mio;

/// A loop on a thread of its own. Dropping this waits for its end.
struct Remote<J> {
    jobs: Option<Sender<J>>,
    waker: Waker,
    clock: Clock,
    thread: Option<JoinHandle<()>>,
}

/// What comes up on that thread.
enum Said<E, J> {
    Told(Told<E>),
    Job(J),
}

impl<J: Send + 'static> Remote<J> {
    fn start<M>(
        mut cx: Loop<M>,
        mut on: impl FnMut(&mut Loop<M>, Said<M::Event, J>) + Send + 'static,
    ) -> io::Result<Self>
    where
        M: Machine<Target: Target, Event: Send> + Send + 'static,
    {
        let (waker, clock) = (cx.waker()?, cx.clock());
        let (send, jobs) = channel();
        let body = move || {
            while let Ok(Some(told)) = cx.next_event() {
                match told {
                    Told::Woken => jobs.try_iter().for_each(|job| on(&mut cx, Said::Job(job))),
                    told => on(&mut cx, Said::Told(told)),
                }
            }
            // Nothing is left in the loop; what is still asked is answered.
            jobs.iter().for_each(|job| on(&mut cx, Said::Job(job)));
        };
        let thread = thread::Builder::new().name(String::from("resound-mio")).spawn(body)?;
        Ok(Self { jobs: Some(send), waker, clock, thread: Some(thread) })
    }
}

impl<J> Remote<J> {
    fn send(&self, job: J) {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job).is_ok());
        assert_eq!(sent, Some(true), "the loop's thread has ended");
        // It fails only if the loop is gone.
        let _ = self.waker.wake();
    }
}

impl<J> Drop for Remote<J> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Runtime for Mio {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn client(
        &self,
        client: EchoClient,
        dial: Dial,
        mut on_event: OnEvent,
    ) -> io::Result<Box<dyn ClientSession>> {
        let user_timeout = client.kernel_backstop();
        let mut cx = Loop::new(DialOptions { bind: dial.bind, user_timeout })?;
        let key = cx.add(client);
        let remote = Remote::start(cx, move |cx, said| match said {
            Said::Told(Told::Machine(_, event)) => on_event(cx.clock().now(), event),
            Said::Told(Told::Server(_) | Told::Woken) => {}
            Said::Job(Ask { command, reply }) => {
                let now = cx.clock().now();
                if let Some(client) = cx.machine(key) {
                    let _ = reply.send(client.command(now, command));
                }
            }
        })?;
        Ok(Box::new(Client { remote }))
    }

    fn server(
        &self,
        addr: SocketAddr,
        config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let policy = config.connection.check().map_err(bad)?;
        let listener = tcp::listen(addr, &config.listen)?;
        let addr = listener.local_addr()?;
        let mut cx = Loop::new(DialOptions::default())?;
        let admission = Admission::new(config.admission, entropy::key(), cx.clock().now()).map_err(bad)?;
        cx.serve(listener, admission, move |_, now| Connection::new(policy, now))?;
        let remote = Remote::start(cx, move |cx, said| match said {
            Said::Told(Told::Server(event)) => on_event(event),
            Said::Told(_) => {}
            Said::Job(how) => cx.leave(how),
        })?;
        Ok(Box::new(Serving { remote, addr }))
    }
}

/// What the suite's thread asks of the client, and where it waits for the answer.
struct Ask {
    command: Command,
    reply: Sender<Result<(), Refused>>,
}

struct Client {
    remote: Remote<Ask>,
}

impl ClientSession for Client {
    fn command(&self, command: Command) -> Result<(), Refused> {
        let (reply, answer) = channel();
        self.remote.send(Ask { command, reply });
        answer.recv().expect("the loop's thread has ended")
    }

    fn now(&self) -> resound_core::Instant {
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
    remote: Remote<server::Command>,
    addr: SocketAddr,
}

impl ServerSession for Serving {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn drain(&self) {
        self.remote.send(server::Command::Drain);
    }

    fn abort(&self) {
        self.remote.send(server::Command::Abort);
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
