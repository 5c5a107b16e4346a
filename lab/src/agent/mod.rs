//! The process that runs a host's programs, on a runtime or with single calls.
//!
//! # Theory of operation
//!
//! Each host of a play has one agent: a process in the host's namespace. It knows the scenario, so that an order is no
//! more than the number of a line and a seed. What the programs say comes back as it is said, in the words of the
//! simulator's programs ([`resound_sim::programs::words`]), with the time.
//!
//! ```text
//!   Agent (lab) ── stdin:  the brief, then `ask LINE SEED` ──────►  main (process)
//!               ◄─ stdout: `ready …`, `<ns> <words>`, `done <ns>` ─    ├─ servers and clients: threads of a runtime
//!               ◄─ stderr: why it died ────────────────────────────    └─ single calls: the main thread
//! ```
//!
//! To kill the process is to kill the host's programs: its kernel closes their sockets. To stop it is to stop them.
//!
//! It never outlives the lab. Its stdin ends when the lab does; and the kernel kills it when the *thread* that started it
//! ends (`PR_SET_PDEATHSIG`), which reaches a stopped process too. So that thread has to stay for as long as the agent is
//! wanted.
//!
//! | file | has |
//! |---|---|
//! | `process` | the process: its orders, and which program each is for |
//! | `programs` | servers and clients on a runtime |
//! | `shell` | the real sockets of single calls |
//! | `mouth` | how words leave the process, one at a time |
//! | `used` | what it used, told by its kernel when it has ended |

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use resound_sim::Scenario;
use resound_sim::scenario::{NodeId, Said};
use resound_sockets::poll::{PollFd, PollFlags, wait};
use rustix::process::{Resource, Rlimit, prlimit};

use crate::costs::{Meter, Metered};
use crate::suite::Player;

mod mouth;
mod process;
mod programs;
mod shell;
mod used;

pub use process::main;
pub use used::{Spent, Used};

use used::Seen;
pub(crate) use used::reap;

/// An agent that is not ready by then will never be.
pub const READY: Duration = Duration::from_secs(30);

/// How much of what an agent wrote to its stderr is kept: the end of it.
const COMPLAINTS: usize = 4 * 1_024;

/// The soft limit of descriptors (RLIMIT_NOFILE) of a process that gets no more. Those below it are always open: its
/// stdin, stdout and stderr. It is not zero, because poll(2) refuses to look at more descriptors than the limit says
/// (`do_sys_poll`), and a thread of the programs here looks at two.
const STANDARD: u64 = 3;

/// What an agent has to know.
#[derive(Clone, Debug)]
pub struct Brief {
    /// What its clients and servers run on.
    pub player: Player,
    /// Whose programs it runs.
    pub host: NodeId,
    /// The scenario: its script, its names, its IP version.
    pub scenario: Arc<Scenario>,
}

/// How to start an agent: a program, and its arguments.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// What counts the agents' system calls, if anything does.
    meter: Option<Arc<Meter>>,
}

/// An agent that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    /// For messages.
    name: String,
    child: Child,
    orders: Option<ChildStdin>,
    words: ChildStdout,
    complaints: ChildStderr,
    /// What came of a line that is not whole yet.
    begun: Vec<u8>,
    complained: VecDeque<u8>,
    stage: Stage,
    /// Orders that it has not carried out yet, and how long it took at most to carry one out.
    open: u32,
    longest: Duration,
    descriptors: Descriptors,
    /// Its limit, while it has another one.
    usual: Option<Rlimit>,
    seen: Seen,
    /// What it had used when it was ready, as far as was heard.
    before: Option<Spent>,
    /// What it had used when it was killed, and for how long its threads had waited for a processor.
    after: Option<Spent>,
    waited: Duration,
    /// Counts its system calls; and how many it had made when it was heard that it is ready.
    calls: Option<Metered>,
    calls_before: u64,
    calls_after: Option<u64>,
}

/// Whether a process gets new descriptors. What is open stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// As many as its limit allows.
    AsUsual,
    /// None: EMFILE.
    NoMore,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    /// It was killed, by [`Agent::kill`].
    Killed(Option<ExitStatus>),
    /// It has ended by itself. Somebody else may have its number now.
    Dead,
}

/// Something that a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When: the time of `CLOCK_BOOTTIME`.
    pub at: Duration,
    /// What.
    pub said: Said,
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is.
    GoesOn,
    /// It was killed, and everything that it said before has been heard.
    Ended(ExitStatus),
}

impl Launcher {
    /// This program, with these arguments, is an agent: it calls [`main`].
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(OsString::from).collect();
        Self { program: program.into(), arguments, meter: None }
    }

    /// The same, and the system calls of each agent are counted, where the kernel may be asked for that. It makes each call
    /// a little slower, anybody's, as long as this is there.
    #[must_use]
    pub fn counting(self) -> Self {
        Self { meter: Meter::here().map(Arc::new), ..self }
    }

    /// The running executable, with this subcommand: also if its directory may not be entered by this user, or if there is
    /// another file by now where it was.
    #[must_use]
    pub fn myself(subcommand: &str) -> Self {
        Self::new("/proc/self/exe", &[subcommand])
    }

    /// The command that starts it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

