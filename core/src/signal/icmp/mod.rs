//! ICMP errors: what each type and code means, and what Linux makes of it.
//!
//! # Theory of operation
//!
//! [`TABLE`] is the whole knowledge; [`IcmpError::meaning`] looks it up. It joins two things that are often confused:
//!
//! * the *reason*, which is what the sender of the message says (RFC 792, 1812, 4443, and the IANA registries), and
//! * the *errno* and the *hardness*, which are what Linux makes of it (`icmp_err_convert`, `icmpv6_err_convert`).
//!   Linux folds: 3/0, 3/6, 3/9 and 3/11 all become ENETUNREACH. It also ignores some codes, whose reason is known all
//!   the same; a raw socket still shows them.
//!
//! # Who gets to see the errno
//!
//! | socket | soft | hard |
//! |---|---|---|
//! | UDP, unconnected, without the error queue | no | no |
//! | UDP, connected, without the error queue | no | yes |
//! | UDP with the error queue (`IP_RECVERR`) | yes | yes |
//! | TCP, connecting | yes, and the connect ends (Linux 6.18; others may go on) | same |
//! | TCP, established | remembered until the next acknowledgement | same |
//!
//! So hardness does not say whether a peer is gone. A soft one may heal by itself (RFC 1122 §4.2.3.9), a hard one will
//! hardly; both can be forged, and on an established connection neither ends anything. What remembered errors turn
//! into there is described with [`Signal::cause`](super::Signal::cause).
//!
//! Redirects and informational messages report no failure. They have no row, and [`parse_icmp_v4`] and
//! [`parse_icmp_v6`] refuse them.

use core::fmt;
use core::ops::RangeInclusive;

use super::{Errno, IcmpError, Reason, Version};

mod parse;
mod quote;

pub use parse::{Malformed, Part, Received, parse_icmp_v4, parse_icmp_v6, parse_v4};
pub use quote::{Ports, Protocol, Quote};

/// How Linux rates an error: its `fatal` flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hardness {
    /// May heal by itself.
    Soft,
    /// Somebody decided so.
    Hard,
}

/// What an ICMP error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meaning {
    /// What its sender says; [`Reason::Unreachable`] for what has no row in [`TABLE`].
    pub reason: Reason,
    /// What Linux makes of it; `None` if it ignores the message, or only uses it to choose routes.
    pub errno: Option<Errno>,
    /// How Linux rates it; soft if it ignores the message.
    pub hardness: Hardness,
}

/// A row of [`TABLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// ICMP or ICMPv6.
    pub version: Version,
    /// The message's type.
    pub kind: u8,
    /// The codes that this row is about.
    pub codes: RangeInclusive<u8>,
    /// What they mean.
    pub meaning: Meaning,
}

impl IcmpError {
    /// What this message means, by its type and code.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        let row = TABLE.iter().find(|row| {
            row.version == self.version && row.kind == self.kind && row.codes.contains(&self.code)
        });
        match (row, self.version) {
            (Some(row), _) => row.meaning,
            // Errors of a type that nobody knows are passed on (RFC 4443 §2.4 (a)); Linux makes EPROTO of them.
            (None, Version::V6) if is_error(Version::V6, self.kind) => {
                Meaning { reason: Reason::Unreachable, errno: Some(Errno::Proto), hardness: Hardness::Soft }
            }
            (None, _) => Meaning { reason: Reason::Unreachable, errno: None, hardness: Hardness::Soft },
        }
    }
}

/// Whether messages of this type report a failure and quote the datagram that failed.
/// ICMPv4 lists them (RFC 1122 §3.2.2, without redirects); in ICMPv6 the type's high bit tells (RFC 4443 §2.1).
pub(super) const fn is_error(version: Version, kind: u8) -> bool {
    match version {
        Version::V4 => matches!(kind, 3 | 4 | 11 | 12),
        Version::V6 => kind < 128,
    }
}

/// The type and code for people: `ICMP 3/1`, `ICMPv6 1/4`.
pub(super) struct IcmpLabel<'a>(pub(super) &'a IcmpError);

impl fmt::Display for IcmpLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.0.version {
            Version::V4 => "ICMP",
            Version::V6 => "ICMPv6",
        };
        write!(f, "{protocol} {}/{}", self.0.kind, self.0.code)
    }
}

const fn row(
    version: Version,
    kind: u8,
    codes: RangeInclusive<u8>,
    reason: Reason,
    errno: Option<Errno>,
    hardness: Hardness,
) -> Row {
    Row { version, kind, codes, meaning: Meaning { reason, errno, hardness } }
}

