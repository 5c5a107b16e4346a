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
///
/// With --udp each line is a datagram of its own, without its newline; an empty line is a datagram without a payload. What
/// comes back is written as lines, in the order in which they were sent. A line that is lost (3 s without an echo, or a
/// reason) is told on standard error and left out, and the exit code is 1; so is one that is too long for a datagram. In
/// front of each line goes a header of 32 bytes, which any echo server returns.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Echo {
    /// host:port, [v6]:port, or a host (port 7007)
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Named,
    /// Over UDP instead of TCP
    #[arg(long)]
    pub(crate) udp: bool,
    /// After a loss, send again what was on the wire; the server may then see it twice
    #[arg(long, conflicts_with = "udp")]
    pub(crate) resend: bool,
    /// At most this many bytes under way [default: 1048576; over UDP 65536, with 800 for each datagram]
    ///
    /// Some echo servers stop for ever when more comes in than their pipes hold (`ncat -e /bin/cat` is one); with
    /// 32768 they do not. Over UDP some give back as one what came together (`socat UDP-LISTEN:...,fork EXEC:cat`); with
    /// 1, which is one datagram at a time, they do not.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    window: Option<u64>,
    /// Wait no longer than this for a connection; over UDP, for each answer [default: 20s; over UDP 3s]
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

impl Echo {
    /// How many bytes may be under way.
    pub(crate) const fn window(&self) -> u64 {
        match self.window {
            Some(window) => window,
            // So much fits into the receive buffer that Linux gives a socket.
            None if self.udp => 1 << 16,
            None => 1 << 20,
        }
    }
}
