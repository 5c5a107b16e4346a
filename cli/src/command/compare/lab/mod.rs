//! The lab's part of the comparison: what is played in it, and what came of that.
//!
//! ```text
//!   Plan ──► a thread: scenarios, then the table, then costs ──► News, as it comes ──► Lab ──► text, markdown, rows, page
//! ```
//!
//! Costs come last and alone: nothing else runs meanwhile.

use core::num::NonZero;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use resound_core::signal::Version;
use resound_lab::agent::Launcher;
use resound_lab::agreement::{Agreement, Note, Row, Tally};
use resound_lab::costs::plays::Plays;
use resound_lab::costs::{self, Configuration, Costs};
use resound_lab::report::Start;
use resound_lab::rig;
use resound_lab::suite::{self, Item, Outcome, Player, Setup};
use resound_lab::table::{self, Finding, TableReport, Unplayed};
use resound_lab::verdict::{Tolerance, Verdict, version_name};
use resound_sim::Scenario;
use resound_sim::engine::staged::Extent;

use crate::args::{Compare, Part, RuntimeName, UseLab};

mod markdown;
mod page;
mod rows;
mod text;

pub(super) use page::write as write_page;
pub(super) use rows::{Body, Counts, csv_rows, lines};

/// With this as its first argument this program is an agent of the lab, or a worker whose costs are measured.
pub(crate) const AGENT: &str = "lab-agent";
pub(crate) const WORKER: &str = "lab-worker";

/// Plays mostly wait, and each is a few processes: this many at a time keep a small machine busy, and punctual.
const TOGETHER: usize = 48;

/// What is to be done in the lab.
#[derive(Debug)]
pub(super) struct Plan {
    items: Vec<Item>,
    players: Vec<Player>,
    table: bool,
    costs: bool,
}

/// What came of one thing.
#[derive(Debug)]
pub(super) enum News {
    /// This is done now.
    Doing(String),
    /// A scenario was played.
    Played(Box<Outcome>),
    /// The kernel was held against the table.
    Table(TableReport),
    /// Costs were measured.
    Costs(Box<Costs>),
    /// What the plays tell of costs.
    InPlays(Box<Plays>),
    /// Something could not be done.
    Failed(String),
}

/// What came of it all.
#[derive(Debug, Default)]
pub(super) struct Lab {
    start: Start,
    /// Why it was not used, if it was to be.
    pub(super) hindrance: Option<String>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) table: Option<TableReport>,
    pub(super) costs: Option<Costs>,
    /// What could not be done.
    pub(super) failures: Vec<String>,
}

/// Why there is no lab where there has to be one.
#[derive(Debug)]
pub(super) struct Hindered(pub(super) String);

impl Plan {
    /// To be called while this process has one thread: without root's rights it enters a user namespace.
    pub(super) fn new(
        args: &Compare,
        runtimes: &[RuntimeName],
        lab: &mut Lab,
    ) -> Result<Option<Self>, Hindered> {
        if !args.wants_lab() {
            return Ok(None);
        }
        if let Err(hindrance) = rig::prepare().and_then(|()| rig::allowed()) {
            let why = hindrance.to_string();
            if args.lab == UseLab::Always {
                return Err(Hindered(format!("the lab cannot be used: {why}")));
            }
            lab.hindrance = Some(why);
            return Ok(None);
        }
        let plan = Self {
            items: if args.wants(Part::Scenarios) { suite::items(&args.scenario) } else { Vec::new() },
            players: runtimes.iter().map(|name| player(*name)).collect(),
            table: args.wants(Part::Table),
            costs: args.wants(Part::Costs),
        };
        Ok(Some(plan))
    }

    /// How many plays there are to come.
    pub(super) fn plays(&self) -> usize {
        self.items.len() * self.players.len()
    }

    /// Does it all, on the calling thread, until it is done or `stop` is set.
    pub(super) fn carry_out(&self, stop: &AtomicBool, tell: &(dyn Fn(News) + Sync)) {
        let launcher = Launcher::myself(AGENT);
        if !self.items.is_empty() {
            tell(News::Doing("scenarios".into()));
            let setup = Setup {
                launcher: launcher.clone(),
                players: self.players.clone(),
                together: TOGETHER,
                tolerance: Tolerance::default(),
            };
            let mut outcomes = Vec::new();
            suite::run(&self.items, &setup, stop, |outcome| {
                outcomes.push(outcome.clone());
                tell(News::Played(Box::new(outcome)));
            });
            Plays::of(&outcomes).into_iter().for_each(|plays| tell(News::InPlays(Box::new(plays))));
        }
        if self.table && !stop.load(Ordering::Relaxed) {
            tell(News::Doing("the kernel table".into()));
            let play = |scenario: &Scenario| match stop.load(Ordering::Relaxed) {
                false => table::on_this_kernel(&launcher, scenario),
                true => Err(Unplayed::Failed("there was no time".into())),
            };
            let mut rows = 0;
            let together = NonZero::new(TOGETHER).unwrap_or(NonZero::<usize>::MIN);
            let report = table::verify(&play, Extent::Rows, together, |_| {
                rows += 1;
                tell(News::Doing(format!("the kernel table, {rows} rows")));
            });
            tell(News::Table(report));
        }
        if self.costs && !stop.load(Ordering::Relaxed) {
            match measure(&self.players, tell) {
                Ok(costs) => tell(News::Costs(Box::new(costs))),
                Err(error) => tell(News::Failed(format!("costs could not be measured: {error}"))),
            }
        }
    }
}

