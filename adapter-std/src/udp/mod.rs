//! UDP on blocking std: an echo client of many peers on one socket, and the server.
//!
//! # A first program
//!
//! A server, a client with two peers, one of which nobody serves. The client says at once which of the two it is.
//!
//! ```
//! use resound_std::udp::{Client, ClientConfig, Event, ServerConfig, serve};
//! use std::time::Duration;
//!
//! let server = serve(&["127.0.0.1:0".parse()?], &ServerConfig::default(), |_, _| {})?;
//!
//! let mut client = Client::open(ClientConfig::default())?;
//! let handle = client.handle();
//! let alive = handle.add(server.handle().local_addrs()[0])?;
//! let echo = client.echo(alive, "hello", Duration::from_secs(5))?;
//! assert_eq!(echo.payload, "hello");
//! println!("it took {:?}", echo.round_trip);
//!
//! // A port that nobody has.
//! let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
//! let dead = handle.add(nobody)?;
//! while let Ok(event) = client.next_event(Duration::from_secs(5)) {
//!     if let Event::DialFailed { peer, cause, .. } = event {
//!         assert_eq!(peer, dead);
//!         println!("{nobody} is gone: {cause}");
//!         break;
//!     }
//! }
//! client.close();
//! server.handle().stop();
//! server.join();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Between two calls nothing happens: no probe is sent, and a dead peer is noticed by the next call. A client that was
//! left alone too long knows it: it reports a local stall and probes again, instead of blaming its peers.
//!
//! A machine of your own over datagrams is driven by [`Session`].

mod client;
mod server;
mod session;
mod socket;

pub use client::{Client, ClientHandle, EchoError};
pub use resound_core::datagram::client::{
    Config as ClientConfig, Event, NotAdded, PeerId, PeerStatus, Refusal, Refused, Seq, Strays,
};
pub use resound_core::datagram::server::{Config as EchoConfig, Counts, Event as ServerEvent, Ignored};
pub use resound_sockets::udp::{Errors, Options, ServerConfig, Sizes, bind, bind_any};
pub use server::{Server, ServerHandle, serve};
pub use session::Session;

pub use crate::desk::Echo;
