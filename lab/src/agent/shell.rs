//! Single calls on real sockets that have names, as the simulator's shell makes them on simulated ones; what each gives is
//! said in the same words.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use resound_core::signal::{Errno, Signal, Version};
use resound_core::stream::Close;
use resound_sim::kernel::Poll;
use resound_sim::programs::words::{bytes, gave, gave_a_part, gave_in_all, info};
use resound_sim::scenario::{Address, Call, Open, Said, SocketKnobs};
use resound_sockets::{errno, tcp};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, InterfaceIndexOrAddress, MaybeUninitSlice, Protocol, Socket, TcpKeepalive, Type};

/// The sockets of a host's script.
#[derive(Debug)]
pub(super) struct Shell {
    version: Version,
    sockets: BTreeMap<String, Named>,
}

#[derive(Debug)]
struct Named {
    socket: Socket,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Listener,
    Stream,
    Datagram,
}

impl Shell {
    pub(super) const fn new(version: Version) -> Self {
        Self { version, sockets: BTreeMap::new() }
    }

    /// Makes a call: what it gave, or the name of the socket that is not there.
    pub(super) fn make(&mut self, call: &Call) -> Result<Said, String> {
        Ok(match call {
            Call::Open(name, open, knobs) => {
                let (word, pending) = match open {
                    Open::Listen(..) => ("listen", false),
                    // A connect that does not wait for its end.
                    Open::Connect { .. } => ("connect", true),
                    Open::Udp(_) => ("bind", false),
                };
                let result = self.open(*open, knobs);
                let gave_up = result.as_ref().err().map(name_of);
                if let Ok(named) = result {
                    self.sockets.insert(name.clone(), named);
                }
                let none = if pending { Err(Errno::InProgress) } else { Ok(0) };
                gave(name, word, gave_up.map_or(none, Err))
            }
            Call::Connect(name, peer) => {
                let Named { socket, .. } = self.socket(name)?;
                let result = match peer {
                    Some(to) => socket.connect(&to.socket_addr(self.version).into()),
                    None => rustix::net::connect_unspec(socket).map_err(io::Error::from),
                };
                gave(name, "connect", nothing(result))
            }
            Call::Accept(name, listener) => {
                let result = self.socket(listener)?.socket.accept4(ACCEPT);
                let gave_up = result.as_ref().err().map(name_of);
                if let Ok((socket, _)) = result {
                    self.sockets.insert(name.clone(), Named { socket, kind: Kind::Stream });
                }
                gave(name, "accept", gave_up.map_or(Ok(0), Err))
            }
            Call::Recv(name, most) => {
                let mut buffer = vec![MaybeUninit::uninit(); *most as usize];
                let Named { socket, kind } = self.socket(name)?;
                match socket.recv_vectored(&mut [MaybeUninitSlice::new(&mut buffer)]) {
                    Ok((n, flags)) if *kind == Kind::Datagram && flags.is_truncated() => gave_a_part(name, n),
                    result => gave(name, "recv", count(result.map(|(n, _)| n))),
                }
            }
            Call::RecvAll(names) => {
                self.all(names, "recv-all", |socket| match socket.recv(&mut [MaybeUninit::uninit()]) {
                    Ok(_) => Another::Counts,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Another::None,
                    Err(_) => Another::Other,
                })?
            }
            Call::RecvErrorAll(names) => {
                self.all(names, "errqueue-all", |socket| match recv_error(socket) {
                    Ok(_) => Another::Counts,
                    Err(_) => Another::None,
                })?
            }
            Call::RecvError(name) => match recv_error(&self.socket(name)?.socket) {
                Ok(errno) => Said::other(format_args!("{name} errqueue {errno}")),
                Err(errno) => gave(name, "errqueue", Err(errno)),
            },
            Call::Send(name, payload) => {
                let Named { socket, .. } = self.socket(name)?;
                gave(name, "send", count(socket.send_with_flags(&bytes(payload), nix::libc::MSG_NOSIGNAL)))
            }
            Call::SendTo(name, peer, payload) => {
                let to = peer.socket_addr(self.version);
                gave(name, "sendto", count(self.socket(name)?.socket.send_to(&bytes(payload), &to.into())))
            }
            Call::Join(name, group) => gave(name, "join", nothing(self.member(name, *group, Member::Joins)?)),
            Call::Leave(name, group) => {
                gave(name, "leave", nothing(self.member(name, *group, Member::Leaves)?))
            }
            Call::Shutdown(name) => {
                gave(name, "shutdown", nothing(self.socket(name)?.socket.shutdown(Shutdown::Write)))
            }
            Call::ShutdownRead(name) => {
                gave(name, "shutdown-read", nothing(self.socket(name)?.socket.shutdown(Shutdown::Read)))
            }
            Call::Close(name) => self.close(name, "close", Close::Drop)?,
            Call::Reset(name) => self.close(name, "reset", Close::Reset)?,
            Call::SoError(name) => {
                let result = self.socket(name)?.socket.take_error();
                let errno = result.unwrap_or_else(Some);
                gave(name, "so_error", errno.map_or(Ok(0), |error| Err(name_of(&error))))
            }
            Call::Poll(name) => Said::other(format_args!("{name} poll {}", poll(&self.socket(name)?.socket))),
            Call::Info(name) => {
                let Named { socket, kind } = self.socket(name)?;
                let view = if *kind == Kind::Stream { tcp::kernel_view(socket) } else { None };
                info(name, view.as_ref())
            }
        })
    }

