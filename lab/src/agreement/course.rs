//! A prediction and what came, word by word beside each other; and the times that are worth a plot.

use std::collections::HashMap;
use std::time::Duration;

use resound_core::signal::{Errno, Version};
use resound_sim::Run;
use resound_sim::faults::since_start;
use resound_sim::run::Remark;
use resound_sim::scenario::{NodeId, Said};

use super::Row;
use crate::suite::{Outcome, Player};
use crate::verdict::words;

/// A word of the prediction, and when each player said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// On which host.
    pub node: NodeId,
    /// The words, without the times that they carry.
    pub words: String,
    /// When it was predicted; `None`: it was not.
    pub predicted: Option<Duration>,
    /// What each player made of it, in the order of [`Player::ALL`].
    pub came: [Came; 3],
}

/// What came in the place of a word.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Came {
    /// Nothing is known: it was not played, or the runs had parted before.
    #[default]
    Unknown,
    /// The same, at that time.
    At(Duration),
    /// Something else, at that time.
    Instead(String, Duration),
    /// Nothing any more.
    Missing,
}

/// What was predicted of one IP version, in the order of time, and what came of it. What a player said beyond the
/// prediction follows at the end.
#[must_use]
pub fn course(row: &Row<'_>, version: Version) -> Vec<Beat> {
    let Some(item) = row.items().find(|item| item.version == version) else { return Vec::new() };
    let predicted = &item.predicted;
    let mut beats: Vec<Beat> = predicted
        .said
        .iter()
        .map(|remark| Beat {
            node: remark.node,
            words: words(&remark.said),
            predicted: Some(since_start(remark.at)),
            came: Default::default(),
        })
        .collect();
    for (column, player) in Player::ALL.into_iter().enumerate() {
        let Some(run) = row.cell(player, version).and_then(|outcome| outcome.run.as_ref()) else { continue };
        for node in (0..item.scenario.nodes.len()).map(|node| NodeId(node as u8)) {
            align(&mut beats, run, node, column);
        }
    }
    beats
}

/// Puts what one host said in a run beside its predictions, up to where the two part.
fn align(beats: &mut Vec<Beat>, run: &Run, node: NodeId, column: usize) {
    let mut heard = run.said_by(node);
    for beat in beats.iter_mut().filter(|beat| beat.node == node && beat.predicted.is_some()) {
        beat.came[column] = match heard.next() {
            None => Came::Missing,
            Some(remark) if words(&remark.said) == beat.words => Came::At(since_start(remark.at)),
            Some(remark) => Came::Instead(words(&remark.said), since_start(remark.at)),
        };
        if !matches!(beat.came[column], Came::At(_)) {
            return;
        }
    }
    if let Some(more) = heard.next() {
        let mut beat = Beat { node, words: words(&more.said), predicted: None, came: Default::default() };
        beat.came[column] = Came::At(since_start(more.at));
        beats.push(beat);
    }
}

/// A time that was predicted, and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// In the simulator.
    pub predicted: Duration,
    /// In truth.
    pub came: Duration,
}

impl Latency {
    /// How far they are apart.
    #[must_use]
    pub fn off(self) -> Duration {
        self.predicted.abs_diff(self.came)
    }
}

/// When programs were told that something is wrong: each end and each failure that came as predicted.
#[must_use]
pub fn detections(outcome: &Outcome) -> Vec<(&Remark, Latency)> {
    pairs(outcome).filter(|(remark, _)| is_detection(&remark.said)).collect()
}

/// How long echoes took that came as predicted.
#[must_use]
pub fn round_trips(outcome: &Outcome) -> Vec<Latency> {
    let mut sent: HashMap<(NodeId, u64), Latency> = HashMap::new();
    let mut trips = Vec::new();
    for (remark, at) in pairs(outcome) {
        match remark.said {
            Said::Sent(seq) => drop(sent.insert((remark.node, seq), at)),
            Said::Echo(seq) => {
                if let Some(left) = sent.remove(&(remark.node, seq)) {
                    let took = |back: Duration, left| back.saturating_sub(left);
                    trips.push(Latency {
                        predicted: took(at.predicted, left.predicted),
                        came: took(at.came, left.came),
                    });
                }
            }
            _ => {}
        }
    }
    trips
}

/// What was predicted and came, host by host up to where the two part.
fn pairs(outcome: &Outcome) -> impl Iterator<Item = (&Remark, Latency)> {
    let nodes = 0..outcome.item.scenario.nodes.len() as u8;
    let of_node = |(run, node)| pairs_of(&outcome.item.predicted, run, NodeId(node));
    outcome
        .run
        .as_deref()
        .into_iter()
        .flat_map(move |run| nodes.clone().map(move |node| (run, node)))
        .flat_map(of_node)
}

fn pairs_of<'a>(
    predicted: &'a Run,
    came: &'a Run,
    node: NodeId,
) -> impl Iterator<Item = (&'a Remark, Latency)> {
    let both = predicted.said_by(node).zip(came.said_by(node));
    both.take_while(|(predicted, came)| words(&predicted.said) == words(&came.said)).map(
        |(predicted, came)| {
            (predicted, Latency { predicted: since_start(predicted.at), came: since_start(came.at) })
        },
    )
}

/// Whether a program is told of an end or a failure. (That it has to wait is none.)
#[must_use]
pub const fn is_detection(said: &Said) -> bool {
    match said {
        Said::DialFailed(..) | Said::Down(..) | Said::Ended(_) | Said::Lost(..) => true,
        Said::Call(_, Err(errno)) => !matches!(*errno, Errno::InProgress | Errno::Again | Errno::Already),
        _ => false,
    }
}
