//! What the program asks of an echo client, and what it is told.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::signal::Cause;
use crate::stream::{ConnId, Established};

/// The number of a message: accepted messages count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the program can ask of an echo client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this and get it back. The payload is moved in, and moved out again with the event that ends the message.
    Send(Bytes),
    /// Close gracefully: half-close, wait for the echoes that are due, then done. While no connection stands, done at
    /// once.
    Close,
    /// Reset the connection, lose what is in flight, done at once.
    Abort,
    /// Do not wait for the next round of attempts.
    Hurry,
}

/// A command given back, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The command, unchanged.
    pub command: Command,
    /// Why it was refused.
    pub why: Refusal,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As much is in flight as the configuration allows: try again after the next event.
    Full,
    /// The message alone is larger than `max_bytes`: send it in parts.
    TooLarge,
    /// An empty message has no echo on a byte stream.
    Empty,
    /// The client is closing or closed.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "as much is in flight as the configuration allows; try again after the next event",
            Self::TooLarge => "the message is larger than max_bytes; send it in parts",
            Self::Empty => "an empty message has no echo on a byte stream",
            Self::Closed => "the client is closing or closed",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl core::error::Error for Refused {}

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt to connect begins.
    Dialing {
        /// The attempt; attempts count from 1.
        conn: ConnId,
        /// Index of the address among the targets.
        target: u8,
    },
    /// An attempt failed.
    DialFailed {
        /// The attempt.
        conn: ConnId,
        /// Index of the address among the targets.
        target: u8,
        /// Why.
        cause: Cause,
    },
    /// A connection stands.
    Up {
        /// The attempt that it came of.
        conn: ConnId,
        /// Index of its address among the targets.
        target: u8,
        /// What the driver knows of it.
        established: Established,
    },
    /// A message came back.
    Echoed {
        /// Its number.
        seq: Seq,
        /// The payload that was moved in.
        payload: Bytes,
        /// From the write of its last byte to the arrival of its last byte.
        round_trip: Duration,
    },
    /// A message will not come back.
    Lost {
        /// Its number.
        seq: Seq,
        /// The payload that was moved in.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
    /// The peer left a probe unanswered.
    Suspect {
        /// How many in a row.
        unanswered: u8,
    },
    /// The connection is over.
    Down {
        /// Which.
        conn: ConnId,
        /// Why.
        cause: Cause,
        /// How many messages were on the wire and unanswered.
        in_flight: usize,
        /// For how long nothing had come in.
        silent: Duration,
    },
    /// The next round of attempts begins after a wait.
    Retry {
        /// The level of the backoff.
        level: u32,
        /// How long the wait is, from now.
        delay: Duration,
    },
    /// This side's own timer call came late; nobody is blamed for it.
    Stalled {
        /// By how much.
        late: Duration,
    },
    /// There will be no further attempt. The last event.
    GaveUp {
        /// Why the last one failed.
        cause: Cause,
    },
    /// The program closed the client. The last event.
    Closed,
}
