//! One host's kernel: sockets, their errors, and the packets that come of system calls, packets and timers.
//!
//! # Theory of operation
//!
//! A kernel is a state machine without a clock, like everything here. It is not a full TCP: there is no congestion
//! control, no fragments (what travels in them is one packet that says so), no window scaling. It is exact where errors
//! are concerned: what a signal does to a socket stands in one [`table`], which it obeys, and which is to be verified on a
//! real kernel.
//!
//! ```text
//!   program ── system call ──►  ┌────────┐  ──► packets, readiness of sockets, timers   ([`Effects`])
//!   network ── packet ───────►  │ Kernel │
//!   world ──── timer ────────►  └────────┘  ──► what became of the packet               ([`Fate`])
//! ```
//!
//! Calls never block: what would, gives EAGAIN, and the socket's owner is told when it is worth another try. Errors are
//! latched as Linux latches them: `sk_err`, which the next call takes, `sk_err_soft`, which is remembered for the day on
//! which the retransmissions give up, and the queue of `IP_RECVERR`.
//!
//! | file | has |
//! |---|---|
//! | `profile` | which system it is, and the settings that can be changed |
//! | `table` | what each signal does to a socket in each state |
//! | `errors` | the latches |
//! | `tcp`, `listener` | connections and those that wait to be accepted |
//! | `udp` | datagrams, the error queue, the overflow counter |
//! | `ways` | which addresses are its own, and which it has no way to |
//! | `path` | how long a packet may be on its way |
//! | `icmp` | whom an error that arrives is about, and how often one may be sent |
//! | `calls` | the system calls |
//! | `buffers` | bytes that packets carried, to be used again |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Errno, Version};

mod buffers;
mod calls;
mod errors;
mod icmp;
mod listener;
mod path;
mod profile;
pub mod table;
mod tcp;
mod udp;
mod ways;

pub use calls::{Arrived, Poll, TcpOptions, UdpOptions};
pub use errors::{Latches, QueuedError};
pub use icmp::IcmpLimiter;
pub use profile::{Profile, Sysctl, Sysctls, Unverified};
pub use tcp::TcpState;
pub use ways::Unlinked;

use crate::packet::{Body, Packet, Seq, is_for_many};
use crate::scenario::RouteKind;
use buffers::Buffers;
use listener::Listener;
use path::Paths;
use tcp::Tcp;
use udp::Udp;
use ways::Ways;

/// A socket of one kernel. Used again after it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub u32);

/// A program that runs on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u32);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It changed something.
    Acted(&'static str),
    /// It was looked at, and changed nothing.
    Absorbed(&'static str),
}

/// What a kernel wants done, to be taken out after each call.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be sent, in order.
    pub packets: Vec<Packet>,
    /// Sockets on which something has changed that their programs may wait for. A socket is here once, until
    /// [`Kernel::seen`].
    pub ready: Vec<(Pid, Fd)>,
    /// Wake the kernel's timers of this socket at this time.
    pub timers: Vec<(Instant, Fd)>,
    /// TCP sockets that changed their state.
    pub moves: Vec<(Fd, TcpState)>,
    /// Rows of the [`table`] that were obeyed.
    pub rows: Vec<table::RowId>,
}

/// How often something happened that has no other trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Sockets made.
    pub sockets: u32,
    /// Those of them that are TCP's, but for listeners.
    pub tcp_sockets: u32,
    /// Times that no local port was found.
    pub no_port: u32,
    /// Calls that got no descriptor.
    pub no_descriptor: u32,
    /// SYNs that found a listener's queue full.
    pub queue_full: u32,
}

/// One host's kernel.
#[derive(Debug)]
pub struct Kernel {
    /// To be taken out after each call.
    pub effects: Effects,
    /// How often something happened that has no other trace.
    pub tallies: Tallies,
    env: Env,
    sockets: Vec<Option<Socket>>,
    free: Vec<Fd>,
    connections: BTreeMap<(SocketAddr, SocketAddr), Fd>,
    /// The connection that had the last segment: often that of the next one.
    recent: Fd,
    listeners: BTreeMap<u16, Vec<Fd>>,
    datagrams: BTreeMap<u16, Vec<Fd>>,
    buffers: Buffers,
}

/// What all sockets of a kernel share.
#[derive(Debug)]
struct Env {
    now: Instant,
    profile: Profile,
    sysctl: Sysctls,
    ways: Ways,
    next_port: u16,
    issued: u32,
    no_ports: bool,
    no_descriptors: bool,
    receive_buffer: u32,
    send_buffer: u32,
    accept_queue: Option<u32>,
    icmp: IcmpLimiter,
    paths: Paths,
}

