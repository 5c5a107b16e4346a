//! Drawings of every committed scenario: no two texts lie over each other, and no line strikes a text through.

use std::fmt;
use std::time::Duration;

use resound_core::signal::Version;
use resound_sim::{Echo, Record, Scenario, World, library};
use roxmltree::{Document, Node};

const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

/// How wide a letter of the drawing's font is: monospaced fonts of 11 pixels have 6.6.
const ADVANCE: f64 = 6.62;
/// From the base line up, and down: what letters have above and below it.
const ASCENT: f64 = 8.4;
const DESCENT: f64 = 2.6;

/// Where a text stands, or a box.
struct Text<'a> {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    words: &'a str,
}

impl<'a> Text<'a> {
    fn of(node: Node<'a, '_>) -> Self {
        let number = |name| node.attribute(name).and_then(|text| text.parse::<f64>().ok());
        let parent = node.parent().expect("it stands in a drawing");
        let moved = parent.attribute("transform").map_or(0.0, |moved| {
            let x = moved.strip_prefix("translate(").and_then(|rest| rest.strip_suffix(')'));
            x.and_then(|x| x.parse().ok()).expect("to the right")
        });
        let (x, y) = (moved + number("x").unwrap_or(0.0), number("y").expect("a height"));
        let words = node.text().unwrap_or_default();
        let wide = words.chars().count() as f64 * ADVANCE;
        let left = match node.attribute("class").or(parent.attribute("class")) {
            Some("t" | "to-left") => x - wide,
            Some("name") => x - wide / 2.0,
            _ => x,
        };
        Self { left, right: left + wide, top: y - ASCENT, bottom: y + DESCENT, words }
    }

    fn of_box(node: Node<'a, '_>) -> Self {
        let number = |name| node.attribute(name).and_then(|text| text.parse::<f64>().ok()).expect("a number");
        let (left, top) = (number("x"), number("y"));
        Self { left, right: left + number("width"), top, bottom: top + number("height"), words: "its box" }
    }

    fn is_within(&self, other: &Self) -> bool {
        let across = other.left <= self.left && self.right <= other.right;
        across && other.top <= self.top && self.bottom <= other.bottom
    }

    fn meets(&self, other: &Self) -> bool {
        let across = self.left < other.right && other.left < self.right;
        across && self.top < other.bottom && other.top < self.bottom
    }

    /// Whether a line goes through it.
    fn is_struck_by(&self, &[(ax, ay), (bx, by)]: &[(f64, f64); 2]) -> bool {
        let (from, to) = (self.left.max(ax.min(bx)), self.right.min(ax.max(bx)));
        if from >= to {
            return false;
        }
        let at = |x: f64| if ax == bx { ay } else { ay + (by - ay) * (x - ax) / (bx - ax) };
        let (upper, lower) = (at(from).min(at(to)), at(from).max(at(to)));
        upper < self.bottom && lower > self.top
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, right, top, bottom, words } = self;
        write!(f, "`{words}` ({left:.0}..{right:.0}, {top:.0}..{bottom:.0})")
    }
}

/// The lines of a path: `M1 2H3L4 5M6 7L8 9`.
fn lines(path: &str) -> Vec<[(f64, f64); 2]> {
    let (mut lines, mut at) = (Vec::new(), (0.0, 0.0));
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(|letter: char| letter.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
        let numbers: Vec<f64> =
            rest[1..end].split(' ').map(|number| number.parse().expect("a number")).collect();
        let to = match (command, &numbers[..]) {
            ('M' | 'L', &[x, y]) => (x, y),
            ('H', &[x]) => (x, at.1),
            other => panic!("{path}: {other:?}"),
        };
        if command != 'M' {
            lines.push([at, to]);
        }
        (at, rest) = (to, &rest[end..]);
    }
    lines
}

/// What lies over what.
fn overlaps(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).expect("it is XML");
    let texts: Vec<Text<'_>> =
        document.descendants().filter(|node| node.has_tag_name("text")).map(Text::of).collect();
    // The heads of some are a path of their own, which has no class.
    let is_line =
        |node: &Node<'_, '_>| matches!(node.attribute("class"), None | Some("shaft" | "fault" | "folded"));
    let drawn = document.descendants().filter(|node| node.has_tag_name("path") && is_line(node));
    let drawn: Vec<_> = drawn.flat_map(|node| lines(node.attribute("d").expect("a path"))).collect();
    let boxes = document.descendants().filter(|node| node.has_tag_name("rect") && node.has_attribute("x"));
    let boxes: Vec<_> = boxes.map(Text::of_box).collect();
    let mut overlaps = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let others = texts[..at].iter().filter(|other| other.meets(text));
        overlaps.extend(others.map(|other| format!("{other} and {text}")));
        // Its own box is around it.
        let others = boxes.iter().filter(|other| other.meets(text) && !text.is_within(other));
        overlaps.extend(others.map(|other| format!("{text} and {other}")));
        let strikes = drawn.iter().filter(|line| text.is_struck_by(line));
        overlaps.extend(strikes.map(|line| format!("a line {line:?} through {text}")));
    }
    for (line, within) in drawn.iter().flat_map(|line| boxes.iter().map(move |within| (line, within))) {
        if within.is_struck_by(line) {
            overlaps.push(format!("a line {line:?} under {within}"));
        }
    }
    overlaps
}

#[test]
fn in_no_drawing_does_anything_lie_over_a_text() {
    let mut found = Vec::new();
    for entry in library::ALL {
        let scenario: Scenario = entry.text.parse().expect("it is committed");
        // On real hosts everything comes a little later, and not at the same time.
        let exact_and_late =
            [0, 137, 4_000, 30_000].into_iter().flat_map(|late| VERSIONS.map(|version| (late, version)));
        for (late, version) in exact_and_late {
            let Ok(mut scenario) = scenario.over(version) else { continue };
            for (at, link) in (1..).zip(&mut scenario.links) {
                link.delay += Duration::from_micros(late * at);
            }
            let run = World::new(&scenario, &mut Echo).play(Record::Everything);
            for states in [true, false] {
                let svg = run.svg(&scenario).states(states).to_string();
                found.extend(overlaps(&svg).into_iter().map(|what| format!("{}: {what}", entry.name)));
            }
        }
    }
    assert!(found.is_empty(), "{} overlaps:\n{}", found.len(), found.join("\n"));
}
