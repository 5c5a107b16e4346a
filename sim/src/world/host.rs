//! Hosts: power, processes, clocks, and how programs are run.

use std::net::IpAddr;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use super::events::Event;
use super::program::{Answer, Calls, Limits, Next, Program, Stage as Place};
use super::{Node, World};
use crate::kernel::{Fd, Kernel, Pid, Profile, Sysctls};
use crate::packet::FaultId;
use crate::programs::Shell;
use crate::run::coverage::{Met, MetSet, Stage};
use crate::scenario::{Command, NodeId, Said, Scenario, Transport, address};

/// How often a program may run at one instant, with nothing sent by anybody meanwhile, before it is taken for one that spins.
const SPINS: u32 = 10_000;

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) kernel: Kernel,
    pub(super) processes: Processes,
    pub(super) power: Power,
    /// Its programs' clock, less the world's, in nanoseconds.
    pub(super) skew: i64,
    pub(super) pause: Option<(Instant, FaultId)>,
    /// How often it lost its power: what began in one life does not go on in the next.
    pub(super) lives: u32,
    /// When its power comes back.
    boots_at: Option<(Instant, FaultId)>,
    pub(super) limits: Limits,
    /// Faults that show only by what comes later: the tally at their time, and which it is.
    pub(super) tallies: Vec<(FaultId, Tally, u32)>,
    profile: Profile,
    sysctl: Sysctls,
    addresses: Vec<IpAddr>,
    /// Lines of the script whose programs are started again when it boots.
    services: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    Off,
}

/// What a lasting change of a kernel shows by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    ReceiveBuffers,
    SendBuffers,
    NoPort,
    NoDescriptor,
    QueueFull,
}

impl Host {
    pub(super) fn new(scenario: &Scenario, node: NodeId) -> Self {
        let mut sysctl = Sysctls::default();
        for &(name, value) in &scenario.nodes[usize::from(node.0)].sysctl {
            sysctl.set(name, value);
        }
        let addresses = vec![address(node, Version::V4), address(node, Version::V6)];
        Self {
            kernel: Kernel::new(scenario.profile, sysctl.clone(), addresses.clone()),
            processes: Processes::default(),
            power: Power::On,
            skew: 0,
            pause: None,
            lives: 0,
            boots_at: None,
            limits: Limits::default(),
            tallies: Vec::new(),
            profile: scenario.profile,
            sysctl,
            addresses,
            services: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, program: Box<dyn Program>) -> Pid {
        self.processes.start(program, Some(Stage::Fresh))
    }

    /// Everything that was in its memory is gone, until then or for good.
    pub(super) fn lose_power(&mut self, until: Option<(Instant, FaultId)>) {
        self.boots_at = until;
        self.power = Power::Off;
        self.lives += 1;
        self.kernel = Kernel::new(self.profile, self.sysctl.clone(), self.addresses.clone());
        self.processes.clear();
        self.pause = None;
        self.limits = Limits::default();
    }

    /// The host's clock at this time of the world.
    fn clock(&self, now: Instant) -> Instant {
        Instant::from_nanos(now.nanos().saturating_add_signed(self.skew))
    }

    /// The world's time at this time of the host's clock.
    fn world(&self, clock: Instant) -> Instant {
        Instant::from_nanos(clock.nanos().saturating_add_signed(self.skew.saturating_neg()))
    }

    pub(super) fn tally(&self, of: Tally) -> u32 {
        match of {
            Tally::ReceiveBuffers => self.kernel.tallies.sockets,
            Tally::SendBuffers => self.kernel.tallies.tcp_sockets,
            Tally::NoPort => self.kernel.tallies.no_port,
            Tally::NoDescriptor => self.kernel.tallies.no_descriptor,
            Tally::QueueFull => self.kernel.tallies.queue_full,
        }
    }
}

/// The processes of a host.
#[derive(Default)]
pub(super) struct Processes {
    all: Vec<Option<Process>>,
    /// Those of before the power was lost: their ids are never used again.
    before: u32,
}

impl core::fmt::Debug for Processes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Processes({} since boot)", self.all.len())
    }
}

