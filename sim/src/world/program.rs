//! What a program is, and the calls that it can make.

use std::net::{IpAddr, SocketAddr};

use resound_core::Instant;
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;

use crate::kernel::table::IcmpClass;
use crate::kernel::{Arrived, Fd, Kernel, Pid, Poll, QueuedError, TcpOptions, UdpOptions};
use crate::packet::FaultId;
use crate::run::coverage::{Met, MetSet};
use crate::scenario::{Command, NodeId, Peer, Said, Scenario, Transport, socket_addr};

/// A process on a host.
pub trait Program {
    /// Does what there is to do, and says until when it sleeps. It is run when it starts, when a socket is ready, when the
    /// time has come, after it was asked for something, and now and then for nothing.
    fn run(&mut self, calls: &mut Calls<'_>) -> Next;

    /// A line of the script.
    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer;
}

/// What a program does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It sleeps until this time of its clock, or for ever.
    Sleep(Option<Instant>),
    /// It ends; its kernel closes its sockets.
    Exit,
}

/// How a program takes a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has taken it.
    Taken,
    /// It is for somebody else.
    NotMine,
    /// It cannot be done: why.
    Refused(String),
}

/// The programs of a scenario: which one a command starts.
pub trait Cast {
    /// The program that a command starts on a host, if it starts one. Only called if no program that runs there takes it.
    fn start(&mut self, stage: &Stage<'_>, command: &Command) -> Option<Box<dyn Program>>;
}

/// Where a program is started.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The host.
    pub host: NodeId,
    /// For the program's own random choices: another one for each program.
    pub seed: u64,
    /// The time of the host's clock.
    pub now: Instant,
}

impl Stage<'_> {
    /// The address and port of a peer.
    #[must_use]
    pub const fn addr(&self, peer: Peer) -> SocketAddr {
        socket_addr(peer, self.scenario.version)
    }

    /// Any address of this host, with this port.
    #[must_use]
    pub const fn any(&self, port: u16) -> SocketAddr {
        any(self.scenario.version, port)
    }
}

/// Any address of a host, with this port.
pub(crate) const fn any(version: Version, port: u16) -> SocketAddr {
    let ip = match version {
        Version::V4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        Version::V6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, port)
}

/// By how much a host's reads and writes are cut short, and by which fault.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) reads: Option<(usize, FaultId)>,
    pub(super) writes: Option<(usize, FaultId)>,
    /// Those that made a difference since this was last looked at: to a read, to a write.
    pub(super) met: [Option<FaultId>; 2],
}

/// The system calls of one process, and its clock.
#[derive(Debug)]
pub struct Calls<'a> {
    pub(super) kernel: &'a mut Kernel,
    pub(super) pid: Pid,
    pub(super) version: Version,
    pub(super) world: Instant,
    pub(super) clock: Instant,
    pub(super) limits: &'a mut Limits,
    pub(super) ready: &'a mut Vec<Fd>,
    pub(super) spurious: bool,
    pub(super) said: &'a mut Vec<Said>,
    /// What its calls gave: of TCP, of UDP, and of TCP while it connects.
    pub(super) met: [MetSet; 3],
}

