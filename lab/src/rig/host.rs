//! A host: its namespace, and what can be done to it for real.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, Command};
use std::{io, mem};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, socket,
};
use resound_core::signal::Version;
use resound_sim::faults::Interface;
use resound_sim::kernel::Sysctl;
use resound_sim::scenario::{NodeId, RouteKind, Way, address};

use super::RigError;
use super::place::Place;
use super::plan::{Goes, Plan, has_v6, versions};
use super::ready;
use super::sysctl::{self, PORT_RANGE, files};

/// A network namespace, and a thread that lives in it as long as this does.
#[derive(Debug)]
pub struct Host {
    pub(super) plan: Plan,
    pub(super) place: Place,
    /// What was done to its ways: to one node, or (`None`) to all.
    lost: BTreeMap<Option<NodeId>, RouteKind>,
    /// What its legs are like.
    interfaces: Vec<Interface>,
    /// Those that were down and are up, in the order in which they came up.
    came_up: Vec<usize>,
    /// Its settings by now, the scenario's first.
    settings: Vec<(Sysctl, u64)>,
    /// What holds the only port that is given out.
    holders: Vec<OwnedFd>,
}

impl Host {
    /// A kernel without interfaces.
    pub(super) fn new(plan: Plan) -> Result<Self, RigError> {
        let place = Place::new(&plan.name)?;
        let settings = plan.sysctl.clone();
        let scenarios = files(&settings)?;
        place.run(move || {
            let own = Plan::settings().try_for_each(|(path, value)| sysctl::write(path, value));
            own.and_then(|()| scenarios.iter().try_for_each(|(path, value)| sysctl::write(path, value)))
        })?;
        let interfaces = vec![Interface::Up; plan.legs.len()];
        let (lost, came_up, holders) = (BTreeMap::new(), Vec::new(), Vec::new());
        Ok(Self { plan, place, lost, interfaces, came_up, settings, holders })
    }

    /// Sets up the interfaces that have been put there.
    pub(super) fn furnish(&self) -> Result<(), RigError> {
        self.place.ip(self.plan.furnish())?;
        self.ready()?;
        self.write(self.plan.reachable())
    }

