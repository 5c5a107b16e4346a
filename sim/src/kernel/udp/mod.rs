//! UDP: datagrams, the error that the next call takes, the error queue, and what all of it weighs.
//!
//! # Theory of operation
//!
//! ```text
//!                    ┌────────────────── Udp ──────────────────┐
//!   datagram ──────► │ queue  ──────────────────► recv_from    │   an error that is pending goes first
//!   ICMP ──────────► │ sk_err ───► whoever asks first, once    │   send_to, recv_from, SO_ERROR
//!       (RECVERR) ─► │ errors ──────────────────► recv_error   │   reading one arms sk_err with the next
//!                    │   queue + errors ≤ SO_RCVBUF            │   what has no room is dropped and counted
//!                    └─────────────────────────────────────────┘
//! ```
//!
//! A call that fails with a pending error has not sent what it was given: an error about an earlier datagram steals the
//! next send. Whoever empties the error queue first loses nothing, since reading the last entry clears `sk_err`.
//!
//! Both queues are charged to one buffer, with what a packet takes in memory ([`truesize`]). A socket whose errors nobody
//! reads is deaf therefore, sooner or later. A datagram is dropped if it does not fit, unless nothing at all is charged
//! (`__udp_enqueue_schedule_skb`); an entry is lost if it does not leave at least a byte (`sock_queue_err_skb`), but its
//! error is latched all the same. Linux gives memory back in batches (`forward_deficit`); here it is at once.
//!
//! A datagram that is longer than the path takes travels in fragments, which here is one packet that says so. How
//! long that is follows from the errors of routers ([`path`](super::path)).
//!
//! A group is joined by a host: as long as one of its sockets is in it, its datagrams are for every socket that is bound to
//! the port, members or not (`IP_MULTICAST_ALL`). What is sent to many goes out of the host's first link, and comes back
//! to the sender's own host if that is one of the many (`IP_MULTICAST_LOOP`).
//!
//! Not here: IPv4 over an IPv6 socket (a wildcard takes its own version only), netmasks (so that of all
//! broadcast addresses only 255.255.255.255 is one), the messages by which groups are joined (IGMP, MLD), and
//! `IP_MTU_DISCOVER` (it is `IP_PMTUDISC_WANT`).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use resound_core::signal::{Errno, Version};

use super::errors::{ErrorQueue, has_error_queue};
use super::table::State;
use super::{Fd, Kernel, Kind, Latches, Poll, Profile, QueuedError, UdpOptions, Unverified};
use crate::packet::version;

mod calls;
mod lookup;
mod receive;

/// The least receive buffer (`SOCK_MIN_RCVBUF`).
const LEAST_BUFFER: usize = 2_304;

/// A UDP socket.
#[derive(Debug)]
pub(super) struct Udp {
    latches: Latches,
    /// Port 0: not bound.
    local: SocketAddr,
    /// What `bind` was asked for stays when the socket is dissolved (`SOCK_BINDADDR_LOCK`, `SOCK_BINDPORT_LOCK`).
    keeps_address: bool,
    keeps_port: bool,
    peer: Option<SocketAddr>,
    /// IPv6: `connect(AF_UNSPEC)` forgets the peer's port and not its address (`__udp_disconnect` leaves `sk_v6_daddr`;
    /// measured), so that no other host is heard.
    former: Option<IpAddr>,
    options: UdpOptions,
    /// Groups that it has joined.
    groups: Vec<IpAddr>,
    told_by: ToldBy,
    queue: VecDeque<Held>,
    errors: ErrorQueue,
    /// What both queues take.
    charged: usize,
    room: usize,
    drops: u32,
    /// Windows: errors behind the latched one.
    waiting: VecDeque<Errno>,
}

/// Which calls tell of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToldBy {
    /// Whichever comes first; there is one at a time.
    AnyCall,
    /// Only recv, one after the other (Windows).
    Recv,
}

/// A datagram that waits to be read.
#[derive(Debug)]
struct Held {
    payload: Vec<u8>,
    from: SocketAddr,
    to: IpAddr,
    /// How many were dropped before it was queued.
    dropped: u32,
}

