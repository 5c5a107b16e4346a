//! Raw sockets that hear the ICMP errors of this host.
//!
//! A raw socket gets a copy of each ICMP message that reaches the host, whatever socket of whatever user caused it. So
//! it needs a capability (CAP_NET_RAW), and whoever reads from it must decide what may be told to whom.
//!
//! Only errors come in: the kernel filters by type (`ICMP_FILTER`, raw(7); `ICMP6_FILTER`, RFC 3542 §3.2). Without that,
//! each ping and each neighbour solicitation would wake the reader and take room in the receive buffer, which an error
//! then does not have. A few other messages can still be there, from between the opening and the filter.
//!
//! Nothing that is heard is proven: who can guess addresses and ports can forge all of it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::libc;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{SockaddrStorage, recvfrom, setsockopt};
use resound_core::signal::Version;
use resound_core::signal::icmp::{Malformed, Received, parse_icmp_v6, parse_v4};
use socket2::{Domain, Protocol, Socket, Type};

/// A raw socket for the ICMP errors of one IP version. Non-blocking, close-on-exec.
#[derive(Debug)]
pub struct IcmpSocket {
    socket: Socket,
    version: Version,
}

impl IcmpSocket {
    /// As much of a message as is looked at, in bytes: more than a router may quote (RFC 1812 §4.3.2.3: 576; RFC 4443
    /// §2.4 (c): 1280).
    pub const LONGEST: usize = 2048;

    /// The receive buffer that is asked for, in bytes: some thousand messages, since it hears all of the host's.
    const BUFFER: usize = 1 << 20;

    /// Opens one.
    ///
    /// # Errors
    ///
    /// EPERM without CAP_NET_RAW; EAFNOSUPPORT where the kernel lacks the IP version.
    pub fn open(version: Version) -> io::Result<Self> {
        let (domain, protocol) = match version {
            Version::V4 => (Domain::IPV4, Protocol::ICMPV4),
            Version::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        filter(&socket, version)?;
        // More than the system's default takes CAP_NET_ADMIN; without, what is allowed is better than nothing.
        let _ = setsockopt(&socket, RcvBufForce, &Self::BUFFER)
            .or_else(|_| setsockopt(&socket, RcvBuf, &Self::BUFFER));
        Ok(Self { socket, version })
    }

    /// The IP version whose errors it hears.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The next message; `None` if there is none now. What does not parse is an answer like any other: it was taken off
    /// the queue.
    ///
    /// # Errors
    ///
    /// What `recvfrom(2)` said, other than EAGAIN and EINTR.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; Self::LONGEST]) -> io::Result<Option<Heard<'a>>> {
        let (length, from) = loop {
            match recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), buffer) {
                Ok(received) => break received,
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(number) => return Err(number.into()),
            }
        };
        let message = buffer.get(..length).unwrap_or_default();
        Ok(Some(match self.version {
            // The IP header comes with it, and names the offender.
            Version::V4 => parse_v4(message),
            Version::V6 => parse_icmp_v6(message).map(|mut received| {
                let from = from.as_ref().and_then(SockaddrStorage::as_sockaddr_in6);
                received.error.offender = from.map(|from| IpAddr::V6(from.ip()));
                received
            }),
        }))
    }

    /// How many messages the kernel has thrown away since the socket was opened, because nobody had read those before
    /// them. It wraps. `None` where the kernel does not tell (before Linux 4.12).
    #[must_use]
    pub fn overflowed(&self) -> Option<u32> {
        overflowed(self.as_fd())
    }
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message: an error with what it quotes, or why it is none.
pub type Heard<'a> = Result<Received<'a>, Malformed>;

/// `SOL_RAW` of `include/linux/socket.h`, `ICMP_FILTER` of `include/uapi/linux/icmp.h`: 32 bits, a set one blocks.
const SOL_RAW: libc::c_int = 255;
const ICMP_FILTER: libc::c_int = 1;
/// `ICMPV6_FILTER` of `include/uapi/linux/icmpv6.h`: 256 bits, a set one blocks.
const ICMPV6_FILTER: libc::c_int = 1;

fn filter(socket: &Socket, version: Version) -> io::Result<()> {
    match version {
        // Destination unreachable, source quench, time exceeded, parameter problem: RFC 1122 §3.2.2.
        Version::V4 => set(socket, SOL_RAW, ICMP_FILTER, &[!(1 << 3 | 1 << 4 | 1 << 11 | 1 << 12)]),
        // Errors are those below 128 (RFC 4443 §2.1).
        Version::V6 => set(
            socket,
            libc::IPPROTO_ICMPV6,
            ICMPV6_FILTER,
            &[0, 0, 0, 0, u32::MAX, u32::MAX, u32::MAX, u32::MAX],
        ),
    }
}

#[allow(unsafe_code, reason = "neither nix nor socket2 knows the ICMP filters")]
fn set(socket: &Socket, level: libc::c_int, option: libc::c_int, words: &[u32]) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed. The pointer leads to as many readable bytes as
    // the length says; the kernel copies them and keeps no pointer.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            words.as_ptr().cast(),
            size_of_val(words) as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code, reason = "neither nix nor socket2 knows SO_MEMINFO")]
fn overflowed(fd: BorrowedFd<'_>) -> Option<u32> {
    /// `SK_MEMINFO_DROPS` of `include/uapi/linux/sock_diag.h`.
    const DROPS: usize = 8;
    let mut words = [0_u32; DROPS + 1];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: `fd` is open for as long as it is borrowed. `words` is `length` writable bytes, of which any value is a
    // valid `u32`, and `length` a socklen_t; the kernel writes at most `length` bytes (sk_getsockopt takes the smaller
    // of `length` and its own size), and keeps neither pointer.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let told = length as usize / size_of::<u32>();
    if answer == 0 && told > DROPS { words.get(DROPS).copied() } else { None }
}
