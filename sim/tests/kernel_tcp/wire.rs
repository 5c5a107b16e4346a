//! Two kernels and a perfect wire between them, in virtual time; what passes can be cut, recorded and forged.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Errno, Version};
use resound_sim::kernel::table::RowId;
use resound_sim::kernel::{Fate, Fd, Kernel, Pid, Profile, Sysctl, Sysctls, TcpOptions, TcpState};
use resound_sim::packet::{Body, Flags, Packet, Segment, Seq};

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;
pub(crate) const PID: Pid = Pid(1);
pub(crate) const PORT: u16 = 7;

pub(crate) struct Wire {
    pub(crate) now: Instant,
    pub(crate) kernels: [Kernel; 2],
    pub(crate) addresses: [IpAddr; 2],
    /// Nothing that this host sends arrives.
    pub(crate) cut: [bool; 2],
    pub(crate) delay: Duration,
    /// Everything that was sent, by whom, and when.
    pub(crate) sent: Vec<(Instant, usize, Packet)>,
    pub(crate) rows: Vec<(usize, RowId)>,
    pub(crate) moves: Vec<(usize, Fd, TcpState)>,
    pub(crate) fates: Vec<Fate>,
    /// Sockets whose programs were told that something has changed.
    pub(crate) woken: Vec<(usize, Fd)>,
    events: BTreeMap<(Instant, u64), Event>,
    issued: u64,
}

enum Event {
    Packet(usize, Packet),
    Timer(usize, Fd),
}

impl Wire {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(version, Profile::Linux, Sysctls::default())
    }

    /// Timers that give up soon.
    pub(crate) fn short(version: Version) -> Self {
        let mut sysctls = Sysctls::default();
        sysctls.set(Sysctl::Retries2, 5);
        sysctls.set(Sysctl::RtoMaxMs, 1_000);
        Self::with(version, Profile::Linux, sysctls)
    }

    pub(crate) fn with(version: Version, profile: Profile, sysctls: Sysctls) -> Self {
        let addresses: [IpAddr; 2] = match version {
            Version::V4 => [[10, 0, 0, 1].into(), [10, 0, 1, 1].into()],
            Version::V6 => ["fd00::1", "fd00:1::1"].map(|address| address.parse().expect("an address")),
        };
        Self {
            now: Instant::EPOCH + Duration::from_secs(1),
            kernels: addresses.map(|address| Kernel::new(profile, sysctls.clone(), vec![address])),
            addresses,
            cut: [false; 2],
            delay: Duration::from_millis(5),
            sent: Vec::new(),
            rows: Vec::new(),
            moves: Vec::new(),
            fates: Vec::new(),
            woken: Vec::new(),
            events: BTreeMap::new(),
            issued: 0,
        }
    }

    pub(crate) fn at(&self, host: usize) -> SocketAddr {
        SocketAddr::new(self.addresses[host], PORT)
    }

    /// Makes a call on a kernel, and does what follows.
    pub(crate) fn call<R>(&mut self, host: usize, call: impl FnOnce(&mut Kernel, Instant) -> R) -> R {
        let given = call(&mut self.kernels[host], self.now);
        let effects = std::mem::take(&mut self.kernels[host].effects);
        for packet in effects.packets {
            let to = self.addresses.iter().position(|&address| address == packet.destination);
            let to = if packet.destination.is_loopback() { Some(host) } else { to };
            self.sent.push((self.now, host, packet.clone()));
            if let Some(to) = to.filter(|&to| to == host || !self.cut[host]) {
                self.push(self.now + self.delay, Event::Packet(to, packet));
            }
        }
        for (at, fd) in effects.timers {
            self.push(at, Event::Timer(host, fd));
        }
        for (_, fd) in effects.ready {
            self.woken.push((host, fd));
            self.kernels[host].seen(fd);
        }
        self.rows.extend(effects.rows.into_iter().map(|row| (host, row)));
        self.moves.extend(effects.moves.into_iter().map(|(fd, state)| (host, fd, state)));
        given
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.issued += 1;
        self.events.insert((at, self.issued), event);
    }

    /// Lets everything happen until then.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    /// Until this is so; when, if it is within the time.
    pub(crate) fn run_until(&mut self, most: Duration, so: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (began, until) = (self.now, self.now + most);
        while !so(self) {
            let entry = self.events.first_entry().filter(|entry| entry.key().0 <= until)?;
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        Some(self.now - began)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Packet(to, packet) => {
                let fate = self.call(to, |kernel, now| kernel.receive(now, packet));
                self.fates.push(fate);
            }
            Event::Timer(host, fd) => self.call(host, |kernel, now| kernel.timer(now, fd)),
        }
    }

    /// Gives a packet to a host at once.
    pub(crate) fn inject(&mut self, to: usize, packet: Packet) -> Fate {
        self.call(to, |kernel, now| kernel.receive(now, packet))
    }

    pub(crate) fn listen(&mut self, backlog: u32, options: &TcpOptions) -> Fd {
        let at = self.at(SERVER);
        self.call(SERVER, |kernel, now| kernel.tcp_listen(now, PID, at, backlog, options)).expect("listens")
    }

    pub(crate) fn connect(&mut self, options: &TcpOptions) -> Fd {
        let to = self.at(SERVER);
        self.call(CLIENT, |kernel, now| kernel.tcp_connect(now, PID, to, options)).expect("connects")
    }

    pub(crate) fn accept(&mut self, listener: Fd) -> Fd {
        self.call(SERVER, |kernel, now| kernel.accept(now, listener, PID)).expect("accepts").0
    }

    /// A connection, and the listener that it came from: client's, server's, listener.
    pub(crate) fn pair(&mut self, client: &TcpOptions, server: &TcpOptions) -> (Fd, Fd, Fd) {
        let listener = self.listen(8, server);
        let fd = self.connect(client);
        self.run_for(Duration::from_millis(50));
        let peer = self.accept(listener);
        (fd, peer, listener)
    }

    pub(crate) fn send(&mut self, host: usize, fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        self.call(host, |kernel, now| kernel.send(now, fd, &[bytes]))
    }

    pub(crate) fn recv(&mut self, host: usize, fd: Fd) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; 1 << 20];
        let n = self.call(host, |kernel, now| kernel.recv(now, fd, &mut bytes))?;
        bytes.truncate(n);
        Ok(bytes)
    }

    pub(crate) fn state(&self, host: usize, fd: Fd) -> Option<TcpState> {
        self.kernels[host].tcp_state(fd)
    }

    /// The last segment that a host has sent.
    pub(crate) fn last(&self, host: usize) -> Segment {
        let mut of = self.sent.iter().rev().filter(|(_, by, _)| *by == host);
        of.find_map(|(.., packet)| segment(packet)).expect("it has sent something").clone()
    }

    pub(crate) fn count(&self, host: usize) -> usize {
        self.sent.iter().filter(|(_, by, _)| *by == host).count()
    }

    /// A segment from the other end of the connection of which `to` sent its last one.
    pub(crate) fn forge(&self, to: usize, seq: Seq, ack: Option<Seq>, flags: Flags) -> Packet {
        let seen = self.last(to);
        let forged = Segment {
            source: seen.destination,
            destination: seen.source,
            seq,
            ack,
            flags,
            window: 60_000,
            mss: None,
            payload: Vec::new(),
        };
        Packet::new(self.addresses[1 - to], self.addresses[to], Body::Tcp(forged))
    }
}

pub(crate) fn segment(packet: &Packet) -> Option<&Segment> {
    match &packet.body {
        Body::Tcp(segment) => Some(segment),
        _ => None,
    }
}
