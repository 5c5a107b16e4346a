//! `resound serve`: an echo server for people to talk to.
//!
//! ```text
//!   servers ──► tally (counts all) ──► [queue, bounded] ──► this thread ──► standard output
//!      ▲
//!      └── drain, reset ◄── the thread that takes signals
//! ```
//!
//! Its job is to serve, not to write. A standard output that nobody reads stops nothing: what does not fit in the queue is
//! counted and not written, and the wish to end goes past it.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use resound_conformance::{ServerEvent, ServerSession};
use resound_core::signal::{Op, Reason};
use resound_core::stream::admission::Event;
use resound_sockets::clock::Clock;
use serde::Serialize;

use crate::args::{Format, Serve};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, Document, End, Line, SCHEMA, Served};
use crate::output::{Sink, note};
use crate::runtime::{Threads, runtime};

/// How many events may wait to be written.
const BACKLOG: usize = 8_192;

/// Options of a socket, by the names that `setsockopt` knows.
type Options = Vec<(&'static str, String)>;

/// What the main thread waits for.
enum Heard {
    Event(ServerEvent),
    /// The tally or the number of signals has changed.
    Wake,
}

/// What happened at all servers together, written or not.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    served: Served,
    /// Servers that have nothing more to say.
    silent: usize,
    /// Those among them that did not say that they are done.
    vanished: usize,
    /// Events that found no place in the queue since this was last told.
    unwritten: u64,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server's way to be heard. Never waits.
struct Voice {
    tally: Shared,
    tell: SyncSender<Heard>,
    done: AtomicBool,
}

impl Voice {
    fn say(&self, event: ServerEvent) {
        // Counted before it is told: whoever finds the queue empty knows all that was in it.
        {
            let served = &mut self.tally.get().served;
            match &event {
                Event::Accepted { .. } => served.accepted += 1,
                Event::Refused { .. } => served.refused += 1,
                Event::AcceptFailed { .. } => {}
                Event::Connection { event, .. } => {
                    served.ended += 1;
                    served.received += event.received;
                    served.echoed += event.echoed;
                }
                Event::Done => {}
            }
        }
        if matches!(event, Event::Done) {
            self.done.store(true, Ordering::SeqCst);
            return self.end(0);
        }
        if self.tell.try_send(Heard::Event(event)).is_err() {
            self.tally.get().unwritten += 1;
        }
    }

    fn end(&self, vanished: usize) {
        {
            let mut tally = self.tally.get();
            tally.silent += 1;
            tally.vanished += vanished;
        }
        // A full queue has enough in it to wake the main thread.
        let _ = self.tell.try_send(Heard::Wake);
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if !self.done.load(Ordering::SeqCst) {
            self.end(1);
        }
    }
}

/// The servers, for this thread and for the one that takes signals. Empty until all of them listen.
type Sessions = Arc<OnceLock<Vec<Box<dyn ServerSession>>>>;

#[derive(Serialize)]
struct Report {
    listening: Vec<SocketAddr>,
    summary: Served,
}

pub(super) fn run(args: &Serve) -> Exit {
    let clock = Clock::start();
    let mut server = Serving {
        args,
        clock,
        sink: Sink::new(&args.output, Format::Jsonl),
        tally: Shared::default(),
        listening: Vec::new(),
        output: Listener::There,
    };
    let sessions = Sessions::default();
    let (tell, heard) = sync_channel(BACKLOG);
    // More than two: whoever asks a third time does not want to wait for the resets either.
    let interrupts = Interrupts::watch(2, {
        let (sessions, tell) = (Arc::clone(&sessions), tell.clone());
        move |count| {
            // Here and not on the main thread: that one may be stuck in a write to a pipe that nobody reads.
            obey(&sessions, count);
            // A full queue has enough in it to wake the main thread.
            let _ = tell.try_send(Heard::Wake);
        }
    });
    let interrupts = match interrupts {
        Ok(interrupts) => interrupts,
        Err(error) => {
            return server.finish(End::Error, Exit::Local, Some(format!("cannot take signals: {error}")));
        }
    };
    let mut listening = Vec::new();
    for &addr in &args.tcp {
        let voice = Voice { tally: server.tally.clone(), tell: tell.clone(), done: AtomicBool::new(false) };
        let on_event = Box::new(move |event| voice.say(event));
        match runtime(args.runtime, Threads::Processors).server(addr, args.config(), on_event) {
            Ok(session) => listening.push(session),
            Err(error) => {
                return server.finish(End::Error, Exit::Local, Some(cannot_listen(addr, &error)));
            }
        }
    }
    server.listening = listening.iter().map(|session| session.local_addr()).collect();
    let sessions = sessions.get_or_init(|| listening);
    obey_now(sessions, interrupts.count());
    server.listens(sessions);
    server.serve(&heard, &interrupts);
    let vanished = server.tally.get().vanished > 0;
    match interrupts.count() {
        _ if vanished => {
            let error = String::from("a server has ended and did not say why");
            server.finish(End::Error, Exit::Local, Some(error))
        }
        0 => server.finish(End::Error, Exit::Local, Some(String::from("the servers have ended unasked"))),
        1 => server.finish(End::Count, Exit::Good, None),
        _ => server.finish(End::Interrupted, Exit::Interrupted, None),
    }
}

/// Whether standard output takes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

struct Serving<'a> {
    args: &'a Serve,
    clock: Clock,
    sink: Sink,
    tally: Shared,
    listening: Vec<SocketAddr>,
    output: Listener,
}

