//! `resound echo`: standard input to an echo server, what comes back to standard output, byte for byte.
//!
//! ```text
//!   standard input ──► reader thread ──┐                         ┌──► session ──► peer
//!             signals ─────────────────┼──► [channel] ──► this ──┤
//!                       session ───────┘                         └──► standard output, only what came back
//! ```
//!
//! This thread sleeps until one of the three has something to say. Little is read ahead of what the session takes: the
//! window bounds the memory, whatever the input. Every byte is accounted for: echoed, or named as lost.
//!
//! Over UDP ([`udp`]) the same thread sends lines as datagrams.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use bytes::Bytes;
use resound_conformance::{ClientSession, Dial, EchoClient};
use resound_core::Instant;
use resound_core::signal::{Cause, Reason};
use resound_core::stream::client::{Command, Config, Event, OnLoss, Refusal};
use resound_sockets::clock::Clock;
use resound_sockets::entropy::seed;
use resound_sockets::resolve::ResolveError;
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
mod udp;

use input::{Cut, Piece, Reader};
use ledger::{Gap, Ledger};

/// No more is gathered for one write.
const GATHERED: usize = 1 << 18;
/// A server that has died is waited for this long, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    about: About,
    bytes_sent: u64,
    bytes_echoed: u64,
    bytes_lost: u64,
    /// Read, and never sent.
    bytes_unsent: u64,
    summary: Summary,
}

/// What this thread waits for.
#[derive(Debug)]
enum Heard {
    Found(Result<Vec<SocketAddr>, ResolveError>),
    Input(Piece),
    Session(Instant, Event),
    /// Of a session over UDP.
    Datagrams(Instant, resound_core::datagram::client::Event),
    /// The session says no more.
    SessionOver,
    Signal,
}

/// The session's way to be heard.
struct Voice(Sender<Heard>);

impl Drop for Voice {
    fn drop(&mut self) {
        let _ = self.0.send(Heard::SessionOver);
    }
}

pub(super) fn run(args: &Echo) -> Exit {
    let clock = Clock::start();
    let mut sink = Sink::new(&args.output, Format::Jsonl);
    let (tell, heard) = channel();
    let wake = tell.clone();
    let interrupts = Interrupts::watch(1, move |_| drop(wake.send(Heard::Signal)));
    let begun = interrupts
        .map_err(|error| NotBegun::local(format!("cannot take signals: {error}")))
        .and_then(|interrupts| {
            if args.udp {
                udp::run(args, clock, &mut sink, &interrupts, &tell, &heard)
            } else {
                let begun = begin(args, &clock, &tell, &heard)?;
                Ok(Echoing::new(args, clock, &mut sink, interrupts, &heard, begun).run())
            }
        });
    begun.unwrap_or_else(|why| not_begun(args, clock, &mut sink, why))
}

struct Begun {
    session: Box<dyn ClientSession>,
    tracker: Tracker,
    reader: Reader,
}

/// Why nothing could be sent.
struct NotBegun {
    exit: Exit,
    end: End,
    reason: Option<Reason>,
    error: Option<String>,
}

impl NotBegun {
    fn local(error: String) -> Self {
        Self { exit: Exit::Local, end: End::Error, reason: None, error: Some(error) }
    }

    fn usage(error: &dyn core::fmt::Display) -> Self {
        let error = format!("these timers cannot work: {error}");
        Self { exit: Exit::Usage, ..Self::local(error) }
    }

    const fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, end: End::Interrupted, reason: None, error: None }
    }
}

fn config(args: &Echo) -> Result<Config, NotBegun> {
    let mut config = args.timers.client(args.timeout);
    config.max_bytes = usize::try_from(args.window()).unwrap_or(usize::MAX);
    config.on_loss = if args.resend { OnLoss::Resend } else { OnLoss::Report };
    if args.timers.retries.is_none() && args.timers.give_up.is_none() {
        config.link.give_up.after = Some(PATIENCE);
    }
    config.link.check().map_err(|error| NotBegun::usage(&error))?;
    Ok(config)
}

