//! Blocking std, for the scenarios that every adapter plays over UDP.

use core::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use resound_core::datagram::client::Client;
use resound_std::udp::{self, ServerConfig, Session, Sizes};

use crate::scenarios::{Party, Running, Serving};

/// Each client has a thread.
pub(crate) struct Threads;

impl Party for Threads {
    fn client(&self, machine: Client, socket: UdpSocket) -> Running {
        let mut session = Session::new(machine, socket, Sizes::default()).unwrap();
        let handle = session.handle();
        let (tell, events) = channel();
        thread::spawn(move || {
            session.run_with(|event| {
                let _ = tell.send(event);
            });
        });
        Running { ask: Box::new(move |ask| handle.with(|client, now| ask(client, now))), events }
    }

    fn serve(&self, addrs: &[SocketAddr], config: &ServerConfig) -> Serving {
        let (tell, events) = channel();
        let server = udp::serve(addrs, config, move |local, event| {
            let _ = tell.send((local, event));
        })
        .unwrap();
        let (handle, stopping, counting) = (server.handle(), server.handle(), server.handle());
        let (end, ended) = channel();
        thread::spawn(move || {
            server.join();
            drop::<Sender<()>>(end);
        });
        Serving {
            addrs: handle.local_addrs(),
            counts: Box::new(move || counting.each_counts().collect()),
            stop: Box::new(move || stopping.stop()),
            events,
            ended,
        }
    }
}
