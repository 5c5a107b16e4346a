//! Simulators beside each other: ours, turmoil and bach at the same work, in this process, on one core.
//!
//! Each side of a comparison first finds out how much work takes about as long as a round is to last; then they take
//! turns. Time is that of the processor. Instructions are counted by callgrind, in processes of their own.

use core::time::Duration;
use std::io;

use resound_bench::simulators::{Transport, on_bach, on_turmoil, ours};

use crate::child::{cpu_of_this, instructions_of};
use crate::timed::{Scale, Spread};

/// Does so much.
type Work = fn(u64);

struct Comparison {
    name: &'static str,
    /// What is done so much of.
    unit: Unit,
    ours: Work,
    turmoil: Work,
    bach: Option<Work>,
    /// What ours is to reach in a second.
    target: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    RoundTrips,
    /// Simulated.
    Seconds,
}

const MILLION: f64 = 1e6;

/// Whose work it is.
const SIDES: [&str; 3] = ["ours", "turmoil", "bach"];

const COMPARISONS: &[Comparison] = &[
    Comparison {
        name: "TCP echo, 1 in flight",
        unit: Unit::RoundTrips,
        ours: |count| ours::echo(Transport::Tcp, 1, count),
        turmoil: |count| on_turmoil::echo(Transport::Tcp, 1, count),
        bach: None,
        target: Some(MILLION),
    },
    Comparison {
        name: "TCP echo, 64 in flight",
        unit: Unit::RoundTrips,
        ours: |count| ours::echo(Transport::Tcp, 64, count),
        turmoil: |count| on_turmoil::echo(Transport::Tcp, 64, count),
        bach: None,
        target: Some(MILLION),
    },
    Comparison {
        name: "UDP echo, 1 in flight",
        unit: Unit::RoundTrips,
        ours: |count| ours::echo(Transport::Udp, 1, count),
        turmoil: |count| on_turmoil::echo(Transport::Udp, 1, count),
        bach: Some(|count| on_bach::echo(1, count)),
        target: Some(MILLION),
    },
    Comparison {
        name: "UDP echo, 64 in flight",
        unit: Unit::RoundTrips,
        ours: |count| ours::echo(Transport::Udp, 64, count),
        turmoil: |count| on_turmoil::echo(Transport::Udp, 64, count),
        bach: Some(|count| on_bach::echo(64, count)),
        target: Some(MILLION),
    },
    Comparison {
        name: "1 idle session",
        unit: Unit::Seconds,
        ours: |secs| {
            let _ = ours::idle(1, Duration::from_secs(secs));
        },
        turmoil: |secs| {
            let _ = on_turmoil::idle(1, Duration::from_secs(secs));
        },
        bach: Some(|secs| on_bach::idle(1, Duration::from_secs(secs))),
        target: Some(MILLION),
    },
    Comparison {
        name: "100 idle sessions",
        unit: Unit::Seconds,
        ours: |secs| {
            let _ = ours::idle(100, Duration::from_secs(secs));
        },
        turmoil: |secs| {
            let _ = on_turmoil::idle(100, Duration::from_secs(secs));
        },
        bach: Some(|secs| on_bach::idle(100, Duration::from_secs(secs))),
        target: None,
    },
];

/// Everything that is measured of simulators.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) scale: Scale,
    pub(crate) rows: Vec<Row>,
    pub(crate) explored: Vec<Explored>,
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// Instructions of one: ours, turmoil, bach.
    pub(crate) instructions: [Option<f64>; 3],
    /// In a second on one core: ours, turmoil, bach.
    pub(crate) rates: [Option<Spread>; 3],
    /// Ours over each of the others, within a round.
    pub(crate) ratios: [Option<Spread>; 2],
    pub(crate) target: Option<f64>,
}

/// A search through all schedules.
#[derive(Clone, Debug)]
pub(crate) struct Explored {
    pub(crate) name: &'static str,
    pub(crate) faults: u32,
    pub(crate) schedules: u64,
    pub(crate) packets: u64,
    /// Seconds on one core.
    pub(crate) took: Spread,
}

pub(crate) fn measure(scale: Scale) -> io::Result<Measured> {
    let mut rows = Vec::new();
    for comparison in COMPARISONS {
        eprintln!("simulators: {}", comparison.name);
        rows.push(compare(comparison, scale)?);
    }
    let mut explored = Vec::new();
    for (name, transport) in [("TCP", Transport::Tcp), ("UDP", Transport::Udp)] {
        for faults in [2, 3] {
            eprintln!("simulators: all schedules of {faults} faults over {name}");
            explored.push(explore(name, transport, faults, scale)?);
        }
    }
    Ok(Measured { scale, rows, explored })
}

