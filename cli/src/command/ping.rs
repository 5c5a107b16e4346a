//! `resound ping`: measures round trips, and says why there are none.
//!
//! Over TCP each target has a thread with a session of its own ([`probe`]), over UDP one thread has them all ([`udp`]).
//! They send what happens to this one, which counts, writes, and so can print statistics at any moment, whatever the
//! threads are waiting for.

use alloc::sync::Arc;
use core::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use resound_core::signal::Reason;
use resound_core::stream::client::Config;
use resound_sockets::clock::Clock;
use serde::Serialize;

use crate::args::{Format, Named, Ping};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, Document, End, Line, SCHEMA, Summary};
use crate::output::{Broken, Sink, Written, note};
use crate::stats::Stats;

mod probe;
mod udp;

use probe::{Plan, probe};

/// Nobody listens any more.
type Deaf = ();

/// What a thread tells.
#[derive(Debug)]
enum Told {
    /// A message became due.
    Sent,
    /// An echo came of a message that had been counted as lost.
    Late,
    Event {
        t_ns: u64,
        about: About,
        body: Body,
    },
    /// It could not begin, or go on.
    Failed {
        reason: Option<Reason>,
        exit: Exit,
        error: String,
    },
    /// It is the same as another target, and left out.
    Same,
    Over {
        t_ns: u64,
        end: End,
    },
}

/// What the main thread is told: of which target, or (`None`) of all; [`Told::Sent`] of all is a signal that came,
/// [`Told::Over`] the last word.
type Message = (Option<usize>, Told);

/// How many messages may wait to be written: a slow reader slows the threads down, and costs no memory.
const BACKLOG: usize = 4_096;

struct Target {
    name: Arc<str>,
    about: About,
    stats: Stats,
    end: Option<(u64, End)>,
    failure: Option<(Exit, String)>,
    part: Part,
}

/// Whether a target appears in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Reported,
    LeftOut,
}

/// From so many targets on each has to do with little memory.
const MANY: usize = 1_000;

#[derive(Serialize)]
struct Targets {
    targets: Vec<TargetReport>,
}

#[derive(Serialize)]
struct TargetReport {
    #[serde(flatten)]
    about: About,
    #[serde(flatten)]
    summary: Summary,
}

pub(super) fn run(mut args: Ping) -> Exit {
    let targets = match args.take_targets() {
        Ok(targets) => targets,
        Err(error) => {
            note(&error);
            return Exit::Usage;
        }
    };
    let clock = Clock::start();
    let mut report = Report::new(&args, &targets, clock);
    let (tell, told) = sync_channel(BACKLOG);
    let wake = tell.clone();
    let interrupts = Interrupts::watch(1, move |_| {
        // Full: the main thread has enough to wake it.
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = wake.try_send((None, Told::Sent))
        {
        }
    });
    let interrupts = match interrupts {
        Ok(interrupts) => interrupts,
        Err(error) => return report.refuse(Exit::Local, format!("cannot take signals: {error}")),
    };
    let started = if args.udp {
        start_udp(&args, targets, clock, tell)
    } else {
        start_tcp(&args, targets, clock, &tell)
    };
    if let Err((exit, error)) = started {
        return report.refuse(exit, error);
    }
    let written = report.follow(&told, &interrupts);
    let interrupted = interrupts.count() > 0;
    let exit = if written.is_ok() { report.finish(interrupted) } else { report.exit(interrupted) };
    report.sink.verdict(exit)
}

fn start_tcp(
    args: &Ping,
    targets: Vec<Named>,
    clock: Clock,
    tell: &SyncSender<Message>,
) -> Result<(), (Exit, String)> {
    let mut config = args.timers.client(args.timeout);
    config.max_bytes =
        config.max_bytes.max(usize::try_from(args.size).unwrap_or(usize::MAX).saturating_mul(4));
    if let Err(error) = config.link.check() {
        return Err((Exit::Usage, format!("these timers cannot work: {error}")));
    }
    for (index, target) in targets.into_iter().enumerate() {
        start(index, target, args, config, clock, tell.clone());
    }
    Ok(())
}

