//! `resound serve`: an echo server for people to talk to.

use alloc::sync::Arc;
use core::net::SocketAddr;
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use resound_conformance::{ServerEvent, ServerSession};
use resound_core::signal::{Op, Reason};
use resound_core::stream::admission::Event;
use resound_sockets::clock::Clock;
use serde::Serialize;

use crate::args::{Format, Serve};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::event::{About, Body, Document, End, Line, SCHEMA, Served};
use crate::output::{Sink, Written, note};
use crate::runtime::{Threads, runtime};

/// What the main thread waits for.
enum Heard {
    Event(ServerEvent),
    Signal,
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
        served: Served::default(),
        listening: Vec::new(),
    };
    let sessions = Sessions::default();
    let (tell, heard) = channel();
    // More than two: whoever asks a third time does not want to wait for the resets either.
    let interrupts = Interrupts::watch(2, {
        let (sessions, tell) = (Arc::clone(&sessions), tell.clone());
        move |count| {
            // Here and not on the main thread: that one may be stuck in a write to a pipe that nobody reads.
            obey(&sessions, count);
            let _ = tell.send(Heard::Signal);
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
        let tell = tell.clone();
        // Without a bound: a pipe that nobody reads must not stop the servers.
        let on_event = Box::new(move |event| drop(tell.send(Heard::Event(event))));
        match runtime(args.runtime, Threads::Processors).server(addr, args.config(), on_event) {
            Ok(session) => listening.push(session),
            Err(error) => {
                let error = cannot_listen(addr, &error);
                note(&error);
                return server.finish(End::Error, Exit::Local, Some(error));
            }
        }
    }
    server.listening = listening.iter().map(|session| session.local_addr()).collect();
    let sessions = sessions.get_or_init(|| listening);
    obey_now(sessions, interrupts.count());
    let written = server.listens(sessions).and_then(|()| server.serve(&heard, &interrupts));
    let asked = interrupts.count();
    let (end, exit) = match asked {
        0 => (End::Error, Exit::Local),
        1 => (End::Count, Exit::Good),
        _ => (End::Interrupted, Exit::Interrupted),
    };
    if written.is_err() {
        // Nobody reads what it says any more; nobody asked it to end either.
        return server.sink.verdict(if asked == 0 { Exit::Good } else { exit });
    }
    server.finish(end, exit, None)
}

struct Serving<'a> {
    args: &'a Serve,
    clock: Clock,
    sink: Sink,
    served: Served,
    listening: Vec<SocketAddr>,
}

impl Serving<'_> {
    fn listens(&mut self, sessions: &[Box<dyn ServerSession>]) -> Written {
        for session in sessions {
            let (local, options) = (session.local_addr(), session.socket_options());
            self.write(About::default(), Body::Listening { local, options })?;
        }
        Ok(())
    }

    /// Writes what happens until every server is done.
    fn serve(&mut self, told: &Receiver<Heard>, interrupts: &Interrupts) -> Written {
        let mut left = self.listening.len();
        let mut heard = 0;
        while left > 0 {
            if interrupts.count() > heard {
                heard = interrupts.count();
                let open = self.served.accepted - self.served.ended;
                match heard {
                    1 => note(&format!(
                        "draining: no new connections, {open} may finish within {:?}; again to reset them",
                        self.args.drain_timeout
                    )),
                    _ => note(&format!("aborting: {open} connections are reset")),
                }
            }
            match told.recv() {
                Ok(Heard::Event(Event::Done)) => left -= 1,
                Ok(Heard::Event(event)) => self.event(event)?,
                Ok(Heard::Signal) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: ServerEvent) -> Written {
        let (peer, body) = match event {
            Event::Accepted { peer } => {
                self.served.accepted += 1;
                (Some(peer), Body::Accepted {})
            }
            Event::Refused { peer, why } => {
                self.served.refused += 1;
                (Some(peer), Body::Refused { why: why.to_string() })
            }
            Event::AcceptFailed { signal, .. } => {
                (None, Body::AcceptFailed { cause: (&signal.cause(Op::Connect)).into() })
            }
            Event::Connection { peer, event } => {
                self.served.ended += 1;
                self.served.received += event.received;
                self.served.echoed += event.echoed;
                let (received, echoed) = (event.received, event.echoed);
                (Some(peer), Body::Ended { cause: (&event.cause).into(), received, echoed })
            }
            Event::Done => return Ok(()),
        };
        self.write(About { target: None, peer }, body)
    }

    fn write(&mut self, about: About, body: Body) -> Written {
        let t_ns = self.clock.now().nanos();
        let runtime = self.args.runtime.as_str();
        self.sink.event(&Line { schema: SCHEMA, t_ns, event: body.name(), runtime, about, body })
    }

    fn finish(&mut self, end: End, exit: Exit, error: Option<String>) -> Exit {
        self.served.end = Some(end);
        let _ = self.write_report(end, exit, error);
        self.sink.verdict(exit)
    }

    fn write_report(&mut self, end: End, exit: Exit, error: Option<String>) -> Written {
        let served = self.served;
        if error.is_none() || self.sink.format != Format::Text {
            self.write(About::default(), Body::Served(served))?;
        }
        self.sink.document(&Document {
            schema: SCHEMA,
            command: "serve",
            version: env!("CARGO_PKG_VERSION"),
            runtime: Some(self.args.runtime.as_str()),
            duration_ns: self.clock.now().nanos(),
            end,
            exit: exit.code(),
            error,
            body: Report { listening: self.listening.clone(), summary: served },
        })
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
