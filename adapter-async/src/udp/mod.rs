//! UDP: one socket, many peers.
//!
//! # Theory of operation
//!
//! ```text
//!   your task ─ poll ─► Client ─► Session ── turn ──► machine (core)      Server ─ spawn ─► Responder, one per socket
//!                                    │                                                          │
//!                                    └── endpoint ──► UdpSocket, Timer ◄── endpoint ── Session ─┘
//! ```
//!
//! | item | is |
//! |---|---|
//! | [`Session`] | any [`Machine`](resound_core::datagram::Machine) on one socket, driven by its owner |
//! | [`Client`], [`ClientHandle`] | the echo client of many peers: `echo(peer, payload).await`, a stream of events |
//! | [`serve`], [`Server`], [`ServerHandle`] | the echo server, on several addresses, with several sockets for each |
//! | [`Socket`] | what a runtime supplies |
//!
//! A machine over datagrams has no commands: what a program asks of it are methods of its own. So the handle works with
//! closures ([`Handle::with`](crate::Handle::with)), and a machine of yours needs nothing else.

mod client;
mod server;
mod session;

pub use client::{Client, ClientHandle, Echo, EchoError, Echoing};
pub use resound_sockets::udp::{ServerConfig, Socket, Want};
pub use server::{Responder, Server, ServerHandle, serve};
pub use session::{Session, Setup};
