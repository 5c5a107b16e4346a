//! One turn of any driver: do every step, tell every result, until there is nothing to do.

use super::{Chunk, Close, ConnId, Established, Fact, Machine, Step};
use crate::liveness::KernelView;
use crate::signal::{Op, Signal};
use crate::time::Instant;

/// How many slices one write gathers: 64 small messages leave in one system call.
const GATHER: usize = 64;

/// With fewer than these there is nothing to gather, and no long array to make for it.
const FEW: usize = 2;

/// How many steps one turn does, so that neither a peer that sends without end nor a machine that always has something
/// to do keeps the driver from its other tasks and from its clock.
const STEPS: u32 = 4_096;

/// What an adapter supplies: non-blocking calls on its sockets. `None` stands for EAGAIN, or for an answer that comes
/// later through [`next_ready`](Self::next_ready). EINTR is the port's own affair: it repeats the call.
pub trait Port<T> {
    /// Begins to connect. `Some` if the outcome is known at once.
    fn dial(&mut self, conn: ConnId, to: T) -> Option<Result<Established, Signal>>;
    /// Reads once into the chunk's spare room and marks it filled.
    fn read(&mut self, conn: ConnId, chunk: &mut Chunk, via: Via) -> Option<Result<usize, Signal>>;
    /// Writes once, from the first of `bufs` on, without raising SIGPIPE.
    fn write(&mut self, conn: ConnId, bufs: &[&[u8]]) -> Option<Result<usize, Signal>>;
    /// What the kernel knows about the connection, where it can be asked (TCP_INFO).
    fn kernel_view(&mut self, conn: ConnId) -> Option<KernelView>;
    /// Half-closes.
    fn shutdown(&mut self, conn: ConnId);
    /// Closes, or gives up a dial.
    fn close(&mut self, conn: ConnId, how: Close);
    /// An empty chunk from a pool.
    fn lend(&mut self) -> Chunk;
    /// Back into the pool; one without capacity may be dropped.
    fn put_back(&mut self, chunk: Chunk);
    /// What the runtime reported since the last turn: a bounded number per turn. `reads` says whether the machine
    /// wants to read a connection; do not report, nor wait for, one that it does not.
    fn next_ready(&mut self, reads: impl Fn(ConnId) -> bool) -> Option<Ready>;
}

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// As the runtime does it, which may answer from cached readiness.
    Readiness,
    /// With a real system call, whatever the runtime believes, and without changing what it believes.
    Kernel,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Reading will not block.
    Readable(ConnId),
    /// Writing will not block.
    Writable(ConnId),
    /// A dial ended.
    Dialed(ConnId, Result<Established, Signal>),
}

/// One turn: fires what is due, does every step, takes in what the port has ready, and returns until when to sleep. After
/// some thousand steps it returns early, with a time that has passed: let others have their turn, then take the next.
///
/// Adapters differ only in their [`Port`] and in how they sleep until the returned time, readiness or a command.
pub fn turn<M: Machine, P: Port<M::Target>>(
    machine: &mut M,
    port: &mut P,
    now: impl Fn() -> Instant,
    mut event: impl FnMut(M::Event),
) -> Option<Instant> {
    machine.handle(now(), Fact::Tick);
    for _ in 0..STEPS {
        match machine.poll() {
            Step::Dial { conn, to } => {
                if let Some(result) = port.dial(conn, to) {
                    machine.handle(now(), Fact::Dialed { conn, result });
                }
            }
            Step::Examine { conn } => {
                read(machine, port, conn, Via::Kernel, &now);
                let kernel = port.kernel_view(conn);
                machine.handle(now(), Fact::Examined { conn, kernel });
            }
            Step::Write { conn } => write(machine, port, conn, &now),
            Step::Shutdown { conn } => port.shutdown(conn),
            Step::Close { conn, how } => {
                port.close(conn, how);
                if let Some(chunk) = machine.reclaim() {
                    port.put_back(chunk);
                }
            }
            Step::Event(e) => event(e),
            Step::Wait(until) => match port.next_ready(|conn| machine.wants_read(conn)) {
                Some(Ready::Readable(conn)) => read(machine, port, conn, Via::Readiness, &now),
                Some(Ready::Writable(conn)) => machine.handle(now(), Fact::Writable { conn }),
                Some(Ready::Dialed(conn, result)) => machine.handle(now(), Fact::Dialed { conn, result }),
                None => return until,
            },
        }
    }
    Some(Instant::EPOCH)
}

fn read<M: Machine, P: Port<M::Target>>(
    machine: &mut M,
    port: &mut P,
    conn: ConnId,
    via: Via,
    now: &impl Fn() -> Instant,
) {
    let mut chunk = port.lend();
    match port.read(conn, &mut chunk, via) {
        Some(Ok(0)) => machine.handle(now(), Fact::Ended { conn }),
        Some(Ok(_)) => machine.handle(now(), Fact::Received { conn, chunk: &mut chunk }),
        Some(Err(signal)) => machine.handle(now(), Fact::Failed { conn, op: Op::Read, signal }),
        None => {}
    }
    port.put_back(chunk);
}

fn write<M: Machine, P: Port<M::Target>>(
    machine: &mut M,
    port: &mut P,
    conn: ConnId,
    now: &impl Fn() -> Instant,
) {
    let mut few: [&[u8]; FEW] = [&[]; FEW];
    let filled = machine.unsent(conn, &mut few);
    let wrote =
        if filled < FEW { port.write(conn, &few[..filled]) } else { write_gathered(machine, port, conn) };
    let fact = match wrote {
        Some(Ok(n)) => Fact::Wrote { conn, n },
        Some(Err(signal)) => Fact::Failed { conn, op: Op::Write, signal },
        None => Fact::Blocked { conn },
    };
    machine.handle(now(), fact);
    if let Some(chunk) = machine.reclaim() {
        port.put_back(chunk);
    }
}

#[inline(never)]
fn write_gathered<M: Machine, P: Port<M::Target>>(
    machine: &M,
    port: &mut P,
    conn: ConnId,
) -> Option<Result<usize, Signal>> {
    let mut bufs: [&[u8]; GATHER] = [&[]; GATHER];
    let filled = machine.unsent(conn, &mut bufs);
    port.write(conn, &bufs[..filled])
}
