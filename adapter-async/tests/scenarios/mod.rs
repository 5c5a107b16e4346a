//! Scenarios for an async adapter, on real sockets over loopback, whatever the runtime. Included by the tests of each
//! adapter, which supply a [`Host`].
//!
//! What every adapter promises, blocking ones too, is in the conformance suite. Here is what async users rely on beyond
//! it: futures that can be dropped, a sink that pushes back, a client that lives in its owner's task.

#![allow(dead_code, unused_macros, reason = "each test binary plays some of them")]

pub(crate) mod cpu;
pub(crate) mod shortage;
#[macro_use]
pub(crate) mod udp;
#[macro_use]
pub(crate) mod udp_async;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::Stream;
use futures_sink::Sink;
use resound_async::echo::{Client, EchoError};
use resound_async::{Conversation, Runtime, ServerConfig, ServerHandle, Timer, echo_connections, serve};
use resound_core::link::GiveUp;
use resound_core::liveness;
use resound_core::signal::Reason;
use resound_core::stream::admission::{self, Event as ServerEvent, Refusal as NotAdmitted};
use resound_core::stream::client::{Command, Config, Event, Refusal};
use resound_core::stream::server::{self, Connection, Ended};

/// Longer than anything here takes: who waits for so long has been forgotten.
const PATIENCE: Duration = Duration::from_secs(20);

/// A future for a host to run.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that a test runs on.
pub(crate) trait Host {
    /// The adapter under test.
    type Runtime: Runtime<Socket: Send, UdpSocket: Send, Timer: Send>;
    /// Runs a future on this thread.
    fn block_on<F: Future>(&self, future: F) -> F::Output;
    /// Runs futures beside it.
    fn spawner(&self) -> impl Fn(Task) + Send + 'static;
}

/// A client that notices and retries within tenths of seconds.
pub(crate) fn quick() -> Config {
    let mut config = Config::default();
    config.link.backoff.first_window = Duration::from_millis(20);
    config.link.backoff.floor = Duration::from_millis(20);
    config.link.backoff.cap = Duration::from_millis(100);
    config.link.liveness = liveness::Config {
        idle: Duration::from_millis(200),
        probe: Duration::from_millis(100),
        misses: 3,
        ..liveness::Config::default()
    };
    config
}

/// A client that never probes: what it reports follows from nothing but what the peer does.
pub(crate) fn patient() -> Config {
    let mut config = quick();
    config.link.liveness.idle = Duration::ZERO;
    config
}

pub(crate) fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// What an echo server does with each connection, on a thread of its own.
#[derive(Clone, Copy)]
pub(crate) enum Peer {
    /// Echoes.
    Echo,
    /// Reads and does not answer.
    Silent,
    /// Echoes each read after this time.
    Late(Duration),
}

/// A peer on std sockets, until the listener's process ends.
pub(crate) fn peer(kind: Peer) -> SocketAddr {
    let listener = TcpListener::bind(local()).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream, kind));
        }
    });
    addr
}

pub(crate) fn answer(mut stream: TcpStream, kind: Peer) {
    let mut buf = [0; 65_536];
    loop {
        let n = match stream.read(&mut buf) {
            Ok(0) => return,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        match kind {
            Peer::Echo => {}
            Peer::Silent => continue,
            Peer::Late(by) => thread::sleep(by),
        }
        if stream.write_all(&buf[..n]).is_err() {
            return;
        }
    }
}

pub(crate) fn client<R: Runtime>(addr: SocketAddr, config: Config) -> Client<R> {
    Client::connect([addr], config).unwrap()
}

/// Waits with the adapter's own timer.
pub(crate) async fn sleep<R: Runtime>(delay: Duration) {
    let mut timer = R::Timer::after(delay);
    poll_fn(|cx| timer.poll_fired(cx)).await;
}

/// The future's output; fails the test if it takes too long.
pub(crate) async fn soon<R: Runtime, F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut late = pin!(sleep::<R>(PATIENCE));
    poll_fn(|cx| {
        assert!(late.as_mut().poll(cx).is_pending(), "it takes longer than {PATIENCE:?}");
        future.as_mut().poll(cx)
    })
    .await
}

