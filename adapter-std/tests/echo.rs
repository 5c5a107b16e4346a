//! Echo, close, reconnect: a client and a server of this crate, on the loopback device.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use resound_core::backoff;
use resound_core::signal::{Errno, Reason};
use resound_core::stream::admission::{self, Event as ServerEvent};
use resound_core::stream::client::{Command, Config, Event, OnLoss, Refusal};
use resound_core::stream::server;
use resound_std::{Client, EchoError, Quiet, Server, ServerConfig, serve_echo};
use socket2::{Domain, Socket, Type};

/// Long enough for a slow machine; nothing here waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

type ServerEvents = mpsc::Receiver<ServerEvent<server::Ended>>;

fn start_at(addr: SocketAddr, config: ServerConfig) -> (Server, ServerEvents) {
    let (tell, events) = mpsc::channel();
    let server = serve_echo(addr, config, server::Config::default(), move |event| {
        let _ = tell.send(event);
    });
    (server.unwrap(), events)
}

/// A server where one was before. Somebody's outgoing connection may have the port for a moment.
fn start_again_at(addr: SocketAddr) -> Server {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        match serve_echo(addr, ServerConfig::default(), server::Config::default(), |_| {}) {
            Ok(server) => return server,
            Err(error) if std::time::Instant::now() > until => panic!("{error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A port that is taken, so that nobody else can have it, and not listened on.
fn nobody() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&here().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

fn start() -> (Server, ServerEvents) {
    start_at(here(), ServerConfig::default())
}

/// Retries soon, so that a test need not wait for long.
fn eager() -> Config {
    let mut config = Config::default();
    config.link.backoff = backoff::Config {
        first_window: Duration::from_millis(20),
        floor: Duration::from_millis(10),
        cap: Duration::from_millis(50),
        ..backoff::Config::default()
    };
    config
}

fn client_of(addr: SocketAddr) -> Client {
    Client::connect([addr], eager()).unwrap()
}

/// The first event that `pick` takes.
fn until<T>(client: &mut Client, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(picked) = pick(client.next_event(PATIENCE).expect("the event does not come")) {
            return picked;
        }
    }
}

#[test]
fn what_is_sent_comes_back_and_a_close_is_a_good_end_on_both_sides() {
    let (server, events) = start();
    let mut client = client_of(server.local_addr());
    let echo = client.echo("hello", PATIENCE).unwrap();
    assert_eq!(echo.payload, "hello");
    assert!(echo.round_trip > Duration::ZERO && echo.round_trip < PATIENCE);
    assert_eq!(client.close(), None);

    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), ServerEvent::Accepted { .. }));
    let ServerEvent::Connection { event: ended, .. } = events.recv_timeout(PATIENCE).unwrap() else {
        panic!("the connection has not ended");
    };
    assert_eq!((ended.cause.reason, ended.received, ended.echoed), (Reason::Closed, 5, 5));
    server.handle().drain();
    server.join();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), ServerEvent::Done);
    assert!(events.recv().is_err(), "there is an event after the last");
}

