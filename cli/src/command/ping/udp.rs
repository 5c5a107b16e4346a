//! All targets of `ping --udp`, on one socket and one thread.
//!
//! ```text
//!   names ──► a few threads ──┐
//!   addresses ────────────────┼──► agenda: who is asked next, whose message is due ──► machine ──► socket
//!                             │                                                           │
//!   statistics, output ◄──────┴──── what became of each message  ◄────────────────────────┘
//! ```
//!
//! A message is due every interval, whether the target answers or not, so that what is lost can be counted:
//!
//! ```text
//!   the target answers                  sent; echoed or lost, as the core says
//!   it is asked                         waits a little for its answer (some peers run datagrams together that come
//!                                       while they start), then sent: each message is itself a question
//!   several addresses are asked         waits until one of them answers, lost when all have failed
//!   between two attempts                lost at once, with the reason of the attempt before: nothing is sent
//! ```
//!
//! The targets begin a little apart, so that a hundred thousand of them are no burst, now or in any later interval.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use resound_core::Instant;
use resound_core::datagram::client::{Client, Config, Event, NotAdded, PeerId, Refusal, Seq};
use resound_core::signal::{Cause, Reason};
use resound_sockets::clock::Clock;
use resound_sockets::entropy;
use resound_sockets::resolve::{Host, ResolveError};
use resound_sockets::udp::{Errors, Options, Sizes, bind_any};

use super::super::look_up;
use super::probe::payload;
use super::{Deaf, Told};
use crate::args::{Named, RuntimeName};
use crate::exit::Exit;
use crate::output::event::{About, Body, End};
use crate::output::note;
use crate::stats::nanos;
use crate::udp::contest::{APART, Contest, Standing, lack};
use crate::udp::flights::{Flights, Message};
use crate::udp::{Driven, drive};

/// How far apart targets begin at most, and at least.
const SPACING: (Duration, Duration) = (Duration::from_micros(10), Duration::from_millis(1));
/// How many names are looked up at once.
const LOOKING_UP: usize = 16;
/// How long a first answer is waited for before messages are sent without it.
const HELD_BACK: Duration = Duration::from_millis(250);
/// From so many targets on the socket asks for a larger receive buffer.
const MANY: usize = 64;
/// What it asks for then; the system grants as much as it likes.
const LARGE_BUFFER: usize = 4 << 20;
/// How many events are taken before it is looked what is due.
const GATHERED: usize = 1_024;

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) targets: Vec<Named>,
    pub(super) config: Config,
    pub(super) count: Option<u64>,
    pub(super) interval: Duration,
    pub(super) size: usize,
    pub(super) runtime: RuntimeName,
}

/// What this thread waits for.
enum Heard {
    Found(usize, Result<Vec<SocketAddr>, ResolveError>),
    Event(Instant, Event),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The target's next address is asked.
    Ask(usize),
    Message(usize),
    /// What waits for the answer of the target is sent without it.
    LetGo(usize),
}

struct Target {
    name: Arc<str>,
    contest: Contest,
    /// The address that was last spoken of.
    peer: Option<SocketAddr>,
    /// Why it does not answer.
    reason: Reason,
    next_seq: u64,
    next_due: Instant,
    /// Messages that wait until it is known where they go.
    held: Range<u64>,
    /// Until then they wait for an answer.
    held_back_until: Instant,
    on_their_way: u64,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Not asked yet.
    Awaited,
    Begun,
    Over,
}

/// Pings all of them until the plan is fulfilled.
pub(super) struct Prober<F> {
    plan: Plan,
    clock: Clock,
    session: Driven<Client>,
    /// From the epoch of the command's clock to that of the session's.
    offset: Duration,
    heard: Receiver<Heard>,
    tell_found: Sender<Heard>,
    tell: F,
    targets: Vec<Target>,
    /// Targets that are not over.
    open: usize,
    by_peer: HashMap<PeerId, usize>,
    flights: Flights,
    agenda: BinaryHeap<Reverse<(Instant, Due)>>,
}

