//! The one small trait that an adapter implements to be put to the test.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use resound_core::Instant;
use resound_core::stream::client::{Client, Command, Event, Refused};
use resound_core::stream::{admission, server};

/// The echo client that the suite drives.
pub type EchoClient = Client<SocketAddr>;
/// What a server tells.
pub type ServerEvent = admission::Event<server::Ended>;

/// A runtime with its adapter, seen from outside: it runs an echo client or an echo server in the background, on
/// whatever threads and executors it likes, and tells what happened.
pub trait Runtime: Send + Sync {
    /// The runtime's name, as in `--runtime`.
    fn name(&self) -> &'static str;

    /// Runs an echo client until it has nothing more to do, or the session is dropped.
    ///
    /// # Errors
    ///
    /// The runtime could not be started.
    fn client(&self, client: EchoClient, dial: Dial) -> io::Result<Box<dyn ClientSession>>;

    /// Listens on `addr` and serves echo until it is drained, aborted, or the session is dropped.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or the runtime could not be started.
    fn server(&self, addr: SocketAddr, config: ServerConfig) -> io::Result<Box<dyn ServerSession>>;
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
    /// Length of the kernel's accept queue; `None` is the adapter's default.
    pub backlog: Option<i32>,
}

/// A running echo client. Dropping it ends it.
pub trait ClientSession: Send + fmt::Debug {
    /// Asks the client for something; accepted or refused before this returns.
    ///
    /// # Errors
    ///
    /// As [`Client`] refuses it.
    fn command(&self, command: Command) -> Result<(), Refused>;

    /// The next event and when it came out of the machine, or `None` if there is none within `patience`, or never
    /// will be.
    fn next_event(&mut self, patience: Duration) -> Option<(Instant, Event)>;

    /// The time on the clock that stamps the events.
    fn now(&self) -> Instant;
}

/// A running echo server. Dropping it ends it.
pub trait ServerSession: Send + fmt::Debug {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// Stops listening, lets every connection finish, then ends.
    fn drain(&self);

    /// Resets every connection and ends.
    fn abort(&self);

    /// The next event, or `None` if there is none within `patience`, or never will be.
    fn next_event(&mut self, patience: Duration) -> Option<ServerEvent>;
}
