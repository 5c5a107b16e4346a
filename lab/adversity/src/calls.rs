//! The calls themselves, in place of libc's.
//!
//! Each has one way of asking: [`concerned`], then the dice. None panics: C cannot be unwound through.

#![allow(unsafe_code, reason = "functions that take the place of the C library's, with its types")]

use core::ffi::{c_int, c_short, c_uint, c_void};
use core::slice;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::thread;

use libc::{
    EAGAIN, ECONNABORTED, EHOSTUNREACH, EINPROGRESS, EINTR, ENETDOWN, ENOTCONN, EOPNOTSUPP, EPERM, EPROTO,
    MSG_ERRQUEUE, POLLERR, POLLIN, POLLOUT, epoll_event, iovec, mmsghdr, msghdr, nfds_t, pollfd, size_t,
    sockaddr, socklen_t, ssize_t, timespec,
};

use crate::plan::{Kind, Plan};
use crate::socket::{Inet, inet, unblocked};
use crate::tally::{Call, bent, made};
use crate::{edges, real};

/// The plan, if it is this thread's; the call is counted then.
fn concerned(call: Call) -> Option<&'static Plan> {
    let plan = crate::plan().filter(|plan| plan.concerns_this_thread())?;
    made(call);
    Some(plan)
}

fn set_errno(errno: c_int) {
    // SAFETY: it is this thread's own, and always there.
    unsafe { *libc::__errno_location() = errno };
}

fn errno() -> c_int {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() }
}

/// What becomes of a call that moves something.
enum Fate {
    AsIs,
    /// It fails; errno says why.
    Fails,
    /// It is made, maybe with less.
    Made(&'static Plan, Inet),
}

/// `way` is POLLIN or POLLOUT: only what would have moved something is said to have nothing to move.
fn fate(call: Call, fd: c_int, way: c_short, flags: c_int) -> Fate {
    let Some(plan) = concerned(call) else { return Fate::AsIs };
    let Some(inet) = unblocked(fd, flags) else { return Fate::AsIs };
    if plan.roll(Kind::Eintr).is_some() {
        bent(call, Kind::Eintr);
        set_errno(EINTR);
        return Fate::Fails;
    }
    // An error is queued before anybody is told of it (`sock_queue_err_skb`): whoever looks finds it.
    if flags & MSG_ERRQUEUE != 0 {
        return Fate::AsIs;
    }
    if plan.roll(Kind::Again).is_some() && ready(fd, way) {
        bent(call, Kind::Again);
        arrives(plan, call, fd);
        set_errno(EAGAIN);
        return Fate::Fails;
    }
    Fate::Made(plan, inet)
}

fn ready(fd: c_int, way: c_short) -> bool {
    let mut asked = pollfd { fd, events: way, revents: 0 };
    // SAFETY: one descriptor is asked about, in an array of one.
    unsafe { real::poll(&raw mut asked, 1, 0) == 1 }
}

/// What was held back arrives: at once, and maybe long before this thread goes on.
fn arrives(plan: &Plan, call: Call, fd: c_int) {
    edges::bring(fd);
    if plan.roll(Kind::Pause).is_some() {
        bent(call, Kind::Pause);
        thread::sleep(Duration::from_micros(100));
    }
}

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

// Waiting.

#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller's own promise.
    let wait = |timeout| unsafe { real::poll(fds, count, timeout) };
    let Some(plan) = concerned(Call::Poll).filter(|_| count > 0 && timeout != 0) else {
        return wait(timeout);
    };
    // SAFETY: `poll` is given an array of so many.
    let polled = unsafe { slice::from_raw_parts_mut(fds, count as usize) };
    if plan.roll(Kind::Eintr).is_some() {
        polled.iter_mut().for_each(|fd| fd.revents = 0);
        bent(Call::Poll, Kind::Eintr);
        set_errno(EINTR);
        return -1;
    }
    let Some(drawn) = plan.roll(Kind::Ghost) else { return wait(timeout) };
    let haunted = polled.iter().position(|fd| told(fd, drawn) != 0);
    let Some(at) = haunted else { return wait(timeout) };
    if wait(0) < 0 {
        return -1;
    }
    // SAFETY: as above; the first slice is used no more.
    let polled = unsafe { slice::from_raw_parts_mut(fds, count as usize) };
    let told = told(&polled[at], drawn);
    if told & !polled[at].revents != 0 {
        bent(Call::Poll, Kind::Ghost);
    }
    polled[at].revents |= told;
    c_int::try_from(polled.iter().filter(|fd| fd.revents != 0).count()).unwrap_or(c_int::MAX)
}

