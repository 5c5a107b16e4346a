//! UDP on an async runtime: how it plays the scenarios of all adapters, and what async users rely on beyond them.

use std::future::{Future as _, poll_fn};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use resound_async::udp::{Client, EchoError, ServerConfig, Setup, serve};
use resound_core::datagram::client::{self, Config, Event, Refusal};
use resound_core::signal::Reason;
use resound_sockets::udp::Sizes;

use super::udp::{Closed, Flood, Party, Running, Serving, hearing, impatient, machine, quick, unlimited};
use super::{Host, PATIENCE, sent_and_dropped, sleep, soon};

const V4: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A host whose tasks run while the test's own thread does something else.
pub(crate) struct OnHost<H>(pub(crate) H);

impl<H: Host> Party for OnHost<H> {
    fn client(&self, machine: client::Client, socket: UdpSocket) -> Running {
        let client = self.0.block_on(async { Client::<H::Runtime>::new(machine, socket, Setup::default()) });
        let client = client.unwrap();
        let handle = client.handle();
        let (tell, events) = channel();
        self.0.spawner()(Box::pin(client.run_with(move |event| {
            let _ = tell.send(event);
        })));
        Running { ask: Box::new(move |ask| handle.with(|client, now| ask(client, now))), events }
    }

    fn serve(&self, addrs: &[SocketAddr], config: &ServerConfig) -> Serving {
        let (tell, events) = channel();
        let spawn = self.0.spawner();
        let server = self.0.block_on(async {
            serve::<H::Runtime, _, _>(
                addrs,
                config,
                move |responder| spawn(Box::pin(responder)),
                move |local, event| {
                    let _ = tell.send((local, event));
                },
            )
        });
        let server = server.unwrap();
        let (handle, stopping, counting) = (server.handle(), server.handle(), server.handle());
        let (end, ended) = channel();
        self.0.spawner()(Box::pin(async move {
            server.await;
            drop::<Sender<()>>(end);
        }));
        Serving {
            addrs: handle.local_addrs(),
            counts: Box::new(move || counting.each_counts().collect()),
            stop: Box::new(move || stopping.stop()),
            events,
            ended,
        }
    }
}

/// A server on a thread of its own, of plain std: hosts that do one thing at a time can have it too.
fn echo_server() -> SocketAddr {
    let socket = UdpSocket::bind(SocketAddr::new(V4, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buf = [0; 2_048];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..n], from);
        }
    });
    addr
}

/// A client that the test itself polls.
fn own<H: Host>(host: &H, config: Config) -> Client<H::Runtime> {
    let client =
        host.block_on(async { Client::<H::Runtime>::new(machine(config), hearing(V4), Setup::default()) });
    client.unwrap()
}

pub(crate) fn an_echo_comes_back_or_says_why_not<H: Host>(host: &H) {
    let mut client = own(host, quick());
    let handle = client.handle();
    let (live, closed) = (handle.add(echo_server()).unwrap(), Closed::port(V4));
    host.block_on(async {
        let echo = soon::<H::Runtime, _>(client.run_until(handle.echo(live, "hello"), drop)).await.unwrap();
        assert_eq!(echo.payload, "hello");
        assert!(echo.round_trip > Duration::ZERO);
        let dead = handle.add(closed.addr()).unwrap();
        let lost = soon::<H::Runtime, _>(client.run_until(handle.echo(dead, "hello"), drop)).await;
        let Err(EchoError::Lost { payload, cause }) = lost else { panic!("{lost:?}") };
        assert_eq!((payload.as_ref(), cause.reason), (&b"hello"[..], Reason::PortUnreach));
        let Err(EchoError::Refused(refused)) = handle.echo(dead, "again").await else { panic!() };
        assert_eq!((refused.payload.as_ref(), refused.why), (&b"again"[..], Refusal::Down));
        handle.remove(dead);
        let Err(EchoError::Refused(refused)) = handle.echo(dead, "gone").await else { panic!() };
        assert_eq!((refused.payload.as_ref(), refused.why), (&b"gone"[..], Refusal::UnknownPeer));
    });
}

pub(crate) fn a_dropped_echo_takes_nothing_back_and_keeps_no_place<H: Host>(host: &H) {
    let mut client = own(host, Config { max_in_flight: 2, ..quick() });
    let handle = client.handle();
    let peer = handle.add(echo_server()).unwrap();
    host.block_on(async {
        for round in 1..=3 {
            sent_and_dropped(handle.echo(peer, "a")).await;
            sent_and_dropped(handle.echo(peer, "b")).await;
            // The third finds no place, and dropping it leaves nothing behind.
            sent_and_dropped(handle.echo(peer, "never sent")).await;
            let mut seen = Vec::new();
            let echo = client.run_until(handle.echo(peer, "c"), |event| seen.push(event));
            assert_eq!(soon::<H::Runtime, _>(echo).await.unwrap().payload, "c");
            let told = seen.iter().find(|event| matches!(event, Event::Echoed { .. } | Event::Lost { .. }));
            assert_eq!(told, None, "nobody asked for it any more");
            // The three, and the client's own probe.
            assert!(handle.status(peer).unwrap().echoed >= 3 * round, "{:?}", handle.status(peer));
        }
    });
}

