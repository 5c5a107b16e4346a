//! The runtimes by name.

use core::num::NonZero;
use std::thread::available_parallelism;

use resound_conformance::Runtime;
use resound_conformance::on::smol::Smol;
use resound_conformance::on::std::Std;
use resound_conformance::on::tokio::Tokio;

use crate::args::RuntimeName;

impl RuntimeName {
    /// Every runtime, in the order in which they are shown.
    pub(crate) const ALL: [Self; 3] = [Self::Std, Self::Smol, Self::Tokio];

    /// The word that people and programs read.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Smol => "smol",
            Self::Tokio => "tokio",
        }
    }
}

/// How many threads a runtime has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// One: enough for a session, and the shortest way from the kernel to the program.
    One,
    /// One for each processor, for a server. std has one for each connection anyway.
    Processors,
}

/// The runtime of that name.
pub(crate) fn runtime(name: RuntimeName, threads: Threads) -> Box<dyn Runtime> {
    let processors = || available_parallelism().map_or(1, NonZero::get);
    match (name, threads) {
        (RuntimeName::Std, _) => Box::new(Std),
        (RuntimeName::Smol, Threads::One) => Box::new(Smol::threads(1)),
        (RuntimeName::Smol, Threads::Processors) => Box::new(Smol::threads(processors())),
        (RuntimeName::Tokio, Threads::One) => Box::new(Tokio::current_thread()),
        (RuntimeName::Tokio, Threads::Processors) => Box::new(Tokio::multi_thread(processors())),
    }
}
