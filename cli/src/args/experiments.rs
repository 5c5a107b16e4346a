//! What a server does on purpose that a good server does not: the textbook's experiments with `sock`.
//!
//! | `sock` | here | what it shows |
//! |---|---|---|
//! | `-R n` | `--receive-buffer` | the window that a peer is offered; where UDP begins to lose |
//! | `-S n` | `--send-buffer` | how much a peer that does not read can be sent |
//! | `-P n` | `--pause-read` | a window that closes |
//! | `-Q n` | `--pause-close` | CLOSE_WAIT here, FIN_WAIT_2 over there |
//! | `-O n`, `-q n` | `--pause-accept`, `--backlog` | a queue that is full, and SYNs that are dropped |
//! | `-L 0` | `--linger 0` | a close that is a reset |
//! | `-A` | `--reuse-port`, `--reuse-address` | several servers on one port |
//! | `-E` | `--show-destination` | which address was asked, on a host that has several |
//! | `-f a.b.c.d.p` | `--foreign` | a server for one peer |
//! | `-B`, `-j` | `--broadcast`, `--join` | one datagram to many hosts, each of which answers |
//!
//! Over UDP nothing is accepted, closed or lingers: these switches are refused where only UDP is served, and those that
//! only UDP has where only TCP is.

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU8;
use core::time::Duration;

use clap::Args;
use resound_conformance::ServerConfig;
use resound_core::datagram::server::{Groups, Remote};
use resound_core::stream::admission::Foreign;
use resound_sockets::resolve::Target;
use resound_sockets::tcp::{Linger, Sharing};
use resound_sockets::udp::{self, Broadcast, Group, Share};

use super::single;
use super::time::{time, time_or_zero};
use crate::output::event::Destination;

/// With `-v` each is read back from the kernel and shown, of the listener and of every connection.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Experiments")]
pub(crate) struct Experiments {
    /// Receive buffer of each connection, or UDP socket (SO_RCVBUF); -v shows what the kernel made of it
    #[arg(long, value_name = "BYTES", value_parser = buffer())]
    receive_buffer: Option<u32>,
    /// Send buffer of each connection, or UDP socket (SO_SNDBUF)
    #[arg(long, value_name = "BYTES", value_parser = buffer())]
    send_buffer: Option<u32>,
    /// TCP: length of the kernel's accept queue; Linux takes one more [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    backlog: Option<i32>,
    /// TCP: accept nothing for this long after the start
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_accept: Option<Duration>,
    /// Read nothing from a connection for this long after its accept, from a UDP socket after the start
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_read: Option<Duration>,
    /// TCP: wait this long before the close when a peer has ended its side and has everything
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_close: Option<Duration>,
    /// TCP: close with SO_LINGER on and this time; only 0: what is unsent is forgotten, and the peer is reset
    #[arg(long, value_name = "TIME", value_parser = linger)]
    linger: Option<Linger>,
    /// Let other servers listen on the same port (SO_REUSEPORT); the kernel spreads the connections, or the UDP peers
    #[arg(long)]
    reuse_port: bool,
    /// UDP: let others that say so too have the same port (SO_REUSEADDR), as listeners of a multicast group do
    #[arg(long, conflicts_with_all = ["reuse_port", "sockets"])]
    reuse_address: bool,
    /// UDP: so many sockets, each with a thread, for each --udp address (SO_REUSEPORT); the kernel spreads the peers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    sockets: Option<u8>,
    /// UDP: answer what was sent to a broadcast address too (SO_BROADCAST)
    #[arg(long)]
    broadcast: bool,
    /// UDP: join this multicast group, ADDRESS or ADDRESS%INTERFACE, and answer what is sent to it. Repeatable
    #[arg(long, value_name = "GROUP", value_parser = group)]
    join: Vec<Group>,
    /// Serve this peer only, ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; others are reset, their datagrams ignored
    #[arg(long, value_name = "ADDR", value_parser = foreign)]
    foreign: Option<Foreign>,
    /// UDP: answer only what was sent to this address of the host
    #[arg(long, value_name = "ADDRESS")]
    only_local: Option<IpAddr>,
    /// Show which address each peer asked; over UDP, each datagram
    #[arg(long)]
    show_destination: bool,
}

