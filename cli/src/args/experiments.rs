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
//! | `-A` | `--reuse-port` | several servers on one port |
//! | `-E` | `--show-destination` | which address was asked, on a host that has several |
//! | `-f a.b.c.d.p` | `--foreign` | a server for one peer |

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use clap::Args;
use resound_conformance::ServerConfig;
use resound_core::stream::admission::Foreign;
use resound_sockets::tcp::{Linger, Sharing};

use super::single;
use super::time::{time, time_or_zero};
use crate::output::event::Destination;

/// With `-v` each is read back from the kernel and shown, of the listener and of every connection.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Experiments")]
pub(crate) struct Experiments {
    /// Receive buffer of each connection (SO_RCVBUF); -v shows what the kernel made of it
    #[arg(long, value_name = "BYTES", value_parser = buffer())]
    receive_buffer: Option<u32>,
    /// Send buffer of each connection (SO_SNDBUF)
    #[arg(long, value_name = "BYTES", value_parser = buffer())]
    send_buffer: Option<u32>,
    /// Length of the kernel's accept queue; Linux takes one more [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    backlog: Option<i32>,
    /// Accept nothing for this long after the start
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_accept: Option<Duration>,
    /// Read nothing from a connection for this long after its accept
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_read: Option<Duration>,
    /// Wait this long before the close when a peer has ended its side and has everything
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause_close: Option<Duration>,
    /// Close with SO_LINGER on and this time; only 0: what is unsent is forgotten, and the peer is reset
    #[arg(long, value_name = "TIME", value_parser = linger)]
    linger: Option<Linger>,
    /// Let other servers listen on the same port (SO_REUSEPORT); the kernel spreads the connections
    #[arg(long)]
    reuse_port: bool,
    /// Serve this peer only, ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; others are reset
    #[arg(long, value_name = "ADDR", value_parser = foreign)]
    foreign: Option<Foreign>,
    /// Show which address each peer asked
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

    pub(crate) const fn destination(&self) -> Destination {
        if self.show_destination { Destination::Shown } else { Destination::Hidden }
    }
}

/// What setsockopt(2) takes as an `int`, and Linux can double.
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
    fn a_close_that_would_block_is_refused() {
        assert_eq!(linger("0"), Ok(Linger::Zero));
        assert_eq!(linger("0s"), Ok(Linger::Zero));
        assert!(linger("5s").is_err_and(|error| error.contains("only 0") && !error.contains('\n')));
        assert!(linger("-1").is_err());
    }
}
