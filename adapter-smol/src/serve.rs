//! Serving with the tasks of any executor.

use core::convert::Infallible;
use core::net::SocketAddr;

use resound_async::{ServerConfig, StartError, echo_connections};
use resound_core::Instant;
use resound_core::stream::Machine;
use resound_core::stream::admission::Event;
use resound_core::stream::server::{Command, Config, Connection, Ended};

use crate::Smol;

/// One connection of a server on smol: a future that is ready when it has ended.
pub type Conversation<M, E> = resound_async::Conversation<Smol, M, E>;

/// A server on smol: a future that is ready when it has drained.
pub type Server<F, S, E> = resound_async::Server<Smol, F, S, E>;

/// An echo server (RFC 862) with these limits for each connection. As [`serve`] otherwise.
///
/// # Errors
///
/// The configuration or the limits cannot work, or the address cannot be listened on.
pub fn serve_echo<S, E>(
    addr: SocketAddr,
    config: ServerConfig,
    limits: Config,
    spawn: S,
    on_event: E,
) -> Result<Server<impl FnMut(SocketAddr, Instant) -> Connection + Send + use<S, E>, S, E>, StartError>
where
    S: FnMut(Conversation<Connection, E>),
    E: Fn(Event<Ended>),
{
    serve(addr, config, echo_connections(limits)?, spawn, on_event)
}

/// Listens on `addr`; port 0 lets the kernel choose one. Spawn or await the result: nothing is accepted before it is
/// polled, and dropping it resets every connection.
///
/// `make` makes the machine of each connection. `spawn` is given the connection's future, and hands it to an executor:
/// `|connection| executor.spawn(connection).detach()`. `on_event` is told what happens, from whatever task it happens
/// in, and must not block.
///
/// # Errors
///
/// The configuration cannot work, or the address cannot be listened on.
pub fn serve<M, F, S, E>(
    addr: SocketAddr,
    config: ServerConfig,
    make: F,
    spawn: S,
    on_event: E,
) -> Result<Server<F, S, E>, StartError>
where
    M: Machine<Target = Infallible, Command: From<Command>>,
    F: FnMut(SocketAddr, Instant) -> M,
    S: FnMut(Conversation<M, E>),
    E: Fn(Event<M::Event>),
{
    resound_async::serve(addr, config, make, spawn, on_event)
}
