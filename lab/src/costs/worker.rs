//! What is measured, in a process of its own: one client or one server on one runtime.
//!
//! It is told what to do line by line on its standard input, and answers each line with one on its standard output; it
//! ends when its standard input does, and at the latest with the thread that started it. It does nothing before the
//! first line, so that whoever measures it can begin while it still has one thread. It measures nothing of itself but
//! when its program was told what: everything else is asked of the kernel, from outside.
//!
//! | role | line | answer |
//! |---|---|---|
//! | `server RUNTIME` | `start` | the address it listens on |
//! | `client RUNTIME TIMERS ADDRESS` | `start` | `up`, once connected |
//! | | `echo COUNT WINDOW` | `done`, when so many messages have come back, so many in flight |
//! | | `round-trips` | those of the messages that had none beside them, in nanoseconds |
//! | `resets RUNTIME` | `start COUNT PAUSE` | how long each of so many resets took to be told, in nanoseconds |
//! | `silence RUNTIME` | `start MILLIS` | lateness of timers, a `;`, and of convictions, in nanoseconds |
//!
//! What goes wrong is answered with `failed: ` and why.

use core::fmt::Write as _;
use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZero;
use core::time::Duration;
use std::io::{self, BufRead as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::getppid;
use resound_conformance::on::{smol::Smol, std::Std, tokio::Tokio};
use resound_conformance::{ClientSession, Dial, EchoClient, Runtime, ServerConfig};
use resound_core::stream::client::{Command, Config, Event};
use resound_core::{backoff, liveness, race};
use rustix::process::{PTracer, set_ptracer};

use super::Configuration;
use super::process::Timers;

/// Any address that nobody else has, on loopback.
pub(super) const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The payload of every message, in bytes.
pub(super) const PAYLOAD: usize = 64;

/// Whatever takes longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// I, P and M of a client whose peer falls silent on purpose. The tolerance stays as it is by default, 100 ms.
const SILENCE: liveness::Config = liveness::Config {
    idle: Duration::from_millis(20),
    probe: Duration::from_millis(10),
    misses: 3,
    tolerance: None,
};

/// How often a client with [`Timers::Beating`] probes: at most, less up to a quarter of jitter.
const BEAT: Duration = Duration::from_millis(50);

/// Does as told until standard input ends. `args` are a role and what belongs to it: see the table above.
pub fn main(args: impl IntoIterator<Item = String>) -> ExitCode {
    match play(&args.into_iter().collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody listens any more, nobody needs to know.
            let _ = writeln!(io::stdout(), "failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// SIGKILL when the thread that started this process ends. That of a run outlives its workers.
fn die_with_the_measurer() -> io::Result<()> {
    let parent = getppid();
    set_pdeathsig(Signal::SIGKILL)?;
    // It may have ended before that was said; and if it had before it was asked for, standard input ends.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("whoever measures is gone")) }
}

fn play(args: &[String]) -> io::Result<()> {
    die_with_the_measurer()?;
    // For strace, which is no ancestor of this process (Yama, `ptrace_scope` 1). A kernel without Yama refuses, and asks
    // for nothing of the kind.
    let _ = set_ptracer(PTracer::Any);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", on] => server(&*runtime(parsed(on)?)),
        ["client", on, timers, peer] => client(&*runtime(parsed(on)?), parsed(timers)?, parsed(peer)?),
        ["resets", on] => resets(&*runtime(parsed(on)?)),
        ["silence", on] => silence(&*runtime(parsed(on)?)),
        _ => Err(io::Error::other(format!("no worker does this: {}", args.join(" ")))),
    }
}

fn parsed<T: core::str::FromStr<Err: ToString>>(word: &str) -> io::Result<T> {
    word.parse().map_err(|error: T::Err| io::Error::other(format!("{word:?}: {}", error.to_string())))
}

fn runtime(configuration: Configuration) -> Box<dyn Runtime> {
    let threads = thread::available_parallelism().map_or(2, NonZero::get).max(2);
    match configuration {
        Configuration::Std => Box::new(Std),
        Configuration::Smol => Box::new(Smol::threads(1)),
        Configuration::SmolMulti => Box::new(Smol::threads(threads)),
        Configuration::Tokio => Box::new(Tokio::current_thread()),
        Configuration::TokioMulti => Box::new(Tokio::multi_thread(threads)),
    }
}

/// The next line, in words; `None` at the end of standard input.
fn told() -> io::Result<Option<Vec<String>>> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then(|| line.split_whitespace().map(String::from).collect()))
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

// A server.

fn server(runtime: &dyn Runtime) -> io::Result<()> {
    let Some(_start) = told()? else { return Ok(()) };
    let mut config = ServerConfig::default();
    // Every connection comes from one address.
    config.admission.per_address = config.admission.connections;
    let server = runtime.server(ANY, config, Box::new(|_| {}))?;
    say(&server.local_addr().to_string())?;
    while told()?.is_some() {}
    Ok(())
}

// A client with a peer that answers.

/// What the client's program is about, on the thread that the runtime calls it on.
#[derive(Debug, Default)]
struct Work {
    /// Messages not yet sent.
    unsent: u32,
    in_flight: u32,
    window: u32,
    sent: Option<Instant>,
    round_trips: Vec<u64>,
}

impl Work {
    /// A message came back: how many to send next, so that as many as may be are in flight.
    fn next(&mut self) -> u32 {
        if let Some(sent) = self.sent.take() {
            self.round_trips.push(nanos(sent.elapsed()));
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let next = self.unsent.min(self.window.saturating_sub(self.in_flight));
        self.unsent -= next;
        self.in_flight += next;
        self.sent = (self.window == 1 && next > 0).then(Instant::now);
        next
    }
}

type Session = Arc<OnceLock<Box<dyn ClientSession>>>;

fn client(runtime: &dyn Runtime, timers: Timers, peer: SocketAddr) -> io::Result<()> {
    let Some(_start) = told()? else { return Ok(()) };
    let work = Arc::new(Mutex::new(Work::default()));
    let (tell, happened) = channel();
    let mut config = Config::default();
    if timers == Timers::Beating {
        // However slow the peer is while the machine is busy, it is not what is in question.
        config.link.liveness =
            liveness::Config { idle: BEAT, probe: BEAT, misses: u8::MAX, ..liveness::Config::default() };
    }
    let session = begin(runtime, config, peer, {
        let work = work.clone();
        move |session, event| match event {
            Event::Up { .. } => drop(tell.send(Ok(()))),
            Event::Echoed { payload, .. } => {
                let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
                for _ in 0..work.next() {
                    // Refused only after an end, which is told.
                    let _ = session.command(Command::Send(payload.clone()));
                }
                if work.in_flight == 0 {
                    let _ = tell.send(Ok(()));
                }
            }
            Event::DialFailed { cause, .. } | Event::Down { cause, .. } => {
                let _ = tell.send(Err(format!("the connection failed: {cause}")));
            }
            _ => {}
        }
    })?;
    wait(&happened)?;
    say("up")?;
    let session = session.get().ok_or_else(|| io::Error::other("the session has not begun"))?;
    while let Some(line) = told()? {
        match line.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["echo", count, window] => {
                let (count, window): (u32, u32) = (parsed(count)?, parsed(window)?);
                if count == 0 || window == 0 {
                    return Err(io::Error::other("echo wants at least one message, and one in flight"));
                }
                *work.lock().unwrap_or_else(PoisonError::into_inner) = Work {
                    unsent: count - 1,
                    in_flight: 1,
                    window,
                    sent: (window == 1).then(Instant::now),
                    round_trips: Vec::with_capacity(if window == 1 { count as usize } else { 0 }),
                };
                // The others follow when it is back, from within its event: as a program does that is told of things.
                session.command(Command::Send(vec![7; PAYLOAD].into())).map_err(io::Error::other)?;
                wait(&happened)?;
                say("done")?;
            }
            ["round-trips"] => {
                let taken = work.lock().unwrap_or_else(PoisonError::into_inner).round_trips.clone();
                say(&listed(&taken))?;
            }
            _ => return Err(io::Error::other(format!("no client does this: {}", line.join(" ")))),
        }
    }
    Ok(())
}

/// Starts a session whose program can ask it for more from within its events.
fn begin(
    runtime: &dyn Runtime,
    config: Config,
    peer: SocketAddr,
    mut program: impl FnMut(&dyn ClientSession, Event) + Send + 'static,
) -> io::Result<Session> {
    let client = EchoClient::new(config, 1, [peer]).map_err(io::Error::other)?;
    let session: Session = Arc::default();
    let begun = Arc::new(Mutex::new(()));
    let beginning = begun.lock().unwrap_or_else(PoisonError::into_inner);
    let (within, gate) = (session.clone(), begun.clone());
    let on_event = Box::new(move |_, event| {
        if within.get().is_none() {
            // The first events may come before the session has been returned to whom it is begun for.
            drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if let Some(session) = within.get() {
            program(&**session, event);
        }
    });
    let started = runtime.client(client, Dial::default(), on_event)?;
    // Nobody else sets it.
    let _ = session.set(started);
    drop(beginning);
    Ok(session)
}

fn wait(happened: &Receiver<Result<(), String>>) -> io::Result<()> {
    match happened.recv_timeout(PATIENCE) {
        Ok(result) => result.map_err(io::Error::other),
        Err(RecvTimeoutError::Timeout) => Err(io::Error::other(format!("nothing for {PATIENCE:?}"))),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the session has ended")),
    }
}

// A client whose peer resets the connection, again and again.

fn resets(runtime: &dyn Runtime) -> io::Result<()> {
    let Some(start) = told()? else { return Ok(()) };
    let [_, count, pause] = &start[..] else { return Err(io::Error::other("start COUNT PAUSE is wanted")) };
    let (count, pause): (usize, u64) = (parsed(count)?, parsed(pause)?);
    let (tell, downs) = channel();
    let listener = TcpListener::bind(ANY)?;
    let _session = begin(runtime, impatient(), listener.local_addr()?, move |_, event| match event {
        Event::Up { .. } => drop(tell.send((Instant::now(), Told::Up))),
        Event::Down { .. } => drop(tell.send((Instant::now(), Told::Down))),
        _ => {}
    })?;
    let mut took = Vec::with_capacity(count);
    while took.len() < count {
        let (stream, _) = listener.accept()?;
        till(&downs, Told::Up)?;
        // By then whoever was woken for that sleeps again.
        thread::sleep(Duration::from_millis(pause));
        setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
        let cause = Instant::now();
        drop(stream);
        took.push(nanos(till(&downs, Told::Down)?.saturating_duration_since(cause)));
    }
    say(&listed(&took))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Up,
    Down,
}

/// When the program was told this; what else it was told before is of no interest.
fn till(told: &Receiver<(Instant, Told)>, what: Told) -> io::Result<Instant> {
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok((at, which)) if which == what => return Ok(at),
            Ok(_) => {}
            Err(_) => return Err(io::Error::other(format!("not told {what:?} for {PATIENCE:?}"))),
        }
    }
}

/// The configuration of a client that dials again at once.
fn impatient() -> Config {
    let mut config = Config::default();
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(2));
    config.link.backoff = backoff::Config {
        first_window: least,
        floor: least,
        cap: most,
        stable: Duration::ZERO,
        ..backoff::Config::default()
    };
    config.link.race = race::Config { round: Duration::from_secs(5), ..race::Config::default() };
    config
}

