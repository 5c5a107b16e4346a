//! How far real times are from predicted ones.

use std::fmt;

use super::html::Heading;
use super::plot::{Distribution, Series};
use crate::agreement::{Agreement, Latency, detections, round_trips};
use crate::suite::{Outcome, Player};

pub(super) fn write(f: &mut fmt::Formatter<'_>, agreement: &Agreement<'_>) -> fmt::Result {
    let told = |outcome: &Outcome| -> Vec<f64> {
        detections(outcome).into_iter().map(|(_, latency)| latency.off().as_secs_f64()).collect()
    };
    let trips = |outcome: &Outcome| -> Vec<f64> {
        let beyond = |latency: Latency| latency.came.saturating_sub(latency.predicted).as_secs_f64();
        round_trips(outcome).into_iter().map(beyond).collect()
    };
    writeln!(f, "<section>\n{}", Heading::TIMES)?;
    f.write_str(
        "<p>The network between the hosts is the simulator's own, so what a play takes longer than its prediction is what the \
         kernel, the runtime and this machine take. How many of all took at most so long:</p>\n<div class=\"plots\">\n",
    )?;
    for (title, of) in [
        ("From the prediction to what a program was told of an end or a failure", &told as &dyn Fn(&_) -> _),
        ("Round trips beyond their prediction", &trips),
    ] {
        let series = Player::ALL.map(|player| {
            let outcomes = agreement.rows.iter().flat_map(|row| &row.outcomes);
            let values = outcomes.filter(|outcome| outcome.player == player).flat_map(|outcome| of(outcome));
            Series { name: player.as_str().to_owned(), seconds: values.collect() }
        });
        Distribution { title: title.to_owned(), series: series.to_vec() }.write(f)?;
    }
    f.write_str("</div>\n</section>\n")
}
