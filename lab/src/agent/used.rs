//! What an agent used, as the kernel counted it.
//!
//! # Theory of operation
//!
//! What a process used is known best when it has ended: the kernel adds up what all of its threads used, those too that ended
//! long before. So it is asked for then, from outside, and an agent that is killed in the middle tells no less than one that
//! comes to the end of its play.
//!
//! ```text
//!   agent   ── starts ── ready ────── plays ──────┐SIGKILL
//!                          │                      ├── a zombie ──┐ reaped
//!   lab                  before                   │              │
//!                                 threads, memory, waited      after       used = after - before
//! ```
//!
//! A parent is told of all its children together only (`RUSAGE_CHILDREN` of getrusage(2)): so that is read just before and
//! just after one is reaped, and no other child of the lab is [reaped](reap) between. One that does not keep to that may be:
//! then more time on a processor was added than the clock of the process says, and nothing is known of this one.
//!
//! Starting a process is no work of a runtime's: what it had used when it was ready, it tells itself, and that is taken off.
//!
//! System calls are no part of that: they are counted where they are made, if the [launcher](super::Launcher::counting) says so
//! and the kernel may be asked. One that reads orders before it was heard that it is ready has some calls taken off too many.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// What some processes used, from when they were ready until they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// On processors, of all threads, those too that had ended before.
    pub spent: Spent,
    /// System calls; `None` if they were not counted.
    pub calls: Option<u64>,
    /// For how long the threads that lived at the end had waited for a processor, since the process began.
    pub waited: Duration,
    /// Threads, at most: as far as was seen whenever a program said something, and at the end.
    pub threads: u64,
    /// Resident memory, at most, since the process began, in bytes (`VmHWM` of proc(5)); of several, that of the largest.
    pub memory: u64,
}

/// What the kernel counts of a process while it is on a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time outside the kernel. What both add up to is exact; how it is shared out is known by samples (`cputime_adjust`).
    pub user: Duration,
    /// Time inside it.
    pub system: Duration,
    /// How often a thread gave its processor up, to wait: so often it was woken.
    pub wakes: u64,
    /// How often one had to give it up to somebody else.
    pub preempted: u64,
}

impl Used {
    /// What nobody used.
    pub const NOTHING: Self =
        Self { spent: Spent::NOTHING, calls: Some(0), waited: Duration::ZERO, threads: 0, memory: 0 };

    /// Of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            spent: self.spent.and(other.spent),
            calls: self.calls.and_then(|calls| Some(calls + other.calls?)),
            waited: self.waited + other.waited,
            threads: self.threads.max(other.threads),
            memory: self.memory.max(other.memory),
        }
    }
}

impl Spent {
    const NOTHING: Self = Self { user: Duration::ZERO, system: Duration::ZERO, wakes: 0, preempted: 0 };

    /// What this process has used so far.
    pub(super) fn by_myself() -> Self {
        Self::of(UsageWho::RUSAGE_SELF).unwrap_or_default()
    }

    fn of(who: UsageWho) -> Option<Self> {
        getrusage(who).ok().map(|usage| Self::from(&usage))
    }

    /// Time on a processor.
    #[must_use]
    pub fn cpu(self) -> Duration {
        self.user + self.system
    }

    /// How often a thread of it gave way to another. Where both sides share a processor, the one that is sent something takes
    /// it from the one that sends: that one is preempted and never waits, and the same happens as on two.
    #[must_use]
    pub const fn switches(self) -> u64 {
        self.wakes + self.preempted
    }

    fn and(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            wakes: self.wakes + other.wakes,
            preempted: self.preempted + other.preempted,
        }
    }

    /// What came to `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            wakes: self.wakes.saturating_sub(before.wakes),
            preempted: self.preempted.saturating_sub(before.preempted),
        }
    }

    /// As an agent says it: four numbers, times in nanoseconds.
    pub(super) fn words(self) -> String {
        let Self { user, system, wakes, preempted } = self;
        format!("{} {} {wakes} {preempted}", user.as_nanos(), system.as_nanos())
    }

    /// What those [words](Self::words) say.
    pub(super) fn parse(words: &str) -> Option<Self> {
        let numbers: Result<Vec<u64>, _> = words.split(' ').map(str::parse).collect();
        let [user, system, wakes, preempted] = numbers.ok()?[..] else { return None };
        let time = Duration::from_nanos;
        Some(Self { user: time(user), system: time(system), wakes, preempted })
    }
}

