//! Real hosts: namespaces, wires, and what can be done to them.
//!
//! # Theory of operation
//!
//! Each host of a scenario is a network namespace: a kernel's whole stack, with addresses, routes and settings of its own. It
//! has no name, only a thread that lives in it. Each of its links is a veth pair. The other ends of all pairs are in one
//! more namespace, the lab's, where nothing is but packet sockets: whoever holds them is every host's neighbour.
//!
//! ```text
//!   host `client`             the lab's namespace              host `server`
//!  ┌──────────────────┐      ┌────────────────────┐      ┌──────────────────┐
//!  │ 10.0.0.1  fd00::1│      │                    │      │ 10.0.0.3  fd00::3│
//!  │               w0 ├──────┤ n0  Wire   Wire  n1├──────┤ w0               │
//!  │ thread, processes│      │       │     │      │      │ thread, processes│
//!  └──────────────────┘      └───────┼─────┼──────┘      └──────────────────┘
//!                                    ▼     ▼
//!                             `play`: links, routers, faults
//! ```
//!
//! A host believes that its neighbours are there because somebody [answers](Wire::answer) when it asks for their
//! Ethernet addresses; whether somebody does is up to the scenario. Everything else it sends comes out of the [`Wire`] as a
//! [`Packet`](resound_sim::packet::Packet), and what is put in is a packet from its neighbour.
//!
//! Nothing here decides anything. It makes what a scenario says, and does what it is told.
//!
//! **What is left behind:** nothing. A namespace is gone with the last thread, process and socket in it, and takes its
//! interfaces along; a pair is gone with either end. So it needs no clean-up, whatever ended the lab.
//!
//! | file | has |
//! |---|---|
//! | `allowed` | whether this process may |
//! | `place` | a namespace and its thread |
//! | `plan` | which interfaces, addresses and ways a host has |
//! | `ready` | waiting until what was set up is in force |
//! | `host` | what can be done to a host |
//! | `sysctl` | where a kernel has its settings |
//! | `wire`, `frame` | packets, and the frames around them |
//! | `pieces` | packets that were sent in pieces |

use std::net::IpAddr;
use std::{fmt, io, mem, slice};

use resound_core::signal::Version;
use resound_sim::Scenario;
use resound_sim::faults::Interface;
use resound_sim::kernel::Sysctl;
use resound_sim::scenario::{HostFault, NodeId, Way, What, address};

mod allowed;
mod frame;
mod host;
mod pieces;
mod place;
mod plan;
mod ready;
mod sysctl;
mod wire;

pub use allowed::{Hindrance, allowed, prepare};
pub use frame::Question;
pub use host::Host;
pub use sysctl::cannot_set;
pub(crate) use sysctl::files;
pub use wire::{Heard, Others, Wire};

use place::Place;
use plan::{Plan, has_v6};

/// The hosts of a scenario, and the wires to them.
#[derive(Debug)]
pub struct Rig {
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    /// What stands ready for hosts that will be rebooted.
    spares: Vec<Spare>,
    /// Wires to kernels that are gone. To close a packet socket takes tens of milliseconds (`synchronize_net`).
    retired: Vec<Wire>,
    lab: Place,
    /// How many pairs there have been. A dead host's interfaces stay for a moment, and names must not meet.
    pairs: u32,
}

/// A host that nobody has heard of yet, with its wires.
#[derive(Debug)]
struct Spare {
    host: Host,
    wires: Vec<Wire>,
}

/// Why something could not be done with real hosts.
#[derive(Debug)]
pub enum RigError {
    /// This process may not.
    Hindered(Hindrance),
    /// No namespace could be made, or no thread for it.
    Namespace {
        /// Whose.
        of: String,
        /// What the system said.
        error: io::Error,
    },
    /// `ip` could not do it.
    Ip {
        /// In whose namespace.
        at: String,
        /// What it was asked.
        line: String,
        /// What it said.
        said: String,
    },
    /// A setting under /proc/sys/net could not be written.
    Setting {
        /// Its path there.
        path: String,
        /// What was written.
        value: String,
        /// What the system said.
        error: io::Error,
    },
    /// A setting that no namespace has for itself.
    Fixed {
        /// Which.
        sysctl: Sysctl,
        /// Why.
        why: &'static str,
    },
    /// The lab's end of a link could not be opened.
    Wire {
        /// From the host to its neighbour.
        way: Way,
        /// What the system said.
        error: io::Error,
    },
    /// What was set up is not in force after a long time.
    Unready(io::Error),
    /// No port could be held.
    Ports(io::Error),
    /// The host has no link that way.
    NoLink {
        /// Its name.
        host: String,
        /// The way.
        way: Way,
    },
    /// The node is no host of the scenario.
    NoHost(NodeId),
}

