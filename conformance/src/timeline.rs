//! Events in words that are the same on every run.
//!
//! Times, ports and round trips are left out; the same thing several times in a row is counted; a round of attempts
//! that failed like the one before it is not told again, for how many there are is the jitter's business; and that this
//! machine was slow is nobody's fault and no part of the story.

use core::time::Duration;

use resound_core::signal::Cause;
use resound_core::stream::client::Event;

use crate::outcome::Moment;
use crate::runtime::ServerEvent;

#[derive(Debug, Default)]
pub(crate) struct Timeline {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    at: Duration,
    what: String,
    times: u32,
}

impl Timeline {
    pub(crate) fn client(&mut self, at: Duration, event: &Event) {
        let what = match event {
            Event::Dialing { target, .. } => format!("dialing{}", to(*target)),
            Event::DialFailed { cause, .. } => format!("dial-failed {}", short(cause)),
            Event::Up { target, .. } => format!("up{}", to(*target)),
            Event::Echoed { .. } => String::from("echo"),
            Event::Lost { cause, .. } => format!("lost {}", short(cause)),
            Event::Suspect { .. } => String::from("suspect"),
            Event::Down { cause, .. } => format!("down {}", short(cause)),
            Event::Retry { .. } => String::from("retry"),
            Event::Stalled { .. } => return,
            Event::GaveUp { cause } => format!("gave-up {}", short(cause)),
            Event::Closed => String::from("closed"),
        };
        self.push(at, &what);
    }

    pub(crate) fn server(&mut self, at: Duration, event: &ServerEvent) {
        let what = match event {
            ServerEvent::Accepted { .. } => String::from("server: accepted"),
            ServerEvent::Refused { why, .. } => format!("server: refused, {why}"),
            ServerEvent::AcceptFailed { .. } => String::from("server: accept failed"),
            ServerEvent::Connection { event, .. } => format!("server: ended {}", short(&event.cause)),
            ServerEvent::Done => String::from("server: done"),
        };
        self.push(at, &what);
    }

    pub(crate) fn push(&mut self, at: Duration, what: &str) {
        match self.lines.last_mut() {
            Some(last) if last.what == what => last.times += 1,
            _ => self.lines.push(Line { at, what: what.to_owned(), times: 1 }),
        }
        self.fold_rounds();
    }

    /// Drops a round that ended like the one before it.
    fn fold_rounds(&mut self) {
        let Some(start) = self.lines.len().checked_sub(4) else { return };
        if let [first, retry, dialing, last] = &self.lines[start..] {
            let failed_alike = first.what.starts_with("dial-failed") && first.what == last.what;
            if failed_alike && retry.what == "retry" && dialing.what.starts_with("dialing") {
                self.lines.truncate(start + 1);
            }
        }
    }

    /// The lines, in order.
    pub(crate) fn take(&mut self) -> Vec<Moment> {
        let line = |Line { at, what, times }: Line| match times {
            1 => Moment { at, what },
            _ => Moment { at, what: format!("{what}×{times}") },
        };
        core::mem::take(&mut self.lines).into_iter().map(line).collect()
    }
}

fn short(cause: &Cause) -> String {
    format!("{} ({})", cause.reason, cause.origin)
}

/// Which of several addresses, unless it is the first.
fn to(target: u8) -> String {
    if target == 0 { String::new() } else { format!(" target {target}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        let mut timeline = Timeline::default();
        for line in lines {
            timeline.push(Duration::ZERO, line);
        }
        timeline.take().into_iter().map(|moment| moment.what).collect()
    }

    #[test]
    fn repetitions_are_counted() {
        assert_eq!(told(&["up", "echo", "echo", "echo", "closed"]), ["up", "echo×3", "closed"]);
    }

    #[test]
    fn rounds_that_fail_alike_are_told_once_and_others_each() {
        let refused = ["dial-failed conn-refused (peer)", "retry", "dialing"];
        let until_up = [&refused[..], &refused, &refused, &["up"]].concat();
        assert_eq!(told(&until_up), [&refused[..], &["up"]].concat());
        let otherwise = [&refused[..], &["dial-failed no-response (timer)"]].concat();
        assert_eq!(told(&otherwise), otherwise);
    }
}
