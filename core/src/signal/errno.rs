//! Error numbers by name, free of any platform's numbering.
//!
//! Not [`ErrorKind`](https://doc.rust-lang.org/std/io/enum.ErrorKind.html): that folds EPERM and EACCES into one, and
//! has no name for ENOBUFS, EMSGSIZE, EHOSTDOWN, ENOPROTOOPT, EPROTO and others that mean different things here.
//! What each one means is in `cause.rs`.

use core::fmt;

macro_rules! errnos {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// An error number by name. Numbers differ between systems; `resound-sockets` maps them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Errno {
            $(#[doc = $doc] $variant,)*
            /// One that has no name here, with the system's own number.
            Other(i32),
        }

        impl Errno {
            /// Every named error number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name as in `errno.h`; `None` for [`Errno::Other`].
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($name),)*
                    Self::Other(_) => None,
                }
            }

            /// The error number of that name; `None` if the name is not one of [`Errno::ALL`].
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    Acces "EACCES" "Not permitted: by the socket's options, a route, or (IPv6) somebody's policy.";
    AddrInUse "EADDRINUSE" "The local address is taken.";
    AddrNotAvail "EADDRNOTAVAIL" "The local address is not this host's, or no port is left.";
    AfNoSupport "EAFNOSUPPORT" "This host does not speak that address family.";
    Again "EAGAIN" "Not now; on a UDP send without a local port, no port is left.";
    Already "EALREADY" "A connect is already under way.";
    BadF "EBADF" "Not an open descriptor.";
    ConnAborted "ECONNABORTED" "Ended by this host, or before it was accepted.";
    ConnRefused "ECONNREFUSED" "Refused.";
    ConnReset "ECONNRESET" "Reset.";
    DestAddrReq "EDESTADDRREQ" "No destination.";
    HostDown "EHOSTDOWN" "Host is down.";
    HostUnreach "EHOSTUNREACH" "Host unreachable; may be ARP, TTL, a filter or a route.";
    InProgress "EINPROGRESS" "A connect has begun.";
    Intr "EINTR" "Interrupted by a signal.";
    Inval "EINVAL" "Invalid argument; also what a blackhole route gives.";
    Io "EIO" "Input or output error.";
    IsConn "EISCONN" "Already connected.";
    MFile "EMFILE" "This process has too many open files.";
    MsgSize "EMSGSIZE" "Message too large for the path or the protocol.";
    NetDown "ENETDOWN" "The network is down.";
    NetReset "ENETRESET" "Ended by the network.";
    NetUnreach "ENETUNREACH" "Network unreachable.";
    NFile "ENFILE" "This system has too many open files.";
    NoBufs "ENOBUFS" "No buffer space.";
    NoDev "ENODEV" "No such device.";
    NoMem "ENOMEM" "No memory.";
    NoNet "ENONET" "The host is isolated.";
    NoProtoOpt "ENOPROTOOPT" "Protocol not available.";
    NotConn "ENOTCONN" "Not connected.";
    NotSock "ENOTSOCK" "Not a socket.";
    OpNotSupp "EOPNOTSUPP" "Not supported; also what ICMP source route failed gives.";
    Perm "EPERM" "Not permitted: the local packet filter, or a missing privilege.";
    Pipe "EPIPE" "Nobody reads any more.";
    Proto "EPROTO" "Protocol error; what ICMP parameter problem gives.";
    Shutdown "ESHUTDOWN" "Already shut down.";
    TimedOut "ETIMEDOUT" "No answer in time, says the kernel.";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.name()) {
            (Self::Other(number), _) => write!(f, "errno {number}"),
            (_, name) => f.write_str(name.unwrap_or_default()),
        }
    }
}
