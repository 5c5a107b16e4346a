//! The echo server's machine, with somebody who says which address each datagram was sent to (`-E` of the textbook's
//! `sock`).

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use resound_core::Instant;
use resound_core::datagram::server::{Event, Server};
use resound_core::datagram::{Fact, Machine, Step};

use crate::output::event::Destination;

/// An echo server, watched or not.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) server: Server,
    destination: Destination,
    /// Never more than one turn brings.
    seen: VecDeque<Said>,
}

/// What a watched server tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// Datagrams came in.
    Asked {
        from: SocketAddr,
        /// Which address of this host they were sent to, where the system tells.
        to: Option<IpAddr>,
        datagrams: u64,
        bytes: u64,
    },
    /// As the server says.
    Server(Event),
}

impl Witness {
    pub(crate) const fn new(server: Server, destination: Destination) -> Self {
        Self { server, destination, seen: VecDeque::new() }
    }
}

impl Machine for Witness {
    type Event = Said;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        if let (Fact::Received { train }, Destination::Shown) = (&fact, self.destination) {
            self.seen.push_back(Said::Asked {
                from: train.from,
                to: train.to,
                datagrams: train.count() as u64,
                bytes: train.bytes.len() as u64,
            });
        }
        self.server.handle(now, fact);
    }

    fn poll(&mut self) -> Step<Said> {
        if let Some(said) = self.seen.pop_front() {
            return Step::Event(said);
        }
        match self.server.poll() {
            Step::Transmit => Step::Transmit,
            Step::Examine => Step::Examine,
            Step::Event(event) => Step::Event(Said::Server(event)),
            Step::Wait(until) => Step::Wait(until),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.seen.is_empty() { self.server.next_deadline() } else { Some(Instant::EPOCH) }
    }

    fn is_done(&self) -> bool {
        self.seen.is_empty() && self.server.is_done()
    }
}
