//! `resound serve`.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;

use clap::Args;
use resound_conformance::ServerConfig;
use resound_core::datagram;
use resound_core::stream::server;
use resound_sockets::resolve::{Target, TargetError};
use resound_sockets::tcp::ReadBack;
use resound_sockets::udp;

use super::experiments::Experiments;
use super::time::{Limit, time, time_or_never};
use super::{DEFAULT_PORT, Output, RuntimeName, single};
use crate::exit;

/// Serve echo: whatever comes in goes out again (RFC 862).
///
/// Without --tcp and --udp it serves both on 127.0.0.1:7007.
///
/// The first Ctrl-C (or SIGTERM) drains: no new connections, and those that stand may finish. The second resets them, the
/// third ends at once. UDP is not served any more after the first.
///
/// Over UDP a datagram is not answered if its source would answer back: port 0, well-known ports of services that reflect
/// (echo, chargen, dns, ..., 7007), a port of this server. Nor is one from a source that has had its share. All are
/// counted by reason.
#[derive(Debug, Args)]
#[command(after_help = exit::SERVE_HELP, after_long_help = format!("{OVERFLOW}\n\n{}", exit::SERVE_HELP))]
pub(crate) struct Serve {
    /// Listen on this address, ADDRESS:PORT, ADDRESS or PORT; port 0 lets the kernel choose. Repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    tcp: Vec<SocketAddr>,
    /// Serve UDP on this address, likewise. Repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    udp: Vec<SocketAddr>,
    /// The runtime that serves
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) runtime: RuntimeName,
    /// At most this many connections at once, on each --tcp address
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) max_connections: u32,
    /// At most this many connections at once from one IPv4 address or one IPv6 /64, on each --tcp address
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
    /// UDP: answer at most this many datagrams a second of one IPv4 address or one IPv6 /64, in the long run; `never`
    /// stops, so that two servers can be made to answer each other for ever
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate, help_heading = "Limits")]
    rate: Rate,
    /// UDP: answer at most this many at once of one that was quiet
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "Limits")]
    burst: u32,
    /// UDP: remember at most this many sources at once
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "Limits")]
    max_sources: u32,
    #[command(flatten)]
    pub(crate) experiments: Experiments,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// How many datagrams of one source are answered in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<u32>);

const OVERFLOW: &str = "\
The overflow experiment of the textbook: a receiver that does not read yet, a small buffer, a flood. The server counts
what the kernel dropped (several datagrams that came as one packet count as one), the client what it lost.
  resound serve --udp 127.0.0.1:7007 --receive-buffer 4096 --pause-read 2s --rate never -v
  resound ping --udp 127.0.0.1:7007 -c 500 -i 1ms";

impl Serve {
    /// Where TCP is served.
    pub(crate) fn tcp(&self) -> &[SocketAddr] {
        if self.tcp.is_empty() && self.udp.is_empty() { &DEFAULT } else { &self.tcp }
    }

    /// Where UDP is served.
    pub(crate) fn udp(&self) -> &[SocketAddr] {
        if self.tcp.is_empty() && self.udp.is_empty() { &DEFAULT } else { &self.udp }
    }

    /// What was asked for and can have no effect.
    pub(crate) fn check(&self) -> Result<(), String> {
        let refuse = |mut given: Vec<&str>, only: &str, served: &str| {
            given.sort_unstable();
            let (what, means) = (given.join(", "), if given.len() == 1 { "means" } else { "mean" });
            if given.is_empty() {
                Ok(())
            } else {
                Err(format!("{what} {means} something to {only} only, and only {served} is served"))
            }
        };
        if self.tcp().is_empty() {
            refuse(self.experiments.only_tcp().chain(self.limits_of_tcp()).collect(), "TCP", "UDP")?;
        }
        if self.udp().is_empty() {
            return refuse(self.experiments.only_udp().chain(self.limits_of_udp()).collect(), "UDP", "TCP");
        }
        self.experiments.check_families(self.udp())
    }

