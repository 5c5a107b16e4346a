//! Each event of the client, held against the books of the world.

use core::net::SocketAddr;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::datagram::client::{Event, PeerId, Seq};
use resound_core::signal::{Cause, Reason};

use super::World;
use super::net::Sent;

impl World {
    pub(super) fn check(&mut self, event: &Event) {
        assert!(!self.closed, "an event after Closed: {event:?}");
        let addr = event.peer().map(|id| self.addresses[&id]);
        match event {
            Event::Dialing { peer, .. } => {
                self.dialing_since.insert(*peer, self.now);
            }
            Event::Up { peer, .. } => {
                let heard = self.net.last_answer.get(&addr.unwrap());
                assert_eq!(heard, Some(&self.now), "up because of an answer, at once");
                self.suspected.remove(peer);
            }
            Event::Suspect { peer, unanswered } => {
                self.suspected.insert(*peer, *unanswered);
            }
            Event::DialFailed { peer, cause, .. } => {
                self.charged(addr.unwrap(), cause);
                let since = self.now - self.dialing_since[peer];
                let excused = self.licence(addr.unwrap()) || since >= self.config.link.race.round;
                assert!(excused, "attribution: nothing ended this attempt: {event:?}");
            }
            Event::Down { peer, cause, silent, .. } => {
                let addr = addr.unwrap();
                self.charged(addr, cause);
                let heard = self.net.last_answer[&addr];
                let licensed = self.net.licensed.contains(&addr);
                // An answer may have been read after the error, at the same time.
                let told = *silent == self.now - heard || (licensed && heard == self.now);
                assert!(told, "silence is what the books say: {silent:?}, {:?}", self.now - heard);
                if !licensed {
                    self.convicted(*peer, addr, heard, event);
                }
                self.suspected.remove(peer);
            }
            Event::GaveUp { cause, .. } => {
                assert!(cause.icmp.is_none(), "nobody from outside makes the client give up: {cause}");
            }
            Event::Trouble { cause, .. } => self.charged(addr.unwrap(), cause),
            Event::Echoed { peer, seq, payload, round_trip } => {
                self.end(*peer, *seq, payload);
                let sent = &self.net.sent[&seq.get()];
                assert!(sent.same);
                assert_eq!(sent.answers[0], self.now, "an echo is told when it is read");
                assert_eq!(*round_trip, self.now - sent.handed, "the round trip is the world's");
                *self.counted.entry(*seq).or_default() += 1;
            }
            Event::Lost { peer, seq, payload, cause } => {
                self.end(*peer, *seq, payload);
                if cause.reason == Reason::Mismatch {
                    assert!(!self.net.sent[&seq.get()].same);
                }
                self.charged(addr.unwrap(), cause);
            }
            Event::Late { seq, round_trip, .. } => {
                assert!(self.ended.contains(seq));
                assert_eq!(*self.counted.entry(*seq).or_default(), 0, "late is the first answer only");
                self.counted.insert(*seq, 1);
                assert_eq!(*round_trip, self.now - self.net.sent[&seq.get()].handed);
            }
            Event::Duplicated { seq, .. } => {
                let counted = self.counted.entry(*seq).or_default();
                assert!(*counted > 0 || !self.net.sent[&seq.get()].same, "another came before a double one");
                *counted += 1;
            }
            Event::WrongAddress { from, .. } => assert_ne!(Some(*from), addr),
            Event::Closed => {
                self.closed = true;
                assert_eq!(self.accepted.len(), self.ended.len(), "conservation: all have ended");
            }
            Event::TooBig { .. }
            | Event::Retry { .. }
            | Event::Overrun { .. }
            | Event::Stalled { .. }
            | Event::Failed { .. } => {}
        }
    }

    /// What entitles the client to say at once that a peer is gone.
    fn licence(&self, addr: SocketAddr) -> bool {
        self.net.licensed.contains(&addr) || self.net.unsent.contains(&addr)
    }

    /// Attribution: what somebody said is charged to the peer that it was said of.
    fn charged(&self, addr: SocketAddr, cause: &Cause) {
        let evidence = match (cause.icmp, cause.errno) {
            (Some(icmp), _) => format!("{icmp:?}"),
            (None, Some(errno)) => format!("{errno:?}"),
            (None, None) => return,
        };
        let said = self.net.said.contains(&(addr, evidence));
        assert!(said, "attribution: nobody said {cause} of {addr}");
    }

    /// A verdict for silence: the books must bear it out.
    fn convicted(&self, peer: PeerId, addr: SocketAddr, heard: Instant, event: &Event) {
        let (probe, misses) = (self.config.link.liveness.probe, self.config.link.liveness.misses);
        let suspected = self.suspected.get(&peer).copied().unwrap_or(0);
        assert_eq!(suspected, misses - 1, "L6: {event:?}");
        assert!(self.now - heard >= probe * u32::from(misses), "L6: {event:?} too early");
        let unanswered =
            self.net.sent.values().filter(|s| s.to == addr && s.left.is_some_and(|at| at >= heard));
        assert!(unanswered.count() >= usize::from(misses), "L6: too few probes for {event:?}");
        assert_ne!(heard, self.now, "L2: an answer that was readable: {event:?}");
    }

    fn end(&mut self, peer: PeerId, seq: Seq, payload: &Bytes) {
        let (to, was) = &self.accepted[&seq];
        assert_eq!((*to, was), (peer, payload), "the payload of this very message");
        assert!(self.ended.insert(seq), "conservation: {seq:?} ended twice");
        if let Some(sent) = self.net.sent.get_mut(&seq.get()) {
            sent.ended = true;
        }
    }

    /// What is known of each peer, against the books.
    pub(super) fn check_books(&self) {
        for id in self.client.peers() {
            let status = self.client.peer(id).unwrap();
            assert_eq!(status.addr, self.addresses[&id], "a peer has the address that it was added with");
            assert_eq!(status.sent, status.echoed + status.lost + u64::from(status.in_flight));
            let index = id.index();
            let mine = |sent: &&Sent| sent.bytes[4..8] == index.to_be_bytes() && sent.to == status.addr;
            // Names are given once, so of one index and address there may have been several.
            if self.addresses.iter().filter(|(i, a)| i.index() == index && **a == status.addr).count() == 1 {
                let answers: usize = self.net.sent.values().filter(mine).map(|sent| sent.answers.len()).sum();
                let mismatched: u64 =
                    self.net.sent.values().filter(mine).filter(|s| !s.answers.is_empty() && !s.same).count()
                        as u64;
                let told = status.echoed + u64::from(status.late) + u64::from(status.duplicated);
                assert!(told <= answers as u64 && answers as u64 <= told + mismatched, "{status:?}");
                let left = self.net.sent.values().filter(mine).count() as u64;
                assert!(left <= status.sent, "{status:?}");
            }
        }
    }
}
