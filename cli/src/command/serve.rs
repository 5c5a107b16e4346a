//! `resound serve`: an echo server for people to talk to.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

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

/// How often a thread that waits for its server looks whether it is asked to end.
const SLICE: Duration = Duration::from_millis(100);
/// How many events may wait to be written.
const BACKLOG: usize = 4_096;

/// What the servers are asked to do; it only ever grows.
#[derive(Debug, Default)]
struct Wish(AtomicU8);

const DRAIN: u8 = 1;
const ABORT: u8 = 2;

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
    let mut sessions = Vec::new();
    for &addr in &args.tcp {
        match runtime(args.runtime, Threads::Processors).server(addr, args.config()) {
            Ok(session) => sessions.push(session),
            Err(error) => {
                let error = cannot_listen(addr, &error);
                note(&error);
                return server.finish(End::Error, Exit::Local, Some(error));
            }
        }
    }
    // More than two: whoever asks a third time does not want to wait for the resets either.
    let interrupts = match Interrupts::watch(2, || {}) {
        Ok(interrupts) => interrupts,
        Err(error) => {
            return server.finish(End::Error, Exit::Local, Some(format!("cannot take signals: {error}")));
        }
    };
    server.listening = sessions.iter().map(|session| session.local_addr()).collect();
    let written = server.listens();
    let wish = Arc::new(Wish::default());
    let told = follow(sessions, &wish);
    let written = written.and_then(|()| server.serve(&told, &interrupts, &wish));
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
    fn listens(&mut self) -> Written {
        for local in self.listening.clone() {
            self.write(About::default(), Body::Listening { local })?;
        }
        Ok(())
    }

    /// Writes what happens until every server is done.
    fn serve(&mut self, told: &Receiver<ServerEvent>, interrupts: &Interrupts, wish: &Wish) -> Written {
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
                wish.0.store(if heard == 1 { DRAIN } else { ABORT }, Ordering::SeqCst);
            }
            match told.recv_timeout(SLICE) {
                Ok(Event::Done) => left -= 1,
                Ok(event) => self.event(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
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

/// One thread for each server: it passes on what the server tells, and what it is asked to do.
fn follow(sessions: Vec<Box<dyn ServerSession>>, wish: &Arc<Wish>) -> Receiver<ServerEvent> {
    let (tell, told) = sync_channel(BACKLOG);
    for session in sessions {
        let (wish, tell) = (Arc::clone(wish), tell.clone());
        // Without a thread the channel ends early, and so does the command.
        let _ = thread::Builder::new().name("serve".into()).spawn(move || follow_one(session, &wish, &tell));
    }
    told
}

fn follow_one(mut session: Box<dyn ServerSession>, wish: &Wish, tell: &SyncSender<ServerEvent>) {
    let mut done_so_far = 0;
    loop {
        let wanted = wish.0.load(Ordering::SeqCst);
        if wanted > done_so_far {
            done_so_far = wanted;
            if wanted == DRAIN { session.drain() } else { session.abort() }
        }
        let Some(event) = session.next_event(SLICE) else { continue };
        let done = matches!(event, Event::Done);
        if tell.send(event).is_err() || done {
            return;
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
        _ => (error.to_string(), Reason::BadAddress.explain().to_string()),
    };
    format!("cannot listen on {addr}: {what}; {advice}")
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