/// Opens the socket.
pub(super) fn open<F>(plan: Plan, clock: Clock, tell: F) -> Result<Prober<F>, (Exit, String)>
where
    F: Fn(Option<usize>, Told) -> Result<(), Deaf>,
{
    let client = Client::new(plan.config, entropy::seed(), entropy::key())
        .map_err(|error| (Exit::Usage, format!("these timers cannot work: {error}")))?;
    let receive_buffer = (plan.targets.len() >= MANY).then_some(LARGE_BUFFER);
    let options = Options { errors: Errors::Queued, receive_buffer, ..Options::default() };
    let local = |error: io::Error| (Exit::Local, format!("cannot open a socket: {error}"));
    let socket = bind_any(&options).map_err(local)?;
    let (tell_event, heard) = channel();
    let tell_found = tell_event.clone();
    let on_event = move |at, event| drop(tell_event.send(Heard::Event(at, event)));
    let session =
        drive(plan.runtime, client, socket, Sizes::default(), Duration::ZERO, on_event).map_err(local)?;
    let offset = clock.now().since(Instant::EPOCH + session.now().since(Instant::EPOCH));
    let target = |named: &Named| Target {
        name: named.written.as_str().into(),
        contest: Contest::new(Vec::new()),
        peer: None,
        reason: Reason::NoResponse,
        next_seq: 0,
        next_due: Instant::EPOCH,
        held: 0..0,
        held_back_until: Instant::EPOCH,
        on_their_way: 0,
        life: Life::Awaited,
    };
    Ok(Prober {
        targets: plan.targets.iter().map(target).collect(),
        open: plan.targets.len(),
        by_peer: HashMap::new(),
        flights: Flights::new(plan.config.remember, plan.config.remember_most),
        agenda: BinaryHeap::new(),
        plan,
        clock,
        session,
        offset,
        heard,
        tell_found,
        tell,
    })
}

impl<F: Fn(Option<usize>, Told) -> Result<(), Deaf>> Prober<F> {
    pub(super) fn run(mut self) -> Result<(), Deaf> {
        self.find_all()?;
        while self.open > 0 {
            self.do_what_is_due()?;
            if self.open == 0 {
                break;
            }
            match self.heard.recv_timeout(self.patience()) {
                Ok(heard) => self.hear(heard)?,
                Err(RecvTimeoutError::Timeout) => {}
                // This thread holds a sender of its own.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for _ in 0..GATHERED {
                let Ok(heard) = self.heard.try_recv() else { break };
                self.hear(heard)?;
            }
        }
        let strays = self.session.look(Client::strays).into();
        self.session.end(Client::abort);
        let t_ns = self.clock.now().nanos();
        self.write_about_all(t_ns, Body::Strays { strays })?;
        (self.tell)(None, Told::Over { t_ns, end: End::Count })
    }

    // Where the targets are.

    /// Addresses at once, names by some threads.
    fn find_all(&mut self) -> Result<(), Deaf> {
        let n = u32::try_from(self.plan.targets.len()).unwrap_or(u32::MAX);
        let spacing = (self.plan.interval / n.max(1)).clamp(SPACING.0, SPACING.1);
        let mut at = self.clock.now();
        let mut names = Vec::new();
        for index in 0..self.plan.targets.len() {
            let named = &self.plan.targets[index];
            self.targets[index].next_due = at;
            match named.target.host() {
                Host::V4(_) | Host::V6 { zone: None, .. } => {
                    let found = look_up(named);
                    self.found(index, found)?;
                }
                _ => names.push((index, named.clone())),
            }
            at = at + spacing;
        }
        let threads = names.len().min(LOOKING_UP);
        let names = Arc::new(Mutex::new(names.into_iter()));
        for _ in 0..threads {
            let (names, tell) = (Arc::clone(&names), self.tell_found.clone());
            let started = thread::Builder::new().name("look-up".into()).spawn(move || {
                let next = || names.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((index, named)) = next() {
                    if tell.send(Heard::Found(index, look_up(&named))).is_err() {
                        break;
                    }
                }
            });
            if let Err(error) = started {
                return self.fail_all(&format!("cannot start a thread: {error}"));
            }
        }
        Ok(())
    }

