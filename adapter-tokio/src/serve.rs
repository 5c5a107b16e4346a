//! Serving with tokio's tasks.

use core::net::SocketAddr;

use resound_async::{Conversation, ServerConfig, Service, StartError};
use resound_core::stream::Machine;
use resound_core::stream::admission::Event;

use crate::Tokio;

/// A server on tokio that spawns one task per connection: a future that is ready when it has drained.
pub type Server<V, E> = resound_async::Server<Tokio, V, fn(Conversation<Tokio, V, E>), E>;

/// Listens on `addr`; port 0 lets the kernel choose one. Spawn or await the result: nothing is accepted before it is
/// polled, and dropping it resets every connection.
///
/// `event` is told what happens, from whatever task it happens in, and must not block. For tasks of a `LocalSet`, which
/// need not be `Send`, give your own spawn function to [`resound_async::serve`].
///
/// # Errors
///
/// The configuration cannot work, or the address cannot be listened on.
///
/// # Panics
///
/// Outside of a tokio runtime, or in one without IO.
pub fn serve<V, E>(
    addr: SocketAddr,
    config: ServerConfig,
    service: V,
    event: E,
) -> Result<Server<V, E>, StartError>
where
    V: Service<Machine: Send> + 'static,
    E: Fn(Event<<V::Machine as Machine>::Event>) + Send + Sync + 'static,
{
    resound_async::serve(addr, config, service, spawn::<V, E> as fn(_), event)
}

fn spawn<V, E>(conversation: Conversation<Tokio, V, E>)
where
    V: Service<Machine: Send> + 'static,
    E: Fn(Event<<V::Machine as Machine>::Event>) + Send + Sync + 'static,
{
    tokio::spawn(conversation);
}
