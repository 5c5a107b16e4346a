//! One turn of any driver: do every step, tell every result, until there is nothing to do.

use super::{Batch, Fact, Machine, Step, Via};
use crate::signal::{Op, Signal};
use crate::time::Instant;

/// How many steps one turn does, so that neither a flood nor a machine that always has something to do keeps the
/// driver from its other tasks and from its clock.
const STEPS: u32 = 4_096;

/// How many reads at most come between two batches of one turn.
const READS: u32 = 8;

/// What a datagram takes of a receive buffer at least, whatever its length (`SKB_TRUESIZE`: 832 bytes on a 64-bit Linux,
/// less for each of those that came as one).
const LEAST_CHARGE: usize = 256;

/// What an adapter supplies: non-blocking calls on its socket. EINTR is the port's own affair: it repeats the call.
///
/// What the calls bring is told as facts, in order, as they are made.
pub trait Port {
    /// One read of as many datagrams as a system call gives: tells each train as [`Fact::Received`], and sends back what
    /// the machine marked in it. What the socket does not take is kept, and nothing more is read until it was sent.
    fn receive(&mut self, via: Via, tell: impl FnMut(Fact<'_>)) -> Reading;
    /// Empties the error queue: tells each entry as [`Fact::Icmp`].
    fn errors(&mut self, tell: impl FnMut(Fact<'_>));
    /// The batch to be filled; empty, unless the last one still waits for the socket.
    fn batch(&mut self) -> &mut Batch;
    /// Sends what [`receive`](Self::receive) had to keep, then the batch. A send that failed because of an earlier datagram is made again, and the error told as
    /// [`Fact::Icmp`]; what really cannot be sent is told as [`Fact::Unsent`]. Empties the batch unless the socket
    /// takes no more.
    fn send(&mut self, tell: impl FnMut(Fact<'_>)) -> Sending;
    /// How many datagrams the kernel has dropped for want of room since this was last asked.
    fn overrun(&mut self) -> u32;
    /// How many bytes of datagrams the kernel keeps for this socket at most (`SO_RCVBUF`).
    fn receive_buffer(&self) -> usize;
    /// What the runtime reported since the last turn: a bounded number per turn.
    fn next_ready(&mut self) -> Option<Ready>;
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// This many bytes came in, empty datagrams counted as one; there may be more.
    Some {
        /// How many.
        bytes: usize,
    },
    /// Nothing is there, or what came in before has yet to be sent back.
    Empty,
    /// The call failed.
    Failed(Signal),
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Everything was sent, or told to be unsent.
    Done,
    /// The socket takes no more for now; the port keeps the rest.
    Blocked,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Reading will not block.
    Readable,
    /// The error queue is not empty.
    Errors,
    /// Writing will not block.
    Writable,
}

/// One turn: fires what is due, does every step, takes in what the port has ready, and returns until when to sleep.
/// After some thousand steps it returns early, with a time that has passed: let others have their turn, then take the
/// next.
pub fn turn<M: Machine, P: Port>(
    machine: &mut M,
    port: &mut P,
    now: impl Fn() -> Instant,
    mut event: impl FnMut(M::Event),
) -> Option<Instant> {
    let began = now();
    if machine.next_deadline().is_some_and(|at| at <= began) {
        // What is due may count a probe as unanswered whose echo was dropped here.
        overrun(machine, port, &now);
        machine.handle(began, Fact::Tick);
    }
    let mut batches = 0;
    for _ in 0..STEPS {
        match machine.poll() {
            Step::Transmit => {
                if batches > 0 {
                    catch_up(machine, port, &now);
                }
                transmit(machine, port, &now);
                batches += 1;
            }
            Step::Examine => examine(machine, port, &now),
            Step::Event(e) => event(e),
            Step::Wait(until) => match port.next_ready() {
                Some(ready) => take_in(machine, port, ready, &now),
                None => return until,
            },
        }
    }
    Some(Instant::EPOCH)
}

/// Reads the answers to the batch before. Left alone while a fleet is asked, they would fill the receive buffer; and what
/// a runtime knows of readiness may be as old as this turn.
fn catch_up<M: Machine, P: Port>(machine: &mut M, port: &mut P, now: &impl Fn() -> Instant) {
    for _ in 0..READS {
        if receive(machine, port, Via::Kernel, now).is_none() {
            return;
        }
    }
}

fn transmit<M: Machine, P: Port>(machine: &mut M, port: &mut P, now: &impl Fn() -> Instant) {
    port.errors(|fact| machine.handle(now(), fact));
    machine.handle(now(), Fact::Room { batch: port.batch() });
    flush(machine, port, now);
}

fn flush<M: Machine, P: Port>(machine: &mut M, port: &mut P, now: &impl Fn() -> Instant) {
    match port.send(|fact| machine.handle(now(), fact)) {
        Sending::Done => {}
        Sending::Blocked => machine.handle(now(), Fact::Blocked),
    }
}

fn take_in<M: Machine, P: Port>(machine: &mut M, port: &mut P, ready: Ready, now: &impl Fn() -> Instant) {
    match ready {
        Ready::Readable => {
            receive(machine, port, Via::Readiness, now);
        }
        Ready::Errors => port.errors(|fact| machine.handle(now(), fact)),
        Ready::Writable => {
            machine.handle(now(), Fact::Writable);
            flush(machine, port, now);
        }
    }
}

/// One read; how much room what came in took of the receive buffer.
fn receive<M: Machine, P: Port>(
    machine: &mut M,
    port: &mut P,
    via: Via,
    now: &impl Fn() -> Instant,
) -> Option<usize> {
    let mut datagrams = 0;
    let reading = port.receive(via, |fact| {
        if let Fact::Received { train } = &fact {
            datagrams += train.count();
        }
        machine.handle(now(), fact);
    });
    match reading {
        Reading::Some { bytes } => Some(bytes.max(datagrams * LEAST_CHARGE)),
        Reading::Empty => None,
        Reading::Failed(signal) => {
            machine.handle(now(), Fact::Failed { op: Op::Read, signal });
            None
        }
    }
}

/// Everything that had come in by now: until nothing is left, or until as much was read as can have waited. Without
/// that bound, strangers could postpone a verdict for ever.
fn examine<M: Machine, P: Port>(machine: &mut M, port: &mut P, now: &impl Fn() -> Instant) {
    port.errors(|fact| machine.handle(now(), fact));
    let mut left = port.receive_buffer();
    while let Some(bytes) = receive(machine, port, Via::Kernel, now) {
        left = left.saturating_sub(bytes.max(1));
        if left == 0 {
            break;
        }
    }
    overrun(machine, port, now);
    machine.handle(now(), Fact::Examined);
}

fn overrun<M: Machine, P: Port>(machine: &mut M, port: &mut P, now: &impl Fn() -> Instant) {
    let lost = port.overrun();
    if lost > 0 {
        machine.handle(now(), Fact::Overrun { lost });
    }
}
