//! A server without a descriptor left pauses, and goes on when there is one. It lowers the limit of the whole process, so
//! each binary that plays this plays nothing else.

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use resound_async::{ServerConfig, echo_connections, serve};
use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::{AcceptError, Event};
use resound_core::stream::server;

use super::cpu::process_time;
use super::{Host, PATIENCE, Told, connect, echoes, local};

/// How many connections the server has descriptors for.
const ROOM: usize = 3;
const WHILE: Duration = Duration::from_secs(1);

pub(crate) fn a_server_without_descriptors_pauses_and_goes_on<H: Host>(host: &H) {
    let spawn = host.spawner();
    let (tell, told) = channel();
    let server = host.block_on(async {
        serve::<H::Runtime, _, _, _, _>(
            local(),
            ServerConfig::default(),
            echo_connections(server::Config::default()).unwrap(),
            move |conversation| spawn(Box::pin(conversation)),
            move |event: Told| {
                let _ = tell.send(event);
            },
        )
    });
    let server = server.unwrap();
    let handle = server.handle();
    // They wait in the accept queue: their own descriptors are there before the limit is.
    let mut clients: Vec<TcpStream> = (0..ROOM + 2).map(|_| connect(&handle)).collect();
    let next_free = File::open("/dev/null").unwrap().as_raw_fd() as usize;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, (next_free + ROOM) as u64, hard).unwrap();

    let before = process_time();
    host.spawner()(Box::pin(server));
    clients[..ROOM].iter_mut().for_each(|client| echoes(client, b"hello"));
    thread::sleep(WHILE);
    let spent = process_time() - before;
    let mut failures = 0;
    for event in told.try_iter() {
        match event {
            Event::AcceptFailed { signal, then } => {
                assert_eq!(signal, Signal::Errno(Errno::MFile));
                assert!(matches!(then, AcceptError::Pause { .. }), "{then:?}");
                failures += 1;
            }
            Event::Accepted { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    // Pauses of 10 ms, doubled each time, find room for seven failures; a spin, for a hundred thousand.
    assert!((2..=12).contains(&failures), "{failures} failures");
    assert!(spent < WHILE / 4, "{spent:?} of {WHILE:?}");
    clients.drain(..ROOM);
    clients.iter_mut().for_each(|client| echoes(client, b"hello"));
    drop(clients);
    handle.drain();
    let began = Instant::now();
    while told.recv_timeout(PATIENCE).expect("the server does not end") != Event::Done {
        assert!(began.elapsed() < PATIENCE);
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}