#[derive(Debug)]
struct Socket {
    /// `None`: its program has closed it.
    owner: Option<Pid>,
    /// In `Effects::ready`, and not seen yet.
    told: bool,
    /// When its timer was asked for, the latest first.
    armed: Vec<Instant>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp(Box<Tcp>),
    Listener(Box<Listener>),
    Udp(Box<Udp>),
}

impl Kernel {
    /// The kernel of a host that has just been started, with these addresses.
    #[must_use]
    pub fn new(profile: Profile, sysctl: Sysctls, addresses: Vec<IpAddr>) -> Self {
        Self {
            effects: Effects::default(),
            tallies: Tallies::default(),
            env: Env {
                now: Instant::EPOCH,
                profile,
                next_port: sysctl.get(Sysctl::PortLow) as u16,
                receive_buffer: sysctl.get(Sysctl::ReceiveBuffer) as u32,
                send_buffer: sysctl.get(Sysctl::SendBuffer) as u32,
                icmp: IcmpLimiter::new(Duration::from_millis(sysctl.get(Sysctl::IcmpRateLimit))),
                sysctl,
                ways: Ways::new(addresses),
                issued: 0,
                no_ports: false,
                no_descriptors: false,
                accept_queue: None,
                paths: Paths::default(),
            },
            sockets: Vec::new(),
            free: Vec::new(),
            connections: BTreeMap::new(),
            recent: Fd(0),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            buffers: Buffers::default(),
        }
    }

    // The world.

    /// A packet has arrived for one of this host's addresses.
    pub fn receive(&mut self, now: Instant, packet: Packet) -> Fate {
        self.env.now = now;
        if packet.damaged {
            return Fate::Absorbed("dropped: the checksum failed");
        }
        match packet.body {
            Body::Tcp(_) => self.receive_segment(packet),
            Body::Udp(_) => self.receive_datagram(packet),
            Body::Icmp(_) => self.receive_icmp(&packet),
        }
    }

    /// A timer that was asked for is due.
    pub fn timer(&mut self, now: Instant, fd: Fd) {
        self.env.now = now;
        let Some(socket) = self.sockets.get_mut(fd.0 as usize).and_then(Option::as_mut) else { return };
        while socket.armed.last().is_some_and(|&at| at <= now) {
            socket.armed.pop();
        }
        match socket.kind {
            Kind::Tcp(_) => self.tcp_timer(fd),
            Kind::Listener(_) => self.listener_timer(fd),
            Kind::Udp(_) => {}
        }
        self.arm(fd);
    }

    /// A neighbour's address could not be found for these packets of this host: it tells itself (`arp_error_report`).
    pub fn neighbour_failed(&mut self, now: Instant, packet: &Packet) -> Fate {
        let (kind, code) = match packet.version() {
            Version::V4 => (3, 1),
            Version::V6 => (1, 3),
        };
        let own = packet.source;
        self.receive(now, packet.complain(own, kind, code, None, crate::packet::LONGEST_QUOTE))
    }

    /// All programs' sockets of this process are closed, as when it ends.
    pub fn exit(&mut self, now: Instant, pid: Pid) {
        self.env.now = now;
        for index in 0..self.sockets.len() {
            let fd = Fd(index as u32);
            if self.socket(fd).is_some_and(|socket| socket.owner == Some(pid)) {
                self.close(now, fd, resound_core::stream::Close::Drop);
            }
        }
    }

    /// The program has looked at what its socket is ready for: tell it when that changes.
    pub fn seen(&mut self, fd: Fd) {
        if let Some(socket) = self.socket_mut(fd) {
            socket.told = false;
        }
    }

    // What can be wrong with a host.

    /// Connections are forgotten, and nobody is told. How many there were.
    pub fn forget(&mut self) -> usize {
        self.forget_connections()
    }

    /// There is no way to this address (`None`: to any) from now on; or (`None`) there is again.
    pub fn route(&mut self, to: Option<IpAddr>, kind: Option<RouteKind>) {
        self.env.ways.route(to, kind);
    }

    /// What its interfaces do not lead to from now on, because they are down.
    pub fn unlink(&mut self, unlinked: Option<Unlinked>) {
        self.env.ways.unlink(unlinked);
    }

