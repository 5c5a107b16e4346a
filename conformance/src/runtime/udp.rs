//! What an adapter implements in addition, if it has UDP.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;

use resound_core::Instant;
use resound_core::datagram::client::{Client, Event};
use resound_core::datagram::server::{self, Counts};
use resound_sockets::StartError;
use resound_sockets::udp::ServerConfig;

/// Where a client's events go, as [`OnEvent`](super::OnEvent).
pub type OnUdpEvent = Box<dyn FnMut(Instant, Event) + Send>;
/// Where a server's events go, each with the address that its socket is bound to, as
/// [`OnServerEvent`](super::OnServerEvent).
pub type OnUdpServerEvent = Box<dyn Fn(SocketAddr, server::Event) + Send + Sync>;

/// The UDP of a runtime, seen from outside.
pub trait UdpRuntime {
    /// Runs an echo client on a socket until it has nothing more to do, or the session is dropped. Its events go to
    /// `on_event`. The socket was made by [`bind`](resound_sockets::udp::bind).
    ///
    /// # Errors
    ///
    /// The runtime could not be started, or cannot watch the socket.
    fn udp_client(
        &self,
        client: Client,
        socket: UdpSocket,
        on_event: OnUdpEvent,
    ) -> io::Result<Box<dyn UdpClientSession>>;

    /// Serves echo on these addresses until it is stopped, or the session is dropped. Its events go to `on_event`.
    ///
    /// # Errors
    ///
    /// The configuration cannot work, an address cannot be bound, or the runtime could not be started.
    fn udp_server(
        &self,
        addrs: &[SocketAddr],
        config: &ServerConfig,
        on_event: OnUdpServerEvent,
    ) -> Result<Box<dyn UdpServerSession>, StartError>;
}

/// A running echo client of many peers, for any thread. Dropping it ends it.
pub trait UdpClientSession: Send + Sync + fmt::Debug {
    /// Calls `ask` once with the machine and the time. The driver waits meanwhile, and then does what follows.
    fn with(&self, ask: &mut dyn FnMut(&mut Client, Instant));

    /// The time on the clock that stamps the events.
    fn now(&self) -> Instant;

    /// Where the socket is bound.
    fn local_addr(&self) -> SocketAddr;

    /// The options of the socket as the kernel took them, by the names that `setsockopt` knows. Empty where a runtime
    /// cannot tell.
    fn socket_options(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl dyn UdpClientSession {
    /// As [`with`](UdpClientSession::with), and gives back what the machine said.
    ///
    /// # Panics
    ///
    /// If the session does not ask.
    pub fn ask<T>(&self, ask: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let (mut ask, mut said) = (Some(ask), None);
        self.with(&mut |client, now| said = ask.take().map(|ask| ask(client, now)));
        said.expect("a session asks its machine")
    }
}

/// A running echo server, for any thread. Dropping it ends it.
pub trait UdpServerSession: Send + Sync + fmt::Debug {
    /// Where each of its sockets is bound: in the order of the addresses that were given.
    fn local_addrs(&self) -> Vec<SocketAddr>;

    /// What all sockets have done together.
    fn counts(&self) -> Counts;

    /// Answers nothing more. What was not told yet is told, and then it ends.
    fn stop(&self);

    /// The options of each socket as the kernel took them, in the order of [`local_addrs`](Self::local_addrs). Empty where
    /// a runtime cannot tell.
    fn socket_options(&self) -> Vec<Vec<(&'static str, String)>> {
        Vec::new()
    }
}
