//! Where everything is, and how it is drawn.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::super::ascii::time;
use super::super::words::Told;
use super::super::{Story, fate, number, state};
use super::rows::{BREAK, ROW, Row, Rows, Shown};
use crate::faults::since_start;
use crate::packet::{Body, Packet};
use crate::run::Happened;
use crate::scenario::{NodeId, Way};

/// How wide a letter is at most, in tenths of a pixel: monospaced fonts of 11 pixels have 6.6.
const LETTER: u32 = 67;
/// Room for times.
const GUTTER: u32 = 76;
/// Where the first lifeline is.
const LEFT: u32 = GUTTER + 44;
/// Room for words to the right of the last lifeline.
const RIGHT: u32 = 338;
/// How wide it is, if it can be.
const WIDTH: u32 = 818;
/// How far lifelines are apart.
const SPACING: std::ops::RangeInclusive<u32> = 84..=180;

/// The drawing.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    story: Story<'a>,
    rows: &'a Rows<'a>,
    columns: u32,
    spacing: u32,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(story: Story<'a>, rows: &'a Rows<'a>) -> Self {
        let columns = story.scenario.nodes.len().clamp(1, 256) as u32;
        let room = (WIDTH - LEFT - RIGHT) / (columns - 1).max(1);
        Self { story, rows, columns, spacing: room.clamp(*SPACING.start(), *SPACING.end()) }
    }

    pub(super) const fn width(&self) -> u32 {
        self.last() + RIGHT
    }

    pub(super) fn height(&self, lines_below: usize) -> u32 {
        self.rows.end + ROW * (1 + lines_below as u32)
    }

    /// The last lifeline.
    const fn last(&self) -> u32 {
        LEFT + (self.columns - 1) * self.spacing
    }

    fn column(&self, node: NodeId) -> u32 {
        LEFT + u32::from(node.0).min(self.columns - 1) * self.spacing
    }

    /// The nodes' names, and a line down from each; dotted where a break is.
    pub(super) fn lives(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut life, mut gap) = (String::new(), String::new());
        for column in 0..self.columns {
            let x = LEFT + column * self.spacing;
            let mut from = 28;
            for row in self.rows.rows.iter().filter(|row| row.silence.is_some()) {
                let (break_from, break_to) = (row.y - ROW / 2 - BREAK, row.y - ROW / 2);
                let _ = write!(life, "M{x} {from}V{break_from}");
                let _ = write!(gap, "M{x} {break_from}V{break_to}");
                from = break_to;
            }
            let _ = write!(life, "M{x} {from}V{}", self.rows.end - ROW / 2);
        }
        writeln!(f, r#"<path class="life" d="{life}"/>"#)?;
        if !gap.is_empty() {
            writeln!(f, r#"<path class="gap" d="{gap}"/>"#)?;
        }
        for (column, node) in (0..).zip(&self.story.scenario.nodes) {
            let x = LEFT + column * self.spacing;
            let name = cut(&node.name, self.spacing - 14);
            let wide = across(&name) + 14;
            writeln!(
                f,
                r#"<rect x="{}" y="8" width="{wide}" height="20" rx="4"/><text class="name" x="{x}" y="22">{}</text>"#,
                x - wide / 2,
                Escaped(&name)
            )?;
        }
        Ok(())
    }

    pub(super) fn row(&self, f: &mut fmt::Formatter<'_>, row: &Row<'_>) -> fmt::Result {
        let y = row.y;
        if let Some(silence) = row.silence {
            let middle = y - ROW / 2 - BREAK / 2 + 4;
            writeln!(f, r#"<text class="t" x="{GUTTER}" y="{middle}">+{}</text>"#, Passed(silence))?;
        }
        writeln!(f, r#"<text class="t" x="{GUTTER}" y="{}">{}</text>"#, y + 4, time(row.at))?;
        match &row.what {
            Shown::Folded { moments, packets, until } => {
                write!(f, r#"<path class="folded" d="M{} {}H{}"/>"#, LEFT - 30, y + 7, self.width())?;
                let packets = match packets {
                    1 => "1 packet".to_owned(),
                    n => format!("{n} packets"),
                };
                let text = format!("… {moments} more, of which {packets}, until {}", time(*until));
                self.text(f, LEFT + 8, y, "faint", &text)
            }
            Shown::Moment(what, told) => self.moment(f, y, what, told.as_ref()),
        }
    }

    fn moment(
        &self,
        f: &mut fmt::Formatter<'_>,
        y: u32,
        what: &Happened,
        told: Option<&Told>,
    ) -> fmt::Result {
        match what {
            Happened::Sent { way, packet, .. } => match told {
                Some(told) => self.packet(f, y, *way, packet, what, told),
                None => Ok(()),
            },
            Happened::Said { node, said } => {
                let (x, text) = (self.column(*node), said.to_string());
                let wide = across(&text).min(self.width() - x - 18) + 10;
                write!(f, r#"<rect x="{}" y="{}" width="{wide}" height="15" rx="3"/>"#, x + 5, y - 8)?;
                self.text(f, x + 10, y, "said", &text)
            }
            Happened::Asked { node, command } => {
                self.text(f, self.column(*node) + 6, y, "asked", &format!("› {command}"))
            }
            Happened::State { node, state: is } => {
                self.text(f, self.column(*node) + 8, y, "faint", &format!("tcp {}", state(*is)))
            }
            Happened::Arrived { node, fate: of } => {
                let (word, text) = fate(of);
                self.text(f, self.column(*node) + 8, y, "fate", &format!("{word}: {text}"))
            }
            Happened::Fault { fault, what } => {
                write!(f, r#"<path class="fault" d="M{} {}H{}"/>"#, LEFT - 30, y + 7, self.width())?;
                self.text(f, LEFT + 8, y, "alarm", &format!("fault {}: {what}", number(*fault)))
            }
        }
    }

    fn packet(
        &self,
        f: &mut fmt::Formatter<'_>,
        y: u32,
        way: Way,
        packet: &Packet,
        sent: &Happened,
        told: &Told,
    ) -> fmt::Result {
        let Happened::Sent { arrives, fault, .. } = sent else { return Ok(()) };
        let mark = self.story.mark(packet, *fault);
        let kind = match &packet.body {
            _ if arrives.is_none() => "lost",
            Body::Icmp(_) => "icmp",
            Body::Tcp(segment) if segment.flags.rst => "rst",
            _ if mark.fault.is_some() => "changed",
            _ => "plain",
        };
        let forged = if mark.forged { " forged" } else { "" };
        write!(f, r#"<g class="{kind}{forged}">"#)?;

        let (from, to) = (self.column(way.from), self.column(way.to));
        let room = from.abs_diff(to).saturating_sub(24);
        let fits = |text: &str| across(text) <= room;
        let mut beside = Vec::new();
        let on = if from == to {
            beside.push(told.all());
            "to itself"
        } else if fits(&told.all()) {
            &told.all()
        } else if fits(&told.what) {
            beside.push(told.more.clone());
            &told.what
        } else {
            beside.push(told.all());
            ""
        };
        if from != to {
            match arrives {
                Some(at) => arrow(f, (from, y), (to, self.rows.arrival(*at, way.to, y)))?,
                None => {
                    // A lost packet gets two thirds of the way, or as far as its words.
                    let reach = (room * 2 / 3).max(across(on) + 12).min(room);
                    let end = if from < to { from + reach } else { from - reach };
                    cross(f, (from, y), (end, y + ROW / 2))?;
                }
            }
        }
        if !on.is_empty() {
            // Not at the very start: there the packet may come in to which this one is the answer.
            let away = 8 + (room.saturating_sub(across(on)) / 4).min(30);
            let (x, class) =
                if from <= to { (from + away, "") } else { (from - away, r#" class="to-left""#) };
            write!(f, r#"<text{class} x="{x}" y="{}">{}</text>"#, y - 3 + away / 12, Escaped(on))?;
        }
        beside.push(mark.words(packet, arrives.is_none()));
        beside.retain(|words| !words.is_empty());
        if !beside.is_empty() {
            self.text(f, self.last() + 12, y, "beside", &beside.join(", "))?;
        }
        writeln!(f, "</g>")
    }

    /// The last row.
    pub(super) fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { run, scenario } = self.story;
        let y = self.rows.end;
        writeln!(f, r#"<text class="t" x="{GUTTER}" y="{}">{}</text>"#, y + 4, time(run.ended))?;
        let packets = if run.packets == 1 { "packet" } else { "packets" };
        let mut text = format!("end, {} {packets}", run.packets);
        if since_start(run.ended) < scenario.until {
            let _ = write!(text, "; nothing more until {:?}", scenario.until);
        }
        self.text(f, LEFT - 30, y, "faint", &text)
    }

    /// A line below the drawing, counted from 0.
    pub(super) fn below(
        &self,
        f: &mut fmt::Formatter<'_>,
        line: u32,
        class: &str,
        text: &str,
    ) -> fmt::Result {
        self.text(f, 8, self.rows.end + ROW * (1 + line), class, text)
    }

    /// In lines that are no wider than the drawing, broken at spaces.
    pub(super) fn wrap(&self, text: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let line = lines.last_mut().expect("there is always one");
            if line.is_empty() {
                line.push_str(word);
            } else if across(line) + across(word) + LETTER / 10 + 24 < self.width() {
                let _ = write!(line, " {word}");
            } else {
                lines.push(format!("    {word}"));
            }
        }
        lines
    }

    /// A text whose middle is at this height. What does not fit the drawing is left out, and shown when one points at it.
    fn text(&self, f: &mut fmt::Formatter<'_>, x: u32, y: u32, class: &str, text: &str) -> fmt::Result {
        let shown = cut(text, self.width().saturating_sub(x + 8));
        write!(f, r#"<text class="{class}" x="{x}" y="{}">{}"#, y + 4, Escaped(&shown))?;
        if shown != text {
            write!(f, "<title>{}</title>", Escaped(text))?;
        }
        writeln!(f, "</text>")
    }
}

type Point = (u32, u32);

fn arrow(f: &mut fmt::Formatter<'_>, (x, y): Point, (to_x, to_y): Point) -> fmt::Result {
    write!(f, r#"<path class="shaft" d="M{x} {y}L{to_x} {to_y}"/>"#)?;
    // The head: two strokes back from the tip, to both sides of the shaft.
    let (dx, dy) = (f64::from(to_x) - f64::from(x), f64::from(to_y) - f64::from(y));
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let barb = |side: f64| {
        let (bx, by) = (f64::from(to_x) - 8.0 * ux - side * uy, f64::from(to_y) - 8.0 * uy + side * ux);
        (bx.round() as i64, by.round() as i64)
    };
    let ((ax, ay), (bx, by)) = (barb(4.0), barb(-4.0));
    write!(f, r#"<path d="M{ax} {ay}L{to_x} {to_y}L{bx} {by}"/>"#)
}

fn cross(f: &mut fmt::Formatter<'_>, (x, y): Point, (to_x, to_y): Point) -> fmt::Result {
    write!(f, r#"<path class="shaft" d="M{x} {y}L{to_x} {to_y}"/>"#)?;
    write!(f, r#"<path d="M{} {}l10 10m0-10l-10 10"/>"#, to_x.saturating_sub(5), to_y.saturating_sub(5))
}

/// How wide a text is at most.
fn across(text: &str) -> u32 {
    (text.chars().count() as u32 * LETTER).div_ceil(10)
}

/// A text that is no wider than that; it ends in `…` if something is missing.
fn cut(text: &str, room: u32) -> String {
    if across(text) <= room {
        return text.to_owned();
    }
    let letters = (room * 10 / LETTER).saturating_sub(1) as usize;
    text.chars().take(letters).chain(['…']).collect()
}

/// A duration that fits the gutter.
struct Passed(Duration);

impl Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..10 => write!(f, "{:.2} s", self.0.as_secs_f64()),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

/// A text in which nothing means anything to XML. What XML 1.0 does not have at all (§2.2) is replaced.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\n' | '\t' => f.write_char(' '),
            '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            _ if letter.is_control() => f.write_char('\u{fffd}'),
            _ => f.write_char(letter),
        })
    }
}
