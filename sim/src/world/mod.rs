//! The world of a scenario: hosts with kernels and programs, routers, links, and virtual time.
//!
//! # Theory of operation
//!
//! Time jumps from one event to the next: a packet arrives, a timer is due, a line of the script is read. Between two
//! events nothing happens, and costs nothing. Events at one time happen in the order in which they were made, so that the
//! scenario alone decides the run.
//!
//! ```text
//!   program ◄─ run ── World ── packet ─► way (delay, rate, loss) ─► router ─► … ─► kernel
//!      │                ▲                    ▲
//!      └─ calls ─► kernel ── effects ────────┘   and at each way, the fault engine
//! ```
//!
//! A program is a process: it is run when one of its sockets is ready, when its time has come, or when it is asked for
//! something; it makes its calls and sleeps again. It takes no time. Nothing here looks into it.
//!
//! | file | has |
//! |---|---|
//! | `program` | what a program is, and the calls that it can make |
//! | `network` | ways, routers, neighbours |
//! | `events` | what is to happen, in the order of time |
//! | `host` | hosts: power, processes, clocks |
//! | `outside` | hosts that somebody else plays: the lab's, on a real kernel |

use std::collections::VecDeque;

use resound_core::Instant;

mod events;
mod host;
mod network;
mod orders;
mod outside;
mod program;

pub use network::first_ways_of;
pub use outside::{Errand, Live};
pub use program::{Answer, Calls, Cast, Next, Program, Stage};

use crate::digest::Digest;
use crate::faults::Faults;
use crate::kernel::{Fate, Pid, table};
use crate::packet::FaultId;
use crate::run::{Coverage, Happened, Moment, Record, Remark, Run};
use crate::scenario::{NodeId, Role, Said, Scenario, Way};
use events::{Event, Events};
use host::Host;
use network::{Network, Router};
use outside::Outside;

/// How much may happen at one instant: more is a program that never sleeps, or two that answer each other over links
/// without delay.
const AT_ONCE: u32 = 1_000_000;

/// A scenario being played.
///
/// ```
/// use resound_sim::{Echo, Record, Scenario, World};
///
/// let scenario: Scenario = "
///     host client
///     host server
///     link client <-> server 10ms
///     0.0 server serve 7
///     0.0 client connect server:7
///     0.5 client send \"hello\"
///     expect client up ; echo 0
/// ".parse()?;
/// let run = World::new(&scenario, &mut Echo).play(Record::Said);
/// assert!(scenario.unmet(&run.said).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct World<'s> {
    scenario: &'s Scenario,
    cast: &'s mut dyn Cast,
    now: Instant,
    events: Events,
    nodes: Vec<Node>,
    network: Network,
    faults: Faults<'s>,
    runnable: VecDeque<(NodeId, Pid)>,
    /// How much has happened since time last passed.
    at_once: u32,
    /// What a program says while it runs.
    saying: Vec<Said>,
    record: Record,
    /// How many packets' ways are written down, and those.
    trace: usize,
    order: Vec<Way>,
    /// When a fault last did something.
    disturbed: Option<Instant>,
    said: Vec<Remark>,
    moments: Vec<Moment>,
    packets: u64,
    digest: Digest,
    coverage: Coverage,
    /// What is to be done to hosts outside.
    errands: VecDeque<Errand>,
}

impl core::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Node {
    Host(Box<Host>),
    Router(Box<Router>),
    /// A host that somebody else plays.
    Outside(Box<Outside>),
}

impl<'s> World<'s> {
    /// The world of a scenario at its beginning. The cast are the programs that its commands start.
    ///
    /// # Panics
    ///
    /// With its message, if the scenario does not pass its own [check](Scenario::check); one that was read from text does.
    #[must_use]
    pub fn new(scenario: &'s Scenario, cast: &'s mut dyn Cast) -> Self {
        if let Err(bad) = scenario.check() {
            panic!("{bad}");
        }
        let (faults, times) = Faults::new(scenario);
        let mut events = Events::default();
        let node = |(at, node): (usize, &crate::scenario::Node)| match node.role {
            Role::Host => Node::Host(Box::new(Host::new(scenario, NodeId(at as u8)))),
            Role::Router => Node::Router(Box::new(Router::new(node))),
        };
        for (index, line) in scenario.script.iter().enumerate() {
            events.push(Instant::EPOCH + line.at, Event::Line(index as u32));
        }
        for (at, id) in times {
            events.push(Instant::EPOCH + at, Event::Fault(id));
        }
        Self {
            scenario,
            cast,
            now: Instant::EPOCH,
            events,
            nodes: scenario.nodes.iter().enumerate().map(node).collect(),
            network: Network::new(scenario),
            faults,
            runnable: VecDeque::new(),
            at_once: 0,
            saying: Vec::new(),
            record: Record::Said,
            trace: 0,
            order: Vec::new(),
            disturbed: None,
            said: Vec::new(),
            moments: Vec::new(),
            packets: 0,
            digest: Digest::new(),
            coverage: Coverage::default(),
            errands: VecDeque::new(),
        }
    }

    /// Puts a program of its own on a host; it runs when the world begins.
    pub fn spawn(&mut self, host: NodeId, program: Box<dyn Program>) {
        if let Node::Host(there) = &mut self.nodes[usize::from(host.0)] {
            let pid = there.start(program);
            self.runnable.push_back((host, pid));
        }
    }

    /// Asks for the ways of the first packets, as many as this: [`Run::order`].
    #[must_use]
    pub fn trace(mut self, packets: usize) -> Self {
        self.trace = packets;
        self
    }

