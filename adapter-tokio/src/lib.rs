//! Resound on tokio: echo clients that know when their peer is gone, and why, and get it back; and the server.
//!
//! # A first program
//!
//! A server, a client, one message there and back. Then the peer leaves, and the client says so.
//!
//! ```
//! use resound_tokio::{Client, ClientConfig, ConnectionConfig, Event, ServerConfig};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let here = "127.0.0.1:0".parse()?;
//!     let server = resound_tokio::serve_echo(here, ServerConfig::default(), ConnectionConfig::default(), |_| {})?;
//!     let at_server = server.handle();
//!     let serving = tokio::spawn(server);
//!
//!     let client = Client::connect([at_server.local_addr()], ClientConfig::default())?;
//!     let handle = client.handle();
//!     let closing = handle.clone();
//!     let driving = tokio::spawn(client.run_with(move |event| {
//!         if let Event::Down { cause, .. } = event {
//!             println!("the peer is gone: {cause}");
//!             closing.close(); // without this it would dial again
//!         }
//!     }));
//!
//!     let echo = handle.echo("hello").await?;
//!     println!("{} bytes came back in {:?}", echo.payload.len(), echo.round_trip);
//!     assert_eq!(echo.payload, "hello");
//!
//!     at_server.drain();
//!     serving.await?;
//!     driving.await?;
//!     Ok(())
//! }
//! ```
//!
//! A client is no task: it lives when it is polled. Spawn [`Client::run`], loop over it as a stream of events, or give it
//! a future to accompany with [`Client::run_until`]. One that nobody polls notices that **it** stood still, and does not
//! blame the peer.
//!
//! All of this is about TCP. UDP, with many peers on one socket, is in [`udp`].
//!
//! # What it needs
//!
//! A runtime with IO and time enabled, of either flavour. Clients and servers are made inside of it. Nothing is spawned
//! behind your back but one task per connection of a server.
//!
//! # Your own protocol
//!
//! [`Session`] drives any [`Machine`](resound_core::stream::Machine) that dials, and [`serve`] any that answers. The echo
//! client is built on nothing else.

#![forbid(unsafe_code)]

extern crate alloc;

mod runtime;
mod serve;
pub mod udp;

use resound_async::echo;
pub use resound_async::echo::{ClientHandle, Echo, EchoError, EchoSink, Echoing};
pub use resound_async::{Handle, ServerConfig, ServerHandle, Setup, StartError};
pub use resound_core::stream::admission::Event as ServerEvent;
pub use resound_core::stream::client::{Command, Config as ClientConfig, Event};
pub use resound_core::stream::server::Config as ConnectionConfig;
pub use resound_sockets::tcp::{DialOptions, ListenOptions, Wildcard};
pub use runtime::{Socket, Timer, Tokio};
pub use serve::{Server, serve, serve_echo};

/// One connection of a server on tokio: a future that is ready when it has ended.
pub type Conversation<M, E> = resound_async::Conversation<Tokio, M, E>;

/// An echo client on tokio.
pub type Client = echo::Client<Tokio>;

/// Any machine that dials, on tokio.
pub type Session<M> = resound_async::Session<M, Tokio>;