/// On one thread and on several, where a runtime may have either.
fn measure(players: &[Player], tell: &(dyn Fn(News) + Sync)) -> io::Result<Costs> {
    let worker = || Launcher::myself(WORKER).command();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let on = |configuration: &Configuration| players.contains(&configuration.player());
    let config = costs::Config {
        configurations: Configuration::ALL.into_iter().filter(on).collect(),
        ..costs::Config::quick(u64::from(since.subsec_nanos()))
    };
    costs::measure(&config, &worker, &mut |what| tell(News::Doing(what.to_owned())))
}

impl Lab {
    pub(super) fn take(&mut self, news: News) {
        match news {
            // They are told of the outcomes again, when all that came is known.
            News::Doing(_) | News::InPlays(_) => {}
            News::Played(outcome) => self.outcomes.push(*outcome),
            News::Table(report) => self.table = Some(report),
            News::Costs(costs) => self.costs = Some(*costs),
            News::Failed(why) => self.failures.push(why),
        }
    }

    /// By what they are about, as they are shown.
    pub(super) fn sort(&mut self) {
        self.outcomes.sort_by(|a, b| {
            let key = |outcome: &Outcome| (outcome.item.version == Version::V6, outcome.player);
            a.item.name.cmp(&b.item.name).then_with(|| key(a).cmp(&key(b)))
        });
    }

    /// Whether all that came, came as predicted, or otherwise for a reason that is known.
    pub(super) fn holds(&self) -> bool {
        let differ = self.table.as_ref().map_or(0, |table| table.counts()[1]);
        self.tally().differs == 0 && differ == 0
    }

    /// What could not be done that should have been, in one line; `None` if there is nothing.
    pub(super) fn lacks(&self) -> Option<String> {
        let failed = self.outcomes.iter().find_map(|outcome| match &outcome.verdict {
            Verdict::NotPlayed(why) if outcome.item.unplayable().is_none() => Some(format!(
                "{} could not be played on {}: {why}",
                outcome.item.name,
                outcome.player.as_str()
            )),
            _ => None,
        });
        self.failures.first().cloned().or(failed).or_else(|| self.table.as_ref().and_then(unexercised))
    }

    pub(super) fn tally(&self) -> Tally {
        Agreement::of(&self.outcomes).tally()
    }

    /// For a terminal; empty if nothing was done.
    pub(super) fn text(&self) -> String {
        text::show(self)
    }

    /// To paste.
    pub(super) fn markdown(&self) -> String {
        markdown::show(self)
    }

    /// What it comes to, in one line for each part.
    fn verdicts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.outcomes.is_empty() {
            let tally = self.tally();
            let Tally { agrees, deviates, differs, not_played } = tally;
            lines.push(format!(
                "{agrees} of {} plays came as predicted, {deviates} deviate for a known reason, {differs} differ; \
                 {not_played} were not played",
                tally.played()
            ));
        }
        if let Some(table) = &self.table {
            let [agreed, differ, not_exercised] = table.counts();
            lines.push(format!(
                "kernel table on Linux {}: {agreed} rows agreed, {differ} differ, {not_exercised} not exercised",
                table.kernel
            ));
        }
        let no_v6 = rig::lacks(Version::V6).filter(|_| !lines.is_empty());
        lines.extend(no_v6.map(|why| format!("over IPv6 nothing was played: {why}")));
        lines
    }
}

/// The rows of the table that did not agree, and not only because nothing can be played over their IP version.
fn exceptions(table: &TableReport) -> impl Iterator<Item = &table::RowReport> {
    table.rows.iter().filter(|row| row.what != Finding::Agreed && rig::lacks(row.version).is_none())
}

/// What is to be said of a scenario, beyond that nothing can be played over IPv6.
fn notes<'a>(row: &Row<'a>) -> impl Iterator<Item = Note<'a>> {
    let no_v6 = rig::lacks(Version::V6).map(|hindrance| Verdict::NotPlayed(hindrance.to_string()));
    row.notes().into_iter().filter(move |note| Some(note.verdict()) != no_v6.as_ref())
}

/// The rows that could be made to happen, and yet were not; in one line.
fn unexercised(table: &TableReport) -> Option<String> {
    // What no scenario can stage, or none on this machine, has no cases.
    let staged = |row: &&table::RowReport| row.cases > 0 && matches!(row.what, Finding::NotExercised(_));
    let rows: Vec<_> = table.rows.iter().filter(staged).collect();
    let first = rows.first()?;
    let (ip, why) = (version_name(first.version), first.what.explain());
    let others = match rows.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    Some(format!("row {} over {ip} of the kernel table could not be exercised: {why}{others}", first.row))
}

const fn player(name: RuntimeName) -> Player {
    match name {
        RuntimeName::Std => Player::Std,
        RuntimeName::Smol => Player::Smol,
        RuntimeName::Tokio => Player::Tokio,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use resound_sim::kernel::table::Verified;

    use super::*;

    /// A row that nobody can stage is no failure; one that was to be played and was not is.
    #[test]
    fn a_row_that_was_to_be_exercised_and_was_not_is_named() {
        let row = |row, cases| table::RowReport {
            row,
            version: Version::V4,
            verified: Verified::On("6.18"),
            cases,
            what: Finding::NotExercised("the machine stood still".into()),
            took: Duration::ZERO,
        };
        let lab = |rows| Lab { table: Some(TableReport { kernel: "6.18.0".into(), rows }), ..Lab::default() };
        assert_eq!(lab(vec![row("nobody/can", 0)]).lacks(), None);
        let lacks = lab(vec![row("nobody/can", 0), row("a/row", 2), row("another/row", 1)]).lacks();
        let lacks = lacks.expect("two rows were not exercised");
        assert!(
            lacks.starts_with("row a/row over IPv4") && lacks.ends_with("stood still (and 1 more)"),
            "{lacks}"
        );
    }
}