    /// Which node of the scenario it is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.plan.node
    }

    /// Does a job on the thread in the namespace, and waits for it. Sockets that it makes belong to this host for good. A
    /// job must not itself call this.
    ///
    /// # Panics
    ///
    /// If the job does.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.place.run(job)
    }

    /// Starts a process in the namespace. Its parent is the thread there, which lives as long as this: a child that asks for
    /// it (`PR_SET_PDEATHSIG`) is told when the lab dies, or the host reboots.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`].
    pub fn spawn(&self, command: Command) -> io::Result<Child> {
        self.place.spawn(command)
    }

    /// Takes away the way to a node, or to all, in this manner; or (`None`) gives it back. What is said of one node counts
    /// before what is said of all.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn route(&mut self, to: Option<NodeId>, kind: Option<RouteKind>) -> Result<(), RigError> {
        let before = self.goes();
        match kind {
            Some(kind) => self.lost.insert(to, kind),
            None => self.lost.remove(&to),
        };
        self.place.ip(self.reroute(&before))
    }

    /// Takes an interface down, or up again. What its kernel does of itself is left to it; what it would have brought back had
    /// the address a prefix with the neighbour in it, is brought back for it: its IPv4 way to the neighbour. One that is up and
    /// is to be bare is taken down first: that is what it is bare of.
    ///
    /// # Errors
    ///
    /// If it has no such link, or what `ip` says.
    pub fn interface(&mut self, way: Way, interface: Interface) -> Result<(), RigError> {
        let leg = self.leg(way)?;
        match (self.interfaces[leg], interface) {
            (was, is) if was == is => return Ok(()),
            (Interface::Up, Interface::Bare) => self.interface(way, Interface::Down)?,
            _ => {}
        }
        let before = self.goes();
        self.interfaces[leg] = interface;
        self.came_up.retain(|other| *other != leg);
        match interface {
            // Its routes go of themselves.
            Interface::Down => self.place.ip(format!("link set dev w{leg} down\n")),
            Interface::Up | Interface::Bare => {
                self.came_up.push(leg);
                self.place.ip(self.plan.up(leg, interface) + &self.reroute(&before))?;
                self.ready()
            }
        }
    }

    /// What its links have become by now, and not its kernel, is made true of this one, which is new. Those that came up later
    /// come up later here too: a kernel speaks to IPv6 groups over the one that is up for longest.
    pub(super) fn inherit(&mut self, old: &Self) -> Result<(), RigError> {
        for leg in &old.plan.legs {
            self.mtu(leg.way, leg.mtu)?;
        }
        let down = (0..old.interfaces.len()).filter(|leg| old.interfaces[*leg] == Interface::Down);
        for leg in old.came_up.iter().copied().chain(down) {
            let way = old.plan.legs[leg].way;
            self.interface(way, Interface::Down)?;
            self.interface(way, old.interfaces[leg])?;
        }
        Ok(())
    }

    /// Whether the interface by which this way leaves it hears anything.
    pub(super) fn hears(&self, way: Way) -> bool {
        self.plan.leg(way).is_some_and(|leg| self.interfaces[leg] != Interface::Down)
    }

    /// Waits until it takes packets for its own addresses, and writes what a kernel forgets of an interface that goes down.
    fn ready(&self) -> Result<(), RigError> {
        if has_v6() {
            let own = address(self.node(), Version::V6);
            let is_up = |leg: usize| self.interfaces.get(leg).is_none_or(|is| *is == Interface::Up);
            let interfaces = self.plan.interfaces().into_iter().enumerate();
            let interfaces: Vec<_> =
                interfaces.filter(|(leg, _)| is_up(*leg)).map(|(_, interface)| interface).collect();
            self.place.run(move || ready::address(own, &interfaces)).map_err(RigError::Unready)?;
        }
        self.write(self.plan.mtu_v6())
    }

    /// Where packets to each other node go, over each version of IP.
    fn goes(&self) -> Vec<[Goes; 2]> {
        let goes = |&(node, leg): &(NodeId, Option<usize>)| {
            [Version::V4, Version::V6].map(|version| self.goes_to(node, leg, version))
        };
        self.plan.others.iter().map(goes).collect()
    }

    fn goes_to(&self, node: NodeId, leg: Option<usize>, version: Version) -> Goes {
        if let Some(&kind) = self.lost.get(&Some(node)).or_else(|| self.lost.get(&None)) {
            return Goes::lost(kind);
        }
        match leg.map(|leg| (leg, self.interfaces[leg])) {
            Some((leg, Interface::Up)) => Goes::By(leg),
            Some((leg, Interface::Bare)) if version == Version::V4 && self.plan.legs[leg].way.to == node => {
                Goes::By(leg)
            }
            _ => Goes::Nowhere,
        }
    }

    /// What changes for `ip` since it was so.
    fn reroute(&self, before: &[[Goes; 2]]) -> String {
        let mut lines = String::new();
        for ((&(node, _), was), is) in self.plan.others.iter().zip(before).zip(self.goes()) {
            for (version, (was, is)) in versions().zip(was.iter().zip(is)) {
                if *was != is {
                    self.plan.route(node, version, *was, is, &mut lines);
                }
            }
        }
        lines
    }

    /// Longer packets than this do not fit the link that leaves it this way. Those that come from there may be of any length.
    ///
    /// # Errors
    ///
    /// If it has no such link, or what `ip` says.
    pub fn mtu(&mut self, way: Way, mtu: u16) -> Result<(), RigError> {
        let leg = self.leg(way)?;
        if mem::replace(&mut self.plan.legs[leg].mtu, mtu) == mtu {
            return Ok(());
        }
        let goes = self.goes();
        let mut lines = self.plan.mtu(leg, &goes);
        if leg == 0 && self.interfaces[leg] == Interface::Up {
            self.plan.to_many(&mut lines);
        }
        self.place.ip(lines)?;
        self.write(self.plan.mtu_v6())
    }

    /// Forgets its neighbour's Ethernet address: the next packet that goes there asks for it. A neighbour that answered once
    /// is believed in until then, also if it hears nothing any more.
    ///
    /// # Errors
    ///
    /// If it has no such link, or what `ip` says.
    pub fn forget_neighbours(&mut self, way: Way) -> Result<(), RigError> {
        let leg = self.leg(way)?;
        self.place.ip(format!("neigh flush dev w{leg}\n"))
    }

    /// No port is given out any more: there is only one, and it is held. Connections keep theirs.
    ///
    /// # Errors
    ///
    /// If no port is free to be held.
    pub fn exhaust_ports(&mut self) -> Result<(), RigError> {
        let (port, holders) = self.place.run(hold_a_port)?;
        self.holders = holders;
        self.write(vec![(PORT_RANGE.to_owned(), format!("{port} {port}"))])
    }

    /// Ports are given out again.
    ///
    /// # Errors
    ///
    /// If the setting cannot be written.
    pub fn restore_ports(&mut self) -> Result<(), RigError> {
        self.holders.clear();
        let both = [Sysctl::PortLow, Sysctl::PortHigh].map(|half| (half, self.setting(half)));
        self.write(owned(files(&both)?))
    }

    /// Changes a setting of its kernel.
    ///
    /// # Errors
    ///
    /// If a namespace has no such setting of its own ([`cannot_set`](super::cannot_set)), or it cannot be written.
    pub fn sysctl(&mut self, sysctl: Sysctl, value: u64) -> Result<(), RigError> {
        let mut settings = vec![(sysctl, value)];
        // Both ends of the port range are written at once.
        settings.extend(match sysctl {
            Sysctl::PortLow => Some((Sysctl::PortHigh, self.setting(Sysctl::PortHigh))),
            Sysctl::PortHigh => Some((Sysctl::PortLow, self.setting(Sysctl::PortLow))),
            _ => None,
        });
        let mut files = files(&settings)?;
        // While no port is given out, a range is kept for later.
        files.retain(|(path, _)| *path != PORT_RANGE || self.holders.is_empty());
        self.write(owned(files))?;
        self.settings.push((sysctl, value));
        Ok(())
    }

    fn setting(&self, sysctl: Sysctl) -> u64 {
        let last = self.settings.iter().rev().find(|(name, _)| *name == sysctl);
        last.map_or(sysctl.default_value(), |(_, value)| *value)
    }

    fn leg(&self, way: Way) -> Result<usize, RigError> {
        self.plan.leg(way).ok_or_else(|| RigError::NoLink { host: self.plan.name.clone(), way })
    }

    fn write(&self, files: Vec<(String, String)>) -> Result<(), RigError> {
        self.place.run(move || files.iter().try_for_each(|(path, value)| sysctl::write(path, value)))
    }
}

