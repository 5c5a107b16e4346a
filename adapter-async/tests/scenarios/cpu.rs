//! Nothing spins: processor time while a client or a server has nothing to do but wait. Measured for the whole process,
//! so each binary that plays this plays nothing else.

use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use resound_async::ServerConfig;
use resound_core::stream::client::{Command, Config, Event};
use resound_core::stream::server;

use super::{Host, Peer, client, connect, echoes, local, patient, peer, quick, sleep, start};

/// How long each situation is watched, and how much of that may be spent. A spin spends all of it.
const WATCHED: Duration = Duration::from_millis(800);
const SPENT: Duration = Duration::from_millis(200);

pub(super) fn process_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec() as u64, t.tv_usec() as u32 * 1_000);
    micros(usage.user_time()) + micros(usage.system_time())
}

fn watch(situation: &str, during: impl FnOnce()) {
    let before = process_time();
    during();
    let spent = process_time() - before;
    assert!(spent < SPENT, "{situation}: {spent:?} of {WATCHED:?}");
}

pub(crate) fn nothing_spins<H: Host>(host: &H) {
    let closed = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let held = TcpListener::bind(local()).unwrap();
    let unread = held.local_addr().unwrap();
    for (situation, addr, config, payload) in [
        ("idle, and probed now and then", peer(Peer::Echo), quick(), 1),
        ("idle, and never probed", peer(Peer::Echo), patient(), 1),
        ("backing off", closed, quick(), 1),
        ("the peer is silent", peer(Peer::Silent), quick(), 1),
        ("the peer is silent, and never probed", peer(Peer::Silent), patient(), 1),
        ("the peer does not read", unread, Config { max_bytes: 64 << 20, ..patient() }, 32 << 20),
    ] {
        let mut client = client::<H::Runtime>(addr, config);
        client.handle().command(Command::Send(vec![7; payload].into())).unwrap();
        host.block_on(async {
            let up = |event: &Event| matches!(event, Event::Up { .. } | Event::DialFailed { .. });
            super::events_until(&mut client, up).await;
            client.run_until(sleep::<H::Runtime>(Duration::from_millis(100)), drop).await;
        });
        watch(situation, || host.block_on(client.run_until(sleep::<H::Runtime>(WATCHED), drop)));
    }
    let (server, told) = start(host, ServerConfig::default(), server::Config::default());
    let wait = |time| host.block_on(sleep::<H::Runtime>(time));
    watch("a server that nobody connects to", || wait(WATCHED));
    let background = thread::spawn({
        let server = server.clone();
        move || {
            let mut idle = connect(&server);
            echoes(&mut idle, b"hello");
            let mut half_closed = connect(&server);
            echoes(&mut half_closed, b"hello");
            (idle, half_closed, fill(connect(&server)))
        }
    });
    while !background.is_finished() {
        wait(Duration::from_millis(10));
    }
    let streams = background.join().unwrap();
    wait(Duration::from_millis(100));
    watch("a server with a client that is idle and one that does not read", || wait(WATCHED));
    server.drain();
    wait(Duration::from_millis(100));
    watch("a server that drains, with clients that do not leave", || wait(WATCHED));
    drop((streams, told));
}

/// Writes, and never reads, until nothing more is taken.
fn fill(mut stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    let mut patience = 20;
    while patience > 0 {
        match stream.write(&[7; 65_536]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                patience -= 1;
                thread::sleep(Duration::from_millis(10));
            }
            written => assert!(written.unwrap() > 0),
        }
    }
    stream
}
