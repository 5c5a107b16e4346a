//! The ladder: a column for each node, a line for each moment.
//!
//! ```text
//!             client                router                server
//!   0.000000  │──SYN───────────────►│                     │
//!   0.010000  │                     │──SYN────────✗       │  lost: drop (fault 1)
//!   0.022000  * up                  │                     │
//! ```
//!
//! A packet stands on the line of the moment at which it sets out. A line is a row of cells, first with the life lines
//! only; what is drawn later lies over what was drawn before. What does not fit on an arrow stands to the right of all
//! columns. With many nodes the columns come closer, and more stands there.

use std::fmt;

use resound_core::Instant;

use super::words::{Told, Words};
use super::{Mark, Story, fate, number, state};
use crate::faults::since_start;
use crate::packet::Packet;
use crate::run::{Effect, Happened, Moment};
use crate::scenario::{NodeId, Way};

/// The run as a ladder. Displays as lines that end with a line break.
#[derive(Clone, Copy, Debug)]
pub struct Timeline<'a> {
    story: Story<'a>,
    states: bool,
    color: bool,
    unicode: bool,
}

/// How wide it is, if it can be.
const WIDTH: usize = 100;
/// What is left for words to the right of the last column, if it can be.
const RIGHT: usize = 50;
/// How far columns are apart.
const SPACING: std::ops::RangeInclusive<usize> = 9..=32;

impl<'a> Timeline<'a> {
    pub(super) const fn new(story: Story<'a>) -> Self {
        Self { story, states: true, color: false, unicode: true }
    }

    /// Whether states of TCP sockets are shown; they are if nothing else is said.
    #[must_use]
    pub const fn states(self, shown: bool) -> Self {
        Self { states: shown, ..self }
    }

    /// Whether colours are used, as terminals of the VT100 family know them; they are not if nothing else is said.
    #[must_use]
    pub const fn color(self, used: bool) -> Self {
        Self { color: used, ..self }
    }

    /// Whether lines are drawn with characters beyond ASCII; they are if nothing else is said. Without them the whole text is
    /// ASCII: other characters in what programs say are escaped.
    #[must_use]
    pub const fn unicode(self, used: bool) -> Self {
        Self { unicode: used, ..self }
    }
}

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moments = self.story.moments();
        let canvas = Canvas::new(self, &moments);
        let mut words = Words::default();

        canvas.header().write(f)?;
        for Moment { at, what } in moments.iter() {
            if self.states || !matches!(what, Happened::State { .. }) {
                canvas.moment(*at, what, &mut words).write(f)?;
            }
        }
        let run = self.story.run;
        let mut end = canvas.line(run.ended);
        let packets = if run.packets == 1 { "packet" } else { "packets" };
        let until = self.story.scenario.until;
        let rest = if since_start(run.ended) < until {
            format!("; nothing more until {until:?} ")
        } else {
            String::from(" ")
        };
        end.put(canvas.left, &format!("end, {} {packets}{rest}", run.packets), Style::Faint);
        end.write(f)?;

        if !run.ledger.is_empty() {
            writeln!(f)?;
        }
        for (fault, effect) in (0..).zip(&run.ledger) {
            let style = match effect {
                Effect::Acted(_) => Style::Plain,
                Effect::Absorbed(_) => Style::Faint,
                Effect::Inert(_) => Style::Alarm,
            };
            let mut line = canvas.empty();
            let fault = self.story.fault(crate::packet::FaultId(fault));
            line.put(0, &format!("{fault}: {effect}"), style);
            line.write(f)?;
        }
        Ok(())
    }
}

/// With what is drawn.
#[derive(Debug)]
struct Glyphs {
    life: char,
    arrow: char,
    forged: char,
    right: char,
    left: char,
    lost: char,
}

const UNICODE: Glyphs =
    Glyphs { life: '│', arrow: '─', forged: '═', right: '►', left: '◄', lost: '✗' };
const ASCII: Glyphs = Glyphs { life: '|', arrow: '-', forged: '=', right: '>', left: '<', lost: 'x' };

/// How something looks, where colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Faint,
    Strong,
    Asked,
    Forged,
    Alarm,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "\x1b[0m",
            Self::Faint => "\x1b[0;2m",
            Self::Strong => "\x1b[0;1m",
            Self::Asked => "\x1b[0;36m",
            Self::Forged => "\x1b[0;33m",
            Self::Alarm => "\x1b[0;31m",
        }
    }
}

/// Where everything is.
struct Canvas<'a> {
    timeline: &'a Timeline<'a>,
    glyphs: &'static Glyphs,
    /// Where the first column stands.
    left: usize,
    spacing: usize,
    columns: usize,
}

impl<'a> Canvas<'a> {
    fn new(timeline: &'a Timeline<'a>, moments: &[Moment]) -> Self {
        let run = timeline.story.run;
        let latest = moments.last().map_or(run.ended, |moment| moment.at.max(run.ended));
        let left = time(latest).len().max(10) + 2;
        let columns = timeline.story.scenario.nodes.len().max(1);
        let room = WIDTH.saturating_sub(left + RIGHT) / (columns - 1).max(1);
        let glyphs = if timeline.unicode { &UNICODE } else { &ASCII };
        Self { timeline, glyphs, left, spacing: room.clamp(*SPACING.start(), *SPACING.end()), columns }
    }

    fn column(&self, node: NodeId) -> usize {
        self.left + usize::from(node.0).min(self.columns - 1) * self.spacing
    }

    /// Where there is room for words beside all columns.
    fn beside(&self) -> usize {
        self.left + (self.columns - 1) * self.spacing + 2
    }

