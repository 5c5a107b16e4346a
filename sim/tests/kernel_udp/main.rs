//! UDP and ICMP of the simulated kernel, as a program and a network see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;
use resound_sim::kernel::{Fate, Fd, Kernel, Pid, Profile, QueuedError, Sysctl, Sysctls, UdpOptions};
use resound_sim::packet::{Body, Datagram, Packet};

mod bind;
mod delivery;
mod errors;
mod noise;
mod path;
mod rows;
mod send;

const PID: Pid = Pid(1);
const VERSIONS: [Version; 2] = [Version::V4, Version::V6];
const OPTIONS: UdpOptions = UdpOptions {
    recverr: false,
    receive_buffer: None,
    reuse_address: false,
    reuse_port: false,
    broadcast: false,
};
const RECVERR: UdpOptions = UdpOptions { recverr: true, ..OPTIONS };
const REUSE_PORT: UdpOptions = UdpOptions { reuse_port: true, ..OPTIONS };
const REUSE_ADDRESS: UdpOptions = UdpOptions { reuse_address: true, ..OPTIONS };

/// A host with its kernel, and what is said to it.
struct Host {
    kernel: Kernel,
    now: Instant,
    version: Version,
}

/// The host's own address; `last` tells its addresses apart.
fn own(version: Version, last: u8) -> IpAddr {
    match version {
        Version::V4 => Ipv4Addr::new(192, 0, 2, last).into(),
        Version::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

fn unspecified(version: Version) -> IpAddr {
    match version {
        Version::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Version::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn loopback(version: Version) -> IpAddr {
    match version {
        Version::V4 => Ipv4Addr::LOCALHOST.into(),
        Version::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Somebody else's port.
fn peer(version: Version, port: u16) -> SocketAddr {
    SocketAddr::new(own(version, 99), port)
}

fn router(version: Version) -> IpAddr {
    own(version, 254)
}

/// What a closed port's host says.
fn port_unreachable(version: Version) -> (u8, u8) {
    match version {
        Version::V4 => (3, 3),
        Version::V6 => (1, 4),
    }
}

impl Host {
    fn new(version: Version) -> Self {
        Self::of(Profile::Linux, version)
    }

    fn of(profile: Profile, version: Version) -> Self {
        let addresses = VERSIONS.into_iter().flat_map(|version| [own(version, 1), own(version, 2)]).collect();
        let kernel = Kernel::new(profile, Sysctls::default(), addresses);
        Self { kernel, now: Instant::EPOCH, version }
    }

    fn with_sysctl(version: Version, settings: &[(Sysctl, u64)]) -> Self {
        let mut sysctls = Sysctls::default();
        for (sysctl, value) in settings {
            sysctls.set(*sysctl, *value);
        }
        let kernel = Kernel::new(Profile::Linux, sysctls, vec![own(version, 1), own(version, 2)]);
        Self { kernel, now: Instant::EPOCH, version }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn bind(&mut self, at: SocketAddr, options: &UdpOptions) -> Result<Fd, Errno> {
        self.kernel.udp_bind(self.now, PID, at, options)
    }

    /// Bound to any port of any address.
    fn socket(&mut self, options: &UdpOptions) -> Fd {
        let at = SocketAddr::new(unspecified(self.version), 0);
        self.bind(at, options).unwrap()
    }

    fn connected(&mut self, to: SocketAddr, options: &UdpOptions) -> Fd {
        let fd = self.socket(options);
        self.connect(fd, to).unwrap();
        fd
    }

    fn connect(&mut self, fd: Fd, to: SocketAddr) -> Result<(), Errno> {
        self.kernel.udp_connect(self.now, fd, Some(to))
    }

    fn send(&mut self, fd: Fd, to: impl Into<Option<SocketAddr>>, bytes: &[u8]) -> Result<usize, Errno> {
        self.kernel.send_to(self.now, fd, to.into(), None, bytes)
    }

    /// The packet that this call sends.
    fn sent(&mut self, fd: Fd, to: impl Into<Option<SocketAddr>>, bytes: &[u8]) -> Packet {
        assert_eq!(self.send(fd, to, bytes), Ok(bytes.len()));
        self.packets().pop().expect("a packet was sent")
    }

    fn packets(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.kernel.effects.packets)
    }

    fn ready(&mut self, fd: Fd) -> bool {
        let ready = std::mem::take(&mut self.kernel.effects.ready);
        self.kernel.seen(fd);
        ready.contains(&(PID, fd))
    }

    fn recv(&mut self, fd: Fd) -> Result<Vec<u8>, Errno> {
        let mut into = [0; 2_048];
        let arrived = self.kernel.recv_from(self.now, fd, &mut into)?;
        Ok(into[..arrived.length].to_vec())
    }

    fn recv_error(&mut self, fd: Fd) -> Result<QueuedError, Errno> {
        self.kernel.recv_error(self.now, fd)
    }

    fn poll(&self, fd: Fd) -> String {
        self.kernel.poll(fd).to_string()
    }

    fn local(&self, fd: Fd) -> SocketAddr {
        self.kernel.local_addr(fd).unwrap()
    }

    fn port(&self, fd: Fd) -> u16 {
        self.local(fd).port()
    }

    fn receive(&mut self, packet: Packet) -> Fate {
        self.kernel.receive(self.now, packet)
    }

    /// A datagram for this host's first address.
    fn datagram(&mut self, from: SocketAddr, port: u16, payload: &[u8]) -> Fate {
        let to = SocketAddr::new(own(self.version, 1), port);
        self.receive(datagram(from, to, payload))
    }

    fn complain(&mut self, about: &Packet, from: IpAddr, (kind, code): (u8, u8)) -> Fate {
        self.receive(about.complain(from, kind, code, None, 520))
    }

    /// The peer's host has nobody on the port to which this went.
    fn refuse(&mut self, about: &Packet) -> Fate {
        self.complain(about, about.destination, port_unreachable(self.version))
    }

    fn close(&mut self, fd: Fd) {
        self.kernel.close(self.now, fd, Close::Drop);
    }
}

fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Packet {
    let body = Datagram { source: from.port(), destination: to.port(), payload: payload.to_vec() };
    Packet::new(from.ip(), to.ip(), Body::Udp(body))
}