#[test]
fn a_large_message_is_echoed_whole_although_no_buffer_holds_it() {
    let (server, _events) = start();
    let config = Config { max_bytes: 32 << 20, ..eager() };
    let mut client = Client::connect([server.local_addr()], config).unwrap();
    let payload: Bytes = (0..16u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
    let echo = client.echo(payload.clone(), PATIENCE).unwrap();
    assert_eq!(echo.payload, payload);
}

#[test]
fn many_in_flight_come_back_in_order() {
    let (server, _events) = start();
    let mut client = client_of(server.local_addr());
    let handle = client.handle();
    for i in 0..1_000u32 {
        handle.command(Command::Send(i.to_be_bytes().to_vec().into())).unwrap();
    }
    for i in 0..1_000u32 {
        let payload = until(&mut client, |event| match event {
            Event::Echoed { payload, .. } => Some(payload),
            _ => None,
        });
        assert_eq!(payload, &i.to_be_bytes()[..]);
    }
}

#[test]
fn a_client_whose_server_dies_finds_it_again() {
    let (server, _events) = start();
    let addr = server.local_addr();
    let mut client = client_of(addr);
    client.echo("before", PATIENCE).unwrap();
    drop(server);
    let cause = until(&mut client, |event| match event {
        Event::Down { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!((cause.reason, cause.errno), (Reason::Reset, Some(Errno::ConnReset)));
    let refused = until(&mut client, |event| match event {
        Event::DialFailed { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(refused.reason, Reason::ConnRefused);

    let _server = start_again_at(addr);
    assert_eq!(client.echo("after", PATIENCE).unwrap().payload, "after");
}

#[test]
fn messages_in_flight_are_lost_or_sent_again_as_configured() {
    let (server, _events) = start();
    let addr = server.local_addr();
    // Somebody who takes two connections with a byte each, resets them because the rest is unread, and is gone.
    let silent = TcpListener::bind(here()).unwrap();
    let silent_addr = silent.local_addr().unwrap();
    let taker = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = silent.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
    });
    let mut client = client_of(silent_addr);
    match client.echo("gone", PATIENCE) {
        Err(EchoError::Lost { payload, cause }) => {
            assert_eq!((payload.as_ref(), cause.reason), (&b"gone"[..], Reason::Reset));
        }
        other => panic!("{other:?}"),
    }
    drop(client);

    let mut patient =
        Client::connect([silent_addr, addr], Config { on_loss: OnLoss::Resend, ..eager() }).unwrap();
    assert_eq!(patient.echo("again", PATIENCE).unwrap().payload, "again");
    taker.join().unwrap();
}

#[test]
fn a_dial_that_nobody_answers_is_refused_with_its_errno_and_tried_again() {
    let (_held, port_of_nobody) = nobody();
    let mut client = client_of(port_of_nobody);
    for _ in 0..3 {
        let cause = until(&mut client, |event| match event {
            Event::DialFailed { cause, .. } => Some(cause),
            _ => None,
        });
        assert_eq!((cause.reason, cause.errno), (Reason::ConnRefused, Some(Errno::ConnRefused)));
    }
    assert_eq!(client.echo("x", Duration::from_millis(30)), Err(EchoError::TimedOut));
}

#[test]
fn other_threads_echo_while_one_drives() {
    let (server, _events) = start();
    let mut client = client_of(server.local_addr());
    let handle = client.handle();
    let workers: Vec<_> = (0..8u8)
        .map(|who| {
            let handle = handle.clone();
            thread::spawn(move || {
                for i in 0..200u8 {
                    let echo = handle.echo(vec![who, i], PATIENCE).unwrap();
                    assert_eq!(echo.payload, &[who, i][..]);
                }
            })
        })
        .collect();
    let closer = thread::spawn(move || {
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        handle.command(Command::Close).unwrap();
        handle
    });
    let mut told = Vec::new();
    while let Ok(event) = client.next_event(PATIENCE) {
        told.push(event);
    }
    assert_eq!(client.next_event(PATIENCE), Err(Quiet::Finished));
    // The ends of the messages went to those who waited for them.
    assert!(
        matches!(told[..], [Event::Dialing { .. }, Event::Up { .. }, Event::Closed]),
        "{:?}",
        &told[..told.len().min(5)]
    );
    let handle = closer.join().unwrap();
    match handle.echo("late", PATIENCE) {
        Err(EchoError::Refused(refused)) => assert_eq!(refused.why, Refusal::Closed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_wakes_a_driver_that_sleeps() {
    let (server, _events) = start();
    let mut client = client_of(server.local_addr());
    client.echo("up", PATIENCE).unwrap();
    let handle = client.handle();
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        handle.command(Command::Send("wake".into())).unwrap();
    });
    let began = std::time::Instant::now();
    until(&mut client, |event| match event {
        Event::Echoed { payload, .. } if payload == "wake" => Some(()),
        _ => None,
    });
    assert!(began.elapsed() < Duration::from_secs(5), "it slept on for {:?}", began.elapsed());
    sender.join().unwrap();
}

#[test]
fn a_timeout_is_no_end_and_its_message_is_never_told() {
    let (server, _events) = start();
    let mut client = client_of(server.local_addr());
    client.echo("up", PATIENCE).unwrap();
    while client.next_event(Duration::from_millis(1)).is_ok() {}
    assert_eq!(client.next_event(Duration::from_millis(1)), Err(Quiet::TimedOut));
    assert_eq!(client.next_event(Duration::ZERO), Err(Quiet::TimedOut));

    let silent = TcpListener::bind(here()).unwrap();
    let mut unanswered = client_of(silent.local_addr().unwrap());
    let began = std::time::Instant::now();
    assert_eq!(unanswered.echo("x", Duration::from_millis(40)), Err(EchoError::TimedOut));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(40) && took < PATIENCE, "{took:?}");
    // It still has its place; the other end sends it back now.
    let (stream, _) = silent.accept().unwrap();
    let echoing = thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
    unanswered.echo("y", PATIENCE).unwrap();
    while let Ok(event) = unanswered.next_event(Duration::from_millis(1)) {
        assert!(!matches!(event, Event::Echoed { .. }), "{event:?}");
    }
    drop(unanswered);
    let _ = echoing.join().unwrap();
}

#[test]
fn those_who_wait_for_a_client_that_is_dropped_are_told() {
    let silent = TcpListener::bind(here()).unwrap();
    let mut client = client_of(silent.local_addr().unwrap());
    let handle = client.handle();
    let waiting = thread::spawn(move || handle.echo("x", PATIENCE));
    while client.handle().look(|machine| machine.pending()) == 0 {
        let _ = client.next_event(Duration::from_millis(5));
    }
    drop(client);
    match waiting.join().unwrap() {
        Err(EchoError::Lost { cause, .. }) => assert_eq!(cause.reason, Reason::Aborted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_second_address_is_taken_when_the_first_does_not_answer() {
    let (server, _events) = start();
    let (_held, port_of_nobody) = nobody();
    let mut client = Client::connect([port_of_nobody, server.local_addr()], eager()).unwrap();
    client.echo("x", PATIENCE).unwrap();
    let up = until(&mut client, |event| match event {
        Event::Up { target, .. } => Some(target),
        _ => None,
    });
    assert_eq!(up, 1);
}

#[test]
fn one_address_gets_no_more_connections_than_it_may_have() {
    let admission = admission::Config { per_address: 2, ..admission::Config::default() };
    let (server, events) = start_at(here(), ServerConfig { admission, ..ServerConfig::default() });
    let mut clients: Vec<_> = (0..2).map(|_| client_of(server.local_addr())).collect();
    for client in &mut clients {
        client.echo("in", PATIENCE).unwrap();
    }
    assert_eq!(server.handle().connections(), 2);
    let mut third = client_of(server.local_addr());
    third.echo("out", Duration::from_millis(100)).unwrap_err();
    let why = events.iter().find_map(|event| match event {
        ServerEvent::Refused { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(why, Some(admission::Refusal::PerAddress));
    clients.pop().unwrap().close();
    assert_eq!(third.echo("in", PATIENCE).unwrap().payload, "in");
}

#[test]
fn a_drain_lets_clients_finish_and_an_abort_does_not() {
    for graceful in [true, false] {
        let (server, events) = start();
        let addr = server.local_addr();
        let mut client = client_of(addr);
        client.echo("up", PATIENCE).unwrap();
        if graceful {
            server.handle().drain();
        } else {
            server.handle().abort();
        }
        let cause = until(&mut client, |event| match event {
            Event::Down { cause, .. } => Some(cause),
            _ => None,
        });
        assert_eq!(cause.reason, if graceful { Reason::Closed } else { Reason::Reset });
        server.join();
        let ends: Vec<_> = events.iter().collect();
        let [ServerEvent::Accepted { .. }, ServerEvent::Connection { event: ended, .. }, ServerEvent::Done] =
            ends[..]
        else {
            panic!("{ends:?}");
        };
        assert_eq!(ended.cause.reason, if graceful { Reason::Closed } else { Reason::Aborted });
        assert!(std::net::TcpStream::connect(addr).is_err(), "somebody still listens");
    }
}

#[test]
fn what_had_come_in_before_the_drain_is_echoed() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = serve_echo(here(), ServerConfig::default(), server::Config::default(), move |event| {
        if matches!(event, ServerEvent::Accepted { .. }) {
            wait.lock().unwrap().recv().unwrap();
        }
    });
    let server = server.unwrap();
    let mut client = std::net::TcpStream::connect(server.local_addr()).unwrap();
    client.write_all(b"in time").unwrap();
    while server.handle().connections() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    server.handle().drain();
    go_on.send(()).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"in time");
}
