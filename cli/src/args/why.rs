//! `resound why`.

use core::time::Duration;

use clap::{Args, ValueEnum};

use super::time::{time, time_or_zero};
use super::{Format, LARGEST_MESSAGE, Named, Output, target};

/// Find out why a server does not answer: which of the known situations it is, the evidence, and what to try.
///
/// It connects, sends one message, and watches what comes back and what the kernel is told meanwhile: error numbers, ICMP
/// errors and who sent them, TCP_INFO. Where different situations would look the same from here, it names them all, and
/// what would tell them apart. In doubt it also asks one other port of the host (1), sends one datagram to the same port,
/// and tries to connect once more. No privilege is needed; the sockets are plain ones, without any runtime.
///
/// What a RST or an ICMP error says is what somebody claims: both can be forged.
///
/// With -v each piece of evidence is shown as it comes, before the finding, and not again with it.
///
/// Every address of a name is examined, all at the same time. The exit code is that of the one that does best, as a
/// client that tries them all would find.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Why {
    /// host:port, [v6]:port, or a host (port 7007)
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Named,
    /// Over UDP instead of TCP
    #[arg(long)]
    pub(crate) udp: bool,
    /// Wait no longer than this for a connection, nor for an answer
    ///
    /// With less than 4 s, a host that is absent from its own link cannot be told from silence: this host asks for it
    /// for 3 s.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Go on asking for so long, to see what only happens after a while
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time_or_zero)]
    pub(crate) watch: Duration,
    /// Bytes in a message
    ///
    /// A large one fills the buffers of a peer that does not read, which then shows by its window. Over UDP 65507 at most.
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u64).range(1..=LARGEST_MESSAGE))]
    pub(crate) size: u64,
    #[command(flatten)]
    pub(crate) output: Output<WhyFormat>,
}

/// What a UDP datagram over IPv4 can carry.
const LONGEST_DATAGRAM: u64 = 65_507;

impl Why {
    /// What is wrong with the size of the message.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        match self.size {
            size if self.udp && size > LONGEST_DATAGRAM => {
                Err(format!("--size {size} does not fit into a datagram: {LONGEST_DATAGRAM} at most"))
            }
            _ => Ok(()),
        }
    }
}

const HELP: &str = "\
Exit codes:
  0    healthy: every message was echoed
  1    some messages lost
  2    usage
  10   refused
  11   no response
  12   unreachable
  13   reset or closed
  14   no echo: path-dead, peer-stalled, write-blocked, no-echo
  15   not an echo peer
  16   name resolution
  17   a local resource or permission is missing
  130  interrupted

For example:
  resound why example.org:7              what is wrong with it?
  resound why --udp 192.0.2.7            over UDP
  resound why 192.0.2.7 --watch 2m       does the connection last?
  resound why 192.0.2.7 --size 1000000   does the server read at all?";

/// The formats of a diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhyFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document at the end
    Json,
    /// One JSON object for each piece of evidence, as it comes, and for each finding
    Jsonl,
    /// Nothing: the exit code says it
    Quiet,
}

impl From<WhyFormat> for Format {
    fn from(format: WhyFormat) -> Self {
        match format {
            WhyFormat::Text => Self::Text,
            WhyFormat::Json => Self::Json,
            WhyFormat::Jsonl => Self::Jsonl,
            WhyFormat::Quiet => Self::Quiet,
        }
    }
}
