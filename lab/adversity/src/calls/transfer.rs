//! What moves bytes and datagrams.

use core::ffi::{c_int, c_uint, c_void};
use core::slice;

use libc::{POLLIN, POLLOUT, iovec, mmsghdr, msghdr, size_t, ssize_t, timespec};

use super::{Fate, arrives, errno, fate, set_errno};
use crate::plan::{Kind, Plan};
use crate::real;
use crate::socket::Inet;
use crate::tally::{Call, bent};

/// Less than was asked for.
struct Part {
    plan: &'static Plan,
    kind: Kind,
    most: usize,
}

impl Part {
    /// How much of the whole, if it is to be less: often one, for that is where the mistakes are.
    fn of(plan: &'static Plan, kind: Kind, whole: usize) -> Option<Self> {
        if whole < 2 {
            return None;
        }
        let drawn = usize::try_from(plan.roll(kind)?).unwrap_or(0);
        let most = if drawn % 2 == 0 { 1 } else { 1 + (drawn / 2) % (whole.min(4_096) - 1) };
        Some(Self { plan, kind, most })
    }

    /// Whether it was bent: as much moved as could. Where there was less, nothing was held back.
    fn is_all(&self, moved: usize) -> bool {
        moved == self.most
    }

    /// After the call: counts it, and has the rest arrive. errno is left as the call left it.
    fn moved(self, call: Call, fd: c_int, moved: usize) {
        if self.is_all(moved) {
            let last = errno();
            bent(call, self.kind);
            arrives(self.plan, call, fd);
            set_errno(last);
        }
    }
}

/// What a call says that it moved; nothing, if it failed.
fn count(answer: impl TryInto<usize>) -> usize {
    answer.try_into().unwrap_or(0)
}

// Streams.

#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    let part = match fate(Call::Recv, fd, POLLIN, flags) {
        Fate::Made(plan, Inet::Stream) => Part::of(plan, Kind::Short, len),
        Fate::Made(..) | Fate::AsIs => None,
        Fate::Fails => return -1,
    };
    let most = part.as_ref().map_or(len, |part| part.most);
    // SAFETY: the caller's buffer, or the beginning of it.
    let got = unsafe { real::recv(fd, buf, most, flags) };
    part.into_iter().for_each(|part| part.moved(Call::Recv, fd, count(got)));
    got
}

#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    let part = match fate(Call::Send, fd, POLLOUT, flags) {
        Fate::Made(plan, Inet::Stream) => Part::of(plan, Kind::Short, len),
        Fate::Made(..) | Fate::AsIs => None,
        Fate::Fails => return -1,
    };
    let most = part.as_ref().map_or(len, |part| part.most);
    // SAFETY: the caller's buffer, or the beginning of it.
    let sent = unsafe { real::send(fd, buf, most, flags) };
    part.into_iter().for_each(|part| part.moved(Call::Send, fd, count(sent)));
    sent
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    const MOST: usize = 64;
    let plan = match fate(Call::SendMsg, fd, POLLOUT, flags) {
        Fate::Fails => return -1,
        Fate::Made(plan, Inet::Stream) if !message.is_null() => plan,
        // SAFETY: the caller's own promise.
        _ => return unsafe { real::sendmsg(fd, message, flags) },
    };
    // SAFETY: a message that is to be sent points to a valid header and to as many pieces as it says, all of which stay
    // for the length of the call. It is copied, and the copy changed.
    let (mut header, pieces) = unsafe {
        let header = *message;
        (
            header,
            if header.msg_iovlen == 0 {
                &[]
            } else {
                slice::from_raw_parts(header.msg_iov, header.msg_iovlen)
            },
        )
    };
    let mut some = [iovec { iov_base: core::ptr::null_mut(), iov_len: 0 }; MOST];
    let part = Part::of(plan, Kind::Short, pieces.iter().map(|piece| piece.iov_len).sum());
    if let Some(part) = &part {
        header.msg_iovlen = cut(pieces, part.most, &mut some);
        header.msg_iov = some.as_mut_ptr();
    }
    // SAFETY: the caller's header, with the caller's pieces or the beginning of them.
    let sent = unsafe { real::sendmsg(fd, &raw const header, flags) };
    part.into_iter().for_each(|part| part.moved(Call::SendMsg, fd, count(sent)));
    sent
}

/// The first pieces of `pieces` that hold at most `most` bytes, the last of them cut; how many they are.
fn cut(pieces: &[iovec], most: usize, into: &mut [iovec]) -> usize {
    let (mut left, mut used) = (most, 0);
    for (piece, slot) in pieces.iter().zip(into) {
        if left == 0 {
            break;
        }
        let len = piece.iov_len.min(left);
        *slot = iovec { iov_base: piece.iov_base, iov_len: len };
        left -= len;
        used += 1;
    }
    used
}

// Datagrams.

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    slots: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    let part = match fate(Call::RecvMmsg, fd, POLLIN, flags) {
        Fate::Made(plan, _) => Part::of(plan, Kind::Few, slots as usize),
        Fate::AsIs => None,
        Fate::Fails => return -1,
    };
    let most = part.as_ref().map_or(slots, |part| part.most as c_uint);
    // SAFETY: the caller's messages, or the first of them.
    let got = unsafe { real::recvmmsg(fd, messages, most, flags, timeout) };
    part.into_iter().for_each(|part| part.moved(Call::RecvMmsg, fd, count(got)));
    got
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, filled: c_uint, flags: c_int) -> c_int {
    let part = match fate(Call::SendMmsg, fd, POLLOUT, flags) {
        Fate::Made(plan, _) => Part::of(plan, Kind::Few, filled as usize),
        Fate::AsIs => None,
        Fate::Fails => return -1,
    };
    let most = part.as_ref().map_or(filled, |part| part.most as c_uint);
    // SAFETY: the caller's messages, or the first of them.
    let sent = unsafe { real::sendmmsg(fd, messages, most, flags) };
    // It brings no edge: that fewer were sent does not say that there was no room (sendmmsg(2)).
    if part.is_some_and(|part| part.is_all(count(sent))) {
        bent(Call::SendMmsg, Kind::Few);
    }
    sent
}
