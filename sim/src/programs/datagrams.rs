//! A program around a machine that speaks to many peers over one UDP socket.

use core::cell::RefCell;
use core::fmt;
use std::net::{IpAddr, SocketAddr};

use resound_core::Instant;
use resound_core::datagram::{Batch, End, Fact, Machine, Port, Reading, Ready, Sending, Train, Via, turn};
use resound_core::signal::{Errno, Signal};

use crate::kernel::{Fd, UdpOptions};
use crate::scenario::{Command, Said};
use crate::world::{Answer, Calls, Next, Program};

/// How many datagrams one read takes in, and how many things one turn does.
const READS: usize = 32;
const BUDGET: u32 = 64;

/// How often a datagram is tried while errors about others keep coming.
const TRIES: u32 = 8;

/// Runs a machine over datagrams, on one socket.
pub struct Datagrams<M, D, C> {
    machine: M,
    bind: Bind,
    options: UdpOptions,
    socket: Option<Socket>,
    describe: D,
    command: C,
}

/// Where a program's socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// To this port of any address; 0: to a port that the kernel chooses.
    Port(u16),
    /// To this address and port.
    Addr(SocketAddr),
}

#[derive(Debug)]
struct Socket {
    fd: Fd,
    rooms: Rooms,
    /// How far the batch was sent, if the socket took no more.
    waiting: Option<Cursor>,
    dropped: u32,
}

/// Where datagrams lie on their way out and in.
#[derive(Debug)]
struct Rooms {
    batch: Batch,
    buffer: Vec<u8>,
}

thread_local! {
    /// Rooms of programs that have ended. To fill new ones with zeros would take most of the time of a short run.
    static SPARE: RefCell<Vec<Rooms>> = const { RefCell::new(Vec::new()) };
}

/// More than this are not kept.
const MOST_SPARE: usize = 8;

impl Rooms {
    fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare.unwrap_or_else(|| Self { batch: Batch::new(64 * 1_024, 64, 64), buffer: vec![0; 65_536] })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let batch = core::mem::replace(&mut self.rooms.batch, Batch::new(0, 1, 1));
        let mut rooms = Rooms { batch, buffer: core::mem::take(&mut self.rooms.buffer) };
        rooms.batch.clear();
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_SPARE {
                spare.push(rooms);
            }
        });
    }
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    run: usize,
    datagram: usize,
}

impl<M: fmt::Debug, D, C> fmt::Debug for Datagrams<M, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<M, D, C> Datagrams<M, D, C>
where
    M: Machine,
    D: FnMut(&M, M::Event) -> Option<Said>,
    C: FnMut(&mut M, Instant, &Command) -> Option<Result<Vec<Said>, String>>,
{
    /// A program around this machine. What its events are called in a run's record, `describe` says; `command` gives
    /// `None` for what is not the machine's, otherwise what is said of it, or why it cannot be done.
    pub const fn new(machine: M, bind: Bind, options: UdpOptions, describe: D, command: C) -> Self {
        Self { machine, bind, options, socket: None, describe, command }
    }

    fn open(&mut self, calls: &mut Calls<'_>) -> Result<(), Errno> {
        if self.socket.is_none() {
            let at = match self.bind {
                Bind::Port(port) => calls.any(port),
                Bind::Addr(addr) => addr,
            };
            let fd = calls.udp(at, &self.options)?;
            self.socket = Some(Socket { fd, rooms: Rooms::take(), waiting: None, dropped: 0 });
        }
        Ok(())
    }
}

impl<M, D, C> Program for Datagrams<M, D, C>
where
    M: Machine,
    D: FnMut(&M, M::Event) -> Option<Said>,
    C: FnMut(&mut M, Instant, &Command) -> Option<Result<Vec<Said>, String>>,
{
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        if let Err(errno) = self.open(calls) {
            calls.say(Said::Call("bind".into(), Err(errno)));
            return Next::Exit;
        }
        let Some(socket) = &mut self.socket else { return Next::Exit };
        while calls.next_ready().is_some() {}
        let now = calls.now();
        let mut events = Vec::new();
        let mut port = Turn { spurious: calls.is_spurious(), socket, calls, taken_in: 0, looked: false };
        let until = turn(&mut self.machine, &mut port, || now, |event| events.push(event));
        let until = if port.taken_in >= BUDGET { Some(Instant::EPOCH) } else { until };
        for event in events {
            if let Some(said) = (self.describe)(&self.machine, event) {
                calls.say(said);
            }
        }
        if self.machine.is_done() { Next::Exit } else { Next::Sleep(until) }
    }

    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer {
        match (self.command)(&mut self.machine, calls.now(), command) {
            None => Answer::NotMine,
            Some(Err(why)) => Answer::Refused(why),
            Some(Ok(said)) => {
                for said in said {
                    calls.say(said);
                }
                Answer::Taken
            }
        }
    }
}

struct Turn<'a, 'b> {
    socket: &'a mut Socket,
    calls: &'a mut Calls<'b>,
    taken_in: u32,
    /// Whether the errors were looked at in this turn.
    looked: bool,
    spurious: bool,
}