impl Serving<'_> {
    fn listens(&mut self, sessions: &[Box<dyn ServerSession>]) {
        for session in sessions {
            let (local, options) =
                (session.local_addr(), self.against_what_was_asked(session.socket_options()));
            self.write(About::default(), Body::Listening { local, options });
        }
    }

    /// Writes what happens until every server is done, or one of them is gone.
    fn serve(&mut self, told: &Receiver<Heard>, interrupts: &Interrupts) {
        let mut heard = 0;
        loop {
            if interrupts.count() > heard {
                heard = interrupts.count();
                self.asked(heard);
            }
            let Tally { silent, vanished, .. } = *self.tally.get();
            let over = silent == self.listening.len() || vanished > 0;
            let next = match told.try_recv() {
                Ok(heard) => heard,
                Err(_) => {
                    // All that was queued is written; what came meanwhile found no place.
                    self.tell_of_unwritten();
                    if over {
                        return;
                    }
                    let Ok(heard) = told.recv() else { return };
                    heard
                }
            };
            match next {
                Heard::Event(event) => self.event(event),
                Heard::Wake => {}
            }
        }
    }

    /// Says where the kernel took something else than it was asked to.
    fn against_what_was_asked(&self, mut took: Options) -> Options {
        let asked = self.args.config().listen.asked();
        for (name, value) in &mut took {
            if let Some((_, asked)) = asked.iter().find(|(asked, text)| asked == name && text != value) {
                value.push_str(&format!(" (asked for {asked})"));
            }
        }
        took
    }

    fn asked(&self, times: u32) {
        let Served { accepted, ended, .. } = self.tally.get().served;
        let open = accepted.saturating_sub(ended);
        match times {
            1 => note(&format!(
                "draining: no new connections, {open} may finish within {:?}; again to reset them",
                self.args.drain_timeout
            )),
            _ => note(&format!("aborting: {open} connections are reset")),
        }
    }

    fn tell_of_unwritten(&self) {
        let unwritten = core::mem::take(&mut self.tally.get().unwritten);
        if unwritten > 0 && self.output == Listener::There {
            note(&format!("{unwritten} events were not written: standard output was not read in time"));
        }
    }

    fn event(&mut self, event: ServerEvent) {
        let (peer, body) = match event {
            Event::Accepted { peer, local, options } => {
                let options = self.against_what_was_asked(options);
                (
                    Some(peer),
                    Body::Accepted { local, destination: self.args.experiments.destination(), options },
                )
            }
            Event::Refused { peer, why } => (Some(peer), Body::Refused { why: why.to_string() }),
            Event::AcceptFailed { signal, .. } => {
                (None, Body::AcceptFailed { cause: (&signal.cause(Op::Connect)).into() })
            }
            Event::Connection { peer, event } => {
                let (received, echoed) = (event.received, event.echoed);
                (Some(peer), Body::Ended { cause: (&event.cause).into(), received, echoed })
            }
            Event::Done => return,
        };
        self.write(About { target: None, peer }, body);
    }

    fn line(&self, about: About, body: Body) -> Line {
        let t_ns = self.clock.now().nanos();
        let runtime = self.args.runtime.as_str();
        Line { schema: SCHEMA, t_ns, event: body.name(), runtime, about, body }
    }

    fn write(&mut self, about: About, body: Body) {
        let line = self.line(about, body);
        if self.output == Listener::There && self.sink.event(&line).is_err() {
            self.output = Listener::Gone;
            note("standard output takes no more; serving goes on without it");
        }
    }

    /// Says how it ended: the error on standard error too, whatever the format.
    fn finish(&mut self, end: End, exit: Exit, error: Option<String>) -> Exit {
        if let Some(error) = &error {
            note(error);
        }
        let served = Served { end: Some(end), ..self.tally.get().served };
        let last = self.line(About::default(), Body::Served { served, error: error.clone() });
        let document = Document {
            schema: SCHEMA,
            command: "serve",
            version: env!("CARGO_PKG_VERSION"),
            runtime: Some(self.args.runtime.as_str()),
            duration_ns: self.clock.now().nanos(),
            end,
            exit: exit.code(),
            error,
            body: Report { listening: self.listening.clone(), summary: served },
        };
        if self.output == Listener::There {
            let wanted = document.error.is_none() || self.sink.format != Format::Text;
            let written = if wanted { self.sink.event(&last) } else { Ok(()) };
            let _ = written.and_then(|()| self.sink.document(&document));
        }
        self.sink.verdict(exit)
    }
}

