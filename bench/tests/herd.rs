//! S1, and the table of rules that it stands in.

use core::time::Duration;

use resound_bench::herd::rules::{Elsewhere, OTHERS, OURS_ELSEWHERE, Rule};
use resound_bench::herd::{Cut, Failure, Herd, Outcome, all_waves_bound, first_wave_bound};
use resound_core::{backoff, link};

/// A smaller herd with as much less room takes as long, and its peaks are as much lower. An unoptimized one has no time for
/// ten thousand.
const ONE_IN: u32 = if cfg!(debug_assertions) { 10 } else { 1 };

const TWO_MINUTES: Herd =
    Herd { clients: 10_000 / ONE_IN, room: 50 / ONE_IN, ..Herd::usual(Duration::from_secs(120)) };

fn ours() -> Rule {
    Rule::Ours(backoff::Config::default().check().expect("the default works"))
}

fn links() -> Rule {
    Rule::Links(link::Config::default().check().expect("the default works"))
}

fn others() -> Vec<(&'static str, Outcome)> {
    OTHERS.iter().map(|known| (known.name, Rule::Other(known.rule).play(&TWO_MINUTES))).collect()
}

/// The highest peak of all, and when half of the clients are back.
fn peak_and_half(outcome: &Outcome) -> (u32, f64) {
    let half = outcome.median(TWO_MINUTES.clients);
    (outcome.peak_outage.max(outcome.peak_after), half.map_or(f64::INFINITY, |half| half.as_secs_f64()))
}

#[test]
fn s1_no_bucket_of_the_first_wave_is_crowded() {
    let window = backoff::Config::default().first_window;
    for clients in [100, 1_000, 10_000 / ONE_IN] {
        for seed in 1..=3 {
            let herd = Herd { clients, seed, ..Herd::usual(Duration::from_secs(6)) };
            let played = links().play(&herd);
            assert!(f64::from(played.peak_first) <= first_wave_bound(clients, window), "{herd:?}");
            let all = played.peak_outage.max(played.peak_after);
            assert!(f64::from(all) <= all_waves_bound(clients, window), "{herd:?}: {all}");
            assert!(all > 2 * clients / 50, "the waves that follow are no figment: {all}");
        }
    }
}

#[test]
fn links_wait_exactly_as_the_rule_says() {
    for failure in [Failure::Refused, Failure::TimedOut] {
        let herd = Herd { clients: 500, room: 3, failure, ..TWO_MINUTES };
        assert_eq!(ours().play(&herd), links().play(&herd));
    }
}

#[test]
fn the_table_of_others_is_found_again() {
    let same = |name: &str, found: &Outcome, elsewhere: Elsewhere| {
        assert!((found.attempts / elsewhere.attempts - 1.0).abs() < 0.04, "{name}: {}", found.attempts);
        for (found, known) in [found.peak_outage, found.peak_after].into_iter().zip(elsewhere.peaks) {
            let (found, known) = (f64::from(found), f64::from(known) / f64::from(ONE_IN));
            // Two draws of a peak.
            let noise = 4.0 * known.sqrt();
            assert!((found - known).abs() <= noise, "{name}: {found}, not {known}");
        }
        let half = found.median(TWO_MINUTES.clients).map(|half| half.as_secs_f64());
        let known = elsewhere.back.map(|[half, _]| half);
        match (half, known) {
            (Some(half), Some(known)) => {
                assert!((half / known - 1.0).abs() < 0.2, "{name}: {half}, not {known}");
            }
            _ => assert_eq!(half, known, "{name}"),
        }
    };
    for (known, (name, found)) in OTHERS.iter().zip(others()) {
        same(name, &found, known.elsewhere);
    }
    same("ours", &ours().play(&TWO_MINUTES), OURS_ELSEWHERE);
}

#[test]
fn no_rule_that_is_back_as_soon_has_nearly_so_low_a_peak() {
    let (peak, half) = peak_and_half(&ours().play(&TWO_MINUTES));
    for (name, outcome) in others() {
        let (other_peak, other_half) = peak_and_half(&outcome);
        assert!(other_peak * 10 >= peak * 17, "{name}: {other_peak}, ours {peak}");
        // Only the one that was given our first delay comes nearer.
        let ours_in_part = name.contains("first delay U(0, 5 s)");
        assert!(ours_in_part || other_half > 1.2 * half || other_peak >= 4 * peak, "{name}: {other_peak}");
    }
}

#[test]
fn everybody_comes_back_and_nobody_twice() {
    for cut in [Cut::Lost, Cut::Goodbye(Some(Duration::from_secs(1))), Cut::Hurried] {
        let herd = Herd { clients: 1_000, cut, ..Herd::usual(Duration::from_secs(3)) };
        let played = links().play(&herd);
        assert_eq!(played.back.len(), 1_000);
        assert!(played.back.is_sorted());
        // 50 in 100 ms.
        assert!(played.back.iter().zip(&played.back[50..]).all(|(a, b)| *b > *a));
    }
}
