//! TCP of the simulated kernel: two kernels on a perfect wire, and what Linux 6.18 was seen to do.

#![allow(missing_docs)]

mod life;
mod noise;
mod path;
mod ports;
mod rows;
mod settings;
mod time_wait;
mod times;
mod wire;

use resound_core::signal::Version;

pub(crate) const BOTH: [Version; 2] = [Version::V4, Version::V6];
