//! A machine on one UDP socket, driven by a thread of its own, on the runtime of choice.
//!
//! ```text
//!   ask, look ──► machine ◄── turn ── thread: std's own loop, smol's reactor, or a tokio runtime ──► on_event
//! ```
//!
//! One thread for each socket, on every runtime: sockets have nothing in common, and a machine is never waited for.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use resound_core::Instant;
use resound_core::datagram::Machine;
use resound_sockets::clock::Clock;
use resound_sockets::udp::Sizes;

use crate::args::RuntimeName;

pub(crate) mod contest;
pub(crate) mod flights;
pub(crate) mod witness;

/// A machine that a thread drives. Dropping it leaves the thread behind, until the machine ends or the process does.
#[derive(Debug)]
pub(crate) struct Driven<M: Machine> {
    handle: Handle<M>,
    pub(crate) local_addr: SocketAddr,
    /// The options of the socket as the kernel took them.
    pub(crate) options: Vec<(&'static str, String)>,
    /// Ends the pause before the first turn.
    begin: Sender<()>,
}

/// How a machine is reached, from any thread.
#[derive(Debug)]
enum Handle<M> {
    Std(resound_std::Handle<M>),
    /// smol and tokio have the same.
    Async(resound_tokio::Handle<M>),
}

impl<M: Machine> Handle<M> {
    fn now(&self) -> Instant {
        match self {
            Self::Std(handle) => handle.now(),
            Self::Async(handle) => handle.now(),
        }
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Std(handle) => Self::Std(handle.clone()),
            Self::Async(handle) => Self::Async(handle.clone()),
        }
    }
}

/// Puts a machine on a socket. Its first turn is after `pause`, or when it is first told to end; what it tells goes to
/// `on_event`, with the time on its clock, on the thread that drives it.
pub(crate) fn drive<M>(
    runtime: RuntimeName,
    machine: M,
    socket: UdpSocket,
    sizes: Sizes,
    pause: Duration,
    mut on_event: impl FnMut(Instant, M::Event) + Send + 'static,
) -> io::Result<Driven<M>>
where
    M: Machine + Send + 'static,
    M::Event: Send,
{
    let (begin, begun) = channel();
    let builder = thread::Builder::new().name("resound-udp".into());
    let start = move || {
        if !pause.is_zero() {
            // Either way it is over.
            let _ = Receiver::recv_timeout(&begun, pause);
        }
    };
    let (handle, local_addr, options) = match runtime {
        RuntimeName::Std => {
            let mut session = resound_std::udp::Session::new(machine, socket, sizes)?;
            let handle = Handle::Std(session.handle());
            let (local_addr, options, clock) =
                (session.local_addr(), session.socket_options(), handle.clone());
            builder.spawn(move || {
                start();
                session.run_with(|event| on_event(clock.now(), event));
            })?;
            (handle, local_addr, options)
        }
        RuntimeName::Smol => {
            let setup = resound_smol::udp::Setup { clock: Clock::start(), sizes };
            let session = resound_smol::udp::Session::new(machine, socket, setup)?;
            let handle = Handle::Async(session.handle());
            let (local_addr, options, clock) =
                (session.local_addr(), session.socket_options(), handle.clone());
            builder.spawn(move || {
                start();
                async_io::block_on(session.run_with(|event| on_event(clock.now(), event)));
            })?;
            (handle, local_addr, options)
        }
        RuntimeName::Tokio => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let setup = resound_tokio::udp::Setup { clock: Clock::start(), sizes };
            let session = {
                let _context = runtime.enter();
                resound_tokio::udp::Session::new(machine, socket, setup)?
            };
            let handle = Handle::Async(session.handle());
            let (local_addr, options, clock) =
                (session.local_addr(), session.socket_options(), handle.clone());
            builder.spawn(move || {
                start();
                runtime.block_on(session.run_with(|event| on_event(clock.now(), event)));
            })?;
            (handle, local_addr, options)
        }
    };
    Ok(Driven { handle, local_addr, options, begin })
}

impl<M: Machine> Driven<M> {
    /// Asks the machine for something, by its own methods; the driver is woken for what follows.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut M, Instant) -> T) -> T {
        match &self.handle {
            Handle::Std(handle) => handle.with(ask),
            Handle::Async(handle) => handle.with(ask),
        }
    }

    /// Looks at the machine.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        match &self.handle {
            Handle::Std(handle) => handle.look(look),
            Handle::Async(handle) => handle.look(look),
        }
    }

    /// Tells the machine to end; a pause before its first turn is over too.
    pub(crate) fn end(&self, end: impl FnOnce(&mut M, Instant)) {
        self.ask(end);
        // The thread may be past its pause, or at its end.
        let _ = self.begin.send(());
    }

    /// The time on the machine's clock.
    pub(crate) fn now(&self) -> Instant {
        self.handle.now()
    }
}
