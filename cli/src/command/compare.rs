//! `resound compare`: the same faults on each runtime, what each one saw, and where they differ.
//!
//! What is played and what is promised is the conformance suite's; here it is shown. The suite runs on a thread of its
//! own, so that what is known by then can be shown whenever the program is asked to end.

use core::net::Ipv6Addr;
use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use resound_conformance::{Outcome, Runtime, Scenario, run_all};
use resound_sockets::clock::Clock;

use crate::args::{Compare, Format, RuntimeName};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{Document, End, SCHEMA};
use crate::output::{Sink, Written, note};
use crate::runtime::{Threads, runtime};

mod markdown;
mod report;
mod story;
mod table;
mod textbook;

use report::{Event, Report};

/// Sessions mostly wait: this many at a time leave even a small machine idle enough for what is measured.
const TOGETHER: usize = 12;

pub(super) fn run(args: &Compare) -> Exit {
    let mut sink = Sink::new(&args.output, Format::Json);
    let scenarios = chosen(&args.scenario);
    if args.list {
        let _ = list(&mut sink, &scenarios);
        return sink.verdict(Exit::Good);
    }
    let runtimes = if args.runtime.is_empty() { RuntimeName::ALL.to_vec() } else { args.runtime.clone() };
    let clock = Clock::start();
    let (tell, told) = channel();
    let wake = tell.clone();
    let interrupts = match Interrupts::watch(1, move |_| drop(wake.send(None))) {
        Ok(interrupts) => interrupts,
        Err(error) => {
            return Comparing::new(clock, sink, 0).fail(format!("cannot take signals: {error}"));
        }
    };
    let plays = scenarios.len() * runtimes.len();
    let names = runtimes.clone();
    let played = scenarios.clone();
    let asked = textbook::ask(&scenarios);
    let started = thread::Builder::new().name("compare".into()).spawn(move || {
        let owned: Vec<_> = names.into_iter().map(|name| runtime(name, Threads::One)).collect();
        let runtimes: Vec<&dyn Runtime> = owned.iter().map(AsRef::as_ref).collect();
        run_all(&runtimes, &played, TOGETHER, |outcome| drop(tell.send(Some(outcome.clone()))))
    });
    if let Err(error) = started {
        return Comparing::new(clock, sink, plays).fail(format!("cannot start a thread: {error}"));
    }
    let mut comparing = Comparing::new(clock, sink, plays);
    let written = comparing.collect(&told, &interrupts);
    comparing.shown.clear();
    comparing.sort(&scenarios, &runtimes);
    let mut report = Report::of(&comparing.outcomes);
    report.textbook = textbook::answers(asked, interrupts.count());
    let (end, exit) = match &comparing.error {
        _ if interrupts.count() > 0 => (End::Interrupted, Exit::Interrupted),
        Some(_) => (End::Error, Exit::Failed),
        None if report.not_run() > 0 => {
            comparing.error = Some(report.hindrance());
            (End::Error, Exit::Local)
        }
        None if report.holds() => (End::Count, Exit::Good),
        None => (End::Count, Exit::Failed),
    };
    if let Some(error) = &comparing.error {
        note(error);
    }
    if written.is_ok() {
        let _ = comparing.finish(report, end, exit);
    }
    comparing.sink.verdict(exit)
}

/// Those that were asked for; or all that this host has the addresses for.
fn chosen(names: &[String]) -> Vec<&'static Scenario> {
    let can_be_played = |scenario: &&Scenario| has_ipv6() || !scenario.needs_ipv6();
    let wanted = |scenario: &&Scenario| names.iter().any(|name| name == scenario.name());
    if !names.is_empty() {
        return Scenario::ALL.iter().filter(wanted).collect();
    }
    let chosen: Vec<_> = Scenario::ALL.iter().filter(can_be_played).collect();
    if chosen.len() < Scenario::ALL.len() {
        note("this host has no IPv6: the scenarios that need it are left out");
    }
    chosen
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn list(sink: &mut Sink, scenarios: &[&Scenario]) -> Written {
    match sink.format {
        Format::Text => sink.text(&table::list(scenarios)),
        Format::Markdown => sink.text(&markdown::list(scenarios)),
        Format::Json => {
            let scenarios: Vec<_> = scenarios.iter().map(|scenario| report::listed(scenario)).collect();
            sink.pretty(&serde_json::json!({
                "schema": SCHEMA,
                "command": "compare --list",
                "version": env!("CARGO_PKG_VERSION"),
                "scenarios": scenarios,
            }))
        }
        Format::Jsonl => scenarios.iter().try_for_each(|scenario| sink.jsonl(&Event::scenario(scenario))),
        Format::Csv => {
            sink.start_csv(report::list_header)?;
            scenarios.iter().try_for_each(|scenario| sink.bytes(report::list_row(scenario).as_bytes()))
        }
        Format::Quiet => Ok(()),
    }
}