    /// No local port is left from now on; or there are again.
    pub fn exhaust_ports(&mut self, exhausted: bool) {
        self.env.no_ports = exhausted;
    }

    /// Programs get no new descriptor from now on; or do again.
    pub fn exhaust_descriptors(&mut self, exhausted: bool) {
        self.env.no_descriptors = exhausted;
    }

    /// How many bytes sockets keep for their programs, for sockets made from now on.
    pub fn receive_buffer(&mut self, bytes: u32) {
        self.env.receive_buffer = bytes;
    }

    /// How many bytes sockets keep for the network, for sockets made from now on.
    pub fn send_buffer(&mut self, bytes: u32) {
        self.env.send_buffer = bytes;
    }

    /// How many connections wait in each listener's queue at most; fewer if its backlog is shorter.
    pub fn accept_queue(&mut self, most: u32) {
        self.env.accept_queue = Some(most);
    }

    /// Whether packets to this address are its own.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        is_for_many(address) || self.env.ways.is_local(address)
    }

    // Sockets.

    fn socket(&self, fd: Fd) -> Option<&Socket> {
        self.sockets.get(fd.0 as usize).and_then(Option::as_ref)
    }

    fn socket_mut(&mut self, fd: Fd) -> Option<&mut Socket> {
        self.sockets.get_mut(fd.0 as usize).and_then(Option::as_mut)
    }

    /// Whether a call that makes a descriptor gets one (`get_unused_fd_flags`).
    fn descriptor(&mut self) -> Result<(), Errno> {
        if self.env.no_descriptors {
            self.tallies.no_descriptor += 1;
            return Err(Errno::MFile);
        }
        Ok(())
    }

    fn make(&mut self, owner: Option<Pid>, kind: Kind) -> Fd {
        self.tallies.sockets += 1;
        self.tallies.tcp_sockets += u32::from(matches!(kind, Kind::Tcp(_)));
        let socket = Some(Socket { owner, told: false, armed: Vec::new(), kind });
        if let Some(fd) = self.free.pop() {
            self.sockets[fd.0 as usize] = socket;
            return fd;
        }
        self.sockets.push(socket);
        Fd((self.sockets.len() - 1) as u32)
    }

    fn free(&mut self, fd: Fd) {
        if self.sockets[fd.0 as usize].take().is_some() {
            self.free.push(fd);
        }
    }

    /// Tells the socket's program that something has changed.
    fn wake(&mut self, fd: Fd) {
        let Some(socket) = self.sockets.get_mut(fd.0 as usize).and_then(Option::as_mut) else { return };
        if let (Some(pid), false) = (socket.owner, socket.told) {
            socket.told = true;
            self.effects.ready.push((pid, fd));
        }
    }

    /// Asks for the socket's timer, unless it was asked for by then.
    fn arm(&mut self, fd: Fd) {
        let Some(socket) = self.sockets.get_mut(fd.0 as usize).and_then(Option::as_mut) else { return };
        let deadline = match &socket.kind {
            Kind::Tcp(tcp) => tcp.deadline(),
            Kind::Listener(listener) => listener.deadline(),
            Kind::Udp(_) => None,
        };
        if let Some(at) = deadline.filter(|at| socket.armed.last().is_none_or(|armed| at < armed)) {
            socket.armed.push(at);
            self.effects.timers.push((at, fd));
        }
    }

    // Addresses.

    /// Sends an answer that is no socket's, if there is a way.
    fn answer_for_nobody(&mut self, answer: Packet) {
        let Some(kind) = self.env.ways.routed_to(answer.destination) else {
            return self.effects.packets.push(answer);
        };
        let signal = table::Signal::Route(kind);
        let found = table::find(self.env.profile, answer.version(), table::State::Nobody, false, signal);
        self.effects.rows.extend(found.map(|(id, _)| id));
    }

    /// A first sequence number, another one each time.
    fn first_seq(&mut self) -> Seq {
        self.env.issued += 1;
        Seq(self.env.issued.wrapping_mul(0x3d4d_51cb))
    }

    /// The next port of the range that is not taken, by `taken`.
    fn free_port(&mut self, taken: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        if self.env.no_ports {
            self.tallies.no_port += 1;
            return None;
        }
        let (low, high) = self.env.sysctl.port_range();
        for _ in low..=high {
            let port = self.env.next_port.clamp(low, high);
            self.env.next_port = if port >= high { low } else { port + 1 };
            if !taken(self, port) {
                return Some(port);
            }
        }
        None
    }
}
