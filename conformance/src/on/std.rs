//! Blocking std sockets, driven by a thread of their own.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;
use std::thread::{self, JoinHandle};

use resound_core::Instant;
use resound_core::datagram::{self, server::Counts};
use resound_core::stream::client::{Command, Refused};
use resound_sockets::StartError;
use resound_sockets::tcp::DialOptions;
use resound_std::{Handle, Server, Session, serve_echo, udp};

use crate::runtime::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, OnUdpEvent, OnUdpServerEvent, Runtime,
    ServerConfig, ServerSession, UdpClientSession, UdpRuntime, UdpServerSession,
};

/// `resound-std`: a thread that drives for each client, and one for each connection of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Std;

impl Runtime for Std {
    fn name(&self) -> &'static str {
        "std"
    }

    fn client(
        &self,
        client: EchoClient,
        dial: Dial,
        mut on_event: OnEvent,
    ) -> io::Result<Box<dyn ClientSession>> {
        let user_timeout = client.kernel_backstop();
        let mut session = Session::new(client, DialOptions { bind: dial.bind, user_timeout })?;
        let handle = session.handle();
        let driver = thread::Builder::new().name(String::from("resound-client")).spawn({
            let handle = handle.clone();
            move || session.run_with(|event| on_event(handle.now(), event))
        })?;
        Ok(Box::new(Client { handle, driver: Some(driver) }))
    }

    fn server(
        &self,
        addr: SocketAddr,
        config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>> {
        let ServerConfig { admission, connection, listen } = config;
        let options = resound_std::ServerConfig { admission, listen, ..Default::default() };
        Ok(Box::new(Serving { server: serve_echo(addr, options, connection, on_event)? }))
    }

    fn udp(&self) -> Option<&dyn UdpRuntime> {
        Some(self)
    }
}

impl UdpRuntime for Std {
    fn udp_client(
        &self,
        client: datagram::client::Client,
        socket: UdpSocket,
        mut on_event: OnUdpEvent,
    ) -> io::Result<Box<dyn UdpClientSession>> {
        let mut session = udp::Session::new(client, socket, udp::Sizes::default())?;
        let (local_addr, options) = (session.local_addr(), session.socket_options());
        let handle = session.handle();
        let driver = thread::Builder::new().name(String::from("resound-client")).spawn({
            let handle = handle.clone();
            move || session.run_with(|event| on_event(handle.now(), event))
        })?;
        Ok(Box::new(UdpClient { handle, driver: Some(driver), local_addr, options }))
    }

    fn udp_server(
        &self,
        addrs: &[SocketAddr],
        config: &udp::ServerConfig,
        on_event: OnUdpServerEvent,
    ) -> Result<Box<dyn UdpServerSession>, StartError> {
        Ok(Box::new(UdpServing { server: udp::serve(addrs, config, on_event)? }))
    }
}

struct Client {
    handle: Handle<EchoClient>,
    driver: Option<JoinHandle<()>>,
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

/// Dropping the server aborts it.
struct Serving {
    server: Server,
}

impl ServerSession for Serving {
    fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    fn drain(&self) {
        self.server.handle().drain();
    }

    fn abort(&self) {
        self.server.handle().abort();
    }

    fn socket_options(&self) -> Vec<(&'static str, String)> {
        self.server.handle().socket_options().to_vec()
    }
}

struct UdpClient {
    handle: Handle<datagram::client::Client>,
    driver: Option<JoinHandle<()>>,
    local_addr: SocketAddr,
    options: Vec<(&'static str, String)>,
}

impl UdpClientSession for UdpClient {
    fn with(&self, ask: &mut dyn FnMut(&mut datagram::client::Client, Instant)) {
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

/// Dropping the server stops it.
struct UdpServing {
    server: udp::Server,
}

impl UdpServerSession for UdpServing {
    fn local_addrs(&self) -> Vec<SocketAddr> {
        self.server.handle().local_addrs()
    }

    fn counts(&self) -> Counts {
        self.server.handle().counts()
    }

    fn stop(&self) {
        self.server.handle().stop();
    }

    fn socket_options(&self) -> Vec<Vec<(&'static str, String)>> {
        self.server.handle().socket_options().map(<[_]>::to_vec).collect()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("server", &self.server).finish_non_exhaustive()
    }
}

impl fmt::Debug for UdpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpClient").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl fmt::Debug for UdpServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpServing").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use resound_core::stream::client::{Config, Event};

    use super::*;
    use crate::ServerEvent;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_message_goes_there_and_back_and_a_dropped_session_has_ended() {
        let (tell, served) = channel();
        let on_event = Box::new(move |event| {
            let _ = tell.send(event);
        });
        let server = Std.server(([127, 0, 0, 1], 0).into(), ServerConfig::default(), on_event).unwrap();
        assert!(server.socket_options().iter().any(|(name, _)| *name == "SO_RCVBUF"));
        let client = EchoClient::new(Config::default(), 1, [server.local_addr()]).unwrap();
        let (tell, events) = channel();
        let on_event = Box::new(move |at, event| drop(tell.send((at, event))));
        let session = Std.client(client, Dial::default(), on_event).unwrap();
        let began = session.now();
        session.command(Command::Send("hello".into())).unwrap();
        let (at, payload) = loop {
            if let (at, Event::Echoed { payload, .. }) = events.recv_timeout(PATIENCE).unwrap() {
                break (at, payload);
            }
        };
        assert_eq!(payload, "hello");
        assert!(began < at && at <= session.now());
        drop(session);
        let mut seen = Vec::new();
        while !seen.iter().any(|event| matches!(event, ServerEvent::Connection { .. })) {
            seen.push(served.recv_timeout(PATIENCE).expect("the connection has not ended"));
        }
        server.drain();
        assert_eq!(served.recv_timeout(PATIENCE), Ok(ServerEvent::Done));
        drop(server);
        assert_eq!(served.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
