//! Sessions over UDP: one socket, many peers, and nothing that is a connection.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod answers;
mod overrun;
mod refused;
mod server;
mod silence;
mod table;

pub(super) use answers::{DUPLICATED, ECHO, GARBLED, LATE, REORDERED, WRONG_ADDRESS};
pub(super) use overrun::{CLIENT_OVERRUN, SERVER_OVERRUN};
pub(super) use refused::{
    ALL_DEAD, DIES_AND_RETURNS, THREE_SERVERS_DUAL, THREE_SERVERS_V4, THREE_SERVERS_V6,
};
pub(super) use server::{ASKED_ADDRESS, BROADCAST, MULTICAST, OWN_PORT, RATE_LIMIT, ZERO_LENGTH};
pub(super) use silence::{FLOOD, SILENT, SILENT_WHEN_IDLE, STALLS_AND_RECOVERS};
pub(super) use table::{REMOVED_AND_ADDED, TOO_LONG};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A port of the kernel's choice.
const fn any_port(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 0)
}
