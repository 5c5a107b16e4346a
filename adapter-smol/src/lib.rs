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
//!     async_io::block_on(executor.run(async {
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
//! All of this is about TCP. UDP, with many peers on one socket, is in [`udp`].
//!
//! # What it needs
//!
//! Any executor. Nothing is spawned behind your back: [`serve`] asks you to.
//!
//! The reactor is async-io's. It runs on a thread of its own, or within `async_io::block_on`, which is also
//! `smol::block_on`. Run **one** thread of your executor in that, and further ones in `futures_lite::future::block_on`.
//! Then the thread that waits for the kernel is the one that goes on afterwards. All other ways work too and keep every
//! promise in time, but a message costs more. An echo server with one connection on Linux 6.18, system calls and changes
//! of thread for a message:
//!
//! | threads of the executor | 1 message in flight | 64 in flight |
//! |---|---|---|
//! | one, in `async_io::block_on` | 8.0 calls, 1.0 changes | 0.126 calls, 0.016 changes |
//! | one, in `futures_lite::future::block_on` | 10.0 calls, 2.4 changes | 0.157 calls, 0.031 changes |
//! | two, one of each kind | 11.0 calls, 2.4 changes | 0.163 calls, 0.045 changes |
//! | two, in `futures_lite::future::block_on` | 12.1 calls, 3.8 changes | 0.189 calls, 0.054 changes |
//! | two, in `async_io::block_on` | 15.6 calls, 4.1 changes | 0.238 calls, 0.059 changes |
//!
//! Of the eight, two read and write. The others are one wait in the reactor, whatever the number of messages or
//! connections that it ends with, and the question that precedes it ([`Socket`]).
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
pub mod udp;

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