impl Agent {
    /// Starts an agent. It need not be ready when this returns: orders wait for it, and
    /// [`wait_until_ready`](Self::wait_until_ready) does too.
    ///
    /// `spawn` starts the command, in the host's namespace. It must do so on a thread that stays: the agent dies with it.
    ///
    /// # Errors
    ///
    /// It could not be started, or died at once.
    pub fn start(
        program: &Launcher,
        brief: &Brief,
        spawn: impl FnOnce(Command) -> io::Result<Child>,
    ) -> io::Result<Self> {
        let mut command = program.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own: what the terminal sends to the lab is the lab's affair.
        command.process_group(0);
        let mut child = spawn(command)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(orders), Some(words), Some(complaints)) = pipes else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other("an agent was started without its pipes: `spawn` has to keep them"));
        };
        let mut agent = Self {
            name: brief.scenario.name(brief.host).to_owned(),
            child,
            orders: Some(orders),
            words,
            complaints,
            begun: Vec::new(),
            complained: VecDeque::new(),
            stage: Stage::Starting,
            open: 0,
            longest: Duration::ZERO,
            descriptors: Descriptors::AsUsual,
            usual: None,
            seen: Seen::default(),
            before: None,
            after: None,
            waited: Duration::ZERO,
            calls: None,
            calls_before: 0,
            calls_after: None,
        };
        // It has one thread until it has its brief.
        agent.calls = program.meter.as_ref().and_then(|meter| meter.attach(agent.child.id()));
        never_wait(&agent.words)?;
        never_wait(&agent.complaints)?;
        let text = brief.scenario.to_string();
        let head = format!("{} {} {}\n", brief.player.as_str(), brief.host.0, text.len());
        agent.order(&(head + &text))?;
        Ok(agent)
    }

    /// Its number as a process, until it ends.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has read its brief.
    ///
    /// # Errors
    ///
    /// It died, or was not ready in time.
    pub fn wait_until_ready(&mut self, limit: Duration) -> io::Result<()> {
        let by = Instant::now() + limit;
        // Before it is asked for something it says nothing else.
        while self.stage == Stage::Starting {
            self.hear(&mut Vec::new())?;
            let left = by.saturating_duration_since(Instant::now());
            if self.stage == Stage::Starting && left.is_zero() {
                return Err(self.error(&format!("it was not ready after {limit:?}")));
            }
            if self.stage == Stage::Starting {
                wait(&mut [PollFd::new(self.words.as_fd(), PollFlags::POLLIN)], Some(left))
                    .map_err(|errno| self.error(&errno.to_string()))?;
            }
        }
        Ok(())
    }

    /// Whether its programs get new descriptors from now on. A process that is not ready gets those that it needs for that.
    ///
    /// # Errors
    ///
    /// Its limit cannot be set.
    pub fn descriptors(&mut self, which: Descriptors) -> io::Result<()> {
        self.descriptors = which;
        if self.stage == Stage::Ready { self.limit() } else { Ok(()) }
    }

    fn limit(&mut self) -> io::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let set = |limit| prlimit(Some(pid), Resource::Nofile, limit);
        match (self.descriptors, self.usual) {
            (Descriptors::NoMore, None) => {
                // It has inherited the lab's.
                let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
                self.usual = Some(set(Rlimit { current: Some(STANDARD), maximum })?);
            }
            (Descriptors::AsUsual, Some(usual)) => {
                set(usual)?;
                self.usual = None;
            }
            (Descriptors::NoMore, Some(_)) | (Descriptors::AsUsual, None) => {}
        }
        Ok(())
    }

    /// Reads a line of the script to its programs; `seed` is for what it starts.
    ///
    /// # Errors
    ///
    /// It is not there any more.
    pub fn ask(&mut self, line: u32, seed: u64) -> io::Result<()> {
        if self.stage == Stage::Starting && self.descriptors == Descriptors::NoMore {
            // It must not carry it out with descriptors that it is not to have.
            self.wait_until_ready(READY)?;
        }
        self.order(&format!("ask {line} {seed}\n"))?;
        self.open += 1;
        Ok(())
    }

    /// How many lines it was read and has not carried out yet, as far as was [heard](Self::hear). A line is carried out
    /// when its calls were made, or its program runs.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.open
    }

    /// How long it took at most to carry out a line, as far as was [heard](Self::hear). No line waits for anything that a
    /// scenario has: its sockets do not block, and a program that was started runs beside it. So this is the machine's doing: a
    /// process that waited for a processor, or slept in its kernel for a lock that somebody else held. To join a group takes
    /// the one that each `ip` holds that is at work, in whatever namespace (`rtnl_lock`).
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// For how long its threads have waited for a processor so far, or until it was killed, all together. Zero where the
    /// kernel does not count that.
    #[must_use]
    pub fn waited(&self) -> Duration {
        match self.stage {
            Stage::Killed(_) | Stage::Dead => self.waited,
            Stage::Starting | Stage::Ready => used::waited(self.child.id()),
        }
    }

    /// What it used since it was ready, nothing if it never was; once it was [killed](Self::kill) and what it had said
    /// before was heard. `None` before, and where that cannot be told from what other children of the lab used.
    #[must_use]
    pub fn used(&self) -> Option<Used> {
        let after = self.after?;
        let spent = self.before.map(|before| after.since(before)).unwrap_or_default();
        let Seen { threads, memory } = self.seen;
        // Of one that was never heard to be ready, all of them were made for that.
        let calls = self.calls_after.map(|after| match self.before {
            Some(_) => after.saturating_sub(self.calls_before),
            None => 0,
        });
        Some(Used { spent, calls, waited: self.waited, threads, memory })
    }

    fn calls_made(&mut self) -> Option<u64> {
        self.calls.as_mut().and_then(Metered::read)
    }

    fn order(&mut self, text: &str) -> io::Result<()> {
        let Some(orders) = &mut self.orders else {
            return Err(self.error("it was asked after it was killed"));
        };
        orders.write_all(text.as_bytes()).map_err(|error| self.died(&error.to_string()))
    }

    /// Readable when there is something to be [heard](Self::hear); never blocks.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }

    /// Adds what its programs have said since the last time.
    ///
    /// # Errors
    ///
    /// It has ended and was not [killed](Self::kill): with the end of what it wrote to its stderr. Or what it says makes
    /// no sense.
    pub fn hear(&mut self, told: &mut Vec<Told>) -> io::Result<Life> {
        let open = read_all(&mut self.words, &mut self.begun)?;
        self.take_complaints();
        let heard = told.len();
        while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            if let Some(spent) = line.strip_prefix("ready ").and_then(Spent::parse) {
                self.before = Some(spent);
                self.calls_before = self.calls_made().unwrap_or(0);
                if self.stage == Stage::Starting {
                    self.stage = Stage::Ready;
                    self.limit()?;
                }
                continue;
            }
            if let Some(took) = line.strip_prefix("done ").and_then(|took| took.parse().ok()) {
                self.open = self.open.saturating_sub(1);
                self.longest = self.longest.max(Duration::from_nanos(took));
                continue;
            }
            told.push(parse(&line).ok_or_else(|| self.error(&format!("it said {line:?}")))?);
        }
        if told.len() > heard && self.stage == Stage::Ready {
            self.seen.look(self.child.id());
        }
        match (open, self.stage) {
            (true, _) => Ok(Life::GoesOn),
            (false, Stage::Killed(Some(status))) => Ok(Life::Ended(status)),
            (false, _) => Err(self.died("it closed its stdout")),
        }
    }

    fn take_complaints(&mut self) {
        let mut some = Vec::new();
        // It is for messages only.
        let _ = read_all(&mut self.complaints, &mut some);
        self.complained.extend(some);
        let surplus = self.complained.len().saturating_sub(COMPLAINTS);
        self.complained.drain(..surplus);
    }

    /// It ended unasked.
    fn died(&mut self, how: &str) -> io::Error {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        self.stage = Stage::Dead;
        self.take_complaints();
        self.error(&format!("{how} ({status})"))
    }

    fn error(&self, what: &str) -> io::Error {
        let complained: Vec<u8> = self.complained.iter().copied().collect();
        let complained = String::from_utf8_lossy(&complained);
        let behind = if complained.is_empty() { "" } else { "; its last words: " };
        io::Error::other(format!("the agent of {}: {what}{behind}{}", self.name, complained.trim_end()))
    }

    /// SIGKILL, and waits until the process is no more: then its kernel has closed its sockets. What was said before can
    /// still be [heard](Self::hear).
    pub fn kill(&mut self) {
        if !matches!(self.stage, Stage::Killed(_) | Stage::Dead) {
            // What is known of a process while it lives only.
            self.seen.look(self.child.id());
            self.waited = used::waited(self.child.id());
            // It fails only for one that has ended by itself. Its orders end afterwards: it would end in good order otherwise.
            let _ = self.child.kill();
            self.orders = None;
            let reaped = reap(&mut self.child).ok();
            self.calls_after = self.calls_made();
            self.after = reaped.and_then(|(_, spent)| spent);
            self.stage = Stage::Killed(reaped.map(|(status, _)| status));
        }
    }

    /// SIGSTOP: its programs stand still.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT: they go on.
    pub fn go_on(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        // One that was reaped may have left its number to somebody else.
        if !matches!(self.stage, Stage::Killed(_) | Stage::Dead) {
            // It fails only for one that has ended, and `hear` tells of that.
            let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

fn never_wait(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads what there is; whether there may be more later.
fn read_all(pipe: &mut impl io::Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut some = [0; 4_096];
    loop {
        match pipe.read(&mut some) {
            Ok(0) => return Ok(false),
            Ok(n) => into.extend_from_slice(&some[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(line: &str) -> Option<Told> {
    let (at, words) = line.split_once(' ')?;
    Some(Told { at: Duration::from_nanos(at.parse().ok()?), said: Said::other(words) })
}
