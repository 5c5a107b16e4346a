//! The command line as types. Everything about it that can be checked without the network is checked here.

use core::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::builder::styling::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
use resound_sockets::resolve::{Host, Target};

use crate::exit;

mod compare;
mod echo;
mod experiments;
#[cfg(target_os = "linux")]
mod icmpd;
mod output;
mod ping;
mod serve;
mod sim;
mod time;
mod timers;
mod why;

pub(crate) use compare::{Compare, Part, UseLab};
pub(crate) use echo::Echo;
#[cfg(target_os = "linux")]
pub(crate) use icmpd::Icmpd;
pub(crate) use output::{Color, Format, Output};
pub(crate) use ping::Ping;
pub(crate) use serve::Serve;
pub(crate) use sim::{Drawing, MenuName, Sim};
use timers::Timers;
pub(crate) use why::Why;

/// Where `serve` listens and a TARGET without a port leads.
pub(crate) const DEFAULT_PORT: u16 = 7007;
/// No larger message is sent.
pub(crate) const LARGEST_MESSAGE: u64 = 1 << 20;

const STYLES: Styles = Styles::styled();

/// Is it up, how fast, and if not, why not: echo over TCP and UDP, with named reasons.
///
/// Every echo server (RFC 862) is a peer: one by resound, `socat TCP-LISTEN:7007,fork EXEC:cat`,
/// `socat UDP-LISTEN:7007,fork EXEC:cat`, or port 7 of an old machine.
#[derive(Debug, Parser)]
#[command(name = "resound", version, styles = STYLES, after_help = exit::HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Compare(Compare),
    Serve(Serve),
    Ping(Ping),
    Echo(Echo),
    Why(Why),
    Sim(Sim),
    #[cfg(target_os = "linux")]
    Icmpd(Icmpd),
    Completions(Completions),
    Man(Man),
}

/// Print a script that completes resound's options in a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: resound completions bash > ~/.local/share/bash-completion/completions/resound"
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Print a manual page, as roff.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: resound man ping | man -l -\n             resound man --dir ~/.local/share/man/man1"
)]
pub(crate) struct Man {
    /// The command whose page it is [default: resound itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub(crate) command: Option<String>,
    /// Write all pages to this directory instead, one file for each command
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeName {
    /// Blocking std sockets
    Std,
    /// smol
    Smol,
    /// tokio
    #[default]
    Tokio,
}

/// A target that was understood, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) written: String,
    pub(crate) target: Target,
}

/// An echo session is between two hosts (for TCP: RFC 9293, 3.9.2.3).
fn single(ip: IpAddr) -> Result<(), String> {
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(
            "a multicast or broadcast address: a session is between two hosts, and this names many".into()
        );
    }
    Ok(())
}

/// A target as people write it.
pub(crate) fn target(written: &str) -> Result<Named, String> {
    let target: Target =
        written.parse().map_err(|error: resound_sockets::resolve::TargetError| error.to_string())?;
    match target.host() {
        Host::V4(ip) => single((*ip).into())?,
        Host::V6 { ip, .. } => single((*ip).into())?,
        Host::Name(_) => {}
    }
    Ok(Named { written: written.into(), target })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use core::time::Duration;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    fn complaint(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn targets_are_checked_before_anything_starts() {
        for bad in [
            "foo:99999",
            "[::1",
            "http://foo",
            "a:b:c",
            "foo:0",
            "224.0.0.1:7",
            "255.255.255.255",
            "[ff02::1]:7",
        ] {
            let complaint = complaint(&format!("resound ping {bad}"));
            assert!(complaint.contains(bad), "{complaint}");
        }
        assert!(Cli::try_parse_from(["resound", "ping", ""]).is_err());
        let Ok(Command::Ping(ping)) = parse("resound ping a b:7 [::1]:7") else { panic!() };
        assert_eq!(ping.targets.len(), 3);
        assert_eq!(ping.targets[1].target.port(), Some(7));
    }

    #[test]
    fn a_short_idle_time_brings_short_probes() {
        let Ok(Command::Ping(ping)) = parse("resound ping x --idle 1s -W 3s --retries 2") else { panic!() };
        let config = ping.timers.client(ping.timeout);
        assert_eq!(config.link.liveness.probe, Duration::from_secs(1));
        assert_eq!(config.link.race.round, Duration::from_secs(3));
        assert_eq!(config.link.give_up.rounds, Some(2));
        assert!(config.link.check().is_ok());
        let Ok(Command::Ping(ping)) = parse("resound ping x --idle 0") else { panic!() };
        assert!(ping.timers.client(None).link.check().is_ok());
    }

    #[test]
    fn json_means_lines_for_a_stream_and_a_document_otherwise() {
        let Ok(Command::Ping(ping)) = parse("resound ping x --json") else { panic!() };
        assert_eq!(ping.output.format(Format::Jsonl), Format::Jsonl);
        let Ok(Command::Compare(compare)) = parse("resound compare --json") else { panic!() };
        assert_eq!(compare.output.format(Format::Json), Format::Json);
        assert!(parse("resound ping x --json --output csv").is_err());
    }

    #[test]
    fn unknown_runtimes_are_named_with_those_that_exist() {
        let complaint = complaint("resound ping x --runtime mio");
        assert!(complaint.contains("mio") && complaint.contains("std, smol, tokio"), "{complaint}");
    }
}
