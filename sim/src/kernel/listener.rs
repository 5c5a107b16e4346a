//! Listeners: who may have a port, and connections that wait to be accepted.
//!
//! A connection begins here when a SYN comes, as a socket without a program. It joins the accept queue when its SYN-ACK
//! is acknowledged. While the queue is full, SYNs are dropped, and acknowledgements of a SYN-ACK too: the client believes
//! that it is connected, the server does not know it yet (`tcp_conn_request`, `tcp_v4_syn_recv_sock`).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use resound_core::Instant;
use resound_core::signal::Errno;
use resound_core::stream::Close;

use super::tcp::Tcp;
use super::{Fate, Fd, Kernel, Kind, Pid, Poll, Sysctl, TcpOptions};
use crate::packet::Segment;

#[derive(Debug)]
pub(super) struct Listener {
    local: SocketAddr,
    options: TcpOptions,
    /// As `listen` was asked, and bounded; one more fits.
    backlog: usize,
    queue: VecDeque<Fd>,
}

impl Listener {
    pub(super) fn poll(&self) -> Poll {
        Poll { readable: !self.queue.is_empty(), ..Poll::default() }
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Its connections have timers of their own.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        None
    }

    pub(super) fn forget(&mut self, child: Fd) {
        self.queue.retain(|queued| *queued != child);
    }
}

impl Kernel {
    /// `socket`, `bind`, `listen`. Port 0: any. The unspecified IPv6 address takes IPv4 as well.
    ///
    /// # Errors
    ///
    /// EMFILE; EADDRNOTAVAIL for an address that is not this host's; EADDRINUSE while the port is taken: by another
    /// listener, unless both have SO_REUSEPORT, or by what is left of connections, unless they and this have SO_REUSEADDR.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        pid: Pid,
        at: SocketAddr,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<Fd, Errno> {
        self.env.now = now;
        self.descriptor()?;
        let local = self.tcp_bind(at, options)?;
        let most = self.env.sysctl.get(Sysctl::SoMaxConn);
        let backlog = u64::from(backlog).min(most) as usize;
        let listener = Listener { local, options: *options, backlog, queue: VecDeque::new() };
        let fd = self.make(Some(pid), Kind::Listener(Box::new(listener)));
        self.listeners.entry(local.port()).or_default().push(fd);
        Ok(fd)
    }

    /// `bind` of a TCP socket: with the port that it gets.
    pub(super) fn tcp_bind(&mut self, at: SocketAddr, options: &TcpOptions) -> Result<SocketAddr, Errno> {
        if !at.ip().is_unspecified() && !self.env.ways.is_local(at.ip()) {
            return Err(Errno::AddrNotAvail);
        }
        let port = match at.port() {
            0 => self.free_port(|kernel, port| kernel.port_taken(at.ip(), port, options)),
            port => Some(port).filter(|port| !self.port_taken(at.ip(), *port, options)),
        };
        Ok(SocketAddr::new(at.ip(), port.ok_or(Errno::AddrInUse)?))
    }

    /// `inet_csk_get_port`
    fn port_taken(&self, ip: IpAddr, port: u16, options: &TcpOptions) -> bool {
        let by_listener = self.listeners.get(&port).into_iter().flatten().any(|&fd| {
            self.listener(fd).is_some_and(|other| {
                overlap(ip, other.local.ip()) && !(options.reuse_port && other.options.reuse_port)
            })
        });
        let left = self.connections.iter().filter(|((local, _), _)| local.port() == port);
        by_listener
            || left.filter(|((local, _), _)| overlap(ip, local.ip())).any(|(_, &fd)| {
                let other = self.tcp_options(fd);
                !other.is_some_and(|other| {
                    options.reuse_address && other.reuse_address || options.reuse_port && other.reuse_port
                })
            })
    }

    /// `accept`.
    ///
    /// # Errors
    ///
    /// EMFILE, even if none waits: the descriptor comes first (`__sys_accept4_file`), and whoever waits goes on waiting.
    /// EAGAIN if none waits. One that was reset meanwhile is accepted, and tells then.
    pub fn accept(&mut self, now: Instant, fd: Fd, pid: Pid) -> Result<(Fd, SocketAddr), Errno> {
        self.env.now = now;
        self.descriptor()?;
        let listener = self.listener_mut(fd).ok_or(Errno::Inval)?;
        let child = listener.queue.pop_front().ok_or(Errno::Again)?;
        if let Some(socket) = self.socket_mut(child) {
            socket.owner = Some(pid);
        }
        let tcp = self.tcp_mut(child).ok_or(Errno::ConnAborted)?;
        tcp.parent = None;
        tcp.queued = false;
        Ok((child, tcp.end()))
    }