    fn fail_all(&mut self, error: &str) -> Result<(), Deaf> {
        for index in 0..self.targets.len() {
            self.fail(index, None, Exit::Local, error.into())?;
        }
        Ok(())
    }

    fn found(&mut self, index: usize, found: Result<Vec<SocketAddr>, ResolveError>) -> Result<(), Deaf> {
        let mut addresses = match found {
            Ok(addresses) => addresses,
            Err(error) => {
                let reason = Some(Reason::NameResolution);
                return self.fail(index, reason, Exit::NameResolution, error.to_string());
            }
        };
        if self.session.local_addr.is_ipv4() {
            // The socket would have been for both if this host had both.
            addresses.retain(SocketAddr::is_ipv4);
            if addresses.is_empty() {
                let error = "this host has no IPv6, and the target has no IPv4 address";
                return self.fail(index, Some(Reason::NoRoute), Exit::Unreachable, error.into());
            }
        }
        let target = &mut self.targets[index];
        target.next_due = target.next_due.max(self.clock.now());
        target.contest = Contest::new(addresses);
        self.agenda.push(Reverse((target.next_due, Due::Ask(index))));
        Ok(())
    }

    // What is due.

    fn patience(&self) -> Duration {
        let next = self.agenda.peek().map(|Reverse((at, _))| at.since(self.clock.now()));
        next.unwrap_or(Duration::from_secs(3_600))
    }

    fn do_what_is_due(&mut self) -> Result<(), Deaf> {
        let now = self.clock.now();
        while let Some(&Reverse((at, due))) = self.agenda.peek() {
            if at > now {
                break;
            }
            self.agenda.pop();
            match due {
                Due::Ask(index) => self.ask_next(index, now)?,
                Due::Message(index) => self.message(index, now)?,
                Due::LetGo(index) => self.let_go(index, now)?,
            }
        }
        Ok(())
    }

    /// Asks the next address of a target.
    fn ask_next(&mut self, index: usize, now: Instant) -> Result<(), Deaf> {
        let target = &mut self.targets[index];
        if target.life == Life::Over || matches!(target.contest.standing(), Standing::Up(_)) {
            return Ok(());
        }
        let session = &self.session;
        let asked =
            target.contest.ask_next(session.now(), |addr| session.ask(|client, now| client.add(now, addr)));
        match asked {
            None => return Ok(()),
            Some(Ok(peer)) => {
                self.by_peer.insert(peer, index);
            }
            Some(Err((addr, why))) => self.not_added(index, addr, why)?,
        }
        let target = &mut self.targets[index];
        if target.life == Life::Awaited {
            target.life = Life::Begun;
            target.next_due = target.next_due.max(now);
            target.held_back_until = now + HELD_BACK;
            self.agenda.push(Reverse((target.held_back_until, Due::LetGo(index))));
            self.agenda.push(Reverse((target.next_due, Due::Message(index))));
        }
        if self.targets[index].contest.has_next() {
            self.agenda.push(Reverse((now + APART, Due::Ask(index))));
        }
        Ok(())
    }

    /// One address less. The target is left out if it has no other.
    fn not_added(&mut self, index: usize, addr: SocketAddr, why: NotAdded) -> Result<(), Deaf> {
        let last = self.targets[index].contest.standing() == Standing::Over;
        match why {
            NotAdded::Duplicate(peer) => {
                let other = self.by_peer.get(&peer).map(|&other| &*self.targets[other].name);
                let name = &self.targets[index].name;
                let left_out = if last { "; it is measured once, there" } else { ", and left out here" };
                note(&format!(
                    "{name}: {addr} is a target already, as {}{left_out}",
                    other.unwrap_or("another")
                ));
                if last { self.over(index, Told::Same) } else { Ok(()) }
            }
            why if last => self.fail(index, Some(Reason::BadAddress), Exit::Local, format!("{addr}: {why}")),
            _ => Ok(()),
        }
    }