/// Drives a client until an event is told, and gives the events up to it.
pub(crate) async fn events_until<R: Runtime>(
    client: &mut Client<R>,
    last: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let mut seen = Vec::new();
    soon::<R, _>(async {
        loop {
            let event = poll_fn(|cx| Pin::new(&mut *client).poll_next(cx)).await;
            let Some(event) = event else { panic!("it ended after {seen:?}") };
            seen.push(event);
            if last(seen.last().unwrap()) {
                return;
            }
        }
    })
    .await;
    seen
}

pub(crate) async fn end<R: Runtime>(client: Client<R>) -> Vec<Event> {
    let mut seen = Vec::new();
    soon::<R, _>(client.run_with(|event| seen.push(event))).await;
    seen
}

// Clients.

pub(crate) fn an_echo_comes_back_and_a_close_ends_it<H: Host>(host: &H) {
    let mut client = client::<H::Runtime>(peer(Peer::Echo), quick());
    let handle = client.handle();
    host.block_on(async {
        let payload = Bytes::from_static(b"hello");
        let place = payload.as_ptr();
        let echo = soon::<H::Runtime, _>(client.run_until(handle.echo(payload), drop)).await.unwrap();
        assert_eq!(echo.payload, "hello");
        assert_eq!(echo.payload.as_ptr(), place, "the payload is moved in and handed back");
        assert!(echo.round_trip > Duration::ZERO);
        handle.close();
        assert_eq!(end(client).await.last(), Some(&Event::Closed));
        let Err(EchoError::Refused(refused)) = soon::<H::Runtime, _>(handle.echo("late")).await else {
            panic!()
        };
        assert_eq!((refused.command, refused.why), (Command::Send("late".into()), Refusal::Closed));
    });
}

pub(crate) fn a_refused_client_says_so_and_gives_up_as_configured<H: Host>(host: &H) {
    let closed = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let mut config = quick();
    config.link.give_up = GiveUp { rounds: Some(2), after: None };
    let seen = host.block_on(async { end(client::<H::Runtime>(closed, config)).await });
    let refused = |event: &&Event| matches!(event, Event::DialFailed { cause, .. } if cause.reason == Reason::ConnRefused);
    assert_eq!(seen.iter().filter(refused).count(), 2, "{seen:?}");
    assert!(matches!(seen.last(), Some(Event::GaveUp { .. })), "{seen:?}");
}

pub(crate) fn a_server_that_died_and_came_back_is_found_again<H: Host>(host: &H) {
    let listener = TcpListener::bind(local()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (cue, on_cue) = channel::<()>();
    let first = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut stream = stream;
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
        // Its death: the connection and the listener are gone.
        on_cue.recv().unwrap();
        drop(stream);
        on_cue.recv().unwrap();
        let again = (0..200).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            TcpListener::bind(addr).ok()
        });
        answer(again.expect("the port is free again").accept().unwrap().0, Peer::Echo);
    });
    let mut client = client::<H::Runtime>(addr, patient());
    let handle = client.handle();
    host.block_on(async {
        soon::<H::Runtime, _>(client.run_until(handle.echo("1"), drop)).await.unwrap();
        cue.send(()).unwrap();
        let seen = events_until(&mut client, |event| matches!(event, Event::DialFailed { .. })).await;
        let down =
            |event: &Event| matches!(event, Event::Down { cause, .. } if cause.reason == Reason::Closed);
        assert!(seen.iter().any(down), "{seen:?}");
        cue.send(()).unwrap();
        events_until(&mut client, |event| matches!(event, Event::Up { .. })).await;
        soon::<H::Runtime, _>(client.run_until(handle.echo("2"), drop)).await.unwrap();
        handle.close();
        end(client).await;
    });
    first.join().unwrap();
}

