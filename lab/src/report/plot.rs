//! Distributions: how many of all took at most so long, with time on a logarithmic axis.
//!
//! ```text
//!   100 % ┤            ┌──────────
//!         │        ┌───┘   ┌──────   tokio
//!    50 % ┤     ┌──┘ ┌─────┘
//!         │  ┌──┘ ┌──┘
//!     0 % └──┴────┴───┬──────┬────
//!         200 µs   500 µs   1 ms
//! ```
//!
//! The axis reaches from where the first fortieth of the fastest is to where the last hundredth of the slowest is: a few
//! values far outside would leave no room for all others. How many those are, and how far they go, is said below; a line
//! begins and ends at the share that lies within. Lines differ by their dashes too, not by colour alone. Under the plot the
//! same in figures.

use std::fmt;

use super::html::{Escaped, Took};

/// Durations of several runtimes.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// What was measured.
    pub title: String,
    /// Of whom.
    pub series: Vec<Series>,
}

/// Durations of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// How long, in seconds, in any order.
    pub seconds: Vec<f64>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;
/// What is shorter was at once, as far as a clock can tell, and has no place on the axis.
const AT_ONCE: f64 = 1e-6;
/// What has labels on the axis, times a power of ten.
const STEPS_OF_TEN: [f64; 3] = [1.0, 2.0, 5.0];
/// How far labels are apart at least.
const LABEL: f64 = 48.0;
/// More steps than that are not to be seen.
const STEPS: usize = 200;

impl Distribution {
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series: Vec<Sorted<'_>> = self.series.iter().map(Sorted::new).collect();
        writeln!(f, "<figure class=\"plot\">\n<figcaption>{}</figcaption>", Escaped(&self.title))?;
        if series.iter().all(|series| series.seconds.is_empty()) {
            return f.write_str("<p>Nothing was measured.</p>\n</figure>\n");
        }
        let axes = Axes::around(&series);
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            Escaped(&self.title)
        )?;
        axes.write(f)?;
        for (index, series) in series.iter().enumerate() {
            axes.line(f, index, series)?;
        }
        f.write_str("</svg>\n")?;
        axes.outside(f, &series)?;
        figures(f, &series)?;
        f.write_str("</figure>\n")
    }
}

/// A series in order.
struct Sorted<'a> {
    name: &'a str,
    seconds: Vec<f64>,
}

impl<'a> Sorted<'a> {
    fn new(series: &'a Series) -> Self {
        let mut seconds: Vec<f64> = series.seconds.iter().copied().filter(|of| of.is_finite()).collect();
        seconds.sort_by(f64::total_cmp);
        Self { name: &series.name, seconds }
    }

    fn quantile(&self, thousandths: usize) -> Option<f64> {
        quantile(&self.seconds, thousandths)
    }
}

/// The least of what is in order that so many in a thousand do not exceed.
fn quantile(sorted: &[f64], thousandths: usize) -> Option<f64> {
    let rank = (sorted.len() * thousandths).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

/// From one time to another, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axes {
    from: f64,
    to: f64,
}

impl Axes {
    /// Where the values are.
    fn around(series: &[Sorted<'_>]) -> Self {
        let later = |series: &Sorted<'_>| {
            let first = series.seconds.partition_point(|seconds| *seconds <= AT_ONCE);
            quantile(&series.seconds[first..], 25)
        };
        let from = series.iter().filter_map(later).fold(f64::INFINITY, f64::min);
        let to = series.iter().filter_map(|series| series.quantile(990)).fold(AT_ONCE, f64::max);
        let from = step(if from.is_finite() { from } else { AT_ONCE }, Edge::Below);
        // Three steps at least, or the axis would show differences where there are none.
        Self { from, to: step(to.max(from * 9.0), Edge::Above) }
    }

