//! What is written for programs to read: event lines and their parts, as types.
//!
//! The names of the fields are a contract, published in `cli/schema/`. A field may be added; none changes its meaning
//! without another [`SCHEMA`] number. Times are whole nanoseconds, and what is not known is `null` or absent.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use resound_core::datagram::client;
use resound_core::datagram::server::{Counts, Ignored};
use resound_core::signal::{Cause, IcmpError, Origin, Reason, Version};
use serde::{Serialize, Serializer};

use crate::stats::nanos;

/// The number of the schema that all output follows.
pub(crate) const SCHEMA: u32 = 1;

/// One event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) schema: u32,
    /// Nanoseconds since the command started.
    pub(crate) t_ns: u64,
    pub(crate) event: &'static str,
    pub(crate) runtime: &'static str,
    #[serde(flatten)]
    pub(crate) about: About,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// Whom an event is about.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct About {
    /// The target as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Arc<str>>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<SocketAddr>,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Body {
    Dialing {
        attempt: u32,
    },
    DialFailed {
        attempt: u32,
        #[serde(flatten)]
        cause: Why,
        icmp: Option<Icmp>,
        after_ns: u64,
    },
    Up {
        attempt: u32,
        local: Option<SocketAddr>,
    },
    Echo {
        seq: u64,
        bytes: u64,
        rtt_ns: u64,
    },
    Lost {
        seq: u64,
        #[serde(serialize_with = "word")]
        reason: Reason,
    },
    /// An echo came of a message that had been counted as lost.
    Late {
        seq: u64,
        rtt_ns: u64,
    },
    /// An echo came once more.
    Duplicated {
        seq: u64,
    },
    Suspect {
        unanswered: u8,
    },
    /// Somebody reported trouble, which ends nothing by itself.
    Trouble {
        #[serde(flatten)]
        cause: Why,
        icmp: Option<Icmp>,
        /// Of which socket, where there are several.
        #[serde(skip_serializing_if = "Option::is_none")]
        local: Option<SocketAddr>,
        /// How often since this was last told.
        count: u64,
    },
    /// A datagram was too long for the path.
    TooBig {
        mtu: Option<u32>,
    },
    /// An answer came from another address than was asked, and was not taken.
    WrongAddress {
        from: SocketAddr,
    },
    /// This host dropped datagrams that had come in.
    Overrun {
        /// Of which socket, where there are several.
        #[serde(skip_serializing_if = "Option::is_none")]
        local: Option<SocketAddr>,
        dropped: u64,
    },
    /// What came in and was nobody's.
    Strays {
        #[serde(flatten)]
        strays: Strays,
    },
    Down {
        #[serde(flatten)]
        cause: Why,
        icmp: Option<Icmp>,
        in_flight: u64,
        silent_ns: u64,
        explain: &'static str,
    },
    Retry {
        level: u32,
        in_ns: u64,
    },
    Stall {
        late_ns: u64,
    },
    Summary {
        #[serde(flatten)]
        summary: Box<Summary>,
        /// What went wrong with the command itself.
        error: Option<String>,
    },
    /// A server listens.
    Listening {
        transport: &'static str,
        local: SocketAddr,
        /// Of the listening socket, for people.
        #[serde(skip)]
        options: Vec<(&'static str, String)>,
    },
    /// A server serves one more connection.
    Accepted {
        /// The address that the peer asked.
        local: Option<SocketAddr>,
        /// Whether people who did not ask for more are to see it.
        #[serde(skip)]
        destination: Destination,
        /// Of the connection's socket, for people.
        #[serde(skip)]
        options: Vec<(&'static str, String)>,
    },
    /// A server has turned one away.
    Refused {
        why: String,
    },
    /// A server could not accept.
    AcceptFailed {
        #[serde(flatten)]
        cause: Why,
    },
    /// A server was sent datagrams.
    Asked {
        local: SocketAddr,
        /// Which address of this host they were sent to.
        to: Option<IpAddr>,
        datagrams: u64,
        bytes: u64,
    },
    /// A server did not answer datagrams.
    Ignored {
        local: SocketAddr,
        why: &'static str,
        count: u64,
        /// For people.
        #[serde(skip)]
        explain: &'static str,
    },
    /// A server's connection is over.
    Ended {
        #[serde(flatten)]
        cause: Why,
        received: u64,
        echoed: u64,
    },
    /// A server is over.
    Served {
        #[serde(flatten)]
        served: Box<Served>,
        /// What went wrong with the command itself.
        error: Option<String>,
    },
}

/// Whether people see which address a peer asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Shown,
    Hidden,
}

impl Body {
    /// The word in the field `event`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Dialing { .. } => "dialing",
            Self::DialFailed { .. } => "dial_failed",
            Self::Up { .. } => "up",
            Self::Echo { .. } => "echo",
            Self::Lost { .. } => "lost",
            Self::Late { .. } => "late",
            Self::Duplicated { .. } => "duplicated",
            Self::Suspect { .. } => "suspect",
            Self::Trouble { .. } => "trouble",
            Self::TooBig { .. } => "too_big",
            Self::WrongAddress { .. } => "wrong_address",
            Self::Overrun { .. } => "overrun",
            Self::Strays { .. } => "strays",
            Self::Down { .. } => "down",
            Self::Retry { .. } => "retry",
            Self::Stall { .. } => "stall",
            Self::Summary { .. } => "summary",
            Self::Listening { .. } => "listening",
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::AcceptFailed { .. } => "accept_failed",
            Self::Asked { .. } => "asked",
            Self::Ignored { .. } => "ignored",
            Self::Ended { .. } => "ended",
            Self::Served { .. } => "served",
        }
    }

    /// An attempt failed.
    pub(crate) fn dial_failed(attempt: u32, cause: &Cause, after: Duration) -> Self {
        let icmp = cause.icmp.as_ref().map(Icmp::from);
        Self::DialFailed { attempt, cause: cause.into(), icmp, after_ns: nanos(after) }
    }

    /// Trouble, told for the first time or once more.
    pub(crate) fn trouble(cause: &Cause, local: Option<SocketAddr>, count: u64) -> Self {
        Self::Trouble { cause: cause.into(), icmp: cause.icmp.as_ref().map(Icmp::from), local, count }
    }

    /// A connection is over.
    pub(crate) fn down(cause: &Cause, in_flight: usize, silent: Duration) -> Self {
        Self::Down {
            cause: cause.into(),
            icmp: cause.icmp.as_ref().map(Icmp::from),
            in_flight: in_flight as u64,
            silent_ns: nanos(silent),
            explain: cause.reason.explain(),
        }
    }
}