impl Experiments {
    pub(super) fn set_up(&self, config: &mut ServerConfig) {
        let ServerConfig { admission, connection, listen } = config;
        admission.first_accept_after = self.pause_accept.unwrap_or_default();
        admission.foreign = self.foreign;
        connection.first_read_after = self.pause_read.unwrap_or_default();
        connection.close_after = self.pause_close.unwrap_or_default();
        listen.backlog = self.backlog.unwrap_or(listen.backlog);
        listen.receive_buffer = self.receive_buffer;
        listen.send_buffer = self.send_buffer;
        listen.sharing = if self.reuse_port { Sharing::Shared } else { Sharing::Alone };
        listen.linger = self.linger.unwrap_or_default();
    }

    pub(super) fn set_up_udp(&self, config: &mut udp::ServerConfig) {
        let udp::ServerConfig { echo, socket, group, .. } = config;
        echo.only_local = self.only_local;
        echo.only_remote = self.foreign.map(|Foreign { ip, port }| Remote { ip, port });
        let many = self.broadcast || !self.join.is_empty();
        echo.groups = if many { Groups::Answer } else { Groups::Ignore };
        socket.receive_buffer = self.receive_buffer.map(|bytes| bytes as usize);
        socket.send_buffer = self.send_buffer.map(|bytes| bytes as usize);
        socket.broadcast = if self.broadcast { Broadcast::Allowed } else { Broadcast::Refused };
        socket.multicast.groups.clone_from(&self.join);
        socket.share = match (self.reuse_port, self.reuse_address) {
            (true, _) => Share::Port,
            (false, true) => Share::Address,
            (false, false) => Share::Nobody,
        };
        *group = self.sockets.and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN);
    }

    /// How long a UDP socket is not read after the start.
    pub(crate) fn pause_read(&self) -> Duration {
        self.pause_read.unwrap_or_default()
    }

    /// What was asked of a UDP socket, by the names that `setsockopt` knows and in the words of its description.
    pub(crate) fn asked_of_udp(&self) -> Vec<(&'static str, String)> {
        let switch = |on: bool| on.then(|| String::from("on"));
        let bytes = |bytes: Option<u32>| bytes.map(|bytes| format!("{bytes} bytes"));
        let asked = [
            ("SO_RCVBUF", bytes(self.receive_buffer)),
            ("SO_SNDBUF", bytes(self.send_buffer)),
            ("SO_REUSEPORT", switch(self.reuse_port)),
            ("SO_REUSEADDR", switch(self.reuse_address)),
            ("SO_BROADCAST", switch(self.broadcast)),
        ];
        asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The switches that were given and that only TCP has.
    pub(super) fn only_tcp(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--backlog", self.backlog.is_some()),
            ("--pause-accept", self.pause_accept.is_some()),
            ("--pause-close", self.pause_close.is_some()),
            ("--linger", self.linger.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name))
    }

    /// The switches that were given and that only UDP has.
    pub(super) fn only_udp(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--reuse-address", self.reuse_address),
            ("--sockets", self.sockets.is_some()),
            ("--broadcast", self.broadcast),
            ("--join", !self.join.is_empty()),
            ("--only-local", self.only_local.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name))
    }

    /// What no datagram to any of these addresses could ever meet.
    pub(super) fn check_families(&self, served: &[SocketAddr]) -> Result<(), String> {
        let families = |ip: IpAddr| served.iter().any(|addr| reaches(*addr, ip));
        for group in &self.join {
            if !families(group.address) {
                return Err(format!("--join {}: no --udp address is of its IP version", group.address));
            }
        }
        if let Some(ip) = self.only_local {
            let asked =
                |addr: &SocketAddr| addr.ip() == ip || (addr.ip().is_unspecified() && reaches(*addr, ip));
            if !served.iter().any(asked) {
                return Err(format!("--only-local {ip}: no --udp address is served there"));
            }
        }
        match self.foreign {
            Some(Foreign { ip, .. }) if !families(ip) => {
                Err(format!("--foreign {ip}: no --udp address is of its IP version"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) const fn destination(&self) -> Destination {
        if self.show_destination { Destination::Shown } else { Destination::Hidden }
    }
}

/// What setsockopt(2) takes as an `int`, and Linux can double.
/// Whether a socket bound to `addr` can have to do with `ip`, by its version. `[::]` takes IPv4 too.
pub(crate) fn reaches(addr: SocketAddr, ip: IpAddr) -> bool {
    addr.is_ipv4() == ip.is_ipv4() || addr.ip() == IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED)
}

fn buffer() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1 << 30)
}

