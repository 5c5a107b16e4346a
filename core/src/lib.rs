//! When a peer is gone, why, and when to try again.
//!
//! A pure, sans-IO core: no clock, no randomness of its own, no sockets, no threads, no logging.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backoff;
pub mod budget;
mod config;
pub mod link;
pub mod liveness;
pub mod race;
mod rng;
pub mod signal;
pub mod stream;
mod table;
mod time;

pub use config::BadConfig;
pub use rng::Rng;
pub use stream::{Chunk, ConnId};
pub use time::Instant;