    /// The limits that only TCP has, where they are not what they always are.
    fn limits_of_tcp(&self) -> impl Iterator<Item = &'static str> {
        let changed = [
            ("--max-connections", self.max_connections != 10_000),
            ("--max-per-address", self.max_per_address != 100),
            ("--idle-timeout", self.idle_timeout.0 != Some(Duration::from_secs(300))),
            ("--stall-timeout", self.stall_timeout != Duration::from_secs(60)),
        ];
        changed.into_iter().filter_map(|(name, changed)| changed.then_some(name))
    }

    /// As for TCP.
    fn limits_of_udp(&self) -> impl Iterator<Item = &'static str> {
        let changed = [
            ("--rate", self.rate != Rate(Some(1_000))),
            ("--burst", self.burst != 1_000),
            ("--max-sources", self.max_sources != 10_000),
        ];
        changed.into_iter().filter_map(|(name, changed)| changed.then_some(name))
    }

    /// The configuration of the server over UDP.
    pub(crate) fn udp_config(&self) -> udp::ServerConfig {
        let echo = datagram::server::Config {
            rate: self.rate.0,
            burst: self.burst,
            sources: self.max_sources,
            ..datagram::server::Config::default()
        };
        let mut config = udp::ServerConfig { echo, ..udp::ServerConfig::default() };
        self.experiments.set_up_udp(&mut config);
        config
    }

    /// The server's configuration.
    pub(crate) fn config(&self) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.admission.connections = self.max_connections;
        config.admission.per_address = self.max_per_address;
        config.connection = server::Config {
            idle: self.idle_timeout.0,
            stall: self.stall_timeout,
            drain: self.drain_timeout,
            ..server::Config::default()
        };
        self.experiments.set_up(&mut config);
        if self.output.verbose {
            config.listen.read_back = ReadBack::Connections;
        }
        config
    }
}

const DEFAULT: [SocketAddr; 1] = [SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, DEFAULT_PORT))];

fn rate(text: &str) -> Result<Rate, String> {
    match text.parse() {
        Ok(rate @ 1..=10_000_000) => Ok(Rate(Some(rate))),
        _ if text == "never" => Ok(Rate(None)),
        _ => Err("must be 1 to 10000000, or `never`".into()),
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let addr = written_address(text)?;
    single(addr.ip())?;
    Ok(addr)
}

fn written_address(text: &str) -> Result<SocketAddr, String> {
    if text.contains('%') {
        return zoned(text);
    }
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

/// With an interface, by name or number, and perhaps port 0, which no TARGET has.
fn zoned(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = match text.rsplit_once("]:") {
        Some((host, port)) => (format!("{host}]"), port.parse().map_err(|_| format!("`{port}` is no port"))?),
        None => (text.to_owned(), DEFAULT_PORT),
    };
    let target: Target = host.parse().map_err(|error: TargetError| error.to_string())?;
    let found = target.look_up(DEFAULT_PORT).map_err(|error| error.to_string())?;
    let mut addr = *found.first().ok_or("there is no such address")?;
    addr.set_port(port);
    Ok(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(rate("1000"), Ok(Rate(Some(1_000))));
        assert_eq!(rate("never"), Ok(Rate(None)));
        for bad in ["0", "-1", "", "10000001", "always"] {
            assert!(rate(bad).is_err_and(|error| error.contains("never")), "{bad}");
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
        assert_eq!(listen_address("[fe80::1%1]:0").map(|addr| addr.to_string()), Ok("[fe80::1%1]:0".into()));
        for many in ["224.0.0.1:7", "255.255.255.255:7", "[ff02::1]:7"] {
            assert!(listen_address(many).is_err_and(|error| error.contains("multicast")), "{many}");
        }
        for bad in ["[fe80::1%1]:x", "[fe80::1%]:0", "", "localhost:7", "127.0.0.1:99999", "99999", "[::1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
