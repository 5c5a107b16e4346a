//! UDP on real sockets over loopback, whatever the runtime, blocking std too. Included by the tests of each adapter, which
//! supply a [`Party`].

#![allow(dead_code, unused_macros, reason = "each test binary plays some of them")]

pub(crate) mod cpu;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use resound_core::datagram::client::{Client, Config, Event, PeerId};
use resound_core::datagram::server::{Counts, Event as ServerEvent, Ignored};
use resound_core::liveness;
use resound_core::signal::{Origin, Reason};
use resound_sockets::udp::{Errors, Options, ServerConfig, bind};

/// Longer than anything here takes: who waits for so long has been forgotten.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an error needs to be heard of, on a machine that has other things to do. Without the error it would be the time
/// after which a datagram counts as lost, which is three seconds.
const SOON: Duration = Duration::from_secs(2);

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// An adapter under test. What it starts is driven beside the test's own thread.
pub(crate) trait Party {
    /// A client on this socket.
    fn client(&self, machine: Client, socket: UdpSocket) -> Running;
    /// A server.
    fn serve(&self, addrs: &[SocketAddr], config: &ServerConfig) -> Serving;
}

type Ask = dyn Fn(&mut dyn FnMut(&mut Client, resound_core::Instant)) + Send + Sync;

/// A client that is driven elsewhere.
pub(crate) struct Running {
    pub(crate) ask: Box<Ask>,
    pub(crate) events: Receiver<Event>,
}

/// A server that is driven elsewhere.
pub(crate) struct Serving {
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) counts: Box<dyn Fn() -> Vec<Counts>>,
    pub(crate) stop: Box<dyn Fn()>,
    pub(crate) events: Receiver<(SocketAddr, ServerEvent)>,
    /// Its other end is dropped when the server has ended.
    pub(crate) ended: Receiver<()>,
}

impl Running {
    /// Asks the machine for something.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut Client, resound_core::Instant) -> T) -> T {
        let (mut ask, mut answer) = (Some(ask), None);
        (self.ask)(&mut |client, now| answer = ask.take().map(|ask| ask(client, now)));
        answer.unwrap()
    }

    fn add(&self, addr: SocketAddr) -> PeerId {
        self.with(|client, now| client.add(now, addr)).unwrap()
    }

    fn send(&self, peer: PeerId, payload: &'static str) {
        self.with(|client, now| client.send(now, peer, payload.into())).unwrap();
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("nothing more is told")
    }

    fn until(&self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(&last) {
            let Ok(event) = self.events.recv_timeout(PATIENCE) else { panic!("only {seen:?}") };
            seen.push(event);
        }
        seen
    }

    /// Closes it, and waits until it has ended.
    fn end(self) {
        self.with(Client::close);
        while let Ok(event) = self.events.recv_timeout(PATIENCE) {
            if event == Event::Closed {
                return;
            }
        }
        panic!("it does not end");
    }
}

impl Serving {
    fn total(&self) -> Counts {
        let mut sum = Counts::default();
        (self.counts)().into_iter().for_each(|counts| sum += counts);
        sum
    }

