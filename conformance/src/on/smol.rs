//! smol: an executor of its own for each session.

use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::task::{Poll, Waker};
use std::io;
use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};
use std::thread;

use async_executor::Executor;
use futures_lite::future;
use resound_core::datagram::client as datagram;
use resound_smol::{Session, serve_echo, udp};
use resound_sockets::StartError;

use super::background::{self, Client, Server, UdpServer, server_config, setup};
use crate::runtime::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, OnUdpEvent, OnUdpServerEvent, Runtime,
    ServerConfig, ServerSession, UdpClientSession, UdpRuntime, UdpServerSession,
};

/// `resound-smol`: an executor with its threads for each session.
#[derive(Clone, Copy, Debug)]
pub struct Smol {
    threads: usize,
}

impl Smol {
    /// On as many threads as said, at least one.
    #[must_use]
    pub const fn threads(threads: usize) -> Self {
        Self { threads: if threads == 0 { 1 } else { threads } }
    }
}

impl Runtime for Smol {
    fn name(&self) -> &'static str {
        if self.threads == 1 { "smol" } else { "smol-multi" }
    }

    fn client(
        &self,
        client: EchoClient,
        dial: Dial,
        mut on_event: OnEvent,
    ) -> io::Result<Box<dyn ClientSession>> {
        let setup = setup(&client, dial);
        let session = Session::new(client, setup);
        let handle = session.handle();
        let driving = session.run_with({
            let clock = handle.clone();
            move |event| on_event(clock.now(), event)
        });
        let threads = self.threads;
        let client = Client::start(handle, move || {
            run(&Executor::new(), threads, driving);
        })?;
        Ok(Box::new(client))
    }

    fn server(
        &self,
        addr: SocketAddr,
        config: ServerConfig,
        on_event: OnServerEvent,
    ) -> io::Result<Box<dyn ServerSession>> {
        let executor = Arc::new(Executor::new());
        let spawner = executor.clone();
        let server = serve_echo(
            addr,
            server_config(config),
            config.connection,
            move |connection| spawner.spawn(connection).detach(),
            on_event,
        )?;
        let threads = self.threads;
        let server = Server::start(server.handle(), move || run(&executor, threads, server))?;
        Ok(Box::new(server))
    }

    fn udp(&self) -> Option<&dyn UdpRuntime> {
        Some(self)
    }
}

impl UdpRuntime for Smol {
    fn udp_client(
        &self,
        client: datagram::Client,
        socket: UdpSocket,
        on_event: OnUdpEvent,
    ) -> io::Result<Box<dyn UdpClientSession>> {
        let session = udp::Session::new(client, socket, udp::Setup::default())?;
        let (known, driving) = background::udp_client(session, on_event);
        let threads = self.threads;
        let client = known.start(move || run(&Executor::new(), threads, driving))?;
        Ok(Box::new(client))
    }

    fn udp_server(
        &self,
        addrs: &[SocketAddr],
        config: &udp::ServerConfig,
        on_event: OnUdpServerEvent,
    ) -> Result<Box<dyn UdpServerSession>, StartError> {
        let executor = Arc::new(Executor::new());
        let spawner = executor.clone();
        let spawn = move |socket| spawner.spawn(socket).detach();
        let server = udp::serve(addrs, config, spawn, on_event)?;
        let threads = self.threads;
        let server = UdpServer::start(server.handle(), move || run(&executor, threads, server))?;
        Ok(Box::new(server))
    }
}

/// Runs an executor on some threads, this one among them, until `main` has ended. This one waits in the reactor, as
/// `resound_smol` recommends; the others wait for tasks.
fn run(executor: &Executor<'_>, threads: usize, main: impl Future<Output = ()> + Send) {
    let end = End::default();
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| future::block_on(executor.run(end.wait())));
        }
        // Comes even if `main` panics: the other threads wait for it, and the scope for them.
        let _come = Come(&end);
        async_io::block_on(executor.run(main));
    });
}

/// The end of `main`, for the other threads.
#[derive(Default)]
struct End(Mutex<(Came, Vec<Waker>)>);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Came {
    #[default]
    No,
    Yes,
}

struct Come<'a>(&'a End);

impl Drop for Come<'_> {
    fn drop(&mut self) {
        self.0.come();
    }
}

impl End {
    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if end.0 == Came::Yes {
                return Poll::Ready(());
            }
            end.1.push(cx.waker().clone());
            Poll::Pending
        })
    }

    fn come(&self) {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.0 = Came::Yes;
        end.1.drain(..).for_each(Waker::wake);
    }
}
