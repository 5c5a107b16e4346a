//! What Linux does to a UDP socket, and that nothing of it reaches the wrong peer.

#![cfg(target_os = "linux")]

mod driver;
mod errors;
mod namespace;
mod trains;
