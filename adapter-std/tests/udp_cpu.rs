//! Over UDP, too, whatever a client or a server waits for, it waits asleep. A test binary of its own with one test: it
//! measures the whole process.

#[macro_use]
#[path = "../../adapter-async/tests/scenarios/udp/mod.rs"]
mod scenarios;
mod threads;

#[test]
fn nothing_spins() {
    scenarios::cpu::nothing_spins(&threads::Threads);
}
