//! What travels: IP packets with a TCP segment, a UDP datagram or an ICMP error in them.
//!
//! They are values, not bytes: a simulated kernel looks at fields. Whoever needs bytes (a capture file, a real network)
//! encodes them. Checksums are not stored: a packet is whole, or [`damaged`](Packet::damaged), and then every kernel
//! drops it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Add;
use std::sync::Arc;

use resound_core::signal::Version;

/// How many bytes an ICMP error quotes of the datagram's IP payload at most, from a Linux router: 576 bytes of message
/// over IPv4 (`icmp_send`, RFC 1812 §4.3.2.3), less the headers; over IPv6 the least MTU allows more.
pub const LONGEST_QUOTE: usize = 528;

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Where it claims to come from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// How many routers it may still pass (TTL, hop limit).
    pub hops: u8,
    /// Whether it travels in fragments where it does not fit: over IPv4 without DF, over IPv6 because its sender has cut it
    /// up. The fragments themselves are not modelled: they arrive together, as this one packet, or not at all.
    pub fragments: bool,
    /// Whether a checksum will fail where it arrives.
    pub damaged: bool,
    /// Which fault of the scenario made it, or did something to it: whoever receives it says what came of that.
    pub fault: Option<FaultId>,
    /// The bytes that it is, if it came from a real network: they say what its fields do not, TCP's options above all.
    /// What changes the fields leaves the bytes out.
    pub bytes: Option<Arc<Vec<u8>>>,
    /// What is in it.
    pub body: Body,
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// TCP.
    Tcp(Segment),
    /// UDP.
    Udp(Datagram),
    /// An ICMP or ICMPv6 error.
    Icmp(Icmp),
}

/// A fault's place in its scenario, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// A TCP sequence number (RFC 9293 §3.4): compared modulo 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// How far `self` lies behind `earlier`; negative if before it.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether `self` lies before `other`.
    #[must_use]
    #[inline]
    pub const fn before(self, other: Self) -> bool {
        self.since(other) < 0
    }
}

impl Add<usize> for Seq {
    type Output = Self;
    #[inline]
    fn add(self, n: usize) -> Self {
        Self(self.0.wrapping_add(n as u32))
    }
}

/// A TCP segment (RFC 9293 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The number of its first byte.
    pub seq: Seq,
    /// The next byte that its sender expects.
    pub ack: Option<Seq>,
    /// What else it says.
    pub flags: Flags,
    /// How many bytes its sender takes beyond `ack`. Not scaled: the simulated option always leaves room enough.
    pub window: u32,
    /// The longest payload that its sender takes; only with SYN.
    pub mss: Option<u16>,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl Segment {
    /// How much of the sequence it takes: its bytes, and one for each of SYN and FIN.
    #[must_use]
    #[inline]
    pub fn length(&self) -> usize {
        self.payload.len() + usize::from(self.flags.syn) + usize::from(self.flags.fin)
    }

    /// The number behind its last byte.
    #[must_use]
    #[inline]
    pub fn end(&self) -> Seq {
        self.seq + self.length()
    }
}

/// The flags of a segment; ACK is `ack.is_some()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// Synchronise: a connection begins.
    pub syn: bool,
    /// Finish: its sender sends no more.
    pub fin: bool,
    /// Reset.
    pub rst: bool,
}

impl Flags {
    /// None of them.
    pub const NONE: Self = Self { syn: false, fin: false, rst: false };
    /// SYN.
    pub const SYN: Self = Self { syn: true, ..Self::NONE };
    /// FIN.
    pub const FIN: Self = Self { fin: true, ..Self::NONE };
    /// RST.
    pub const RST: Self = Self { rst: true, ..Self::NONE };
}

/// A UDP datagram (RFC 768).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// An ICMP or ICMPv6 error (RFC 792, RFC 4443).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The next hop's MTU, with fragmentation needed and packet too big.
    pub mtu: Option<u32>,
    /// The packet that it is about, as much of it as is quoted: a payload may be cut.
    pub quote: Box<Packet>,
}

impl Packet {
    /// A packet as a host sends it: with DF, as path MTU discovery has it.
    #[must_use]
    #[inline]
    pub const fn new(source: IpAddr, destination: IpAddr, body: Body) -> Self {
        Self {
            source,
            destination,
            hops: 64,
            fragments: false,
            damaged: false,
            fault: None,
            bytes: None,
            body,
        }
    }

    /// Whether a link that takes only shorter packets passes it all the same, in pieces.
    #[must_use]
    #[inline]
    pub const fn may_be_fragmented(&self) -> bool {
        self.fragments
    }

    /// IPv4 or IPv6.
    #[must_use]
    #[inline]
    pub const fn version(&self) -> Version {
        version(self.destination)
    }

    /// How long it is, with its IP header, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        if let Some(bytes) = &self.bytes {
            return bytes.len();
        }
        let header = match self.version() {
            Version::V4 => 20,
            Version::V6 => 40,
        };
        header
            + match &self.body {
                Body::Tcp(segment) => 20 + if segment.mss.is_some() { 4 } else { 0 } + segment.payload.len(),
                Body::Udp(datagram) => 8 + datagram.payload.len(),
                Body::Icmp(icmp) => 8 + icmp.quote.length(),
            }
    }

    /// Source and destination with their ports; port 0 for ICMP.
    #[must_use]
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        let (source, destination) = match &self.body {
            Body::Tcp(segment) => (segment.source, segment.destination),
            Body::Udp(datagram) => (datagram.source, datagram.destination),
            Body::Icmp(_) => (0, 0),
        };
        (SocketAddr::new(self.source, source), SocketAddr::new(self.destination, destination))
    }

    /// This packet with at most so many bytes of its TCP or UDP payload.
    #[must_use]
    pub fn quoted(&self, most: usize) -> Self {
        let cut = |payload: &Vec<u8>| payload[..payload.len().min(most)].to_vec();
        let body = match &self.body {
            Body::Tcp(segment) => Body::Tcp(Segment { payload: cut(&segment.payload), ..*segment }),
            Body::Udp(datagram) => Body::Udp(Datagram { payload: cut(&datagram.payload), ..*datagram }),
            Body::Icmp(icmp) => Body::Icmp(icmp.clone()),
        };
        Self { body, bytes: None, ..*self }
    }

    /// An ICMP error about this packet, from `offender` to whoever sent it, that quotes at most `quoted` bytes of its TCP
    /// or UDP payload.
    #[must_use]
    pub fn complain(&self, offender: IpAddr, kind: u8, code: u8, mtu: Option<u32>, quoted: usize) -> Self {
        let quote = Self { fault: None, ..self.quoted(quoted) };
        let icmp = Icmp { kind, code, mtu, quote: Box::new(quote) };
        Self { fault: self.fault, ..Self::new(offender, self.source, Body::Icmp(icmp)) }
    }
}

/// A group, or everybody on the link. A broadcast address of a network cannot be told: nobody here knows netmasks.
pub(crate) fn is_for_many(address: IpAddr) -> bool {
    address.is_multicast() || is_broadcast(address)
}

/// Everybody on the link, of IPv4.
pub(crate) fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

/// The IP version of an address.
#[must_use]
#[inline]
pub const fn version(address: IpAddr) -> Version {
    match address {
        IpAddr::V4(_) => Version::V4,
        IpAddr::V6(_) => Version::V6,
    }
}
