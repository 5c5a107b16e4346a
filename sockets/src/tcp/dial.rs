//! Connecting, and finding out how it ended.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;

use resound_core::signal::{Errno, Signal};
use resound_core::stream::Established;
use socket2::{SockRef, Socket};

use super::new_socket;
use crate::errno;
use crate::poll::{self, PollFd, PollFlags};

/// How to dial. Nagle's algorithm is always off: what the machine hands over is to leave now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// The local address to dial from; port 0 lets the kernel choose one. `None`: the route decides.
    pub bind: Option<SocketAddr>,
    /// How long what was sent may stay unacknowledged, or the peer's window closed, before the kernel gives the
    /// connection up (TCP_USER_TIMEOUT, Linux), to the millisecond, rounded up. It also bounds the connect itself. A
    /// backstop, to be set later than every promise of the liveness rules. `None`: the kernel's own rules.
    pub user_timeout: Option<Duration>,
}

/// A dial that did not fail at once.
#[derive(Debug)]
pub enum Dialing {
    /// The connection stands. On the loopback device it usually does.
    Up(TcpStream, Established),
    /// Wait until the socket is writable, then [`finish_reported_dial`].
    Pending(TcpStream),
}

/// What a port can dial: an address; or nothing at all, where the machine is one that never dials. So one port serves
/// clients and servers.
pub trait Target {
    /// Begins to connect: as [`dial`].
    ///
    /// # Errors
    ///
    /// As [`dial`].
    fn dial(self, options: &DialOptions) -> Result<Dialing, Signal>;
}

impl Target for SocketAddr {
    fn dial(self, options: &DialOptions) -> Result<Dialing, Signal> {
        dial(self, options)
    }
}

impl Target for Infallible {
    fn dial(self, _: &DialOptions) -> Result<Dialing, Signal> {
        match self {}
    }
}

/// Begins to connect, from a new non-blocking socket.
///
/// # Errors
///
/// What a call said: the connect's own failure if it is known at once, or what kept the socket from being made, bound
/// or configured.
pub fn dial(to: SocketAddr, options: &DialOptions) -> Result<Dialing, Signal> {
    let stream = begin(to, options).map_err(|error| errno::signal(&error))?;
    match finish_dial(&stream) {
        Some(Ok(established)) => Ok(Dialing::Up(stream, established)),
        Some(Err(signal)) => Err(signal),
        None => Ok(Dialing::Pending(stream)),
    }
}

/// How a dial ended: to be asked when the socket has become writable, and once more after each `None`. `None`: it has
/// not ended yet, and the wake-up was spurious.
///
/// A failure is told once; the socket is of no use then. A connection that leads to this very socket (a dial to an
/// unused local port can meet itself) is [`Signal::SelfConnect`].
///
/// The peer's address is asked for first: on a connection that stands, `SO_ERROR` would take away a pending error that
/// belongs to the reader, or take a soft error for the end.
pub fn finish_dial(fd: impl AsFd) -> Option<Result<Established, Signal>> {
    let socket = SockRef::from(&fd);
    let peer = match socket.peer_addr() {
        Ok(peer) => peer.as_socket(),
        Err(no_peer) => return why_not(&socket, &no_peer).map(Err),
    };
    let local = socket.local_addr().ok().and_then(|local| local.as_socket());
    Some(match (local, peer) {
        (Some(local), Some(peer)) if (local.ip(), local.port()) == (peer.ip(), peer.port()) => {
            Err(Signal::SelfConnect)
        }
        _ => Ok(Established { local }),
    })
}

/// As [`finish_dial`], for a socket that was reported to be writable. One that is ready and cannot say how its dial ended
/// has lost its error, or has never begun to connect: nothing else will ever come, and that is ENOTCONN.
///
/// The kernel is asked once more whether it is ready. A socket that connects is not (`tcp_poll`), whatever was reported.
pub fn finish_reported_dial(fd: impl AsFd) -> Option<Result<Established, Signal>> {
    finish_dial(&fd).or_else(|| {
        if !is_ready(&fd) {
            return None;
        }
        // It may have ended in between.
        finish_dial(&fd).or(Some(Err(Signal::Errno(Errno::NotConn))))
    })
}