    fn socket(&self, name: &str) -> Result<&Named, String> {
        self.sockets.get(name).ok_or_else(|| name.to_owned())
    }

    /// Makes a call on each of these sockets until nothing is left, and says how often it gave something.
    fn all(
        &self,
        names: &[String],
        word: &str,
        mut call: impl FnMut(&Socket) -> Another,
    ) -> Result<Said, String> {
        let mut counts = Vec::new();
        for name in names {
            let socket = &self.socket(name)?.socket;
            let mut count = 0_u32;
            loop {
                match call(socket) {
                    Another::Counts => count += 1,
                    Another::Other => {}
                    Another::None => break,
                }
            }
            counts.push(count);
        }
        Ok(gave_in_all(names.first().map_or("", String::as_str), word, counts))
    }

    /// On the host's first link: that of the address that leads to everybody.
    fn member(&self, name: &str, group: u8, member: Member) -> Result<io::Result<()>, String> {
        let socket = &self.socket(name)?.socket;
        // Interface 0: the one that the route of the group leads out of (`ip_mc_find_dev`, `ipv6_sock_mc_join`).
        let any = InterfaceIndexOrAddress::Index(0);
        Ok(match (Address::Group(group).ip(self.version), member) {
            (IpAddr::V4(group), Member::Joins) => socket.join_multicast_v4_n(&group, &any),
            (IpAddr::V4(group), Member::Leaves) => socket.leave_multicast_v4_n(&group, &any),
            (IpAddr::V6(group), Member::Joins) => socket.join_multicast_v6(&group, 0),
            (IpAddr::V6(group), Member::Leaves) => socket.leave_multicast_v6(&group, 0),
        })
    }

    fn close(&mut self, name: &str, word: &str, how: Close) -> Result<Said, String> {
        let Named { socket, .. } = self.sockets.remove(name).ok_or_else(|| name.to_owned())?;
        tcp::close(socket, how);
        Ok(gave(name, word, Ok(0)))
    }

    fn open(&self, open: Open, knobs: &SocketKnobs) -> io::Result<Named> {
        let kind = match open {
            Open::Listen(..) => Kind::Listener,
            Open::Connect { .. } => Kind::Stream,
            Open::Udp(_) => Kind::Datagram,
        };
        let socket = self.new_socket(kind)?;
        self.prepare(&socket, kind, knobs)?;
        match open {
            Open::Listen(at, backlog) => {
                socket.bind(&at.socket_addr(self.version).into())?;
                socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            }
            Open::Connect { to, from } => {
                if let Some(from) = from {
                    socket.bind(&from.socket_addr(self.version).into())?;
                }
                match socket.connect(&to.socket_addr(self.version).into()) {
                    Err(error) if name_of(&error) != Errno::InProgress => return Err(error),
                    _ => {}
                }
            }
            Open::Udp(at) => socket.bind(&at.socket_addr(self.version).into())?,
        }
        Ok(Named { socket, kind })
    }