    fn x(self, seconds: f64) -> f64 {
        let part = (seconds / self.from).log10() / (self.to / self.from).log10();
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// What has a line: the steps of each power of ten, or, on a long axis, these powers.
    fn marks(self) -> Vec<f64> {
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let steps = if last - first > 3 { &STEPS_OF_TEN[..1] } else { &STEPS_OF_TEN[..] };
        let all = (first..=last).flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        all.filter(|mark| (self.from * 0.999..=self.to * 1.001).contains(mark)).collect()
    }

    /// How many values have no place, and where the furthest is.
    fn outside(self, f: &mut fmt::Formatter<'_>, series: &[Sorted<'_>]) -> fmt::Result {
        let all = || series.iter().flat_map(|series| &series.seconds).copied();
        let (below, above) =
            (all().filter(|of| *of < self.from).count(), all().filter(|of| *of > self.to).count());
        let mut said = Vec::new();
        if below > 0 {
            said.push(format!("{below} took less than {}", Took(self.from)));
        }
        if above > 0 {
            let longest = all().fold(0.0, f64::max);
            said.push(format!("{above} took more than {}, up to {}", Took(self.to), Took(longest)));
        }
        if said.is_empty() {
            return Ok(());
        }
        writeln!(f, "<p class=\"outside\">Of {}, {}.</p>", all().count(), said.join(" and "))
    }

    fn y(part: f64) -> f64 {
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }

    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [0, 25, 50, 75, 100] {
            let y = Self::y(f64::from(percent) / 100.0);
            writeln!(
                f,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"y\" x=\"{}\" y=\"{:.1}\">{percent} %</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            )?;
        }
        let mut free = f64::NEG_INFINITY;
        for mark in self.marks() {
            let x = self.x(mark);
            write!(f, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{}\"/>", HEIGHT - BOTTOM)?;
            if x >= free {
                let y = HEIGHT - BOTTOM + 18.0;
                write!(f, "<text class=\"x\" x=\"{x:.1}\" y=\"{y}\">{}</text>", Mark(mark))?;
                free = x + LABEL;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }

    fn line(self, f: &mut fmt::Formatter<'_>, index: usize, series: &Sorted<'_>) -> fmt::Result {
        let count = series.seconds.len();
        if count == 0 {
            return Ok(());
        }
        let within = |seconds: f64| series.seconds.partition_point(|of| *of <= seconds);
        // It begins where the first value is, or at the left edge if some have no place.
        let before = series.seconds.partition_point(|of| *of < self.from);
        let begins = if before > 0 { self.from } else { series.seconds[0] };
        let share = |rank: usize| Self::y(rank as f64 / count as f64);
        write!(f, "<path class=\"series c{index}\" d=\"M{:.1} {:.1}", self.x(begins), share(before))?;
        let steps = count.min(STEPS);
        let ranks = (1..=steps).map(|step| count * step / steps);
        for rank in ranks.filter(|rank| (before + 1..=within(self.to)).contains(rank)) {
            write!(f, "H{:.1}V{:.1}", self.x(series.seconds[rank - 1]), share(rank))?;
        }
        writeln!(f, "H{}\"><title>{}</title></path>", WIDTH - RIGHT, Escaped(series.name))
    }
}

/// Which way a time is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Below,
    Above,
}

/// The nearest step of a power of ten.
fn step(seconds: f64, edge: Edge) -> f64 {
    let decade = 10_f64.powf(seconds.log10().floor());
    // The logarithm of a power of ten is not always whole.
    let part = seconds / decade;
    let fits = |step: &f64| match edge {
        Edge::Below => *step <= part * 1.000_001,
        Edge::Above => *step >= part * 0.999_999,
    };
    let steps = STEPS_OF_TEN.into_iter().chain([10.0]);
    decade
        * match edge {
            Edge::Below => steps.filter(fits).fold(1.0, f64::max),
            Edge::Above => steps.filter(fits).fold(10.0, f64::min),
        }
}

/// A time on the axis: one digit and zeros.
struct Mark(f64);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 * 1.000_001 {
            1.0.. => (self.0, "s"),
            1e-3.. => (self.0 * 1e3, "ms"),
            1e-6.. => (self.0 * 1e6, "µs"),
            _ => (self.0 * 1e9, "ns"),
        };
        write!(f, "{value:.0} {unit}")
    }
}

