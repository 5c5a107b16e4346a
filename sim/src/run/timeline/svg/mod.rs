//! A sequence diagram as SVG, for pages and browsers.
//!
//! ```text
//!                [client]          [router]          [server]
//!   0.000000        │ up              │                 │
//!   0.000000        ├── SYN ───────►  │                 │
//!   0.010000        │                 ├─ SYN ──►  ╳     │   lost: drop (fault 1)
//!     +0.99 s       ┊                 ┊                 ┊
//!   1.000000        ├── SYN again ──► │                 │
//! ```
//!
//! Every moment has a row of its own, so no two texts lie over each other; [`rows`] says how far apart they are, which are
//! folded, and where silence stands for what did not happen. An [`arrow`] goes from the row of its departure to where it
//! arrives, and past the words of the rows between. All looks are classes, all colours variables: a page decides what they are in the dark and on paper.

use std::fmt::{self, Display};

use super::Story;
use crate::packet::FaultId;
use crate::run::Effect;

mod arrow;
mod columns;
mod draw;
mod letters;
mod rows;

use columns::Columns;
use draw::{Canvas, Escaped};
use rows::Rows;

/// The run as a sequence diagram. Displays as a whole file of its own; or as an element for a page.
#[derive(Clone, Copy, Debug)]
pub struct Svg<'a> {
    story: Story<'a>,
    states: bool,
    place: Place,
}

/// Where the drawing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    File,
    Page,
}

impl<'a> Svg<'a> {
    /// How the classes of a drawing look: CSS, for a page that holds drawings. It needs the colours.
    pub const STYLE: &'static str = include_str!("style.css");

    /// The colours in the light, in the dark and on paper: CSS that sets the variables of [`STYLE`](Self::STYLE).
    pub const COLORS: &'static str = include_str!("colors.css");

    pub(super) const fn new(story: Story<'a>) -> Self {
        Self { story, states: true, place: Place::File }
    }

    /// Whether states of TCP sockets are shown; they are if nothing else is said.
    #[must_use]
    pub const fn states(self, shown: bool) -> Self {
        Self { states: shown, ..self }
    }

    /// As an element of a page that has [`STYLE`](Self::STYLE) and [`COLORS`](Self::COLORS).
    #[must_use]
    pub const fn within_page(self) -> Self {
        Self { place: Place::Page, ..self }
    }
}

impl Display for Svg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { run, scenario } = self.story;
        let moments = self.story.moments();
        let columns = Columns::of(scenario);
        let rows = Rows::new(self.story, columns, &moments, self.states);
        let canvas = Canvas::new(self.story, columns, &rows);

        let ledger = (0..).map(FaultId).zip(&run.ledger).flat_map(|(fault, effect)| {
            let class = match effect {
                Effect::Acted(_) => "b",
                Effect::Absorbed(_) => "b faint",
                Effect::Inert(_) => "b alarm",
            };
            let text = format!("{}: {effect}", self.story.fault(fault));
            canvas.wrap(&text).into_iter().map(move |line| (class, line))
        });
        let ledger: Vec<_> = ledger.collect();
        let (width, height) = (columns.width(), canvas.height(ledger.len()));

        let names: Vec<&str> = scenario.nodes.iter().map(|node| node.name.as_str()).collect();
        write!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="run" width="{width}" height="{height}""#
        )?;
        write!(f, r#" viewBox="0 0 {width} {height}" role="img""#)?;
        writeln!(f, r#" aria-label="What passed between {}">"#, Escaped(&names.join(", ")))?;
        if self.place == Place::File {
            writeln!(f, "<style>\n{}{}</style>", Self::COLORS, Self::STYLE)?;
            writeln!(f, r#"<rect class="paper" width="{width}" height="{height}"/>"#)?;
        }
        canvas.lives(f)?;
        canvas.times(f)?;
        for row in &rows.rows {
            canvas.row(f, row)?;
        }
        canvas.end(f)?;
        for (line, (class, text)) in (0..).zip(&ledger) {
            canvas.below(f, line, class, text)?;
        }
        writeln!(f, "</svg>")
    }
}
