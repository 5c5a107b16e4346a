//! What a scenario says of its runtime while this host stands still, it says of this host.
//!
//! A machine that runs other tests too may run nobody's thread for a while. A thread here only sleeps, and notes when it
//! was woken much too late; what failed meanwhile is done again.

use core::time::Duration;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What failed while this host stood still is done again so often.
const AGAIN: u32 = 2;

/// When this host last stood still.
static STOOD_STILL: LazyLock<Mutex<Instant>> = LazyLock::new(|| {
    const TICK: Duration = Duration::from_millis(10);
    const MUCH: Duration = Duration::from_millis(150);
    thread::spawn(|| {
        loop {
            let before = Instant::now();
            thread::sleep(TICK);
            if before.elapsed() > TICK + MUCH {
                *STOOD_STILL.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        }
    });
    Mutex::new(Instant::now())
});

/// Does this; a second time, and a third, if it fails and this host stood still meanwhile: nobody's thread ran for a tenth
/// of a second and more. Starts a thread that sleeps for as long as the process lives.
///
/// ```no_run
/// use resound_conformance::{Runtime, Scenario, run, steadily};
///
/// fn conforms(runtime: &dyn Runtime, scenario: &'static Scenario) {
///     let kept = steadily(|| {
///         let outcome = run(scenario, runtime);
///         if outcome.passed() { Ok(()) } else { Err(outcome.broken) }
///     });
///     assert_eq!(kept, Ok(()), "{}", scenario.name());
/// }
/// ```
///
/// # Errors
///
/// What the last time failed with.
pub fn steadily<T, E>(play: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    LazyLock::force(&STOOD_STILL);
    again_if(|began| *STOOD_STILL.lock().unwrap_or_else(PoisonError::into_inner) >= began, play)
}

fn again_if<T, E>(
    stood_still_since: impl Fn(Instant) -> bool,
    mut play: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 0..AGAIN {
        let began = Instant::now();
        let came = play();
        if came.is_ok() || !stood_still_since(began) {
            return came;
        }
    }
    play()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is played, if it fails so often.
    fn times(failures: u32, stood_still: bool) -> (u32, Result<(), ()>) {
        let mut times = 0;
        let came = again_if(
            |_| stood_still,
            || {
                times += 1;
                if times > failures { Ok(()) } else { Err(()) }
            },
        );
        (times, came)
    }

    #[test]
    fn only_what_fails_while_the_host_stands_still_is_played_again() {
        assert_eq!(times(0, true), (1, Ok(())));
        assert_eq!(times(1, false), (1, Err(())));
        assert_eq!(times(1, true), (2, Ok(())));
        assert_eq!(times(9, true), (3, Err(())));
    }
}
