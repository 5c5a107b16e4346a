//! Whatever a client or a server waits for, it waits asleep. This is a test binary of its own, because it measures the
//! CPU time of the whole process.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use nix::time::{ClockId, clock_gettime};
use resound_core::stream::client::{Command, Config};
use resound_core::stream::server;
use resound_core::{backoff, liveness};
use resound_std::{Client, Server, ServerConfig, serve_echo};
use socket2::{Domain, Socket, Type};

/// One second of waiting may cost this much. A thread that spins costs the whole second.
const BUDGET: Duration = Duration::from_millis(200);
const WHILE: Duration = Duration::from_secs(1);

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn serve() -> Server {
    serve_echo(here(), ServerConfig::default(), server::Config::default(), |_| {}).unwrap()
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

fn costs_little(what: &str, wait: impl FnOnce()) {
    let before = cpu();
    wait();
    let took = cpu() - before;
    println!("{what}: {took:?}");
    assert!(took < BUDGET, "{what} took {took:?} of CPU");
}

fn drive(client: &mut Client) {
    let until = std::time::Instant::now() + WHILE;
    while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
        let _ = client.next_event(left);
    }
}

fn sleep() {
    thread::sleep(WHILE);
}

#[test]
fn waiting_is_done_asleep() {
    assert!(spinning_is_noticed(), "this test could not fail");
    idle();
    backing_off();
    peer_silent();
    client_blocked();
    server_blocked();
    draining();
    peer_half_closed_while_echoes_are_unsent();
}

fn spinning_is_noticed() -> bool {
    let (before, began) = (cpu(), std::time::Instant::now());
    while began.elapsed() < WHILE {}
    cpu() - before > BUDGET
}

fn idle() {
    let server = serve();
    let mut client = Client::connect([server.local_addr()], Config::default()).unwrap();
    client.echo("up", Duration::from_secs(20)).unwrap();
    costs_little("idle", || drive(&mut client));
}

fn backing_off() {
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    held.bind(&here().into()).unwrap();
    let port_of_nobody = held.local_addr().unwrap().as_socket().unwrap();
    let mut config = Config::default();
    config.link.backoff = backoff::Config {
        first_window: Duration::from_millis(40),
        floor: Duration::from_millis(20),
        cap: Duration::from_millis(60),
        ..backoff::Config::default()
    };
    let mut client = Client::connect([port_of_nobody], config).unwrap();
    costs_little("backing off", || drive(&mut client));
}

fn peer_silent() {
    let silent = TcpListener::bind(here()).unwrap();
    let mut config = Config::default();
    config.link.liveness = liveness::Config {
        idle: Duration::from_millis(100),
        probe: Duration::from_millis(100),
        misses: 3,
        ..liveness::Config::default()
    };
    let mut client = Client::connect([silent.local_addr().unwrap()], config).unwrap();
    client.handle().command(Command::Send("x".into())).unwrap();
    costs_little("a silent peer, suspected, examined and convicted", || drive(&mut client));
}

/// The peer's window is closed, and unsent bytes wait.
fn client_blocked() {
    let silent = TcpListener::bind(here()).unwrap();
    let config = Config { max_bytes: 64 << 20, ..Config::default() };
    let mut client = Client::connect([silent.local_addr().unwrap()], config).unwrap();
    client.handle().command(Command::Send(vec![7; 64 << 20].into())).unwrap();
    while client.next_event(Duration::from_millis(200)).is_ok() {}
    let _accepted = silent.accept().unwrap();
    costs_little("a client that cannot write", || drive(&mut client));
}

/// A connection to a server that cannot write, because its client does not read.
fn stuff(server: &Server) -> TcpStream {
    let mut greedy = TcpStream::connect(server.local_addr()).unwrap();
    greedy.set_nonblocking(true).unwrap();
    let chunk = vec![7; 1 << 16];
    let mut refused = 0;
    while refused < 20 {
        match greedy.write(&chunk) {
            Ok(1..) => refused = 0,
            Ok(0) | Err(_) => {
                refused += 1;
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    greedy
}

fn server_blocked() {
    let server = serve();
    let _greedy = stuff(&server);
    costs_little("a server that cannot write", sleep);
}

/// The waker that told of the drain stays readable for ever; so does the end of a peer that has half-closed.
fn draining() {
    let server = serve();
    let mut quiet = TcpStream::connect(server.local_addr()).unwrap();
    quiet.write_all(b"x").unwrap();
    quiet.read_exact(&mut [0]).unwrap();
    let _greedy = stuff(&server);
    server.handle().drain();
    costs_little("a server that drains", sleep);
    assert_eq!(server.handle().connections(), 2);
    assert_eq!(quiet.read(&mut [0]).unwrap(), 0);
}

fn peer_half_closed_while_echoes_are_unsent() {
    let server = serve();
    let greedy = stuff(&server);
    greedy.shutdown(Shutdown::Write).unwrap();
    costs_little("a half-closed peer that does not read", sleep);
    assert_eq!(server.handle().connections(), 1);
    drop(greedy);
}
