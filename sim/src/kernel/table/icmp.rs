//! What ICMP errors are to systems other than Linux. What they are to Linux is the core's
//! [table](resound_core::signal::icmp::TABLE).
//!
//! Nobody has measured these: xnu's source says the one (`bsd/netinet/ip_icmp.c`, `ip_input.c:inetctlerrmap`), Microsoft's
//! documentation and bug reports the other (recvfrom, KB263823, JDK-4431020). What they do not name is ignored here.

use core::ops::RangeInclusive;

use resound_core::signal::{Errno, IcmpError, Version};

use super::super::{Profile, Unverified};
use super::IcmpClass;

/// An ICMP type with codes, and what a system makes of it.
type Fold = (Version, u8, RangeInclusive<u8>, Errno);

#[rustfmt::skip]
const MACOS: &[Fold] = {
    use Errno as E;
    use Version::{V4, V6};
    &[
        // All of these are PRC_UNREACH_NET there.
        (V4,  3, 0..=1,   E::NetUnreach),
        (V4,  3, 2..=3,   E::ConnRefused),  // a protocol as well as a port
        (V4,  3, 4..=4,   E::MsgSize),
        (V4,  3, 5..=8,   E::NetUnreach),
        (V4,  3, 9..=10,  E::ConnRefused),  // prohibited is refused
        (V4,  3, 11..=12, E::NetUnreach),
        (V4,  3, 13..=13, E::ConnRefused),
        (V4,  3, 14..=15, E::NetUnreach),
        (V4, 11, 0..=0,   E::HostUnreach),
        (V4, 12, 0..=255, E::NoProtoOpt),
        (V6,  1, 0..=0,   E::HostUnreach),
        (V6,  1, 1..=1,   E::ConnRefused),
        (V6,  1, 3..=3,   E::HostUnreach),
        (V6,  1, 4..=4,   E::ConnRefused),
        (V6,  2, 0..=255, E::MsgSize),
    ]
};

#[rustfmt::skip]
const WINDOWS: &[Fold] = {
    use Errno as E;
    use Version::{V4, V6};
    &[
        (V4,  3, 3..=3, E::ConnReset),      // WSAECONNRESET; SIO_UDP_CONNRESET turns it off
        (V4, 11, 0..=0, E::NetReset),       // WSAENETRESET; SIO_UDP_NETRESET turns it off
        (V6,  1, 4..=4, E::ConnReset),
        (V6,  3, 0..=0, E::NetReset),
    ]
};

/// What an ICMP error is to a system, and the error number that it makes of it; `None` if it ignores it.
#[must_use]
pub fn verdict(profile: Profile, error: &IcmpError) -> (IcmpClass, Option<Errno>) {
    let folds = match profile {
        Profile::Linux | Profile::Unverified(Unverified::LinuxPatient) => {
            return (IcmpClass::of(error), error.meaning().errno);
        }
        Profile::Unverified(Unverified::MacOs) => MACOS,
        Profile::Unverified(Unverified::Windows) => WINDOWS,
    };
    let fold = folds.iter().find(|(version, kind, codes, _)| {
        *version == error.version && *kind == error.kind && codes.contains(&error.code)
    });
    let errno = fold.map(|fold| fold.3);
    let class = match errno {
        None => IcmpClass::Ignored,
        Some(Errno::MsgSize) => IcmpClass::TooBig,
        Some(Errno::NetUnreach | Errno::HostUnreach | Errno::HostDown | Errno::NetReset) => IcmpClass::Soft,
        Some(_) => IcmpClass::Hard,
    };
    (class, errno)
}
