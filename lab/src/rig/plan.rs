//! What a host's namespace is furnished with: interfaces, addresses and ways, as lines for `ip -batch`.
//!
//! ```text
//!   host k ── w0 ────────── (lab) the neighbour on its first link      10.0.0.k and fd00::k on each
//!          ── w1 ────────── (lab) the neighbour on its second
//! ```
//!
//! The interfaces take the longest packets that there are, and the ways have the MTU of their link. So a kernel cuts what
//! it sends as it would for that link, but hears whatever the network brings: another MTU for one direction only is
//! possible, and one too small for IPv6 does not take IPv6 away from the interface.

use std::fmt::{Arguments, Write as _};
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use resound_core::signal::Version;
use resound_sim::Scenario;
use resound_sim::faults::Interface;
use resound_sim::kernel::Sysctl;
use resound_sim::scenario::{NodeId, Role, RouteKind, Way, address};
use resound_sim::world::first_ways_of;

use super::wire::{Side, mac};

/// One host of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) legs: Vec<Leg>,
    /// Every other node, and by which leg it is reached.
    pub(super) others: Vec<(NodeId, Option<usize>)>,
    pub(super) sysctl: Vec<(Sysctl, u64)>,
}

/// A link of a host; its interface is `w` and the leg's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) way: Way,
    pub(super) mtu: u16,
}

/// Where packets to a node go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    By(usize),
    /// Nowhere: a route of this type says so.
    Told(&'static str),
    /// Nowhere: there is no route.
    Nowhere,
}

impl Goes {
    /// Where packets to a node go whose way was lost in this manner.
    pub(super) const fn lost(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Unreachable => Self::Told("unreachable"),
            RouteKind::Prohibit => Self::Told("prohibit"),
            RouteKind::Blackhole => Self::Told("blackhole"),
            RouteKind::Missing => Self::Nowhere,
        }
    }
}

/// The longest packet there is: what every interface takes.
const LONGEST: u32 = 65_535;

/// IPv6 needs links that take packets as long as this (RFC 8200 §5).
const LEAST_MTU_V6: u16 = 1_280;

impl Plan {
    fn of(scenario: &Scenario, ways: &[Option<Way>], node: NodeId) -> Self {
        let legs: Vec<_> = scenario
            .links
            .iter()
            .filter_map(|link| {
                let [a, b] = link.ends;
                let to = if a == node { Some(b) } else { (b == node).then_some(a) }?;
                Some(Leg { way: Way { from: node, to }, mtu: link.mtu })
            })
            .collect();
        let others =
            (0..=u8::MAX).zip(ways).map(|(to, way)| (NodeId(to), *way)).filter(|(to, _)| *to != node);
        let others = others.map(|(to, way)| (to, legs.iter().position(|leg| Some(leg.way) == way))).collect();
        let here = &scenario.nodes[usize::from(node.0)];
        Self { node, name: here.name.clone(), legs, others, sysctl: here.sysctl.clone() }
    }

    /// All hosts of a scenario.
    pub(super) fn all(scenario: &Scenario) -> Vec<Self> {
        let ways = first_ways_of(scenario);
        let hosts = (0..=u8::MAX).map(NodeId).zip(&scenario.nodes).zip(&ways);
        hosts
            .filter(|((_, node), _)| node.role == Role::Host)
            .map(|((id, _), ways)| Self::of(scenario, ways, id))
            .collect()
    }

    pub(super) fn leg(&self, way: Way) -> Option<usize> {
        self.legs.iter().position(|leg| leg.way == way)
    }

