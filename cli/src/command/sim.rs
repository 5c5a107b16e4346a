//! `resound sim`: scenarios in a simulated network.
//!
//! ```text
//!   FILE ──► load ──► Scenario ──► World::play ──► Verdict ──► text, JSON, pcapng
//!              │          └──► explore ──► certificate, or a schedule that fails, and its Verdict
//!              └──► what is wrong with the file, and where
//! ```
//!
//! Scenarios are played on a thread of their own, so that what is known by then can be shown whenever the program is asked
//! to end.

use std::fs::File;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use resound_core::Instant;
use resound_sim::run::Remark;
use resound_sim::scenario::Unmet;
use resound_sim::{Echo, Record, Run, Scenario, World};
use resound_sockets::clock::Clock;

use crate::args::{Format, Sim};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{Document, End, SCHEMA};
use crate::output::{Sink, Written, note};

mod explore;
mod load;
mod report;
mod text;

use explore::{Explored, Plan};
use load::Problem;

pub(super) fn run(args: &Sim) -> Exit {
    let mut sink = Sink::new(&args.output, Format::Json);
    let clock = Clock::start();
    if args.files.len() > 1 && args.pcapng.is_some() {
        return refuse(sink, &clock, Exit::Usage, "--pcapng writes the packets of one scenario");
    }
    let (tell, told) = channel();
    let wake = tell.clone();
    let interrupts = match Interrupts::watch(1, move |_| drop(wake.send(None))) {
        Ok(interrupts) => interrupts,
        Err(error) => return refuse(sink, &clock, Exit::Local, &format!("cannot take signals: {error}")),
    };
    let (files, plan) = (args.files.clone(), Plan::of(args));
    let started = thread::Builder::new().name("sim".into()).spawn(move || {
        for file in files {
            let _ = tell.send(Some(Box::new(play(&file, plan.as_ref()))));
        }
    });
    if let Err(error) = started {
        return refuse(sink, &clock, Exit::Local, &format!("cannot start a thread: {error}"));
    }
    let (played, exit) = show(args, &mut sink, &told, &interrupts);
    let (end, exit) = match exit {
        _ if interrupts.count() > 0 => (End::Interrupted, Exit::Interrupted),
        Exit::Usage | Exit::Local => (End::Error, exit),
        _ => (End::Count, exit),
    };
    let error = played.iter().find_map(|played| played.problem().map(|problem| problem.message.clone()));
    let _ = document(&mut sink, &clock, end, exit, error, played);
    sink.verdict(exit)
}

/// What came of a file.
struct Played {
    /// As it is shown.
    file: String,
    outcome: Result<Outcome, Problem>,
}

enum Outcome {
    Played(Verdict),
    Explored(Explored),
}

/// What came of a scenario.
struct Verdict {
    scenario: Scenario,
    run: Run,
    unmet: Vec<Unmet>,
}

impl Played {
    fn exit(&self) -> Exit {
        match &self.outcome {
            Err(problem) => problem.exit,
            Ok(outcome) if outcome.holds() => Exit::Good,
            Ok(_) => Exit::Failed,
        }
    }

    /// Whether all that had to come true did.
    fn passed(&self) -> bool {
        self.exit() == Exit::Good
    }

    fn problem(&self) -> Option<&Problem> {
        self.outcome.as_ref().err()
    }
}

impl Outcome {
    fn holds(&self) -> bool {
        match self {
            Self::Played(verdict) => verdict.holds(),
            Self::Explored(explored) => explored.holds(),
        }
    }

    /// The run that there is to see.
    fn shown(&self) -> Option<&Verdict> {
        match self {
            Self::Played(verdict) => Some(verdict),
            Self::Explored(explored) => explored.found()?.verdict.as_ref(),
        }
    }
}

impl Verdict {
    fn of(scenario: Scenario) -> Self {
        let run = World::new(&scenario, &mut Echo).play(Record::Everything);
        let unmet = scenario.unmet(&run.said);
        Self { scenario, run, unmet }
    }

    /// Whether all that was expected came true, every line was done, and every fault did something that had to.
    fn holds(&self) -> bool {
        self.unmet.is_empty() && self.idle().next().is_none() && self.objections().next().is_none()
    }

