//! A network namespace without a name, and the thread that lives in it.
//!
//! A namespace is a thread's, not a process': what is to happen in this one is done by its thread. It is gone when that
//! thread is, and the last process and socket in it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::panic::{self, AssertUnwindSafe};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, unshare};

use super::RigError;
use super::allowed::ip;
use crate::agent::reap;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Place {
    /// Whose it is, for messages.
    name: String,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    namespace: File,
}

impl Place {
    pub(super) fn new(name: &str) -> Result<Self, RigError> {
        let failed = |error: io::Error| RigError::Namespace { of: name.to_owned(), error };
        let (jobs, queue) = channel::<Job>();
        let (report, entered) = channel();
        let live = move || {
            let namespace = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| File::open("/proc/thread-self/ns/net"));
            let is_there = namespace.is_ok();
            // Whoever began this thread waits for it.
            let _ = report.send(namespace);
            if is_there {
                queue.iter().for_each(|job| job());
            }
        };
        let thread = thread::Builder::new().name(format!("at {name}")).spawn(live).map_err(failed)?;
        let namespace =
            entered.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())).map_err(failed)?;
        Ok(Self { name: name.to_owned(), jobs: Some(jobs), thread: Some(thread), namespace })
    }

    /// Where a process of this user finds the namespace, as long as this lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.namespace.as_raw_fd())
    }

    /// Does a job there, and waits for it.
    ///
    /// # Panics
    ///
    /// If the job does.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (report, done) = channel();
        let job = move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(job));
            // Whoever gave the job waits for it.
            let _ = report.send(outcome);
        };
        if let Some(jobs) = &self.jobs {
            // The thread ends only when this is dropped.
            let _ = jobs.send(Box::new(job));
        }
        match done.recv() {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => panic::resume_unwind(panic),
            Err(_) => panic!("the thread in the namespace of {} is gone", self.name),
        }
    }

    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        self.run(move || command.spawn())
    }

    /// Lets `ip` do these lines there; the first that it cannot ends it.
    pub(super) fn ip(&self, lines: String) -> Result<(), RigError> {
        if lines.is_empty() {
            return Ok(());
        }
        let ip = ip().map_err(RigError::Hindered)?;
        let batch = move || {
            let mut command = Command::new(ip);
            command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            let fed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(lines.as_bytes()));
            let mut stderr = Vec::new();
            child.stderr.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut stderr))?;
            // What agents use could not be told from what this one does.
            if reap(&mut child)?.0.success() {
                return fed.map(|()| Ok(()));
            }
            Ok(Err(said(&lines, &String::from_utf8_lossy(&stderr))))
        };
        match self.run(batch) {
            Ok(Ok(())) => Ok(()),
            Ok(Err((line, said))) => Err(RigError::Ip { at: self.name.clone(), line, said }),
            Err(error) => {
                Err(RigError::Ip { at: self.name.clone(), line: "-batch".into(), said: error.to_string() })
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Without a sender the thread finds its queue at an end.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A job's panic has been handed on already.
            let _ = thread.join();
        }
    }
}

/// The line that failed and what `ip` said of it, which ends with `Command failed -:<line>`.
fn said(lines: &str, stderr: &str) -> (String, String) {
    let stderr = stderr.trim();
    let (why, at) = stderr.rsplit_once("Command failed -:").unwrap_or((stderr, ""));
    let line = at.trim().parse::<usize>().ok().and_then(|at| lines.lines().nth(at.checked_sub(1)?));
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    (line.unwrap_or("-batch").to_owned(), why)
}