    /// Plays it to its end.
    #[must_use]
    pub fn play(mut self, record: Record) -> Run {
        self.record = record;
        self.play_until(Instant::EPOCH + self.scenario.until);
        self.finish()
    }

    /// Plays everything up to this time.
    fn play_until(&mut self, until: Instant) {
        while self.at_once <= AT_ONCE {
            if let Some((node, pid)) = self.runnable.pop_front() {
                self.at_once += 1;
                self.run_program(node, pid);
            } else if let Some((at, event)) = self.events.pop_until(until) {
                self.at_once = if at == self.now { self.at_once + 1 } else { 0 };
                self.now = at;
                self.happens(event);
            } else {
                return;
            }
            self.obey();
        }
        self.says(NodeId(0), Said::Spins);
    }

    fn finish(mut self) -> Run {
        self.settle_all();
        Run {
            said: self.said,
            moments: self.moments,
            ways: self.faults.counts(),
            order: self.order,
            disturbed: self.disturbed,
            ledger: self.faults.ledger(),
            ended: self.now,
            packets: self.packets,
            digest: self.digest.finish(),
            coverage: self.coverage,
        }
    }

    fn happens(&mut self, event: Event) {
        if matches!(event, Event::Fault(_) | Event::Expire(_) | Event::Boot(_) | Event::Resume(_)) {
            self.disturbed = self.disturbed.max(Some(self.now));
        }
        match event {
            Event::Arrive(way, packet) => self.arrives(way, packet),
            Event::Local(node, packet) => self.arrives_at(node, None, packet),
            Event::Kernel(node, fd) => {
                let now = self.now;
                if let Some(host) = self.host(node) {
                    host.kernel.timer(now, fd);
                }
                self.drain(node);
            }
            Event::Wake(node, pid) => self.wake(node, pid),
            Event::Line(index) => self.line(index),
            Event::Fault(id) => self.faults.fire(id),
            Event::Expire(id) => self.faults.expire(id),
            Event::Resolve(way, since) => self.resolve(way, since),
            Event::Boot(node) => self.boot(node),
            Event::Resume(node) => self.resume(node),
        }
    }

    fn host(&mut self, node: NodeId) -> Option<&mut Host> {
        match &mut self.nodes[usize::from(node.0)] {
            Node::Host(host) => Some(host),
            Node::Router(_) | Node::Outside(_) => None,
        }
    }

    /// Does what a host's kernel wants done.
    fn drain(&mut self, node: NodeId) {
        let Node::Host(host) = &mut self.nodes[usize::from(node.0)] else { return };
        let effects = &mut host.kernel.effects;
        for &(pid, fd) in &effects.ready {
            if host.processes.ready(pid, fd) {
                self.runnable.push_back((node, pid));
            }
        }
        effects.ready.clear();
        for &(at, fd) in &effects.timers {
            self.events.push(at, Event::Kernel(node, fd));
        }
        effects.timers.clear();
        let lives = host.lives;
        let (moved, sends) = (!effects.moves.is_empty(), !effects.packets.is_empty());
        if !effects.rows.is_empty() {
            self.obeyed(node);
        }
        if moved {
            self.moved(node);
        }
        if sends {
            self.send_all(node, lives);
        }
    }

    /// A kernel has obeyed rows of its table.
    #[cold]
    fn obeyed(&mut self, node: NodeId) {
        let Node::Host(host) = &mut self.nodes[usize::from(node.0)] else { return };
        for row in host.kernel.effects.rows.drain(..) {
            self.coverage.row(row);
            if matches!(table::row(row).signal, table::Signal::Route(_) | table::Signal::RouteLost(_)) {
                self.faults.route_met(node, None, "a call or a packet found no way");
            }
        }
    }

    /// Sockets of a host have changed their states.
    #[cold]
    fn moved(&mut self, node: NodeId) {
        let Some(host) = self.host(node) else { return };
        // Taken out while they are worked on, and put back for their room.
        let mut moves = core::mem::take(&mut host.kernel.effects.moves);
        for (_, state) in moves.drain(..) {
            self.digest.mix(u64::from(node.0) << 8 | state as u64);
            if self.record == Record::Everything {
                self.note(Happened::State { node, state });
            }
            self.faults.entered(node, state);
        }
        if let Some(host) = self.host(node) {
            host.kernel.effects.moves = moves;
        }
    }

    /// A host sends what its kernel wants sent, as long as it lives this life.
    fn send_all(&mut self, node: NodeId, lives: u32) {
        let Some(host) = self.host(node) else { return };
        let mut packets = core::mem::take(&mut host.kernel.effects.packets);
        for packet in packets.drain(..) {
            // What a fault has done meanwhile: a host without power sends no more.
            if self.host(node).is_none_or(|host| host.lives != lives) {
                break;
            }
            self.send(node, packet);
        }
        if let Some(host) = self.host(node) {
            host.kernel.effects.packets = packets;
        }
    }

    #[cold]
    fn note(&mut self, what: Happened) {
        self.moments.push(Moment { at: self.now, what });
    }

    /// A program said something.
    fn says(&mut self, node: NodeId, said: Said) {
        self.digest.said(self.now, node, &said);
        self.faults.said(node, || said.to_string());
        if self.record == Record::Everything {
            self.note(Happened::Said { node, said: said.clone() });
        }
        self.said.push(Remark { at: self.now, node, said });
    }

    /// What became of a packet at the host that it was for.
    fn fate(&mut self, node: NodeId, fault: Option<FaultId>, fate: Fate) {
        if let Some(fault) = fault {
            self.faults.met(fault, fate);
            if self.record == Record::Everything {
                self.note(Happened::Arrived { node, fate });
            }
        }
    }
}