impl Port for Turn<'_, '_> {
    fn receive(&mut self, _: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        let Self { calls, socket, .. } = self;
        let (fd, buffer) = (socket.fd, &mut socket.rooms.buffer);
        let mut bytes = 0;
        for _ in 0..READS {
            match calls.recv_from(fd, buffer) {
                Ok(arrived) => {
                    bytes += arrived.length.max(1);
                    let train = Train {
                        to: Some(arrived.to),
                        cast: arrived.cast,
                        end: if arrived.truncated { End::Truncated } else { End::Whole },
                        ..Train::one(arrived.from, &buffer[..arrived.length])
                    };
                    tell(Fact::Received { train: &train });
                    send_back(calls, fd, &train, &mut tell);
                    // As recvmmsg, which gives what there is.
                    let poll = calls.poll(fd);
                    if !poll.readable && !poll.error {
                        break;
                    }
                }
                Err(Errno::Again) => break,
                Err(errno) => {
                    // With an error queue it is about something that was sent, and the queue knows what.
                    if !heard(calls, fd, &mut tell) {
                        return Reading::Failed(Signal::Errno(errno));
                    }
                }
            }
        }
        if bytes > 0 { Reading::Some { bytes } } else { Reading::Empty }
    }

    fn errors(&mut self, mut tell: impl FnMut(Fact<'_>)) {
        if self.calls.poll(self.socket.fd).error {
            heard(self.calls, self.socket.fd, &mut tell);
        }
    }

    fn batch(&mut self) -> &mut Batch {
        &mut self.socket.rooms.batch
    }

    fn send(&mut self, mut tell: impl FnMut(Fact<'_>)) -> Sending {
        let Self { calls, socket, .. } = self;
        let batch = &mut socket.rooms.batch;
        let mut cursor = socket.waiting.take().unwrap_or(Cursor { run: 0, datagram: 0 });
        for run in batch.runs().skip(cursor.run) {
            for datagram in batch.datagrams(run).skip(cursor.datagram) {
                match post(calls, socket.fd, run.to, None, datagram, &mut tell) {
                    Some(Ok(())) => {}
                    Some(Err(errno)) => {
                        let signal = Signal::Errno(errno);
                        tell(Fact::Unsent { to: run.to, datagram, signal, mtu: None });
                    }
                    None => {
                        socket.waiting = Some(cursor);
                        return Sending::Blocked;
                    }
                }
                cursor.datagram += 1;
            }
            cursor = Cursor { run: cursor.run + 1, datagram: 0 };
        }
        batch.clear();
        Sending::Done
    }

    fn overrun(&mut self) -> u32 {
        let dropped = self.calls.drops(self.socket.fd);
        dropped.wrapping_sub(core::mem::replace(&mut self.socket.dropped, dropped))
    }

    fn receive_buffer(&self) -> usize {
        self.calls.receive_room(self.socket.fd)
    }

    fn next_ready(&mut self) -> Option<Ready> {
        if self.taken_in >= BUDGET {
            return None;
        }
        self.taken_in += 1;
        let poll = self.calls.poll(self.socket.fd);
        if poll.error && !core::mem::replace(&mut self.looked, true) {
            return Some(Ready::Errors);
        }
        if poll.readable || core::mem::take(&mut self.spurious) {
            return Some(Ready::Readable);
        }
        if self.socket.waiting.is_some() && poll.writable {
            return Some(Ready::Writable);
        }
        self.taken_in -= 1;
        None
    }
}

/// Whether an error that a call gave can be about an earlier datagram: then an entry of the queue says so, or, the first
/// time, may have been lost for want of room.
#[cold]
fn heard(calls: &mut Calls<'_>, fd: Fd, tell: &mut impl FnMut(Fact<'_>)) -> bool {
    let mut any = false;
    while let Ok(entry) = calls.recv_error(fd) {
        if let Some(error) = entry.icmp {
            any = true;
            tell(Fact::Icmp { error, quote: &entry.quote });
        }
    }
    any
}

/// Sends one datagram; `None` if the socket takes no more.
fn post(
    calls: &mut Calls<'_>,
    fd: Fd,
    to: SocketAddr,
    from: Option<IpAddr>,
    bytes: &[u8],
    tell: &mut impl FnMut(Fact<'_>),
) -> Option<Result<(), Errno>> {
    let mut sent = calls.send_to(fd, Some(to), from, bytes);
    let mut tries = 0;
    while let Err(errno) = sent {
        if errno == Errno::Again {
            return None;
        }
        let earlier = heard(calls, fd, tell);
        tries += 1;
        if (!earlier && tries > 1) || tries > TRIES {
            return Some(Err(errno));
        }
        sent = calls.send_to(fd, Some(to), from, bytes);
    }
    Some(Ok(()))
}

fn send_back(calls: &mut Calls<'_>, fd: Fd, train: &Train<'_>, tell: &mut impl FnMut(Fact<'_>)) {
    for datagram in train.datagrams().take(train.echo.get()) {
        if let Some(Err(errno)) = post(calls, fd, train.from, train.to, datagram, tell) {
            tell(Fact::Unsent { to: train.from, datagram, signal: Signal::Errno(errno), mtu: None });
        }
    }
}
