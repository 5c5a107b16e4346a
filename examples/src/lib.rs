//! How to embed Resound's core in an event loop of your own.
//!
//! [`mio_port`] and [`mio_loop`] are the guide: the calls on one machine's sockets, and a loop over `mio` that drives any
//! machines of the core on one thread. [`mio_server`] puts a listener into it. [`mio_conformance`] shows that it behaves
//! as the adapters do. Run it with `cargo run -p resound-examples --bin mio-echo`.

#![forbid(unsafe_code)]
#![allow(missing_debug_implementations, reason = "it is to be read, and not published")]

pub mod mio_conformance;
pub mod mio_loop;
pub mod mio_port;
pub mod mio_server;

/// The programs in the README, which must compile and do what it says.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
