//! Which scenarios, on what; many at a time; again where the machine stood still.

use std::sync::Arc;
use std::time::Duration;

use resound_core::signal::Version;
use resound_sim::{Run, Scenario};

use crate::verdict::Verdict;

/// Who plays a scenario's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Player {
    /// The core's machines on std sockets.
    Std,
    /// On smol.
    Smol,
    /// On tokio.
    Tokio,
}

impl Player {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Std, Self::Smol, Self::Tokio];

    /// As in `--runtime`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Smol => "smol",
            Self::Tokio => "tokio",
        }
    }
}

/// A scenario to be played, over one IP version.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its file's name without the ending.
    pub name: String,
    /// What it is about: the comment at the head of its file, in one line.
    pub about: String,
    /// The scenario, with its version set.
    pub scenario: Arc<Scenario>,
    /// Over which IP version.
    pub version: Version,
    /// What the simulator says will come.
    pub predicted: Arc<Run>,
}

/// What came of one item by one player.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was played.
    pub item: Item,
    /// By whom.
    pub player: Player,
    /// Whether it came as predicted.
    pub verdict: Verdict,
    /// What came; `None` if it was not played.
    pub run: Option<Arc<Run>>,
    /// How long it took.
    pub took: Duration,
    /// How often it was played: again, where the machine stood still meanwhile.
    pub times: u32,
}
