//! From a scenario to text. Whatever is printed is read as the same.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use resound_core::signal::Version;

use super::QUOTED;
use super::quantity::{Rate, Ratio, Seconds, Signed, Span};
use super::words::{ADDRESSES, GROUP, PICKS, PROFILES, ROUTES, word};
use crate::kernel::Profile;
use crate::packet::FaultId;
use crate::scenario::{
    Address, Call, Comeback, Command, End, Expect, Fault, Forgery, HostFault, Knobs, Line, Link, Mode, Node,
    NodeId, Open, Payload, Peer, Role, Scenario, SocketKnobs, Tamper, Transport, Trigger, Way, What,
};

/// A part of a scenario in its text form: it needs the scenario, which knows the names.
#[derive(Clone, Copy, Debug)]
pub struct Show<'a, T> {
    names: &'a Scenario,
    what: &'a T,
}

impl Scenario {
    /// A part of this scenario as its text form has it: a [`Fault`], [`What`], [`Trigger`], [`Way`], [`Command`], [`Call`],
    /// [`Line`], [`Link`], [`Node`], [`Expect`], [`NodeId`].
    ///
    /// ```
    /// use resound_sim::scenario::{Command, Payload, Scenario};
    ///
    /// let scenario = Scenario::three_nodes();
    /// let send = Command::Send(Payload::Text("hello".into()));
    /// assert_eq!(scenario.show(&send).to_string(), "send \"hello\"");
    /// ```
    pub const fn show<'a, T>(&'a self, what: &'a T) -> Show<'a, T>
    where
        Show<'a, T>: Display,
    {
        Show { names: self, what }
    }

    /// What goes wrong in a fault, without its trigger: `client->router drop`. Empty if there is no such fault.
    #[must_use]
    pub fn describe_fault(&self, fault: FaultId) -> String {
        let fault = usize::try_from(fault.0).ok().and_then(|at| self.faults.get(at));
        fault.map_or_else(String::new, |fault| self.show(&fault.what).to_string())
    }
}

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unverified = if matches!(self.profile, Profile::Unverified(_)) { " unverified" } else { "" };
        writeln!(f, "profile {}{unverified}", word(PROFILES, self.profile))?;
        let default = Self::new();
        if self.version != default.version {
            writeln!(f, "ip {}", if self.version == Version::V4 { 4 } else { 6 })?;
        }
        if self.seed != default.seed {
            writeln!(f, "seed {}", self.seed)?;
        }
        if self.until != default.until {
            writeln!(f, "until {}", Seconds(self.until))?;
        }
        if let Some(why) = &self.simulated_only {
            writeln!(f, "simulated-only {}", Quoted(why))?;
        }
        self.nodes.iter().try_for_each(|node| writeln!(f, "{}", self.show(node)))?;
        self.links.iter().try_for_each(|link| writeln!(f, "{}", self.show(link)))?;
        self.script.iter().try_for_each(|line| writeln!(f, "{}", self.show(line)))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{}", self.show(fault)))?;
        self.expects.iter().try_for_each(|expect| writeln!(f, "{}", self.show(expect)))
    }
}

impl Display for Show<'_, NodeId> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.names.nodes.get(usize::from(self.what.0)) {
            Some(node) => f.write_str(&node.name),
            None => write!(f, "node-{}?", self.what.0),
        }
    }
}

impl Display for Show<'_, Way> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.names.show(&self.what.from), self.names.show(&self.what.to))
    }
}

impl Display for Show<'_, Peer> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.names.show(&self.what.host), self.what.port)
    }
}

impl Display for Show<'_, Address> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.what {
            Address::Of(node) => write!(f, "{}", self.names.show(node)),
            Address::Group(n) => write!(f, "{GROUP}{n}"),
            other => f.write_str(word(ADDRESSES, *other)),
        }
    }
}

impl Display for Show<'_, End> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.names.show(&self.what.at), self.what.port)
    }
}

impl Display for Show<'_, Node> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let role = match self.what.role {
            Role::Host => "host",
            Role::Router => "router",
        };
        write!(f, "{role} {}", self.what.name)?;
        self.what.sysctl.iter().try_for_each(|(setting, value)| write!(f, " {}={value}", setting.name()))
    }
}

