//! UDP: a fleet of peers in simulated time, our servers beside loops of `recv_from` and `send_to`, and one client with
//! very many peers.
//!
//! What is compared is always a client and a server. *Both ends* is our client with our server beside the two loops by
//! hand: only where both of ours stand, datagrams travel in trains. With a *foreign client*, the loop by hand on std,
//! only the servers differ, and no datagram comes with another.

use core::time::Duration;
use std::io;

use resound_bench::fleet::{Fleet, IDLE};

use crate::child::{Child, Perf, Place, Worker, cpu_of_this, instructions_of, output_of, peak_of_this};
use crate::counted::Calls;
use crate::servers::WILDCARD;
use crate::timed::{Compared, Figure, Scale, Spread, Target, interleave, ratios};

pub(crate) mod load;

use load::{Done, Task};

/// How many datagrams are in flight in the comparison.
const WINDOW: usize = 64;

/// A client and a server, by name.
type Pair = (&'static str, &'static str);

/// A runtime: its loop by hand, and ours, as a client and as a server.
struct Runtime {
    name: &'static str,
    by_hand: Pair,
    ours: Pair,
}

const RUNTIMES: &[Runtime] = &[
    Runtime { name: "std", by_hand: ("std", "udp-std"), ours: ("resound-std", "udp-resound-std") },
    Runtime { name: "tokio", by_hand: ("tokio", "udp-tokio"), ours: ("resound-tokio", "udp-resound-tokio") },
    Runtime { name: "smol", by_hand: ("smol", "udp-smol"), ours: ("resound-smol", "udp-resound-smol") },
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Each server's own kind.
    Same,
    /// The loop by hand on std, for both.
    Foreign,
}

impl Client {
    fn asks(self, (client, server): Pair) -> Pair {
        (if self == Self::Same { client } else { "std" }, server)
    }
}

struct Workload {
    client: Client,
    window: usize,
    place: Place,
    figures: &'static [Figure],
}

const SERVER: Figure = Figure { name: "server CPU per datagram", target: Target::None };
const CLIENT: Figure = Figure { name: "client CPU per datagram", target: Target::None };

const BOTH_ENDS: &[Figure] =
    &[Figure { name: "both ends, 64 in flight, datagrams/s", target: Target::AtLeast(6.0) }, SERVER, CLIENT];
const FOREIGN: &[Figure] =
    &[Figure { name: "foreign client, 64 in flight, datagrams/s", target: Target::AtLeast(1.0) }, SERVER];
const SINGLE: &[Figure] =
    &[Figure { name: "foreign client, 1 in flight, round trip p50", target: Target::AtMost(1.0) }, SERVER];
const SINGLE_BOTH: &[Figure] =
    &[Figure { name: "both ends, 1 in flight, round trip p50", target: Target::None }, SERVER, CLIENT];

const WORKLOADS: &[Workload] = &[
    Workload { client: Client::Same, window: WINDOW, place: Place::TwoCores, figures: BOTH_ENDS },
    Workload { client: Client::Same, window: WINDOW, place: Place::OneCore, figures: BOTH_ENDS },
    Workload { client: Client::Foreign, window: WINDOW, place: Place::TwoCores, figures: FOREIGN },
    Workload { client: Client::Foreign, window: WINDOW, place: Place::OneCore, figures: FOREIGN },
    Workload { client: Client::Foreign, window: 1, place: Place::TwoCores, figures: SINGLE },
    Workload { client: Client::Foreign, window: 1, place: Place::OneCore, figures: SINGLE },
    Workload { client: Client::Same, window: 1, place: Place::OneCore, figures: SINGLE_BOTH },
];

/// More rounds than these, each of half the time that one over TCP takes, would say little more: what is looked for are
/// factors, or is seen on one core.
const ROUNDS: usize = 7;

/// Everything that is measured over UDP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// How much of everything by the clock.
    pub(crate) scale: Option<Scale>,
    pub(crate) fleets: Vec<Simulated>,
    pub(crate) compared: Vec<Compared>,
    pub(crate) counted: Vec<Counted>,
    pub(crate) crowds: Vec<Crowd>,
}

