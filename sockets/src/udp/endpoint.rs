//! One socket between the runtime, which says when, the kernel, which says what, and the machine.

use core::cell::Cell;
use core::fmt;
use core::task::Poll;
use std::io;

use resound_core::datagram::{Batch, Fact, Port, Reading, Ready, Sending, Train};
use resound_core::signal::{Errno, Signal};
use resound_core::stream::Via;
use socket2::SockRef;

use super::courier::{Counts, Courier, Cursor, Flow, TRIES, listen, may_be_about_another};
use super::message::Replies;
use super::sys::{self, Arrivals, ErrorQueue};
use super::{Arrival, Facts, LONGEST_TRAIN, Message, Socket, Want};
use crate::errno;
use crate::port::Left;

/// How many reports of the socket one turn takes in. Peers that send without end keep nobody from their turn.
const REPORTS: u8 = 16;

/// How much room an endpoint has: `slots` × `room` and `batch` bytes, and 24 KiB for the rest. It is allocated once; the
/// system gives memory only for what is used, and the first slots are used first, so that the 2.2 MiB of the default are
/// a few dozen KiB for short datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// How many trains one read can bring: 1 to 64.
    pub slots: usize,
    /// How many bytes each can have. What is longer is cut off, and told to be. With less than 65 535 the kernel is told
    /// to let no trains come: one that is cut off would be many datagrams lost.
    pub room: usize,
    /// How many bytes of datagrams a batch holds.
    pub batch: usize,
    /// How many runs of datagrams a batch holds.
    pub runs: usize,
}

impl Default for Sizes {
    /// 32 slots for trains, and a batch of 128 KiB in 64 runs.
    fn default() -> Self {
        Self { slots: 32, room: LONGEST_TRAIN, batch: 128 * 1024, runs: 64 }
    }
}

/// A socket with everything that sending and receiving needs: buffers, a batch, what is held back, counters.
#[derive(Debug)]
pub struct Endpoint<S> {
    socket: S,
    facts: Facts,
    receive_buffer: usize,
    arrivals: Arrivals,
    errors: Option<ErrorQueue>,
    /// What goes back.
    replies: Replies,
    replied: Cursor,
    batch: Batch,
    sent: Cursor,
    longest_segment: usize,
    gates: Gates,
    /// What was reported last.
    last: Option<Ready>,
    drops: Drops,
    counts: Counts,
    /// What the runtime said when it could no longer watch the socket; told by the next read.
    unwatched: Option<Errno>,
}

#[derive(Debug)]
struct Gates {
    read: Gate,
    errors: Gate,
    write: Gate,
}

/// Whether a call is worth making before the runtime reports anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
    /// Open, and to be reported as if the runtime had said so.
    Due,
    /// No call is worth making any more.
    Over,
}

/// What the kernel has dropped.
#[derive(Clone, Copy, Debug, Default)]
struct Drops {
    /// As the datagrams themselves say.
    seen: u32,
    told: u32,
}

impl<S: Socket> Endpoint<S> {
    /// An endpoint on a socket that was made by [`bind`](super::bind). Its options decide whether it has an error queue
    /// and takes trains.
    ///
    /// # Errors
    ///
    /// It is no socket.
    pub fn new(socket: S, sizes: Sizes) -> io::Result<Self> {
        let receive_buffer = SockRef::from(&socket).recv_buffer_size()?;
        let facts = sys::facts(socket.as_fd());
        if facts.trains && sizes.room < LONGEST_TRAIN {
            sys::one_by_one(socket.as_fd());
        }
        let arrivals = Arrivals::new(sizes.slots, sizes.room);
        Ok(Self {
            facts,
            receive_buffer,
            errors: if facts.errors { ErrorQueue::new() } else { None },
            replies: Replies::new(arrivals.most(), facts.segments),
            arrivals,
            replied: Cursor::default(),
            batch: Batch::new(sizes.batch, sizes.runs, facts.segments),
            sent: Cursor::default(),
            longest_segment: usize::MAX,
            gates: Gates { read: Gate::Shut, errors: Gate::Shut, write: Gate::Open },
            last: None,
            drops: Drops::default(),
            counts: Counts::default(),
            unwatched: None,
            socket,
        })
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket, for a runtime that notes on it what it is ready for.
    pub const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// What was done without the machine being told.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What it is ready for. If for nothing, the driver is woken when it is. Errors first, but not twice in a row: a
    /// runtime that cannot tell them from datagrams would never let those be read.
    fn poll(&mut self, cx: &mut S::Context<'_>) -> Option<Ready> {
        let order = match self.last {
            Some(Ready::Errors) => [Want::Write, Want::Read, Want::Errors],
            _ => [Want::Errors, Want::Write, Want::Read],
        };
        let want = order.into_iter().find(|&want| self.wants(want) && self.open(want, cx));
        self.last = want.map(|want| match want {
            Want::Errors => Ready::Errors,
            Want::Write => Ready::Writable,
            Want::Read => Ready::Readable,
        });
        self.last
    }

    fn wants(&self, want: Want) -> bool {
        match want {
            Want::Errors => self.errors.is_some(),
            Want::Write => self.gates.write != Gate::Open,
            // What has not gone back yet lies where the next would be read to.
            Want::Read => self.replies.is_empty(),
        }
    }

    fn open(&mut self, want: Want, cx: &mut S::Context<'_>) -> bool {
        let gate = match want {
            Want::Read => &mut self.gates.read,
            Want::Errors => &mut self.gates.errors,
            Want::Write => &mut self.gates.write,
        };
        match *gate {
            Gate::Open | Gate::Due => {
                *gate = Gate::Open;
                return true;
            }
            Gate::Over => return false,
            Gate::Shut => {}
        }
        match self.socket.poll_ready(want, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                *gate = Gate::Open;
                true
            }
            Poll::Ready(Err(error)) => {
                self.unwatched = Some(errno::name(&error));
                self.gates = Gates { read: Gate::Open, errors: Gate::Over, write: Gate::Over };
                want == Want::Read
            }
        }
    }

