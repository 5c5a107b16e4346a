//! How connections begin.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU8, Ordering};

use libc::{
    EALREADY, ECONNABORTED, EHOSTUNREACH, EINPROGRESS, EINTR, ENETDOWN, ENOTCONN, EOPNOTSUPP, EPERM, EPROTO,
    POLLIN, sockaddr, socklen_t,
};

use super::{Fate, arrives, concerned, errno, fate, set_errno};
use crate::plan::Kind;
use crate::real;
use crate::socket::{Inet, unblocked};
use crate::tally::{Call, bent};

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
    let accepted = unsafe { real::accept4(fd, addr, len, flags) };
    // Its number may have been a dial's before.
    dial(accepted).into_iter().for_each(|left| left.store(0, Ordering::Relaxed));
    accepted
}

/// By descriptor: how often each dial may still be said not to be over: once right after `connect`, and once after a report. No kernel says
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
    // Whatever the number belonged to before, it is this dial's now. After EALREADY it goes on as it was.
    let falsely = match last {
        EINPROGRESS if answer < 0 && plan.is_some() => Some(2),
        EALREADY if answer < 0 => None,
        _ => Some(0),
    };
    dial(fd).zip(falsely).into_iter().for_each(|(left, falsely)| left.store(falsely, Ordering::Relaxed));
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