// A client whose peer accepts and says nothing, again and again.

/// Lateness in nanoseconds.
#[derive(Debug, Default)]
struct Late {
    timers: Vec<u64>,
    convictions: Vec<u64>,
}

impl Late {
    fn is_empty(&self) -> bool {
        self.timers.is_empty() || self.convictions.is_empty()
    }
}

fn silence(runtime: &dyn Runtime) -> io::Result<()> {
    let Some(start) = told()? else { return Ok(()) };
    let [_, millis] = &start[..] else { return Err(io::Error::other("start MILLIS is wanted")) };
    let window = Duration::from_millis(parsed(millis)?);
    let listener = TcpListener::bind(ANY)?;
    let addr = listener.local_addr()?;
    thread::spawn(move || mute(&listener));
    let mut config = impatient();
    config.link.liveness = SILENCE;
    let policy = SILENCE.check().map_err(io::Error::other)?;
    let promise = policy.promise_due().ok_or_else(|| io::Error::other("the detector is off"))?;
    let late = Arc::new(Mutex::new(Late::default()));
    let session = begin(runtime, config, addr, {
        let late = late.clone();
        // Since when an answer is due, and when the timer that runs was set.
        let (mut due, mut set) = (None, None);
        move |session, event| {
            let now = Instant::now();
            let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Up { .. } => {
                    (due, set) = (Some(now), None);
                    let _ = session.command(Command::Send(vec![7; PAYLOAD].into()));
                }
                // A timer begins anew when the last one has been heeded (`liveness.rs`): lateness does not add up.
                Event::Suspect { .. } => {
                    if let Some(set) = set.replace(now) {
                        late.timers.push(nanos((now - set).saturating_sub(SILENCE.probe)));
                    }
                }
                Event::Down { .. } => {
                    if let Some(due) = due.take() {
                        late.convictions.push(nanos((now - due).saturating_sub(promise)));
                    }
                    if let Some(set) = set.take() {
                        late.timers.push(nanos((now - set).saturating_sub(SILENCE.probe)));
                    }
                }
                // Nobody is convicted for what this host has slept through, and so nothing was promised.
                Event::Stalled { .. } => (due, set) = (None, None),
                _ => {}
            }
        }
    })?;
    let began = Instant::now();
    thread::sleep(window);
    let nothing_yet = || late.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    // On a busy machine the first ones may all have been this host's own fault.
    while nothing_yet() && began.elapsed() < window + PATIENCE / 2 {
        thread::sleep(window / 10);
    }
    let late = core::mem::take(&mut *late.lock().unwrap_or_else(PoisonError::into_inner));
    say(&format!("{};{}", listed(&late.timers), listed(&late.convictions)))?;
    drop(session);
    Ok(())
}

/// Accepts, holds, and never answers.
fn mute(listener: &TcpListener) {
    let mut held: Option<TcpStream> = None;
    for stream in listener.incoming() {
        // The one before has been given up.
        drop(core::mem::replace(&mut held, stream.ok()));
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn listed(numbers: &[u64]) -> String {
    let mut list = String::with_capacity(numbers.len() * 8);
    for number in numbers {
        let _ = write!(list, "{number} ");
    }
    list
}