/// What every host's kernel is told before its scenario's own settings: paths under /proc/sys/net, and values.
pub fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    Plan::settings()
}

impl fmt::Display for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hindered(hindrance) => hindrance.fmt(f),
            Self::Namespace { of, error } => {
                write!(f, "no network namespace for {of}: {error} (see /proc/sys/user/max_net_namespaces)")
            }
            Self::Ip { at, line, said } => write!(f, "in the namespace of {at}, `ip {line}` said: {said}"),
            Self::Setting { path, value, error } => {
                write!(
                    f,
                    "/proc/sys/net/{path} does not take {value}: {error} (Linux 6.15 has all that are used)"
                )
            }
            Self::Fixed { sysctl, why } => {
                write!(
                    f,
                    "{} cannot be set for a real host: {why}; leave it out, or only simulate",
                    sysctl.name()
                )
            }
            Self::Wire { way, error } => {
                write!(f, "no packet socket for the link {}: {error}", link(*way))
            }
            Self::Unready(error) => write!(f, "a network namespace does not get ready: {error}"),
            Self::Ports(error) => write!(f, "no port could be held: {error}"),
            Self::NoLink { host, way } => {
                write!(f, "{host} has no link {}", link(*way))
            }
            Self::NoHost(node) => write!(f, "{} is no host of the scenario", v4(*node)),
        }
    }
}

impl std::error::Error for RigError {}

/// Why no host here can speak this IP version; `None` if they can.
#[must_use]
pub fn lacks(version: Version) -> Option<Hindrance> {
    (version == Version::V6 && !has_v6()).then(Hindrance::no_v6)
}

fn v4(node: NodeId) -> IpAddr {
    address(node, Version::V4)
}

fn link(way: Way) -> String {
    format!("from {} to {}", v4(way.from), v4(way.to))
}

impl Rig {
    /// Makes the hosts of a scenario, ready to run programs. Routers are not made: they are the simulator's.
    ///
    /// # Errors
    ///
    /// What could not be made, and why.
    pub fn build(scenario: &Scenario) -> Result<Self, RigError> {
        lacks(scenario.version).map_or(Ok(()), |hindrance| Err(RigError::Hindered(hindrance)))?;
        let lab = Place::new("the lab")?;
        if has_v6() {
            lab.run(|| sysctl::write("ipv6/conf/default/disable_ipv6", "1"))?;
        }
        let plans = Plan::all(scenario);
        let again: Vec<_> = reboots(scenario).collect();
        let spare = again.iter().filter_map(|node| plans.iter().find(|plan| plan.node == *node));
        let mut hosts = Vec::new();
        for plan in plans.iter().chain(spare) {
            hosts.push(Host::new(plan.clone())?);
        }
        let mut rig = Self {
            hosts: Vec::new(),
            wires: Vec::new(),
            spares: Vec::new(),
            retired: Vec::new(),
            lab,
            pairs: 0,
        };
        let mut wires = rig.connect(&hosts)?.into_iter();
        for (at, host) in hosts.into_iter().enumerate() {
            let own = wires.by_ref().take(host.plan.legs.len());
            if at < plans.len() {
                rig.wires.extend(own);
                rig.hosts.push(host);
            } else {
                rig.spares.push(Spare { wires: own.collect(), host });
            }
        }
        Ok(rig)
    }

    /// A host.
    #[must_use]
    pub fn host(&mut self, node: NodeId) -> Option<&mut Host> {
        self.hosts.iter_mut().find(|host| host.node() == node)
    }

    /// The wires of all hosts.
    #[must_use]
    pub fn wires(&mut self) -> &mut [Wire] {
        &mut self.wires
    }

    /// Hosts and wires, to be used at the same time by different threads.
    #[must_use]
    pub fn parts(&mut self) -> (&mut [Host], &mut [Wire]) {
        (&mut self.hosts, &mut self.wires)
    }

