//! Time: who is asked again, who is doubted, what is given up, and never before the kernel was read.

use alloc::vec::Vec;

use super::flights::{Flight, Kind};
use super::peers::Left;
use super::{Client, EXAMINE_AGAIN, Event, Examine, Outlet};
use crate::link::{State, Told};
use crate::liveness::Writing;
use crate::signal::{Cause, Reason};
use crate::time::{Instant, earliest};

impl Client {
    pub(super) fn want_examined(&mut self) {
        if self.examine == Examine::No {
            self.examine = Examine::Wanted(self.now);
        }
    }

    /// When the oldest flight is given up; or, while the socket takes nothing, the oldest that waits for it.
    pub(super) fn oldest_ends(&self) -> Option<Instant> {
        let waiting = self.flights.oldest_unsent().filter(|_| self.outlet == Outlet::Blocked);
        let ends = |(_, flight): (u64, &Flight)| flight.sent + self.config.timeout;
        earliest([self.flights.oldest().map(ends), waiting.map(ends)])
    }

    pub(super) fn tick(&mut self) {
        match self.examine {
            Examine::No if self.oldest_ends().is_some_and(|at| at <= self.now) => self.want_examined(),
            Examine::Asked(at) if at + EXAMINE_AGAIN <= self.now => {
                self.examine = Examine::Wanted(self.now);
            }
            _ => {}
        }
        while let Some(index) = self.flights.unanswered(self.now, self.policy.liveness.patience()) {
            self.arm(index);
        }
        while let Some(index) = self.peers.due(self.now) {
            self.attend(index);
        }
        self.tell_overrun();
        self.tell_stalled();
        self.close_if_done();
    }

    pub(super) fn attend(&mut self, index: u32) {
        if self.peers.at(index).is_some_and(|peer| peer.link.state() == State::Dialing) {
            // The round's end is a verdict as well.
            self.doubts.push(index);
            return self.want_examined();
        }
        self.void_if_impaired(index);
        self.tell(index, Told::Tick);
    }

    /// The socket takes datagrams (again).
    pub(super) fn unblocked(&mut self) {
        if self.outlet == Outlet::Blocked {
            self.outlet = Outlet::Open;
            self.impaired = Some(self.now);
        }
    }

    /// Whether this host has dropped what came in, or has not taken what was to go out, since then.
    pub(super) fn is_impaired_since(&self, then: Instant) -> bool {
        self.outlet == Outlet::Blocked || self.impaired.is_some_and(|at| at >= then)
    }

    /// What was on its way while this host was impaired convicts nobody. True if it was so.
    pub(super) fn void_if_impaired(&mut self, index: u32) -> bool {
        let Some(peer) = self.peers.at(index) else { return false };
        let Some(conn) = peer.link.current() else { return false };
        let asked = if peer.link.conn().is_some() {
            peer.link.probed()
        } else {
            peer.newest.checked_sub(1).and_then(|number| self.flights.get(number)).map(|newest| newest.sent)
        };
        let void = asked.is_some_and(|asked| self.is_impaired_since(asked) || peer.left == Left::Never);
        if void {
            self.tell(index, Told::Voided { conn });
        }
        void
    }

    pub(super) fn tell_stalled(&mut self) {
        if let Some(late) = self.stalled.take() {
            self.events.push_back(Event::Stalled { late });
        }
    }

    /// The kernel has been read: what was due when that was asked for can be judged.
    pub(super) fn examined(&mut self) {
        let Examine::Asked(asked) = self.examine else { return };
        self.examine = Examine::No;
        while let Some((number, flight)) = self.flights.oldest() {
            if flight.sent + self.config.timeout > asked {
                break;
            }
            let impaired = self.is_impaired_since(flight.sent);
            let cause = if impaired { Cause::local(Reason::NoBuffers) } else { Cause::timer(Reason::NoEcho) };
            self.give_up(number, cause);
        }
        while let Some((number, flight)) = self.flights.oldest_unsent() {
            if self.outlet == Outlet::Open || flight.sent + self.config.timeout > asked {
                break;
            }
            self.give_up(number, Cause::local(Reason::NoBuffers));
        }
        for index in core::mem::take(&mut self.doubts) {
            let Some(link) = self.peers.at(index).map(|peer| &peer.link) else { continue };
            let (state, conn) = (link.state(), link.conn());
            let void = self.void_if_impaired(index);
            match conn {
                None if state == State::Dialing => self.tell(index, Told::Tick),
                Some(conn) if !void => {
                    self.tell(index, Told::Examined { conn, kernel: None, writing: Writing::Free });
                }
                _ => {}
            }
        }
        self.tell_stalled();
        self.close_if_done();
    }

    pub(super) fn give_up(&mut self, number: u64, cause: Cause) {
        let Some((index, kind)) = self.flights.get(number).map(|f| (f.peer, f.kind)) else { return };
        self.lose(number, cause);
        // A first datagram that was lost on the way is no reason to wait for the round's end.
        let dialing = self.peers.at(index).is_some_and(|peer| peer.link.state() == State::Dialing);
        if dialing && kind == Kind::Probe {
            self.probe(index);
        }
    }

    pub(super) fn resumed(&mut self) {
        self.impaired = Some(self.now);
        for id in self.peers.ids().collect::<Vec<_>>() {
            self.tell(id.index, Told::Resumed);
        }
    }
}
