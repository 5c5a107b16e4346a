//! Distributions: how many of all took at most so long, with time on a logarithmic axis.
//!
//! ```text
//!   100 % ┤            ┌──────────
//!         │        ┌───┘   ┌──────   tokio
//!    50 % ┤     ┌──┘ ┌─────┘
//!         │  ┌──┘ ┌──┘
//!     0 % └──┴────┴───┬──────┬────
//!         10 µs    100 µs   1 ms
//! ```
//!
//! Lines differ by their dashes too, not by colour alone. Under the plot the same in figures.

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
/// What is shorter is drawn as this long.
const SHORTEST: f64 = 1e-6;
/// More steps than that are not to be seen.
const STEPS: usize = 200;

impl Distribution {
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series: Vec<Sorted<'_>> = self.series.iter().map(Sorted::new).collect();
        let all = || series.iter().flat_map(|series| &series.seconds).copied();
        writeln!(f, "<figure class=\"plot\">\n<figcaption>{}</figcaption>", Escaped(&self.title))?;
        if all().next().is_none() {
            return f.write_str("<p>Nothing was measured.</p>\n</figure>\n");
        }
        let decade = |seconds: f64| seconds.max(SHORTEST).log10();
        let from = all().map(decade).fold(f64::INFINITY, f64::min).floor();
        let to = all().map(decade).fold(f64::NEG_INFINITY, f64::max).ceil().max(from + 1.0);
        let axes = Axes { from, to };
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

    /// The least that so many in a thousand do not exceed.
    fn quantile(&self, thousandths: usize) -> Option<f64> {
        let rank = (self.seconds.len() * thousandths).div_ceil(1_000).max(1);
        self.seconds.get(rank - 1).copied()
    }
}

/// Powers of ten, in seconds.
struct Axes {
    from: f64,
    to: f64,
}

impl Axes {
    fn x(&self, seconds: f64) -> f64 {
        let part = (seconds.max(SHORTEST).log10() - self.from) / (self.to - self.from);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(part: f64) -> f64 {
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        for decade in self.from as i32..=self.to as i32 {
            let seconds = 10_f64.powi(decade);
            let x = self.x(seconds);
            writeln!(
                f,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{}\"/><text class=\"x\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 18.0,
                Decade(decade)
            )?;
        }
        Ok(())
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, index: usize, series: &Sorted<'_>) -> fmt::Result {
        let count = series.seconds.len();
        if count == 0 {
            return Ok(());
        }
        write!(
            f,
            "<path class=\"series c{index}\" d=\"M{:.1} {:.1}",
            self.x(series.seconds[0]),
            Self::y(0.0)
        )?;
        let steps = count.min(STEPS);
        for step in 1..=steps {
            let rank = count * step / steps;
            let y = Self::y(rank as f64 / count as f64);
            write!(f, "H{:.1}V{y:.1}", self.x(series.seconds[rank - 1]))?;
        }
        writeln!(f, "H{}\"><title>{}</title></path>", WIDTH - RIGHT, Escaped(series.name))
    }
}

/// A power of ten of a second.
struct Decade(i32);

impl fmt::Display for Decade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, above) = match self.0 {
            0.. => ("s", self.0),
            -3..0 => ("ms", self.0 + 3),
            -6..-3 => ("µs", self.0 + 6),
            _ => ("ns", self.0 + 9),
        };
        write!(f, "{} {unit}", 10_f64.powi(above))
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

    #[test]
    fn decades_have_units() {
        let shown = [-9, -7, -6, -4, -3, -1, 0, 2].map(|decade| Decade(decade).to_string());
        assert_eq!(shown, ["1 ns", "100 ns", "1 µs", "100 µs", "1 ms", "100 ms", "1 s", "100 s"]);
    }
}
