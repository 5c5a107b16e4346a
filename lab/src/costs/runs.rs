//! The runs: what one of them does, and the figures that come of it.
//!
//! Each is a fresh process. A client's share of what is asked of it (lines on its standard input, the thread that reads
//! them) is measured alone, with one message, and taken off: what is left is the messages.

use core::time::Duration;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Instant;

use super::calls::{Calls, Counting};
use super::plain::{Load, Peer};
use super::process::{Timers, Used, Worker};
use super::statistics::percentile;
use super::worker::PATIENCE;
use super::{Config, Configuration, Metric};

/// How many are in flight where many are.
const WINDOW: u32 = 64;

/// Messages before anything is measured.
const WARM_UP: u32 = 50;

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Yield {
    pub(super) figures: Vec<(Metric, f64)>,
    /// Each single one, in nanoseconds.
    pub(super) times: Vec<(Metric, Vec<u64>)>,
}

impl Yield {
    fn figure(&mut self, metric: Metric, value: f64) {
        self.figures.push((metric, value));
    }

    /// Each of some times; their median is a figure.
    fn times(&mut self, metric: Metric, mut times: Vec<u64>) {
        times.sort_unstable();
        if let Some(median) = percentile(&times, 50) {
            self.figure(metric, median as f64);
        }
        self.times.push((metric, times));
    }
}

/// One kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// A client with messages, while its system calls are counted.
    ClientCalls,
    /// A server.
    ServerCalls,
    /// A client with messages, while nothing is counted but by the kernel anyway.
    Client,
    /// A server; then many idle connections.
    Server,
    /// A client whose connection is reset, and one whose peer falls silent.
    Faults,
    /// A client and a server that have nothing to do, and a client with a heartbeat.
    Idle,
}

impl Run {
    /// Those that use the machine as much as they can: only one at a time.
    pub(super) const BUSY: [Self; 4] = [Self::ClientCalls, Self::ServerCalls, Self::Client, Self::Server];

    /// The metrics that it yields.
    pub(super) const fn metrics(self) -> &'static [Metric] {
        use Metric as M;
        match self {
            Self::ClientCalls => &[M::ClientCallsSingle, M::ClientCallsMany],
            Self::ServerCalls => &[M::ServerCallsSingle, M::ServerCallsMany],
            Self::Client => &[
                M::ClientSwitchesSingle,
                M::ClientSwitchesMany,
                M::ClientThreads,
                M::ClientCpuSingle,
                M::ClientCpuMany,
                M::ClientRoundTrip,
            ],
            Self::Server => &[
                M::ServerSwitchesSingle,
                M::ServerSwitchesMany,
                M::ServerThreadsSingle,
                M::ServerThreadsMany,
                M::ServerMemory,
                M::ServerCpuSingle,
                M::ServerCpuMany,
                M::ServerRoundTrip,
            ],
            Self::Faults => &[M::ClientReset, M::ClientTimer, M::ClientSilence],
            Self::Idle => &[M::ClientWakesIdle, M::ClientWakesBeat, M::ClientCpuBeat, M::ServerWakesIdle],
        }
    }

    /// Does it.
    pub(super) fn play(self, stage: &Stage<'_>, on: Configuration) -> io::Result<Yield> {
        match self {
            Self::ClientCalls => stage.client_calls(on),
            Self::ServerCalls => stage.server_calls(on),
            Self::Client => stage.client(on),
            Self::Server => stage.server(on),
            Self::Faults => stage.faults(on),
            Self::Idle => stage.idle(on),
        }
    }
}

/// What the runs have in common.
pub(super) struct Stage<'a> {
    pub(super) config: &'a Config,
    pub(super) counting: &'a Counting,
    pub(super) launch: &'a (dyn Fn() -> Command + Sync),
}

