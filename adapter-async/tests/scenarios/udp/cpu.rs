//! Nothing spins: processor time while sockets are waited for. Measured for the whole process, so each binary that plays
//! this plays nothing else at the same time.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use resound_core::datagram::client::{Config, Event};

use super::{Closed, Party, V4, quick, silent, start, unlimited};

/// How long each situation is watched, and how much of that may be spent. A spin spends all of it.
const WATCHED: Duration = Duration::from_millis(500);
const SPENT: Duration = Duration::from_millis(200);

fn watch(situation: &str) {
    let spent = || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap());
    let before = spent();
    thread::sleep(WATCHED);
    let spent = spent() - before;
    println!("{situation}: {spent:?} of {WATCHED:?}");
    assert!(spent < SPENT, "{situation}: {spent:?} of {WATCHED:?}");
}

pub(crate) fn nothing_spins<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::new(V4, 0)], &unlimited());
    watch("a server that nobody asks");

    let client = start(party, quick(), V4);
    watch("a client without peers");
    client.add(server.addrs[0]);
    client.until(|event| matches!(event, Event::Up { .. }));
    watch("a peer that lives");

    let closed = Closed::port(V4);
    let dead = client.add(closed.addr());
    client.until(|event| matches!(event, Event::DialFailed { .. }));
    watch("a peer whose port is closed, asked again and again");
    client.with(|client, now| assert!(client.remove(now, dead)));
    while client.events.try_recv().is_ok() {}
    watch("after errors, with nothing more to do");

    let mute = silent(V4);
    let config = Config { timeout: Duration::from_millis(100), ..super::impatient() };
    let doubting = start(party, config, V4);
    doubting.add(mute.local_addr().unwrap());
    watch("a peer that is silent");
    doubting.end();
    client.end();
    server.end();
}
