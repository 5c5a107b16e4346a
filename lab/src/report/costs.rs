//! What each runtime costs: what the plays tell; and, measured apart, figures and distributions of single times.

use std::fmt;

use super::html::{Escaped, Heading, Took};
use super::plot::{Distribution, Series};
use crate::costs::plays::{Measure, Plays, Row as PlayRow};
use crate::costs::{Costs, Metric, Row, Side, Standing, Unit, Verdict};

/// What the plays tell, then what was measured apart; nothing if there is neither.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    in_plays: Option<&Plays>,
    costs: Option<&Costs>,
) -> fmt::Result {
    if in_plays.is_none() && costs.is_none() {
        return Ok(());
    }
    writeln!(f, "<section>\n{}", Heading::COSTS)?;
    in_plays.map_or(Ok(()), |plays| of_plays(f, plays))?;
    costs.map_or(Ok(()), |costs| apart(f, costs))?;
    f.write_str("</section>\n")
}

fn of_plays(f: &mut fmt::Formatter<'_>, plays: &Plays) -> fmt::Result {
    let too_few = plays.too_few();
    // Where nothing can be told apart, nothing is the least.
    let least = if too_few.is_some() { "" } else { LEAST };
    writeln!(f, "<h3>In the plays</h3>\n<p>{} {least}</p>", Escaped(&plays.how()))?;
    f.write_str("<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">of a play, half and 99 of 100 at most</th>")?;
    for player in &plays.players {
        write!(f, "<th scope=\"col\" class=\"time\">{}</th>", player.as_str())?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for measure in Measure::ALL {
        head(f, measure)?;
        for &player in &plays.players {
            match plays.row(measure, player) {
                Some(row) => play_cell(f, row)?,
                None => f.write_str("<td></td>")?,
            }
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n")?;
    match too_few {
        Some(sentence) => writeln!(f, "<p>{}</p>", Escaped(&sentence))?,
        None if plays.comparisons.is_empty() => {}
        None => pair_by_pair(f, plays)?,
    }
    definitions(f, Measure::ALL.into_iter().map(|measure| (measure.title(), measure.about())))
}

/// What each title means, open: paper and telephones show no tooltips.
fn definitions(
    f: &mut fmt::Formatter<'_>,
    of: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> fmt::Result {
    f.write_str("<details open=\"open\"><summary>what is counted</summary>\n<dl>\n")?;
    for (title, about) in of {
        writeln!(f, "<dt>{}</dt><dd>{}</dd>", Escaped(title), Escaped(about))?;
    }
    f.write_str("</dl>\n</details>\n")
}

fn head(f: &mut fmt::Formatter<'_>, measure: Measure) -> fmt::Result {
    let (about, title) = (Escaped(measure.about()), Escaped(measure.title()));
    write!(f, "<tr><th scope=\"row\" title=\"{about}\">{title}</th>")
}

fn play_cell(f: &mut fmt::Formatter<'_>, row: &PlayRow) -> fmt::Result {
    let (Some(median), Some(p99)) = (row.median, row.p99) else {
        return f.write_str("<td class=\"time not-played\" title=\"no play had occasion to\">–</td>");
    };
    let (class, star) = least(row.standing);
    let unit = row.measure.unit();
    let (median, p99) = (Figure(median, unit), Figure(p99, unit));
    write!(f, "<td class=\"time{class}\">{star}{median}<br/><small>99 %: {p99}</small></td>")
}

fn pair_by_pair(f: &mut fmt::Formatter<'_>, plays: &Plays) -> fmt::Result {
    writeln!(
        f,
        "<p>{} = is not told apart. {}</p>",
        Escaped(Plays::PAIRS),
        Escaped(&plays.control.verdict())
    )?;
    f.write_str(
        "<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">pair by pair</th>",
    )?;
    let couples: Vec<_> = plays.couples().collect();
    for (a, b) in &couples {
        write!(f, "<th scope=\"col\" class=\"time\">{} : {}</th>", a.as_str(), b.as_str())?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for measure in Measure::ALL.into_iter().filter(|measure| measure.is_compared()) {
        head(f, measure)?;
        for &couple in &couples {
            match plays.comparisons.iter().find(|of| of.measure == measure && (of.a, of.b) == couple) {
                Some(of) => {
                    let (less, more) = (of.signs.less, of.signs.more);
                    let is = match of.verdict {
                        Verdict::Same => "=".to_owned(),
                        verdict => verdict.as_str().replace('-', " "),
                    };
                    let ratio = Digits(of.ratio);
                    write!(
                        f,
                        "<td class=\"time\">{is} ×{ratio}<br/><small>less {less}, more {more}</small></td>"
                    )?;
                }
                None => f.write_str("<td class=\"time not-played\">–</td>")?,
            }
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n")
}

const LEAST: &str = Standing::STAR;

/// How a figure that is the least is shown: its class, and what stands before it.
const fn least(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Least => (" agrees", "* "),
        Standing::Alike | Standing::More => ("", ""),
    }
}

fn apart(f: &mut fmt::Formatter<'_>, costs: &Costs) -> fmt::Result {
    writeln!(
        f,
        "<h3>Apart, on loopback</h3>\n<p>{} (Seed {}.) ± (or × where that is more than the figure itself) is how far apart two \
         measurements of the very same came out; what lies within is no difference. {LEAST} {}.</p>",
        Escaped(&costs.how()),
        costs.config.seed,
        Escaped(&capital(&costs.counting.to_string()))
    )?;
    [Side::Client, Side::Server].into_iter().try_for_each(|side| figures(f, costs, side))?;
    definitions(f, Metric::ALL.iter().map(|metric| (metric.title(), metric.about())))?;
    f.write_str("<div class=\"plots\">\n")?;
    for &metric in Metric::ALL {
        let rows = || costs.rows().filter(|row| row.metric == metric && !row.times.is_empty());
        if rows().next().is_some() {
            let series = |row: &Row| Series {
                name: row.configuration.as_str().to_owned(),
                seconds: row.times.iter().map(|nanos| *nanos as f64 / 1e9).collect(),
            };
            let title = format!("{} of a {}", capital(metric.title()), metric.side().as_str());
            Distribution { title, series: rows().map(series).collect() }.write(f)?;
        }
    }
    f.write_str("</div>\n")?;
    if !costs.failures.is_empty() {
        f.write_str("<ul class=\"differences\">\n")?;
        costs.failures.iter().try_for_each(|failure| writeln!(f, "<li>{}</li>", Escaped(failure)))?;
        f.write_str("</ul>\n")?;
    }
    Ok(())
}

fn figures(f: &mut fmt::Formatter<'_>, costs: &Costs, side: Side) -> fmt::Result {
    write!(
        f,
        "<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">{}</th>",
        side.as_str()
    )?;
    for configuration in &costs.config.configurations {
        write!(f, "<th scope=\"col\" class=\"time\">{}</th>", configuration.as_str())?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for &metric in Metric::ALL.iter().filter(|metric| metric.side() == side) {
        write!(
            f,
            "<tr><th scope=\"row\" title=\"{}\">{}</th>",
            Escaped(metric.about()),
            Escaped(metric.title())
        )?;
        for &configuration in &costs.config.configurations {
            match costs.row(metric, configuration) {
                Some(row) => cell(f, row)?,
                None => f.write_str("<td></td>")?,
            }
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n")
}

fn cell(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let Some(median) = row.median else {
        let why = row.missing.as_deref().unwrap_or("there is none");
        return write!(f, "<td class=\"time not-played\" title=\"{}\">–</td>", Escaped(why));
    };
    let (class, star) = least(row.standing);
    write!(f, "<td class=\"time{class}\">{star}{}", Figure(median, row.metric.unit()))?;
    match row.spread {
        Some(spread) if spread >= 2.0 => write!(f, " <small>×{spread:.1}</small>")?,
        Some(spread) if spread > 1.0 => write!(f, " <small>±{:.0} %</small>", (spread - 1.0) * 100.0)?,
        _ => {}
    }
    if let Some(p99) = row.p99 {
        write!(f, "<br/><small>99 %: {}</small>", Figure(p99, row.metric.unit()))?;
    }
    f.write_str("</td>")
}

/// A figure with its unit.
struct Figure(f64, Unit);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Unit::Nanoseconds => Took(self.0 / 1e9).fmt(f),
            Unit::Bytes => {
                let steps = [(1024.0 * 1024.0, "MiB"), (1024.0, "KiB")];
                let step = steps.into_iter().find(|(by, _)| self.0 >= 10.0 * by);
                let (by, unit) = step.unwrap_or((1.0, "bytes"));
                write!(f, "{}\u{a0}{unit}", Digits(self.0 / by))
            }
            Unit::Count => Digits(self.0).fmt(f),
        }
    }
}

/// Three digits, as the table for a terminal has them.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0.0 => f.write_str("0"),
            figure if figure < 0.1 => write!(f, "{figure:.3}"),
            figure if figure < 9.995 => write!(f, "{figure:.2}"),
            figure if figure < 99.95 => write!(f, "{figure:.1}"),
            figure => write!(f, "{figure:.0}"),
        }
    }
}

/// With a capital letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let bytes = [512.0, 51_200.0, 12_345_678.0].map(|bytes| Figure(bytes, Unit::Bytes).to_string());
        assert_eq!(bytes, ["512\u{a0}bytes", "50.0\u{a0}KiB", "11.8\u{a0}MiB"]);
        let counts = [0.0, 0.0123, 2.5, 31.25, 1234.5].map(|count| Figure(count, Unit::Count).to_string());
        assert_eq!(counts, ["0", "0.012", "2.50", "31.2", "1234"]);
    }
}
