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
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use resound_conformance::{ServerEvent, ServerSession};
use resound_core::datagram;
use resound_core::signal::{Op, Reason, Signal, Version};
use resound_core::stream::admission::Event;
use resound_sockets::clock::Clock;
use resound_sockets::udp::{self, bind_group};
use resound_sockets::{entropy, errno};
use serde::Serialize;

use crate::args::{Format, Serve};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, Document, End, Line, SCHEMA, Served, ServedUdp};
use crate::output::{Sink, note};
use crate::runtime::{Threads, runtime};
use crate::udp::witness::{Said, Witness};
use crate::udp::{Driven, drive};

/// How many events may wait to be written.
const BACKLOG: usize = 8_192;

/// Options of a socket, by the names that `setsockopt` knows.
type Options = Vec<(&'static str, String)>;

/// What the main thread waits for.
enum Heard {
    Event(ServerEvent),
    /// Of the UDP socket that is bound there.
    Datagrams(SocketAddr, Said),
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

    fn say_of_datagrams(&self, local: SocketAddr, said: Said) {
        if matches!(said, Said::Server(datagram::server::Event::Stopped)) {
            self.done.store(true, Ordering::SeqCst);
            return self.end(0);
        }
        if self.tell.try_send(Heard::Datagrams(local, said)).is_err() {
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
type Sessions = Arc<OnceLock<Servers>>;

#[derive(Default)]
struct Servers {
    tcp: Vec<Box<dyn ServerSession>>,
    /// One for each socket.
    udp: Vec<Driven<Witness>>,
}

impl Servers {
    /// Does what was asked for so often: the first time to drain, then to reset. To be asked again changes nothing.
    fn obey(&self, asked: u32) {
        if asked == 0 {
            return;
        }
        for session in &self.tcp {
            if asked == 1 { session.drain() } else { session.abort() }
        }
        for post in &self.udp {
            post.end(|witness, _| witness.server.stop());
        }
    }

    /// Where they listen: with what, and with which options; the sockets of a group once.
    fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr, Options)> {
        let tcp = self.tcp.iter().map(|session| ("tcp", session.local_addr(), session.socket_options()));
        let firsts = self.udp.chunk_by(|one, next| one.local_addr == next.local_addr).map(|group| &group[0]);
        tcp.chain(firsts.map(|post| ("udp", post.local_addr, post.options.clone())))
    }

    /// What all UDP sockets have done together.
    fn udp_counts(&self) -> Option<ServedUdp> {
        let mut sum = datagram::server::Counts::default();
        self.udp.iter().for_each(|post| sum += post.look(|witness| *witness.server.counts()));
        (!self.udp.is_empty()).then(|| sum.into())
    }
}

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
        sessions: Sessions::default(),
        output: Listener::There,
    };
    if let Err(error) = args.check() {
        note(&error);
        return Exit::Usage;
    }
    let sessions = Arc::clone(&server.sessions);
    let (tell, heard) = sync_channel(BACKLOG);
    // More than two: whoever asks a third time does not want to wait for the resets either.
    let interrupts = Interrupts::watch(2, {
        let tell = tell.clone();
        move |count| {
            // Here and not on the main thread: that one may be stuck in a write to a pipe that nobody reads.
            if let Some(servers) = sessions.get() {
                servers.obey(count);
            }
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
    let mut servers = Servers::default();
    let voice = || Voice { tally: server.tally.clone(), tell: tell.clone(), done: AtomicBool::new(false) };
    let begun = listen_tcp(args, &mut servers, voice).and_then(|()| listen_udp(args, &mut servers, voice));
    if let Err(error) = begun {
        return server.finish(End::Error, Exit::Local, Some(error));
    }
    let sessions = Arc::clone(&server.sessions);
    let servers = sessions.get_or_init(|| servers);
    servers.obey(interrupts.count());
    server.listens(servers);
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

fn listen_tcp(args: &Serve, servers: &mut Servers, voice: impl Fn() -> Voice) -> Result<(), String> {
    for &addr in args.tcp() {
        let voice = voice();
        let on_event = Box::new(move |event| voice.say(event));
        let session = runtime(args.runtime, Threads::Processors)
            .server(addr, args.config(), on_event)
            .map_err(|error| cannot_listen("tcp", addr, &error))?;
        servers.tcp.push(session);
    }
    Ok(())
}

/// What comes from the port of one socket must not be answered by another, so that all are bound before the first machine
/// is made.
fn listen_udp(args: &Serve, servers: &mut Servers, voice: impl Fn() -> Voice) -> Result<(), String> {
    let udp::ServerConfig { mut echo, socket, group, sizes } = args.udp_config();
    let mut bound = Vec::new();
    for &addr in args.udp() {
        let failed = |error: io::Error| cannot_listen("udp", addr, &error);
        let mut socket = socket.clone();
        // A group is joined where its IP version is served; `[::]` alone takes those of IPv4 as well.
        let own = |ip: IpAddr| addr.is_ipv4() == ip.is_ipv4();
        socket.multicast.groups.retain(|group| own(group.address) || !args.udp().iter().any(|a| a.is_ipv4()));
        for socket in bind_group(addr, &socket, group.get().into()).map_err(failed)? {
            echo.own_ports.push(socket.local_addr().map_err(failed)?.port());
            bound.push((addr, socket));
        }
    }
    for (addr, socket) in bound {
        let failed = |error: io::Error| cannot_listen("udp", addr, &error);
        let server = datagram::server::Server::new(echo.clone(), entropy::key())
            .map_err(|error| format!("these options cannot work: {error}"))?;
        let machine = Witness::new(server, args.experiments.destination());
        let (voice, local) = (voice(), socket.local_addr().map_err(failed)?);
        let on_event = move |_, said| voice.say_of_datagrams(local, said);
        let pause = args.experiments.pause_read();
        let post = drive(args.runtime, machine, socket, sizes, pause, on_event).map_err(failed)?;
        servers.udp.push(post);
    }
    Ok(())
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
    sessions: Sessions,
    output: Listener,
}

impl Serving<'_> {
    fn listens(&mut self, servers: &Servers) {
        for (transport, local, options) in servers.addresses() {
            let asked = if transport == "udp" {
                self.args.experiments.asked_of_udp()
            } else {
                self.args.config().listen.asked()
            };
            let options = against_what_was_asked(options, &asked);
            self.write(About::default(), Body::Listening { transport, local, options });
        }
    }

    /// Writes what happens until every server is done, or one of them is gone.
    fn serve(&mut self, told: &Receiver<Heard>, interrupts: &Interrupts) {
        let mut heard = 0;
        let speakers = self.sessions.get().map_or(0, |servers| servers.tcp.len() + servers.udp.len());
        loop {
            if interrupts.count() > heard {
                heard = interrupts.count();
                self.asked(heard);
            }
            let Tally { silent, vanished, .. } = *self.tally.get();
            let over = silent == speakers || vanished > 0;
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
                Heard::Datagrams(local, said) => self.datagrams(local, said),
                Heard::Wake => {}
            }
        }
    }

    fn asked(&self, times: u32) {
        let Served { accepted, ended, .. } = self.tally.get().served;
        let open = accepted.saturating_sub(ended);
        match times {
            1 if self.args.tcp().is_empty() => note("stopping"),
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
                let options = against_what_was_asked(options, &self.args.config().listen.asked());
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

    fn datagrams(&mut self, local: SocketAddr, said: Said) {
        use datagram::server::Event;
        let (peer, body) = match said {
            Said::Asked { from, to, datagrams, bytes } => {
                (Some(from), Body::Asked { local, to, datagrams, bytes })
            }
            Said::Server(Event::Ignored { why, from, count }) => {
                (Some(from), Body::Ignored { local, why: why.as_str(), count, explain: why.explain() })
            }
            Said::Server(Event::Overrun { lost }) => {
                (None, Body::Overrun { local: Some(local), dropped: lost })
            }
            Said::Server(Event::Failed { op, signal, count }) => {
                (None, Body::trouble(&signal.cause(op), Some(local), count))
            }
            Said::Server(Event::Stopped) => return,
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
        let servers = self.sessions.get();
        let udp = servers.and_then(Servers::udp_counts);
        let served = Served { udp, end: Some(end), ..self.tally.get().served };
        let listening = servers.map(|servers| servers.addresses().map(|(_, local, _)| local).collect());
        let last =
            self.line(About::default(), Body::Served { served: Box::new(served), error: error.clone() });
        let document = Document {
            schema: SCHEMA,
            command: "serve",
            version: env!("CARGO_PKG_VERSION"),
            runtime: Some(self.args.runtime.as_str()),
            duration_ns: self.clock.now().nanos(),
            end,
            exit: exit.code(),
            error,
            body: Report { listening: listening.unwrap_or_default(), summary: served },
        };
        if self.output == Listener::There {
            let wanted = document.error.is_none() || self.sink.format != Format::Text;
            let written = if wanted { self.sink.event(&last) } else { Ok(()) };
            let _ = written.and_then(|()| self.sink.document(&document));
        }
        self.sink.verdict(exit)
    }
}

/// Says where the kernel took something else than it was asked to.
fn against_what_was_asked(mut took: Options, asked: &[(&'static str, String)]) -> Options {
    for (name, value) in &mut took {
        if let Some((_, asked)) = asked.iter().find(|(asked, text)| asked == name && text != value) {
            value.push_str(&format!(" (asked for {asked})"));
        }
    }
    took
}

/// What is wrong with an address, and what to do about it.
fn cannot_listen(transport: &str, addr: SocketAddr, error: &io::Error) -> String {
    let missing = match errno::signal(error) {
        Signal::Errno(errno) => udp::missing_family(addr, errno),
        _ => None,
    };
    if missing == Some(Version::V6) {
        return format!(
            "cannot listen on {addr}: this host has no IPv6; choose an IPv4 address, 0.0.0.0 for all"
        );
    }
    let (what, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            String::from("the port is in use"),
            format!(
                "stop whoever has it (`ss -l{}np` names them), or choose another port; 0 lets the kernel choose",
                if transport == "udp" { 'u' } else { 't' }
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
            let line = cannot_listen("tcp", addr, &kind.into());
            assert!(line.contains("127.0.0.1:7") && line.contains(advice) && !line.contains('\n'), "{line}");
        }
    }
}
