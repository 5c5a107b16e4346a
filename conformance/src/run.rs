//! Playing scenarios: one, or many at a time.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use crate::outcome::Outcome;
use crate::runtime::Runtime;
use crate::scenario::{Load, Scenario};
use crate::stage::Stage;

/// Plays a scenario on a runtime, with the timers of [`profile::fast`](crate::profile::fast).
#[must_use]
pub fn run(scenario: &Scenario, runtime: &dyn Runtime) -> Outcome {
    let mut stage = Stage::new(runtime);
    let played = scenario.play(&mut stage);
    stage.outcome(scenario, played)
}

/// Plays every scenario on every runtime, at most `together` at a time (at least one), and calls `done` with each
/// outcome as it comes, on the calling thread. The outcomes come back scenario by scenario, in the order given, each
/// with its runtimes in the order given.
///
/// What loads the machine is played after everything else and one at a time: it would disturb what is measured.
pub fn run_all(
    runtimes: &[&dyn Runtime],
    scenarios: &[&Scenario],
    together: usize,
    mut done: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let plays: Vec<(&Scenario, &dyn Runtime)> = scenarios
        .iter()
        .flat_map(|&scenario| runtimes.iter().map(move |&runtime| (scenario, runtime)))
        .collect();
    let mut outcomes: Vec<Option<Outcome>> = plays.iter().map(|_| None).collect();
    for (load, together) in [(Load::Light, together.max(1)), (Load::Heavy, 1)] {
        let queue = Mutex::new(plays.iter().enumerate().filter(|(_, (scenario, _))| scenario.load == load));
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..together {
                let (tell, queue) = (tell.clone(), &queue);
                scope.spawn(move || {
                    // The lock is held for taking the next one only, not while it is played.
                    while let Some((index, &(scenario, runtime))) = next(queue) {
                        let _ = tell.send((index, run(scenario, runtime)));
                    }
                });
            }
            drop(tell);
            for (index, outcome) in told {
                done(&outcome);
                outcomes[index] = Some(outcome);
            }
        });
    }
    outcomes.into_iter().flatten().collect()
}

fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().ok()?.next()
}
