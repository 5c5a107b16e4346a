//! Linux's own sockets, for the [shell](resound_sim::programs::shell) that makes a script's single calls: here on real
//! ones, in the simulator on simulated ones.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal, Version};
use resound_core::stream::Close;
use resound_sim::kernel::Poll;
use resound_sim::programs::shell::{Received, System};
use resound_sim::scenario::SocketKnobs;
use resound_sockets::{errno, tcp};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, InterfaceIndexOrAddress, MaybeUninitSlice, Protocol, Socket, TcpKeepalive, Type};

/// The kernel that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linux {
    pub(super) version: Version,
}

impl System for Linux {
    type Socket = Socket;

    fn version(&self) -> Version {
        self.version
    }

    fn listen(&mut self, at: SocketAddr, backlog: u32, knobs: &SocketKnobs) -> Result<Socket, Errno> {
        let socket = self.bound(Type::STREAM, Some(at), knobs)?;
        named(socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)))?;
        Ok(socket)
    }

    fn dial(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        knobs: &SocketKnobs,
    ) -> Result<Socket, Errno> {
        let socket = self.bound(Type::STREAM, from, knobs)?;
        match named(socket.connect(&to.into())) {
            Ok(()) | Err(Errno::InProgress) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }

    fn bind(&mut self, at: SocketAddr, knobs: &SocketKnobs) -> Result<Socket, Errno> {
        self.bound(Type::DGRAM, Some(at), knobs)
    }

    fn connect(&mut self, socket: &Socket, to: Option<SocketAddr>) -> Result<(), Errno> {
        named(match to {
            Some(to) => socket.connect(&to.into()),
            None => rustix::net::connect_unspec(socket).map_err(io::Error::from),
        })
    }

    fn accept(&mut self, listener: &Socket) -> Result<Socket, Errno> {
        named(listener.accept4(nix::libc::SOCK_NONBLOCK | nix::libc::SOCK_CLOEXEC)).map(|(socket, _)| socket)
    }

    fn recv(&mut self, socket: &Socket, most: usize) -> Result<Received, Errno> {
        let mut buffer = vec![MaybeUninit::uninit(); most];
        let (n, flags) = named(socket.recv_vectored(&mut [MaybeUninitSlice::new(&mut buffer)]))?;
        // Only `udp_recvmsg` sets it, not `tcp_recvmsg`.
        Ok(if flags.is_truncated() { Received::Part(n) } else { Received::Whole(n) })
    }

    fn recv_error(&mut self, socket: &Socket) -> Result<Errno, Errno> {
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

    fn send(&mut self, socket: &Socket, to: Option<SocketAddr>, payload: &[u8]) -> Result<usize, Errno> {
        named(match to {
            None => socket.send_with_flags(payload, nix::libc::MSG_NOSIGNAL),
            Some(to) => socket.send_to(payload, &to.into()),
        })
    }

    fn join(&mut self, socket: &Socket, group: IpAddr) -> Result<(), Errno> {
        named(match group {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &FIRST_LINK),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 0),
        })
    }

    fn leave(&mut self, socket: &Socket, group: IpAddr) -> Result<(), Errno> {
        named(match group {
            IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &FIRST_LINK),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, 0),
        })
    }

    fn shutdown(&mut self, socket: &Socket) -> Result<(), Errno> {
        named(socket.shutdown(Shutdown::Write))
    }

    fn shutdown_read(&mut self, socket: &Socket) -> Result<(), Errno> {
        named(socket.shutdown(Shutdown::Read))
    }

    fn close(&mut self, socket: Socket, how: Close) {
        tcp::close(socket, how);
    }

    fn so_error(&mut self, socket: &Socket) -> Option<Errno> {
        named(socket.take_error().and_then(|pending| pending.map_or(Ok(()), Err))).err()
    }

    fn poll(&mut self, socket: &Socket) -> Poll {
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

    fn info(&mut self, socket: &Socket) -> Option<KernelView> {
        // A listener has one too, and it says other things (`tcp_get_info`).
        if socket.is_listener().is_ok_and(|listens| listens) { None } else { tcp::kernel_view(socket) }
    }
}

/// Interface 0: the one that the route of the group leads out of (`ip_mc_find_dev`, `ipv6_sock_mc_join`). It is the host's
/// first link, that of the address that leads to everybody.
const FIRST_LINK: InterfaceIndexOrAddress = InterfaceIndexOrAddress::Index(0);

/// What a call failed with, as a number.
fn named<T>(result: io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| match errno::signal(&error) {
        Signal::Errno(errno) => errno,
        _ => Errno::Io,
    })
}

impl Linux {
    fn bound(&self, kind: Type, at: Option<SocketAddr>, knobs: &SocketKnobs) -> Result<Socket, Errno> {
        let socket = named(self.prepared(kind, knobs))?;
        if let Some(at) = at {
            named(socket.bind(&at.into()))?;
        }
        Ok(socket)
    }

    /// A socket with everything that is set before `bind`, `listen` or `connect`.
    fn prepared(&self, kind: Type, knobs: &SocketKnobs) -> io::Result<Socket> {
        let domain = match self.version {
            Version::V4 => Domain::IPV4,
            Version::V6 => Domain::IPV6,
        };
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
        if self.version == Version::V6 {
            socket.set_only_v6(false)?;
        }
        if knobs.recverr {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            if self.version == Version::V6 {
                setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
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
        if kind == Type::STREAM {
            prepare_tcp(&socket, knobs)?;
        }
        Ok(socket)
    }
}

fn prepare_tcp(socket: &Socket, knobs: &SocketKnobs) -> io::Result<()> {
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

/// A script says what the kernel counts, and the kernel doubles what is set (`__sock_set_rcvbuf`).
const fn before_doubling(bytes: u32) -> usize {
    (bytes / 2) as usize
}

/// `TCP_KEEPIDLE` and `TCP_KEEPINTVL` are in seconds, from 1.
fn whole_seconds(time: Duration) -> Duration {
    let up = if time.subsec_nanos() > 0 { 1 } else { 0 };
    Duration::from_secs((time.as_secs() + up).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_large_as_the_kernel_is_to_count_it() {
        let linux = Linux { version: Version::V4 };
        let knobs =
            SocketKnobs { receive_buffer: Some(20_000), send_buffer: Some(30_000), ..SocketKnobs::default() };
        for kind in [Type::STREAM, Type::DGRAM] {
            let socket = linux.prepared(kind, &knobs).unwrap();
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