struct Comparing {
    clock: Clock,
    sink: Sink,
    outcomes: Vec<Outcome>,
    plays: usize,
    shown: Progress,
    /// What went wrong with the comparison itself.
    error: Option<String>,
}

impl Comparing {
    fn new(clock: Clock, sink: Sink, plays: usize) -> Self {
        Self { clock, sink, outcomes: Vec::new(), plays, shown: Progress::new(), error: None }
    }

    /// Ends before anything was played.
    fn fail(mut self, error: String) -> Exit {
        note(&error);
        self.error = Some(error);
        if !matches!(self.sink.format, Format::Text | Format::Markdown) {
            let _ = self.finish(Report::of(&[]), End::Error, Exit::Local);
        }
        self.sink.verdict(Exit::Local)
    }

    /// Takes outcomes as they come, until all are there or a signal has come.
    fn collect(&mut self, told: &Receiver<Option<Outcome>>, interrupts: &Interrupts) -> Written {
        while self.outcomes.len() < self.plays && interrupts.count() == 0 {
            self.shown.update(self.outcomes.len(), self.plays);
            // Patience in case the suite's thread ends without having told everything.
            let outcome = match told.recv_timeout(Duration::from_secs(60)) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => continue,
                Err(_) => {
                    self.error = Some(String::from("no scenario has ended for a minute; giving up"));
                    break;
                }
            };
            match self.sink.format {
                Format::Jsonl => self.sink.jsonl(&Event::outcome(self.clock.now().nanos(), &outcome))?,
                Format::Csv => {
                    self.sink.start_csv(report::header)?;
                    self.sink.bytes(report::row(&outcome).as_bytes())?;
                }
                Format::Text | Format::Markdown | Format::Json | Format::Quiet => {}
            }
            self.outcomes.push(outcome);
        }
        Ok(())
    }

    /// The order in which they were asked for, whatever the order in which they came.
    fn sort(&mut self, scenarios: &[&Scenario], runtimes: &[RuntimeName]) {
        self.outcomes.sort_by_key(|outcome| {
            let scenario = scenarios.iter().position(|scenario| scenario.name() == outcome.scenario);
            (scenario, runtimes.iter().position(|runtime| runtime.as_str() == outcome.runtime))
        });
    }

    fn finish(&mut self, report: Report, end: End, exit: Exit) -> Written {
        let t_ns = self.clock.now().nanos();
        match self.sink.format {
            Format::Text => {
                let text = table::show(&self.outcomes, &report, end, t_ns, self.sink.verbose);
                self.sink.text(&text)
            }
            Format::Markdown => {
                let text = markdown::show(&self.outcomes, &report, end, t_ns);
                self.sink.text(&text)
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
                self.sink.jsonl(&Event::compared(t_ns, &report, end, self.error.clone()))
            }
            Format::Csv => self.sink.start_csv(report::header),
            Format::Quiet => Ok(()),
        }
    }
}

/// How far it has come, for whoever watches a terminal.
#[derive(Debug)]
enum Progress {
    Shown,
    Hidden,
}

impl Progress {
    fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb { Self::Shown } else { Self::Hidden }
    }

    fn update(&self, done: usize, all: usize) {
        if matches!(self, Self::Shown) {
            let _ = write!(io::stderr().lock(), "\r{done} of {all} runs done ");
        }
    }

    fn clear(&self) {
        if matches!(self, Self::Shown) {
            // Back to the first column, and erase to the end of the line (ECMA-48, EL).
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