impl From<&Usage> for Spent {
    fn from(usage: &Usage) -> Self {
        let time = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0));
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Self {
            user: time(usage.user_time()),
            system: time(usage.system_time()),
            wakes: count(usage.voluntary_context_switches()),
            preempted: count(usage.involuntary_context_switches()),
        }
    }
}

/// What can be seen of a process only while it lives: the most of it so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) threads: u64,
    pub(super) memory: u64,
}

impl Seen {
    /// Looks.
    pub(super) fn look(&mut self, process: u32) {
        // It may have ended; then what was seen before counts.
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let number = |key| status.lines().find_map(|line| line.strip_prefix(key)).and_then(first_number);
        self.threads = self.threads.max(number("Threads:").unwrap_or(0));
        self.memory = self.memory.max(number("VmHWM:").unwrap_or(0) * 1_024);
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// For how long the threads of a process that live have waited for a processor so far, all together: `schedstat` of proc(5).
/// Zero where the kernel does not count that.
pub(super) fn waited(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let waited = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let counted = fs::read_to_string(task.path().join("schedstat")).ok()?;
        counted.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}

/// One child is reaped at a time.
static REAPING: Mutex<()> = Mutex::new(());

/// Times of getrusage(2) are in microseconds, and there are four of them. Nobody starts a process and ends it in less than
/// a tenth of a millisecond.
const ROUNDED: Duration = Duration::from_micros(20);

/// Waits for the end of a child that nobody has waited for yet, and takes it from the kernel's list. How it ended, and what it
/// used since it began, if that can be told from what others did.
///
/// # Errors
///
/// It cannot be waited for.
pub(crate) fn reap(child: &mut Child) -> io::Result<(ExitStatus, Option<Spent>)> {
    let cpu = cpu_of_ended(child.id());
    let turn = REAPING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Spent::of(UsageWho::RUSAGE_CHILDREN);
    let status = child.wait()?;
    let after = Spent::of(UsageWho::RUSAGE_CHILDREN);
    drop(turn);
    let spent = before.and_then(|before| Some(after?.since(before)));
    let is_its_own = |spent: &Spent| cpu.is_some_and(|cpu| cpu.abs_diff(spent.cpu()) < ROUNDED);
    Ok((status, spent.filter(is_its_own)))
}

/// The time on processors of a process that has ended and was not reaped; waits for its end. `None` if it was reaped before.
fn cpu_of_ended(process: u32) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(process).ok()?);
    let wait = || waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    while let Err(errno) = wait() {
        if errno != Errno::EINTR {
            return None;
        }
    }
    Some(Duration::from(clock_gettime(clock_getcpuclockid(pid).ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_was_used() {
        let time = Duration::from_nanos;
        let spent = Spent { user: time(1_000), system: time(2), wakes: 3, preempted: 4 };
        assert_eq!(Spent::parse(&spent.words()), Some(spent));
        for wrong in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x"] {
            assert_eq!(Spent::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn of_two_the_sum_is_told_and_the_most_of_what_is_there_at_once() {
        let of = |n: u64| Used {
            spent: Spent { wakes: n, user: Duration::from_secs(n), ..Spent::default() },
            calls: Some(n),
            waited: Duration::from_secs(n),
            threads: n,
            memory: n,
        };
        let both = of(2).and(of(5));
        assert_eq!(
            (both.spent.wakes, both.spent.cpu(), both.waited),
            (7, Duration::from_secs(7), both.waited)
        );
        assert_eq!((both.calls, both.threads, both.memory), (Some(7), 5, 5));
        assert_eq!(of(2).and(Used { calls: None, ..of(5) }).calls, None);
        assert_eq!(Used::NOTHING.and(of(3)), of(3));
    }
}
