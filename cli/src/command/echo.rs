//! `resound echo`: standard input to an echo server, what comes back to standard output, byte for byte.
//!
//! ```text
//!   standard input ──► reader thread ──► [bounded] ──► session ──► peer
//!                                                         │
//!   standard output ◄──── only what came back ◄───────────┘
//! ```
//!
//! Little is read ahead of what the session takes: the window bounds the memory, whatever the input. Every byte is accounted for: echoed, or named as lost.

use core::time::Duration;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};

use bytes::Bytes;
use resound_conformance::{ClientSession, Dial, EchoClient};
use resound_core::Instant;
use resound_core::signal::{Cause, Reason};
use resound_core::stream::client::{Command, Event, OnLoss, Refusal};
use resound_sockets::clock::Clock;
use resound_sockets::entropy::seed;
use serde::Serialize;

use super::{FAREWELL, look_up};
use crate::args::{Echo, Format};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, Document, End, Line, SCHEMA, Summary};
use crate::output::{Sink, Written, note};
use crate::runtime::{Threads, runtime};
use crate::stats::Stats;
use crate::tracker::Tracker;

mod input;
mod ledger;

use input::{Cut, Piece};
use ledger::{Gap, Ledger};

/// How long to wait for one side while the other may have something: a session and an input cannot be waited for
/// together.
const SLICE: Duration = Duration::from_millis(10);
/// A server that has died is waited for this long, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    about: About,
    bytes_sent: u64,
    bytes_echoed: u64,
    bytes_lost: u64,
    summary: Summary,
}

pub(super) fn run(args: &Echo) -> Exit {
    let clock = Clock::start();
    let mut sink = Sink::new(&args.output, Format::Jsonl);
    let begun = begin(args, &clock);
    let interrupts = Interrupts::watch(1, || {}).map_err(|error| format!("cannot take signals: {error}"));
    match (begun, interrupts) {
        (Ok(session), Ok(interrupts)) => Echoing::new(args, clock, sink, interrupts, session).run(),
        (Err((exit, reason, error)), _) => not_begun(args, clock, &mut sink, exit, reason, error),
        (_, Err(error)) => not_begun(args, clock, &mut sink, Exit::Local, None, error),
    }
}

type Begun = (Box<dyn ClientSession>, Tracker);

fn begin(args: &Echo, clock: &Clock) -> Result<Begun, (Exit, Option<Reason>, String)> {
    let mut config = args.timers.client(args.timeout);
    config.max_bytes = usize::try_from(args.window).unwrap_or(usize::MAX);
    config.on_loss = if args.resend { OnLoss::Resend } else { OnLoss::Report };
    if args.timers.retries.is_none() && args.timers.give_up.is_none() {
        config.link.give_up.after = Some(PATIENCE);
    }
    let usage =
        |error: &dyn core::fmt::Display| (Exit::Usage, None, format!("these timers cannot work: {error}"));
    config.link.check().map_err(|error| usage(&error))?;
    let addresses = look_up(&args.target)
        .map_err(|error| (Exit::NameResolution, Some(Reason::NameResolution), error.to_string()))?;
    let client = EchoClient::new(config, seed(), addresses.iter().copied()).map_err(|error| usage(&error))?;
    let session = runtime(args.runtime, Threads::One)
        .client(client, Dial::default())
        .map_err(|error| (Exit::Local, None, format!("cannot start the runtime: {error}")))?;
    let tracker = Tracker::new(args.target.written.as_str().into(), addresses, clock, session.now());
    Ok((session, tracker))
}

fn not_begun(
    args: &Echo,
    clock: Clock,
    sink: &mut Sink,
    exit: Exit,
    reason: Option<Reason>,
    error: String,
) -> Exit {
    note(&error);
    let mut stats = Stats::begin(0);
    if let Some(reason) = reason {
        stats.reason(reason);
    }
    let about = About { target: Some(args.target.written.as_str().into()), peer: None };
    let report = Report {
        about,
        summary: stats.summary(clock.now().nanos(), End::Error),
        bytes_sent: 0,
        bytes_echoed: 0,
        bytes_lost: 0,
    };
    let _ = write_report(sink, args, &clock, report, exit, Some(error));
    sink.verdict(exit)
}

/// Writes the summary, as an event or as the document. In text mode standard output holds echoes and nothing else.
fn write_report(
    sink: &mut Sink,
    args: &Echo,
    clock: &Clock,
    report: Report,
    exit: Exit,
    error: Option<String>,
) -> Written {
    if sink.format != Format::Text {
        let body = Body::Summary(Box::new(report.summary.clone()));
        sink.event(&line(args, clock.now().nanos(), report.about.clone(), body))?;
    }
    sink.document(&Document {
        schema: SCHEMA,
        command: "echo",
        version: env!("CARGO_PKG_VERSION"),
        runtime: Some(args.runtime.as_str()),
        duration_ns: clock.now().nanos(),
        end: report.summary.end,
        exit: exit.code(),
        error,
        body: report,
    })
}

