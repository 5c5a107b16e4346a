//! For whoever wants to know everything about one attempt: a dial whose ICMP errors are kept, and what was never
//! acknowledged.

use core::net::SocketAddr;
use std::net::TcpStream;
use std::os::fd::AsFd;

use resound_core::signal::Signal;
use socket2::Socket;

use super::dial::{DialOptions, begin_with};
use crate::errno;

/// Begins to connect, from a new non-blocking socket that keeps the ICMP errors about it (`IP_RECVERR`, Linux). Wait
/// until it is writable or in error; then ask [`icmp_errors`](crate::udp::icmp_errors) who says what, and
/// [`finish_dial`](super::finish_dial) how it ended.
///
/// ip(7) says that TCP has no error queue. It has one as long as the connect is under way (`tcp_v4_err`). Once the
/// connection stands the option has another effect: each ICMP error fails one `read` or `write`, and the connection
/// goes on all the same. Whether it does, `peer_addr` tells. A diagnosis wants to hear of them; an adapter does not.
///
/// # Errors
///
/// What a call said at once. That is this host's own word: whatever comes from the network comes later.
pub fn dial_witnessed(to: SocketAddr) -> Result<TcpStream, Signal> {
    begin_with(to, &DialOptions::default(), |socket| hear(socket, to)).map_err(|error| errno::signal(&error))
}

#[cfg(target_os = "linux")]
fn hear(socket: &Socket, to: SocketAddr) -> std::io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    // IPv4 errors reach an IPv6 socket through the option of IPv4.
    setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    if to.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn hear(_: &Socket, _: SocketAddr) -> std::io::Result<()> {
    Ok(())
}

/// How many bytes this side has taken from the program and the peer has not acknowledged, sent or not (`SIOCOUTQ`,
/// Linux): what would be lost if the connection ended now. `None` where it cannot be asked.
#[must_use]
pub fn outstanding(fd: impl AsFd) -> Option<u32> {
    imp::outstanding(fd.as_fd())
}

#[cfg(target_os = "linux")]
mod imp {
    use std::os::fd::{AsRawFd as _, BorrowedFd};

    use nix::libc;

    #[allow(unsafe_code, reason = "no crate here has SIOCOUTQ")]
    pub(super) fn outstanding(fd: BorrowedFd<'_>) -> Option<u32> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: `fd` is open for as long as it is borrowed. SIOCOUTQ, which has the number of TIOCOUTQ (tcp(7)),
        // writes one `int`, and keeps no pointer.
        let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        if answer == 0 { u32::try_from(bytes).ok() } else { None }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::os::fd::BorrowedFd;

    pub(super) fn outstanding(_: BorrowedFd<'_>) -> Option<u32> {
        None
    }
}