fn begin(
    args: &Echo,
    clock: &Clock,
    tell: &Sender<Heard>,
    heard: &Receiver<Heard>,
) -> Result<Begun, NotBegun> {
    let config = config(args)?;
    let addresses = find(args, tell, heard)?;
    let client = EchoClient::new(config, seed(), addresses.iter().copied())
        .map_err(|error| NotBegun::usage(&error))?;
    let voice = Voice(tell.clone());
    let on_event = move |at, event| drop(voice.0.send(Heard::Session(at, event)));
    let session = runtime(args.runtime, Threads::One)
        .client(client, Dial::default(), Box::new(on_event))
        .map_err(|error| NotBegun::local(format!("cannot start the runtime: {error}")))?;
    let tracker = Tracker::new(args.target.written.as_str().into(), addresses, clock, session.now());
    let cut = match args.output.format(Format::Jsonl) {
        Format::Jsonl | Format::Csv => Cut::Lines,
        Format::Text | Format::Markdown | Format::Json | Format::Quiet => Cut::AsRead,
    };
    let give = tell.clone();
    let largest = usize::try_from(args.window()).unwrap_or(usize::MAX);
    let reader = Reader::start(cut, largest, move |piece| drop(give.send(Heard::Input(piece))))
        .map_err(|error| NotBegun::local(format!("cannot start a thread: {error}")))?;
    Ok(Begun { session, tracker, reader })
}

/// Looks the target up, on a thread of its own: it may take long, and cannot be called back.
fn find(args: &Echo, tell: &Sender<Heard>, heard: &Receiver<Heard>) -> Result<Vec<SocketAddr>, NotBegun> {
    let (target, tell) = (args.target.clone(), tell.clone());
    thread::Builder::new()
        .name("look-up".into())
        .spawn(move || drop(tell.send(Heard::Found(look_up(&target)))))
        .map_err(|error| NotBegun::local(format!("cannot start a thread: {error}")))?;
    loop {
        match heard.recv() {
            Ok(Heard::Found(Ok(addresses))) => return Ok(addresses),
            Ok(Heard::Found(Err(error))) => {
                let reason = Some(Reason::NameResolution);
                return Err(NotBegun {
                    exit: Exit::NameResolution,
                    reason,
                    ..NotBegun::local(error.to_string())
                });
            }
            Ok(Heard::Signal) | Err(_) => return Err(NotBegun::interrupted()),
            // Nothing else speaks yet.
            Ok(_) => {}
        }
    }
}

fn not_begun(args: &Echo, clock: Clock, sink: &mut Sink, why: NotBegun) -> Exit {
    let NotBegun { exit, end, reason, error } = why;
    match &error {
        Some(error) => note(error),
        None => note("interrupted: nothing was sent"),
    }
    let mut stats = Stats::begin(0);
    if let Some(reason) = reason {
        stats.reason(reason);
    }
    let about = About { target: Some(args.target.written.as_str().into()), peer: None };
    let report = Report {
        about,
        summary: stats.summary(clock.now().nanos(), end),
        bytes_sent: 0,
        bytes_echoed: 0,
        bytes_lost: 0,
        bytes_unsent: 0,
    };
    let _ = write_report(sink, args, &clock, report, exit, error);
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
        let body = Body::Summary { summary: Box::new(report.summary.clone()), error: error.clone() };
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
    sink: &'a mut Sink,
    interrupts: Interrupts,
    heard: &'a Receiver<Heard>,
    session: Box<dyn ClientSession>,
    tracker: Tracker,
    reader: Reader,
    input: Input,
    /// Read, and not taken by the session yet.
    held: VecDeque<Bytes>,
    ledger: Ledger,
    stats: Stats,
    reached: Reached,
    reason: Option<Reason>,
    end: Option<End>,
    error: Option<String>,
}

