//! UDP on blocking std: what every adapter promises, and what only this one can.

use core::time::Duration;
use std::sync::mpsc::channel;
use std::thread;

use resound_core::datagram::client::{Event, Refusal};
use resound_core::signal::Reason;
use resound_std::Quiet;
use resound_std::udp::{Client, EchoError, ServerConfig, Session, Sizes, serve};
use scenarios::{Closed, hearing, impatient, machine, quick, silent};

#[macro_use]
#[path = "../../adapter-async/tests/scenarios/udp/mod.rs"]
mod scenarios;
mod threads;

const PATIENCE: Duration = Duration::from_secs(20);
const V4: core::net::IpAddr = core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST);

udp_scenarios!(crate::scenarios, threads::Threads);

fn client(config: resound_std::udp::ClientConfig) -> Client {
    Client::from(Session::new(machine(config), hearing(V4), Sizes::default()).unwrap())
}

fn server() -> resound_std::udp::Server {
    serve(&[(V4, 0).into()], &ServerConfig::default(), |_, _| {}).unwrap()
}

#[test]
fn an_echo_blocks_until_it_is_there_or_too_late() {
    let server = server();
    let mut client = client(quick());
    let handle = client.handle();
    let peer = handle.add(server.handle().local_addrs()[0]).unwrap();
    assert_eq!(client.echo(peer, "hello", PATIENCE).unwrap().payload, "hello");
    let nobody = silent(V4);
    let mute = handle.add(nobody.local_addr().unwrap()).unwrap();
    assert_eq!(client.echo(mute, "hello", Duration::from_millis(20)), Err(EchoError::TimedOut));
    let closed = Closed::port(V4);
    let dead = handle.add(closed.addr()).unwrap();
    match client.echo(dead, "hello", PATIENCE) {
        Err(EchoError::Lost { payload, cause }) => {
            assert_eq!((payload.as_ref(), cause.reason), (&b"hello"[..], Reason::PortUnreach));
        }
        other => panic!("{other:?}"),
    }
    // What else happened meanwhile was kept.
    assert!(matches!(client.next_event(Duration::ZERO), Ok(Event::Dialing { .. })));
    handle.remove(dead);
    let Err(EchoError::Refused(refused)) = client.echo(dead, "gone", PATIENCE) else { panic!() };
    assert_eq!((refused.payload.as_ref(), refused.why), (&b"gone"[..], Refusal::UnknownPeer));
    handle.remove(mute);
    client.close();
    assert!(matches!(handle.echo(peer, "late", PATIENCE), Err(EchoError::Refused(_))));
}

#[test]
fn other_threads_echo_while_one_drives() {
    let server = server();
    let mut client = client(quick());
    let handle = client.handle();
    let peer = handle.add(server.handle().local_addrs()[0]).unwrap();
    let (done, all_done) = channel();
    for thread in 0..4 {
        let (handle, done) = (handle.clone(), done.clone());
        thread::spawn(move || {
            for n in 0..25 {
                let payload = format!("{thread}.{n}");
                assert_eq!(handle.echo(peer, payload.clone(), PATIENCE).unwrap().payload, payload);
            }
            done.send(()).unwrap();
        });
    }
    let closing = thread::spawn(move || {
        (0..4).for_each(|_| all_done.recv_timeout(PATIENCE).unwrap());
        handle.close();
    });
    let mut seen = Vec::new();
    loop {
        match client.next_event(PATIENCE) {
            Ok(event) => seen.push(event),
            Err(Quiet::Finished) => break,
            Err(Quiet::TimedOut) => panic!("{seen:?}"),
        }
    }
    closing.join().unwrap();
    assert!(!seen.iter().any(|event| matches!(event, Event::Echoed { .. } | Event::Lost { .. })), "{seen:?}");
}

#[test]
fn a_dropped_client_ends_what_others_wait_for() {
    let client = client(quick());
    let mute = silent(V4);
    let handle = client.handle();
    let peer = handle.add(mute.local_addr().unwrap()).unwrap();
    let waiting = thread::spawn(move || handle.echo(peer, "hello", PATIENCE));
    while client.handle().with(|client, _| client.pending()) == 0 {
        thread::yield_now();
    }
    drop(client);
    let Err(EchoError::Lost { cause, .. }) = waiting.join().unwrap() else { panic!() };
    assert_eq!(cause.reason, Reason::Aborted);
}

#[test]
fn a_client_that_nobody_drove_reports_a_stall_and_does_not_blame_its_peer() {
    let server = server();
    let mut client = client(impatient());
    let peer = client.handle().add(server.handle().local_addrs()[0]).unwrap();
    client.echo(peer, "up", PATIENCE).unwrap();
    while client.next_event(Duration::ZERO).is_ok() {}
    // Longer than it takes to convict a peer.
    thread::sleep(Duration::from_secs(1));
    let Ok(Event::Stalled { late }) = client.next_event(PATIENCE) else { panic!("no stall is reported") };
    assert!(late > Duration::from_millis(200) && late < PATIENCE, "{late:?}");
    assert_eq!(client.echo(peer, "still there", PATIENCE).unwrap().payload, "still there");
    while let Ok(event) = client.next_event(Duration::from_millis(10)) {
        assert!(matches!(event, Event::Stalled { .. }), "{event:?}");
    }
}
