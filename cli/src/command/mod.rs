//! One file for each command.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Write as _};

use resound_core::race::interleave;
use resound_sockets::resolve::ResolveError;

use crate::args::{Command, DEFAULT_PORT, Named};
use crate::exit::Exit;
use crate::output::note;

mod compare;
mod completions;
mod echo;
#[cfg(target_os = "linux")]
mod icmpd;
mod man;
mod ping;
mod serve;
mod sim;
mod why;

/// How long a session may take to close when nothing is due any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Processes of the lab are this program again, started by `compare`: what such a one comes to, if this is one.
#[cfg(target_os = "linux")]
pub(crate) fn within_lab() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    if first == compare::lab::AGENT {
        return Some(resound_lab::agent::main());
    }
    let words = || arguments.map(|argument| argument.to_string_lossy().into_owned());
    (first == compare::lab::WORKER).then(|| resound_lab::costs::worker::main(words()))
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Exit {
    match command {
        Command::Compare(args) => compare::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Ping(args) => ping::run(args),
        Command::Echo(args) => echo::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Sim(args) => sim::run(&args),
        #[cfg(target_os = "linux")]
        Command::Icmpd(args) => icmpd::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// The addresses of a target, best first, families in turn (RFC 8305 §4). Blocks.
fn look_up(named: &Named) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut addresses = named.target.look_up(DEFAULT_PORT)?;
    interleave(&mut addresses);
    Ok(addresses)
}

/// Writes bytes that are the whole output of a command. A reader that goes away has seen enough.
fn print(bytes: &[u8]) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            note(&format!("cannot write to standard output: {error}"));
            Exit::Local
        }
        _ => Exit::Good,
    }
}
