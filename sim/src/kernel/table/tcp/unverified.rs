//! Systems that nobody has verified: only where they differ from Linux.

use super::super::{Code, Effect, IcmpClass, Row, Signal, State, Verified};
use super::calls::*;
use super::linux;
use crate::kernel::Unverified;
use crate::scenario::Pick;

use Code::OfIcmp;
use Effect::{Ends, Nothing, Remembers};
use IcmpClass::{Hard, Soft};
use Pick::Exact;
use Signal::Icmp;

const XNU: Verified = Verified::Source("xnu e3723e1f1, bsd/netinet/tcp_subr.c");
/// The commit that was reverted before it was released.
const PATIENT: Verified = Verified::Source("Linux 0a8de364ff7a, net/ipv4/tcp_ipv4.c");

/// Where systems that nobody has verified differ.
#[rustfmt::skip]
pub(in crate::kernel::table) const ROWS: &[Row] = &[
    // tcp_notify: an unreachable host or network does not end a connect, not the first time.
    linux("macos/syn-sent/icmp-soft", State::SynSent, Icmp(Soft, Exact), Remembers(OfIcmp), CONNECTS_ON)
        .of(Unverified::MacOs, XNU),
    linux("macos/syn-sent/icmp-hard", State::SynSent, Icmp(Hard, Exact), Ends(OfIcmp), REFUSED)
        .of(Unverified::MacOs, XNU),
    linux("macos/idle/icmp-soft", State::Idle, Icmp(Soft, Exact), Nothing, LIVES_ON).of(Unverified::MacOs, XNU),
    linux("macos/sending/icmp-soft", State::Sending, Icmp(Soft, Exact), Nothing, LIVES_ON).of(Unverified::MacOs, XNU),
    linux("patient/syn-sent/icmp-soft", State::SynSent, Icmp(Soft, Exact), Remembers(OfIcmp), CONNECTS_ON)
        .of(Unverified::LinuxPatient, PATIENT),
];
