//! The command line as types. Everything about it that can be checked without the network is checked here.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::styling::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
use resound_conformance::{Scenario, ServerConfig, profile};
use resound_core::link::{self, GiveUp};
use resound_core::stream::{client, server};
use resound_core::{backoff, liveness};
use resound_sockets::resolve::Target;

use crate::exit;

/// Where `serve` listens and a TARGET without a port leads.
pub(crate) const DEFAULT_PORT: u16 = 7007;
/// No larger message is sent.
pub(crate) const LARGEST_MESSAGE: u64 = 1 << 20;

const STYLES: Styles = Styles::styled();

/// Is it up, how fast, and if not, why not: echo over TCP, with named reasons.
///
/// Every echo server (RFC 862) is a peer: one by resound, `ncat -l -k -e /bin/cat`, or port 7 of an old machine.
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
    Completions(Completions),
    Man(Man),
}

/// Run the same faults on each runtime and show what each one saw, when, and where they differ.
///
/// Needs no arguments and no other machine: it brings its own peers and its own faults, and ends within a minute.
/// Exit code 3 if a promise is broken or the runtimes differ.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Compare {
    /// Only these scenarios (see --list)
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = scenarios(), hide_possible_values = true)]
    pub(crate) scenario: Vec<String>,
    /// Only these runtimes
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_enum)]
    pub(crate) runtime: Vec<RuntimeName>,
    /// List the scenarios and what each one promises
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Serve echo: whatever comes in goes out again (RFC 862).
///
/// The first Ctrl-C (or SIGTERM) drains: no new connections, and those that stand may finish. The second resets them.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Serve {
    /// Listen on this address, ADDRESS:PORT, ADDRESS or PORT; port 0 lets the kernel choose. Repeatable
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007", value_parser = listen_address)]
    pub(crate) tcp: Vec<SocketAddr>,
    /// The runtime that serves
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) runtime: RuntimeName,
    /// At most this many connections at once
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) max_connections: u32,
    /// At most this many connections at once from one IPv4 address or one IPv6 /64
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) max_per_address: u32,
    /// Close a connection after this long without a byte either way; `never` is allowed
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time_or_never, help_heading = "Limits")]
    pub(crate) idle_timeout: Limit,
    /// Reset a connection whose peer has not read for this long
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time, help_heading = "Limits")]
    pub(crate) stall_timeout: Duration,
    /// How long a drain waits for a peer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Limits")]
    pub(crate) drain_timeout: Duration,
    /// Length of the kernel's accept queue [default: the adapter's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Limits")]
    pub(crate) backlog: Option<i32>,
    #[command(flatten)]
    pub(crate) output: Output,
}

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

