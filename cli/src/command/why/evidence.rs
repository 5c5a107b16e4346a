//! What was found out about one address, as data. The probes fill it in; [`judge`](super::judge::judge) reads it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use resound_core::liveness::{KernelView, Writing};
use resound_core::signal::{Errno, IcmpError};

use super::route::is_here;

/// All that is known about one address.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) to: SocketAddr,
    /// How packets leave this host, or what this host says instead.
    pub(super) route: Result<Route, Errno>,
    pub(super) told: Told,
    pub(super) others: Others,
}

impl Evidence {
    /// Whether it is about this host itself: by loopback, or by one of its own addresses.
    pub(super) fn is_of_this_host(&self) -> bool {
        is_here(self.to.ip()) || matches!(self.route, Ok(Route { hop: Hop::Here, .. }))
    }
}

/// How packets leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The address that they come from.
    pub(super) source: IpAddr,
    pub(super) hop: Hop,
}

/// Who gets them next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// This host itself.
    Here,
    /// The destination, on this link.
    OnLink(String),
    /// A gateway on this link.
    Gateway(IpAddr, String),
    /// The main routing table does not say.
    Unknown,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// No connection came up.
    Dialed(Dialed),
    /// A connection stood.
    Session(Session),
    /// There was no connection to begin with: UDP.
    Datagrams(Datagrams),
}

/// How a connect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialed {
    Stands,
    SelfConnect,
    /// The call itself failed: nothing was sent.
    AtOnce(Errno),
    /// Somebody said no, and it is known how far he can be identified: by an ICMP message, or by its absence.
    Failed {
        errno: Errno,
        icmp: Option<IcmpError>,
    },
    Silent,
}

/// A connection that stood.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// How many messages came back.
    pub(super) echoed: u64,
    pub(super) end: Ending,
    /// What the kernel was told about the path, and did not take for the end.
    pub(super) soft: Option<Errno>,
}

/// How a session ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// Everything was echoed.
    Echoed,
    /// A FIN.
    Closed(Moment),
    /// A RST.
    Reset(Moment),
    /// The kernel gave up, and reports this.
    GivenUp(Errno),
    /// What came back is not what was sent.
    Differs,
    /// Nothing came any more.
    Silent(Silence),
}

/// When a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before anything was sent.
    Unasked,
    /// While the first message was unanswered.
    Unanswered,
    /// After at least one message had been answered, with nothing due.
    Idle,
    /// After at least one message had been answered, with another one due.
    Due,
}

/// What a silence looked like to the kernel, after so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) lasted: Duration,
    pub(super) kernel: Option<KernelView>,
    /// Whether the kernel still took everything that was written.
    pub(super) writing: Writing,
    /// How many bytes of the message the other kernel has acknowledged.
    pub(super) acknowledged: usize,
}

/// What came of datagrams.
#[derive(Clone, Debug)]
pub(super) struct Datagrams {
    pub(super) sent: u64,
    pub(super) echoed: u64,
    /// How many were sent after the last one that was echoed.
    pub(super) since: u64,
    pub(super) end: Parting,
}

/// Why no more datagrams were sent.
#[derive(Clone, Debug)]
pub(super) enum Parting {
    /// Enough were answered, or it took too long.
    Enough,
    Icmp(IcmpError),
    /// A call failed, and no ICMP message explains it.
    Local(Errno),
    Differs,
    /// The answer came from this address instead.
    Elsewhere(SocketAddr),
}

/// What else the host, or somebody on the way to it, was asked once there was doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Another connection to the same port.
    pub(super) again: Option<Dialed>,
    /// A connection to another port, where hardly anything listens.
    pub(super) elsewhere: Option<Dialed>,
    /// A datagram to the same port number.
    pub(super) datagram: Option<Replied>,
}

/// What came of one datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replied {
    Answered,
    Icmp(IcmpError),
    Local(Errno),
    Silent,
}

impl Others {
    /// Whether anything at all was said in the name of the host.
    pub(super) fn host_answers(&self, host: IpAddr) -> bool {
        let answers = |dialed: &Option<Dialed>| match dialed {
            Some(Dialed::Stands) => true,
            Some(Dialed::Failed { errno, icmp: None }) => *errno == Errno::ConnRefused,
            Some(Dialed::Failed { icmp: Some(icmp), .. }) => is_from(icmp, host),
            _ => false,
        };
        let replied = match &self.datagram {
            Some(Replied::Answered) => true,
            Some(Replied::Icmp(icmp)) => is_from(icmp, host),
            _ => false,
        };
        answers(&self.again) || answers(&self.elsewhere) || replied
    }
}

/// Whether an ICMP message claims to be from this address.
pub(super) fn is_from(icmp: &IcmpError, host: IpAddr) -> bool {
    icmp.offender.is_some_and(|offender| offender.to_canonical() == host.to_canonical())
}
