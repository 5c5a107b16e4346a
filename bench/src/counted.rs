//! What can be counted exactly, on any machine however noisy: system calls, instructions, bytes.

use core::time::Duration;
use std::io;

use crate::child::{Child, Perf, Place, instructions_of};
use crate::load::{self, Crowd, Stop, WINDOW};

/// What one server does for one message, and holds for one connection.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) server: &'static str,
    /// System calls per message: one connection, 50 of them, 64 in flight.
    pub(crate) calls: Option<[Calls; 3]>,
    /// Instructions in user space per message: one connection, and with 64 in flight.
    pub(crate) instructions: Option<[f64; 2]>,
    pub(crate) idle: Idle,
}

/// System calls.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) per_message: f64,
    /// The most frequent, with how many there were of each per message.
    pub(crate) by_name: Vec<(&'static str, f64)>,
}

impl Calls {
    pub(crate) fn of(all: u64, by_name: Vec<(&'static str, u64)>, messages: f64) -> Self {
        let by_name = by_name.into_iter().map(|(name, count)| (name, count as f64 / messages)).collect();
        Self { per_message: all as f64 / messages, by_name }
    }
}

/// What a connection costs that has exchanged one message and now does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// Bytes allocated.
    pub(crate) heap: f64,
    /// Bytes resident.
    pub(crate) resident: f64,
    pub(crate) threads: f64,
}

/// Counts everything of one server.
pub(crate) fn count(server: &'static str, messages: usize) -> io::Result<Counted> {
    Ok(Counted {
        server,
        calls: told("system calls", calls(server, messages)),
        instructions: told("instructions", instructions(server, messages)),
        idle: idle(server, 1_000)?,
    })
}

/// What cannot be counted for want of a tool is left out, and says so.
fn told<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result.inspect_err(|e| eprintln!("no count of {what}: {e}")).ok()
}

fn calls(server: &str, messages: usize) -> io::Result<[Calls; 3]> {
    let child = Child::start(server, Place::TwoCores)?;
    let mut stream = load::connect(child.addr())?;
    load::ping_pong(&mut stream, Stop::Messages(100))?;
    let single = traced(&child, || Ok(load::ping_pong(&mut stream, Stop::Messages(messages))?.len()))?;
    let flying =
        traced(&child, || Ok(load::pipelined(&mut stream, Stop::Messages(messages * WINDOW))?.amount))?;
    let mut crowd = Crowd::connect(child.addr(), 50)?;
    crowd.run(Stop::Messages(500))?;
    let crowded = traced(&child, || Ok(crowd.run(Stop::Messages(messages * 10))?.amount))?;
    Ok([single, crowded, flying])
}

fn traced(child: &Child, load: impl FnOnce() -> io::Result<usize>) -> io::Result<Calls> {
    let perf = Perf::attach(child.id())?;
    let amount = load();
    let (all, by_name) = perf.detach()?;
    Ok(Calls::of(all, by_name, amount? as f64))
}

/// The difference between a long and a short run: what is not per message falls out.
fn instructions(server: &str, messages: usize) -> io::Result<[f64; 2]> {
    let per_message = |window: usize| -> io::Result<f64> {
        let (bursts, more) = (messages / 10, messages);
        let extra = life(server, more, window)? - life(server, bursts, window)?;
        Ok(extra as f64 / ((more - bursts) * window) as f64)
    };
    Ok([per_message(1)?, per_message(WINDOW)?])
}

/// The instructions of a server's whole life. Under callgrind it is so slow that a fast client would have it find the
/// next message before it waits; this one leaves it time to fall asleep.
fn life(server: &str, bursts: usize, window: usize) -> io::Result<i64> {
    let child = Child::start_counted(server)?;
    let mut stream = load::connect(child.addr())?;
    for _ in 0..bursts {
        load::burst(&mut stream, window)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(stream);
    child.instructions()
}

/// Memory for each of `count` connections, counted from when one has come and gone.
fn idle(server: &str, count: usize) -> io::Result<Idle> {
    let mut child = Child::start(server, Place::TwoCores)?;
    Crowd::connect(child.addr(), 10)?.run(Stop::Messages(100))?;
    std::thread::sleep(Duration::from_millis(100));
    let before = (child.heap()?, child.resident()?, child.threads()?);
    let mut crowd = Crowd::connect(child.addr(), count)?;
    crowd.run(Stop::Messages(1))?;
    std::thread::sleep(Duration::from_millis(200));
    let after = (child.heap()?, child.resident()?, child.threads()?);
    let each = |before: i64, after: i64| (after - before) as f64 / count as f64;
    Ok(Idle {
        heap: each(before.0, after.0),
        resident: each(before.1, after.1),
        threads: each(before.2, after.2),
    })
}

/// Instructions of the core itself, by what it does.
pub(crate) fn core() -> io::Result<Vec<(&'static str, f64)>> {
    let (few, many) = (1_000, 11_000);
    let each = |what| -> io::Result<f64> {
        let count = |times: u32| instructions_of(&["count", what, &times.to_string()]);
        let more = count(many)? - count(few)?;
        Ok(more as f64 / f64::from(many - few))
    };
    crate::CORE.iter().map(|work| Ok((work.name, each(work.name)? / work.each))).collect()
}
