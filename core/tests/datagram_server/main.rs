//! The echo server over UDP: what it answers, what it never answers, and that neither a flood nor a forged source makes
//! it do more.
//!
//! | file | claims |
//! |---|---|
//! | `books` | whatever happens, no more goes back than came, and everything is in the books once |
//! | `limit` | how much each source gets, and what a flood gets |
//! | `loops` | two servers that can be made to answer each other |
//! | `checks` | why a datagram is not answered, reason by reason |
//! | `events` | when what happened is told, and the driver's turn |
//! | `config` | a bad field is named |
//!
//! `world` has what happens to a server, and a driver that does what the contract asks.

extern crate alloc;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use resound_core::Instant;
use resound_core::datagram::server::{Config, Server};
use resound_core::datagram::{Fact, Machine, Train};

mod books;
mod checks;
mod config;
mod events;
mod limit;
mod loops;
mod world;

const START: Instant = Instant::from_nanos(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const KEY: [u64; 2] = [0x5eed, 0xcafe];

/// Zeroes enough for any train.
static BYTES: [u8; 4_096] = [0; 4_096];

fn server(config: Config) -> Server {
    Server::new(config, KEY).expect("an accepted configuration")
}

fn host(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 | n), 40_000))
}

/// How many of `n` datagrams are answered.
fn ask(server: &mut Server, now: Instant, from: SocketAddr, n: usize) -> usize {
    let train = Train { size: 1, ..Train::one(from, &BYTES[..n]) };
    server.handle(now, Fact::Received { train: &train });
    train.echo.get()
}

fn local(n: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, n])
}

fn peer(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}