    /// A message is due.
    fn message(&mut self, index: usize, now: Instant) -> Result<(), Deaf> {
        let target = &mut self.targets[index];
        if target.life == Life::Over {
            return Ok(());
        }
        let seq = target.next_seq;
        let in_no_hurry = self.plan.interval.is_zero();
        let went = match target.contest.standing() {
            Standing::Up(peer) if target.held.is_empty() => self.send(index, peer, seq),
            Standing::Asked(peer) if target.held.is_empty() && target.held_back_until <= now => {
                self.send(index, peer, seq)
            }
            Standing::Up(_) | Standing::Asked(_) | Standing::Undecided => Went::Held,
            Standing::Down | Standing::Over if in_no_hurry => Went::Held,
            Standing::Down | Standing::Over => Went::Refused,
        };
        let target = &mut self.targets[index];
        if went != Went::Full {
            target.next_seq += 1;
            (self.tell)(Some(index), Told::Sent)?;
        }
        match went {
            Went::Off | Went::Full => {}
            Went::Held if target.held.is_empty() => target.held = seq..seq + 1,
            Went::Held => target.held.end = seq + 1,
            Went::Refused => {
                let reason = target.reason;
                self.lost(index, seq, reason)?;
            }
        }
        self.schedule(index, now);
        self.leave_if_done(index)
    }

    /// When the next message is due. As fast as echoes come, it is when this one has ended.
    fn schedule(&mut self, index: usize, now: Instant) {
        let interval = self.plan.interval;
        let target = &mut self.targets[index];
        let open = target.on_their_way > 0 || !target.held.is_empty();
        if self.plan.count.is_some_and(|count| target.next_seq >= count) || (interval.is_zero() && open) {
            return;
        }
        target.next_due = target.next_due + interval;
        if target.next_due + interval < now {
            // Whole intervals were slept through; they are not made up for.
            target.next_due = now + interval;
        }
        self.agenda.push(Reverse((target.next_due, Due::Message(index))));
    }

    fn send(&mut self, index: usize, peer: PeerId, seq: u64) -> Went {
        let payload = payload(seq, self.plan.size);
        match self.session.ask(|client, now| client.send(now, peer, payload).map(|number| (number, now))) {
            Ok((number, now)) => {
                self.flights.push(number, Message { target: index, seq }, now);
                self.targets[index].on_their_way += 1;
                Went::Off
            }
            Err(refused) => match refused.why {
                Refusal::Full => Went::Full,
                // It is down, and the event that says why is under way.
                _ => Went::Held,
            },
        }
    }

    // What happened.

    fn hear(&mut self, heard: Heard) -> Result<(), Deaf> {
        match heard {
            Heard::Found(index, found) => self.found(index, found),
            Heard::Event(at, event) => self.event(at, event),
        }
    }