fn owned(files: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    files.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
}

/// Binds a port for TCP and UDP, on all addresses of both versions, from the highest down. A socket that has a port without
/// `SO_REUSEADDR` keeps it from everyone (`inet_csk_bind_conflict`, `udp_lib_lport_inuse`, `__inet_hash_connect`).
fn hold_a_port() -> Result<(u16, Vec<OwnedFd>), RigError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in (1_024..=u16::MAX).rev() {
        let held: io::Result<Vec<_>> =
            [SockType::Stream, SockType::Datagram].map(|kind| hold(kind, port)).into_iter().collect();
        match held {
            Ok(held) => return Ok((port, held)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(RigError::Ports(error)),
        }
    }
    Err(RigError::Ports(last))
}

fn hold(kind: SockType, port: u16) -> io::Result<OwnedFd> {
    let make = |family| socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let take = |socket: OwnedFd, address: &dyn SockaddrLike| {
        bind(socket.as_raw_fd(), address)?;
        Ok(socket)
    };
    if has_v6() {
        // Dual-stack: it has the port of IPv4 too.
        let any = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, port, 0, 0);
        take(make(AddressFamily::Inet6)?, &SockaddrIn6::from(any))
    } else {
        take(make(AddressFamily::Inet)?, &SockaddrIn::new(0, 0, 0, 0, port))
    }
}
