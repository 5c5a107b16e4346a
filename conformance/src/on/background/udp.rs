//! The same for UDP.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use std::io;
use std::thread::{self, JoinHandle};

use resound_async::udp::{ServerHandle, Session};
use resound_async::{Handle, Runtime};
use resound_core::Instant;
use resound_core::datagram::{client, server::Counts};

use crate::runtime::{OnUdpEvent, UdpClientSession, UdpServerSession};

/// What is known of a client, and the future that drives it.
pub(in crate::on) fn udp_client<R: Runtime>(
    session: Session<client::Client, R>,
    mut on_event: OnUdpEvent,
) -> (UdpClient, impl Future<Output = ()>) {
    let handle = session.handle();
    let client = UdpClient {
        handle: handle.clone(),
        driver: None,
        local_addr: session.local_addr(),
        options: session.socket_options(),
    };
    (client, session.run_with(move |event| on_event(handle.now(), event)))
}

pub(in crate::on) struct UdpClient {
    handle: Handle<client::Client>,
    driver: Option<JoinHandle<()>>,
    local_addr: SocketAddr,
    options: Vec<(&'static str, String)>,
}

impl UdpClient {
    pub(in crate::on) fn start(mut self, drive: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        self.driver = Some(thread::Builder::new().name(String::from("resound-client")).spawn(drive)?);
        Ok(self)
    }
}

impl UdpClientSession for UdpClient {
    fn with(&self, ask: &mut dyn FnMut(&mut client::Client, Instant)) {
        self.handle.with(ask);
    }

    fn now(&self) -> Instant {
        self.handle.now()
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn socket_options(&self) -> Vec<(&'static str, String)> {
        self.options.clone()
    }
}

impl Drop for UdpClient {
    fn drop(&mut self) {
        self.handle.with(|client, now| client.abort(now));
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

pub(in crate::on) struct UdpServer {
    handle: ServerHandle,
    driver: Option<JoinHandle<()>>,
}

impl UdpServer {
    pub(in crate::on) fn start(
        handle: ServerHandle,
        drive: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let driver = thread::Builder::new().name(String::from("resound-server")).spawn(drive)?;
        Ok(Self { handle, driver: Some(driver) })
    }
}

impl UdpServerSession for UdpServer {
    fn local_addrs(&self) -> Vec<SocketAddr> {
        self.handle.local_addrs()
    }

    fn counts(&self) -> Counts {
        self.handle.counts()
    }

    fn stop(&self) {
        self.handle.stop();
    }

    fn socket_options(&self) -> Vec<Vec<(&'static str, String)>> {
        self.handle.socket_options().map(<[_]>::to_vec).collect()
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

impl fmt::Debug for UdpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpClient").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl fmt::Debug for UdpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpServer").field("handle", &self.handle).finish_non_exhaustive()
    }
}
