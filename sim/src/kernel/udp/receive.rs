//! What arrives: datagrams, and errors about those that were sent.

use std::net::SocketAddr;

use resound_core::signal::{Errno, IcmpError, Version};

use super::super::table::{self, Code, Effect, IcmpClass, Signal};
use super::super::{Fate, Fd, Kernel, QueuedError};
use super::held_size;
use crate::packet::{Body, Datagram, Packet, is_for_many};

impl Kernel {
    pub(in crate::kernel) fn receive_datagram(&mut self, packet: Packet) -> Fate {
        let (remote, local) = packet.ends();
        if is_for_many(packet.destination) {
            return self.receive_by_many(packet, local, remote);
        }
        let Some(fd) = self.udp_lookup(local, remote) else { return self.refuse(&packet) };
        let Body::Udp(datagram) = packet.body else { return Fate::Absorbed("dropped: not a datagram") };
        self.udp_queue(fd, datagram.payload, remote, local)
    }

    /// Each of them gets a copy, and nobody complains if there is none.
    fn receive_by_many(&mut self, packet: Packet, local: SocketAddr, remote: SocketAddr) -> Fate {
        let Body::Udp(datagram) = packet.body else { return Fate::Absorbed("dropped: not a datagram") };
        if !self.hears(packet.destination) {
            return Fate::Absorbed("dropped: nobody here has joined that group");
        }
        let mut fate = Fate::Absorbed("dropped: nobody is bound to that port");
        for fd in self.udp_lookup_all(local, remote) {
            fate = self.udp_queue(fd, datagram.payload.clone(), remote, local);
        }
        fate
    }

    fn udp_queue(&mut self, fd: Fd, payload: Vec<u8>, from: SocketAddr, to: SocketAddr) -> Fate {
        let Some(udp) = self.udp_mut(fd) else { return Fate::Absorbed("dropped: no socket") };
        if udp.has_room(held_size(payload.len(), to.ip())) {
            udp.hold(payload, from, to.ip());
            self.wake(fd);
            return Fate::Acted("queued");
        }
        match self.udp_row(fd, Signal::Overflow) {
            Some(Effect::Drops) => {
                if let Some(udp) = self.udp_mut(fd) {
                    udp.drops = udp.drops.wrapping_add(1);
                }
                Fate::Acted("dropped: the receive buffer is full")
            }
            _ => Fate::Absorbed("dropped: the receive buffer is full, and no row says what then"),
        }
    }

    /// Nobody is there: the sender is told, if it may be.
    fn refuse(&mut self, packet: &Packet) -> Fate {
        if !self.env.ways.is_local(packet.destination) {
            return Fate::Absorbed("dropped: it is for another host");
        }
        let port_unreachable = match packet.version() {
            Version::V4 => (3, 3),
            Version::V6 => (1, 4),
        };
        // Between this host and itself there is no limit, whatever its address (IFF_LOOPBACK).
        let answer = if self.env.ways.is_local(packet.source) {
            let (kind, code) = port_unreachable;
            Some(packet.complain(packet.destination, kind, code, None, crate::packet::LONGEST_QUOTE))
        } else {
            self.env.icmp.complain(self.env.now, packet, packet.destination, port_unreachable, None)
        };
        match answer {
            Some(answer) => {
                self.answer_for_nobody(answer);
                Fate::Acted("answered with port unreachable")
            }
            None => Fate::Absorbed("dropped: nobody is bound to that port, and no error may be sent now"),
        }
    }

    /// An ICMP error about a datagram of this socket (`__udp4_lib_err`, `__udp6_lib_err`). The path's MTU is learned of it
    /// even where the socket does not hear of it (`ipv4_sk_update_pmtu`).
    pub(in crate::kernel) fn udp_icmp(
        &mut self,
        fd: Fd,
        error: &IcmpError,
        destination: SocketAddr,
        quoted: &Datagram,
    ) -> Fate {
        let (class, says) = table::verdict(self.env.profile, error);
        let mtu = error.mtu.filter(|_| class == IcmpClass::TooBig);
        let learned = mtu.is_some_and(|mtu| self.env.paths.learn(self.env.now, destination.ip(), mtu));
        match self.udp_row(fd, self.signal_of(error)) {
            Some(Effect::Latches(code)) => self.udp_error(fd, code.errno(says), None),
            Some(Effect::Queues(code)) => {
                let Some(errno) = code.errno(says) else { return Fate::Absorbed("ignored: it has no errno") };
                let entry = QueuedError {
                    errno,
                    icmp: Some(*error),
                    destination,
                    offender: error.offender,
                    quote: quoted.payload.clone(),
                };
                self.udp_error(fd, Some(errno), Some(entry))
            }
            _ if learned => Fate::Acted("told of a smaller MTU"),
            _ => Fate::Absorbed("ignored: a socket like this one does not hear of such an error"),
        }
    }

    fn udp_error(&mut self, fd: Fd, errno: Option<Errno>, entry: Option<QueuedError>) -> Fate {
        let (Some(udp), Some(errno)) = (self.udp_mut(fd), errno) else {
            return Fate::Absorbed("ignored: it has no errno");
        };
        let fate = match entry.map(|entry| udp.queue_error(entry)) {
            None => "error pending",
            Some(true) => "error pending and queued",
            Some(false) => "error pending; no room for it in the error queue",
        };
        udp.latch(errno);
        self.wake(fd);
        Fate::Acted(fate)
    }

    /// What the table says; it is noted that it was asked.
    pub(super) fn udp_row(&mut self, fd: Fd, signal: Signal) -> Option<Effect> {
        let udp = self.udp(fd)?;
        let (version, state, recverr) = (udp.version(), udp.state(), udp.options.recverr);
        let (id, row) = table::find(self.env.profile, version, state, recverr, signal)?;
        self.effects.rows.push(id);
        Some(row.effect)
    }
}

impl Code {
    /// The error number, if the message stands for this one.
    fn errno(self, of_icmp: Option<Errno>) -> Option<Errno> {
        match self {
            Self::Is(errno) | Self::RememberedOr(errno) => Some(errno),
            Self::OfIcmp => of_icmp,
        }
    }
}
