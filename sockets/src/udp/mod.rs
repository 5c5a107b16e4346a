//! UDP: one socket, many peers; which calls, with which options, and whose fault an error is.

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
mod message;
mod options;

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
pub use options::{
    Broadcast, Errors, Fragmentation, Group, Loopback, Multicast, Offload, Options, Share, bind, bind_any,
    missing_family,
};

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
