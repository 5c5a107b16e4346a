//! A simulated network with simulated kernels.
#![forbid(unsafe_code)]
pub mod kernel;
pub mod packet;
pub mod run;
pub mod scenario;
pub mod wire;