    fn end(self) {
        (self.stop)();
        assert_eq!(self.ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}

/// A client that retries within tenths of seconds. Nothing else about it is quick: what it notices soon it was told.
pub(crate) fn quick() -> Config {
    let mut config = Config::default();
    config.link.backoff.first_window = Duration::from_millis(20);
    config.link.backoff.floor = Duration::from_millis(20);
    config.link.backoff.cap = Duration::from_millis(60);
    config
}

/// A client that convicts a silent peer within a second.
pub(crate) fn impatient() -> Config {
    let mut config = quick();
    config.link.liveness = liveness::Config {
        idle: Duration::from_millis(200),
        probe: Duration::from_millis(150),
        misses: 3,
        ..config.link.liveness
    };
    config
}

/// A server that has no limit.
pub(crate) fn unlimited() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.echo.rate = None;
    config
}

pub(crate) fn machine(config: Config) -> Client {
    Client::new(config, 7, [1, 2]).unwrap()
}

/// A socket that hears of errors.
pub(crate) fn hearing(ip: IpAddr) -> UdpSocket {
    let options = Options { errors: Errors::Queued, ..Options::default() };
    bind(SocketAddr::new(ip, 0), &options).unwrap()
}

/// A port that nobody serves, and that nobody else gets meanwhile: the socket that has it speaks to one peer only, and for
/// all others the port is closed.
pub(crate) struct Closed(UdpSocket);

impl Closed {
    pub(crate) fn port(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.connect(SocketAddr::new(ip, 9)).unwrap();
        Self(socket)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

pub(crate) fn start<P: Party>(party: &P, config: Config, ip: IpAddr) -> Running {
    party.client(machine(config), hearing(ip))
}

/// Takes and answers nothing.
pub(crate) fn silent(ip: IpAddr) -> UdpSocket {
    UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap()
}

/// Whether the event says that this peer's port is closed, as the peer's own host said it.
fn refused(event: &Event, dead: PeerId) -> bool {
    match event {
        Event::DialFailed { peer, cause, .. } | Event::Down { peer, cause, .. } => {
            *peer == dead && cause.reason == Reason::PortUnreach && cause.origin == Origin::Peer
        }
        _ => false,
    }
}

// The textbook's puzzle.

/// One socket, three servers, one of which is not running. Who is it? And do the other two get everything, while errors
/// about the third keep coming?
fn three_servers<P: Party>(party: &P, from: IpAddr, servers: [IpAddr; 2], gone: IpAddr) {
    let servers = servers.map(|ip| party.serve(&[SocketAddr::new(ip, 0)], &unlimited()));
    let client = start(party, quick(), from);
    let live = [0, 1].map(|at| client.add(servers[at].addrs[0]));
    let began = Instant::now();
    let closed = Closed::port(gone);
    let dead = client.add(closed.addr());
    let seen = client.until(|event| refused(event, dead));
    assert!(began.elapsed() < SOON, "after {:?}: {seen:?}", began.elapsed());

    const WINDOW: usize = 32;
    for _ in 0..WINDOW {
        live.iter().for_each(|&peer| client.send(peer, "at full speed"));
    }
    let (mut echoed, mut refusals, began) = (HashMap::<PeerId, u64>::new(), 0, Instant::now());
    let mut in_flight = live.len() * WINDOW;
    while in_flight > 0 {
        match client.next() {
            Event::Echoed { peer, .. } => {
                *echoed.entry(peer).or_default() += 1;
                in_flight -= 1;
                if began.elapsed() < Duration::from_millis(800) {
                    client.send(peer, "at full speed");
                    in_flight += 1;
                }
            }
            Event::DialFailed { peer, .. } if peer == dead => refusals += 1,
            Event::Dialing { peer, .. } | Event::Retry { peer, .. } if peer == dead => {}
            Event::Dialing { .. } | Event::Up { .. } | Event::Stalled { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(refusals >= 5, "{refusals} errors only: this test could not fail");
    for peer in live {
        assert!(echoed[&peer] > 500, "{echoed:?}");
        let status = client.with(|client, _| client.peer(peer)).unwrap();
        assert_eq!((status.lost, status.duplicated), (0, 0), "{status:?}");
    }
    client.end();
    servers.into_iter().for_each(Serving::end);
}

pub(crate) fn three_servers_on_ipv4<P: Party>(party: &P) {
    three_servers(party, V4, [V4, V4], V4);
}

pub(crate) fn three_servers_on_ipv6<P: Party>(party: &P) {
    three_servers(party, V6, [V6, V6], V6);
}

pub(crate) fn three_servers_of_both_families<P: Party>(party: &P) {
    three_servers(party, ANY_V6, [V4, V6], V4);
    three_servers(party, ANY_V6, [V4, V6], V6);
}

// Errors.

/// Nothing but errors ever comes in: no datagram wakes the driver (`EPOLLERR` without `EPOLLIN`).
pub(crate) fn errors_alone_wake_a_client<P: Party>(party: &P) {
    for (from, to) in [(V4, V4), (V6, V6), (ANY_V6, V4)] {
        let client = start(party, quick(), from);
        let began = Instant::now();
        let closed: Vec<Closed> = (0..20).map(|_| Closed::port(to)).collect();
        let dead: Vec<PeerId> = closed.iter().map(|closed| client.add(closed.addr())).collect();
        for round in 0..3 {
            for &peer in &dead {
                if !client.events.try_iter().any(|event| refused(&event, peer)) {
                    client.until(|event| refused(event, peer));
                }
            }
            assert!(began.elapsed() < SOON, "round {round} after {:?}", began.elapsed());
        }
        client.end();
    }
}

/// On an address where few others look for a port: the server's is to be free again.
pub(crate) fn a_peer_that_dies_is_missed_at_once_and_found_again<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::from(([127, 0, 0, 7], 0))], &unlimited());
    let addr = server.addrs[0];
    let client = start(party, quick(), V4);
    let peer = client.add(addr);
    client.until(|event| matches!(event, Event::Up { .. }));
    server.end();
    let began = Instant::now();
    client.with(|client, now| client.send(now, peer, "are you there?".into())).unwrap();
    let seen = client.until(|event| matches!(event, Event::Down { .. }));
    assert!(refused(seen.last().unwrap(), peer), "{seen:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let lost = client.until(|event| matches!(event, Event::Lost { .. }));
    assert!(matches!(lost.last(), Some(Event::Lost { cause, .. }) if cause.reason == Reason::PortUnreach));
    let again = party.serve(&[addr], &unlimited());
    client.until(|event| matches!(event, Event::Up { .. }));
    client.send(peer, "welcome back");
    client.until(|event| matches!(event, Event::Echoed { .. }));
    client.end();
    again.end();
}

pub(crate) fn a_silent_peer_is_convicted_in_time<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::from(([127, 0, 0, 7], 0))], &unlimited());
    let addr = server.addrs[0];
    let client = start(party, impatient(), V4);
    client.add(addr);
    client.until(|event| matches!(event, Event::Up { .. }));
    server.end();
    // The port is taken again, by somebody who does not answer.
    let _silent = (0..200)
        .find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            UdpSocket::bind(addr).ok()
        })
        .expect("the port is free again");
    let seen = client.until(|event| matches!(event, Event::Down { .. }));
    let by = |event: &Event| match event {
        Event::Down { cause, .. } => Some(cause.reason),
        _ => None,
    };
    assert!(matches!(seen.iter().find_map(by), Some(Reason::NoEcho | Reason::PortUnreach)), "{seen:?}");
    client.end();
}

