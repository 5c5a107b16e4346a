//! Linux: many datagrams in one call, and everything that comes along with them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

use nix::libc;
use resound_core::datagram::{Cast, End};
use resound_core::signal::{Errno, IcmpError, Version};

use super::{Arrival, Entry, Message, Source};

mod calls;
mod control;
mod name;
mod options;

use control::{Outgoing, int, word};
pub(super) use name::Family;
pub(super) use options::{describe, facts, multicast_interface_v4, one_by_one, prepare};

/// Room for datagrams that come in.
#[derive(Debug)]
pub(super) struct Arrivals(calls::Slots);

impl Arrivals {
    pub(super) fn new(count: usize, room: usize) -> Self {
        Self(calls::Slots::new(count, room))
    }

    /// How many one call can bring.
    pub(super) fn most(&self) -> usize {
        self.0.count()
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.0.receive(fd, 0)
    }

    /// What came into a slot. `None`: from nobody that has an address.
    pub(super) fn get(&self, at: usize) -> Option<Arrival<'_>> {
        let (head, bytes) = self.0.get(at);
        let end = if head.flags & libc::MSG_TRUNC == 0 { End::Whole } else { End::Truncated };
        let mut arrival = Arrival {
            from: name::read(head.name())?,
            to: None,
            cast: Cast::Unicast,
            source: None,
            bytes,
            size: bytes.len(),
            end,
            dropped: None,
        };
        for message in control::messages(head.control()) {
            match (message.level, message.kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => asked_v4(&mut arrival, message.data),
                // Of an IPv4 datagram a dual-stack socket gives both, and the other one tells more.
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if arrival.to.is_none() => {
                    asked_v6(&mut arrival, message.data);
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = int(message.data, 0).and_then(|size| usize::try_from(size).ok());
                    arrival.size = size.filter(|&size| size > 0).unwrap_or(bytes.len()).min(bytes.len());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => arrival.dropped = word(message.data, 0),
                _ => {}
            }
        }
        Some(arrival)
    }
}

/// `struct in_pktinfo`: the interface, the address to answer from, the destination. The first address is the second
/// one unless the datagram was sent to many (`fib_compute_spec_dst`); it is 0 where the kernel does not know.
fn asked_v4(arrival: &mut Arrival<'_>, info: &[u8]) {
    let address = |at: usize| info.get(at..)?.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets));
    let (Some(here), Some(asked)) = (address(4), address(8)) else { return };
    arrival.to = Some(asked.into());
    arrival.cast = if asked.is_multicast() {
        Cast::Multicast
    } else if asked.is_broadcast() || (here != asked && !here.is_unspecified()) {
        Cast::Broadcast
    } else {
        Cast::Unicast
    };
    let here = if arrival.cast == Cast::Unicast { asked } else { here };
    arrival.source = (!here.is_unspecified()).then_some(Source { address: here.into(), interface: 0 });
}

/// `struct in6_pktinfo`: the destination, the interface. A link-local address is answered through that interface, any
/// other one by the routes.
fn asked_v6(arrival: &mut Arrival<'_>, info: &[u8]) {
    let (Some(octets), Some(interface)) = (info.first_chunk::<16>(), word(info, 16)) else { return };
    let asked = Ipv6Addr::from(*octets);
    let address = asked.to_canonical();
    arrival.to = Some(address);
    if address.is_multicast() {
        arrival.cast = Cast::Multicast;
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        arrival.cast = Cast::Broadcast;
    } else {
        let interface = if asked.is_unicast_link_local() { interface } else { 0 };
        arrival.source = Some(Source { address, interface });
    }
}

/// Room for what the error queue gives. It quotes at most 576 bytes of an IPv4 datagram, 1 280 of an IPv6 one.
#[derive(Debug)]
pub(super) struct ErrorQueue(calls::Slots);

impl ErrorQueue {
    /// `None` on a system that has none.
    #[allow(clippy::unnecessary_wraps, reason = "other systems have none")]
    pub(super) fn new() -> Option<Self> {
        Some(Self(calls::Slots::new(8, 1_280)))
    }

    /// How many one call can bring.
    pub(super) fn most(&self) -> usize {
        self.0.count()
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.0.receive(fd, libc::MSG_ERRQUEUE)
    }

    /// What came into a slot; `None` if it is no error.
    pub(super) fn get(&self, at: usize) -> Option<Entry<'_>> {
        let (head, quote) = self.0.get(at);
        let entry = control::messages(head.control()).find(|message| {
            matches!(
                (message.level, message.kind),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            )
        })?;
        parse_entry(entry.data, name::read(head.name()), quote)
    }
}

