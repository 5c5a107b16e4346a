//! The calls of libc itself, found behind ours.

#![allow(unsafe_code, reason = "the C library's functions, by their names")]

use core::ffi::{CStr, c_int, c_uint, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{epoll_event, mmsghdr, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timespec};

/// A function that is looked up once.
struct Symbol {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Symbol {
    const fn new(name: &'static CStr) -> Self {
        Self { name, at: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Where it is; never null.
    fn find(&self) -> *mut c_void {
        let known = self.at.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends with a zero byte and lives for ever.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // A call without a real one behind it cannot be answered, and C cannot be unwound through.
            std::process::abort();
        }
        self.at.store(found, Ordering::Relaxed);
        found
    }
}

macro_rules! real {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        /// # Safety
        ///
        /// As the call of this name in C.
        pub(crate) unsafe fn $name($($arg: $type),*) -> $answer {
            static SYMBOL: Symbol = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => Symbol::new(name),
                Err(_) => panic!("a name has no zero byte in it"),
            };
            type Function = unsafe extern "C" fn($($type),*) -> $answer;
            // SAFETY: the symbol is the C library's function of this name, and has this type: it is the one that the
            // `libc` crate declares it with.
            let call: Function = unsafe { core::mem::transmute::<*mut c_void, Function>(SYMBOL.find()) };
            // SAFETY: the caller keeps the call's own rules.
            unsafe { call($($arg),*) }
        }
    )*};
}

real! {
    recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t;
    recvmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec) -> c_int;
    send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t;
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int;
    poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    epoll_wait(epoll: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    epoll_ctl(epoll: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    accept4(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
    connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int;
    getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int;
}
