//! UDP on tokio: an echo client of many peers on one socket, and the server.
//!
//! # A first program
//!
//! A server, a client with two peers, one of which nobody serves. The client says at once which of the two it is.
//!
//! ```
//! use resound_tokio::udp::{Client, ClientConfig, Event, ServerConfig, serve};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = serve(&["127.0.0.1:0".parse()?], &ServerConfig::default(), |_, _| {})?;
//!     let at_server = server.handle();
//!     let serving = tokio::spawn(server);
//!
//!     let mut client = Client::open(ClientConfig::default())?;
//!     let handle = client.handle();
//!     let alive = handle.add(at_server.local_addrs()[0])?;
//!     let echo = client.run_until(handle.echo(alive, "hello"), |_| {}).await?;
//!     println!("{} bytes came back in {:?}", echo.payload.len(), echo.round_trip);
//!     assert_eq!(echo.payload, "hello");
//!
//!     // A port that nobody has.
//!     let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
//!     let dead = handle.add(nobody)?;
//!     let closing = handle.clone();
//!     client
//!         .run_with(move |event| {
//!             if let Event::DialFailed { peer, cause, .. } = event {
//!                 assert_eq!(peer, dead);
//!                 println!("{nobody} is gone: {cause}");
//!                 closing.close(); // without this it would ask again
//!             }
//!         })
//!         .await;
//!
//!     at_server.stop();
//!     serving.await?;
//!     assert!(at_server.counts().echoed >= 1);
//!     Ok(())
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

use crate::Tokio;

mod socket;

pub use socket::Socket;

/// An echo client of many peers on tokio.
pub type Client = resound_async::udp::Client<Tokio>;

/// Any machine over datagrams, on tokio.
pub type Session<M> = resound_async::udp::Session<M, Tokio>;

/// One socket of a server on tokio: a future that is ready when the server has stopped.
pub type Responder<E> = resound_async::udp::Responder<Tokio, E>;

/// An echo server on tokio that spawns one task for each of its sockets: a future that is ready when it has stopped.
pub type Server<E> = resound_async::udp::Server<Tokio, fn(Responder<E>), E>;

/// Serves echo (RFC 862) on these addresses; port 0 lets the kernel choose one. Spawn or await the result: nothing is
/// answered before it is polled, and dropping it stops the server.
///
/// `on_event` is told what happens on the socket that is bound to this address, from whatever task it happens in, and must
/// not block. For tasks of a `LocalSet`, which need not be `Send`, give your own spawn function to
/// [`resound_async::udp::serve`].
///
/// # Errors
///
/// The configuration cannot work, or an address cannot be bound.
///
/// # Panics
///
/// Outside of a tokio runtime, or in one without IO.
pub fn serve<E>(addrs: &[SocketAddr], config: &ServerConfig, on_event: E) -> Result<Server<E>, StartError>
where
    E: Fn(SocketAddr, ServerEvent) + Send + Sync + 'static,
{
    let spawn: fn(Responder<E>) = |responder| drop(tokio::spawn(responder));
    resound_async::udp::serve(addrs, config, spawn, on_event)
}