/// Measures everything whose runtime is `wanted`.
pub(crate) fn measure(scale: Scale, messages: usize, wanted: impl Fn(&str) -> bool) -> io::Result<Measured> {
    let scale = Scale { rounds: scale.rounds.min(ROUNDS), run: scale.run / 2, ..scale };
    let mut measured = Measured { scale: Some(scale), ..Measured::default() };
    for peers in [1_000, 100_000, 1_000_000] {
        eprintln!("UDP: a fleet of {peers}");
        measured.fleets.push(simulate(peers)?);
    }
    for runtime in RUNTIMES.iter().filter(|runtime| wanted(runtime.name)) {
        eprintln!("UDP: counts on {}", runtime.name);
        measured.counted.extend(count(runtime, messages)?);
    }
    for workload in WORKLOADS {
        for runtime in RUNTIMES.iter().filter(|runtime| wanted(runtime.name)) {
            eprintln!("UDP: {}: {}", runtime.name, workload.figures[0].name);
            measured.compared.extend(compare(runtime, workload, scale)?);
        }
    }
    for runtime in RUNTIMES.iter().filter(|runtime| wanted(runtime.name)) {
        for peers in [1, 1_000, 100_000] {
            eprintln!("UDP: {} with {peers} peers", runtime.name);
            measured.crowds.push(crowd(runtime, peers, scale, messages)?);
        }
    }
    Ok(measured)
}

// By the clock.

fn compare(runtime: &Runtime, workload: &Workload, scale: Scale) -> io::Result<Vec<Compared>> {
    let sides = [runtime.ours, runtime.by_hand, runtime.by_hand];
    let rounds = interleave::<3>(scale.rounds, |side| {
        let (client, server) = workload.client.asks(sides[side]);
        let child = Child::start(server, workload.place)?;
        let task = task(&child, workload.window, scale.run, usize::MAX);
        let mut worker = Worker::start(client, task, workload.place)?;
        let before = child.cpu()?;
        let done = worker.work()?;
        let serving = (child.cpu()? - before).as_secs_f64();
        let first = if workload.window == 1 { done.middle } else { done.amount / done.took };
        Ok(vec![first, serving / done.amount, done.cpu / done.amount])
    })?;
    Ok(ratios(runtime.name, workload.place, workload.figures, &rounds))
}

fn task(child: &Child, window: usize, time: Duration, datagrams: usize) -> Task {
    Task { server: child.addr(), peers: 1, window, time, datagrams }
}

// By counting.

/// What a client and a server do for one datagram.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) pair: Pair,
    pub(crate) window: usize,
    /// Of the client, of the server. `None` if they could not be counted.
    pub(crate) calls: Option<[Calls; 2]>,
}

fn count(runtime: &Runtime, messages: usize) -> io::Result<Vec<Counted>> {
    let mut counted = Vec::new();
    for (client, window) in [(Client::Same, WINDOW), (Client::Foreign, WINDOW), (Client::Foreign, 1)] {
        for pair in [runtime.ours, runtime.by_hand] {
            let pair = client.asks(pair);
            let row = Counted { pair, window, calls: None };
            // On std the foreign client is the same.
            if counted.iter().any(|known: &Counted| (known.pair, known.window) == (pair, window)) {
                continue;
            }
            let child = Child::start(pair.1, Place::TwoCores)?;
            let task = task(&child, window, Duration::from_secs(60), messages * window);
            let calls = traced(&child, &mut Worker::start(pair.0, task, Place::TwoCores)?);
            let calls = calls.inspect_err(|e| eprintln!("no count of system calls: {e}")).ok();
            counted.push(Counted { calls, ..row });
        }
    }
    Ok(counted)
}

fn traced(child: &Child, worker: &mut Worker) -> io::Result<[Calls; 2]> {
    let (client, server) = (Perf::attach(worker.id())?, Perf::attach(child.id())?);
    let done = worker.work();
    let (client, server) = (client.detach()?, server.detach()?);
    let amount = done?.amount;
    Ok([client, server].map(|(all, by_name)| Calls::of(all, by_name, amount)))
}

// One client with many peers.

/// Our client on one socket with so many peers, each at an address of its own.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) runtime: &'static str,
    pub(crate) peers: usize,
    pub(crate) per_second: f64,
    /// Time on a core for a datagram and its echo, in seconds.
    pub(crate) cpu: f64,
    /// System calls for it.
    pub(crate) calls: Option<Calls>,
    /// Resident bytes for a peer.
    pub(crate) memory: f64,
}

/// How many datagrams such a client has in flight: what fits the server's receive buffer.
const CROWD_WINDOW: usize = 128;

/// How often each is repeated.
const CROWD_ROUNDS: usize = 3;

