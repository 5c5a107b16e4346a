//! What must come of a scenario, what programs say, and whether the one is the other.

use std::fmt;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Cause, Errno, Origin, Reason};

use super::text::{Item, Seconds};
use super::{NodeId, Scenario};
use crate::run::Remark;

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
    /// A line of the script that cannot be done: why.
    Refused(Box<str>),
    /// It would run for ever without time passing, and was ended.
    Spins,
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
            Self::Refused(why) => write!(f, "refused ({why})"),
            Self::Spins => f.write_str("spins: it would run for ever without time passing"),
            Self::Call(call, Ok(n)) => write!(f, "{call} {n}"),
            Self::Call(call, Err(errno)) => write!(f, "{call} {errno}"),
            Self::Other(said) => f.write_str(said),
        }
    }
}

/// An expectation that did not come true.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unmet {
    /// Its place in [`Scenario::expects`].
    pub expect: usize,
    /// What was expected of whom, and what was said instead.
    pub message: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Scenario {
    /// The expectations that what was said does not meet, in their order.
    #[must_use]
    pub fn unmet(&self, said: &[Remark]) -> Vec<Unmet> {
        let judge = |(at, expect): (usize, &Expect)| {
            let said: Vec<Heard> =
                said.iter().filter(|remark| remark.node == expect.node).map(Heard::from).collect();
            let wrong = expect.compare(&said).err()?;
            let message =
                format!("{}: {wrong}; {} said: {}", self.show(expect), self.show(&expect.node), Told(&said));
            Some(Unmet { expect: at, message })
        };
        self.expects.iter().enumerate().filter_map(judge).collect()
    }
}

/// A remark of the node that something is expected of.
struct Heard {
    at: Duration,
    said: String,
}

impl From<&Remark> for Heard {
    fn from(remark: &Remark) -> Self {
        Self { at: remark.at - Instant::EPOCH, said: remark.said.to_string() }
    }
}

impl Heard {
    /// Whether it begins with these words.
    fn begins(&self, words: &str) -> bool {
        let mut said = self.said.split_whitespace();
        words.split_whitespace().all(|word| said.next() == Some(word))
    }

    /// Whether it is what was expected, in time.
    fn is(&self, (words, by): &(String, Option<Duration>)) -> bool {
        by.is_none_or(|by| self.at <= by) && self.begins(words)
    }
}

impl Expect {
    fn compare(&self, said: &[Heard]) -> Result<(), String> {
        match self.mode {
            Mode::InOrder => self.in_order(said),
            Mode::Exactly => self.exactly(said),
            Mode::Never => match said.iter().find(|heard| self.items.iter().any(|item| heard.is(item))) {
                Some(heard) => Err(format!("{heard} was said")),
                None => Ok(()),
            },
        }
    }

    /// Each is looked for behind the one before: the first that fits leaves the most room for those that follow.
    fn in_order(&self, said: &[Heard]) -> Result<(), String> {
        let mut rest = said;
        let mut before: Option<&Heard> = None;
        for item in &self.items {
            let Some(at) = rest.iter().position(|heard| heard.is(item)) else {
                let behind = before.map_or_else(String::new, |before| format!(" after {before}"));
                let item = Item(&item.0, item.1);
                return Err(match rest.iter().find(|heard| heard.begins(item.0)) {
                    Some(late) => format!("\"{item}\" was said too late{behind}, at {}", Seconds(late.at)),
                    None => format!("\"{item}\" was not said{behind}"),
                });
            };
            before = Some(&rest[at]);
            rest = &rest[at + 1..];
        }
        Ok(())
    }

    fn exactly(&self, said: &[Heard]) -> Result<(), String> {
        for (item, heard) in self.items.iter().zip(said) {
            if !heard.is(item) {
                return Err(format!("instead of \"{}\", {heard} was said", Item(&item.0, item.1)));
            }
        }
        match (self.items.get(said.len()), said.get(self.items.len())) {
            (Some(missing), _) => Err(format!("\"{}\" was not said", Item(&missing.0, missing.1))),
            (None, Some(more)) => Err(format!("{more} was said too")),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" (at {})", self.said, Seconds(self.at))
    }
}

/// All that somebody said, or enough of it.
struct Told<'a>(&'a [Heard]);

impl Told<'_> {
    /// More than fits on a screen helps nobody.
    const MOST: usize = 40;
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, heard) in self.0.iter().take(Self::MOST).enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{} {}", Seconds(heard.at), heard.said)?;
        }
        match self.0.len() {
            0 => f.write_str("nothing"),
            n if n > Self::MOST => write!(f, "; and {} more", n - Self::MOST),
            _ => Ok(()),
        }
    }
}
