//! Where everything is, and how it is drawn.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::super::ascii::time;
use super::super::words::Told;
use super::super::{Story, number};
use super::arrow::{self, CHANNEL, Point, Shaft};
use super::columns::{Columns, GUTTER, LEFT};
use super::letters::{across, cut, wrap};
use super::rows::{BREAK, Kind, LINE, PADDING, ROW, Row, Rows, Shown};
use crate::faults::since_start;
use crate::packet::Body;
use crate::run::Happened;
use crate::scenario::NodeId;

/// How far behind the beginning of an arrow its label stands: behind the channel, in which the packet may come in to which
/// this one is the answer.
const AWAY: u32 = CHANNEL + 3;

/// The drawing.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    story: Story<'a>,
    columns: Columns,
    rows: &'a Rows<'a>,
}

impl<'a> Canvas<'a> {
    pub(super) const fn new(story: Story<'a>, columns: Columns, rows: &'a Rows<'a>) -> Self {
        Self { story, columns, rows }
    }

    pub(super) fn height(&self, lines_below: usize) -> u32 {
        self.rows.end + ROW * (1 + lines_below as u32)
    }

    /// The nodes' names, and a line down from each; dotted where a break is.
    pub(super) fn lives(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut life, mut gap) = (String::new(), String::new());
        for x in self.columns.all() {
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
        for (x, node) in self.columns.all().zip(&self.story.scenario.nodes) {
            let name = cut(&node.name, self.columns.spacing - 14);
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

    /// When each row was, and how long nothing was before it. Together, because half of all texts are times.
    pub(super) fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, r#"<g class="t" transform="translate({GUTTER})">"#)?;
        for Row { at, y, silence, .. } in &self.rows.rows {
            if let Some(silence) = silence {
                let middle = y - ROW / 2 - BREAK / 2 + 4;
                writeln!(f, r#"<text y="{middle}">+{}</text>"#, Passed(*silence))?;
            }
            writeln!(f, r#"<text y="{}">{}</text>"#, y + 4, time(*at))?;
        }
        writeln!(f, r#"<text y="{}">{}</text>"#, self.rows.end + 4, time(self.story.run.ended))?;
        writeln!(f, "</g>")
    }

    pub(super) fn row(&self, f: &mut fmt::Formatter<'_>, row: &Row<'_>) -> fmt::Result {
        let y = row.y;
        match &row.what {
            Shown::Folded { moments, packets, until } => {
                self.rule(f, y, "folded")?;
                let packets = match packets {
                    1 => "1 packet".to_owned(),
                    n => format!("{n} packets"),
                };
                let text = format!("… {moments} more ({packets}), until {}", time(*until));
                self.text(f, self.free(y, &text), y, "faint", &text)
            }
            Shown::Words(node, kind, lines) => self.words(f, y, *node, *kind, lines),
            Shown::Fault(fault, what) => {
                self.rule(f, y, "fault")?;
                let text = format!("fault {}: {what}", number(*fault));
                self.text(f, self.free(y, &text), y, "alarm", &text)
            }
            Shown::Packet(sent, told) => self.packet(f, y, sent, told),
        }
    }

    /// Words beside a lifeline.
    fn words(
        &self,
        f: &mut fmt::Formatter<'_>,
        y: u32,
        node: NodeId,
        kind: Kind,
        lines: &[String],
    ) -> fmt::Result {
        let mut x = self.columns.beside(node);
        let class = match kind {
            Kind::Asked => "asked",
            Kind::Said => "said",
            Kind::State => "faint",
            Kind::Fate => "fate",
        };
        if kind == Kind::Said {
            let longest = lines.iter().map(|line| across(line)).max().unwrap_or_default();
            let wide = longest.min(self.columns.room_from(x + PADDING)) + 2 * PADDING;
            let high = 15 + LINE * (lines.len() as u32).saturating_sub(1);
            write!(f, r#"<rect x="{x}" y="{}" width="{wide}" height="{high}" rx="3"/>"#, y - 8)?;
            x += PADDING;
        }
        (y..).step_by(LINE as usize).zip(lines).try_for_each(|(y, line)| self.text(f, x, y, class, line))
    }

    fn packet(&self, f: &mut fmt::Formatter<'_>, y: u32, sent: &Happened, told: &Told) -> fmt::Result {
        let Happened::Sent { way, packet, arrives, fault, .. } = sent else { return Ok(()) };
        let mark = self.story.mark(packet, *fault);
        let kind = match &packet.body {
            _ if arrives.is_none() => "lost",
            Body::Icmp(_) => "icmp",
            Body::Tcp(segment) if segment.flags.rst => "rst",
            _ if mark.fault.is_some() => "changed",
            _ => "plain",
        };
        let forged = if mark.forged { " forged" } else { "" };
        // Most packets are plain: they look like everything else.
        let grouped = mark.forged || kind != "plain";
        if grouped {
            write!(f, r#"<g class="{kind}{forged}">"#)?;
        }
        let shaft = if mark.forged { Shaft::Apart } else { Shaft::Whole };

        let (from, to) = (self.columns.line(way.from), self.columns.line(way.to));
        // Before the next lifeline: on a link that passes one, a packet may be on its way there.
        let room = self.columns.spacing.saturating_sub(AWAY + CHANNEL + 5);
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
        let away = AWAY + (room.saturating_sub(across(on)) / 4).min(24);
        if from != to {
            match arrives {
                Some(at) => arrow::arrives(f, shaft, (from, y), (to, self.rows.arrival(*at, way.to, y)))?,
                None => {
                    // A lost packet gets two thirds of the way, or as far as its words.
                    let reach = (AWAY + room * 2 / 3).max(away + across(on) + 6).min(AWAY + room + 6);
                    let end = if from < to { from + reach } else { from - reach };
                    arrow::is_lost(f, shaft, (from, y), end)?;
                }
            }
        }
        if !on.is_empty() {
            let (x, class) =
                if from <= to { (from + away, "") } else { (from - away, r#" class="to-left""#) };
            write!(f, r#"<text{class} x="{x}" y="{}">{}</text>"#, y - 3, Escaped(on))?;
        }
        beside.push(mark.words(packet, arrives.is_none()));
        beside.retain(|words| !words.is_empty());
        if !beside.is_empty() {
            self.text(f, self.columns.behind(), y, "beside", &beside.join(", "))?;
        }
        if grouped {
            f.write_str("</g>")?;
        }
        f.write_str("\n")
    }

    /// A line across all lifelines.
    fn rule(&self, f: &mut fmt::Formatter<'_>, y: u32, class: &str) -> fmt::Result {
        write!(f, r#"<path class="{class}" d="M{} {}H{}"/>"#, LEFT - 30, y + 7, self.columns.width())
    }

    /// Where a text begins that is about all nodes: on the left, or behind all lifelines if it would be struck through there
    /// by a packet that is on its way.
    fn free(&self, y: u32, text: &str) -> u32 {
        let (from, to) = (LEFT + 8, LEFT + 8 + across(text));
        let above = self.rows.rows.iter().take_while(|row| row.y < y);
        let struck = above.filter_map(|row| self.drop_of(row)).any(|(start, end)| {
            let (left, right) = (start.0.min(end.0), start.0.max(end.0));
            left < to && from < right && end.1 + ROW / 2 > y
        });
        if struck { self.columns.behind() } else { from }
    }

    /// From where to where the packet of a row falls, if it arrives.
    fn drop_of(&self, row: &Row<'_>) -> Option<(Point, Point)> {
        match &row.what {
            Shown::Packet(Happened::Sent { way, arrives: Some(at), .. }, _) if way.from != way.to => {
                let (from, to) = (self.columns.line(way.from), self.columns.line(way.to));
                let end = (to, self.rows.arrival(*at, way.to, row.y));
                arrow::bend((from, row.y), end).map(|bend| ((bend, row.y), end))
            }
            _ => None,
        }
    }

    /// The last row.
    pub(super) fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { run, scenario } = self.story;
        let y = self.rows.end;
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
        wrap(text, self.columns.width() - 24, "    ")
    }

    /// A text whose middle is at this height. What does not fit the drawing is left out, and shown when one points at it.
    fn text(&self, f: &mut fmt::Formatter<'_>, x: u32, y: u32, class: &str, text: &str) -> fmt::Result {
        let shown = cut(text, self.columns.room_from(x));
        write!(f, r#"<text class="{class}" x="{x}" y="{}">{}"#, y + 4, Escaped(&shown))?;
        if shown != text {
            write!(f, "<title>{}</title>", Escaped(text))?;
        }
        writeln!(f, "</text>")
    }
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
