//! A single-threaded event loop over `mio` that drives any machine of the core.
//!
//! Read this if you want to use Resound in a runtime that has no adapter. Nothing here is special to echo: your own
//! protocol, a [`Machine`] around [`Link`](resound_core::link::Link), runs in it unchanged.
//!
//! # What you have to write
//!
//! A machine decides, and never makes a call. You make the calls, and tell it what came of them. [`turn`] does that for
//! you: it asks the machine for steps until there are none. What it needs from you is a [`Port`], about ten short
//! methods, and then there are three things left that only your loop can do:
//!
//! 1. **Sleep** until a socket has something to say, or until the time that the last turn returned.
//! 2. **Remember** what the sockets said, so that the port can hand it out with [`Port::next_ready`].
//! 3. **Take a turn** of each machine whose socket spoke, whose time has come, or that was given a command.
//!
//! ```text
//!        ┌──────────────────────── Loop::run ────────────────────────┐
//!        ▼                                                           │
//!   every task that is due: ──► turn(machine, port) ──► events ──► the program
//!        │                          │                                │ commands
//!        ▼                          └─► until when to sleep          ▼
//!   mio: sleep until readiness or the earliest of those times ──► tasks become due
//! ```
//!
//! That is all. There is no call order to get right beyond it: early and repeated turns change nothing, a late one is
//! noticed by the machine and reported as a local stall.
//!
//! # What the port takes care of here
//!
//! * **mio tells edges.** It says once that a socket has become readable, and no more until it was read empty. So the
//!   flag stays up until a read says "not now", or that it was the last. (With a loop that tells levels you would
//!   lower it after one read.) A port may ask again too often, never too seldom.
//! * **Every socket of a task has the task's token.** A client has one socket, or a few while it races several
//!   addresses. Those that did not speak are asked in vain once, which costs a call and saves a table.
//! * **A turn is bounded.** A peer that sends without end would otherwise keep the loop from everybody else. What is
//!   left is due at once, after the others had their turn.
//! * **The calls themselves** come from `resound-sockets`, which knows the flags: no SIGPIPE, no lingering close, errors
//!   by number. It takes any socket type that is `AsFd`.
//! * **Events are shown after the turn.** The program may answer one with a command, and the machine is not borrowed
//!   then.
//!
//! # What it leaves out
//!
//! Threads: see `resound-std` for a handle that commands a machine from another thread. On Windows mio wants to see
//! each call (`try_io`); this file is for Unix.

use core::cell::RefCell;
use core::convert::Infallible;
use core::net::SocketAddr;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use mio::event::Event as Told;
use mio::{Events, Interest, Poll, Registry, Token};
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::{Close, Established, Machine, Port, Ready, Via, turn};
use resound_core::{Chunk, ConnId, Instant};
use resound_sockets::clock::Clock;
use resound_sockets::errno;
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, Dialing};

/// How many things that sockets said one turn deals with.
const READY_PER_TURN: u32 = 32;

/// Names a task, and for mio all of its sockets.
pub type Key = usize;

/// Something that the loop turns: a machine with its sockets, or a listener.
pub trait Task {
    /// mio said something of its sockets.
    fn told(&mut self, what: &Told);
    /// Does all there is to do. `cx` is the loop, which does not hold this task meanwhile.
    fn turn(&mut self, cx: &mut Loop) -> Then;
}

/// What a task needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// A turn when its sockets speak, or at this time.
    Sleep(Option<Instant>),
    /// Nothing any more: drop it.
    Done,
}

/// The event loop.
pub struct Loop {
    poll: Poll,
    clock: Clock,
    tasks: HashMap<Key, Slot>,
    /// When each task is due, in order: one that sleeps costs nothing.
    due: BTreeSet<(Instant, Key)>,
    next_key: Key,
}

struct Slot {
    task: Box<dyn Task>,
    due: Option<Instant>,
}

