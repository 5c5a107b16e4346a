//! How long a connect goes on trying.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc::{self, c_int};

/// How often a SYN that nobody answers is sent again before the connect fails with ETIMEDOUT (TCP_SYNCNT, Linux; tcp(7)),
/// 1 to 127, instead of what `net.ipv4.tcp_syn_retries` says.
///
/// # Errors
///
/// EINVAL for another number; ENOPROTOOPT for what is not a TCP socket.
#[allow(unsafe_code, reason = "neither nix, socket2 nor rustix has TCP_SYNCNT")]
pub fn set_syn_retries(fd: impl AsFd, times: u8) -> io::Result<()> {
    let value = c_int::from(times);
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `fd` is open for as long as it is borrowed; the pointer is to `len` readable bytes, and is not kept.
    let answer = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const value).cast(),
            len,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
