//! Resound on blocking std sockets.
//!
//! A client that keeps one peer, says within a stated time that it is gone, and why, and gets it back; and a server with
//! a thread for each connection. No async runtime.
//!
//! # A first program
//!
//! ```
//! use resound_std::{Client, ClientConfig, ConnectionConfig, Event, ServerConfig, serve_echo};
//! use std::time::Duration;
//!
//! // A server, on a port that the kernel chooses. It tells what happens to it; here nobody listens.
//! let here = "127.0.0.1:0".parse()?;
//! let server = serve_echo(here, ServerConfig::default(), ConnectionConfig::default(), |_event| {})?;
//!
//! // A client. It dials when it is first driven, and again whenever it has to.
//! let mut client = Client::connect([server.local_addr()], ClientConfig::default())?;
//! let echo = client.echo("hello", Duration::from_secs(5))?;
//! assert_eq!(echo.payload, "hello");
//! println!("it took {:?}", echo.round_trip);
//!
//! // The peer leaves, and the client says so. Driven on, it would dial again.
//! server.handle().drain();
//! while let Ok(event) = client.next_event(Duration::from_secs(5)) {
//!     if let Event::Down { cause, .. } = event {
//!         println!("the peer is gone: {cause}");
//!         break;
//!     }
//! }
//! drop(client);
//! server.join();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Theory of operation
//!
//! Every decision is made in [`resound_core`]; every call is made by [`resound_sockets`]. What is here is how to sleep,
//! and who may wake the sleeper.
//!
//! | module | is |
//! |---|---|
//! | `sockets` | one socket, as the [`port`](resound_sockets::port) of all adapters wants it, and the sleep in `poll(2)` |
//! | `driver` | a machine driven by the thread that asks it for events; [`Handle`] |
//! | `session` | [`Session`]: any machine that dials, so driven |
//! | `desk` | messages that a thread waits for |
//! | `client` | [`Client`]: a session of the echo client, with a blocking `echo`; [`ClientHandle`] |
//! | [`udp`] | the same over datagrams: many peers on one socket, and a server with a thread for each socket |
//! | `server` | [`serve`]: any machine that never dials, one thread for each connection; [`Server`], [`ServerHandle`] |
//!
//! The interface blocks; the sockets do not. A blocking read with a time-out (`SO_RCVTIMEO`) could be woken neither by a
//! handle from another thread nor by a second socket, and a client that races two addresses has two sockets. So every
//! thread sleeps in one place, `poll(2)`, which hears sockets, other threads and the clock.
//!
//! Two things follow from driving on the caller's thread. Between two calls nothing happens: no probe is sent, and a
//! dead peer is noticed by the next call. And a client that was left alone too long knows it: it reports a local stall
//! and probes again, instead of blaming its peer.

#![forbid(unsafe_code)]

mod client;
mod desk;
mod driver;
mod server;
mod session;
mod sockets;
pub mod udp;

pub use client::{Client, ClientHandle};
pub use desk::{EVENTS_KEPT, Echo, EchoError};
pub use driver::{Handle, Quiet};
pub use server::{Server, ServerConfig, ServerHandle, serve, serve_echo};
pub use session::Session;

// What a first program needs of the crates below, so that it needs no other dependency.
pub use resound_core::stream::admission::Event as ServerEvent;
pub use resound_core::stream::client::{Command, Config as ClientConfig, Event};
pub use resound_core::stream::server::Config as ConnectionConfig;
pub use resound_sockets::StartError;
pub use resound_sockets::tcp::{DialOptions, ListenOptions, Wildcard};
