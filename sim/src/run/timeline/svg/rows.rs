//! Which moments are shown, and how far down.
//!
//! Time runs downwards, not in proportion: a row is as high as a text, and a little higher the more time it stands for.
//! Silence is one break, with its length beside it. Where the same goes on and on (data and acknowledgements that nothing
//! happens to), all but the beginning and the end of it is folded into one row.

use std::time::Duration;

use resound_core::Instant;

use super::super::words::{Told, Words};
use super::super::{Story, fate, state};
use super::columns::Columns;
use super::letters::wrap;
use crate::faults::since_start;
use crate::packet::{Body, FaultId, Packet};
use crate::run::{Happened, Moment};
use crate::scenario::{NodeId, Said};

/// Where the first row stands.
const TOP: u32 = 46;
/// How high a row is at least, in pixels.
pub(super) const ROW: u32 = 20;
/// How far lines of one text are apart.
pub(super) const LINE: u32 = 13;
/// Between words in a box and its left and right.
pub(super) const PADDING: u32 = 5;
/// A row is higher by a pixel for each millisecond, up to this.
const SLOPE: u32 = 12;
/// How high a break is.
pub(super) const BREAK: u32 = 22;
/// What is silent for longer is shown as a break.
const SILENCE: Duration = Duration::from_millis(100);
/// How many uneventful moments in a row are shown before the middle is folded.
const STRETCH: usize = 24;
/// Beyond that many rows, shorter stretches are folded too; and in the end whatever stands in the middle.
const MOST: usize = 160;

/// The rows of a drawing, from top to bottom.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    /// Times and where they are, in order.
    axis: Vec<(Instant, u32, Sign)>,
    /// Where the end is told.
    pub(super) end: u32,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) at: Instant,
    /// Its middle, from the top of the drawing.
    pub(super) y: u32,
    /// How long it had been silent, if that is shown as a break above it.
    pub(super) silence: Option<Duration>,
    pub(super) what: Shown<'a>,
}

/// What stands at a time beside a lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The beginning of an arrow.
    Arrow(NodeId),
    /// Words.
    Words(NodeId),
    /// Something across all of them, or nothing.
    Other,
}

/// What stands in a row.
#[derive(Debug)]
pub(super) enum Shown<'a> {
    /// A packet, and in words.
    Packet(&'a Happened, Told),
    /// Words beside a node's lifeline, in lines.
    Words(NodeId, Kind, Vec<String>),
    /// Something goes wrong.
    Fault(FaultId, &'a str),
    /// That many moments are folded, of which that many are packets.
    Folded { moments: usize, packets: usize, until: Instant },
}

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The script's.
    Asked,
    /// A program's, in a box.
    Said,
    /// The kernel's: in which state a socket is.
    State,
    /// The kernel's: what became of a packet.
    Fate,
}

impl<'a> Rows<'a> {
    pub(super) fn new(story: Story<'_>, columns: Columns, moments: &'a [Moment], states: bool) -> Self {
        let mut words = Words::default();
        let mut told = Vec::new();
        for moment in moments {
            let packet = match &moment.what {
                Happened::Sent { way, packet, fault, .. } => {
                    Some(words.tell(*way, packet, story.mark(packet, *fault).forged))
                }
                Happened::State { .. } if !states => continue,
                _ => None,
            };
            told.push((moment, packet));
        }

        let spans = fold(&told.iter().map(|(moment, _)| is_uneventful(&moment.what)).collect::<Vec<_>>());
        let mut told = told.into_iter();
        let mut this = Self { rows: Vec::new(), axis: Vec::new(), end: TOP };
        for span in spans {
            match span {
                1 => {
                    let Some((moment, packet)) = told.next() else { break };
                    let what = match (&moment.what, packet) {
                        (what, Some(told)) => Shown::Packet(what, told),
                        (what, None) => Shown::of(what, columns),
                    };
                    this.push(moment.at, moment.at, sign(&moment.what), what);
                }
                count => {
                    let folded: Vec<_> = told.by_ref().take(count).collect();
                    let (Some((first, _)), Some((last, _))) = (folded.first(), folded.last()) else { break };
                    let packets = folded.iter().filter(|(_, packet)| packet.is_some()).count();
                    let what = Shown::Folded { moments: count, packets, until: last.at };
                    this.push(first.at, last.at, Sign::Other, what);
                }
            }
        }
        this.end = this.rows.last().map_or(TOP, |row| row.bottom() + ROW + SLOPE);
        this
    }

