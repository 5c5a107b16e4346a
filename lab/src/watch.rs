//! How late the machine is: a thread for each processor, which does nothing but look at the clock, and hear itself.
//!
//! Late can be the scheduler: then the thread wakes up late. And late can be the kernel's own work on packets, which it puts
//! off to a thread of its own when there is much else to do (`ksoftirqd`): then a datagram that the thread sends to itself
//! over the loopback, by the way that packets between namespaces take (`netif_rx`), comes late.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(5);

/// Lateness that is not worth keeping.
const PUNCTUAL: Duration = Duration::from_millis(10);

/// A datagram that takes longer is lost.
const LOST: Duration = Duration::from_secs(5);

/// When it was late, and by how much.
type Delays = VecDeque<(Instant, Duration)>;

/// So many delays are kept: more come only on a machine on which nothing can be measured.
const MOST: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Watch {
    delays: Arc<Mutex<Delays>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let mut watch =
            Self { delays: Arc::default(), over: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        for processor in processors() {
            let (delays, over) = (Arc::clone(&watch.delays), Arc::clone(&watch.over));
            let look = move || {
                // One that may not choose its processor looks from any.
                let _ = sched_setaffinity(Pid::from_raw(0), &processor);
                look(&delays, &over);
            };
            // Without a thread nothing is known to have been late.
            watch.threads.extend(thread::Builder::new().name("lab-watch".into()).spawn(look).ok());
        }
        watch
    }

    /// How late it was at worst since then.
    pub(crate) fn latest_since(&self, since: Instant) -> Duration {
        let Ok(delays) = self.delays.lock() else { return Duration::ZERO };
        delays.iter().filter(|(at, _)| *at >= since).map(|(_, late)| *late).max().unwrap_or_default()
    }
}

/// Each processor on which this process may run.
fn processors() -> Vec<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or(false);
    let only = |cpu| {
        let mut only = CpuSet::new();
        only.set(cpu).ok().map(|()| only)
    };
    (0..CpuSet::count()).filter(is_allowed).filter_map(only).collect()
}

fn look(delays: &Mutex<Delays>, over: &AtomicBool) {
    // Where there is no loopback only the clock is looked at.
    let mut ear = Ear::open().ok();
    let mut before = Instant::now();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        if ear.as_ref().is_some_and(|ear| ear.hear().is_err()) {
            ear = None;
        }
        let now = Instant::now();
        let late = (now - mem::replace(&mut before, now)).saturating_sub(EVERY);
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

/// A socket that speaks to itself.
struct Ear(UdpSocket);

impl Ear {
    fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        socket.set_read_timeout(Some(LOST))?;
        Ok(Self(socket))
    }

    /// Comes back when what was said was heard.
    fn hear(&self) -> io::Result<()> {
        self.0.send(&[0])?;
        self.0.recv(&mut [0]).map(drop)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_says_to_oneself_is_heard() {
        let ear = Ear::open().unwrap();
        for _ in 0..100 {
            ear.hear().unwrap();
        }
        assert!(!processors().is_empty());
    }

    #[test]
    fn who_stands_still_is_late() {
        let watch = Watch::start();
        let began = Instant::now();
        assert_eq!(watch.latest_since(began + Duration::from_secs(60)), Duration::ZERO);
        watch.delays.lock().unwrap().push_back((Instant::now(), Duration::from_millis(50)));
        assert!(watch.latest_since(began) >= Duration::from_millis(50));
    }
}
