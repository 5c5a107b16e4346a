//! Events and summaries for people.

use alloc::sync::Arc;
use core::fmt::Write as _;
use core::net::SocketAddr;
use std::collections::HashMap;

use anstyle::{AnsiColor, Style};
use resound_core::datagram::server::Ignored;
use resound_core::signal::Reason;

use super::event::{Body, Destination, End, Line, Served, ServedUdp, Strays, Summary, Why};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();

/// What was already said, so that it is not said again.
#[derive(Debug)]
pub(crate) struct Text {
    verbose: bool,
    /// The reason that was last explained, of each target.
    explained: HashMap<Arc<str>, Reason>,
}

impl Text {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { verbose, explained: HashMap::new() }
    }

    /// The line of an event; `None` for one that is only of interest to programs, or to those who asked for more.
    pub(crate) fn line(&mut self, line: &Line) -> Option<String> {
        let said = match &line.body {
            Body::Dialing { attempt } if self.verbose => format!("{DIM}dialing (attempt {attempt}){DIM:#}"),
            Body::Dialing { .. } => return None,
            Body::DialFailed { cause, after_ns, .. } => {
                let explain = self.explain(line, cause.reason);
                format!("{BAD}no connection{BAD:#}: {} after {}{explain}", cause.text, time(*after_ns))
            }
            Body::Up { attempt, local } => {
                self.forget(line);
                let from = local.map(|local| format!(" from {local}")).unwrap_or_default();
                let more = if self.verbose {
                    format!(", attempt {attempt}, {}", line.runtime)
                } else {
                    String::new()
                };
                format!("{GOOD}up{GOOD:#}{from}{more}")
            }
            Body::Echo { seq, bytes, rtt_ns } => format!("seq={seq} bytes={bytes} rtt={}", time(*rtt_ns)),
            Body::Lost { seq, reason } => format!("seq={seq} {WARN}lost{WARN:#}: {reason}"),
            Body::Late { seq, rtt_ns } => format!("seq={seq} {WARN}late{WARN:#}: rtt={}", time(*rtt_ns)),
            Body::Duplicated { seq } => format!("seq={seq} {WARN}duplicated{WARN:#}"),
            Body::Trouble { cause, local, count, .. } => {
                let whose = local.map(|local| format!("{local}  ")).unwrap_or_default();
                let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
                format!("{whose}{WARN}trouble{WARN:#}: {}{times}", cause.text)
            }
            Body::TooBig { mtu } => {
                let fits = mtu.map(|mtu| format!("; packets of {mtu} bytes fit")).unwrap_or_default();
                format!("{WARN}too big{WARN:#} for the path{fits}")
            }
            Body::WrongAddress { from } => {
                format!("{WARN}wrong address{WARN:#}: {from} answered instead; not taken")
            }
            Body::Overrun { local, dropped } => {
                let whose = local.map(|local| format!("{local}  ")).unwrap_or_default();
                format!(
                    "{whose}{WARN}overrun{WARN:#}: this host dropped {dropped} datagrams for want of room"
                )
            }
            Body::Strays { strays } => return self::strays(*strays),
            Body::Suspect { unanswered } => {
                format!("{WARN}suspect{WARN:#}: {unanswered} unanswered in a row")
            }
            Body::Down { cause, in_flight, silent_ns, .. } => {
                let explain = self.explain(line, cause.reason);
                let silent = time(*silent_ns);
                let text = &cause.text;
                format!("{BAD}down{BAD:#}: {text}; {in_flight} in flight, silent for {silent}{explain}")
            }
            Body::Retry { level, in_ns } => {
                let level = if self.verbose { format!(" (level {level})") } else { String::new() };
                format!("{DIM}trying again in {}{level}{DIM:#}", time(*in_ns))
            }
            Body::Stall { late_ns } => {
                format!("{WARN}stall{WARN:#}: this host woke {} late; the peer is not blamed", time(*late_ns))
            }
            Body::Summary { summary, .. } => return Some(self::summary(line, summary)),
            Body::Listening { transport, local, options } => {
                return Some(self.listening(line, transport, *local, options));
            }
            Body::Accepted { local, destination, options } => {
                if !self.verbose && *destination == Destination::Hidden {
                    return None;
                }
                let on = local.map(|local| format!(" on {local}")).unwrap_or_default();
                return Some(format!("{}accepted{on}\n{}", whom(line), self.options(options)));
            }
            Body::Refused { why } => format!("{WARN}refused{WARN:#}: {why}"),
            Body::AcceptFailed { cause } => format!("{WARN}accept failed{WARN:#}: {}", cause.text),
            Body::Asked { local, to, datagrams, bytes } => {
                let to =
                    to.map_or_else(|| local.to_string(), |to| SocketAddr::new(to, local.port()).to_string());
                format!("asked {to}: {datagrams} datagrams, {bytes} bytes")
            }
            Body::Ignored { local, why, count, explain } => {
                format!("{WARN}ignored{WARN:#} {count} on {local}: {why}\n    {DIM}{explain}{DIM:#}")
            }
            Body::Ended { cause, received, echoed } => return self.ended(line, cause, *received, *echoed),
            Body::Served { served, .. } => return Some(self::served(served)),
        };
        Some(format!("{}{said}\n", whom(line)))
    }

    fn listening(
        &self,
        line: &Line,
        transport: &str,
        local: SocketAddr,
        options: &[(&str, String)],
    ) -> String {
        let runtime = line.runtime;
        let said = format!("{GOOD}listening{GOOD:#} on {BOLD}{local}{BOLD:#} ({transport}, {runtime})\n");
        said + &self.options(options)
    }

    fn options(&self, options: &[(&str, String)]) -> String {
        let mut said = String::new();
        if self.verbose {
            let width = options.iter().map(|(name, _)| name.len() + 1).max().unwrap_or_default().max(17);
            for (name, value) in options {
                let _ = writeln!(said, "    {DIM}{name:<width$}{value}{DIM:#}");
            }
        }
        said
    }

    fn ended(&self, line: &Line, cause: &Why, received: u64, echoed: u64) -> Option<String> {
        if !self.verbose && cause.reason == Reason::Closed {
            return None;
        }
        let text = &cause.text;
        Some(format!("{}ended: {text}; {received} bytes received, {echoed} echoed\n", whom(line)))
    }

    /// The sentence about a reason, unless it was just said.
    fn explain(&mut self, line: &Line, reason: Reason) -> String {
        let target = line.about.target.clone().unwrap_or_default();
        let said_before = self.explained.insert(target, reason) == Some(reason);
        if said_before { String::new() } else { format!("\n    {DIM}{}{DIM:#}", reason.explain()) }
    }

    fn forget(&mut self, line: &Line) {
        if let Some(target) = &line.about.target {
            self.explained.remove(target);
        }
    }
}

