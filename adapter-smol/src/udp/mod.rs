//! UDP on smol, or any other executor: an echo client of many peers on one socket, and the server.
//!
//! # A first program
//!
//! A server, a client with two peers, one of which nobody serves. The client says at once which of the two it is.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_executor::Executor;
//! use resound_smol::udp::{Client, ClientConfig, Event, ServerConfig, serve};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let executor = Arc::new(Executor::new());
//!     let sockets = executor.clone();
//!     let spawn = move |responder| sockets.spawn(responder).detach();
//!     let server = serve(&["127.0.0.1:0".parse()?], &ServerConfig::default(), spawn, |_, _| {})?;
//!     let at_server = server.handle();
//!
//!     let mut client = Client::open(ClientConfig::default())?;
//!     let handle = client.handle();
//!     let alive = handle.add(at_server.local_addrs()[0])?;
//!
//!     async_io::block_on(executor.run(async {
//!         let serving = executor.spawn(server);
//!         let echo = client.run_until(handle.echo(alive, "hello"), |_| {}).await?;
//!         println!("{} bytes came back in {:?}", echo.payload.len(), echo.round_trip);
//!         assert_eq!(echo.payload, "hello");
//!
//!         // A port that nobody has.
//!         let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
//!         let dead = handle.add(nobody)?;
//!         client
//!             .run_with(|event| {
//!                 if let Event::DialFailed { peer, cause, .. } = event {
//!                     assert_eq!(peer, dead);
//!                     println!("{nobody} is gone: {cause}");
//!                     handle.close(); // without this it would ask again
//!                 }
//!             })
//!             .await;
//!
//!         at_server.stop();
//!         serving.await;
//!         Ok(())
//!     }))
//! }
//! ```
//!
//! A client is no task: it lives when it is polled. One that nobody polls notices that **it** stood still, and does not
//! blame its peers.
//!
//! A machine of your own over datagrams is driven by [`Session`].

use core::net::SocketAddr;

use resound_async::StartError;
pub use resound_async::udp::{ClientHandle, Echo, EchoError, Echoing, ServerHandle, Setup};
pub use resound_core::datagram::client::{
    Config as ClientConfig, Event, NotAdded, PeerId, PeerStatus, Refusal, Refused, Seq, Strays,
};
pub use resound_core::datagram::server::{Config as EchoConfig, Counts, Event as ServerEvent, Ignored};
pub use resound_sockets::udp::{Errors, Options, ServerConfig, Sizes, bind, bind_any};

use crate::Smol;

mod socket;

pub use socket::Socket;

/// An echo client of many peers on smol.
pub type Client = resound_async::udp::Client<Smol>;

/// Any machine over datagrams, on smol.
pub type Session<M> = resound_async::udp::Session<M, Smol>;

/// One socket of a server on smol: a future that is ready when the server has stopped.
pub type Responder<E> = resound_async::udp::Responder<Smol, E>;

/// An echo server on smol: a future that is ready when it has stopped.
pub type Server<S, E> = resound_async::udp::Server<Smol, S, E>;

/// Serves echo (RFC 862) on these addresses; port 0 lets the kernel choose one. Spawn or await the result: nothing is
/// answered before it is polled, and dropping it stops the server.
///
/// `spawn` is given a future for each socket, and hands it to an executor:
/// `|responder| executor.spawn(responder).detach()`. `on_event` is told what happens on the socket that is bound to this
/// address, from whatever task it happens in, and must not block.
///
/// # Errors
///
/// The configuration cannot work, or an address cannot be bound.
pub fn serve<S, E>(
    addrs: &[SocketAddr],
    config: &ServerConfig,
    spawn: S,
    on_event: E,
) -> Result<Server<S, E>, StartError>
where
    S: FnMut(Responder<E>),
    E: Fn(SocketAddr, ServerEvent),
{
    resound_async::udp::serve(addrs, config, spawn, on_event)
}