/// Every type and code that means something. No two rows overlap.
#[rustfmt::skip]
pub const TABLE: &[Row] = {
    use Errno as E;
    use Hardness::{Hard, Soft};
    use Reason as R;
    use Version::{V4, V6};

    &[
        // Destination unreachable: RFC 792, RFC 1122 §3.2.2.1 (6 to 12), RFC 1812 §5.2.7.1 (13 to 15).
        row(V4,  3, 0..=0,    R::NetUnreach,      Some(E::NetUnreach),  Soft),
        row(V4,  3, 1..=1,    R::HostUnreach,     Some(E::HostUnreach), Soft),
        row(V4,  3, 2..=2,    R::ProtoUnreach,    Some(E::NoProtoOpt),  Hard),
        row(V4,  3, 3..=3,    R::PortUnreach,     Some(E::ConnRefused), Hard),
        // Not soft for every socket: connected UDP gets it, unless IP_MTU_DISCOVER is IP_PMTUDISC_DONT.
        row(V4,  3, 4..=4,    R::TooBig,          Some(E::MsgSize),     Soft),
        row(V4,  3, 5..=5,    R::Unreachable,     Some(E::OpNotSupp),   Soft),  // source route failed
        row(V4,  3, 6..=6,    R::NetUnreach,      Some(E::NetUnreach),  Hard),  // network unknown
        row(V4,  3, 7..=7,    R::HostUnreach,     Some(E::HostDown),    Hard),  // host unknown
        row(V4,  3, 8..=8,    R::Unreachable,     Some(E::NoNet),       Hard),  // the source host is isolated
        row(V4,  3, 9..=9,    R::NetProhibited,   Some(E::NetUnreach),  Hard),
        row(V4,  3, 10..=10,  R::HostProhibited,  Some(E::HostUnreach), Hard),
        row(V4,  3, 11..=11,  R::NetUnreach,      Some(E::NetUnreach),  Soft),  // for this type of service
        row(V4,  3, 12..=12,  R::HostUnreach,     Some(E::HostUnreach), Soft),  // for this type of service
        row(V4,  3, 13..=13,  R::AdminProhibited, Some(E::HostUnreach), Hard),
        row(V4,  3, 14..=15,  R::AdminProhibited, Some(E::HostUnreach), Hard),  // a precedence that is not allowed
        row(V4,  3, 16..=255, R::Unreachable,     None,                 Soft),
        // Source quench: a router or the peer has no buffer left. Obsolete, and to be ignored (RFC 6633).
        row(V4,  4, 0..=255,  R::NoBuffers,       None,                 Soft),
        // Time exceeded: in transit, 1 in reassembly.
        row(V4, 11, 0..=0,    R::TimeExceeded,    Some(E::HostUnreach), Soft),
        row(V4, 11, 1..=1,    R::TimeExceeded,    None,                 Soft),
        row(V4, 11, 2..=255,  R::TimeExceeded,    Some(E::HostUnreach), Soft),
        // Parameter problem. Linux does not look at the code.
        row(V4, 12, 0..=255,  R::ParamProblem,    Some(E::Proto),       Hard),

        // Destination unreachable: RFC 4443 §3.1, RFC 6550 (7), RFC 8883 (8).
        row(V6,  1, 0..=0,    R::NoRoute,         Some(E::NetUnreach),  Soft),
        row(V6,  1, 1..=1,    R::AdminProhibited, Some(E::Acces),       Hard),
        row(V6,  1, 2..=2,    R::BeyondScope,     Some(E::HostUnreach), Soft),
        row(V6,  1, 3..=3,    R::HostUnreach,     Some(E::HostUnreach), Soft),
        row(V6,  1, 4..=4,    R::PortUnreach,     Some(E::ConnRefused), Hard),
        row(V6,  1, 5..=5,    R::AdminProhibited, Some(E::Acces),       Hard),  // source address failed policy
        row(V6,  1, 6..=6,    R::RejectRoute,     Some(E::Acces),       Hard),
        row(V6,  1, 7..=8,    R::ParamProblem,    Some(E::Proto),       Hard),  // source routing header; too long
        row(V6,  1, 9..=255,  R::Unreachable,     Some(E::Proto),       Hard),
        // Packet too big: RFC 4443 §3.2 lets receivers ignore the code. Connected UDP gets it, as with 3/4 above.
        row(V6,  2, 0..=255,  R::TooBig,          Some(E::MsgSize),     Soft),
        // Time exceeded: in transit, 1 in reassembly.
        row(V6,  3, 0..=255,  R::TimeExceeded,    Some(E::HostUnreach), Soft),
        // Parameter problem. Code 1, an unknown next header, can be an extension as well as a protocol.
        row(V6,  4, 0..=255,  R::ParamProblem,    Some(E::Proto),       Hard),
    ]
};
