//! Where things are from left to right.
//!
//! ```text
//!   GUTTER │     ┊ │◄─ room ─►┊ │ ┊               │◄──── RIGHT ───►│
//!     time │     ┊ ┊ words    ┊ ┊ ┊               ┊ words, and what │
//!          │     channels beside lifelines        ┊ became of packets
//! ```

use super::arrow::CHANNEL;
use crate::scenario::{NodeId, Scenario};

/// Room for times.
pub(super) const GUTTER: u32 = 76;
/// Where the first lifeline is.
pub(super) const LEFT: u32 = GUTTER + 44;
/// Room for words to the right of the last lifeline.
const RIGHT: u32 = 338;
/// How wide the drawing is, if it can be.
const WIDTH: u32 = 818;
/// How far lifelines are apart: there are words between them.
const SPACING: std::ops::RangeInclusive<u32> = 146..=260;
/// What is left free at the right edge.
const MARGIN: u32 = 8;

/// The lifelines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    count: u32,
    pub(super) spacing: u32,
}

impl Columns {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let count = scenario.nodes.len().clamp(1, 256) as u32;
        let room = (WIDTH - LEFT - RIGHT) / (count - 1).max(1);
        Self { count, spacing: room.clamp(*SPACING.start(), *SPACING.end()) }
    }

    /// Of the whole drawing.
    pub(super) const fn width(self) -> u32 {
        self.last() + RIGHT
    }

    const fn last(self) -> u32 {
        LEFT + (self.count - 1) * self.spacing
    }

    /// Each lifeline.
    pub(super) fn all(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |column| LEFT + column * self.spacing)
    }

    pub(super) fn line(self, node: NodeId) -> u32 {
        LEFT + u32::from(node.0).min(self.count - 1) * self.spacing
    }

    /// Where words begin that stand beside a lifeline.
    pub(super) fn beside(self, node: NodeId) -> u32 {
        self.line(node) + CHANNEL
    }

    /// Where words begin that stand beside all of them.
    pub(super) const fn behind(self) -> u32 {
        self.last() + CHANNEL
    }

    /// How much room words have there.
    pub(super) const fn room_from(self, x: u32) -> u32 {
        self.width().saturating_sub(x + MARGIN)
    }

    /// How much room words have beside a lifeline, before the next one's channel.
    pub(super) fn room_beside(self, node: NodeId) -> u32 {
        if u32::from(node.0) + 1 < self.count {
            self.spacing - 2 * CHANNEL
        } else {
            self.room_from(self.beside(node))
        }
    }
}