fn crowd(runtime: &Runtime, peers: usize, scale: Scale, messages: usize) -> io::Result<Crowd> {
    let (client, _) = runtime.ours;
    let run = |time: Duration, datagrams: usize| -> io::Result<(Child, Worker)> {
        let child = Child::start(WILDCARD, Place::TwoCores)?;
        let task = Task { peers, ..task(&child, CROWD_WINDOW, time, datagrams) };
        let worker = Worker::start(client, task, Place::TwoCores)?;
        Ok((child, worker))
    };
    let rounds: Vec<Done> = (0..CROWD_ROUNDS.min(scale.rounds))
        .map(|_| {
            // The server lives as long as its client works.
            let (_child, mut worker) = run(scale.run, usize::MAX)?;
            worker.work()
        })
        .collect::<io::Result<_>>()?;
    let middle = |figure: fn(&Done) -> f64| Spread::of(rounds.iter().map(figure).collect()).median;
    let (child, mut worker) = run(Duration::from_secs(60), messages * CROWD_WINDOW)?;
    let calls = traced(&child, &mut worker).ok();
    Ok(Crowd {
        runtime: runtime.name,
        peers,
        per_second: middle(|done| done.amount / done.took),
        cpu: middle(|done| done.cpu / done.amount),
        calls: calls.map(|[client, _]| client),
        memory: middle(|done| done.memory),
    })
}

// A fleet without an operating system.

/// What a fleet costs: the client's machine alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulated {
    pub(crate) peers: u32,
    /// Simulated time for each second of real time, and for each second on a core.
    pub(crate) speed: [f64; 2],
    /// Nanoseconds on a core for a probe, its echo included.
    pub(crate) probe: f64,
    pub(crate) instructions: Option<f64>,
    /// The most memory that the process had, in bytes.
    pub(crate) peak: f64,
    /// Nanoseconds on a core.
    pub(crate) add: f64,
    pub(crate) remove: f64,
}

/// So many peers are added and removed.
const CHURN: u32 = 10_000;

/// So many probes, about, are counted.
const COUNTED_PROBES: u32 = 50_000;

/// Serves a fleet for that many simulated milliseconds in this process, and says what it cost.
pub(crate) fn be_fleet(peers: &str, millis: &str) -> io::Result<()> {
    let (Ok(peers), Ok(millis)) = (peers.parse::<u32>(), millis.parse()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "how many peers, for how many milliseconds?",
        ));
    };
    let mut fleet = Fleet::new(peers);
    let (cpu, wall) = (cpu_of_this()?, std::time::Instant::now());
    let (probes, _) = fleet.run(Duration::from_millis(millis));
    let (cpu, wall) = (cpu_of_this()? - cpu, wall.elapsed());
    let peak = peak_of_this()?;
    let timed = |work: &mut dyn FnMut()| -> io::Result<Duration> {
        let before = cpu_of_this()?;
        work();
        Ok(cpu_of_this()? - before)
    };
    let churn = CHURN.min(peers / 2);
    let some: Vec<_> = fleet.some(churn as usize).collect();
    let removed = timed(&mut || fleet.remove(&some))?;
    let added = timed(&mut || fleet.add(churn))?;
    let each = |time: Duration| time.as_secs_f64() / f64::from(churn);
    println!(
        "{probes} {} {} {peak} {} {}",
        cpu.as_secs_f64(),
        wall.as_secs_f64(),
        each(added),
        each(removed)
    );
    Ok(())
}

fn figures(args: &[&str]) -> io::Result<[f64; 6]> {
    let said = output_of(args)?;
    let figures: Result<Vec<f64>, _> = said.split(' ').map(str::parse).collect();
    let figures = figures.ok().and_then(|figures| figures.try_into().ok());
    figures.ok_or_else(|| io::Error::other(format!("the fleet said {said:?}")))
}

fn simulate(peers: u32) -> io::Result<Simulated> {
    // A small fleet is over in no time.
    let seconds = if peers < 10_000 { 1_000.0 } else { 30.0 };
    let millis = format!("{}", seconds * 1e3);
    let name = peers.to_string();
    let [probes, cpu, wall, peak, add, remove] = figures(&["fleet", &name, &millis])?;
    Ok(Simulated {
        peers,
        speed: [seconds / wall, seconds / cpu],
        probe: cpu / probes * 1e9,
        instructions: told(instructions(peers)),
        peak,
        add: add * 1e9,
        remove: remove * 1e9,
    })
}

fn told(count: io::Result<f64>) -> Option<f64> {
    count.inspect_err(|e| eprintln!("no count of instructions: {e}")).ok()
}

/// The difference between a short and a long run.
fn instructions(peers: u32) -> io::Result<f64> {
    let millis = u64::from(COUNTED_PROBES) * IDLE.as_millis() as u64 / u64::from(peers);
    let name = peers.to_string();
    let [short, long] = [1_000, 1_000 + millis].map(|millis| millis.to_string());
    let more = instructions_of(&["fleet", &name, &long])? - instructions_of(&["fleet", &name, &short])?;
    let ([few, ..], [many, ..]) = (figures(&["fleet", &name, &short])?, figures(&["fleet", &name, &long])?);
    Ok(more as f64 / (many - few))
}
