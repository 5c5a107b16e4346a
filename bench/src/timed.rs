//! What a clock can say: each server of ours against the loop written by hand and the bare epoll loop.
//!
//! The machine is never quiet, so nothing is compared across minutes. One round runs the four servers of a comparison
//! one after the other, each in a fresh process: ours, the loop by hand, the same loop once more, the bare loop. Each
//! round begins with another of them. A ratio is taken within a round; what is reported is the median over the rounds.
//! The loop against itself (A/A) shows how far apart two equal servers come out: a difference smaller than that says
//! nothing.

use core::time::Duration;
use std::io;

use crate::child::{Child, Place};
use crate::load::{self, Crowd, Stop, Through};
use crate::servers::{BARE, Runtime};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// How long one run takes.
    pub(crate) run: Duration,
    /// Bytes of a bulk transfer.
    pub(crate) bulk: usize,
}

/// Which way a figure is better, and how it must compare with the loop by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// For information.
    None,
}

/// One thing that is measured of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
}

/// A load, and the figures that it yields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) place: Place,
    pub(crate) figures: &'static [Figure],
    run: fn(&Child, Scale) -> io::Result<Vec<f64>>,
}

const CPU: Figure = Figure { name: "server CPU per message", target: Target::None };

/// All of them.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        place: Place::TwoCores,
        figures: &[
            Figure { name: "1 connection, round trip p50", target: Target::AtMost(1.05) },
            Figure { name: "1 connection, round trip p99", target: Target::AtMost(1.05) },
            CPU,
        ],
        run: round_trips,
    },
    Workload {
        place: Place::OneCore,
        figures: &[
            Figure { name: "1 connection, round trip p50", target: Target::AtMost(1.05) },
            Figure { name: "1 connection, round trip p99", target: Target::AtMost(1.05) },
            CPU,
        ],
        run: round_trips,
    },
    Workload {
        place: Place::TwoCores,
        figures: &[Figure { name: "50 connections, messages/s", target: Target::AtLeast(0.95) }, CPU],
        run: crowd,
    },
    Workload {
        place: Place::TwoCores,
        figures: &[Figure { name: "64 in flight, messages/s", target: Target::AtLeast(0.95) }, CPU],
        run: pipelined,
    },
    Workload {
        place: Place::TwoCores,
        figures: &[Figure { name: "bulk, bytes/s", target: Target::AtLeast(0.95) }],
        run: bulk,
    },
];

fn round_trips(child: &Child, scale: Scale) -> io::Result<Vec<f64>> {
    let mut stream = load::connect(child.addr())?;
    load::ping_pong(&mut stream, Stop::After(scale.run / 10))?;
    let before = child.cpu()?;
    let mut took = load::ping_pong(&mut stream, Stop::After(scale.run))?;
    let cpu = child.cpu()? - before;
    took.sort_unstable();
    let percentile = |p: usize| took[(took.len() - 1) * p / 100].as_secs_f64();
    Ok(vec![percentile(50), percentile(99), cpu.as_secs_f64() / took.len() as f64])
}

fn crowd(child: &Child, scale: Scale) -> io::Result<Vec<f64>> {
    let mut crowd = Crowd::connect(child.addr(), 50)?;
    crowd.run(Stop::After(scale.run / 10))?;
    per_second(child, || crowd.run(Stop::After(scale.run)))
}

fn pipelined(child: &Child, scale: Scale) -> io::Result<Vec<f64>> {
    let mut stream = load::connect(child.addr())?;
    load::pipelined(&mut stream, Stop::After(scale.run / 10))?;
    per_second(child, || load::pipelined(&mut stream, Stop::After(scale.run)))
}

fn bulk(child: &Child, scale: Scale) -> io::Result<Vec<f64>> {
    load::bulk(load::connect(child.addr())?, scale.bulk / 16)?;
    let stream = load::connect(child.addr())?;
    let Through { amount, took } = load::bulk(stream, scale.bulk)?;
    Ok(vec![amount as f64 / took.as_secs_f64()])
}

fn per_second(child: &Child, run: impl FnOnce() -> io::Result<Through>) -> io::Result<Vec<f64>> {
    let before = child.cpu()?;
    let Through { amount, took } = run()?;
    let cpu = child.cpu()? - before;
    Ok(vec![amount as f64 / took.as_secs_f64(), cpu.as_secs_f64() / amount as f64])
}

/// One figure of one runtime, as ratios.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) runtime: &'static str,
    pub(crate) place: Place,
    pub(crate) figure: Figure,
    /// Ours to the loop by hand.
    pub(crate) ours: Spread,
    /// The loop by hand to itself.
    pub(crate) itself: Spread,
    /// Ours to the bare epoll loop, where there is one.
    pub(crate) bare: Option<Spread>,
    /// The loop by hand, in seconds, messages or bytes per second.
    pub(crate) by_hand: f64,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// Missed by less than the loop by hand misses itself.
    Noise,
    None,
}

impl Compared {
    pub(crate) fn verdict(&self) -> Verdict {
        let excess = match self.figure.target {
            Target::AtMost(most) => self.ours.median - most,
            Target::AtLeast(least) => least - self.ours.median,
            Target::None => return Verdict::None,
        };
        if excess <= 0.0 {
            Verdict::Met
        } else if excess <= self.itself.upper - self.itself.lower {
            Verdict::Noise
        } else {
            Verdict::Missed
        }
    }
}

/// The middle of the rounds, and the half of them around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| values[((values.len() - 1) * quarter + 2) / 4];
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}

/// Runs a load on the servers of one comparison, round by round.
pub(crate) fn compare(runtime: Runtime, workload: Workload, scale: Scale) -> io::Result<Vec<Compared>> {
    let servers = [runtime.ours, runtime.by_hand, runtime.by_hand, BARE];
    let rounds = interleave::<4>(scale.rounds, |side| {
        (workload.run)(&Child::start(servers[side], workload.place)?, scale)
    })?;
    Ok(ratios(runtime.name, workload.place, workload.figures, &rounds))
}

/// The figures of each side in each round: ours, by hand, by hand again, and perhaps others. Each round begins with
/// another side.
pub(crate) fn interleave<const SIDES: usize>(
    rounds: usize,
    mut run: impl FnMut(usize) -> io::Result<Vec<f64>>,
) -> io::Result<Vec<[Vec<f64>; SIDES]>> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut figures = [const { Vec::new() }; SIDES];
        for turn in 0..SIDES {
            let side = (round + turn) % SIDES;
            figures[side] = run(side)?;
        }
        all.push(figures);
    }
    Ok(all)
}

/// The sides beside each other. A fourth one is the bare loop.
pub(crate) fn ratios<const SIDES: usize>(
    runtime: &'static str,
    place: Place,
    figures: &[Figure],
    rounds: &[[Vec<f64>; SIDES]],
) -> Vec<Compared> {
    let compared = figures.iter().enumerate().map(|(nth, &figure)| {
        let ratio = |a: usize, b: usize| Spread::of(rounds.iter().map(|r| r[a][nth] / r[b][nth]).collect());
        Compared {
            runtime,
            place,
            figure,
            ours: ratio(0, 1),
            itself: ratio(2, 1),
            bare: (SIDES > 3).then(|| ratio(0, 3)),
            by_hand: Spread::of(rounds.iter().map(|r| r[1][nth]).collect()).median,
        }
    });
    compared.collect()
}