pub(crate) fn a_dropped_client_ends_what_is_awaited<H: Host>(host: &H) {
    let client = own(host, quick());
    let handle = client.handle();
    let mute = super::udp::silent(V4);
    let peer = handle.add(mute.local_addr().unwrap()).unwrap();
    host.block_on(async {
        let mut echo = Box::pin(handle.echo(peer, "hello"));
        poll_fn(|cx| {
            assert!(echo.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(client);
        let Err(EchoError::Lost { cause, .. }) = soon::<H::Runtime, _>(echo).await else { panic!() };
        assert_eq!(cause.reason, Reason::Aborted);
        let Err(EchoError::Refused(refused)) = handle.echo(peer, "late").await else { panic!() };
        assert_eq!(refused.why, Refusal::Closed);
    });
}

pub(crate) fn a_client_polled_now_and_then_blames_itself<H: Host>(host: &H) {
    let mut client = own(host, impatient());
    let handle = client.handle();
    let peer = handle.add(echo_server()).unwrap();
    host.block_on(async {
        soon::<H::Runtime, _>(client.run_until(handle.echo(peer, "up"), drop)).await.unwrap();
        let mut stalls = 0;
        for _ in 0..3 {
            // Longer than it takes to convict a peer.
            thread::sleep(Duration::from_millis(1_000));
            let mut seen = Vec::new();
            let awake = sleep::<H::Runtime>(Duration::from_millis(20));
            client.run_until(awake, |event| seen.push(event)).await;
            stalls += seen.iter().filter(|event| matches!(event, Event::Stalled { .. })).count();
            let down = seen.iter().any(|event| matches!(event, Event::Down { .. } | Event::Lost { .. }));
            assert!(!down, "{seen:?}");
        }
        assert!(stalls >= 1, "it does not say that it stood still");
    });
}

/// More waits in the socket than one turn takes in, and nothing more will be reported.
pub(crate) fn what_waits_is_taken_in_however_much_it_is<H: Host>(host: &OnHost<H>) {
    let (socket, stranger) = (hearing(V4), super::udp::silent(V4));
    let addr = socket.local_addr().unwrap();
    for _ in 0..100 {
        stranger.send_to(b"who are you?", addr).unwrap();
    }
    let setup = Setup { sizes: Sizes { slots: 1, ..Sizes::default() }, ..Setup::default() };
    let client = host.0.block_on(async { Client::<H::Runtime>::new(machine(quick()), socket, setup) });
    let client = client.unwrap();
    let handle = client.handle();
    host.0.spawner()(Box::pin(client.run()));
    // To look wakes nobody: the client goes on by itself.
    let began = Instant::now();
    while handle.strays().strangers < 100 {
        assert!(began.elapsed() < PATIENCE, "it has taken in {} of 100", handle.strays().strangers);
        thread::sleep(Duration::from_millis(1));
    }
    handle.close();
}

/// Clients and servers under a flood let other tasks of their thread have their turn.
pub(crate) fn a_flood_leaves_other_tasks_their_turn<H: Host>(host: &OnHost<H>) {
    let socket = hearing(V4);
    let addr = socket.local_addr().unwrap();
    let client = host.client(machine(quick()), socket);
    let server = host.serve(&[SocketAddr::new(V4, 0)], &unlimited());
    let floods = [Flood::of(addr, 1), Flood::of(server.addrs[0], 1)];
    let (tell, told) = channel();
    let began = Instant::now();
    host.0.spawner()(Box::pin(async move {
        for _ in 0..50 {
            sleep::<H::Runtime>(Duration::from_millis(10)).await;
        }
        tell.send(()).unwrap();
    }));
    told.recv_timeout(PATIENCE).expect("another task never has its turn");
    let took = began.elapsed();
    assert!(took < PATIENCE / 2, "fifty sleeps of 10 ms took {took:?}");
    let (strangers, asked) =
        (client.with(|client, _| client.strays().strangers), (server.counts)()[0].received);
    assert!(strangers > 0 && asked > 0, "no flood has reached them: {strangers}, {asked}");
    drop(floods);
    (server.stop)();
}

/// A test for each scenario with a host whose tasks run while the test's own thread does something else.
macro_rules! udp_task_scenarios {
    ($host:expr) => {
        udp_scenarios!(crate::scenarios::udp, crate::scenarios::udp_async::OnHost($host));
        udp_tests! {
            crate::scenarios::udp_async, crate::scenarios::udp_async::OnHost($host);
            what_waits_is_taken_in_however_much_it_is
            a_flood_leaves_other_tasks_their_turn
        }
    };
}

/// A test for each scenario with a client that the test polls, on a host.
macro_rules! udp_client_scenarios {
    ($host:expr) => {
        udp_tests! {
            crate::scenarios::udp_async, $host;
            an_echo_comes_back_or_says_why_not
            a_dropped_echo_takes_nothing_back_and_keeps_no_place
            a_dropped_client_ends_what_is_awaited
            a_client_polled_now_and_then_blames_itself
        }
    };
}
