//! The operating system's facts that all of Resound's adapters share.

#![deny(unsafe_code)]

pub mod clock;
pub mod errno;
pub mod pool;
pub mod tcp;
