//! What the client of a scenario said, and what it was asked for.

use std::net::SocketAddr;
use std::time::Duration;

use resound_planted_sim as resound_sim;

use resound_sim::faults::since_start;
use resound_sim::scenario::socket_addr;
use resound_sim::scenario::{Command, Fault, HostFault, Knobs, NodeId, Peer, Said, Transport, What};
use resound_sim::{Run, Scenario};

use super::wire::Wire;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The one client of a scenario.
pub(crate) struct Story<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) run: &'a Run,
    pub(crate) client: NodeId,
    pub(crate) peer: Peer,
    pub(crate) udp: bool,
    pub(crate) idle: Duration,
    pub(crate) probe: Duration,
    pub(crate) misses: u8,
    pub(crate) round: Duration,
    pub(crate) rounds: Option<u32>,
    /// What it said, and when.
    pub(crate) lines: Vec<(Duration, &'a Said)>,
    /// When it was asked to close, or to end at once.
    pub(crate) closing: Option<Duration>,
    /// For how long its programs stood still.
    pub(crate) stood_still: Duration,
}

impl<'a> Story<'a> {
    /// The story of a scenario with one client. None of one whose clock jumps: its times mean nothing.
    pub(crate) fn of(scenario: &'a Scenario, run: &'a Run) -> Option<Self> {
        let mut connects = scenario.script.iter().filter_map(|line| match &line.command {
            Command::Connect(transport, peer, knobs) => Some((line.host, *transport, *peer, *knobs)),
            _ => None,
        });
        let (client, transport, peer, knobs) = connects.next()?;
        if connects.next().is_some() {
            return None;
        }
        let own = |fault: &'a Fault| match &fault.what {
            What::Host(host, what) if *host == client => Some(what),
            _ => None,
        };
        let own = || scenario.faults.iter().filter_map(own);
        if own().any(|what| matches!(what, HostFault::Skew(_))) {
            return None;
        }
        let stood_still =
            own().map(|what| if let HostFault::Pause(time) = what { *time } else { Duration::ZERO });
        let udp = transport == Transport::Udp;
        let Knobs { idle, probe, misses, round, rounds, resend: _ } = knobs;
        let idle = idle.unwrap_or(15 * SECOND);
        let usual = if udp { 3 * SECOND } else { 5 * SECOND };
        let usual = if idle.is_zero() { usual } else { usual.min(idle) };
        let ends = |command: &Command| matches!(command, Command::Close | Command::Abort);
        Some(Self {
            scenario,
            run,
            client,
            peer,
            udp,
            idle,
            probe: probe.unwrap_or(usual),
            misses: misses.unwrap_or(if udp { 5 } else { 3 }),
            round: round.unwrap_or(20 * SECOND),
            rounds,
            lines: run.said_by(client).map(|remark| (since_start(remark.at), &remark.said)).collect(),
            closing: scenario
                .script
                .iter()
                .find(|l| l.host == client && ends(&l.command))
                .map(|line| line.at),
            stood_still: stood_still.sum(),
        })
    }

    /// What it said before it was asked to close, or to end.
    pub(crate) fn before_closing(&self) -> impl Iterator<Item = (Duration, &'a Said)> {
        let closing = self.closing.unwrap_or(Duration::MAX);
        self.lines.iter().copied().take_while(move |(at, _)| *at < closing)
    }

    /// Whether something must have been said by this time, if it ever is.
    pub(crate) fn is_over(&self, due: Duration) -> bool {
        due + self.stood_still < self.scenario.until && !self.was_killed()
    }

    /// Whether its program was ended from outside.
    pub(crate) fn was_killed(&self) -> bool {
        self.host_faults(self.client)
            .any(|what| matches!(what, HostFault::Kill | HostFault::PowerLoss | HostFault::Reboot(_)))
    }

    pub(crate) fn host_faults(&self, host: NodeId) -> impl Iterator<Item = &'a HostFault> {
        self.scenario.faults.iter().filter_map(move |fault| match &fault.what {
            What::Host(at, what) if *at == host => Some(what),
            _ => None,
        })
    }

    /// The peer's address.
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        socket_addr(self.peer, self.scenario.version)
    }

    /// The packets of this run: it is played once more for them.
    pub(crate) fn wire(&self) -> Wire {
        Wire::of(self.scenario, self.client)
    }

    /// Whether the network brings everything at once and once, and hosts do what they are asked: all that goes wrong are
    /// these.
    pub(crate) fn only(&self, harmless: impl Fn(&What) -> bool) -> bool {
        let clean = self.scenario.links.iter().all(|link| {
            link.loss == 0
                && link.duplicate == 0
                && link.corrupt == 0
                && link.rate.is_none()
                && link.jitter.is_zero()
        });
        clean && self.scenario.faults.iter().all(|fault| harmless(&fault.what))
    }

    /// Whether a neighbour may be gone, so that a kernel does not find out where to send a packet, and says so itself.
    pub(crate) fn may_lose_neighbours(&self) -> bool {
        let away = |what: &HostFault| matches!(what, HostFault::PowerLoss | HostFault::Reboot(_));
        self.scenario.faults.iter().any(|fault| match &fault.what {
            What::Unplug(..) | What::LinkDown(..) => true,
            What::Host(_, what) => away(what),
            _ => false,
        })
    }

    /// Whether its peer is there from the beginning, and nobody but this client has anything to do with it.
    pub(crate) fn is_served(&self) -> bool {
        let transport = if self.udp { Transport::Udp } else { Transport::Tcp };
        let serves = Command::Serve(transport, self.peer.port);
        let script = &self.scenario.script;
        let first = script.iter().position(|line| line.host == self.peer.host && line.command == serves);
        let connect = script.iter().position(|line| matches!(line.command, Command::Connect(..)));
        let calls = script.iter().any(|line| matches!(line.command, Command::Call(_)));
        !calls && self.has_path() && first.zip(connect).is_some_and(|(first, connect)| first < connect)
    }

    /// Whether any way leads to its peer.
    fn has_path(&self) -> bool {
        let mut reached = vec![self.client];
        let mut next = 0;
        while let Some(node) = reached.get(next).copied() {
            next += 1;
            for link in &self.scenario.links {
                let [a, b] = link.ends;
                let other = if a == node { b } else { a };
                if (a == node || b == node) && !reached.contains(&other) {
                    reached.push(other);
                }
            }
        }
        reached.contains(&self.peer.host)
    }
}
