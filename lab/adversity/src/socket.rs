//! What a descriptor is: only TCP and UDP sockets that do not block are bent.

use core::ffi::c_int;
use std::os::fd::BorrowedFd;

use libc::MSG_DONTWAIT;
use socket2::{Domain, SockRef, Type};

/// An internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inet {
    Stream,
    Listener,
    Datagrams,
}

/// Which kind of socket it is; `None` for anything else.
pub(crate) fn inet(fd: c_int) -> Option<Inet> {
    asked(fd, |socket| {
        let inet = matches!(socket.domain().ok()?, Domain::IPV4 | Domain::IPV6);
        match socket.r#type().ok()? {
            _ if !inet => None,
            Type::STREAM if socket.is_listener().ok()? => Some(Inet::Listener),
            Type::STREAM => Some(Inet::Stream),
            Type::DGRAM => Some(Inet::Datagrams),
            _ => None,
        }
    })
}

/// The same of one on which a call with these flags does not block.
pub(crate) fn unblocked(fd: c_int, flags: c_int) -> Option<Inet> {
    let inet = inet(fd)?;
    let unblocked = flags & MSG_DONTWAIT != 0 || asked(fd, |socket| socket.nonblocking().ok())?;
    unblocked.then_some(inet)
}

fn asked<T>(fd: c_int, ask: impl FnOnce(SockRef<'_>) -> Option<T>) -> Option<T> {
    if fd < 0 {
        return None;
    }
    #[allow(unsafe_code, reason = "a call's descriptor is a number")]
    // SAFETY: it is not -1. Whoever makes the call keeps it open meanwhile; if not, each question is answered with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    ask(SockRef::from(&fd))
}
