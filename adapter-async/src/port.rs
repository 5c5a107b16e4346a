//! The port of every machine on every async runtime: a small table of lines.
//!
//! A machine has one connection nearly always, and more only while addresses race or a suspect is doubted. So the first
//! line is kept in place, and a server's connection allocates no table.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::net::SocketAddr;
use core::task::Context;

use resound_core::Chunk;
use resound_core::liveness::KernelView;
use resound_core::signal::Signal;
use resound_core::stream::{Close, ConnId, Established, Port, Ready, Via};
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, Dialing};

use crate::line::Line;
use crate::runtime::Socket;

/// How many reports one turn takes in. Then other tasks have their turn.
const REPORTS: u8 = 16;

/// What a machine may dial: an address, or nothing at all.
pub trait Target: fmt::Debug + sealed::Sealed {
    #[doc(hidden)]
    fn dial(self, options: &DialOptions) -> Result<Dialing, Signal>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for core::net::SocketAddr {}
    impl Sealed for core::convert::Infallible {}
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

/// The sockets of one machine.
#[derive(Debug)]
pub(crate) struct Lines<S> {
    first: Option<(ConnId, Line<S>)>,
    others: Vec<(ConnId, Line<S>)>,
}

impl<S> Default for Lines<S> {
    fn default() -> Self {
        Self { first: None, others: Vec::new() }
    }
}

impl<S> Lines<S> {
    pub(crate) fn add(&mut self, conn: ConnId, line: Line<S>) {
        if self.first.is_none() {
            self.first = Some((conn, line));
        } else {
            self.others.push((conn, line));
        }
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Line<S>> {
        self.iter().find(|(id, _)| *id == conn).map(|(_, line)| line)
    }

    fn remove(&mut self, conn: ConnId) -> Option<Line<S>> {
        let line = if let Some((_, line)) = self.first.take_if(|(id, _)| *id == conn) {
            line
        } else {
            let at = self.others.iter().position(|(id, _)| *id == conn)?;
            self.others.swap_remove(at).1
        };
        if self.first.is_none() {
            self.first = self.others.pop();
        }
        Some(line)
    }

    fn iter(&mut self) -> impl Iterator<Item = &mut (ConnId, Line<S>)> {
        self.first.iter_mut().chain(&mut self.others)
    }
}

/// The lines during one turn, with the task that is to be woken.
#[derive(Debug)]
pub(crate) struct Switchboard<'a, 'task, S> {
    lines: &'a mut Lines<S>,
    dial: &'a DialOptions,
    pool: &'a Pool,
    cx: &'a mut Context<'task>,
    /// Reports that this turn may still take in.
    left: u8,
    /// The connection that reported last: the others are asked first.
    last: Option<ConnId>,
}

impl<'a, 'task, S: Socket> Switchboard<'a, 'task, S> {
    pub(crate) fn new(
        lines: &'a mut Lines<S>,
        dial: &'a DialOptions,
        pool: &'a Pool,
        cx: &'a mut Context<'task>,
    ) -> Self {
        Self { lines, dial, pool, cx, left: REPORTS, last: None }
    }

    /// Whether the turn ended because it had taken in as much as one may. Then the task is woken at once.
    pub(crate) const fn exhausted(&self) -> bool {
        self.left == 0
    }

    fn ask(&mut self, reads: &impl Fn(ConnId) -> bool, whom: impl Fn(ConnId) -> bool) -> Option<Ready> {
        let lines = self.lines.iter().filter(|(conn, _)| whom(*conn));
        let report = lines.into_iter().find_map(|(conn, line)| {
            let report = line.poll(*conn, reads(*conn), self.cx)?;
            Some((*conn, report))
        });
        report.map(|(conn, report)| {
            self.last = Some(conn);
            self.left -= 1;
            report
        })
    }
}

impl<S: Socket, T: Target> Port<T> for Switchboard<'_, '_, S> {
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>> {
        let (line, outcome) = match to.dial(self.dial) {
            Ok(Dialing::Up(stream, established)) => (Line::up(stream), Some(Ok(established))),
            Ok(Dialing::Pending(stream)) => (Line::dialing(stream), None),
            Err(signal) => return Some(Err(signal)),
        };
        match line {
            Ok(line) => self.lines.add(conn, line),
            Err(signal) => return Some(Err(signal)),
        }
        outcome
    }

    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, via: Via) -> Option<Result<usize, Signal>> {
        self.lines.get(conn)?.read(chunk, via)
    }

    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
        self.lines.get(conn)?.write(bufs)
    }

    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView> {
        self.lines.get(conn)?.kernel_view()
    }

    fn shutdown(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get(conn) {
            line.shutdown();
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(line) = self.lines.remove(conn) {
            line.close(how);
        }
    }

    fn lend(&mut self) -> Chunk {
        self.pool.lend()
    }

    fn put_back(&mut self, chunk: Chunk) {
        self.pool.put_back(chunk);
    }

    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready> {
        if self.left == 0 {
            self.cx.waker().wake_by_ref();
            return None;
        }
        let last = self.last;
        let report = self.ask(&reads, |conn| Some(conn) != last);
        report.or_else(|| self.ask(&reads, |conn| Some(conn) == last))
    }
}
