//! A worker, seen from outside: told what to do, and measured by what the kernel knows of its process.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::worker::PATIENCE;

/// The timers of a measured client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timers {
    /// As everybody has them who configures nothing: nothing is due within a measurement.
    Shipped,
    /// A heartbeat about ten times a second.
    Beating,
}

impl Timers {
    const ALL: [Self; 2] = [Self::Shipped, Self::Beating];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Beating => "beating",
        }
    }
}

impl fmt::Display for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Timers {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|timers| timers.as_str() == word).ok_or("no timers are called so")
    }
}

/// A running worker. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What the kernel counted for a process, from its beginning on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Time on a processor, of all threads that ever were.
    pub(super) cpu: Duration,
    /// How often a thread that still lives gave up its processor to wait: so often it was woken.
    pub(super) wakes: u64,
    /// How often one gave it up, or had to. Where both sides share a processor, the one that is sent something takes it
    /// from the one that sends: neither ever waits, and the same happens as on two.
    pub(super) switches: u64,
}

impl Used {
    /// What was used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            wakes: self.wakes.saturating_sub(before.wakes),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

impl Worker {
    /// Starts a worker that does nothing yet.
    pub(super) fn spawn(command: &mut Command, role: &[&str]) -> io::Result<Self> {
        let command = command.args(role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
        })?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { process, input, output: BufReader::new(output) }),
            _ => Err(io::Error::other("a worker has no pipes, though they were asked for")),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Tells it something, and waits for the answer.
    pub(super) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.tell(line)?;
        self.answer()
    }

    /// Tells it something whose answer comes later.
    pub(super) fn tell(&mut self, line: &str) -> io::Result<()> {
        match self.input.write_all(format!("{line}\n").as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.ended()),
            result => result,
        }
    }

    /// Its next line.
    pub(super) fn answer(&mut self) -> io::Result<String> {
        let until = Instant::now() + PATIENCE;
        // A worker says a line and then nothing before it is asked again, so the buffer is empty here.
        while !self.has_something_to_say(until.saturating_duration_since(Instant::now()))? {
            if Instant::now() >= until {
                return Err(io::Error::other(format!("a worker has said nothing for {PATIENCE:?}")));
            }
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(self.ended());
        }
        match line.trim_end().strip_prefix("failed: ") {
            Some(why) => Err(io::Error::other(format!("a worker failed: {why}"))),
            None => Ok(line.trim_end().to_string()),
        }
    }

    /// It listens no more, or says no more.
    fn ended(&mut self) -> io::Error {
        match self.process.wait() {
            Ok(status) => io::Error::other(format!("a worker has ended: {status}")),
            Err(error) => error,
        }
    }

    fn has_something_to_say(&self, within: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.output.get_ref().as_fd(), PollFlags::POLLIN)];
        let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, within) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`ask`](Self::ask); the answer is an address.
    pub(super) fn ask_address(&mut self, line: &str) -> io::Result<SocketAddr> {
        let answer = self.ask(line)?;
        answer.parse().map_err(|_| io::Error::other(format!("a worker said {answer:?}, not an address")))
    }

    /// What it has used up to now.
    pub(super) fn used(&self) -> io::Result<Used> {
        let id = Pid::from_raw(i32::try_from(self.id()).map_err(io::Error::other)?);
        let cpu = Duration::from(clock_gettime(clock_getcpuclockid(id)?)?);
        let (mut wakes, mut forced) = (0, 0);
        for task in fs::read_dir(self.proc("task"))? {
            // A thread may end while the list is read.
            if let Ok(text) = fs::read_to_string(task?.path().join("status")) {
                wakes += field(&text, "voluntary_ctxt_switches:").unwrap_or(0);
                forced += field(&text, "nonvoluntary_ctxt_switches:").unwrap_or(0);
            }
        }
        Ok(Used { cpu, wakes, switches: wakes + forced })
    }

    /// Its threads.
    pub(super) fn threads(&self) -> io::Result<u64> {
        self.status("Threads:")
    }

    /// Resident memory that belongs to no file, in bytes: heaps and stacks.
    pub(super) fn memory(&self) -> io::Result<u64> {
        Ok(self.status("RssAnon:")? * 1024)
    }

    fn status(&self, key: &str) -> io::Result<u64> {
        let path = self.proc("status");
        field(&fs::read_to_string(&path)?, key)
            .ok_or_else(|| io::Error::other(format!("this kernel has no {key} in {path}")))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.id())
    }
}

/// The number behind `key` at the beginning of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds nothing that it would have to put back, and may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
