//! `resound why` on real hosts, while on the way to the server, or at it, goes wrong what can go wrong: it names the right
//! situation, or says between which it cannot decide.
//!
//! Each case is a scenario of the simulator; the lab plays it with namespaces, real kernels and the simulator's network
//! between them, and `resound why` is a guest on the host `client`. It starts 150 ms after the scenario, unless the case says
//! otherwise, so that what is to be there is there.
//!
//! `cargo test -p resound --test why_rig -- WORD` runs those whose names have that word.

#![allow(missing_docs)]

#[cfg(target_os = "linux")]
mod common;

#[cfg(target_os = "linux")]
mod rig;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    rig::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: the lab needs Linux");
}
