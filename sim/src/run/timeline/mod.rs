//! A run, shown: for people in a terminal, for programs, in a page, and in Wireshark.
//!
//! # Theory of operation
//!
//! ```text
//!                       ┌──► ascii     a ladder: a column for each node, a line for each moment
//!   Run ──┐             ├──► jsonl     an object for each moment
//!         ├──► words ───┼──► mermaid   a sequence diagram
//!   Scenario            ├──► svg       a sequence diagram, drawn
//!                       └──► pcapng    packets as bytes
//! ```
//!
//! The run knows what happened, the scenario what the nodes are called and what the faults are. All five tell of the same
//! moments, with the same `words` for packets: sequence numbers are counted from where each side of a connection
//! began. Where a run has no moments, because [only what was said](crate::run::Record::Said) was written down, they tell
//! of that.
//!
//! Nodes and faults that the scenario does not have are shown as `?` and by their number: showing never panics. Faults
//! are counted from 1.

use std::borrow::Cow;

use super::{Happened, Moment, Run};
use crate::kernel::{Fate, TcpState};
use crate::packet::{FaultId, Packet};
use crate::scenario::{NodeId, Scenario, What};

mod ascii;
mod jsonl;
mod mermaid;
mod pcapng;
mod svg;
mod words;

pub use ascii::Timeline;
pub use jsonl::JsonLines;
pub use mermaid::Mermaid;
pub use svg::Svg;

impl Run {
    /// The run as a ladder for people, with what each fault did below it.
    ///
    /// `scenario` is the one that was played.
    #[must_use]
    pub const fn timeline<'a>(&'a self, scenario: &'a Scenario) -> Timeline<'a> {
        Timeline::new(Story { run: self, scenario })
    }

    /// The run as JSON, an object in each line: one that names nodes and links, one for each moment, one for each fault's
    /// effect, and one for the end.
    ///
    /// Each has a `kind`: `run`, `packet`, `arrived`, `state`, `said`, `asked`, `fault`, `effect`, `end`. Times are in
    /// nanoseconds since the start.
    #[must_use]
    pub const fn json_lines<'a>(&'a self, scenario: &'a Scenario) -> JsonLines<'a> {
        JsonLines::new(Story { run: self, scenario })
    }

    /// The run as a sequence diagram in Mermaid's language.
    #[must_use]
    pub const fn mermaid<'a>(&'a self, scenario: &'a Scenario) -> Mermaid<'a> {
        Mermaid::new(Story { run: self, scenario })
    }

    /// The run as a sequence diagram in SVG.
    #[must_use]
    pub const fn svg<'a>(&'a self, scenario: &'a Scenario) -> Svg<'a> {
        Svg::new(Story { run: self, scenario })
    }

    /// The packets as a capture file that Wireshark opens, of the kind pcapng, with an interface for each link. Each packet
    /// stands there once for each link that it set out on, at the time when it did so; `outbound` is the way from the first
    /// to the second in the link's name. Comments tell what a fault did to it.
    #[must_use]
    pub fn pcapng(&self, scenario: &Scenario) -> Vec<u8> {
        pcapng::write(Story { run: self, scenario })
    }
}

/// What is to be told.
#[derive(Clone, Copy, Debug)]
struct Story<'a> {
    run: &'a Run,
    scenario: &'a Scenario,
}

impl<'a> Story<'a> {
    fn moments(self) -> Cow<'a, [Moment]> {
        if !self.run.moments.is_empty() {
            return Cow::Borrowed(&self.run.moments);
        }
        let told = self.run.said.iter().map(|remark| Moment {
            at: remark.at,
            what: Happened::Said { node: remark.node, said: remark.said.clone() },
        });
        Cow::Owned(told.collect())
    }

    fn name(self, node: NodeId) -> &'a str {
        self.scenario.nodes.get(usize::from(node.0)).map_or("?", |node| &node.name)
    }

    /// The fault's number, and what it is.
    fn fault(self, fault: FaultId) -> String {
        match self.describe(fault) {
            Some(text) => format!("fault {} ({text})", number(fault)),
            None => format!("fault {}", number(fault)),
        }
    }

    /// What the fault is, as the scenario's text has it.
    fn describe(self, fault: FaultId) -> Option<String> {
        let fault = self.scenario.faults.get(fault.0 as usize)?;
        Some(self.scenario.show(fault).to_string())
    }

    /// What a fault did to the packet that sets out here.
    fn mark(self, packet: &Packet, fault: Option<(FaultId, &'static str)>) -> Mark {
        let id = fault.map(|(id, _)| id).or(packet.fault);
        let of_scenario = id.and_then(|id| self.scenario.faults.get(id.0 as usize));
        Mark {
            fault: id,
            word: fault.map(|(_, word)| word),
            forged: of_scenario.is_some_and(|fault| matches!(fault.what, What::Forge { .. })),
        }
    }
}

/// What a fault did to a packet.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Which; `None`: none did.
    fault: Option<FaultId>,
    /// What it did, if it did so on this link: `drop`, `delay` and so on.
    word: Option<&'static str>,
    /// Whether the packet is made up.
    forged: bool,
}

impl Mark {
    /// In words: `lost: drop (fault 2)`; empty if there is nothing to say.
    fn words(self, packet: &Packet, lost: bool) -> String {
        let word = if self.forged { Some("forged") } else { self.word };
        let what = match (lost, word) {
            (true, Some(word)) => format!("lost: {word}"),
            (true, None) => "lost".to_owned(),
            (false, Some(word)) => word.to_owned(),
            (false, None) if packet.damaged => "damaged".to_owned(),
            (false, None) => String::new(),
        };
        match self.fault {
            Some(fault) if what.is_empty() => format!("(fault {})", number(fault)),
            Some(fault) => format!("{what} (fault {})", number(fault)),
            None => what,
        }
    }
}

/// A fault's number for people.
const fn number(fault: FaultId) -> u64 {
    fault.0 as u64 + 1
}

fn fate(fate: &Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Acted(what) => ("acted", what),
        Fate::Absorbed(why) => ("absorbed", why),
    }
}

const fn state(state: TcpState) -> &'static str {
    match state {
        TcpState::Closed => "closed",
        TcpState::Listen => "listen",
        TcpState::SynSent => "syn-sent",
        TcpState::SynReceived => "syn-received",
        TcpState::Established => "established",
        TcpState::FinWait1 => "fin-wait-1",
        TcpState::FinWait2 => "fin-wait-2",
        TcpState::CloseWait => "close-wait",
        TcpState::Closing => "closing",
        TcpState::LastAck => "last-ack",
        TcpState::TimeWait => "time-wait",
    }
}