impl Display for Show<'_, Link> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let link = self.what;
        let [a, b] = &link.ends;
        let default = Link::new(*a, *b, link.delay);
        write!(f, "link {} <-> {} {}", self.names.show(a), self.names.show(b), Span(link.delay))?;
        option(f, "jitter", Some(link.jitter).filter(|jitter| *jitter != default.jitter).map(Span))?;
        option(f, "rate", link.rate.map(Rate))?;
        option(f, "queue", Some(link.queue).filter(|queue| *queue != default.queue))?;
        option(f, "mtu", Some(link.mtu).filter(|mtu| *mtu != default.mtu))?;
        option(f, "loss", Some(link.loss).filter(|loss| *loss != default.loss).map(Ratio))?;
        option(f, "duplicate", Some(link.duplicate).filter(|ratio| *ratio != default.duplicate).map(Ratio))?;
        option(f, "corrupt", Some(link.corrupt).filter(|ratio| *ratio != default.corrupt).map(Ratio))?;
        option(f, "noise", Some(link.noise).filter(|noise| *noise != default.noise))
    }
}

impl Display for Show<'_, Line> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Line { at, host, command } = self.what;
        write!(f, "{:.3} {} {}", Seconds(*at), self.names.show(host), self.names.show(command))
    }
}

impl Display for Show<'_, Command> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.what {
            Command::Serve(transport, port) => write!(f, "serve {}{port}", prefix(*transport)),
            Command::Connect(transport, peer, knobs) => {
                write!(f, "connect {}{}", prefix(*transport), self.names.show(peer))?;
                let Knobs { idle, probe, misses, round, rounds, resend } = *knobs;
                option(f, "idle", idle.map(Span))?;
                option(f, "probe", probe.map(Span))?;
                option(f, "misses", misses)?;
                option(f, "round", round.map(Span))?;
                option(f, "rounds", rounds)?;
                flag(f, "resend", resend)
            }
            Command::Send(payload) => write!(f, "send {}", Bytes(payload)),
            Command::Close => f.write_str("close"),
            Command::Abort => f.write_str("abort"),
            Command::Call(call) => write!(f, "call {}", self.names.show(call)),
            Command::Do(words) => {
                f.write_str("do")?;
                words.iter().try_for_each(|word| match word.as_str() {
                    plain if is_plain(plain) => write!(f, " {plain}"),
                    other => write!(f, " {}", Quoted(other)),
                })
            }
        }
    }
}

impl Display for Show<'_, Call> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.what {
            Call::Open(name, open, knobs) => {
                match open {
                    Open::Listen(at, backlog) => {
                        write!(f, "{name} = tcp listen {} backlog={backlog}", Local(self.names, at))?;
                    }
                    Open::Connect { to, from } => {
                        write!(f, "{name} = tcp connect {}", self.names.show(to))?;
                        from.map_or(Ok(()), |from| write!(f, " from {}", Local(self.names, &from)))?;
                    }
                    Open::Udp(at) => write!(f, "{name} = udp {}", Local(self.names, at))?,
                }
                options(f, knobs)
            }
            Call::Accept(name, listener) => write!(f, "{name} = accept {listener}"),
            Call::Connect(name, Some(peer)) => write!(f, "{name} connect {}", self.names.show(peer)),
            Call::Connect(name, None) => write!(f, "{name} disconnect"),
            Call::Recv(name, bytes) => write!(f, "{name} recv {bytes}"),
            Call::RecvError(name) => write!(f, "{name} errqueue"),
            Call::RecvAll(names) => all(f, names, "recv-all"),
            Call::RecvErrorAll(names) => all(f, names, "errqueue-all"),
            Call::Send(name, payload) => write!(f, "{name} send {}", Bytes(payload)),
            Call::SendTo(name, to, payload) => {
                write!(f, "{name} sendto {} {}", self.names.show(to), Bytes(payload))
            }
            Call::Join(name, group) => {
                write!(f, "{name} join {}", self.names.show(&Address::Group(*group)))
            }
            Call::Leave(name, group) => {
                write!(f, "{name} leave {}", self.names.show(&Address::Group(*group)))
            }
            Call::Shutdown(name) => write!(f, "{name} shutdown"),
            Call::ShutdownRead(name) => write!(f, "{name} shutdown-read"),
            Call::Close(name) => write!(f, "{name} close"),
            Call::Reset(name) => write!(f, "{name} reset"),
            Call::SoError(name) => write!(f, "{name} so_error"),
            Call::Poll(name) => write!(f, "{name} poll"),
            Call::Info(name) => write!(f, "{name} info"),
        }
    }
}

