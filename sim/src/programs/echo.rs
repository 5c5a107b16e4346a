//! The usual cast: the core's own echo clients and servers.

use std::net::SocketAddr;

use bytes::Bytes;
use resound_core::datagram::client as datagram_client;
use resound_core::datagram::server as datagram_server;
use resound_core::stream::{client as stream_client, server as stream_server};
use resound_core::{Instant, link};

use super::datagrams::{Bind, Datagrams};
use super::{Dialing, Listening};
use crate::kernel::{TcpOptions, UdpOptions};
use crate::scenario::{Command, Knobs, NodeId, Payload, Said, Scenario, Transport, node_at, socket_addr};
use crate::world::{Cast, Program, Stage};

/// How many connections wait to be accepted.
const BACKLOG: u32 = 128;

/// Echo servers and echo clients, over TCP and UDP: the machines of `resound-core`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Cast for Echo {
    fn start(&mut self, stage: &Stage<'_>, command: &Command) -> Option<Box<dyn Program>> {
        match command {
            Command::Serve(Transport::Tcp, port) => Some(serve_tcp(*port)),
            Command::Serve(Transport::Udp, port) => Some(serve_udp(stage, *port)),
            Command::Connect(Transport::Tcp, peer, knobs) => {
                Some(connect_tcp(stage, stage.addr(*peer), *knobs))
            }
            Command::Connect(Transport::Udp, peer, knobs) => {
                Some(connect_udp(stage, stage.addr(*peer), *knobs))
            }
            _ => None,
        }
    }
}

/// What a payload is.
#[must_use]
pub(crate) fn bytes(payload: &Payload) -> Bytes {
    match payload {
        Payload::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        Payload::Bytes(count) => (0..*count).map(|at| (at % 251) as u8).collect(),
    }
}

// TCP.

fn serve_tcp(port: u16) -> Box<dyn Program> {
    let policy = stream_server::Config::default().check();
    let make = move |_, now| match &policy {
        Ok(policy) => stream_server::Connection::new(*policy, now),
        Err(bad) => unreachable!("the default works: {bad}"),
    };
    let describe = |ended: stream_server::Ended| Some(Said::Ended(ended.cause.reason));
    // As every server should, and ours does: it comes up again beside what its last life has left behind.
    let options = TcpOptions { reuse_address: true, ..TcpOptions::default() };
    Box::new(Listening::new(port, BACKLOG, options, make, describe))
}

fn connect_tcp(stage: &Stage<'_>, to: SocketAddr, knobs: Knobs) -> Box<dyn Program> {
    let mut config = stream_client::Config::default();
    turn_knobs(&mut config.link, knobs);
    if knobs.resend {
        config.on_loss = stream_client::OnLoss::Resend;
    }
    match stream_client::Client::new(config, stage.seed, [to]) {
        Err(bad) => Box::new(Refuses(bad.to_string())),
        Ok(client) => {
            let user_timeout = client.kernel_backstop();
            let options = TcpOptions { user_timeout, ..TcpOptions::default() };
            Box::new(Dialing::new(client, options, describe_stream, command_stream))
        }
    }
}

fn turn_knobs(config: &mut link::Config, knobs: Knobs) {
    let liveness = &mut config.liveness;
    liveness.idle = knobs.idle.unwrap_or(liveness.idle);
    // The probe's time-out is never longer than the idle time, unless somebody asks for that.
    let usual = if liveness.idle.is_zero() { liveness.probe } else { liveness.probe.min(liveness.idle) };
    liveness.probe = knobs.probe.unwrap_or(usual);
    liveness.misses = knobs.misses.unwrap_or(liveness.misses);
    config.race.round = knobs.round.unwrap_or(config.race.round);
    config.give_up.rounds = knobs.rounds.or(config.give_up.rounds);
}

fn describe_stream(event: stream_client::Event) -> Option<Said> {
    use stream_client::Event;
    Some(match event {
        Event::Dialing { .. } => Said::Dialing,
        Event::DialFailed { cause, .. } => Said::DialFailed(cause.reason, cause.origin),
        Event::Up { .. } => Said::Up,
        Event::Echoed { seq, .. } => Said::Echo(seq.0),
        Event::Lost { seq, cause, .. } => Said::Lost(seq.0, cause.reason),
        Event::Suspect { unanswered } => Said::Suspect(unanswered),
        Event::Down { cause, .. } => Said::down(&cause),
        Event::Retry { level, delay } => Said::Retry { level, delay },
        Event::Stalled { late } => Said::Stalled(late),
        Event::GaveUp { cause } => Said::GaveUp(cause.reason),
        Event::Closed => Said::Closed,
    })
}

fn command_stream(
    client: &mut stream_client::Client<SocketAddr>,
    now: Instant,
    command: &Command,
) -> Option<Result<Option<Said>, String>> {
    use resound_core::stream::Machine as _;
    let seq = client.next_seq().0;
    let (command, said) = match command {
        Command::Send(payload) => (stream_client::Command::Send(bytes(payload)), Some(Said::Sent(seq))),
        Command::Close => (stream_client::Command::Close, None),
        Command::Abort => (stream_client::Command::Abort, None),
        _ => return None,
    };
    Some(client.command(now, command).map(|()| said).map_err(|refused| refused.to_string()))
}

// UDP.

