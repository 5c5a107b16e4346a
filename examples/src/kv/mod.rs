//! A small request-response protocol, written to be tested: numbers under names, kept by a server.
//!
//! The guide *Test your own protocol* (`docs/testing-your-protocol.md`) reads this folder from top to bottom, finds a
//! mistake in it, and mends that.
//!
//! | file | has |
//! |---|---|
//! | [`frame`] | what goes over the wire: a length, a number, a text |
//! | [`client`] | a machine around [`Link`](resound_core::link::Link): what it asks is answered, whatever becomes of connections |
//! | [`store`] | what the server keeps, and what it remembers of its clients |
//! | [`server`] | a machine for each connection of the server |
//! | [`simulated`] | both in the simulated network, and what must hold there |
//!
//! ```text
//!   program ─ "add apples 1" ─► Client ──frames──► Connection ─► Store     get NAME
//!      ▲                          │  ▲                 │                   set NAME NUMBER
//!      └──────── "1" ─────────────┘  └────frames───────┘                   add NAME NUMBER
//! ```
//!
//! Each answer is the number under the name, after the request.

pub mod client;
pub mod frame;
pub mod server;
pub mod simulated;
pub mod store;

/// At most this many requests of a client are not answered yet.
pub const WINDOW: usize = 8;