fn start(index: usize, target: Named, args: &Ping, config: Config, clock: Clock, tell: SyncSender<Message>) {
    let plan = Plan {
        target,
        config,
        count: args.count,
        interval: args.interval,
        timeout: args.timeout,
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
        runtime: args.runtime,
    };
    let thread_tell = tell.clone();
    let started = thread::Builder::new().name(format!("ping-{index}")).spawn(move || {
        // The main thread is gone once it has seen enough; there is nobody left to tell then.
        let _will = Will(index..index + 1, thread_tell.clone());
        let _ = probe(&plan, clock, &|told| thread_tell.send((Some(index), told)).map_err(drop));
    });
    if let Err(error) = started {
        let error = format!("cannot start a thread: {error}");
        let _ = tell.try_send((Some(index), Told::Failed { reason: None, exit: Exit::Local, error }));
    }
}

/// One socket and one thread for all targets.
fn start_udp(
    args: &Ping,
    targets: Vec<Named>,
    clock: Clock,
    tell: SyncSender<Message>,
) -> Result<(), (Exit, String)> {
    let mut config = args.timers.datagrams(args.timeout);
    // As many as can be due within the time that one may take, for each target, and some.
    let each = 2 + config.timeout.as_nanos().checked_div(args.interval.as_nanos()).unwrap_or(0);
    let all = usize::try_from(each).unwrap_or(usize::MAX).saturating_mul(targets.len());
    config.max_in_flight = config.max_in_flight.max(all.min(MOST_IN_FLIGHT));
    let n = targets.len();
    let plan = udp::Plan {
        targets,
        config,
        count: args.count,
        interval: args.interval,
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
        runtime: args.runtime,
    };
    let thread_tell = tell.clone();
    let prober = udp::open(plan, clock, move |index, told| thread_tell.send((index, told)).map_err(drop))?;
    let run = move || {
        let _will = Will(0..n, tell);
        let _ = prober.run();
    };
    match thread::Builder::new().name("ping".into()).spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err((Exit::Local, format!("cannot start a thread: {error}"))),
    }
}

/// No more messages are on their way at once, whatever the interval.
const MOST_IN_FLIGHT: usize = 1 << 20;

/// What a thread that panics leaves to be told, of these targets.
struct Will(Range<usize>, SyncSender<Message>);

impl Drop for Will {
    fn drop(&mut self) {
        if thread::panicking() {
            for index in self.0.clone() {
                let error = String::from("its thread has panicked");
                let _ = self.1.send((Some(index), Told::Failed { reason: None, exit: Exit::Local, error }));
            }
            let _ = self.1.send((None, Told::Over { t_ns: 0, end: End::Error }));
        }
    }
}

struct Report {
    clock: Clock,
    runtime: &'static str,
    sink: Sink,
    targets: Vec<Target>,
    /// Targets that are over.
    over: usize,
    last_word: LastWord,
    errors: Vec<String>,
}

/// Whether something is still to be told when all targets are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWord {
    Awaited,
    Spoken,
}

impl Report {
    fn new(args: &Ping, targets: &[Named], clock: Clock) -> Self {
        let begin = if targets.len() > MANY { Stats::begin_one_of_many } else { Stats::begin };
        let target = |name: &str| {
            let name: Arc<str> = name.into();
            let about = About { target: Some(Arc::clone(&name)), peer: None };
            let stats = begin(clock.now().nanos());
            Target { name, about, stats, end: None, failure: None, part: Part::Reported }
        };
        Self {
            clock,
            runtime: args.runtime.as_str(),
            sink: Sink::new(&args.output, Format::Jsonl),
            targets: targets.iter().map(|named| target(&named.written)).collect(),
            over: 0,
            last_word: if args.udp { LastWord::Awaited } else { LastWord::Spoken },
            errors: Vec::new(),
        }
    }

    /// Ends before anything was sent, for what concerns every target.
    fn refuse(&mut self, exit: Exit, error: String) -> Exit {
        note(&error);
        let now = self.clock.now().nanos();
        for target in &mut self.targets {
            target.failure = Some((exit, error.clone()));
            target.end = Some((now, End::Error));
        }
        self.errors.push(error);
        if self.sink.format != Format::Text {
            self.finish(false);
        }
        self.sink.verdict(exit)
    }

    /// Counts and writes until every target is over, or a signal has come.
    fn follow(&mut self, told: &Receiver<Message>, interrupts: &Interrupts) -> Written {
        while self.over < self.targets.len() && interrupts.count() == 0 {
            let Ok((index, told)) = told.recv() else { break };
            self.take(index, told)?;
        }
        // What is said of all comes after the last of them is over.
        while self.last_word == LastWord::Awaited && interrupts.count() == 0 {
            let Ok((index, told)) = told.recv() else { break };
            self.take(index, told)?;
        }
        Ok(())
    }

