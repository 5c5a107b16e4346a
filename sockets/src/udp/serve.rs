//! The sockets of an echo server, and a machine for each.

use core::net::SocketAddr;
use core::num::NonZeroU8;
use std::net::UdpSocket;

use resound_core::datagram::server::{Config, Server};

use super::{Options, Sizes, bind_group};
use crate::{StartError, entropy};

/// How a server listens, and whom it answers.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What is answered, by each of the sockets for itself: a source that speaks to several of them has the limit of
    /// several. The ports of all sockets are added to [`Config::own_ports`].
    pub echo: Config,
    /// How each socket is bound.
    pub socket: Options,
    /// How many sockets each address gets, over which the kernel spreads the peers (`SO_REUSEPORT`). 1 unless set: only
    /// what is served on several processors at once gains.
    pub group: NonZeroU8,
    /// How much room each socket has for datagrams.
    pub sizes: Sizes,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            echo: Config::default(),
            socket: Options::default(),
            group: NonZeroU8::MIN,
            sizes: Sizes::default(),
        }
    }
}

/// Binds the sockets of a server, on all these addresses, and makes the machine of each. Port 0 lets the kernel choose
/// one.
///
/// What comes from the port of one socket must not be answered by another, so that all are bound before the first machine
/// is made.
///
/// # Errors
///
/// The configuration cannot work, or an address cannot be bound; then none is.
pub fn echo_servers(
    addrs: &[SocketAddr],
    config: &ServerConfig,
) -> Result<Vec<(UdpSocket, Server)>, StartError> {
    let mut sockets = Vec::new();
    let mut echo = config.echo.clone();
    for &addr in addrs {
        let group = bind_group(addr, &config.socket, config.group.get().into())?;
        for socket in group {
            echo.own_ports.push(socket.local_addr()?.port());
            sockets.push(socket);
        }
    }
    let with_machine = |socket| Ok((socket, Server::new(echo.clone(), entropy::key())?));
    sockets.into_iter().map(with_machine).collect()
}
