//! Serving with the tasks of any executor.

use core::net::SocketAddr;

use resound_async::{ServerConfig, Service, StartError};
use resound_core::stream::Machine;
use resound_core::stream::admission::Event;

use crate::Smol;

/// One connection of a server on smol.
pub type Conversation<V, E> = resound_async::Conversation<Smol, V, E>;

/// A server on smol: a future that is ready when it has drained.
pub type Server<V, S, E> = resound_async::Server<Smol, V, S, E>;

/// Listens on `addr`; port 0 lets the kernel choose one. Spawn or await the result: nothing is accepted before it is
/// polled, and dropping it resets every connection.
///
/// `spawn` is given each connection's future, and hands it to an executor: `|conversation|
/// executor.spawn(conversation).detach()`. `event` is told what happens, from whatever task it happens in, and must not
/// block.
///
/// # Errors
///
/// The configuration cannot work, or the address cannot be listened on.
pub fn serve<V, S, E>(
    addr: SocketAddr,
    config: ServerConfig,
    service: V,
    spawn: S,
    event: E,
) -> Result<Server<V, S, E>, StartError>
where
    V: Service,
    S: FnMut(Conversation<V, E>),
    E: Fn(Event<<V::Machine as Machine>::Event>),
{
    resound_async::serve(addr, config, service, spawn, event)
}
