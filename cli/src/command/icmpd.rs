//! `resound icmpd`: hears ICMP errors for programs that cannot.
//!
//! ```text
//!   raw sockets ──► daemon, on its own thread ──► [queue, bounded] ──► this thread ──► standard output
//!                     │        ▲
//!   clients ◄─────────┘        └── stop ◄── the thread that takes signals
//! ```
//!
//! No thread is started before the capabilities are gone: a thread keeps those that it was started with. And nobody waits
//! for standard output: what does not fit in the queue is counted and not written.

use alloc::sync::Arc;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use resound_core::Instant;
use resound_core::signal::Version;
use resound_icmpd::daemon::Daemon;
use resound_icmpd::listener::Listener;
use resound_icmpd::privilege::give_up;
use resound_icmpd::protocol::{Event, Icmp, Line, Place, Who};
use resound_icmpd::sources::Sources;
use resound_sockets::poll::Waker;

use crate::args::{Format, Icmpd};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::text::{BAD, BOLD, DIM, GOOD, WARN};
use crate::output::{Sink, note};

/// How many lines may wait to be written.
const BACKLOG: usize = 8_192;

pub(super) fn run(args: &Icmpd) -> Exit {
    let mut sink = Sink::new(&args.output, Format::Jsonl);
    let daemon = match start(args) {
        Ok(daemon) => daemon,
        Err(error) => return failed(&mut sink, error),
    };
    let stop = match Waker::new() {
        Ok(stop) => Arc::new(stop),
        Err(error) => return failed(&mut sink, error.to_string()),
    };
    let wake = Arc::clone(&stop);
    let interrupts = match Interrupts::watch(1, move |_| wake.wake()) {
        Ok(interrupts) => interrupts,
        Err(error) => return failed(&mut sink, format!("cannot take signals: {error}")),
    };
    let (tell, told) = sync_channel(BACKLOG);
    let voice = Voice { tell, unwritten: Arc::default() };
    let unwritten = Arc::clone(&voice.unwritten);
    let running = thread::Builder::new().name("icmpd".into()).spawn(move || attend(daemon, &stop, &voice));
    if let Err(error) = running {
        return failed(&mut sink, format!("cannot start a thread: {error}"));
    }
    write(&mut sink, &told);
    let unwritten = unwritten.load(Ordering::SeqCst);
    if unwritten > 0 {
        note(&format!("{unwritten} events were not written: standard output was not read in time"));
    }
    sink.verdict(if interrupts.count() > 0 { Exit::Good } else { Exit::Local })
}

/// Opens what needs a privilege, gives up all privileges, and opens the rest.
fn start(args: &Icmpd) -> Result<Daemon, String> {
    let sources = Sources::open().map_err(|error| error.to_string())?;
    if let Some((version, error)) = sources.missing() {
        let name = if version == Version::V4 { "IPv4" } else { "IPv6" };
        note(&format!("this machine has no {name} ({error}); errors of the other IP version are heard"));
    }
    let identity = args.identity();
    give_up(&identity).map_err(|error| error.to_string())?;
    let listener = Listener::bind(&args.socket(), &identity.access()).map_err(|error| error.to_string())?;
    Daemon::start(sources, listener, args.limits()).map_err(|error| {
        format!("cannot read /proc/self/net/udp, which says whose sockets they are: {error}")
    })
}

fn failed(sink: &mut Sink, error: String) -> Exit {
    note(&error);
    let line = Line::new(Instant::EPOCH, Event::failed(error));
    if sink.format == Format::Jsonl {
        // What the sink could not write it tells with its verdict.
        let _ = sink.jsonl(&line);
    }
    sink.verdict(Exit::Local)
}

/// The daemon's way to be heard. Waits only with its last line.
struct Voice {
    tell: SyncSender<Line>,
    unwritten: Arc<AtomicU64>,
}

impl Voice {
    fn say(&self, line: Line) {
        if matches!(line.event, Event::Watched { .. }) {
            // The other end is gone only with the process.
            let _ = self.tell.send(line);
        } else if self.tell.try_send(line).is_err() {
            self.unwritten.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn attend(mut daemon: Daemon, stop: &Waker, voice: &Voice) {
    // An error is in its last line.
    let _ = daemon.run(stop, |line| voice.say(line));
}

/// Writes what happens until the daemon has ended.
fn write(sink: &mut Sink, told: &Receiver<Line>) {
    let mut gone = false;
    for line in told {
        if let Event::Watched { error: Some(error), .. } = &line.event {
            note(error);
        }
        if gone {
            continue;
        }
        let written = match sink.format {
            Format::Jsonl => sink.jsonl(&line),
            Format::Text => text(&line, sink.verbose).map_or(Ok(()), |text| sink.text(&text)),
            _ => Ok(()),
        };
        if written.is_err() {
            gone = true;
            note("standard output takes no more; the daemon goes on without it");
        }
    }
}

/// The line for people; `None` for one that is only of interest to those who asked for more.
fn text(line: &Line, verbose: bool) -> Option<String> {
    let who = line.client.map(|Who { pid, uid }| format!("uid {uid} (pid {pid})")).unwrap_or_default();
    Some(match &line.event {
        Event::Ready { socket, hears } => {
            let names = hears.iter().map(|&v| if v == 4 { "ICMP" } else { "ICMPv6" }).collect::<Vec<_>>();
            format!("{GOOD}listening{GOOD:#} at {BOLD}{socket}{BOLD:#}, hears {}\n", names.join(" and "))
        }
        Event::Registered { sockets, .. } => {
            let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
            format!("{who}  is told of {}\n", sockets.join(", "))
        }
        Event::NotRegistered { why } => format!("{who}  {WARN}refused{WARN:#}: {why}\n"),
        Event::Icmp(icmp) => self::icmp(icmp),
        Event::Dropped { count, at: Place::Client } => {
            format!("{who}  {WARN}missed{WARN:#} {count} lines: it did not read them in time\n")
        }
        Event::Dropped { count, at: Place::Daemon } => {
            format!("{WARN}missed{WARN:#} {count} messages: they came faster than they could be read\n")
        }
        Event::Deregistered { why, .. } if verbose => format!("{who}  registration ended: {why}\n"),
        Event::Watched {
            told,
            unclaimed,
            withheld,
            malformed,
            dropped,
            overflowed,
            clients,
            refused,
            ..
        } => {
            format!(
                "\n{clients} clients, {refused} refusals; {told} errors told, {unclaimed} unclaimed, {withheld} withheld, \
                 {malformed} malformed; {dropped} lines dropped, {overflowed} messages lost\n"
            )
        }
        _ => return None,
    })
}

fn icmp(icmp: &Icmp) -> String {
    let Icmp { peer, local, reason, origin, icmp: message, explain, .. } = icmp;
    let name = if message.v == 4 { "ICMP" } else { "ICMPv6" };
    let by = message.offender.map(|offender| format!(" {offender}")).unwrap_or_default();
    let mut said =
        format!("{peer}  {BAD}{reason}{BAD:#} ({origin}{by}, {name} {}/{}", message.r#type, message.code);
    if let Some(mtu) = message.mtu {
        let _ = write!(said, ", MTU {mtu}");
    }
    let _ = writeln!(said, "), sent from {local}\n    {DIM}{explain}{DIM:#}");
    said
}
