//! What goes wrong, and when.

use std::time::Duration;

use super::NodeId;
use crate::kernel::TcpState;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When.
    pub when: Trigger,
    /// What.
    pub what: What,
    /// Whether it may do nothing without the run failing for it.
    pub may_be_inert: bool,
}

impl Fault {
    /// One that has to do something.
    #[must_use]
    pub const fn new(when: Trigger, what: What) -> Self {
        Self { when, what, may_be_inert: false }
    }
}

/// When something goes wrong. Each happens once.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// At a time after the start.
    At(Duration),
    /// When the nth packet, counted from 1, sets out this way.
    Packet(Way, u32),
    /// When a TCP socket of this host enters this state.
    State(NodeId, TcpState),
    /// When a program of this host says something that begins with these words.
    Says(NodeId, String),
}

/// One direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// From this node
    pub from: NodeId,
    /// to that one, its neighbour.
    pub to: NodeId,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Something happens to one packet: the one that the trigger names, or the next that sets out this way.
    Tamper(Way, Tamper),
    /// Nothing passes this way any more, and nobody says so: a filter. For good, unless it ends.
    Cut(Way, Option<Trigger>),
    /// Nothing passes any more either way, not even the neighbours' question for each other's address: a cable that is
    /// pulled. A node notices after three seconds, if it has something to send.
    Unplug(Way, Option<Trigger>),
    /// The interface of the host `from` on its link to `to` is taken down, as by `ip link set down`. Its routes are gone, and
    /// with the last interface the host's IPv6 address; nothing comes in by it any more. The neighbour notices as of a cable
    /// that is pulled: a switch lies between them. For good, unless it ends; a reboot does not end it.
    LinkDown(Way, Option<(Trigger, Comeback)>),
    /// From now on longer packets do not fit.
    Mtu(Way, u16),
    /// A packet that nobody sent: made up at `from`, about what it has seen pass, and sent to `to`.
    Forge {
        /// Where it comes from: a router, the peer, or the host itself.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// What it is.
        packet: Forgery,
    },
    /// A node has no way any more: to one other node, or to any.
    Route {
        /// Which node.
        at: NodeId,
        /// To whom.
        to: Option<NodeId>,
        /// How it says so.
        kind: RouteKind,
        /// Until when; for good, unless it ends.
        until: Option<Trigger>,
    },
    /// Something happens to a host.
    Host(NodeId, HostFault),
}

impl What {
    /// Every [kind](Self::kind).
    pub const KINDS: &[&str] = &[
        "drop",
        "delay",
        "duplicate",
        "corrupt",
        "alter",
        "truncate",
        "cut",
        "unplug",
        "link-down",
        "mtu",
        "rst",
        "fin",
        "syn",
        "icmp",
        "route",
        "kill",
        "pause",
        "power-loss",
        "reboot",
        "forget",
        "skew",
        "short-reads",
        "short-writes",
        "spurious-wake",
        "rcvbuf",
        "sndbuf",
        "no-ports",
        "no-descriptors",
        "accept-queue",
    ];

    /// Until when it lasts, where that is said.
    #[must_use]
    pub const fn until(&self) -> Option<&Trigger> {
        match self {
            Self::Cut(_, until)
            | Self::Unplug(_, until)
            | Self::Route { until, .. }
            | Self::Host(_, HostFault::NoPorts(until) | HostFault::NoDescriptors(until)) => until.as_ref(),
            Self::LinkDown(_, Some((until, _))) => Some(until),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn until_mut(&mut self) -> Option<&mut Trigger> {
        match self {
            Self::Cut(_, until)
            | Self::Unplug(_, until)
            | Self::Route { until, .. }
            | Self::Host(_, HostFault::NoPorts(until) | HostFault::NoDescriptors(until)) => until.as_mut(),
            Self::LinkDown(_, Some((until, _))) => Some(until),
            _ => None,
        }
    }

    /// What kind of fault it is: its first word in the text form.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tamper(_, Tamper::Drop) => "drop",
            Self::Tamper(_, Tamper::Delay(_)) => "delay",
            Self::Tamper(_, Tamper::Duplicate(_)) => "duplicate",
            Self::Tamper(_, Tamper::Corrupt) => "corrupt",
            Self::Tamper(_, Tamper::Alter(_)) => "alter",
            Self::Tamper(_, Tamper::Truncate(_)) => "truncate",
            Self::Cut(..) => "cut",
            Self::Unplug(..) => "unplug",
            Self::LinkDown(..) => "link-down",
            Self::Mtu(..) => "mtu",
            Self::Forge { packet: Forgery::Rst(_), .. } => "rst",
            Self::Forge { packet: Forgery::Fin(_), .. } => "fin",
            Self::Forge { packet: Forgery::Syn(_), .. } => "syn",
            Self::Forge { packet: Forgery::Icmp { .. }, .. } => "icmp",
            Self::Route { .. } => "route",
            Self::Host(_, HostFault::Kill) => "kill",
            Self::Host(_, HostFault::Pause(_)) => "pause",
            Self::Host(_, HostFault::PowerLoss) => "power-loss",
            Self::Host(_, HostFault::Reboot(_)) => "reboot",
            Self::Host(_, HostFault::Forget) => "forget",
            Self::Host(_, HostFault::Skew(_)) => "skew",
            Self::Host(_, HostFault::ShortReads(_)) => "short-reads",
            Self::Host(_, HostFault::ShortWrites(_)) => "short-writes",
            Self::Host(_, HostFault::SpuriousWake) => "spurious-wake",
            Self::Host(_, HostFault::ReceiveBuffer(_)) => "rcvbuf",
            Self::Host(_, HostFault::SendBuffer(_)) => "sndbuf",
            Self::Host(_, HostFault::NoPorts(_)) => "no-ports",
            Self::Host(_, HostFault::NoDescriptors(_)) => "no-descriptors",
            Self::Host(_, HostFault::AcceptQueue(_)) => "accept-queue",
        }
    }
}