impl Udp {
    fn new(profile: Profile, local: SocketAddr, options: &UdpOptions, default_room: u32) -> Self {
        Self {
            latches: Latches::default(),
            local,
            keeps_address: !local.ip().is_unspecified(),
            keeps_port: local.port() != 0,
            peer: None,
            former: None,
            options: UdpOptions { recverr: options.recverr && has_error_queue(profile), ..*options },
            groups: Vec::new(),
            told_by: match profile {
                Profile::Unverified(Unverified::Windows) => ToldBy::Recv,
                _ => ToldBy::AnyCall,
            },
            queue: VecDeque::new(),
            errors: ErrorQueue::new(),
            charged: 0,
            room: (options.receive_buffer.unwrap_or(default_room) as usize).max(LEAST_BUFFER),
            drops: 0,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn latches(&mut self) -> &mut Latches {
        &mut self.latches
    }

    pub(super) const fn remote(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// An error that nobody has taken does not make the socket readable on Linux (`datagram_poll`).
    pub(super) fn poll(&self) -> Poll {
        let pending = self.latches.hard.is_some();
        Poll {
            readable: !self.queue.is_empty() || (pending && self.told_by == ToldBy::Recv),
            writable: true,
            error: (pending && self.told_by == ToldBy::AnyCall) || !self.errors.is_empty(),
            ..Poll::default()
        }
    }

    fn version(&self) -> Version {
        version(self.local.ip())
    }

    fn state(&self) -> State {
        if self.peer.is_some() { State::Connected } else { State::Unconnected }
    }

    // Errors.

    fn latch(&mut self, errno: Errno) {
        if self.told_by == ToldBy::Recv && self.latches.hard.is_some() {
            self.waiting.push_back(errno);
        } else {
            self.latches.hard = Some(errno);
        }
    }

    /// What recv takes.
    fn take_error(&mut self) -> Option<Errno> {
        let errno = self.latches.take().or_else(|| self.waiting.pop_front())?;
        self.latches.hard = self.waiting.pop_front();
        Some(errno)
    }

    /// Whether there was room for it.
    fn queue_error(&mut self, entry: QueuedError) -> bool {
        let size = entry_size(&entry);
        let fits = self.charged + size < self.room;
        if fits {
            self.charged += size;
            self.errors.push_back(entry);
        }
        fits
    }

    /// The oldest entry. The next one becomes the pending error, and with the last one that is gone
    /// (`sock_dequeue_err_skb`).
    fn pop_error(&mut self) -> Option<QueuedError> {
        let entry = self.errors.pop_front()?;
        self.charged -= entry_size(&entry);
        self.latches.hard = self.errors.front().map(|next| next.errno);
        Some(entry)
    }

    fn purge_errors(&mut self) {
        self.charged -= self.errors.drain(..).map(|entry| entry_size(&entry)).sum::<usize>();
    }

    // Datagrams.

    fn has_room(&self, size: usize) -> bool {
        self.charged == 0 || self.charged + size <= self.room
    }

    fn hold(&mut self, payload: Vec<u8>, from: SocketAddr, to: IpAddr) {
        self.charged += held_size(payload.len(), to);
        self.queue.push_back(Held { payload, from, to, dropped: self.drops });
    }

    fn next(&mut self) -> Option<Held> {
        let held = self.queue.pop_front()?;
        self.charged -= held_size(held.payload.len(), held.to);
        Some(held)
    }
}

/// What a packet of this many bytes, headers included, takes in memory (`skb->truesize`): the buffer and 320 bytes of
/// `skb_shared_info`, in a power of two, and 256 bytes of `sk_buff`. Buffers of up to 256 bytes come from a cache of their
/// own, so that it is 832 for all of these (measured), 1280 up to 704 bytes, and 2304 for a full frame.
const fn truesize(bytes: usize) -> usize {
    if bytes <= 256 { 832 } else { 256 + (bytes + 320).next_power_of_two() }
}

/// What a datagram takes: more than a frame holds arrives in frames, and is kept as these.
const fn held_size(payload: usize, to: IpAddr) -> usize {
    const FRAME: usize = 1_480;
    let headers = link_and_ip(version(to)) + 8;
    if payload <= FRAME {
        return truesize(headers + payload);
    }
    (payload / FRAME) * truesize(headers + FRAME) + truesize(headers + payload % FRAME)
}

/// An error has a header of its own and of ICMP before the quoted ones; ICMP's is as long as UDP's.
fn entry_size(entry: &QueuedError) -> usize {
    truesize(2 * link_and_ip(version(entry.destination.ip())) + entry.quote.len())
}

/// Link layer (as much as is set aside for it) and IP.
const fn link_and_ip(version: Version) -> usize {
    match version {
        Version::V4 => 16 + 20,
        Version::V6 => 16 + 40,
    }
}

impl Kernel {
    fn udp(&self, fd: Fd) -> Option<&Udp> {
        match &self.socket(fd)?.kind {
            Kind::Udp(udp) => Some(udp),
            Kind::Tcp(_) | Kind::Listener(_) => None,
        }
    }

    fn udp_mut(&mut self, fd: Fd) -> Option<&mut Udp> {
        match &mut self.socket_mut(fd)?.kind {
            Kind::Udp(udp) => Some(udp),
            Kind::Tcp(_) | Kind::Listener(_) => None,
        }
    }
}
