//! What a run gives: what was said, what passed on the wires, and what each fault did.

use std::fmt;

use resound_core::Instant;

use crate::kernel::TcpState;
use crate::packet::{FaultId, Packet};
use crate::scenario::{NodeId, Said, Scenario, Way};

pub mod coverage;
pub mod timeline;

pub use coverage::Coverage;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// What programs said, and what the faults did.
    Said,
    /// Packets and states too: what a timeline is drawn from.
    Everything,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// What programs said, in the order of time.
    pub said: Vec<Remark>,
    /// What happened, in the order of time; empty unless [everything](Record::Everything) was recorded.
    pub moments: Vec<Moment>,
    /// What each fault did, in the order of the scenario.
    pub ledger: Vec<Effect>,
    /// When the last thing happened; nothing did from then until the scenario's end.
    pub ended: Instant,
    /// How many packets set out.
    pub packets: u64,
    /// How many of them each way: by the link's place in the scenario, there and back.
    pub ways: Vec<[u32; 2]>,
    /// Which ways the first packets set out, in order: as many as [`World::trace`](crate::World::trace) asked for.
    pub order: Vec<Way>,
    /// When a fault last began, ended or did something to a packet.
    pub disturbed: Option<Instant>,
    /// A hash of everything that happened, in order: two runs of one scenario have the same.
    pub digest: u64,
    /// What programs met, and which rows of the kernel table were obeyed.
    pub coverage: Coverage,
}

/// What a program said, and when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remark {
    /// When, since the start.
    pub at: Instant,
    /// On which host.
    pub node: NodeId,
    /// What.
    pub said: Said,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When, since the start.
    pub at: Instant,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A packet sets out on a link. If it arrives, it does so then.
    Sent {
        /// Which way.
        way: Way,
        /// The packet.
        packet: Packet,
        /// When it arrives; `None`: it is lost on the way.
        arrives: Option<Instant>,
        /// Which fault did something to it, and what: `drop`, `delay` and so on.
        fault: Option<(FaultId, &'static str)>,
    },
    /// A packet arrived at the host it was for, and this came of it (only said of what a fault made or changed, and of what
    /// was ignored).
    Arrived {
        /// Where.
        node: NodeId,
        /// What came of it.
        fate: crate::kernel::Fate,
    },
    /// A TCP socket changed its state.
    State {
        /// On which host.
        node: NodeId,
        /// Which state.
        state: TcpState,
    },
    /// A program said something.
    Said {
        /// On which host.
        node: NodeId,
        /// What.
        said: Said,
    },
    /// A program, or a host, was asked for something: the command in its text form.
    Asked {
        /// Which host.
        node: NodeId,
        /// What, in words.
        command: String,
    },
    /// A fault that is not about one packet began, in words.
    Fault {
        /// Which.
        fault: FaultId,
        /// In words.
        what: String,
    },
}

/// What a fault did in the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It changed something: what.
    Acted(String),
    /// It happened, and changed nothing: why.
    Absorbed(String),
    /// It never happened, or nothing met it: why.
    Inert(String),
}

impl Run {
    /// What the programs of one host said, in the order of time.
    pub fn said_by(&self, node: NodeId) -> impl Iterator<Item = &Remark> {
        self.said.iter().filter(move |remark| remark.node == node)
    }

    /// The lines of the script that could not be done, of hosts of which that was not expected.
    pub fn refused<'a>(&'a self, scenario: &'a Scenario) -> impl Iterator<Item = &'a Remark> {
        let expected = |node: NodeId| {
            let of_node = scenario.expects.iter().filter(move |expect| expect.node == node);
            of_node.flat_map(|expect| &expect.items).any(|(words, _)| words.starts_with("refused"))
        };
        self.said
            .iter()
            .filter(move |remark| matches!(remark.said, Said::Refused(_)) && !expected(remark.node))
    }

    /// The first program that was ended because it would have run for ever without time passing.
    #[must_use]
    pub fn spinning(&self) -> Option<&Remark> {
        self.said.iter().find(|remark| remark.said == Said::Spins)
    }

    /// The faults that never happened, or that nothing met, and why.
    pub fn inert(&self) -> impl Iterator<Item = (FaultId, &str)> {
        (0..).map(FaultId).zip(&self.ledger).filter_map(|(fault, effect)| match effect {
            Effect::Inert(why) => Some((fault, why.as_str())),
            Effect::Acted(_) | Effect::Absorbed(_) => None,
        })
    }
}

impl Effect {
    /// In one word: `acted`, `absorbed` or `inert`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Acted(_) => "acted",
            Self::Absorbed(_) => "absorbed",
            Self::Inert(_) => "inert",
        }
    }

    /// What it changed, or why it did not.
    #[must_use]
    pub fn explain(&self) -> &str {
        let (Self::Acted(text) | Self::Absorbed(text) | Self::Inert(text)) = self;
        text
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.as_str(), self.explain())
    }
}
