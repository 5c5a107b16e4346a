//! The textbook's puzzle with plain sockets: one program sends to three UDP servers, the second of which does not run.
//!
//! No machine, no runtime: a few calls each, to see what the system tells whoever uses them. Stevens asked what an
//! unconnected socket is told (UNIX Network Programming, volume 1, chapters 8 and 28) and answered with a daemon. Here the
//! question is put to this system, in each way that a program has of using its sockets:
//!
//! | way | what is to be seen |
//! |---|---|
//! | [`Way::Unconnected`] | nothing is told |
//! | [`Way::ConnectedInTurn`] | the error of one server stops what was meant for the next |
//! | [`Way::ConnectedEach`] | the error is told on the right socket; each server needs one |
//! | [`Way::QueueUnread`] | an error queue names the server, and still stops what was meant for the next |
//! | [`Way::QueueReadFirst`] | read before each send, it names the server, and nothing is lost |

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resound_core::signal::{IcmpError, Signal, Version};
use resound_sockets::errno;

use crate::peers::ClosedPort;

/// For how long it is waited for what may never come. Enough for a datagram and its error on the loopback device.
const WAIT: Duration = Duration::from_millis(100);

/// How a program uses its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// One socket, `sendto`.
    Unconnected,
    /// One socket, `connect` and `send` to one server after the other.
    ConnectedInTurn,
    /// A socket for each server, connected.
    ConnectedEach,
    /// One socket with an error queue (`IP_RECVERR`, `IPV6_RECVERR`), which is read in the end.
    QueueUnread,
    /// The same, and the queue is read before each send.
    QueueReadFirst,
}

impl Way {
    /// Every way that this system knows.
    pub const ALL: &'static [Self] = if cfg!(target_os = "linux") {
        &[
            Self::Unconnected,
            Self::ConnectedInTurn,
            Self::ConnectedEach,
            Self::QueueUnread,
            Self::QueueReadFirst,
        ]
    } else {
        &[Self::Unconnected, Self::ConnectedInTurn, Self::ConnectedEach]
    };

    /// The words for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unconnected => "unconnected",
            Self::ConnectedInTurn => "connected in turn",
            Self::ConnectedEach => "one connected each",
            Self::QueueUnread => "queue, read last",
            Self::QueueReadFirst => "queue, read first",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its server got it.
    Arrived,
    /// It was sent, and nobody got it.
    Gone,
    /// It was not sent: the call said this, of another datagram.
    NotSent(Signal),
}

/// What the program is told of the server that does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// An error number, on a socket that has one peer: so it is known whose it is, and not who said so.
    Peer(Signal),
    /// An error number, and nothing of whom it is about.
    Somebody(Signal),
    /// An entry in the error queue: about whom, who said so, and what the ICMP message was.
    Entry {
        /// The entry.
        error: IcmpError,
        /// Which of the three servers it names, counted from 0.
        server: Option<usize>,
    },
}

/// What came of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The way.
    pub way: Way,
    /// The IP version.
    pub version: Version,
    /// What became of the datagrams to the first server, the second, which does not run, and the third.
    pub fates: [Fate; 3],
    /// What the program was told.
    pub told: Told,
}

impl Answer {
    /// Whether a datagram to a server that runs was lost.
    #[must_use]
    pub fn lost_a_live_one(&self) -> bool {
        let [first, _, third] = self.fates;
        [first, third].iter().any(|fate| *fate != Fate::Arrived)
    }
}

/// `arrived`, `not sent: ECONNREFUSED`.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrived => f.write_str("arrived"),
            Self::Gone => f.write_str("gone"),
            Self::NotSent(signal) => write!(f, "not sent: {}", number(signal)),
        }
    }
}

/// `ECONNREFUSED of its peer`; `ICMP 3/3 of the 2nd, by 127.0.0.1`. Without ports: they differ from
/// run to run.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Peer(signal) => write!(f, "{} of its peer", number(signal)),
            Self::Somebody(signal) => write!(f, "{} of nobody", number(signal)),
            Self::Entry { error, server } => {
                let protocol = if error.version == Version::V4 { "ICMP" } else { "ICMPv6" };
                write!(f, "{protocol} {}/{} of ", error.kind, error.code)?;
                f.write_str(match server {
                    Some(0) => "the 1st",
                    Some(1) => "the 2nd",
                    Some(2) => "the 3rd",
                    _ => "somebody else",
                })?;
                error.offender.map_or(Ok(()), |by| write!(f, ", by {by}"))
            }
        }
    }
}

fn number(signal: &Signal) -> String {
    match signal {
        Signal::Errno(errno) => errno.to_string(),
        other => format!("{other:?}"),
    }
}

