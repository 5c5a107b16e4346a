//! Blocking std sockets, driven by a thread of their own.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use resound_core::Instant;
use resound_core::stream::client::{Command, Event, Refused};
use resound_sockets::tcp::{DialOptions, ListenOptions};
use resound_std::{Handle, Server, Session, serve_echo};

use crate::runtime::{ClientSession, Dial, EchoClient, Runtime, ServerConfig, ServerEvent, ServerSession};

/// `resound-std`: a thread that drives for each client, and one for each connection of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Std;

impl Runtime for Std {
    fn name(&self) -> &'static str {
        "std"
    }

    fn client(&self, client: EchoClient, dial: Dial) -> io::Result<Box<dyn ClientSession>> {
        let user_timeout = client.policy().liveness.kernel_backstop();
        let mut session = Session::new(client, DialOptions { bind: dial.bind, user_timeout })?;
        let handle = session.handle();
        let (tell, events) = channel();
        let driver = thread::Builder::new().name(String::from("resound-client")).spawn({
            let handle = handle.clone();
            move || {
                session.run_with(|event| {
                    // Where nobody listens any more the client has been told to end.
                    let _ = tell.send((handle.now(), event));
                });
            }
        })?;
        Ok(Box::new(Client { handle, events, driver: Some(driver) }))
    }

    fn server(&self, addr: SocketAddr, config: ServerConfig) -> io::Result<Box<dyn ServerSession>> {
        let listen = config.backlog.map_or_else(ListenOptions::default, |backlog| ListenOptions {
            backlog,
            ..ListenOptions::default()
        });
        let options = resound_std::ServerConfig { admission: config.admission, listen, ..Default::default() };
        let (tell, events) = channel();
        let server = serve_echo(addr, options, config.connection, move |event| {
            let _ = tell.send(event);
        })?;
        Ok(Box::new(Serving { server, events }))
    }
}

struct Client {
    handle: Handle<EchoClient>,
    events: Receiver<(Instant, Event)>,
    driver: Option<JoinHandle<()>>,
}

impl ClientSession for Client {
    fn command(&self, command: Command) -> Result<(), Refused> {
        self.handle.command(command)
    }

    fn next_event(&mut self, patience: Duration) -> Option<(Instant, Event)> {
        self.events.recv_timeout(patience).ok()
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
    events: Receiver<ServerEvent>,
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

    fn next_event(&mut self, patience: Duration) -> Option<ServerEvent> {
        self.events.recv_timeout(patience).ok()
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
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_message_goes_there_and_back_and_a_dropped_session_has_ended() {
        let mut server = Std.server(([127, 0, 0, 1], 0).into(), ServerConfig::default()).unwrap();
        let client =
            EchoClient::new(resound_core::stream::client::Config::default(), 1, [server.local_addr()]);
        let mut session = Std.client(client.unwrap(), Dial::default()).unwrap();
        let began = session.now();
        session.command(Command::Send("hello".into())).unwrap();
        let (at, payload) = loop {
            if let (at, Event::Echoed { payload, .. }) = session.next_event(PATIENCE).unwrap() {
                break (at, payload);
            }
        };
        assert_eq!(payload, "hello");
        assert!(began < at && at <= session.now());
        drop(session);
        let mut seen = Vec::new();
        while !seen.iter().any(|event| matches!(event, ServerEvent::Connection { .. })) {
            seen.push(server.next_event(PATIENCE).expect("the connection has not ended"));
        }
        server.drain();
        assert_eq!(server.next_event(PATIENCE), Some(ServerEvent::Done));
        assert_eq!(server.next_event(PATIENCE), None);
    }
}