fn linger(text: &str) -> Result<Linger, String> {
    match time_or_zero(text)? {
        Duration::ZERO => Ok(Linger::Zero),
        _ => Err(
            "only 0 is possible: with a time, close(2) would block the thread and every connection on it; \
             without --linger the kernel sends what is left"
                .into(),
        ),
    }
}

/// With an interface, by name or by number.
fn group(text: &str) -> Result<Group, String> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let address: IpAddr = address.parse().map_err(|_| {
        String::from(
            "not a multicast group; write 239.1.2.3, ff02::114 or ff02::114%eth0 (names are not looked up)",
        )
    })?;
    if !address.is_multicast() {
        return Err("not a multicast group: those are 224.0.0.0/4 and ff00::/8".into());
    }
    Ok(Group { address, interface: zone.map(interface).transpose()? })
}

/// The number of an interface: the resolver knows those of this host.
fn interface(zone: &str) -> Result<u32, String> {
    let found =
        format!("[fe80::1%{zone}]:1").parse::<Target>().ok().and_then(|target| target.look_up(1).ok());
    match found.as_deref() {
        Some([SocketAddr::V6(addr), ..]) if addr.scope_id() > 0 => Ok(addr.scope_id()),
        _ => Err(format!("this host has no interface `{zone}`; `ip link` lists them")),
    }
}

fn foreign(text: &str) -> Result<Foreign, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let foreign = match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => Foreign { ip, port: None },
        (_, Ok(addr)) if addr.port() > 0 => Foreign { ip: addr.ip(), port: Some(addr.port()) },
        (_, Ok(_)) => return Err("no peer has port 0; leave the port out for any".into()),
        _ => {
            return Err(
                "not an address; write 192.0.2.7, 192.0.2.7:40000, 2001:db8::7 or [2001:db8::7]:40000 \
                 (names are not looked up)"
                    .into(),
            );
        }
    };
    single(foreign.ip)?;
    if foreign.ip.is_unspecified() {
        return Err("no peer has this address".into());
    }
    Ok(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_addresses() {
        for (text, ip, port) in [
            ("192.0.2.7", "192.0.2.7", None),
            ("192.0.2.7:9", "192.0.2.7", Some(9)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:9", "::1", Some(9)),
        ] {
            assert_eq!(foreign(text), Ok(Foreign { ip: ip.parse().unwrap(), port }), "{text}");
        }
        for (bad, why) in [
            ("192.0.2.7:0", "port 0"),
            ("localhost", "names are not looked up"),
            ("", "not an address"),
            ("224.0.0.1", "multicast"),
            ("0.0.0.0", "no peer"),
            ("[::]:9", "no peer"),
        ] {
            assert!(foreign(bad).is_err_and(|error| error.contains(why)), "{bad}");
        }
    }

    #[test]
    fn multicast_groups() {
        let one = |address: &str, interface| Ok(Group { address: address.parse().unwrap(), interface });
        assert_eq!(group("239.1.2.3"), one("239.1.2.3", None));
        assert_eq!(group("ff02::114%1"), one("ff02::114", Some(1)));
        for (bad, why) in [
            ("", "not a multicast group"),
            ("192.0.2.1", "224.0.0.0/4"),
            ("all-hosts", "not looked up"),
            ("ff02::1%no-such-interface", "no interface"),
            ("ff02::1%", "no interface"),
        ] {
            assert!(group(bad).is_err_and(|error| error.contains(why)), "{bad}");
        }
    }

    #[test]
    fn a_close_that_would_block_is_refused() {
        assert_eq!(linger("0"), Ok(Linger::Zero));
        assert_eq!(linger("0s"), Ok(Linger::Zero));
        assert!(linger("5s").is_err_and(|error| error.contains("only 0") && !error.contains('\n')));
        assert!(linger("-1").is_err());
    }
}
