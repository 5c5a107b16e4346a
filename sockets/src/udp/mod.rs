//! UDP: one socket, many peers; which calls, with which options, and whose fault an error is.
//!
//! # Theory of operation
//!
//! ```text
//!   turn (core) ── Port ──► Exchange, for one turn ──► Endpoint ──► Socket, the runtime's
//!                           how much a turn takes in    │             when
//!                                                       ├─ arrivals, replies   recvmmsg, and back with sendmmsg
//!                                                       ├─ batch               sendmmsg
//!                                                       └─ error queue         recvmmsg(MSG_ERRQUEUE)
//! ```
//!
//! A socket is made by [`bind`] with [`Options`], handed to a runtime as its [`Socket`], and given to an [`Endpoint`],
//! which keeps all buffers. For each turn an [`Exchange`] lends both to the core's
//! [`turn`](resound_core::datagram::turn):
//!
//! ```
//! # use resound_core::datagram::{Machine, turn};
//! # use resound_sockets::{clock::Clock, udp::{Endpoint, Exchange, Socket}};
//! fn one_turn<M: Machine, S: Socket>(
//!     machine: &mut M, endpoint: &mut Endpoint<S>, clock: Clock, cx: &mut S::Context<'_>,
//! ) {
//!     let mut port = Exchange::new(endpoint, cx);
//!     let until = turn(machine, &mut port, || clock.now(), |event| { /* show it to the program */ });
//!     if port.exhausted() {
//!         // let others run, then turn again
//!     } else {
//!         // sleep until the socket is ready, a command comes, or `until`
//!     }
//! }
//! ```
//!
//! The socket is not connected. A connected one would hear of hard errors without an error queue, but of one peer only,
//! and what an error of the last peer leaves behind hits the next one.
//!
//! # Errors that arrive later
//!
//! With an error queue ([`Errors::Queued`]) the kernel tells each ICMP error with its destination. The price: **the next
//! call fails with it, whomever that call is for, and sends nothing.** So the queue is emptied before each send and
//! before each read; a send that fails all the same is made again once it is known whose error it was (`courier.rs`);
//! and an error is told of its destination, never of the datagram whose call it disturbed. What is left in the queue
//! costs: it keeps `EPOLLERR` up (a level-triggered runtime spins), and is charged to the receive buffer, where a few
//! hundred entries shut everything else out.
//!
//! A server has none. Its peers come and go, and nothing that it could do follows from the errors.
//!
//! # Many datagrams for one call
//!
//! Measured on the loopback device with 64 datagrams of 64 bytes in flight, the processor time of a server for one echo:
//!
//! | client | server | on two processors | on one |
//! |---|---|---|---|
//! | `recv`, `send` | `recv_from`, `send_to` | 5.5 µs | 4.3 µs |
//! | `recv`, `send` | `recvmmsg`, `sendmmsg` | 5.2 µs | 3.8 µs |
//! | `recv`, `send` | and replies to one peer as one message | 4.6 µs | 3.2 µs |
//! | `UDP_SEGMENT` | `recvmmsg`, `UDP_SEGMENT` | 1.8 µs | 0.66 µs |
//! | `UDP_GRO`, `UDP_SEGMENT` | likewise | 0.68 µs | 0.16 µs |
//!
//! So both are used: `recvmmsg` and `sendmmsg` carry many messages in a call, and a message carries up to 64 datagrams
//! through the whole stack at once. Where a kernel or a device cannot cut them apart, they go one by one. What comes in
//! one by one from one peer goes back together.
//!
//! A single datagram is 0.5 µs dearer than with `recv_from`: the control messages, and the look for a second one. How
//! many slots there are does not show, from 8 on; 32 are for bursts of different peers. Neither does their size: room
//! that is not used is not touched. [`Sizes`] has what an endpoint takes.
//!
//! # Which crate
//!
//! `socket2` for what it has a name for; the calls and the control messages by hand (`linux/`). `nix::sendmmsg` gives all
//! messages of a call the same control messages, so that replies to different peers, or from different addresses, cannot
//! share one; and its headers, which it keeps, hold pointers and cannot go to another thread. `quinn-udp` tells neither
//! the destination of an error nor what was quoted.

