//! Servers and clients: the core's machines on a runtime.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use resound_conformance::on::{smol::Smol, std::Std, tokio::Tokio};
use resound_conformance::{
    ClientSession, Dial, EchoClient, Runtime, ServerConfig, ServerEvent, ServerSession, UdpClientSession,
    UdpRuntime, UdpServerSession,
};
use resound_core::Instant;
use resound_core::datagram::client as datagram;
use resound_core::signal::{Signal, Version};
use resound_core::stream::client as stream;
use resound_sim::Scenario;
use resound_sim::programs::words::{
    self, command_datagram, datagram_config, describe_datagram, describe_datagram_server, describe_ended,
    describe_stream, stream_command, stream_config,
};
use resound_sim::scenario::{Command, Knobs, NodeId, Peer, Said, Transport, node_at, socket_addr};
use resound_sim::world::Answer;
use resound_sockets::tcp::ListenOptions;
use resound_sockets::{errno, udp};

use super::Brief;
use super::mouth::Mouth;
use crate::suite::Player;

/// A program that runs, until it is dropped.
pub(super) trait Program {
    /// A line of the script.
    fn ask(&mut self, command: &Command) -> Answer;
}

/// What starts programs.
pub(super) struct Starter {
    runtime: Box<dyn Runtime>,
    scenario: Arc<Scenario>,
    mouth: Arc<Mouth>,
}

/// A program, or what is said instead.
type Started = Result<Box<dyn Program>, Said>;

impl Starter {
    pub(super) fn new(brief: &Brief, mouth: &Arc<Mouth>) -> Self {
        let runtime: Box<dyn Runtime> = match brief.player {
            Player::Std => Box::new(Std),
            Player::Smol => Box::new(Smol::threads(1)),
            Player::Tokio => Box::new(Tokio::current_thread()),
        };
        Self { runtime, scenario: brief.scenario.clone(), mouth: mouth.clone() }
    }

    /// Starts the program of a line; `None` if it starts none.
    pub(super) fn start(&self, command: &Command, seed: u64) -> Option<Started> {
        Some(match command {
            Command::Serve(Transport::Tcp, port) => self.serve_tcp(*port),
            Command::Serve(Transport::Udp, port) => self.serve_udp(*port),
            Command::Connect(Transport::Tcp, peer, knobs) => self.connect_tcp(*peer, *knobs, seed),
            Command::Connect(Transport::Udp, peer, knobs) => self.connect_udp(*peer, *knobs, seed),
            _ => return None,
        })
    }

    fn udp(&self) -> Result<&dyn UdpRuntime, Said> {
        self.runtime.udp().ok_or_else(|| Said::Refused("this runtime has no UDP".into()))
    }

    // TCP.

    fn serve_tcp(&self, port: u16) -> Started {
        let listen = ListenOptions { backlog: words::BACKLOG as i32, ..ListenOptions::default() };
        let mouth = self.mouth.clone();
        let on_event = Box::new(move |event: ServerEvent| {
            if let Some(said) = describe_server(&event) {
                mouth.say(&said);
            }
        });
        let config = ServerConfig { listen, ..ServerConfig::default() };
        let session = self
            .runtime
            .server(any(self.scenario.version, port), config, on_event)
            .map_err(|error| failed(format!("listen {port}"), &error))?;
        Ok(Box::new(Serving(session)))
    }

    fn connect_tcp(&self, peer: Peer, knobs: Knobs, seed: u64) -> Started {
        let to = socket_addr(peer, self.scenario.version);
        let client = EchoClient::new(stream_config(knobs), seed, [to]).map_err(refused)?;
        let (over, last) = Over::new();
        let mouth = self.mouth.clone();
        let on_event = Box::new(move |_, event| {
            if matches!(event, stream::Event::Closed | stream::Event::GaveUp { .. }) {
                last.word();
            }
            if let Some(said) = describe_stream(&event) {
                mouth.say(&said);
            }
        });
        let session = self.runtime.client(client, Dial::default(), on_event).map_err(refused)?;
        Ok(Box::new(Dialing { session, sent: 0, over, mouth: self.mouth.clone() }))
    }

    // UDP.

    fn serve_udp(&self, port: u16) -> Started {
        let mouth = self.mouth.clone();
        let on_event = Box::new(move |_, event| {
            if let Some(said) = describe_datagram_server(&event) {
                mouth.say(&said);
            }
        });
        let addrs = [any(self.scenario.version, port)];
        let session = self
            .udp()?
            .udp_server(&addrs, &udp::ServerConfig::default(), on_event)
            .map_err(|error| failed("bind".into(), &error.into()))?;
        Ok(Box::new(ServingDatagrams(session)))
    }

    fn connect_udp(&self, peer: Peer, knobs: Knobs, seed: u64) -> Started {
        let mut client =
            datagram::Client::new(datagram_config(knobs), seed, words::secret(seed)).map_err(refused)?;
        // The session's clock begins at the epoch, and later than now.
        client.add(Instant::EPOCH, socket_addr(peer, self.scenario.version)).map_err(refused)?;
        let options = udp::Options { errors: udp::Errors::Queued, ..udp::Options::default() };
        let socket = udp::bind(any(self.scenario.version, 0), &options)
            .map_err(|error| failed("bind".into(), &error))?;
        let names = Arc::new(Names::default());
        names.note(&client, &self.scenario);
        let (over, last) = Over::new();
        let (mouth, known) = (self.mouth.clone(), names.clone());
        let on_event = Box::new(move |_, event: datagram::Event| {
            if event == datagram::Event::Closed {
                last.word();
            }
            let named = event.peer().and_then(|peer| known.of(peer));
            if let Some(said) = describe_datagram(&event, named.as_deref()) {
                mouth.say(&said);
            }
        });
        let session = self.udp()?.udp_client(client, socket, on_event).map_err(refused)?;
        let (scenario, mouth) = (self.scenario.clone(), self.mouth.clone());
        Ok(Box::new(Datagrams { session, names, scenario, over, mouth }))
    }
}

