//! The same echo sessions through the same faults, on any runtime.
//!
//! # Theory of operation
//!
//! A [`Scenario`] is a peer with a fault, an echo session of the runtime under test, and a [`Promise`]: what the session
//! must report, in which order, with which reason, and within what time. The time follows from the timers by the rules
//! of the core; it is never guessed. [`run`] plays a scenario on a [`Runtime`] and holds what came of it against the
//! promise; [`differences`] holds runtimes against each other.
//!
//! ```text
//!   Scenario ──► peer with a fault (a thread, real sockets on loopback)
//!       │             ▲
//!       │             │ TCP, UDP
//!       │             ▼
//!       └─────► Runtime: client(), server() ──► events ──► Outcome { verdict, detected, broken }
//! ```
//!
//! A fourth adapter passes this suite by implementing [`Runtime`], and [`UdpRuntime`] if it has UDP; one that has none
//! leaves out the scenarios whose [`transport`](Scenario::transport) that is.
//!
//! ```no_run
//! use resound_conformance::{Runtime, Scenario, run};
//!
//! fn conforms(runtime: &dyn Runtime) {
//!     for scenario in Scenario::ALL {
//!         let outcome = run(scenario, runtime);
//!         assert!(outcome.passed(), "{}: {:?}", scenario.name(), outcome.broken);
//!     }
//! }
//! ```
//!
//! It needs no privilege, stays on loopback, lets the kernel choose every port, and leaves nothing behind.

#![forbid(unsafe_code)]

extern crate alloc;

pub mod on;
mod outcome;
mod peers;
pub mod profile;
mod run;
mod runtime;
mod scenario;
mod stage;
mod steady;
pub mod textbook;
mod timeline;

pub use outcome::{Difference, Moment, Outcome, differences};
pub use run::{run, run_all};
pub use runtime::{
    ClientSession, Dial, EchoClient, OnEvent, OnServerEvent, OnUdpEvent, OnUdpServerEvent, Runtime,
    ServerConfig, ServerEvent, ServerSession, UdpClientSession, UdpRuntime, UdpServerSession,
};
pub use scenario::{Promise, Scenario, Transport, Within};
pub use steady::steadily;