    /// Throws a host's kernel away, with all its connections, sockets and processes that follow their parent, and puts a new
    /// one in its place, with the same addresses and the scenario's settings, and with its links as they are by now. Its wires
    /// are replaced in place.
    ///
    /// For each reboot that the scenario names one stands ready; else it is made now, which takes tens of milliseconds.
    ///
    /// # Errors
    ///
    /// What could not be made, and why; the host is then as it was.
    pub fn reboot(&mut self, node: NodeId) -> Result<(), RigError> {
        let at = self.hosts.iter().position(|host| host.node() == node).ok_or(RigError::NoHost(node))?;
        let ready = self.spares.iter().position(|spare| spare.host.node() == node);
        let Spare { mut host, wires } = match ready {
            Some(ready) => self.spares.swap_remove(ready),
            None => self.spare(self.hosts[at].plan.clone())?,
        };
        host.inherit(&self.hosts[at])?;
        let hearing = wires.iter().filter(|wire| host.hears(wire.way()));
        self.wait_for(hearing.map(|wire| wire.interface().to_owned()).collect())?;
        self.hosts[at] = host;
        for wire in wires {
            if let Some(old) = self.wires.iter_mut().find(|old| old.way() == wire.way()) {
                self.retired.push(mem::replace(old, wire));
            }
        }
        Ok(())
    }

    /// Takes an interface of a host down, or up again; then it hears and is heard.
    ///
    /// # Errors
    ///
    /// If there is no such host or link, or what `ip` says.
    pub fn interface(&mut self, way: Way, interface: Interface) -> Result<(), RigError> {
        self.host(way.from).ok_or(RigError::NoHost(way.from))?.interface(way, interface)?;
        match interface {
            Interface::Up | Interface::Bare => {
                let ends = self.wires.iter().filter(|wire| wire.way() == way);
                self.wait_for(ends.map(|wire| wire.interface().to_owned()).collect())
            }
            Interface::Down => Ok(()),
        }
    }

    /// Whether a host hears what comes from there: not if the interface is down, or there is none.
    #[must_use]
    pub fn hears(&self, way: Way) -> bool {
        self.hosts.iter().any(|host| host.node() == way.from && host.hears(way))
    }

    /// Waits until these ends of the lab's send what they are given: the others' are up.
    fn wait_for(&self, ends: Vec<String>) -> Result<(), RigError> {
        self.lab.run(move || ready::interfaces(&ends)).map_err(RigError::Unready)
    }

    fn spare(&mut self, plan: Plan) -> Result<Spare, RigError> {
        let host = Host::new(plan)?;
        let wires = self.connect(slice::from_ref(&host))?;
        Ok(Spare { host, wires })
    }

    /// Gives these hosts their interfaces, all with one call of `ip`, opens the lab's ends, and then lets the hosts furnish
    /// theirs: they are silent before, and ready to be heard and spoken to after. The wires are in the order of the hosts.
    fn connect(&mut self, hosts: &[Host]) -> Result<Vec<Wire>, RigError> {
        let mut lines = String::new();
        let mut ends = Vec::new();
        for host in hosts {
            let first = self.pairs;
            self.pairs += host.plan.legs.len() as u32;
            let names: Vec<_> = (first..self.pairs).map(|pair| format!("n{pair}")).collect();
            lines += &host.plan.pairs(&names, &host.place.path());
            ends.extend(host.plan.legs.iter().map(|leg| leg.way).zip(names));
        }
        let names: Vec<_> = ends.iter().map(|(_, name)| name.clone()).collect();
        self.lab.ip(lines)?;
        let open = |(way, name): (Way, String)| {
            Wire::open(way, &name).map_err(|error| RigError::Wire { way, error })
        };
        let wires = self.lab.run(move || ends.into_iter().map(open).collect::<Result<Vec<_>, _>>())?;
        for host in hosts {
            host.furnish()?;
        }
        self.wait_for(names)?;
        Ok(wires)
    }
}

/// The hosts that a scenario gives a new kernel, once for each time.
fn reboots(scenario: &Scenario) -> impl Iterator<Item = NodeId> + '_ {
    scenario.faults.iter().filter_map(|fault| match fault.what {
        What::Host(node, HostFault::Reboot(_) | HostFault::Forget) => Some(node),
        _ => None,
    })
}