    /// Settings of its kernel that do not come from the scenario, before it has interfaces: nothing is sent that no
    /// scenario has, and what a new namespace copies from the machine (`devinet_init_net`, `tcp_sk_init`) is as Linux has it.
    pub(super) fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
        const V4: &[(&str, &str)] = &[
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            // A host passes nothing on.
            ("ipv4/ip_forward", "0"),
            ("ipv4/tcp_rmem", "4096 131072 6291456"),
            ("ipv4/tcp_wmem", "4096 16384 4194304"),
        ];
        const V6: &[(&str, &str)] = &[
            // A machine that has switched IPv6 off still has it.
            ("ipv6/conf/all/disable_ipv6", "0"),
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            // No address but those that are given.
            ("ipv6/conf/default/addr_gen_mode", "1"),
        ];
        let v6 = if has_v6() { V6 } else { &[] };
        V4.iter().chain(v6).copied()
    }

    /// Furnishes its namespace, which has its interfaces already.
    pub(super) fn furnish(&self) -> String {
        let mut lines = String::from("link set dev lo up\n");
        for interface in self.interfaces() {
            line(&mut lines, format_args!("link set dev {interface} up"));
            self.addresses(&interface, &mut lines);
        }
        for &(to, leg) in &self.others {
            if let Some(leg) = leg {
                for version in versions() {
                    self.route(to, version, Goes::Nowhere, Goes::By(leg), &mut lines);
                }
            }
        }
        self.to_many(&mut lines);
        lines
    }

    /// Takes the interface of a leg up that was down. Its IPv4 address has outlived that.
    pub(super) fn up(&self, leg: usize, interface: Interface) -> String {
        let mut lines = format!("link set dev w{leg} up\n");
        if interface == Interface::Up {
            if has_v6() {
                line(
                    &mut lines,
                    format_args!("addr add {}/128 dev w{leg} nodad", address(self.node, Version::V6)),
                );
            }
            if leg == 0 {
                self.to_many(&mut lines);
            }
        }
        lines
    }

    /// What has its addresses: the ends of its links, or, without links, what every kernel has.
    pub(super) fn interfaces(&self) -> Vec<String> {
        match self.legs.len() {
            0 => vec!["lo".to_owned()],
            legs => (0..legs).map(|at| format!("w{at}")).collect(),
        }
    }

    fn addresses(&self, interface: &str, lines: &mut String) {
        for version in versions() {
            let (own, more) = match version {
                Version::V4 => ("32", ""),
                Version::V6 => ("128", " nodad"),
            };
            line(lines, format_args!("addr add {}/{own} dev {interface}{more}", address(self.node, version)));
        }
    }

    /// Broadcasts and multicasts leave by the first link. (Over IPv6 the kernel makes that way by itself.)
    pub(super) fn to_many(&self, lines: &mut String) {
        if let Some(leg) = self.legs.first() {
            let own = address(self.node, Version::V4);
            for all in ["224.0.0.0/4", "255.255.255.255/32"] {
                line(lines, format_args!("route replace {all} dev w0 src {own} mtu {}", leg.mtu));
            }
        }
    }

    /// The MTU of a leg, on every way that goes by it and is not lost.
    pub(super) fn mtu(&self, leg: usize, goes: &[[Goes; 2]]) -> String {
        let mut lines = String::new();
        let by = Goes::By(leg);
        for (&(to, _), goes) in self.others.iter().zip(goes) {
            for (version, _) in versions().zip(goes).filter(|(_, goes)| **goes == by) {
                self.route(to, version, by, by, &mut lines);
            }
        }
        lines
    }

    /// The MTU of IPv6 multicasts, which have no route of ours.
    pub(super) fn mtu_v6(&self) -> Vec<(String, String)> {
        let legs = self.legs.iter().enumerate().filter(|_| has_v6());
        legs.map(|(at, leg)| (format!("ipv6/conf/w{at}/mtu"), leg.mtu.max(LEAST_MTU_V6).to_string()))
            .collect()
    }

    /// How long a neighbour's address holds: longer than any run. The kernel would ask again now and then, over IPv6
    /// from a link-local address, and there is none.
    pub(super) fn reachable(&self) -> Vec<(String, String)> {
        let per = |at| ["ipv4", "ipv6"].map(|ip| format!("{ip}/neigh/w{at}/base_reachable_time_ms"));
        let paths = (0..self.legs.len()).flat_map(per).filter(|path| has_v6() || path.starts_with("ipv4"));
        paths.map(|path| (path, "3600000".to_owned())).collect()
    }

    /// Changes where packets to a node go.
    pub(super) fn route(&self, to: NodeId, version: Version, was: Goes, goes: Goes, lines: &mut String) {
        let destination = address(to, version);
        match goes {
            Goes::By(at) => {
                let Leg { way, mtu } = self.legs[at];
                let _ = write!(lines, "route replace {destination}");
                if way.to != to {
                    let _ = write!(lines, " via {}", address(way.to, version));
                }
                let onlink = if way.to == to { "" } else { " onlink" };
                let own = address(self.node, version);
                line(lines, format_args!(" dev w{at}{onlink} src {own} mtu {mtu}"));
            }
            Goes::Told(kind) => line(lines, format_args!("route replace {kind} {destination}")),
            Goes::Nowhere if was == Goes::Nowhere => {}
            Goes::Nowhere => line(lines, format_args!("route del {destination}")),
        }
    }

    /// Makes the interfaces' pairs, in the lab's namespace: its ends have these names, the others are put into the namespace
    /// at this path.
    pub(super) fn pairs(&self, names: &[String], path: &str) -> String {
        let mut lines = String::new();
        for (at, (leg, name)) in self.legs.iter().zip(names).enumerate() {
            let [here, there] = [Side::Neighbour, Side::Host].map(|side| mac(side, leg.way));
            // One packet per frame: without this TCP hands out sixty of them as one, to be cut by a card that is not there.
            let end = |mac| {
                format!("mtu {LONGEST} address {} gso_max_segs 1 numtxqueues 1 numrxqueues 1", colons(mac))
            };
            let (here, there) = (end(here), end(there));
            let peer = format!("peer name w{at} netns {path} {there}");
            line(&mut lines, format_args!("link add name {name} {here} up type veth {peer}"));
        }
        lines
    }
}

/// Whether this kernel has IPv6, and lets this process use it.
pub(super) fn has_v6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    let socket = || socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    *HAS.get_or_init(|| Path::new("/proc/sys/net/ipv6/conf").exists() && socket().is_ok())
}

pub(super) fn versions() -> impl Iterator<Item = Version> {
    let v6 = has_v6();
    [Version::V4, Version::V6].into_iter().filter(move |version| v6 || *version == Version::V4)
}

fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn line(lines: &mut String, text: Arguments<'_>) {
    // A String takes whatever is written.
    let _ = writeln!(lines, "{text}");
}
