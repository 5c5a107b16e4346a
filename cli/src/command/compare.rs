//! `resound compare`: the same faults on each runtime, what each one saw, and where they differ.
//!
//! What is played and what is promised is the conformance suite's; what is predicted and played with real hosts is the
//! [lab]'s; here it is shown. Both run on a thread of their own, so that what is known by then can be shown whenever the
//! program is asked to end.

use core::net::Ipv6Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use resound_conformance::{Outcome, Runtime, Scenario, run_all};
use resound_core::Instant;
use resound_sim::library::{self, Entry};
use resound_sockets::clock::Clock;

use crate::args::{Compare, Format, Part, RuntimeName};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{Document, End, SCHEMA};
use crate::output::{Sink, Written, note};
use crate::runtime::{Threads, runtime};

mod baseline;
#[cfg(target_os = "linux")]
pub(crate) mod lab;
#[cfg(not(target_os = "linux"))]
#[path = "compare/no_lab.rs"]
mod lab;
mod markdown;
mod report;
mod story;
mod table;
mod textbook;

use baseline::{Baseline, Unreadable};
use lab::{Hindered, Lab, News, Plan};
use report::{Event, Report};

/// Sessions mostly wait: this many at a time leave even a small machine idle enough for what is measured.
const TOGETHER: usize = 12;

/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the thread that does it all tells.
#[derive(Debug)]
enum Told {
    /// A promise was tried.
    Outcome(Box<Outcome>),
    /// Of the lab.
    Lab(News),
    /// A signal has come.
    Woken,
    /// There is no more.
    Done,
}

pub(super) fn run(args: &Compare) -> Exit {
    let mut sink = Sink::new(&args.output, Format::Json);
    let scenarios = chosen(args);
    if args.list {
        let _ = list(&mut sink, &scenarios, &chosen_of_lab(args));
        return sink.verdict(Exit::Good);
    }
    let runtimes = if args.runtime.is_empty() { RuntimeName::ALL.to_vec() } else { args.runtime.clone() };
    let mut lab = Lab::default();
    if let Some(why) = args.contradiction() {
        return Comparing::new(Clock::start(), sink, lab).fail(Exit::Usage, why);
    }
    // Before there is a second thread.
    let plan = Plan::new(args, &runtimes, &mut lab);
    let mut comparing = Comparing::new(Clock::start(), sink, lab);
    let plan = match plan {
        Ok(plan) => plan,
        Err(Hindered(why)) => return comparing.fail(Exit::Local, why),
    };
    if plan.is_none() && scenarios.is_empty() {
        let why = comparing.lab.hindrance.clone().unwrap_or_default();
        let message = format!("nothing was done: all that was asked for is of the lab, and {why}");
        return comparing.fail(Exit::Local, message);
    }
    if let Some(why) = &comparing.lab.hindrance {
        note(&format!("without the lab: {why}"));
    }
    if let Err(Unreadable { exit, message }) = comparing.open(args) {
        return comparing.fail(exit, message);
    }
    let (tell, told) = channel();
    let wake = tell.clone();
    let interrupts = match Interrupts::watch(1, move |_| drop(wake.send(Told::Woken))) {
        Ok(interrupts) => interrupts,
        Err(error) => return comparing.fail(Exit::Local, format!("cannot take signals: {error}")),
    };
    comparing.plays = scenarios.len() * runtimes.len() + plan.as_ref().map_or(0, Plan::plays);
    let (names, played) = (runtimes.clone(), scenarios.clone());
    let asked = textbook::ask(&scenarios);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let started = thread::Builder::new().name("compare".into()).spawn(move || {
        let owned: Vec<_> = names.into_iter().map(|name| runtime(name, Threads::One)).collect();
        let runtimes: Vec<&dyn Runtime> = owned.iter().map(AsRef::as_ref).collect();
        run_all(&runtimes, &played, TOGETHER, |outcome| {
            drop(tell.send(Told::Outcome(outcome.clone().into())));
        });
        if let Some(plan) = plan {
            plan.carry_out(&stopped, &|news| drop(tell.send(Told::Lab(news))));
        }
        let _ = tell.send(Told::Done);
    });
    if let Err(error) = started {
        return comparing.fail(Exit::Local, format!("cannot start a thread: {error}"));
    }
    let written = comparing.collect(&told, &interrupts);
    stop.store(true, Ordering::Relaxed);
    comparing.shown.clear();
    comparing.sort(&scenarios, &runtimes);
    let mut report = Report::of(&comparing.outcomes);
    report.textbook = textbook::answers(asked, interrupts.count());
    comparing.hold(&mut report);
    let (end, exit) = comparing.verdict(&report, &interrupts);
    if let Some(error) = &comparing.error {
        note(error);
    }
    let exit = comparing.write_page(end).map_or(exit, |exit| exit);
    if written.is_ok() {
        let _ = comparing.finish(report, end, exit);
    }
    comparing.sink.verdict(exit)
}

