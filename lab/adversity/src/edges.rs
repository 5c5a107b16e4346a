//! What is watched edge-triggered, so that what was held back brings its edge, and ghosts have somebody to haunt.

#![allow(unsafe_code, reason = "registrations are armed anew behind their owner's back")]

use core::ffi::c_int;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLIN, EPOLLOUT, epoll_event};

use crate::real;
use crate::socket::{Inet, inet};

/// A registration that was made edge-triggered.
#[derive(Clone, Copy)]
struct Watch {
    epoll: c_int,
    fd: c_int,
    event: epoll_event,
}

/// One that outlives its descriptor, because that was closed without a word, does no harm: arming it is ENOENT.
static WATCHES: Mutex<Vec<Watch>> = Mutex::new(Vec::new());

/// Nothing panics while it is held.
fn watches() -> MutexGuard<'static, Vec<Watch>> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the call, and notes what it did. Both under one lock, so that the list is never ahead of the kernel or behind.
///
/// # Safety
///
/// As epoll_ctl(2).
pub(crate) unsafe fn control(epoll: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    let mut watches = watches();
    // SAFETY: the caller's own promise.
    let answer = unsafe { real::epoll_ctl(epoll, op, fd, event) };
    if answer == 0 && matches!(op, EPOLL_CTL_ADD | EPOLL_CTL_MOD | EPOLL_CTL_DEL) {
        watches.retain(|watch| (watch.epoll, watch.fd) != (epoll, fd));
        if op != EPOLL_CTL_DEL {
            // SAFETY: the kernel has just read it.
            let event = unsafe { *event };
            if event.events & EPOLLET as u32 != 0 {
                watches.push(Watch { epoll, fd, event });
            }
        }
    }
    answer
}

/// Has the kernel report what a descriptor is ready for, as if it had become so just now.
pub(crate) fn bring(fd: c_int) {
    for watch in watches().iter_mut().filter(|watch| watch.fd == fd) {
        // SAFETY: the event is a copy of the one that it was registered with. A registration that is gone is ENOENT, a
        // descriptor that is gone EBADF.
        unsafe { real::epoll_ctl(watch.epoll, EPOLL_CTL_MOD, watch.fd, &raw mut watch.event) };
    }
}

/// A report of readiness that is not there, for one of the sockets that this epoll watches in whatever way.
///
/// The kernel itself is asked for them (`ep_show_fdinfo`): one epoll may have several descriptors, and mio registers with
/// one and waits with another.
pub(crate) fn ghost(epoll: c_int, drawn: u64) -> Option<epoll_event> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")).ok()?;
    let sockets: Vec<(Inet, epoll_event)> = info.lines().filter_map(registered).collect();
    let count = u64::try_from(sockets.len()).ok()?;
    let (inet, event) = sockets.get(usize::try_from(drawn.checked_rem(count)?).ok()?)?;
    let choices: &[c_int] = match inet {
        Inet::Listener => &[EPOLLIN],
        Inet::Stream => &[EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT],
        // Errors are told even to those who did not ask.
        Inet::Datagrams => &[EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLERR],
    };
    let told = choices[(drawn / count) as usize % choices.len()] as u32 & (event.events | EPOLLERR as u32);
    (told != 0).then_some(epoll_event { events: told, u64: event.u64 })
}

/// One line: `tfd:       10 events: 80002005 data: 7f0c98001230  pos:0 ino:1 sdev:9`.
fn registered(line: &str) -> Option<(Inet, epoll_event)> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let mut after = |label: &str| words.find(|word| *word == label).and_then(|_| words.next());
    let events = u32::from_str_radix(after("events:")?, 16).ok()?;
    let data = u64::from_str_radix(after("data:")?, 16).ok()?;
    let fd = line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok()?;
    Some((inet(fd)?, epoll_event { events, u64: data }))
}
