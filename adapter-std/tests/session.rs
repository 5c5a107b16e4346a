//! What a session does that has nothing to do with echo: it drives any machine, and is honest about not being driven.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::thread;

use resound_core::liveness;
use resound_core::signal::Reason;
use resound_core::stream::client::{Config, Event};
use resound_core::stream::{Close, Fact, Machine, Step, server};
use resound_core::{ConnId, Instant};
use resound_std::{Client, DialOptions, Quiet, ServerConfig, Session, serve_echo};

const PATIENCE: Duration = Duration::from_secs(20);

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Convicts after three times this.
fn watchful(step: Duration) -> Config {
    let mut config = Config::default();
    config.link.liveness =
        liveness::Config { idle: step, probe: step, misses: 2, ..liveness::Config::default() };
    config
}

#[test]
fn a_session_that_nobody_drove_reports_a_stall_and_does_not_blame_its_peer() {
    let step = Duration::from_secs(1);
    let server = serve_echo(here(), ServerConfig::default(), server::Config::default(), |_| {}).unwrap();
    let mut client = Client::connect([server.local_addr()], watchful(step)).unwrap();
    client.echo("up", PATIENCE).unwrap();
    while client.next_event(Duration::ZERO).is_ok() {}
    thread::sleep(step * 4);
    let Ok(Event::Stalled { late }) = client.next_event(PATIENCE) else { panic!("no stall is reported") };
    assert!(late > step * 2 && late < PATIENCE, "{late:?}");
    assert_eq!(client.echo("still there", PATIENCE).unwrap().payload, "still there");
    while let Ok(event) = client.next_event(Duration::from_millis(10)) {
        assert!(matches!(event, Event::Stalled { .. }), "{event:?}");
    }
}

#[test]
fn a_peer_that_answers_nothing_is_convicted_when_somebody_drives() {
    // The kernel takes the connection; nobody accepts it, and nobody answers.
    let silent = TcpListener::bind(here()).unwrap();
    let mut client =
        Client::connect([silent.local_addr().unwrap()], watchful(Duration::from_millis(400))).unwrap();
    let began = std::time::Instant::now();
    let cause = loop {
        match client.next_event(PATIENCE).unwrap() {
            Event::Down { cause, .. } => break cause,
            Event::Dialing { .. } | Event::Up { .. } | Event::Suspect { .. } | Event::Stalled { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    // The kernel over there acknowledges, the process does not answer.
    assert_eq!(cause.reason, Reason::PeerStalled);
    assert!(began.elapsed() >= Duration::from_millis(1_100), "{:?}", began.elapsed());
}

/// A protocol that is not echo: waits for whatever the server says first, tells it, and is done.
struct Banner {
    to: SocketAddr,
    steps: Vec<Step<SocketAddr, Vec<u8>>>,
    over: bool,
}

const CONN: ConnId = ConnId::ONLY;

impl Machine for Banner {
    type Target = SocketAddr;
    type Event = Vec<u8>;
    type Command = Infallible;
    type Refused = Infallible;

    fn handle(&mut self, _: Instant, fact: Fact<'_>) {
        if let Fact::Received { chunk, .. } = fact {
            self.steps.push(Step::Event(chunk.bytes().to_vec()));
            self.steps.push(Step::Close { conn: CONN, how: Close::Drop });
            self.over = true;
            chunk.clear();
        }
    }

    fn command(&mut self, _: Instant, command: Infallible) -> Result<(), Infallible> {
        match command {}
    }

    fn poll(&mut self) -> Step<SocketAddr, Vec<u8>> {
        self.steps.pop().unwrap_or(Step::Wait(None))
    }

    fn next_deadline(&self) -> Option<Instant> {
        (!self.steps.is_empty()).then_some(Instant::EPOCH)
    }

    fn wants_read(&self, _: ConnId) -> bool {
        !self.over
    }

    fn unsent<'a>(&'a self, _: ConnId, _: &mut [&'a [u8]]) -> usize {
        0
    }

    fn is_done(&self) -> bool {
        self.over && self.steps.is_empty()
    }
}

#[test]
fn any_machine_that_dials_can_be_driven() {
    let listener = TcpListener::bind(here()).unwrap();
    let to = listener.local_addr().unwrap();
    let speaker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 ready").unwrap();
    });
    let machine = Banner { to, steps: vec![Step::Dial { conn: CONN, to }], over: false };
    let mut session = Session::new(machine, DialOptions::default()).unwrap();
    let handle = session.handle();
    assert_eq!(handle.look(|banner| banner.to), to);
    assert_eq!(session.next_event(PATIENCE).unwrap(), b"220 ready");
    assert_eq!(session.next_event(PATIENCE), Err(Quiet::Finished));
    speaker.join().unwrap();
}
