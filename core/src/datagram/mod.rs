//! Machines over datagrams, and the contract between a machine and whoever drives it.
//!
//! # Theory of operation
//!
//! As with [byte streams](crate::stream), a machine is told facts and asked for steps. What differs is what a socket is:
//! one of them serves any number of peers, nothing on it is a connection, and what goes wrong with a datagram is heard
//! of later, if ever, from somebody else.
//!
//! ```text
//!                 Received, Icmp, Unsent, Overrun, …                 Transmit, Examine, Event, Wait
//!   socket  ───►  handle(now, Fact)  ───►  ┌─────────┐  ───►  poll() -> Step  ───►  driver  ───►  socket
//!                                          │ machine │
//!   batch   ◄──►  Fact::Room, Train  ◄──►  └─────────┘
//!                 lent by the driver, many datagrams for one system call
//! ```
//!
//! The rules, for drivers:
//!
//! 1. Call [`poll`](Machine::poll) until it says [`Step::Wait`], and do each step as it comes.
//! 2. Then sleep until the socket has something (datagrams *or* errors), takes something again after it did not, or the
//!    time that `Wait` named. Tell what happened, begin again.
//! 3. Empty the error queue before sending: on Linux an error that waits there fails the next send, whomever it is for.
//! 4. Only [`Fact::Tick`] fires timers. Early and repeated ticks change nothing.
//!
//! [`turn`] does all of this over a [`Port`].
//!
//! # Batches
//!
//! Nothing is copied on the way. A client writes its probes into the driver's [`Batch`]; a server says of each [`Train`]
//! that came in how much of it goes back, and the driver sends it from where it lies.

use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};

use crate::signal::icmp::{Protocol, Received};
use crate::signal::{IcmpError, Op, Signal};
use crate::time::Instant;

mod batch;
pub mod client;
pub mod server;
mod turn;

pub use crate::stream::Via;
pub use batch::{Batch, Run};
pub use turn::{Port, Reading, Ready, Sending, turn};

/// Datagrams that came in together: from one sender, to one address of this host, all of one size except the last,
/// which may be shorter (UDP_GRO). Usually it is one datagram.
#[derive(Debug)]
pub struct Train<'a> {
    /// Who sent them, as the packets say. An IPv4 address is an IPv4 address, on a dual-stack socket too.
    pub from: SocketAddr,
    /// Which address of this host was asked, where the system tells (`IP_PKTINFO`).
    pub to: Option<IpAddr>,
    /// What kind of address that is.
    pub cast: Cast,
    /// The datagrams, one after the other.
    pub bytes: &'a [u8],
    /// How long each is, but the last. Zero only if there is one, and it is empty.
    pub size: usize,
    /// Whether the last is all there.
    pub end: End,
    /// How many of them, from the first on, the driver sends back to where they came from, from the address that was
    /// asked. For the machine to set.
    pub echo: Cell<usize>,
}

impl<'a> Train<'a> {
    /// One whole datagram to one host.
    #[must_use]
    pub const fn one(from: SocketAddr, bytes: &'a [u8]) -> Self {
        Self {
            from,
            to: None,
            cast: Cast::Unicast,
            bytes,
            size: bytes.len(),
            end: End::Whole,
            echo: Cell::new(0),
        }
    }

    /// How many datagrams there are: at least one.
    #[must_use]
    #[inline]
    pub const fn count(&self) -> usize {
        if self.size == 0 { 1 } else { self.bytes.len().div_ceil(self.size) }
    }

    /// Each datagram.
    #[inline]
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty: Option<&'a [u8]> = if self.bytes.is_empty() { Some(&[]) } else { None };
        empty.into_iter().chain(self.bytes.chunks(self.size.max(1)))
    }
}

/// To whom a datagram was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cast {
    /// To an address of this host, as far as the system tells.
    #[default]
    Unicast,
    /// To a broadcast address.
    Broadcast,
    /// To a multicast group.
    Multicast,
}

/// Whether a datagram is all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum End {
    /// It is.
    #[default]
    Whole,
    /// It was longer than the room for it (`MSG_TRUNC`).
    Truncated,
}

