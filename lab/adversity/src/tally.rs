//! What was bent, of how many calls. A fault that did nothing proves nothing.

use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs;

use crate::plan::Kind;

/// The calls that are interposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is a call of that name")]
pub enum Call {
    Recv,
    RecvMmsg,
    Send,
    SendMsg,
    SendMmsg,
    Poll,
    EpollWait,
    Accept4,
    Connect,
    GetPeerName,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Recv,
        Self::RecvMmsg,
        Self::Send,
        Self::SendMsg,
        Self::SendMmsg,
        Self::Poll,
        Self::EpollWait,
        Self::Accept4,
        Self::Connect,
        Self::GetPeerName,
    ];

    /// Its name in C.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recv => "recv",
            Self::RecvMmsg => "recvmmsg",
            Self::Send => "send",
            Self::SendMsg => "sendmsg",
            Self::SendMmsg => "sendmmsg",
            Self::Poll => "poll",
            Self::EpollWait => "epoll_wait",
            Self::Accept4 => "accept4",
            Self::Connect => "connect",
            Self::GetPeerName => "getpeername",
        }
    }
}

const KINDS: usize = Kind::ALL.len();

static MADE: [AtomicU64; Call::ALL.len()] = [const { AtomicU64::new(0) }; Call::ALL.len()];
static BENT: [[AtomicU64; KINDS]; Call::ALL.len()] =
    [const { [const { AtomicU64::new(0) }; KINDS] }; Call::ALL.len()];
static SIGNALS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Counts a call of a thread that the plan concerns.
pub(crate) fn made(call: Call) {
    MADE[call as usize].fetch_add(1, Ordering::Relaxed);
}

/// Counts a call that was bent.
pub(crate) fn bent(call: Call, kind: Kind) {
    BENT[call as usize][kind as usize].fetch_add(1, Ordering::Relaxed);
}

/// What a thread was doing when a signal was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Anything,
    /// It slept in `poll` or `epoll_wait`, by libc or not.
    Waiting,
}

/// Counts a signal.
pub(crate) fn signalled(doing: Doing) {
    SIGNALS[0].fetch_add(1, Ordering::Relaxed);
    if doing == Doing::Waiting {
        SIGNALS[1].fetch_add(1, Ordering::Relaxed);
    }
}

/// What this process has done so far.
#[must_use]
pub fn tally() -> Tally {
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Tally {
        made: core::array::from_fn(|call| load(&MADE[call])),
        bent: core::array::from_fn(|call| core::array::from_fn(|kind| load(&BENT[call][kind]))),
        signals: core::array::from_fn(|at| load(&SIGNALS[at])),
    }
}

/// How many calls were made, and how many of them were bent in which way. As text, and read from it: one line for each
/// call that was made, `recv 1200 eintr=120 again=118`, and one for the signals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    made: [u64; Call::ALL.len()],
    bent: [[u64; KINDS]; Call::ALL.len()],
    signals: [u64; 2],
}

impl Tally {
    /// How many calls could have been bent. A call is counted if its thread is one that the plan concerns.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.made.iter().sum()
    }

    /// How many of them were bent in this way.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.bent.iter().map(|bent| bent[kind as usize]).sum()
    }

    /// How many of one call were bent in this way.
    #[must_use]
    pub fn of_call(&self, call: Call, kind: Kind) -> u64 {
        self.bent[call as usize][kind as usize]
    }

    /// How many were bent in any way.
    #[must_use]
    pub fn bent(&self) -> u64 {
        self.bent.iter().flatten().sum()
    }

    /// How many signals were sent to threads that slept in `poll` or `epoll_wait`.
    #[must_use]
    pub const fn waits_signalled(&self) -> u64 {
        self.signals[1]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for call in Call::ALL {
            let made = self.made[call as usize];
            if made == 0 {
                continue;
            }
            write!(f, "{} {made}", call.name())?;
            for kind in Kind::ALL {
                match self.of_call(call, kind) {
                    0 => {}
                    bent => write!(f, " {}={bent}", kind.word())?,
                }
            }
            writeln!(f)?;
        }
        let [sent, waits] = self.signals;
        writeln!(f, "signals {sent} waits={waits}")
    }
}

impl FromStr for Tally {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tally = Self::default();
        for line in text.lines() {
            let bad = || format!("no line of a tally: {line:?}");
            let mut words = line.split(' ');
            let (name, made) = (words.next(), words.next().and_then(|made| made.parse().ok()));
            let (name, made) = (name.ok_or_else(bad)?, made.ok_or_else(bad)?);
            let call = Call::ALL.into_iter().find(|call| call.name() == name);
            match call {
                Some(call) => tally.made[call as usize] = made,
                None if name == "signals" => tally.signals[0] = made,
                None => return Err(bad()),
            }
            for word in words {
                let (word, count) = word.split_once('=').ok_or_else(bad)?;
                let count = count.parse().map_err(|_| bad())?;
                let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
                match (call, kind) {
                    (Some(call), Some(kind)) => tally.bent[call as usize][kind as usize] = count,
                    (None, None) if word == "waits" => tally.signals[1] = count,
                    _ => return Err(bad()),
                }
            }
        }
        Ok(tally)
    }
}

/// Has the tally written when the process exits, if a file is named for it.
pub(crate) fn write_at_exit() {
    #[allow(unsafe_code, reason = "std has no hook for the end of the process")]
    if std::env::var_os(crate::REPORT).is_some() {
        extern "C" fn write() {
            if let Some(path) = std::env::var_os(crate::REPORT) {
                // There is nobody left to be told that it failed.
                let _ = fs::write(path, tally().to_string());
            }
        }
        // SAFETY: `write` is a function of this program, takes nothing, and does not unwind: nothing in it panics.
        unsafe { libc::atexit(write) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_written_and_read() {
        let mut tally = Tally { signals: [9, 4], ..Tally::default() };
        tally.made[Call::Recv as usize] = 12;
        tally.bent[Call::Recv as usize][Kind::Short as usize] = 3;
        assert_eq!(tally.to_string(), "recv 12 short=3\nsignals 9 waits=4\n");
        assert_eq!(tally.to_string().parse(), Ok(tally));
        assert!("recv twelve".parse::<Tally>().is_err());
    }
}
