//! Every schedule of up to k faults, shortest first.
//!
//! # Theory of operation
//!
//! A schedule is a set of faults, each at a packet: `client->server#3 drop`. Where a fault may stand depends on those
//! before it, since a lost packet is sent again and a refused one is not. So the run with the first faults tells which
//! packets there are, and the next fault stands at one of them that sets out no earlier than the last fault's packet: what
//! was before that is the same in both runs. Each schedule is met exactly once, in the order of its packets, and none is
//! played whose packets never set out.
//!
//! ```text
//!   no fault            packets  1 2 3 4 5 6
//!     drop at 2         packets  1 x 2'3 4 5 6        continues at 2 (another kind of fault), 2', 3 …
//!       reset at 2'     packets  1 x 2'               continues at 2'
//! ```
//!
//! All schedules of one length are tried before any longer one, so that the first one that fails is a shortest. The
//! certificate of a search that found nothing has a digest over all runs, in order: a change of behaviour shows in it.

use std::fmt;
use std::time::Duration;

use super::Trial;
use crate::digest::Digest;
use crate::oracle::Broken;
use crate::run::{Effect, Run};
use crate::scenario::{
    Command, Fault, Forgery, HostFault, NodeId, Pick, Role, Scenario, Tamper, Trigger, Way, What,
};

/// What may go wrong at a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Something happens to the packet.
    Tamper(Tamper),
    /// The packet and those behind it are lost, so many in all.
    Outage(u32),
    /// A packet is made up for the host at this end of the link, by the node at the other end.
    Forge(Forgery, End),
    /// Something happens to the host at this end of the link.
    Host(HostFault, End),
}

/// An end of the link on which the packet sets out. What is meant for a host does not happen where a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Where the packet sets out.
    Sender,
    /// Where it goes.
    Receiver,
}

/// What may go wrong at each packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Menu(pub Vec<Item>);

impl Menu {
    /// What networks do, and a server that is back after a second: drop, duplicate, delay, alter a bit, reboot.
    #[must_use]
    pub fn standard() -> Self {
        Self(vec![
            Item::Tamper(Tamper::Drop),
            Item::Tamper(Tamper::Duplicate(Duration::from_millis(5))),
            Item::Tamper(Tamper::Delay(Duration::from_millis(300))),
            Item::Tamper(Tamper::Alter(0)),
            Item::Host(HostFault::Reboot(Duration::from_secs(1)), End::Receiver),
        ])
    }

    /// What ends TCP connections: resets and FINs that nobody sent, exact and not; hosts that forget, and programs that
    /// stand still. Nobody is killed for good: that nothing works then is no finding.
    #[must_use]
    pub fn tcp_errors() -> Self {
        let picks = [Pick::Exact, Pick::Inside, Pick::Outside];
        let resets = picks.map(|pick| Item::Forge(Forgery::Rst(pick), End::Sender));
        let others = [
            Item::Forge(Forgery::Fin(Pick::Exact), End::Sender),
            Item::Forge(Forgery::Syn(Pick::Inside), End::Sender),
            Item::Host(HostFault::Forget, End::Receiver),
            Item::Host(HostFault::Pause(Duration::from_secs(2)), End::Receiver),
        ];
        Self(resets.into_iter().chain(others).collect())
    }

    /// ICMP errors about the packet, as routers and hosts send them over IPv4 (RFC 792, RFC 1812 §5.2.7).
    #[must_use]
    pub fn icmp_v4() -> Self {
        Self::icmp(&[(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 9), (3, 10), (3, 13), (11, 0), (12, 0)])
    }

    /// ICMPv6 errors about the packet (RFC 4443 §3).
    #[must_use]
    pub fn icmp_v6() -> Self {
        Self::icmp(&[(1, 0), (1, 1), (1, 3), (1, 4), (1, 5), (1, 6), (2, 0), (3, 0), (4, 1)])
    }

    fn icmp(codes: &[(u8, u8)]) -> Self {
        let item = |&(kind, code)| {
            let mtu = matches!((kind, code), (3, 4) | (2, 0)).then_some(1_280);
            Item::Forge(Forgery::Icmp { kind, code, mtu, quote: Pick::Exact, quoted: 528 }, End::Sender)
        };
        Self(codes.iter().map(item).collect())
    }

    /// Both menus.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// Where faults may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Within {
    /// At the first packets of a run, so many in all.
    Overall(u32),
    /// At the first packets of each way, so many of each.
    EachWay(u32),
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overall(n) => write!(f, "the first {n} packets"),
            Self::EachWay(n) => write!(f, "the first {n} packets of each way"),
        }
    }
}