impl Comparison {
    const fn works(&self) -> [Option<Work>; 3] {
        [Some(self.ours), Some(self.turmoil), self.bach]
    }

    /// Two amounts for each side whose difference is counted. In turmoil each millisecond is a step, even of an idle second.
    const fn amounts(&self) -> [[u64; 2]; 3] {
        match self.unit {
            Unit::RoundTrips => [[1_000, 6_000]; 3],
            Unit::Seconds => [[1_000, 11_000], [10, 60], [1_000, 11_000]],
        }
    }
}

/// Does so much of the work of one side, for callgrind to count.
pub(crate) fn work(side: &str, name: &str, amount: &str) -> io::Result<()> {
    let side = SIDES.iter().position(|known| *known == side);
    let comparison = COMPARISONS.iter().find(|comparison| comparison.name == name);
    let work = side.zip(comparison).and_then(|(side, comparison)| comparison.works()[side]);
    let (Some(work), Ok(amount)) = (work, amount.parse()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "whose, which work, how much of it?"));
    };
    work(amount);
    Ok(())
}

/// The difference between a long and a short run: what is not of each falls out.
fn instructions(comparison: &Comparison) -> io::Result<[Option<f64>; 3]> {
    let mut each = [None; 3];
    for (side, [few, many]) in comparison.amounts().into_iter().enumerate() {
        if comparison.works()[side].is_some() {
            let count = |amount: u64| {
                instructions_of(&["simulate", SIDES[side], comparison.name, &amount.to_string()])
            };
            each[side] = Some((count(many)? - count(few)?) as f64 / (many - few) as f64);
        }
    }
    Ok(each)
}

fn compare(comparison: &Comparison, scale: Scale) -> io::Result<Row> {
    let works = comparison.works();
    let mut amounts = [0; 3];
    for (work, amount) in works.into_iter().zip(&mut amounts) {
        *amount = work.map_or(Ok(0), |work| calibrate(work, scale.run))?;
    }
    let mut rounds = Vec::new();
    for round in 0..scale.rounds {
        let mut rates = [None; 3];
        for turn in 0..works.len() {
            let side = (round + turn) % works.len();
            if let Some(work) = works[side] {
                rates[side] = Some(amounts[side] as f64 / took(work, amounts[side])?.as_secs_f64());
            }
        }
        rounds.push(rates);
    }
    let spread = |of: &dyn Fn(&[Option<f64>; 3]) -> Option<f64>| {
        let values: Option<Vec<f64>> = rounds.iter().map(of).collect();
        values.map(Spread::of)
    };
    Ok(Row {
        name: comparison.name,
        unit: comparison.unit,
        instructions: instructions(comparison)
            .inspect_err(|e| eprintln!("no count of instructions: {e}"))
            .unwrap_or_default(),
        rates: [0, 1, 2].map(|side| spread(&|rates| rates[side])),
        ratios: [1, 2].map(|side| spread(&|rates| Some(rates[0]? / rates[side]?))),
        target: comparison.target,
    })
}

/// How much takes about so long.
fn calibrate(work: Work, run: Duration) -> io::Result<u64> {
    let mut amount = 100;
    loop {
        let took = took(work, amount)?;
        if took * 8 >= run {
            return Ok((amount as f64 * run.as_secs_f64() / took.as_secs_f64()) as u64 + 1);
        }
        amount *= 4;
    }
}

fn took(work: Work, amount: u64) -> io::Result<Duration> {
    let before = cpu_of_this()?;
    work(amount);
    Ok((cpu_of_this()? - before).max(Duration::from_micros(1)))
}

fn explore(name: &'static str, transport: Transport, faults: u32, scale: Scale) -> io::Result<Explored> {
    let mut times = Vec::new();
    let certificate = ours::explore(transport, faults);
    for _ in 0..scale.rounds.min(5) {
        let before = cpu_of_this()?;
        let again = ours::explore(transport, faults);
        times.push((cpu_of_this()? - before).as_secs_f64());
        assert_eq!(again, certificate, "a search is deterministic");
    }
    let (schedules, packets) = (certificate.schedules, certificate.packets);
    Ok(Explored { name, faults, schedules, packets, took: Spread::of(times) })
}