struct Process {
    program: Box<dyn Program>,
    ready: Vec<Fd>,
    /// It is in the queue of those that run next.
    queued: bool,
    spurious: bool,
    /// Where it stands with its peer; not followed of a shell.
    stage: Option<Stage>,
    deadline: Option<Instant>,
    armed: Option<Instant>,
    ran: Ran,
}

/// How often a process ran at this time, while so many packets had set out in all.
#[derive(Clone, Copy)]
struct Ran {
    at: Instant,
    packets: u64,
    times: u32,
}

impl Processes {
    fn start(&mut self, program: Box<dyn Program>, stage: Option<Stage>) -> Pid {
        self.all.push(Some(Process {
            program,
            ready: Vec::new(),
            queued: true,
            spurious: false,
            stage,
            deadline: None,
            armed: None,
            ran: Ran { at: Instant::EPOCH, packets: 0, times: 0 },
        }));
        Pid(self.before + self.all.len() as u32 - 1)
    }

    fn get(&mut self, pid: Pid) -> Option<&mut Process> {
        let index = pid.0.checked_sub(self.before)?;
        self.all.get_mut(index as usize)?.as_mut()
    }

    /// A socket is ready; whether its process is to be put into the queue.
    #[inline]
    pub(super) fn ready(&mut self, pid: Pid, fd: Fd) -> bool {
        let Some(process) = self.get(pid) else { return false };
        process.ready.push(fd);
        !core::mem::replace(&mut process.queued, true)
    }

    fn queue(&mut self, pid: Pid) -> bool {
        self.get(pid).is_some_and(|process| !core::mem::replace(&mut process.queued, true))
    }

    pub(super) fn pids(&self) -> Vec<Pid> {
        let alive = self.all.iter().enumerate().filter(|(_, process)| process.is_some());
        alive.map(|(index, _)| Pid(self.before + index as u32)).collect()
    }

    pub(super) fn end(&mut self, pid: Pid) {
        if let Some(index) = pid.0.checked_sub(self.before) {
            if let Some(process) = self.all.get_mut(index as usize) {
                *process = None;
            }
        }
    }

    fn clear(&mut self) {
        self.before += self.all.len() as u32;
        self.all.clear();
    }

    /// Everybody is told that everything is ready. How many there are.
    pub(super) fn wake_all(&mut self) -> Vec<Pid> {
        let pids = self.pids();
        for &pid in &pids {
            if let Some(process) = self.get(pid) {
                process.spurious = true;
            }
        }
        pids
    }
}