/// What the world did. Telling a fact never fails.
#[derive(Debug)]
pub enum Fact<'a> {
    /// Datagrams came in. The machine says in the train what is to go back.
    Received {
        /// The datagrams.
        train: &'a Train<'a>,
    },
    /// Room for what is to be sent, at this time: the answer to [`Step::Transmit`]. The machine writes into it what it
    /// has; what then cannot be sent is told as [`Fact::Unsent`].
    Room {
        /// An empty batch.
        batch: &'a mut Batch,
    },
    /// The error queue, or a raw socket, delivered this about a datagram sent earlier.
    Icmp {
        /// The message; its destination says to whom the datagram was going.
        error: IcmpError,
        /// As much of the datagram's payload as was quoted, which can be nothing.
        quote: &'a [u8],
    },
    /// A datagram was not sent, for a reason of its own. Never for one that is about an earlier datagram: such a send is
    /// repeated by the driver.
    Unsent {
        /// Where it was going.
        to: SocketAddr,
        /// The datagram.
        datagram: &'a [u8],
        /// What the call said.
        signal: Signal,
        /// The largest packet, with its IP header, that would have been sent, where that was the reason and is known.
        mtu: Option<u32>,
    },
    /// A call failed, and nothing says which datagram or which peer it is about.
    Failed {
        /// Which call.
        op: Op,
        /// What it said.
        signal: Signal,
    },
    /// The kernel had no room for datagrams that came in, and dropped them (`SO_RXQ_OVFL`, `SO_MEMINFO`).
    Overrun {
        /// How many since this was last told.
        lost: u32,
    },
    /// The socket takes no more for now; [`Fact::Writable`] follows when it does.
    Blocked,
    /// The socket takes datagrams again.
    Writable,
    /// The answer to [`Step::Examine`]: what had come in until then was told.
    Examined,
    /// The clock stood still, or the host's addresses changed. Only where the driver's clock stops in suspend.
    Resumed,
    /// Time passed. The only fact that fires timers.
    Tick,
}

impl<'a> Fact<'a> {
    /// What a raw socket heard, as the error queue would tell it. `None` if it is not about a UDP datagram from this
    /// local port: a raw socket hears of everything that this host sends.
    ///
    /// Another socket may use the same port on another address; whose datagram it was, its tag tells. An ICMPv6 packet
    /// carries no scope: of a link-local peer's errors, only those that quote a tag reach it. The sender of an ICMPv6
    /// message comes with the call that read it: put it into `error.offender` before.
    #[must_use]
    pub fn overheard(received: &Received<'a>, local_port: u16) -> Option<Self> {
        let quote = &received.quote;
        let ours = quote.protocol == Protocol::Udp && quote.ports?.source == local_port;
        ours.then_some(Self::Icmp { error: received.error, quote: quote.payload })
    }
}

/// What the driver must do next, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<E> {
    /// Empty the error queue, lend a batch with [`Fact::Room`], send what is then in it.
    Transmit,
    /// A verdict hangs on what the kernel holds: read with real system calls, whatever readiness says, until there is no
    /// more, or as much has been read as the receive buffer holds; tell it all, the error queue and the overflow
    /// counter too; then [`Fact::Examined`].
    Examine,
    /// Something that the program wants to know.
    Event(E),
    /// Nothing to do before this time; `None`: before something happens.
    Wait(Option<Instant>),
}

/// A machine over one socket that exchanges datagrams with many peers: the echo client, the echo server, or your own.
///
/// What a program asks of a machine are methods of the machine's own: a driver need not know them.
pub trait Machine {
    /// What the program is told.
    type Event;

    /// Tells what the world did. Cannot fail.
    fn handle(&mut self, now: Instant, fact: Fact<'_>);

    /// The next step. Takes no time: polling twice, or later, cannot change what comes out.
    fn poll(&mut self) -> Step<Self::Event>;

    /// What [`poll`](Self::poll) would end with, without polling; already past while steps are queued.
    fn next_deadline(&self) -> Option<Instant>;

    /// Whether nothing will ever come again, so that the driver may drop the machine.
    fn is_done(&self) -> bool;
}