fn line(args: &Echo, t_ns: u64, about: About, body: Body) -> Line {
    Line { schema: SCHEMA, t_ns, event: body.name(), runtime: args.runtime.as_str(), about, body }
}

/// Whether the input goes on.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

/// Whether a connection was ever there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Never,
    Once,
}

struct Echoing<'a> {
    args: &'a Echo,
    clock: Clock,
    sink: Sink,
    interrupts: Interrupts,
    session: Box<dyn ClientSession>,
    tracker: Tracker,
    pieces: Receiver<Piece>,
    input: Input,
    /// Read, and not taken by the session yet.
    held: Option<Bytes>,
    ledger: Ledger,
    stats: Stats,
    reached: Reached,
    reason: Option<Reason>,
    end: Option<End>,
    error: Option<String>,
}

impl<'a> Echoing<'a> {
    fn new(args: &'a Echo, clock: Clock, sink: Sink, interrupts: Interrupts, begun: Begun) -> Self {
        let cut = match sink.format {
            Format::Jsonl | Format::Csv => Cut::Lines,
            Format::Text | Format::Json | Format::Quiet => Cut::AsRead,
        };
        let (session, tracker) = begun;
        Self {
            args,
            clock,
            sink,
            interrupts,
            session,
            tracker,
            pieces: input::read(cut, usize::try_from(args.window).unwrap_or(usize::MAX)),
            input: Input::Open,
            held: None,
            ledger: Ledger::default(),
            stats: Stats::begin(0),
            reached: Reached::Never,
            reason: None,
            end: None,
            error: None,
        }
    }

    fn run(mut self) -> Exit {
        let written = self.pump();
        let interrupted = self.interrupts.count() > 0;
        let end = if interrupted { End::Interrupted } else { self.end.unwrap_or(End::Count) };
        self.tell_of_losses();
        let summary = self.stats.summary(self.clock.now().nanos(), end);
        let exit = self.code(&summary);
        if interrupted {
            note(&format!(
                "interrupted: {} bytes sent, {} echoed, {} lost, {} under way",
                self.ledger.sent,
                self.ledger.echoed,
                self.ledger.lost,
                self.ledger.under_way()
            ));
        }
        if written.is_ok() {
            let report = Report {
                about: self.tracker.about(),
                summary,
                bytes_sent: self.ledger.sent,
                bytes_echoed: self.ledger.echoed,
                bytes_lost: self.ledger.lost,
            };
            let error = self.error.take();
            let _ = write_report(&mut self.sink, self.args, &self.clock, report, exit, error);
        }
        self.sink.verdict(exit)
    }

    fn code(&self, summary: &Summary) -> Exit {
        match (summary.end, self.reason) {
            (End::Interrupted, _) => Exit::Interrupted,
            (End::Error, _) => Exit::Local,
            (End::GaveUp, Some(reason)) => reason.into(),
            _ if self.ledger.lost > 0 => Exit::SomeLost,
            _ => Exit::Good,
        }
    }

    /// Moves bytes until everything is accounted for.
    fn pump(&mut self) -> Written {
        let mut closing: Option<Instant> = None;
        while self.interrupts.count() == 0 && self.end.is_none() {
            self.feed();
            self.drain_events()?;
            if self.end.is_some() {
                break;
            }
            let finished = self.input == Input::Ended && self.held.is_none() && self.ledger.under_way() == 0;
            match closing {
                None if finished && self.reached == Reached::Once => {
                    // Refused if it is over already; the event that says so is under way.
                    let _ = self.session.command(Command::Close);
                    closing = Some(self.clock.now() + FAREWELL);
                }
                Some(until) if until <= self.clock.now() => break,
                _ => {}
            }
            self.wait()?;
        }
        Ok(())
    }

    /// Hands input to the session, as much as it takes.
    fn feed(&mut self) {
        // What came back and was not written yet counts as under way: a slow reader slows the sender.
        while self.ledger.under_way() < self.args.window {
            let Some(piece) = self.held.take().or_else(|| self.next_piece()) else { return };
            let (bytes, newlines) = (piece.len() as u64, ledger::newlines(&piece));
            match self.session.command(Command::Send(piece)) {
                Ok(()) => {
                    self.ledger.accepted(bytes, newlines);
                    self.stats.sent();
                }
                Err(refused) => {
                    if let (Command::Send(piece), Refusal::Full | Refusal::Closed) =
                        (refused.command, refused.why)
                    {
                        self.held = Some(piece);
                    }
                    return;
                }
            }
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if self.input == Input::Ended {
            return None;
        }
        match self.pieces.try_recv() {
            Ok(piece) => self.piece(piece),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.input = Input::Ended;
                None
            }
        }
    }

