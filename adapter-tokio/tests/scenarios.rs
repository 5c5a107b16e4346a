//! What async users rely on, on tokio, on both of its flavours.

use std::future::{Future, pending};
use std::thread;

use resound_tokio::Tokio;
use scenarios::{Host, Task};
use tokio::runtime::{Builder, Handle, Runtime};

#[macro_use]
#[path = "../../adapter-async/tests/scenarios/mod.rs"]
mod scenarios;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn spawner(handle: &Handle) -> impl Fn(Task) + Send + 'static {
    let handle = handle.clone();
    move |task| {
        handle.spawn(task);
    }
}

impl Host for Runtime {
    type Runtime = Tokio;

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.block_on(future)
    }

    fn spawner(&self) -> impl Fn(Task) + Send + 'static {
        spawner(self.handle())
    }
}

/// A runtime of one thread that goes on while the test does something else.
struct Elsewhere(Handle);

impl Elsewhere {
    fn start() -> Self {
        let runtime = current_thread();
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(pending::<()>()));
        Self(handle)
    }
}

impl Host for Elsewhere {
    type Runtime = Tokio;

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn spawner(&self) -> impl Fn(Task) + Send + 'static {
        spawner(&self.0)
    }
}

mod on_one_thread {
    client_scenarios!(crate::current_thread());
    server_scenarios!(crate::Elsewhere::start());
}

mod on_two_workers {
    client_scenarios!(crate::multi_thread());
    server_scenarios!(crate::multi_thread());
}

mod udp_on_one_thread {
    udp_client_scenarios!(crate::current_thread());
    udp_task_scenarios!(crate::Elsewhere::start());
}

mod udp_on_two_workers {
    udp_client_scenarios!(crate::multi_thread());
    udp_task_scenarios!(crate::multi_thread());
}
