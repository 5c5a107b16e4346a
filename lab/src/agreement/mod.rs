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
use resound_sim::faults::since_start;

use crate::suite::{Item, Outcome, Player};
use crate::verdict::{Verdict, version_name, words};

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

/// Something to be said of runs of one scenario that did not come as predicted.
#[derive(Debug)]
pub struct Note<'a> {
    /// The runs of which it is to be said.
    pub outcomes: Vec<&'a Outcome>,
    /// What, in full sentences.
    pub said: String,
}

impl<'a> Row<'a> {
    /// What is to be said of the runs that did not come as predicted, once for all of which the same is.
    #[must_use]
    pub fn notes(&self) -> Vec<Note<'a>> {
        let mut notes: Vec<Note<'a>> = Vec::new();
        for &outcome in self.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Agrees) {
            let said = sentences(&outcome.item.scenario, &outcome.verdict).join("; ");
            match notes.iter_mut().find(|note| note.said == said && note.is_of_kind(&outcome.verdict)) {
                Some(note) => note.outcomes.push(outcome),
                None => notes.push(Note { outcomes: vec![outcome], said }),
            }
        }
        notes
    }
}

impl Note<'_> {
    /// The verdict on each of its runs.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.outcomes[0].verdict
    }

    fn is_of_kind(&self, verdict: &Verdict) -> bool {
        self.verdict().as_str() == verdict.as_str()
    }

    /// Which runs of the row it is of: `tokio IPv4, tokio IPv6`; empty if it is of all.
    #[must_use]
    pub fn whose(&self, row: &Row<'_>) -> String {
        if self.outcomes.len() == row.outcomes.len() {
            return String::new();
        }
        let name = |outcome: &&Outcome| {
            format!("{} {}", outcome.player.as_str(), version_name(outcome.item.version))
        };
        self.outcomes.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl Tally {
    /// How many were played.
    #[must_use]
    pub const fn played(self) -> usize {
        self.agrees + self.deviates + self.differs
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

/// What the prediction comes to, in a few words: the first end or failure that a program is told of, or its last word.
#[must_use]
pub fn gist(item: &Item) -> String {
    let said = &item.predicted.said;
    let told = said.iter().find(|remark| is_detection(&remark.said)).or_else(|| said.last());
    told.map_or_else(
        || "nothing is said".to_owned(),
        |remark| format!("{} at {:.3} s", words(&remark.said), since_start(remark.at).as_secs_f64()),
    )
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
        Verdict::NotPlayed(why) => vec![why.clone()],
    }
}

/// The version's place among the columns.
const fn column(version: Version) -> usize {
    match version {
        Version::V4 => 0,
        Version::V6 => 1,
    }
}
