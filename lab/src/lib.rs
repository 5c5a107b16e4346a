//! The simulator's scenarios on the real Linux kernel, through every runtime, and where they differ.
//!
//! # Theory of operation
//!
//! A scenario is played twice. First in the simulator: that is the prediction. Then with real hosts: each is a network
//! namespace with a kernel's own stack in it and a process for its programs, and what lies between them is the simulator's
//! own network in real time ([`Live`](resound_sim::world::Live)), with its links, routers and fault engine, on packet
//! sockets. So a fault is the very same code in both, and only what is in question is different: the kernel and the runtime.
//!
//! ```text
//!                    ┌───────────── World ─────────────┐
//!   Scenario ──┬──►  simulated hosts, network, faults  ──► Run ─┐
//!              │                                               ├──► verdict: the same words in the same order, and when
//!              └──►  rig   ◄─ packets ─►  play (Live)  ──► Run ─┘
//!                     │                     ▲
//!                     └── agent: a process ─┘ what its programs say
//!                          std, smol, tokio
//! ```
//!
//! | module | has |
//! |---|---|
//! | [`rig`] | namespaces, wires, and what can be done to a host for real |
//! | [`agent`] | the process that runs a host's programs, on a runtime or with single calls |
//! | [`play`] | one scenario with real hosts, from beginning to end |
//! | [`verdict`] | a prediction and what came: agreement, or in what they differ |
//! | [`suite`] | which scenarios, on what; many at a time; again where the machine stood still |
//! | [`table`] | the kernel table, row by row, on the kernel that runs here |
//! | [`costs`] | what a runtime costs: in the plays, and apart; counts first, times with their spread |
//! | [`agreement`] | all that was played, as a matrix |
//! | [`report`] | all of it as a page |
//!
//! It needs Linux, `ip` (iproute2), and either root or a user namespace; [`rig::allowed`] says whether it may, and why not.
//! Everything hangs on processes of this one: namespaces have no names and agents die with it, so nothing is left behind,
//! whatever ends it.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

pub mod agent;
pub mod agreement;
pub mod costs;
pub mod play;
pub mod report;
pub mod rig;
pub mod suite;
pub mod table;
pub mod verdict;
mod watch;