    fn take(&mut self, index: Option<usize>, told: Told) -> Written {
        let now = self.clock.now().nanos();
        let Some(index) = index else {
            return match told {
                Told::Event { t_ns, about, body } => self.write(t_ns, about, body),
                Told::Over { .. } => {
                    self.last_word = LastWord::Spoken;
                    Ok(())
                }
                _ => Ok(()),
            };
        };
        let target = &mut self.targets[index];
        let was_over = target.end.is_some();
        match told {
            Told::Sent => target.stats.sent(),
            Told::Late => target.stats.late(),
            Told::Event { t_ns, about, body } => {
                target.stats.count(t_ns, &body);
                target.about = about.clone();
                return self.write(t_ns, about, body);
            }
            Told::Failed { reason, exit, error } => {
                if let Some(reason) = reason {
                    target.stats.reason(reason);
                }
                target.failure = Some((exit, error.clone()));
                target.end = Some((now, End::Error));
                note(&format!("{}: {error}", target.name));
                self.errors.push(format!("{}: {error}", target.name));
            }
            Told::Same => {
                target.part = Part::LeftOut;
                target.end = Some((now, End::Count));
            }
            Told::Over { t_ns, end } => target.end = Some((t_ns, end)),
        }
        self.over += usize::from(!was_over && self.targets[index].end.is_some());
        Ok(())
    }

    fn write(&mut self, t_ns: u64, about: About, body: Body) -> Written {
        let line = Line { schema: SCHEMA, t_ns, event: body.name(), runtime: self.runtime, about, body };
        self.sink.event(&line)
    }

    /// The statistics of every target.
    fn summaries(&mut self) -> Vec<TargetReport> {
        let now = self.clock.now().nanos();
        let report = |target: &mut Target| {
            let (t_ns, end) = target.end.unwrap_or((now, End::Interrupted));
            TargetReport { about: target.about.clone(), summary: target.stats.summary(t_ns, end) }
        };
        self.targets.iter_mut().map(report).collect()
    }

    /// Writes the statistics; the exit code.
    fn finish(&mut self, interrupted: bool) -> Exit {
        self.targets.retain(|target| target.part == Part::Reported);
        let reports = self.summaries();
        let exit = self.code(&reports, interrupted);
        let _ = self.write_reports(reports, exit, interrupted);
        exit
    }

    fn write_reports(
        &mut self,
        targets: Vec<TargetReport>,
        exit: Exit,
        interrupted: bool,
    ) -> Result<(), Broken> {
        let ends = |end| targets.iter().any(|target| target.summary.end == end);
        let end = match () {
            () if interrupted => End::Interrupted,
            () if ends(End::Error) => End::Error,
            () if ends(End::GaveUp) => End::GaveUp,
            () => End::Count,
        };
        let t_ns = self.clock.now().nanos();
        for (index, target) in targets.iter().enumerate() {
            let error = self.targets[index].failure.as_ref().map(|(_, error)| error.clone());
            let summary = Box::new(target.summary.clone());
            self.write(t_ns, target.about.clone(), Body::Summary { summary, error })?;
        }
        self.sink.document(&Document {
            schema: SCHEMA,
            command: "ping",
            version: env!("CARGO_PKG_VERSION"),
            runtime: Some(self.runtime),
            duration_ns: t_ns,
            end,
            exit: exit.code(),
            error: (!self.errors.is_empty()).then(|| self.errors.join("; ")),
            body: Targets { targets },
        })
    }

    /// The exit code as things stand.
    fn exit(&mut self, interrupted: bool) -> Exit {
        let reports = self.summaries();
        self.code(&reports, interrupted)
    }

    /// The highest of the targets' codes.
    fn code(&self, reports: &[TargetReport], interrupted: bool) -> Exit {
        if interrupted {
            return Exit::Interrupted;
        }
        let codes = self.targets.iter().zip(reports).map(|(target, report)| {
            target.failure.as_ref().map_or_else(|| code(&report.summary), |&(exit, _)| exit)
        });
        codes.max().unwrap_or(Exit::Good)
    }
}

/// The exit code of one target.
fn code(summary: &Summary) -> Exit {
    let never_or_no_longer = summary.echoed == 0 || summary.end == End::GaveUp;
    match summary.last_reason {
        Some(reason) if never_or_no_longer => reason.into(),
        _ if summary.lost > 0 => Exit::SomeLost,
        _ => Exit::Good,
    }
}
