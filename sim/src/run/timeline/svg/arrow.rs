//! The way of a packet: an arrow to where it arrives, or a line to where it was lost.
//!
//! ```text
//!     │  SYN             │
//!     ├────────────────╮ │ words begin here
//!     │ words          ╲ │◄─►
//!     │                 ╲│ CHANNEL
//!     │                  ▼
//! ```
//!
//! What happens while a packet is on its way has rows of its own, which a slanting arrow would strike through. So it goes
//! straight across in its own row, and down where it arrives, in a channel beside the lifeline that words leave free.

use std::fmt;

/// How wide the channel is on both sides of a lifeline.
pub(super) const CHANNEL: u32 = 13;
/// What falls no further than this stays within its own row, and needs no bend.
const FLAT: u32 = 6;
/// Half of a cross.
const CROSS: u32 = 5;
/// How far a lost packet falls.
const LOST: u32 = 2;

pub(super) type Point = (u32, u32);

/// How a shaft is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shaft {
    /// In one line with its head.
    Whole,
    /// By itself, so that it can be dashed and the head not.
    Apart,
}

impl Shaft {
    /// What stands between the shaft and what is at its end.
    const fn seam(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Apart => r#""/><path d=""#,
        }
    }
}

/// To where it arrives.
pub(super) fn arrives(
    f: &mut fmt::Formatter<'_>,
    shaft: Shaft,
    (x, y): Point,
    (to_x, to_y): Point,
) -> fmt::Result {
    let bend = bend((x, y), (to_x, to_y));
    write!(f, r#"<path class="shaft" d="M{x} {y}"#)?;
    if let Some(bend) = bend {
        write!(f, "H{bend}")?;
    }
    write!(f, "L{to_x} {to_y}{}", shaft.seam())?;
    head(f, (bend.unwrap_or(x), y), (to_x, to_y))?;
    f.write_str(r#""/>"#)
}

/// Where it begins to fall, if it has to.
pub(super) fn bend((x, y): Point, (to_x, to_y): Point) -> Option<u32> {
    let bend = if x < to_x { to_x - CHANNEL } else { to_x + CHANNEL };
    if to_y > y + FLAT { Some(bend) } else { None }
}

/// The head: two strokes back from the tip, to both sides of the shaft.
fn head(f: &mut fmt::Formatter<'_>, (x, y): Point, (to_x, to_y): Point) -> fmt::Result {
    let (dx, dy) = (f64::from(to_x) - f64::from(x), f64::from(to_y) - f64::from(y));
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let barb = |side: f64| {
        let (bx, by) = (f64::from(to_x) - 8.0 * ux - side * uy, f64::from(to_y) - 8.0 * uy + side * ux);
        (bx.round() as i64, by.round() as i64)
    };
    let ((ax, ay), (bx, by)) = (barb(4.0), barb(-4.0));
    write!(f, "M{ax} {ay}L{to_x} {to_y}L{bx} {by}")
}

/// To where it is lost.
pub(super) fn is_lost(f: &mut fmt::Formatter<'_>, shaft: Shaft, (x, y): Point, to_x: u32) -> fmt::Result {
    let to_y = y + LOST;
    write!(f, r#"<path class="shaft" d="M{x} {y}L{to_x} {to_y}{}"#, shaft.seam())?;
    let (left, top, wide) = (to_x.saturating_sub(CROSS), to_y - CROSS, 2 * CROSS);
    let (right, bottom) = (left + wide, top + wide);
    write!(f, r#"M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"/>"#)
}
