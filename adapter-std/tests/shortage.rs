//! A server without a descriptor left pauses, and goes on when there is one. It runs in a child process, whose limit is
//! lowered; the clients are here.

#![cfg(unix)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::{AcceptError, Event};
use resound_core::stream::server;
use resound_std::{ServerConfig, serve_echo};

const CHILD: &str = "RESOUND_TEST_SHORTAGE";
/// How many connections the child has descriptors for.
const ROOM: usize = 3;
const WHILE: Duration = Duration::from_secs(1);

#[test]
fn a_server_without_descriptors_pauses_and_goes_on() {
    if std::env::var_os(CHILD).is_some() {
        return serve_with_few_descriptors();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_without_descriptors_pauses_and_goes_on", "--nocapture"])
        .env(CHILD, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = |key: &str| {
        let value = lines.find_map(|line| line.strip_prefix(key).map(String::from));
        value.expect("the child has ended")
    };
    let addr: SocketAddr = told("addr ").parse().unwrap();

    let mut clients: Vec<_> = (0..ROOM + 2).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for client in &mut clients[..ROOM] {
        echo(client);
    }
    thread::sleep(WHILE);
    // Pauses of 10 ms, doubled each time, find room for seven failures; a spin, for a hundred thousand.
    drop(child.stdin.take());
    let failures: u32 = told("failures ").parse().unwrap();
    let cpu: u128 = told("cpu ms ").parse().unwrap();
    assert!((2..=12).contains(&failures), "{failures} failures");
    assert!(cpu < 300, "{cpu} ms of CPU time");
    clients.drain(..ROOM);
    for client in &mut clients {
        echo(client);
    }
    drop(clients);
    assert!(child.wait().unwrap().success());
}

fn echo(client: &mut TcpStream) {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

static FAILURES: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);

fn serve_with_few_descriptors() {
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = serve_echo(here, ServerConfig::default(), server::Config::default(), |event| match event {
        Event::AcceptFailed { signal, then } => {
            assert_eq!(signal, Signal::Errno(Errno::MFile));
            assert!(matches!(then, AcceptError::Pause { .. }), "{then:?}");
            FAILURES.fetch_add(1, Ordering::Relaxed);
        }
        Event::Connection { .. } => {
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    })
    .unwrap();
    let next_free = File::open("/dev/null").unwrap().as_raw_fd() as usize;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, (next_free + ROOM) as u64, hard).unwrap();
    println!("\naddr {}", server.local_addr());

    let _ = std::io::stdin().read(&mut [0]);
    println!("failures {}", FAILURES.load(Ordering::Relaxed));
    let cpu = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap());
    println!("cpu ms {}", cpu.as_millis());
    while ENDED.load(Ordering::Relaxed) < ROOM as u32 + 2 {
        thread::sleep(Duration::from_millis(5));
    }
}
