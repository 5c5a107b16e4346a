//! The calls themselves, in place of libc's.
//!
//! Each asks in the same way: whether the thread is one that the plan concerns, whether the descriptor is a socket that
//! does not block, then the dice. None panics: C cannot be unwound through.

#![allow(unsafe_code, reason = "functions that take the place of the C library's, with its types")]

use core::ffi::{c_int, c_short};
use core::time::Duration;
use std::thread;

use libc::{EAGAIN, EINTR, MSG_ERRQUEUE, pollfd};

use crate::plan::{Kind, Plan};
use crate::socket::{Inet, unblocked};
use crate::tally::{Call, bent, made};
use crate::{edges, real};

mod begin;
mod transfer;
mod wait;

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
