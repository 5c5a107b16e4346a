//! A server in the loop of [`mio_loop`](crate::mio_loop): a listener, and a machine for each connection.
//!
//! Who is let in, and what to do about an accept that failed, is decided by the core's [`Admission`]. What is left is to
//! accept while mio's last word is "readable", and not to while the admission pauses. One connection is accepted each
//! time the listener is due, and it is due again at once, so that a crowd at the door keeps nobody inside waiting.

use core::net::SocketAddr;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use resound_core::Instant;
use resound_core::stream::admission::{AcceptError, Admission, Event};
use resound_core::stream::server::Command;
use resound_core::stream::{Close, Machine};
use resound_sockets::errno;
use resound_sockets::port::Lines;
use resound_sockets::tcp::{self, ReadBack, Target};

use crate::mio_loop::{LISTENER, Loop, Told};

/// A server's state in the loop.
pub(crate) struct Accepting<M> {
    /// `None` once the server is leaving, or can accept no more.
    listener: Option<TcpListener>,
    admission: Admission,
    make: Box<dyn FnMut(SocketAddr, Instant) -> M + Send>,
    /// When to try to accept, if not when mio names the listener.
    pub(crate) due: Option<Instant>,
}

impl<M: Machine<Target: Target>> Loop<M> {
    /// Gives each connection that is let in a machine that `make` makes. A loop has one server at a time. The listener
    /// comes from [`tcp::listen`].
    ///
    /// # Errors
    ///
    /// The system's poll does not take it.
    pub fn serve(
        &mut self,
        listener: TcpListener,
        admission: Admission,
        make: impl FnMut(SocketAddr, Instant) -> M + Send + 'static,
    ) -> io::Result<()> {
        let (mut source, token) = (SourceFd(&listener.as_raw_fd()), Token(LISTENER));
        self.poll.registry().register(&mut source, token, Interest::READABLE)?;
        let (listener, make) = (Some(listener), Box::new(make));
        self.server = Some(Accepting { listener, admission, make, due: None });
        Ok(())
    }

    /// Stops listening, and lets every connection finish ([`Command::Drain`]) or resets it ([`Command::Abort`]).
    pub fn leave(&mut self, how: Command)
    where
        M::Command: From<Command>,
    {
        let Some(server) = &mut self.server else { return };
        server.admission.drain();
        (server.listener, server.due) = (None, Some(Instant::EPOCH));
        for driven in self.driven.values_mut().filter(|driven| driven.serves.is_some()) {
            // Refused only by a connection that has ended.
            let _ = driven.machine.command(self.clock.now(), how.into());
            driven.due = Some(Instant::EPOCH);
        }
    }

    /// Accepts one connection, if it is time to.
    pub(crate) fn accept(&mut self) {
        let (Some(server), now) = (&mut self.server, self.clock.now()) else { return };
        let due = server.due.take().is_some_and(|due| due <= now);
        let event = match &server.listener {
            None if server.admission.live() > 0 => return,
            None => Event::Done,
            Some(_) if !due || !server.admission.resume(now) => {
                return server.due = server.admission.ready_at();
            }
            Some(listener) => match tcp::accept(listener) {
                Ok(None) => return,
                Ok(Some((stream, peer))) => {
                    server.admission.accepted();
                    if let Err(why) = server.admission.admit(peer) {
                        tcp::close(stream, Close::Reset);
                        Event::Refused { peer, why }
                    } else {
                        let machine = (server.make)(peer, now);
                        let arrival = tcp::arrival(&stream, peer, ReadBack::Listener);
                        self.insert(machine, Lines::accepted(stream.into()), Some(peer));
                        arrival
                    }
                }
                Err(error) => {
                    let signal = errno::signal(&error);
                    let then = server.admission.failed(now, signal);
                    server.listener.take_if(|_| then == AcceptError::Fatal);
                    Event::AcceptFailed { signal, then }
                }
            },
        };
        self.server.take_if(|_| matches!(event, Event::Done));
        self.server.iter_mut().for_each(|server| server.due = Some(Instant::EPOCH));
        self.told.push_back(Told::Server(event));
    }

    /// A connection has ended.
    pub(crate) fn served(&mut self, peer: SocketAddr) {
        if let Some(server) = &mut self.server {
            server.admission.release(peer);
            // It may be the last one, for which the server waits.
            server.due = Some(Instant::EPOCH);
        }
    }
}
