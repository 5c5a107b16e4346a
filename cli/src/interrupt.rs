//! Ctrl-C, SIGTERM and SIGHUP: the first asks, the last one insists.
//!
//! Signals are taken by a thread of their own, so that the one that insists works even while the rest of the program is
//! stuck in a write to a full pipe.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::process;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// How often the program was asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts(Arc<AtomicU32>);

impl Interrupts {
    /// From now on signals are counted. `heard` is called with their number after each, on the signal thread; it
    /// must not block. Once more than `patience` have come, the process ends at once with 130.
    pub(crate) fn watch(patience: u32, heard: impl Fn(u32) + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let this = Self::default();
        let counter = this.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
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
