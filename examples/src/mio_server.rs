//! A server in the loop of [`mio_loop`](crate::mio_loop): a listener, and a task for each connection.
//!
//! Who is let in, and what to do about an accept that failed, is decided by the core's [`Admission`]. What is left is to
//! accept while mio's last word is "readable", and not to while the admission pauses.

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use mio::event::Event as Told;
use mio::{Interest, Token};
use resound_core::signal::Signal;
use resound_core::stream::admission::{self, AcceptError, Admission, Event};
use resound_core::stream::server::{Command, Connection, Ended, Policy};
use resound_core::stream::{Close, Machine};
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, ListenOptions};
use resound_sockets::{entropy, errno};

use crate::mio_loop::{Driven, Key, Loop, Task, Then};
use crate::mio_port::Sockets;

/// How many connections are accepted in one turn.
const ACCEPTED_PER_TURN: u32 = 16;

/// An echo server in a loop. Clones are the same server.
#[derive(Clone)]
pub struct Server(Rc<RefCell<Inner>>);

struct Inner {
    key: Key,
    addr: SocketAddr,
    admission: Admission,
    policy: Policy,
    pool: Rc<Pool>,
    live: HashMap<Key, Rc<RefCell<Connection>>>,
    listening: Listening,
    event: Rc<dyn Fn(Event<Ended>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    Yes,
    No,
}

impl Server {
    /// Listens, and puts the server into the loop.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or the limits cannot work.
    pub fn start(
        cx: &mut Loop,
        addr: SocketAddr,
        options: &ListenOptions,
        limits: admission::Config,
        policy: Policy,
        event: impl Fn(Event<Ended>) + 'static,
    ) -> io::Result<Self> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let admission = Admission::new(limits, entropy::key()).map_err(bad)?;
        let listener = tcp::listen(addr, options)?;
        let addr = listener.local_addr()?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let key = cx.new_key();
        cx.registry().register(&mut listener, Token(key), Interest::READABLE)?;
        let server = Self(Rc::new(RefCell::new(Inner {
            key,
            addr,
            admission,
            policy,
            pool: Rc::default(),
            live: HashMap::new(),
            listening: Listening::Yes,
            event: Rc::new(event),
        })));
        let accepting = Accepting { listener: Some(listener), readable: false, server: server.clone() };
        cx.add(key, Box::new(accepting));
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.borrow().addr
    }

    /// Stops listening, and lets every connection finish ([`Command::Drain`]) or resets it ([`Command::Abort`]).
    pub fn end(&self, cx: &mut Loop, how: Command) {
        let mut inner = self.0.borrow_mut();
        inner.admission.drain();
        inner.listening = Listening::No;
        cx.wake(inner.key);
        for (&key, connection) in &inner.live {
            // Refused only by a connection that has ended.
            let _ = connection.borrow_mut().command(cx.clock().now(), how);
            cx.wake(key);
        }
    }

    fn tell(&self, event: Event<Ended>) {
        let tell = Rc::clone(&self.0.borrow().event);
        tell(event);
    }

    fn serve(&self, cx: &mut Loop, stream: TcpStream, peer: SocketAddr) {
        let admitted = self.0.borrow_mut().admission.admit(peer.ip());
        if let Err(why) = admitted {
            tcp::close(stream, Close::Reset);
            return self.tell(Event::Refused { peer, why });
        }
        let (key, now) = (cx.new_key(), cx.clock().now());
        let pool = Rc::clone(&self.0.borrow().pool);
        let sockets = Sockets::new(cx.registry(), Token(key), DialOptions::default(), pool)
            .and_then(|new| new.accepted(stream));
        match sockets {
            Err(error) => {
                self.0.borrow_mut().admission.release(peer.ip());
                self.failed(cx, errno::signal(&error));
            }
            Ok(sockets) => {
                self.tell(Event::Accepted { peer });
                let connection = Rc::new(RefCell::new(Connection::new(self.0.borrow().policy, now)));
                self.0.borrow_mut().live.insert(key, Rc::clone(&connection));
                let server = self.clone();
                let event = move |event: Ended, cx: &mut Loop| {
                    server.tell(Event::Connection { peer, event });
                    server.ended(cx, key, peer.ip());
                };
                cx.add(key, Box::new(Driven::new(connection, sockets, event)));
            }
        }
    }

    /// A connection's only event is its end.
    fn ended(&self, cx: &mut Loop, key: Key, ip: IpAddr) {
        let mut inner = self.0.borrow_mut();
        inner.live.remove(&key);
        inner.admission.release(ip);
        cx.wake(inner.key);
    }

    fn failed(&self, cx: &Loop, signal: Signal) {
        let then = self.0.borrow_mut().admission.failed(cx.clock().now(), signal);
        if then == AcceptError::Fatal {
            self.0.borrow_mut().listening = Listening::No;
        }
        self.tell(Event::AcceptFailed { signal, then });
    }
}

/// The listener as a task.
struct Accepting {
    listener: Option<mio::net::TcpListener>,
    readable: bool,
    server: Server,
}

impl Task for Accepting {
    fn told(&mut self, _: &Told) {
        self.readable = true;
    }

    fn turn(&mut self, cx: &mut Loop) -> Then {
        for _ in 0..ACCEPTED_PER_TURN {
            let now = cx.clock().now();
            if self.server.0.borrow().listening == Listening::No {
                self.listener = None;
            }
            let Some(listener) = &self.listener else { return self.wait_for_the_last() };
            let resumed = self.server.0.borrow_mut().admission.resume(now);
            if !self.readable || !resumed {
                return Then::Sleep(self.server.0.borrow().admission.ready_at());
            }
            match tcp::accept(listener) {
                Ok(Some((stream, peer))) => {
                    self.server.0.borrow_mut().admission.accepted();
                    self.server.serve(cx, stream, peer);
                }
                Ok(None) => self.readable = false,
                Err(error) => self.server.failed(cx, errno::signal(&error)),
            }
        }
        Then::Sleep(Some(cx.clock().now()))
    }
}

impl Accepting {
    fn wait_for_the_last(&self) -> Then {
        if self.server.0.borrow().live.is_empty() {
            self.server.tell(Event::Done);
            return Then::Done;
        }
        Then::Sleep(None)
    }
}
