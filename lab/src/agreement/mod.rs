//! What came of all that was played, as a matrix: scenarios by players.
//!
//! ```text
//!                         IPv4               IPv6
//!   scenario         std smol tokio     std smol tokio
//!   rst-exact         ✓    ✓    ✓        ✓    ✓    ✓
//!   zero-window       ✓    ≈    ✗        ✓    ✓    –
//! ```
//!
//! It decides nothing: it sorts, counts and aligns what the [verdicts](crate::verdict) say, for whoever shows it, as
//! text, as a page or for programs.

use resound_core::signal::Version;
use resound_sim::Scenario;

use crate::suite::{Item, Outcome, Player};
use crate::verdict::Verdict;

mod course;
mod subject;

pub use course::{Beat, Came, Latency, course, detections, is_detection, round_trips};
pub use subject::{Situation, Subject};

/// The IP versions, in the order of the columns.
pub const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

/// All that was played, row by row.
#[derive(Debug)]
pub struct Agreement<'a> {
    /// By what they are about, then by name.
    pub rows: Vec<Row<'a>>,
}

/// What came of one scenario.
#[derive(Debug)]
pub struct Row<'a> {
    /// The scenario's name.
    pub name: &'a str,
    /// What it is about, in a line.
    pub about: &'a str,
    /// What goes wrong in it.
    pub subject: Subject,
    /// By version and player, in the order of the columns.
    pub outcomes: Vec<&'a Outcome>,
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As predicted.
    pub agrees: usize,
    /// Not so, for a reason that is known.
    pub deviates: usize,
    /// Not so.
    pub differs: usize,
    /// Nothing came of it.
    pub not_played: usize,
}

impl<'a> Agreement<'a> {
    /// Of outcomes in any order.
    #[must_use]
    pub fn of(outcomes: &'a [Outcome]) -> Self {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for outcome in outcomes {
            let Item { name, about, scenario, .. } = &outcome.item;
            match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => row.outcomes.push(outcome),
                None => {
                    let subject = Subject::of(scenario);
                    rows.push(Row { name, about, subject, outcomes: vec![outcome] });
                }
            }
        }
        rows.sort_by_key(|row| (row.subject, row.name));
        for row in &mut rows {
            row.outcomes.sort_by_key(|outcome| (column(outcome.item.version), outcome.player));
        }
        Self { rows }
    }

    /// How many of each verdict there are.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.count(|_| true)
    }

    /// The same of one column.
    #[must_use]
    pub fn tally_of(&self, player: Player, version: Version) -> Tally {
        self.count(|outcome| outcome.player == player && outcome.item.version == version)
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> Tally {
        let mut tally = Tally::default();
        for outcome in self.rows.iter().flat_map(|row| &row.outcomes).filter(|outcome| wanted(outcome)) {
            *match outcome.verdict {
                Verdict::Agrees => &mut tally.agrees,
                Verdict::Deviates(_) => &mut tally.deviates,
                Verdict::Differs(_) => &mut tally.differs,
                Verdict::NotPlayed(_) => &mut tally.not_played,
            } += 1;
        }
        tally
    }
}

impl<'a> Row<'a> {
    /// What came of it by a player over an IP version; `None` if that was not asked for.
    #[must_use]
    pub fn cell(&self, player: Player, version: Version) -> Option<&'a Outcome> {
        let of_cell = |outcome: &&&Outcome| outcome.player == player && outcome.item.version == version;
        self.outcomes.iter().find(of_cell).copied()
    }

    /// What was played, for each IP version.
    pub fn items(&self) -> impl Iterator<Item = &'a Item> {
        let first = |version| self.outcomes.iter().find(move |outcome| outcome.item.version == version);
        VERSIONS.into_iter().filter_map(first).map(|outcome| &outcome.item)
    }
}

impl Tally {
    /// How many there are.
    #[must_use]
    pub const fn all(self) -> usize {
        self.agrees + self.deviates + self.differs + self.not_played
    }
}

/// The sign of a verdict: `✓`, `≈`, `✗`, `–`.
#[must_use]
pub const fn sign(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Agrees => '✓',
        Verdict::Deviates(_) => '≈',
        Verdict::Differs(_) => '✗',
        Verdict::NotPlayed(_) => '–',
    }
}

/// A verdict in full sentences: in what it differs, why it may, or why it was not played. None if it agrees.
#[must_use]
pub fn sentences(scenario: &Scenario, verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Agrees => Vec::new(),
        Verdict::Deviates(deviation) => {
            vec![format!("{}: {} …; that is right: {}", deviation.host, deviation.begins, deviation.why)]
        }
        Verdict::Differs(differences) => differences
            .iter()
            .map(|difference| {
                let node = scenario.nodes.get(usize::from(difference.node.0));
                format!("{}: {}", node.map_or("?", |node| &node.name), difference.what)
            })
            .collect(),
        Verdict::NotPlayed(why) => vec![format!("not played: {why}")],
    }
}

/// The version's place among the columns.
const fn column(version: Version) -> usize {
    match version {
        Version::V4 => 0,
        Version::V6 => 1,
    }
}