/// The promises that were asked for; or all that this host has the addresses for.
fn chosen(args: &Compare) -> Vec<&'static Scenario> {
    let can_be_played = |scenario: &&Scenario| has_ipv6() || !scenario.needs_ipv6();
    let wanted = |scenario: &&Scenario| args.scenario.iter().any(|name| name == scenario.name());
    if !args.wants(Part::Promises) {
        return Vec::new();
    }
    if !args.scenario.is_empty() {
        return Scenario::ALL.iter().filter(wanted).collect();
    }
    let chosen: Vec<_> = Scenario::ALL.iter().filter(can_be_played).collect();
    if chosen.len() < Scenario::ALL.len() {
        note("this host has no IPv6: the scenarios that need it are left out");
    }
    chosen
}

/// The scenarios of the lab that were asked for; or all.
fn chosen_of_lab(args: &Compare) -> Vec<&'static Entry> {
    let named =
        |entry: &&Entry| args.scenario.is_empty() || args.scenario.iter().any(|name| name == entry.name);
    library::ALL.iter().filter(|entry| args.wants(Part::Scenarios) && named(entry)).collect()
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn list(sink: &mut Sink, scenarios: &[&Scenario], of_lab: &[&Entry]) -> Written {
    match sink.format {
        Format::Text => sink.text(&table::list(scenarios, of_lab)),
        Format::Markdown => sink.text(&markdown::list(scenarios, of_lab)),
        Format::Json => {
            let scenarios: Vec<_> = scenarios.iter().map(|scenario| report::listed(scenario)).collect();
            let of_lab: Vec<_> = of_lab.iter().map(|entry| report::listed_of_lab(entry)).collect();
            sink.pretty(&serde_json::json!({
                "schema": SCHEMA,
                "command": "compare --list",
                "version": env!("CARGO_PKG_VERSION"),
                "scenarios": scenarios,
                "lab": of_lab,
            }))
        }
        Format::Jsonl => {
            scenarios.iter().try_for_each(|scenario| sink.jsonl(&Event::scenario(scenario)))?;
            of_lab.iter().try_for_each(|entry| sink.jsonl(&Event::lab_scenario(entry)))
        }
        Format::Csv => {
            sink.start_csv(report::list_header)?;
            scenarios.iter().try_for_each(|scenario| sink.bytes(report::list_row(scenario).as_bytes()))?;
            of_lab.iter().try_for_each(|entry| sink.bytes(report::list_row_of_lab(entry).as_bytes()))
        }
        Format::Quiet => Ok(()),
    }
}

struct Comparing {
    clock: Clock,
    sink: Sink,
    outcomes: Vec<Outcome>,
    lab: Lab,
    /// How many outcomes and plays there are to come, and how many have come.
    plays: usize,
    done: usize,
    baseline: Option<Baseline>,
    /// Where the page is to stand.
    page: Option<PathBuf>,
    shown: Progress,
    /// What went wrong with the comparison itself.
    error: Option<String>,
}

impl Comparing {
    fn new(clock: Clock, sink: Sink, lab: Lab) -> Self {
        let shown = Progress::new(sink.format, clock.now());
        Self {
            clock,
            sink,
            outcomes: Vec::new(),
            lab,
            plays: 0,
            done: 0,
            baseline: None,
            page: None,
            shown,
            error: None,
        }
    }

