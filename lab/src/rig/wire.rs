//! The lab's end of a link to a host: a packet socket that hears what the host sends, and sends as its neighbour.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use nix::unistd::write;
use resound_sim::packet::Packet;
use resound_sim::scenario::{NodeId, Way, node_at};
use resound_sim::wire;

use super::frame::{self, Frame, Mac, Question};
use super::pieces::{Piece, Pieces};

/// The longest packet there is (RFC 791 §3.1; RFC 8200 §3 without jumbograms), with its header.
const LONGEST: usize = frame::HEADER + 40 + 65_535;

/// As many bytes may wait while the lab is busy, as the kernel counts them.
const WAITING: usize = 8 << 20;

/// The lab's end of the link between a host and one of its neighbours.
#[derive(Debug)]
pub struct Wire {
    way: Way,
    interface: String,
    socket: OwnedFd,
    host: Mac,
    neighbour: Mac,
    heard: Vec<u8>,
    sent: Vec<u8>,
    pieces: Pieces,
    others: Others,
}

/// What a host sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A packet.
    Packet(Packet),
    /// It asks for the neighbour's Ethernet address: to be [answered](Wire::answer) if the neighbour hears it.
    Asks(Question),
    /// Something that no scenario has: group membership, router solicitations, a packet that cannot be decoded. It is
    /// counted: [`Wire::others`].
    Other,
}

/// What was heard that no scenario has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many frames.
    pub count: u64,
    /// What the last one was.
    pub last: Option<String>,
}

impl Wire {
    /// Opens an interface of the namespace in which this is called. Its host is silent yet.
    pub(super) fn open(way: Way, interface: &str) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        let address = link_address(interface)?;
        bind(socket.as_raw_fd(), &address)?;
        // Whoever is root only in a namespace gets as much as the machine gives anybody.
        if setsockopt(&socket, sockopt::RcvBufForce, &WAITING).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &WAITING)?;
        }
        let mut wire = Self {
            way,
            interface: interface.to_owned(),
            socket,
            host: mac(Side::Host, way),
            neighbour: mac(Side::Neighbour, way),
            heard: vec![0; LONGEST],
            sent: Vec::with_capacity(LONGEST),
            pieces: Pieces::default(),
            others: Others::default(),
        };
        // Until it was bound it heard all others.
        while wire.receive()?.is_some() {}
        wire.others = Others::default();
        Ok(wire)
    }

    /// From the host to its neighbour.
    #[must_use]
    pub const fn way(&self) -> Way {
        self.way
    }

    /// The lab's end, by its name there.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// The socket, to wait for. It does not block.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What the host sent next; `None` if there is nothing now. A packet that it sent in pieces comes as one.
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    pub fn receive(&mut self) -> io::Result<Option<Heard>> {
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut self.heard, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(nix::Error::EINTR) => continue,
                Err(nix::Error::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            if let Some(heard) = self.hears(length) {
                return Ok(Some(heard));
            }
        }
    }

    /// What a frame is that was heard; `None` if more pieces belong to it.
    fn hears(&mut self, length: usize) -> Option<Heard> {
        let packet = match frame::parse(&self.heard[..length]) {
            Frame::Asks(question) if node_at(question.target) == Some(self.way.to) => {
                return Some(Heard::Asks(question));
            }
            Frame::Asks(question) => {
                let what = format!("a question for {}, which is not the neighbour", question.target);
                return Some(self.others.add(what));
            }
            Frame::Other(what) => return Some(self.others.add(what.to_owned())),
            Frame::Ip(packet) => packet,
        };
        let taken = match self.pieces.put(packet) {
            Piece::Whole => wire::take(packet),
            // Over IPv6 only its pieces would have said that it may be cut.
            Piece::Last(whole) => wire::take(whole).map(|packet| Packet { fragments: true, ..packet }),
            Piece::Waits => return None,
        };
        Some(taken.map_or_else(|why| self.others.add(why.to_string()), Heard::Packet))
    }

    /// What was heard that no scenario has.
    #[must_use]
    pub const fn others(&self) -> &Others {
        &self.others
    }

    /// Answers a question as the neighbour: here I am.
    ///
    /// # Errors
    ///
    /// Those of write(2).
    pub fn answer(&mut self, question: &Question) -> io::Result<()> {
        frame::answer(question, self.neighbour, &mut self.sent);
        self.flush()
    }

    /// Sends a packet to the host.
    ///
    /// # Errors
    ///
    /// Those of write(2). ENOBUFS: the host's kernel did not take it, because its interface is down, or because a thousand
    /// packets wait there already (`netdev_max_backlog`). EMSGSIZE: longer than 65 535 bytes, as an IPv6 packet can be.
    pub fn send(&mut self, packet: &Packet) -> io::Result<()> {
        self.sent.clear();
        frame::header(packet.destination, self.host, self.neighbour, &mut self.sent);
        wire::encode(packet, &mut self.sent);
        self.flush()
    }

    fn flush(&self) -> io::Result<()> {
        loop {
            match write(&self.socket, &self.sent) {
                Ok(_) => return Ok(()),
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Others {
    fn add(&mut self, what: String) -> Heard {
        self.count += 1;
        self.last = Some(what);
        Heard::Other
    }
}

/// Which end of a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Host,
    Neighbour,
}

/// The Ethernet address of one end: administered by nobody (the bit 0x02), and made of the nodes.
pub(super) const fn mac(side: Side, Way { from: NodeId(host), to: NodeId(neighbour) }: Way) -> Mac {
    match side {
        Side::Host => [0x02, 0, 0, 0, host, neighbour],
        Side::Neighbour => [0x02, 1, 0, 0, host, neighbour],
    }
}

/// An interface of this thread's namespace, as packet(7) addresses it.
fn link_address(interface: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {interface}")))
}
