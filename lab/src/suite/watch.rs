//! A thread that does nothing but look at the clock: how late it comes tells how late everybody else may have come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(5);

/// Lateness that is not worth keeping.
const PUNCTUAL: Duration = Duration::from_millis(10);

/// When it was late, and by how much.
type Delays = VecDeque<(Instant, Duration)>;

/// So many delays are kept: more come only on a machine on which nothing can be measured.
const MOST: usize = 4_096;

#[derive(Debug)]
pub(super) struct Watch {
    delays: Arc<Mutex<Delays>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start() -> Self {
        let delays = Arc::new(Mutex::new(VecDeque::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, done) = (Arc::clone(&delays), Arc::clone(&over));
        // Without a thread nothing is known to have been late.
        let thread = thread::Builder::new().name("lab-watch".into()).spawn(move || look(&seen, &done)).ok();
        Self { delays, over, thread }
    }

    /// How late it was at worst since then.
    pub(super) fn latest_since(&self, since: Instant) -> Duration {
        let Ok(delays) = self.delays.lock() else { return Duration::ZERO };
        delays.iter().filter(|(at, _)| *at >= since).map(|(_, late)| *late).max().unwrap_or_default()
    }
}

fn look(delays: &Mutex<Delays>, over: &AtomicBool) {
    let mut before = Instant::now();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let now = Instant::now();
        let late = (now - before).saturating_sub(EVERY);
        before = now;
        if late < PUNCTUAL {
            continue;
        }
        if let Ok(mut delays) = delays.lock() {
            if delays.len() == MOST {
                delays.pop_front();
            }
            delays.push_back((now, late));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
