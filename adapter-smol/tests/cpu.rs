//! Nothing spins, on smol. A test binary of its own with one test: it measures the whole process.

use std::future::{Future, pending};
use std::sync::Arc;
use std::thread;

use async_executor::Executor;
use futures_lite::future::block_on;
use resound_smol::Smol;
use scenarios::{Host, Task};

#[path = "../../adapter-async/tests/scenarios/mod.rs"]
mod scenarios;

struct OnExecutor(Arc<Executor<'static>>);

impl Host for OnExecutor {
    type Runtime = Smol;

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(self.0.run(future))
    }

    fn spawner(&self) -> impl Fn(Task) + Send + 'static {
        let executor = self.0.clone();
        move |task| executor.spawn(task).detach()
    }
}

#[test]
fn nothing_spins_on_one_thread_or_on_two() {
    let executor = Arc::new(Executor::new());
    scenarios::cpu::nothing_spins(&OnExecutor(executor.clone()));
    let worker = executor.clone();
    thread::spawn(move || block_on(worker.run(pending::<()>())));
    scenarios::cpu::nothing_spins(&OnExecutor(executor.clone()));
    scenarios::udp::cpu::nothing_spins(&scenarios::udp_async::OnHost(OnExecutor(executor)));
}
