//! tokio, of either flavour: a runtime of its own for each session.

use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;

use resound_core::datagram::client as datagram;
use resound_sockets::StartError;
use resound_tokio::{Session, serve_echo, udp};

use super::background::{self, Client, Server, UdpServer, server_config, setup};
use crate::runtime::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, OnUdpEvent, OnUdpServerEvent, Runtime,
    ServerConfig, ServerSession, UdpClientSession, UdpRuntime, UdpServerSession,
};

/// `resound-tokio`: a thread with a runtime for each session.
#[derive(Clone, Copy, Debug)]
pub struct Tokio {
    flavour: Flavour,
}

#[derive(Clone, Copy, Debug)]
enum Flavour {
    CurrentThread,
    MultiThread { workers: usize },
}

impl Tokio {
    /// Everything on one thread.
    #[must_use]
    pub const fn current_thread() -> Self {
        Self { flavour: Flavour::CurrentThread }
    }

    /// On as many worker threads as said, at least one.
    #[must_use]
    pub const fn multi_thread(workers: usize) -> Self {
        Self { flavour: Flavour::MultiThread { workers: if workers == 0 { 1 } else { workers } } }
    }

    fn build(self) -> io::Result<tokio::runtime::Runtime> {
        let mut builder = match self.flavour {
            Flavour::CurrentThread => tokio::runtime::Builder::new_current_thread(),
            Flavour::MultiThread { workers } => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
        };
        builder.enable_io().enable_time().build()
    }
}

impl Runtime for Tokio {
    fn name(&self) -> &'static str {
        match self.flavour {
            Flavour::CurrentThread => "tokio",
            Flavour::MultiThread { .. } => "tokio-multi",
        }
    }

    fn client(
        &self,
        client: EchoClient,
        dial: Dial,
        mut on_event: OnEvent,
    ) -> io::Result<Box<dyn ClientSession>> {
        let runtime = self.build()?;
        let setup = setup(&client, dial);
        let session = Session::new(client, setup);
        let handle = session.handle();
        let driving = session.run_with({
            let clock = handle.clone();
            move |event| on_event(clock.now(), event)
        });
        let client = Client::start(handle, move || {
            // A panic has been reported where it happened; here it ends the events.
            let _ = runtime.block_on(runtime.spawn(driving));
        })?;
        Ok(Box::new(client))
    }

    fn server(
        &self,
        addr: SocketAddr,
        config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>> {
        let runtime = self.build()?;
        let context = runtime.enter();
        let server = serve_echo(addr, server_config(config), config.connection, on_event)?;
        drop(context);
        let server = Server::start(server.handle(), move || {
            let _ = runtime.block_on(runtime.spawn(server));
        })?;
        Ok(Box::new(server))
    }

    fn udp(&self) -> Option<&dyn UdpRuntime> {
        Some(self)
    }
}

impl UdpRuntime for Tokio {
    fn udp_client(
        &self,
        client: datagram::Client,
        socket: UdpSocket,
        on_event: OnUdpEvent,
    ) -> io::Result<Box<dyn UdpClientSession>> {
        let runtime = self.build()?;
        let context = runtime.enter();
        let session = udp::Session::new(client, socket, udp::Setup::default())?;
        drop(context);
        let (known, driving) = background::udp_client(session, on_event);
        let client = known.start(move || {
            let _ = runtime.block_on(runtime.spawn(driving));
        })?;
        Ok(Box::new(client))
    }

    fn udp_server(
        &self,
        addrs: &[SocketAddr],
        config: &udp::ServerConfig,
        on_event: OnUdpServerEvent,
    ) -> Result<Box<dyn UdpServerSession>, StartError> {
        let runtime = self.build()?;
        let context = runtime.enter();
        let server = udp::serve(addrs, config, on_event)?;
        drop(context);
        let server = UdpServer::start(server.handle(), move || {
            let _ = runtime.block_on(runtime.spawn(server));
        })?;
        Ok(Box::new(server))
    }
}