    /// What makes a run worthless, whatever is expected: lines that were refused, a program that spins.
    fn objections(&self) -> impl Iterator<Item = &Remark> {
        self.run.refused(&self.scenario).chain(self.run.spinning())
    }

    /// The faults that did nothing, and should have: their places, and why.
    fn idle(&self) -> impl Iterator<Item = (usize, &str)> {
        let faults = self.run.inert().map(|(fault, why)| (fault.0 as usize, why));
        faults.filter(|&(at, _)| self.scenario.faults.get(at).is_some_and(|fault| !fault.may_be_inert))
    }

    /// How long it took in its own time.
    fn took_ns(&self) -> u64 {
        (self.run.ended - Instant::EPOCH).as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

fn play(file: &Path, plan: Option<&Plan>) -> Played {
    let name = if file == Path::new("-") { "<stdin>".into() } else { file.display().to_string() };
    let outcome = load::scenario(file, &name).and_then(|scenario| {
        let played = || match plan {
            None => Outcome::Played(Verdict::of(scenario)),
            Some(plan) => Outcome::Explored(plan.explore(&scenario)),
        };
        // Nothing of a world that panicked is looked at.
        catch_unwind(AssertUnwindSafe(played)).map_err(|_| Problem::bug(&name))
    });
    Played { file: name, outcome }
}

/// Takes what was played as it comes, and writes it. Gives all of it, and the highest exit code.
fn show(
    args: &Sim,
    sink: &mut Sink,
    told: &Receiver<Option<Box<Played>>>,
    interrupts: &Interrupts,
) -> (Vec<Played>, Exit) {
    let mut exit = Exit::Good;
    let mut all = Vec::new();
    let alone = args.files.len() == 1;
    let mut written = Ok(());
    while all.len() < args.files.len() && interrupts.count() == 0 {
        // The other end lives as long as signals are taken.
        let Ok(Some(played)) = told.recv() else { continue };
        exit = exit.max(played.exit());
        if let Some(problem) = played.problem() {
            problem.complain();
        }
        if written.is_ok() {
            written = write(args, sink, &played, alone);
        }
        let shown = played.outcome.as_ref().ok().and_then(Outcome::shown);
        if let (Some(path), Some(verdict)) = (&args.pcapng, shown)
            && let Err(error) = save(path, verdict)
        {
            note(&format!("cannot write {}: {error}", path.display()));
            exit = exit.max(Exit::Local);
        }
        all.push(*played);
    }
    (all, exit)
}

fn write(args: &Sim, sink: &mut Sink, played: &Played, alone: bool) -> Written {
    match sink.format {
        Format::Text => match &played.outcome {
            Ok(outcome) => {
                let whole = alone || sink.verbose;
                sink.text(&text::show(&played.file, outcome, text::Look::of(args), whole))
            }
            Err(_) => Ok(()),
        },
        Format::Jsonl => report::lines(played).iter().try_for_each(|line| sink.jsonl(line)),
        _ => Ok(()),
    }
}

/// Writes the packets as a capture file.
fn save(path: &PathBuf, verdict: &Verdict) -> io::Result<()> {
    File::create(path)?.write_all(&verdict.run.pcapng(&verdict.scenario))
}

fn document(
    sink: &mut Sink,
    clock: &Clock,
    end: End,
    exit: Exit,
    error: Option<String>,
    played: Vec<Played>,
) -> Written {
    if sink.format != Format::Json {
        return Ok(());
    }
    sink.document(&Document {
        schema: SCHEMA,
        command: "sim",
        version: env!("CARGO_PKG_VERSION"),
        runtime: None,
        duration_ns: clock.now().nanos(),
        end,
        exit: exit.code(),
        error,
        body: report::Report::of(&played),
    })
}

/// Ends before anything was played.
fn refuse(mut sink: Sink, clock: &Clock, exit: Exit, why: &str) -> Exit {
    note(why);
    let _ = document(&mut sink, clock, End::Error, exit, Some(why.to_owned()), Vec::new());
    sink.verdict(exit)
}