impl Loop {
    /// A loop without tasks.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let (tasks, due) = (HashMap::new(), BTreeSet::new());
        Ok(Self { poll: Poll::new()?, clock: Clock::start(), tasks, due, next_key: 0 })
    }

    /// The clock that all machines in the loop live by.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Where sockets are registered.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// A key for a task to come.
    pub const fn new_key(&mut self) -> Key {
        self.next_key += 1;
        self.next_key
    }

    /// Puts a task in. Its first turn is due.
    pub fn add(&mut self, key: Key, task: Box<dyn Task>) {
        self.tasks.insert(key, Slot { task, due: None });
        self.wake(key);
    }

    /// A turn of this task is due: after a command, for example.
    pub fn wake(&mut self, key: Key) {
        if let Some(slot) = self.tasks.get_mut(&key) {
            if let Some(before) = slot.due.replace(Instant::EPOCH) {
                self.due.remove(&(before, key));
            }
            self.due.insert((Instant::EPOCH, key));
        }
    }

    /// Runs until no task is left.
    ///
    /// # Errors
    ///
    /// What the system's poll said.
    pub fn run(mut self) -> io::Result<()> {
        let mut told = Events::with_capacity(256);
        loop {
            let now = self.clock.now();
            let due: Vec<_> = self.due.range(..=(now, Key::MAX)).copied().collect();
            for entry in due {
                self.due.remove(&entry);
                self.turn(entry.1);
            }
            if self.tasks.is_empty() {
                return Ok(());
            }
            let timeout = self.due.first().map(|&(at, _)| self.clock.until(at));
            match self.poll.poll(&mut told, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                slept => slept?,
            }
            for what in &told {
                if let Some(slot) = self.tasks.get_mut(&what.token().0) {
                    slot.task.told(what);
                    self.wake(what.token().0);
                }
            }
        }
    }

    /// The task is taken out meanwhile, so that it may have the loop.
    fn turn(&mut self, key: Key) {
        let Some(Slot { mut task, .. }) = self.tasks.remove(&key) else { return };
        if let Then::Sleep(due) = task.turn(self) {
            self.due.extend(due.map(|at| (at, key)));
            self.tasks.insert(key, Slot { task, due });
        }
    }
}

/// A machine with its sockets, as a task. The program keeps the other end of the `Rc`, for commands; `event` is called
/// with what the machine tells.
pub struct Driven<M, F> {
    machine: Rc<RefCell<M>>,
    sockets: Sockets,
    event: F,
}

impl<M, F> Driven<M, F> {
    /// The task.
    pub const fn new(machine: Rc<RefCell<M>>, sockets: Sockets, event: F) -> Self {
        Self { machine, sockets, event }
    }
}

impl<M: Machine<Target: Target>, F: FnMut(M::Event, &mut Loop)> Task for Driven<M, F> {
    fn told(&mut self, what: &Told) {
        self.sockets.told(what);
    }

    fn turn(&mut self, cx: &mut Loop) -> Then {
        let clock = cx.clock();
        self.sockets.budget = READY_PER_TURN;
        loop {
            let mut events = Vec::new();
            let mut machine = self.machine.borrow_mut();
            let until = turn(&mut *machine, &mut self.sockets, || clock.now(), |event| events.push(event));
            let done = machine.is_done();
            drop(machine);
            if events.is_empty() {
                let more = self.sockets.budget == 0;
                return if done {
                    Then::Done
                } else {
                    Then::Sleep(if more { Some(Instant::EPOCH) } else { until })
                };
            }
            events.into_iter().for_each(|event| (self.event)(event, cx));
        }
    }
}

/// The sockets of one machine, and what mio said of them: the port.
pub struct Sockets {
    registry: Registry,
    token: Token,
    options: DialOptions,
    pool: Rc<Pool>,
    open: Vec<Socket>,
    /// How many more things this turn deals with.
    budget: u32,
}

struct Socket {
    conn: ConnId,
    stream: mio::net::TcpStream,
    phase: Phase,
    readable: bool,
    writable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialing,
    Standing,
    /// A write found no room, and nobody said yet that there is some.
    Blocked,
}