/// The same in figures, and which line is whose.
fn figures(f: &mut fmt::Formatter<'_>, series: &[Sorted<'_>]) -> fmt::Result {
    f.write_str(
        "<div class=\"wide\"><table class=\"figures\">\n<thead><tr><th></th><th scope=\"col\">runtime</th>",
    )?;
    for head in ["count", "half within", "90 %", "99 %", "longest"] {
        write!(f, "<th scope=\"col\" class=\"time\">{head}</th>")?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for (index, series) in series.iter().enumerate() {
        write!(
            f,
            "<tr><td><svg class=\"plot key\" viewBox=\"0 0 36 10\" width=\"36\" height=\"10\" aria-hidden=\"true\">\
             <path class=\"series c{index}\" d=\"M0 5H36\"/></svg></td><td>{}</td><td class=\"time\">{}</td>",
            Escaped(series.name),
            series.seconds.len()
        )?;
        for thousandths in [500, 900, 990, 1_000] {
            match series.quantile(thousandths) {
                Some(seconds) => write!(f, "<td class=\"time\">{}</td>", Took(seconds))?,
                None => f.write_str("<td class=\"time\">–</td>")?,
            }
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let series = Series { name: String::new(), seconds: (1..=100).rev().map(f64::from).collect() };
        let sorted = Sorted::new(&series);
        let of = |thousandths| sorted.quantile(thousandths);
        assert_eq!([of(0), of(500), of(990), of(1_000)], [1.0, 50.0, 99.0, 100.0].map(Some));
        assert_eq!(Sorted { name: "", seconds: Vec::new() }.quantile(500), None);
    }

    fn axes(seconds: &[f64]) -> Axes {
        Axes::around(&[Sorted { name: "", seconds: seconds.to_vec() }])
    }

    #[test]
    fn the_axis_is_where_the_values_are() {
        let values: Vec<f64> = (300..=700).map(|micros| f64::from(micros) * 1e-6).collect();
        let axis = axes(&values);
        assert_eq!([axis.from, axis.to].map(|edge| Mark(edge).to_string()), ["200 µs", "2 ms"]);
        // Some that were at once, and one far away, do not stretch it.
        let mut more = vec![0.0, 0.0, 0.0];
        more.extend(values);
        more.push(3.0);
        assert_eq!(axes(&more), axis);
        let mut said = String::new();
        fmt::write(&mut said, format_args!("{}", Outside(axis, more))).expect("a string");
        assert_eq!(
            said.trim_end(),
            "<p class=\"outside\">Of 405, 3 took less than 200\u{a0}µs and 1 took more than 2.00\u{a0}ms, up to 3.00\u{a0}s.</p>"
        );
        assert_eq!(axes(&[0.0]), axes(&[1e-6]));
    }

    struct Outside(Axes, Vec<f64>);

    impl fmt::Display for Outside {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.outside(f, &[Sorted { name: "", seconds: self.1.clone() }])
        }
    }

    #[test]
    fn marks_are_steps_of_ten_with_their_unit() {
        let shown = |from, to| -> Vec<String> {
            Axes { from, to }.marks().into_iter().map(|mark| Mark(mark).to_string()).collect()
        };
        assert_eq!(shown(2e-4, 2e-3), ["200 µs", "500 µs", "1 ms", "2 ms"]);
        assert_eq!(shown(1e-6, 1.0).len(), 7);
        assert_eq!(shown(1e-9, 1e-8), ["1 ns", "2 ns", "5 ns", "10 ns"]);
    }

    #[test]
    fn times_are_rounded_to_steps() {
        let below = [1e-3, 1.9e-3, 2e-3, 9.9e-3].map(|of| Mark(step(of, Edge::Below)).to_string());
        assert_eq!(below, ["1 ms", "1 ms", "2 ms", "5 ms"]);
        let above = [1e-3, 1.1e-3, 2e-3, 5.1e-3].map(|of| Mark(step(of, Edge::Above)).to_string());
        assert_eq!(above, ["1 ms", "2 ms", "2 ms", "10 ms"]);
    }
}
