//! Nothing spins, on tokio. A test binary of its own with one test: it measures the whole process.

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
fn nothing_spins_on_either_flavour() {
    scenarios::cpu::nothing_spins(&Builder::new_current_thread().enable_all().build().unwrap());
    let two_workers = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    scenarios::cpu::nothing_spins(&two_workers);
    scenarios::udp::cpu::nothing_spins(&scenarios::udp_async::OnHost(two_workers));
}
