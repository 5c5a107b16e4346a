//! A server without a descriptor left, on smol. A test binary of its own with one test: it limits the whole process.

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
fn a_server_without_descriptors_pauses_and_goes_on() {
    let executor = Arc::new(Executor::new());
    let worker = executor.clone();
    thread::spawn(move || block_on(worker.run(pending::<()>())));
    scenarios::shortage::a_server_without_descriptors_pauses_and_goes_on(&OnExecutor(executor));
}
