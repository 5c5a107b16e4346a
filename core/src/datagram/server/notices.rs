//! What is to be told, so that a flood of facts is no flood of events.

use core::net::SocketAddr;

use super::{Event, Ignored};
use crate::signal::{Op, Signal};
use crate::time::Instant;

/// How long a kind of event is kept back after one was told.
const PAUSE: u64 = 1_000_000_000;

const OPS: [Op; 3] = [Op::Connect, Op::Read, Op::Write];

/// One notice for each kind of event.
#[derive(Debug, Default)]
pub(super) struct Notices {
    ignored: [Notice<SocketAddr>; Ignored::ALL.len()],
    overrun: Notice<()>,
    failed: [Notice<Signal>; OPS.len()],
    /// Whether any of them may have something to tell, now or later. Nearly always none has.
    noted: bool,
}

impl Notices {
    pub(super) fn ignored(&mut self, now: Instant, why: Ignored, from: SocketAddr, count: u64) {
        self.noted |= count > 0;
        self.ignored[why as usize].note(now, from, count);
    }

    pub(super) fn overrun(&mut self, now: Instant, lost: u64) {
        self.noted |= lost > 0;
        self.overrun.note(now, (), lost);
    }

    pub(super) fn failed(&mut self, now: Instant, op: Op, signal: Signal) {
        self.noted = true;
        self.failed[op as usize].note(now, signal, 1);
    }

    /// The next event that is ready.
    pub(super) fn next(&mut self) -> Option<Event> {
        if !self.noted {
            return None;
        }
        let next = self.next_ready();
        self.noted = next.is_some() || self.deadline().is_some();
        next
    }

    fn next_ready(&mut self) -> Option<Event> {
        for (why, notice) in Ignored::ALL.iter().zip(&mut self.ignored) {
            if let Some(Told { what, count }) = notice.ready.take() {
                return Some(Event::Ignored { why: *why, from: what, count });
            }
        }
        for (op, notice) in OPS.iter().zip(&mut self.failed) {
            if let Some(Told { what, count }) = notice.ready.take() {
                return Some(Event::Failed { op: *op, signal: what, count });
            }
        }
        self.overrun.ready.take().map(|told| Event::Overrun { lost: told.count })
    }

    /// Whether one is ready.
    pub(super) fn pending(&self) -> bool {
        self.noted
            && (self.overrun.ready.is_some()
                || self.ignored.iter().any(|notice| notice.ready.is_some())
                || self.failed.iter().any(|notice| notice.ready.is_some()))
    }

    /// When the first will be ready of those that are kept back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.noted {
            return None;
        }
        let ignored = self.ignored.iter().filter_map(Notice::deadline);
        let failed = self.failed.iter().filter_map(Notice::deadline);
        ignored.chain(failed).chain(self.overrun.deadline()).min()
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.ignored.iter_mut().for_each(|notice| notice.tick(now));
        self.failed.iter_mut().for_each(|notice| notice.tick(now));
        self.overrun.tick(now);
    }

    /// Keeps nothing back.
    pub(super) fn tell_all(&mut self) {
        self.tick(Instant::MAX);
    }
}

/// What happened last, and how often.
#[derive(Clone, Copy, Debug)]
struct Told<T> {
    what: T,
    count: u64,
}

/// Something that is told at once, and then with pauses.
#[derive(Debug)]
struct Notice<T> {
    ready: Option<Told<T>>,
    /// What happened during the pause.
    kept: Option<Told<T>>,
    /// The end of the pause.
    again_at: Instant,
}

impl<T> Default for Notice<T> {
    fn default() -> Self {
        Self { ready: None, kept: None, again_at: Instant::EPOCH }
    }
}

impl<T: Copy> Notice<T> {
    fn note(&mut self, now: Instant, what: T, count: u64) {
        if count == 0 {
            return;
        }
        if self.kept.is_none() && self.again_at <= now {
            self.again_at = now.after(PAUSE);
            add(&mut self.ready, Told { what, count });
        } else {
            add(&mut self.kept, Told { what, count });
        }
    }

    fn tick(&mut self, now: Instant) {
        if let Some(kept) = self.kept.take_if(|_| self.again_at <= now) {
            self.again_at = now.after(PAUSE);
            add(&mut self.ready, kept);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.kept.map(|_| self.again_at)
    }
}

fn add<T>(sum: &mut Option<Told<T>>, told: Told<T>) {
    let before = sum.as_ref().map_or(0, |sum| sum.count);
    *sum = Some(Told { what: told.what, count: before.saturating_add(told.count) });
}
