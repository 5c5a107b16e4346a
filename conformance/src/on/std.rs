//! Blocking std sockets, driven by a thread of their own.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::thread::{self, JoinHandle};

use resound_core::Instant;
use resound_core::stream::client::{Command, Refused};
use resound_sockets::tcp::DialOptions;
use resound_std::{Handle, Server, Session, serve_echo};

use crate::runtime::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, Runtime, ServerConfig, ServerSession,
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
