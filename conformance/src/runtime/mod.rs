//! The small traits that an adapter implements to be put to the test: one, and a second if it has UDP.

use core::fmt;
use core::net::SocketAddr;
use std::io;

use resound_core::Instant;
use resound_core::stream::client::{Client, Command, Event, Refused};
use resound_core::stream::{admission, server};
use resound_sockets::tcp::ListenOptions;

mod udp;

pub use udp::{OnUdpEvent, OnUdpServerEvent, UdpClientSession, UdpRuntime, UdpServerSession};

/// The echo client that the suite drives.
pub type EchoClient = Client<SocketAddr>;
/// What a server tells.
pub type ServerEvent = admission::Event<server::Ended>;

/// Where a client's events go: each with the time at which it came out of the machine, in order, one at a time. Called on
/// a thread of the runtime's, so it must not block; dropped when there will be no more.
pub type OnEvent = Box<dyn FnMut(Instant, Event) + Send>;
/// Where a server's events go. Called on any thread of the runtime's, by several at once, so it must not block; dropped
/// when there will be no more.
pub type OnServerEvent = Box<dyn Fn(ServerEvent) + Send + Sync>;

/// A runtime with its adapter, seen from outside: it runs an echo client or an echo server in the background, on
/// whatever threads and executors it likes, and tells what happened.
pub trait Runtime: Send + Sync {
    /// The runtime's name, as in `--runtime`.
    fn name(&self) -> &'static str;

    /// Runs an echo client until it has nothing more to do, or the session is dropped. Its events go to `on_event`.
    ///
    /// # Errors
    ///
    /// The runtime could not be started.
    fn client(&self, client: EchoClient, dial: Dial, on_event: OnEvent)
    -> io::Result<Box<dyn ClientSession>>;

    /// Listens on `addr` and serves echo until it is drained, aborted, or the session is dropped. Its events go to
    /// `on_event`.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or the runtime could not be started.
    fn server(
        &self,
        addr: SocketAddr,
        config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>>;

    /// Its UDP; `None` if it has none. Then the scenarios over UDP are not for it.
    fn udp(&self) -> Option<&dyn UdpRuntime> {
        None
    }
}

/// How a client connects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dial {
    /// The local address to connect from.
    pub bind: Option<SocketAddr>,
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerConfig {
    /// Whom it lets in.
    pub admission: admission::Config,
    /// The limits of each connection.
    pub connection: server::Config,
    /// How it listens.
    pub listen: ListenOptions,
}

/// A running echo client, for any thread. Dropping it ends it.
pub trait ClientSession: Send + Sync + fmt::Debug {
    /// Asks the client for something; accepted or refused before this returns.
    ///
    /// # Errors
    ///
    /// As [`Client`] refuses it.
    fn command(&self, command: Command) -> Result<(), Refused>;

    /// The time on the clock that stamps the events.
    fn now(&self) -> Instant;
}

/// A running echo server, for any thread. Dropping it ends it.
pub trait ServerSession: Send + Sync + fmt::Debug {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// Stops listening, lets every connection finish, then ends.
    fn drain(&self);

    /// Resets every connection and ends.
    fn abort(&self);

    /// The options of the listening socket as the kernel took them, by the names that `setsockopt` knows. Empty where a
    /// runtime cannot tell.
    fn socket_options(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