impl Stage<'_> {
    fn worker(&self, role: &[&str]) -> io::Result<Worker> {
        Worker::spawn(&mut (self.launch)(), role)
    }

    fn client_worker(&self, on: Configuration, timers: Timers, peer: &Peer) -> io::Result<Worker> {
        self.worker(&["client", on.as_str(), &timers.to_string(), &peer.addr().to_string()])
    }

    // System calls.

    fn client_calls(&self, on: Configuration) -> io::Result<Yield> {
        let peer = Peer::start()?;
        let mut worker = self.client_worker(on, Timers::Shipped, &peer)?;
        let mut calls = Calls::attach(self.counting, &worker)?;
        worker.ask("start")?;
        echo(&mut worker, WARM_UP, 1)?;
        let mut each = |messages: u32, window: u32| -> io::Result<f64> {
            let asked = calls.during(|| echo(&mut worker, 1, window))?;
            let all = calls.during(|| echo(&mut worker, 1 + messages, window))?;
            Ok(all.saturating_sub(asked) as f64 / f64::from(messages))
        };
        let mut came = Yield::default();
        came.figure(Metric::ClientCallsSingle, each(self.config.counted, 1)?);
        came.figure(Metric::ClientCallsMany, each(self.config.counted * 8, WINDOW)?);
        Ok(came)
    }

    fn server_calls(&self, on: Configuration) -> io::Result<Yield> {
        let mut worker = self.worker(&["server", on.as_str()])?;
        let mut calls = Calls::attach(self.counting, &worker)?;
        let mut load = Load::connect(worker.ask_address("start")?)?;
        load.single(WARM_UP)?;
        let (single, many) = (self.config.counted, self.config.counted * 8);
        let mut came = Yield::default();
        let counted = calls.during(|| load.single(single).map(drop))?;
        came.figure(Metric::ServerCallsSingle, counted as f64 / f64::from(single));
        let counted = calls.during(|| load.many(many, WINDOW))?;
        came.figure(Metric::ServerCallsMany, counted as f64 / f64::from(many));
        Ok(came)
    }

    // Time on a processor, context switches, memory, threads, round trips.

    fn client(&self, on: Configuration) -> io::Result<Yield> {
        let peer = Peer::start()?;
        let mut worker = self.client_worker(on, Timers::Shipped, &peer)?;
        worker.ask("start")?;
        echo(&mut worker, WARM_UP, 1)?;
        let mut came = Yield::default();
        // The worker's own thread, which reads what it is told, is not the runtime's.
        came.figure(Metric::ClientThreads, worker.threads()?.saturating_sub(1) as f64);
        let Config { single, many, .. } = *self.config;
        let asked = used(&mut worker, |worker| echo(worker, 1, 1))?;
        let used_single = used(&mut worker, |worker| echo(worker, 1 + single, 1))?;
        let times = worker.ask("round-trips")?;
        let used_many = used(&mut worker, |worker| echo(worker, 1 + many, WINDOW))?;
        let one = each(used_single.since(asked), single);
        came.figure(Metric::ClientSwitchesSingle, one.0);
        came.figure(Metric::ClientCpuSingle, one.1);
        let one = each(used_many.since(asked), many);
        came.figure(Metric::ClientSwitchesMany, one.0);
        came.figure(Metric::ClientCpuMany, one.1);
        came.times(Metric::ClientRoundTrip, numbers(&times)?);
        Ok(came)
    }

    fn server(&self, on: Configuration) -> io::Result<Yield> {
        let mut worker = self.worker(&["server", on.as_str()])?;
        let addr = worker.ask_address("start")?;
        let mut load = Load::connect(addr)?;
        load.single(WARM_UP)?;
        let mut came = Yield::default();
        came.figure(Metric::ServerThreadsSingle, worker.threads()?.saturating_sub(1) as f64);
        let Config { single, many, connections, .. } = *self.config;
        let mut took = Vec::new();
        let one = each(used(&mut worker, |_| load.single(single).map(|all| took = all))?, single);
        came.figure(Metric::ServerSwitchesSingle, one.0);
        came.figure(Metric::ServerCpuSingle, one.1);
        let one = each(used(&mut worker, |_| load.many(many, WINDOW))?, many);
        came.figure(Metric::ServerSwitchesMany, one.0);
        came.figure(Metric::ServerCpuMany, one.1);
        let took = took.into_iter().map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).collect();
        came.times(Metric::ServerRoundTrip, took);
        let before = worker.memory()?;
        let mut crowd = Vec::new();
        for _ in 0..connections {
            let mut one = Load::connect(addr)?;
            one.single(1)?;
            crowd.push(one);
        }
        let more = worker.memory()?.saturating_sub(before);
        came.figure(Metric::ServerMemory, more as f64 / f64::from(connections));
        came.figure(Metric::ServerThreadsMany, worker.threads()?.saturating_sub(1) as f64);
        Ok(came)
    }

    // What waits.

    fn faults(&self, on: Configuration) -> io::Result<Yield> {
        let mut came = Yield::default();
        let Config { resets, pause, silence, .. } = *self.config;
        let mut worker = self.worker(&["resets", on.as_str()])?;
        let took = worker.ask(&format!("start {resets} {}", pause.as_millis()))?;
        came.times(Metric::ClientReset, numbers(&took)?);
        drop(worker);
        let mut worker = self.worker(&["silence", on.as_str()])?;
        let late = worker.ask(&format!("start {}", silence.as_millis()))?;
        let (timers, convictions) = late.split_once(';').unwrap_or((&late, ""));
        came.times(Metric::ClientTimer, numbers(timers)?);
        came.times(Metric::ClientSilence, numbers(convictions)?);
        Ok(came)
    }

    fn idle(&self, on: Configuration) -> io::Result<Yield> {
        let (quiet_peer, beating_peer) = (Peer::start()?, Peer::start()?);
        let mut quiet = self.client_worker(on, Timers::Shipped, &quiet_peer)?;
        let mut beating = self.client_worker(on, Timers::Beating, &beating_peer)?;
        let mut server = self.worker(&["server", on.as_str()])?;
        quiet.ask("start")?;
        beating.ask("start")?;
        let mut load = Load::connect(server.ask_address("start")?)?;
        for client in [&mut quiet, &mut beating] {
            echo(client, WARM_UP, 1)?;
        }
        load.single(WARM_UP)?;
        // What was begun is over by then.
        thread::sleep(Duration::from_millis(100));
        let all = [&quiet, &beating, &server];
        let before = [all[0].used()?, all[1].used()?, all[2].used()?];
        let (beats, began) = (beating_peer.chunks(), Instant::now());
        thread::sleep(self.config.idle);
        // On a busy machine a heartbeat may be late.
        while beating_peer.chunks() == beats && began.elapsed() < self.config.idle + PATIENCE / 2 {
            thread::sleep(self.config.idle / 10);
        }
        let (beats, seconds) = (beating_peer.chunks() - beats, began.elapsed().as_secs_f64());
        let [quiet, beating, server] = [0, 1, 2].map(|i| all[i].used().map(|used| used.since(before[i])));
        let mut came = Yield::default();
        came.figure(Metric::ClientWakesIdle, quiet?.wakes as f64 / seconds);
        came.figure(Metric::ServerWakesIdle, server?.wakes as f64 / seconds);
        let Some(beats) = u32::try_from(beats).ok().filter(|&beats| beats > 0) else {
            return Err(io::Error::other("a client that was to have a heartbeat had none"));
        };
        let beating = beating?;
        came.figure(Metric::ClientWakesBeat, beating.wakes as f64 / f64::from(beats));
        came.figure(Metric::ClientCpuBeat, each(beating, beats).1);
        Ok(came)
    }
}

fn echo(worker: &mut Worker, messages: u32, window: u32) -> io::Result<()> {
    worker.ask(&format!("echo {messages} {window}")).map(drop)
}

/// What a worker uses while `work` is done.
fn used(worker: &mut Worker, work: impl FnOnce(&mut Worker) -> io::Result<()>) -> io::Result<Used> {
    let before = worker.used()?;
    work(worker)?;
    Ok(worker.used()?.since(before))
}

/// Context switches and nanoseconds on a processor, for one of `count`.
fn each(used: Used, count: u32) -> (f64, f64) {
    let count = f64::from(count);
    (used.switches as f64 / count, used.cpu.as_nanos() as f64 / count)
}

fn numbers(list: &str) -> io::Result<Vec<u64>> {
    let parsed: Result<Vec<u64>, _> = list.split_whitespace().map(str::parse).collect();
    parsed.map_err(|error| io::Error::other(format!("a worker said what is not a number: {error}")))
}
