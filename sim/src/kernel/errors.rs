//! The places where a socket keeps errors until somebody asks.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use resound_core::signal::{Errno, IcmpError};

use super::{Profile, Unverified};

/// `sk_err` and `sk_err_soft`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latches {
    /// The next call takes it (`sk_err`).
    pub hard: Option<Errno>,
    /// Remembered for the time when retransmissions give up (`sk_err_soft`).
    pub soft: Option<Errno>,
}

impl Latches {
    /// What a call takes (`sock_error`).
    #[inline]
    pub const fn take(&mut self) -> Option<Errno> {
        self.hard.take()
    }

    /// What SO_ERROR takes: the one, or else the other.
    pub fn so_error(&mut self) -> Option<Errno> {
        self.hard.take().or_else(|| self.soft.take())
    }
}

/// An entry of the error queue (`IP_RECVERR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedError {
    /// What it says (`ee_errno`).
    pub errno: Errno,
    /// The message; `None` if this host itself said it (`SO_EE_ORIGIN_LOCAL`).
    pub icmp: Option<IcmpError>,
    /// Where the datagram was going (`msg_name`).
    pub destination: SocketAddr,
    /// Who said it (`SO_EE_OFFENDER`).
    pub offender: Option<IpAddr>,
    /// As much of its payload as was quoted.
    pub quote: Vec<u8>,
}

/// The error queue of a socket.
pub(super) type ErrorQueue = VecDeque<QueuedError>;

/// Only Linux has one.
pub(super) const fn has_error_queue(profile: Profile) -> bool {
    matches!(profile, Profile::Linux | Profile::Unverified(Unverified::LinuxPatient))
}
