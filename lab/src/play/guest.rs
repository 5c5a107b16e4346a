//! A program of somebody else's on one of the hosts.
//!
//! It must not outlive the lab, and knows nothing of it. So the agent's executable starts in its place, asks the kernel to
//! be killed with the thread that started it (`PR_SET_PDEATHSIG`), and becomes the guest: execve(2) keeps that wish, unless
//! the program gives more rights than its caller has. What a guest itself starts is its own affair.
//!
//! ```text
//!   lab ── fork ──► agent's executable: guest-of LAB PROGRAM ARGUMENTS… ── exec ──► PROGRAM ARGUMENTS…
//! ```

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, ExitCode, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use resound_sim::Scenario;
use resound_sim::programs::Echo;
use resound_sim::scenario::NodeId;

use super::{PlayError, Played, Setup, Stage};
use crate::agent::Launcher;

/// A program of somebody else's, on one of the hosts.
#[derive(Debug)]
pub struct Guest {
    /// On which.
    pub host: NodeId,
    /// When it starts.
    pub at: Duration,
    /// What it is: program, arguments, directory, and what is added to or taken from the lab's environment.
    pub command: Command,
}

/// Plays a scenario in which a guest runs on one of the hosts, until it has ended. What it gave.
///
/// A program that cannot be executed gives what it gives in a shell: status 127, and why on standard error.
///
/// # Errors
///
/// As [`play`](super::play()); and if the guest could not be started, or had not ended when the scenario did: then it was
/// killed, with its process group.
pub fn guest(
    scenario: &Arc<Scenario>,
    setup: &Setup<'_>,
    guest: Guest,
) -> Result<(Played, Output), PlayError> {
    let mut cast = Echo;
    let mut stage = Stage::build(scenario, setup, &mut cast)?;
    let ends = setup.ends.min(scenario.until);
    stage.run_until(guest.at, |_| Ok(true))?;
    let host = stage.rig.host(guest.host);
    let host = host.ok_or_else(|| PlayError::Agent(String::from("a guest needs a host, not a router")))?;
    let mut child = host.spawn(in_its_place(setup.launcher, &guest.command))?;
    let ended = stage.run_until(ends, |_| Ok(child.try_wait()?.is_none()));
    if child.try_wait()?.is_none() {
        // It fails only if all of them have ended meanwhile.
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    }
    // What it wrote fits into a pipe, or it would not have ended.
    let output = child.wait_with_output()?;
    ended?;
    Ok((stage.finish(), output))
}

/// The word that makes an agent's executable a guest.
const WORD: &str = "guest-of";

/// What starts in the place of a guest.
fn in_its_place(launcher: &Launcher, guest: &Command) -> Command {
    let mut command = launcher.command();
    command.arg(WORD).arg(process::id().to_string()).arg(guest.get_program()).args(guest.get_args());
    for (name, value) in guest.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = guest.get_current_dir() {
        command.current_dir(directory);
    }
    // A process group of its own: what the terminal sends to the lab is the lab's affair.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Becomes the guest, if these are its arguments; comes back only if they are not, or with why it could not.
pub(crate) fn become_one(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut words = arguments.skip_while(|argument| argument != WORD).skip(1);
    let lab = words.next()?.to_str()?.parse().ok()?;
    let program = words.next()?;
    let error = match follow(Pid::from_raw(lab)) {
        Ok(()) => Command::new(&program).args(words).exec(),
        Err(error) => error,
    };
    eprintln!("{}: {error}", program.to_string_lossy());
    Some(ExitCode::from(127))
}

/// SIGKILL when the thread that started this process ends.
fn follow(lab: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It may have ended before that was said.
    if getppid() == lab { Ok(()) } else { Err(io::Error::other("the lab is gone")) }
}
