//! What is to be bent, how often, in which threads.

use core::cell::Cell;
use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs;

/// How a call is bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// EINTR.
    Eintr,
    /// EAGAIN.
    Again,
    /// Some bytes of a stream.
    Short,
    /// Some of the messages.
    Few,
    /// A report of what is not there.
    Ghost,
    /// ECONNABORTED, or another error of a connection that is not handed over.
    Aborted,
    /// A dial that is not over.
    Later,
    /// A thread that is not let go on between the edge and the end of its call.
    Pause,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Eintr,
        Self::Again,
        Self::Short,
        Self::Few,
        Self::Ghost,
        Self::Aborted,
        Self::Later,
        Self::Pause,
    ];

    /// Its word in a plan and in a tally.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eintr => "eintr",
            Self::Again => "again",
            Self::Short => "short",
            Self::Few => "few",
            Self::Ghost => "ghost",
            Self::Aborted => "aborted",
            Self::Later => "later",
            Self::Pause => "pause",
        }
    }
}

/// What is to be bent: `seed=7,eintr=10,again=10,short=30,few=30,ghost=10,aborted=20,later=50,pause=20`, each in percent of the
/// calls that can be bent so, 90 at most; `signal=500` sends a signal to each thread every so many microseconds;
/// `threads=resound+tokio-rt` leaves all threads alone whose names begin otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    seed: u64,
    percent: [u8; Kind::ALL.len()],
    pub(crate) signal: Option<Duration>,
    threads: Vec<String>,
}

/// A plan that cannot be read: which part, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPlan(String);

/// More, and a loop that repeats an interrupted call would be endless in practice.
const MOST: u8 = 90;

impl FromStr for Plan {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let mut plan = Self::default();
        for part in text.split(',') {
            let bad = |what: &str| BadPlan(format!("{part:?}: {what}"));
            let (word, value) = part.split_once('=').ok_or_else(|| bad("write word=value"))?;
            let number = || value.parse::<u64>().map_err(|_| bad("the value must be a whole number"));
            match word {
                "seed" => plan.seed = number()?,
                "signal" => plan.signal = Some(Duration::from_micros(number()?.max(1))),
                "threads" => plan.threads = value.split('+').map(String::from).collect(),
                _ => {
                    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
                    let kind = kind.ok_or_else(|| bad("no such word; see the documentation of Plan"))?;
                    let percent = u8::try_from(number()?).ok().filter(|percent| *percent <= MOST);
                    plan.percent[kind as usize] = percent.ok_or_else(|| bad("90 percent at most"))?;
                }
            }
        }
        Ok(plan)
    }
}

impl Plan {
    /// Whether to bend a call so; and then a number to bend it by.
    pub(crate) fn roll(&self, kind: Kind) -> Option<u64> {
        static ROLLS: AtomicU64 = AtomicU64::new(0);
        let percent = self.percent[kind as usize];
        if percent == 0 {
            return None;
        }
        let drawn = mix(self.seed ^ mix(ROLLS.fetch_add(1, Ordering::Relaxed)));
        (drawn % 100 < u64::from(percent)).then_some(drawn / 100)
    }

    /// Whether this thread's calls may be bent. Its name is asked for once.
    pub(crate) fn concerns_this_thread(&self) -> bool {
        thread_local! {
            static KNOWN: Cell<Option<bool>> = const { Cell::new(None) };
        }
        // A thread whose locals are gone is about to end.
        let known = KNOWN.try_with(Cell::get).unwrap_or(Some(false));
        known.unwrap_or_else(|| {
            let concerned = self.concerns("/proc/thread-self");
            let _ = KNOWN.try_with(|known| known.set(Some(concerned)));
            concerned
        })
    }

    /// The same of any thread, by its directory in proc(5).
    pub(crate) fn concerns(&self, thread: &str) -> bool {
        self.threads.is_empty()
            || fs::read_to_string(format!("{thread}/comm"))
                .is_ok_and(|name| self.threads.iter().any(|prefix| name.starts_with(prefix)))
    }
}

/// splitmix64, whose output for consecutive inputs is as good as random.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BadPlan {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_what_is_wrong_with_one_is_named() {
        let plan: Plan = "seed=7,short=30,signal=500,threads=resound+tokio".parse().unwrap();
        assert_eq!(plan.percent[Kind::Short as usize], 30);
        assert_eq!(plan.signal, Some(Duration::from_micros(500)));
        assert_eq!(plan.threads, ["resound", "tokio"]);
        for (text, part) in [
            ("seed", "word=value"),
            ("eintr=91", "90"),
            ("eintr=x", "whole"),
            ("seed=1,oops=1", "\"oops=1\""),
        ] {
            let error = text.parse::<Plan>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn as_often_as_the_plan_says() {
        let plan: Plan = "seed=7,short=30".parse().unwrap();
        let bent = (0..10_000).filter(|_| plan.roll(Kind::Short).is_some()).count();
        assert!((2_700..3_300).contains(&bent), "{bent}");
        assert_eq!(plan.roll(Kind::Again), None);
    }
}
