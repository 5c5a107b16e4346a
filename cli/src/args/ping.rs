//! `resound ping`.

use core::time::Duration;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use resound_core::datagram::client::{HEADER, LONGEST_PAYLOAD};

use super::time::{time, time_or_zero};
use super::{LARGEST_MESSAGE, Named, Output, RuntimeName, Timers, target};
use crate::exit;

/// Measure round trips to one or more echo servers, and say why one is down.
///
/// A message that is due while a connection attempt is under way waits for it; one that is due between two attempts is
/// lost, with the reason of the attempt before. With several targets the exit code is the highest of theirs.
///
/// With --udp all targets share one socket. A message that is due while a target is asked for a first answer waits for
/// it, but no longer than 250 ms: it is itself a question. Between two attempts nothing is sent. In front of each payload stands a header of 32 bytes, so
/// that a datagram has 32 bytes more than --size says; any echo server returns it. A name with several addresses is
/// asked at each, IPv6 first and 250 ms apart; the first that answers is the one.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Ping {
    /// host:port, [v6]:port, or a host (port 7007)
    #[arg(required_unless_present = "targets_from", value_name = "TARGET", value_parser = target)]
    pub(super) targets: Vec<Named>,
    /// Take targets from this file too, one on each line; `-` is standard input. What follows a `#` is left out
    #[arg(long = "targets", value_name = "FILE")]
    targets_from: Option<PathBuf>,
    /// Over UDP instead of TCP, all targets on one socket
    #[arg(long)]
    pub(crate) udp: bool,
    /// Stop after this many messages to each target [default: never]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Time from one message to the next; 0: as soon as the one before has ended
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = time_or_zero)]
    pub(crate) interval: Duration,
    /// Bytes in each message; over UDP from 0 to 65475, and 32 bytes of header
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u64).range(0..=LARGEST_MESSAGE))]
    pub(crate) size: u64,
    /// Wait no longer than this for a connection, nor for an echo
    ///
    /// An echo that comes later is counted as late, not as echoed. Without this option a connection may take 20 s, and
    /// an echo as long as the connection stands; over UDP a first answer may take 20 s, and an echo 3 s.
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

impl Ping {
    /// Every target, those in the file too; what is wrong with one, or with the size of the messages.
    pub(crate) fn take_targets(&mut self) -> Result<Vec<Named>, String> {
        self.check_size()?;
        let mut targets = core::mem::take(&mut self.targets);
        if let Some(path) = &self.targets_from {
            let text = read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            for (index, line) in text.lines().enumerate() {
                let written = line.split('#').next().unwrap_or_default().trim();
                if !written.is_empty() {
                    let named = target(written);
                    targets
                        .push(named.map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?);
                }
            }
            if targets.is_empty() {
                return Err(format!("{} names no target", path.display()));
            }
        }
        Ok(targets)
    }

    fn check_size(&self) -> Result<(), String> {
        match self.size {
            0 if !self.udp => Err("--size 0: over TCP a message has at least 1 byte".into()),
            size if self.udp && size > LONGEST_PAYLOAD as u64 => Err(format!(
                "--size {size} does not fit into a datagram: {LONGEST_PAYLOAD} at most, and a header of {HEADER}"
            )),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}