    fn event(&mut self, at: Instant, event: Event) -> Result<(), Deaf> {
        let t_ns = (at + self.offset).nanos();
        let Some(peer) = event.peer() else { return self.event_of_the_socket(t_ns, &event) };
        let Some(&index) = self.by_peer.get(&peer) else { return Ok(()) };
        let target = &mut self.targets[index];
        if let Some(addr) = target.contest.addr(peer) {
            target.peer = Some(addr);
        }
        match event {
            Event::Dialing { attempt, .. } => {
                target.contest.dialing(peer, at);
                target.held_back_until = self.clock.now() + HELD_BACK;
                self.agenda.push(Reverse((target.held_back_until, Due::LetGo(index))));
                self.write(index, t_ns, Body::Dialing { attempt: attempt.get() })
            }
            Event::DialFailed { attempt, cause, .. } => {
                let took = target.contest.failed(peer, at);
                target.reason = cause.reason;
                let lack = target.peer.and_then(|addr| lack(addr, &cause));
                if let Some(lack) = lack.filter(|_| attempt.get() == 1) {
                    note(&format!("{}: {lack}", target.name));
                }
                self.write(index, t_ns, Body::dial_failed(attempt.get(), &cause, took))?;
                self.ask_next(index, self.clock.now())?;
                self.lose_held_if_down(index)
            }
            Event::Up { attempt, .. } => {
                for loser in target.contest.up(peer) {
                    self.forget(loser);
                }
                let local = Some(self.session.local_addr);
                self.write(index, t_ns, Body::Up { attempt: attempt.get(), local })?;
                self.let_go(index, self.clock.now())
            }
            Event::Echoed { seq, payload, round_trip, .. } => self.ended(index, seq, |seq| Body::Echo {
                seq,
                bytes: payload.len() as u64,
                rtt_ns: nanos(round_trip),
            }),
            Event::Lost { seq, cause, .. } => {
                let reason = self.reason_of_loss(index, &cause);
                self.ended(index, seq, |seq| Body::Lost { seq, reason })
            }
            Event::Down { cause, in_flight, silent, .. } => {
                target.contest.down(peer);
                target.reason = cause.reason;
                self.write(index, t_ns, Body::down(&cause, in_flight, silent))?;
                self.lose_held_if_down(index)
            }
            Event::GaveUp { cause, .. } => {
                target.contest.gave_up(peer);
                target.reason = cause.reason;
                self.forget(peer);
                if self.targets[index].contest.standing() != Standing::Over {
                    return self.lose_held_if_down(index);
                }
                self.lose_held(index)?;
                self.over(index, Told::Over { t_ns: self.clock.now().nanos(), end: End::GaveUp })
            }
            other => match self.body(&other) {
                Some(body) => self.write(index, t_ns, body),
                None => Ok(()),
            },
        }
    }

    /// What changes nothing here.
    fn body(&self, event: &Event) -> Option<Body> {
        let message = |seq| self.flights.find(seq).map(|message| message.seq);
        Some(match event {
            Event::Late { seq, round_trip, .. } => {
                Body::Late { seq: message(*seq)?, rtt_ns: nanos(*round_trip) }
            }
            Event::Duplicated { seq, .. } => Body::Duplicated { seq: message(*seq)? },
            Event::Suspect { unanswered, .. } => Body::Suspect { unanswered: *unanswered },
            Event::Retry { level, delay, .. } => Body::Retry { level: *level, in_ns: nanos(*delay) },
            Event::Trouble { cause, .. } => Body::trouble(cause, None, 1),
            Event::TooBig { mtu, .. } => Body::TooBig { mtu: *mtu },
            Event::WrongAddress { from, .. } => Body::WrongAddress { from: *from },
            _ => return None,
        })
    }

    fn event_of_the_socket(&mut self, t_ns: u64, event: &Event) -> Result<(), Deaf> {
        let body = match event {
            Event::Overrun { lost } => Body::Overrun { local: None, dropped: (*lost).into() },
            Event::Stalled { late } => Body::Stall { late_ns: nanos(*late) },
            Event::Failed { op, signal } => Body::trouble(&signal.cause(*op), None, 1),
            _ => return Ok(()),
        };
        self.write_about_all(t_ns, body)
    }

    /// Silence before the first answer is no response, whoever waited for it.
    fn reason_of_loss(&self, index: usize, cause: &Cause) -> Reason {
        let stands = matches!(self.targets[index].contest.standing(), Standing::Up(_));
        if cause.reason == Reason::NoEcho && !stands { Reason::NoResponse } else { cause.reason }
    }

    /// A message was echoed or lost.
    fn ended(&mut self, index: usize, seq: Seq, body: impl FnOnce(u64) -> Body) -> Result<(), Deaf> {
        let Some(Message { target, seq }) = self.flights.end(seq) else { return Ok(()) };
        if target != index || self.targets[index].life == Life::Over {
            return Ok(());
        }
        self.targets[index].on_their_way -= 1;
        let now = self.clock.now();
        self.write(index, now.nanos(), body(seq))?;
        self.after_one_has_ended(index, now)
    }

