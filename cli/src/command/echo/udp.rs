//! `resound echo --udp`: each line is a datagram, and what comes back is written in the order in which it was sent.
//!
//! ```text
//!   lines ──► held ──► sent, in a row of slots ──► each slot is filled, or given up ──► written from the front
//! ```
//!
//! A slot that is given up (no answer in time, or somebody said why) is told on standard error, and the row goes on
//! without it. So nothing is written twice or out of order, and nothing is missing that was not told.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};

use bytes::Bytes;
use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, Event, HEADER, LONGEST_PAYLOAD, NotAdded, PeerId, Seq};
use resound_core::signal::{Cause, Reason};
use resound_sockets::clock::Clock;
use resound_sockets::entropy;
use resound_sockets::udp::{Errors, Options, Sizes, bind_any};

use super::input::{Cut, Piece, Reader};
use super::{Heard, NotBegun, PATIENCE, Reached, Report, Voice, line, write_report};
use crate::args::{Echo, Format};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, End};
use crate::output::{Sink, Written, note};
use crate::stats::{Stats, nanos};
use crate::udp::contest::{APART, Contest, Standing, lack};
use crate::udp::{Driven, drive};

/// What a datagram costs in a receive buffer beside its bytes, about.
const OVERHEAD: u64 = 800;
/// No more lines are sent in a second, and at once after a pause: a server that answers each of its peers a thousand
/// times a second, as `resound serve` does, answers all of them.
const RATE: u64 = 900;
const EACH: Duration = Duration::from_nanos(1_000_000_000 / RATE);
const BURST: Duration = Duration::from_secs(1);
/// No shorter time is waited for.
const SHORT: Duration = Duration::from_millis(1);

/// A line that was sent.
#[derive(Debug)]
struct Slot {
    seq: Seq,
    /// Counted from 1.
    line: u64,
    bytes: u64,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Open,
    Echoed(Bytes),
    Lost(Reason),
}

/// Lines that were lost together.
#[derive(Clone, Copy, Debug)]
struct Gap {
    first: u64,
    last: u64,
    reason: Reason,
}

/// What became of the bytes of the input.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    sent: u64,
    echoed: u64,
    lost: u64,
    /// Of lines that were too long.
    refused: u64,
}

struct Lines<'a> {
    args: &'a Echo,
    clock: Clock,
    sink: &'a mut Sink,
    interrupts: &'a Interrupts,
    heard: &'a Receiver<Heard>,
    session: Driven<Client>,
    /// From the epoch of the command's clock to that of the session's.
    offset: Duration,
    contest: Contest,
    /// When the next address is asked.
    ask_at: Instant,
    about: About,
    reader: Reader,
    /// How many lines were read.
    lines: u64,
    ended: bool,
    held: VecDeque<(u64, Bytes)>,
    slots: VecDeque<Slot>,
    /// What the slots cost in the peer's receive buffer.
    under_way: u64,
    /// Until when the rate is used up.
    spent_until: Instant,
    gap: Option<Gap>,
    account: Account,
    stats: Stats,
    reached: Reached,
    reason: Option<Reason>,
    end: Option<End>,
    error: Option<String>,
}

fn config(args: &Echo) -> Config {
    let mut config = args.timers.datagrams(args.timeout);
    if args.timers.retries.is_none() && args.timers.give_up.is_none() {
        config.link.give_up.after = Some(PATIENCE);
    }
    config
}

/// Echoes until everything is accounted for.
pub(super) fn run(
    args: &Echo,
    clock: Clock,
    sink: &mut Sink,
    interrupts: &Interrupts,
    tell: &Sender<Heard>,
    heard: &Receiver<Heard>,
) -> Result<Exit, NotBegun> {
    let local = |error: io::Error| NotBegun::local(format!("cannot open a socket: {error}"));
    let mut addresses = super::find(args, tell, heard)?;
    let client = Client::new(config(args), entropy::seed(), entropy::key())
        .map_err(|error| NotBegun::usage(&error))?;
    let socket = bind_any(&Options { errors: Errors::Queued, ..Options::default() }).map_err(local)?;
    let voice = Voice(tell.clone());
    let on_event = move |at, event| drop(voice.0.send(Heard::Datagrams(at, event)));
    let session =
        drive(args.runtime, client, socket, Sizes::default(), Duration::ZERO, on_event).map_err(local)?;
    if session.local_addr.is_ipv4() {
        // The socket would have been for both if this host had both.
        addresses.retain(SocketAddr::is_ipv4);
        if addresses.is_empty() {
            let error = String::from("this host has no IPv6, and the target has no IPv4 address");
            return Err(NotBegun {
                exit: Exit::Unreachable,
                reason: Some(Reason::NoRoute),
                ..NotBegun::local(error)
            });
        }
    }
    let give = tell.clone();
    let reader =
        Reader::start(Cut::Datagrams, LONGEST_PAYLOAD, move |piece| drop(give.send(Heard::Input(piece))))
            .map_err(|error| NotBegun::local(format!("cannot start a thread: {error}")))?;
    let contest = Contest::new(addresses);
    let about = About { target: Some(args.target.written.as_str().into()), peer: contest.first() };
    let lines = Lines {
        args,
        sink,
        interrupts,
        heard,
        offset: clock.now().since(Instant::EPOCH + session.now().since(Instant::EPOCH)),
        ask_at: clock.now(),
        spent_until: clock.now(),
        clock,
        session,
        contest,
        about,
        reader,
        lines: 0,
        ended: false,
        held: VecDeque::new(),
        slots: VecDeque::new(),
        under_way: 0,
        gap: None,
        account: Account::default(),
        stats: Stats::begin(0),
        reached: Reached::Never,
        reason: None,
        end: None,
        error: None,
    };
    Ok(lines.run())
}

