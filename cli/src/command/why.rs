//! `resound why`: which of the known situations is it, how is that known, and what to try.
//!
//! ```text
//!   TARGET ──► addresses ──► probe, a thread for each ──► Evidence ──► judge ──► Finding ──► text, JSON
//!                                   │ notes, as they come                  ▲
//!                                   └────────────────────► what is shown   └── situation: the textbook
//! ```
//!
//! Probes ask and listen, and decide nothing; [`judge`] decides, and asks nothing.

use core::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use resound_sockets::clock::Clock;
use serde_json::Value;

use crate::args::{Format, Why};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{Document, End, SCHEMA};
use crate::output::{Sink, Written, note};

mod evidence;
mod judge;
mod probe;
mod report;
mod route;
mod situation;
mod text;

use judge::Finding;
use probe::{Log, Note, Plan, Transport};
use situation::Situation;

/// What a thread tells.
#[derive(Debug)]
enum Told {
    /// The addresses that are examined.
    Addresses(Vec<SocketAddr>),
    /// The name led nowhere, for this reason.
    Nameless(String),
    Note(SocketAddr, Note),
    Found(SocketAddr, Finding),
    /// Something is wrong with the command itself.
    Failed(String),
    /// A signal has come.
    Interrupted,
}

/// One address, and what is known about it.
#[derive(Debug)]
struct Case {
    peer: Option<SocketAddr>,
    notes: Vec<Note>,
    finding: Option<Finding>,
}

pub(super) fn run(args: &Why) -> Exit {
    let sink = Sink::new(&args.output, Format::Json);
    let mut diagnosis = Diagnosis {
        clock: Clock::start(),
        target: args.target.written.clone(),
        transport: if args.udp { Transport::Udp } else { Transport::Tcp },
        sink,
        written: Ok(()),
        cases: Vec::new(),
        error: None,
    };
    if let Err(error) = args.check_size() {
        return diagnosis.refuse(Exit::Usage, error);
    }
    let (tell, told) = channel();
    let wake = tell.clone();
    let interrupts = match Interrupts::watch(1, move |_| drop(wake.send(Told::Interrupted))) {
        Ok(interrupts) => interrupts,
        Err(error) => return diagnosis.refuse(Exit::Local, format!("cannot take signals: {error}")),
    };
    let plan = Plan {
        transport: diagnosis.transport,
        timeout: args.timeout,
        watch: args.watch,
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
    };
    let (named, clock, thread_tell) = (args.target.clone(), diagnosis.clock, tell);
    let started = thread::Builder::new().name("why".into()).spawn(move || {
        match super::look_up(&named) {
            Ok(addresses) => examine_all(&addresses, &plan, clock, &thread_tell),
            Err(error) => drop(thread_tell.send(Told::Nameless(error.to_string()))),
        };
    });
    if let Err(error) = started {
        return diagnosis.refuse(Exit::Local, format!("cannot start a thread: {error}"));
    }
    diagnosis.follow(&told, &interrupts);
    diagnosis.finish(interrupts.count() > 0)
}

/// Starts a thread for each address.
fn examine_all(addresses: &[SocketAddr], plan: &Plan, clock: Clock, tell: &Sender<Told>) {
    let _ = tell.send(Told::Addresses(addresses.to_vec()));
    for &to in addresses {
        let (plan, own_tell) = (plan.clone(), tell.clone());
        let started = thread::Builder::new().name(format!("why-{to}")).spawn(move || {
            let _will = Will(own_tell.clone());
            let tell = |note| drop(own_tell.send(Told::Note(to, note)));
            let log = Log { clock, tell: &tell };
            let evidence = probe::examine(to, &plan, &log);
            let _ = own_tell.send(Told::Found(to, judge::judge(&evidence)));
        });
        if let Err(error) = started {
            let _ = tell.send(Told::Failed(format!("cannot start a thread: {error}")));
        }
    }
}

/// What a thread that panics leaves to be told.
struct Will(Sender<Told>);

impl Drop for Will {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Told::Failed(String::from("its thread has panicked")));
        }
    }
}

struct Diagnosis {
    clock: Clock,
    target: String,
    transport: Transport,
    sink: Sink,
    /// Whether anybody still reads. The exit code is worth something to those who do not.
    written: Written,
    cases: Vec<Case>,
    error: Option<String>,
}

