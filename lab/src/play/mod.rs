//! One scenario with real hosts, from beginning to end.
//!
//! # Theory of operation
//!
//! One thread drives everything: it sleeps in poll(2) on the wires and on what agents say, until the world's next event.
//! Then it tells the world what came, packets first, each word at the time at which it was said or as soon after it as the
//! world has come, and runs the world's errands.
//!
//! ```text
//!            ┌── poll ──┐
//!            ▼          │
//!   wires ─► frames ─► Live ─► errands ─┬─► Deliver   onto a wire
//!   agents ► words ──►  ▲               ├─► Ask       to an agent
//!   clock ──────────────┘               └─► Afflict…  to the rig, or a signal to an agent
//! ```
//!
//! Driver and agents are as late as the machine makes them: how late the driver was at worst, for how long an agent waited for
//! a processor, and how long it took to carry out a line, is told with the run, because a run that came late for that says
//! nothing about a kernel or a runtime. What the agents used is told with it, too, those included that were killed on the way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::time::{ClockId, clock_gettime};
use resound_core::Instant;
use resound_sim::programs::Echo;
use resound_sim::scenario::{NodeId, Role};
use resound_sim::world::Live;
use resound_sim::{Record, Run, Scenario};

use crate::agent::{Agent, Brief, Descriptors, Launcher, Life, READY, Told, Used};
use crate::rig::{Heard, Rig, RigError};
use crate::suite::Player;

mod errands;
mod guest;
mod playable;

pub(crate) use guest::become_one;
pub use guest::{Guest, guest};
pub use playable::unplayable;

/// How a scenario is played.
#[derive(Debug)]
pub struct Setup<'a> {
    /// How an agent is started.
    pub launcher: &'a Launcher,
    /// On what its machines run.
    pub player: Player,
    /// How much is written down.
    pub record: Record,
    /// When it ends, after its start; never after the scenario does.
    pub ends: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// As of a simulated world.
    pub run: Run,
    /// By how much the driver was late, at worst; or, if that is more, how long the threads of one agent waited for a
    /// processor, or one took to [carry out](Agent::longest) a line.
    pub late: Duration,
    /// What the processes of all hosts used together; `None` if that cannot be told of one of them.
    pub used: Option<Used>,
    /// When the scenario began, on the clock of this process.
    pub began: std::time::Instant,
}

/// Why a scenario could not be played to its end.
#[derive(Debug)]
pub enum PlayError {
    /// The hosts could not be made, or something could not be done to one.
    Rig(RigError),
    /// A process could not be started.
    Agent(String),
    /// The process that runs a host's programs died unasked.
    Died(NodeId, String),
    /// The driver's own calls failed.
    Io(io::Error),
}

impl std::fmt::Display for PlayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rig(error) => write!(f, "{error}"),
            Self::Agent(why) => f.write_str(why),
            Self::Died(_, why) => write!(f, "the process that runs its programs died: {why}"),
            Self::Io(error) => write!(f, "the driver of the lab failed: {error}"),
        }
    }
}

impl std::error::Error for PlayError {}

impl From<RigError> for PlayError {
    fn from(error: RigError) -> Self {
        Self::Rig(error)
    }
}

impl From<io::Error> for PlayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Plays a scenario with real hosts.
///
/// # Errors
///
/// If hosts or programs could not be made, or were lost.
pub fn play(scenario: &Arc<Scenario>, setup: &Setup<'_>) -> Result<Played, PlayError> {
    let mut cast = Echo;
    let mut stage = Stage::build(scenario, setup, &mut cast)?;
    stage.run_until(setup.ends.min(scenario.until), |_| Ok(true))?;
    Ok(stage.finish())
}

/// Everything of one play.
struct Stage<'s> {
    scenario: &'s Arc<Scenario>,
    setup: &'s Setup<'s>,
    rig: Rig,
    live: Live<'s>,
    /// One for each host that is asked for something, by the node's place.
    agents: Vec<Option<Agent>>,
    /// What each host's programs get, those that are started later too.
    descriptors: Vec<Descriptors>,
    told: Vec<Told>,
    /// CLOCK_BOOTTIME at the start.
    start: Duration,
    began: std::time::Instant,
    late: Duration,
    /// How long each agent had waited for a processor before the start.
    waited: Vec<Duration>,
    /// What those used that are no more.
    used: Option<Used>,
}

/// So often a guest is looked after, and agents' ends are noticed.
const LOOK: Duration = Duration::from_millis(20);

impl<'s> Stage<'s> {
    fn build(
        scenario: &'s Arc<Scenario>,
        setup: &'s Setup<'s>,
        cast: &'s mut Echo,
    ) -> Result<Self, PlayError> {
        let rig = Rig::build(scenario)?;
        let live = Live::new(scenario, cast, setup.record, |_| true);
        let agents = scenario.nodes.iter().map(|_| None).collect();
        let told = Vec::new();
        let mut stage = Self {
            scenario,
            setup,
            rig,
            live,
            agents,
            descriptors: vec![Descriptors::AsUsual; scenario.nodes.len()],
            told,
            start: Duration::ZERO,
            began: std::time::Instant::now(),
            late: Duration::ZERO,
            waited: vec![Duration::ZERO; scenario.nodes.len()],
            used: Some(Used::NOTHING),
        };
        for (at, node) in scenario.nodes.iter().enumerate() {
            let node_id = NodeId(at as u8);
            if node.role == Role::Host && scenario.script.iter().any(|line| line.host == node_id) {
                stage.start_agent(node_id)?;
            }
        }
        for agent in stage.agents.iter_mut().flatten() {
            agent.wait_until_ready(READY)?;
        }
        for (waited, agent) in stage.waited.iter_mut().zip(&stage.agents) {
            *waited = agent.as_ref().map_or(Duration::ZERO, Agent::waited);
        }
        stage.start = now();
        stage.began = std::time::Instant::now();
        Ok(stage)
    }

