//! `resound echo`.

use core::time::Duration;

use clap::Args;

use super::time::time;
use super::{Named, Output, RuntimeName, Timers, target};
use crate::exit;

/// Send standard input to an echo server and write what comes back to standard output, byte for byte.
///
/// Input goes out as it comes in, in messages of at most 64 KiB; lines may be of any length and hold any bytes. With
/// --output jsonl or csv, each line is a message of its own (a longer one is split), so that each has its own round trip.
/// At the end of the input it waits until everything came back. If the server cannot be reached at first, it ends
/// with the reason; if it dies later, what was on the wire is reported lost (or sent again, with --resend) and the
/// rest goes to the next connection.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Echo {
    /// host:port, [v6]:port, or a host (port 7007)
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Named,
    /// After a loss, send again what was on the wire; the server may then see it twice
    #[arg(long)]
    pub(crate) resend: bool,
    /// At most this many bytes under way
    ///
    /// Some echo servers stop for ever when more comes in than their pipes hold (`ncat -e /bin/cat` is one); with
    /// 32768 they do not.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) window: u64,
    /// Wait no longer than this for a connection [default: 20s]
    #[arg(short = 'W', long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// The runtime that carries it
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) runtime: RuntimeName,
    #[command(flatten)]
    pub(crate) timers: Timers,
    #[command(flatten)]
    pub(crate) output: Output,
}
