//! The protocol of the guide, on every adapter and in the loop of the guide, against a small server on a thread.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use resound_core::signal::{Cause, Reason};
use resound_core::stream::Machine as _;
use resound_core::{backoff, link, liveness};
use resound_examples::mio_loop::{Loop, Told};
use resound_examples::own_protocol::{Asker, Command, Event};
use resound_sockets::tcp::DialOptions;

const PATIENCE: Duration = Duration::from_secs(30);

type Machine = Asker<SocketAddr>;

/// A session that somebody drives.
struct Running {
    ask: Box<dyn Fn(Command) -> Result<(), Command>>,
    events: Receiver<Event>,
}

impl Running {
    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("nothing happened")
    }

    fn ask(&self, line: &str) {
        (self.ask)(Command::Ask(line.into())).expect("it was refused");
    }

    /// Asks, and expects this answer as the next event.
    fn answers(&self, asked: &str, answer: &str) {
        self.ask(asked);
        assert_eq!(self.next(), Event::Answer { asked: asked.into(), answer: answer.into() });
    }

    fn lost(&self, asked: &str) {
        assert_eq!(self.next(), Event::Lost { asked: asked.into() });
    }

    fn goes_down(&self) -> Cause {
        match self.next() {
            Event::Down(cause) => cause,
            other => panic!("not down, but {other:?}"),
        }
    }
}

/// Answers lines, on one connection after the other, and counts the pings.
fn server() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, pings) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&pings);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let count = Arc::clone(&count);
            thread::spawn(move || answer(&stream.unwrap(), &count));
        }
    });
    (addr, pings)
}

/// `die` ends the connection, `keep` is not answered, `hush` is the last line that is.
fn answer(mut stream: &TcpStream, pings: &AtomicU32) {
    let mut hushed = false;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let answer = match line.as_str() {
            "die" => return,
            "keep" => continue,
            "PING" => String::from("+PONG"),
            other => other.to_uppercase(),
        };
        if !hushed && stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
            return;
        }
        pings.fetch_add(u32::from(line == "PING"), Ordering::Relaxed);
        hushed |= line == "hush";
    }
}

/// Convicts a silent server after two to four seconds.
fn config() -> link::Config {
    let second = Duration::from_secs(1);
    let backoff = backoff::Config {
        first_window: Duration::from_millis(50),
        floor: Duration::from_millis(10),
        cap: Duration::from_millis(200),
        ..backoff::Config::default()
    };
    let liveness = liveness::Config { idle: second, probe: second, misses: 2, ..liveness::Config::default() };
    link::Config { backoff, liveness, ..link::Config::default() }
}

fn behaves(run: impl FnOnce(Machine) -> Running) {
    let (addr, pings) = server();
    let session = run(Asker::new(config(), 1, addr).unwrap());

    assert_eq!(session.next(), Event::Up);
    session.answers("hello", "HELLO");
    session.answers("PING", "+PONG");

    // The server dies: what was asked and not answered is lost, once, in order.
    session.ask("keep");
    session.ask("die");
    assert_eq!(session.goes_down().reason, Reason::ClosedEarly);
    session.lost("keep");
    session.lost("die");

    // It is back.
    assert_eq!(session.next(), Event::Up);
    session.answers("again", "AGAIN");

    // It goes silent, and nobody asks: the probes find out.
    session.answers("hush", "HUSH");
    let before = pings.load(Ordering::Relaxed);
    let reason = session.goes_down().reason;
    assert!(matches!(reason, Reason::PeerStalled | Reason::NoEcho), "{reason:?}");
    assert!(pings.load(Ordering::Relaxed) > before, "it was convicted without a probe");

    // A new connection is not silent; that probes are answered is nobody's event.
    assert_eq!(session.next(), Event::Up);
    let before = pings.load(Ordering::Relaxed);
    assert_eq!(session.events.recv_timeout(Duration::from_millis(2_500)).ok(), None);
    assert!(pings.load(Ordering::Relaxed) > before, "an idle server was not probed");
    session.answers("still there?", "STILL THERE?");

    (session.ask)(Command::Close).unwrap();
    assert_eq!(session.next(), Event::Ended);
    assert!((session.ask)(Command::Ask("too late".into())).is_err());
}

#[test]
fn on_std() {
    behaves(|machine| {
        let mut session = resound_std::Session::new(machine, DialOptions::default()).unwrap();
        let (handle, (tell, events)) = (session.handle(), channel());
        thread::spawn(move || session.run_with(|event| drop(tell.send(event))));
        Running { ask: Box::new(move |command| handle.command(command)), events }
    });
}

#[test]
fn on_tokio() {
    behaves(|machine| {
        let session = resound_tokio::Session::new(machine, resound_tokio::Setup::default());
        let (handle, (tell, events)) = (session.handle(), channel());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.unwrap();
        thread::spawn(move || runtime.block_on(session.run_with(|event| drop(tell.send(event)))));
        Running { ask: Box::new(move |command| handle.command(command)), events }
    });
}

#[test]
fn on_smol() {
    behaves(|machine| {
        let session = resound_smol::Session::new(machine, resound_smol::Setup::default());
        let (handle, (tell, events)) = (session.handle(), channel());
        let driving = session.run_with(move |event| drop(tell.send(event)));
        thread::spawn(|| futures_lite::future::block_on(driving));
        Running { ask: Box::new(move |command| handle.command(command)), events }
    });
}

#[test]
fn in_the_loop_of_the_guide() {
    behaves(|machine| {
        let mut cx = Loop::new(DialOptions::default()).unwrap();
        let (key, waker) = (cx.add(machine), cx.waker().unwrap());
        let (tell, events) = channel();
        let (ask, asked) = channel::<(Command, Sender<Result<(), Command>>)>();
        thread::spawn(move || {
            let answer = |cx: &mut Loop<Machine>, (command, reply): (_, Sender<_>)| {
                let now = cx.clock().now();
                let _ = reply.send(cx.machine(key).unwrap().command(now, command));
            };
            while let Some(told) = cx.next_event().unwrap() {
                match told {
                    Told::Machine(_, event) => drop(tell.send(event)),
                    Told::Woken => asked.try_iter().for_each(|asked| answer(&mut cx, asked)),
                    Told::Server(_) => unreachable!("there is no server"),
                }
            }
            asked.iter().for_each(|asked| answer(&mut cx, asked));
        });
        let ask = move |command| {
            let (reply, answer) = channel();
            ask.send((command, reply)).unwrap();
            waker.wake().unwrap();
            answer.recv().unwrap()
        };
        Running { ask: Box::new(ask), events }
    });
}