/// What a ghost says of a descriptor.
fn told(polled: &pollfd, drawn: u64) -> c_short {
    let events = match inet(polled.fd) {
        None => return 0,
        Some(Inet::Listener) => POLLIN,
        Some(Inet::Stream) => [POLLIN, POLLOUT, POLLIN | POLLOUT][(drawn % 3) as usize],
        // Errors are told even to those who did not ask.
        Some(Inet::Datagrams) => [POLLIN, POLLOUT, POLLIN | POLLOUT, POLLERR][(drawn % 4) as usize],
    };
    events & (polled.events | POLLERR)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's own promise.
    let wait = |timeout| unsafe { real::epoll_wait(epoll, events, most, timeout) };
    let Some(plan) = concerned(Call::EpollWait) else { return wait(timeout) };
    if timeout != 0 && plan.roll(Kind::Eintr).is_some() {
        bent(Call::EpollWait, Kind::Eintr);
        set_errno(EINTR);
        return -1;
    }
    let ghost = plan.roll(Kind::Ghost).and_then(|drawn| edges::ghost(epoll, drawn));
    let Some(ghost) = ghost else { return wait(timeout) };
    let got = wait(0);
    let Ok(real) = usize::try_from(got) else { return got };
    // SAFETY: `epoll_wait` is given room for so many, of which it has written the first; they are plain integers, and a
    // pointer to what was not written is not read through.
    let told = unsafe { slice::from_raw_parts_mut(events, real) };
    let same = |event: &&mut epoll_event| {
        let key = event.u64;
        key == { ghost.u64 }
    };
    if let Some(event) = told.iter_mut().find(same) {
        // A kernel has one report for one registration.
        let both = event.events | ghost.events;
        if both != { event.events } {
            bent(Call::EpollWait, Kind::Ghost);
        }
        event.events = both;
        return got;
    }
    if got == most {
        return got;
    }
    bent(Call::EpollWait, Kind::Ghost);
    // SAFETY: there is room for `most`, and `real` is less.
    unsafe { events.add(real).write(ghost) };
    got + 1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_ctl(epoll: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    if crate::plan().is_none() {
        // SAFETY: the caller's own promise.
        return unsafe { real::epoll_ctl(epoll, op, fd, event) };
    }
    // SAFETY: the caller's own promise.
    unsafe { edges::control(epoll, op, fd, event) }
}

// The beginning.

/// What accept(2) says of a connection that it does not hand over, and asks to be passed over.
const OF_ANOTHER: [c_int; 6] = [ECONNABORTED, EHOSTUNREACH, ENETDOWN, EOPNOTSUPP, EPERM, EPROTO];

#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int {
    match fate(Call::Accept4, fd, POLLIN, 0) {
        Fate::Fails => return -1,
        Fate::Made(plan, _) => {
            if let Some(drawn) = plan.roll(Kind::Aborted) {
                bent(Call::Accept4, Kind::Aborted);
                set_errno(OF_ANOTHER[(drawn % OF_ANOTHER.len() as u64) as usize]);
                return -1;
            }
        }
        Fate::AsIs => {}
    }
    // SAFETY: the caller's own promise.
    unsafe { real::accept4(fd, addr, len, flags) }
}

/// How often each dial may still be said not to be over: once right after `connect`, and once after a report. No kernel says
/// so of a socket for which poll(2) says that it is ready.
static DIALS: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

fn dial(fd: c_int) -> Option<&'static AtomicU8> {
    DIALS.get(usize::try_from(fd).ok()?)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    let plan = concerned(Call::Connect).filter(|_| unblocked(fd, 0) == Some(Inet::Stream));
    let interrupted = plan.and_then(|plan| plan.roll(Kind::Eintr));
    if interrupted.is_some() {
        bent(Call::Connect, Kind::Eintr);
    }
    // One interruption in two comes before anything has begun.
    if interrupted.is_some_and(|drawn| drawn % 2 == 0) {
        set_errno(EINTR);
        return -1;
    }
    // SAFETY: the caller's own promise.
    let answer = unsafe { real::connect(fd, addr, len) };
    let last = errno();
    if plan.is_some() && answer < 0 && last == EINPROGRESS {
        dial(fd).into_iter().for_each(|left| left.store(2, Ordering::Relaxed));
    }
    let begun = answer == 0 || last == EINPROGRESS;
    if interrupted.is_some() && begun {
        set_errno(EINTR);
        return -1;
    }
    set_errno(last);
    answer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let plan = concerned(Call::GetPeerName);
    // SAFETY: the caller's own promise.
    let answer = unsafe { real::getpeername(fd, addr, len) };
    let (Some(plan), Some(left)) = (plan, dial(fd)) else { return answer };
    let may = left.load(Ordering::Relaxed);
    if answer < 0 {
        // It is not over. From now on it can be said falsely once: a report, and one that came too early.
        left.store(may.min(1), Ordering::Relaxed);
        return answer;
    }
    if may > 0 && plan.roll(Kind::Later).is_some() {
        left.store(may - 1, Ordering::Relaxed);
        bent(Call::GetPeerName, Kind::Later);
        arrives(plan, Call::GetPeerName, fd);
        set_errno(ENOTCONN);
        return -1;
    }
    left.store(0, Ordering::Relaxed);
    answer
}
