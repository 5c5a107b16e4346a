//! What must come of a scenario, and what programs say.

use std::fmt;
use std::time::Duration;

use resound_core::signal::{Cause, Errno, Origin, Reason};

use super::NodeId;

/// What must come of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Of whom.
    pub node: NodeId,
    /// How.
    pub mode: Mode,
    /// Beginnings of what is said: words as [`Said`] displays them; and by when at the latest.
    pub items: Vec<(String, Option<Duration>)>,
}

/// How what is said is compared with what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// All of it, in this order; other things may be said in between.
    InOrder,
    /// This and nothing else.
    Exactly,
    /// None of it, ever.
    Never,
}

/// What a program says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// A connection is attempted.
    Dialing,
    /// It failed.
    DialFailed(Reason, Origin),
    /// A connection stands, or a peer has answered.
    Up,
    /// This message was accepted.
    Sent(u64),
    /// It came back.
    Echo(u64),
    /// It will not.
    Lost(u64, Reason),
    /// The peer is silent; this many probes are unanswered.
    Suspect(u8),
    /// The connection has ended.
    Down(Reason, Origin),
    /// It will be tried again.
    Retry {
        /// How often it failed in a row.
        level: u32,
        /// After this long.
        delay: Duration,
    },
    /// The program was late by this much.
    Stalled(Duration),
    /// It will not be tried again.
    GaveUp(Reason),
    /// It is over.
    Closed,
    /// A server's connection began.
    Accepted,
    /// A server's connection ended.
    Ended(Reason),
    /// What a single call gave: the socket's name and the call, and the result.
    Call(Box<str>, Result<u64, Errno>),
    /// Something else: a program of the user's own says this.
    Other(Box<str>),
}

impl Said {
    /// The end of a connection.
    #[must_use]
    pub const fn down(cause: &Cause) -> Self {
        Self::Down(cause.reason, cause.origin)
    }

    /// Something that has no word of its own.
    #[must_use]
    pub fn other(said: impl fmt::Display) -> Self {
        Self::Other(said.to_string().into_boxed_str())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialing => f.write_str("dialing"),
            Self::DialFailed(reason, origin) => write!(f, "dial-failed {reason} {origin}"),
            Self::Up => f.write_str("up"),
            Self::Sent(seq) => write!(f, "sent {seq}"),
            Self::Echo(seq) => write!(f, "echo {seq}"),
            Self::Lost(seq, reason) => write!(f, "lost {seq} {reason}"),
            Self::Suspect(unanswered) => write!(f, "suspect {unanswered}"),
            Self::Down(reason, origin) => write!(f, "down {reason} {origin}"),
            Self::Retry { level, delay } => write!(f, "retry {level} {delay:?}"),
            Self::Stalled(late) => write!(f, "stall {late:?}"),
            Self::GaveUp(reason) => write!(f, "gave-up {reason}"),
            Self::Closed => f.write_str("closed"),
            Self::Accepted => f.write_str("accepted"),
            Self::Ended(reason) => write!(f, "ended {reason}"),
            Self::Call(call, Ok(n)) => write!(f, "{call} {n}"),
            Self::Call(call, Err(errno)) => write!(f, "{call} {errno}"),
            Self::Other(said) => f.write_str(said),
        }
    }
}