impl Lines<'_> {
    fn run(mut self) -> Exit {
        let written = self.pump();
        self.session.end(Client::abort);
        self.tell_of_gap();
        let interrupted = self.interrupts.count() > 0;
        let end = if interrupted { End::Interrupted } else { self.end.unwrap_or(End::Count) };
        let summary = self.stats.summary(self.clock.now().nanos(), end);
        let Account { sent, echoed, lost, refused } = self.account;
        if interrupted {
            let under_way = sent - echoed - lost;
            note(&format!(
                "interrupted: {sent} bytes sent, {echoed} echoed, {lost} lost, {under_way} under way"
            ));
        }
        while let Ok(heard) = self.heard.try_recv() {
            if let Heard::Input(piece) = heard {
                self.piece(piece);
            }
        }
        let held: u64 = self.held.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let bytes_unsent = held + refused;
        if bytes_unsent > 0 && written.is_ok() {
            let rest = if self.ended { "" } else { "; the input was not read to its end" };
            note(&format!("{bytes_unsent} bytes were read and never sent{rest}"));
        }
        let exit = match (end, self.reason) {
            (End::Interrupted, _) => Exit::Interrupted,
            (End::Error, _) => Exit::Local,
            (End::GaveUp, Some(reason)) => reason.into(),
            _ if summary.lost + refused > 0 => Exit::SomeLost,
            _ => Exit::Good,
        };
        if written.is_ok() {
            let report = Report {
                about: self.about,
                summary,
                bytes_sent: sent,
                bytes_echoed: echoed,
                bytes_lost: lost,
                bytes_unsent,
            };
            let _ = write_report(self.sink, self.args, &self.clock, report, exit, self.error);
        }
        self.sink.verdict(exit)
    }

    fn pump(&mut self) -> Written {
        while self.interrupts.count() == 0 && self.end.is_none() {
            self.ask_next();
            self.feed();
            if self.ended && self.held.is_empty() && self.slots.is_empty() && self.reached == Reached::Once {
                self.end = Some(if self.error.is_some() { End::Error } else { End::Count });
                break;
            }
            let mut next = match self.heard.recv_timeout(self.patience()) {
                Ok(heard) => Some(heard),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while let Some(heard) = next {
                match heard {
                    Heard::Datagrams(at, event) => self.event(at, event)?,
                    Heard::Input(piece) => self.piece(piece),
                    Heard::SessionOver => {
                        self.fail("the runtime has ended and did not say why".into());
                        self.end = Some(End::Error);
                    }
                    Heard::Session(..) | Heard::Signal | Heard::Found(_) => {}
                }
                next = if self.end.is_none() { self.heard.try_recv().ok() } else { None };
            }
            self.write_echoes()?;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        let now = self.clock.now();
        let ask = self.contest.has_next().then(|| self.ask_at.since(now));
        let may_send = matches!(self.contest.standing(), Standing::Up(_)) && !self.held.is_empty();
        let wait = (self.spent_until + EACH).since(now + BURST);
        // It is the window that is full, and an event will say that it is not; or it is the rate.
        let paced = (may_send && (self.slots.is_empty() || !wait.is_zero())).then(|| wait.max(SHORT));
        ask.into_iter().chain(paced).min().unwrap_or(Duration::from_secs(3_600))
    }

    // Who is asked.

    fn ask_next(&mut self) {
        let now = self.clock.now();
        while self.contest.has_next() && self.ask_at <= now && self.end.is_none() {
            let session = &self.session;
            let asked =
                self.contest.ask_next(session.now(), |addr| session.ask(|client, now| client.add(now, addr)));
            match asked {
                Some(Err((addr, why))) => self.not_added(addr, why),
                Some(Ok(_)) | None => self.ask_at = now + APART,
            }
        }
    }

    fn not_added(&mut self, addr: SocketAddr, why: NotAdded) {
        if self.contest.standing() == Standing::Over {
            self.reason = Some(Reason::BadAddress);
            self.fail(format!("{addr}: {why}"));
            self.end = Some(End::Error);
        }
    }

    // What is sent.

    /// Hands lines to the session, as many as the window, the rate and the session allow.
    fn feed(&mut self) {
        let Standing::Up(peer) = self.contest.standing() else { return };
        while let Some((line, bytes)) = self.held.front() {
            let cost = bytes.len() as u64 + HEADER as u64 + OVERHEAD;
            let now = self.clock.now();
            let spent_until = self.spent_until.max(now) + EACH;
            let fits = self.slots.is_empty() || self.under_way + cost <= self.args.window();
            if !fits || spent_until > now + BURST {
                return;
            }
            let (line, bytes) = (*line, bytes.clone());
            let n = bytes.len() as u64;
            // Refused, it stays: the event that changes it is under way.
            let Ok(seq) = self.session.ask(|client, now| client.send(now, peer, bytes)) else { return };
            self.held.pop_front();
            self.spent_until = spent_until;
            self.under_way += cost;
            self.account.sent += n;
            self.slots.push_back(Slot { seq, line, bytes: n, fate: Fate::Open });
            self.stats.sent();
            self.reader.more();
        }
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) => {
                self.lines += 1;
                self.held.push_back((self.lines, bytes));
            }
            Piece::TooLong(bytes) => {
                self.lines += 1;
                self.account.refused += bytes;
                self.reason = Some(Reason::TooBig);
                self.reader.more();
                note(&format!(
                    "line {} is not sent: {bytes} bytes do not fit into a datagram, {LONGEST_PAYLOAD} at most",
                    self.lines
                ));
            }
            Piece::End => self.ended = true,
            Piece::Failed(error) => {
                self.fail(format!("cannot read standard input: {error}"));
                self.ended = true;
            }
        }
    }

    fn fail(&mut self, error: String) {
        note(&error);
        self.error = Some(error);
    }

    // What happened.

    fn event(&mut self, at: Instant, event: Event) -> Written {
        let t_ns = (at + self.offset).nanos();
        if let Some(addr) = event.peer().and_then(|peer| self.contest.addr(peer)) {
            self.about.peer = Some(addr);
        }
        let body = match event {
            Event::Dialing { peer, attempt } => {
                self.contest.dialing(peer, at);
                Body::Dialing { attempt: attempt.get() }
            }
            Event::DialFailed { peer, attempt, cause } => {
                let took = self.contest.failed(peer, at);
                self.no_connection(&cause);
                Body::dial_failed(attempt.get(), &cause, took)
            }
            Event::Up { peer, attempt } => {
                self.up(peer);
                Body::Up { attempt: attempt.get(), local: Some(self.session.local_addr) }
            }
            Event::Echoed { seq, payload, round_trip, .. } => {
                let bytes = payload.len() as u64;
                self.account.echoed += bytes;
                self.settle(seq, Fate::Echoed(payload));
                let rtt_ns = nanos(round_trip);
                self.numbered(|seq| Body::Echo { seq, bytes, rtt_ns }, seq)
            }
            Event::Lost { seq, payload, cause, .. } => {
                let reason = cause.reason;
                self.account.lost += payload.len() as u64;
                self.reason = Some(reason);
                self.settle(seq, Fate::Lost(reason));
                self.numbered(|seq| Body::Lost { seq, reason }, seq)
            }
            Event::Down { peer, cause, in_flight, silent, .. } => {
                self.contest.down(peer);
                self.reason = Some(cause.reason);
                let explain = cause.reason.explain();
                note(&format!("the server is down: {cause}; {in_flight} lines in flight. {explain}"));
                Body::down(&cause, in_flight, silent)
            }
            Event::Retry { level, delay, .. } => {
                self.retry(delay);
                Body::Retry { level, in_ns: nanos(delay) }
            }
            Event::GaveUp { peer, cause } => {
                self.contest.gave_up(peer);
                self.reason = Some(cause.reason);
                if self.contest.standing() == Standing::Over {
                    note(&format!("gave up: {cause}"));
                    self.end = Some(End::GaveUp);
                }
                return Ok(());
            }
            Event::Suspect { unanswered, .. } => Body::Suspect { unanswered },
            Event::Trouble { cause, .. } => Body::trouble(&cause, None, 1),
            Event::TooBig { mtu, .. } => Body::TooBig { mtu },
            Event::WrongAddress { from, .. } => {
                note(&format!("{from} answered instead; not taken"));
                Body::WrongAddress { from }
            }
            Event::Overrun { lost } => {
                note(&format!("this host dropped {lost} datagrams for want of room"));
                return self.write_about_all(t_ns, Body::Overrun { local: None, dropped: lost.into() });
            }
            Event::Stalled { late } => {
                return self.write_about_all(t_ns, Body::Stall { late_ns: nanos(late) });
            }
            Event::Failed { op, signal } => {
                return self.write_about_all(t_ns, Body::trouble(&signal.cause(op), None, 1));
            }
            // Told by the line that was lost; a double one is taken once.
            Event::Late { .. } | Event::Duplicated { .. } | Event::Closed => return Ok(()),
        };
        self.stats.count(t_ns, &body);
        self.write(t_ns, self.about.clone(), body)
    }

    fn up(&mut self, peer: PeerId) {
        for loser in self.contest.up(peer) {
            self.session.ask(|client, now| client.remove(now, loser));
        }
        let again = self.reached == Reached::Once;
        self.reached = Reached::Once;
        if again || self.args.output.verbose {
            let peer = self.about.peer.map(|peer| peer.to_string()).unwrap_or_default();
            let what = if again { "answers again" } else { "answers" };
            note(&format!("{peer} {what} ({})", self.args.runtime.as_str()));
        }
    }

    fn no_connection(&mut self, cause: &Cause) {
        self.reason = Some(cause.reason);
        self.ask_at = self.clock.now();
        let lack = self.about.peer.and_then(|addr| lack(addr, cause));
        note(&format!("no answer: {cause}. {}", lack.unwrap_or(cause.reason.explain())));
    }

    /// Without a first answer it ends, unless it was told to persist.
    fn retry(&mut self, delay: Duration) {
        let persist = self.args.timers.retries.is_some() || self.args.timers.give_up.is_some();
        if self.reached == Reached::Once || persist {
            note(&format!("trying again in {delay:.1?}"));
        } else if self.contest.standing() == Standing::Down {
            self.end = Some(End::GaveUp);
        }
    }

    fn slot(&mut self, seq: Seq) -> Option<&mut Slot> {
        let index = self.slots.binary_search_by_key(&seq, |slot| slot.seq).ok()?;
        self.slots.get_mut(index)
    }

    fn settle(&mut self, seq: Seq, fate: Fate) {
        if let Some(slot) = self.slot(seq) {
            slot.fate = fate;
        }
    }

    /// The number of a message is that of its line, from 0.
    fn numbered(&mut self, body: impl FnOnce(u64) -> Body, seq: Seq) -> Body {
        let line = self.slot(seq).map_or(0, |slot| slot.line);
        body(line.saturating_sub(1))
    }

    // What is told.

    /// Writes what has come back, in order.
    fn write_echoes(&mut self) -> Written {
        let mut out = Vec::new();
        while self.slots.front().is_some_and(|slot| !matches!(slot.fate, Fate::Open)) {
            let Some(Slot { line, bytes, fate, .. }) = self.slots.pop_front() else { break };
            self.under_way -= bytes + HEADER as u64 + OVERHEAD;
            match fate {
                Fate::Echoed(payload) => {
                    self.tell_of_gap();
                    if self.sink.format == Format::Text {
                        out.extend_from_slice(&payload);
                        out.push(b'\n');
                    }
                }
                Fate::Lost(reason) => self.lost(line, reason),
                Fate::Open => {}
            }
        }
        self.tell_of_gap();
        if out.is_empty() { Ok(()) } else { self.sink.bytes(&out) }
    }

    fn lost(&mut self, line: u64, reason: Reason) {
        match &mut self.gap {
            Some(gap) if gap.last + 1 == line && gap.reason == reason => gap.last = line,
            _ => {
                self.tell_of_gap();
                self.gap = Some(Gap { first: line, last: line, reason });
            }
        }
    }

    /// One line for what was lost together.
    fn tell_of_gap(&mut self) {
        match self.gap.take() {
            Some(Gap { first, last, reason }) if first == last => {
                note(&format!("line {first} is lost: {reason}"));
            }
            Some(Gap { first, last, reason }) => {
                note(&format!("lines {first} to {last} are lost: {reason}"));
            }
            None => {}
        }
    }

    /// In text mode standard output holds echoes and nothing else.
    fn write(&mut self, t_ns: u64, about: About, body: Body) -> Written {
        if self.sink.format == Format::Text {
            return Ok(());
        }
        self.sink.event(&line(self.args, t_ns, about, body))
    }

    fn write_about_all(&mut self, t_ns: u64, body: Body) -> Written {
        self.write(t_ns, About::default(), body)
    }
}
