//! The machines of the core on the simulated kernels of `resound-sim`.

use core::time::Duration;
use std::net::SocketAddr;

use bytes::Bytes;
use resound_core::datagram::{client as datagrams, server as datagram_server};
use resound_core::stream::{Chunk, Fact, Machine, Step, client as stream, server as stream_server};
use resound_core::{ConnId, Instant, datagram};
use resound_sim::engine::Trial;
use resound_sim::engine::explore::{Certificate, Explore, Within};
use resound_sim::kernel::{TcpOptions, UdpOptions};
use resound_sim::programs::{Bind, Datagrams, Dialing, Listening};
use resound_sim::scenario::{Command, NodeId, address};
use resound_sim::world::{Cast, Program, Stage};
use resound_sim::{Record, Scenario, World, oracle};

use super::{DELAY, MESSAGE, PAYLOAD, PORT, Transport};

const SERVER: NodeId = NodeId(0);
const CLIENT: NodeId = NodeId(1);

/// How many echoes a client counts before it closes; and how many it keeps in flight.
#[derive(Clone, Copy, Debug)]
struct Load {
    left: u64,
    window: usize,
}

/// So many round trips, one after the other in each of `window` places.
///
/// # Panics
///
/// If they do not all come back.
pub fn echo(transport: Transport, window: usize, count: u64) {
    let load = Load { left: count, window };
    let client: Box<dyn Program> = match transport {
        Transport::Tcp => dialing(Pump { client: stream_client(1), load, now: Instant::EPOCH }),
        Transport::Udp => {
            let pump = DatagramPump { client: datagram_client(), load, now: Instant::EPOCH, peer: None };
            sending(pump)
        }
    };
    let run = play(transport, vec![client], Duration::from_secs(30 * 24 * 3600));
    let said: Vec<_> = run.said.iter().map(|remark| remark.said.to_string()).collect();
    assert!(said.contains(&DONE.to_string()), "{said:?}");
}

/// So many sessions over TCP, idle for so long; how many packets passed.
#[must_use]
pub fn idle(sessions: u64, time: Duration) -> u64 {
    let load = Load { left: u64::MAX, window: 0 };
    let client = |nth| dialing(Pump { client: stream_client(nth), load, now: Instant::EPOCH });
    play(Transport::Tcp, (1..=sessions).map(client).collect(), time).packets
}

/// What a client says whose echoes are all back.
const DONE: &str = "done";

fn play(transport: Transport, clients: Vec<Box<dyn Program>>, until: Duration) -> resound_sim::Run {
    let text = format!(
        "host server ; host client ; link client <-> server {}ms ; until {}s",
        DELAY.as_millis(),
        until.as_secs()
    );
    let scenario: Scenario = text.parse().expect("it is well formed");
    let mut cast = Nobody;
    let mut world = World::new(&scenario, &mut cast);
    world.spawn(SERVER, serving(transport));
    for client in clients {
        world.spawn(CLIENT, client);
    }
    world.play(Record::Said)
}

/// No line of the script starts anything: there is none.
struct Nobody;

impl Cast for Nobody {
    fn start(&mut self, _: &Stage<'_>, _: &Command) -> Option<Box<dyn Program>> {
        None
    }
}

fn server_addr() -> SocketAddr {
    SocketAddr::new(address(SERVER, resound_core::signal::Version::V4), PORT)
}

fn serving(transport: Transport) -> Box<dyn Program> {
    match transport {
        Transport::Tcp => {
            let policy = stream_server::Config::default().check().expect("the default works");
            let make = move |_, now| stream_server::Connection::new(policy, now);
            Box::new(Listening::new(PORT, 128, TcpOptions::default(), make, |_| None))
        }
        Transport::Udp => {
            let config = datagram_server::Config { own_ports: vec![PORT], ..Default::default() };
            let server = datagram_server::Server::new(config, [1, 2]).expect("the default works");
            let options = UdpOptions { recverr: true, ..UdpOptions::default() };
            Box::new(Datagrams::new(server, Bind::Port(PORT), options, |_, _| None, |_, _, _| None))
        }
    }
}

// TCP.

fn stream_client(seed: u64) -> stream::Client<SocketAddr> {
    stream::Client::new(stream::Config::default(), seed, [server_addr()]).expect("the default works")
}

fn dialing(pump: Pump) -> Box<dyn Program> {
    let said = |()| Some(resound_sim::scenario::Said::other(DONE));
    Box::new(Dialing::new(pump, TcpOptions::default(), said, |_, _, _| None))
}

/// An echo client that loads itself.
#[derive(Debug)]
struct Pump {
    client: stream::Client<SocketAddr>,
    load: Load,
    now: Instant,
}

impl Pump {
    fn send(&mut self, payload: Bytes) {
        self.client.command(self.now, stream::Command::Send(payload)).expect("the window fits");
    }
}

impl Machine for Pump {
    type Target = SocketAddr;
    /// All echoes are back.
    type Event = ();
    type Command = core::convert::Infallible;
    type Refused = core::convert::Infallible;

    fn handle(&mut self, now: Instant, fact: Fact<'_>) {
        self.now = now;
        self.client.handle(now, fact);
    }

