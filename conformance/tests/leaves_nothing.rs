//! When the suite is over, its sockets and its threads are gone.

#![cfg(all(feature = "std-sockets", target_os = "linux"))]

use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use resound_conformance::on::std::Std;
use resound_conformance::{Runtime, Scenario, run_all};

/// Open descriptors and threads of this process.
fn in_use() -> (usize, usize) {
    let count = |dir: &str| fs::read_dir(dir).expect("the process's own files").count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn the_whole_suite_leaves_no_descriptor_and_no_thread_behind() {
    let before = in_use();
    let scenarios: Vec<&Scenario> = Scenario::ALL.iter().collect();
    let runtimes: [&dyn Runtime; 1] = [&Std];
    let mut told = 0;
    let outcomes = run_all(&runtimes, &scenarios, 8, |_| told += 1);
    assert_eq!(told, Scenario::ALL.len());
    let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.scenario).collect();
    assert_eq!(names, Scenario::ALL.iter().map(Scenario::name).collect::<Vec<_>>(), "in the order given");
    // A server's threads end by themselves, soon after it was dropped.
    let end = Instant::now() + Duration::from_secs(10);
    while in_use() != before && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(in_use(), before);
}
