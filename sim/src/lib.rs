//! A simulated network with simulated kernels.
#![forbid(unsafe_code)]
#[cfg(feature = "arbitrary")]
mod arbitrary;
mod digest;
pub mod engine;
pub mod faults;
pub mod kernel;
pub mod oracle;
pub mod packet;
pub mod programs;
#[cfg(feature = "proptest")]
pub mod proptest;
pub mod run;
pub mod scenario;
pub mod wire;
pub mod world;

pub use programs::Echo;
pub use run::{Record, Run};
pub use scenario::Scenario;
pub use world::World;