impl Diagnosis {
    /// Takes what is told until every address has its finding.
    fn follow(&mut self, told: &Receiver<Told>, interrupts: &Interrupts) {
        let complete = |cases: &[Case]| !cases.is_empty() && cases.iter().all(|case| case.finding.is_some());
        while interrupts.count() == 0 && self.error.is_none() && !complete(&self.cases) {
            match told.recv() {
                Ok(Told::Addresses(addresses)) => {
                    let case = |peer| Case { peer: Some(peer), notes: Vec::new(), finding: None };
                    self.cases = addresses.into_iter().map(case).collect();
                }
                Ok(Told::Nameless(why)) => self.nameless(why),
                Ok(Told::Note(to, note)) => self.take(Some(to), note),
                Ok(Told::Found(to, finding)) => self.conclude(to, finding),
                Ok(Told::Failed(error)) => self.error = Some(error),
                Ok(Told::Interrupted) => {}
                Err(_) => break,
            }
        }
    }

    /// Writes something, unless nobody reads any more.
    fn write(&mut self, write: impl FnOnce(&mut Sink) -> Written) {
        if self.written.is_ok() {
            self.written = write(&mut self.sink);
        }
    }

    /// Writes a line for programs, if that is what is wanted.
    fn line(&mut self, line: impl FnOnce(&Self) -> Value) {
        if self.sink.format == Format::Jsonl {
            let line = line(self);
            self.write(|sink| sink.jsonl(&line));
        }
    }

    /// There is no address to examine.
    fn nameless(&mut self, why: String) {
        let note = Note { t_ns: self.clock.now().nanos(), step: "name", text: why, errno: None, icmp: None };
        self.cases.push(Case { peer: None, notes: Vec::new(), finding: Some(judge::nameless()) });
        self.take(None, note);
        self.show(0);
    }

    fn take(&mut self, to: Option<SocketAddr>, note: Note) {
        self.line(|this| report::note_line(&this.target, to, &note));
        if self.sink.verbose && self.sink.format == Format::Text {
            let about = to.map_or_else(|| self.target.clone(), |to| to.to_string());
            self.write(|sink| sink.text(&format!("{about}{}", text::line(&note))));
        }
        if let Some(case) = self.case(to) {
            case.notes.push(note);
        }
    }

    fn conclude(&mut self, to: SocketAddr, finding: Finding) {
        let Some(case) = self.case(Some(to)) else { return };
        case.finding = Some(finding);
        if let Some(at) = self.cases.iter().position(|case| case.peer == Some(to)) {
            self.show(at);
        }
    }

    fn case(&mut self, to: Option<SocketAddr>) -> Option<&mut Case> {
        self.cases.iter_mut().find(|case| case.peer == to)
    }

    /// Writes a finding.
    fn show(&mut self, at: usize) {
        let case = &self.cases[at];
        let Some(finding) = &case.finding else { return };
        if self.sink.format == Format::Text {
            // What was shown as it came is not shown again.
            let unseen = if self.sink.verbose { &[][..] } else { &case.notes };
            let text = text::show(&self.target, self.transport, case.peer, unseen, finding);
            self.write(|sink| sink.text(&text));
        } else {
            let now = self.clock.now().nanos();
            let line = report::finding_line(now, &self.target, self.transport, case.peer, finding);
            self.line(|_| line);
        }
    }

    /// Ends before anything was asked.
    fn refuse(&mut self, exit: Exit, error: String) -> Exit {
        note(&error);
        self.error = Some(error);
        self.close(End::Error, exit);
        self.sink.verdict(exit)
    }

    fn finish(&mut self, interrupted: bool) -> Exit {
        let best = self.cases.iter().filter_map(|case| case.finding.as_ref().map(exit_of)).min();
        let (end, exit) = match (&self.error, best) {
            _ if interrupted => (End::Interrupted, Exit::Interrupted),
            (Some(error), _) => {
                note(error);
                (End::Error, Exit::Local)
            }
            (None, Some(best)) => (End::Count, best),
            (None, None) => (End::Error, Exit::Local),
        };
        self.close(end, exit);
        self.sink.verdict(exit)
    }

    /// The last word.
    fn close(&mut self, end: End, exit: Exit) {
        let now = self.clock.now().nanos();
        self.line(|this| {
            let findings = this.cases.iter().filter_map(|case| case.finding.as_ref());
            let best = findings.min_by_key(|finding| exit_of(finding));
            let situation = best.map(|finding| finding.situation.entry().word);
            report::last_line(now, &this.target, situation, end, this.error.as_deref())
        });
        let document = Document {
            schema: SCHEMA,
            command: "why",
            version: env!("CARGO_PKG_VERSION"),
            runtime: None,
            duration_ns: now,
            end,
            exit: exit.code(),
            error: self.error.clone(),
            body: report::Report::of(&self.target, self.transport, &self.cases),
        };
        self.write(|sink| sink.document(&document));
    }
}

/// The exit code of a finding.
fn exit_of(finding: &Finding) -> Exit {
    match (finding.situation, &finding.cause) {
        (Situation::Lossy, _) => Exit::SomeLost,
        (_, Some(cause)) => cause.reason.into(),
        (_, None) => Exit::Good,
    }
}
