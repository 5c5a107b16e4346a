//! Resound on smol, or any other executor: echo clients that know when their peer is gone, and why, and get it back; and
//! the server.
//!
//! # A first program
//!
//! A server, a client, one message there and back. Then the peer leaves, and the client says so.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_executor::Executor;
//! use resound_smol::{Client, ClientConfig, ConnectionConfig, Event, ServerConfig};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let executor = Arc::new(Executor::new());
//!     let connections = executor.clone();
//!     let server = resound_smol::serve_echo(
//!         "127.0.0.1:0".parse()?,
//!         ServerConfig::default(),
//!         ConnectionConfig::default(),
//!         move |connection| connections.spawn(connection).detach(),
//!         |_| {},
//!     )?;
//!     let at_server = server.handle();
//!
//!     let mut client = Client::connect([at_server.local_addr()], ClientConfig::default())?;
//!     let handle = client.handle();
//!
//!     futures_lite::future::block_on(executor.run(async {
//!         let serving = executor.spawn(server);
//!
//!         let echo = client.run_until(handle.echo("hello"), |_| {}).await?;
//!         println!("{} bytes came back in {:?}", echo.payload.len(), echo.round_trip);
//!         assert_eq!(echo.payload, "hello");
//!
//!         at_server.drain();
//!         client
//!             .run_with(|event| {
//!                 if let Event::Down { cause, .. } = event {
//!                     println!("the peer is gone: {cause}");
//!                     handle.close(); // without this it would dial again
//!                 }
//!             })
//!             .await;
//!         serving.await;
//!         Ok(())
//!     }))
//! }
//! ```
//!
//! A client is no task: it lives when it is polled. Spawn [`Client::run`], loop over it as a stream of events, or give it
//! a future to accompany with [`Client::run_until`], as above. One that nobody polls notices that **it** stood still, and
//! does not blame the peer.
//!
//! # What it needs
//!
//! Any executor. The reactor is async-io's, which runs on a thread of its own, or within `async_io::block_on` or
//! `smol::block_on`. Nothing is spawned behind your back: [`serve`] asks you to.
//!
//! # Your own protocol
//!
//! [`Session`] drives any [`Machine`](resound_core::stream::Machine) that dials, and [`serve`] any that answers. The echo
//! client is built on nothing else.

#![forbid(unsafe_code)]

extern crate alloc;

mod bell;
mod runtime;
mod serve;

use resound_async::echo;
pub use resound_async::echo::{ClientHandle, Echo, EchoError, EchoSink, Echoing};
pub use resound_async::{Handle, ServerConfig, ServerHandle, Setup, StartError};
pub use resound_core::stream::admission::Event as ServerEvent;
pub use resound_core::stream::client::{Command, Config as ClientConfig, Event};
pub use resound_core::stream::server::Config as ConnectionConfig;
pub use resound_sockets::tcp::{DialOptions, ListenOptions, Wildcard};
pub use runtime::{Smol, Socket, Timer};
pub use serve::{Conversation, Server, serve, serve_echo};

/// An echo client on smol.
pub type Client = echo::Client<Smol>;

/// Any machine that dials, on smol.
pub type Session<M> = resound_async::Session<M, Smol>;
