//! What a client sends: a request, with or without a descriptor. All of it is untrusted.
//!
//! Descriptors are taken close-on-exec and owned from the first moment, so that whatever is refused is closed as well,
//! down to those that were too many. There is room for as many as Linux lets into one message (`SCM_MAX_FD`): with less
//! room the kernel would close the surplus itself, and a close can block. Only the limit of open files of this process can
//! still make it do so (`MSG_CTRUNC`), and then the message is refused.
//!
//! A close blocks if it is the last one of a TCP socket with `SO_LINGER` set and data unsent. Passed and closed by a
//! client that wishes ill, such a socket would hold the daemon up. So what is no UDP socket loses that option first.

use core::fmt;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use std::io::{self, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{
    ipv6_v6only, set_socket_linger, socket_domain, socket_linger, socket_protocol, socket_type,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketType,
    getsockname, ipproto, recvmsg,
};

use crate::machine::Limits;
use crate::protocol::{LONGEST_REQUEST, Request, Who, Whose};
use crate::table::{Bound, Reach, Table};

/// `SCM_MAX_FD` of `include/net/scm.h`.
const MOST_DESCRIPTORS: usize = 253;

/// A message of a client.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// It closed the connection.
    End,
    /// It asks for something, or tries to.
    Asked(Result<Asked, Refusal>),
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The errors of this socket.
    Socket(OwnedFd),
    /// Those of its user's sockets with this port.
    Port(u16),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLong,
    NotUnderstood(String),
    NoDescriptor,
    Descriptors(usize),
    DescriptorsLost,
    NotNeeded,
    NotASocket,
    NotUdp,
    NotBound,
    Gone,
    NotYours(u16),
    TooMany(u16),
    System(String),
}

/// The next message; `None` if there is none.
///
/// # Errors
///
/// If the connection is broken.
pub(crate) fn receive(client: BorrowedFd<'_>) -> io::Result<Option<Incoming>> {
    let mut bytes = [0; LONGEST_REQUEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = match recvmsg(client, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
        Ok(message) => message,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = part {
            descriptors.extend(more);
        }
    }
    // Before any of them is closed, by whatever return.
    descriptors.iter().for_each(do_not_linger);
    if message.bytes == 0 {
        return Ok(Some(Incoming::End));
    }
    let text = bytes.get(..message.bytes).unwrap_or_default();
    Ok(Some(Incoming::Asked(understand(text, message.flags, descriptors))))
}

fn understand(text: &[u8], flags: ReturnFlags, mut descriptors: Vec<OwnedFd>) -> Result<Asked, Refusal> {
    if flags.contains(ReturnFlags::CTRUNC) {
        return Err(Refusal::DescriptorsLost);
    }
    if flags.contains(ReturnFlags::TRUNC) {
        return Err(Refusal::TooLong);
    }
    let request: Request =
        serde_json::from_slice(text).map_err(|error| Refusal::NotUnderstood(error.to_string()))?;
    match (request, descriptors.len()) {
        (Request::Register(Whose::Socket), 0) => Err(Refusal::NoDescriptor),
        (Request::Register(Whose::Socket), 1) => {
            descriptors.pop().map(Asked::Socket).ok_or(Refusal::NoDescriptor)
        }
        (Request::Register(Whose::Socket), count) => Err(Refusal::Descriptors(count)),
        (Request::Register(Whose::Port(port)), 0) => Ok(Asked::Port(port)),
        (Request::Register(Whose::Port(_)), _) => Err(Refusal::NotNeeded),
    }
}

/// Its close will not wait. The option belongs to the socket, so its other holders lose it too; a UDP socket keeps it,
/// where it means nothing.
fn do_not_linger(descriptor: &OwnedFd) {
    let waits = socket_linger(descriptor).is_ok_and(|time| time.is_some_and(|time| !time.is_zero()));
    if waits && !socket_type(descriptor).is_ok_and(|kind| kind == SocketType::DGRAM) {
        // It cannot fail on what was just seen to be a socket.
        let _ = set_socket_linger(descriptor, None);
    }
}

/// A UDP socket, as it describes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    port: u16,
    reach: Reach,
    inode: u64,
}

/// Asks a descriptor what it is. It is the caller's to close.
pub(crate) fn examine(descriptor: &OwnedFd) -> Result<Claim, Refusal> {
    let failed = |error: Errno| match error {
        Errno::NOTSOCK => Refusal::NotASocket,
        error => Refusal::System(error.to_string()),
    };
    // Nothing else is asked of what is no socket: where it leads, even fstat can block.
    let domain = socket_domain(descriptor).map_err(failed)?;
    let v6 = domain == AddressFamily::INET6;
    let udp = (v6 || domain == AddressFamily::INET)
        && socket_type(descriptor).map_err(failed)? == SocketType::DGRAM
        && socket_protocol(descriptor).map_err(failed)? == Some(ipproto::UDP);
    if !udp {
        return Err(Refusal::NotUdp);
    }
    let local = getsockname(descriptor).map_err(failed)?;
    let port = SocketAddr::try_from(local).map_err(failed)?.port();
    if port == 0 {
        return Err(Refusal::NotBound);
    }
    let only_v6 = !v6 || ipv6_v6only(descriptor).map_err(failed)?;
    let reach = if only_v6 { Reach::OwnVersion } else { Reach::BothVersions };
    let inode = rustix::fs::fstat(descriptor).map_err(failed)?.st_ino;
    Ok(Claim { port, reach, inode })
}