/// A search through all schedules.
///
/// ```
/// use resound_sim::engine::Trial;
/// use resound_sim::engine::explore::{Explore, Within};
/// use resound_sim::{oracle, Scenario};
///
/// let base: Scenario = "
///     host client ; host server
///     link client <-> server 10ms
///     until 5
///     0.0 server serve udp 7 ; 0.0 client connect udp server:7 ; 0.5 client send \"hello\"
/// ".parse()?;
/// let trial = Trial::echo().must(oracle::conservation(base.node("client").unwrap()));
/// let certificate = Explore::new(&base).most_faults(2).within(Within::Overall(6)).run(&trial)?;
/// assert_eq!(certificate.most_faults, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explore<'a> {
    base: &'a Scenario,
    menu: Menu,
    most_faults: u32,
    within: Within,
    stop: Option<u64>,
}

/// Nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// How many schedules were tried, the one without faults among them.
    pub schedules: u64,
    /// Of how many of them every fault acted. A fault that came to nothing, such as a bit turned over in a packet without
    /// payload, makes a schedule of fewer.
    pub acted: u64,
    /// How many packets set out in all of them.
    pub packets: u64,
    /// Over all runs, in order: the same as long as nothing behaves differently.
    pub digest: u64,
    /// The most faults in one schedule.
    pub most_faults: u32,
    /// Where faults stood.
    pub within: Within,
    /// Whether those were all.
    pub extent: Extent,
}

/// Whether a search tried all schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// It did.
    All,
    /// It was told to stop before.
    Stopped,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = match self.extent {
            Extent::All => "all",
            Extent::Stopped => "not all: the first",
        };
        let Self { schedules, acted, packets, digest, most_faults, within, .. } = self;
        write!(f, "{extent} {schedules} schedules of up to {most_faults} faults at {within} hold ")?;
        write!(f, "(every fault acted in {acted}, {packets} packets, digest {digest:016x})")
    }
}

/// A schedule that fails: one of the shortest.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterexample {
    /// The scenario with the schedule in it.
    pub scenario: Scenario,
    /// What it breaks.
    pub broken: Broken,
    /// How many schedules were tried before it.
    pub schedules_before: u64,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, broken) = (self.schedules_before, &self.broken);
        write!(f, "{broken}\nafter {before} schedules that hold, in the scenario\n\n{}", self.scenario)
    }
}

impl std::error::Error for Counterexample {}

impl<'a> Explore<'a> {
    /// A search over this scenario: up to two faults of the standard menu among the first 20 packets, without a stop.
    #[must_use]
    pub fn new(base: &'a Scenario) -> Self {
        Self { base, menu: Menu::standard(), most_faults: 2, within: Within::Overall(20), stop: None }
    }

    /// What may go wrong.
    #[must_use]
    pub fn menu(self, menu: Menu) -> Self {
        Self { menu, ..self }
    }

    /// How many faults a schedule has at most.
    #[must_use]
    pub fn most_faults(self, most_faults: u32) -> Self {
        Self { most_faults, ..self }
    }

    /// Where faults may stand.
    #[must_use]
    pub fn within(self, within: Within) -> Self {
        Self { within, ..self }
    }

    /// Stop after so many schedules.
    #[must_use]
    pub fn stop_after(self, schedules: u64) -> Self {
        Self { stop: Some(schedules), ..self }
    }

    /// Tries them.
    ///
    /// # Errors
    ///
    /// One of the shortest schedules that fail.
    pub fn run(self, trial: &Trial<'_>) -> Result<Certificate, Box<Counterexample>> {
        let mut search = Search {
            trial,
            menu: &self.menu.0,
            within: self.within,
            stop: self.stop.unwrap_or(u64::MAX),
            scenario: self.base.clone(),
            own: self.base.faults.len(),
            ways: ways(self.base),
            schedules: 0,
            acted: 0,
            packets: 0,
            digest: Digest::new(),
        };
        let mut extent = Extent::All;
        for faults in 0..=self.most_faults {
            let before = search.schedules;
            match search.from(None, faults) {
                Ok(()) => {}
                Err(Halt::Stopped) => {
                    extent = Extent::Stopped;
                    break;
                }
                Err(Halt::Found(found)) => return Err(found),
            }
            if search.schedules == before {
                break; // No schedule has that many, so none has more.
            }
        }
        Ok(Certificate {
            schedules: search.schedules,
            acted: search.acted,
            packets: search.packets,
            digest: search.digest.finish(),
            most_faults: self.most_faults,
            within: self.within,
            extent,
        })
    }
}

/// Each way of a scenario.
fn ways(scenario: &Scenario) -> Vec<Way> {
    let both = |link: &crate::scenario::Link| {
        let [a, b] = link.ends;
        [Way { from: a, to: b }, Way { from: b, to: a }]
    };
    scenario.links.iter().flat_map(both).collect()
}

struct Search<'a, 't> {
    trial: &'a Trial<'t>,
    menu: &'a [Item],
    within: Within,
    stop: u64,
    /// The base, and the faults of the schedule behind its own.
    scenario: Scenario,
    own: usize,
    ways: Vec<Way>,
    schedules: u64,
    acted: u64,
    packets: u64,
    digest: Digest,
}

