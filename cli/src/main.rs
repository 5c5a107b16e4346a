//! `resound`: is it up, how fast, and if not, why not.
//!
//! A thin layer over Resound's libraries. What a peer's silence means is decided in the core, how bytes move in the
//! adapters; here is what a person or a script sees: words, numbers, exit codes.
//!
//! ```text
//!   args ──► command/{ping, echo, why, …} ──► output/{text, json, csv} ──► standard output
//!                 │            ▲                                                    (nothing else goes there)
//!                 ▼            │ events
//!          resound_conformance::Runtime, udp
//! ```

#![forbid(unsafe_code)]
#![allow(rustdoc::broken_intra_doc_links, reason = "the help says [v6]:port")]
#![deny(clippy::print_stdout, clippy::print_stderr)]

extern crate alloc;

mod args;
mod command;
mod exit;
mod interrupt;
mod output;
mod runtime;
mod stats;
mod tracker;
mod udp;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(exit) = command::within_lab() {
        return exit;
    }
    command::run(args::Cli::parse().command).into()
}
