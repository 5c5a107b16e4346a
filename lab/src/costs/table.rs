//! What the runtimes cost, for a terminal: a line for each metric, a column for each configuration.

use core::fmt;

use super::{Configuration, Costs, Metric, Row, Side, Standing, Unit, WAITING, built};

/// How wide the first column is.
const TITLE: usize = 37;
/// And the others.
const COLUMN: usize = 12;
/// All of them together.
pub(super) const WIDTH: usize = TITLE + COLUMN * Configuration::ALL.len();

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wrapped(f, &self.how())?;
        let machine = &self.machine;
        let load = |load: Option<f64>| load.map_or(String::from("unknown"), |load| format!("{load:.2}"));
        writeln!(f, "Seed {}, {:.0} s.", self.config.seed, self.took.as_secs_f64(),)?;
        writeln!(
            f,
            "{} processors, Linux {}, load {} before and {} after.",
            machine.processors,
            machine.kernel,
            load(machine.load_before),
            load(machine.load_after),
        )?;
        wrapped(f, &format!("{}.", capital(&self.counting.to_string())))?;
        for side in [Side::Client, Side::Server] {
            self.side(f, side)?;
        }
        writeln!(f)?;
        wrapped(f, Standing::STAR)?;
        writeln!(f, "± is how far apart two runs of the very same runtime came out, at most.")?;
        let [reset, timer, silence] =
            [Metric::ClientReset, Metric::ClientTimer, Metric::ClientSilence].map(Metric::title);
        let configurations = self.config.configurations.len();
        let together = 2 * WAITING.min(configurations * (configurations + 1) / 2);
        wrapped(
            f,
            &capital(&format!(
                "{reset}, {timer}, {silence}: {together} workers ran at once. That is the same for all; by itself \
                 each figure is an upper bound."
            )),
        )?;
        self.notes(f)
    }
}

impl Costs {
    /// How it was measured, in full sentences.
    #[must_use]
    pub fn how(&self) -> String {
        format!(
            "Measured apart from the plays, on loopback: one client or one server in a process of its own; the other side is a \
             plain loop, the same for all. {} pairs of each two and of each with itself, in an order drawn by lot.{}",
            self.config.rounds,
            built()
        )
    }

    fn side(&self, f: &mut fmt::Formatter<'_>, side: Side) -> fmt::Result {
        write!(f, "\n{:TITLE$}", side.as_str())?;
        for on in &self.config.configurations {
            write!(f, "{on:>COLUMN$}")?;
        }
        writeln!(f)?;
        for &metric in Metric::ALL.iter().filter(|metric| metric.side() == side) {
            self.line(f, metric)?;
        }
        Ok(())
    }

    /// The figures of a metric; beneath, what 99 of 100 single times did not exceed.
    fn line(&self, f: &mut fmt::Formatter<'_>, metric: Metric) -> fmt::Result {
        let rows: Vec<&Row> = self.rows().filter(|row| row.metric == metric).collect();
        let all = rows.iter().flat_map(|row| [row.median, row.p99]).flatten();
        let scale = Scale::of(metric.unit(), all);
        let p50 = if rows.iter().any(|row| row.p99.is_some()) { ", p50" } else { "" };
        write!(f, "{:TITLE$}", format!("  {}{p50}{}", self.title(metric), scale.of_title()))?;
        for row in &rows {
            let star = if row.standing == Standing::Least { "*" } else { "" };
            let figure = row.median.map_or(String::from("-"), |figure| scale.show(figure));
            let spread = row.spread.map_or(String::new(), shown_spread);
            write!(f, "{:>COLUMN$}", format!("{star}{figure}{spread}"))?;
        }
        writeln!(f)?;
        if rows.iter().all(|row| row.p99.is_none()) {
            return Ok(());
        }
        let indent = self.title(metric).chars().count() + 2;
        let mut line = format!("{:TITLE$}", format!("{:indent$}, p99", ""));
        for row in &rows {
            let figure = row.p99.map_or(String::from("-"), |figure| scale.show(figure));
            // Beneath the figure, not the spread.
            let spread = row.spread.map_or(0, |spread| shown_spread(spread).chars().count());
            line += &format!("{:>width$}{:spread$}", figure, "", width = COLUMN.saturating_sub(spread));
        }
        writeln!(f, "{}", line.trim_end())
    }

    fn title(&self, metric: Metric) -> String {
        match metric {
            Metric::ServerThreadsMany => format!("threads, {} connections", self.config.connections),
            _ => metric.title().to_string(),
        }
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &metric in Metric::ALL {
            for row in self.rows().filter(|row| row.metric == metric) {
                if let Some(why) = &row.missing {
                    let side = metric.side().as_str();
                    wrapped(f, &format!("-  {side}, {}, {}: {why}.", metric.title(), row.configuration))?;
                }
            }
        }
        for failure in &self.failures {
            wrapped(f, &format!("!  a run failed and was left out: {failure}."))?;
        }
        Ok(())
    }
}

/// The unit of a line: the same for all its figures, so that they can be compared at a glance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    is_count: bool,
    unit: &'static str,
    by: f64,
}

impl Scale {
    /// So that the greatest is a number of a few digits. Without figures there is no unit.
    pub(super) fn of(unit: Unit, figures: impl Iterator<Item = f64>) -> Self {
        let steps: &[(f64, &'static str)] = match unit {
            Unit::Count => &[(1.0, "")],
            Unit::Bytes => &[(1.0, "B"), (1024.0, "KiB"), (1024.0 * 1024.0, "MiB")],
            Unit::Nanoseconds => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
        };
        let is_count = matches!(unit, Unit::Count);
        let Some(greatest) = figures.reduce(f64::max) else { return Self { is_count, unit: "", by: 1.0 } };
        let (by, unit) = steps.iter().rev().find(|(by, _)| greatest >= 10.0 * by).unwrap_or(&steps[0]);
        Self { is_count, unit, by: *by }
    }

    pub(super) fn of_title(self) -> String {
        if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) }
    }

    /// Three digits, as far as there are: a count that is whole has no parts.
    pub(super) fn show(self, figure: f64) -> String {
        let figure = figure / self.by;
        match figure {
            0.0 => String::from("0"),
            _ if self.is_count && figure.fract() == 0.0 => format!("{figure:.0}"),
            ..0.1 => format!("{figure:.3}"),
            ..10.0 => format!("{figure:.2}"),
            ..100.0 => format!("{figure:.1}"),
            _ => format!("{figure:.0}"),
        }
    }
}

/// A spread as people read it: a part of the figure, or a factor if it is large.
fn shown_spread(spread: f64) -> String {
    if spread < 2.0 { format!(" ±{:.0}%", (spread - 1.0) * 100.0) } else { format!(" ×{spread:.1}") }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// In lines as wide as the table.
pub(super) fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = String::from("  ");
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "{line}")
}