/// Why something failed or ended, and who says so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Why {
    #[serde(serialize_with = "word")]
    pub(crate) reason: Reason,
    #[serde(serialize_with = "origin")]
    pub(crate) origin: Origin,
    /// The name of the error number.
    pub(crate) errno: Option<String>,
    /// For people.
    #[serde(skip)]
    pub(crate) text: String,
}

impl From<&Cause> for Why {
    fn from(cause: &Cause) -> Self {
        Self {
            reason: cause.reason,
            origin: cause.origin,
            errno: cause.errno.map(|errno| errno.to_string()),
            text: cause.to_string(),
        }
    }
}

/// An ICMP error.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Icmp {
    /// 4 or 6.
    v: u8,
    r#type: u8,
    code: u8,
    /// Who sent it, or somebody in that name.
    offender: Option<IpAddr>,
}

impl From<&IcmpError> for Icmp {
    fn from(icmp: &IcmpError) -> Self {
        let v = match icmp.version {
            Version::V4 => 4,
            Version::V6 => 6,
        };
        Self { v, r#type: icmp.kind, code: icmp.code, offender: icmp.offender }
    }
}

/// What a session amounts to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) sent: u64,
    pub(crate) echoed: u64,
    pub(crate) lost: u64,
    /// Neither echoed nor lost when it ended.
    pub(crate) in_flight: u64,
    /// Echoed after they had been counted as lost.
    pub(crate) late: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) reconnects: u64,
    pub(crate) up_ns: u64,
    pub(crate) down_ns: u64,
    pub(crate) longest_outage_ns: u64,
    pub(crate) rtt_ns: Option<RoundTrips>,
    #[serde(serialize_with = "maybe_word")]
    pub(crate) last_reason: Option<Reason>,
    pub(crate) end: End,
}

/// Round trips, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RoundTrips {
    pub(crate) min: u64,
    pub(crate) mean: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
    pub(crate) stddev: u64,
}

/// What came in at a client's socket and was nobody's; none of it is ever answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Strays {
    /// Datagrams that this client never wrote to where they came from.
    pub(crate) strangers: u64,
    /// Answers from another address than was asked.
    pub(crate) wrong_address: u64,
    /// For peers and connections that are no more.
    pub(crate) stale: u64,
    /// Errors about datagrams that went to nobody's address.
    pub(crate) unattributed: u64,
    /// Datagrams that this host dropped for want of room.
    pub(crate) overrun: u64,
}

impl From<client::Strays> for Strays {
    fn from(strays: client::Strays) -> Self {
        let client::Strays { strangers, wrong_address, stale, unattributed, overrun } = strays;
        Self { strangers, wrong_address, stale, unattributed, overrun }
    }
}

/// What a server amounts to. Without `udp` it counts connections and bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Served {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) ended: u64,
    pub(crate) received: u64,
    pub(crate) echoed: u64,
    /// Where UDP is served.
    pub(crate) udp: Option<ServedUdp>,
    pub(crate) end: Option<End>,
}

/// What was served over UDP: datagrams, and the bytes of those that were echoed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct ServedUdp {
    pub(crate) received: u64,
    pub(crate) echoed: u64,
    pub(crate) bytes: u64,
    /// Echoes that the system refused to send.
    pub(crate) unsent: u64,
    /// Datagrams that the kernel dropped for want of room.
    pub(crate) overrun: u64,
    #[serde(serialize_with = "by_word")]
    pub(crate) ignored: Counts,
}

/// The reasons that occurred, and how often each.
fn by_word<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    let all = Ignored::ALL.iter().map(|&why| (why.as_str(), counts.ignored(why)));
    serializer.collect_map(all.filter(|&(_, count)| count > 0))
}

impl From<Counts> for ServedUdp {
    fn from(counts: Counts) -> Self {
        let Counts { received, echoed, bytes, unsent, overrun, .. } = counts;
        Self { received, echoed, bytes, unsent, overrun, ignored: counts }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// Everything asked for was done.
    Count,
    /// A signal.
    Interrupted,
    /// There will be no further attempt.
    GaveUp,
    /// It could not be done.
    Error,
}

/// The one document of a command that ran.
#[derive(Debug, Serialize)]
pub(crate) struct Document<T> {
    pub(crate) schema: u32,
    pub(crate) command: &'static str,
    pub(crate) version: &'static str,
    /// `null` for a command that runs several.
    pub(crate) runtime: Option<&'static str>,
    pub(crate) duration_ns: u64,
    pub(crate) end: End,
    /// The exit code.
    pub(crate) exit: u8,
    /// What went wrong with the command itself.
    pub(crate) error: Option<String>,
    #[serde(flatten)]
    pub(crate) body: T,
}

pub(super) fn word<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

fn maybe_word<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(Reason::as_str).serialize(serializer)
}

fn origin<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(origin.as_str())
}