    fn push(&mut self, at: Instant, until: Instant, sign: Sign, what: Shown<'a>) {
        let (y, silence) = match (self.axis.last(), self.rows.last()) {
            (Some(&(before, ..)), Some(above)) => {
                let y = above.bottom();
                let passed = since_start(at).saturating_sub(since_start(before));
                let millis = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX);
                if passed < SILENCE {
                    (y + ROW + millis.min(SLOPE), None)
                } else {
                    (y + ROW + BREAK, Some(passed))
                }
            }
            _ => (TOP, None),
        };
        self.axis.push((at, y, sign));
        if until > at {
            self.axis.push((until, y, Sign::Other));
        }
        self.rows.push(Row { at, y, silence, what });
    }

    /// How far down a packet arrives at a node that set out there: at what came of it, if anything did at that time.
    pub(super) fn arrival(&self, at: Instant, node: NodeId, from: u32) -> u32 {
        let first = self.axis.partition_point(|&(time, ..)| time < at);
        let then = self.axis[first..].iter().take_while(|&&(time, ..)| time == at);
        let below = then.filter(|&&(_, y, _)| y > from);
        let here = |&&(_, _, sign): &&_| sign == Sign::Arrow(node) || sign == Sign::Words(node);
        let y = match below.clone().find(here).or_else(|| below.clone().next()) {
            // Above the words, which would lie over the arrow's head.
            Some(&(_, y, Sign::Words(_))) => y - ROW * 5 / 9,
            Some(&(_, y, _)) => y,
            None => {
                let y = self.between(first, at);
                match self.axis.get(first) {
                    Some(&(_, next, Sign::Words(of))) if of == node => y.min(next - ROW * 5 / 9),
                    _ => y,
                }
            }
        };
        y.max(from + ROW / 3)
    }

    /// How far down a time is at which nothing happened: before what stands at this place of the axis.
    fn between(&self, next: usize, at: Instant) -> u32 {
        match (next.checked_sub(1).and_then(|before| self.axis.get(before)), self.axis.get(next)) {
            (Some(&(before, from, _)), Some(&(after, to, _))) if after > before => {
                let part = (at.nanos() - before.nanos()) as f64 / (after.nanos() - before.nanos()) as f64;
                from + (f64::from(to - from) * part) as u32
            }
            (Some(&(_, y, _)), _) => y + SLOPE,
            (None, _) => TOP,
        }
    }
}

impl Row<'_> {
    /// The middle of its last line, as the next row sees it.
    fn bottom(&self) -> u32 {
        match &self.what {
            Shown::Words(_, _, lines) => self.y + LINE * (lines.len() as u32).saturating_sub(1),
            // There is a line below it.
            Shown::Fault(..) | Shown::Folded { .. } => self.y + 3,
            Shown::Packet(..) => self.y,
        }
    }
}

impl<'a> Shown<'a> {
    /// What is no packet.
    fn of(what: &'a Happened, columns: Columns) -> Self {
        // In lines that do not reach the next lifeline: a packet may be on its way there.
        let words = |node, kind: Kind, text: &str| {
            let (padding, indent) = match kind {
                Kind::Said => (2 * PADDING, ""),
                Kind::Asked | Kind::State | Kind::Fate => (0, "  "),
            };
            Self::Words(node, kind, wrap(text, columns.room_beside(node) - padding, indent))
        };
        match what {
            Happened::Asked { node, command } => {
                let call = command.strip_prefix("call ").unwrap_or(command);
                words(*node, Kind::Asked, &format!("› {call}"))
            }
            Happened::Said { node, said } => words(*node, Kind::Said, &said.to_string()),
            Happened::State { node, state: is } => words(*node, Kind::State, &format!("tcp {}", state(*is))),
            Happened::Arrived { node, fate: of } => {
                let (word, text) = fate(of);
                words(*node, Kind::Fate, &format!("{word}: {text}"))
            }
            Happened::Fault { fault, what } => Self::Fault(*fault, what),
            // It has words of its own wherever rows are made.
            Happened::Sent { way, .. } => words(way.from, Kind::State, ""),
        }
    }
}

