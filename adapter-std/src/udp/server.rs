//! The echo server: one thread for each socket.
//!
//! Each address may have a group of sockets, over which the kernel spreads the peers. They have nothing in common: no
//! lock, no counter, no limit. So a group serves on as many processors as it has sockets.

use core::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use resound_core::datagram::server::{self, Counts, Event};
use resound_sockets::StartError;
use resound_sockets::udp::{ServerConfig, echo_servers};

use super::session::Session;
use crate::driver::Handle;

/// A running server. Dropping it stops it.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct Server {
    handle: ServerHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Stops a server, and reads its counters, from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    posts: Arc<[Post]>,
}

/// What is known of a socket's thread.
#[derive(Debug)]
struct Post {
    local_addr: SocketAddr,
    options: Vec<(&'static str, String)>,
    machine: Handle<server::Server>,
}

/// Serves echo (RFC 862) on these addresses; port 0 lets the kernel choose one. Each socket has a thread of its own.
/// `on_event` is called there, with the address that the socket is bound to.
///
/// # Errors
///
/// The configuration cannot work, an address cannot be bound, or there is no thread or descriptor left.
pub fn serve(
    addrs: &[SocketAddr],
    config: &ServerConfig,
    on_event: impl Fn(SocketAddr, Event) + Send + Sync + 'static,
) -> Result<Server, StartError> {
    let (mut sessions, mut posts) = (Vec::new(), Vec::new());
    for (socket, machine) in echo_servers(addrs, config)? {
        let session = Session::new(machine, socket, config.sizes)?;
        let (local_addr, options) = (session.local_addr(), session.socket_options());
        posts.push(Post { local_addr, options, machine: session.handle() });
        sessions.push(session);
    }
    let on_event = Arc::new(on_event);
    let mut server = Server { handle: ServerHandle { posts: posts.into() }, threads: Vec::new() };
    for mut session in sessions {
        let on_event = Arc::clone(&on_event);
        let local_addr = session.local_addr();
        let run = move || session.run_with(|event| on_event(local_addr, event));
        // If there is no thread for one, dropping the server stops the others.
        server.threads.push(thread::Builder::new().name(String::from("resound-udp")).spawn(run)?);
    }
    Ok(server)
}

impl Server {
    /// A handle, for this thread or another.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Waits until the server has stopped.
    ///
    /// # Panics
    ///
    /// If `on_event` panicked.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        for ended in self.threads.drain(..).map(JoinHandle::join) {
            if let Err(panic) = ended {
                if !thread::panicking() {
                    resume_unwind(panic);
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.handle.stop();
            self.wait();
        }
    }
}

impl ServerHandle {
    /// Where each socket is bound: in the order of the addresses that were given, those of a group next to each other.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.posts.iter().map(|post| post.local_addr).collect()
    }

    /// What all sockets have done together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.each_counts().for_each(|counts| sum += counts);
        sum
    }

    /// What each socket has done, in the order of [`local_addrs`](Self::local_addrs).
    pub fn each_counts(&self) -> impl Iterator<Item = Counts> {
        self.posts.iter().map(|post| post.machine.look(|machine| *machine.counts()))
    }

    /// The options of each socket as the kernel took them, by the names that `setsockopt` knows.
    pub fn socket_options(&self) -> impl Iterator<Item = &[(&'static str, String)]> {
        self.posts.iter().map(|post| &*post.options)
    }

    /// Answers nothing more. What was not told yet is told, and then the threads end.
    pub fn stop(&self) {
        self.posts.iter().for_each(|post| post.machine.with(|machine, _| machine.stop()));
    }
}
