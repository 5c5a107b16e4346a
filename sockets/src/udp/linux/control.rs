//! Control messages, read and written as bytes: a header of length, level and type, then the data, padded
//! (`struct cmsghdr`, cmsg(3)).
//!
//! By hand: only bytes at offsets need no `unsafe`, and a few comparisons for each datagram are all that it costs.

use nix::libc::{self, c_int};

const WORD: usize = size_of::<usize>();
/// Length (a `size_t`), level and type.
const HEADER: usize = WORD + 8;

const fn padded(len: usize) -> usize {
    len.next_multiple_of(WORD)
}

/// Room for `data` bytes of one message.
const fn space(data: usize) -> usize {
    padded(HEADER) + padded(data)
}

const IN_PKTINFO: usize = size_of::<libc::in_pktinfo>();
const IN6_PKTINFO: usize = size_of::<libc::in6_pktinfo>();
/// `struct sock_extended_err` and the offender behind it.
const EXTENDED_ERR: usize = 16 + size_of::<libc::sockaddr_in6>();

/// What a datagram or an error can bring along: both kinds of packet information (a dual-stack socket gives both of an
/// IPv4 datagram), the overflow counter, the segments' size, the error.
pub(super) const ROOM: usize =
    space(IN_PKTINFO) + space(IN6_PKTINFO) + space(4) + space(4) + space(EXTENDED_ERR);

/// What a datagram can take along: where it comes from, and the segments' size.
const ROOM_OUT: usize = space(IN6_PKTINFO) + space(2);

/// Aligned as the kernel wants it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Room(pub(super) [u8; ROOM]);

/// One control message.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) level: c_int,
    pub(super) kind: c_int,
    pub(super) data: &'a [u8],
}

/// Every message in these bytes, until one makes no sense.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    core::iter::from_fn(move || {
        let len = usize::from_ne_bytes(*bytes.first_chunk()?);
        let data = bytes.get(padded(HEADER)..len)?;
        let message = Message { level: int(bytes, WORD)?, kind: int(bytes, WORD + 4)?, data };
        bytes = bytes.get(padded(len)..).unwrap_or_default();
        Some(message)
    })
}

/// The `int` at this offset.
pub(super) fn int(bytes: &[u8], at: usize) -> Option<c_int> {
    bytes.get(at..)?.first_chunk().map(|bytes| c_int::from_ne_bytes(*bytes))
}

/// The 32 bits at this offset.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Messages to go along with a datagram.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Outgoing {
    pub(super) bytes: [u8; ROOM_OUT],
    pub(super) len: usize,
}

impl Outgoing {
    pub(super) const EMPTY: Self = Self { bytes: [0; ROOM_OUT], len: 0 };

    /// Appends one. There is room for one of each kind that is ever sent.
    pub(super) fn push(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        let to = &mut self.bytes[self.len..];
        to[..WORD].copy_from_slice(&(padded(HEADER) + data.len()).to_ne_bytes());
        to[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        to[WORD + 4..WORD + 8].copy_from_slice(&kind.to_ne_bytes());
        to[padded(HEADER)..][..data.len()].copy_from_slice(data);
        self.len += space(data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Outgoing::EMPTY;
        out.push(41, 50, &[7; IN6_PKTINFO]);
        out.push(17, 103, &[1, 2]);
        assert_eq!(out.len, ROOM_OUT);
        let read: Vec<_> = messages(&out.bytes).map(|m| (m.level, m.kind, m.data.len())).collect();
        assert_eq!(read, [(41, 50, IN6_PKTINFO), (17, 103, 2)]);
    }

    #[test]
    fn the_layout_is_that_of_the_system() {
        for data in 0..40 {
            // SAFETY: both only compute.
            #[allow(unsafe_code, reason = "libc's macros are declared unsafe")]
            let (space_of, len_of) = unsafe { (libc::CMSG_SPACE(data), libc::CMSG_LEN(data)) };
            assert_eq!(space(data as usize), space_of as usize);
            assert_eq!(padded(HEADER) + data as usize, len_of as usize);
        }
    }

    #[test]
    fn nonsense_ends_the_reading() {
        assert_eq!(messages(&[]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(messages(&[0xff; 64]).count(), 0);
        let mut out = Outgoing::EMPTY;
        out.push(17, 103, &[1, 2]);
        assert_eq!(messages(&out.bytes[..HEADER + 1]).count(), 0);
    }
}
