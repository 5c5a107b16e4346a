//! A scenario is data: who is there, how they are connected, what the programs are asked, what goes wrong and when, and
//! what is expected of it.
//!
//! # Theory of operation
//!
//! Everything random has already been decided in a scenario, so it needs no generator to be played, and means the same
//! when the generators change. Every engine makes them, changes them or plays them:
//!
//! ```text
//!   text  ◄──►  ┌──────────┐  ──►  World::play  ──►  Run (what was said, timeline, ledger)
//!   soak   ──►  │ Scenario │
//!   explore ─►  └──────────┘  ──►  text (regressions are committed as *.scn, never as seeds)
//!   proptest ►       ▲
//!   bytes  ──►       └── shrink: leave out, weaken, round
//! ```
//!
//! Even a link that loses one packet in a hundred is decided: whether the nth packet is lost follows from `n` and the
//! link's own [`noise`](Link::noise).
//!
//! Nodes are named by their place in [`Scenario::nodes`]; the text form uses their names.

use std::time::Duration;

use resound_core::signal::Version;

mod address;
mod check;
mod command;
mod expect;
mod fault;
mod over;
pub mod text;

pub use address::{address, node_at, socket_addr};
pub use check::{BadScenario, Place};
pub use command::{Address, Call, Command, End, Knobs, Open, Payload, Peer, SocketKnobs, Transport};
pub use expect::{Expect, Mode, Said, Unmet};
pub use fault::{Comeback, Fault, Forgery, HostFault, Pick, RouteKind, Tamper, Trigger, Way, What};
pub(crate) use text::QUOTED;
pub use text::{Malformed, Show};

use crate::kernel::{Profile, Sysctl};

/// What is to be played.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The kernel of every host.
    pub profile: Profile,
    /// Which IP version a host's name stands for in commands.
    pub version: Version,
    /// From which the programs' own random choices follow (when to probe, when to dial again).
    pub seed: u64,
    /// When it ends. It ends earlier if nothing can happen any more.
    pub until: Duration,
    /// Why only simulated hosts can play it, if that is so: what it asks of a host that a real one cannot do.
    pub simulated_only: Option<String>,
    /// Hosts and routers.
    pub nodes: Vec<Node>,
    /// What connects them.
    pub links: Vec<Link>,
    /// What the programs are asked, in the order of time.
    pub script: Vec<Line>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What must come of it.
    pub expects: Vec<Expect>,
}

/// A node's place in [`Scenario::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

/// A host or a router.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name: a letter, then letters, digits, `-` and `_`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Settings of its kernel that differ from the default.
    pub sysctl: Vec<(Sysctl, u64)>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs programs.
    Host,
    /// Passes packets on, and complains about those that it cannot.
    Router,
}

/// What connects two nodes, both ways alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The nodes.
    pub ends: [NodeId; 2],
    /// How long a packet takes.
    pub delay: Duration,
    /// By how much longer it may take, drawn for each packet: packets overtake each other then.
    pub jitter: Duration,
    /// Bits per second; without a limit if `None`.
    pub rate: Option<u64>,
    /// How many packets wait for a link with a rate; what comes then is lost.
    pub queue: u32,
    /// The longest packet in bytes.
    pub mtu: u16,
    /// How many in a million packets are lost.
    pub loss: u32,
    /// How many in a million arrive twice.
    pub duplicate: u32,
    /// How many in a million arrive with a checksum that fails.
    pub corrupt: u32,
    /// From which it follows which.
    pub noise: u64,
}

impl Link {
    /// A link that only takes time.
    #[must_use]
    pub const fn new(a: NodeId, b: NodeId, delay: Duration) -> Self {
        Self {
            ends: [a, b],
            delay,
            jitter: Duration::ZERO,
            rate: None,
            queue: 100,
            mtu: 1_500,
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            noise: 0,
        }
    }
}

/// What is asked of a host at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When.
    pub at: Duration,
    /// Of whom.
    pub host: NodeId,
    /// What.
    pub command: Command,
}

impl Scenario {
    /// A scenario without nodes, of one minute, over IPv4.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            profile: Profile::Linux,
            version: Version::V4,
            seed: 1,
            until: Duration::from_secs(60),
            simulated_only: None,
            nodes: Vec::new(),
            links: Vec::new(),
            script: Vec::new(),
            faults: Vec::new(),
            expects: Vec::new(),
        }
    }

    /// The usual one: `client`, `router`, `server`, 10 ms from the client to the router and 1 ms on.
    #[must_use]
    pub fn three_nodes() -> Self {
        let mut scenario = Self::new();
        let client = scenario.add("client", Role::Host);
        let router = scenario.add("router", Role::Router);
        let server = scenario.add("server", Role::Host);
        scenario.links.push(Link::new(client, router, Duration::from_millis(10)));
        scenario.links.push(Link::new(router, server, Duration::from_millis(1)));
        scenario
    }

    /// Adds a node that is not connected yet.
    pub fn add(&mut self, name: &str, role: Role) -> NodeId {
        let id = NodeId(u8::try_from(self.nodes.len()).unwrap_or(u8::MAX));
        self.nodes.push(Node { name: name.to_owned(), role, sysctl: Vec::new() });
        id
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeId> {
        let at = self.nodes.iter().position(|node| node.name == name)?;
        u8::try_from(at).ok().map(NodeId)
    }

    /// The name of a node.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        &self.nodes[usize::from(node.0)].name
    }

    /// From which the random choices follow of a program that a line starts.
    #[must_use]
    pub fn seed_of(&self, host: NodeId, line: u32) -> u64 {
        self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(host.0) << 32 | u64::from(line))
    }

    /// Asks something of a host at a time.
    pub fn at(&mut self, at: Duration, host: NodeId, command: Command) {
        self.script.push(Line { at, host, command });
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self::new()
    }
}
