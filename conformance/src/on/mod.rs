//! The runtimes that can be put to the test here, one file each.

#[cfg(feature = "std-sockets")]
pub mod std;