pub(crate) fn commands_come_from_other_threads_and_tasks<H: Host>(host: &H) {
    let client = client::<H::Runtime>(peer(Peer::Echo), quick());
    let (handle, closing) = (client.handle(), client.handle());
    let (done, answers) = channel();
    for task in 0..4 {
        let (handle, done) = (handle.clone(), done.clone());
        host.spawner()(Box::pin(async move {
            for n in 0..25 {
                let payload = format!("{task}.{n}");
                assert_eq!(handle.echo(payload.clone()).await.unwrap().payload, payload);
            }
            done.send(()).unwrap();
        }));
    }
    let sender = thread::spawn(move || {
        for n in 0..100_u32 {
            while let Err(refused) = handle.command(Command::Send(n.to_string().into())) {
                assert_eq!(refused.why, Refusal::Full);
                thread::yield_now();
            }
        }
        for _ in 0..4 {
            answers.recv_timeout(PATIENCE).unwrap();
        }
        closing.close();
    });
    let seen = host.block_on(async { end(client).await });
    let echoed: Vec<_> = seen
        .iter()
        .filter_map(|event| match event {
            Event::Echoed { payload, .. } => Some(payload.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(echoed, (0..100).map(|n: u32| Bytes::from(n.to_string())).collect::<Vec<_>>());
    sender.join().unwrap();
}

/// Polled once, so that it is sent, and dropped.
async fn sent_and_dropped<F: Future>(future: F) {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

pub(crate) fn a_dropped_echo_future_takes_nothing_back_and_keeps_no_place<H: Host>(host: &H) {
    let mut config = quick();
    config.max_in_flight = 2;
    let mut client = client::<H::Runtime>(peer(Peer::Echo), config);
    let handle = client.handle();
    host.block_on(async {
        for _ in 0..3 {
            sent_and_dropped(handle.echo("a")).await;
            sent_and_dropped(handle.echo("b")).await;
            // The third finds no place, and dropping it leaves nothing behind.
            sent_and_dropped(handle.echo("never sent")).await;
            let mut seen = Vec::new();
            let echo = client.run_until(handle.echo("c"), |event| seen.push(event));
            assert_eq!(soon::<H::Runtime, _>(echo).await.unwrap().payload, "c");
            assert!(!seen.iter().any(|event| matches!(event, Event::Echoed { .. })), "{seen:?}");
        }
        handle.close();
        let rest = end(client).await;
        assert!(
            !rest.iter().any(|event| matches!(event, Event::Echoed { .. } | Event::Lost { .. })),
            "{rest:?}"
        );
    });
}

pub(crate) fn a_dropped_client_ends_what_others_wait_for<H: Host>(host: &H) {
    let mut client = client::<H::Runtime>(peer(Peer::Silent), quick());
    let handle = client.handle();
    host.block_on(async {
        events_until(&mut client, |event| matches!(event, Event::Up { .. })).await;
        let mut waiting = Box::pin(handle.echo("never"));
        poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        drop(client);
        let Err(EchoError::Lost { payload, cause }) = soon::<H::Runtime, _>(waiting).await else { panic!() };
        assert_eq!((&payload[..], cause.reason), (&b"never"[..], Reason::Aborted));
        assert!(matches!(handle.command(Command::Hurry), Err(refused) if refused.why == Refusal::Closed));
    });
}

pub(crate) fn a_full_client_holds_the_sink_back<H: Host>(host: &H) {
    let mut config = patient();
    config.max_in_flight = 4;
    let mut client = client::<H::Runtime>(peer(Peer::Late(Duration::from_millis(30))), config);
    let handle = client.handle();
    let mut sink = handle.sink();
    host.block_on(async {
        let mut taken = 0;
        poll_fn(|cx| {
            while Pin::new(&mut sink).poll_ready(cx).is_ready() {
                Pin::new(&mut sink).start_send(Bytes::from_static(b"x")).unwrap();
                taken += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(taken, 5, "as many as may be in flight, and the one that the sink holds");
        let fifteen_more = async {
            for _ in 0..15 {
                poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await.unwrap();
                Pin::new(&mut sink).start_send(Bytes::from_static(b"x")).unwrap();
            }
            poll_fn(|cx| Pin::new(&mut sink).poll_close(cx)).await.unwrap();
        };
        let mut echoed = 0;
        let count = |event: Event| echoed += usize::from(matches!(event, Event::Echoed { .. }));
        soon::<H::Runtime, _>(client.run_until(fifteen_more, count)).await;
        let rest = end(client).await;
        echoed += rest.iter().filter(|event| matches!(event, Event::Echoed { .. })).count();
        assert_eq!((echoed, rest.last()), (20, Some(&Event::Closed)));
    });
}

// Local stalls.

pub(crate) fn a_client_that_nobody_polls_blames_itself<H: Host>(host: &H) {
    let mut client = client::<H::Runtime>(peer(Peer::Echo), quick());
    let handle = client.handle();
    host.block_on(async {
        soon::<H::Runtime, _>(client.run_until(handle.echo("1"), drop)).await.unwrap();
        // Long enough for a conviction, had its timers been called.
        sleep::<H::Runtime>(Duration::from_millis(900)).await;
        let mut seen = events_until(&mut client, |event| matches!(event, Event::Stalled { .. })).await;
        let echo = client.run_until(handle.echo("2"), |event| seen.push(event));
        soon::<H::Runtime, _>(echo).await.unwrap();
        assert!(!seen.iter().any(|event| matches!(event, Event::Down { .. })), "{seen:?}");
    });
}

/// The case of a runtime that answers from remembered readiness: the peer's answer is in the kernel, the verdict is due,
/// and the reactor has not run in between. Only a real system call finds the answer.
pub(crate) fn bytes_that_wait_in_the_kernel_save_a_live_peer<H: Host>(host: &H) {
    let mut config = quick();
    config.link.liveness = liveness::Config {
        idle: Duration::from_millis(200),
        probe: Duration::from_millis(200),
        misses: 1,
        // This stall is not to be noticed as one: then nothing but the examination stands between peer and verdict.
        tolerance: Some(Duration::from_secs(30)),
    };
    let mut client = client::<H::Runtime>(peer(Peer::Late(Duration::from_millis(300))), config);
    let handle = client.handle();
    host.block_on(async {
        events_until(&mut client, |event| matches!(event, Event::Up { .. })).await;
        let mut seen = Vec::new();
        let mut echo = Box::pin(handle.echo("late"));
        // Due after 200 ms and counted as the probe; the verdict is due after 400 ms, the answer comes at 300 ms.
        let stall = async {
            poll_fn(|cx| Poll::Ready(echo.as_mut().poll(cx).is_pending())).await;
            sleep::<H::Runtime>(Duration::from_millis(230)).await;
            thread::sleep(Duration::from_millis(300));
        };
        client.run_until(stall, |event| seen.push(event)).await;
        let echo = soon::<H::Runtime, _>(client.run_until(echo, |event| seen.push(event))).await;
        assert_eq!(echo.unwrap().payload, "late");
        assert!(!seen.iter().any(|event| matches!(event, Event::Down { .. })), "{seen:?}");
    });
}

// Servers.

type Told = ServerEvent<Ended>;

fn start<H: Host>(host: &H, config: ServerConfig, limits: server::Config) -> (ServerHandle, Receiver<Told>) {
    let (tell, told) = channel();
    let spawn = host.spawner();
    let on_event: Tell = Box::new(move |event| {
        let _ = tell.send(event);
    });
    let server = host.block_on(async {
        let spawn =
            move |conversation: Conversation<H::Runtime, Connection, Tell>| spawn(Box::pin(conversation));
        serve::<H::Runtime, _, _, _, _>(local(), config, echo_connections(limits).unwrap(), spawn, on_event)
    });
    let server = server.unwrap();
    let handle = server.handle();
    host.spawner()(Box::pin(server));
    (handle, told)
}

type Tell = Box<dyn Fn(Told) + Send + Sync>;

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(PATIENCE).expect("the server says nothing")
}

fn echoes(stream: &mut TcpStream, payload: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(payload).unwrap();
    let mut back = vec![0; payload.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, payload);
}

fn connect(server: &ServerHandle) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What a server tells in the end, after the connections in `told` were accepted: why each ended, in no order.
fn ends(told: &Receiver<Told>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    loop {
        match next(told) {
            ServerEvent::Connection { event, .. } => reasons.push(event.cause.reason),
            ServerEvent::Done => return reasons,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn a_server_echoes_and_refuses_whom_it_must<H: Host>(host: &H) {
    let admission = admission::Config { per_address: 2, ..admission::Config::default() };
    let config = ServerConfig { admission, ..ServerConfig::default() };
    let (server, told) = start(host, config, server::Config::default());
    let (mut one, mut two) = (connect(&server), connect(&server));
    echoes(&mut one, b"one");
    // More than a chunk, the socket buffers and a few turns hold: it goes through in pieces.
    let much: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    thread::scope(|scope| {
        let mut writer = two.try_clone().unwrap();
        scope.spawn({
            let much = &much;
            move || writer.write_all(much).unwrap()
        });
        let mut back = vec![0; much.len()];
        two.read_exact(&mut back).unwrap();
        assert!(back == much);
    });
    assert_eq!(server.connections(), 2);
    let mut three = connect(&server);
    assert_eq!(three.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let accepted = |event| matches!(event, ServerEvent::Accepted { .. });
    assert!(accepted(next(&told)) && accepted(next(&told)));
    assert!(matches!(next(&told), ServerEvent::Refused { why: NotAdmitted::PerAddress, .. }));
    drop(one);
    let ServerEvent::Connection { event: Ended { cause, received: 3, echoed: 3 }, .. } = next(&told) else {
        panic!()
    };
    assert_eq!(cause.reason, Reason::Closed);
    // Its place is free again, as soon as its task is gone.
    let began = Instant::now();
    while server.connections() > 1 {
        assert!(began.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(1));
    }
    echoes(&mut connect(&server), b"four");
}

pub(crate) fn a_drained_server_waits_for_its_connections<H: Host>(host: &H) {
    let (server, told) = start(host, ServerConfig::default(), server::Config::default());
    let mut streams: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    streams.iter_mut().for_each(|stream| echoes(stream, b"hello"));
    (0..3).for_each(|_| assert!(matches!(next(&told), ServerEvent::Accepted { .. })));
    server.drain();
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it half-closes");
    }
    // A connection that came before the listener was closed is reset with it.
    let began = Instant::now();
    while TcpStream::connect(server.local_addr()).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it still listens");
    }
    assert_eq!(told.recv_timeout(Duration::from_millis(100)).ok(), None, "it waits for the peers to close");
    drop(streams);
    assert_eq!(ends(&told), [Reason::Closed; 3]);
}

pub(crate) fn an_aborted_server_resets_its_connections<H: Host>(host: &H) {
    let (server, told) = start(host, ServerConfig::default(), server::Config::default());
    let mut streams: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    streams.iter_mut().for_each(|stream| echoes(stream, b"hello"));
    (0..3).for_each(|_| assert!(matches!(next(&told), ServerEvent::Accepted { .. })));
    server.drain();
    server.abort();
    assert_eq!(ends(&told), [Reason::Aborted; 3]);
    for stream in &mut streams {
        // The drain came first; whether its FIN was still sent is a race.
        let ended = stream.read(&mut [0]);
        assert!(
            matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    }
}

pub(crate) fn a_dropped_server_resets_its_connections<H: Host>(host: &H) {
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
    let (stop, stopped) = channel::<()>();
    let mut server = Some(Box::pin(server));
    // Runs until it is told to stop, and then drops the server.
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let store = waker.clone();
    host.spawner()(Box::pin(poll_fn(move |cx: &mut Context<'_>| {
        *store.lock().unwrap() = Some(cx.waker().clone());
        if stopped.try_recv().is_ok() {
            server = None;
        }
        match &mut server {
            Some(server) => server.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    })));
    let mut stream = connect(&handle);
    echoes(&mut stream, b"hello");
    stop.send(()).unwrap();
    waker.lock().unwrap().take().unwrap().wake();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(matches!(next(&told), ServerEvent::Accepted { .. }));
    assert!(matches!(next(&told), ServerEvent::Connection { .. }));
}

/// A test for each scenario with a client, on a host.
macro_rules! client_scenarios {
    ($host:expr) => {
        tests! {
            $host;
            an_echo_comes_back_and_a_close_ends_it
            a_refused_client_says_so_and_gives_up_as_configured
            a_server_that_died_and_came_back_is_found_again
            commands_come_from_other_threads_and_tasks
            a_dropped_echo_future_takes_nothing_back_and_keeps_no_place
            a_dropped_client_ends_what_others_wait_for
            a_full_client_holds_the_sink_back
            a_client_that_nobody_polls_blames_itself
            bytes_that_wait_in_the_kernel_save_a_live_peer
        }
    };
}

/// A test for each scenario with a server, on a host whose tasks run while the test's own thread does something else.
macro_rules! server_scenarios {
    ($host:expr) => {
        tests! {
            $host;
            a_server_echoes_and_refuses_whom_it_must
            a_drained_server_waits_for_its_connections
            an_aborted_server_resets_its_connections
            a_dropped_server_resets_its_connections
        }
    };
}

macro_rules! tests {
    ($host:expr; $($scenario:ident)*) => {
        $(#[test] fn $scenario() { crate::scenarios::$scenario(&$host) })*
    };
}