impl Display for Show<'_, Fault> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Fault { when, what, may_be_inert } = self.what;
        match when {
            Trigger::At(at) => write!(f, "!{:.3} ", Seconds(*at))?,
            other => write!(f, "!{} ", self.names.show(other))?,
        }
        match (when, what) {
            (Trigger::Packet(way, _), What::Tamper(of, tamper)) if way == of => write!(f, "{tamper}")?,
            _ => write!(f, "{}", self.names.show(what))?,
        }
        flag(f, "may-be-inert", *may_be_inert)
    }
}

impl Display for Show<'_, Trigger> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.what {
            Trigger::At(at) => write!(f, "{}", Seconds(*at)),
            Trigger::Packet(way, nth) => write!(f, "{}#{nth}", self.names.show(way)),
            Trigger::State(node, state) => write!(f, "{}:{}", self.names.show(node), state.name()),
            Trigger::Says(node, words) => write!(f, "{} says {}", self.names.show(node), Quoted(words)),
        }
    }
}

impl Display for Show<'_, What> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.names;
        match self.what {
            What::Tamper(way, tamper) => write!(f, "{} {tamper}", names.show(way)),
            What::Cut(way, until) => write!(f, "{} cut{}", names.show(way), Until(names, until.as_ref())),
            What::Unplug(Way { from, to }, until) => {
                write!(f, "{}<->{} unplug{}", names.show(from), names.show(to), Until(names, until.as_ref()))
            }
            What::LinkDown(way, until) => {
                let ends = Until(names, until.as_ref().map(|(until, _)| until));
                write!(f, "{} link-down{ends}", names.show(way))?;
                flag(f, "bare", matches!(until, Some((_, Comeback::Bare))))
            }
            What::Mtu(way, mtu) => write!(f, "{} mtu {mtu}", names.show(way)),
            What::Forge { from, to, packet } => {
                let (from, to) = (names.show(from), names.show(to));
                match packet {
                    Forgery::Rst(pick) => write!(f, "{from} rst to {to} seq={}", word(PICKS, *pick)),
                    Forgery::Fin(pick) => write!(f, "{from} fin to {to} seq={}", word(PICKS, *pick)),
                    Forgery::Syn(pick) => write!(f, "{from} syn to {to} seq={}", word(PICKS, *pick)),
                    Forgery::Icmp { kind, code, mtu, quote, quoted } => {
                        write!(f, "{from} icmp {kind}/{code} to {to} quote={}", word(PICKS, *quote))?;
                        option(f, "quoted", Some(quoted).filter(|quoted| **quoted != QUOTED))?;
                        option(f, "mtu", mtu.as_ref())
                    }
                }
            }
            What::Route { at, to, kind, until } => {
                write!(f, "{} route", names.show(at))?;
                to.as_ref().map_or(Ok(()), |to| write!(f, " to {}", names.show(to)))?;
                write!(f, " {}{}", word(ROUTES, *kind), Until(names, until.as_ref()))
            }
            What::Host(host, fault) => {
                write!(f, "{} ", names.show(host))?;
                match fault {
                    HostFault::Kill => f.write_str("kill"),
                    HostFault::Pause(time) => write!(f, "pause {}", Span(*time)),
                    HostFault::PowerLoss => f.write_str("power-loss"),
                    HostFault::Reboot(time) => write!(f, "reboot {}", Span(*time)),
                    HostFault::Forget => f.write_str("forget"),
                    HostFault::Skew(nanos) => write!(f, "skew {}", Signed(*nanos)),
                    HostFault::ShortReads(bytes) => write!(f, "short-reads {bytes}"),
                    HostFault::ShortWrites(bytes) => write!(f, "short-writes {bytes}"),
                    HostFault::SpuriousWake => f.write_str("spurious-wake"),
                    HostFault::ReceiveBuffer(bytes) => write!(f, "rcvbuf {bytes}"),
                    HostFault::SendBuffer(bytes) => write!(f, "sndbuf {bytes}"),
                    HostFault::NoPorts(until) => write!(f, "no-ports{}", Until(names, until.as_ref())),
                    HostFault::NoDescriptors(until) => {
                        write!(f, "no-descriptors{}", Until(names, until.as_ref()))
                    }
                    HostFault::AcceptQueue(most) => write!(f, "accept-queue {most}"),
                }
            }
        }
    }
}

