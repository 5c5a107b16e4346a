//! What a client tells its program, and why it may refuse something.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::PeerId;
use crate::link::State;
use crate::signal::{Cause, Op, Signal};
use crate::stream::ConnId;

/// Names a message: its number among all datagrams of the client, the client's own probes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub(super) u64);

impl Seq {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is asked for a first answer.
    Dialing {
        /// Who.
        peer: PeerId,
        /// Counts the attempts, from 1.
        attempt: ConnId,
    },
    /// None came, or somebody said why there will be none.
    DialFailed {
        /// Who.
        peer: PeerId,
        /// Which attempt.
        attempt: ConnId,
        /// Why.
        cause: Cause,
    },
    /// A peer answers.
    Up {
        /// Who.
        peer: PeerId,
        /// Which attempt led to it.
        attempt: ConnId,
    },
    /// A message came back, byte for byte.
    Echoed {
        /// From whom.
        peer: PeerId,
        /// Which.
        seq: Seq,
        /// The payload, handed back.
        payload: Bytes,
        /// From the moment at which it was handed to the driver.
        round_trip: Duration,
    },
    /// A message did not come back in time, or somebody said why it will not.
    Lost {
        /// To whom it went.
        peer: PeerId,
        /// Which.
        seq: Seq,
        /// The payload, handed back.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
    /// A message came back that was given up as lost.
    Late {
        /// From whom.
        peer: PeerId,
        /// Which.
        seq: Seq,
        /// After how long.
        round_trip: Duration,
    },
    /// A message came back once more.
    Duplicated {
        /// From whom.
        peer: PeerId,
        /// Which.
        seq: Seq,
    },
    /// A peer left a probe unanswered, this many in a row.
    Suspect {
        /// Who.
        peer: PeerId,
        /// How many.
        unanswered: u8,
    },
    /// A peer is gone.
    Down {
        /// Who.
        peer: PeerId,
        /// Which attempt had led to it.
        attempt: ConnId,
        /// Why.
        cause: Cause,
        /// How many messages were on their way to it; each is told as lost.
        in_flight: usize,
        /// For how long nothing had come from it.
        silent: Duration,
    },
    /// It is asked again after a wait.
    Retry {
        /// Who.
        peer: PeerId,
        /// The level of the backoff.
        level: u32,
        /// How long, from now.
        delay: Duration,
    },
    /// It will not be asked again.
    GaveUp {
        /// Who.
        peer: PeerId,
        /// Why the last attempt failed.
        cause: Cause,
    },
    /// Somebody reported trouble with datagrams to this peer. It ends nothing by itself: most of it heals, and ICMP can
    /// be forged.
    Trouble {
        /// Whose.
        peer: PeerId,
        /// What was said.
        cause: Cause,
    },
    /// Datagrams to this peer were too long for the path, or for this host.
    TooBig {
        /// Whose.
        peer: PeerId,
        /// The largest packet that fits, with its IP header, where that was said. Forgeable.
        mtu: Option<u32>,
    },
    /// The answer to a datagram came from another address than it was sent to, and was not taken: a server with several
    /// addresses answers from the wrong one, or somebody else does.
    WrongAddress {
        /// Who was asked.
        peer: PeerId,
        /// Who answered.
        from: SocketAddr,
    },
    /// This host dropped datagrams that had come in, for want of room. Nobody is blamed for them.
    Overrun {
        /// How many.
        lost: u32,
    },
    /// The driver's timer call came late: this side was slow, and nobody is blamed for it.
    Stalled {
        /// By how much.
        late: Duration,
    },
    /// A call failed, and nothing says whom it is about.
    Failed {
        /// Which call.
        op: Op,
        /// What it said.
        signal: Signal,
    },
    /// The client has ended.
    Closed,
}

impl Event {
    /// The peer that it is about.
    #[must_use]
    pub const fn peer(&self) -> Option<PeerId> {
        match *self {
            Self::Dialing { peer, .. }
            | Self::DialFailed { peer, .. }
            | Self::Up { peer, .. }
            | Self::Echoed { peer, .. }
            | Self::Lost { peer, .. }
            | Self::Late { peer, .. }
            | Self::Duplicated { peer, .. }
            | Self::Suspect { peer, .. }
            | Self::Down { peer, .. }
            | Self::Retry { peer, .. }
            | Self::GaveUp { peer, .. }
            | Self::Trouble { peer, .. }
            | Self::TooBig { peer, .. }
            | Self::WrongAddress { peer, .. } => Some(peer),
            Self::Overrun { .. } | Self::Stalled { .. } | Self::Failed { .. } | Self::Closed => None,
        }
    }
}

/// What a client knows of a peer. Its datagrams are the program's messages and the client's own probes alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its address.
    pub addr: SocketAddr,
    /// Where its link stands.
    pub state: State,
    /// The smoothed round-trip time (RFC 6298), while it is up.
    pub round_trip: Option<Duration>,
    /// Datagrams that were to be sent: those of the next three together.
    pub sent: u64,
    /// Those of them that came back in time.
    pub echoed: u64,
    /// Those that did not, for whatever reason; some may never have left this host.
    pub lost: u64,
    /// Those of which neither is known yet.
    pub in_flight: u32,
    /// Those that came back after they were given up. Stops at its maximum, as the next two do.
    pub late: u32,
    /// How often one came back once more.
    pub duplicated: u32,
    /// How often one came back after another that was sent later.
    pub reordered: u32,
}

/// What came in and was nobody's. None of it is ever answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Datagrams that this client never wrote to where they came from.
    pub strangers: u64,
    /// Answers from another address than was asked.
    pub wrong_address: u64,
    /// Answers and errors for peers that are no more, or for connections that are over.
    pub stale: u64,
    /// Errors about datagrams that went to nobody's address.
    pub unattributed: u64,
    /// Datagrams that this host dropped for want of room.
    pub overrun: u64,
}

/// Why a peer is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// It is there already, under this name.
    Duplicate(PeerId),
    /// There are as many as there may be.
    Full,
    /// It is no address of one host: unspecified, broadcast, multicast, or without a port.
    NotOneHost,
    /// The client has ended, or is about to.
    Closed,
}

impl fmt::Display for NotAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate(_) => "there is a peer with this address already",
            Self::Full => "there are as many peers as there may be",
            Self::NotOneHost => "this is no address and port of one host",
            Self::Closed => "the client is closed",
        })
    }
}

impl core::error::Error for NotAdded {}

/// Why a message is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No peer has this name (any more).
    UnknownPeer,
    /// The peer is down, and is not to be bothered before the wait is over.
    Down,
    /// The peer was given up, and is not asked again: remove it, and add it anew.
    GaveUp,
    /// As many messages are on their way as may be.
    Full,
    /// The payload is longer than [`LONGEST_PAYLOAD`](super::LONGEST_PAYLOAD).
    TooLong,
    /// The client has ended, or is about to.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPeer => f.write_str("there is no such peer"),
            Self::Down => f.write_str("the peer is down; it is asked again after a wait"),
            Self::GaveUp => f.write_str("the peer was given up; remove it, and add it anew"),
            Self::Full => f.write_str("as many messages are on their way as may be"),
            Self::TooLong => {
                write!(f, "the payload is too long for a datagram: {} bytes at most", super::LONGEST_PAYLOAD)
            }
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

/// A message that was not accepted, handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// The payload.
    pub payload: Bytes,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl core::error::Error for Refused {}
