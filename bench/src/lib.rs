//! What is measured of the core, in a form that both criterion and callgrind can run. The servers are measured by this
//! package's program.

pub mod core;
pub mod fleet;
pub mod herd;
pub mod simulators;