    fn after_one_has_ended(&mut self, index: usize, now: Instant) -> Result<(), Deaf> {
        if self.plan.interval.is_zero() {
            self.schedule(index, now);
        }
        self.leave_if_done(index)
    }

    /// It is known where messages go, and they have waited long enough: what waited for that is sent.
    fn let_go(&mut self, index: usize, now: Instant) -> Result<(), Deaf> {
        let target = &self.targets[index];
        let peer = match target.contest.standing() {
            Standing::Up(peer) => peer,
            Standing::Asked(peer) if target.held_back_until <= now => peer,
            _ => return Ok(()),
        };
        while let Some(seq) = self.targets[index].held.next() {
            match self.send(index, peer, seq) {
                Went::Off => {}
                Went::Full => self.lost(index, seq, Reason::WriteBlocked)?,
                Went::Held | Went::Refused => {
                    // It is down again, and the event that says why is under way.
                    self.targets[index].held.start = seq;
                    break;
                }
            }
        }
        self.leave_if_done(index)
    }

    fn lose_held_if_down(&mut self, index: usize) -> Result<(), Deaf> {
        match self.targets[index].contest.standing() {
            Standing::Down | Standing::Over => self.lose_held(index),
            Standing::Undecided | Standing::Asked(_) | Standing::Up(_) => Ok(()),
        }
    }

    fn lose_held(&mut self, index: usize) -> Result<(), Deaf> {
        let reason = self.targets[index].reason;
        let mut lost = false;
        while let Some(seq) = self.targets[index].held.next() {
            self.lost(index, seq, reason)?;
            lost = true;
        }
        if lost { self.after_one_has_ended(index, self.clock.now()) } else { Ok(()) }
    }

    fn lost(&self, index: usize, seq: u64, reason: Reason) -> Result<(), Deaf> {
        self.write(index, self.clock.now().nanos(), Body::Lost { seq, reason })
    }

    // Ends.

    fn leave_if_done(&mut self, index: usize) -> Result<(), Deaf> {
        let target = &self.targets[index];
        let all = self.plan.count.is_some_and(|count| target.next_seq >= count);
        if target.life != Life::Begun || !all || target.on_their_way > 0 || !target.held.is_empty() {
            return Ok(());
        }
        self.over(index, Told::Over { t_ns: self.clock.now().nanos(), end: End::Count })
    }

    fn fail(&mut self, index: usize, reason: Option<Reason>, exit: Exit, error: String) -> Result<(), Deaf> {
        self.over(index, Told::Failed { reason, exit, error })
    }

    fn over(&mut self, index: usize, last: Told) -> Result<(), Deaf> {
        if self.targets[index].life == Life::Over {
            return Ok(());
        }
        self.targets[index].life = Life::Over;
        self.open -= 1;
        let peers: Vec<PeerId> = self.targets[index].contest.peers().collect();
        for peer in peers {
            self.forget(peer);
        }
        (self.tell)(Some(index), last)
    }

    fn forget(&mut self, peer: PeerId) {
        self.by_peer.remove(&peer);
        self.session.ask(|client, now| client.remove(now, peer));
    }

    // What is told.

    fn write(&self, index: usize, t_ns: u64, body: Body) -> Result<(), Deaf> {
        let Target { name, peer, contest, .. } = &self.targets[index];
        let about = About { target: Some(Arc::clone(name)), peer: peer.or_else(|| contest.first()) };
        (self.tell)(Some(index), Told::Event { t_ns, about, body })
    }

    fn write_about_all(&self, t_ns: u64, body: Body) -> Result<(), Deaf> {
        (self.tell)(None, Told::Event { t_ns, about: About::default(), body })
    }
}

/// What became of a message that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    Off,
    /// It waits.
    Held,
    /// Nothing is sent between two attempts.
    Refused,
    /// There was no room for it.
    Full,
}