    fn command(&mut self, _: Instant, command: Self::Command) -> Result<(), Self::Refused> {
        match command {}
    }

    fn poll(&mut self) -> Step<SocketAddr, ()> {
        loop {
            return match self.client.poll() {
                Step::Event(stream::Event::Up { .. }) => {
                    for _ in 0..self.load.window {
                        self.send(Bytes::from_static(&MESSAGE));
                    }
                    continue;
                }
                // After the last one, echoes may still be on their way: their messages are lost, and nobody is told.
                Step::Event(stream::Event::Echoed { payload, .. }) if self.load.left > 0 => {
                    self.load.left -= 1;
                    if self.load.left == 0 {
                        self.client.command(self.now, stream::Command::Abort).expect("it always may");
                        Step::Event(())
                    } else {
                        self.send(payload);
                        continue;
                    }
                }
                Step::Event(_) => continue,
                Step::Dial { conn, to } => Step::Dial { conn, to },
                Step::Examine { conn } => Step::Examine { conn },
                Step::Write { conn } => Step::Write { conn },
                Step::Shutdown { conn } => Step::Shutdown { conn },
                Step::Close { conn, how } => Step::Close { conn, how },
                Step::Wait(until) => Step::Wait(until),
            };
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.client.next_deadline()
    }

    fn wants_read(&self, conn: ConnId) -> bool {
        self.client.wants_read(conn)
    }

    fn unsent<'a>(&'a self, conn: ConnId, out: &mut [&'a [u8]]) -> usize {
        self.client.unsent(conn, out)
    }

    fn reclaim(&mut self) -> Option<Chunk> {
        self.client.reclaim()
    }

    fn is_done(&self) -> bool {
        self.client.is_done()
    }
}

// UDP.

fn datagram_client() -> datagrams::Client {
    datagrams::Client::new(datagrams::Config::default(), 1, [1, 2]).expect("the default works")
}

fn sending(mut pump: DatagramPump) -> Box<dyn Program> {
    pump.peer = Some(pump.client.add(Instant::EPOCH, server_addr()).expect("there is room"));
    let said = |_: &DatagramPump, ()| Some(resound_sim::scenario::Said::other(DONE));
    let options = UdpOptions { recverr: true, ..UdpOptions::default() };
    Box::new(Datagrams::new(pump, Bind::Port(0), options, said, |_, _, _| None))
}

/// The same over datagrams.
#[derive(Debug)]
struct DatagramPump {
    client: datagrams::Client,
    load: Load,
    now: Instant,
    peer: Option<datagrams::PeerId>,
}

impl DatagramPump {
    fn send(&mut self) {
        let payload = Bytes::from_static(&[7; PAYLOAD - datagrams::HEADER]);
        let peer = self.peer.expect("it was added");
        self.client.send(self.now, peer, payload).expect("the window fits");
    }
}

impl datagram::Machine for DatagramPump {
    type Event = ();

    fn handle(&mut self, now: Instant, fact: datagram::Fact<'_>) {
        self.now = now;
        self.client.handle(now, fact);
    }

    fn poll(&mut self) -> datagram::Step<()> {
        use datagram::Step;
        loop {
            return match self.client.poll() {
                Step::Event(datagrams::Event::Up { .. }) => {
                    for _ in 0..self.load.window {
                        self.send();
                    }
                    continue;
                }
                Step::Event(datagrams::Event::Echoed { .. }) if self.load.left > 0 => {
                    self.load.left -= 1;
                    if self.load.left == 0 {
                        self.client.abort(self.now);
                        Step::Event(())
                    } else {
                        self.send();
                        continue;
                    }
                }
                Step::Event(_) => continue,
                Step::Transmit => Step::Transmit,
                Step::Examine => Step::Examine,
                Step::Wait(until) => Step::Wait(until),
            };
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.client.next_deadline()
    }

    fn is_done(&self) -> bool {
        self.client.is_done()
    }
}

// Exploration.

/// All schedules of up to `faults` faults of the standard menu among the first 14 packets of a run in which a client
/// connects and sends three messages; as the tests of `resound-sim` try them.
///
/// # Panics
///
/// If one of them makes the client break a promise.
#[must_use]
pub fn explore(transport: Transport, faults: u32) -> Certificate {
    let over = match transport {
        Transport::Tcp => "",
        Transport::Udp => "udp ",
    };
    let text = format!(
        "host client ; host server ; link client <-> server 10ms ; until 8
         0.0 server serve {over}7
         0.0 client connect {over}server:7 idle=2s probe=500ms misses=2
         0.1 client send \"a\" ; 0.2 client send \"b\" ; 1.0 client send \"c\""
    );
    let base: Scenario = text.parse().expect("it is well formed");
    let client = base.node("client").expect("it is there");
    let trial = Trial::echo()
        .must(oracle::conservation(client))
        .must(oracle::bounded_attempts(client, Duration::from_millis(250)));
    let explore = Explore::new(&base).most_faults(faults).within(Within::Overall(14));
    explore.run(&trial).unwrap_or_else(|found| panic!("{found}"))
}
