//! The kernel table, row by row, on the kernel that runs here.
//!
//! # Theory of operation
//!
//! The simulator [stages](staged) each row of its table as a scenario of single socket calls, and says what each call is to
//! give. Here those scenarios are played with real hosts, many at a time, because they mostly sleep; what the calls gave is
//! held against the row. No machine, no runtime, no simulated kernel is involved: what differs is the table, or the kernel.
//!
//! ```text
//!   staged::cases ──► play, `parallel` at a time ──► Case::compare ─┬─► agrees
//!                        ▲                                         ├─► differs    ─┐ played again, until it
//!                        └───────────── again ◄────────────────────┴─► not staged ─┘ is sure
//! ```
//!
//! A machine that stands still for a moment can come too late with a call, and what is said then is something else; a play
//! that was [late](Played::late) says nothing, and is repeated when the others are done. A difference that comes twice is
//! one; after one that came once, only two agreements in a row count.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use resound_core::signal::Version;
use resound_sim::engine::staged::{self, Case, Extent, Outcome, Unstaged};
use resound_sim::kernel::table::{self, RowId, Verified};
use resound_sim::{Record, Scenario};

use crate::agent::Launcher;
use crate::play::{self, Played, unplayable};
use crate::suite::Player;
use crate::verdict::version_name;
use crate::watch::Watch;

/// What came of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This kernel does what the table says.
    Agreed,
    /// It does something else, in one line: which call, what the table says, what the kernel gave.
    Differs(String),
    /// It was not tried: why not.
    NotExercised(String),
}

impl Finding {
    /// In one word: `agreed`, `differs`, `not-exercised`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Differs(_) => "differs",
            Self::NotExercised(_) => "not-exercised",
        }
    }

    /// The line, or the reason.
    #[must_use]
    pub fn explain(&self) -> &str {
        match self {
            Self::Agreed => "",
            Self::Differs(text) | Self::NotExercised(text) => text,
        }
    }
}

/// Why a case was not played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplayed {
    /// This machine cannot: its kernel has no IPv6, or lacks a setting.
    Never(String),
    /// It could have been.
    Failed(String),
}

impl fmt::Display for Unplayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Never(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Unplayed {}

/// A row over one IP version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowReport {
    /// Its name in the table.
    pub row: &'static str,
    /// Over which IP version.
    pub version: Version,
    /// Where the table says that this was seen.
    pub verified: Verified,
    /// In how many ways it can be made to happen on this machine.
    pub cases: usize,
    /// What came of it: of a way that differs, if one does.
    pub what: Finding,
    /// How long its cases took, one after the other.
    pub took: Duration,
}

/// The table on a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Which kernel: `uname -r`.
    pub kernel: String,
    /// Each row over each IP version, in the order of the table.
    pub rows: Vec<RowReport>,
}

impl TableReport {
    /// How many rows agreed, differ, and were not exercised.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let many = |is: fn(&Finding) -> bool| self.rows.iter().filter(|row| is(&row.what)).count();
        [
            many(|what| matches!(what, Finding::Agreed)),
            many(|what| matches!(what, Finding::Differs(_))),
            many(|what| matches!(what, Finding::NotExercised(_))),
        ]
    }
}

/// Plays a scenario of the table on the kernel that runs here.
///
/// # Errors
///
/// Why it could not be played.
pub fn on_this_kernel(launcher: &Launcher, scenario: &Scenario) -> Result<Played, Unplayed> {
    if let Some(why) = unplayable(scenario) {
        return Err(Unplayed::Never(why));
    }
    // No machine runs, so it does not matter on what.
    let setup =
        play::Setup { launcher, player: Player::Std, record: Record::Everything, ends: scenario.until };
    play::play(&Arc::new(scenario.clone()), &setup).map_err(|error| Unplayed::Failed(error.to_string()))
}

