//! Counting the system calls of another process.
//!
//! The kernel counts them itself, at its tracepoint `raw_syscalls:sys_enter`, for the threads that a process has and gets:
//! one counter, which the process does not notice but for some tens of nanoseconds in each call. That takes tracefs and
//! `perf_event_open(2)`, in practice root. Else strace counts, where it is installed; it stops the process at each call,
//! which takes so long that an answer may have come in before the process asks for it, and then it saves the wait.
//! `/proc/PID/io` counts `read` and `write` only, not what sockets are used with.

use core::fmt;
use core::time::Duration;
use std::fs;
use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use serde::Serialize;

use super::process::Worker;
use super::worker::PATIENCE;

/// Where tracefs says by which number the tracepoint is known.
const TRACEPOINTS: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// What counts system calls on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// The kernel, at the tracepoint of that number.
    Tracepoint(u64),
    /// strace, which makes each call slow; why not the kernel.
    Strace(String),
    /// Nothing; why.
    Nothing(String),
}

impl Counting {
    /// Finds out.
    #[must_use]
    pub fn here() -> Self {
        let why = match tracepoint().and_then(|id| counter(id, None).map(|_| id)) {
            Ok(id) => return Self::Tracepoint(id),
            Err(error) => format!("the kernel may not be asked for them: {error}"),
        };
        let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match strace {
            Ok(status) if status.success() => Self::Strace(why),
            _ => Self::Nothing(format!("{why}; strace is not there")),
        }
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint(_) => f.write_str("system calls counted by the kernel"),
            Self::Strace(why) => {
                write!(f, "system calls counted by strace, which slows each of them: {why}")
            }
            Self::Nothing(why) => write!(f, "system calls not counted: {why}"),
        }
    }
}