    /// Who takes connections to this address: the most particular listener; of several alike, by the other end.
    pub(super) fn listener_for(&self, local: SocketAddr, remote: SocketAddr) -> Option<Fd> {
        let all = self.listeners.get(&local.port())?;
        let bound = |fd: Fd| self.listener(fd).map(|listener| listener.local.ip());
        let exact: Vec<Fd> = all.iter().copied().filter(|&fd| bound(fd) == Some(local.ip())).collect();
        let any = || all.iter().copied().filter(|&fd| bound(fd).is_some_and(|ip| takes(ip, local.ip())));
        let group = if exact.is_empty() { any().collect() } else { exact };
        let member = usize::from(remote.port()) % group.len().max(1);
        group.get(member).copied()
    }

    /// A SYN for a listener.
    pub(super) fn knock(&mut self, fd: Fd, local: SocketAddr, remote: SocketAddr, segment: &Segment) -> Fate {
        if self.queue_full(fd) {
            self.tallies.queue_full += 1;
            return Fate::Absorbed("dropped: the accept queue is full");
        }
        let Some(listener) = self.listener(fd) else { return Fate::Absorbed("ignored: no such listener") };
        let options = listener.options;
        let iss = self.first_seq();
        let tcp = Tcp::answering(&self.env, local, remote, &options, iss, fd);
        let child = self.make(None, Kind::Tcp(Box::new(tcp)));
        self.connections.insert((local, remote), child);
        self.answer(child, segment);
        Fate::Acted("answered the SYN")
    }

    /// `sk_acceptq_is_full`: one more than the backlog fits.
    pub(super) fn queue_full(&self, fd: Fd) -> bool {
        let most = self.env.accept_queue.map_or(usize::MAX, |most| most as usize);
        self.listener(fd).is_none_or(|listener| listener.queue.len() >= most.min(listener.backlog + 1))
    }

    /// A connection stands, and waits to be accepted.
    pub(super) fn enqueue(&mut self, fd: Fd, child: Fd) {
        if let Some(listener) = self.listener_mut(fd) {
            listener.queue.push_back(child);
            self.wake(fd);
        }
    }

    /// Those that wait are reset; those that are not that far are forgotten (`inet_csk_listen_stop`).
    pub(super) fn listener_close(&mut self, fd: Fd) {
        let Some(listener) = self.listener_mut(fd) else { return };
        let (port, queue) = (listener.local.port(), core::mem::take(&mut listener.queue));
        for child in queue {
            self.tcp_close(child, Close::Reset);
        }
        let half: Vec<_> = self.connections.iter().map(|(ends, child)| (*ends, *child)).collect();
        for (ends, child) in half {
            if self.tcp_mut(child).is_some_and(|tcp| tcp.parent == Some(fd)) {
                self.connections.remove(&ends);
                self.free(child);
            }
        }
        if let Some(others) = self.listeners.get_mut(&port) {
            others.retain(|other| *other != fd);
            if others.is_empty() {
                self.listeners.remove(&port);
            }
        }
        self.free(fd);
    }

    /// It has none: see [`Listener::deadline`].
    pub(super) fn listener_timer(&mut self, fd: Fd) {
        let _ = fd;
    }

    fn listener(&self, fd: Fd) -> Option<&Listener> {
        match &self.socket(fd)?.kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    pub(super) fn listener_mut(&mut self, fd: Fd) -> Option<&mut Listener> {
        match &mut self.socket_mut(fd)?.kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        }
    }
}

/// Whether a socket bound to `bound` takes what comes to `to`.
fn takes(bound: IpAddr, to: IpAddr) -> bool {
    bound == to || bound.is_unspecified() && (bound.is_ipv6() || to.is_ipv4())
}

/// Whether two bound addresses are in each other's way.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    takes(a, b) || takes(b, a)
}
