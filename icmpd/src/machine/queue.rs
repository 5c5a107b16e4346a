//! The lines that wait for one client, and the count of those that found no place.

use alloc::collections::VecDeque;
use core::num::NonZeroUsize;

use resound_core::Instant;

use crate::protocol::{Event, Line, Place};

/// What waits for one client.
#[derive(Debug)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    limit: NonZeroUsize,
    /// Lines that are missing behind those in the queue, and when the last of them was.
    missing: Option<(u64, Instant)>,
}

impl Queue {
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        Self { lines: VecDeque::new(), limit, missing: None }
    }

    /// Whether an answer would be within the limit.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < self.limit.get()
    }

    /// Whether there is anything to tell.
    pub(super) fn has_line(&self) -> bool {
        !self.lines.is_empty() || self.missing.is_some()
    }

    /// Puts news at the end, if there is room for them and for saying what is missing before them. How many lines were
    /// dropped: none or one.
    pub(super) fn offer(&mut self, now: Instant, line: Line) -> u64 {
        let wanted = if self.missing.is_some() { 2 } else { 1 };
        if self.lines.len() + wanted > self.limit.get() {
            let missing = self.missing.map_or(0, |(missing, _)| missing);
            self.missing = Some((missing + 1, now));
            return 1;
        }
        self.confess();
        self.lines.push_back(line);
        0
    }

    /// Puts at the end what a client waits for, whatever the limit says.
    pub(super) fn answer(&mut self, line: Line) {
        self.lines.push_back(line);
    }

    /// The oldest line.
    pub(super) fn front(&mut self) -> Option<&Line> {
        if self.lines.is_empty() {
            self.confess();
        }
        self.lines.front()
    }

    /// The oldest line is on its way.
    pub(super) fn sent(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Says how many lines are missing here.
    fn confess(&mut self) {
        if let Some((count, last)) = self.missing.take() {
            self.lines.push_back(Line::new(last, Event::Dropped { count, at: Place::Client }));
        }
    }
}