    fn receive(&mut self, via: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        if !self.replies.is_empty() {
            return Reading::Empty;
        }
        if let Some(errno) = self.unwatched.take() {
            self.gates.read = Gate::Over;
            return Reading::Failed(Signal::Errno(errno));
        }
        let mut tries = 0;
        loop {
            let errno = match self.read(via) {
                Ok(got) => return Reading::Some { bytes: self.take_in(got, &mut tell) },
                Err(Errno::Again) => return Reading::Empty,
                Err(errno) => errno,
            };
            let heard = match &mut self.errors {
                Some(queue) if may_be_about_another(errno) => {
                    listen(&mut self.socket, queue, &mut tell).errors
                }
                _ => return Reading::Failed(Signal::Errno(errno)),
            };
            // The error is used up. It was an earlier datagram's, and is told now, or its entry was lost.
            tries += 1;
            if tries > 1 && heard == 0 || tries > TRIES {
                return Reading::Failed(Signal::Errno(errno));
            }
        }
    }

    /// A call that brings less than there was room for has emptied the socket.
    fn read(&mut self, via: Via) -> Result<usize, Errno> {
        let arrivals = &mut self.arrivals;
        if via == Via::Kernel {
            return arrivals.receive(self.socket.as_fd());
        }
        let most = arrivals.most();
        let got = self.socket.attempt(Want::Read, |fd| {
            let got = arrivals.receive(fd);
            let emptied = match got {
                Ok(got) => got < most,
                Err(errno) => errno == Errno::Again,
            };
            (got, if emptied { Left::Nothing } else { Left::More })
        });
        let got = got.unwrap_or(Err(Errno::Again));
        let emptied = got == Err(Errno::Again) || got.is_ok_and(|got| got < most);
        self.gates.read = if emptied { Gate::Shut } else { Gate::Open };
        got
    }

    /// Tells what came in, then sends back what is to go back. Returns how many bytes it was.
    fn take_in<T: FnMut(Fact<'_>)>(&mut self, got: usize, tell: &mut T) -> usize {
        let mut bytes = 0;
        for slot in 0..got {
            let Some(arrival) = self.arrivals.get(slot) else { continue };
            bytes += arrival.bytes.len().max(1);
            self.drops.seen = arrival.dropped.unwrap_or(self.drops.seen);
            let train = train(&arrival);
            tell(Fact::Received { train: &train });
            let echo = train.echo.get();
            if echo > 0 {
                self.replies.push(slot, &self.arrivals, echo, self.longest_segment);
            }
        }
        if !self.replies.is_empty() && self.gates.write == Gate::Open {
            self.reply(tell);
        }
        bytes
    }

    fn reply<T: FnMut(Fact<'_>)>(&mut self, tell: &mut T) -> Flow {
        let (arrivals, replies) = (&self.arrivals, &self.replies);
        let mut lost = 0;
        let mut courier = Courier {
            socket: &mut self.socket,
            family: self.facts.family,
            queue: self.errors.as_mut(),
            longest_segment: &mut self.longest_segment,
            counts: &mut self.counts,
        };
        let message = |at: usize| replies.message(at, arrivals);
        let flow = courier.send(&mut self.replied, message, tell, |tell, message, errno, mtu| {
            lost += 1;
            let signal = Signal::Errno(errno);
            tell(Fact::Unsent { to: message.to, datagram: message.datagram(), signal, mtu });
        });
        self.counts.replies_lost += lost;
        if flow == Flow::Done {
            self.replies.clear();
            self.replied = Cursor::default();
        }
        self.note(flow);
        flow
    }

