//! The servers under test, each in a process of its own: this program, started once more with a server's name.
//!
//! A child binds a port that the kernel chooses, says which on its standard output, and then answers `heap` on its
//! standard input with the bytes that are allocated. It ends when its standard input does.

use core::net::SocketAddr;
use std::io::{self, BufRead as _, Write as _};

use resound_core::stream::admission::{self, Event};
use resound_core::stream::server::{Connection, Ended};
use resound_std::ServerConfig;

use crate::heap;

mod bare;
mod on_smol;
mod on_std;
mod on_tokio;
mod udp;

pub(crate) use udp::WILDCARD;

/// A server: never returns, and calls [`ready`] once it listens.
type Serve = fn() -> io::Result<()>;

/// Every server over TCP by name.
const SERVERS: &[(&str, Serve)] = &[
    ("mio", bare::serve),
    ("std", on_std::by_hand),
    ("resound-std", on_std::resound),
    ("tokio", on_tokio::by_hand),
    ("tokio-64k", on_tokio::by_hand_64k),
    ("resound-tokio", on_tokio::resound),
    ("smol", on_smol::by_hand),
    ("resound-smol", on_smol::resound),
];

/// A runtime: our server on it, and the loop that its users would write by hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) by_hand: &'static str,
}

/// What is compared with what.
pub(crate) const RUNTIMES: &[Runtime] = &[
    Runtime { name: "std", ours: "resound-std", by_hand: "std" },
    Runtime { name: "tokio", ours: "resound-tokio", by_hand: "tokio" },
    Runtime { name: "tokio, 64 KiB", ours: "resound-tokio", by_hand: "tokio-64k" },
    Runtime { name: "smol", ours: "resound-smol", by_hand: "smol" },
];

/// The bare epoll loop that all are compared with too.
pub(crate) const BARE: &str = "mio";

/// The names of all over TCP.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVERS.iter().map(|(name, _)| *name)
}

/// What a connection is in our own code: the size of its future, by runtime. The runtime's timer lies in it.
pub(crate) fn futures() -> [(&'static str, usize); 2] {
    type Told = fn(Event<Ended>);
    let tokio = size_of::<resound_tokio::Conversation<Connection, Told>>();
    let smol = size_of::<resound_smol::Conversation<Connection, Told>>();
    [("tokio", tokio), ("smol", smol)]
}

/// Serves until standard input ends.
pub(crate) fn run(name: &str) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("no server is called {name}"));
    let (_, serve) =
        SERVERS.iter().chain(udp::SERVERS).find(|(known, _)| *known == name).ok_or_else(unknown)?;
    serve()
}

/// The address that every server binds.
pub(crate) const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

/// How much one read by hand takes in.
const BUFFER: usize = 64 * 1024;

/// The server listens on `addr`: says so, and answers what the parent asks, on a thread of its own.
fn ready(addr: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout(), "{addr}")?;
    std::thread::Builder::new().stack_size(64 * 1024).spawn(|| {
        for line in io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("heap") => drop(writeln!(io::stdout(), "{}", heap::live())),
                _ => break,
            }
        }
        std::process::exit(0);
    })?;
    Ok(())
}

/// Our servers let in whatever the load client asks for: all of it comes from one address.
fn let_in_everybody(config: &mut admission::Config) {
    config.per_address = config.connections;
}

/// The configuration of our server on std.
fn config() -> ServerConfig {
    let mut config = ServerConfig::default();
    let_in_everybody(&mut config.admission);
    config
}