// What only Linux tells has fields on every system.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use resound_core::datagram::{Cast, End};
use resound_core::signal::IcmpError;

use crate::port::Left;

mod courier;
mod describe;
mod endpoint;
mod group;
mod icmp_errors;
mod message;
mod options;
mod serve;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as sys;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other as sys;

use message::Message;

pub use courier::Counts;
pub use describe::describe;
pub use endpoint::{Endpoint, Exchange, Sizes};
pub use group::bind_group;
pub use icmp_errors::icmp_errors;
pub use options::{
    Broadcast, Errors, Fragmentation, Group, Loopback, Multicast, Offload, Options, Share, bind, bind_any,
    missing_family,
};
pub use serve::{ServerConfig, echo_servers};

/// The most bytes that come in as one train, or as one datagram.
const LONGEST_TRAIN: usize = 65_535;

/// The most datagrams of one message (UDP_MAX_SEGMENTS before Linux 6.9).
const MOST_SEGMENTS: usize = 64;

/// What a task can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Datagrams.
    Read,
    /// Something in the error queue. Asked only of a socket that has one.
    Errors,
    /// Room for what is to be sent.
    Write,
}

/// A non-blocking UDP socket that a runtime watches. Dropping it closes the descriptor.
pub trait Socket: AsFd + Sized + 'static {
    /// What the runtime needs to watch a socket, lent for one turn.
    type Context<'a>;

    /// Hands a non-blocking descriptor to the runtime.
    ///
    /// # Errors
    ///
    /// What the system said: usually that it has no memory for one more.
    fn register(fd: OwnedFd, cx: &mut Self::Context<'_>) -> io::Result<Self>;

    /// Ready if this is worth a call; else whoever `cx` stands for is woken when it is. Better too often ready than once
    /// too seldom: a call in vain says so.
    ///
    /// An error makes a socket ready for [`Want::Errors`], and **on Linux for nothing else**: `EPOLLERR` comes without
    /// `EPOLLIN`. A runtime that cannot tell the two apart says "ready" to both. [`Want::Read`] must be ready too when
    /// there is an error: it can be one that only the next call tells.
    ///
    /// # Errors
    ///
    /// The runtime can no longer watch it, usually because it is shutting down.
    fn poll_ready(&mut self, want: Want, cx: &mut Self::Context<'_>) -> Poll<io::Result<()>>;

    /// Makes `call`, once, unless the runtime remembers that the socket is not ready; `None` then. After
    /// [`Left::Nothing`] the runtime forgets the readiness that it had seen **before** the call, and no later one: an
    /// event that came meanwhile must not be lost.
    fn attempt<T>(&mut self, want: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T>;
}

/// What came in.
#[derive(Debug)]
struct Arrival<'a> {
    from: SocketAddr,
    to: Option<IpAddr>,
    cast: Cast,
    /// Where an answer is to come from.
    source: Option<Source>,
    bytes: &'a [u8],
    size: usize,
    end: End,
    /// How many datagrams were dropped since the socket was made, where this one says so.
    dropped: Option<u32>,
}

/// Where a datagram comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    address: IpAddr,
    /// Zero: as the routes say.
    interface: u32,
}

/// What is in the error queue.
#[derive(Debug)]
enum Entry<'a> {
    /// Somebody sent an ICMP error about a datagram.
    Icmp { error: IcmpError, quote: &'a [u8] },
    /// This host says so of the send that just failed.
    Local { mtu: Option<u32> },
}

/// What a socket is.
#[derive(Clone, Copy, Debug)]
struct Facts {
    family: sys::Family,
    /// Whether it has an error queue.
    errors: bool,
    /// Whether several datagrams may come as one.
    trains: bool,
    /// How many datagrams one message may be cut into.
    segments: usize,
}