impl Claim {
    /// Finds it among the kernel's sockets. One of another network namespace is not there, and must not be: its address
    /// means somebody else here.
    pub(crate) fn prove(self, table: &Table) -> Result<Bound, Refusal> {
        let listed = table.find(self.port, self.inode);
        listed.map(|listed| Bound { reach: self.reach, ..*listed }).ok_or(Refusal::Gone)
    }
}

/// The sockets of this client's user with that port; root's are all.
pub(crate) fn by_port(port: u16, who: Who, table: &Table) -> Result<Vec<Bound>, Refusal> {
    let theirs = |bound: &&Bound| bound.owner == who.uid || who.uid == 0;
    let bound: Vec<Bound> = table.at(port).iter().filter(theirs).copied().collect();
    match bound.len() {
        0 => Err(Refusal::NotYours(port)),
        1..=Limits::SOCKETS => Ok(bound),
        _ => Err(Refusal::TooMany(port)),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a request has at most {LONGEST_REQUEST} bytes"),
            Self::NotUnderstood(error) => write!(f, "the request is not understood: {error}"),
            Self::NoDescriptor => f.write_str("no descriptor came with the request"),
            Self::Descriptors(count) => write!(f, "{count} descriptors came with the request; pass one"),
            Self::DescriptorsLost => {
                f.write_str("the descriptors did not all arrive: the daemon has too many files open")
            }
            Self::NotNeeded => f.write_str("a port was named and a descriptor passed; do one of them"),
            Self::NotASocket => f.write_str("the descriptor is no socket"),
            Self::NotUdp => f.write_str("the socket is no UDP socket"),
            Self::NotBound => f.write_str("the socket has no port yet; bind it first, or send something"),
            Self::Gone => f.write_str(
                "the kernel does not list the socket: it was closed, or belongs to another network namespace",
            ),
            Self::NotYours(port) => {
                write!(f, "no UDP socket of your user has port {port}; pass the socket itself")
            }
            Self::TooMany(port) => write!(
                f,
                "more than {} UDP sockets have port {port}; pass those that you mean",
                Limits::SOCKETS
            ),
            Self::System(error) => write!(f, "the kernel does not say what it is: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, sendmsg, socketpair,
    };

    use super::*;

    #[test]
    fn a_descriptor_arrives_close_on_exec_and_is_what_was_passed() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (daemon, client) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        assert!(receive(daemon.as_fd()).unwrap().is_none());
        let passed = [udp.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&passed)));
        let text = [IoSlice::new(br#"{"register":"socket"}"#)];
        sendmsg(&client, &text, &mut control, SendFlags::empty()).unwrap();
        let Ok(Some(Incoming::Asked(Ok(Asked::Socket(arrived))))) = receive(daemon.as_fd()) else { panic!() };
        assert!(fcntl_getfd(&arrived).unwrap().contains(FdFlags::CLOEXEC));
        let claim = examine(&arrived).unwrap();
        assert_eq!((claim.port, claim.reach), (udp.local_addr().unwrap().port(), Reach::OwnVersion));
        // Once it is closed everywhere, the kernel lists it no more.
        assert!(claim.prove(&Table::read().unwrap()).is_ok());
        drop((arrived, udp));
        assert_eq!(claim.prove(&Table::read().unwrap()), Err(Refusal::Gone));
        drop(client);
        assert!(matches!(receive(daemon.as_fd()), Ok(Some(Incoming::End))));
    }

    #[test]
    fn a_port_is_its_users_or_roots_to_name() {
        let bound = |inode, owner| Bound {
            local: SocketAddr::from(([127, 0, 0, 1], 5353)),
            reach: Reach::OwnVersion,
            inode,
            owner,
        };
        let table = Table::from_iter([bound(1, 1000), bound(2, 2000)]);
        let names = |uid| by_port(5353, Who { pid: 1, uid }, &table);
        assert_eq!(names(1000), Ok(vec![bound(1, 1000)]));
        assert_eq!(names(3000), Err(Refusal::NotYours(5353)));
        assert_eq!(names(0).map(|all| all.len()), Ok(2));
        let many = Table::from_iter((0..=16).map(|inode| bound(inode, 1000)));
        assert_eq!(by_port(5353, Who { pid: 1, uid: 1000 }, &many), Err(Refusal::TooMany(5353)));
    }
}
