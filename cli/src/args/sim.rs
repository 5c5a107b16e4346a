//! `resound sim`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, Output};

/// Play scenarios in a simulated network, and draw what happened.
///
/// A scenario is a text: hosts and links, what programs are asked, what goes wrong and when, and what is expected of it.
/// The hosts have simulated kernels that report resets, ICMP errors and silence as real ones do; time is virtual, and one
/// scenario always gives the same run. The programs are resound's own echo clients and servers, and single calls on sockets.
///
/// One file is drawn as a timeline, with what each fault did below it; several give one line each.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Sim {
    /// Scenarios; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Show the states of TCP sockets in the timeline
    #[arg(long)]
    pub(crate) states: bool,
    /// How to draw the timeline [default: unicode, or ascii on a terminal whose locale has no UTF-8]
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) timeline: Option<Drawing>,
    /// Write the packets to this file too, for Wireshark (of one scenario)
    #[arg(long, value_name = "PATH")]
    pub(crate) pcapng: Option<PathBuf>,
    /// Play every schedule of up to K more faults, shortest first, until one fails
    ///
    /// In each, what the scenario expects has to come true; every message of a client has to end once, echoed or lost; and
    /// nothing may panic. Without such a schedule you get a certificate: how many were played, and a digest over all of them.
    /// With one, you get it as a scenario, and its timeline.
    #[arg(long, value_name = "K", help_heading = "Explore", value_parser = clap::value_parser!(u32).range(..=16))]
    pub(crate) explore: Option<u32>,
    /// The faults stand at the first N packets
    #[arg(long, value_name = "N", help_heading = "Explore", requires = "explore", default_value_t = 20)]
    pub(crate) within: u32,
    /// What may go wrong at each of them
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Explore",
        requires = "explore",
        value_enum,
        value_delimiter = ',',
        default_value = "standard"
    )]
    pub(crate) menu: Vec<MenuName>,
    #[command(flatten)]
    pub(crate) output: Output<SimFormat>,
}

const HELP: &str = "\
Exit codes:
  0    all that was expected came true
  2    usage, or a file that is no scenario: FILE:LINE:COLUMN: what is wrong
  3    an expectation was not met, a fault did nothing that should have, or a schedule fails
  17   a file cannot be read or written
  130  interrupted
With several files, the highest of theirs.

For example:
  resound sim reset.scn                          play it, and draw what happened
  resound sim reset.scn --pcapng reset.pcapng    the packets, for Wireshark
  resound sim sim/scenarios/*.scn                one line for each
  echo 'host a ; host b ; link a <-> b 10ms
        0 b serve 7 ; 0 a connect b:7 ; 3 a close
        !a->b#1 drop
        expect a up by 2 ; closed' | resound sim -
  resound sim reset.scn --explore 2 --menu standard,tcp-errors";

/// How a timeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// A ladder, with lines and arrows of Unicode
    Unicode,
    /// A ladder, with nothing but ASCII
    Ascii,
    /// A sequence diagram in Mermaid's language
    Mermaid,
}

/// Menus of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MenuName {
    /// A packet is lost, doubled, late or altered; a host is back after a second
    Standard,
    /// Resets, FINs and SYNs that nobody sent; programs that die or stand still; a host that forgets its connections
    TcpErrors,
    /// ICMP errors, as routers and hosts send them over IPv4
    IcmpV4,
    /// ICMPv6 errors
    IcmpV6,
}

/// The formats of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document at the end
    Json,
    /// One JSON object for each event
    Jsonl,
    /// Nothing: the exit code says it
    Quiet,
}

impl From<SimFormat> for Format {
    fn from(format: SimFormat) -> Self {
        match format {
            SimFormat::Text => Self::Text,
            SimFormat::Json => Self::Json,
            SimFormat::Jsonl => Self::Jsonl,
            SimFormat::Quiet => Self::Quiet,
        }
    }
}
