//! What async users rely on, on smol: under `block_on` alone, and under an executor with one thread and with two.

use std::future::{Future, pending};
use std::sync::Arc;
use std::thread;

use async_executor::Executor;
use futures_lite::future::block_on;
use resound_smol::Smol;
use scenarios::{Host, Task};

#[macro_use]
#[path = "../../adapter-async/tests/scenarios/mod.rs"]
mod scenarios;

/// An executor with this many threads, beside the one that waits in `block_on`.
struct OnExecutor(Arc<Executor<'static>>);

impl OnExecutor {
    fn with_threads(threads: usize) -> Self {
        let executor = Arc::new(Executor::new());
        for _ in 0..threads {
            let executor = executor.clone();
            thread::spawn(move || block_on(executor.run(pending::<()>())));
        }
        Self(executor)
    }
}

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

mod on_block_on {
    client_scenarios!(crate::OnExecutor::with_threads(0));
}

mod on_one_thread {
    client_scenarios!(crate::OnExecutor::with_threads(1));
    server_scenarios!(crate::OnExecutor::with_threads(1));
}

mod on_two_threads {
    client_scenarios!(crate::OnExecutor::with_threads(2));
    server_scenarios!(crate::OnExecutor::with_threads(2));
}

mod udp_on_block_on {
    udp_client_scenarios!(crate::OnExecutor::with_threads(0));
}

mod udp_on_one_thread {
    udp_client_scenarios!(crate::OnExecutor::with_threads(1));
    udp_task_scenarios!(crate::OnExecutor::with_threads(1));
}

mod udp_on_two_threads {
    udp_client_scenarios!(crate::OnExecutor::with_threads(2));
    udp_task_scenarios!(crate::OnExecutor::with_threads(2));
}
