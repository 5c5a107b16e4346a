//! A sequence diagram in Mermaid's language, for pages that draw it.

use std::fmt::{self, Display, Write};

use super::ascii::time;
use super::words::Words;
use super::{Story, fate, number, state};
use crate::run::{Happened, Moment};
use crate::scenario::NodeId;

/// The run as a sequence diagram. Displays as lines that end with a line break. Dotted arrows are packets that nobody
/// sent, crosses are packets that are lost.
#[derive(Clone, Copy, Debug)]
pub struct Mermaid<'a> {
    story: Story<'a>,
}

impl<'a> Mermaid<'a> {
    pub(super) const fn new(story: Story<'a>) -> Self {
        Self { story }
    }
}

impl Display for Mermaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { run, scenario } = self.story;
        writeln!(f, "sequenceDiagram")?;
        for (node, of) in scenario.nodes.iter().enumerate() {
            writeln!(f, "    participant n{node} as {}", Escaped(&of.name))?;
        }
        let mut words = Words::default();
        for Moment { at, what } in self.story.moments().iter() {
            let at = time(*at);
            match what {
                Happened::Sent { way, packet, arrives, fault } => {
                    let mark = self.story.mark(packet, *fault);
                    let arrow = match (mark.forged, arrives) {
                        (false, Some(_)) => "->>",
                        (false, None) => "-x",
                        (true, Some(_)) => "-->>",
                        (true, None) => "--x",
                    };
                    let mut text = words.tell(*way, packet, mark.forged).all();
                    let marked = mark.words(packet, arrives.is_none());
                    if !marked.is_empty() {
                        let _ = write!(text, ", {marked}");
                    }
                    writeln!(f, "    n{}{arrow}n{}: {at} {}", way.from.0, way.to.0, Escaped(&text))?;
                }
                Happened::Arrived { node, fate: of } => {
                    let (word, text) = fate(of);
                    note(f, *node, format_args!("{at} {word}: {}", Escaped(text)))?;
                }
                Happened::State { node, state: is } => {
                    note(f, *node, format_args!("{at} tcp {}", state(*is)))?;
                }
                Happened::Said { node, said } => {
                    note(f, *node, format_args!("{at} {}", Escaped(&said.to_string())))?;
                }
                Happened::Asked { node, command } => {
                    note(f, *node, format_args!("{at} asked: {}", Escaped(command)))?;
                }
                Happened::Fault { fault, what } => {
                    self.wide_note(f, format_args!("{at} fault {}: {}", number(*fault), Escaped(what)))?;
                }
            }
        }
        for (fault, effect) in (0..).map(crate::packet::FaultId).zip(&run.ledger) {
            let text = format!("{}: {effect}", self.story.fault(fault));
            self.wide_note(f, format_args!("{}", Escaped(&text)))?;
        }
        Ok(())
    }
}

impl Mermaid<'_> {
    /// A note over all nodes.
    fn wide_note(&self, f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
        match self.story.scenario.nodes.len() {
            0 | 1 => writeln!(f, "    Note over n0: {text}"),
            n => writeln!(f, "    Note over n0,n{}: {text}", n - 1),
        }
    }
}

fn note(f: &mut fmt::Formatter<'_>, node: NodeId, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "    Note over n{}: {text}", node.0)
}

/// A text in which nothing means anything to Mermaid: no comment or directive (`%`), no statement's end (`;`), no entity
/// (`#`), no markup.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '#' | ';' | '%' | '<' | '>' | '&' | '{' | '}' => write!(f, "#{};", u32::from(letter)),
            _ if letter.is_control() => write!(f, " "),
            _ => f.write_char(letter),
        })
    }
}
