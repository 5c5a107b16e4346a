//! How to embed Resound's core in an event loop of your own.
//!
//! [`mio_port`], [`mio_loop`] and [`mio_server`] are the guide: how `mio` watches a socket, a loop that drives any
//! machines of the core on one thread, and a listener in it. Together they are 220 lines of code.
//! [`mio_conformance`] shows that the loop behaves as the adapters do. Run it with
//! `cargo run -p resound-examples --bin mio-echo`.
//!
//! [`own_protocol`] is the other direction: a protocol of your own, which runs on every adapter and in the loop above.
//! [`kv`] is another one, written to be tested in a simulated network; its guide is `docs/testing-your-protocol.md`.

#![forbid(unsafe_code)]
#![allow(missing_debug_implementations, reason = "it is to be read, and not published")]

pub mod kv;
pub mod mio_conformance;
pub mod mio_loop;
pub mod mio_port;
pub mod mio_server;
pub mod own_protocol;

/// The programs in the guide *Test your own protocol*.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing-your-protocol.md")]
pub struct Guide;

/// The programs in the README, which must compile and do what it says.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