    fn send<T: FnMut(Fact<'_>)>(&mut self, tell: &mut T) -> Flow {
        if self.gates.write != Gate::Open {
            return Flow::Blocked;
        }
        if !self.replies.is_empty() {
            let flow = self.reply(tell);
            if flow != Flow::Done {
                return flow;
            }
        }
        let batch = &self.batch;
        let message = |at: usize| {
            let run = batch.runs().nth(at)?;
            Some(Message::new(run.to, batch.bytes(run), run.size))
        };
        let mut courier = Courier {
            socket: &mut self.socket,
            family: self.facts.family,
            queue: self.errors.as_mut(),
            longest_segment: &mut self.longest_segment,
            counts: &mut self.counts,
        };
        let flow = courier.send(&mut self.sent, message, tell, |tell, message, errno, mtu| {
            let signal = Signal::Errno(errno);
            tell(Fact::Unsent { to: message.to, datagram: message.datagram(), signal, mtu });
        });
        if flow == Flow::Done {
            self.batch.clear();
            self.sent = Cursor::default();
            self.batch.limit_segments(self.longest_segment);
        }
        self.note(flow);
        flow
    }

    const fn note(&mut self, flow: Flow) {
        self.gates.write = match flow {
            Flow::Done => Gate::Open,
            Flow::Blocked => Gate::Shut,
            Flow::Later => Gate::Due,
        };
    }

    fn errors(&mut self, tell: impl FnMut(Fact<'_>)) {
        let Some(queue) = &mut self.errors else { return };
        let heard = listen(&mut self.socket, queue, tell);
        let reported =
            core::mem::replace(&mut self.gates.errors, if heard.more { Gate::Due } else { Gate::Shut });
        // What was reported and is not in the queue is told by the next read only. And behind an error that ended a read
        // early, datagrams may wait that are not reported again.
        if (heard.errors > 0 || reported == Gate::Open) && self.gates.read == Gate::Shut {
            self.gates.read = Gate::Due;
        }
    }

    fn overrun(&mut self) -> u32 {
        let dropped = sys::dropped(self.socket.as_fd()).unwrap_or(self.drops.seen);
        let told = core::mem::replace(&mut self.drops.told, dropped);
        dropped.wrapping_sub(told)
    }
}

const fn train<'a>(arrival: &Arrival<'a>) -> Train<'a> {
    Train {
        from: arrival.from,
        to: arrival.to,
        cast: arrival.cast,
        bytes: arrival.bytes,
        size: arrival.size,
        end: arrival.end,
        echo: Cell::new(0),
    }
}

/// An endpoint during one turn, as the core's [`Port`].
pub struct Exchange<'a, 'cx, S: Socket> {
    endpoint: &'a mut Endpoint<S>,
    cx: &'a mut S::Context<'cx>,
    /// Reports that this turn may still take in.
    left: u8,
}

impl<'a, 'cx, S: Socket> Exchange<'a, 'cx, S> {
    /// Begins a turn.
    pub const fn new(endpoint: &'a mut Endpoint<S>, cx: &'a mut S::Context<'cx>) -> Self {
        Self { endpoint, cx, left: REPORTS }
    }

    /// Whether the turn ended because it had taken in as much as one may. Nobody will be woken then: the next turn is
    /// due as soon as others have had theirs.
    #[must_use]
    pub const fn exhausted(&self) -> bool {
        self.left == 0
    }
}

impl<S: Socket> Port for Exchange<'_, '_, S> {
    fn receive(&mut self, via: Via, tell: impl FnMut(Fact<'_>)) -> Reading {
        self.endpoint.receive(via, tell)
    }

    fn errors(&mut self, tell: impl FnMut(Fact<'_>)) {
        self.endpoint.errors(tell);
    }

    fn batch(&mut self) -> &mut Batch {
        &mut self.endpoint.batch
    }

    fn send(&mut self, mut tell: impl FnMut(Fact<'_>)) -> Sending {
        match self.endpoint.send(&mut tell) {
            Flow::Done => Sending::Done,
            Flow::Blocked | Flow::Later => Sending::Blocked,
        }
    }

    fn overrun(&mut self) -> u32 {
        self.endpoint.overrun()
    }

    fn receive_buffer(&self) -> usize {
        self.endpoint.receive_buffer
    }

    fn next_ready(&mut self) -> Option<Ready> {
        if self.exhausted() {
            return None;
        }
        let ready = self.endpoint.poll(self.cx)?;
        self.left -= 1;
        Some(ready)
    }
}

impl<S: Socket + fmt::Debug> fmt::Debug for Exchange<'_, '_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