    /// Starts the process that plays a host's programs.
    fn start_agent(&mut self, node: NodeId) -> Result<(), PlayError> {
        let brief = Brief { player: self.setup.player, host: node, scenario: Arc::clone(self.scenario) };
        let host = self.rig.host(node);
        let host = host.ok_or_else(|| PlayError::Agent(String::from("a router runs no programs")))?;
        let mut agent = Agent::start(self.setup.launcher, &brief, |command| host.spawn(command))?;
        agent.descriptors(self.descriptors[usize::from(node.0)])?;
        self.agents[usize::from(node.0)] = Some(agent);
        Ok(())
    }

    /// The time since the start.
    fn now(&self) -> Instant {
        Instant::EPOCH + now().saturating_sub(self.start)
    }

    /// Drives it to a time, or until it is not to go on.
    fn run_until(
        &mut self,
        ends: Duration,
        mut goes_on: impl FnMut(&mut Self) -> Result<bool, PlayError>,
    ) -> Result<(), PlayError> {
        let ends = Instant::EPOCH + ends;
        loop {
            self.errands()?;
            // What was to happen at that time is in force only now.
            self.late = self.late.max(self.now().since(self.live.now()));
            if self.now() >= ends || !goes_on(self)? {
                return Ok(());
            }
            let look = self.now() + LOOK;
            let due = self.live.next().map_or(ends, |next| next.min(ends)).min(look);
            self.wait(due)?;
            // How late it was for what the world had to do, not for what came by itself.
            if let Some(next) = self.live.next() {
                let late = self.now().since(next);
                self.late = self.late.max(late);
            }
            self.listen()?;
            let now = self.now();
            self.live.advance(now);
        }
    }

    /// Sleeps until something came, or until then.
    fn wait(&mut self, due: Instant) -> Result<(), PlayError> {
        let sleep = due.since(self.now());
        let wires = self.rig.wires();
        let mut fds: Vec<PollFd<'_>> =
            wires.iter().map(|wire| PollFd::new(wire.as_fd(), PollFlags::POLLIN)).collect();
        let agents = self.agents.iter().flatten();
        fds.extend(agents.map(|agent| PollFd::new(agent.as_fd(), PollFlags::POLLIN)));
        let timeout = TimeSpec::nanoseconds(i64::try_from(sleep.as_nanos()).unwrap_or(i64::MAX));
        match ppoll(&mut fds, Some(timeout), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(PlayError::Io(errno.into())),
        }
    }

    /// Takes in what came.
    fn listen(&mut self) -> Result<(), PlayError> {
        for at in 0..self.rig.wires().len() {
            loop {
                let now = self.now();
                let wire = &mut self.rig.wires()[at];
                let way = wire.way();
                match wire.receive()? {
                    None => break,
                    Some(Heard::Packet(packet)) => self.live.sets_out(now, way, packet),
                    Some(Heard::Asks(question)) => {
                        if self.live.asks(now, way.from, way.to) {
                            self.put(at, |wire| wire.answer(&question))?;
                        }
                    }
                    Some(Heard::Other) => {}
                }
                self.errands()?;
            }
        }
        for at in 0..self.agents.len() {
            self.hear(NodeId(at as u8))?;
        }
        Ok(())
    }

    /// Takes in what the programs of a host say.
    fn hear(&mut self, node: NodeId) -> Result<(), PlayError> {
        let Some(agent) = &mut self.agents[usize::from(node.0)] else { return Ok(()) };
        let life = agent.hear(&mut self.told).map_err(|error| PlayError::Died(node, error.to_string()))?;
        self.pass_on(node);
        match life {
            Life::GoesOn => Ok(()),
            Life::Ended(why) => Err(PlayError::Died(node, why.to_string())),
        }
    }

    /// Tells the world what was heard, each word at its own time, but never before what was told already.
    fn pass_on(&mut self, node: NodeId) {
        for Told { at, said } in self.told.drain(..) {
            let at = Instant::EPOCH + at.saturating_sub(self.start);
            self.live.says(at.max(self.live.now()), node, said);
        }
    }

    /// Kills an agent, and takes in what it said before and what it used.
    fn bury(&mut self, node: NodeId, mut agent: Agent) -> Result<(), PlayError> {
        agent.kill();
        let heard = agent.hear(&mut self.told);
        let before = std::mem::take(&mut self.waited[usize::from(node.0)]);
        self.late = self.late.max(agent.waited().saturating_sub(before)).max(agent.longest());
        self.used = self.used.and_then(|used| Some(used.and(agent.used()?)));
        Ok(heard.map(drop)?)
    }

    fn finish(mut self) -> Played {
        // Before their namespaces.
        for at in 0..self.agents.len() {
            if let Some(agent) = self.agents[at].take() {
                // It is over: what is said now is nobody's.
                let _ = self.bury(NodeId(at as u8), agent);
            }
        }
        let Self { live, late, began, used, .. } = self;
        Played { run: live.finish(), late, used, began }
    }
}

/// CLOCK_BOOTTIME: the clock that agents stamp with.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
