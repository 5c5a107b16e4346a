//! A program that listens, and runs a machine for each connection.

use core::cmp::Reverse;
use core::fmt;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::{self, AcceptError, Admission};
use resound_core::stream::{Machine, turn};
use resound_core::{ConnId, Instant};

use super::sockets::{Dialable, Sockets, Turn};
use super::words::accept_failed;
use crate::kernel::{Fd, TcpOptions};
use crate::scenario::{Command, Said};
use crate::world::{Answer, Calls, Next, Program};

/// Accepts connections, and runs a machine for each.
///
/// When an accept fails it says so, and goes on when the core's [`Admission`] says: what is in the queue stays there.
pub struct Listening<M, F, D> {
    port: u16,
    backlog: u32,
    options: TcpOptions,
    listener: Option<Fd>,
    /// Since an accept failed.
    admission: Option<Box<Admission>>,
    make: F,
    describe: D,
    served: Vec<Option<Served<M>>>,
    /// Where the machine of a socket is.
    places: Vec<Option<u32>>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
}

struct Served<M> {
    machine: M,
    fd: Fd,
    sockets: Sockets,
    armed: Option<Instant>,
}

impl<M, F, D> fmt::Debug for Listening<M, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening(port {})", self.port)
    }
}

impl<M, F, D> Listening<M, F, D>
where
    M: Machine<Target: Dialable>,
    F: FnMut(SocketAddr, Instant) -> M,
    D: FnMut(M::Event) -> Option<Said>,
{
    /// A server on this port of any address. `make` makes the machine of a connection; its id is [`ConnId::ONLY`].
    pub const fn new(port: u16, backlog: u32, options: TcpOptions, make: F, describe: D) -> Self {
        Self {
            port,
            backlog,
            options,
            listener: None,
            admission: None,
            make,
            describe,
            served: Vec::new(),
            places: Vec::new(),
            timers: BinaryHeap::new(),
        }
    }

    fn accept_all(&mut self, calls: &mut Calls<'_>, listener: Fd) {
        let now = calls.now();
        while self.admission.as_mut().is_none_or(|admission| admission.resume(now)) {
            match calls.accept(listener) {
                Ok((fd, peer)) => {
                    if let Some(admission) = &mut self.admission {
                        admission.accepted();
                    }
                    let mut sockets = Sockets::new(self.options);
                    sockets.adopt(ConnId::ONLY, fd);
                    let machine = (self.make)(peer, calls.now());
                    let place = self.place(Served { machine, fd, sockets, armed: None });
                    if self.places.len() <= fd.0 as usize {
                        self.places.resize(fd.0 as usize + 1, None);
                    }
                    self.places[fd.0 as usize] = Some(place);
                    calls.say(Said::Accepted);
                    self.turn(calls, place);
                }
                Err(Errno::Again) => return,
                Err(errno) => {
                    if self.accept_failed(now, errno) == AcceptError::Fatal {
                        return;
                    }
                    if let Some(said) = accept_failed(errno) {
                        calls.say(said);
                    }
                }
            }
        }
    }

    fn accept_failed(&mut self, now: Instant, errno: Errno) -> AcceptError {
        if self.admission.is_none() {
            // Whom to let in it is not asked.
            let config = admission::Config { addresses: 1, ..admission::Config::default() };
            self.admission = Admission::new(config, [0; 2], now).ok().map(Box::new);
        }
        match &mut self.admission {
            Some(admission) => admission.failed(now, Signal::Errno(errno)),
            None => AcceptError::Fatal,
        }
    }

    /// When to try again to accept.
    fn paused_until(&self) -> Option<Instant> {
        self.admission.as_ref().and_then(|admission| admission.ready_at())
    }

    fn place(&mut self, served: Served<M>) -> u32 {
        let free = self.served.iter().position(Option::is_none);
        let place = free.unwrap_or(self.served.len());
        if free.is_none() {
            self.served.push(None);
        }
        self.served[place] = Some(served);
        place as u32
    }

    fn turn(&mut self, calls: &mut Calls<'_>, place: u32) {
        let now = calls.now();
        let Some(served) = self.served[place as usize].as_mut() else { return };
        let mut said = calls.take_said();
        let mut port = Turn::new(&mut served.sockets, calls);
        let describe = &mut self.describe;
        let until = turn(&mut served.machine, &mut port, || now, |event| said.extend(describe(event)));
        let until = if port.is_exhausted() { Some(now) } else { until };
        calls.put_said(said);
        if served.machine.is_done() {
            self.places[served.fd.0 as usize] = None;
            self.served[place as usize] = None;
        } else if let Some(at) = until.filter(|&at| served.armed.is_none_or(|armed| at < armed)) {
            served.armed = Some(at);
            self.timers.push(Reverse((at, place)));
        }
    }

    /// Those whose time has come.
    fn fire(&mut self, calls: &mut Calls<'_>) {
        let now = calls.now();
        let mut again = Vec::new();
        while let Some(&Reverse((at, place))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(served) = self.served[place as usize].as_mut() else { continue };
            if served.armed != Some(at) {
                continue; // It was for the one that had this place before, or is asked for earlier.
            }
            served.armed = None;
            again.push(place);
        }
        for place in again {
            self.turn(calls, place);
        }
    }
}

impl<M, F, D> Program for Listening<M, F, D>
where
    M: Machine<Target: Dialable>,
    F: FnMut(SocketAddr, Instant) -> M,
    D: FnMut(M::Event) -> Option<Said>,
{
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        let listener = match self.listener {
            Some(listener) => listener,
            None => {
                let at = calls.any(self.port);
                match calls.listen(at, self.backlog, &self.options) {
                    Ok(listener) => *self.listener.insert(listener),
                    Err(errno) => {
                        calls.say(Said::Call(format!("listen {}", self.port).into(), Err(errno)));
                        return Next::Exit;
                    }
                }
            }
        };
        while let Some(fd) = calls.next_ready() {
            if fd == listener {
                self.accept_all(calls, listener);
            } else if let Some(place) = self.places.get(fd.0 as usize).copied().flatten() {
                if let Some(served) = self.served[place as usize].as_mut() {
                    served.sockets.touched(fd);
                }
                self.turn(calls, place);
            }
        }
        if calls.is_spurious() {
            self.accept_all(calls, listener);
            for place in 0..self.served.len() {
                if let Some(served) = self.served[place].as_mut() {
                    served.sockets.touch_all();
                    self.turn(calls, place as u32);
                }
            }
        }
        if self.paused_until().is_some() {
            self.accept_all(calls, listener);
        }
        self.fire(calls);
        let due = self.timers.peek().map(|Reverse((at, _))| *at);
        Next::Sleep(due.into_iter().chain(self.paused_until()).min())
    }

    fn ask(&mut self, _: &mut Calls<'_>, _: &Command) -> Answer {
        Answer::NotMine
    }
}
