//! What the plays tell of what a runtime costs.

use core::fmt;

use resound_sim::faults::since_start;
use resound_sim::scenario::{NodeId, Said};

use crate::agent::Used;
use crate::agreement::{detections, round_trips};
use crate::costs::Unit;
use crate::suite::Outcome;
use crate::verdict::wait;

/// What is measured in the plays. Counts come before times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// System calls of a play.
    Calls,
    /// System calls of a play for each of its messages.
    CallsMessage,
    /// Context switches of a play.
    Switches,
    /// Wake-ups of a play.
    Wakes,
    /// The most threads of a process.
    Threads,
    /// The most memory of a process.
    Memory,
    /// Time on processors of a play.
    Cpu,
    /// Time on processors of a play for each of its messages.
    CpuMessage,
    /// How late programs were told of an end or a failure.
    Detection,
    /// How late timers fired.
    Timer,
    /// How long was waited for a processor: what the machine did to a play.
    Waited,
}

impl Measure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Calls,
        Self::CallsMessage,
        Self::Switches,
        Self::Wakes,
        Self::Threads,
        Self::Memory,
        Self::Cpu,
        Self::CpuMessage,
        Self::Detection,
        Self::Timer,
        Self::Waited,
    ];

    /// The word that programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "play-calls",
            Self::CallsMessage => "play-calls-message",
            Self::Switches => "play-switches",
            Self::Wakes => "play-wakes",
            Self::Threads => "play-threads",
            Self::Memory => "play-memory",
            Self::Cpu => "play-cpu",
            Self::CpuMessage => "play-cpu-message",
            Self::Detection => "play-detection",
            Self::Timer => "play-timer",
            Self::Waited => "play-waited",
        }
    }

    /// A few words for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Calls => "system calls",
            Self::CallsMessage => "system calls per message",
            Self::Switches => "context switches",
            Self::Wakes => "wake-ups",
            Self::Threads => "threads, at most",
            Self::Memory => "memory, at most",
            Self::Cpu => "CPU",
            Self::CpuMessage => "CPU per message",
            Self::Detection => "told beyond prediction",
            Self::Timer => "timer lateness",
            Self::Waited => "waited for a processor",
        }
    }

    /// Its name inside of a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Memory => "memory",
            _ => self.title(),
        }
    }

    /// Whether it tells of the runtime at all, so that runtimes are compared by it.
    #[must_use]
    pub const fn is_compared(self) -> bool {
        !matches!(self, Self::Waited)
    }

    /// Whether it is a cost for each message. Of one message that is the cost of the play.
    pub(super) const fn is_for_a_message(self) -> bool {
        matches!(self, Self::CallsMessage | Self::CpuMessage)
    }

    /// One sentence: what exactly is counted, over what, and who counts it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Calls => "System calls of a play's processes (tracepoint raw_syscalls/sys_enter).",
            Self::CallsMessage => {
                "System calls of a play's processes (tracepoint raw_syscalls/sys_enter), for whatever they did, by the number of \
                 messages that came back."
            }
            Self::Switches => {
                "How often a thread of a play's processes gave way to another, to wait or because it had to (getrusage)."
            }
            Self::Wakes => {
                "How often a thread of a play's processes gave its processor up to wait, and so was woken (getrusage); on a busy \
                 machine some that would have waited are preempted before."
            }
            Self::Threads => {
                "Threads of a process, at most, the one that takes orders included (Threads of /proc/PID/status, whenever a \
                 program said something, and at the end)."
            }
            Self::Memory => {
                "Resident memory of a process, at most (VmHWM of /proc/PID/status), its program's own pages included; of the \
                 largest of a play."
            }
            Self::Cpu => "Time on processors of a play's processes (getrusage).",
            Self::CpuMessage => {
                "Time on processors of a play's processes (getrusage), for whatever they did, by the number of messages that came \
                 back."
            }
            Self::Detection => {
                "By how much a program was told of an end or a failure later than was predicted; early is not late."
            }
            Self::Timer => "By how much a dial came later than the wait that was said before.",
            Self::Waited => {
                "For how long the threads of a play's processes that lived at the end had waited for a processor, since the \
                 processes began (schedstat of /proc/PID/task): what the machine did, not the runtime, so it is not compared."
            }
        }
    }

    /// What its figures count.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Calls | Self::CallsMessage | Self::Switches | Self::Wakes | Self::Threads => Unit::Count,
            Self::Memory => Unit::Bytes,
            Self::Cpu | Self::CpuMessage | Self::Detection | Self::Timer | Self::Waited => Unit::Nanoseconds,
        }
    }

    /// What lies closer together cannot be told apart, in its unit.
    #[must_use]
    pub const fn resolution(self) -> f64 {
        match self {
            Self::Calls | Self::CallsMessage | Self::Switches | Self::Wakes => 1.0,
            Self::Threads => 0.0,
            // The kernel counts resident pages in batches on each processor (`percpu_counter_batch`).
            Self::Memory => 131_072.0,
            Self::Cpu | Self::CpuMessage => 20_000.0,
            Self::Detection | Self::Timer => 20_000.0,
            Self::Waited => 20_000.0,
        }
    }

    /// What a play tells of it: mostly one number, none if it has no occasion to.
    pub(super) fn of(self, outcome: &Outcome, used: &Used) -> Vec<f64> {
        let nanos = |time: core::time::Duration| time.as_nanos() as f64;
        let messages = || Some(round_trips(outcome).len() as f64).filter(|messages| *messages > 0.0);
        let for_a_message = |cost: f64| Some(cost / messages()?);
        match self {
            Self::Calls => used.calls.map(|calls| calls as f64).into_iter().collect(),
            Self::CallsMessage => {
                used.calls.and_then(|calls| for_a_message(calls as f64)).into_iter().collect()
            }
            Self::Switches => vec![used.spent.switches() as f64],
            Self::Wakes => vec![used.spent.wakes as f64],
            Self::Threads => vec![used.threads as f64],
            Self::Memory => vec![used.memory as f64],
            Self::Cpu => vec![nanos(used.spent.cpu())],
            Self::CpuMessage => for_a_message(nanos(used.spent.cpu())).into_iter().collect(),
            Self::Detection => {
                let late = detections(outcome).into_iter();
                late.map(|(_, latency)| nanos(latency.came.saturating_sub(latency.predicted))).collect()
            }
            Self::Timer => dials_late(outcome).into_iter().map(nanos).collect(),
            Self::Waited => vec![nanos(used.waited)],
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// By how much dials came later than the waits said that came before them: of clients that only waited, as was predicted of
/// them.
fn dials_late(outcome: &Outcome) -> Vec<core::time::Duration> {
    let Some(run) = &outcome.run else { return Vec::new() };
    let mut late = Vec::new();
    for node in (0..outcome.item.scenario.nodes.len()).map(|node| NodeId(node as u8)) {
        let both: Vec<_> = outcome.item.predicted.said_by(node).zip(run.said_by(node)).collect();
        for waits in both.windows(2) {
            let [(predicted, came), (next_predicted, next)] = waits else { continue };
            let (Said::Retry { delay, .. }, Said::Dialing) = (&predicted.said, &next_predicted.said) else {
                continue;
            };
            let predicted_wait = since_start(next_predicted.at).saturating_sub(since_start(predicted.at));
            let Some(said) = wait(&came.said.to_string()).filter(|_| predicted_wait == *delay) else {
                continue;
            };
            late.push(since_start(next.at).saturating_sub(since_start(came.at) + said));
        }
    }
    late
}