    fn piece(&mut self, piece: Piece) -> Option<Bytes> {
        match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Failed(error) => {
                let error = format!("cannot read standard input: {error}");
                note(&error);
                self.error = Some(error);
                self.input = Input::Ended;
                None
            }
        }
    }

    /// Takes what the session has to say, and shows it before waiting again.
    fn drain_events(&mut self) -> Written {
        let mut out = Vec::new();
        while let Some((at, event)) = self.session.next_event(Duration::ZERO) {
            self.event(at, event, &mut out)?;
            if out.len() >= 1 << 18 {
                break;
            }
        }
        self.tell_of_losses();
        self.show(&out)
    }

    fn show(&mut self, out: &[u8]) -> Written {
        if out.is_empty() { Ok(()) } else { self.sink.bytes(out) }
    }

    /// Waits for whichever side has something to do.
    fn wait(&mut self) -> Written {
        let idle = self.ledger.under_way() == 0 && self.held.is_none() && self.reached == Reached::Once;
        if idle && self.input == Input::Open {
            match self.pieces.recv_timeout(SLICE) {
                Ok(piece) => self.held = self.piece(piece),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.input = Input::Ended,
            }
            return Ok(());
        }
        let before = self.clock.now();
        if let Some((at, event)) = self.session.next_event(SLICE) {
            let mut out = Vec::new();
            self.event(at, event, &mut out)?;
            return self.show(&out);
        }
        // A session that is over has no more events, and says so at once.
        std::thread::sleep(SLICE.saturating_sub(self.clock.now().since(before)) / 2);
        Ok(())
    }

    fn event(&mut self, at: Instant, event: Event, out: &mut Vec<u8>) -> Written {
        let t_ns = self.tracker.t_ns(at);
        for body in self.tracker.unanswered(at, &event) {
            self.stats.count(t_ns, &body);
            self.no_connection(&Cause::timer(Reason::NoResponse));
            self.write(t_ns, body)?;
        }
        let body = self.tracker.body(at, &event);
        if let Some(body) = &body {
            self.stats.count(t_ns, body);
        }
        match event {
            Event::Echoed { payload, .. } => {
                self.ledger.echoed(payload.len() as u64);
                if self.sink.format == Format::Text {
                    out.extend_from_slice(&payload);
                }
            }
            Event::Lost { seq, cause, .. } => {
                self.reason = Some(cause.reason);
                self.ledger.lost(seq.0);
            }
            Event::Up { .. } => {
                let again = self.reached == Reached::Once;
                self.reached = Reached::Once;
                if again || self.args.output.verbose {
                    let peer = self.tracker.about().peer.map(|peer| peer.to_string()).unwrap_or_default();
                    let runtime = self.args.runtime.as_str();
                    note(&format!(
                        "{} to {peer} ({runtime})",
                        if again { "connected again" } else { "connected" }
                    ));
                }
            }
            Event::DialFailed { cause, .. } => {
                self.no_connection(&cause);
            }
            Event::Down { cause, in_flight, .. } => {
                self.reason = Some(cause.reason);
                let explain = cause.reason.explain();
                note(&format!("the connection is down: {cause}; {in_flight} messages in flight. {explain}"));
            }
            Event::Retry { delay, .. } => {
                let persist = self.args.timers.retries.is_some() || self.args.timers.give_up.is_some();
                if self.reached == Reached::Never && !persist {
                    self.end = Some(End::GaveUp);
                } else {
                    note(&format!("trying again in {delay:.1?}"));
                }
            }
            Event::GaveUp { cause } => {
                self.reason = Some(cause.reason);
                note(&format!("gave up: {cause}"));
                self.end = Some(End::GaveUp);
            }
            Event::Closed => self.end = Some(if self.error.is_some() { End::Error } else { End::Count }),
            Event::Suspect { .. } | Event::Stalled { .. } | Event::Dialing { .. } => {}
        }
        body.map_or(Ok(()), |body| self.write(t_ns, body))
    }

    /// In text mode standard output holds echoes and nothing else.
    fn write(&mut self, t_ns: u64, body: Body) -> Written {
        if self.sink.format == Format::Text {
            return Ok(());
        }
        self.sink.event(&line(self.args, t_ns, self.tracker.about(), body))
    }

    fn no_connection(&mut self, cause: &Cause) {
        self.reason = Some(cause.reason);
        note(&format!("no connection: {cause}. {}", cause.reason.explain()));
    }

    /// Names what was lost, one line for what was lost together.
    fn tell_of_losses(&mut self) {
        if let Some(Gap { messages, first_seq, bytes, offset, first_line, last_line }) =
            self.ledger.take_gap()
        {
            note(&format!(
                "lost {messages} messages from seq {first_seq}: {bytes} bytes at offset {offset}, \
                 lines {first_line} to {last_line}"
            ));
        }
    }
}
