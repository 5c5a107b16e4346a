//! A program around a machine that dials: an echo client, or your own.

use core::fmt;

use resound_core::Instant;
use resound_core::stream::{Machine, turn};

use super::sockets::{Dialable, Sockets, Turn};
use crate::kernel::TcpOptions;
use crate::scenario::{Command, Said};
use crate::world::{Answer, Calls, Next, Program};

/// Runs a machine over byte streams.
///
/// What its events are called in a run's record, `describe` says (`None`: nothing), and what commands mean to it, `command`.
pub struct Dialing<M, D, C> {
    machine: M,
    sockets: Sockets,
    describe: D,
    command: C,
}

impl<M: fmt::Debug, D, C> fmt::Debug for Dialing<M, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialing").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<M, D, C> Dialing<M, D, C>
where
    M: Machine<Target: Dialable>,
    D: FnMut(M::Event) -> Option<Said>,
    C: FnMut(&mut M, Instant, &Command) -> Option<Result<Option<Said>, String>>,
{
    /// A program around this machine. `command` gives `None` for what is not the machine's; otherwise what is said of it, or
    /// why it cannot be done.
    pub const fn new(machine: M, options: TcpOptions, describe: D, command: C) -> Self {
        Self { machine, sockets: Sockets::new(options), describe, command }
    }
}

impl<M, D, C> Program for Dialing<M, D, C>
where
    M: Machine<Target: Dialable>,
    D: FnMut(M::Event) -> Option<Said>,
    C: FnMut(&mut M, Instant, &Command) -> Option<Result<Option<Said>, String>>,
{
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        while let Some(fd) = calls.next_ready() {
            self.sockets.touched(fd);
        }
        if calls.is_spurious() {
            self.sockets.touch_all();
        }
        let now = calls.now();
        // What is said is kept apart while the turn has the calls.
        let mut said = calls.take_said();
        let mut port = Turn::new(&mut self.sockets, calls);
        let describe = &mut self.describe;
        let until = turn(&mut self.machine, &mut port, || now, |event| said.extend(describe(event)));
        let until = if port.is_exhausted() { Some(Instant::EPOCH) } else { until };
        calls.put_said(said);
        if self.machine.is_done() { Next::Exit } else { Next::Sleep(until) }
    }

    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer {
        match (self.command)(&mut self.machine, calls.now(), command) {
            None => Answer::NotMine,
            Some(Err(why)) => Answer::Refused(why),
            Some(Ok(said)) => {
                if let Some(said) = said {
                    calls.say(said);
                }
                Answer::Taken
            }
        }
    }
}