/// Plays every case of the table for Linux, `parallel` at a time, and tells of each row when it is done.
///
/// `play` plays a scenario with real hosts, as [`on_this_kernel`] does, or says why it cannot. A row without a case that this
/// machine can play is not exercised, and has none.
pub fn verify<P>(
    play: &P,
    extent: Extent,
    parallel: NonZeroUsize,
    progress: impl FnMut(&RowReport) + Send,
) -> TableReport
where
    P: Fn(&Scenario) -> Result<Played, Unplayed> + Sync,
{
    let board = Mutex::new(Board::new(staged::cases(extent), progress));
    let watch = Watch::start();
    std::thread::scope(|scope| {
        for _ in 0..parallel.get() {
            scope.spawn(|| work(&board, play, &watch));
        }
    });
    let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
    TableReport { kernel: kernel(), rows: board.rows.into_iter().map(|row| row.report).collect() }
}

/// The release of the kernel that runs here (`uname -r`).
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| String::from("unknown"), |release| release.trim().to_owned())
}

/// What is to be done, and what was.
struct Board<F> {
    todo: VecDeque<Task>,
    rows: Vec<Row>,
    progress: F,
}

/// A case to be played.
struct Task {
    /// The place of its row.
    place: usize,
    case: Case,
    /// How often it was played.
    tries: u32,
    /// How often it differed on a machine that was punctual.
    differed: u32,
    /// How often it agreed since then.
    agreed: u32,
}

impl Task {
    /// Takes in what it gave, and whether that is sure.
    fn is_sure(&mut self, finding: &Finding) -> bool {
        self.tries += 1;
        match finding {
            Finding::Agreed => self.agreed += 1,
            Finding::Differs(_) => (self.differed, self.agreed) = (self.differed + 1, 0),
            Finding::NotExercised(_) => {}
        }
        let agreed = self.agreed > self.differed.min(1);
        agreed || self.differed > 1 || self.tries >= TRIES
    }
}

struct Row {
    report: RowReport,
    /// How many of its cases are not done.
    left: usize,
}

impl<F: FnMut(&RowReport)> Board<F> {
    fn new(cases: Vec<Result<Case, Unstaged>>, progress: F) -> Self {
        let mut board = Self { todo: VecDeque::new(), rows: Vec::new(), progress };
        let mut places: Vec<(RowId, Version)> = Vec::new();
        for case in cases {
            let (id, version) = match &case {
                Ok(case) => (case.row, case.version),
                Err(unstaged) => (unstaged.row, unstaged.version),
            };
            let place = places.iter().position(|known| *known == (id, version)).unwrap_or_else(|| {
                places.push((id, version));
                board.rows.push(Row::new(id, version));
                places.len() - 1
            });
            match case {
                Ok(case) => {
                    board.rows[place].left += 1;
                    board.rows[place].report.cases += 1;
                    board.todo.push_back(Task { place, case, tries: 0, differed: 0, agreed: 0 });
                }
                Err(unstaged) => {
                    let report = &mut board.rows[place].report;
                    let why = format!("{} {}: {}", report.row, version_name(version), unstaged.why);
                    report.what = Finding::NotExercised(why);
                }
            }
        }
        for row in board.rows.iter().filter(|row| row.left == 0) {
            (board.progress)(&row.report);
        }
        // The longest first, so that nobody waits for one at the end.
        board.todo.make_contiguous().sort_by_key(|task| core::cmp::Reverse(task.case.scenario.until));
        board
    }

    /// A case was played. If it did not agree it is played again, after all others: then there is less to do.
    fn done(&mut self, mut task: Task, finding: Finding, took: Duration) {
        let row = &mut self.rows[task.place];
        row.report.took += took;
        if !task.is_sure(&finding) {
            return self.todo.push_back(task);
        }
        if rank(&finding) > rank(&row.report.what) {
            row.report.what = finding;
        }
        self.has_one_less(task.place);
    }

