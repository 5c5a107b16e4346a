//! `resound ping`.

use core::time::Duration;

use clap::Args;

use super::time::{time, time_or_zero};
use super::{LARGEST_MESSAGE, Named, Output, RuntimeName, Timers, target};
use crate::exit;

/// Measure round trips to one or more echo servers, and say why one is down.
///
/// A message that is due while a connection attempt is under way waits for it; one that is due between two attempts is
/// lost, with the reason of the attempt before. With several targets the exit code is the highest of theirs.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Ping {
    /// host:port, [v6]:port, or a host (port 7007)
    #[arg(required = true, value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Named>,
    /// Stop after this many messages to each target [default: never]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Time from one message to the next; 0: as soon as the one before has ended
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = time_or_zero)]
    pub(crate) interval: Duration,
    /// Bytes in each message
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u64).range(1..=LARGEST_MESSAGE))]
    pub(crate) size: u64,
    /// Wait no longer than this for a connection, nor for an echo
    ///
    /// An echo that comes later is counted as late, not as echoed. Without this option a connection may take 20 s, and
    /// an echo as long as the connection stands.
    #[arg(short = 'W', long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// The runtime that measures
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) runtime: RuntimeName,
    #[command(flatten)]
    pub(crate) timers: Timers,
    #[command(flatten)]
    pub(crate) output: Output,
}