impl Sockets {
    /// No sockets yet.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new(cx: &Loop, key: Key, options: DialOptions, pool: Rc<Pool>) -> io::Result<Self> {
        let registry = cx.registry().try_clone()?;
        Ok(Self { registry, token: Token(key), options, pool, open: Vec::new(), budget: READY_PER_TURN })
    }

    /// Adds the one socket of a machine that never dials.
    ///
    /// # Errors
    ///
    /// The system's poll does not take it.
    pub fn accepted(mut self, stream: TcpStream) -> io::Result<Self> {
        self.register(ConnId::ONLY, stream, Phase::Standing)?;
        Ok(self)
    }

    fn register(&mut self, conn: ConnId, stream: TcpStream, phase: Phase) -> io::Result<()> {
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        self.open.push(Socket { conn, stream, phase, readable: false, writable: false });
        Ok(())
    }

    /// Which of the sockets it was is not told; those that it was not will say "not now".
    fn told(&mut self, what: &Told) {
        for socket in &mut self.open {
            socket.readable |= what.is_readable() || what.is_read_closed() || what.is_error();
            socket.writable |= what.is_writable() || what.is_write_closed() || what.is_error();
        }
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.open.iter_mut().find(|socket| socket.conn == conn)
    }
}

impl<T: Target> Port<T> for Sockets {
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>> {
        let (stream, phase, outcome) = match to.dial(&self.options) {
            Ok(Dialing::Up(stream, established)) => (stream, Phase::Standing, Some(Ok(established))),
            Ok(Dialing::Pending(stream)) => (stream, Phase::Dialing, None),
            Err(signal) => return Some(Err(signal)),
        };
        match self.register(conn, stream, phase) {
            Ok(()) => outcome,
            Err(error) => Some(Err(errno::signal(&error))),
        }
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, _: Via) -> Option<Result<usize, Signal>> {
        let Some(socket) = self.get(conn) else { return Some(Err(NO_SOCKET)) };
        let got = tcp::read(&socket.stream, chunk);
        socket.readable &= matches!(got, Some(Ok(1..)));
        got
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        let Some(socket) = self.get(conn) else { return Some(Err(NO_SOCKET)) };
        let took = tcp::write(&socket.stream, bufs);
        if took.is_none() {
            (socket.phase, socket.writable) = (Phase::Blocked, false);
        }
        took
    }

    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView> {
        self.get(conn).and_then(|socket| tcp::kernel_view(&socket.stream))
    }

    fn shutdown(&mut self, conn: ConnId) {
        if let Some(socket) = self.get(conn) {
            tcp::shutdown_write(&socket.stream);
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(at) = self.open.iter().position(|socket| socket.conn == conn) {
            tcp::close(self.open.swap_remove(at).stream, how);
        }
    }

    fn lend(&mut self) -> Chunk {
        self.pool.lend()
    }

    fn put_back(&mut self, chunk: Chunk) {
        self.pool.put_back(chunk);
    }

    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        self.budget = self.budget.checked_sub(1)?;
        let ready = self.open.iter_mut().find_map(|socket| socket.next_ready(&reads));
        self.budget += u32::from(ready.is_none());
        ready
    }
}

impl Socket {
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        match self.phase {
            Phase::Dialing if self.writable => {
                self.writable = false;
                let result = tcp::finish_dial(&self.stream)?;
                self.phase = Phase::Standing;
                Some(Ready::Dialed(self.conn, result))
            }
            Phase::Blocked if self.writable => {
                self.phase = Phase::Standing;
                Some(Ready::Writable(self.conn))
            }
            Phase::Dialing => None,
            _ => (self.readable && reads(self.conn)).then_some(Ready::Readable(self.conn)),
        }
    }
}

/// What a call on a socket that is not open says.
const NO_SOCKET: Signal = Signal::Errno(Errno::BadF);

/// What can be dialed, and how: an address; or [`Infallible`], by a machine that never dials.
pub trait Target {
    /// Begins to dial it.
    ///
    /// # Errors
    ///
    /// What the system said at once.
    fn dial(self, options: &DialOptions) -> Result<Dialing, Signal>;
}

impl Target for SocketAddr {
    fn dial(self, options: &DialOptions) -> Result<Dialing, Signal> {
        tcp::dial(self, options)
    }
}

impl Target for Infallible {
    fn dial(self, _: &DialOptions) -> Result<Dialing, Signal> {
        match self {}
    }
}
