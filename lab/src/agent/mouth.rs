//! How words leave the process: one at a time, each with its time, in the order of time.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use resound_sim::scenario::Said;

use super::used::Spent;

/// What all programs of the process speak with.
#[derive(Debug, Default)]
pub(super) struct Mouth(Mutex<Turn>);

#[derive(Debug, Default)]
struct Turn {
    /// Somebody does something and has yet to say so: lines that have to wait for that.
    waiting: Option<Vec<String>>,
}

impl Mouth {
    /// Says this.
    pub(super) fn say(&self, said: &Said) {
        let mut turn = self.turn();
        let line = line(now(), said);
        match &mut turn.waiting {
            Some(lines) => lines.push(line),
            None => write(&line),
        }
    }

    /// Does something, and says what `does` says of it before anything that follows from it, on whatever thread: a
    /// message was sent before it comes back. No thread waits for another here, as one may hold what the other needs.
    pub(super) fn first(&self, does: impl FnOnce() -> Vec<Said>) {
        let at = {
            self.turn().waiting = Some(Vec::new());
            now()
        };
        let said = does();
        let mut turn = self.turn();
        said.iter().for_each(|said| write(&line(at, said)));
        turn.waiting.take().into_iter().flatten().for_each(|line| write(&line));
    }

    /// Whoever panicked has ended the process.
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That the brief was read, and what that took.
pub(super) fn ready() {
    write(&format!("ready {}\n", Spent::by_myself().words()));
}

/// That an order was carried out, and how long that took.
pub(super) fn done(took: Duration) {
    write(&format!("done {}\n", took.as_nanos()));
}

fn line(at: Duration, said: &Said) -> String {
    format!("{} {}\n", at.as_nanos(), said.to_string().replace('\n', " "))
}

/// The time since boot, suspend included.
fn now() -> Duration {
    // It fails only for a clock that is none.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// A whole line in one write.
fn write(line: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more: the lab is gone.
        std::process::exit(1);
    }
}
