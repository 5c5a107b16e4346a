//! The loop: `poll(2)`, then whatever is ready, a bounded amount of it.
//!
//! One thread, and it never waits for anybody but in `poll`. Each turn takes up to 64 messages from each raw socket,
//! a few connections, and one request of each client; then it writes to each client what its socket takes. ICMP comes
//! first, so that a table which is read afterwards can prove whose the messages are.

use alloc::collections::BTreeMap;
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use resound_core::Instant;
use resound_core::signal::Version;
use resound_core::signal::icmp::Malformed;
use resound_sockets::clock::Clock;
use resound_sockets::icmp::IcmpSocket;
use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use crate::listener::Listener;
use crate::machine::{ClientId, Failure, Limits, Machine};
use crate::passed::{self, Asked, Incoming, Refusal};
use crate::protocol::{Event, Line, Who};
use crate::sources::Sources;
use crate::table::Table;

/// How many messages are taken from a raw socket before clients get their turn.
const BATCH: usize = 64;

/// How many connections are accepted in a turn.
const ACCEPTS: usize = 16;

/// How long no connection is accepted after one could not be: the descriptors of the process are used up, and the
/// listening socket stays readable.
const PAUSE: Duration = Duration::from_millis(100);

/// A daemon that hears and listens.
#[derive(Debug)]
pub struct Daemon {
    clock: Clock,
    sources: Sources,
    /// What each of the sources had lost when it was last asked.
    lost: Vec<u32>,
    listener: Listener,
    /// No connection is accepted before this.
    closed_until: Option<Instant>,
    machine: Machine,
    connections: BTreeMap<ClientId, Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    room: Room,
}

/// Whether a client's socket takes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Some,
    /// Until `poll` says otherwise.
    None,
}

/// What `poll` said.
#[derive(Debug, Default)]
struct Ready {
    stop: bool,
    sources: Vec<bool>,
    listener: bool,
    clients: Vec<(ClientId, PollFlags)>,
}

impl Daemon {
    /// One with no clients yet.
    ///
    /// # Errors
    ///
    /// If the kernel does not say which UDP sockets there are: then nothing could be told to anybody.
    pub fn start(sources: Sources, listener: Listener, limits: Limits) -> io::Result<Self> {
        Table::read()?;
        let lost = vec![0; sources.sockets().len()];
        Ok(Self {
            clock: Clock::start(),
            sources,
            lost,
            listener,
            closed_until: None,
            machine: Machine::new(limits),
            connections: BTreeMap::new(),
        })
    }