fn tracepoint() -> io::Result<u64> {
    let found = TRACEPOINTS.iter().map(|path| (path, fs::read_to_string(path)));
    let mut why = io::Error::other("there is no tracefs");
    for (path, text) in found {
        match text {
            Ok(text) => {
                return text.trim().parse().map_err(|_| io::Error::other(format!("{path} has {text:?}")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = io::Error::new(error.kind(), format!("{path}: {error}")),
        }
    }
    Err(why)
}

/// A counter for a process and all the threads that it will have, this one if none is named.
fn counter(tracepoint: u64, process: Option<u32>) -> io::Result<Counter> {
    let mut builder = Builder::new(Tracepoint::with_id(tracepoint));
    // The tracepoint is the kernel's, wherever the call came from.
    builder.include_kernel().inherit(true);
    if let Some(id) = process {
        builder.observe_pid(i32::try_from(id).map_err(io::Error::other)?);
    }
    builder.build().map_err(|error| io::Error::new(error.kind(), format!("perf_event_open: {error}")))
}

/// Counts the calls of many processes, by the kernel only.
///
/// While this is there the tracepoint is on. To switch it on and off takes the kernel a while and slows down whatever calls
/// it, so that is not done for each process.
#[derive(Debug)]
pub(crate) struct Meter {
    tracepoint: u64,
    #[expect(dead_code, reason = "it keeps the tracepoint on")]
    kept: Counter,
}

impl Meter {
    /// `None` where the kernel may not be asked.
    pub(crate) fn here() -> Option<Self> {
        let tracepoint = tracepoint().ok()?;
        // Of this thread alone: nothing is counted.
        let kept = Builder::new(Tracepoint::with_id(tracepoint)).include_kernel().build().ok()?;
        Some(Self { tracepoint, kept })
    }

    /// The calls of a process that has one thread yet, from now on.
    pub(crate) fn attach(&self, process: u32) -> Option<Metered> {
        let mut counter = counter(self.tracepoint, Some(process)).ok()?;
        counter.enable().ok()?;
        Some(Metered(counter))
    }
}

/// A process whose calls are counted.
#[derive(Debug)]
pub(crate) struct Metered(Counter);

impl Metered {
    /// So many so far; also when it has ended.
    pub(crate) fn read(&mut self) -> Option<u64> {
        self.0.read().ok()
    }
}

/// Counts the calls of one process from when it is attached, while that still has one thread.
#[derive(Debug)]
pub(super) enum Calls {
    Kernel(Counter),
    Strace(Strace),
}

impl Calls {
    /// Attaches to a worker that has not begun.
    pub(super) fn attach(counting: &Counting, worker: &Worker) -> io::Result<Self> {
        match counting {
            Counting::Tracepoint(id) => {
                let mut counter = counter(*id, Some(worker.id()))?;
                counter.enable()?;
                Ok(Self::Kernel(counter))
            }
            Counting::Strace(_) => Ok(Self::Strace(Strace { process: worker.id(), running: None })),
            Counting::Nothing(why) => Err(io::Error::other(why.clone())),
        }
    }

    /// How many calls the process makes while `work` runs.
    pub(super) fn during(&mut self, work: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
        match self {
            Self::Kernel(counter) => {
                let before = counter.read()?;
                work()?;
                Ok(counter.read()?.saturating_sub(before))
            }
            Self::Strace(strace) => {
                strace.begin()?;
                let worked = work();
                let calls = strace.end()?;
                worked.map(|()| calls)
            }
        }
    }
}

/// strace, attached for one piece of work at a time.
#[derive(Debug)]
pub(super) struct Strace {
    process: u32,
    running: Option<Child>,
}

impl Strace {
    fn begin(&mut self) -> io::Result<()> {
        let id = self.process.to_string();
        let strace = Command::new("strace")
            .args(["-f", "-c", "-U", "calls,name", "-p", &id])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        self.running = Some(strace);
        let until = Instant::now() + PATIENCE;
        while !self.is_attached()? {
            let ended = self.running.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || Instant::now() > until {
                return Err(io::Error::other("strace may not attach; is ptrace restricted?"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether every thread is traced.
    fn is_attached(&self) -> io::Result<bool> {
        for task in fs::read_dir(format!("/proc/{}/task", self.process))? {
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|id| id.trim() == "0")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end(&mut self) -> io::Result<u64> {
        let Some(mut strace) = self.running.take() else { return Ok(0) };
        kill(Pid::from_raw(i32::try_from(strace.id()).map_err(io::Error::other)?), Signal::SIGINT)?;
        let mut text = String::new();
        if let Some(mut stderr) = strace.stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        strace.wait()?;
        let Some(total) = text.lines().find(|line| line.trim_end().ends_with("total")) else {
            // Of no call it says nothing.
            return if text.contains("calls") { Err(io::Error::other(text)) } else { Ok(0) };
        };
        let total = total.split_whitespace().next().and_then(|number| number.parse().ok());
        total.ok_or_else(|| io::Error::other(format!("strace said no total: {text}")))
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if let Some(strace) = &mut self.running {
            // It lets go of what it traces when it ends.
            let _ = strace.kill();
            let _ = strace.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker of which is known what it calls: a shell reads from a pipe byte by byte (POSIX, `read`: it may not take
    /// what belongs to the next command), and writes each line at once.
    const ECHO: &str = "while read -r line; do echo \"$line\"; done";

    /// One line there and back: two reads and a write.
    const CALLS: u64 = 3;

    fn counted(counting: &Counting, lines: u64) -> io::Result<u64> {
        let mut worker = Worker::spawn(Command::new("sh").args(["-c", ECHO]), &[])?;
        assert_eq!(worker.ask("x")?, "x");
        Calls::attach(counting, &worker)?.during(|| (0..lines).try_for_each(|_| worker.ask("x").map(drop)))
    }

    #[test]
    fn whatever_counts_here_counts_what_is_called_and_nothing_else() {
        let here = Counting::here();
        let strace = Counting::Strace(String::from("to be tried"));
        let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
        // The shell has not said that anybody may trace it, as a worker does.
        let restricted =
            fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|s| s.trim() != "0");
        let ways: Vec<&Counting> = match &here {
            Counting::Nothing(why) => {
                assert!(!has_strace && !why.is_empty(), "{why}");
                return;
            }
            Counting::Strace(_) if restricted => return,
            Counting::Tracepoint(_) if has_strace && !restricted => vec![&here, &strace],
            _ => vec![&here],
        };
        for way in ways {
            let (few, many) = (counted(way, 100).unwrap(), counted(way, 300).unwrap());
            let each = (many - few) as f64 / 200.0;
            // Where strace comes in, the read that waits may be counted twice.
            assert!((each - CALLS as f64).abs() < 0.05, "{way}: {each} calls for a line");
            assert!(few.abs_diff(100 * CALLS) < 10, "{way}: {few} calls for 100 lines");
        }
    }

    #[test]
    fn what_is_begun_later_is_counted_too() {
        let Counting::Tracepoint(id) = Counting::here() else { return };
        // The shell's children are its own processes; they are inherited just as threads are.
        let script = "read -r go; (while read -r line; do echo \"$line\"; done)";
        let mut worker = Worker::spawn(Command::new("sh").args(["-c", script]), &[]).unwrap();
        let mut calls = Calls::attach(&Counting::Tracepoint(id), &worker).unwrap();
        worker.tell("go").unwrap();
        assert_eq!(worker.ask("x").unwrap(), "x");
        let counted = calls.during(|| (0..100).try_for_each(|_| worker.ask("x").map(drop))).unwrap();
        assert!(counted.abs_diff(100 * CALLS) < 10, "{counted} calls for 100 lines");
    }
}
