//! What is said about flights by others than the peer: by ICMP, and by this host.

use core::net::SocketAddr;
use core::time::Duration;

use super::flights::{Flight, Stage};
use super::probe::{Claim, Header};
use super::{Client, Event, PeerId, canonical};
use crate::link::Told;
use crate::signal::{Cause, Errno, IcmpError, Op, Origin, Reason, Signal};
use crate::stream::ConnId;

/// How long overruns are only counted after they were told.
const OVERRUN_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    pub(super) fn icmp(&mut self, error: IcmpError, quote: &[u8]) {
        let Some(destination) = error.destination.map(canonical) else {
            self.strays.unattributed += 1;
            return;
        };
        let header = Claim::parse(quote).and_then(|claim| claim.verify(&self.key, destination));
        let cause = Signal::Icmp(error).cause(Op::Read);
        if let Some(header) = header {
            let id = PeerId { index: header.index, generation: header.generation };
            return match self.peers.get(id) {
                Some(_) => self.flight_failed(id, &header, cause, error.mtu),
                None => self.strays.stale += 1,
            };
        }
        match self.peers.find(destination) {
            Some(index) => self.rumour(index, cause, error.mtu),
            None => self.strays.unattributed += 1,
        }
    }

    /// Said of a datagram that this client wrote, by somebody who saw it.
    pub(super) fn flight_failed(&mut self, id: PeerId, header: &Header, cause: Cause, mtu: Option<u32>) {
        let index = id.index;
        let on_its_way = self.flights.get(header.number).is_some_and(|f| f.stage == Stage::Sent);
        let Some(conn) =
            self.peers.at(index).and_then(|peer| peer.link.current()).filter(|c| c.get() == header.conn)
        else {
            self.strays.stale += 1;
            return;
        };
        if !on_its_way {
            // Its flight has ended already: an error that comes twice, or late.
            return self.rumour(index, cause, mtu);
        }
        if cause.reason == Reason::PortUnreach {
            return self.over(index, conn, cause);
        }
        self.trouble(id, cause, mtu);
        self.fail(index, header.number, cause);
        self.tell(index, Told::Hint { conn, cause: Some(cause) });
    }

    /// A flight will not be answered. The probe of a dial stays on the books until its time is over: the next one
    /// follows then, and no sooner.
    pub(super) fn fail(&mut self, index: u32, number: u64, cause: Cause) {
        let stands = self.peers.at(index).is_some_and(|peer| peer.link.conn().is_some());
        let message = self.flights.get(number).is_some_and(Flight::is_message);
        if stands || message {
            self.lose(number, cause);
        }
    }

    /// The attempt failed, or the connection is over.
    pub(super) fn over(&mut self, index: u32, conn: ConnId, cause: Cause) {
        let stands = self.peers.at(index).is_some_and(|peer| peer.link.conn().is_some());
        self.tell(
            index,
            if stands { Told::Ended { conn, cause } } else { Told::Dialed { conn, result: Err(cause) } },
        );
    }

    /// Said about a peer's address, with nothing to prove that it concerns anything that was sent there.
    pub(super) fn rumour(&mut self, index: u32, cause: Cause, mtu: Option<u32>) {
        let Some(peer) = self.peers.at(index) else { return };
        let Some(conn) = peer.link.current() else {
            self.strays.stale += 1;
            return;
        };
        // One in each P' is news: the first since the peer was heard. All others count for no more than that there are any.
        let news = peer.link.hint().is_none() && peer.link.is_rested(&self.policy, self.now);
        if news {
            self.trouble(self.peers.id(index), cause, mtu);
        }
        let cause = Some(cause).filter(|_| news);
        self.tell(index, Told::Hint { conn, cause });
    }

    pub(super) fn trouble(&mut self, peer: PeerId, cause: Cause, mtu: Option<u32>) {
        self.events.push_back(if cause.reason == Reason::TooBig {
            Event::TooBig { peer, mtu }
        } else {
            Event::Trouble { peer, cause }
        });
    }

    pub(super) fn unsent(&mut self, to: SocketAddr, datagram: &[u8], signal: Signal, mtu: Option<u32>) {
        let header = Claim::parse(datagram).and_then(|claim| claim.verify(&self.key, canonical(to)));
        let Some(header) = header else { return };
        let id = PeerId { index: header.index, generation: header.generation };
        // The call itself failed: whatever the number can mean elsewhere, here this host said it.
        let cause = Cause { origin: Origin::Local, ..signal.cause(Op::Write) };
        let Some(peer) = self.peers.get(id) else { return self.lose(header.number, cause) };
        let stands = peer.link.conn().is_some();
        let current = peer.link.current().filter(|conn| conn.get() == header.conn);
        let Some(conn) = current else { return self.lose(header.number, cause) };
        match signal {
            // A queue of this host was full: that says nothing about the way to the peer.
            Signal::Errno(Errno::NoBufs | Errno::NoMem) => {
                if stands {
                    self.lose_unsent(id.index, header.number, cause);
                } else {
                    self.fail(id.index, header.number, cause);
                    self.tell(id.index, Told::Hint { conn, cause: Some(cause) });
                }
            }
            // It says nothing about shorter ones.
            Signal::Errno(Errno::MsgSize) => {
                self.trouble(id, cause, mtu);
                self.fail(id.index, header.number, cause);
            }
            _ if stands => {
                self.trouble(id, cause, mtu);
                self.lose(header.number, cause);
                self.tell(id.index, Told::Hint { conn, cause: Some(cause) });
            }
            _ => self.over(id.index, conn, cause),
        }
    }

    /// Told at once, and then at most once in a second.
    pub(super) fn overrun(&mut self, lost: u32) {
        self.impaired = Some(self.now);
        self.strays.overrun += u64::from(lost);
        self.overrun.untold = self.overrun.untold.saturating_add(lost);
        self.tell_overrun();
    }

    pub(super) fn tell_overrun(&mut self) {
        if self.overrun.untold > 0 && self.overrun.next <= self.now {
            self.overrun.next = self.now + OVERRUN_PAUSE;
            let lost = core::mem::take(&mut self.overrun.untold);
            self.events.push_back(Event::Overrun { lost });
        }
    }
}