/// What an interface is like that is taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comeback {
    /// Somebody configures it again, as network managers do: it is as it was.
    Configured,
    /// Nobody does. What the kernel brings back by itself is there: the IPv4 address and the way to the neighbour. IPv6 has
    /// neither, and what lies behind a router has no way (`fib_add_ifaddr`, `addrconf_notify`).
    Bare,
}

/// What happens to one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tamper {
    /// It is lost.
    Drop,
    /// It is late by this much; others may overtake it.
    Delay(Duration),
    /// It arrives twice, the second this much later.
    Duplicate(Duration),
    /// A bit of it is turned over; the checksum tells.
    Corrupt,
    /// A bit of its payload is turned over, and the checksum mended by whoever did it.
    Alter(u32),
    /// Its payload is cut to this length, and the checksum mended.
    Truncate(u16),
}

/// What is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// A reset of the connection that was last seen.
    Rst(Pick),
    /// The end of the peer's side.
    Fin(Pick),
    /// A SYN for a connection that stands.
    Syn(Pick),
    /// An ICMP error about the last packet that `to` was seen to send.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// The MTU that it tells.
        mtu: Option<u16>,
        /// Which TCP sequence number it quotes.
        quote: Pick,
        /// How many bytes of the payload it quotes.
        quoted: u16,
    },
}

/// Which sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// Exactly the next one expected; of a quote: the latest sent.
    Exact,
    /// Another one in the window; of a quote: the oldest that may be in flight.
    Inside,
    /// One outside of it.
    Outside,
}

/// How a way that is not there is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// A route of type unreachable.
    Unreachable,
    /// A route of type prohibit.
    Prohibit,
    /// A route of type blackhole.
    Blackhole,
    /// No route.
    Missing,
}

/// What happens to a host.
#[derive(Clone, Debug, PartialEq)]
pub enum HostFault {
    /// Its programs are killed; its kernel closes their sockets.
    Kill,
    /// Its programs stand still for this long; its kernel works on.
    Pause(Duration),
    /// It loses its power, and says nothing any more.
    PowerLoss,
    /// It loses its power, and is back after this long with the same address and with the servers that were started on it.
    Reboot(Duration),
    /// Its kernel forgets all connections and tells nobody: they are half-open from now on.
    Forget,
    /// Its programs' clock jumps by this many nanoseconds.
    Skew(i64),
    /// Its programs' reads give at most this many bytes.
    ShortReads(u32),
    /// Its programs' writes take at most this many bytes.
    ShortWrites(u32),
    /// Its programs are woken without a reason, and told that everything is readable and writable.
    SpuriousWake,
    /// Receive buffers of sockets hold this many bytes.
    ReceiveBuffer(u32),
    /// Send buffers of sockets hold this many bytes.
    SendBuffer(u32),
    /// It has no local port left.
    NoPorts(Option<Trigger>),
    /// Its programs get no new descriptor: each has as many as it may have (RLIMIT_NOFILE). What is open stays usable.
    NoDescriptors(Option<Trigger>),
    /// Its listeners' queues hold this many connections at most.
    AcceptQueue(u32),
}