    /// A case is none on this machine.
    fn never(&mut self, task: &Task, why: String) {
        let report = &mut self.rows[task.place].report;
        report.cases -= 1;
        if report.cases == 0 {
            report.what = Finding::NotExercised(why);
        }
        self.has_one_less(task.place);
    }

    fn has_one_less(&mut self, place: usize) {
        let row = &mut self.rows[place];
        row.left -= 1;
        if row.left == 0 {
            (self.progress)(&row.report);
        }
    }
}

impl Row {
    fn new(id: RowId, version: Version) -> Self {
        let row = table::row(id);
        Self {
            report: RowReport {
                row: row.name,
                version,
                verified: row.verified,
                cases: 0,
                what: Finding::Agreed,
                took: Duration::ZERO,
            },
            left: 0,
        }
    }
}

/// Which of a row's findings is told.
const fn rank(finding: &Finding) -> u8 {
    match finding {
        Finding::Agreed => 0,
        Finding::NotExercised(_) => 1,
        Finding::Differs(_) => 2,
    }
}

fn work<P, F>(board: &Mutex<Board<F>>, play: &P, watch: &Watch)
where
    P: Fn(&Scenario) -> Result<Played, Unplayed>,
    F: FnMut(&RowReport),
{
    loop {
        // Not in the condition of a `while let`, which would hold the lock while the case is played.
        let next = lock(board).todo.pop_front();
        let Some(task) = next else { return };
        let began = Instant::now();
        match exercise(&task.case, play, watch) {
            Ok(finding) => lock(board).done(task, finding, began.elapsed()),
            Err(why) => lock(board).never(&task, why),
        }
    }
}

/// A thread that panicked has left nothing half done.
fn lock<T>(board: &Mutex<T>) -> MutexGuard<'_, T> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a case is played at most.
const TRIES: u32 = 6;

/// What the cases leave room for, between a signal and the calls that are to meet it.
const TOO_LATE: Duration = Duration::from_millis(40);

/// What came of a case; or why it is none on this machine.
fn exercise<P>(case: &Case, play: P, watch: &Watch) -> Result<Finding, String>
where
    P: Fn(&Scenario) -> Result<Played, Unplayed>,
{
    let began = Instant::now();
    Ok(match play(&case.scenario) {
        Err(Unplayed::Never(why)) => return Err(format!("{case}: {why}")),
        Err(Unplayed::Failed(why)) => Finding::NotExercised(format!("{case}: {why}")),
        Ok(Played { run, late, .. }) => {
            let late = late.max(watch.latest_since(began));
            match case.compare(&run) {
                Outcome::Agrees => Finding::Agreed,
                Outcome::Differs(_) | Outcome::NotStaged(_) if late > TOO_LATE => {
                    Finding::NotExercised(format!("{case}: the machine stood still for {late:.0?}"))
                }
                Outcome::Differs(line) => Finding::Differs(line),
                Outcome::NotStaged(why) => Finding::NotExercised(format!("{case}: {why}")),
            }
        }
    })
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Finding::Agreed => write!(f, "agreed         {} {}", self.row, version_name(self.version)),
            Finding::Differs(line) => write!(f, "differs        {line} ({})", Seen(self.verified)),
            Finding::NotExercised(why) => write!(f, "not exercised  {why}"),
        }
    }
}

/// Where the table has a row from.
struct Seen(Verified);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Verified::On(kernel) => write!(f, "measured on {kernel}"),
            Verified::Source(place) => write!(f, "read in {place}"),
            Verified::Unverified => f.write_str("never verified"),
        }
    }
}

impl fmt::Display for TableReport {
    /// A line for each row that did not agree, and the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows.iter().filter(|row| row.what != Finding::Agreed) {
            writeln!(f, "{row}")?;
        }
        let [agreed, differ, not_exercised] = self.counts();
        write!(
            f,
            "kernel table on Linux {}: {agreed} rows agreed, {differ} differ, {not_exercised} not exercised \
             (each IP version counts)",
            self.kernel
        )
    }
}
