//! What waits, and what says for whom.

use core::ffi::{c_int, c_short};
use core::slice;

use libc::{EINTR, POLLERR, POLLIN, POLLOUT, epoll_event, nfds_t, pollfd};

use super::{concerned, set_errno};
use crate::plan::Kind;
use crate::socket::{Inet, inet};
use crate::tally::{Call, bent};
use crate::{edges, real};

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