/// Puts the question in each way that this system knows.
///
/// # Errors
///
/// There are no sockets to be had, or no addresses of this version.
pub fn three_servers(version: Version) -> io::Result<Vec<Answer>> {
    Way::ALL.iter().map(|&way| ask(way, version)).collect()
}

/// The servers: two sockets that are read, and a port that nobody serves in between.
struct Servers {
    first: UdpSocket,
    second: ClosedPort,
    third: UdpSocket,
}

impl Servers {
    fn new(ip: IpAddr) -> io::Result<Self> {
        let listening = || {
            let socket = UdpSocket::bind((ip, 0))?;
            socket.set_read_timeout(Some(WAIT))?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { first: listening()?, second: ClosedPort::new(ip)?, third: listening()? })
    }

    fn addrs(&self) -> io::Result<[SocketAddr; 3]> {
        Ok([self.first.local_addr()?, self.second.addr(), self.third.local_addr()?])
    }
}

fn ask(way: Way, version: Version) -> io::Result<Answer> {
    let ip = match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Version::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let servers = Servers::new(ip)?;
    let addrs = servers.addrs()?;
    let mut program = Program::new(way, ip)?;
    let mut sent = [const { Ok(()) }; 3];
    for (index, sent) in sent.iter_mut().enumerate() {
        *sent = program.send(index, addrs[index])?;
        program.wait_for_an_error(index)?;
    }
    let told = program.listen(&sent, &addrs)?;
    let [first, second, third] = sent;
    let fates = [fate(first, Some(&servers.first)), fate(second, None), fate(third, Some(&servers.third))];
    Ok(Answer { way, version, fates, told })
}

fn fate(sent: Result<(), Signal>, server: Option<&UdpSocket>) -> Fate {
    match (sent, server) {
        (Err(signal), _) => Fate::NotSent(signal),
        (Ok(()), Some(server)) if server.recv(&mut [0; 16]).is_ok() => Fate::Arrived,
        (Ok(()), _) => Fate::Gone,
    }
}

/// A program that goes one of the ways.
struct Program {
    way: Way,
    /// One, or one for each server.
    sockets: Vec<UdpSocket>,
    /// What the error queue held.
    heard: Option<IcmpError>,
}

impl Program {
    fn new(way: Way, ip: IpAddr) -> io::Result<Self> {
        let count = if way == Way::ConnectedEach { 3 } else { 1 };
        let sockets: io::Result<Vec<_>> = (0..count).map(|_| UdpSocket::bind((ip, 0))).collect();
        let program = Self { way, sockets: sockets?, heard: None };
        for socket in &program.sockets {
            socket.set_read_timeout(Some(WAIT))?;
            if program.has_queue() {
                queue::open(socket, ip)?;
            }
        }
        Ok(program)
    }

    const fn has_queue(&self) -> bool {
        matches!(self.way, Way::QueueUnread | Way::QueueReadFirst)
    }

    fn socket(&self, server: usize) -> &UdpSocket {
        &self.sockets[server.min(self.sockets.len() - 1)]
    }

    fn send(&mut self, server: usize, addr: SocketAddr) -> io::Result<Result<(), Signal>> {
        if self.way == Way::QueueReadFirst {
            self.read_queue()?;
        }
        let socket = self.socket(server);
        let sent = match self.way {
            Way::Unconnected | Way::QueueUnread | Way::QueueReadFirst => socket.send_to(b"hello", addr),
            Way::ConnectedInTurn | Way::ConnectedEach => {
                socket.connect(addr)?;
                socket.send(b"hello")
            }
        };
        Ok(sent.map(drop).map_err(|error| errno::signal(&error)))
    }

    /// Until the error about the last datagram is there, so that what follows does not depend on how fast it comes. A
    /// program that reads its queue before it sends finds it there.
    fn wait_for_an_error(&self, server: usize) -> io::Result<()> {
        if server != 1 {
            return Ok(());
        }
        let mut socket = [PollFd::new(self.socket(server).as_fd(), PollFlags::empty())];
        // As long as an error takes, where none is told.
        let _ = poll(&mut socket, PollTimeout::from(WAIT.as_millis() as u16))?;
        Ok(())
    }

    fn read_queue(&mut self) -> io::Result<()> {
        while let Some(error) = queue::next(self.socket(0))? {
            self.heard = self.heard.or(Some(error));
        }
        Ok(())
    }

