//! `resound icmpd`.

use core::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use resound_icmpd::machine::Limits;
use resound_icmpd::privilege::{self, Group, Identity, User};
use resound_icmpd::protocol::default_socket;

use super::{Format, Output};

/// Tell programs which of their UDP datagrams failed, and why.
///
/// A UDP socket that is not connected is never told of the ICMP errors that its datagrams cause. This daemon hears them on
/// raw sockets and tells the program whose socket it was, as JSON lines over a Unix socket: the program connects, passes
/// its UDP socket and reads. (A program that can use IP_RECVERR needs no daemon.)
///
/// It needs the capability cap_net_raw to start, and gives up all capabilities before it listens. ICMP can be forged: what
/// it tells is a hint, and no proof.
///
/// The first Ctrl-C (or SIGTERM) ends it in good order, the second at once.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Icmpd {
    /// Where programs connect [default: resound-icmpd.sock in $XDG_RUNTIME_DIR, or in /run]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Let the members of this group connect too (mode 0660); otherwise only the daemon's own user and root can (0600)
    #[arg(long, value_name = "NAME", value_parser = group)]
    group: Option<Group>,
    /// Run as this user once the raw sockets are open, in a directory where it may make the socket. Only root can
    #[arg(long, value_name = "NAME", value_parser = user)]
    user: Option<User>,
    /// At most this many programs at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().clients, help_heading = "Limits")]
    max_clients: NonZeroUsize,
    /// At most this many registrations of each
    #[arg(long, value_name = "N", default_value_t = Limits::default().registrations, help_heading = "Limits")]
    max_registrations: NonZeroUsize,
    /// At most this many lines wait for a program that does not read; more are dropped, and it is told how many
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue, help_heading = "Limits")]
    queue: NonZeroUsize,
    #[command(flatten)]
    pub(crate) output: Output<LineFormat>,
}

const HELP: &str = "\
Exit codes:
  0    it was asked to end
  2    usage
  17   a local resource or permission is missing (cap_net_raw), or the socket is in use
  130  a second interrupt ended it at once

To start it without root: setcap cap_net_raw+ep $(command -v resound)";

/// The formats of what never ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object for each event, as it happens
    Jsonl,
    /// Nothing: programs are told all the same
    Quiet,
}

impl From<LineFormat> for Format {
    fn from(format: LineFormat) -> Self {
        match format {
            LineFormat::Text => Self::Text,
            LineFormat::Jsonl => Self::Jsonl,
            LineFormat::Quiet => Self::Quiet,
        }
    }
}

impl Icmpd {
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(default_socket)
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity { user: self.user.clone(), group: self.group.clone() }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { clients: self.max_clients, registrations: self.max_registrations, queue: self.queue }
    }
}

fn group(name: &str) -> Result<Group, String> {
    privilege::group(name).map_err(|error| error.to_string())
}

fn user(name: &str) -> Result<User, String> {
    privilege::user(name).map_err(|error| error.to_string())
}
