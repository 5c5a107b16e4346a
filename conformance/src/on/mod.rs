//! The runtimes that can be put to the test here, one file each.

#[cfg(any(feature = "smol", feature = "tokio"))]
mod background;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "std-sockets")]
pub mod std;
#[cfg(feature = "tokio")]
pub mod tokio;
