//! Events in words that are the same on every run.
//!
//! Times, ports and round trips are left out; the same thing several times in a row is counted; a round of attempts
//! that failed like the one before it is not told again, for how many there are is the jitter's business; and that this
//! machine was slow is nobody's fault and no part of the story.
//!
//! A client of several peers has a voice for each: what different peers do happens in no order. They are told one after
//! the other, and then what is about nobody in particular. Of a peer among others nobody knows how far it will have come
//! when the story ends; so a round of attempts that is under way by then is left out.

use core::time::Duration;

use resound_core::datagram;
use resound_core::signal::Cause;
use resound_core::stream::client::Event;

use crate::outcome::Moment;
use crate::runtime::ServerEvent;

/// Whose line it is: a peer's name, or nothing for what is nobody's, or everybody's.
pub(crate) type Voice = &'static str;

#[derive(Debug, Default)]
pub(crate) struct Timeline {
    lines: Vec<Line>,
    named: Vec<(Voice, Vec<Line>)>,
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

    pub(crate) fn udp_client(&mut self, at: Duration, voice: Voice, event: &datagram::client::Event) {
        use datagram::client::Event;
        let what = match event {
            Event::Dialing { .. } => String::from("dialing"),
            Event::DialFailed { cause, .. } => format!("dial-failed {}", short(cause)),
            Event::Up { .. } => String::from("up"),
            Event::Echoed { .. } => String::from("echo"),
            Event::Lost { cause, .. } => format!("lost {}", short(cause)),
            Event::Late { .. } => String::from("late"),
            Event::Duplicated { .. } => String::from("duplicated"),
            Event::Suspect { .. } => String::from("suspect"),
            Event::Down { cause, .. } => format!("down {}", short(cause)),
            Event::Retry { .. } => String::from("retry"),
            Event::GaveUp { cause, .. } => format!("gave-up {}", short(cause)),
            Event::Trouble { cause, .. } => format!("trouble {}", short(cause)),
            Event::TooBig { .. } => String::from("too-big"),
            Event::WrongAddress { .. } => String::from("wrong-address"),
            // How often, and how many, is this host's business.
            Event::Overrun { .. } => return self.push_once(at, "overrun"),
            Event::Stalled { .. } => return,
            Event::Failed { op, signal } => format!("failed {}", short(&signal.cause(*op))),
            Event::Closed => String::from("closed"),
        };
        self.say(voice, at, &what);
    }

    pub(crate) fn udp_server(&mut self, at: Duration, event: &datagram::server::Event) {
        use datagram::server::Event;
        match event {
            Event::Ignored { why, .. } => self.push_once(at, &format!("server: ignored {why}")),
            Event::Overrun { .. } => self.push_once(at, "server: overrun"),
            Event::Failed { op, signal, .. } => {
                self.push_once(at, &format!("server: failed {}", short(&signal.cause(*op))));
            }
            Event::Stopped => self.push(at, "server: stopped"),
        }
    }

    pub(crate) fn push(&mut self, at: Duration, what: &str) {
        add(&mut self.lines, at, what);
    }

    /// Unless it was told before.
    fn push_once(&mut self, at: Duration, what: &str) {
        if !self.lines.iter().any(|line| line.what == what) {
            self.push(at, what);
        }
    }

    pub(crate) fn say(&mut self, voice: Voice, at: Duration, what: &str) {
        if voice.is_empty() {
            return self.push(at, what);
        }
        let known = self.named.iter().position(|(name, _)| *name == voice);
        let known = known.unwrap_or_else(|| {
            self.named.push((voice, Vec::new()));
            self.named.len() - 1
        });
        add(&mut self.named[known].1, at, what);
    }

    /// The lines, in order.
    pub(crate) fn take(&mut self) -> Vec<Moment> {
        let Self { lines, named } = core::mem::take(self);
        let mut moments = Vec::new();
        for (voice, mut lines) in named {
            leave_out_what_is_under_way(&mut lines);
            let told = lines.into_iter().map(Line::told);
            moments.extend(told.map(|Moment { at, what }| Moment { at, what: format!("{voice}: {what}") }));
        }
        moments.extend(lines.into_iter().map(Line::told));
        moments
    }
}

impl Line {
    fn told(self) -> Moment {
        let Self { at, what, times } = self;
        match times {
            1 => Moment { at, what },
            _ => Moment { at, what: format!("{what}×{times}") },
        }
    }
}

fn add(lines: &mut Vec<Line>, at: Duration, what: &str) {
    match lines.last_mut() {
        Some(last) if last.what == what => last.times += 1,
        _ => lines.push(Line { at, what: what.to_owned(), times: 1 }),
    }
    fold_rounds(lines);
}

/// Drops a round that ended like the one before it.
fn fold_rounds(lines: &mut Vec<Line>) {
    let Some(start) = lines.len().checked_sub(4) else { return };
    if let [first, retry, dialing, last] = &lines[start..] {
        let failed_alike = first.what.starts_with("dial-failed") && first.what == last.what;
        if failed_alike && retry.what == "retry" && dialing.what.starts_with("dialing") {
            lines.truncate(start + 1);
        }
    }
}

fn leave_out_what_is_under_way(lines: &mut Vec<Line>) {
    let round = lines.iter().rposition(|line| !matches!(&*line.what, "retry" | "dialing"));
    if let Some(last) = round {
        lines.truncate(last + 1);
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
    fn each_voice_is_told_for_itself_without_the_round_that_is_under_way() {
        let mut timeline = Timeline::default();
        let said = [
            ("b", "dialing"),
            ("", "overrun"),
            ("a", "dialing"),
            ("b", "up"),
            ("a", "dial-failed"),
            ("b", "echo"),
            ("a", "retry"),
            ("b", "echo"),
            ("a", "dialing"),
            ("", "closed"),
        ];
        for (voice, what) in said {
            timeline.say(voice, Duration::ZERO, what);
        }
        timeline.push_once(Duration::ZERO, "overrun");
        let told: Vec<String> = timeline.take().into_iter().map(|moment| moment.what).collect();
        let want = ["b: dialing", "b: up", "b: echo×2", "a: dialing", "a: dial-failed", "overrun", "closed"];
        assert_eq!(told, want);
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