/// `struct sock_extended_err`: errno, origin, type, code, padding, info, data; and the offender's address. The level
/// says which kind of socket it is, and only the origin which ICMP it was.
fn parse_entry<'a>(data: &[u8], destination: Option<SocketAddr>, quote: &'a [u8]) -> Option<Entry<'a>> {
    let &[origin, kind, code] = data.get(4..)?.first_chunk()?;
    let mtu = word(data, 8).filter(|&mtu| mtu > 0);
    let version = match origin {
        libc::SO_EE_ORIGIN_ICMP => Version::V4,
        libc::SO_EE_ORIGIN_ICMP6 => Version::V6,
        libc::SO_EE_ORIGIN_LOCAL => {
            let errno = crate::errno::from_raw(int(data, 0)?);
            return Some(Entry::Local { mtu: mtu.filter(|_| errno == Errno::MsgSize) });
        }
        _ => return None,
    };
    let tells_mtu = matches!((version, kind, code), (Version::V4, 3, 4) | (Version::V6, 2, _));
    let offender = data.get(16..).and_then(name::read).map(|offender| offender.ip());
    let mtu = mtu.filter(|_| tells_mtu);
    Some(Entry::Icmp { error: IcmpError { version, kind, code, offender, destination, mtu }, quote })
}

/// Sends the first [`MOST`] of these messages, and says how many went.
pub(super) fn send<'a>(
    fd: BorrowedFd<'_>,
    family: Family,
    messages: impl Iterator<Item = Message<'a>>,
) -> Result<usize, Errno> {
    calls::send(fd, messages.map(|message| (envelope(&message, family), message.pieces())))
}

fn envelope(message: &Message<'_>, family: Family) -> calls::Envelope {
    let mut control = Outgoing::EMPTY;
    if let Some(source) = message.source {
        from(&mut control, source, family);
    }
    if let Some(size) = message.segments {
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.get().to_ne_bytes());
    }
    calls::Envelope { name: name::Name::of(message.to, family), control }
}

fn from(control: &mut Outgoing, source: Source, family: Family) {
    let interface = source.interface.to_ne_bytes();
    match (source.address, family) {
        (IpAddr::V4(address), Family::V4) => {
            let mut info = [0; 12];
            info[..4].copy_from_slice(&interface);
            info[4..8].copy_from_slice(&address.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        (address, _) => {
            let mut info = [0; 20];
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            info[..16].copy_from_slice(&address.octets());
            info[16..].copy_from_slice(&interface);
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
    }
}

/// How many datagrams the kernel has dropped in front of this socket since it was made. `None` before Linux 4.12.
pub(super) fn dropped(fd: BorrowedFd<'_>) -> Option<u32> {
    // SO_MEMINFO and the index of SK_MEMINFO_DROPS (`linux/sock_diag.h`), which libc does not have for every target.
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = 8;
    let mut words = [0; DROPS + 1];
    let known = calls::get(fd, libc::SOL_SOCKET, SO_MEMINFO, &mut words)?;
    // A counter that wraps, not an `int`.
    (known > DROPS).then_some(words[DROPS] as u32)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::udp::{Options, bind};

    #[test]
    fn what_was_dropped_is_told_by_the_next_datagram_and_at_any_time() {
        let options = Options { receive_buffer: Some(2_048), ..Options::default() };
        let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let send = || assert_eq!(socket.send_to(&[0; 500], socket.local_addr().unwrap()).unwrap(), 500);
        let mut arrivals = Arrivals::new(64, 500);
        (0..30).for_each(|_| send());
        let got = arrivals.receive(socket.as_fd()).unwrap();
        assert!(
            (0..got).all(|at| arrivals.get(at).unwrap().dropped.is_none()),
            "it is not told of those before"
        );
        send();
        assert_eq!(arrivals.receive(socket.as_fd()), Ok(1));
        let lost = Some(30 - got as u32);
        assert_eq!((arrivals.get(0).unwrap().dropped, dropped(socket.as_fd())), (lost, lost));
    }

    #[test]
    fn an_entry_is_read_by_its_origin() {
        let entry = |origin, kind, code, info: u32, offender: &[u8]| {
            let mut data = vec![0; 16];
            data[..4].copy_from_slice(&libc::EMSGSIZE.to_ne_bytes());
            data[4..7].copy_from_slice(&[origin, kind, code]);
            data[8..12].copy_from_slice(&info.to_ne_bytes());
            data.extend(offender);
            data
        };
        let router: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let (mapped, _) = name::Name::of(router, Family::V6);
        let data = entry(libc::SO_EE_ORIGIN_ICMP, 3, 4, 1_400, &mapped.0);
        let Some(Entry::Icmp { error, quote: [] }) = parse_entry(&data, None, &[]) else { panic!() };
        assert_eq!((error.version, error.kind, error.code, error.mtu), (Version::V4, 3, 4, Some(1_400)));
        assert_eq!((error.offender, error.destination), (Some(router.ip()), None));
        // No MTU but where the message is about one; no offender of no family.
        let data = entry(libc::SO_EE_ORIGIN_ICMP6, 1, 4, 1_400, &[0; 28]);
        let Some(Entry::Icmp { error, .. }) = parse_entry(&data, None, &[]) else { panic!() };
        assert_eq!((error.version, error.mtu, error.offender), (Version::V6, None, None));
        let data = entry(libc::SO_EE_ORIGIN_LOCAL, 0, 0, 1_500, &[0; 28]);
        assert!(matches!(parse_entry(&data, None, &[]), Some(Entry::Local { mtu: Some(1_500) })));
        // A time stamp is no error; what is cut short is none either.
        assert!(parse_entry(&entry(4, 0, 0, 0, &[]), None, &[]).is_none());
        assert!(parse_entry(&data[..5], None, &[]).is_none());
    }
}