    /// Runs until `stop` is woken. `tell` gets the lines for standard output, [`Event::Ready`] first and
    /// [`Event::Watched`] last; while it waits, everybody does.
    ///
    /// # Errors
    ///
    /// What `poll(2)` or a raw socket said, when it was nothing that passes. It is in the last line as well.
    pub fn run(&mut self, stop: &Waker, mut tell: impl FnMut(Line)) -> io::Result<()> {
        let hears = self.sources.sockets().iter().map(|source| match source.version() {
            Version::V4 => 4,
            Version::V6 => 6,
        });
        let socket = self.listener.path().display().to_string();
        tell(self.line(Event::Ready { socket, hears: hears.collect() }));
        let result = loop {
            match self.turn(stop) {
                Ok(Turn::More) => self.machine.take_journal().into_iter().for_each(&mut tell),
                Ok(Turn::Last) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.machine.take_journal().into_iter().for_each(&mut tell);
        let error = result.as_ref().err().map(ToString::to_string);
        tell(self.line(Event::watched(&self.machine.tally(), error)));
        result
    }

    fn line(&self, event: Event) -> Line {
        Line::new(self.clock.now(), event)
    }

    fn turn(&mut self, stop: &Waker) -> io::Result<Turn> {
        let ready = self.wait(stop)?;
        if ready.stop {
            return Ok(Turn::Last);
        }
        if ready.sources.contains(&true) {
            self.hear(&ready.sources)?;
        }
        if ready.listener {
            self.accept();
        }
        for (id, flags) in ready.clients {
            if flags.contains(PollFlags::POLLOUT) {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.room = Room::Some;
                }
            }
            if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                self.forget(id);
            } else if flags.contains(PollFlags::POLLIN) {
                self.ask(id);
            }
        }
        let ids: Vec<ClientId> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.write(id));
        Ok(Turn::More)
    }

    fn wait(&self, stop: &Waker) -> io::Result<Ready> {
        let now = self.clock.now();
        let pause = self.closed_until.map(|until| until.since(now)).filter(|left| !left.is_zero());
        let mut fds = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        let sources = self.sources.sockets();
        fds.extend(sources.iter().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        let accepting = if pause.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        fds.push(PollFd::new(self.listener.as_fd(), accepting));
        for (&id, connection) in &self.connections {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, self.machine.wants_request(id));
            flags.set(PollFlags::POLLOUT, connection.room == Room::None && self.machine.has_line(id));
            fds.push(PollFd::new(connection.socket.as_fd(), flags));
        }
        wait(&mut fds, pause).map_err(|errno| io::Error::other(format!("poll: {errno}")))?;
        let mut said = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let mut next = || said.next().unwrap_or(PollFlags::empty());
        Ok(Ready {
            stop: !next().is_empty(),
            sources: sources.iter().map(|_| !next().is_empty()).collect(),
            listener: !next().is_empty(),
            clients: self.connections.keys().map(|&id| (id, next())).collect(),
        })
    }

    /// Takes messages, then asks the kernel whose they are, then tells.
    fn hear(&mut self, ready: &[bool]) -> io::Result<()> {
        let mut failures = Vec::new();
        for (source, lost) in
            self.sources.sockets().iter().zip(&mut self.lost).zip(ready).filter_map(ready_only)
        {
            let now = self.clock.now();
            for _ in 0..BATCH {
                let mut buffer = [0; IcmpSocket::LONGEST];
                match source.receive(&mut buffer)? {
                    None => break,
                    Some(Ok(received)) => match Failure::new(&received) {
                        Some(failure) => failures.push(failure),
                        None => self.machine.unclaimed(),
                    },
                    // It came in before the filter was set.
                    Some(Err(Malformed::NotAnError(_))) => {}
                    Some(Err(_)) => self.machine.malformed(),
                }
            }
            let more =
                source.overflowed().map_or(0, |total| total.wrapping_sub(core::mem::replace(lost, total)));
            if more > 0 {
                self.machine.overflowed(now, more.into());
            }
        }
        let concerned = failures.iter().any(|failure| self.machine.concerns(failure.source));
        let table = if concerned { self.table() } else { None };
        let now = self.clock.now();
        for failure in &failures {
            self.machine.receive(now, failure, table.as_ref());
        }
        Ok(())
    }

    /// What the kernel says of UDP sockets; read twice and put together if a registered one seems to be missing.
    fn table(&self) -> Option<Table> {
        let mut table = Table::read().ok()?;
        if self.machine.misses(&table) {
            table.merge(Table::read().ok()?);
        }
        Some(table)
    }

    fn accept(&mut self) {
        let now = self.clock.now();
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok(None) => return,
                Ok(Some(socket)) => self.welcome(now, socket),
                Err(_) => {
                    self.closed_until = Some(now + PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, now: Instant, socket: OwnedFd) {
        // A socket of this kind always has them.
        let Ok(peer) = getsockopt(&socket, PeerCredentials) else { return };
        match self.machine.connect(now, Who { pid: peer.pid(), uid: peer.uid() }) {
            Ok(id) => {
                self.connections.insert(id, Connection { socket, room: Room::Some });
            }
            Err(full) => {
                // A new socket has room for it.
                let _ = transmit(
                    socket.as_fd(),
                    &self.line(Event::NotRegistered { why: full.to_string().into() }),
                );
                turn_away(&socket);
            }
        }
    }

    fn ask(&mut self, id: ClientId) {
        let Some(connection) = self.connections.get(&id) else { return };
        match passed::receive(connection.socket.as_fd()) {
            Ok(None) => {}
            Ok(Some(Incoming::End)) | Err(_) => self.forget(id),
            Ok(Some(Incoming::Asked(asked))) => {
                let now = self.clock.now();
                match asked.and_then(|asked| self.sockets(id, asked)) {
                    Ok(sockets) => self.machine.register(now, id, sockets),
                    Err(refusal) => self.machine.refuse(now, id, refusal.to_string()),
                }
            }
        }
    }

    /// The sockets that are meant, if they are the client's to ask for.
    fn sockets(&mut self, id: ClientId, asked: Asked) -> Result<Vec<crate::table::Bound>, Refusal> {
        let now = self.clock.now();
        let claim = match &asked {
            Asked::Socket(descriptor) => Some(passed::examine(descriptor)?),
            Asked::Port(_) => None,
        };
        // While the descriptor is still here, so that the socket cannot be closed before it is found.
        let table = self.table().ok_or_else(|| Refusal::System("/proc is not readable".into()))?;
        self.machine.settle(now, &table);
        match (claim, asked) {
            (Some(claim), _) => claim.prove(&table).map(|bound| vec![bound]),
            (None, Asked::Port(port)) => {
                let who = self.machine.who(id).ok_or(Refusal::Gone)?;
                passed::by_port(port, who, &table)
            }
            (None, Asked::Socket(_)) => Err(Refusal::Gone),
        }
    }

    /// Writes what the client's socket takes.
    fn write(&mut self, id: ClientId) {
        while let Some(connection) = self.connections.get_mut(&id) {
            let Room::Some = connection.room else { return };
            let Some(line) = self.machine.front(id) else { return };
            match transmit(connection.socket.as_fd(), line) {
                Ok(()) => self.machine.sent(id),
                Err(Errno::AGAIN) => connection.room = Room::None,
                Err(_) => self.forget(id),
            }
        }
    }

    fn forget(&mut self, id: ClientId) {
        self.connections.remove(&id);
        self.machine.disconnect(id);
    }
}

/// Whether there is another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    More,
    Last,
}

fn ready_only<S, L>(((source, lost), ready): ((S, L), &bool)) -> Option<(S, L)> {
    ready.then_some((source, lost))
}

/// Prepares a connection to be closed so that the client reads what it was told. A close with something unread would make
/// ECONNRESET come first (`unix_release_sock`). After the shutdown nothing more can come in.
fn turn_away(socket: &OwnedFd) {
    // Both end at once: in a shutdown connection, by an error or an empty message.
    if shutdown(socket, Shutdown::Both).is_ok() {
        while let Ok(Some(Incoming::Asked(_))) = passed::receive(socket.as_fd()) {}
    }
}

/// Sends a line as one message, now or not at all.
fn transmit(socket: BorrowedFd<'_>, line: &Line) -> Result<(), Errno> {
    let mut text = serde_json::to_vec(line).map_err(|_| Errno::INVAL)?;
    text.push(b'\n');
    loop {
        match send(socket, &text, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
