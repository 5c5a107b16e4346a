//! Messages to be sent: what one entry of a `sendmmsg` is.

use core::net::SocketAddr;
use core::num::NonZeroU16;

use super::sys::Arrivals;
use super::{Arrival, MOST_SEGMENTS, Source};

/// The most bytes of one message: what a UDP datagram over IPv4 can carry.
const LONGEST: usize = 65_507;

/// A datagram, or several of one size (the last may be shorter) for one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) to: SocketAddr,
    pub(super) source: Option<Source>,
    /// How long each datagram is, but the last, if the kernel is to cut them apart.
    pub(super) segments: Option<NonZeroU16>,
    bytes: Bytes<'a>,
}

/// Where its bytes lie.
#[derive(Clone, Copy, Debug)]
enum Bytes<'a> {
    Here(&'a [u8]),
    /// Where they were received. A datagram never spans two of them.
    There(&'a Arrivals, &'a [Reply]),
}

/// What goes back of what came into a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    slot: usize,
    /// How many bytes of it.
    bytes: usize,
}

impl Reply {
    fn bytes<'a>(&self, arrivals: &'a Arrivals) -> &'a [u8] {
        arrivals.get(self.slot).map_or(&[], |arrival| &arrival.bytes[..self.bytes])
    }
}

impl<'a> Message<'a> {
    /// What lies here: one datagram, or several of this size.
    pub(super) fn new(to: SocketAddr, bytes: &'a [u8], size: usize) -> Self {
        Self { to, source: None, segments: segments(size, bytes.len()), bytes: Bytes::Here(bytes) }
    }

    /// Its bytes, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (here, there) = match self.bytes {
            Bytes::Here(bytes) => (Some(bytes), None),
            Bytes::There(arrivals, replies) => (None, Some((arrivals, replies))),
        };
        let there = there
            .into_iter()
            .flat_map(|(arrivals, replies)| replies.iter().map(|reply| reply.bytes(arrivals)));
        here.into_iter().chain(there)
    }

    /// Its datagrams, each as a message.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Self> + use<'a> {
        let (to, source, size) = (self.to, self.source, self.segments);
        let one = move |bytes| Self { to, source, segments: None, bytes: Bytes::Here(bytes) };
        let whole = if size.is_none() { self.pieces().next() } else { None };
        let cut = size.map(|size| self.pieces().flat_map(move |piece| piece.chunks(size.get().into())));
        whole.into_iter().chain(cut.into_iter().flatten()).map(one)
    }

    /// The bytes of a single datagram.
    pub(super) fn datagram(&self) -> &'a [u8] {
        self.pieces().next().unwrap_or_default()
    }
}

fn segments(size: usize, bytes: usize) -> Option<NonZeroU16> {
    u16::try_from(size).ok().filter(|&size| usize::from(size) < bytes).and_then(NonZeroU16::new)
}

/// What goes back, sorted into messages: what follows each other to one peer and has one size is one, though it came one
/// by one. It is sent from where it lies.
#[derive(Debug)]
pub(super) struct Replies {
    replies: Vec<Reply>,
    groups: Vec<Group>,
    segments: usize,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first: usize,
    size: usize,
    bytes: usize,
}

impl Replies {
    /// Room for what comes in with one read; how many datagrams a message may have.
    pub(super) fn new(most: usize, segments: usize) -> Self {
        Self { replies: Vec::with_capacity(most), groups: Vec::with_capacity(most), segments }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.replies.clear();
        self.groups.clear();
    }

    /// The first `datagrams` of what came into this slot go back. Longer ones than `longest` go alone.
    pub(super) fn push(&mut self, slot: usize, arrivals: &Arrivals, datagrams: usize, longest: usize) {
        let Some(arrival) = arrivals.get(slot) else { return };
        let bytes = datagrams.saturating_mul(arrival.size).min(arrival.bytes.len());
        if !self.extend_last(&arrival, arrivals, bytes, longest) {
            self.groups.push(Group { first: self.replies.len(), size: arrival.size, bytes });
        }
        self.replies.push(Reply { slot, bytes });
    }