// Floods.

/// Sends to an address until it is dropped.
pub(crate) struct Flood(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Flood {
    pub(crate) fn of(to: SocketAddr, threads: usize) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let start = |_| {
            let (go_on, socket) = (go_on.clone(), UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap());
            thread::spawn(move || {
                while go_on.load(Ordering::Relaxed) {
                    // An error says that the receiver has gone.
                    let _ = socket.send_to(b"who are you?", to);
                }
            })
        };
        let threads = (0..threads).map(start).collect();
        Self(go_on, threads)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        self.1.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// Strangers fill the client's socket without end: its timers fire all the same, nobody who lives is convicted, and who is
/// dead is.
pub(crate) fn a_flood_of_strangers_stops_no_timer<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::new(V4, 0)], &unlimited());
    let mute = silent(V4);
    let socket = hearing(V4);
    let addr = socket.local_addr().unwrap();
    let client = party.client(machine(impatient()), socket);
    let live = client.add(server.addrs[0]);
    client.until(|event| matches!(event, Event::Up { .. }));
    let flood = Flood::of(addr, 1);
    let closed = Closed::port(V4);
    let dead = client.add(closed.addr());
    let dumb = client.add(mute.local_addr().unwrap());
    let (began, mut retried) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(1_500) || retried < 3 {
        assert!(began.elapsed() < PATIENCE, "the backoff stands still");
        match client.events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Dialing { peer, .. }) if peer == dead => retried += 1,
            Ok(Event::Down { peer, cause, .. }) if peer == live => panic!("{cause:?}"),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("it ended"),
        }
    }
    assert!(client.with(|client, _| client.strays().strangers) > 1_000, "this test could not fail");
    drop(flood);
    assert_ne!(
        client.with(|client, _| client.peer(dumb)).unwrap().state,
        resound_core::link::State::Up,
        "it has never answered"
    );
    client.with(|client, now| client.send(now, live, "still there?".into())).unwrap();
    client.until(|event| matches!(event, Event::Echoed { .. }));
    client.end();
    server.end();
}

// Servers.

/// Sends one datagram from a plain socket, and gives what comes back in time.
fn ask(from: &UdpSocket, to: SocketAddr, patience: Duration) -> Option<Vec<u8>> {
    from.connect(to).unwrap();
    from.set_read_timeout(Some(patience)).unwrap();
    from.send(b"hello").unwrap();
    let mut buf = [0; 64];
    from.recv(&mut buf).ok().map(|n| buf[..n].to_vec())
}