    /// Opens what will be read or written in the end, so that nobody waits minutes for a wrong path.
    fn open(&mut self, args: &Compare) -> Result<(), Unreadable> {
        if let Some(file) = &args.baseline {
            self.baseline = Some(Baseline::read(file, args.threshold)?);
        }
        if let Some(path) = &args.report {
            can_be_written(path).map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                Unreadable { exit: Exit::Local, message }
            })?;
            self.page = Some(path.clone());
        }
        Ok(())
    }

    /// Ends before anything was played.
    fn fail(mut self, exit: Exit, error: String) -> Exit {
        note(&error);
        self.error = Some(error);
        if !matches!(self.sink.format, Format::Text | Format::Markdown) {
            let _ = self.finish(Report::of(&[]), End::Error, exit);
        }
        self.sink.verdict(exit)
    }

    /// Takes what comes, until there is no more or a signal has come.
    fn collect(&mut self, told: &Receiver<Told>, interrupts: &Interrupts) -> Written {
        let mut doing = None;
        while interrupts.count() == 0 {
            self.shown.update(self.clock.now(), self.done, self.plays, doing.as_deref());
            // Patience in case the other thread ends without having told everything.
            match told.recv_timeout(PATIENCE) {
                Ok(Told::Outcome(outcome)) => {
                    self.done += 1;
                    self.outcome(*outcome)?;
                }
                Ok(Told::Lab(News::Doing(what))) => doing = Some(what),
                Ok(Told::Lab(news)) => {
                    self.done += usize::from(matches!(news, News::Played(_)));
                    self.news(news)?;
                }
                Ok(Told::Woken) => {}
                Ok(Told::Done) => break,
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    self.error = Some(format!("nothing has ended for {seconds} seconds; giving up"));
                    break;
                }
            }
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome) -> Written {
        match self.sink.format {
            Format::Jsonl => self.sink.jsonl(&Event::outcome(self.clock.now().nanos(), &outcome))?,
            Format::Csv => {
                self.sink.start_csv(report::header)?;
                self.sink.bytes(report::row(&outcome).as_bytes())?;
            }
            Format::Text | Format::Markdown | Format::Json | Format::Quiet => {}
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    fn news(&mut self, news: News) -> Written {
        match self.sink.format {
            Format::Jsonl => {
                let lines = lab::lines(self.clock.now().nanos(), &news);
                lines.iter().try_for_each(|line| self.sink.jsonl(line))?;
            }
            Format::Csv => {
                self.sink.start_csv(report::header)?;
                lab::csv_rows(&news).iter().try_for_each(|row| self.sink.bytes(row.as_bytes()))?;
            }
            Format::Text | Format::Markdown | Format::Json | Format::Quiet => {}
        }
        self.lab.take(news);
        Ok(())
    }

    /// The order in which they were asked for, whatever the order in which they came.
    fn sort(&mut self, scenarios: &[&Scenario], runtimes: &[RuntimeName]) {
        self.outcomes.sort_by_key(|outcome| {
            let scenario = scenarios.iter().position(|scenario| scenario.name() == outcome.scenario);
            (scenario, runtimes.iter().position(|runtime| runtime.as_str() == outcome.runtime))
        });
        self.lab.sort();
    }

    /// Adds the lab to the report, and holds all of it against the earlier run.
    fn hold(&self, report: &mut Report) {
        report.lab = self.lab.body();
        if let Some(baseline) = &self.baseline {
            report.baseline = serde_json::to_value(&*report).ok().map(|now| baseline.hold(&now));
        }
    }

    fn verdict(&mut self, report: &Report, interrupts: &Interrupts) -> (End, Exit) {
        if interrupts.count() > 0 {
            return (End::Interrupted, Exit::Interrupted);
        }
        if self.error.is_some() {
            return (End::Error, Exit::Failed);
        }
        let worse = report.baseline.as_ref().is_some_and(|held| !held.holds());
        let holds = report.holds() && self.lab.holds() && !worse;
        self.error = if report.not_run() > 0 { Some(report.hindrance()) } else { self.lab.lacks() };
        match (&self.error, holds) {
            // What differs does so whatever else could not be done.
            (Some(_), false) => (End::Error, Exit::Failed),
            (Some(_), true) => (End::Error, Exit::Local),
            (None, false) => (End::Count, Exit::Failed),
            (None, true) => (End::Count, Exit::Good),
        }
    }

    /// Writes the page, if there is to be one; the exit code if that fails.
    fn write_page(&self, end: End) -> Option<Exit> {
        let path = self.page.as_ref()?;
        let unfinished = self.unfinished(end);
        let error = lab::write_page(path, &self.lab, &self.outcomes, unfinished.as_deref()).err()?;
        note(&format!("cannot write {}: {error}", path.display()));
        Some(Exit::Local)
    }

    /// How far it came, if it was ended early.
    fn unfinished(&self, end: End) -> Option<String> {
        let how_far = match (self.done, self.plays) {
            (_, 0) => "Interrupted: this is not complete".into(),
            (done, plays) => format!("Interrupted after {done} of {plays} plays"),
        };
        (end == End::Interrupted).then_some(how_far)
    }

    fn finish(&mut self, report: Report, end: End, exit: Exit) -> Written {
        let t_ns = self.clock.now().nanos();
        let regressions = report.baseline.as_ref().map_or(&[][..], |held| held.regressions());
        match self.sink.format {
            Format::Text => {
                let mut text = String::new();
                if !self.outcomes.is_empty() {
                    text = table::show(&self.outcomes, &report, end, t_ns, self.sink.verbose);
                }
                text.push_str(&self.lab.text());
                self.unfinished(end).into_iter().for_each(|how_far| text += &format!("\n{how_far}.\n"));
                table::held(&mut text, report.baseline.as_ref());
                self.sink.text(text.trim_start_matches('\n'))
            }
            Format::Markdown => {
                let mut text = String::new();
                if !self.outcomes.is_empty() {
                    text = markdown::show(&self.outcomes, &report, end, t_ns);
                }
                text.push_str(&self.lab.markdown());
                self.unfinished(end).into_iter().for_each(|how_far| text += &format!("\n{how_far}.\n"));
                markdown::held(&mut text, report.baseline.as_ref());
                self.sink.text(text.trim_start_matches('\n'))
            }
            Format::Json => self.sink.document(&Document {
                schema: SCHEMA,
                command: "compare",
                version: env!("CARGO_PKG_VERSION"),
                runtime: None,
                duration_ns: t_ns,
                end,
                exit: exit.code(),
                error: self.error.clone(),
                body: report,
            }),
            Format::Jsonl => {
                for difference in &report.differences {
                    self.sink.jsonl(&Event::difference(t_ns, difference))?;
                }
                for answer in &report.textbook {
                    self.sink.jsonl(&Event::textbook(t_ns, answer))?;
                }
                for regression in regressions {
                    self.sink.jsonl(&Event::regression(t_ns, regression))?;
                }
                let lab = report.lab.is_some().then(|| self.lab.counts());
                self.sink.jsonl(&Event::compared(t_ns, &report, lab, end, self.error.clone()))
            }
            Format::Csv => self.sink.start_csv(report::header),
            Format::Quiet => Ok(()),
        }
    }
}

/// Tries to open it, and leaves it as it was: what an earlier run wrote stands until there is something better.
fn can_be_written(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// How far it has come, for whoever watches a terminal or reads a log.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// In a line of a terminal, written anew each time.
    Shown,
    /// In lines of a log, now and then: the next one is due then.
    Logged(Instant),
    Hidden,
}

/// How far lines of a log are apart.
const LOG_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn new(format: Format, now: Instant) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match format {
            Format::Quiet => Self::Hidden,
            _ if io::stderr().is_terminal() && !dumb => Self::Shown,
            _ => Self::Logged(now + LOG_EVERY),
        }
    }

    fn update(&mut self, now: Instant, done: usize, all: usize, doing: Option<&str>) {
        let doing = || doing.map(|doing| format!("; now: {doing}")).unwrap_or_default();
        match self {
            // What was longer is erased behind it (ECMA-48, EL).
            Self::Shown => {
                let _ = write!(io::stderr().lock(), "\r{done} of {all} runs done{} \x1b[K", doing());
            }
            Self::Logged(_) => {
                if self.is_due(now) {
                    note(&format!("{done} of {all} runs done{}", doing()));
                }
            }
            Self::Hidden => {}
        }
    }

    /// Whether the log is to have a line now; the next one is due later then.
    fn is_due(&mut self, now: Instant) -> bool {
        match self {
            Self::Logged(due) if now >= *due => {
                *due = now + LOG_EVERY;
                true
            }
            _ => false,
        }
    }

    fn clear(&self) {
        if matches!(self, Self::Shown) {
            // Back to the first column, and erase to the end of the line (ECMA-48, EL).
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_a_line_now_and_then_and_none_where_nothing_is_to_be_said() {
        let start = Instant::from_nanos(0);
        let mut log = Progress::new(Format::Quiet, start);
        assert_eq!(log, Progress::Hidden);
        assert!(!log.is_due(start + LOG_EVERY));
        log = Progress::Logged(start + LOG_EVERY);
        let after = |seconds| start + Duration::from_secs(seconds);
        let due: Vec<u64> = (0..40).filter(|second| log.is_due(after(*second))).collect();
        assert_eq!(due, [10, 20, 30]);
        // Whoever was late with one does not make up for it.
        assert!(log.is_due(after(99)) && !log.is_due(after(100)));
    }
}
