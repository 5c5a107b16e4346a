//! What a scenario has to be, so that it can be played and written down.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::time::Duration;

use resound_core::signal::Version;

use crate::kernel::Sysctl;

use super::text::{Seconds, is_name, is_taken};
use super::{
    Address, Call, Command, End, Expect, Fault, HostFault, Knobs, Line, Link, Mode, NodeId, Open, Payload,
    Peer, Role, Scenario, SocketKnobs, Tamper, Transport, Trigger, Way, What,
};

/// A scenario that cannot be played: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BadScenario {
    /// Which part of it.
    pub place: Place,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// A part of a scenario; the number is its place in the list of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// What is said of the whole: `until`.
    Whole(&'static str),
    /// [`Scenario::nodes`].
    Node(usize),
    /// [`Scenario::links`].
    Link(usize),
    /// [`Scenario::script`].
    Line(usize),
    /// [`Scenario::faults`].
    Fault(usize),
    /// [`Scenario::expects`].
    Expect(usize),
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Whole(what) => f.write_str(what)?,
            Place::Node(at) => write!(f, "nodes[{at}]")?,
            Place::Link(at) => write!(f, "links[{at}]")?,
            Place::Line(at) => write!(f, "script[{at}]")?,
            Place::Fault(at) => write!(f, "faults[{at}]")?,
            Place::Expect(at) => write!(f, "expects[{at}]")?,
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for BadScenario {}

/// What is wrong, if anything is.
type Verdict = Result<(), String>;

impl Scenario {
    /// The most nodes that a scenario has.
    pub const MOST_NODES: usize = 200;

    /// The most bytes that are sent or received at once: 16 MiB.
    pub const MOST_BYTES: u32 = 16 << 20;

    /// Whether it can be played and written down. Reading the text form has asked this already.
    ///
    /// # Errors
    ///
    /// The first part that makes no sense.
    pub fn check(&self) -> Result<(), BadScenario> {
        let mut check = Check { of: self, links: BTreeSet::new(), sockets: BTreeMap::new() };
        let at = |place: Place, verdict: Verdict| verdict.map_err(|message| BadScenario { place, message });
        at(
            Place::Whole("until"),
            require(!self.until.is_zero(), || "it has to last longer than no time".into()),
        )?;
        let mut names = BTreeSet::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let (name, mut settings) = (&node.name, BTreeSet::new());
            at(
                Place::Node(i),
                require(i < Self::MOST_NODES, || {
                    format!("more than {} nodes are too many", Self::MOST_NODES)
                }),
            )?;
            at(
                Place::Node(i),
                require(is_name(name), || {
                    format!("{name:?} is not a name: a letter, then letters, digits, `-` and `_`")
                }),
            )?;
            at(
                Place::Node(i),
                require(!is_taken(name), || {
                    format!("{name:?} is a word of the language: choose another name")
                }),
            )?;
            at(
                Place::Node(i),
                require(names.insert(name), || format!("there are two nodes {name:?}: choose another name")),
            )?;
            at(Place::Node(i), sysctls(&node.sysctl))?;
            for (setting, _) in &node.sysctl {
                at(
                    Place::Node(i),
                    require(settings.insert(*setting), || format!("`{}` is set twice", setting.name())),
                )?;
            }
        }
        for (i, link) in self.links.iter().enumerate() {
            at(Place::Link(i), check.link(link))?;
        }
        let mut before = Duration::ZERO;
        for (i, line) in self.script.iter().enumerate() {
            at(
                Place::Line(i),
                require(line.at >= before, || {
                    format!(
                        "the script is not in the order of time: {} stands before {}",
                        Seconds(before),
                        Seconds(line.at)
                    )
                }),
            )?;
            before = line.at;
            at(Place::Line(i), check.line(line))?;
        }
        for (i, fault) in self.faults.iter().enumerate() {
            at(Place::Fault(i), check.fault(fault))?;
        }
        for (i, expect) in self.expects.iter().enumerate() {
            at(Place::Expect(i), check.expect(expect))?;
        }
        Ok(())
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Settings that a kernel takes.
fn sysctls(settings: &[(Sysctl, u64)]) -> Verdict {
    for &(setting, value) in settings {
        let (least, most) = setting.bounds();
        require((least..=most).contains(&value), || {
            format!("`{}={value}`: a kernel takes {least} to {most}", setting.name())
        })?;
    }
    let of = |wanted: Sysctl| {
        let set = settings.iter().find(|(setting, _)| *setting == wanted);
        set.map_or(wanted.default_value(), |(_, value)| *value)
    };
    let (low, high) = (of(Sysctl::PortLow), of(Sysctl::PortHigh));
    require(low <= high, || format!("the first local port, {low}, lies behind the last, {high}"))
}

fn payload(payload: &Payload) -> Verdict {
    match payload {
        Payload::Bytes(many) => bytes(*many),
        Payload::Text(_) => Ok(()),
    }
}

/// So many are sent or received in one call.
fn bytes(many: u32) -> Verdict {
    let most = Scenario::MOST_BYTES;
    require(many <= most, || format!("{many} bytes at once are too many: at most {most}"))
}

/// A check under way.
struct Check<'s> {
    of: &'s Scenario,
    /// Ways that there are.
    links: BTreeSet<(NodeId, NodeId)>,
    /// Sockets that were made so far, by host and name.
    /// Those that were made so far, and what each speaks.
    sockets: BTreeMap<(NodeId, &'s str), Transport>,
}

impl<'s> Check<'s> {
    fn role(&self, node: NodeId) -> Result<Role, String> {
        let found = self.of.nodes.get(usize::from(node.0));
        found.map(|node| node.role).ok_or_else(|| format!("there is no node number {}", node.0))
    }

    fn node(&self, node: NodeId) -> Verdict {
        self.role(node).map(|_| ())
    }

    fn host(&self, node: NodeId, what: &str) -> Verdict {
        let is_host = self.role(node)? == Role::Host;
        require(is_host, || format!("{:?} is a router: {what} only of a host", self.of.name(node)))
    }

    fn time(&self, at: Duration) -> Verdict {
        let until = self.of.until;
        require(at <= until, || {
            format!("{0} is after the end, at {1}: say `until {0}` or more", Seconds(at), Seconds(until))
        })
    }

    fn mtu(&self, mtu: u16) -> Verdict {
        let (least, version) = match self.of.version {
            Version::V4 => (68, "IPv4"),
            Version::V6 => (1_280, "IPv6"),
        };
        require(mtu >= least, || format!("an MTU of {mtu} bytes is too small: {version} needs {least}"))
    }

    fn link(&mut self, link: &Link) -> Verdict {
        let [a, b] = link.ends;
        self.node(a)?;
        self.node(b)?;
        require(a != b, || format!("a link has two ends, but both of this one are {:?}", self.of.name(a)))?;
        let new = self.links.insert((a, b)) && self.links.insert((b, a));
        require(new, || {
            format!(
                "{:?} and {:?} are linked already: two nodes have at most one link",
                self.of.name(a),
                self.of.name(b)
            )
        })?;
        self.mtu(link.mtu)?;
        require(link.rate != Some(0), || {
            "at a rate of nothing a link never passes a packet: cut it instead".into()
        })?;
        let ratios = [("loss", link.loss), ("duplicate", link.duplicate), ("corrupt", link.corrupt)];
        ratios.into_iter().try_for_each(|(what, ppm)| {
            require(ppm <= 1_000_000, || format!("`{what}` is {ppm} in a million: more than all of them"))
        })
    }

    fn way(&self, Way { from, to }: Way) -> Verdict {
        self.node(from)?;
        self.node(to)?;
        require(self.links.contains(&(from, to)), || {
            let (a, b) = (self.of.name(from), self.of.name(to));
            format!("there is no link between {a:?} and {b:?}: declare it with `link {a} <-> {b} 1ms`")
        })
    }

    fn peer(&self, peer: Peer) -> Verdict {
        self.host(peer.host, "a port is")
    }

    fn end(&self, end: End) -> Verdict {
        match end.at {
            Address::Of(host) => self.host(host, "a port is"),
            Address::Any | Address::Loopback | Address::Broadcast | Address::Group(_) => Ok(()),
        }
    }

    /// To whom a socket is connected, and where it is bound.
    fn ends(&self, open: &Open) -> Verdict {
        match *open {
            Open::Udp(at) => self.end(at),
            Open::Listen(at, _) => self.own_end(at),
            Open::Connect { to, from } => {
                self.end(to)?;
                from.map_or(Ok(()), |from| self.own_end(from))
            }
        }
    }

    /// Where a TCP socket is bound.
    fn own_end(&self, end: End) -> Verdict {
        let many = matches!(end.at, Address::Broadcast | Address::Group(_));
        require(!many, || "a TCP connection has two ends: bind its socket to an address of one host".into())?;
        self.end(end)
    }

    fn line(&mut self, line: &'s Line) -> Verdict {
        self.time(line.at)?;
        self.host(line.host, "something is asked")?;
        match &line.command {
            Command::Serve(_, port) => require(*port != 0, || {
                "port 0 stands for any port, and nobody would know which: choose one".into()
            }),
            Command::Connect(_, peer, knobs) => {
                self.peer(*peer)?;
                let Knobs { misses, rounds, .. } = knobs;
                require(*misses != Some(0), || {
                    "`misses=0` would convict a peer of nothing: at least 1".into()
                })?;
                require(*rounds != Some(0), || "`rounds=0` would never dial: at least 1".into())
            }
            Command::Call(call) => self.call(line.host, call),
            Command::Send(sent) => payload(sent),
            Command::Close | Command::Abort | Command::Do(_) => Ok(()),
        }
    }

    fn call(&mut self, host: NodeId, call: &'s Call) -> Verdict {
        let used = match call {
            Call::Open(name, open, knobs) => {
                self.ends(open)?;
                let transport = match open {
                    Open::Udp(_) => Transport::Udp,
                    Open::Listen(..) | Open::Connect { .. } => Transport::Tcp,
                };
                return self.options(*open, knobs).and_then(|()| self.make(host, name, transport));
            }
            Call::Accept(name, listener) => {
                self.made(host, listener)?;
                return self.make(host, name, Transport::Tcp);
            }
            Call::Connect(name, end) => {
                end.map_or(Ok(()), |end| self.end(end))?;
                name
            }
            Call::SendTo(name, end, sent) => {
                self.end(*end)?;
                payload(sent)?;
                name
            }
            Call::Send(name, sent) => {
                payload(sent)?;
                name
            }
            Call::Recv(name, most) => {
                bytes(*most)?;
                name
            }
            Call::RecvAll(names) | Call::RecvErrorAll(names) => {
                require(!names.is_empty(), || "of which sockets? As in `a recv-all b`".into())?;
                if let Some(name) = names.iter().find(|name| self.is_connection(host, name)) {
                    return Err(format!("{name:?} is no UDP socket: of a connection, `{name} recv 100`"));
                }
                return names.iter().try_for_each(|name| self.made(host, name));
            }
            Call::RecvError(name)
            | Call::Join(name, _)
            | Call::Leave(name, _)
            | Call::Shutdown(name)
            | Call::ShutdownRead(name)
            | Call::Close(name)
            | Call::Reset(name)
            | Call::SoError(name)
            | Call::Poll(name)
            | Call::Info(name) => name,
        };
        self.made(host, used)
    }

    fn options(&self, open: Open, knobs: &SocketKnobs) -> Verdict {
        let tcp_only = [
            (knobs.user_timeout.is_some(), "uto"),
            (knobs.keepalive.is_some(), "keepalive"),
            (knobs.syn_retries.is_some(), "syncnt"),
            (knobs.send_buffer.is_some(), "sndbuf"),
        ];
        let udp = matches!(open, Open::Udp(_));
        require(udp || !knobs.broadcast, || "a TCP socket has no `broadcast`: leave it out".into())?;
        let wrong = tcp_only.into_iter().find(|(set, _)| *set && udp);
        wrong.map_or(Ok(()), |(_, name)| Err(format!("a UDP socket has no `{name}`: leave it out")))
    }

    fn make(&mut self, host: NodeId, name: &'s str, transport: Transport) -> Verdict {
        self.sockets.insert((host, name), transport);
        require(is_name(name), || {
            format!("{name:?} is not a socket's name: a letter, then letters, digits, `-` and `_`")
        })
    }

    fn made(&self, host: NodeId, name: &str) -> Verdict {
        require(self.sockets.contains_key(&(host, name)), || {
            let at = self.of.name(host);
            format!("{at:?} has no socket {name:?} by then: make it before, as in `{at} call {name} = udp 0`")
        })
    }

    fn is_connection(&self, host: NodeId, name: &str) -> bool {
        self.sockets.get(&(host, name)) == Some(&Transport::Tcp)
    }

    fn trigger(&self, trigger: &Trigger) -> Verdict {
        match trigger {
            Trigger::At(at) => self.time(*at),
            Trigger::Packet(way, nth) => {
                require(*nth != 0, || "packets are counted from 1".into())?;
                self.way(*way)
            }
            Trigger::State(node, _) => self.host(*node, "a TCP state is"),
            Trigger::Says(node, words) => {
                require(!words.trim().is_empty(), || "which words? As in `says \"up\"`".into())?;
                self.host(*node, "words are")
            }
        }
    }

    fn until(&self, from: &Trigger, until: Option<&Trigger>) -> Verdict {
        if let (Trigger::At(from), Some(Trigger::At(until))) = (from, until) {
            require(until > from, || format!("it ends at {}, before it begins", Seconds(*until)))?;
        }
        until.map_or(Ok(()), |until| self.trigger(until))
    }

    fn fault(&self, fault: &Fault) -> Verdict {
        self.trigger(&fault.when)?;
        match &fault.what {
            What::Tamper(_, Tamper::Delay(Duration::ZERO)) => {
                Err("late by no time would change nothing: leave it out, or say by how much".into())
            }
            What::Tamper(_, Tamper::Duplicate(Duration::ZERO)) => {
                Err("the second has to come later than the first: by 1us, say".into())
            }
            What::Tamper(way, _) => self.way(*way),
            What::Cut(way, until) | What::Unplug(way, until) => {
                self.way(*way)?;
                self.until(&fault.when, until.as_ref())
            }
            What::LinkDown(way, _) => {
                self.way(*way)?;
                self.host(way.from, "an interface is taken down")?;
                self.until(&fault.when, fault.what.until())
            }
            What::Mtu(way, mtu) => {
                self.way(*way)?;
                self.mtu(*mtu)
            }
            What::Forge { from, to, .. } => {
                self.node(*from)?;
                self.host(*to, "it would be believed")
            }
            What::Route { at, to, until, .. } => {
                self.node(*at)?;
                to.map_or(Ok(()), |to| self.node(to))?;
                require(*to != Some(*at), || "a node needs no route to itself".into())?;
                self.until(&fault.when, until.as_ref())
            }
            What::Host(host, what) => {
                self.host(*host, "this is true")?;
                match what {
                    HostFault::NoPorts(until) | HostFault::NoDescriptors(until) => {
                        self.until(&fault.when, until.as_ref())
                    }
                    HostFault::ShortReads(0) | HostFault::ShortWrites(0) => {
                        Err("no byte at all would look like the end: at least 1".into())
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn expect(&self, expect: &Expect) -> Verdict {
        self.host(expect.node, "something is expected")?;
        require(!expect.items.is_empty() || expect.mode == Mode::Exactly, || {
            "what is expected? As in `expect client up`".into()
        })?;
        expect.items.iter().try_for_each(|(words, by)| {
            require(!words.trim().is_empty(), || "words are expected here, as in `up`".into())?;
            by.map_or(Ok(()), |by| self.time(by))
        })
    }
}
