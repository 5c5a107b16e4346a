//! A session of an async runtime, on a thread that drives it.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::thread::{self, JoinHandle};

use resound_async::{Handle, ServerHandle, Setup};
use resound_core::Instant;
use resound_core::stream::client::{Command, Refused};
use resound_sockets::tcp::{DialOptions, ListenOptions};

use crate::runtime::{ClientSession, Dial, EchoClient, ServerConfig, ServerSession};

pub(super) fn setup(client: &EchoClient, dial: Dial) -> Setup {
    let user_timeout = client.kernel_backstop();
    Setup { dial: DialOptions { bind: dial.bind, user_timeout }, ..Setup::default() }
}

pub(super) fn server_config(config: ServerConfig) -> resound_async::ServerConfig {
    let mut listen = ListenOptions::default();
    listen.backlog = config.backlog.unwrap_or(listen.backlog);
    resound_async::ServerConfig { admission: config.admission, listen }
}

pub(super) struct Client {
    handle: Handle<EchoClient>,
    driver: Option<JoinHandle<()>>,
}

impl Client {
    pub(super) fn start(
        handle: Handle<EchoClient>,
        drive: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let driver = thread::Builder::new().name(String::from("resound-client")).spawn(drive)?;
        Ok(Self { handle, driver: Some(driver) })
    }
}

impl ClientSession for Client {
    fn command(&self, command: Command) -> Result<(), Refused> {
        self.handle.command(command)
    }

    fn now(&self) -> Instant {
        self.handle.now()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Refused only by a client that has ended.
        let _ = self.handle.command(Command::Abort);
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

pub(super) struct Server {
    handle: ServerHandle,
    driver: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(handle: ServerHandle, drive: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let driver = thread::Builder::new().name(String::from("resound-server")).spawn(drive)?;
        Ok(Self { handle, driver: Some(driver) })
    }
}

impl ServerSession for Server {
    fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    fn drain(&self) {
        self.handle.drain();
    }

    fn abort(&self) {
        self.handle.abort();
    }

    fn socket_options(&self) -> Vec<(&'static str, String)> {
        self.handle.socket_options().to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.abort();
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("handle", &self.handle).finish_non_exhaustive()
    }
}
