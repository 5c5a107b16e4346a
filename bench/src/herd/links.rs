//! The core's links as clients of a herd: told what a driver would tell them, and asked for nothing but their deadline.

use resound_core::link::{Action, Link, Policy, State, Told};
use resound_core::signal::{Cause, Reason};
use resound_core::stream::{ConnId, Established};
use resound_core::{Instant, signal};

use super::{Client, Cut, Failure};

/// One link.
pub(super) struct Linked<'p> {
    link: Link,
    policy: &'p Policy,
    /// What it wants done.
    actions: Vec<Action>,
}

impl<'p> Linked<'p> {
    /// One whose connection stands, and has answered.
    pub(super) fn new(policy: &'p Policy, seed: u64) -> Self {
        let mut linked = Self { link: Link::new(seed), policy, actions: Vec::new() };
        linked.tell(Instant::EPOCH, Told::Open { targets: 1 });
        linked.connected(Instant::EPOCH);
        linked
    }

    fn tell(&mut self, now: Instant, told: Told) {
        self.link.handle(self.policy, now, told, &mut self.actions);
    }

    /// The attempt that it has just asked for.
    fn dialed(&mut self) -> ConnId {
        let dial = self.actions.drain(..).find_map(|action| match action {
            Action::Dial { conn, .. } => Some(conn),
            _ => None,
        });
        dial.expect("a link whose wait is over dials")
    }

    fn deadline(&self) -> Instant {
        self.link.deadline().expect("a link that waits has a deadline")
    }
}

impl Client for Linked<'_> {
    fn lost(&mut self, now: Instant, cut: Cut) -> Instant {
        let conn = self.link.conn().expect("it stands");
        if let Cut::Goodbye(retry_after) = cut {
            self.tell(now, Told::Goodbye { conn, retry_after });
        }
        let cause = signal::Signal::Errno(signal::Errno::ConnReset).cause(signal::Op::Read);
        self.tell(now, Told::Ended { conn, cause });
        if cut == Cut::Hurried {
            self.tell(now, Told::Resumed);
        }
        self.deadline()
    }

    fn begins(&mut self, now: Instant) {
        // One whose wait was over when its last attempt was, has dialed already.
        if self.link.state() == State::Waiting {
            self.actions.clear();
            self.tell(now, Told::Tick);
        }
    }

    fn failed(&mut self, now: Instant, how: Failure) -> Instant {
        match how {
            Failure::Refused => {
                let conn = self.dialed();
                let cause = Cause::peer(Reason::ConnRefused);
                self.tell(now, Told::Dialed { conn, result: Err(cause) });
            }
            // Its own timer says so.
            Failure::TimedOut => {
                self.actions.clear();
                self.tell(now, Told::Tick);
            }
        }
        if self.link.state() == State::Dialing { now } else { self.deadline() }
    }

    fn connected(&mut self, now: Instant) {
        let conn = self.dialed();
        self.tell(now, Told::Dialed { conn, result: Ok(Established::default()) });
        self.tell(now, Told::Sent { conn });
        self.tell(now, Told::Heard { conn });
        self.tell(now, Told::Answered { conn, round_trip: None });
        assert_eq!(self.link.state(), State::Up);
        self.actions = Vec::new();
    }
}
