//! Ctrl-C, SIGTERM and SIGHUP: the first asks, the last one insists.
//!
//! Signals are taken by a thread of their own, so that the one that insists works even while the rest of the program is
//! stuck in a write to a full pipe.
//!
//! * Signals that come together are one request: `timeout` signals its child and then the child's whole group.
//! * What was ignored when the program started stays ignored: that is how `nohup` and a script's `resound serve &` ask for
//!   it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::process;
use std::thread;
use std::time::Instant;
use std::{fs, io};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// A signal that comes so soon after one that counted belongs to the same request.
const TOGETHER: Duration = Duration::from_millis(200);

/// How often the program was asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts(Arc<AtomicU32>);

impl Interrupts {
    /// From now on signals are counted. `heard` is called with their number after each, on the signal thread; it
    /// must not block. Once more than `patience` have come, the process ends at once with 130.
    pub(crate) fn watch(patience: u32, heard: impl Fn(u32) + Send + 'static) -> io::Result<Self> {
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !ignored.has(signal));
        let mut signals = Signals::new(wanted)?;
        let this = Self::default();
        let counter = this.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut last: Option<Instant> = None;
            for _ in signals.forever() {
                let now = Instant::now();
                if last.is_some_and(|last| now.duration_since(last) < TOGETHER) {
                    continue;
                }
                last = Some(now);
                let count = counter.0.fetch_add(1, Ordering::SeqCst) + 1;
                if count > patience {
                    process::exit(Exit::Interrupted.code().into());
                }
                heard(count);
            }
        })?;
        Ok(this)
    }

    /// How many signals have come.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A set of signals, as the kernel writes it: bit n - 1 is signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u64);

impl Set {
    const fn has(self, signal: i32) -> bool {
        self.0 >> (signal - 1) & 1 == 1
    }
}

/// What is ignored now: `SigIgn` in `/proc/self/status`, proc_pid_status(5). None where there is no such file.
fn ignored() -> Set {
    fs::read_to_string("/proc/self/status").map_or(Set(0), |status| ignored_in(&status))
}

fn ignored_in(status: &str) -> Set {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Set(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_mask_is_read() {
        let set = ignored_in("Name:\tresound\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n");
        assert!(set.has(SIGHUP) && !set.has(SIGINT) && !set.has(SIGTERM), "{set:?}");
        assert_eq!(ignored_in("Name:\tresound\n"), Set(0));
    }
}
