//! The usual cast: the core's own echo clients and servers.

use std::net::SocketAddr;

use resound_core::datagram::client as datagram_client;
use resound_core::datagram::server as datagram_server;
use resound_core::stream::{client as stream_client, server as stream_server};

use super::datagrams::{Bind, Datagrams};
use super::words::{
    BACKLOG, command_datagram, datagram_config, describe_datagram, describe_datagram_server, describe_ended,
    describe_stream, secret, stream_command, stream_config,
};
use super::{Dialing, Listening};
use crate::kernel::{TcpOptions, UdpOptions};
use crate::scenario::{Command, Knobs, NodeId, Said, Scenario, Transport, node_at, socket_addr};
use crate::world::{Cast, Program, Stage};

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

// TCP.

fn serve_tcp(port: u16) -> Box<dyn Program> {
    let policy = stream_server::Config::default().check();
    let make = move |_, now| match &policy {
        Ok(policy) => stream_server::Connection::new(*policy, now),
        Err(bad) => unreachable!("the default works: {bad}"),
    };
    let describe = |ended: stream_server::Ended| Some(describe_ended(&ended));
    // As every server should, and ours does: it comes up again beside what its last life has left behind.
    let options = TcpOptions { reuse_address: true, ..TcpOptions::default() };
    Box::new(Listening::new(port, BACKLOG, options, make, describe))
}

fn connect_tcp(stage: &Stage<'_>, to: SocketAddr, knobs: Knobs) -> Box<dyn Program> {
    match stream_client::Client::new(stream_config(knobs), stage.seed, [to]) {
        Err(bad) => Box::new(Refuses(bad.to_string())),
        Ok(client) => {
            let user_timeout = client.kernel_backstop();
            let options = TcpOptions { user_timeout, ..TcpOptions::default() };
            let describe = |event: stream_client::Event| describe_stream(&event);
            let command = |client: &mut stream_client::Client<SocketAddr>, now, command: &Command| {
                use resound_core::stream::Machine as _;
                let said = matches!(command, Command::Send(_)).then(|| Said::Sent(client.next_seq().0));
                let asked = client.command(now, stream_command(command)?);
                Some(asked.map(|()| said).map_err(|refused| refused.to_string()))
            };
            Box::new(Dialing::new(client, options, describe, command))
        }
    }
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
            let describe = |_: &datagram_server::Server, event| describe_datagram_server(&event);
            let options = UdpOptions { recverr: true, ..UdpOptions::default() };
            Box::new(Datagrams::new(server, Bind::Port(port), options, describe, |_, _, _| None))
        }
    }
}

fn connect_udp(stage: &Stage<'_>, to: SocketAddr, knobs: Knobs) -> Box<dyn Program> {
    let made = datagram_client::Client::new(datagram_config(knobs), stage.seed, secret(stage.seed));
    let mut client = match made {
        Err(bad) => return Box::new(Refuses(bad.to_string())),
        Ok(client) => client,
    };
    if let Err(why) = client.add(stage.now, to) {
        return Box::new(Refuses(why.to_string()));
    }
    let version = stage.scenario.version;
    let names: Vec<String> = stage.scenario.nodes.iter().map(|node| node.name.clone()).collect();
    let describe = move |client: &datagram_client::Client, event: datagram_client::Event| {
        // With several peers it matters whose it is.
        let peer = event.peer().filter(|_| client.peers().nth(1).is_some());
        let node = peer.and_then(|peer| client.peer(peer)).and_then(|status| node_at(status.addr.ip()));
        describe_datagram(&event, node.map(|NodeId(at)| names[usize::from(at)].as_str()))
    };
    let command = move |client: &mut datagram_client::Client, now, command: &Command| {
        command_datagram(client, now, command, |peer| socket_addr(peer, version))
    };
    let options = UdpOptions { recverr: true, ..UdpOptions::default() };
    Box::new(Datagrams::new(client, Bind::Port(0), options, describe, command))
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