impl Display for Tamper {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Delay(time) => write!(f, "delay {}", Span(*time)),
            Self::Duplicate(time) => write!(f, "duplicate {}", Span(*time)),
            Self::Corrupt => f.write_str("corrupt"),
            Self::Alter(bit) => write!(f, "alter bit={bit}"),
            Self::Truncate(bytes) => write!(f, "truncate {bytes}"),
        }
    }
}

impl Display for Show<'_, Expect> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Expect { node, mode, items } = self.what;
        write!(f, "expect {}", self.names.show(node))?;
        f.write_str(match mode {
            Mode::InOrder => "",
            Mode::Exactly => " exactly",
            Mode::Never => " never",
        })?;
        items.iter().enumerate().try_for_each(|(at, (words, by))| {
            f.write_str(if at == 0 { " " } else { " ; " })?;
            write!(f, "{}", Item(words, *by))
        })
    }
}

/// What is expected to be said, in quotes if its words have another meaning without; and by when.
pub(in crate::scenario) struct Item<'a>(
    pub(in crate::scenario) &'a str,
    pub(in crate::scenario) Option<Duration>,
);

impl Display for Item<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(words, by) = *self;
        let means_itself = |word: &str| is_plain(word) && !matches!(word, "by" | "exactly" | "never");
        if words.split(' ').all(means_itself) {
            f.write_str(words)?;
        } else {
            write!(f, "{}", Quoted(words))?;
        }
        by.map_or(Ok(()), |by| write!(f, " by {}", Seconds(by)))
    }
}

/// Whether a word is read as itself where any word may stand.
fn is_plain(word: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ';' | '"');
    !word.is_empty() && !word.starts_with(['#', '!']) && !word.contains(special)
}

/// An option with a value, if it has one.
fn option(f: &mut Formatter<'_>, name: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}

/// An option without a value.
fn flag(f: &mut Formatter<'_>, name: &str, set: bool) -> fmt::Result {
    if set { write!(f, " {name}") } else { Ok(()) }
}

fn options(f: &mut Formatter<'_>, knobs: &SocketKnobs) -> fmt::Result {
    flag(f, "recverr", knobs.recverr)?;
    option(f, "uto", knobs.user_timeout.map(Span))?;
    if let Some((idle, interval, count)) = knobs.keepalive {
        write!(f, " keepalive={}/{}/{count}", Span(idle), Span(interval))?;
    }
    option(f, "syncnt", knobs.syn_retries)?;
    option(f, "rcvbuf", knobs.receive_buffer)?;
    option(f, "sndbuf", knobs.send_buffer)?;
    flag(f, "reuseaddr", knobs.reuse_address)?;
    flag(f, "reuseport", knobs.reuse_port)?;
    flag(f, "broadcast", knobs.broadcast)
}

/// A call on several sockets: the first, what is asked, the others.
fn all(f: &mut Formatter<'_>, names: &[String], call: &str) -> fmt::Result {
    let (first, others) = names.split_first().map_or(("?", &[][..]), |(first, rest)| (first, rest));
    write!(f, "{first} {call}")?;
    others.iter().try_for_each(|name| write!(f, " {name}"))
}

/// Where a socket is bound: a port alone is one of any address.
struct Local<'a>(&'a Scenario, &'a End);

impl Display for Local<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            End { at: Address::Any, port } => write!(f, "{port}"),
            end => write!(f, "{}", self.0.show(end)),
        }
    }
}

const fn prefix(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "",
        Transport::Udp => "udp ",
    }
}

/// When it ends, if it does.
struct Until<'a>(&'a Scenario, Option<&'a Trigger>);

impl Display for Until<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.1.map_or(Ok(()), |until| write!(f, " until {}", self.0.show(until)))
    }
}

/// What to send.
struct Bytes<'a>(&'a Payload);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Payload::Text(text) => write!(f, "{}", Quoted(text)),
            Payload::Bytes(n) => write!(f, "{n} bytes"),
        }
    }
}

/// Text in quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        self.0.chars().try_for_each(|c| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '\t' => f.write_str("\\t"),
            c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c)),
            c => write!(f, "{c}"),
        })?;
        f.write_str("\"")
    }
}