impl<'a> Echoing<'a> {
    fn new(
        args: &'a Echo,
        clock: Clock,
        sink: &'a mut Sink,
        interrupts: Interrupts,
        heard: &'a Receiver<Heard>,
        begun: Begun,
    ) -> Self {
        let Begun { session, tracker, reader } = begun;
        Self {
            args,
            clock,
            sink,
            interrupts,
            heard,
            session,
            tracker,
            reader,
            input: Input::Open,
            held: VecDeque::new(),
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
        let bytes_unsent = self.unsent();
        if bytes_unsent > 0 && written.is_ok() {
            let rest = if self.input == Input::Ended { "" } else { "; the input was not read to its end" };
            note(&format!("{bytes_unsent} bytes were read and never sent{rest}"));
        }
        if written.is_ok() {
            let report = Report {
                about: self.tracker.about(),
                summary,
                bytes_sent: self.ledger.sent,
                bytes_echoed: self.ledger.echoed,
                bytes_lost: self.ledger.lost,
                bytes_unsent,
            };
            let error = self.error.take();
            let _ = write_report(self.sink, self.args, &self.clock, report, exit, error);
        }
        self.sink.verdict(exit)
    }

    /// Bytes that were read and that no session took, those among them that still wait to be heard.
    fn unsent(&mut self) -> u64 {
        while let Ok(heard) = self.heard.try_recv() {
            if let Heard::Input(piece) = heard {
                self.piece(piece);
            }
        }
        self.held.iter().map(|piece| piece.len() as u64).sum()
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
            if closing.is_none() && self.is_finished() && self.reached == Reached::Once {
                // Refused if it is over already; the event that says so is under way.
                let _ = self.session.command(Command::Close);
                closing = Some(self.clock.now() + FAREWELL);
            }
            let heard = match closing {
                Some(until) => self.heard.recv_timeout(until.since(self.clock.now())),
                None => self.heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Ok(heard) = heard else { break };
            self.hear_all(heard)?;
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.input == Input::Ended && self.held.is_empty() && self.ledger.under_way() == 0
    }

    /// Takes this and what else there is to hear, and shows what came back before waiting again.
    fn hear_all(&mut self, first: Heard) -> Written {
        let mut out = Vec::new();
        let mut next = Some(first);
        while let Some(heard) = next {
            match heard {
                Heard::Session(at, event) => self.event(at, event, &mut out)?,
                Heard::Input(piece) => self.piece(piece),
                Heard::SessionOver if self.end.is_none() => {
                    self.fail(String::from("the runtime has ended and did not say why"));
                    self.end = Some(End::Error);
                }
                Heard::SessionOver | Heard::Signal | Heard::Found(_) | Heard::Datagrams(..) => {}
            }
            let enough = self.end.is_some() || out.len() >= GATHERED;
            next = if enough { None } else { self.heard.try_recv().ok() };
        }
        self.tell_of_losses();
        if out.is_empty() { Ok(()) } else { self.sink.bytes(&out) }
    }

    /// Hands input to the session, as much as it takes.
    fn feed(&mut self) {
        // What came back and was not written yet counts as under way: a slow reader slows the sender.
        while self.ledger.under_way() < self.args.window() {
            let Some(piece) = self.held.pop_front() else { return };
            let (bytes, newlines) = (piece.len() as u64, ledger::newlines(&piece));
            match self.session.command(Command::Send(piece)) {
                Ok(()) => {
                    self.ledger.accepted(bytes, newlines);
                    self.stats.sent();
                    self.reader.more();
                }
                Err(refused) => {
                    if let (Command::Send(piece), Refusal::Full | Refusal::Closed) =
                        (refused.command, refused.why)
                    {
                        self.held.push_front(piece);
                    }
                    return;
                }
            }
        }
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) => self.held.push_back(bytes),
            // A stream has no such limit, and the reader was given none.
            Piece::TooLong(_) => {}
            Piece::End => self.input = Input::Ended,
            Piece::Failed(error) => {
                self.fail(format!("cannot read standard input: {error}"));
                self.input = Input::Ended;
            }
        }
    }

    fn fail(&mut self, error: String) {
        note(&error);
        self.error = Some(error);
    }

    fn event(&mut self, at: Instant, event: Event, out: &mut Vec<u8>) -> Written {
        let t_ns = self.tracker.t_ns(at);
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
                let hint = self.hint(cause.reason);
                note(&format!(
                    "the connection is down: {cause}; {in_flight} messages in flight. {explain}{hint}"
                ));
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

    /// What helps against a peer that has stopped because its own pipes are full.
    fn hint(&self, reason: Reason) -> &'static str {
        let stopped = matches!(reason, Reason::WriteBlocked | Reason::PeerStalled);
        if stopped && self.args.window() > 32_768 { " Try --window 32768." } else { "" }
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