impl World<'_> {
    /// A program's time may have come.
    pub(super) fn wake(&mut self, node: NodeId, pid: Pid) {
        let now = self.now;
        let Some(host) = self.host(node) else { return };
        let Some(process) = host.processes.get(pid) else { return };
        if process.armed.is_some_and(|armed| armed <= now) {
            process.armed = None;
        }
        match process.deadline {
            Some(deadline) if deadline <= now => self.enqueue(node, pid),
            Some(deadline) => self.arm(node, pid, deadline),
            None => {}
        }
    }

    fn arm(&mut self, node: NodeId, pid: Pid, deadline: Instant) {
        let Some(process) = self.host(node).and_then(|host| host.processes.get(pid)) else { return };
        if process.armed.is_none_or(|armed| deadline < armed) {
            process.armed = Some(deadline);
            self.events.push(deadline, Event::Wake(node, pid));
        }
    }

    pub(super) fn enqueue(&mut self, node: NodeId, pid: Pid) {
        if self.host(node).is_some_and(|host| host.processes.queue(pid)) {
            self.runnable.push_back((node, pid));
        }
    }

    /// Runs a program that was in the queue.
    pub(super) fn run_program(&mut self, node: NodeId, pid: Pid) {
        let (now, packets) = (self.now, self.packets);
        let Some(host) = self.host(node) else { return };
        if let Some((_, fault)) = host.pause {
            // It stays in the queue, so to speak: `resume` puts it there.
            return self.faults.acted(fault, "a program that had something to do stood still");
        }
        let next = self.with_program(node, pid, |program, calls| program.run(calls));
        let Some(next) = next else { return };
        let Some(host) = self.host(node) else { return };
        match next {
            Next::Exit => {
                host.processes.end(pid);
                host.kernel.exit(now, pid);
            }
            Next::Sleep(deadline) => {
                let deadline = deadline.map(|deadline| host.world(deadline));
                let Some(process) = host.processes.get(pid) else { return };
                process.deadline = deadline;
                let due = deadline.is_some_and(|deadline| deadline <= now);
                let still = process.ran.at == now && process.ran.packets == packets;
                let times = if still { process.ran.times + 1 } else { 0 };
                process.ran = Ran { at: now, packets, times };
                if times > SPINS {
                    host.processes.end(pid);
                    host.kernel.exit(now, pid);
                    self.says(node, Said::Spins);
                } else if due || !process.ready.is_empty() {
                    self.enqueue(node, pid);
                } else if let Some(deadline) = deadline {
                    self.arm(node, pid, deadline);
                }
            }
        }
        self.drain(node);
    }

    /// Lets a program make its calls, and takes in what it says. `None` if it is not there any more.
    fn with_program<R>(
        &mut self,
        node: NodeId,
        pid: Pid,
        with: impl FnOnce(&mut dyn Program, &mut Calls<'_>) -> R,
    ) -> Option<R> {
        let Self { nodes, saying: said, .. } = self;
        let Node::Host(host) = &mut nodes[usize::from(node.0)] else { return None };
        let clock = host.clock(self.now);
        let Host { kernel, limits, processes, .. } = &mut **host;
        let process = processes.get(pid)?;
        process.queued = false;
        let mut calls = Calls {
            kernel,
            pid,
            version: self.scenario.version,
            world: self.now,
            clock,
            limits,
            ready: &mut process.ready,
            spurious: core::mem::take(&mut process.spurious),
            said,
            met: [MetSet::default(); 3],
        };
        let result = with(process.program.as_mut(), &mut calls);
        let Calls { met: sets, .. } = calls;
        let met = core::mem::take(&mut limits.met);
        let mut stage = process.stage;
        process.stage = stage.map(|stage| said.iter().fold(stage, Stage::after));
        // Whoever waited, or had said nothing, stands where he says that he does.
        if matches!(stage, Some(Stage::Fresh | Stage::Waiting)) {
            stage = process.stage;
        }
        if let Some(stage) = stage {
            // What comes after a connect in one run of a program, comes to one that is connected.
            let tcp = if sets[2].contains(Met::Connected) { Stage::Up } else { stage };
            let [over_tcp, over_udp, dialing] = sets;
            self.coverage.count(Transport::Tcp, tcp, over_tcp);
            self.coverage.count(Transport::Udp, stage, over_udp);
            self.coverage.count(Transport::Tcp, Stage::Dialing, dialing);
        }
        for fault in met.into_iter().flatten() {
            self.faults.acted(fault, "a call was cut short");
        }
        if !self.saying.is_empty() {
            self.says_all(node);
        }
        Some(result)
    }

    /// What a program said while it ran.
    #[cold]
    fn says_all(&mut self, node: NodeId) {
        let mut said = core::mem::take(&mut self.saying);
        for said in said.drain(..) {
            self.says(node, said);
        }
        self.saying = said;
    }

    /// A line of the script is read.
    #[cold]
    pub(super) fn line(&mut self, index: u32) {
        let scenario = self.scenario;
        let line = &scenario.script[index as usize];
        let node = line.host;
        let Some(host) = self.host(node) else { return self.ask_outside(index) };
        if let Some((until, fault)) = host.pause {
            // Whoever types it finds nobody who reads.
            self.faults.acted(fault, "a program that was asked for something stood still");
            return self.events.push(until, Event::Line(index));
        }
        let power = host.power;
        if self.record == crate::run::Record::Everything {
            let command = scenario.show(&line.command).to_string();
            self.note(crate::run::Happened::Asked { node, command });
        }
        if power == Power::Off {
            return self.says(node, Said::Refused("the host has no power".into()));
        }
        self.ask(node, index, &line.command);
    }

    fn ask(&mut self, node: NodeId, index: u32, command: &Command) {
        let pids = self.host(node).map(|host| host.processes.pids()).unwrap_or_default();
        for pid in pids {
            match self.with_program(node, pid, |program, calls| program.ask(calls, command)) {
                None | Some(Answer::NotMine) => {}
                Some(Answer::Taken) => {
                    self.drain(node);
                    return self.enqueue(node, pid);
                }
                Some(Answer::Refused(why)) => return self.says(node, Said::Refused(why.into())),
            }
        }
        if !self.start(node, index, command) {
            self.says(node, Said::Refused("no program here takes this".into()));
        }
    }

    /// Starts the program of a line; false if it starts none.
    fn start(&mut self, node: NodeId, index: u32, command: &Command) -> bool {
        let (now, scenario) = (self.now, self.scenario);
        let Some(host) = self.host(node) else { return false };
        let seed = scenario.seed_of(node, index);
        let stage = Place { scenario, host: node, seed, now: host.clock(now) };
        let shell = matches!(command, Command::Call(_));
        let program: Option<Box<dyn Program>> =
            if shell { Some(Box::new(Shell::default())) } else { self.cast.start(&stage, command) };
        let (Some(program), Some(host)) = (program, self.host(node)) else { return false };
        if matches!(command, Command::Serve(..)) && !host.services.contains(&index) {
            host.services.push(index);
        }
        let pid = host.processes.start(program, (!shell).then_some(Stage::Fresh));
        self.runnable.push_back((node, pid));
        if shell {
            let _ = self.with_program(node, pid, |program, calls| program.ask(calls, command));
            self.drain(node);
        }
        true
    }

    /// The power is back.
    #[cold]
    pub(super) fn boot(&mut self, node: NodeId) {
        let scenario = self.scenario;
        let now = self.now;
        let Some(host) = self.host(node) else { return self.boot_outside(node) };
        // It may have lost its power once more since that was decided.
        let Some((_, fault)) = host.boots_at.take_if(|(at, _)| *at <= now) else { return };
        host.power = Power::On;
        let services = host.services.clone();
        self.rewire(node);
        self.tell(fault, ": it is back");
        for line in services {
            self.start(node, line, &scenario.script[line as usize].command);
        }
    }

    /// The programs of a host go on.
    #[cold]
    pub(super) fn resume(&mut self, node: NodeId) {
        let now = self.now;
        let Some(host) = self.host(node) else { return self.resume_outside(node) };
        let Some((_, fault)) = host.pause.take_if(|(until, _)| *until <= now) else { return };
        // Who had something to do meanwhile was put into the queue, and came out of it without having run.
        let mut pids = host.processes.pids();
        pids.retain(|&pid| host.processes.get(pid).is_some_and(|process| process.queued));
        self.runnable.extend(pids.into_iter().map(|pid| (node, pid)));
        self.tell(fault, " ends");
    }

    pub(super) fn pause(&mut self, node: NodeId, fault: FaultId, lasts: Duration) {
        let until = self.now + lasts;
        let Some(host) = self.host(node) else { return };
        // Of two pauses the one that ends later counts.
        if host.pause.is_none_or(|(other, _)| other < until) {
            host.pause = Some((until, fault));
        }
        self.events.push(until, Event::Resume(node));
    }
}
