//! Serving with tokio's tasks.

use core::convert::Infallible;
use core::net::SocketAddr;

use resound_async::{Conversation, ServerConfig, StartError, echo_connections};
use resound_core::Instant;
use resound_core::stream::Machine;
use resound_core::stream::admission::Event;
use resound_core::stream::server::{Command, Config, Connection, Ended};

use crate::Tokio;

/// A server on tokio that spawns one task for each connection: a future that is ready when it has drained.
pub type Server<M, F, E> = resound_async::Server<Tokio, F, fn(Conversation<Tokio, M, E>), E>;

/// An echo server (RFC 862) with these limits for each connection. As [`serve`] otherwise.
///
/// # Errors
///
/// The configuration or the limits cannot work, or the address cannot be listened on.
///
/// # Panics
///
/// Outside of a tokio runtime, or in one without IO.
pub fn serve_echo<E>(
    addr: SocketAddr,
    config: ServerConfig,
    limits: Config,
    on_event: E,
) -> Result<Server<Connection, impl FnMut(SocketAddr, Instant) -> Connection + Send + use<E>, E>, StartError>
where
    E: Fn(Event<Ended>) + Send + Sync + 'static,
{
    serve(addr, config, echo_connections(limits)?, on_event)
}

/// Listens on `addr`; port 0 lets the kernel choose one. Spawn or await the result: nothing is accepted before it is
/// polled, and dropping it resets every connection.
///
/// `make` makes the machine of each connection. `on_event` is told what happens, from whatever task it happens in, and
/// must not block. For tasks of a `LocalSet`, which need not be `Send`, give your own spawn function to
/// [`resound_async::serve`].
///
/// # Errors
///
/// The configuration cannot work, or the address cannot be listened on.
///
/// # Panics
///
/// Outside of a tokio runtime, or in one without IO.
pub fn serve<M, F, E>(
    addr: SocketAddr,
    config: ServerConfig,
    make: F,
    on_event: E,
) -> Result<Server<M, F, E>, StartError>
where
    M: Machine<Target = Infallible, Command: From<Command>> + Send + 'static,
    F: FnMut(SocketAddr, Instant) -> M,
    E: Fn(Event<M::Event>) + Send + Sync + 'static,
{
    resound_async::serve(addr, config, make, spawn::<M, E> as fn(_), on_event)
}

fn spawn<M, E>(conversation: Conversation<Tokio, M, E>)
where
    M: Machine<Target = Infallible, Command: From<Command>> + Send + 'static,
    E: Fn(Event<M::Event>) + Send + Sync + 'static,
{
    tokio::spawn(conversation);
}