/// What goes to standard output, and how.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// What to write to standard output; everything else goes to standard error
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// Same as --output jsonl, or json for what is no stream
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
    /// Say more
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Output {
    /// The format, where `--json` means `json`.
    pub(crate) fn format(&self, json: Format) -> Format {
        if self.json { json } else { self.output }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document at the end
    Json,
    /// One JSON object for each event, as it happens
    Jsonl,
    /// One row for each event, as it happens
    Csv,
    /// Nothing: the exit code says it
    Quiet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb; anywhere with CLICOLOR_FORCE
    #[default]
    Auto,
    Always,
    Never,
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

/// When to give up, probe and convict.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Timers")]
pub(crate) struct Timers {
    /// Give up after this many rounds of attempts in a row that failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) retries: Option<u32>,
    /// Give up after being down for this long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) give_up: Option<Duration>,
    /// A set of timers to start from
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    profile: Profile,
    /// Silence before a probe; 0 switches probing off, and a peer that falls silent is then never noticed
    #[arg(long, value_name = "TIME", value_parser = time_or_zero)]
    idle: Option<Duration>,
    /// How long a probe may stay unanswered; at most --idle
    #[arg(long, value_name = "TIME", value_parser = time)]
    probe: Option<Duration>,
    /// How many probes in a row must stay unanswered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    misses: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// A dead peer is found within 30 s
    #[default]
    Default,
    /// For trying things out on one host or in a fast network: a dead peer is found within 2 s
    Fast,
    /// As default, for thousands of clients of one server: retries up to 2 minutes apart
    Fleet,
}

impl Timers {
    /// The client's configuration.
    pub(crate) fn client(&self, connect: Option<Duration>) -> client::Config {
        let mut link = match self.profile {
            Profile::Default => link::Config::default(),
            Profile::Fast => profile::fast().client.link,
            Profile::Fleet => link::Config { backoff: backoff::Config::fleet(), ..link::Config::default() },
        };
        link.give_up = GiveUp { rounds: self.retries, after: self.give_up };
        let liveness::Config { idle, probe, misses, .. } = link.liveness;
        link.liveness.idle = self.idle.unwrap_or(idle);
        // Whoever asks for a short idle time asks for probes that are no longer.
        link.liveness.probe = self.probe.unwrap_or_else(|| match link.liveness.idle {
            Duration::ZERO => probe,
            idle => probe.min(idle),
        });
        link.liveness.misses = self.misses.unwrap_or(misses);
        link.race.round = connect.unwrap_or(link.race.round);
        client::Config { link, ..client::Config::default() }
    }
}

impl Serve {
    /// The server's configuration.
    pub(crate) fn config(&self) -> ServerConfig {
        let mut config = ServerConfig { backlog: self.backlog, ..ServerConfig::default() };
        config.admission.connections = self.max_connections;
        config.admission.per_address = self.max_per_address;
        config.connection = server::Config {
            idle: self.idle_timeout.0,
            stall: self.stall_timeout,
            drain: self.drain_timeout,
        };
        config
    }
}

/// A target that was understood, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) written: String,
    pub(crate) target: Target,
}

/// A time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

fn scenarios() -> PossibleValuesParser {
    Scenario::ALL.iter().map(Scenario::name).collect::<Vec<_>>().into()
}

fn target(written: &str) -> Result<Named, String> {
    let target = written.parse().map_err(|error: resound_sockets::resolve::TargetError| error.to_string())?;
    Ok(Named { written: written.into(), target })
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok((ip, DEFAULT_PORT).into());
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    Err("not an address to listen on; write 127.0.0.1:7007, [::1]:7007, an address or a port (names are not looked up)"
        .into())
}

fn time_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // A bare number is what ping(8) takes for seconds.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 200ms, 1.5 or 2m"))
}

fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_zero(text)?;
    if time < Duration::from_millis(1) { Err("must be at least 1ms".into()) } else { Ok(time) }
}

fn time_or_never(text: &str) -> Result<Limit, String> {
    if text == "never" { Ok(Limit(None)) } else { Ok(Limit(Some(time(text)?))) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
        for bad in ["foo:99999", "[::1", "http://foo", "a:b:c", "foo:0"] {
            let complaint = complaint(&format!("resound ping {bad}"));
            assert!(complaint.contains(bad), "{complaint}");
        }
        assert!(Cli::try_parse_from(["resound", "ping", ""]).is_err());
        let Ok(Command::Ping(ping)) = parse("resound ping a b:7 [::1]:7") else { panic!() };
        assert_eq!(ping.targets.len(), 3);
        assert_eq!(ping.targets[1].target.port(), Some(7));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("200ms", 200), ("2m", 120_000), ("1", 1_000), ("0.2", 200), ("1s 500ms", 1_500)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(time_or_zero("0"), Ok(Duration::ZERO));
        assert_eq!(time_or_never("never"), Ok(Limit(None)));
        for bad in ["", "-1", "nan", "inf", "1e30", "soon", "0", "10us"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for (text, addr) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:7", "[::1]:7"),
            ("::1", "[::1]:7007"),
            ("[::1]", "[::1]:7007"),
            ("0.0.0.0", "0.0.0.0:7007"),
            ("8000", "127.0.0.1:8000"),
        ] {
            assert_eq!(listen_address(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for bad in ["", "localhost:7", "127.0.0.1:99999", "99999", "[::1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
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
