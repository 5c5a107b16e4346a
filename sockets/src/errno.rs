//! The system's error numbers, and the core's names for them.
//!
//! Numbers differ between systems; names do not. The mapping is one table, read in both directions.
//! `io::ErrorKind` is not used for it: it gives EPERM and EACCES one name, and ENOBUFS, EMSGSIZE, EHOSTDOWN, EPROTO and
//! a dozen more none.

use std::io;

use nix::libc;
use resound_core::signal::{Errno, Signal};

/// What a failed call says, for the core.
///
/// An error that did not come from the system carries no number: a runtime made it up. Its kind is then all there is,
/// and [`Errno::Io`] stands for those that no number describes.
///
/// ```
/// use resound_core::signal::{Errno, Signal};
/// use resound_sockets::errno;
///
/// let refused = std::io::Error::from_raw_os_error(errno::to_raw(Errno::ConnRefused).unwrap());
/// assert_eq!(errno::signal(&refused), Signal::Errno(Errno::ConnRefused));
/// ```
#[must_use]
pub fn signal(error: &io::Error) -> Signal {
    Signal::Errno(name(error))
}

/// The name of one of this system's numbers; [`Errno::Other`] for one without.
#[must_use]
pub fn from_raw(raw: i32) -> Errno {
    TABLE.iter().find(|(_, number)| *number == raw).map_or(Errno::Other(raw), |(errno, _)| *errno)
}

/// This system's number for a name; `None` where it has none.
#[must_use]
pub fn to_raw(errno: Errno) -> Option<i32> {
    match errno {
        Errno::Other(raw) => Some(raw),
        _ => TABLE.iter().find(|(named, _)| *named == errno).map(|(_, number)| *number),
    }
}

/// As [`signal`], before it is wrapped.
pub(crate) fn name(error: &io::Error) -> Errno {
    error.raw_os_error().map_or_else(|| of_kind(error.kind()), from_raw)
}

const TABLE: &[(Errno, i32)] = &[
    (Errno::Acces, libc::EACCES),
    (Errno::AddrInUse, libc::EADDRINUSE),
    (Errno::AddrNotAvail, libc::EADDRNOTAVAIL),
    (Errno::AfNoSupport, libc::EAFNOSUPPORT),
    (Errno::Again, libc::EAGAIN),
    (Errno::Already, libc::EALREADY),
    (Errno::BadF, libc::EBADF),
    (Errno::ConnAborted, libc::ECONNABORTED),
    (Errno::ConnRefused, libc::ECONNREFUSED),
    (Errno::ConnReset, libc::ECONNRESET),
    (Errno::DestAddrReq, libc::EDESTADDRREQ),
    (Errno::HostDown, libc::EHOSTDOWN),
    (Errno::HostUnreach, libc::EHOSTUNREACH),
    (Errno::InProgress, libc::EINPROGRESS),
    (Errno::Intr, libc::EINTR),
    (Errno::Inval, libc::EINVAL),
    (Errno::Io, libc::EIO),
    (Errno::IsConn, libc::EISCONN),
    (Errno::MFile, libc::EMFILE),
    (Errno::MsgSize, libc::EMSGSIZE),
    (Errno::NetDown, libc::ENETDOWN),
    (Errno::NetReset, libc::ENETRESET),
    (Errno::NetUnreach, libc::ENETUNREACH),
    (Errno::NFile, libc::ENFILE),
    (Errno::NoBufs, libc::ENOBUFS),
    (Errno::NoDev, libc::ENODEV),
    (Errno::NoMem, libc::ENOMEM),
    #[cfg(target_os = "linux")]
    (Errno::NoNet, libc::ENONET),
    (Errno::NoProtoOpt, libc::ENOPROTOOPT),
    (Errno::NotConn, libc::ENOTCONN),
    (Errno::NotSock, libc::ENOTSOCK),
    (Errno::OpNotSupp, libc::EOPNOTSUPP),
    // The same number on Linux, another one on the BSDs and macOS.
    (Errno::OpNotSupp, libc::ENOTSUP),
    (Errno::Perm, libc::EPERM),
    (Errno::Pipe, libc::EPIPE),
    (Errno::Proto, libc::EPROTO),
    (Errno::Shutdown, libc::ESHUTDOWN),
    (Errno::TimedOut, libc::ETIMEDOUT),
];

fn of_kind(kind: io::ErrorKind) -> Errno {
    use io::ErrorKind as K;
    match kind {
        K::AddrInUse => Errno::AddrInUse,
        K::AddrNotAvailable => Errno::AddrNotAvail,
        K::BrokenPipe | K::WriteZero => Errno::Pipe,
        K::ConnectionAborted => Errno::ConnAborted,
        K::ConnectionRefused => Errno::ConnRefused,
        K::ConnectionReset => Errno::ConnReset,
        K::HostUnreachable => Errno::HostUnreach,
        K::Interrupted => Errno::Intr,
        K::InvalidInput => Errno::Inval,
        K::NetworkDown => Errno::NetDown,
        K::NetworkUnreachable => Errno::NetUnreach,
        K::NotConnected => Errno::NotConn,
        K::OutOfMemory => Errno::NoMem,
        K::PermissionDenied => Errno::Acces,
        K::TimedOut => Errno::TimedOut,
        K::Unsupported => Errno::OpNotSupp,
        K::WouldBlock => Errno::Again,
        _ => Errno::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_goes_there_and_back() {
        for &errno in Errno::ALL {
            match to_raw(errno) {
                Some(raw) => assert_eq!(from_raw(raw), errno),
                None => {
                    assert!(cfg!(not(target_os = "linux")) && errno == Errno::NoNet, "{errno} has no number");
                }
            }
        }
    }

    #[test]
    fn names_are_the_systems_own() {
        for &errno in Errno::ALL {
            if let Some(raw) = to_raw(errno) {
                assert_eq!(format!("{:?}", nix::errno::Errno::from_raw(raw)), errno.name().unwrap());
            }
        }
    }

    #[test]
    fn a_number_without_a_name_is_kept() {
        assert_eq!(from_raw(libc::EXDEV), Errno::Other(libc::EXDEV));
        assert_eq!(to_raw(Errno::Other(libc::EXDEV)), Some(libc::EXDEV));
    }

    #[test]
    fn numbers_that_std_folds_into_one_kind_stay_apart() {
        let name_of = |raw| name(&io::Error::from_raw_os_error(raw));
        assert_eq!(name_of(libc::EPERM), Errno::Perm);
        assert_eq!(name_of(libc::EACCES), Errno::Acces);
        assert_eq!(name_of(libc::ENOBUFS), Errno::NoBufs);
    }

    #[test]
    fn without_a_number_the_kind_is_all_there_is() {
        assert_eq!(name(&io::ErrorKind::ConnectionReset.into()), Errno::ConnReset);
        assert_eq!(name(&io::Error::other("the runtime is shutting down")), Errno::Io);
    }
}