const fn sign(what: &Happened) -> Sign {
    match what {
        Happened::Sent { way, .. } => Sign::Arrow(way.from),
        Happened::Arrived { node, .. }
        | Happened::State { node, .. }
        | Happened::Said { node, .. }
        | Happened::Asked { node, .. } => Sign::Words(*node),
        Happened::Fault { .. } => Sign::Other,
    }
}

/// Whether it is part of what goes on all the time.
fn is_uneventful(what: &Happened) -> bool {
    match what {
        Happened::Sent { packet, arrives, fault, .. } => {
            arrives.is_some() && fault.is_none() && packet.fault.is_none() && is_data(packet)
        }
        Happened::Said { said, .. } => matches!(said, Said::Sent(_) | Said::Echo(_)),
        Happened::State { .. } => true,
        Happened::Arrived { .. } | Happened::Asked { .. } | Happened::Fault { .. } => false,
    }
}

/// Data or an acknowledgement.
fn is_data(packet: &Packet) -> bool {
    match &packet.body {
        Body::Tcp(segment) => !(segment.flags.syn || segment.flags.fin || segment.flags.rst),
        Body::Udp(_) => true,
        Body::Icmp(_) => false,
    }
}

/// How many moments each row stands for.
fn fold(uneventful: &[bool]) -> Vec<usize> {
    let mut stretch = STRETCH;
    let mut rows = fold_stretches(uneventful, stretch);
    while rows.len() > MOST && stretch > 4 {
        stretch /= 2;
        rows = fold_stretches(uneventful, stretch);
    }
    if rows.len() > MOST {
        let (head, tail) = (MOST * 2 / 3, MOST / 3);
        let middle = head..rows.len() - tail;
        let all = rows[middle.clone()].iter().sum();
        rows.splice(middle, [all]);
    }
    rows
}

fn fold_stretches(uneventful: &[bool], most: usize) -> Vec<usize> {
    let mut rows = Vec::new();
    for stretch in uneventful.chunk_by(|a, b| a == b) {
        // A fold that hides a row or two would not be shorter.
        if stretch[0] && stretch.len() > most + 2 {
            let tail = most / 3;
            let head = most - tail;
            rows.extend((0..head).map(|_| 1));
            rows.push(stretch.len() - most);
            rows.extend((0..tail).map(|_| 1));
        } else {
            rows.extend(stretch.iter().map(|_| 1));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_long_stretch_is_folded_and_nothing_is_lost() {
        let mut course = vec![true; 100];
        course[40] = false;
        let rows = fold(&course);
        assert_eq!(rows, [&[1; 16][..], &[16], &[1; 8], &[1], &[1; 16], &[35], &[1; 8]].concat());
        for eventful in [false, true] {
            for length in [0, 1, 26, 27, 400, 5_000] {
                let rows = fold(&vec![!eventful; length]);
                assert_eq!(rows.iter().sum::<usize>(), length);
                assert!(rows.len() <= MOST && !rows.contains(&0), "{length}: {rows:?}");
            }
        }
    }

    #[test]
    fn stretches_that_are_often_broken_are_folded_too() {
        let course: Vec<bool> = (0..1_000).map(|at| at % 20 != 0).collect();
        let rows = fold(&course);
        assert!(rows.len() <= MOST + 1, "{}", rows.len());
        assert_eq!(rows.iter().sum::<usize>(), 1_000);
    }
}