/// Any address of this host, with this port.
pub(super) const fn any(version: Version, port: u16) -> SocketAddr {
    let ip = match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Version::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, port)
}

fn refused(why: impl ToString) -> Said {
    Said::Refused(why.to_string().into())
}

/// A call that the system refused.
fn failed(call: String, error: &io::Error) -> Said {
    let Signal::Errno(errno) = errno::signal(error) else { return refused(error) };
    Said::Call(call.into(), Err(errno))
}

/// What the simulated server has no occasion to say has words too: where it is said, the two differ.
fn describe_server(event: &ServerEvent) -> Option<Said> {
    Some(match event {
        ServerEvent::Accepted { .. } => Said::Accepted,
        ServerEvent::Connection { event, .. } => describe_ended(event),
        ServerEvent::Done => return None,
        ServerEvent::AcceptFailed { signal: Signal::Errno(errno), .. } => {
            return words::accept_failed(*errno);
        }
        ServerEvent::AcceptFailed { signal, .. } => Said::other(format_args!("accept-failed {signal:?}")),
        ServerEvent::Refused { why, .. } => Said::other(format_args!("turned-away {why}")),
    })
}

/// Whether a program has ended, so that nothing is for it any more.
struct Over(Arc<AtomicBool>);

/// The other end of it: with the driver, which drops it when there will be no more events.
struct Last(Arc<AtomicBool>);

impl Over {
    fn new() -> (Self, Last) {
        let over = Arc::new(AtomicBool::new(false));
        (Self(over.clone()), Last(over))
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Last {
    /// Its machine is done, and its driver will be.
    fn word(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.word();
    }
}

/// A server over TCP. Nothing is asked of it.
struct Serving(#[expect(dead_code, reason = "it serves until it is dropped")] Box<dyn ServerSession>);

impl Program for Serving {
    fn ask(&mut self, _: &Command) -> Answer {
        Answer::NotMine
    }
}

/// A server over UDP.
struct ServingDatagrams(
    #[expect(dead_code, reason = "it serves until it is dropped")] Box<dyn UdpServerSession>,
);

impl Program for ServingDatagrams {
    fn ask(&mut self, _: &Command) -> Answer {
        Answer::NotMine
    }
}

/// A client over TCP.
struct Dialing {
    session: Box<dyn ClientSession>,
    /// How many messages were accepted: the next one's number.
    sent: u64,
    over: Over,
    mouth: Arc<Mouth>,
}

impl Program for Dialing {
    fn ask(&mut self, command: &Command) -> Answer {
        if self.over.is_over() {
            return Answer::NotMine;
        }
        let Some(order) = stream_command(command) else { return Answer::NotMine };
        let mut answer = Answer::Taken;
        self.mouth.first(|| match self.session.command(order) {
            Ok(()) if matches!(command, Command::Send(_)) => {
                self.sent += 1;
                vec![Said::Sent(self.sent - 1)]
            }
            Ok(()) => Vec::new(),
            Err(refused) => {
                // It may have ended just now.
                let gone = refused.why == stream::Refusal::Closed && self.over.is_over();
                answer = if gone { Answer::NotMine } else { Answer::Refused(refused.to_string()) };
                Vec::new()
            }
        });
        answer
    }
}

/// A client over UDP.
struct Datagrams {
    session: Box<dyn UdpClientSession>,
    names: Arc<Names>,
    scenario: Arc<Scenario>,
    over: Over,
    mouth: Arc<Mouth>,
}

impl Program for Datagrams {
    fn ask(&mut self, command: &Command) -> Answer {
        if self.over.is_over() {
            return Answer::NotMine;
        }
        let mut answer = Answer::Taken;
        let addr = |peer| socket_addr(peer, self.scenario.version);
        self.mouth.first(|| {
            let asked = self.session.ask(|client, now| {
                let asked = command_datagram(client, now, command, addr);
                self.names.note(client, &self.scenario);
                asked
            });
            match asked {
                Some(Ok(said)) => return said,
                Some(Err(why)) => answer = Answer::Refused(why),
                None => answer = Answer::NotMine,
            }
            Vec::new()
        });
        answer
    }
}

/// What the peers of a client over UDP are called.
#[derive(Debug, Default)]
struct Names(Mutex<BTreeMap<datagram::PeerId, String>>);

impl Names {
    /// Looks who is there.
    fn note(&self, client: &datagram::Client, scenario: &Scenario) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in client.peers() {
            let node = client.peer(peer).and_then(|status| node_at(status.addr.ip()));
            if let Some(node @ NodeId(_)) = node {
                names.insert(peer, scenario.name(node).to_owned());
            }
        }
    }

    /// The name of a peer, where that has to be said: with several it matters whose it is.
    fn of(&self, peer: datagram::PeerId) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&peer).filter(|_| names.len() > 1).cloned()
    }
}
