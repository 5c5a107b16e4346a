//! When it is tried again: B1 to B6, and that it is.

use std::time::Duration;

use resound_core::signal::{Origin, Reason};
use resound_planted_sim as resound_sim;

use resound_sim::scenario::Said;

use super::story::{MS, SECOND, Story};
use super::{Verdict, broken};

/// W0, F, C and S of the echo clients.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
const FLOOR: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(30);
const STABLE: Duration = Duration::from_secs(20);

/// The longest delay of a level.
fn most(level: u32) -> Duration {
    match level.checked_sub(1) {
        None => FIRST_WINDOW,
        Some(doublings) => FLOOR + (CAP - FLOOR).min(FIRST_WINDOW * (1 << doublings.min(10))),
    }
}

/// B1 (within its bounds), B2 (no two alike), B4 and B5 (which level).
pub(super) fn delays(story: &Story<'_>) -> Verdict {
    let (mut level, mut dialing, mut up, mut lost) = (0, Duration::ZERO, None, None);
    let mut drawn: Vec<Duration> = Vec::new();
    for (at, said) in story.before_closing() {
        match said {
            Said::Dialing => dialing = at,
            // Over UDP, being up means that somebody has answered.
            Said::Up => up = Some((at, story.udp)),
            Said::Echo(_) => up = up.map(|(since, _)| (since, true)),
            Said::Down(..) => lost = up.take().map(|(since, answered)| (at - since, answered)),
            Said::DialFailed(..) => lost = None,
            Said::Retry { level: new, delay } => {
                // After a failed round the delay counts from its beginning.
                let total = if lost.is_some() { *delay } else { *delay + (at - dialing) };
                if let Some((stood, answered)) = lost {
                    // The client's own probes are answered too, and nobody hears of it.
                    let may_be = answered || (!story.idle.is_zero() && stood > story.idle * 3 / 4 + MS);
                    if *new == 0 && !(stood >= STABLE && may_be) {
                        return broken(
                            "B5 the level falls only on proof",
                            format!("{said}, after {stood:?}"),
                        );
                    }
                    if *new != 0 && answered && stood > CAP + SECOND {
                        return broken("B5 the level falls on proof", format!("{said}, after {stood:?}"));
                    }
                    if delay.is_zero() {
                        return broken("B2 spread", format!("{said} at {at:?}: without any wait"));
                    }
                }
                if *new != 0 && *new != level + 1 {
                    return broken("B4 the level rises by one", format!("{said}, after level {level}"));
                }
                let low = if *new == 0 { Duration::ZERO } else { FLOOR };
                let within = low <= total && total <= most(*new);
                if !delay.is_zero() && !within {
                    return broken("B1 the delay is within its bounds", format!("{said}: {total:?} in all"));
                }
                if !delay.is_zero() && drawn.contains(&total) {
                    return broken(
                        "B2 spread",
                        format!("{said} at {at:?}: {total:?} in all, for the second time"),
                    );
                }
                drawn.push(total);
                level = *new;
            }
            _ => {}
        }
    }
    Ok(())
}

/// P1, B6: what was told to come comes, and no sooner; and a round of dialing ends.
pub(super) fn retries(story: &Story<'_>) -> Verdict {
    let lines: Vec<_> = story.before_closing().collect();
    for (index, (at, said)) in lines.iter().enumerate() {
        let next = lines[index + 1..].iter().find(|(_, said)| {
            matches!(said, Said::Dialing | Said::Up | Said::DialFailed(..) | Said::GaveUp(_))
        });
        let (from, within) = match said {
            Said::Retry { delay, .. } => (*at + *delay, 50 * MS),
            Said::Dialing => (*at, story.round + story.probe.max(SECOND)),
            _ => continue,
        };
        match next {
            Some((next, what)) if *next < from => {
                return broken("B6 no sooner", format!("{said} at {at:?}, and {what} at {next:?}"));
            }
            Some((next, _)) if *next <= from + within + story.stood_still => {}
            Some((next, what)) => {
                return broken("P1 no wedge", format!("{said} at {at:?}, and {what} only at {next:?}"));
            }
            None if story.is_over(from + within) && story.closing.is_none_or(|at| at > from + within) => {
                return broken("P1 no wedge", format!("{said} at {at:?}, and nothing comes of it"));
            }
            None => {}
        }
    }
    Ok(())
}

/// What no waiting can heal ends it, and nothing else does but the limit of rounds.
pub(super) fn ends(story: &Story<'_>) -> Verdict {
    const RULE: &str = "what is final";
    let mut failed = 0;
    let mut cause = None;
    for (at, said) in story.before_closing() {
        match said {
            Said::Up => failed = 0,
            Said::DialFailed(reason, origin) => {
                failed += 1;
                cause = Some((*reason, *origin));
            }
            Said::Down(reason, origin) => cause = Some((*reason, *origin)),
            Said::Retry { .. } if cause.is_some_and(|(reason, origin)| is_final(reason, origin)) => {
                return broken(RULE, format!("{said} at {at:?}, after what no waiting heals"));
            }
            Said::Retry { .. } if story.rounds.is_some_and(|rounds| failed >= rounds) => {
                return broken(RULE, format!("{said} at {at:?}, after {failed} rounds"));
            }
            Said::GaveUp(reason)
                if !is_final(*reason, Origin::Local) && story.rounds.is_none_or(|rounds| failed < rounds) =>
            {
                return broken(RULE, format!("{said} at {at:?}, after {failed} rounds"));
            }
            _ => {}
        }
    }
    Ok(())
}

const fn is_final(reason: Reason, origin: Origin) -> bool {
    match reason {
        Reason::Mismatch | Reason::BadAddress | Reason::Protocol => true,
        Reason::PermDenied => matches!(origin, Origin::Local),
        _ => false,
    }
}
