//! A session of an async runtime, on a thread that drives it.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::thread::{self, JoinHandle};

use resound_async::{Handle, ServerHandle, Setup};
use resound_core::Instant;
use resound_core::stream::client::{Command, Refused};
use resound_sockets::tcp::DialOptions;

use crate::runtime::{ClientSession, Dial, EchoClient, ServerConfig, ServerSession};

mod udp;

pub(super) use udp::{UdpServer, udp_client};

pub(super) fn setup(client: &EchoClient, dial: Dial) -> Setup {
    let user_timeout = client.kernel_backstop();
    Setup { dial: DialOptions { bind: dial.bind, user_timeout }, ..Setup::default() }
}

pub(super) fn server_config(config: ServerConfig) -> resound_async::ServerConfig {
    resound_async::ServerConfig { admission: config.admission, listen: config.listen }
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

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use resound_core::stream::client::Config;

    use crate::Runtime;
    use crate::on::{smol::Smol, std::Std, tokio::Tokio};
    use crate::runtime::{Dial, EchoClient, ServerConfig};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_client_whose_driver_panics_says_no_more() {
        for runtime in [&Std as &dyn Runtime, &Smol::threads(2), &Tokio::current_thread()] {
            let nobody = ([127, 0, 0, 1], 1).into();
            let client = EchoClient::new(Config::default(), 1, [nobody]).unwrap();
            let (tell, events) = channel::<()>();
            let on_event = Box::new(move |_, _| {
                let _ = &tell;
                panic!("this is what the test is about");
            });
            let session = runtime.client(client, Dial::default(), on_event).unwrap();
            let end = events.recv_timeout(PATIENCE);
            assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{}", runtime.name());
            drop(session);
        }
    }

    #[test]
    fn a_server_whose_driver_panics_can_still_be_dropped() {
        let (dropped, gone) = channel::<()>();
        std::thread::spawn(move || {
            let on_event = Box::new(|_| panic!("this is what the test is about"));
            let addr = ([127, 0, 0, 1], 0).into();
            let server = Smol::threads(2).server(addr, ServerConfig::default(), on_event).unwrap();
            drop(std::net::TcpStream::connect(server.local_addr()));
            server.drain();
            drop(server);
            drop(dropped);
        });
        assert_eq!(gone.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