fn whom(line: &Line) -> String {
    line.about.peer.map(|peer| format!("{peer}  ")).unwrap_or_default()
}

fn summary(line: &Line, summary: &Summary) -> String {
    let target = line.about.target.as_deref().unwrap_or_default();
    let peer = line.about.peer.map(|peer| peer.to_string()).filter(|peer| peer != target);
    let peer = peer.map(|peer| format!(" ({peer})")).unwrap_or_default();
    let mut out = format!("\n{BOLD}{target}{BOLD:#}{peer}, {}\n", line.runtime);
    let Summary { sent, echoed, lost, in_flight, late, reconnects, .. } = *summary;
    let loss =
        if sent > 0 { format!(" ({:.1} %)", lost as f64 * 100.0 / sent as f64) } else { String::new() };
    let _ = write!(out, "  {sent} sent, {echoed} echoed, {lost} lost{loss}");
    let Summary { duplicated, reordered, .. } = *summary;
    let more =
        [(in_flight, "in flight"), (late, "late"), (duplicated, "duplicated"), (reordered, "reordered")];
    for (count, what) in more {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    let (up, down) = (time(summary.up_ns), time(summary.down_ns));
    let longest = time(summary.longest_outage_ns);
    let _ = writeln!(out, "\n  up {up}, down {down}, longest outage {longest}, reconnects {reconnects}");
    if let Some(rtt) = summary.rtt_ns {
        let [min, mean, p50] = [rtt.min, rtt.mean, rtt.p50].map(time);
        let [p90, p99, p999, max, stddev] = [rtt.p90, rtt.p99, rtt.p999, rtt.max, rtt.stddev].map(time);
        let _ = writeln!(out, "  rtt min {min}, mean {mean}, max {max}, stddev {stddev}");
        let _ = writeln!(out, "      p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}");
    }
    if let Some(reason) = summary.last_reason {
        let _ = writeln!(out, "  last reason {reason}: {}", reason.explain());
    }
    match summary.end {
        End::GaveUp => out.push_str("  gave up\n"),
        End::Interrupted => out.push_str("  interrupted\n"),
        End::Count | End::Error => {}
    }
    out
}

/// What came in that was nobody's, if anything did.
fn strays(strays: Strays) -> Option<String> {
    let Strays { strangers, wrong_address, stale, unattributed, overrun } = strays;
    let counts = [
        (strangers, "from strangers"),
        (wrong_address, "from the wrong address"),
        (stale, "for what is over"),
        (unattributed, "errors about nobody's datagrams"),
        (overrun, "dropped by this host"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!told.is_empty()).then(|| format!("\nnot counted above: {}\n", told.join(", ")))
}

fn served(served: &Served) -> String {
    let Served { accepted, refused, ended, received, echoed, .. } = *served;
    let mut out = String::from("\n");
    if served.udp.is_none() || accepted + refused > 0 {
        let _ = writeln!(
            out,
            "{accepted} connections served, {refused} refused, {ended} ended; {received} bytes received, {echoed} echoed"
        );
    }
    if let Some(udp) = served.udp {
        let ServedUdp { received, echoed, bytes, unsent, overrun, ignored } = udp;
        let _ = write!(out, "{received} datagrams received, {echoed} echoed ({bytes} bytes)");
        for (count, what) in [(unsent, "unsent"), (overrun, "dropped by this host for want of room")] {
            if count > 0 {
                let _ = write!(out, ", {count} {what}");
            }
        }
        for &why in Ignored::ALL {
            if ignored.ignored(why) > 0 {
                let _ = write!(out, ", {} ignored ({why})", ignored.ignored(why));
            }
        }
        out.push('\n');
    }
    out
}

/// Three digits and a unit.
pub(crate) fn time(nanos: u64) -> String {
    let n = nanos as f64;
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", digits(n / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", digits(n / 1e6)),
        1_000_000_000..120_000_000_000 => format!("{} s", digits(n / 1e9)),
        _ => humantime::format_duration(core::time::Duration::from_secs(nanos / 1_000_000_000)).to_string(),
    }
}

fn digits(n: f64) -> String {
    if n < 10.0 {
        format!("{n:.2}")
    } else if n < 100.0 {
        format!("{n:.1}")
    } else {
        format!("{n:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (43_120, "43.1 µs"),
            (1_234_567, "1.23 ms"),
            (999_400_000, "999 ms"),
            (2_000_000_000, "2.00 s"),
            (200_000_000_000, "3m 20s"),
        ] {
            assert_eq!(time(nanos), text);
        }
    }
}