/// Of one that cannot be asked it is believed that it goes on: its round has a deadline.
fn is_ready(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    poll::wait(&mut fds, Some(Duration::ZERO)).is_ok() && fds[0].any() == Some(true)
}

fn why_not(socket: &SockRef<'_>, no_peer: &io::Error) -> Option<Signal> {
    match socket.take_error() {
        Ok(Some(error)) | Err(error) => Some(errno::signal(&error)),
        Ok(None) if errno::name(no_peer) == Errno::NotConn => None,
        Ok(None) => Some(errno::signal(no_peer)),
    }
}

fn begin(to: SocketAddr, options: &DialOptions) -> io::Result<TcpStream> {
    begin_with(to, options, |_| Ok(()))
}

/// As [`begin`], with a socket that is prepared in one more way.
pub(super) fn begin_with(
    to: SocketAddr,
    options: &DialOptions,
    prepare: impl FnOnce(&Socket) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let socket = new_socket(to)?;
    socket.set_tcp_nodelay(true)?;
    prepare(&socket)?;
    if let Some(limit) = options.user_timeout {
        set_user_timeout(&socket, limit)?;
    }
    if let Some(local) = options.bind {
        prepare_bind(&socket, local)?;
        socket.bind(&local.into())?;
    }
    connect(|| socket.connect(&to.into()))?;
    Ok(socket.into())
}

/// An interrupted connect mostly goes on by itself (POSIX, connect), and to ask again says so. But where a supervisor
/// decides on the call first (seccomp_unotify(2)) it may have been interrupted before it began. Then this begins it.
fn connect(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut interrupted = false;
    loop {
        let Err(error) = call() else { return Ok(()) };
        match errno::name(&error) {
            Errno::InProgress => return Ok(()),
            Errno::Already | Errno::IsConn if interrupted => return Ok(()),
            Errno::Intr => interrupted = true,
            _ => return Err(error),
        }
    }
}

/// A fixed port must be free for the next dial although the last connection is in TIME_WAIT. A port of the kernel's
/// choice is chosen at connect, where it need only be free for that destination: `bind` alone runs out earlier.
fn prepare_bind(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    if local.port() != 0 {
        return socket.set_reuse_address(true);
    }
    // Without it (it came with Linux 4.2) a dial still works, as long as `bind` finds a port.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true);
    Ok(())
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &Socket, limit: Duration) -> io::Result<()> {
    // The kernel takes an `int` of milliseconds: less than one would be cut to 0, which means "none", and more than fit
    // (24 days) are an error (tcp(7); do_tcp_setsockopt).
    let most = Duration::from_millis(i32::MAX.unsigned_abs().into());
    socket.set_tcp_user_timeout(Some(limit.saturating_add(Duration::from_nanos(999_999)).min(most)))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &Socket, _: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected_by(answers: &[Errno]) -> io::Result<()> {
        let mut answers = answers.iter();
        connect(|| match answers.next() {
            Some(&errno) => Err(io::Error::from_raw_os_error(errno::to_raw(errno).unwrap())),
            None => Ok(()),
        })
    }

    #[test]
    fn an_interrupted_connect_is_begun_if_it_was_not() {
        use Errno::{Already, ConnRefused, InProgress, Intr, IsConn};
        for answers in
            [&[InProgress][..], &[Intr, InProgress], &[Intr, Intr, Already], &[Intr, IsConn], &[Intr]]
        {
            assert!(connected_by(answers).is_ok(), "{answers:?}");
        }
        for (answers, errno) in
            [(&[IsConn][..], IsConn), (&[Already], Already), (&[Intr, ConnRefused], ConnRefused)]
        {
            assert_eq!(errno::name(&connected_by(answers).unwrap_err()), errno, "{answers:?}");
        }
    }

    #[test]
    fn a_socket_that_is_ready_and_was_never_dialed_will_not_be() {
        let socket = new_socket(([127, 0, 0, 1], 0).into()).unwrap();
        assert_eq!(finish_dial(&socket), None);
        assert_eq!(finish_reported_dial(&socket), Some(Err(Signal::Errno(Errno::NotConn))));
    }
}
