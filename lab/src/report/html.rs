//! Pieces of HTML.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

/// A text in which nothing means anything to HTML, between tags or in a quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' | '\t' => f.write_char(letter),
            _ if letter.is_control() => f.write_char('\u{fffd}'),
            _ => f.write_char(letter),
        })
    }
}

/// A name that can stand in a link: letters, digits, `-` and `_` as they are, everything else as `.` and its number.
pub(super) fn id(name: &str) -> String {
    let mut id = String::from("s-");
    for letter in name.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => id.push(letter),
            _ => drop(write!(id, ".{:x}", u32::from(letter))),
        }
    }
    id
}

/// A time since the start: seconds, as timelines have them, to a tenth of a millisecond.
pub(super) struct At(pub(super) Duration);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.0.as_secs_f64())
    }
}

/// How long something took, with three digits; the unit stays with its number.
pub(super) struct Took(pub(super) f64);

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            s if s < 1e-9 => return f.write_str("0"),
            s if s >= 1.0 => (s, "s"),
            s if s >= 1e-3 => (s * 1e3, "ms"),
            s if s >= 1e-6 => (s * 1e6, "µs"),
            s => (s * 1e9, "ns"),
        };
        match value {
            value if value >= 99.95 => write!(f, "{value:.0}\u{a0}{unit}"),
            value if value >= 9.995 => write!(f, "{value:.1}\u{a0}{unit}"),
            value => write!(f, "{value:.2}\u{a0}{unit}"),
        }
    }
}

/// The heading of a part, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
}

impl Heading {
    pub(super) const MATRIX: Self = Self { id: "matrix", title: "Agreement" };
    pub(super) const DIFFERENCES: Self = Self { id: "differences", title: "Differences" };
    pub(super) const TIMES: Self = Self { id: "times", title: "Times" };
    pub(super) const SCENARIOS: Self = Self { id: "scenarios", title: "Scenarios" };
    pub(super) const TABLE: Self = Self { id: "table", title: "The kernel table" };
    pub(super) const COSTS: Self = Self { id: "costs", title: "What each runtime costs" };
    pub(super) const LOOPBACK: Self = Self { id: "loopback", title: "Promises on loopback" };
    pub(super) const HOST: Self = Self { id: "host", title: "Where and how" };
}

impl Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<h2 id=\"{}\">{}</h2>", self.id, self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_place() {
        let text = Escaped("<script>\"'&amp;\u{1b}[0m").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;&#39;&amp;amp;\u{fffd}[0m");
    }

    #[test]
    fn names_that_differ_have_places_that_differ() {
        assert_eq!(id("rst-exact"), "s-rst-exact");
        assert_ne!(id("a b"), id("a.20b"));
    }

    #[test]
    fn times_have_three_digits() {
        let shown = [1.5, 0.0123, 0.00045, 0.099_96, 2e-9, 0.0].map(|seconds| Took(seconds).to_string());
        assert_eq!(shown, ["1.50\u{a0}s", "12.3\u{a0}ms", "450\u{a0}µs", "100\u{a0}ms", "2.00\u{a0}ns", "0"]);
    }
}