/// A plain socket on a port that the server does not have, at any of its addresses.
fn asker(ip: IpAddr, server: &Serving) -> UdpSocket {
    let sockets = core::iter::repeat_with(|| UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let mut others = sockets.filter(|socket| server.addrs.iter().all(|addr| addr.port() != port(socket)));
    others.next().unwrap()
}

/// A group of sockets shares one port, and each address has its own; one handle counts and stops them all.
pub(crate) fn a_group_of_sockets_shares_the_load<P: Party>(party: &P) {
    let config = ServerConfig { group: 4.try_into().unwrap(), ..unlimited() };
    let server = party.serve(&[SocketAddr::new(V4, 0), SocketAddr::new(V6, 0)], &config);
    assert_eq!(server.addrs.len(), 8);
    assert!(server.addrs[..4].iter().all(|&addr| addr == server.addrs[0]));
    for n in 0..64 {
        let at = server.addrs[n % 2 * 4];
        let answer = ask(&asker(at.ip(), &server), at, PATIENCE);
        assert_eq!(answer.as_deref(), Some(&b"hello"[..]), "{:?}", server.total());
    }
    let each: Vec<u64> = (server.counts)().iter().map(|counts| counts.echoed).collect();
    assert_eq!(each.iter().sum::<u64>(), 64);
    // 32 peers on one of four sockets: once in 2^62 runs.
    assert!(each[..4].iter().filter(|&&n| n > 0).count() > 1, "{each:?}");
    let addr = server.addrs[0];
    (server.stop)();
    for _ in 0..8 {
        assert_eq!(server.events.recv_timeout(PATIENCE).unwrap().1, ServerEvent::Stopped);
    }
    assert_eq!(server.ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    UdpSocket::bind(addr).expect("its sockets are closed");
}

/// What comes from a port that any of its sockets has is not answered by the others, or two of them could be set on each
/// other.
pub(crate) fn a_server_does_not_answer_its_own_ports<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::new(V4, 0), SocketAddr::new(V6, 0)], &unlimited());
    let [first, second] = [server.addrs[0], server.addrs[1]];
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], second.port()));
    let socket = UdpSocket::bind(elsewhere).unwrap();
    assert_eq!(ask(&socket, first, Duration::from_millis(100)), None);
    let told = server.events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, (first, ServerEvent::Ignored { why: Ignored::OwnPort, from: elsewhere, count: 1 }));
    assert_eq!(server.total().ignored(Ignored::OwnPort), 1);
    server.end();
}

/// A server on the wildcard address answers from the address that was asked.
pub(crate) fn a_server_answers_from_the_address_that_was_asked<P: Party>(party: &P) {
    let server = party.serve(&[SocketAddr::new(ANY_V6, 0)], &unlimited());
    let port = server.addrs[0].port();
    let client = start(party, quick(), ANY_V6);
    let hosts = [IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3]), V6];
    let mut missing: Vec<PeerId> = hosts.iter().map(|&ip| client.add(SocketAddr::new(ip, port))).collect();
    while !missing.is_empty() {
        match client.next() {
            Event::Up { peer, .. } => missing.retain(|&other| other != peer),
            Event::Dialing { .. } | Event::Stalled { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    client.end();
    server.end();
}

/// One that floods a server is held to its limit, and others are served meanwhile; the server says so, now and then.
pub(crate) fn a_flooded_server_goes_on_and_says_so<P: Party>(party: &P) {
    let mut config = ServerConfig::default();
    config.echo.rate = Some(100);
    config.echo.burst = 100;
    let server = party.serve(&[SocketAddr::new(V4, 0)], &config);
    let flood = Flood::of(server.addrs[0], 1);
    let told = server.events.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(told.1, ServerEvent::Ignored { why: Ignored::RateLimit, .. } | ServerEvent::Overrun { .. }),
        "{told:?}"
    );
    let another = asker(IpAddr::from([127, 0, 0, 9]), &server);
    // Its datagram may be dropped where the flood has filled the receive buffer.
    let served = (0..20).any(|_| ask(&another, server.addrs[0], Duration::from_secs(1)).is_some());
    assert!(served, "{:?}", server.total());
    drop(flood);
    server.end();
}

/// A test for each of the above, with a party.
macro_rules! udp_scenarios {
    ($path:path, $party:expr) => {
        udp_tests! {
            $path, $party;
            three_servers_on_ipv4
            three_servers_on_ipv6
            three_servers_of_both_families
            errors_alone_wake_a_client
            a_peer_that_dies_is_missed_at_once_and_found_again
            a_silent_peer_is_convicted_in_time
            a_flood_of_strangers_stops_no_timer
            a_group_of_sockets_shares_the_load
            a_server_does_not_answer_its_own_ports
            a_server_answers_from_the_address_that_was_asked
            a_flooded_server_goes_on_and_says_so
        }
    };
}

macro_rules! udp_tests {
    ($path:path, $party:expr; $($scenario:ident)*) => {
        $(#[test] fn $scenario() { use $path as scenarios; scenarios::$scenario(&$party) })*
    };
}