    fn new_socket(&self, kind: Kind) -> io::Result<Socket> {
        let domain = match self.version {
            Version::V4 => Domain::IPV4,
            Version::V6 => Domain::IPV6,
        };
        let (kind, protocol) = match kind {
            Kind::Listener | Kind::Stream => (Type::STREAM, Protocol::TCP),
            Kind::Datagram => (Type::DGRAM, Protocol::UDP),
        };
        Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))
    }

    /// Everything that is set before `bind`, `listen` or `connect`.
    fn prepare(&self, socket: &Socket, kind: Kind, knobs: &SocketKnobs) -> io::Result<()> {
        if self.version == Version::V6 {
            socket.set_only_v6(false)?;
        }
        if knobs.recverr {
            setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
            if self.version == Version::V6 {
                setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
            }
        }
        if let Some(bytes) = knobs.receive_buffer {
            socket.set_recv_buffer_size(before_doubling(bytes))?;
        }
        if let Some(bytes) = knobs.send_buffer {
            socket.set_send_buffer_size(before_doubling(bytes))?;
        }
        if knobs.reuse_address {
            socket.set_reuse_address(true)?;
        }
        if knobs.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if knobs.broadcast {
            socket.set_broadcast(true)?;
        }
        if kind == Kind::Datagram {
            return Ok(());
        }
        if let Some(limit) = knobs.user_timeout {
            socket.set_tcp_user_timeout(Some(limit))?;
        }
        if let Some((idle, interval, times)) = knobs.keepalive {
            let keepalive = TcpKeepalive::new().with_time(whole_seconds(idle));
            let keepalive = keepalive.with_interval(whole_seconds(interval)).with_retries(times.into());
            socket.set_tcp_keepalive(&keepalive)?;
        }
        if let Some(times) = knobs.syn_retries {
            tcp::set_syn_retries(socket, times)?;
        }
        Ok(())
    }
}

/// What one more call on a socket gave.
enum Another {
    /// One of those that are counted.
    Counts,
    /// Something else, and there may be more.
    Other,
    /// Nothing is left.
    None,
}

#[derive(Clone, Copy)]
enum Member {
    Joins,
    Leaves,
}

/// What a connection that is accepted is made with.
const ACCEPT: i32 = nix::libc::SOCK_NONBLOCK | nix::libc::SOCK_CLOEXEC;

/// A script says what the kernel counts, and the kernel doubles what is set (`__sock_set_rcvbuf`).
const fn before_doubling(bytes: u32) -> usize {
    (bytes / 2) as usize
}

/// `TCP_KEEPIDLE` and `TCP_KEEPINTVL` are in seconds, from 1.
fn whole_seconds(time: Duration) -> Duration {
    let up = if time.subsec_nanos() > 0 { 1 } else { 0 };
    Duration::from_secs((time.as_secs() + up).max(1))
}

fn nothing(result: io::Result<()>) -> Result<u64, Errno> {
    result.map(|()| 0).map_err(|error| name_of(&error))
}

fn count(result: io::Result<usize>) -> Result<u64, Errno> {
    result.map(|n| n as u64).map_err(|error| name_of(&error))
}

fn name_of(error: &io::Error) -> Errno {
    match errno::signal(error) {
        Signal::Errno(errno) => errno,
        _ => Errno::Io,
    }
}

/// `recvmsg` with MSG_ERRQUEUE: the entry's own error.
fn recv_error(socket: &Socket) -> Result<Errno, Errno> {
    let mut quoted = [0; 2_048];
    let mut quoted = [IoSliceMut::new(&mut quoted)];
    // `struct sock_extended_err` and the address of whoever complained; of both families on a dual-stack socket.
    let mut control = vec![0; 512];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut quoted,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    );
    let raw = |number: nix::errno::Errno| errno::from_raw(number as i32);
    for message in got.map_err(raw)?.cmsgs().map_err(raw)? {
        match message {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                return Ok(errno::from_raw(error.ee_errno as i32));
            }
            _ => {}
        }
    }
    Err(Errno::Again)
}

/// `poll` with a timeout of zero, for everything.
fn poll(socket: &Socket) -> Poll {
    let mut fds = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
    // It fails only for want of memory.
    let _ = rustix::event::poll(&mut fds, Some(&Timespec::default()));
    let is = fds[0].revents();
    Poll {
        readable: is.contains(PollFlags::IN),
        writable: is.contains(PollFlags::OUT),
        error: is.contains(PollFlags::ERR),
        hangup: is.contains(PollFlags::HUP),
        read_hangup: is.contains(PollFlags::RDHUP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_large_as_the_kernel_is_to_count_it() {
        let shell = Shell::new(Version::V4);
        let knobs =
            SocketKnobs { receive_buffer: Some(20_000), send_buffer: Some(30_000), ..SocketKnobs::default() };
        for kind in [Kind::Stream, Kind::Datagram] {
            let socket = shell.new_socket(kind).unwrap();
            shell.prepare(&socket, kind, &knobs).unwrap();
            assert_eq!(socket.recv_buffer_size().unwrap(), 20_000);
            assert_eq!(socket.send_buffer_size().unwrap(), 30_000);
        }
    }

    #[test]
    fn keepalive_is_in_seconds_and_never_sooner_than_said() {
        assert_eq!(whole_seconds(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), Duration::from_secs(2));
        assert_eq!(whole_seconds(Duration::from_secs(3)), Duration::from_secs(3));
    }
}
