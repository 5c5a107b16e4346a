//! What each runtime costs: figures, and distributions of single times.

use std::fmt;

use super::html::{Escaped, Heading, Took};
use super::plot::{Distribution, Series};
use crate::costs::{Costs, Metric, Row, Side, Standing, Unit};

pub(super) fn write(f: &mut fmt::Formatter<'_>, costs: &Costs) -> fmt::Result {
    writeln!(f, "<section>\n{}", Heading::COSTS)?;
    writeln!(
        f,
        "<p>One client or one server in a process of its own; the other side is a plain loop, the same for all. Each was \
         measured {} times beside itself and beside each other, in an order drawn by lot (seed {}). ± is how far apart two runs of the \
         very same came out; what lies within is no difference. * is the least: none is less by more than chance, and some are \
         more. {}.</p>",
        costs.config.rounds,
        costs.config.seed,
        Escaped(&capital(&costs.counting.to_string()))
    )?;
    [Side::Client, Side::Server].into_iter().try_for_each(|side| figures(f, costs, side))?;
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
    f.write_str("</section>\n")
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
    let (class, star) = match row.standing {
        Standing::Least => (" agrees", "* "),
        Standing::Alike | Standing::More => ("", ""),
    };
    write!(f, "<td class=\"time{class}\">{star}{}", Figure(median, row.metric.unit()))?;
    if let Some(spread) = row.spread.filter(|spread| *spread > 1.0) {
        write!(f, " <small>±{:.0} %</small>", (spread - 1.0) * 100.0)?;
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
            Unit::Bytes => write!(f, "{:.0} bytes", self.0),
            Unit::Count if self.0 >= 100.0 => write!(f, "{:.0}", self.0),
            Unit::Count => write!(f, "{:.2}", self.0),
        }
    }
}

/// With a capital letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
