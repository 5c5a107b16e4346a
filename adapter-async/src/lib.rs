//! Resound on any async runtime: everything but the runtime.
//!
//! # Theory of operation
//!
//! The core decides; this crate drives it. Only two things are left to a runtime, and both are traits of a few methods
//! ([`Socket`], [`Timer`]). `resound-tokio` and `resound-smol` implement them and are what programs depend on; a third
//! runtime takes about a hundred lines more.
//!
//! ```text
//!   your task ─ poll ─► Session ── turn ──► machine (core)          Server ── accept ─► Conversation, one per connection
//!                          │                                                               │
//!                          └── lines ──► Socket, Timer ◄── lines ──────────────────────────┘
//!                                        (the runtime)
//! ```
//!
//! | item | is |
//! |---|---|
//! | [`Session`], [`Handle`] | any machine that dials, driven by its owner, and a handle for commands |
//! | [`echo`] | the echo client on top of them: `echo(payload).await`, a sink, events |
//! | [`serve`], [`Server`], [`ServerHandle`] | any machine that answers, behind one listener |
//! | [`Runtime`], [`Socket`], [`Timer`] | what a runtime supplies |
//!
//! Nothing here spawns a task, and nothing needs `Send`: a session is driven by whoever owns it, and a server asks its
//! caller to spawn. So single-threaded runtimes are first-class.
//!
//! Your own protocol is a [`Machine`](resound_core::stream::Machine), around [`Link`](resound_core::link::Link) if it
//! reconnects; it gets all of this by implementing that trait.

#![forbid(unsafe_code)]

extern crate alloc;

mod alarm;
mod desk;
mod driver;
pub mod echo;
mod runtime;
mod serve;
mod session;
pub mod udp;

pub use driver::Handle;
pub use resound_sockets::StartError;
pub use resound_sockets::port::{Direction, Left, Socket};
pub use runtime::{Runtime, Timer};
pub use serve::{Conversation, Server, ServerConfig, ServerHandle, echo_connections, serve};
pub use session::{Session, Setup};