/// Does what was asked for so often: the first time to drain, then to reset. To be asked again changes nothing.
fn obey(sessions: &Sessions, asked: u32) {
    if let Some(sessions) = sessions.get() {
        obey_now(sessions, asked);
    }
}

fn obey_now(sessions: &[Box<dyn ServerSession>], asked: u32) {
    for session in sessions {
        match asked {
            0 => {}
            1 => session.drain(),
            _ => session.abort(),
        }
    }
}

/// What is wrong with an address, and what to do about it.
fn cannot_listen(addr: SocketAddr, error: &io::Error) -> String {
    let (what, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            String::from("the port is in use"),
            String::from(
                "stop whoever has it (`ss -ltnp` names them), or choose another port; 0 lets the kernel choose",
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            String::from("permission denied"),
            format!(
                "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one than {}",
                addr.port()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => (
            String::from("this host does not have that address"),
            String::from("choose one that `ip addr` lists, or 0.0.0.0 or [::] for all"),
        ),
        io::ErrorKind::InvalidInput if needs_interface(addr) => (
            String::from("a link-local address needs its interface"),
            format!("write [{}%2]:{} with the number that `ip link` lists", addr.ip(), addr.port()),
        ),
        _ => (error.to_string(), Reason::BadAddress.explain().to_string()),
    };
    format!("cannot listen on {addr}: {what}; {advice}")
}

fn needs_interface(addr: SocketAddr) -> bool {
    matches!(addr, SocketAddr::V6(addr) if addr.ip().is_unicast_link_local() && addr.scope_id() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_to_do() {
        let addr = "127.0.0.1:7".parse().unwrap();
        for (kind, advice) in [
            (io::ErrorKind::AddrInUse, "ss -ltnp"),
            (io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            (io::ErrorKind::AddrNotAvailable, "ip addr"),
        ] {
            let line = cannot_listen(addr, &kind.into());
            assert!(line.contains("127.0.0.1:7") && line.contains(advice) && !line.contains('\n'), "{line}");
        }
    }
}
