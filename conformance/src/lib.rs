//! The same echo sessions through the same faults, on any runtime.
//!
//! A fourth adapter passes this suite by implementing [`Runtime`].

#![forbid(unsafe_code)]

pub mod on;
mod runtime;

pub use runtime::{ClientSession, Dial, EchoClient, Runtime, ServerConfig, ServerEvent, ServerSession};