    fn empty(&self) -> Line {
        Line { cells: Vec::new(), color: self.timeline.color, unicode: self.timeline.unicode }
    }

    fn header(&self) -> Line {
        let mut line = self.empty();
        for (at, node) in (self.left..).step_by(self.spacing).zip(&self.timeline.story.scenario.nodes) {
            let name: String = node.name.chars().take(self.spacing - 1).collect();
            line.put(at, &name, Style::Strong);
        }
        line
    }

    /// A line with its time and the columns.
    fn line(&self, at: Instant) -> Line {
        let mut line = self.empty();
        line.put(0, &format!("{:>width$}", time(at), width = self.left - 2), Style::Faint);
        for column in 0..self.columns {
            line.set(self.left + column * self.spacing, self.glyphs.life, Style::Faint);
        }
        line
    }

    fn moment(&self, at: Instant, what: &Happened, words: &mut Words) -> Line {
        let mut line = self.line(at);
        let mut say = |node, sign: char, text: &str, style| {
            line.put(self.column(node), &format!("{sign} {text} "), style);
        };
        match what {
            Happened::Sent { way, packet, arrives, fault } => {
                let mark = self.timeline.story.mark(packet, *fault);
                let told = words.tell(*way, packet, mark.forged);
                self.arrow(&mut line, *way, packet, *arrives, mark, &told);
            }
            Happened::Said { node, said } => say(*node, '*', &said.to_string(), Style::Strong),
            Happened::Asked { node, command } => say(*node, '>', command, Style::Asked),
            Happened::State { node, state: is } => {
                say(*node, '.', &format!("tcp {}", state(*is)), Style::Faint);
            }
            Happened::Arrived { node, fate: of } => {
                let (word, text) = fate(of);
                say(*node, '!', &format!("{word}: {text}"), Style::Forged);
            }
            Happened::Fault { fault, what } => {
                line.put(self.left, &format!("# fault {}: {what} ", number(*fault)), Style::Alarm);
            }
        }
        line
    }

    fn arrow(
        &self,
        line: &mut Line,
        way: Way,
        packet: &Packet,
        arrives: Option<Instant>,
        mark: Mark,
        told: &Told,
    ) {
        let style = match (arrives, mark.forged, mark.fault) {
            (None, ..) => Style::Alarm,
            (_, true, _) | (.., Some(_)) => Style::Forged,
            _ => Style::Plain,
        };
        let (from, to) = (self.column(way.from), self.column(way.to));
        let inside = from.abs_diff(to).saturating_sub(1);
        // One stroke before the words, and the head with a stroke before it behind them.
        let fits = |text: &str| text.chars().count() + 3 <= inside;
        let mut beside = Vec::new();
        let on = if fits(&told.all()) {
            told.all()
        } else if fits(&told.what) {
            beside.push(told.more.clone());
            told.what.clone()
        } else {
            beside.push(told.all());
            String::new()
        };

        if from == to {
            line.put(from + 2, "to itself", style);
        } else {
            // A lost packet gets two thirds of the way, or as far as its words.
            let reach = match arrives {
                Some(_) => inside,
                None => (inside * 2 / 3).max(on.chars().count() + 2).min(inside),
            };
            let shaft = if mark.forged { self.glyphs.forged } else { self.glyphs.arrow };
            let head = match arrives {
                None => self.glyphs.lost,
                Some(_) if from < to => self.glyphs.right,
                Some(_) => self.glyphs.left,
            };
            let at = |step: usize| if from < to { from + step } else { from - step };
            // A column on the way is passed, except where the packet has been lost before it.
            (1..reach).for_each(|step| line.set(at(step), shaft, style));
            line.set(at(reach), head, style);
            let start = if from < to { from + 2 } else { from.saturating_sub(1 + on.chars().count()) };
            line.put(start, &on, style);
        }
        beside.push(mark.words(packet, arrives.is_none()));
        beside.retain(|words| !words.is_empty());
        line.put(self.beside(), &beside.join(", "), style);
    }
}

/// A row of cells.
struct Line {
    cells: Vec<(char, Style)>,
    color: bool,
    unicode: bool,
}

impl Line {
    fn set(&mut self, at: usize, glyph: char, style: Style) {
        if self.cells.len() <= at {
            self.cells.resize(at + 1, (' ', Style::Plain));
        }
        self.cells[at] = (glyph, style);
    }

    /// Writes from this cell on. What would leave the line, or the character set, is escaped.
    fn put(&mut self, at: usize, text: &str, style: Style) {
        let mut at = at;
        for letter in text.chars() {
            let escaped = letter.is_control() || !self.unicode && !letter.is_ascii();
            let (plain, escape) =
                if escaped { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
            for letter in plain.into_iter().chain(escape.into_iter().flatten()) {
                self.set(at, letter, style);
                at += 1;
            }
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.cells.iter().rposition(|(glyph, _)| *glyph != ' ').map_or(0, |last| last + 1);
        let mut now = Style::Plain;
        for (glyph, style) in &self.cells[..end] {
            if self.color && *style != now && *glyph != ' ' {
                f.write_str(style.code())?;
                now = *style;
            }
            write!(f, "{glyph}")?;
        }
        if now != Style::Plain {
            f.write_str(Style::Plain.code())?;
        }
        writeln!(f)
    }
}

/// Seconds, with whole microseconds.
pub(super) fn time(at: Instant) -> String {
    format!("{}.{:06}", at.nanos() / 1_000_000_000, at.nanos() / 1_000 % 1_000_000)
}
