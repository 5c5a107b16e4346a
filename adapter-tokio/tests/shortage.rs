//! A server without a descriptor left, on tokio. A test binary of its own with one test: it limits the whole process.

use std::future::Future;

use resound_tokio::Tokio;
use scenarios::{Host, Task};
use tokio::runtime::{Builder, Runtime};

#[path = "../../adapter-async/tests/scenarios/mod.rs"]
mod scenarios;

impl Host for Runtime {
    type Runtime = Tokio;

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.block_on(future)
    }

    fn spawner(&self) -> impl Fn(Task) + Send + 'static {
        let handle = self.handle().clone();
        move |task| {
            handle.spawn(task);
        }
    }
}

#[test]
fn a_server_without_descriptors_pauses_and_goes_on() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    scenarios::shortage::a_server_without_descriptors_pauses_and_goes_on(&runtime);
}