enum Halt {
    Stopped,
    Found(Box<Counterexample>),
}

/// Where the last fault of a schedule stands: its packet's place in the run, and its place in the menu.
#[derive(Clone, Copy)]
struct Last {
    packet: usize,
    item: usize,
    tampers: bool,
}

impl Search<'_, '_> {
    /// All schedules that have `more` faults beyond the present one, which ends with `last`.
    fn from(&mut self, last: Option<Last>, more: u32) -> Result<(), Halt> {
        if more == 0 {
            return self.try_it();
        }
        // A schedule that was tried, and holds: its run tells which packets there are.
        let order = self.order();
        let mut counts = vec![0; self.ways.len()];
        for (packet, way) in order.iter().enumerate() {
            let index = self.ways.iter().position(|is| is == way).unwrap_or(0);
            counts[index] += 1;
            let nth: u32 = counts[index];
            if matches!(self.within, Within::EachWay(most) if nth > most) {
                continue;
            }
            let from = match last {
                Some(last) if packet < last.packet => continue,
                Some(last) if packet == last.packet => last.item + 1,
                _ => 0,
            };
            for item in from..self.menu.len() {
                let tampers = matches!(self.menu[item], Item::Tamper(_) | Item::Outage(_));
                // One packet is tampered with once.
                if tampers && last.is_some_and(|last| last.packet == packet && last.tampers) {
                    continue;
                }
                let Some(fault) = self.fault(item, *way, nth) else { continue };
                self.scenario.faults.push(fault);
                let also = last.is_some_and(|last| last.packet == packet && last.tampers);
                let result = self.from(Some(Last { packet, item, tampers: tampers || also }), more - 1);
                self.scenario.faults.pop();
                result?;
            }
        }
        Ok(())
    }

    /// The ways of the packets at which faults may stand, in the order in which they set out.
    fn order(&self) -> Vec<Way> {
        let most = match self.within {
            Within::Overall(most) => most as usize,
            Within::EachWay(0) => 0,
            Within::EachWay(_) => usize::MAX,
        };
        self.trial.judge_traced(&self.scenario, most).map(|run| run.order).unwrap_or_default()
    }

    fn fault(&self, item: usize, way: Way, nth: u32) -> Option<Fault> {
        let host = |end: &End| {
            let node = match end {
                End::Sender => way.from,
                End::Receiver => way.to,
            };
            (self.scenario.nodes[usize::from(node.0)].role == Role::Host).then_some(node)
        };
        let other = |node: NodeId| if node == way.from { way.to } else { way.from };
        let what = match &self.menu[item] {
            Item::Tamper(tamper) => What::Tamper(way, *tamper),
            Item::Outage(packets) => What::Cut(way, Some(Trigger::Packet(way, nth.saturating_add(*packets)))),
            Item::Forge(packet, end) => {
                let to = host(end)?;
                What::Forge { from: other(to), to, packet: *packet }
            }
            Item::Host(what, end) => {
                let node = host(end)?;
                // Only servers are started again: a client that is gone is no finding.
                if matches!(what, HostFault::Reboot(_)) && !self.serves(node) {
                    return None;
                }
                What::Host(node, what.clone())
            }
        };
        Some(Fault::new(Trigger::Packet(way, nth), what))
    }

    fn serves(&self, node: NodeId) -> bool {
        let serves = |command: &Command| matches!(command, Command::Serve(..));
        self.scenario.script.iter().any(|line| line.host == node && serves(&line.command))
    }

    fn try_it(&mut self) -> Result<(), Halt> {
        if self.schedules >= self.stop {
            return Err(Halt::Stopped);
        }
        match self.trial.judge(&self.scenario) {
            Ok(run) => {
                self.schedules += 1;
                let own = &run.ledger[self.own..];
                self.acted += u64::from(own.iter().all(|effect| matches!(effect, Effect::Acted(_))));
                self.packets += run.packets;
                self.digest.mix(run.digest);
                Ok(())
            }
            Err(broken) => {
                let scenario = self.scenario.clone();
                let found = Counterexample { scenario, broken, schedules_before: self.schedules };
                Err(Halt::Found(Box::new(self.finish(found))))
            }
        }
    }

    /// A fault of the schedule that does nothing is allowed to: it stands there for its packet's sake.
    fn finish(&self, mut found: Counterexample) -> Counterexample {
        if found.broken.rule != super::NO_PANIC {
            let run: Run = self.trial.play(&found.scenario, crate::run::Record::Said);
            for (fault, effect) in found.scenario.faults.iter_mut().zip(&run.ledger).skip(self.own) {
                fault.may_be_inert = matches!(effect, Effect::Inert(_));
            }
        }
        found
    }
}
