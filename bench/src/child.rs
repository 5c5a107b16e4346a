//! A server in a process of its own, and what the kernel knows of that process.

use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;

use crate::udp::load::{Done, Task};

/// Where server and load client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Server on the first core, client on the second.
    TwoCores,
    /// Both on the first: no wake-up crosses cores, so that the hypervisor's share of a round trip is gone.
    OneCore,
}

/// Binds the calling thread, and the processes that it starts, to a core.
fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

const PIPED: &str = "both were asked for";

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    addr: SocketAddr,
    /// `None` once the child has been asked to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a server on the first core, and moves to the core of the client.
    pub(crate) fn start(server: &str, place: Place) -> io::Result<Self> {
        pin(0)?;
        let child = Self::spawn(Command::new(env::current_exe()?).args(["serve", server]))?;
        pin(if place == Place::TwoCores { 1 } else { 0 })?;
        Ok(child)
    }

    /// Starts a server under valgrind, which counts its instructions.
    pub(crate) fn start_counted(server: &str) -> io::Result<Self> {
        pin(0)?;
        let exe = env::current_exe()?;
        Self::spawn(callgrind().arg(exe).args(["serve", server]).stderr(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> io::Result<Self> {
        let command = command.env("SMOL_THREADS", "1");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take().expect(PIPED), process.stdout.take().expect(PIPED));
        let mut output = BufReader::new(output);
        let addr = said(&mut output)?;
        Ok(Self { process, addr, input: Some(input), output })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes allocated.
    pub(crate) fn heap(&mut self) -> io::Result<i64> {
        if let Some(input) = &mut self.input {
            writeln!(input, "heap")?;
        }
        said(&mut self.output)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> io::Result<i64> {
        Ok(status(&self.proc("status"), "VmRSS:")? * 1024)
    }

    pub(crate) fn threads(&self) -> io::Result<i64> {
        threads(self.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Time on a core, of all threads that live.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(self.proc("task"))? {
            // A thread may end while the list is read.
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanos += stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }

    /// Ends it, and reads how many instructions valgrind counted.
    pub(crate) fn instructions(mut self) -> io::Result<i64> {
        self.input = None;
        collected(&mut self.process)
    }
}

/// Time on a core, of this process.
pub(crate) fn cpu_of_this() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident_of_this() -> io::Result<i64> {
    Ok(status("/proc/self/status", "VmRSS:")? * 1024)
}

/// The most memory that this process had at any time, in bytes.
pub(crate) fn peak_of_this() -> io::Result<i64> {
    Ok(status("/proc/self/status", "VmHWM:")? * 1024)
}

/// A client in a process of its own, which is ready and waits to be told to begin.
#[derive(Debug)]
pub(crate) struct Worker {
    process: process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a client where the place says, and waits until it is ready.
    pub(crate) fn start(client: &str, task: Task, place: Place) -> io::Result<Self> {
        pin(if place == Place::TwoCores { 1 } else { 0 })?;
        let mut command = Command::new(env::current_exe()?);
        let command = command.args(["load", client]).args(task.args());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take().expect(PIPED), process.stdout.take().expect(PIPED));
        let mut output = BufReader::new(output);
        let _: String = said(&mut output)?;
        Ok(Self { process, input, output })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Lets it work, and says what it has done.
    pub(crate) fn work(&mut self) -> io::Result<Done> {
        writeln!(self.input, "begin")?;
        said(&mut self.output)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has said everything, or never will.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs this program to its end, alone on a core; what it says.
pub(crate) fn output_of(args: &[&str]) -> io::Result<String> {
    pin(0)?;
    let output = Command::new(env::current_exe()?).args(args).stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        // It may be long gone.
        let _ = self.process.wait();
    }
}

fn said<T: core::str::FromStr>(output: &mut BufReader<ChildStdout>) -> io::Result<T> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    line.trim().parse().map_err(|_| io::Error::other(format!("the server said {line:?}")))
}

fn threads(process: u32) -> io::Result<i64> {
    status(&format!("/proc/{process}/status"), "Threads:")
}

/// The number behind `key` in a file of `/proc`.
fn status(path: &str, key: &str) -> io::Result<i64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {key} in {path}")))
}

fn callgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command
}

/// How many instructions a process under callgrind took, once it has ended.
fn collected(process: &mut process::Child) -> io::Result<i64> {
    let mut text = String::new();
    if let Some(mut stderr) = process.stderr.take() {
        stderr.read_to_string(&mut text)?;
    }
    process.wait()?;
    let count = text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    count.ok_or_else(|| io::Error::other("callgrind counted nothing; is valgrind installed?"))
}

/// How many instructions this program takes with these arguments.
pub(crate) fn instructions_of(args: &[&str]) -> io::Result<i64> {
    let exe = env::current_exe()?;
    let mut command = callgrind();
    let command = command.arg(exe).args(args).stdout(Stdio::null());
    collected(&mut command.stderr(Stdio::piped()).spawn()?)
}

/// The calls that are told by name.
const CALLS: &[&str] = &[
    "recvfrom",
    "sendto",
    "writev",
    "sendmsg",
    "recvmmsg",
    "sendmmsg",
    "getsockopt",
    "poll",
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "timerfd_settime",
    "read",
    "write",
    "futex",
];

/// perf counting the system calls of a process. strace would do so too, but makes each so slow that the next message has
/// come in before the server asks for it: a loop that reads before it waits would seem never to wait.
#[derive(Debug)]
pub(crate) struct Perf {
    process: process::Child,
}

impl Perf {
    /// Attaches to every thread of a process.
    pub(crate) fn attach(process: u32) -> io::Result<Self> {
        let threads = threads(process)?;
        let mut events = String::from("raw_syscalls:sys_enter");
        CALLS.iter().for_each(|call| events.extend([",syscalls:sys_enter_", call]));
        let pid = process.to_string();
        let process = Command::new("perf")
            .args(["stat", "-x", ";", "-e", &events, "-p", &pid])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut perf = Self { process };
        // It counts once it has opened every event of every thread.
        let wanted = (CALLS.len() + 1) * usize::try_from(threads).unwrap_or(1);
        while perf.opened()? < wanted {
            if perf.process.try_wait()?.is_some() {
                return Err(io::Error::other("perf may not count system calls"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(perf)
    }

    /// How many events it has opened.
    fn opened(&self) -> io::Result<usize> {
        let links = fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.flatten();
        let targets = links.flat_map(|link| fs::read_link(link.path()));
        Ok(targets.filter(|target| target.as_os_str() == "anon_inode:[perf_event]").count())
    }

    /// Detaches. Returns how many calls there were, and the calls by name, the most frequent first.
    pub(crate) fn detach(mut self) -> io::Result<(u64, Vec<(&'static str, u64)>)> {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGINT)?;
        let mut text = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        self.process.wait()?;
        let counts: Vec<u64> = text.lines().filter_map(|line| line.split(';').next()?.parse().ok()).collect();
        let [all, counts @ ..] = &counts[..] else { return Err(io::Error::other(text)) };
        let mut calls: Vec<_> = CALLS.iter().copied().zip(counts.iter().copied()).collect();
        calls.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
        Ok((*all, calls))
    }
}