    /// A shorter datagram can only be a message's last, an empty one is always alone.
    fn extend_last(
        &mut self,
        arrival: &Arrival<'_>,
        arrivals: &Arrivals,
        bytes: usize,
        longest: usize,
    ) -> bool {
        let segments = self.segments.min(MOST_SEGMENTS);
        let Some(group) = self.groups.last_mut() else { return false };
        let Some(first) = self.replies.get(group.first).and_then(|first| arrivals.get(first.slot)) else {
            return false;
        };
        let size = group.size;
        let fits = bytes > 0
            && size > 0
            && size <= longest
            && group.bytes % size == 0
            && (arrival.size == size || bytes <= size && bytes <= arrival.size)
            && group.bytes / size + bytes.div_ceil(size) <= segments
            && group.bytes + bytes <= LONGEST
            && (first.from, first.source) == (arrival.from, arrival.source);
        if fits {
            group.bytes += bytes;
        }
        fits
    }

    /// A message.
    pub(super) fn message<'a>(&'a self, at: usize, arrivals: &'a Arrivals) -> Option<Message<'a>> {
        let group = self.groups.get(at)?;
        let end = self.groups.get(at + 1).map_or(self.replies.len(), |next| next.first);
        let replies = &self.replies[group.first..end];
        let arrival = arrivals.get(replies.first()?.slot)?;
        Some(Message {
            to: arrival.from,
            source: arrival.source,
            segments: segments(group.size, group.bytes),
            bytes: Bytes::There(arrivals, replies),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    /// What becomes of datagrams of these lengths, all of one peer: how many each message has, and how long they are.
    fn grouped(lengths: &[usize], segments: usize, longest: usize) -> Vec<(usize, Vec<usize>)> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for &len in lengths {
            socket.send_to(&vec![7; len], socket.local_addr().unwrap()).unwrap();
        }
        let mut arrivals = Arrivals::new(64, 65_535);
        assert_eq!(arrivals.receive(socket.as_fd()), Ok(lengths.len()));
        let mut replies = Replies::new(64, segments);
        (0..lengths.len()).for_each(|slot| replies.push(slot, &arrivals, 1, longest));
        let messages = (0..).map_while(|at| replies.message(at, &arrivals));
        let sizes = |message: Message<'_>| message.datagrams().map(|one| one.datagram().len()).collect();
        messages
            .map(|message| (message.segments.map_or(0, |size| size.get().into()), sizes(message)))
            .collect()
    }

    #[test]
    fn what_came_one_by_one_goes_back_together() {
        assert_eq!(grouped(&[9, 9, 9, 4], 64, 99), [(9, vec![9, 9, 9, 4])]);
        assert_eq!(grouped(&[9, 4, 9], 64, 99), [(9, vec![9, 4]), (0, vec![9])]);
        assert_eq!(grouped(&[4, 9, 9], 64, 99), [(0, vec![4]), (9, vec![9, 9])]);
        assert_eq!(grouped(&[0, 0, 9, 0], 64, 99), [(0, vec![0]), (0, vec![0]), (0, vec![9]), (0, vec![0])]);
    }

    #[test]
    fn no_message_is_longer_than_a_kernel_takes() {
        assert_eq!(grouped(&[9, 9, 9], 2, 99), [(9, vec![9, 9]), (0, vec![9])]);
        assert_eq!(grouped(&[9, 9], 1, 99), [(0, vec![9]), (0, vec![9])]);
        assert_eq!(grouped(&[9, 9], 64, 8), [(0, vec![9]), (0, vec![9])]);
        let long = LONGEST / 2 + 1;
        assert_eq!(grouped(&[long, long], 64, long), [(0, vec![long]), (0, vec![long])]);
    }
}