impl Calls<'_> {
    /// The time of the host's clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.clock
    }

    /// Says something: it is in the run's record, and may trigger a fault.
    pub fn say(&mut self, said: Said) {
        self.said.push(said);
    }

    /// What was said so far, to be added to while the calls are lent to a turn.
    pub(crate) fn take_said(&mut self) -> Vec<Said> {
        core::mem::take(self.said)
    }

    pub(crate) fn put_said(&mut self, said: Vec<Said>) {
        *self.said = said;
    }

    #[inline]
    const fn meet(&mut self, transport: Transport, met: Option<Met>) {
        if let Some(met) = met {
            self.met[transport as usize].insert(met);
        }
    }

    const fn dials(&mut self, met: Option<Met>) {
        if let Some(met) = met {
            self.met[2].insert(met);
        }
    }

    #[inline]
    fn failed<T>(&mut self, transport: Transport, result: Result<T, Errno>) -> Result<T, Errno> {
        if let Err(errno) = result {
            self.meet(transport, Met::errno(errno));
        }
        result
    }

    /// A socket of this process on which something has changed since this was last asked (edge-triggered epoll).
    pub fn next_ready(&mut self) -> Option<Fd> {
        let fd = self.ready.pop()?;
        self.kernel.seen(fd);
        Some(fd)
    }

    /// Whether it was woken for nothing, and told that everything is ready.
    #[must_use]
    pub const fn is_spurious(&self) -> bool {
        self.spurious
    }

    /// Any address of this host, with this port.
    #[must_use]
    pub const fn any(&self, port: u16) -> SocketAddr {
        any(self.version, port)
    }

    /// Which IP version the scenario's names stand for.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether this process has this socket: what was closed may be somebody else's by now.
    #[inline]
    fn own(&self, fd: Fd) -> Result<(), Errno> {
        if self.kernel.owner(fd) == Some(self.pid) { Ok(()) } else { Err(Errno::BadF) }
    }

    // TCP.

    /// `socket` and a non-blocking `connect`.
    ///
    /// # Errors
    ///
    /// What the call gives at once.
    pub fn connect(&mut self, to: SocketAddr, options: &TcpOptions) -> Result<Fd, Errno> {
        self.connect_from(None, to, options)
    }

    /// `socket`, `bind` to an end of its own, and a non-blocking `connect`.
    ///
    /// # Errors
    ///
    /// What the calls give at once.
    pub fn connect_from(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        let begun = self.kernel.tcp_connect_from(self.world, self.pid, from, to, options);
        if let Err(met) = begun.map_err(Met::errno) {
            self.dials(met);
        }
        begun
    }

    /// How a connect ended; `None` while it is under way.
    pub fn connected(&mut self, fd: Fd) -> Option<Result<(), Errno>> {
        let ended = self.kernel.tcp_connected(fd)?;
        self.dials(ended.map_or_else(Met::errno, |()| Some(Met::Connected)));
        Some(ended)
    }

    /// `socket`, `bind` and `listen`.
    ///
    /// # Errors
    ///
    /// What the calls give.
    pub fn listen(&mut self, at: SocketAddr, backlog: u32, options: &TcpOptions) -> Result<Fd, Errno> {
        self.kernel.tcp_listen(self.world, self.pid, at, backlog, options)
    }

    /// `accept`.
    ///
    /// # Errors
    ///
    /// EAGAIN, if nobody waits.
    pub fn accept(&mut self, listener: Fd) -> Result<(Fd, SocketAddr), Errno> {
        self.own(listener)?;
        self.kernel.accept(self.world, listener, self.pid)
    }

    /// `recv`: 0 is the end of the peer's side.
    ///
    /// # Errors
    ///
    /// EAGAIN, or what the socket has latched.
    pub fn recv(&mut self, fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        self.own(fd)?;
        let wanted = into.len();
        let most = self.limits.reads.map_or(wanted, |(most, _)| most.max(1).min(wanted));
        let got = self.kernel.recv(self.world, fd, &mut into[..most]);
        let got = self.failed(Transport::Tcp, got)?;
        self.meet(Transport::Tcp, Some(if got == 0 { Met::End } else { Met::Data }));
        if let Some((_, fault)) = self.limits.reads.filter(|_| got == most && most < wanted) {
            // Only what would have been read besides makes a difference.
            if self.kernel.poll(fd).readable {
                self.limits.met[0] = Some(fault);
            }
        }
        Ok(got)
    }

    /// `sendmsg` with MSG_NOSIGNAL.
    ///
    /// # Errors
    ///
    /// EAGAIN, or what the socket has latched.
    pub fn send(&mut self, fd: Fd, from: &[&[u8]]) -> Result<usize, Errno> {
        self.own(fd)?;
        let sent = self.send_limited(fd, from);
        match sent {
            Err(Errno::Again) => self.meet(Transport::Tcp, Some(Met::Blocked)),
            Err(errno) => self.meet(Transport::Tcp, Met::errno(errno)),
            Ok(_) => {}
        }
        sent
    }

    fn send_limited(&mut self, fd: Fd, from: &[&[u8]]) -> Result<usize, Errno> {
        let Some((most, fault)) = self.limits.writes else { return self.kernel.send(self.world, fd, from) };
        let first = from.iter().find(|bytes| !bytes.is_empty()).copied().unwrap_or_default();
        let cut = &first[..first.len().min(most.max(1))];
        let taken = self.kernel.send(self.world, fd, &[cut])?;
        if taken == cut.len() && taken < from.iter().map(|bytes| bytes.len()).sum() {
            self.limits.met[1] = Some(fault);
        }
        Ok(taken)
    }

    /// `shutdown(SHUT_WR)`.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn shutdown(&mut self, fd: Fd) -> Result<(), Errno> {
        self.own(fd)?;
        self.kernel.shutdown(self.world, fd)
    }

    /// `shutdown(SHUT_RD)`.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn shutdown_read(&mut self, fd: Fd) -> Result<(), Errno> {
        self.own(fd)?;
        self.kernel.shutdown_read(self.world, fd)
    }

    /// `getsockopt(TCP_INFO)`, as far as it is simulated.
    #[must_use]
    pub fn tcp_info(&self, fd: Fd) -> Option<KernelView> {
        self.kernel.tcp_info(self.world, fd)
    }

    // UDP.

    /// `socket` and `bind`.
    ///
    /// # Errors
    ///
    /// What the calls give.
    pub fn udp(&mut self, at: SocketAddr, options: &UdpOptions) -> Result<Fd, Errno> {
        self.kernel.udp_bind(self.world, self.pid, at, options)
    }

    /// `connect` of a UDP socket; `None` dissolves it.
    ///
    /// # Errors
    ///
    /// What this host's routes say.
    pub fn udp_connect(&mut self, fd: Fd, to: Option<SocketAddr>) -> Result<(), Errno> {
        self.own(fd)?;
        self.kernel.udp_connect(self.world, fd, to)
    }

    /// Joins a group on the host's first link.
    ///
    /// # Errors
    ///
    /// EINVAL, if it is none; EADDRINUSE, if the socket is in it.
    pub fn join(&mut self, fd: Fd, group: IpAddr) -> Result<(), Errno> {
        self.own(fd)?;
        self.kernel.udp_join(fd, group)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// EADDRNOTAVAIL, if the socket is not in it.
    pub fn leave(&mut self, fd: Fd, group: IpAddr) -> Result<(), Errno> {
        self.own(fd)?;
        self.kernel.udp_leave(fd, group)
    }

    /// `sendmsg` of one datagram.
    ///
    /// # Errors
    ///
    /// What the call gives: an earlier datagram's error too.
    #[inline]
    pub fn send_to(
        &mut self,
        fd: Fd,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        self.own(fd)?;
        let sent = self.kernel.send_to(self.world, fd, to, from, bytes);
        self.failed(Transport::Udp, sent)
    }

    /// `recvmsg` of one datagram.
    ///
    /// # Errors
    ///
    /// EAGAIN, or what the socket has latched.
    pub fn recv_from(&mut self, fd: Fd, into: &mut [u8]) -> Result<Arrived, Errno> {
        self.own(fd)?;
        let got = self.kernel.recv_from(self.world, fd, into);
        self.meet(Transport::Udp, got.as_ref().map_or_else(|errno| Met::errno(*errno), |_| Some(Met::Data)));
        got
    }

    /// `recvmsg` with MSG_ERRQUEUE.
    ///
    /// # Errors
    ///
    /// EAGAIN, if it is empty.
    pub fn recv_error(&mut self, fd: Fd) -> Result<QueuedError, Errno> {
        self.own(fd)?;
        let entry = self.kernel.recv_error(self.world, fd)?;
        let class = entry.icmp.as_ref().map(IcmpClass::of);
        self.meet(Transport::Udp, class.and_then(Met::icmp));
        Ok(entry)
    }

    /// How many datagrams were dropped on this socket in all.
    #[must_use]
    pub fn drops(&mut self, fd: Fd) -> u32 {
        let drops = self.kernel.drops(fd);
        if drops > 0 {
            self.meet(Transport::Udp, Some(Met::Overflow));
        }
        drops
    }

    /// `SO_RCVBUF`.
    #[must_use]
    pub fn receive_room(&self, fd: Fd) -> usize {
        self.kernel.receive_room(fd)
    }

    // Both.

    /// `getsockopt(SO_ERROR)`: takes it.
    pub fn so_error(&mut self, fd: Fd) -> Option<Errno> {
        self.own(fd).ok()?;
        self.kernel.so_error(fd)
    }

    /// `poll` with a timeout of zero.
    #[must_use]
    pub fn poll(&self, fd: Fd) -> Poll {
        self.kernel.poll(fd)
    }

    /// Whether this is a UDP socket.
    #[must_use]
    pub fn is_udp(&self, fd: Fd) -> bool {
        self.kernel.is_udp(fd)
    }

    /// `getsockname`.
    #[must_use]
    pub fn local_addr(&self, fd: Fd) -> Option<SocketAddr> {
        self.kernel.local_addr(fd)
    }

    /// `getpeername`.
    #[must_use]
    pub fn peer_addr(&self, fd: Fd) -> Option<SocketAddr> {
        self.kernel.peer_addr(fd)
    }

    /// `close`.
    pub fn close(&mut self, fd: Fd, how: Close) {
        if self.own(fd).is_ok() {
            self.kernel.close(self.world, fd, how);
        }
    }
}
