//! What the plays tell, for a terminal.

use core::fmt;

use super::{Comparison, Measure, Plays, Row};
use crate::costs::Standing;
use crate::costs::statistics::Verdict;
use crate::costs::table::{Scale, WIDTH, wrapped};
use crate::suite::Player;

/// How wide the first column is.
const TITLE: usize = 34;
/// And those of the players.
const COLUMN: usize = 12;
/// And those of two players.
const OF_TWO: usize = 21;

impl fmt::Display for Plays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wrapped(f, &self.how())?;
        write!(f, "\n{:TITLE$}", "of a play")?;
        self.players.iter().try_for_each(|player| write!(f, "{:>COLUMN$}", player.as_str()))?;
        f.write_str("\n")?;
        self.shown().try_for_each(|measure| self.line(f, measure))?;
        if self.comparisons.is_empty() {
            return Ok(());
        }
        f.write_str("\n")?;
        if let Some(too_few) = self.too_few() {
            return wrapped(f, &too_few);
        }
        wrapped(f, Standing::STAR)?;
        write!(f, "\n{:TITLE$}", "pair by pair")?;
        for (a, b) in self.couples() {
            write!(f, "{:>OF_TWO$}", format!("{} : {}", a.as_str(), b.as_str()))?;
        }
        f.write_str("\n")?;
        let mut compared = self.shown().filter(|measure| measure.is_compared());
        compared.try_for_each(|measure| self.compared(f, measure))?;
        f.write_str("\n")?;
        wrapped(f, &format!("{} < less, > more, = not told apart.", Self::PAIRS))?;
        let control = self.control.verdict();
        if control.is_empty() { Ok(()) } else { wrapped(f, &control) }
    }
}

impl Plays {
    /// For each message only where there is more than one.
    fn shown(&self) -> impl Iterator<Item = Measure> {
        let of_several = self.messages > 1;
        Measure::ALL.into_iter().filter(move |measure| of_several || !measure.is_for_a_message())
    }

    /// Each two players, in the order of [`comparisons`](Self::comparisons).
    pub(crate) fn couples(&self) -> impl Iterator<Item = (Player, Player)> + '_ {
        let after = |at: usize| self.players.iter().skip(at + 1);
        self.players.iter().enumerate().flat_map(move |(at, &a)| after(at).map(move |&b| (a, b)))
    }

    /// What half of the plays did not exceed; beneath, what 99 of 100 did not.
    fn line(&self, f: &mut fmt::Formatter<'_>, measure: Measure) -> fmt::Result {
        let rows: Vec<&Row> = self.players.iter().filter_map(|&player| self.row(measure, player)).collect();
        let all = rows.iter().flat_map(|row| [row.median, row.p99]).flatten();
        let scale = Scale::of(measure.unit(), all);
        let show = |figure: Option<f64>| figure.map_or(String::from("-"), |figure| scale.show(figure));
        write!(f, "{:TITLE$}", format!("  {}{}, p50", measure.title(), scale.of_title()))?;
        for row in &rows {
            let star = if row.standing == Standing::Least { "*" } else { "" };
            write!(f, "{:>COLUMN$}", format!("{star}{}", show(row.median)))?;
        }
        write!(f, "\n{:>TITLE$}", "p99")?;
        rows.iter().try_for_each(|row| write!(f, "{:>COLUMN$}", show(row.p99)))?;
        f.write_str("\n")
    }

    fn compared(&self, f: &mut fmt::Formatter<'_>, measure: Measure) -> fmt::Result {
        let mut line = format!("{:TITLE$}", format!("  {}", measure.title()));
        for (a, b) in self.couples() {
            let is = |of: &&Comparison| of.measure == measure && (of.a, of.b) == (a, b);
            let shown = self.comparisons.iter().find(is).map_or(String::from("-"), shown);
            line += &format!("{shown:>OF_TWO$}");
        }
        writeln!(f, "{}", line.trim_end())
    }
}

fn shown(of: &Comparison) -> String {
    let sign = match of.verdict {
        Verdict::TooFew => return String::from("too few"),
        Verdict::Same => '=',
        Verdict::Less => '<',
        Verdict::More => '>',
    };
    format!("{sign} {:.2}  {:>3}:{:<3}", of.ratio, of.signs.less, of.signs.more)
}

const _: () = assert!(TITLE + 3 * OF_TWO <= WIDTH);