fn serve_udp(stage: &Stage<'_>, port: u16) -> Box<dyn Program> {
    // No scenario has more hosts, and the table of sources is made for each run.
    let sources = Scenario::MOST_NODES as u32;
    let config =
        datagram_server::Config { own_ports: vec![port], sources, ..datagram_server::Config::default() };
    match datagram_server::Server::new(config, secret(stage.seed)) {
        Err(bad) => Box::new(Refuses(bad.to_string())),
        Ok(server) => {
            let describe = |_: &datagram_server::Server, event| match event {
                datagram_server::Event::Ignored { why, .. } => {
                    Some(Said::other(format_args!("ignored {why}")))
                }
                datagram_server::Event::Overrun { lost } => Some(Said::other(format_args!("overrun {lost}"))),
                datagram_server::Event::Failed { .. } | datagram_server::Event::Stopped => None,
            };
            let options = UdpOptions { recverr: true, ..UdpOptions::default() };
            Box::new(Datagrams::new(server, Bind::Port(port), options, describe, |_, _, _| None))
        }
    }
}

const fn secret(seed: u64) -> [u64; 2] {
    [seed, seed.rotate_left(32) ^ 0x5ec2_e75e_c2e7]
}

fn connect_udp(stage: &Stage<'_>, to: SocketAddr, knobs: Knobs) -> Box<dyn Program> {
    let mut config = datagram_client::Config::default();
    turn_knobs(&mut config.link, knobs);
    let made = datagram_client::Client::new(config, stage.seed, secret(stage.seed));
    let mut client = match made {
        Err(bad) => return Box::new(Refuses(bad.to_string())),
        Ok(client) => client,
    };
    if let Err(why) = client.add(stage.now, to) {
        return Box::new(Refuses(why.to_string()));
    }
    let version = stage.scenario.version;
    let names: Vec<String> = stage.scenario.nodes.iter().map(|node| node.name.clone()).collect();
    let describe = move |client: &datagram_client::Client, event| describe_datagram(&names, client, event);
    let command = move |client: &mut datagram_client::Client, now, command: &Command| {
        command_datagram(client, now, command, |peer| socket_addr(peer, version))
    };
    let options = UdpOptions { recverr: true, ..UdpOptions::default() };
    Box::new(Datagrams::new(client, Bind::Port(0), options, describe, command))
}

fn describe_datagram(
    names: &[String],
    client: &datagram_client::Client,
    event: datagram_client::Event,
) -> Option<Said> {
    use datagram_client::Event;
    let peer = event.peer();
    let said = match event {
        Event::Dialing { .. } => Said::Dialing,
        Event::DialFailed { cause, .. } => Said::DialFailed(cause.reason, cause.origin),
        Event::Up { .. } => Said::Up,
        Event::Echoed { seq, .. } => Said::Echo(seq.get()),
        Event::Lost { seq, cause, .. } => Said::Lost(seq.get(), cause.reason),
        Event::Late { seq, .. } => Said::other(format_args!("late {}", seq.get())),
        Event::Duplicated { seq, .. } => Said::other(format_args!("duplicated {}", seq.get())),
        Event::Suspect { unanswered, .. } => Said::Suspect(unanswered),
        Event::Down { cause, .. } => Said::down(&cause),
        Event::Retry { level, delay, .. } => Said::Retry { level, delay },
        Event::GaveUp { cause, .. } => Said::GaveUp(cause.reason),
        Event::Trouble { cause, .. } => {
            Said::other(format_args!("trouble {} {}", cause.reason, cause.origin))
        }
        Event::TooBig { .. } => Said::other("too-big"),
        Event::WrongAddress { .. } => Said::other("wrong-address"),
        Event::Overrun { lost } => Said::other(format_args!("overrun {lost}")),
        Event::Stalled { late } => Said::Stalled(late),
        Event::Failed { signal, .. } => Said::other(format_args!("failed {signal:?}")),
        Event::Closed => Said::Closed,
    };
    // With several peers it matters whose it is.
    let named = peer.filter(|_| client.peers().nth(1).is_some()).and_then(|peer| client.peer(peer));
    let name = named.and_then(|status| node_at(status.addr.ip())).map(|NodeId(at)| &names[usize::from(at)]);
    Some(match name {
        Some(name) => Said::other(format_args!("{name} {said}")),
        None => said,
    })
}

fn command_datagram(
    client: &mut datagram_client::Client,
    now: Instant,
    command: &Command,
    addr: impl Fn(crate::scenario::Peer) -> SocketAddr,
) -> Option<Result<Vec<Said>, String>> {
    match command {
        Command::Connect(Transport::Udp, peer, _) => {
            Some(client.add(now, addr(*peer)).map(|_| Vec::new()).map_err(|why| why.to_string()))
        }
        Command::Send(payload) => {
            // To everybody, one after the other.
            let peers: Vec<_> = client.peers().collect();
            let each = peers.into_iter().map(|peer| client.send(now, peer, bytes(payload)));
            let sent: Result<Vec<_>, _> = each.collect();
            Some(match sent {
                Ok(seqs) => Ok(seqs.into_iter().map(|seq| Said::Sent(seq.get())).collect()),
                Err(refused) => Err(refused.to_string()),
            })
        }
        Command::Close => {
            client.close(now);
            Some(Ok(Vec::new()))
        }
        Command::Abort => {
            client.abort(now);
            Some(Ok(Vec::new()))
        }
        _ => None,
    }
}

/// What is said instead of a client whose configuration cannot work.
#[derive(Debug)]
struct Refuses(String);

impl Program for Refuses {
    fn run(&mut self, calls: &mut crate::world::Calls<'_>) -> crate::world::Next {
        calls.say(Said::Refused(self.0.clone().into()));
        crate::world::Next::Exit
    }

    fn ask(&mut self, _: &mut crate::world::Calls<'_>, _: &Command) -> crate::world::Answer {
        crate::world::Answer::NotMine
    }
}