    /// What is told in the end, of what was sent.
    fn listen(&mut self, sent: &[Result<(), Signal>; 3], servers: &[SocketAddr; 3]) -> io::Result<Told> {
        if self.has_queue() {
            self.read_queue()?;
        }
        if let Some(error) = self.heard {
            let server = servers.iter().position(|&server| error.destination == Some(server));
            return Ok(Told::Entry { error, server });
        }
        let said = match sent.iter().find_map(|sent| sent.err()) {
            Some(signal) => Some(signal),
            // Nobody answers, so that whatever comes is an error.
            None => match self.socket(1).recv(&mut [0; 16]) {
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    Some(errno::signal(&error))
                }
                _ => None,
            },
        };
        Ok(match (said, self.way) {
            (None, _) => Told::Nothing,
            (Some(signal), Way::ConnectedEach) => Told::Peer(signal),
            (Some(signal), _) => Told::Somebody(signal),
        })
    }
}

#[cfg(target_os = "linux")]
mod queue {
    //! The error queue, with nothing but the calls of the manual page ip(7).

    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::io::{self, IoSliceMut};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use nix::errno::Errno;
    use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, sock_extended_err, sockaddr_in, sockaddr_in6};
    use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
    use resound_core::signal::{IcmpError, Version};

    pub(super) fn open(socket: &UdpSocket, ip: IpAddr) -> io::Result<()> {
        match ip {
            IpAddr::V4(_) => setsockopt(socket, Ipv4RecvErr, &true)?,
            IpAddr::V6(_) => setsockopt(socket, Ipv6RecvErr, &true)?,
        }
        Ok(())
    }

    /// Takes the first ICMP error out of the queue, if there is one.
    pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<IcmpError>> {
        let mut quote = [0; 64];
        let mut buffers = [IoSliceMut::new(&mut quote)];
        let mut control = nix::cmsg_space!([u8; 128]);
        let flags = MsgFlags::MSG_ERRQUEUE;
        let message =
            match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags) {
                Err(Errno::EAGAIN) => return Ok(None),
                message => message?,
            };
        let destination = message.address.and_then(internet);
        let entry = message.cmsgs()?.find_map(|entry| match entry {
            ControlMessageOwned::Ipv4RecvErr(error, by) => {
                Some((Version::V4, SO_EE_ORIGIN_ICMP, error, by.map(v4)))
            }
            ControlMessageOwned::Ipv6RecvErr(error, by) => {
                Some((Version::V6, SO_EE_ORIGIN_ICMP6, error, by.map(v6)))
            }
            _ => None,
        });
        Ok(entry.and_then(|(version, origin, error, offender)| {
            let sock_extended_err { ee_origin, ee_type: kind, ee_code: code, .. } = error;
            let from_icmp = ee_origin == origin;
            from_icmp.then_some(IcmpError { version, kind, code, offender, destination, mtu: None })
        }))
    }

    fn internet(addr: SockaddrStorage) -> Option<SocketAddr> {
        let v4 = addr.as_sockaddr_in().map(|&addr| SocketAddrV4::from(addr).into());
        v4.or_else(|| addr.as_sockaddr_in6().map(|&addr| SocketAddrV6::from(addr).into()))
    }

    fn v4(addr: sockaddr_in) -> IpAddr {
        Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr)).into()
    }

    fn v6(addr: sockaddr_in6) -> IpAddr {
        Ipv6Addr::from(addr.sin6_addr.s6_addr).into()
    }
}

/// Nobody goes the ways that need one.
#[cfg(not(target_os = "linux"))]
mod queue {
    use core::net::IpAddr;
    use std::io;
    use std::net::UdpSocket;

    use resound_core::signal::IcmpError;

    pub(super) fn open(_: &UdpSocket, _: IpAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn next(_: &UdpSocket) -> io::Result<Option<IcmpError>> {
        Ok(None)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Today's answers, on Linux. If this fails on another kernel, its answers are news.
    #[test]
    fn what_each_way_is_told() {
        for (version, icmp) in [(Version::V4, "ICMP 3/3"), (Version::V6, "ICMPv6 1/4")] {
            let by = if version == Version::V4 { "127.0.0.1" } else { "::1" };
            let answers = three_servers(version).unwrap();
            let said: Vec<[String; 3]> = answers
                .iter()
                .map(|answer| [answer.way.to_string(), answer.fates[2].to_string(), answer.told.to_string()])
                .collect();
            let entry = format!("{icmp} of the 2nd, by {by}");
            let want = [
                ["unconnected", "arrived", "nothing"],
                ["connected in turn", "not sent: ECONNREFUSED", "ECONNREFUSED of nobody"],
                ["one connected each", "arrived", "ECONNREFUSED of its peer"],
                ["queue, read last", "not sent: ECONNREFUSED", &entry],
                ["queue, read first", "arrived", &entry],
            ];
            assert_eq!(said, want);
            let lost: Vec<bool> = answers.iter().map(Answer::lost_a_live_one).collect();
            assert_eq!(lost, [false, true, false, true, false]);
            assert!(answers.iter().all(|answer| answer.fates[1] == Fate::Gone));
        }
    }
}
